/* policy/ffn.c: the FFN half of a layer: dense, or DeepSeekMoE (arXiv 2412.19437, 2.1.2).
 *
 * Rows are sorted by expert inside a shard and each expert is one matmul; the gate scales
 * the hidden activations, before the down projection, so that its gradient is a dot product
 * already at hand. A row adds its parts in one order: residual, shared, experts ascending.
 */
#include "policy/block.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "policy/stage.h"

/* Activations of one mlp over its rows. */
struct mlp_rows {
    int n;
    const float *scale; /* [n] or NULL */
    float *g, *u, *h;   /* [n][F] */
};

static void mlp_forward(const struct model *m, const struct mlp *f, const struct mlp_rows *a,
                        const float *x, float *y, bool add, struct scratch *s) {
    size_t D = (size_t)m->cfg.hidden_size, F = (size_t)f->width;
    stage_enter(STAGE_MATMUL);
    linear_forward(m->k, &f->gate, a->n, x, D, a->g, F, false, PART_ALL, s);
    linear_forward(m->k, &f->up, a->n, x, D, a->u, F, false, PART_ALL, s);
    stage_enter(STAGE_NORM);
    m->k->swiglu(a->n, f->width, a->g, a->u, a->scale, a->h);
    stage_enter(STAGE_MATMUL);
    linear_forward(m->k, &f->down, a->n, a->h, F, y, D, add, PART_ALL, s);
}

/* The dense FFN of a shard, which a team may share: out (+)= mlp(xn2). */
static void dense_forward(const struct model *m, const struct mlp *f, struct acts *a,
                          struct block_work *w, const struct shard *s, float *out) {
    size_t row = (size_t)s->row, D = (size_t)m->cfg.hidden_size, F = (size_t)f->width;
    const float *x = w->xn2 + row * D;
    float *h = w->h + row * (size_t)w->h_width;
    stage_enter(STAGE_MATMUL);
    linear_forward(m->k, &f->gate, s->n, x, D, a->g + row * F, F, false, s->part, s->scratch);
    struct part other = {s->part.i, s->part.n, true};
    linear_forward(m->k, &f->up, s->n, x, D, a->u + row * F, F, false, other, s->scratch);
    shard_sync(s);
    stage_enter(STAGE_NORM);
    struct rows r = shard_rows(s);
    size_t at = (size_t)r.row * F;
    m->k->swiglu(r.n, f->width, a->g + at, a->u + at, NULL,
                 h + (size_t)(r.row - s->row) * F);
    shard_sync(s);
    stage_enter(STAGE_MATMUL);
    linear_forward(m->k, &f->down, s->n, h, F, out + row * D, D, true, s->part,
                   s->scratch);
    shard_sync(s);
}

