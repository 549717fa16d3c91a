/* policy/ffn.c: the FFN half of a layer: dense, or DeepSeekMoE (arXiv 2412.19437, 2.1.2).
 *
 * Rows are sorted by expert inside a shard and each expert is one matmul; the gate scales
 * the hidden activations, before the down projection, so that its gradient is a dot product
 * already at hand. A row adds its parts in one order: residual, shared, experts ascending.
 */
#include "policy/block.h"

#include <math.h>
#include <string.h>

#include "policy/stage.h"

static void mlp_forward(const struct model *m, const struct mlp *f, int n, const float *x,
                        const float *scale, float *g, float *u, float *h, float *y, bool add) {
    const struct kernels *k = m->k;
    size_t D = (size_t)m->cfg.hidden_size, F = (size_t)f->width;
    stage_enter(STAGE_MATMUL);
    k->matmul(n, f->width, (int)D, x, D, 1, f->gate.fwd, g, F, false);
    k->matmul(n, f->width, (int)D, x, D, 1, f->up.fwd, u, F, false);
    stage_enter(STAGE_NORM);
    k->swiglu(n, f->width, g, u, scale, h);
    stage_enter(STAGE_MATMUL);
    k->matmul(n, (int)D, f->width, h, F, 1, f->down.fwd, y, D, add);
}

/* g and u become dg and du. */
static void mlp_backward(const struct model *m, const struct mlp *f, int n, const float *dy,
                         const float *scale, float *g, float *u, float *dh, float *dscale,
                         float *dx) {
    const struct kernels *k = m->k;
    size_t D = (size_t)m->cfg.hidden_size, F = (size_t)f->width;
    stage_enter(STAGE_MATMUL);
    k->matmul(n, f->width, (int)D, dy, D, 1, f->down.bwd, dh, F, false);
    stage_enter(STAGE_NORM);
    k->swiglu_backward(n, f->width, g, u, scale, dh, g, u, dscale);
    stage_enter(STAGE_MATMUL);
    k->matmul(n, (int)D, f->width, g, F, 1, f->gate.bwd, dx, D, false);
    k->matmul(n, (int)D, f->width, u, F, 1, f->up.bwd, dx, D, true);
}

/* The sum of the two largest choices of each group; the best topk_group groups stay. */
static void keep_groups(const struct policy_config *c, float *choice) {
    int size = c->n_routed_experts / c->n_group;
    float group[256];
    for (int g = 0; g < c->n_group; g++) {
        float a = -INFINITY, b = -INFINITY;
        for (int e = g * size; e < (g + 1) * size; e++) {
            if (choice[e] > a) {
                b = a;
                a = choice[e];
            } else if (choice[e] > b) {
                b = choice[e];
            }
        }
        group[g] = size > 1 ? a + b : a;
    }
    bool kept[256] = {false};
    for (int i = 0; i < c->topk_group; i++) {
        int best = -1;
        for (int g = 0; g < c->n_group; g++)
            if (!kept[g] && (best < 0 || group[g] > group[best])) best = g;
        kept[best] = true;
    }
    for (int g = 0; g < c->n_group; g++)
        for (int e = g * size; e < (g + 1) * size && !kept[g]; e++) choice[e] = -INFINITY;
}

/* Picks T experts by score + bias (lowest index on ties), weighs them by score alone. */
static void route_row(const struct policy_config *c, const float *bias, const float *score,
                      int *expert, float *gate) {
    int E = c->n_routed_experts, T = c->num_experts_per_tok;
    float choice[1024], sum = 0;
    for (int e = 0; e < E; e++) choice[e] = score[e] + bias[e];
    if (c->n_group > 1 && c->topk_group < c->n_group) keep_groups(c, choice);
    for (int t = 0; t < T; t++) {
        int best = -1;
        for (int e = 0; e < E; e++)
            if (!isnan(choice[e]) && (best < 0 || choice[e] > choice[best])) best = e;
        if (best < 0) best = t; /* NaN everywhere: the loss will be refused as not finite */
        choice[best] = NAN;
        expert[t] = best;
        gate[t] = score[best];
        sum += score[best];
    }
    float scale = (float)c->routed_scaling_factor;
    for (int t = 0; t < T; t++)
        gate[t] = (c->norm_topk_prob ? gate[t] / (sum + 1e-20f) : gate[t]) * scale;
}

