/* cli/show.c: `hone show`: a run, a step or an episode, read back from run.db.
 *
 * Reads only, also while the run is being written. What a model wrote is hostile: control
 * characters, bytes that are no UTF-8 and direction overrides are shown as \xNN, so that
 * no completion can drive the terminal.
 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/text.h"
#include "db/db.h"

struct show {
    struct db *db;     /* owned */
    struct arena a;    /* owned; every row shown */
    const char *dir;   /* as given */
    const char *path;  /* of run.db, in the arena */
    int step, episode; /* 0: not asked for */
    bool tokens, json, colour;
};

/* --- texts ------------------------------------------------------------------------- */

static const char *or_dash(const char *s) { return s && *s ? s : "-"; }

/* A short text of ours or a checker's in one piece, safe to print. Valid until 16 calls
 * later, as num's. */
static const char *safe(const char *s) {
    static char ring[16][160];
    static int at;
    char *out = ring[at++ % 16];
    size_t used = 0, n = strlen(or_dash(s));
    const unsigned char *p = (const unsigned char *)or_dash(s);
    for (size_t i = 0, len; i < n && used + 8 < sizeof ring[0]; i += len ? len : 1) {
        len = text_plain_bytes(p + i, n - i);
        if (len) memcpy(out + used, p + i, len);
        used += len ? len : (size_t)snprintf(out + used, 5, "\\x%02x", p[i]);
    }
    out[used] = 0;
    return out;
}

static const char *num(const char *fmt, double x) {
    static char ring[16][32];
    static int at;
    char *out = ring[at++ % 16];
    if (isnan(x)) return "-";
    snprintf(out, sizeof ring[0], fmt, x);
    return out;
}

static const char *hex(uint64_t hash) {
    static char ring[4][17];
    static int at;
    char *out = ring[at++ % 4];
    hash_hex(hash, out);
    return out;
}

static void heading(const struct show *s, const char *text) {
    printf(s->colour ? "\n\x1b[1m%s\x1b[0m\n" : "\n%s\n", text);
}

/* --- json -------------------------------------------------------------------------- */

/* Bytes that are no UTF-8, and NULs, become U+FFFD; cJSON escapes the rest. */
static void add_text(cJSON *o, const char *key, const char *s, size_t n) {
    if (!s) {
        cJSON_AddNullToObject(o, key);
        return;
    }
    struct buf b = {.max = 3 * n + 1};
    const unsigned char *p = (const unsigned char *)s;
    for (size_t i = 0, len; i < n; i += len ? len : 1) {
        uint32_t c;
        len = text_utf8_bytes(p + i, n - i, &c);
        if (len && c)
            buf_push(&b, p + i, len);
        else
            buf_puts(&b, "\xef\xbf\xbd");
    }
    cJSON_AddStringToObject(o, key, buf_text(&b));
    buf_clear(&b);
}

static void add_str(cJSON *o, const char *key, const char *s) {
    add_text(o, key, s, s ? strlen(s) : 0);
}

static cJSON *add_item(cJSON *array) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToArray(array, o);
    return o;
}

static void print_json(cJSON *o) {
    char *text = cJSON_Print(o);
    puts(text ? text : "null");
    cJSON_free(text);
    cJSON_Delete(o);
}

static void json_problem(cJSON *o, const struct db_problem *p) {
    cJSON *q = cJSON_AddObjectToObject(o, "problem");
    json_add_number(q, "id", (double)p->id);
    add_str(q, "kind", p->kind);
    add_str(q, "key", p->key);
    add_str(q, "split", p->split);
    add_str(q, "prompt", p->prompt);
    add_str(q, "gold", p->gold);
}

static void json_episode(cJSON *o, const struct db_episode *e) {
    json_add_number(o, "id", (double)e->id);
    json_add_number(o, "sample", e->sample);
    json_add_number(o, "reward", e->reward);
    json_add_number(o, "advantage", e->advantage);
    json_add_number(o, "n_prompt", e->n_prompt);
    json_add_number(o, "n_completion", e->n_completion);
    add_str(o, "finish_reason", e->finish_reason);
    add_str(o, "weights_hash", hex(e->weights_hash));
    json_add_number(o, "gen_ms", e->gen_ms);
    json_add_number(o, "score_ms", e->score_ms);
    add_text(o, "text", e->text, e->n_text);
}

