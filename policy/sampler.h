/* policy/sampler.h: one row of logits to a distribution, and a draw from it.
 *
 * The trainer calls the same functions as the rollout, so the log-probability recorded when
 * a token was drawn is the one the loss sees, bit for bit. Filters apply in the order of
 * transformers: temperature, top_k, top_p, min_p. Logits are never written. Any thread.
 */
#ifndef POLICY_SAMPLER_H
#define POLICY_SAMPLER_H

#include "policy/kernels.h"

struct sampler {
    double temperature; /* 0: greedy, the lowest id among equals */
    int top_k;          /* keep the k most likely (and their equals); 0: all */
    double top_p;       /* keep the fewest whose sum reaches it; 1: all */
    double min_p;       /* keep those above min_p times the best; 0: all */
};

/* A row's distribution: p[j] = weight[j] / sum, weight 0 where a filter dropped j. */
struct sampler_row {
    float *weight; /* [V], the caller's scratch */
    float max;     /* largest logit */
    float inv_t;
    double sum, log_sum;
    double total; /* of the weights, block by block; set by sampler_row_open */
    int greedy;   /* the id that every draw gives, or -1; likewise */
};

/* Fills row->weight (already pointing at V floats) and the rest. temperature > 0. */
void sampler_row_fill(struct sampler_row *row, const struct kernels *k,
                      const struct sampler *s, const float *logits, int V);

/* log p[id]; -inf where a filter dropped it. */
float sampler_row_logp(const struct sampler_row *row, const float *logits, int id);

/* -sum p log p, in nats. */
float sampler_row_entropy(const struct sampler_row *row, const struct kernels *k,
                          const float *logits, int V);

/* Draws from logits[V] with the uniform number u in [0, 1): the first id whose cumulated
 * weight exceeds u times the sum. *logp is its log-probability under the distribution it
 * was drawn from (0 when greedy). scratch[V]. */
int sampler_draw(const struct kernels *k, const struct sampler *s, const float *logits,
                 int V, double u, float *scratch, float *logp);

/* The same in two halves, for several draws from one row: fills the row (row->weight points
 * at V floats), at any temperature; then a draw for each u. */
void sampler_row_open(struct sampler_row *row, const struct kernels *k,
                      const struct sampler *s, const float *logits, int V);
int sampler_row_draw(const struct sampler_row *row, const float *logits, int V, double u,
                     float *logp);

#endif
