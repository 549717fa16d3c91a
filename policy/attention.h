/* policy/attention.h: causal attention of query rows over a shared prefix and own keys.
 *
 * n_kv heads of keys and values, each met by H / n_kv heads of queries (all H by one in the
 * absorbed form of MLA, where the value is the first numbers of the key). A job is a run of
 * consecutive rows of one sequence; neighbouring jobs with the same prefix (the completions
 * of one prompt) share its products. A row's result depends on its query and the keys it
 * sees alone.
 *
 * In bf16 every product's operands are rounded to pairs (policy/kernels.h); scores, softmax
 * and results are f32. A sum over keys runs over pairs of positions 2i, 2i + 1 counted from
 * the sequence's start, so that it does not show where a shared prefix ends.
 */
#ifndef POLICY_ATTENTION_H
#define POLICY_ATTENTION_H

#include "policy/model.h"

/* Keys and values of n positions. Panels hold 32 positions each: [steps of dk][32], the keys
 * as columns; rows are [n][dk], in bf16 [pairs of positions][dk], whose first pair begins with
 * the prefix's last position if the prefix's length is odd. Values likewise with dv, or, in
 * MLA, the keys' own memory. 32 floats behind the last row are readable. */
struct attn_keys {
    const float *panels, *rows;         /* rows and val_panels: backward only in GQA */
    const float *val_panels, *val_rows;
    int n;
};

/* Gradients of keys and values, [n][dk] and [n][dv], added to; MLA: the same memory. */
struct attn_grads {
    float *key, *val;
};

struct attn_job {
    int n_rows;
    int first; /* row i sees own[0 .. first + i] and the whole prefix */
    struct attn_keys prefix, own;
    struct attn_grads dprefix, down; /* backward only */
};

/* Work memory of one thread. A zeroed struct is empty; grown by attn_scratch_reserve. */
struct attn_scratch {
    float *s, *ds; /* [n] each, owned */
    size_t n;
    float *half, *q, *d_o, *rows; /* bf16 only: scores, queries, output gradients in pairs */
};

/* Makes room for jobs that see at most max_keys positions. */
void attn_scratch_reserve(struct attn_scratch *a, const struct model *m, int max_keys);
void attn_scratch_clear(struct attn_scratch *a);

/* q [rows][H][key_dim] -> o [rows][H][val_dim], rows counted over all jobs. */
void attention_forward(const struct model *m, const struct attn_job *job, int n_jobs,
                       const float *q, float *o, const struct attn_scratch *a);

/* From d_o: dq is written, each job's dprefix and down are added to, in job order. */
void attention_backward(const struct model *m, const struct attn_job *job, int n_jobs,
                        const float *q, const float *d_o, float *dq,
                        const struct attn_scratch *a);

/* Floats of a sum over n: the numbers, in bf16 pairs of them. */
int attention_steps(const struct model *m, int n);

/* Of keys or values of n positions, width numbers each: their panels, and in bf16 the rows'
 * pairs, with what is readable behind them. */
size_t attention_panels_size(const struct model *m, int width, int n);
size_t attention_rows_size(const struct model *m, int width, int n);

/* All n rows [n][width] as panels. */
void attention_pack_panels(const struct model *m, int width, const float *rows, int n,
                           float *panels);
/* And in bf16 as rows of pairs; `last` is the prefix's last row where its length is odd, else
 * NULL. */
void attention_pack_rows(const struct model *m, int width, const float *rows, int n,
                         const float *last, float *pairs);

/* Adds n rows behind the `first` that stand in memory laid out for decoding: keys as panels
 * (followed: others add rows behind these, at any time), or keys or values as rows (pairs in bf16)
 * behind a prefix of `before` positions, of whose rows `prefix` is the start. */
void attention_add_panels(const struct model *m, int width, const float *x, int first, int n,
                          bool followed, float *panels);
void attention_add_rows(const struct model *m, int width, const float *x, int first, int n,
                        int before, const float *prefix, float *rows);

/* Copies what n own positions filled of panels, and of rows behind `before` positions (the pair
 * that begins with the prefix's last one included). */
void attention_copy_panels(const struct model *m, int width, const float *panels, int n,
                           float *to);
void attention_copy_rows(const struct model *m, int width, const float *rows, int n,
                         int before, float *to);

#endif
