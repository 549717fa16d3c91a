/* policy/block_grad.h: the weight gradients of a layer, listed as jobs (policy/linear.h).
 *
 * Every thread makes the same list after the layer's backward and takes tiles of it; each
 * element is one chain over all rows in order, so that neither the thread count, nor the
 * shards, nor the cut into micro-batches shows. In bf16 rows are taken in pairs that never
 * cross the border of a sequence, for the same reason.
 */
#ifndef POLICY_BLOCK_GRAD_H
#define POLICY_BLOCK_GRAD_H

#include "policy/block.h"

/* One thread's lists. `dense` and its length belong to the pass, the rest to the layer. */
struct grad_list {
    struct grad_job *job; /* owned */
    int n_jobs;
    int *slot, *row; /* [R T + pads] slots by expert over all shards, and their rows; owned */
    float *grad;
    const int *dense; /* [n_dense] rows in pairs; NULL in f32 */
    int n_dense;
};

void grad_list_init(struct grad_list *l, const struct model *m, int max_rows);
void grad_list_clear(struct grad_list *l);

/* Lists the jobs of a layer over all shards; dout is what block_ffn_backward had. seq_of[row]
 * numbers the rows' sequences. */
void block_grad_jobs(struct grad_list *l, const struct model *m, int layer,
                     const struct acts *a, const struct block_work *w, const struct shard *s,
                     int n_shards, const int *seq_of, const float *dout);

/* Norm weights of the layer over all rows: part number `part` of n_parts of the columns. */
void block_grad_norms(const struct model *m, int layer, const struct acts *a,
                      const struct block_work *w, int rows, int part, int n_parts,
                      float *grad);

#endif
