/* policy/attention.c: see attention.h. Scores and outputs are the one matmul: keys stand
 * transposed in panels for the scores, values as rows for the outputs. In bf16 queries,
 * probabilities and gradients are rounded to pairs block by block, along the sum that is next. */
#include "policy/attention.h"

#include "base/mem.h"

enum { BLOCK_ROWS = 96 }; /* query rows times heads that share a key, in flight */

/* Heads of queries that share one head of keys. */
static int group_of(const struct model *m) { return m->cfg.num_attention_heads / m->n_kv; }

static int block_rows(const struct model *m) {
    int n = BLOCK_ROWS / group_of(m);
    return n > 0 ? n : 1;
}

/* A multiple of 16, so that a row of pairs starts at a whole number of floats. */
static size_t score_ld(int keys) { return ((size_t)keys + 15) / 16 * 16; }

static bool is_bf16(const struct model *m) { return m->dtype == COMPUTE_BF16; }

static int steps(const struct model *m, int n) { return attention_steps(m, n); }

void attn_scratch_reserve(struct attn_scratch *a, const struct model *m, int max_keys) {
    size_t rows = (size_t)block_rows(m) * (size_t)group_of(m), n = rows * score_ld(max_keys) + PANEL;
    if (n <= a->n) return;
    attn_scratch_clear(a);
    a->s = mem_new(n, sizeof *a->s);
    a->ds = mem_new(n, sizeof *a->ds);
    a->n = n;
    if (!is_bf16(m)) return;
    int widest = m->key_dim > m->val_dim ? m->key_dim : m->val_dim;
    size_t heads = (size_t)block_rows(m) * (size_t)m->cfg.num_attention_heads;
    a->half = mem_new(n / 2 + score_ld(max_keys), sizeof *a->half);
    a->q = mem_new(heads * (size_t)steps(m, widest), sizeof *a->q);
    a->d_o = mem_new(heads * (size_t)steps(m, widest), sizeof *a->d_o);
    a->rows = mem_new((rows / 2 + 1) * (size_t)widest + PANEL, sizeof *a->rows);
}

void attn_scratch_clear(struct attn_scratch *a) {
    float *owned[] = {a->s, a->ds, a->half, a->q, a->d_o, a->rows};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
    *a = (struct attn_scratch){0};
}

/* One block: rows [row, row + n) of a family, cut at job borders into parts. */
struct part_rows {
    const struct attn_job *job;
    int at, n; /* rows of the block */
    int first; /* own position of its first row */
    int keys;  /* own keys that its last row sees */
};

