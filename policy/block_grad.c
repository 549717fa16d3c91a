/* policy/block_grad.c: see block_grad.h. */
#include "policy/block_grad.h"

#include "base/mem.h"

void grad_list_init(struct grad_list *l, const struct model *m, int max_rows) {
    const struct policy_config *c = &m->cfg;
    size_t slots = (size_t)max_rows * (size_t)c->num_experts_per_tok;
    int most = 10 + 2 * c->num_attention_heads + 3 * c->n_routed_experts;
    *l = (struct grad_list){.job = mem_new((size_t)most, sizeof *l->job)};
    if (slots == 0) return;
    /* a pad a slot at most */
    l->slot = mem_new(2 * slots, sizeof *l->slot);
    l->row = mem_new(2 * slots, sizeof *l->row);
}

void grad_list_clear(struct grad_list *l) {
    mem_free(l->job);
    mem_free(l->slot);
    mem_free(l->row);
    *l = (struct grad_list){0};
}

static struct grad_job *push(struct grad_list *l, const struct linear *w, int rows,
                             const float *x, size_t ldx, const float *dy, size_t ldy) {
    struct grad_job *j = &l->job[l->n_jobs++];
    *j = (struct grad_job){.K = rows, .c = l->grad + w->grad, .ldc = w->ld, .bf16 = w->bf16};
    if (w->by_input) {
        j->M = w->in, j->a = x, j->lda = ldx;
        j->N = w->out, j->b = dy, j->ldb = ldy;
    } else {
        j->M = w->out, j->a = dy, j->lda = ldy;
        j->N = w->in, j->b = x, j->ldb = ldx;
    }
    if (!w->bf16) return j;
    j->K = l->n_dense;
    j->a_row = j->b_row = l->dense;
    return j;
}

/* Over n rows of an expert: x and dy are found by their own lists. */
static void push_slots(struct grad_list *l, const struct linear *w, int n, const float *x,
                       size_t ldx, const int *x_row, const float *dy, size_t ldy,
                       const int *dy_row) {
    struct grad_job *j = push(l, w, n, x, ldx, dy, ldy);
    j->K = n;
    j->a_row = dy_row;
    j->b_row = x_row;
}

/* The experts' slots in order of shards, into l->slot and l->row from `at` on; in bf16 padded
 * to pairs within a sequence. Returns how many. */
static int list_slots(struct grad_list *l, const struct model *m, int layer, int e,
                      const struct acts *a, const struct shard *s, int n_shards,
                      const int *seq_of, int at) {
    bool pairs = m->dtype == COMPUTE_BF16;
    int E = m->cfg.n_routed_experts, T = m->cfg.num_experts_per_tok, n = at;
    for (int i = 0; i < n_shards; i++) {
        const int *expert_at = s[i].expert_at + layer * (E + 1);
        for (int slot = s[i].row * T + expert_at[e]; slot < s[i].row * T + expert_at[e + 1];
             slot++) {
            int row = a->slot_row[slot];
            if (pairs && (n - at) % 2 == 1 && seq_of[row] != seq_of[l->row[n - 1]])
                l->slot[n] = l->row[n] = -1, n++;
            l->slot[n] = slot;
            l->row[n++] = row;
        }
    }
    if (pairs && (n - at) % 2 == 1) l->slot[n] = l->row[n] = -1, n++;
    return n - at;
}

static void push_experts(struct grad_list *l, const struct model *m, int layer,
                         const struct acts *a, const struct block_work *w,
                         const struct shard *s, int n_shards, const int *seq_of,
                         const float *dout) {
    size_t D = (size_t)m->cfg.hidden_size, Fe = (size_t)m->cfg.moe_intermediate_size;
    int at = 0;
    for (int e = 0; e < m->cfg.n_routed_experts; e++) {
        const struct mlp *f = &m->layer[layer].expert[e];
        int n = list_slots(l, m, layer, e, a, s, n_shards, seq_of, at);
        if (n == 0) continue;
        const int *slot = l->slot + at, *row = l->row + at;
        push_slots(l, &f->gate, n, w->xn2, D, row, a->ge, Fe, slot);
        push_slots(l, &f->up, n, w->xn2, D, row, a->ue, Fe, slot);
        push_slots(l, &f->down, n, w->he, Fe, slot, dout, D, row);
        at += n;
    }
}