/* Counting sort of the shard's (row, choice) pairs by expert, rows in order. */
static void sort_slots(const struct policy_config *c, struct acts *a, const struct shard *s,
                       int *at) {
    int E = c->n_routed_experts, T = c->num_experts_per_tok, first = s->row * T;
    int next[1025] = {0};
    for (int i = first; i < first + s->n * T; i++) next[a->expert[i] + 1]++;
    for (int e = 0; e < E; e++) next[e + 1] += next[e];
    memcpy(at, next, (size_t)(E + 1) * sizeof *at);
    for (int i = first; i < first + s->n * T; i++) {
        int slot = first + next[a->expert[i]]++;
        a->slot_row[slot] = i / T;
        a->slot_gate[slot] = a->gate[i];
        a->slot_of[i] = slot;
    }
}

static void gather(const float *rows, const int *row, int first, int n, size_t D, float *out) {
    for (int i = first; i < first + n; i++)
        memcpy(out + (size_t)i * D, rows + (size_t)row[i] * D, D * sizeof *out);
}

static void scatter_add(const struct model *m, const float *in, const int *row, int first,
                        int n, float *rows) {
    size_t D = (size_t)m->cfg.hidden_size;
    for (int i = first; i < first + n; i++)
        m->k->add(rows + (size_t)row[i] * D, in + (size_t)i * D, D);
}

static void moe_forward(const struct model *m, int layer, struct acts *a, struct block_work *w,
                        const struct shard *s, float *out) {
    const struct policy_config *c = &m->cfg;
    const struct layer *l = &m->layer[layer];
    int E = c->n_routed_experts, T = c->num_experts_per_tok;
    int *at = s->expert_at + layer * (E + 1);
    size_t D = (size_t)c->hidden_size, Fe = (size_t)c->moe_intermediate_size;
    size_t row = (size_t)s->row;
    float *score = a->score + row * (size_t)E;
    stage_enter(STAGE_ROUTING);
    m->k->matmul(s->n, E, (int)D, a->xn2 + row * D, D, 1, l->router.fwd, score, (size_t)E, false);
    m->k->sigmoid(score, s->n * E, score);
    for (size_t i = row; i < row + (size_t)s->n; i++)
        route_row(c, l->router_bias, a->score + i * (size_t)E, a->expert + i * (size_t)T,
                  a->gate + i * (size_t)T);
    sort_slots(c, a, s, at);
    gather(a->xn2, a->slot_row, s->row * T, s->n * T, D, a->xe);
    for (int e = 0; e < E; e++) {
        size_t j = (size_t)(s->row * T + at[e]);
        if (at[e + 1] > at[e])
            mlp_forward(m, &l->expert[e], at[e + 1] - at[e], a->xe + j * D, a->slot_gate + j,
                        a->ge + j * Fe, a->ue + j * Fe, a->he + j * Fe, w->ye + j * D, false);
    }
    stage_enter(STAGE_ROUTING);
    scatter_add(m, w->ye, a->slot_row, s->row * T, s->n * T, out);
}

void block_ffn(const struct model *m, int layer, struct acts *a, struct block_work *w,
               const struct shard *s, float *out) {
    const struct layer *l = &m->layer[layer];
    size_t row = (size_t)s->row, D = (size_t)m->cfg.hidden_size, F = (size_t)l->dense.width;
    stage_enter(STAGE_NORM);
    m->k->rmsnorm(s->n, (int)D, a->xmid + row * D, D, l->post_norm.w, l->post_norm.eps,
                  a->xn2 + row * D, D, a->rstd + 3 * (size_t)a->rows + row);
    memcpy(out + row * D, a->xmid + row * D, (size_t)s->n * D * sizeof *out);
    if (F > 0)
        mlp_forward(m, &l->dense, s->n, a->xn2 + row * D, NULL, a->g + row * F,
                    a->u + row * F, a->h + row * F, out + row * D, true);
    if (l->moe) moe_forward(m, layer, a, w, s, out);
}

