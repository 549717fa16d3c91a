/* cli/replay_draw.c: episodes drawn again and compared with what is recorded. See replay.h. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/replay.h"
#include "cli/stage.h"
#include "cli/version.h"

const char *replay_builds(const struct replay *p) {
    static char text[512];
    snprintf(text, sizeof text, "recorded by hone %.80s (%.80s) on %.16s, drawn by hone %s (%s) on %s",
             p->recorded.version, p->recorded.build, p->recorded.isa, version_short(),
             version_compiler(), p->r.e.k->name);
    return text;
}

static uint32_t bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

/* The first token that is not the recorded one in id and bits; -1: none. */
static int first_difference(const struct db_episode *e, const struct trace *t) {
    int n = t->n < e->n_completion ? t->n : e->n_completion;
    for (int i = 0; i < n; i++)
        if (t->id[i] != e->ids[e->n_prompt + i] || bits(t->logp[i]) != bits(e->logps[i])) return i;
    return t->n == e->n_completion ? -1 : n;
}

static void print_token(char out[64], int i, int n, int id, float logp) {
    if (i < n)
        snprintf(out, 64, "id %d logp %.9g (%08x)", id, (double)logp, bits(logp));
    else
        snprintf(out, 64, "no token, the end is after %d", n);
}

static void json_token(const char *name, int i, int n, int id, float logp) {
    if (i < n)
        printf(", \"%s\": {\"id\": %d, \"logp\": %.9g, \"bits\": \"%08x\"}", name, id,
               (double)logp, bits(logp));
    else
        printf(", \"%s\": null", name);
}

static void report(const struct replay *p, const struct db_episode *e, const struct trace *t,
                   int at) {
    const int32_t *id = e->ids + e->n_prompt;
    int n = e->n_completion;
    if (p->json) {
        printf("{\"episode\": %lld, \"step\": %d, \"token\": %d", (long long)e->id, p->r.step + 1,
               at);
        json_token("recorded", at, n, at < n ? id[at] : 0, at < n ? e->logps[at] : 0);
        json_token("drawn", at, t->n, at < t->n ? t->id[at] : 0, at < t->n ? t->logp[at] : 0);
        printf(", \"recorded_by\": \"%s\", \"recorded_isa\": \"%s\", \"drawn_by\": \"%s\", "
               "\"drawn_isa\": \"%s\"}\n",
               p->recorded.version, p->recorded.isa, version_short(), p->r.e.k->name);
        return;
    }
    char was[64], is[64];
    if (p->checked - p->exact > REPLAY_SHOWN) return;
    print_token(was, at, n, at < n ? id[at] : 0, at < n ? e->logps[at] : 0);
    print_token(is, at, t->n, at < t->n ? t->id[at] : 0, at < t->n ? t->logp[at] : 0);
    printf("episode %lld of step %d: token %d differs: recorded %s, drawn %s\n", (long long)e->id,
           p->r.step + 1, at, was, is);
    if (p->checked - p->exact == 1) printf("  %s\n", replay_builds(p));
}

/* The same number of tokens with the same end: `stop` and `eos` may differ where all ids
 * agree only if the stop strings were changed. */
static void compare(struct replay *p, const struct db_episode *e, const struct trace *t) {
    int at = first_difference(e, t);
    p->checked++;
    if (at < 0 && strcmp(e->finish_reason, rollout_finish_name(t->finish)) != 0)
        at = e->n_completion;
    if (at < 0)
        p->exact++;
    else
        report(p, e, t, at);
}

static int check_address(const struct replay *p, const struct db_episode *e,
                         const struct db_episode *first, struct err *err) {
    if (e->weights_hash != p->r.hash)
        return err_set(err, EX_DATAERR,
                       "%s/run.db: episode %lld was drawn from the weights %016llx, step %d "
                       "starts from %016llx",
                       p->r.dir, (long long)e->id, (unsigned long long)e->weights_hash,
                       p->r.step + 1, (unsigned long long)p->r.hash);
    if (e->n_prompt < 1 || e->key_seed != first->key_seed || e->key_purpose != first->key_purpose)
        return err_set(err, EX_DATAERR, "%s/run.db: episode %lld has no usable random key",
                       p->r.dir, (long long)e->id);
    return 0;
}

/* Every episode is a prompt of its own with one sample: it is drawn alone, whoever else is
 * in flight. */
static int draw(struct replay *p, const struct experiment_stage *s, const struct db_episode *e,
                int n, struct err *err) {
    struct run *r = &p->r;
    struct rollout_config rc = harvest_rollout(r, s);
    struct rollout_prompt *prompt = arena_new(&r->arena, (size_t)n, sizeof *prompt);
    struct trace *trace = arena_new(&r->arena, (size_t)n, sizeof *trace);
    int longest = 1;
    rc.seed = e[0].key_seed;
    rc.purpose = e[0].key_purpose;
    for (int i = 0; i < n; i++) {
        if (check_address(p, &e[i], &e[0], err) != 0) return -1;
        if (e[i].n_prompt > longest) longest = e[i].n_prompt;
        prompt[i] = (struct rollout_prompt){
            .id = e[i].ids, .n = e[i].n_prompt, .step = e[i].key_step, .prompt = e[i].key_prompt,
            .n_samples = 1, .first_sample = e[i].key_sample};
    }
    if (longest > engine_max_prompt(&r->e, rc.max_completion_length))
        return err_set(err, EX_DATAERR, "%s/run.db: a prompt of %d tokens does not fit the model",
                       r->dir, longest);
    int threads = n < r->e.n_threads ? n : r->e.n_threads;
    int share = (n + threads - 1) / threads, batch = share < p->batch ? share : p->batch;
    struct rollout *again =
        rollout_new(&r->e.m, r->e.tok, longest, rc.max_completion_length, batch, batch,
                    threads);
    rollout_run(again, &rc, prompt, n, trace);
    for (int i = 0; i < n; i++) compare(p, &e[i], &trace[i]);
    rollout_free(again);
    return 0;
}

int replay_draw(struct replay *p, const int64_t *id, int n, struct err *err) {
    struct run *r = &p->r;
    struct db_step row;
    arena_reset(&r->arena);
    if (db_read_step(r->db, r->step + 1, &r->arena, &row, err) != 0) return -1;
    if (row.stage > r->x.n_stages || r->x.stage[row.stage - 1].type != STAGE_GRPO)
        return err_set(err, EX_DATAERR, "%s/run.db: step %d belongs to no grpo stage", r->dir,
                       row.step);
    if (row.weights_before != r->hash)
        return err_set(err, EX_DATAERR,
                       "%s: step %d started from the weights %016llx, the log before it gives "
                       "%016llx",
                       r->dir, row.step, (unsigned long long)row.weights_before,
                       (unsigned long long)r->hash);
    struct db_episode *e = arena_new(&r->arena, (size_t)n, sizeof *e);
    for (int i = 0; i < n; i++)
        if (db_read_episode(r->db, id[i], &r->arena, &e[i], err) != 0) return -1;
    return draw(p, &r->x.stage[row.stage - 1], e, n, err);
}