static void push_mla(struct grad_list *l, const struct model *m, const struct layer *y, int rows,
                     const struct acts *a, const struct block_work *w) {
    size_t D = (size_t)m->cfg.hidden_size, H = (size_t)m->cfg.num_attention_heads;
    size_t dk = (size_t)m->dk, qd = (size_t)m->qd, r = (size_t)m->cfg.kv_lora_rank;
    size_t v = (size_t)m->cfg.v_head_dim, ql = (size_t)m->cfg.q_lora_rank;
    if (ql > 0) {
        push(l, &y->q_a, rows, w->xn1, D, w->dqa, ql);
        push(l, &y->q_b, rows, w->qan, ql, w->dq, H * qd);
    } else {
        push(l, &y->q_b, rows, w->xn1, D, w->dq, H * qd);
    }
    push(l, &y->kv_a, rows, w->xn1, D, w->dkv, dk);
    for (size_t h = 0; h < H; h++) {
        push(l, &y->k_up[h], rows, a->q + h * qd, H * qd, w->dqt + h * dk, H * dk);
        push(l, &y->v_up[h], rows, a->o + h * r, H * r, w->dao + h * v, H * v);
    }
}

static void push_gqa(struct grad_list *l, const struct model *m, const struct layer *y, int rows,
                     const struct block_work *w) {
    size_t D = (size_t)m->cfg.hidden_size;
    push(l, &y->q_b, rows, w->xn1, D, w->dqt, (size_t)y->q_b.out);
    push(l, &y->k, rows, w->xn1, D, w->dkey, (size_t)m->dk);
    push(l, &y->v, rows, w->xn1, D, w->dval, (size_t)m->dv);
}

void block_grad_jobs(struct grad_list *l, const struct model *m, int layer,
                     const struct acts *a, const struct block_work *w, const struct shard *s,
                     int n_shards, const int *seq_of, const float *dout) {
    const struct layer *y = &m->layer[layer];
    size_t D = (size_t)m->cfg.hidden_size, F = (size_t)y->dense.width;
    int rows = s[n_shards - 1].row + s[n_shards - 1].n;
    l->n_jobs = 0;
    if (F > 0) { /* the largest first: the end is shared out better */
        push(l, &y->dense.gate, rows, w->xn2, D, a->g, F);
        push(l, &y->dense.up, rows, w->xn2, D, a->u, F);
        push(l, &y->dense.down, rows, w->h, F, dout, D);
    }
    push(l, &y->o, rows, a->ao, (size_t)y->o.in, w->dxmid, D);
    if (m->dv == 0)
        push_mla(l, m, y, rows, a, w);
    else
        push_gqa(l, m, y, rows, w);
    if (!y->moe) return;
    push(l, &y->router, rows, w->xn2, D, w->dlogits, (size_t)m->cfg.n_routed_experts);
    push_experts(l, m, layer, a, w, s, n_shards, seq_of, dout);
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
    norm_part(m, &l->post_norm, rows, part, n_parts, a->xmid, D, a->rstd + 3 * R, w->dxn2, D,
              grad);
    if (m->dv > 0) return;
    if (ql > 0)
        norm_part(m, &l->q_norm, rows, part, n_parts, a->qa, ql, a->rstd + R, w->dqan, ql,
                  grad);
    norm_part(m, &l->kv_norm, rows, part, n_parts, a->kv, dk, a->rstd + 2 * R, w->dkey, dk,
              grad);
}
