/* policy/block.c: the attention half of a layer, and its buffers. The FFN half is ffn.c. */
#include "policy/block.h"

#include <string.h>

#include "base/mem.h"
#include "policy/stage.h"

/* Hands out pieces of one allocation: once to count (base NULL), once for real. */
struct carver {
    char *base;
    size_t used;
};

static void *carve(struct carver *c, size_t n, size_t size) {
    void *p = c->base ? c->base + c->used : NULL;
    c->used += (n * size + 63) / 64 * 64 + 256; /* matmul may read 32 floats past the end */
    return p;
}

static float *floats(struct carver *c, size_t rows, int width) {
    return carve(c, rows * (size_t)width, sizeof(float));
}

static void carve_acts(struct acts *a, const struct model *m, int layer, size_t R,
                       struct carver *c) {
    const struct policy_config *cfg = &m->cfg;
    const struct layer *l = &m->layer[layer];
    int D = cfg->hidden_size, H = cfg->num_attention_heads;
    a->rows = (int)R;
    a->x = floats(c, R, D);
    a->xn1 = floats(c, R, D);
    a->rstd = floats(c, R, 4);
    a->qa = floats(c, R, cfg->q_lora_rank);
    a->qan = floats(c, R, cfg->q_lora_rank);
    a->q = floats(c, R, H * m->qd);
    a->kv = floats(c, R, m->dk);
    a->key = floats(c, R, m->dk);
    a->qt = floats(c, R, H * m->dk);
    a->o = floats(c, R, H * cfg->kv_lora_rank);
    a->ao = floats(c, R, H * cfg->v_head_dim);
    a->xmid = floats(c, R, D);
    a->xn2 = floats(c, R, D);
    a->g = floats(c, R, l->dense.width);
    a->u = floats(c, R, l->dense.width);
    a->h = floats(c, R, l->dense.width);
    if (!l->moe) return;
    int T = cfg->num_experts_per_tok, Fe = cfg->moe_intermediate_size;
    a->score = floats(c, R, cfg->n_routed_experts);
    a->gate = floats(c, R, T);
    a->slot_gate = floats(c, R, T);
    a->expert = carve(c, R * (size_t)T, sizeof(int));
    a->slot_row = carve(c, R * (size_t)T, sizeof(int));
    a->slot_of = carve(c, R * (size_t)T, sizeof(int));
    a->xe = floats(c, R * (size_t)T, D);
    a->ge = floats(c, R * (size_t)T, Fe);
    a->ue = floats(c, R * (size_t)T, Fe);
    a->he = floats(c, R * (size_t)T, Fe);
}

void *acts_new(struct acts *a, const struct model *m, int layer, int rows) {
    struct carver c = {0};
    *a = (struct acts){0};
    carve_acts(a, m, layer, (size_t)rows, &c);
    c = (struct carver){.base = mem_new(c.used, 1)};
    carve_acts(a, m, layer, (size_t)rows, &c);
    return c.base;
}

static void carve_work(struct block_work *w, const struct model *m, size_t R, bool backward,
                       struct carver *c) {
    const struct policy_config *cfg = &m->cfg;
    int D = cfg->hidden_size, H = cfg->num_attention_heads;
    bool moe = cfg->first_k_dense_replace < cfg->num_hidden_layers;
    size_t RT = R * (size_t)cfg->num_experts_per_tok;
    if (moe) w->ye = floats(c, RT, D);
    if (!backward) return;
    int F = 0;
    for (int i = 0; i < cfg->num_hidden_layers; i++)
        if (m->layer[i].dense.width > F) F = m->layer[i].dense.width;
    w->dh = floats(c, R, F);
    w->dxn1 = floats(c, R, D);
    w->dxn2 = floats(c, R, D);
    w->dxmid = floats(c, R, D);
    w->dao = floats(c, R, H * cfg->v_head_dim);
    w->d_o = floats(c, R, H * cfg->kv_lora_rank);
    w->dqt = floats(c, R, H * m->dk);
    w->dq = floats(c, R, H * m->qd);
    w->dkey = floats(c, R, m->dk);
    w->dkv = floats(c, R, m->dk);
    w->dqa = floats(c, R, cfg->q_lora_rank);
    w->dqan = floats(c, R, cfg->q_lora_rank);
    if (!moe) return;
    w->dlogits = floats(c, R, cfg->n_routed_experts);
    w->dgate = floats(c, RT, 1);
    w->dhe = floats(c, RT, cfg->moe_intermediate_size);
    w->dxe = floats(c, RT, D);
}

