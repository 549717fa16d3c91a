/* cli/db.c: `hone db ACTION DIR...`: what is done to the databases of runs. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/nearest.h"
#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/db.h"
#include "cli/reapply.h"
#include "cli/run_folder.h"
#include "cli/version.h"
#include "db/maintain.h"

enum { MAX_FINDINGS = 32 };

struct options {
    const char *action, *shape, *where, *out;
    struct arg_list dir;
    struct db_prune rule;
    bool full, dry_run, json;
};

static bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A run's folder, or a database itself. */
static int find_file(const char *dir, char path[PATH_MAX], struct err *err) {
    if (is_folder(dir)) return file_join(path, PATH_MAX, dir, "run.db", err);
    if (snprintf(path, PATH_MAX, "%s", dir) < PATH_MAX) return 0;
    return err_set(err, EX_USAGE, "%s: the path is too long", dir);
}

/* Of a folder; a database elsewhere has SQLite's own lock only. */
static int lock(const char *dir, int *fd, struct err *err) {
    return is_folder(dir) ? run_folder_lock(dir, fd, err) : 0;
}

static double mib(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (double)st.st_size / 1048576 : 0;
}

/* --- the actions ----------------------------------------------------------------------- */

static int check(const struct options *o, const char *path, struct err *err) {
    struct db_finding f[MAX_FINDINGS];
    struct db *db;
    int wrong = 0;
    if (db_open_readonly(&db, path, err) != 0) return -1;
    int n = db_check(db, o->full, f, MAX_FINDINGS, err);
    db_close(db);
    for (int i = 0; i < n; i++) {
        wrong += f[i].wrong > 0;
        if (o->json) continue;
        printf("%s %s", f[i].wrong ? "FAIL" : "ok  ", f[i].what);
        if (f[i].wrong) printf(": %lld are not, as %s", (long long)f[i].wrong, f[i].example);
        printf("\n");
    }
    if (n < 0) return -1;
    if (o->json) printf("{\"checked\": %d, \"wrong\": %d}\n", n, wrong);
    return wrong == 0 ? 0 : err_set(err, EX_DATAERR, "%s: %d of %d checks failed", path, wrong, n);
}

/* What is gone cannot be applied again: the run must be able to go on from a later checkpoint. */
static int check_checkpoint(const char *dir, int last, struct err *err) {
    struct run *r = mem_new(1, sizeof *r);
    int rc = run_open_recorded(r, dir, "auto", 0, err);
    if (rc == 0) rc = reapply_without(r, last, err);
    run_close(r);
    mem_free(r);
    return rc;
}

static int prune(const struct options *o, const char *path, struct err *err) {
    const char *dir = o->dir.item[0];
    struct db_pruned p;
    struct db *db;
    if (o->rule.keep_steps == 0 && o->rule.keep_evals == 0)
        return err_set(err, EX_USAGE, "prune: say what stays: --keep-steps N, --keep-evals N");
    if (o->rule.keep_every > 0 && o->rule.keep_steps == 0)
        return err_set(err, EX_USAGE, "prune: --keep-every goes with --keep-steps");
    if (!is_folder(dir))
        return err_set(err, EX_USAGE, "prune: %s is no folder of a run, which has the checkpoints",
                       dir);
    if (db_open_readonly(&db, path, err) != 0) return -1;
    int rc = db_prune_count(db, &o->rule, &p, err);
    db_close(db);
    if (rc != 0) return -1;
    printf("%s %lld episodes and %lld traces of %lld steps, %lld evaluated completions\n",
           o->dry_run ? "would remove" : "removes", (long long)p.episodes, (long long)p.traces,
           (long long)p.steps, (long long)p.eval_episodes);
    fflush(stdout);
    if (p.last_step > 0 && check_checkpoint(dir, p.last_step, err) != 0) return -1;
    if (o->dry_run) return 0;
    if (db_open(&db, path, err) != 0) return -1;
    rc = db_prune(db, &o->rule, err);
    db_close(db);
    if (rc == 0) printf("their space is used again; hone db vacuum %s gives it back\n", dir);
    return rc;
}

static int vacuum(const char *path, struct err *err) {
    double before = mib(path);
    struct db *db;
    if (db_open(&db, path, err) != 0) return -1;
    int rc = db_vacuum(db, err);
    db_close(db);
    if (rc == 0) printf("%s: %.1f MiB, was %.1f\n", path, mib(path), before);
    return rc;
}

/* Those of the policy that the run started from. Where it is not to be had, the database is none
 * the worse than before. */
static int write_vocabulary(const char *dir, struct db *db, struct err *err) {
    struct run *r = mem_new(1, sizeof *r);
    struct err why;
    int rc = 0;
    if (!is_folder(dir)) {
        printf("its vocabulary stays empty: %s is no folder of a run, which has the policy\n", dir);
    } else if (run_open_recorded(r, dir, "auto", 0, &why) != 0) {
        printf("its vocabulary stays empty: %s\n", why.msg);
    } else if ((rc = db_begin(db, err)) == 0) {
        rc = run_folder_write_tokens(db, r->e.tok, err);
        if (rc == 0) rc = db_commit(db, err);
        if (rc == 0)
            printf("its vocabulary has %d tokens now\n", tokenizer_vocab_size(r->e.tok));
        else
            db_rollback(db);
    }
    run_close(r);
    mem_free(r);
    return rc;
}