static void json_verdicts(cJSON *o, const struct db_verdict *v, int n) {
    cJSON *list = cJSON_AddArrayToObject(o, "verdicts");
    for (int i = 0; i < n; i++) {
        cJSON *x = add_item(list);
        add_str(x, "checker", v[i].checker);
        add_str(x, "version", v[i].version);
        json_add_number(x, "weight", v[i].weight);
        add_str(x, "status", v[i].status);
        json_add_number(x, "score", v[i].score);
        add_str(x, "detail", v[i].detail);
        json_add_number(x, "ms", v[i].ms);
        cJSON_AddBoolToObject(x, "deterministic", v[i].deterministic);
        cJSON *parts = v[i].parts ? cJSON_Parse(v[i].parts) : NULL;
        if (parts) cJSON_AddItemToObject(x, "parts", parts);
    }
}

static void json_step(cJSON *o, const struct db_step *s) {
    json_add_number(o, "step", s->step);
    json_add_number(o, "stage", s->stage);
    json_add_number(o, "stage_step", s->stage_step);
    add_str(o, "state", s->state);
    add_str(o, "refusal", s->refusal);
    add_str(o, "weights_before", hex(s->weights_before));
    add_str(o, "weights_after", s->weights_after ? hex(s->weights_after) : NULL);
    json_add_number(o, "learning_rate", s->learning_rate);
    json_add_number(o, "wall_s", s->wall_s);
}

/* --- one episode ------------------------------------------------------------------- */

struct trace_rows {
    struct db_episode episode;
    struct db_group group;
    struct db_problem problem;
    struct db_verdict *verdict;
    int n_verdicts;
};

static int read_trace(struct show *s, struct trace_rows *t, struct err *err) {
    if (db_read_episode(s->db, s->episode, &s->a, &t->episode, err) != 0 ||
        db_read_group(s->db, t->episode.group_id, &s->a, &t->group, err) != 0 ||
        db_read_problem(s->db, t->group.problem_id, &s->a, &t->problem, err) != 0)
        return -1;
    return db_read_verdicts(s->db, s->episode, &s->a, &t->verdict, &t->n_verdicts, err);
}

static void json_trace(const struct show *s, const struct trace_rows *t) {
    const struct db_episode *e = &t->episode;
    cJSON *o = cJSON_CreateObject();
    json_add_number(o, "step", t->group.step);
    json_add_number(o, "prompt_no", t->group.prompt_no);
    json_episode(o, e);
    json_problem(o, &t->problem);
    json_verdicts(o, t->verdict, t->n_verdicts);
    cJSON *list = s->tokens ? cJSON_AddArrayToObject(o, "tokens") : NULL;
    for (int i = 0; list && i < e->n_completion; i++) {
        cJSON *x = add_item(list);
        json_add_number(x, "id", e->ids[e->n_prompt + i]);
        json_add_number(x, "logp", (double)e->logps[i]);
        json_add_number(x, "mask", e->mask[i]);
    }
    print_json(o);
}

static void print_tokens(const struct show *s, const struct db_episode *e) {
    heading(s, "tokens");
    printf("%6s %8s %11s %7s  %s\n", "at", "id", "logp", "p", "in loss");
    for (int i = 0; i < e->n_completion; i++)
        printf("%6d %8d %11.5f %7.4f  %s\n", i, e->ids[e->n_prompt + i],
               (double)e->logps[i], exp((double)e->logps[i]), e->mask[i] ? "yes" : "no");
}

static void print_verdicts(const struct show *s, const struct trace_rows *t) {
    heading(s, "verdicts");
    printf("  %-12s %-16s %-12s %6s %6s %8s  %s\n", "checker", "version", "status",
           "score", "weight", "ms", "detail");
    for (int i = 0; i < t->n_verdicts; i++) {
        const struct db_verdict *v = &t->verdict[i];
        printf("  %-12s %-16s %-12s %6s %6s %8s  %s\n", safe(v->checker),
               safe(v->version), safe(v->status), num("%.3f", v->score),
               num("%.2f", v->weight), num("%.2f", v->ms), safe(v->detail));
        if (v->parts && strcmp(v->parts, "{}") != 0) printf("  %12s %s\n", "", safe(v->parts));
    }
}

