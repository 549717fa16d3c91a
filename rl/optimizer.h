/* rl/optimizer.h: gradient slab to new weights: clipping, AdamW, learning rate, the bias
 * rule of the router. Every result is the same for any number of threads.
 */
#ifndef RL_OPTIMIZER_H
#define RL_OPTIMIZER_H

#include <stdint.h>

#include "policy/kernels.h"
#include "policy/weights.h"

enum lr_schedule { LR_CONSTANT, LR_COSINE, LR_LINEAR };

struct optimizer_config {
    double learning_rate;
    enum lr_schedule schedule;
    int warmup_steps, max_steps;
    double weight_decay; /* on matrices only, as transformers' Trainer does */
    double beta1, beta2, epsilon;
    double max_grad_norm; /* 0: no clipping */
};

/* AdamW's state (Loshchilov and Hutter, arXiv 1711.05101), slabs laid out as the weights. */
struct optimizer {
    float *m, *v, *grad; /* [n_data], owned */
    size_t n_data;
    int64_t t; /* updates done */
};

void optimizer_init(struct optimizer *o, const struct weights *w);
void optimizer_clear(struct optimizer *o);

/* Forgets moments and count: a new stage starts fresh. */
void optimizer_reset(struct optimizer *o);

/* The rate of step `step` (from 0), as transformers computes it: linear warm-up from 0,
 * then constant, half a cosine to 0, or a line to 0. */
double optimizer_rate(const struct optimizer_config *c, int step);

/* 2-norm of the gradient over all trained tensors, before clipping. */
double optimizer_grad_norm(const struct optimizer *o, const struct weights *w,
                           const struct kernels *k, int n_threads);

/* One update with learning rate lr from o->grad, scaled down when grad_norm is above
 * max_grad_norm. The caller has checked that grad_norm is finite. */
void optimizer_step(struct optimizer *o, const struct weights *w, const struct kernels *k,
                    const struct optimizer_config *c, double lr, double grad_norm,
                    int n_threads);

/* Auxiliary-loss-free balancing (arXiv 2408.15664; DeepSeek-V3 2.1.2): after a step,
 * b_i += gamma sign(mean load - load_i) in every MoE layer. load is [layers][E]. */
void optimizer_balance(const struct weights *w, const int64_t *load, double gamma);

#endif