void *block_work_new(struct block_work *w, const struct model *m, int rows, bool backward) {
    struct carver c = {0};
    *w = (struct block_work){0};
    carve_work(w, m, (size_t)rows, backward, &c);
    c = (struct carver){.base = mem_new(c.used ? c.used : 1, 1)};
    carve_work(w, m, (size_t)rows, backward, &c);
    return c.base;
}

/* y[n][out] (+)= x[n][in] W^T */
static void forward(const struct model *m, const struct linear *l, int n, const float *x,
                    size_t ldx, float *y, size_t ldy, bool add) {
    stage_enter(STAGE_MATMUL);
    m->k->matmul(n, l->out, l->in, x, ldx, 1, l->fwd, y, ldy, add);
    stage_enter(STAGE_NORM);
}

/* dx[n][in] (+)= dy[n][out] W */
static void backward(const struct model *m, const struct linear *l, int n, const float *dy,
                     size_t ldy, float *dx, size_t ldx, bool add) {
    stage_enter(STAGE_MATMUL);
    m->k->matmul(n, l->in, l->out, dy, ldy, 1, l->bwd, dx, ldx, add);
    stage_enter(STAGE_NORM);
}

void block_project(const struct model *m, int layer, struct acts *a, const struct shard *s,
                   const int *pos) {
    const struct policy_config *c = &m->cfg;
    const struct layer *l = &m->layer[layer];
    int n = s->n, H = c->num_attention_heads, nope = c->qk_nope_head_dim;
    size_t row = (size_t)s->row, R = (size_t)a->rows, D = (size_t)c->hidden_size;
    size_t r = (size_t)c->kv_lora_rank, dk = (size_t)m->dk, qd = (size_t)m->qd;
    size_t qw = (size_t)H * qd, ql = (size_t)c->q_lora_rank;
    float *xn1 = a->xn1 + row * D, *q = a->q + row * qw, *kv = a->kv + row * dk;
    stage_enter(STAGE_NORM);
    m->k->rmsnorm(n, (int)D, a->x + row * D, D, l->input_norm.w, l->input_norm.eps, xn1, D,
                  a->rstd + row);
    if (ql > 0) {
        float *qa = a->qa + row * ql, *qan = a->qan + row * ql;
        forward(m, &l->q_a, n, xn1, D, qa, ql, false);
        m->k->rmsnorm(n, (int)ql, qa, ql, l->q_norm.w, l->q_norm.eps, qan, ql,
                      a->rstd + R + row);
        forward(m, &l->q_b, n, qan, ql, q, qw, false);
    } else {
        forward(m, &l->q_b, n, xn1, D, q, qw, false);
    }
    forward(m, &l->kv_a, n, xn1, D, kv, dk, false);
    m->k->rmsnorm(n, (int)r, kv, dk, l->kv_norm.w, l->kv_norm.eps, a->key + row * dk, dk,
                  a->rstd + 2 * R + row);
    for (int h = 0; h < H; h++)
        forward(m, &l->k_up[h], n, q + (size_t)h * qd, qw, a->qt + (row * (size_t)H + (size_t)h) * dk,
                (size_t)H * dk, false);
    for (size_t i = row; i < row + (size_t)n; i++) {
        model_rope(m, 1, pos[i], a->kv + i * dk + r, 0, a->key + i * dk + r, 0, false);
        model_rope(m, H, pos[i], a->q + i * qw + nope, qd, a->qt + i * (size_t)H * dk + r, dk,
                   false);
    }
}

void block_attn_out(const struct model *m, int layer, struct acts *a, const struct shard *s) {
    const struct policy_config *c = &m->cfg;
    const struct layer *l = &m->layer[layer];
    size_t row = (size_t)s->row, D = (size_t)c->hidden_size, H = (size_t)c->num_attention_heads;
    size_t r = (size_t)c->kv_lora_rank, v = (size_t)c->v_head_dim;
    for (size_t h = 0; h < H; h++)
        forward(m, &l->v_up[h], s->n, a->o + (row * H + h) * r, H * r,
                a->ao + row * H * v + h * v, H * v, false);
    memcpy(a->xmid + row * D, a->x + row * D, (size_t)s->n * D * sizeof(float));
    forward(m, &l->o, s->n, a->ao + row * H * v, H * v, a->xmid + row * D, D, true);
}

