/* policy/mla.c: multi-head latent attention's projections (arXiv 2412.19437, 2.1.1), absorbed:
 * the key up-projection is multiplied into the query, the value up-projection into the
 * output, so that all heads meet one latent vector a position. */
#include "policy/block.h"
#include "policy/stage.h"

/* Heads of this thread: a head's products are too small to be cut. */
static bool mine(const struct shard *s, int head) { return head % s->part.n == s->part.i; }

static void query(const struct model *m, const struct layer *l, struct acts *a,
                  struct block_work *w, const struct shard *s) {
    size_t row = (size_t)s->row, R = (size_t)a->rows, D = (size_t)m->cfg.hidden_size;
    size_t ql = (size_t)m->cfg.q_lora_rank, qw = (size_t)l->q_b.out;
    const float *xn = w->xn1 + row * D;
    if (ql == 0) {
        linear_forward(m->k, &l->q_b, s->n, xn, D, a->q + row * qw, qw, false, s->part,
                       s->scratch);
        return;
    }
    linear_forward(m->k, &l->q_a, s->n, xn, D, a->qa + row * ql, ql, false, s->part, s->scratch);
    shard_sync(s);
    stage_enter(STAGE_NORM);
    struct rows r = shard_rows(s);
    size_t at = (size_t)r.row;
    m->k->rmsnorm(r.n, (int)ql, a->qa + at * ql, ql, l->q_norm.w, l->q_norm.eps,
                  w->qan + at * ql, ql, a->rstd + R + at);
    shard_sync(s);
    stage_enter(STAGE_MATMUL);
    linear_forward(m->k, &l->q_b, s->n, w->qan + row * ql, ql, a->q + row * qw, qw, false,
                   s->part, s->scratch);
}

void mla_project(const struct model *m, int layer, struct acts *a, struct block_work *w,
                 const struct shard *s, const int *pos) {
    const struct layer *l = &m->layer[layer];
    size_t row = (size_t)s->row, R = (size_t)a->rows, D = (size_t)m->cfg.hidden_size;
    size_t H = (size_t)m->cfg.num_attention_heads, r = (size_t)m->cfg.kv_lora_rank;
    size_t dk = (size_t)m->dk, qd = (size_t)m->qd, qw = H * qd;
    size_t nope = (size_t)m->cfg.qk_nope_head_dim;
    linear_forward(m->k, &l->kv_a, s->n, w->xn1 + row * D, D, a->kv + row * dk, dk, false,
                   s->part, s->scratch);
    query(m, l, a, w, s);
    shard_sync(s);
    for (size_t h = 0; h < H; h++)
        if (mine(s, (int)h))
            linear_forward(m->k, &l->k_up[h], s->n, a->q + row * qw + h * qd, qw,
                           a->qt + (row * H + h) * dk, H * dk, false, PART_ALL, s->scratch);
    shard_sync(s);
    stage_enter(STAGE_NORM);
    struct rows own = shard_rows(s);
    m->k->rmsnorm(own.n, (int)r, a->kv + (size_t)own.row * dk, dk, l->kv_norm.w, l->kv_norm.eps,
                  a->key + (size_t)own.row * dk, dk, a->rstd + 2 * R + own.row);
    for (size_t i = (size_t)own.row; i < (size_t)(own.row + own.n); i++) {
        model_rope(m, 1, pos[i], a->kv + i * dk + r, 0, a->key + i * dk + r, 0, false);
        model_rope(m, (int)H, pos[i], a->q + i * qw + nope, qd, a->qt + i * H * dk + r, dk,
                   false);
    }
}

void mla_attn_out(const struct model *m, int layer, struct acts *a, const struct shard *s) {
    const struct layer *l = &m->layer[layer];
    size_t row = (size_t)s->row, H = (size_t)m->cfg.num_attention_heads;
    size_t r = (size_t)m->cfg.kv_lora_rank, v = (size_t)m->cfg.v_head_dim;
    for (size_t h = 0; h < H; h++)
        if (mine(s, (int)h))
            linear_forward(m->k, &l->v_up[h], s->n, a->o + (row * H + h) * r, H * r,
                           a->ao + row * H * v + h * v, H * v, false, PART_ALL, s->scratch);
}