/* Databases of before version 4 had none; a start that was killed may have left it out. */
static int fill_vocabulary(const char *dir, const char *path, struct err *err) {
    struct arena arena = {0};
    struct db_token *token;
    struct db *db;
    int n;
    if (db_open(&db, path, err) != 0) return -1;
    int rc = db_read_tokens(db, &arena, &token, &n, err);
    if (rc == 0 && n == 0) rc = write_vocabulary(dir, db, err);
    db_close(db);
    arena_clear(&arena);
    return rc;
}

static int upgrade(const struct options *o, const char *path, struct err *err) {
    int from = 0;
    if (db_upgrade(path, &from, err) != 0) return -1;
    printf("%s: was schema %d, is that of hone %s\n", path, from, version_short());
    return fill_vocabulary(o->dir.item[0], path, err);
}

static int merge(const struct options *o, struct err *err) {
    char(*path)[PATH_MAX] = mem_new((size_t)o->dir.n, sizeof *path);
    const char *list[ARG_LIST_MAX];
    int rc = 0;
    if (!o->out) rc = err_set(err, EX_USAGE, "merge: --out FILE is missing");
    for (int i = 0; rc == 0 && i < o->dir.n; i++) {
        rc = find_file(o->dir.item[i], path[i], err);
        list[i] = path[i];
    }
    if (rc == 0) rc = db_merge(o->out, list, o->dir.n, err);
    if (rc == 0) printf("%d runs in %s\n", o->dir.n, o->out);
    mem_free(path);
    return rc;
}

static int export_lines(const struct options *o, const char *path, struct err *err) {
    struct db *db;
    if (!o->shape) return err_set(err, EX_USAGE, "export: --shape trl or --shape verl is missing");
    if (db_open_readonly(&db, path, err) != 0) return -1;
    int rc = db_export(db, o->shape, o->where, o->out, err);
    db_close(db);
    return rc;
}

/* --- the command ------------------------------------------------------------------------ */

static int act(const struct options *o, struct err *err) {
    static const char *const names[] = {"check", "prune", "vacuum", "export", "merge", "upgrade"};
    char path[PATH_MAX], hint[NEAREST_HINT_BYTES];
    int i = 0, n = sizeof names / sizeof *names, fd = 0, rc = 0;
    while (i < n && strcmp(names[i], o->action) != 0) i++;
    if (i == n) {
        nearest_hint(hint, o->action, names, n);
        return err_set(err, EX_USAGE, "'%.60s' is no action%s", o->action, hint);
    }
    if (i == 4) return merge(o, err);
    if (o->dir.n != 1)
        return err_set(err, EX_USAGE, "%s: takes one DIR, found %d", o->action, o->dir.n);
    if (find_file(o->dir.item[0], path, err) != 0) return -1;
    if ((i == 1 || i == 2 || i == 5) && file_exists(path)) rc = lock(o->dir.item[0], &fd, err);
    if (rc == 0)
        rc = i == 0   ? check(o, path, err)
             : i == 1 ? prune(o, path, err)
             : i == 2 ? vacuum(path, err)
             : i == 3 ? export_lines(o, path, err)
                      : upgrade(o, path, err);
    if (fd > 0) close(fd);
    return rc;
}

static const char notes[] =
    "check    whether the database is what a run would have written; --full reads all of it\n"
    "prune    take out the episodes and traces of old steps; steps, sums and metrics stay\n"
    "vacuum   give free space back to the disk\n"
    "export   episodes as JSON lines: --shape trl|verl, --where SQL over v_episode, --out FILE\n"
    "merge    DIR... into one database with a column `run`: --out FILE\n"
    "upgrade  bring up a database of an older hone\n"
    "DIR is a run's folder or a database. Exit 65: a check failed (docs/database.md).";

int cmd_db(int argc, char **argv) {
    struct options o = {0};
    struct err err = {0};
    const struct arg arg[] = {
        {"ACTION", ARG_STRING, &o.action, .required = true,
         .help = "check, prune, vacuum, export, merge or upgrade"},
        {"DIR", ARG_LIST, &o.dir, .required = true, .help = "a run's folder; merge: several"},
        {"--full", ARG_FLAG, &o.full, .help = "check: every page, row and sum"},
        {"--json", ARG_FLAG, &o.json, .help = "check: a JSON line"},
        {"--keep-steps", ARG_INT, &o.rule.keep_steps, 1, INT_MAX, .value_name = "N",
         .help = "prune: all of the newest N steps stays"},
        {"--keep-every", ARG_INT, &o.rule.keep_every, 1, INT_MAX, .value_name = "N",
         .help = "prune: and of every Nth step"},
        {"--keep-evals", ARG_INT, &o.rule.keep_evals, 1, INT_MAX, .value_name = "N",
         .help = "prune: completions of the newest N evaluations stay"},
        {"--dry-run", ARG_FLAG, &o.dry_run, .help = "prune: only say what would go"},
        {"--shape", ARG_STRING, &o.shape, .value_name = "NAME", .help = "export: trl or verl"},
        {"--where", ARG_STRING, &o.where, .value_name = "SQL",
         .help = "export: a condition on columns of v_episode (default: all episodes)"},
        {"--out", ARG_STRING, &o.out, .value_name = "FILE",
         .help = "export, merge: the file to write"},
    };
    const struct args args = {"db", "check, prune, export, merge and bring up databases of runs",
                              arg, sizeof arg / sizeof *arg, .notes = notes};
    int code;
    if (args_parse(&args, argc, argv, &code) != 0) return code;
    if (act(&o, &err) == 0) return EX_OK;
    fprintf(stderr, "hone db: %s\n", err.msg);
    return err.code;
}
