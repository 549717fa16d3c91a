/* policy/block_grad.c: weight gradients of a layer, dW += dY^T X.
 *
 * Each element is one chain over all rows in order, whoever computes its tile: neither the
 * thread count, nor the shards, nor the cut into micro-batches shows. Experts continue their
 * chain from shard to shard.
 */
#include "policy/block.h"

struct list {
    struct grad_job *job;
    int n;
    float *grad;
};

static void push(struct list *l, const struct linear *w, int rows, const float *x, size_t ldx,
                 const float *dy, size_t ldy) {
    struct grad_job j = {.K = rows, .c = l->grad + w->grad, .ldc = w->ld};
    if (w->by_input) {
        j.M = w->in, j.a = x, j.lda = ldx;
        j.N = w->out, j.b = dy, j.ldb = ldy;
    } else {
        j.M = w->out, j.a = dy, j.lda = ldy;
        j.N = w->in, j.b = x, j.ldb = ldx;
    }
    l->job[l->n++] = j;
}

static void push_mlp(struct list *l, const struct mlp *f, int rows, size_t D, const float *x,
                     const float *dg, const float *du, const float *h, const float *dy) {
    size_t F = (size_t)f->width;
    push(l, &f->gate, rows, x, D, dg, F);
    push(l, &f->up, rows, x, D, du, F);
    push(l, &f->down, rows, h, F, dy, D);
}

static void push_expert(struct list *l, const struct model *m, int layer, int e,
                        const struct acts *a, const struct block_work *w,
                        const struct shard *s, int n_shards) {
    const struct policy_config *c = &m->cfg;
    size_t D = (size_t)c->hidden_size, Fe = (size_t)c->moe_intermediate_size;
    const struct mlp *f = &m->layer[layer].expert[e];
    for (int part = 0; part < 3; part++) { /* gate, up, down: each a run of segments */
        int first = l->n;
        for (int i = 0; i < n_shards; i++) {
            const int *at = s[i].expert_at + layer * (c->n_routed_experts + 1);
            int n = at[e + 1] - at[e];
            size_t j = (size_t)(s[i].row * c->num_experts_per_tok + at[e]);
            if (n == 0) continue;
            if (part == 0) push(l, &f->gate, n, a->xe + j * D, D, a->ge + j * Fe, Fe);
            if (part == 1) push(l, &f->up, n, a->xe + j * D, D, a->ue + j * Fe, Fe);
            if (part == 2) push(l, &f->down, n, a->he + j * Fe, Fe, w->ye + j * D, D);
        }
        for (int i = first; i + 1 < l->n; i++) l->job[i].more = true;
    }
}

int block_grad_jobs_max(const struct model *m, int n_shards) {
    return 8 + 2 * m->cfg.num_attention_heads + 3 * m->cfg.n_routed_experts * n_shards;
}

int block_grad_jobs(const struct model *m, int layer, const struct acts *a,
                    const struct block_work *w, const struct shard *s, int n_shards,
                    const float *dout, float *grad, struct grad_job *job) {
    const struct policy_config *c = &m->cfg;
    const struct layer *l = &m->layer[layer];
    struct list list = {.job = job, .grad = grad};
    size_t D = (size_t)c->hidden_size, H = (size_t)c->num_attention_heads;
    size_t dk = (size_t)m->dk, qd = (size_t)m->qd, r = (size_t)c->kv_lora_rank;
    size_t v = (size_t)c->v_head_dim, ql = (size_t)c->q_lora_rank;
    int rows = s[n_shards - 1].row + s[n_shards - 1].n;
    if (ql > 0) {
        push(&list, &l->q_a, rows, a->xn1, D, w->dqa, ql);
        push(&list, &l->q_b, rows, a->qan, ql, w->dq, H * qd);
    } else {
        push(&list, &l->q_b, rows, a->xn1, D, w->dq, H * qd);
    }
    push(&list, &l->kv_a, rows, a->xn1, D, w->dkv, dk);
    for (size_t h = 0; h < H; h++) {
        push(&list, &l->k_up[h], rows, a->q + h * qd, H * qd, w->dqt + h * dk, H * dk);
        push(&list, &l->v_up[h], rows, a->o + h * r, H * r, w->dao + h * v, H * v);
    }
    push(&list, &l->o, rows, a->ao, H * v, w->dxmid, D);
    if (l->dense.width > 0)
        push_mlp(&list, &l->dense, rows, D, a->xn2, a->g, a->u, a->h, dout);
    if (l->moe) {
        push(&list, &l->router, rows, a->xn2, D, w->dlogits, (size_t)c->n_routed_experts);
        for (int e = 0; e < c->n_routed_experts; e++)
            push_expert(&list, m, layer, e, a, w, s, n_shards);
    }
    return list.n;
}

void block_grad_tile(const struct model *m, const struct grad_job *job, int tile) {
    int at = tile * GRAD_TILE, n = job->M - at < GRAD_TILE ? job->M - at : GRAD_TILE;
    for (const struct grad_job *j = job;; j++) {
        m->k->matmul(n, j->N, j->K, j->a + at, 1, j->lda, kernels_rows(j->b, j->ldb),
                     j->c + (size_t)at * j->ldc, j->ldc, true);
        if (!j->more) break;
    }
}

static void norm_part(const struct model *m, const struct norm *l, int rows, int part,
                      int n_parts, const float *x, size_t ldx, const float *rstd,
                      const float *dy, size_t ldy, float *grad) {
    int blocks = (l->n + 15) / 16, c0 = blocks * part / n_parts * 16;
    int c1 = blocks * (part + 1) / n_parts * 16;
    if (c1 > l->n) c1 = l->n;
    if (c0 < c1) m->k->rmsnorm_dw(rows, c0, c1, x, ldx, rstd, dy, ldy, grad + l->grad);
}

void block_grad_norms(const struct model *m, int layer, const struct acts *a,
                      const struct block_work *w, int rows, int part, int n_parts,
                      float *grad) {
    const struct layer *l = &m->layer[layer];
    size_t R = (size_t)a->rows, D = (size_t)m->cfg.hidden_size, dk = (size_t)m->dk;
    size_t ql = (size_t)m->cfg.q_lora_rank;
    norm_part(m, &l->input_norm, rows, part, n_parts, a->x, D, a->rstd, w->dxn1, D, grad);
    if (ql > 0)
        norm_part(m, &l->q_norm, rows, part, n_parts, a->qa, ql, a->rstd + R, w->dqan, ql,
                  grad);
    norm_part(m, &l->kv_norm, rows, part, n_parts, a->kv, dk, a->rstd + 2 * R, w->dkey, dk,
              grad);
    norm_part(m, &l->post_norm, rows, part, n_parts, a->xmid, D, a->rstd + 3 * R, w->dxn2, D,
              grad);
}