static void print_trace(const struct show *s, const struct trace_rows *t) {
    const struct db_episode *e = &t->episode;
    const struct db_problem *p = &t->problem;
    printf("episode %lld: step %d, prompt %d, sample %d, weights %s\n", (long long)e->id,
           t->group.step, t->group.prompt_no, e->sample, hex(e->weights_hash));
    printf("reward %s, advantage %s, %d tokens, finished by %s\n", num("%.4g", e->reward),
           num("%+.4f", e->advantage), e->n_completion, safe(e->finish_reason));
    heading(s, "prompt");
    if (p->prompt) text_print(p->prompt, strlen(p->prompt), "  ", 0);
    heading(s, "completion");
    if (e->text) text_print(e->text, e->n_text, "  ", 0);
    heading(s, "gold");
    if (p->gold) text_print(p->gold, strlen(p->gold), "  ", 0);
    print_verdicts(s, t);
    if (s->tokens) print_tokens(s, e);
}

static int show_episode(struct show *s, struct err *err) {
    struct trace_rows t = {0};
    if (read_trace(s, &t, err) != 0) return -1;
    if (s->json)
        json_trace(s, &t);
    else
        print_trace(s, &t);
    return 0;
}

/* --- one step ---------------------------------------------------------------------- */

/* The status of the answer's verdict, "-" where there is none. */
static int answer_of(struct show *s, int64_t episode, const char **status,
                     struct err *err) {
    struct db_verdict *v;
    int n;
    *status = "-";
    if (db_read_verdicts(s->db, episode, &s->a, &v, &n, err) != 0) return -1;
    for (int i = 0; i < n; i++)
        if (v[i].checker && strcmp(v[i].checker, "answer") == 0) *status = v[i].status;
    return 0;
}

static int print_group(struct show *s, const struct db_group *g, struct err *err) {
    struct db_problem p;
    struct db_episode *e;
    int n;
    if (db_read_problem(s->db, g->problem_id, &s->a, &p, err) != 0 ||
        db_read_episodes(s->db, g->id, &s->a, &e, &n, err) != 0)
        return -1;
    printf("\nprompt %d, problem %lld: %s %s\n", g->prompt_no, (long long)p.id,
           safe(p.kind), safe(p.key));
    if (p.prompt) text_print(p.prompt, strlen(p.prompt), "  ", 100);
    printf("  %8s %6s %8s %9s %6s %-7s %-12s completion\n", "episode", "sample", "reward",
           "advantage", "tokens", "finish", "answer");
    for (int i = 0; i < n; i++) {
        const char *status;
        if (answer_of(s, e[i].id, &status, err) != 0) return -1;
        printf("  %8lld %6d %8s %9s %6d %-7s %-12s", (long long)e[i].id, e[i].sample,
               num("%.4g", e[i].reward), num("%+.4f", e[i].advantage), e[i].n_completion,
               safe(e[i].finish_reason), safe(status));
        /* The answer stands at the end of a trace. */
        size_t skip = e[i].n_text > 40 ? e[i].n_text - 40 : 0;
        while (skip < e[i].n_text && (e[i].text[skip] & 0xc0) == 0x80) skip++;
        text_print(e[i].text + skip, e[i].n_text - skip, skip ? " ... " : " ", 100);
    }
    return 0;
}

