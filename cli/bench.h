/* cli/bench.h: `hone bench`: speed as a fraction of what the machine can do.
 *
 * The ceiling is measured in the same run, at the same thread count: GFLOP/s of independent
 * FMA chains in registers (of bf16 dots, where the processor has them and --dtype bf16 asks),
 * GB/s of reading memory, and beside them the best of the model's own products.
 *
 * Work is what the model's definition needs, not what the engine happens to do:
 *   P  active parameters a token: all matrices that multiply it, the head included; not the
 *      embedding table, not the experts that were not chosen
 *   A  attention's multiply-adds by key: layers x heads x (key width + value width); for MLA
 *      the cheaper of the absorbed and the expanded form
 *   c  keys that a token sees, on the average
 *   token(c)  = 2 P + 2 A c                               (FLOP)
 *   train     = 3 token((seq + 1) / 2) x tokens/s / ceiling; forward and backward, loss,
 *               AdamW and packing are in the time; recomputation earns nothing
 *   rollout   = [rows x token(prompt + (tokens - 1) / 2) + prefilled rows x (token(prompt / 2)
 *               - 2 head)] / time / ceiling; rows: of the completions' tokens, each beginning
 *               that samples of a prompt share counts once; tokens/s are completion tokens
 *   decode    = one sequence: bytes of the active weights and of the keys it sees, by
 *               token, x tokens/s / bandwidth, which is measured before and after each
 *               repetition: where others share the memory it changes within seconds
 *   matmul    = the fastest product of a training shard's rows / ceiling
 */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "cli/engine.h"
#include "policy/stage.h"

enum { BENCH_MAX_REPEAT = 100, BENCH_MAX_JOBS = 4, BENCH_MAX_SHAPES = 48 };

struct bench_options {
    const char *job, *model, *config, *preset, *dtype, *isa;
    int threads, repeat;
    int seq, micro;                /* train: tokens a sequence and a micro-batch */
    int sequences, prompt, tokens; /* rollout: how many, and of each */
    int group; /* train: completions of --tokens that share a prompt; 0: plain sequences */
    bool unshared; /* of a group: its prompt is computed for each */
    bool json, bf16;
};

/* One product of the model, C[m][n] = A[m][k] B[k][n], on every thread at once. */
struct bench_shape {
    const char *name;
    int m, n, k;
    double gflops;
};

struct bench_ceiling {
    double gflops, gbytes_per_s, matmul_gflops;
};

struct bench_result {
    const char *job;
    double seconds[BENCH_MAX_REPEAT]; /* of one round, sorted; n of them */
    int n;
    double tokens, flops, bytes; /* of one round */
    double tokens_per_s, gflops, fraction; /* from the median */
    double spread;                         /* (slowest - fastest) / median */
    double gbytes_per_s[BENCH_MAX_REPEAT]; /* decode: of memory around each, unsorted */
    double per_byte[BENCH_MAX_REPEAT];     /* seconds x gbytes_per_s, sorted */
    double stage[N_STAGES];                /* seconds of one round, in the last repetition */
    long peak_rss_bytes;
};

struct bench {
    struct bench_options o;
    struct engine e;
    const char *name; /* of the preset, or the path */
    struct bench_ceiling ceiling;
    struct bench_shape shape[BENCH_MAX_SHAPES];
    int n_shapes;
    struct bench_result result[BENCH_MAX_JOBS];
    int n_results;
    float *read; /* what is read to measure memory, while it is measured; owned */
    size_t n_read;
};

/* bench_preset.c: names of the presets, and the model that the options name (random weights
 * but for --model). */
extern const char *const bench_presets[];
MUST_USE int bench_load(struct bench *b, struct err *err);

/* bench_ceiling.c: a part of b->ceiling each; where it was measured before, the better of
 * the two stays. The last fills b->shape too. */
void bench_measure_gflops(struct bench *b);
void bench_measure_bandwidth(struct bench *b);
void bench_measure_products(struct bench *b);

/* Memory as it is at this moment, in GB/s: a buffer that no cache holds is read once. */
double bench_read_now(struct bench *b);

/* bench_jobs.c: runs one job ("matmul", "rollout", "train", "decode") and appends its
 * result, the fraction left out; between two repetitions the ceiling is measured again. */
void bench_run_job(struct bench *b, const char *job);

/* Fills in the fractions, when the ceiling is known. */
void bench_finish(struct bench *b);

/* Multiply-adds by key and token of all layers: A above. */
double bench_attention_width(const struct model *m);

/* bench_print.c: for people, and with --json. */
void bench_print_text(const struct bench *b);
void bench_print_json(const struct bench *b);

#endif
