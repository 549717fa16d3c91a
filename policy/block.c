/* policy/block.c: a layer's buffers, and its attention half as both architectures share it.
 * The FFN half is ffn.c. */
#include "policy/block.h"

#include <string.h>

#include "base/mem.h"
#include "policy/stage.h"

struct rows shard_rows(const struct shard *s) {
    int from = (int)((long)s->n * s->part.i / s->part.n);
    int to = (int)((long)s->n * (s->part.i + 1) / s->part.n);
    return (struct rows){s->row + from, to - from};
}

void shard_sync(const struct shard *s) {
    if (s->part.n > 1) {
#pragma omp barrier
    }
}

/* Hands out pieces of one allocation: once to count (base NULL), once for real. */
struct carver {
    char *base;
    size_t used;
};

static void *carve(struct carver *c, size_t n, size_t size) {
    if (n == 0) return NULL;
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
    bool mla = m->dv == 0;
    a->rows = (int)R;
    a->x = floats(c, R, D);
    a->rstd = floats(c, R, 4);
    if (mla) {
        a->qa = floats(c, R, cfg->q_lora_rank);
        a->q = floats(c, R, H * m->qd);
        a->kv = floats(c, R, m->dk);
    }
    a->key = floats(c, R, m->dk);
    a->val = floats(c, R, m->dv);
    a->qt = floats(c, R, H * m->key_dim);
    a->o = floats(c, R, H * m->val_dim);
    a->ao = mla ? floats(c, R, H * cfg->v_head_dim) : a->o;
    a->xmid = floats(c, R, D);
    a->g = floats(c, R, l->dense.width);
    a->u = floats(c, R, l->dense.width);
    if (!l->moe) return;
    int T = cfg->num_experts_per_tok, Fe = cfg->moe_intermediate_size;
    a->score = floats(c, R, cfg->n_routed_experts);
    a->gate = floats(c, R, T);
    a->slot_gate = floats(c, R, T);
    a->expert = carve(c, R * (size_t)T, sizeof(int));
    a->slot_row = carve(c, R * (size_t)T, sizeof(int));
    a->slot_of = carve(c, R * (size_t)T, sizeof(int));
    a->ge = floats(c, R * (size_t)T, Fe);
    a->ue = floats(c, R * (size_t)T, Fe);
}

void *acts_new(struct acts *a, const struct model *m, int layer, int rows) {
    struct carver c = {0};
    *a = (struct acts){0};
    carve_acts(a, m, layer, (size_t)rows, &c);
    c = (struct carver){.base = mem_new(c.used, 1)};
    carve_acts(a, m, layer, (size_t)rows, &c);
    return c.base;
}

static int widest_dense(const struct model *m) {
    int F = 0;
    for (int i = 0; i < m->cfg.num_hidden_layers; i++)
        if (m->layer[i].dense.width > F) F = m->layer[i].dense.width;
    return F;
}

static void carve_work(struct block_work *w, const struct model *m, size_t R, bool backward,
                       struct carver *c) {
    const struct policy_config *cfg = &m->cfg;
    int D = cfg->hidden_size, H = cfg->num_attention_heads;
    bool moe = cfg->first_k_dense_replace < cfg->num_hidden_layers, mla = m->dv == 0;
    size_t RT = R * (size_t)cfg->num_experts_per_tok;
    w->xn1 = floats(c, R, D);
    w->xn2 = floats(c, R, D);
    w->qan = floats(c, R, cfg->q_lora_rank);
    w->h_width = widest_dense(m);
    w->h = floats(c, R, w->h_width);
    if (moe) {
        w->he = floats(c, RT, cfg->moe_intermediate_size);
        w->xe = floats(c, RT, D);
        w->ye = floats(c, RT, D);
    }
    if (!backward) return;
    w->dxn1 = floats(c, R, D);
    w->dxn2 = floats(c, R, D);
    w->dxmid = floats(c, R, D);
    w->d_o = floats(c, R, H * m->val_dim);
    w->dqt = floats(c, R, H * m->key_dim);
    w->dkey = floats(c, R, m->dk);
    w->dval = floats(c, R, m->dv);
    if (mla) {
        w->dao = floats(c, R, H * cfg->v_head_dim);
        w->dq = floats(c, R, H * m->qd);
        w->dkv = floats(c, R, m->dk);
        w->dqa = floats(c, R, cfg->q_lora_rank);
        w->dqan = floats(c, R, cfg->q_lora_rank);
    }
    if (!moe) return;
    w->dlogits = floats(c, R, cfg->n_routed_experts);
    w->dgate = floats(c, RT, 1);
}