static int json_group(struct show *s, cJSON *o, const struct db_group *g,
                      struct err *err) {
    struct db_problem p;
    struct db_episode *e;
    int n;
    if (db_read_problem(s->db, g->problem_id, &s->a, &p, err) != 0 ||
        db_read_episodes(s->db, g->id, &s->a, &e, &n, err) != 0)
        return -1;
    json_add_number(o, "prompt_no", g->prompt_no);
    json_problem(o, &p);
    cJSON *list = cJSON_AddArrayToObject(o, "episodes");
    for (int i = 0; i < n; i++) {
        struct db_verdict *v;
        int n_verdicts;
        if (db_read_verdicts(s->db, e[i].id, &s->a, &v, &n_verdicts, err) != 0) return -1;
        cJSON *x = add_item(list);
        json_episode(x, &e[i]);
        json_verdicts(x, v, n_verdicts);
    }
    return 0;
}

static int print_traces(struct show *s, int step, struct err *err) {
    struct db_trace *t;
    int n;
    if (db_read_traces(s->db, step, &s->a, &t, &n, err) != 0) return -1;
    if (n) heading(s, "supervised traces");
    for (int i = 0; i < n; i++) {
        struct db_problem p;
        if (db_read_problem(s->db, t[i].problem_id, &s->a, &p, err) != 0) return -1;
        printf("  %4d  %5d tokens, %5d of them prompt  %s %s\n", t[i].idx, t[i].n_ids,
               t[i].n_prompt, safe(p.kind), safe(p.key));
    }
    return 0;
}

struct step_rows {
    struct db_step step;
    struct db_metric *metric;
    struct db_group *group;
    int n_metrics, n_groups;
};

static int json_one_step(struct show *s, const struct step_rows *r, struct err *err) {
    cJSON *o = cJSON_CreateObject();
    json_step(o, &r->step);
    cJSON *m = cJSON_AddObjectToObject(o, "metrics");
    for (int i = 0; i < r->n_metrics; i++)
        json_add_number(m, or_dash(r->metric[i].name), r->metric[i].value);
    cJSON *list = cJSON_AddArrayToObject(o, "groups");
    for (int i = 0; i < r->n_groups; i++)
        if (json_group(s, add_item(list), &r->group[i], err) != 0) {
            cJSON_Delete(o);
            return -1;
        }
    print_json(o);
    return 0;
}

static int print_step(struct show *s, const struct step_rows *r, struct err *err) {
    const struct db_step *st = &r->step;
    printf("step %d: stage %d, its step %d, %s, learning rate %.3g\n", st->step,
           st->stage, st->stage_step, safe(st->state), st->learning_rate);
    printf("weights %s -> %s\n", hex(st->weights_before),
           st->weights_after ? hex(st->weights_after) : "(no update yet)");
    if (st->refusal) printf("update refused: %s\n", safe(st->refusal));
    for (int i = 0; i < r->n_groups; i++)
        if (print_group(s, &r->group[i], err) != 0) return -1;
    if (print_traces(s, st->step, err) != 0) return -1;
    if (r->n_metrics) heading(s, "metrics");
    for (int i = 0; i < r->n_metrics; i++)
        printf("  %-44s %12s\n", safe(r->metric[i].name),
               num("%.6g", r->metric[i].value));
    if (r->n_groups) printf("\nnext: hone show %s --episode ID\n", s->dir);
    return 0;
}

static int show_step(struct show *s, struct err *err) {
    struct step_rows r = {0};
    int n = s->step;
    if (db_read_step(s->db, n, &s->a, &r.step, err) != 0 ||
        db_read_metrics(s->db, n, &s->a, &r.metric, &r.n_metrics, err) != 0 ||
        db_read_groups(s->db, n, &s->a, &r.group, &r.n_groups, err) != 0)
        return -1;
    return s->json ? json_one_step(s, &r, err) : print_step(s, &r, err);
}

/* --- the run ----------------------------------------------------------------------- */

struct run_rows {
    struct db_run run;
    struct db_stage *stage;
    struct db_curve *curve;
    struct db_eval *eval;
    struct db_failure *failure;
    int n_stages, n_curve, n_evals, n_failures;
};

static int read_run(struct show *s, struct run_rows *r, struct err *err) {
    if (db_read_run(s->db, &s->a, &r->run, err) != 0 ||
        db_read_stages(s->db, &s->a, &r->stage, &r->n_stages, err) != 0 ||
        db_read_curve(s->db, &s->a, &r->curve, &r->n_curve, err) != 0 ||
        db_read_evals(s->db, &s->a, &r->eval, &r->n_evals, err) != 0)
        return -1;
    return db_read_failures(s->db, &s->a, &r->failure, &r->n_failures, err);
}

