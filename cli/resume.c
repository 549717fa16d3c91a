/* cli/resume.c: see resume.h. */
#include "cli/resume.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/run_step.h"

/* ---- what was changed -------------------------------------------------------------- */

struct comparison {
    const struct db_stage *stage; /* [n_stages] recorded */
    int n_stages;
    int refused, accepted;
};

/* Settings that move no weight and draw no token. */
static bool is_safe(const char *key) {
    static const char *const prefix[] = {"name", "description", "reward.max_failure_rate",
                                         "reward.sandbox", "eval.", "checkpoint.", "record.",
                                         "replay.from", "gradient_checkpointing"};
    for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++) {
        size_t n = strlen(prefix[i]);
        if (strncmp(key, prefix[i], n) == 0 && (key[n] == 0 || prefix[i][n - 1] == '.'))
            return true;
    }
    const char *dot = strrchr(key, '.');
    if (!dot) return false;
    if (strncmp(key, "stages[", 7) == 0) return strcmp(dot, ".max_tokens_per_microbatch") == 0;
    /* where a plug-in is and how long it may take, not what it says */
    return strncmp(key, "reward.checkers[", 16) == 0 &&
           (strcmp(dot, ".url") == 0 || strcmp(dot, ".timeout") == 0 ||
            strcmp(dot, ".workers") == 0 || strcmp(dot, ".retries") == 0);
}

/* NULL, or why a stage may not get another number of steps. */
static const char *check_max_steps(const struct comparison *c, int i, double from, double to) {
    if (to < from) return "steps can only be added";
    if (c->n_stages > i + 1) return "the next stage has begun from where this one ended";
    return NULL;
}

static void report(struct comparison *c, const char *key, const cJSON *from, const cJSON *to) {
    char *a = from ? cJSON_PrintUnformatted(from) : NULL;
    char *b = to ? cJSON_PrintUnformatted(to) : NULL;
    const char *why = is_safe(key) ? NULL : "would change what the run does";
    int stage, used = 0;
    if (from && to && sscanf(key, "stages[%d].max_steps%n", &stage, &used) == 1 && used > 0 &&
        key[used] == 0)
        why = check_max_steps(c, stage, from->valuedouble, to->valuedouble);
    fprintf(stderr, "%s %s: %.200s, recorded is %.200s%s%s\n", why ? "refused" : "changed", key,
            b ? b : "nothing", a ? a : "nothing", why ? ": " : "", why ? why : "");
    *(why ? &c->refused : &c->accepted) += 1;
    cJSON_free(a);
    cJSON_free(b);
}

/* As deep as the experiment, which JSON_MAX_DEPTH bounds. */
static void compare(struct comparison *c, const char *key, const cJSON *from, const cJSON *to,
                    int depth) {
    char place[JSON_WHERE_BYTES];
    bool object = cJSON_IsObject(from) && cJSON_IsObject(to);
    bool list = cJSON_IsArray(from) && cJSON_IsArray(to) &&
                cJSON_GetArraySize(from) == cJSON_GetArraySize(to);
    if (cJSON_Compare(from, to, true)) return;
    if ((!object && !list) || depth == JSON_MAX_DEPTH) {
        report(c, key, from, to);
        return;
    }
    int i = 0;
    for (const cJSON *a = from->child; a; a = a->next, i++) {
        if (list)
            snprintf(place, sizeof place, "%s[%d]", key, i);
        else
            snprintf(place, sizeof place, "%s%s%s", key, *key ? "." : "", a->string);
        compare(c, place, a, list ? cJSON_GetArrayItem(to, i) : json_find(to, a->string),
                depth + 1);
    }
    for (const cJSON *b = object ? to->child : NULL; b; b = b->next) {
        if (json_find(from, b->string)) continue;
        snprintf(place, sizeof place, "%s%s%s", key, *key ? "." : "", b->string);
        report(c, place, NULL, b);
    }
}

static cJSON *tree_of(const struct experiment *x) {
    struct buf text = {0};
    struct err err;
    cJSON *tree = NULL;
    experiment_print(x, &text);
    int rc = json_parse(&tree, buf_text(&text), text.len, "experiment", 1, &err);
    CHECK(rc == 0);
    buf_clear(&text);
    return tree;
}

/* Random weights get these from the tokenizer when the run begins. */
static void adopt_vocabulary(struct policy_config *now, const struct policy_config *then) {
    if (now->vocab_size == 0) now->vocab_size = then->vocab_size;
    now->bos_token_id = then->bos_token_id;
    now->eos_token_id = then->eos_token_id;
    now->pad_token_id = then->pad_token_id;
}

