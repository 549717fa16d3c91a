/* cli/replay_bisect.c: the first step at which two recorded runs differ, and in what.
 *
 * The steps are compared row by row, and what is said of one stands in the order in which one
 * thing follows from the other. No search by halves: a difference in a verdict may leave the
 * weights as they are.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/replay.h"
#include "db/maintain.h"

enum what { PROBLEM, IDS, LOGPS, VERDICT, REWARD, ADVANTAGE, METRICS, HASH, N_WHAT };

static const char *const what_name[] = {"problem", "ids",     "log-probs", "verdict",
                                        "reward",  "advantage", "metrics",   "hash"};

struct finding {
    int n; /* how often */
    char text[256]; /* the first of them */
};

struct bisect {
    struct db *a, *b; /* owned */
    struct arena arena; /* one step's */
    struct finding found[N_WHAT];
    int n_pruned; /* steps without their episodes and traces in one of the runs */
};

static void found(struct bisect *s, enum what w, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void found(struct bisect *s, enum what w, const char *fmt, ...) {
    if (s->found[w].n++ > 0) return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(s->found[w].text, sizeof s->found[w].text, fmt, args);
    va_end(args);
}

static bool same_number(double x, double y) { return x == y || (isnan(x) && isnan(y)); }

static bool same_text(const char *x, const char *y) {
    return x && y ? strcmp(x, y) == 0 : x == y;
}

/* --- one episode of both ------------------------------------------------------------- */

static void compare_tokens(struct bisect *s, const struct db_episode *x,
                           const struct db_episode *y) {
    int n = x->n_completion < y->n_completion ? x->n_completion : y->n_completion, i = 0;
    const int32_t *p = x->ids + x->n_prompt, *q = y->ids + y->n_prompt;
    if (x->n_prompt != y->n_prompt ||
        memcmp(x->ids, y->ids, (size_t)x->n_prompt * sizeof *p) != 0) {
        found(s, IDS, "episodes %lld and %lld: their prompts' tokens", (long long)x->id,
              (long long)y->id);
        return;
    }
    while (i < n && p[i] == q[i]) i++;
    int same = i;
    if (i < n)
        found(s, IDS, "episodes %lld and %lld: token %d is %d and %d", (long long)x->id,
              (long long)y->id, i, p[i], q[i]);
    else if (x->n_completion != y->n_completion)
        found(s, IDS, "episodes %lld and %lld: %d and %d tokens", (long long)x->id,
              (long long)y->id, x->n_completion, y->n_completion);
    for (i = 0; i < n && i <= same && memcmp(&x->logps[i], &y->logps[i], sizeof(float)) == 0;) i++;
    if (i < n && i <= same)
        found(s, LOGPS, "episodes %lld and %lld: token %d has %.9g and %.9g", (long long)x->id,
              (long long)y->id, i, (double)x->logps[i], (double)y->logps[i]);
}

static int compare_verdicts(struct bisect *s, int64_t a, int64_t b, struct err *err) {
    struct db_verdict *x, *y;
    int n, m;
    if (db_read_verdicts(s->a, a, &s->arena, &x, &n, err) != 0 ||
        db_read_verdicts(s->b, b, &s->arena, &y, &m, err) != 0)
        return -1;
    if (n != m)
        found(s, VERDICT, "episodes %lld and %lld: %d and %d verdicts", (long long)a,
              (long long)b, n, m);
    for (int i = 0; i < n && n == m; i++)
        if (!same_text(x[i].checker, y[i].checker) || !same_text(x[i].version, y[i].version) ||
            !same_text(x[i].status, y[i].status) || !same_number(x[i].score, y[i].score) ||
            x[i].weight != y[i].weight)
            found(s, VERDICT,
                  "episodes %lld and %lld: %s (%s) says %s %.4g and %s (%s) says %s %.4g",
                  (long long)a, (long long)b, x[i].checker, x[i].version, x[i].status,
                  x[i].score, y[i].checker, y[i].version, y[i].status, y[i].score);
    return 0;
}

static int compare_episode(struct bisect *s, const struct db_episode *x,
                           const struct db_episode *y, struct err *err) {
    compare_tokens(s, x, y);
    if (!same_number(x->reward, y->reward))
        found(s, REWARD, "episodes %lld and %lld: %.9g and %.9g", (long long)x->id,
              (long long)y->id, x->reward, y->reward);
    if (!same_number(x->advantage, y->advantage))
        found(s, ADVANTAGE, "episodes %lld and %lld: %.9g and %.9g", (long long)x->id,
              (long long)y->id, x->advantage, y->advantage);
    return compare_verdicts(s, x->id, y->id, err);
}

/* --- one step of both ---------------------------------------------------------------- */

static int compare_problems(struct bisect *s, const char *where, int no, int64_t a, int64_t b,
                            struct err *err) {
    struct db_problem x, y;
    if (db_read_problem(s->a, a, &s->arena, &x, err) != 0 ||
        db_read_problem(s->b, b, &s->arena, &y, err) != 0)
        return -1;
    if (!same_text(x.kind, y.kind) || !same_text(x.prompt, y.prompt) ||
        !same_text(x.gold, y.gold) || !same_text(x.columns, y.columns))
        found(s, PROBLEM, "%s %d: %s '%.60s' and %s '%.60s'", where, no, x.kind, x.key, y.kind,
              y.key);
    return 0;
}

static int compare_groups(struct bisect *s, int step, bool pruned, struct err *err) {
    struct db_group *x, *y;
    int n, m, k, l;
    if (db_read_groups(s->a, step, &s->arena, &x, &n, err) != 0 ||
        db_read_groups(s->b, step, &s->arena, &y, &m, err) != 0)
        return -1;
    if (n != m) found(s, PROBLEM, "%d and %d groups", n, m);
    for (int i = 0; i < n && i < m; i++) {
        struct db_episode *e, *f;
        if (compare_problems(s, "prompt", i, x[i].problem_id, y[i].problem_id, err) != 0) return -1;
        if (pruned) continue;
        if (db_read_episodes(s->a, x[i].id, &s->arena, &e, &k, err) != 0 ||
            db_read_episodes(s->b, y[i].id, &s->arena, &f, &l, err) != 0)
            return -1;
        if (k != l) found(s, IDS, "prompt %d: %d and %d episodes", i, k, l);
        for (int j = 0; j < k && j < l; j++)
            if (compare_episode(s, &e[j], &f[j], err) != 0) return -1;
    }
    return 0;
}

static int compare_traces(struct bisect *s, int step, struct err *err) {
    struct db_trace *x, *y;
    int n, m;
    if (db_read_traces(s->a, step, &s->arena, &x, &n, err) != 0 ||
        db_read_traces(s->b, step, &s->arena, &y, &m, err) != 0)
        return -1;
    if (n != m) found(s, PROBLEM, "%d and %d traces", n, m);
    for (int i = 0; i < n && i < m; i++) {
        if (compare_problems(s, "trace", i, x[i].problem_id, y[i].problem_id, err) != 0)
            return -1;
        if (x[i].n_ids != y[i].n_ids ||
            memcmp(x[i].ids, y[i].ids, (size_t)x[i].n_ids * sizeof *x[i].ids) != 0)
            found(s, IDS, "trace %d", i);
    }
    return 0;
}

/* What a clock measured says nothing of a difference. */
static bool is_timing(const char *name) {
    return strncmp(name, "timing_s/", 9) == 0 || strcmp(name, "step_time") == 0 ||
           strcmp(name, "tokens_per_s") == 0;
}

static int compare_metrics(struct bisect *s, int step, struct err *err) {
    struct db_metric *x, *y;
    int n, m, i = 0, j = 0;
    if (db_read_metrics(s->a, step, &s->arena, &x, &n, err) != 0 ||
        db_read_metrics(s->b, step, &s->arena, &y, &m, err) != 0)
        return -1;
    while (i < n || j < m) { /* both in the order of their names */
        int order = i == n ? 1 : j == m ? -1 : strcmp(x[i].name, y[j].name);
        const char *name = order <= 0 ? x[i].name : y[j].name;
        double p = order <= 0 ? x[i].value : NAN, q = order >= 0 ? y[j].value : NAN;
        if (!is_timing(name) && (order != 0 || !same_number(p, q)))
            found(s, METRICS, "%s is %.9g and %.9g", name, p, q);
        i += order <= 0;
        j += order >= 0;
    }
    return 0;
}

static int compare_step(struct bisect *s, const struct db_step *x, const struct db_step *y,
                        struct err *err) {
    bool pruned[2];
    arena_reset(&s->arena);
    if (db_is_pruned(s->a, x->step, &pruned[0], err) != 0 ||
        db_is_pruned(s->b, y->step, &pruned[1], err) != 0)
        return -1;
    bool gone = pruned[0] || pruned[1];
    s->n_pruned += gone;
    if ((!gone && compare_traces(s, x->step, err) != 0) ||
        compare_groups(s, x->step, gone, err) != 0 || compare_metrics(s, x->step, err) != 0)
        return -1;
    if (x->weights_before != y->weights_before)
        found(s, HASH, "the weights before it are %016llx and %016llx",
              (unsigned long long)x->weights_before, (unsigned long long)y->weights_before);
    if (x->weights_after != y->weights_after)
        found(s, HASH, "the weights after it are %016llx and %016llx",
              (unsigned long long)x->weights_after, (unsigned long long)y->weights_after);
    if (!same_number(x->learning_rate, y->learning_rate))
        found(s, METRICS, "the learning rate is %.9g and %.9g", x->learning_rate,
              y->learning_rate);
    if (strcmp(x->state, y->state) != 0) found(s, METRICS, "it is %s and %s", x->state, y->state);
    for (int i = 0; i < N_WHAT; i++)
        if (s->found[i].n > 0) return 1;
    return 0;
}

/* --- the runs ------------------------------------------------------------------------ */

static int open_run(struct replay *p, const char *dir, struct db **db, struct db_run *run,
                    struct err *err) {
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/run.db", dir) >= sizeof path)
        return err_set(err, EX_USAGE, "%s: the path is too long", dir);
    if (db_open_readonly(db, path, err) != 0) return -1;
    return db_read_run(*db, &p->arena, run, err);
}

static void print_difference(const struct replay *p, const struct bisect *s, int step) {
    const char *sep = "";
    if (!p->json) {
        printf("step %d is the first that differs:\n", step);
        for (int i = 0; i < N_WHAT; i++)
            if (s->found[i].n > 0)
                printf("  %-9s %6d  %s\n", what_name[i], s->found[i].n, s->found[i].text);
        return;
    }
    printf("{\"step\": %d, \"differs\": {", step);
    for (int i = 0; i < N_WHAT; i++) {
        if (s->found[i].n == 0) continue;
        struct buf text = {0};
        json_print_string(&text, s->found[i].text);
        printf("%s\"%s\": {\"n\": %d, \"first\": %s}", sep, what_name[i], s->found[i].n,
               buf_text(&text));
        buf_clear(&text);
        sep = ", ";
    }
    printf("}}\n");
}

static void print_runs(const struct db_run *x, const struct db_run *y) {
    printf("hone %s (%s) on %s, seed %llu, start weights %016llx\n", x->version, x->build, x->isa,
           (unsigned long long)x->seed, (unsigned long long)x->start_weights);
    printf("hone %s (%s) on %s, seed %llu, start weights %016llx\n", y->version, y->build, y->isa,
           (unsigned long long)y->seed, (unsigned long long)y->start_weights);
}

static void print_pruned(const struct replay *p, const struct bisect *s) {
    if (s->n_pruned == 0) return;
    if (p->json)
        printf("{\"pruned\": %d}\n", s->n_pruned);
    else
        printf("hone db prune took episodes and traces out of %d of the steps looked at: of those "
               "only problems, metrics and hashes are compared\n",
               s->n_pruned);
}

static int walk(struct replay *p, struct bisect *s, struct err *err) {
    struct db_step *x, *y;
    int n, m, differ = 0;
    if (db_read_steps(s->a, 0, &p->arena, &x, &n, err) != 0 ||
        db_read_steps(s->b, 0, &p->arena, &y, &m, err) != 0)
        return -1;
    for (int i = 0; i < n && i < m && !differ; i++) {
        differ = compare_step(s, &x[i], &y[i], err);
        if (differ < 0) return -1;
        p->checked++;
        p->exact += !differ;
        if (differ) print_difference(p, s, x[i].step);
    }
    print_pruned(p, s);
    if (!differ && n != m && !p->json)
        printf("one run has %d steps, the other %d\n", n, m);
    return 0;
}

int replay_bisect(struct replay *p, const char *dir, const char *other, struct err *err) {
    struct bisect s = {0};
    struct db_run x, y;
    int rc = -1;
    if (open_run(p, dir, &s.a, &x, err) == 0 && open_run(p, other, &s.b, &y, err) == 0) {
        if (!p->json) print_runs(&x, &y);
        rc = walk(p, &s, err);
    }
    db_close(s.a);
    db_close(s.b);
    arena_clear(&s.arena);
    return rc;
}