static void print_stages(const struct show *s, const struct run_rows *r) {
    heading(s, "stages");
    printf("  %2s %-12s %-5s %s\n", "", "name", "type", "steps");
    for (int i = 0; i < r->n_stages; i++) {
        const struct db_stage *st = &r->stage[i];
        int done = 0, refused = 0;
        for (int j = 0; j < r->n_curve; j++) {
            if (r->curve[j].stage != st->stage || !r->curve[j].state) continue;
            done += strcmp(r->curve[j].state, "sampled") != 0;
            refused += strcmp(r->curve[j].state, "refused") == 0;
        }
        char steps[32];
        snprintf(steps, sizeof steps, "%d of %d", done, st->max_steps);
        printf("  %2d %-12s %-5s %-12s %s", st->stage, safe(st->name), safe(st->type),
               steps, st->finished_at ? "finished " : "not finished");
        printf("%s", st->finished_at ? safe(st->finished_at) : "");
        if (refused) printf(", updates refused: %d", refused);
        putchar('\n');
    }
}

/* Mean of the first or last scored steps of a stage: single steps are noisy. */
static double mean_accuracy(const struct run_rows *r, int stage, bool last, int n) {
    double sum = 0;
    int seen = 0;
    for (int i = 0; i < r->n_curve && seen < n; i++) {
        const struct db_curve *c = &r->curve[last ? r->n_curve - 1 - i : i];
        if (c->stage != stage || isnan(c->accuracy)) continue;
        sum += c->accuracy;
        seen++;
    }
    return seen ? sum / seen : NAN;
}

static void print_accuracy(const struct run_rows *r) {
    for (int i = 0; i < r->n_stages; i++) {
        int scored = 0;
        for (int j = 0; j < r->n_curve; j++)
            scored +=
                r->curve[j].stage == r->stage[i].stage && !isnan(r->curve[j].accuracy);
        int n = scored >= 20 ? 10 : scored >= 2 ? scored / 2 : scored;
        if (n)
            printf("  %s: accuracy %.3f -> %.3f on training samples (first and last %d "
                   "of its"
                   " steps)\n",
                   safe(r->stage[i].name), mean_accuracy(r, r->stage[i].stage, false, n),
                   mean_accuracy(r, r->stage[i].stage, true, n), n);
    }
}

/* At most 16 rows: evenly spaced, the first and the last among them. */
static void print_curve(const struct show *s, const struct run_rows *r) {
    enum { ROWS = 16 };
    if (!r->n_curve) return;
    heading(s, "steps");
    printf("  %6s %-12s %8s %8s %8s %9s %8s %9s %9s %9s\n", "step", "stage", "reward",
           "accuracy", "length", "truncated", "zero_std", "kl", "entropy", "loss");
    int n = r->n_curve < ROWS ? r->n_curve : ROWS;
    for (int i = 0; i < n; i++) {
        int at = n > 1 ? (int)((long)i * (r->n_curve - 1) / (n - 1)) : 0;
        const struct db_curve *c = &r->curve[at];
        printf("  %6d %-12s %8s %8s %8s %9s %8s %9s %9s %9s\n", c->step,
               safe(c->stage_name), num("%.4f", c->reward), num("%.3f", c->accuracy),
               num("%.1f", c->mean_length), num("%.3f", c->truncated),
               num("%.3f", c->zero_std), num("%.3g", c->kl), num("%.4g", c->entropy),
               num("%.4g", c->loss));
    }
    print_accuracy(r);
}

static void print_evals(const struct show *s, const struct run_rows *r) {
    if (!r->n_evals) return;
    heading(s, "evaluations");
    printf("  %6s %-8s %3s %6s %7s %7s %7s %7s %8s  %s\n", "step", "mode", "k", "n",
           "pass@1", "+-95%", "pass@k", "avg@k", "length", "problems");
    for (int i = 0; i < r->n_evals; i++) {
        const struct db_eval *e = &r->eval[i];
        printf("  %6d %-8s %3d %6d %7s %7s %7s %7s %8s  %s\n", e->step, safe(e->mode),
               e->k, e->n, num("%.4f", e->pass1), num("%.4f", e->ci95),
               num("%.4f", e->pass_at_k), num("%.4f", e->avg_at_k),
               num("%.1f", e->mean_length), safe(e->spec));
    }
}

