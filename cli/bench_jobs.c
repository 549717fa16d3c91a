/* cli/bench_jobs.c: the jobs of `hone bench`, each as the trainer does it. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/bench.h"
#include "rl/optimizer.h"
#include "rl/update.h"

enum { GROUP = 8 }; /* samples a prompt */

static const double min_seconds = 0.3; /* of one repetition */

/* One round of a job; `round` is counted up for its random numbers. */
typedef void (*bench_round)(void *ctx, int round);

/* ---- memory ---- */

/* The high-water mark starts again from what is held now; where /proc does not allow that,
 * it stays that of the process. */
static void reset_peak(void) {
    malloc_trim(0);
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f) return;
    fputs("5", f);
    fclose(f);
}

static long read_peak(void) {
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    if (!f) return 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1) break;
    fclose(f);
    return kib * 1024;
}

/* ---- timing ---- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A round to warm up, which also says how many make a repetition; then the repetitions. The
 * clocks of the stages run in the last one only, where they cost up to 1 %. */
static void time_rounds(struct bench *b, struct bench_result *r, bench_round job, void *ctx) {
    double start = stage_now();
    int round = 0;
    job(ctx, round++);
    double once = stage_now() - start;
    int rounds = once < min_seconds ? (int)(min_seconds / once) + 1 : 1;
    bool reads = r->bytes > 0;
    double before = reads ? bench_read_now(b) : 0;
    for (int i = 0; i < b->o.repeat; i++) {
        if (!reads) bench_measure_gflops(b);
        if (i == b->o.repeat - 1) stage_start();
        start = stage_now();
        for (int k = 0; k < rounds; k++) job(ctx, round++);
        r->seconds[r->n] = (stage_now() - start) / rounds;
        if (reads) {
            double after = bench_read_now(b);
            r->gbytes_per_s[r->n] = (before + after) / 2;
            r->per_byte[r->n] = r->seconds[r->n] * r->gbytes_per_s[r->n];
            before = after;
        }
        r->n++;
    }
    stage_stop(b->e.n_threads, r->stage);
    for (int s = 0; s < N_STAGES; s++) r->stage[s] /= rounds;
    r->peak_rss_bytes = read_peak();
    qsort(r->seconds, (size_t)r->n, sizeof *r->seconds, compare_doubles);
    qsort(r->per_byte, (size_t)r->n, sizeof *r->per_byte, compare_doubles);
}

