/* policy/train.h: a batch of whole sequences, forward, loss, backward.
 *
 * Rows are ragged: no padding. A sequence may continue a parent (the completions of one
 * prompt share its rows), so a prompt is computed once a group, forward and backward. One
 * parallel region runs a pass; threads own families of sequences, weight gradients are
 * shared out by tiles. Results depend neither on the thread count nor on how a step's
 * sequences are cut into passes.
 */
#ifndef POLICY_TRAIN_H
#define POLICY_TRAIN_H

#include <stdint.h>

#include "policy/model.h"
#include "policy/sampler.h"

struct batch_seq {
    int parent; /* index of an earlier sequence without a parent, whose rows are all
                   seen; -1: none. Children follow their parent directly. */
    int row, n; /* its rows, in order and without gaps over the batch */
    int pos;    /* position of the first row: the parent's length */
};

struct batch {
    const struct batch_seq *seq;
    int n_seqs, n_rows;
    const int *id;     /* [n_rows] */
    const int *target; /* [n_rows] the token that follows; -1: nothing to learn here */
    const int *copies; /* [n_rows] tokens that a row stands for in the experts' load; NULL: 1 */
};

/* One target as the loss sees it; returns dLoss/dlogp, and may keep the values by row.
 * Called from several threads, for different rows. */
typedef float (*train_loss)(void *ctx, int row, float logp, float entropy);

struct train_space; /* buffers for passes of at most max_rows rows; one pass at a time */

struct train_space *train_space_new(const struct model *m, int max_rows, int n_threads);
void train_space_free(struct train_space *t);

/* Forward, loss, and (grad not NULL) backward: gradients are added to grad, laid out as the
 * weights' slab. Log-probabilities are under sampler s (temperature > 0). aux_scale weighs
 * the sequence-wise balance loss (alpha / sequences in the step; 0: off). CHECKs that the
 * batch fits max_rows. */
void train_pass(struct train_space *t, const struct batch *b, const struct sampler *s,
                train_loss loss, void *ctx, double aux_scale, float *grad);

/* Ends a step of one or more passes: adds what they left aside (the embedding's part where
 * the head is tied to it, so that the cut into passes does not show) to grad. */
void train_finish(struct train_space *t, float *grad);

/* Logits [n_rows][V] of every row, for tests and tools. */
void train_logits(struct train_space *t, const struct batch *b, float *logits);

/* The experts that a row of the last pass was routed to, best first: [layers that have
 * experts][num_experts_per_tok] into out. Not with options.recompute. */
void train_experts(const struct train_space *t, int row, uint8_t *out);

/* Tokens routed to each expert since the last reset: [layers][E], row-major. */
const int64_t *train_expert_load(const struct train_space *t);
void train_expert_load_reset(struct train_space *t);

#endif