/* Gate weights back to router logits: w_t = a s_t / S with S = sum s (or w_t = a s_t), and
 * s = sigmoid(logit). Experts that were not chosen get only the balance loss's part. */
static void route_backward(const struct policy_config *c, const float *score, const int *expert,
                           const float *dgate, const float *aux, float *dlogits) {
    int E = c->n_routed_experts, T = c->num_experts_per_tok;
    float scale = (float)c->routed_scaling_factor, sum = 1e-20f, dot = 0;
    for (int e = 0; e < E; e++) dlogits[e] = aux ? aux[e] : 0;
    for (int t = 0; t < T; t++) {
        sum += score[expert[t]];
        dot += dgate[t] * score[expert[t]];
    }
    for (int t = 0; t < T; t++) {
        float d = c->norm_topk_prob ? dgate[t] / sum - dot / (sum * sum) : dgate[t];
        dlogits[expert[t]] += scale * d;
    }
    for (int e = 0; e < E; e++) dlogits[e] *= score[e] * (1 - score[e]);
}

static void moe_backward(const struct model *m, int layer, struct acts *a, struct block_work *w,
                         const struct shard *s, const float *dout, const float *aux) {
    const struct policy_config *c = &m->cfg;
    const struct layer *l = &m->layer[layer];
    int E = c->n_routed_experts, T = c->num_experts_per_tok;
    const int *at = s->expert_at + layer * (E + 1);
    size_t D = (size_t)c->hidden_size, Fe = (size_t)c->moe_intermediate_size;
    stage_enter(STAGE_ROUTING);
    gather(dout, a->slot_row, s->row * T, s->n * T, D, w->ye);
    for (int e = 0; e < E; e++) {
        size_t j = (size_t)(s->row * T + at[e]);
        if (at[e + 1] > at[e])
            mlp_backward(m, &l->expert[e], at[e + 1] - at[e], w->ye + j * D, a->slot_gate + j,
                         a->ge + j * Fe, a->ue + j * Fe, w->dhe + j * Fe, w->dgate + j,
                         w->dxe + j * D);
    }
    stage_enter(STAGE_ROUTING);
    scatter_add(m, w->dxe, a->slot_row, s->row * T, s->n * T, w->dxn2);
    for (int i = s->row; i < s->row + s->n; i++) {
        size_t r = (size_t)i;
        float dgate[64];
        for (int t = 0; t < T; t++) dgate[t] = w->dgate[a->slot_of[i * T + t]];
        route_backward(c, a->score + r * (size_t)E, a->expert + i * T, dgate,
                       aux ? aux + r * (size_t)E : NULL, w->dlogits + r * (size_t)E);
    }
    size_t row = (size_t)s->row;
    m->k->matmul(s->n, (int)D, E, w->dlogits + row * (size_t)E, (size_t)E, 1, l->router.bwd,
                 w->dxn2 + row * D, D, true);
}

void block_ffn_backward(const struct model *m, int layer, struct acts *a, struct block_work *w,
                        const struct shard *s, const float *dout, const float *aux) {
    const struct layer *l = &m->layer[layer];
    size_t row = (size_t)s->row, D = (size_t)m->cfg.hidden_size, F = (size_t)l->dense.width;
    size_t bytes = (size_t)s->n * D * sizeof *dout;
    if (F > 0)
        mlp_backward(m, &l->dense, s->n, dout + row * D, NULL, a->g + row * F, a->u + row * F,
                     w->dh + row * F, NULL, w->dxn2 + row * D);
    else
        memset(w->dxn2 + row * D, 0, bytes);
    if (l->moe) moe_backward(m, layer, a, w, s, dout, aux);
    stage_enter(STAGE_NORM);
    memcpy(w->dxmid + row * D, dout + row * D, bytes);
    m->k->rmsnorm_backward(s->n, (int)D, a->xmid + row * D, D, l->post_norm.w,
                           a->rstd + 3 * (size_t)a->rows + row, w->dxn2 + row * D, D,
                           w->dxmid + row * D, D, true);
}
