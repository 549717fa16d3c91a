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

/* The operands of a layer that several tiles or jobs share, packed ahead (grad_pack of
 * policy/linear.h) by the threads, each its rows; NULL where they are not. Each has room for
 * grad_ahead_size floats. */
struct grad_ahead {
    float *xn1, *xn2, *ao, *dout;
};
size_t grad_ahead_size(const struct model *m, int max_rows); /* 0: nothing is packed ahead */

/* One thread's lists. `dense` and its length belong to the pass, the rest to the layer. */
struct grad_list {
    struct grad_job *job; /* owned */
    int n_jobs;
    int *slot, *row; /* [R T + pads] slots by expert over all shards, and their rows; owned */
    float *grad;
    const int *dense; /* [n_dense] rows in pairs; NULL in f32: the rows in order */
    int n_dense, n_rows;
    struct grad_ahead ahead; /* borrowed from the pass */
};

void grad_list_init(struct grad_list *l, const struct model *m, int max_rows);
void grad_list_clear(struct grad_list *l);

/* Packs places [first, last) of the dense rows, for the jobs to come. */
void block_grad_pack(const struct grad_list *l, const struct model *m, int layer,
                     const struct acts *a, const struct block_work *w, const float *dout,
                     int first, int last);

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