void mla_attn_out_backward(const struct model *m, int layer, struct block_work *w,
                           const struct shard *s) {
    const struct layer *l = &m->layer[layer];
    size_t row = (size_t)s->row, H = (size_t)m->cfg.num_attention_heads;
    size_t r = (size_t)m->cfg.kv_lora_rank, v = (size_t)m->cfg.v_head_dim;
    for (size_t h = 0; h < H; h++)
        linear_backward(m->k, &l->v_up[h], s->n, w->dao + row * H * v + h * v, H * v,
                        w->d_o + (row * H + h) * r, H * r, false, PART_ALL, s->scratch);
}

/* dqt -> dq (through k_up and rope), dkey -> dkv (through the norm and rope). */
static void unproject_heads(const struct model *m, const struct layer *l, struct acts *a,
                            struct block_work *w, const struct shard *s, const int *pos) {
    size_t row = (size_t)s->row, R = (size_t)a->rows, H = (size_t)m->cfg.num_attention_heads;
    size_t r = (size_t)m->cfg.kv_lora_rank, dk = (size_t)m->dk, qd = (size_t)m->qd, qw = H * qd;
    size_t nope = (size_t)m->cfg.qk_nope_head_dim;
    stage_enter(STAGE_MATMUL);
    for (size_t h = 0; h < H; h++)
        linear_backward(m->k, &l->k_up[h], s->n, w->dqt + (row * H + h) * dk, H * dk,
                        w->dq + row * qw + h * qd, qw, false, PART_ALL, s->scratch);
    stage_enter(STAGE_NORM);
    m->k->rmsnorm_backward(s->n, (int)r, a->kv + row * dk, dk, l->kv_norm.w,
                           a->rstd + 2 * R + row, w->dkey + row * dk, dk, w->dkv + row * dk,
                           dk, false);
    for (size_t i = row; i < row + (size_t)s->n; i++) {
        model_rope(m, 1, pos[i], w->dkey + i * dk + r, 0, w->dkv + i * dk + r, 0, true);
        model_rope(m, (int)H, pos[i], w->dqt + i * H * dk + r, dk, w->dq + i * qw + nope, qd,
                   true);
    }
}

void mla_project_backward(const struct model *m, int layer, struct acts *a,
                          struct block_work *w, const struct shard *s, const int *pos) {
    const struct layer *l = &m->layer[layer];
    int n = s->n;
    size_t row = (size_t)s->row, R = (size_t)a->rows, D = (size_t)m->cfg.hidden_size;
    size_t dk = (size_t)m->dk, qw = (size_t)l->q_b.out, ql = (size_t)m->cfg.q_lora_rank;
    float *dxn = w->dxn1 + row * D, *dq = w->dq + row * qw;
    unproject_heads(m, l, a, w, s, pos);
    stage_enter(STAGE_MATMUL);
    linear_backward(m->k, &l->kv_a, n, w->dkv + row * dk, dk, dxn, D, false, s->part, s->scratch);
    if (ql == 0) {
        linear_backward(m->k, &l->q_b, n, dq, qw, dxn, D, true, s->part, s->scratch);
        return;
    }
    float *dqa = w->dqa + row * ql, *dqan = w->dqan + row * ql, *qa = a->qa + row * ql;
    const float *rstd = a->rstd + R + row;
    m->k->norm_again(n, (int)ql, qa, ql, l->q_norm.w, rstd, w->qan + row * ql, ql);
    linear_backward(m->k, &l->q_b, n, dq, qw, dqan, ql, false, s->part, s->scratch);
    m->k->rmsnorm_backward(n, (int)ql, qa, ql, l->q_norm.w, rstd, dqan, ql, dqa, ql, false);
    linear_backward(m->k, &l->q_a, n, dqa, ql, dxn, D, true, s->part, s->scratch);
}