void *block_work_new(struct block_work *w, const struct model *m, int rows, bool backward) {
    struct carver c = {0};
    *w = (struct block_work){0};
    carve_work(w, m, (size_t)rows, backward, &c);
    c = (struct carver){.base = mem_new(c.used ? c.used : 1, 1)};
    carve_work(w, m, (size_t)rows, backward, &c);
    return c.base;
}

void block_project(const struct model *m, int layer, struct acts *a, struct block_work *w,
                   const struct shard *s, const int *pos) {
    const struct norm *l = &m->layer[layer].input_norm;
    struct rows r = shard_rows(s);
    size_t row = (size_t)r.row, D = (size_t)m->cfg.hidden_size;
    stage_enter(STAGE_NORM);
    m->k->rmsnorm(r.n, (int)D, a->x + row * D, D, l->w, l->eps, w->xn1 + row * D, D,
                  a->rstd + row);
    shard_sync(s);
    stage_enter(STAGE_MATMUL);
    if (m->dv == 0)
        mla_project(m, layer, a, w, s, pos);
    else
        gqa_project(m, layer, a, w, s, pos);
}

void block_attn_out(const struct model *m, int layer, struct acts *a, const struct shard *s) {
    const struct layer *l = &m->layer[layer];
    struct rows r = shard_rows(s);
    size_t row = (size_t)s->row, D = (size_t)m->cfg.hidden_size, width = (size_t)l->o.in;
    memcpy(a->xmid + (size_t)r.row * D, a->x + (size_t)r.row * D,
           (size_t)r.n * D * sizeof(float));
    shard_sync(s);
    stage_enter(STAGE_MATMUL);
    if (m->dv == 0) {
        mla_attn_out(m, layer, a, s);
        shard_sync(s);
    }
    linear_forward(m->k, &l->o, s->n, a->ao + row * width, width, a->xmid + row * D, D, true,
                   s->part, s->scratch);
    shard_sync(s);
}

void block_attn_out_backward(const struct model *m, int layer, struct block_work *w,
                             const struct shard *s) {
    const struct layer *l = &m->layer[layer];
    size_t row = (size_t)s->row, D = (size_t)m->cfg.hidden_size, width = (size_t)l->o.in;
    float *dao = m->dv == 0 ? w->dao : w->d_o;
    stage_enter(STAGE_MATMUL);
    linear_backward(m->k, &l->o, s->n, w->dxmid + row * D, D, dao + row * width, width, false,
                    s->part, s->scratch);
    if (m->dv == 0) mla_attn_out_backward(m, layer, w, s);
}

void block_project_backward(const struct model *m, int layer, struct acts *a,
                            struct block_work *w, const struct shard *s, const int *pos,
                            float *dx) {
    const struct norm *l = &m->layer[layer].input_norm;
    size_t row = (size_t)s->row, D = (size_t)m->cfg.hidden_size;
    const float *x = a->x + row * D, *rstd = a->rstd + row;
    stage_enter(STAGE_NORM);
    m->k->norm_again(s->n, (int)D, x, D, l->w, rstd, w->xn1 + row * D, D);
    if (m->dv == 0)
        mla_project_backward(m, layer, a, w, s, pos);
    else
        gqa_project_backward(m, layer, a, w, s, pos);
    stage_enter(STAGE_NORM);
    memcpy(dx + row * D, w->dxmid + row * D, (size_t)s->n * D * sizeof(float));
    m->k->rmsnorm_backward(s->n, (int)D, x, D, l->w, rstd, w->dxn1 + row * D, D, dx + row * D,
                           D, true);
}