void block_attn_out_backward(const struct model *m, int layer, struct acts *a,
                             struct block_work *w, const struct shard *s) {
    const struct policy_config *c = &m->cfg;
    const struct layer *l = &m->layer[layer];
    size_t row = (size_t)s->row, D = (size_t)c->hidden_size, H = (size_t)c->num_attention_heads;
    size_t r = (size_t)c->kv_lora_rank, v = (size_t)c->v_head_dim;
    (void)a;
    backward(m, &l->o, s->n, w->dxmid + row * D, D, w->dao + row * H * v, H * v, false);
    for (size_t h = 0; h < H; h++)
        backward(m, &l->v_up[h], s->n, w->dao + row * H * v + h * v, H * v,
                 w->d_o + (row * H + h) * r, H * r, false);
}

/* dqt -> dq (through k_up and rope), dkey -> dkv (through the norm and rope). */
static void unproject_heads(const struct model *m, const struct layer *l, struct acts *a,
                            struct block_work *w, const struct shard *s, const int *pos) {
    const struct policy_config *c = &m->cfg;
    size_t row = (size_t)s->row, R = (size_t)a->rows, H = (size_t)c->num_attention_heads;
    size_t r = (size_t)c->kv_lora_rank, dk = (size_t)m->dk, qd = (size_t)m->qd, qw = H * qd;
    size_t nope = (size_t)c->qk_nope_head_dim;
    for (size_t h = 0; h < H; h++)
        backward(m, &l->k_up[h], s->n, w->dqt + (row * H + h) * dk, H * dk,
                 w->dq + row * qw + h * qd, qw, false);
    m->k->rmsnorm_backward(s->n, (int)r, a->kv + row * dk, dk, l->kv_norm.w,
                           a->rstd + 2 * R + row, w->dkey + row * dk, dk, w->dkv + row * dk,
                           dk, false);
    for (size_t i = row; i < row + (size_t)s->n; i++) {
        model_rope(m, 1, pos[i], w->dkey + i * dk + r, 0, w->dkv + i * dk + r, 0, true);
        model_rope(m, (int)H, pos[i], w->dqt + i * H * dk + r, dk, w->dq + i * qw + nope, qd,
                   true);
    }
}

void block_project_backward(const struct model *m, int layer, struct acts *a,
                            struct block_work *w, const struct shard *s, const int *pos,
                            float *dx) {
    const struct policy_config *c = &m->cfg;
    const struct layer *l = &m->layer[layer];
    int n = s->n;
    size_t row = (size_t)s->row, R = (size_t)a->rows, D = (size_t)c->hidden_size;
    size_t dk = (size_t)m->dk, qw = (size_t)c->num_attention_heads * (size_t)m->qd;
    size_t ql = (size_t)c->q_lora_rank;
    float *dxn = w->dxn1 + row * D, *dq = w->dq + row * qw;
    unproject_heads(m, l, a, w, s, pos);
    backward(m, &l->kv_a, n, w->dkv + row * dk, dk, dxn, D, false);
    if (ql > 0) {
        float *dqa = w->dqa + row * ql, *dqan = w->dqan + row * ql;
        backward(m, &l->q_b, n, dq, qw, dqan, ql, false);
        m->k->rmsnorm_backward(n, (int)ql, a->qa + row * ql, ql, l->q_norm.w,
                               a->rstd + R + row, dqan, ql, dqa, ql, false);
        backward(m, &l->q_a, n, dqa, ql, dxn, D, true);
    } else {
        backward(m, &l->q_b, n, dq, qw, dxn, D, true);
    }
    memcpy(dx + row * D, w->dxmid + row * D, (size_t)n * D * sizeof(float));
    m->k->rmsnorm_backward(n, (int)D, a->x + row * D, D, l->input_norm.w, a->rstd + row, dxn, D,
                           dx + row * D, D, true);
}
