/* policy/attention.c: see attention.h. Scores and outputs are the one matmul: keys stand
 * transposed in panels for the scores, as rows for the outputs. */
#include "policy/attention.h"

#include "base/mem.h"

enum { BLOCK_ROWS = 96 }; /* query rows times heads in flight */

static int block_rows(const struct model *m) {
    int n = BLOCK_ROWS / m->cfg.num_attention_heads;
    return n > 0 ? n : 1;
}

static size_t score_ld(int keys) { return ((size_t)keys + 15) / 16 * 16; }

void attn_scratch_reserve(struct attn_scratch *a, const struct model *m, int max_keys) {
    size_t n = (size_t)block_rows(m) * (size_t)m->cfg.num_attention_heads * score_ld(max_keys) +
               PANEL;
    if (n <= a->n) return;
    attn_scratch_clear(a);
    a->s = mem_new(n, sizeof *a->s);
    a->ds = mem_new(n, sizeof *a->ds);
    a->n = n;
}

void attn_scratch_clear(struct attn_scratch *a) {
    mem_free(a->s);
    mem_free(a->ds);
    *a = (struct attn_scratch){0};
}

void attention_panels(int dk, const float *rows, int first, int n, float *panels) {
    for (int i = 0; i < n; i++) {
        int pos = first + i;
        float *p = panels + (size_t)(pos / PANEL) * (size_t)dk * PANEL + pos % PANEL;
        const float *row = rows + (size_t)i * (size_t)dk;
        for (int d = 0; d < dk; d++) p[(size_t)d * PANEL] = row[d];
    }
}

/* One block: rows [row, row + n) of a family, cut at job borders into parts. */
struct part {
    const struct attn_job *job;
    int at, n;  /* rows of the block */
    int first;  /* own position of its first row */
    int keys;   /* own keys that its last row sees */
};

struct block {
    const struct model *m;
    const struct attn_keys *prefix;
    struct part part[BLOCK_ROWS];
    int n_parts, n;
    size_t ld;
};

/* Fills b with up to block_rows rows from (*job, *row) on; advances both. A job is cut at
 * multiples of block_rows of its own rows, whatever stands before it: the gradient of a key
 * is summed part by part, and must not show who shared its block. */
static void next_block(struct block *b, const struct attn_job **job,
                       const struct attn_job *end, int *row) {
    int max = block_rows(b->m), room = max, widest = 0;
    b->n_parts = b->n = 0;
    b->prefix = &(*job)->prefix;
    while (*job < end && (*job)->prefix.rows == b->prefix->rows &&
           (*job)->prefix.n == b->prefix->n) {
        int left = (*job)->n_rows - *row, n = left < max ? left : max;
        if (n > room) break;
        struct part *p = &b->part[b->n_parts++];
        *p = (struct part){*job, b->n, n, (*job)->first + *row, (*job)->first + *row + n};
        if (p->keys > widest) widest = p->keys;
        b->n += n;
        room -= n;
        *row += n;
        if (*row == (*job)->n_rows) {
            *row = 0;
            ++*job;
        }
    }
    b->ld = score_ld(b->prefix->n + widest);
}

static struct panels key_panels(const struct model *m, const float *panels) {
    return (struct panels){panels, (size_t)m->dk * PANEL, PANEL};
}

/* s = x K^T over the first `depth` numbers of each key. */
static void times_keys(const struct block *b, const float *x, size_t ldx, int depth, float *s) {
    const struct model *m = b->m;
    int H = m->cfg.num_attention_heads, P = b->prefix->n;
    if (P > 0)
        m->k->matmul(b->n * H, P, depth, x, ldx, 1, key_panels(m, b->prefix->panels), s,
                     b->ld, false);
    for (int i = 0; i < b->n_parts; i++) {
        const struct part *p = &b->part[i];
        m->k->matmul(p->n * H, p->keys, depth, x + (size_t)(p->at * H) * ldx, ldx, 1,
                     key_panels(m, p->job->own.panels), s + (size_t)(p->at * H) * b->ld + P,
                     b->ld, false);
    }
}