static void print_failures(const struct show *s, const struct run_rows *r) {
    if (r->n_failures) heading(s, "checker failures");
    for (int i = 0; i < r->n_failures; i++) {
        const struct db_failure *f = &r->failure[i];
        printf("  %s (%s): %s %lld times, %.2f %% of its verdicts, steps %d-%d,"
               " for instance episode %lld\n",
               safe(f->checker), safe(f->version), safe(f->status), (long long)f->n,
               100 * f->rate, f->first_step, f->last_step, (long long)f->an_episode);
    }
}

static void print_run(const struct show *s, const struct run_rows *r) {
    printf("%s: run %s, begun %s\n", s->path, safe(r->run.name), safe(r->run.created_at));
    printf("hone %s (%s), %s, %d threads, seed %llu, start weights %s\n",
           safe(r->run.version), safe(r->run.build), safe(r->run.isa), r->run.threads,
           (unsigned long long)r->run.seed, hex(r->run.start_weights));
    print_stages(s, r);
    print_curve(s, r);
    print_evals(s, r);
    print_failures(s, r);
    heading(s, "next");
    if (r->n_curve)
        printf("  hone show %s --step %d\n", s->dir, r->curve[r->n_curve - 1].step);
    printf("  sqlite3 -readonly %s 'SELECT * FROM v_hardest_problems LIMIT 10'\n",
           s->path);
}

static void json_curve(cJSON *o, const struct db_curve *c) {
    json_add_number(o, "step", c->step);
    add_str(o, "stage", c->stage_name);
    json_add_number(o, "stage_step", c->stage_step);
    add_str(o, "state", c->state);
    json_add_number(o, "episodes", (double)c->episodes);
    json_add_number(o, "reward", c->reward);
    json_add_number(o, "accuracy", c->accuracy);
    json_add_number(o, "mean_length", c->mean_length);
    json_add_number(o, "truncated", c->truncated);
    json_add_number(o, "zero_std", c->zero_std);
    json_add_number(o, "kl", c->kl);
    json_add_number(o, "entropy", c->entropy);
    json_add_number(o, "loss", c->loss);
    json_add_number(o, "grad_norm", c->grad_norm);
    json_add_number(o, "learning_rate", c->learning_rate);
    json_add_number(o, "wall_s", c->wall_s);
}

static void json_eval(cJSON *o, const struct db_eval *e) {
    json_add_number(o, "step", e->step);
    add_str(o, "problems", e->spec);
    add_str(o, "mode", e->mode);
    json_add_number(o, "k", e->k);
    json_add_number(o, "temperature", e->temperature);
    json_add_number(o, "n", e->n);
    json_add_number(o, "pass1", e->pass1);
    json_add_number(o, "ci95", e->ci95);
    json_add_number(o, "pass_at_k", e->pass_at_k);
    json_add_number(o, "avg_at_k", e->avg_at_k);
    json_add_number(o, "mean_length", e->mean_length);
    add_str(o, "weights_hash", hex(e->weights_hash));
}

static void json_failure(cJSON *o, const struct db_failure *f) {
    add_str(o, "checker", f->checker);
    add_str(o, "version", f->version);
    add_str(o, "status", f->status);
    json_add_number(o, "n", (double)f->n);
    json_add_number(o, "rate", f->rate);
    json_add_number(o, "an_episode", (double)f->an_episode);
}

