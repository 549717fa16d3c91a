/* cli/runs.c: `hone runs`: how the runs in some folders stand, a line each. Reads only. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/experiment.h"
#include "cli/run_folder.h"
#include "cli/text.h"
#include "db/db.h"

enum { MAX_RUNS = 4096 };

struct line {
    char *dir; /* owned */
    char state[16], reason[32], error[1024], name[64], stage[64], updated[32];
    int step, steps, eval_step;
    long pid; /* 0: nobody writes */
    double reward, pass1, ci95;
};

struct list {
    struct line *line; /* [n], owned */
    int n, cap;
    int code; /* of the first run that cannot be read */
};

/* ---- one run ----------------------------------------------------------------------- */

static void copy(char *out, size_t n, const char *text) { snprintf(out, n, "%s", text ? text : ""); }

/* What the last start said of itself; a run of an older hone has no such file. */
static void read_status(struct line *l) {
    char path[PATH_MAX];
    cJSON *json = NULL;
    struct err ignored;
    const char *state = "", *reason = "", *error = "";
    if (file_join(path, sizeof path, l->dir, "status.json", &ignored) != 0 ||
        json_load(&json, path, 1 << 20, &ignored) != 0)
        return;
    const cJSON *why = json_find(json, "reason"), *said = json_find(json, "error");
    if (json_get_string(json, path, "state", &state, &ignored) != 0) state = "";
    if (cJSON_IsString(why)) reason = why->valuestring;
    if (cJSON_IsString(said)) error = said->valuestring;
    copy(l->state, sizeof l->state, strcmp(state, "running") == 0 ? "killed" : state);
    copy(l->reason, sizeof l->reason, reason);
    copy(l->error, sizeof l->error, error);
    json_free(json);
}

static int read_steps(struct line *l, struct db *db, struct arena *a, bool *complete,
                      struct err *err) {
    struct db_run run;
    struct db_stage *stage;
    struct db_step *s;
    struct experiment *x = mem_new(1, sizeof *x);
    int n_stages, n, rc = -1;
    if (db_read_run(db, a, &run, err) != 0 || db_read_stages(db, a, &stage, &n_stages, err) != 0 ||
        db_read_steps(db, 0, a, &s, &n, err) != 0 ||
        experiment_parse(x, run.experiment, "run.db", err) != 0)
        goto out;
    *complete = n_stages == x->n_stages;
    for (int i = 0; i < n_stages; i++) *complete = *complete && stage[i].finished_at;
    for (int i = 0; i < x->n_stages; i++) l->steps += x->stage[i].max_steps;
    copy(l->name, sizeof l->name, run.name);
    copy(l->updated, sizeof l->updated, run.created_at);
    if (n_stages > 0) copy(l->stage, sizeof l->stage, stage[n_stages - 1].name);
    for (int i = 0; i < n; i++) {
        if (!s[i].finished_at) continue;
        l->step = s[i].step;
        copy(l->updated, sizeof l->updated, s[i].finished_at);
    }
    rc = 0;
out:
    mem_free(x);
    return rc;
}

static int read_results(struct line *l, struct db *db, struct arena *a, struct err *err) {
    struct db_metric *m;
    struct db_eval *e;
    int n;
    if (l->step > 0) {
        if (db_read_metrics(db, l->step, a, &m, &n, err) != 0) return -1;
        for (int i = 0; i < n; i++)
            if (strcmp(m[i].name, "reward") == 0) l->reward = m[i].value;
    }
    if (db_read_evals(db, a, &e, &n, err) != 0) return -1;
    for (int i = 0; i < n; i++) {
        if (strcmp(e[i].mode, "greedy") != 0 || e[i].step < l->eval_step) continue;
        l->eval_step = e[i].step;
        l->pass1 = e[i].pass1;
        l->ci95 = e[i].ci95;
    }
    return 0;
}

static int read_run(struct line *l, struct err *err) {
    char path[PATH_MAX];
    struct db *db;
    struct arena arena = {0};
    bool complete = false;
    l->reward = l->pass1 = l->ci95 = NAN;
    if (file_join(path, sizeof path, l->dir, "run.db", err) != 0 ||
        db_open_readonly(&db, path, err) != 0)
        return -1;
    int rc = read_steps(l, db, &arena, &complete, err);
    if (rc == 0) rc = read_results(l, db, &arena, err);
    db_close(db);
    arena_clear(&arena);
    if (rc != 0) return -1;
    copy(l->state, sizeof l->state, "stopped");
    read_status(l);
    l->pid = run_folder_holder(l->dir);
    if (l->pid > 0) copy(l->state, sizeof l->state, "running");
    if (complete && l->pid == 0) copy(l->state, sizeof l->state, "complete");
    if (complete || l->pid > 0) l->reason[0] = l->error[0] = 0; /* of an earlier start */
    return 0;
}

/* ---- finding ----------------------------------------------------------------------- */

static bool has_run(const char *dir) {
    char path[PATH_MAX];
    struct err ignored;
    return file_join(path, sizeof path, dir, "run.db", &ignored) == 0 && file_exists(path);
}

static int add(struct list *list, const char *dir, struct err *err) {
    if (list->n == MAX_RUNS) return err_set(err, EX_USAGE, "more than %d runs", MAX_RUNS);
    if (list->n == list->cap) {
        int cap = list->cap ? 2 * list->cap : 16;
        list->line = mem_resize(list->line, (size_t)list->cap, (size_t)cap, sizeof *list->line);
        list->cap = cap;
    }
    list->line[list->n++].dir = mem_strdup(dir);
    return 0;
}

static int by_dir(const void *a, const void *b) {
    return strcmp(((const struct line *)a)->dir, ((const struct line *)b)->dir);
}