int resume_compare(struct run *r, struct err *err) {
    struct db_run row;
    struct db_stage *stage;
    struct comparison c = {0};
    struct experiment *then = mem_new(1, sizeof *then);
    int rc = -1;
    if (db_read_run(r->db, &r->arena, &row, err) != 0 ||
        experiment_parse(then, row.experiment, "run.db", err) != 0 ||
        db_read_stages(r->db, &r->arena, &stage, &c.n_stages, err) != 0)
        goto out;
    c.stage = stage;
    if (r->x.compute_dtype == EXPERIMENT_AUTO) r->x.compute_dtype = then->compute_dtype;
    if (r->x.model.has_config && then->model.has_config)
        adopt_vocabulary(&r->x.model.config, &then->model.config);
    cJSON *a = tree_of(then), *b = tree_of(&r->x);
    compare(&c, "", a, b, 0);
    json_free(a);
    json_free(b);
    r->changed = c.accepted > 0;
    rc = c.refused == 0
             ? 0
             : err_set(err, EX_CONFIG,
                       "%s: %d setting%s of the run in this folder cannot be changed; go on with "
                       "the recorded %s/experiment.json, choose another --out, or replace the run "
                       "with --overwrite",
                       r->dir, c.refused, c.refused == 1 ? "" : "s", r->dir);
out:
    mem_free(then);
    return rc;
}

/* ---- where it ended ---------------------------------------------------------------- */

int resume_find_end(struct run *r, struct err *err) {
    struct db_step *s;
    int n;
    if (db_read_steps(r->db, 0, &r->arena, &s, &n, err) != 0) return -1;
    r->last = n;
    r->pending = (struct db_step){0};
    for (int i = 0; i < n; i++)
        if (s[i].step != i + 1 || s[i].stage < 1 || s[i].stage > r->x.n_stages ||
            (i + 1 < n && strcmp(s[i].state, "sampled") == 0))
            return err_set(err, EX_DATAERR, "%s/run.db: the log is damaged at its step %d", r->dir,
                           i + 1);
    if (n == 0 || strcmp(s[n - 1].state, "sampled") != 0) return 0;
    r->last = n - 1;
    r->pending = s[n - 1];
    r->pending.state = r->pending.committed_at = NULL; /* the arena's */
    return 0;
}

static int problems_changed(const struct run *r, int step, int i, struct err *err) {
    const char *own = r->x.stage[i].problems;
    return err_set(err, EX_DATAERR,
                   "%s: the problems of step %d are not those that '%s' gives now; restore what "
                   "was changed to go on",
                   r->dir, step, own[0] ? own : r->x.problems.train);
}

static int check_problem(struct run *r, int step, int i, long visit, int limit, int64_t id,
                         struct err *err) {
    struct db_problem was;
    struct problem now;
    if (db_read_problem(r->db, id, &r->arena, &was, err) != 0) return -1;
    problem_set_get(r->train[i], run_problem_at(r, i, visit, limit), &r->arena, &now);
    bool same = strcmp(was.kind, now.kind) == 0 && strcmp(was.key, now.key) == 0 &&
                strcmp(was.prompt, now.prompt) == 0 && strcmp(was.gold, now.gold) == 0;
    return same ? 0 : problems_changed(r, step, i, err);
}

int resume_check_problems(struct run *r, struct err *err) {
    struct db_step row;
    struct db_trace *t;
    struct db_group *g;
    int n, step = r->pending.step ? r->pending.step : r->last;
    if (step == 0) return 0;
    if (r->x.replay.from[0] || r->x.problems.where[0]) return 0; /* chosen by what is recorded */
    arena_reset(&r->arena);
    if (db_read_step(r->db, step, &r->arena, &row, err) != 0) return -1;
    int i = row.stage - 1;
    const struct experiment_stage *s = &r->x.stage[i];
    if (s->type == STAGE_SFT) {
        if (db_read_traces(r->db, step, &r->arena, &t, &n, err) != 0) return -1;
        for (int k = 0; k < n; k++)
            if (check_problem(r, step, i, (row.stage_step - 1L) * s->batch_size + k, s->num_traces,
                              t[k].problem_id, err) != 0)
                return -1;
        return 0;
    }
    if (db_read_groups(r->db, step, &r->arena, &g, &n, err) != 0) return -1;
    for (int k = 0; k < n; k++)
        if (check_problem(r, step, i, (row.stage_step - 1L) * s->num_prompts + k, 0,
                          g[k].problem_id, err) != 0)
            return -1;
    return 0;
}

/* A step has at least one verdict of each reward, so that many steps fill a window. */
int resume_fill_failures(struct run *r, struct err *err) {
    struct db_failed *f;
    int n;
    arena_reset(&r->arena);
    if (db_read_failed(r->db, r->last - FAILURE_WINDOW, &r->arena, &f, &n, err) != 0) return -1;
    for (int k = 0; k < n; k++)
        for (int i = 0; i < r->x.n_rewards; i++)
            if (strcmp(f[k].checker, r->x.reward[i].name) == 0)
                failure_window_push(&r->failures[i], f[k].n, f[k].failed);
    return 0;
}
