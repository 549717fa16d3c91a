/* policy/attention.h: causal attention of query rows over a shared prefix and own keys.
 *
 * n_kv heads of keys and values, each met by H / n_kv heads of queries (all H by one in the
 * absorbed form of MLA, where the value is the first numbers of the key). A job is a run of
 * consecutive rows of one sequence; neighbouring jobs with the same prefix (the completions
 * of one prompt) share its products. A row's result depends on its query and the keys it
 * sees alone.
 */
#ifndef POLICY_ATTENTION_H
#define POLICY_ATTENTION_H

#include "policy/model.h"

/* Keys and values of n positions. Panels hold 32 positions each: [dk][32], the keys as
 * columns; rows are [n][dk]. Values likewise with dv, or, in MLA, the keys' own memory.
 * 32 floats behind the last row are readable. */
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

/* Writes rows[n][width] as panels, positions first..first+n-1 of the panels. */
void attention_panels(int width, const float *rows, int first, int n, float *panels);

/* Keys of a run of rows: where their panels and rows start (value memory NULL in MLA). */
struct attn_keys attention_keys(const struct model *m, const float *panels, const float *rows,
                                const float *val_panels, const float *val_rows, int n);

#endif