/* The folder itself, or the folders in it. */
static int find(struct list *list, const char *dir, struct err *err) {
    char path[PATH_MAX];
    int first = list->n, rc = 0;
    if (has_run(dir)) return add(list, dir, err);
    DIR *d = opendir(dir);
    if (!d) return err_errno(err, EX_NOINPUT, "open %s", dir);
    for (struct dirent *e; rc == 0 && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        rc = file_join(path, sizeof path, dir, e->d_name, err);
        if (rc == 0 && has_run(path)) rc = add(list, path, err);
    }
    closedir(d);
    if (rc == 0 && list->n == first)
        rc = err_set(err, EX_NOINPUT, "%s: there is no run in it, nor in a folder in it", dir);
    if (rc == 0)
        qsort(list->line + first, (size_t)(list->n - first), sizeof *list->line, by_dir);
    return rc;
}

/* ---- printing ---------------------------------------------------------------------- */

/* What could drive a terminal becomes '?'. Returns the columns, about. */
static int print_plain(const char *text) {
    int columns = 0;
    size_t n = strlen(text);
    for (size_t i = 0, len; i < n; i += len ? len : 1, columns++) {
        len = text_plain_bytes((const unsigned char *)text + i, n - i);
        fwrite(len ? text + i : "?", 1, len ? len : 1, stdout);
    }
    return columns;
}

static void print_line(const struct line *l, int width) {
    char steps[32], reward[32] = "-", pass[48] = "-";
    snprintf(steps, sizeof steps, "%d/%d", l->step, l->steps);
    if (isfinite(l->reward)) snprintf(reward, sizeof reward, "%.3f", l->reward);
    if (isfinite(l->pass1))
        snprintf(pass, sizeof pass, "%.1f %% +- %.1f", 100 * l->pass1, 100 * l->ci95);
    printf("%*s", width - print_plain(l->dir), "");
    printf("  %-10s %11s  %-10.10s %7s  %-16s %.10s %.8s  ", l->state, steps, l->stage, reward, pass,
           l->updated, strlen(l->updated) > 11 ? l->updated + 11 : "");
    if (l->pid > 0)
        printf("process %ld", l->pid);
    else if (strcmp(l->state, "failed") == 0)
        print_plain(l->error);
    else if (strcmp(l->state, "stopped") == 0)
        print_plain(l->reason);
    printf("\n");
}

static void print_table(const struct list *list) {
    int width = 3;
    for (int i = 0; i < list->n; i++)
        if ((int)strlen(list->line[i].dir) > width) width = (int)strlen(list->line[i].dir);
    printf("%-*s  %-10s %11s  %-10s %7s  %-16s %s\n", width, "run", "state", "steps", "stage",
           "reward", "greedy pass@1", "last step (UTC)");
    for (int i = 0; i < list->n; i++)
        if (list->line[i].state[0]) print_line(&list->line[i], width);
}

static void print_json(const struct list *list) {
    struct buf out = {0};
    cJSON *all = cJSON_CreateArray();
    for (int i = 0; i < list->n; i++) {
        const struct line *l = &list->line[i];
        cJSON *o = cJSON_CreateObject();
        json_add_text(o, "dir", l->dir);
        json_add_text(o, "state", l->state[0] ? l->state : "unreadable");
        json_add_text(o, "reason", l->reason);
        json_add_text(o, "error", l->error);
        json_add_text(o, "name", l->name);
        json_add_text(o, "stage", l->stage);
        json_add_number(o, "step", l->step);
        json_add_number(o, "steps", l->steps);
        json_add_number(o, "reward", l->reward);
        json_add_number(o, "eval/pass@1", l->pass1);
        json_add_number(o, "eval/ci95", l->ci95);
        json_add_number(o, "eval/step", isfinite(l->pass1) ? l->eval_step : NAN);
        json_add_text(o, "updated_at", l->updated);
        json_add_number(o, "pid", l->pid > 0 ? (double)l->pid : NAN);
        cJSON_AddItemToArray(all, o);
    }
    json_print(&out, all);
    puts(buf_text(&out));
    buf_clear(&out);
    json_free(all);
}

/* A run that cannot be read is said, and does not hide the others. */
static void read_all(struct list *list) {
    for (int i = 0; i < list->n; i++) {
        struct line *l = &list->line[i];
        struct err err;
        if (read_run(l, &err) == 0) continue;
        l->state[0] = 0;
        copy(l->error, sizeof l->error, err.msg);
        fprintf(stderr, "hone runs: %s\n", err.msg);
        if (list->code == 0) list->code = err.code;
    }
}

int cmd_runs(int argc, char **argv) {
    struct arg_list dir = {0};
    struct list list = {0};
    struct err err = {0};
    bool json = false;
    const struct arg arg[] = {
        {"DIR", ARG_LIST, &dir, .required = true,
         .help = "folders of runs, or folders that hold such"},
        {"--json", ARG_FLAG, &json, .help = "the same as a JSON array"},
    };
    const struct args args = {"runs", "list runs with state, progress and last result", arg, 2,
                              .notes = NULL};
    int rc;
    if (args_parse(&args, argc, argv, &rc) != 0) return rc;
    for (int i = 0; i < dir.n && list.code == 0; i++)
        if (find(&list, dir.item[i], &err) != 0) {
            fprintf(stderr, "hone runs: %s\n", err.msg);
            list.code = err.code;
        }
    if (list.code == 0) {
        read_all(&list);
        if (json)
            print_json(&list);
        else
            print_table(&list);
    }
    for (int i = 0; i < list.n; i++) mem_free(list.line[i].dir);
    mem_free(list.line);
    return list.code;
}
