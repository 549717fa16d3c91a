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

size_t grad_ahead_size(const struct model *m, int max_rows) {
    size_t D = (size_t)m->cfg.hidden_size, ao = (size_t)m->layer[0].o.in;
    if (!grad_packs(m->dtype == COMPUTE_BF16, D)) return 0;
    /* a row is a step, or with a pad a pair */
    return grad_packed_size(false, max_rows, (int)(D > ao ? D : ao));
}

static void pack_rows(const struct grad_list *l, const struct model *m, const float *x, size_t ld,
                      int panel, int first, int last, float *dst) {
    struct pack_source s = {x, ld, l->dense, m->dtype == COMPUTE_BF16};
    grad_pack(m->k, &s, first, last, l->n_dense, (int)ld, panel, dst);
}

void block_grad_pack(const struct grad_list *l, const struct model *m, int layer,
                     const struct acts *a, const struct block_work *w, const float *dout,
                     int first, int last) {
    size_t D = (size_t)m->cfg.hidden_size;
    if (!l->ahead.xn1) return;
    pack_rows(l, m, w->xn1, D, PANEL, first, last, l->ahead.xn1);
    pack_rows(l, m, w->xn2, D, PANEL, first, last, l->ahead.xn2);
    pack_rows(l, m, a->ao, (size_t)m->layer[layer].o.in, PANEL, first, last, l->ahead.ao);
    if (m->layer[layer].dense.width > 0)
        pack_rows(l, m, dout, D, GRAD_PANEL, first, last, l->ahead.dout);
}

static struct grad_job *push(struct grad_list *l, const struct linear *w,
                             const float *x, size_t ldx, const float *dy, size_t ldy) {
    struct grad_job *j = &l->job[l->n_jobs++];
    *j = (struct grad_job){.K = w->bf16 ? l->n_dense : l->n_rows, .c = l->grad + w->grad, .ldc = w->ld, .bf16 = w->bf16};
    if (w->by_input) {
        j->M = w->in, j->a = x, j->lda = ldx;
        j->N = w->out, j->b = dy, j->ldb = ldy;
    } else {
        j->M = w->out, j->a = dy, j->lda = ldy;
        j->N = w->in, j->b = x, j->ldb = ldx;
    }
    j->a_row = j->b_row = w->bf16 ? l->dense : NULL;
    return j;
}

/* The same, its x packed ahead. */
static void push_x(struct grad_list *l, const struct linear *w, const float *x, size_t ldx,
                   const float *packed, const float *dy, size_t ldy) {
    struct grad_job *j = push(l, w, x, ldx, dy, ldy);
    if (w->bf16 == (l->dense != NULL)) j->b_packed = packed; /* the router is always f32 */
}

/* Over n rows of an expert: x and dy are found by their own lists. */
static void push_slots(struct grad_list *l, const struct linear *w, int n, const float *x,
                       size_t ldx, const int *x_row, const float *dy, size_t ldy,
                       const int *dy_row) {
    struct grad_job *j = push(l, w, x, ldx, dy, ldy);
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

static void push_mla(struct grad_list *l, const struct model *m, const struct layer *y,
                     const struct acts *a, const struct block_work *w) {
    size_t D = (size_t)m->cfg.hidden_size, H = (size_t)m->cfg.num_attention_heads;
    size_t dk = (size_t)m->dk, qd = (size_t)m->qd, r = (size_t)m->cfg.kv_lora_rank;
    size_t v = (size_t)m->cfg.v_head_dim, ql = (size_t)m->cfg.q_lora_rank;
    if (ql > 0) {
        push_x(l, &y->q_a, w->xn1, D, l->ahead.xn1, w->dqa, ql);
        push(l, &y->q_b, w->qan, ql, w->dq, H * qd);
    } else {
        push_x(l, &y->q_b, w->xn1, D, l->ahead.xn1, w->dq, H * qd);
    }
    push_x(l, &y->kv_a, w->xn1, D, l->ahead.xn1, w->dkv, dk);
    for (size_t h = 0; h < H; h++) {
        push(l, &y->k_up[h], a->q + h * qd, H * qd, w->dqt + h * dk, H * dk);
        push(l, &y->v_up[h], a->o + h * r, H * r, w->dao + h * v, H * v);
    }
}

static void push_gqa(struct grad_list *l, const struct model *m, const struct layer *y,
                     const struct block_work *w) {
    size_t D = (size_t)m->cfg.hidden_size;
    const float *xn1 = l->ahead.xn1;
    push_x(l, &y->q_b, w->xn1, D, xn1, w->dqt, (size_t)y->q_b.out);
    push_x(l, &y->k, w->xn1, D, xn1, w->dkey, (size_t)m->dk);
    push_x(l, &y->v, w->xn1, D, xn1, w->dval, (size_t)m->dv);
}

void block_grad_jobs(struct grad_list *l, const struct model *m, int layer,
                     const struct acts *a, const struct block_work *w, const struct shard *s,
                     int n_shards, const int *seq_of, const float *dout) {
    const struct layer *y = &m->layer[layer];
    size_t D = (size_t)m->cfg.hidden_size, F = (size_t)y->dense.width;
    l->n_jobs = 0;
    if (F > 0) { /* the largest first: the end is shared out better */
        push_x(l, &y->dense.gate, w->xn2, D, l->ahead.xn2, a->g, F);
        push_x(l, &y->dense.up, w->xn2, D, l->ahead.xn2, a->u, F);
        push(l, &y->dense.down, w->h, F, dout, D)->a_packed = l->ahead.dout;
    }
    push_x(l, &y->o, a->ao, (size_t)y->o.in, l->ahead.ao, w->dxmid, D);
    if (m->dv == 0)
        push_mla(l, m, y, a, w);
    else
        push_gqa(l, m, y, w);
    if (!y->moe) return;
    push_x(l, &y->router, w->xn2, D, l->ahead.xn2, w->dlogits, (size_t)m->cfg.n_routed_experts);
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