/* The seed is a string: JSON readers keep 53 bits of a number. */
static void json_run(const struct run_rows *r) {
    char seed[24];
    cJSON *o = cJSON_CreateObject();
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)r->run.seed);
    add_str(o, "name", r->run.name);
    add_str(o, "created_at", r->run.created_at);
    add_str(o, "version", r->run.version);
    add_str(o, "build", r->run.build);
    add_str(o, "isa", r->run.isa);
    json_add_number(o, "threads", r->run.threads);
    add_str(o, "seed", seed);
    add_str(o, "start_weights", hex(r->run.start_weights));
    cJSON *experiment = cJSON_Parse(r->run.experiment ? r->run.experiment : "null");
    cJSON_AddItemToObject(o, "experiment", experiment ? experiment : cJSON_CreateNull());
    cJSON *list = cJSON_AddArrayToObject(o, "stages");
    for (int i = 0; i < r->n_stages; i++) {
        cJSON *x = add_item(list);
        add_str(x, "name", r->stage[i].name);
        add_str(x, "type", r->stage[i].type);
        json_add_number(x, "max_steps", r->stage[i].max_steps);
        add_str(x, "started_at", r->stage[i].started_at);
        add_str(x, "finished_at", r->stage[i].finished_at);
    }
    list = cJSON_AddArrayToObject(o, "steps");
    for (int i = 0; i < r->n_curve; i++) json_curve(add_item(list), &r->curve[i]);
    list = cJSON_AddArrayToObject(o, "evaluations");
    for (int i = 0; i < r->n_evals; i++) json_eval(add_item(list), &r->eval[i]);
    list = cJSON_AddArrayToObject(o, "failures");
    for (int i = 0; i < r->n_failures; i++) json_failure(add_item(list), &r->failure[i]);
    print_json(o);
}

static int show_run(struct show *s, struct err *err) {
    struct run_rows r = {0};
    if (read_run(s, &r, err) != 0) return -1;
    if (s->json)
        json_run(&r);
    else
        print_run(s, &r);
    return 0;
}

/* --- the command ------------------------------------------------------------------- */

static const char notes[] =
    "Control characters in a model's text are shown as \\xNN. Everything else can be\n"
    "asked in SQL (docs/database.md):\n"
    "  sqlite3 -readonly DIR/run.db 'SELECT * FROM v_hardest_problems LIMIT 10'";

static int find_db(struct show *s, struct err *err) {
    struct stat st;
    s->path = s->dir;
    if (stat(s->dir, &st) != 0 || !S_ISDIR(st.st_mode)) return 0;
    char *path = arena_new(&s->a, 4096, 1);
    s->path = path;
    return file_join(path, 4096, s->dir, "run.db", err);
}

static int show(struct show *s, struct err *err) {
    if (find_db(s, err) != 0 || db_open_readonly(&s->db, s->path, err) != 0) return -1;
    int rc = s->episode ? show_episode(s, err)
             : s->step  ? show_step(s, err)
                        : show_run(s, err);
    if (rc == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        return err_errno(err, EX_IOERR, "write the output");
    return rc;
}

int cmd_show(int argc, char **argv) {
    struct show s = {.colour = isatty(STDOUT_FILENO)};
    struct err err = {0};
    const struct arg arg[] = {
        {"DIR", ARG_STRING, &s.dir, .required = true,
         .help = "a run's folder, or its run.db"},
        {"--step", ARG_INT, &s.step, 1, INT32_MAX, .value_name = "N",
         .help = "one step: its prompts and every sample's reward"},
        {"--episode", ARG_INT, &s.episode, 1, INT32_MAX, .value_name = "ID",
         .help = "one trace: prompt, text, advantage, verdicts"},
        {"--tokens", ARG_FLAG, &s.tokens,
         .help = "with --episode: every token's id and log-probability"},
        {"--json", ARG_FLAG, &s.json, .help = "the same as one JSON object"},
    };
    const struct args args = {"show", "print a run, one of its steps, or one trace", arg,
                              5, .notes = notes};
    int rc;
    if (args_parse(&args, argc, argv, &rc) != 0) return rc;
    rc = s.step && s.episode
             ? err_set(&err, EX_USAGE, "either --step or --episode (see hone help show)")
             : show(&s, &err);
    db_close(s.db);
    arena_clear(&s.a);
    if (rc == 0) return EX_OK;
    fprintf(stderr, "hone show: %s\n", err.msg);
    return err.code;
}
