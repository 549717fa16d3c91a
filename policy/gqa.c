/* policy/gqa.c: Llama's attention projections (arXiv 2307.09288): H query heads, of which
 * H / n_kv share one head of keys and values (GQA, arXiv 2305.13245), rotated by halves. */
#include "policy/block.h"
#include "policy/stage.h"

void gqa_project(const struct model *m, int layer, struct acts *a, struct block_work *w,
                 const struct shard *s, const int *pos) {
    const struct layer *l = &m->layer[layer];
    int H = m->cfg.num_attention_heads, hd = m->key_dim;
    size_t row = (size_t)s->row, D = (size_t)m->cfg.hidden_size, qw = (size_t)l->q_b.out;
    size_t dk = (size_t)m->dk, dv = (size_t)m->dv;
    const float *xn = w->xn1 + row * D;
    linear_forward(m->k, &l->q_b, s->n, xn, D, a->qt + row * qw, qw, false, s->part, s->scratch);
    linear_forward(m->k, &l->k, s->n, xn, D, a->key + row * dk, dk, false, s->part, s->scratch);
    linear_forward(m->k, &l->v, s->n, xn, D, a->val + row * dv, dv, false, s->part, s->scratch);
    shard_sync(s);
    stage_enter(STAGE_NORM);
    struct rows r = shard_rows(s);
    for (int i = r.row; i < r.row + r.n; i++) {
        float *q = a->qt + (size_t)i * qw, *k = a->key + (size_t)i * dk;
        model_rope(m, H, pos[i], q, (size_t)hd, q, (size_t)hd, false);
        model_rope(m, m->n_kv, pos[i], k, (size_t)hd, k, (size_t)hd, false);
    }
}

void gqa_project_backward(const struct model *m, int layer, struct acts *a,
                          struct block_work *w, const struct shard *s, const int *pos) {
    (void)a;
    const struct layer *l = &m->layer[layer];
    int H = m->cfg.num_attention_heads, hd = m->key_dim;
    size_t row = (size_t)s->row, D = (size_t)m->cfg.hidden_size, qw = (size_t)l->q_b.out;
    size_t dk = (size_t)m->dk, dv = (size_t)m->dv;
    for (int i = s->row; i < s->row + s->n; i++) {
        float *dq = w->dqt + (size_t)i * qw, *dk_row = w->dkey + (size_t)i * dk;
        model_rope(m, H, pos[i], dq, (size_t)hd, dq, (size_t)hd, true);
        model_rope(m, m->n_kv, pos[i], dk_row, (size_t)hd, dk_row, (size_t)hd, true);
    }
    stage_enter(STAGE_MATMUL);
    float *dxn = w->dxn1 + row * D;
    linear_backward(m->k, &l->q_b, s->n, w->dqt + row * qw, qw, dxn, D, false, s->part,
                    s->scratch);
    linear_backward(m->k, &l->k, s->n, w->dkey + row * dk, dk, dxn, D, true, s->part, s->scratch);
    linear_backward(m->k, &l->v, s->n, w->dval + row * dv, dv, dxn, D, true, s->part, s->scratch);
}