static double median(const double *sorted, int n) {
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static void finish_timed(const struct bench *b, struct bench_result *r) {
    double t = median(r->seconds, r->n);
    r->spread = (r->seconds[r->n - 1] - r->seconds[0]) / t;
    r->tokens_per_s = r->tokens / t;
    r->gflops = r->flops / t * 1e-9;
    r->fraction = r->bytes > 0 ? r->bytes * 1e-9 / median(r->per_byte, r->n)
                               : r->gflops / b->ceiling.gflops;
}

/* ---- work ---- */

double bench_attention_width(const struct model *m) {
    const struct policy_config *c = &m->cfg;
    int absorbed = 2 * c->kv_lora_rank + c->qk_rope_head_dim;
    int expanded = c->qk_nope_head_dim + c->qk_rope_head_dim + c->v_head_dim;
    if (m->dv > 0) absorbed = expanded; /* no latent to meet */
    return (double)c->num_hidden_layers * c->num_attention_heads *
           (absorbed < expanded ? absorbed : expanded);
}

static double head_params(const struct model *m) {
    return (double)m->cfg.vocab_size * m->cfg.hidden_size;
}

/* token(c) of bench.h */
static double token_flops(const struct model *m, double keys) {
    return 2.0 * (double)model_active_params(m) + 2.0 * bench_attention_width(m) * keys;
}

/* ---- rollout and decode ---- */

struct rollout_job {
    struct rollout *rollout;
    struct rollout_config cfg;
    struct rollout_prompt *prompt;
    int n_prompts;
    int *id;
    struct trace *trace;
    double rows; /* computed behind the prompts, of all rounds so far */
    int n_rounds;
};

static int *random_ids(const struct model *m, int n, uint32_t stream) {
    struct rng_key key = {.seed = 1, .purpose = RNG_TEST, .step = stream};
    int *id = mem_new((size_t)n, sizeof *id);
    for (int i = 0; i < n; i++) id[i] = (int)rng_below(&key, (uint32_t)i, (uint64_t)m->cfg.vocab_size);
    return id;
}

static void rollout_round(void *ctx, int round) {
    struct rollout_job *j = ctx;
    for (int i = 0; i < j->n_prompts; i++) j->prompt[i].step = (uint32_t)round;
    rollout_run(j->rollout, &j->cfg, j->prompt, j->n_prompts, j->trace);
    j->rows += (double)rollout_rows(j->rollout);
    j->n_rounds++;
}

/* Bytes of the active weights and of the keys it sees, of all tokens of one sequence. */
static double decode_bytes(const struct bench *b) {
    double keys = b->o.prompt + (b->o.tokens - 1) / 2.0;
    double cached = (double)b->e.m.cfg.num_hidden_layers * (b->e.m.dk + b->e.m.dv) * keys;
    return b->o.tokens * (b->o.bf16 ? 2 : 4) * ((double)model_active_params(&b->e.m) + cached);
}

static void run_rollout(struct bench *b, struct bench_result *r, int sequences) {
    const struct model *m = &b->e.m;
    int P = b->o.prompt, C = b->o.tokens, n = (sequences + GROUP - 1) / GROUP;
    struct rollout_job j = {.n_prompts = n};
    j.cfg = (struct rollout_config){.sampler = {1, 0, 1, 0}, .max_completion_length = C,
                                    .seed = 1, .purpose = RNG_SAMPLE};
    j.rollout = engine_rollout(&b->e, P, C, sequences);
    j.id = random_ids(m, n * P, 1);
    j.prompt = mem_new((size_t)n, sizeof *j.prompt);
    j.trace = mem_new((size_t)sequences, sizeof *j.trace);
    for (int i = 0; i < n; i++) {
        int left = sequences - i * GROUP;
        j.prompt[i] = (struct rollout_prompt){.id = j.id + i * P, .n = P, .prompt = (uint32_t)i,
                                              .n_samples = left < GROUP ? left : GROUP};
    }
    r->tokens = (double)sequences * C;
    time_rounds(b, r, rollout_round, &j);
    r->flops = j.rows / j.n_rounds * token_flops(m, P + (C - 1) / 2.0) +
               (double)n * (P - 1) * (token_flops(m, P / 2.0) - 2 * head_params(m));
    rollout_free(j.rollout);
    mem_free(j.id);
    mem_free(j.prompt);
    mem_free(j.trace);
}

/* ---- train ---- */

struct train_job {
    struct bench *b;
    struct update *update;
    struct optimizer opt;
    struct optimizer_config oc;
    struct update_seq *seq;
    int n_seqs;
};

static void train_round(void *ctx, int round) {
    struct train_job *j = ctx;
    struct engine *e = &j->b->e;
    struct update_config uc = {.sft = true, .sampler = {1, 0, 1, 0},
                               .share_prompts = !j->b->o.unshared};
    struct update_stats st;
    (void)round;
    stage_enter(STAGE_OPTIMIZER);
    memset(j->opt.grad, 0, j->opt.n_data * sizeof(float));
    update_gradient(j->update, &uc, j->seq, j->n_seqs, NULL, j->opt.grad, &st);
    stage_enter(STAGE_OPTIMIZER);
    double norm = optimizer_grad_norm(&j->opt, &e->w, e->k, e->n_threads);
    optimizer_step(&j->opt, &e->w, e->k, &j->oc, j->oc.learning_rate, norm, e->n_threads);
    stage_enter(STAGE_PACKING);
    model_pack(&e->m, e->n_threads);
    stage_enter(STAGE_OTHER);
}

/* Sequences of --seq that fill --micro, every position a target. */
static void plain_batch(struct train_job *j, struct bench_result *r, int *id) {
    const struct bench_options *o = &j->b->o;
    int S = o->seq;
    for (int i = 0; i < j->n_seqs; i++)
        j->seq[i] = (struct update_seq){.prompt = id + i * (S + 1), .n_prompt = 1,
                                        .id = id + i * (S + 1) + 1, .n = S};
    r->tokens = (double)j->n_seqs * S;
    r->flops = 3 * r->tokens * token_flops(&j->b->e.m, (S + 1) / 2.0);
}

/* --group completions of --tokens behind one prompt of --prompt, as a step of GRPO has them.
 * Credited is the prompt computed once, without a head. */
static void group_batch(struct train_job *j, struct bench_result *r, int *id) {
    const struct bench_options *o = &j->b->o;
    const struct model *m = &j->b->e.m;
    int P = o->prompt, C = o->tokens;
    for (int i = 0; i < j->n_seqs; i++)
        j->seq[i] = (struct update_seq){.prompt = id, .n_prompt = P, .id = id + P + i * C, .n = C};
    r->tokens = (double)j->n_seqs * C;
    r->flops = 3 * r->tokens * token_flops(m, P + (C + 1) / 2.0) +
               3.0 * (P - 1) * (token_flops(m, P / 2.0) - 2 * head_params(m));
}

static void run_train(struct bench *b, struct bench_result *r) {
    const struct bench_options *o = &b->o;
    struct train_job j = {.b = b, .n_seqs = o->group ? o->group : o->micro / o->seq};
    int ids = o->group ? o->prompt + o->group * o->tokens : j.n_seqs * (o->seq + 1);
    int family = o->group ? o->prompt + (o->unshared ? 1 : o->group) * o->tokens : 0;
    int *id = random_ids(&b->e.m, ids, 2);
    j.oc = (struct optimizer_config){.learning_rate = 1e-5, .max_steps = 1, .weight_decay = 0.01,
                                     .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
                                     .max_grad_norm = 1};
    j.seq = mem_new((size_t)j.n_seqs, sizeof *j.seq);
    if (o->group)
        group_batch(&j, r, id);
    else
        plain_batch(&j, r, id);
    j.update = update_new(&b->e.m, o->micro > family ? o->micro : family, b->e.n_threads);
    optimizer_init(&j.opt, &b->e.w);
    time_rounds(b, r, train_round, &j);
    update_free(j.update);
    optimizer_clear(&j.opt);
    mem_free(j.seq);
    mem_free(id);
}

void bench_run_job(struct bench *b, const char *job) {
    struct bench_result *r = &b->result[b->n_results++];
    *r = (struct bench_result){.job = job};
    reset_peak();
    if (strcmp(job, "train") == 0) run_train(b, r);
    if (strcmp(job, "rollout") == 0) run_rollout(b, r, b->o.sequences);
    if (strcmp(job, "decode") == 0) {
        r->bytes = decode_bytes(b);
        run_rollout(b, r, 1);
        bench_measure_bandwidth(b);
    }
    if (strcmp(job, "matmul") == 0) r->peak_rss_bytes = read_peak();
}

void bench_finish(struct bench *b) {
    bench_measure_gflops(b);
    for (int i = 0; i < b->n_results; i++) {
        struct bench_result *r = &b->result[i];
        if (r->n > 0) {
            finish_timed(b, r);
        } else { /* matmul: bench_measure_products has done it */
            r->gflops = b->ceiling.matmul_gflops;
            r->fraction = r->gflops / b->ceiling.gflops;
        }
    }
}