struct block {
    const struct model *m;
    const struct attn_scratch *a;
    const struct attn_keys *prefix;
    struct part_rows part[BLOCK_ROWS];
    int n_parts, n;
    int group; /* heads a key head, as H / n_kv */
    int kv;    /* the head of keys in hand */
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
    while (*job < end && (*job)->prefix.panels == b->prefix->panels &&
           (*job)->prefix.n == b->prefix->n) {
        int left = (*job)->n_rows - *row, n = left < max ? left : max;
        if (n > room) break;
        struct part_rows *p = &b->part[b->n_parts++];
        *p = (struct part_rows){*job, b->n, n, (*job)->first + *row, (*job)->first + *row + n};
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

/* The rows of a block meet one head of keys in one or several products: M rows of x, x_step
 * floats apart, against M rows of scores. */
struct product {
    int M;
    size_t x_at, x_step; /* in heads of x: [row][H] */
    size_t s_at, s_step; /* in rows of scores: [row][group] */
};

static bool is_one_product(const struct block *b, int n) { return b->m->n_kv == 1 || n == 1; }

static int n_products(const struct block *b, int n) {
    return is_one_product(b, n) ? 1 : b->group;
}

/* Product i over rows [at, at + n) of the block. */
static struct product product_of(const struct block *b, int at, int n, int i) {
    size_t H = (size_t)b->m->cfg.num_attention_heads, G = (size_t)b->group, row = (size_t)at;
    size_t head = row * H + (size_t)b->kv * G;
    if (is_one_product(b, n)) return (struct product){n * b->group, head, 1, row * G, 1};
    return (struct product){n, head + (size_t)i, H, row * G + (size_t)i, G};
}

/* The floats a row, and where the head in hand starts, of keys (or values). */
struct side {
    bool val;
    size_t width, at; /* of a row of memory; of this head */
    int dim;          /* numbers a head */
};

static struct side side_of(const struct block *b, bool val) {
    const struct model *m = b->m;
    int dim = val ? m->val_dim : m->key_dim;
    size_t width = (size_t)(val && m->dv > 0 ? m->dv : m->dk);
    return (struct side){val, width, (size_t)b->kv * (size_t)dim, dim};
}

static struct panels panels_of(const struct model *m, const struct attn_keys *k, struct side d) {
    const float *p = d.val ? k->val_panels : k->panels;
    return (struct panels){p + (size_t)steps(m, (int)d.at) * PANEL,
                           (size_t)steps(m, (int)d.width) * PANEL, PANEL};
}

static struct panels rows_of(const struct attn_keys *k, struct side d) {
    return kernels_rows((d.val ? k->val_rows : k->rows) + d.at, d.width);
}

static void multiply(const struct model *m, int M, int N, int K, const float *a, size_t a_row,
                     size_t a_col, struct panels p, float *c, size_t ldc, bool add) {
    (is_bf16(m) ? m->k->matmul_bf16 : m->k->matmul)(M, N, K, a, a_row, a_col, p, c, ldc, add);
}

/* Rows of all heads as times_keys wants them: in bf16 rounded, into `pairs`. */
static const float *operand(const struct block *b, const float *x, int dim, float *pairs) {
    if (!is_bf16(b->m)) return x;
    b->m->k->bf16_rows(b->n * b->m->cfg.num_attention_heads, dim, x, (size_t)dim, pairs);
    return pairs;
}

/* s = x K^T, or x V^T; x is [rows][H][steps of dim]. */
static void times_keys(const struct block *b, const float *x, bool val, float *s) {
    const struct model *m = b->m;
    struct side d = side_of(b, val);
    int P = b->prefix->n, K = steps(m, d.dim);
    size_t w = (size_t)K, ld = b->ld;
    for (int i = 0; P > 0 && i < n_products(b, b->n); i++) {
        struct product p = product_of(b, 0, b->n, i);
        multiply(m, p.M, P, K, x + p.x_at * w, p.x_step * w, 1, panels_of(m, b->prefix, d),
                 s + p.s_at * ld, p.s_step * ld, false);
    }
    for (int j = 0; j < b->n_parts; j++) {
        const struct part_rows *r = &b->part[j];
        for (int i = 0; i < n_products(b, r->n); i++) {
            struct product p = product_of(b, r->at, r->n, i);
            multiply(m, p.M, r->keys, K, x + p.x_at * w, p.x_step * w, 1,
                     panels_of(m, &r->job->own, d), s + p.s_at * ld + P, p.s_step * ld, false);
        }
    }
}

/* y = s K, or s V; y is [rows][H][dim]. In bf16 the own keys begin with the pair that the
 * prefix's last one begins, if its number is odd. */
static void times_rows(const struct block *b, const float *s, bool val, float *y) {
    const struct model *m = b->m;
    struct side d = side_of(b, val);
    int P = b->prefix->n, before = is_bf16(m) ? P / 2 : P;
    size_t w = (size_t)d.dim, ld = b->ld;
    if (is_bf16(m)) {
        m->k->bf16_rows(b->n * b->group, (int)ld, s, ld, b->a->half);
        s = b->a->half;
        ld /= 2;
    }
    for (int i = 0; before > 0 && i < n_products(b, b->n); i++) {
        struct product p = product_of(b, 0, b->n, i);
        multiply(m, p.M, d.dim, before, s + p.s_at * ld, p.s_step * ld, 1, rows_of(b->prefix, d),
                 y + p.x_at * w, p.x_step * w, false);
    }
    for (int j = 0; j < b->n_parts; j++) {
        const struct part_rows *r = &b->part[j];
        for (int i = 0; i < n_products(b, r->n); i++) {
            struct product p = product_of(b, r->at, r->n, i);
            multiply(m, p.M, d.dim, steps(m, P + r->keys) - before,
                     s + p.s_at * ld + before, p.s_step * ld, 1, rows_of(&r->job->own, d),
                     y + p.x_at * w, p.x_step * w, before > 0);
        }
    }
}

/* The sum over a product's M rows: x as its second operand. */
static struct panels sum_rows(const struct block *b, const struct product *p, const float *x,
                              int dim) {
    const float *at = x + p->x_at * (size_t)dim;
    struct pack_source from = {at, p->x_step * (size_t)dim, NULL, true};
    if (!is_bf16(b->m)) return kernels_rows(at, from.ld);
    b->m->k->pack_rows(&from, 0, p->M, dim, dim, b->a->rows, 0);
    return kernels_rows(b->a->rows, (size_t)dim);
}

/* And the scores as its first, transposed; sets *step to the floats from one step to the next. */
static const float *sum_scores(const struct block *b, const struct product *p, const float *s,
                               int keys, size_t *step) {
    const float *at = s + p->s_at * b->ld;
    struct pack_source from = {at, p->s_step * b->ld, NULL, true};
    *step = is_bf16(b->m) ? b->ld : from.ld;
    if (!is_bf16(b->m)) return at;
    b->m->k->pack_rows(&from, 0, p->M, keys, (int)b->ld, b->a->half, 0);
    return b->a->half;
}

/* dK += s^T x, or dV: part by part, in a part head by head. */
static void add_to_keys(const struct block *b, const float *s, const float *x, bool val) {
    const struct model *m = b->m;
    struct side d = side_of(b, val);
    int P = b->prefix->n;
    for (int j = 0; j < b->n_parts; j++) {
        const struct part_rows *r = &b->part[j];
        const struct attn_grads *up = &r->job->dprefix, *own = &r->job->down;
        for (int i = 0; i < n_products(b, r->n); i++) {
            struct product p = product_of(b, r->at, r->n, i);
            size_t step;
            struct panels xp = sum_rows(b, &p, x, d.dim);
            const float *sp = sum_scores(b, &p, s, P + r->keys, &step);
            int K = steps(m, p.M);
            if (P > 0)
                multiply(m, P, d.dim, K, sp, 1, step, xp, (val ? up->val : up->key) + d.at,
                         d.width, true);
            multiply(m, r->keys, d.dim, K, sp + P, 1, step, xp,
                     (val ? own->val : own->key) + d.at, d.width, true);
        }
    }
}

/* The scores of a part's rows that are numbers: those of its keys, and of a pair's second. */
static int scores_of(const struct block *b, const struct part_rows *p) {
    int n = b->prefix->n + p->keys;
    return is_bf16(b->m) ? n + n % 2 : n;
}

/* Row r of part p sees prefix and own[0 .. first + r]; what it does not see becomes 0. */
static void softmax_block(const struct block *b, float *s) {
    int G = b->group, P = b->prefix->n;
    for (int i = 0; i < b->n_parts; i++) {
        const struct part_rows *p = &b->part[i];
        for (int r = 0; r < p->n * G; r++)
            b->m->k->softmax(s + (size_t)(p->at * G + r) * b->ld, P + p->first + r / G + 1,
                             scores_of(b, p), b->m->attn_scale);
    }
}

void attention_forward(const struct model *m, const struct attn_job *job, int n_jobs,
                       const float *q, float *o, const struct attn_scratch *a) {
    size_t H = (size_t)m->cfg.num_attention_heads;
    const struct attn_job *end = job + n_jobs;
    struct block b = {.m = m, .a = a, .group = group_of(m)};
    for (int row = 0; job < end;) {
        next_block(&b, &job, end, &row);
        const float *qs = operand(&b, q, m->key_dim, a->q);
        for (b.kv = 0; b.kv < m->n_kv; b.kv++) {
            times_keys(&b, qs, false, a->s);
            softmax_block(&b, a->s);
            times_rows(&b, a->s, true, o);
        }
        q += (size_t)b.n * H * (size_t)m->key_dim;
        o += (size_t)b.n * H * (size_t)m->val_dim;
    }
}

static void softmax_backward_block(const struct block *b, const float *s, float *ds) {
    int G = b->group, P = b->prefix->n;
    for (int i = 0; i < b->n_parts; i++) {
        const struct part_rows *p = &b->part[i];
        for (int r = 0; r < p->n * G; r++) {
            size_t at = (size_t)(p->at * G + r) * b->ld;
            int seen = P + p->first + r / G + 1;
            b->m->k->softmax_backward(s + at, ds + at, seen, b->m->attn_scale);
            for (int j = seen; j < scores_of(b, p); j++) ds[at + (size_t)j] = 0;
        }
    }
}

void attention_backward(const struct model *m, const struct attn_job *job, int n_jobs,
                        const float *q, const float *d_o, float *dq,
                        const struct attn_scratch *a) {
    size_t H = (size_t)m->cfg.num_attention_heads, qw = H * (size_t)m->key_dim;
    const struct attn_job *end = job + n_jobs;
    struct block b = {.m = m, .a = a, .group = group_of(m)};
    for (int row = 0; job < end;) {
        next_block(&b, &job, end, &row);
        const float *qs = operand(&b, q, m->key_dim, a->q);
        const float *ds = operand(&b, d_o, m->val_dim, a->d_o);
        for (b.kv = 0; b.kv < m->n_kv; b.kv++) {
            times_keys(&b, qs, false, a->s);
            softmax_block(&b, a->s);
            times_keys(&b, ds, true, a->ds);
            add_to_keys(&b, a->s, d_o, true);
            softmax_backward_block(&b, a->s, a->ds);
            add_to_keys(&b, a->ds, q, false);
            times_rows(&b, a->ds, false, dq);
        }
        q += (size_t)b.n * qw;
        dq += (size_t)b.n * qw;
        d_o += (size_t)b.n * H * (size_t)m->val_dim;
    }
}
