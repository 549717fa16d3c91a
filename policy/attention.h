/* policy/attention.h: causal attention of query rows over a shared prefix and own keys.
 *
 * In the absorbed form of MLA all H heads share one key of dk numbers a position, whose
 * first r numbers are also the value. A job is a run of consecutive rows of one sequence;
 * neighbouring jobs with the same prefix (the completions of one prompt) share its
 * products. A row's result depends on its query and the keys it sees alone.
 */
#ifndef POLICY_ATTENTION_H
#define POLICY_ATTENTION_H

#include "policy/model.h"

struct attn_keys {
    const float *panels; /* ceil(n / 32) panels of [dk][32]: the keys as columns */
    const float *rows;   /* [n][dk], 32 readable floats behind the last */
    int n;               /* positions */
};

struct attn_job {
    int n_rows;
    int first;             /* row i sees own[0 .. first + i] and the whole prefix */
    struct attn_keys prefix, own;
    float *dprefix, *down; /* [n][dk] gradients of the keys, added to; backward only */
};

/* Work memory of one thread. A zeroed struct is empty; grown by attn_scratch_reserve. */
struct attn_scratch {
    float *s, *ds; /* [n] each, owned */
    size_t n;
};

/* Makes room for jobs that see at most max_keys positions. */
void attn_scratch_reserve(struct attn_scratch *a, const struct model *m, int max_keys);
void attn_scratch_clear(struct attn_scratch *a);

/* q [rows][H][dk] -> o [rows][H][r], rows counted over all jobs. */
void attention_forward(const struct model *m, const struct attn_job *job, int n_jobs,
                       const float *q, float *o, const struct attn_scratch *a);

/* From d_o: dq is written, each job's dprefix and down are added to, in job order. */
void attention_backward(const struct model *m, const struct attn_job *job, int n_jobs,
                        const float *q, const float *d_o, float *dq,
                        const struct attn_scratch *a);

/* Writes keys rows[n][dk] as panels, positions first..first+n-1 of the panels. */
void attention_panels(int dk, const float *rows, int first, int n, float *panels);

#endif
