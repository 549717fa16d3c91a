/* rl/optimizer.c: see optimizer.h. */
#include "rl/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fmath.h"
#include "base/mem.h"

enum { PIECE = 1 << 14 }; /* floats of one unit of work, and of one partial sum */

void optimizer_init(struct optimizer *o, const struct weights *w) {
    *o = (struct optimizer){.n_data = w->n_data};
    o->m = mem_new(o->n_data, sizeof *o->m);
    o->v = mem_new(o->n_data, sizeof *o->v);
    o->grad = mem_new(o->n_data, sizeof *o->grad);
}

void optimizer_clear(struct optimizer *o) {
    mem_free(o->m);
    mem_free(o->v);
    mem_free(o->grad);
    *o = (struct optimizer){0};
}

void optimizer_reset(struct optimizer *o) {
    memset(o->m, 0, o->n_data * sizeof *o->m);
    memset(o->v, 0, o->n_data * sizeof *o->v);
    o->t = 0;
}

double optimizer_rate(const struct optimizer_config *c, int step) {
    if (step < c->warmup_steps) return c->learning_rate * step / c->warmup_steps;
    int span = c->max_steps > c->warmup_steps ? c->max_steps - c->warmup_steps : 1;
    double done = (double)(step - c->warmup_steps) / span;
    switch (c->schedule) {
    case LR_COSINE:
        return c->learning_rate * 0.5 * (1 + fmath_cos(3.14159265358979323846 * done));
    case LR_LINEAR:
        return done < 1 ? c->learning_rate * (1 - done) : 0;
    default:
        return c->learning_rate;
    }
}

static size_t tensor_size(const struct weights_tensor *t) {
    return (size_t)t->rows * (size_t)t->cols;
}

/* Gaps between tensors are zero, so pieces of the slab may cross them. Partial sums are
 * added in the order of the pieces. */
double optimizer_grad_norm(const struct optimizer *o, const struct weights *w,
                           const struct kernels *k, int n_threads) {
    size_t pieces = (o->n_data + PIECE - 1) / PIECE;
    double *part = mem_new(pieces, sizeof *part), sum = 0;
    (void)w;
#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (size_t i = 0; i < pieces; i++) {
        size_t at = i * PIECE, n = o->n_data - at < PIECE ? o->n_data - at : PIECE;
        part[i] = k->sum_squares(o->grad + at, n);
    }
    for (size_t i = 0; i < pieces; i++) sum += part[i];
    mem_free(part);
    return sqrt(sum);
}

void optimizer_step(struct optimizer *o, const struct weights *w, const struct kernels *k,
                    const struct optimizer_config *c, double lr, double grad_norm,
                    int n_threads) {
    double clip = 1;
    if (c->max_grad_norm > 0 && grad_norm > c->max_grad_norm)
        clip = c->max_grad_norm / (grad_norm + 1e-6);
    o->t++;
    double t = (double)o->t;
    struct adamw_rates rates = {
        .beta1 = (float)c->beta1,
        .beta2 = (float)c->beta2,
        .rest1 = (float)(1 - c->beta1),
        .rest2 = (float)(1 - c->beta2),
        .eps = (float)c->epsilon,
        .clip = (float)clip,
        .step = (float)(lr / (1 - fmath_pow(c->beta1, t))),
        .v_scale = (float)(1 / sqrt(1 - fmath_pow(c->beta2, t))),
    };
#pragma omp parallel for schedule(dynamic) num_threads(n_threads)
    for (int i = 0; i < w->n_tensors; i++) {
        const struct weights_tensor *wt = &w->tensor[i];
        if (!wt->trained) continue;
        struct adamw_rates r = rates;
        r.decay = wt->n_dims == 2 ? (float)(lr * c->weight_decay) : 0;
        size_t at = wt->offset;
        k->adamw(w->data + at, o->m + at, o->v + at, o->grad + at, tensor_size(wt), &r);
    }
}

void optimizer_balance(const struct weights *w, const int64_t *load, double gamma) {
    const struct policy_config *c = &w->cfg;
    int E = c->n_routed_experts;
    for (int l = c->first_k_dense_replace; l < c->num_hidden_layers; l++) {
        char name[WEIGHTS_NAME_MAX];
        snprintf(name, sizeof name, "model.layers.%d.mlp.gate.e_score_correction_bias", l);
        float *bias = weights_at(w, weights_find(w, name));
        int64_t sum = 0;
        for (int e = 0; e < E; e++) sum += load[l * E + e];
        for (int e = 0; e < E; e++) {
            int64_t over = load[l * E + e] * E - sum;
            bias[e] += (float)(over < 0 ? gamma : over > 0 ? -gamma : 0);
        }
    }
}