/* y = s K over the first `width` numbers of each key. */
static void times_rows(const struct block *b, const float *s, int width, float *y) {
    const struct model *m = b->m;
    int H = m->cfg.num_attention_heads, P = b->prefix->n;
    size_t dk = (size_t)m->dk, ldy = (size_t)width;
    if (P > 0)
        m->k->matmul(b->n * H, width, P, s, b->ld, 1, kernels_rows(b->prefix->rows, dk), y,
                     ldy, false);
    for (int i = 0; i < b->n_parts; i++) {
        const struct part *p = &b->part[i];
        m->k->matmul(p->n * H, width, p->keys, s + (size_t)(p->at * H) * b->ld + P, b->ld, 1,
                     kernels_rows(p->job->own.rows, dk), y + (size_t)(p->at * H) * ldy, ldy,
                     P > 0);
    }
}

/* dK[:, 0..width) += s^T x */
static void add_to_keys(const struct block *b, const float *s, const float *x, int width) {
    const struct model *m = b->m;
    int H = m->cfg.num_attention_heads, P = b->prefix->n;
    size_t dk = (size_t)m->dk, ldx = (size_t)width;
    for (int i = 0; i < b->n_parts; i++) {
        const struct part *p = &b->part[i];
        const float *sp = s + (size_t)(p->at * H) * b->ld, *xp = x + (size_t)(p->at * H) * ldx;
        if (P > 0)
            m->k->matmul(P, width, p->n * H, sp, 1, b->ld, kernels_rows(xp, ldx),
                         p->job->dprefix, dk, true);
        m->k->matmul(p->keys, width, p->n * H, sp + P, 1, b->ld, kernels_rows(xp, ldx),
                     p->job->down, dk, true);
    }
}

/* Row r of part p sees prefix and own[0 .. first + r]; what it does not see becomes 0. */
static void softmax_block(const struct block *b, float *s) {
    const struct model *m = b->m;
    int H = m->cfg.num_attention_heads, P = b->prefix->n;
    for (int i = 0; i < b->n_parts; i++) {
        const struct part *p = &b->part[i];
        for (int r = 0; r < p->n * H; r++)
            m->k->softmax(s + (size_t)(p->at * H + r) * b->ld, P + p->first + r / H + 1,
                          P + p->keys, m->attn_scale);
    }
}

void attention_forward(const struct model *m, const struct attn_job *job, int n_jobs,
                       const float *q, float *o, const struct attn_scratch *a) {
    size_t qw = (size_t)m->cfg.num_attention_heads * (size_t)m->dk;
    size_t ow = (size_t)m->cfg.num_attention_heads * (size_t)m->cfg.kv_lora_rank;
    const struct attn_job *end = job + n_jobs;
    struct block b = {.m = m};
    for (int row = 0; job < end; q += (size_t)b.n * qw, o += (size_t)b.n * ow) {
        next_block(&b, &job, end, &row);
        times_keys(&b, q, (size_t)m->dk, m->dk, a->s);
        softmax_block(&b, a->s);
        times_rows(&b, a->s, m->cfg.kv_lora_rank, o);
    }
}

static void softmax_backward_block(const struct block *b, const float *s, float *ds) {
    const struct model *m = b->m;
    int H = m->cfg.num_attention_heads, P = b->prefix->n;
    for (int i = 0; i < b->n_parts; i++) {
        const struct part *p = &b->part[i];
        for (int r = 0; r < p->n * H; r++) {
            size_t at = (size_t)(p->at * H + r) * b->ld;
            int seen = P + p->first + r / H + 1;
            m->k->softmax_backward(s + at, ds + at, seen, m->attn_scale);
            for (int j = seen; j < P + p->keys; j++) ds[at + (size_t)j] = 0;
        }
    }
}

void attention_backward(const struct model *m, const struct attn_job *job, int n_jobs,
                        const float *q, const float *d_o, float *dq,
                        const struct attn_scratch *a) {
    int r = m->cfg.kv_lora_rank;
    size_t qw = (size_t)m->cfg.num_attention_heads * (size_t)m->dk;
    size_t ow = (size_t)m->cfg.num_attention_heads * (size_t)r;
    const struct attn_job *end = job + n_jobs;
    struct block b = {.m = m};
    for (int row = 0; job < end;
         q += (size_t)b.n * qw, dq += (size_t)b.n * qw, d_o += (size_t)b.n * ow) {
        next_block(&b, &job, end, &row);
        times_keys(&b, q, (size_t)m->dk, m->dk, a->s);
        softmax_block(&b, a->s);
        times_keys(&b, d_o, (size_t)r, r, a->ds);
        add_to_keys(&b, a->s, d_o, r);
        softmax_backward_block(&b, a->s, a->ds);
        add_to_keys(&b, a->ds, q, m->dk);
        times_rows(&b, a->ds, m->dk, dq);
    }
}