/* g and u become dg and du, h their hidden activations. */
static void mlp_backward(const struct model *m, const struct mlp *f, const struct mlp_rows *a,
                         const float *dy, float *dscale, float *dx, struct scratch *s) {
    size_t D = (size_t)m->cfg.hidden_size, F = (size_t)f->width;
    stage_enter(STAGE_MATMUL);
    linear_backward(m->k, &f->down, a->n, dy, D, a->h, F, false, PART_ALL, s);
    stage_enter(STAGE_NORM);
    m->k->swiglu_backward(a->n, f->width, a->g, a->u, a->scale, a->h, a->g, a->u, a->h, dscale);
    stage_enter(STAGE_MATMUL);
    linear_backward(m->k, &f->gate, a->n, a->g, F, dx, D, false, PART_ALL, s);
    linear_backward(m->k, &f->up, a->n, a->u, F, dx, D, true, PART_ALL, s);
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

static void gather(const float *rows, const int *row, int n, size_t D, float *out) {
    for (int i = 0; i < n; i++)
        memcpy(out + (size_t)i * D, rows + (size_t)row[i] * D, D * sizeof *out);
}

/* Adds to each row what its experts made of it, in the order of the experts. */
static void scatter_add(const struct model *m, const struct acts *a, struct rows r,
                        const float *in, float *out) {
    int T = m->cfg.num_experts_per_tok;
    size_t D = (size_t)m->cfg.hidden_size;
    for (int i = r.row; i < r.row + r.n; i++) {
        int slot[64];
        for (int t = 0; t < T; t++) {
            int now = a->slot_of[i * T + t], j = t;
            for (; j > 0 && slot[j - 1] > now; j--) slot[j] = slot[j - 1];
            slot[j] = now;
        }
        for (int t = 0; t < T; t++)
            m->k->add(out + (size_t)i * D, in + (size_t)slot[t] * D, D);
    }
}

/* The next expert that this thread takes: all in turn where it is alone, in a team what no
 * other has taken yet. */
static int next_expert(const struct shard *s, int layer, int last) {
    return s->part.n == 1 ? last + 1 : atomic_fetch_add(&s->ticket[layer], 1);
}

/* Slots of expert e: the first, and how many. */
static int expert_slots(const struct model *m, const struct shard *s, const int *at, int e,
                        size_t *first) {
    *first = (size_t)(s->row * m->cfg.num_experts_per_tok + at[e]);
    return at[e + 1] - at[e];
}

static struct mlp_rows expert_rows(const struct model *m, struct acts *a, struct block_work *w,
                                   size_t first, int n) {
    size_t at = first * (size_t)m->cfg.moe_intermediate_size;
    return (struct mlp_rows){n, a->slot_gate + first, a->ge + at, a->ue + at, w->he + at};
}

static void route(const struct model *m, int layer, struct acts *a, struct block_work *w,
                  const struct shard *s) {
    const struct policy_config *c = &m->cfg;
    const struct layer *l = &m->layer[layer];
    struct rows r = shard_rows(s);
    size_t E = (size_t)c->n_routed_experts, T = (size_t)c->num_experts_per_tok;
    size_t D = (size_t)c->hidden_size, row = (size_t)r.row;
    float *score = a->score + row * E;
    stage_enter(STAGE_ROUTING);
    linear_forward(m->k, &l->router, r.n, w->xn2 + row * D, D, score, E, false, PART_ALL,
                   s->scratch);
    m->k->sigmoid(score, r.n * (int)E, score);
    for (size_t i = row; i < row + (size_t)r.n; i++)
        route_row(c, l->router_bias, a->score + i * E, a->expert + i * T, a->gate + i * T);
    shard_sync(s);
    if (s->part.i == 0) sort_slots(c, a, s, s->expert_at + layer * ((int)E + 1));
    shard_sync(s);
}

static void moe_forward(const struct model *m, int layer, struct acts *a, struct block_work *w,
                        const struct shard *s, float *out) {
    size_t D = (size_t)m->cfg.hidden_size, j;
    int E = m->cfg.n_routed_experts;
    const int *at = s->expert_at + layer * (E + 1);
    route(m, layer, a, w, s);
    for (int e = next_expert(s, layer, -1); e < E; e = next_expert(s, layer, e)) {
        int n = expert_slots(m, s, at, e, &j);
        if (n == 0) continue;
        struct mlp_rows rows = expert_rows(m, a, w, j, n);
        stage_enter(STAGE_ROUTING);
        gather(w->xn2, a->slot_row + j, n, D, w->xe + j * D);
        mlp_forward(m, &m->layer[layer].expert[e], &rows, w->xe + j * D, w->ye + j * D, false,
                    s->scratch);
    }
    shard_sync(s);
    stage_enter(STAGE_ROUTING);
    scatter_add(m, a, shard_rows(s), w->ye, out);
}

void block_ffn(const struct model *m, int layer, struct acts *a, struct block_work *w,
               const struct shard *s, float *out) {
    const struct layer *l = &m->layer[layer];
    struct rows r = shard_rows(s);
    size_t row = (size_t)r.row, D = (size_t)m->cfg.hidden_size;
    stage_enter(STAGE_NORM);
    m->k->rmsnorm(r.n, (int)D, a->xmid + row * D, D, l->post_norm.w, l->post_norm.eps,
                  w->xn2 + row * D, D, a->rstd + 3 * (size_t)a->rows + row);
    memcpy(out + row * D, a->xmid + row * D, (size_t)r.n * D * sizeof *out);
    shard_sync(s);
    if (l->dense.width > 0) dense_forward(m, &l->dense, a, w, s, out);
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
    int T = c->num_experts_per_tok;
    size_t D = (size_t)c->hidden_size, E = (size_t)c->n_routed_experts, j;
    const int *at = s->expert_at + layer * ((int)E + 1);
    for (int e = 0; e < (int)E; e++) {
        int n = expert_slots(m, s, at, e, &j);
        if (n == 0) continue;
        struct mlp_rows rows = expert_rows(m, a, w, j, n);
        stage_enter(STAGE_ROUTING);
        gather(dout, a->slot_row + j, n, D, w->ye + j * D);
        mlp_backward(m, &l->expert[e], &rows, w->ye + j * D, w->dgate + j, w->xe + j * D,
                     s->scratch);
    }
    stage_enter(STAGE_ROUTING);
    scatter_add(m, a, shard_rows(s), w->xe, w->dxn2);
    for (int i = s->row; i < s->row + s->n; i++) {
        size_t r = (size_t)i;
        float dgate[64];
        for (int t = 0; t < T; t++) dgate[t] = w->dgate[a->slot_of[i * T + t]];
        route_backward(c, a->score + r * E, a->expert + i * T, dgate, aux ? aux + r * E : NULL,
                       w->dlogits + r * E);
    }
    size_t row = (size_t)s->row;
    linear_backward(m->k, &l->router, s->n, w->dlogits + row * E, E, w->dxn2 + row * D, D, true,
                    PART_ALL, s->scratch);
}

void block_ffn_backward(const struct model *m, int layer, struct acts *a, struct block_work *w,
                        const struct shard *s, const float *dout, const float *aux) {
    const struct layer *l = &m->layer[layer];
    size_t row = (size_t)s->row, D = (size_t)m->cfg.hidden_size, F = (size_t)l->dense.width;
    size_t bytes = (size_t)s->n * D * sizeof *dout;
    const float *xmid = a->xmid + row * D, *rstd = a->rstd + 3 * (size_t)a->rows + row;
    stage_enter(STAGE_NORM);
    m->k->norm_again(s->n, (int)D, xmid, D, l->post_norm.w, rstd, w->xn2 + row * D, D);
    if (F > 0) {
        struct mlp_rows rows = {s->n, NULL, a->g + row * F, a->u + row * F, w->h + row * F};
        mlp_backward(m, &l->dense, &rows, dout + row * D, NULL, w->dxn2 + row * D, s->scratch);
    } else {
        memset(w->dxn2 + row * D, 0, bytes);
    }
    if (l->moe) moe_backward(m, layer, a, w, s, dout, aux);
    stage_enter(STAGE_NORM);
    memcpy(w->dxmid + row * D, dout + row * D, bytes);
    m->k->rmsnorm_backward(s->n, (int)D, xmid, D, l->post_norm.w, rstd, w->dxn2 + row * D, D,
                           w->dxmid + row * D, D, true);
}
