/* cli/evaluate.c: see evaluate.h. */
#include "cli/evaluate.h"

#include <math.h>
#include <time.h>

#include "base/mem.h"

enum { CHUNK = 512 }; /* completions in flight between two looks at the results */

struct eval_run {
    const struct engine *e;
    const struct problem_set *set;
    const struct eval_config *cfg;
    struct scorer *scorer;
    struct arena arena;
    struct problem *problem; /* [per_chunk] */
    struct rollout_prompt *prompt;
    struct trace *trace; /* [per_chunk][k] */
    struct buf *text;
    struct verdict *verdict;
    int *id; /* [per_chunk][max_prompt] */
    int max_prompt;
    double sum, sum2, solved, length;
};

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int load_chunk(struct eval_run *v, int first, int n, struct err *err) {
    arena_reset(&v->arena);
    for (int i = 0; i < n; i++) {
        int *id = v->id + (size_t)i * (size_t)v->max_prompt;
        problem_set_get(v->set, first + i, &v->arena, &v->problem[i]);
        int len = engine_encode_prompt(v->e, v->problem[i].prompt, id, v->max_prompt, err);
        if (len < 0) return err_prefix(err, "problem %d of %s", first + i, problem_set_spec(v->set));
        v->prompt[i] = (struct rollout_prompt){id, len, (uint32_t)v->cfg->step,
                                               (uint32_t)(first + i), v->cfg->k, 0};
    }
    return 0;
}

static void score_chunk(struct eval_run *v, int n) {
    int k = v->cfg->k;
#pragma omp parallel for schedule(dynamic, 4) num_threads(v->e->n_threads)
    for (int i = 0; i < n * k; i++) {
        const struct trace *t = &v->trace[i];
        buf_reset(&v->text[i]);
        tokenizer_decode(v->e->tok, t->id, t->n, true, &v->text[i]);
        struct completion one = {buf_text(&v->text[i]), v->text[i].len, t->id, t->n};
        struct group g = {.problem = &v->problem[i / k], .completion = &one, .n = 1,
                          .max_tokens = v->cfg->max_completion_length};
        scorer_score(v->scorer, &g, &v->verdict[i]);
    }
}

static int take_chunk(struct eval_run *v, int first, int n, eval_each each, void *ctx,
                      struct eval_result *out, struct err *err) {
    int k = v->cfg->k;
    for (int i = 0; i < n; i++) {
        int correct = 0;
        for (int s = 0; s < k; s++) {
            int j = i * k + s;
            const struct verdict *d = &v->verdict[j];
            struct eval_sample sample = {first + i, s, &v->problem[i], &v->trace[j],
                                         buf_text(&v->text[j]), v->text[j].len, d};
            correct += d->status == VERDICT_OK && d->score >= 1;
            out->failures += verdict_is_failure(d->status);
            out->tokens += v->trace[j].n;
            if (each && each(ctx, &sample, err) != 0) return -1;
        }
        double share = (double)correct / k;
        v->sum += share;
        v->sum2 += share * share;
        v->solved += correct > 0;
    }
    return 0;
}

static int run_all(struct eval_run *v, struct rollout *r, int per_chunk, eval_each each,
                   void *ctx, struct eval_result *out, struct err *err) {
    const struct eval_config *c = v->cfg;
    struct rollout_config rc = {
        .sampler = {c->temperature, c->top_k, c->top_p, c->min_p},
        .max_completion_length = c->max_completion_length,
        .stop = c->stop, .n_stop = c->n_stop, .seed = c->seed, .purpose = RNG_EVAL};
    for (int first = 0; first < out->n; first += per_chunk) {
        int n = out->n - first < per_chunk ? out->n - first : per_chunk;
        if (load_chunk(v, first, n, err) != 0) return -1;
        rollout_run(r, &rc, v->prompt, n, v->trace);
        score_chunk(v, n);
        if (take_chunk(v, first, n, each, ctx, out, err) != 0) return -1;
    }
    return 0;
}

int evaluate_longest_prompt(const struct engine *e, const struct problem_set *set,
                            int max_completion, struct err *err) {
    struct arena arena = {0};
    int max = engine_max_prompt(e, max_completion), longest = 1;
    int *id = mem_new((size_t)max, sizeof *id);
    for (int i = 0; i < problem_set_size(set) && longest > 0; i++) {
        struct problem p;
        arena_reset(&arena);
        problem_set_get(set, i, &arena, &p);
        int n = engine_encode_prompt(e, p.prompt, id, max, err);
        if (n < 0) longest = err_prefix(err, "problem %d of %s", i, problem_set_spec(set));
        if (n > longest && longest > 0) longest = n;
    }
    mem_free(id);
    arena_clear(&arena);
    return longest;
}

int evaluate(const struct engine *e, struct rollout *r, const struct problem_set *set,
             const struct eval_config *cfg, eval_each each, void *ctx, struct eval_result *out,
             struct err *err) {
    struct eval_run v = {.e = e, .set = set, .cfg = cfg};
    int per_chunk = cfg->k < CHUNK ? CHUNK / cfg->k : 1;
    size_t n = (size_t)per_chunk, nk = n * (size_t)cfg->k;
    *out = (struct eval_result){.n = problem_set_size(set), .k = cfg->k};
    struct scorer_config own = {.checker = problem_set_checker(set)};
    struct scorer *opened = NULL;
    own.name = own.checker;
    if (!cfg->scorer && scorer_open(&opened, &own, err) != 0) return -1;
    v.scorer = opened ? opened : cfg->scorer;
    v.max_prompt = engine_max_prompt(e, cfg->max_completion_length);
    v.problem = mem_new(n, sizeof *v.problem);
    v.prompt = mem_new(n, sizeof *v.prompt);
    v.trace = mem_new(nk, sizeof *v.trace);
    v.text = mem_new(nk, sizeof *v.text);
    v.verdict = mem_new(nk, sizeof *v.verdict);
    v.id = mem_new(n * (size_t)v.max_prompt, sizeof *v.id);
    double start = seconds();
    int rc = run_all(&v, r, per_chunk, each, ctx, out, err);
    out->wall_s = seconds() - start;
    double N = out->n;
    out->pass1 = v.sum / N;
    out->pass_at_k = v.solved / N;
    double var = N > 1 ? (v.sum2 - v.sum * v.sum / N) / (N - 1) : 0;
    out->ci95 = 1.96 * sqrt((var > 0 ? var : 0) / N);
    out->mean_length = (double)out->tokens / (N * cfg->k);
    for (size_t i = 0; i < nk; i++) buf_clear(&v.text[i]);
    arena_clear(&v.arena);
    mem_free(v.problem);
    mem_free(v.prompt);
    mem_free(v.trace);
    mem_free(v.text);
    mem_free(v.verdict);
    mem_free(v.id);
    scorer_close(opened);
    return rc;
}
