/* cli/until.c: see until.h. */
#include "cli/until.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/nearest.h"

/* What steps record, beside rewards/NAME/mean and std; then the evaluations. */
static const char *const names[] = {
    "loss", "entropy", "grad_norm", "learning_rate", "num_tokens", "tokens_per_s",
    "max_vio/mean", "step_time", "reward", "reward_std", "frac_reward_zero_std", "solved_all",
    "solved_none", "kl", "clip_ratio/low_mean", "clip_ratio/high_mean",
    "clip_ratio/region_mean", "completions/mean_length", "completions/min_length",
    "completions/max_length", "completions/mean_terminated_length",
    "completions/clipped_ratio", "verdicts/failure_rate", "eval/pass@1", "eval/sampled/pass@1"};
enum { N_NAMES = sizeof names / sizeof *names };

static bool is_known(const char *name) {
    int k, used = 0;
    for (int i = 0; i < N_NAMES; i++)
        if (strcmp(name, names[i]) == 0) return true;
    if (strncmp(name, "rewards/", 8) == 0) return true;
    return sscanf(name, "eval/pass@%d%n", &k, &used) == 1 && name[used] == 0 && k > 1;
}

/* ---- reading ----------------------------------------------------------------------- */

static const char *skip_spaces(const char *p) {
    while (isspace((unsigned char)*p)) p++;
    return p;
}

static int bad(const char *text, const char *at, const char *wanted, struct err *err) {
    return err_set(err, EX_USAGE,
                   "--until: '%s' is no NAME >= NUMBER, as 'eval/pass@1 >= 0.9': %s is wanted at "
                   "'%.40s'",
                   text, wanted, at);
}

/* One comparison at *p, which moves on. */
static int read_one(struct until *u, const char *text, const char **p, struct err *err) {
    const char *at = skip_spaces(*p);
    size_t n = strcspn(at, " \t<>=!");
    char *name = u->is[u->n].name, *op = u->is[u->n].op, *end;
    if (n == 0 || n >= sizeof u->is->name) return bad(text, at, "a name", err);
    memcpy(name, at, n);
    name[n] = 0;
    if (!is_known(name)) {
        char hint[NEAREST_HINT_BYTES];
        nearest_hint(hint, name, names, N_NAMES);
        return err_set(err, EX_USAGE, "--until: no run records '%s'%s", name, hint);
    }
    at = skip_spaces(at + n);
    if (*at != '<' && *at != '>') return bad(text, at, ">=, <=, > or <", err);
    snprintf(op, sizeof u->is->op, "%c%s", *at, at[1] == '=' ? "=" : "");
    at = skip_spaces(at + strlen(op));
    u->is[u->n].value = strtod(at, &end);
    if (end == at || !isfinite(u->is[u->n].value)) return bad(text, at, "a number", err);
    u->n++;
    *p = skip_spaces(end);
    return 0;
}

int until_parse(struct until *u, const char *text, struct err *err) {
    const char *p = text;
    *u = (struct until){.n = 0};
    for (;;) {
        if (u->n == UNTIL_MAX)
            return err_set(err, EX_USAGE, "--until: more than %d comparisons", UNTIL_MAX);
        if (read_one(u, text, &p, err) != 0) return -1;
        if (*p == 0) return 0;
        if (strncmp(p, "and", 3) != 0 || !isspace((unsigned char)p[3]))
            return bad(text, p, "'and', or the end,", err);
        p += 3;
    }
}

/* ---- whether a run has it ---------------------------------------------------------- */

int until_check(const struct until *u, const struct experiment *x, struct err *err) {
    bool grpo = false;
    for (int i = 0; i < x->n_stages; i++) grpo |= x->stage[i].type == STAGE_GRPO;
    for (int i = 0; i < u->n; i++) {
        const char *name = u->is[i].name;
        int k = 1;
        if (strncmp(name, "eval/", 5) != 0) {
            if (!grpo && strcmp(name, "reward") == 0)
                return err_set(err, EX_USAGE, "--until: no stage of this experiment has rewards");
            continue;
        }
        if (!x->problems.eval[0])
            return err_set(err, EX_USAGE, "--until: %s: the experiment has no problems.eval", name);
        bool sampled = strcmp(name, "eval/pass@1") != 0;
        if (sampled && x->eval.samples == 0)
            return err_set(err, EX_USAGE, "--until: %s: the experiment has no eval.samples", name);
        if (sscanf(name, "eval/pass@%d", &k) == 1 && k > 1 && k != x->eval.samples)
            return err_set(err, EX_USAGE, "--until: %s: eval.samples is %d", name, x->eval.samples);
    }
    return 0;
}

/* ---- its value --------------------------------------------------------------------- */

/* NAN where it is not recorded. */
static int find_eval(const char *name, struct db *db, int step, double *value, struct err *err) {
    struct arena arena = {0};
    struct db_eval *e;
    int n, newest = -1;
    bool greedy = strcmp(name, "eval/pass@1") == 0;
    int rc = db_read_evals(db, &arena, &e, &n, err);
    for (int i = 0; rc == 0 && i < n; i++) {
        if (e[i].step > step || e[i].step < newest) continue;
        if (greedy != (strcmp(e[i].mode, "greedy") == 0)) continue;
        newest = e[i].step;
        *value = greedy || strcmp(name, "eval/sampled/pass@1") == 0 ? e[i].pass1 : e[i].pass_at_k;
    }
    arena_clear(&arena);
    return rc;
}

static int find_metric(const char *name, struct db *db, int step, double *value,
                       struct err *err) {
    struct arena arena = {0};
    struct db_metric *m;
    int n, rc = db_read_metrics(db, step, &arena, &m, &n, err);
    for (int i = 0; rc == 0 && i < n; i++)
        if (strcmp(m[i].name, name) == 0) *value = m[i].value;
    arena_clear(&arena);
    return rc;
}

static bool holds_one(double x, const char *op, double y) {
    if (op[1] == '=' && x == y) return true;
    return op[0] == '>' ? x > y : x < y;
}

int until_holds(const struct until *u, struct db *db, int step, bool *holds, char *said, size_t n,
                struct err *err) {
    size_t used = 0;
    *holds = u->n > 0;
    for (int i = 0; i < u->n && *holds; i++) {
        const char *name = u->is[i].name;
        double value = NAN;
        int rc = strncmp(name, "eval/", 5) == 0 ? find_eval(name, db, step, &value, err)
                                                : find_metric(name, db, step, &value, err);
        if (rc != 0) return -1;
        *holds = holds_one(value, u->is[i].op, u->is[i].value);
        int len = snprintf(said + used, n - used, "%s%s %.4g", i ? ", " : "", name, value);
        if (len > 0 && used + (size_t)len < n) used += (size_t)len;
    }
    return 0;
}
