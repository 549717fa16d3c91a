/* policy/linear.c: see linear.h.
 *
 * Sizes: an A block of scratch fits the L2 of one core, a B block what the cores share: its
 * panels are walked in order by many rows, so that they come in time from there. In bf16 a
 * "step" of k is a pair, so that both types walk the same layout.
 */
#include "policy/linear.h"

#include <string.h>

#include "base/mem.h"

enum {
    SCRATCH_A = 112 * 1024, /* floats */
    SCRATCH_B = 1024 * 1024,
    K_PIECE = 768,          /* rows of a matrix packed at once while it is used */
    K_LONGEST = 8192,       /* of a bf16 product, so that 12 rows fit SCRATCH_A */
    TILE_M = 192,           /* of a weight gradient */
    TILE_N = 288,
    TILE_SLICE = 96,        /* of one whose other operand is packed ahead */
    TILE_K = 640,           /* steps */
    DIRECT_LD = 256,        /* rows so short are read where they stand */
};

void scratch_init(struct scratch *s) {
    s->a = mem_new(SCRATCH_A, sizeof(float));
    s->b = mem_new(SCRATCH_B + PANEL, sizeof(float));
}

void scratch_clear(struct scratch *s) {
    mem_free(s->a);
    mem_free(s->b);
    *s = (struct scratch){0};
}

static int steps_of(bool bf16, int K) { return bf16 ? (K + 1) / 2 : K; }

size_t linear_packed_size(const struct linear *l, int K, int N) {
    return kernels_packed_size(steps_of(l->bf16, K), N);
}

/* --- packing ------------------------------------------------------------------------- */

/* Packs B[K][N] as the products want it. by_column: src is [N][K]. */
static struct panels pack(const struct kernels *k, bool bf16, float *dst, const float *src,
                          size_t ld, int K, int N, bool by_column) {
    struct pack_source rows = {src, ld, NULL, bf16};
    if (by_column)
        k->pack_columns(src, ld, bf16, K, N, dst);
    else
        k->pack_rows(&rows, 0, K, N, PANEL, dst, (size_t)steps_of(bf16, K) * PANEL);
    return kernels_packed(dst, steps_of(bf16, K));
}

void linear_pack(const struct kernels *k, struct linear *l) {
    l->fwd = l->bwd = (struct panels){0};
    if (l->fwd_mem)
        l->fwd = pack(k, l->bf16, l->fwd_mem, l->w, l->ld, l->in, l->out, !l->by_input);
    if (l->bwd_mem)
        l->bwd = pack(k, l->bf16, l->bwd_mem, l->w, l->ld, l->out, l->in, l->by_input);
}

/* --- y = x B ------------------------------------------------------------------------- */

/* B packed: f32 as it is, bf16 with x rounded block by block. */
static void times_packed(const struct kernels *k, bool bf16, int n, int N, int K,
                         const float *x, size_t ldx, struct panels b, float *y, size_t ldy,
                         bool add, struct scratch *s) {
    if (!bf16) {
        k->matmul(n, N, K, x, ldx, 1, b, y, ldy, add);
        return;
    }
    for (int k0 = 0; k0 < K; k0 += K_LONGEST) {
        int kn = K - k0 < K_LONGEST ? K - k0 : K_LONGEST;
        int steps = steps_of(true, kn), rows = SCRATCH_A / steps / 12 * 12;
        for (int i = 0; i < n; i += rows) {
            int m = n - i < rows ? n - i : rows;
            k->bf16_rows(m, kn, x + (size_t)i * ldx + k0, ldx, s->a);
            k->matmul_bf16(m, N, steps, s->a, (size_t)steps, 1, b, y + (size_t)i * ldy, ldy,
                           add || k0 > 0);
        }
        b.data += (size_t)steps * b.row_stride;
    }
}

/* B[K][N] as it stands in the weights, packed piece by piece. */
static void times_plain(const struct kernels *k, const struct linear *l, int n, int N, int K,
                        const float *x, size_t ldx, const float *w, bool by_column, float *y,
                        size_t ldy, bool add, struct scratch *s) {
    for (int k0 = 0; k0 < K; k0 += K_PIECE) {
        int kn = K - k0 < K_PIECE ? K - k0 : K_PIECE;
        int width = SCRATCH_B / steps_of(l->bf16, kn) / PANEL * PANEL;
        for (int j = 0; j < N; j += width) {
            int jn = N - j < width ? N - j : width;
            const float *at = by_column ? w + (size_t)j * l->ld + k0
                                        : w + (size_t)k0 * l->ld + j;
            struct panels b = pack(k, l->bf16, s->b, at, l->ld, kn, jn, by_column);
            times_packed(k, l->bf16, n, jn, kn, x + k0, ldx, b, y + j, ldy, add || k0 > 0, s);
        }
    }
}

/* The part's columns [*from, *to) of N, cut between panels. */
static void columns(int N, struct part part, int *from, int *to) {
    int panels = (N + PANEL - 1) / PANEL, up = part.up ? part.n - 1 : 0;
    *from = (panels * part.i + up) / part.n * PANEL;
    *to = (panels * (part.i + 1) + up) / part.n * PANEL;
    if (*to > N) *to = N;
}

void linear_forward(const struct kernels *k, const struct linear *l, int n, const float *x,
                    size_t ldx, float *y, size_t ldy, bool add, struct part part,
                    struct scratch *s) {
    int from, to;
    columns(l->out, part, &from, &to);
    if (n == 0 || from >= to) return;
    if (!l->fwd.data) {
        const float *w = l->by_input ? l->w + from : l->w + (size_t)from * l->ld;
        times_plain(k, l, n, to - from, l->in, x, ldx, w, !l->by_input, y + from, ldy, add, s);
        return;
    }
    struct panels b = l->fwd;
    b.data += (size_t)(from / PANEL) * b.panel_stride;
    times_packed(k, l->bf16, n, to - from, l->in, x, ldx, b, y + from, ldy, add, s);
}

void linear_backward(const struct kernels *k, const struct linear *l, int n, const float *dy,
                     size_t ldy, float *dx, size_t ldx, bool add, struct part part,
                     struct scratch *s) {
    int from, to;
    columns(l->in, part, &from, &to);
    if (n == 0 || from >= to) return;
    if (!l->bwd.data) {
        const float *w = l->by_input ? l->w + (size_t)from * l->ld : l->w + from;
        times_plain(k, l, n, to - from, l->out, dy, ldy, w, l->by_input, dx + from, ldx, add, s);
        return;
    }
    struct panels b = l->bwd;
    b.data += (size_t)(from / PANEL) * b.panel_stride;
    times_packed(k, l->bf16, n, to - from, l->out, dy, ldy, b, dx + from, ldx, add, s);
}

/* --- weight gradients ---------------------------------------------------------------- */

bool grad_packs(bool bf16, size_t ld) { return bf16 || ld > DIRECT_LD; }

size_t grad_packed_size(bool bf16, int K, int n) {
    return (size_t)steps_of(bf16, K) * ((size_t)n + GRAD_PANEL);
}

void grad_pack(const struct kernels *k, const struct pack_source *s, int first, int last, int K,
               int n, int panel, float *dst) {
    size_t before = (size_t)steps_of(s->bf16, first);
    k->pack_rows(s, first, last, n, panel, dst + before * (size_t)panel,
                 (size_t)steps_of(s->bf16, K) * (size_t)panel);
}

static int pieces(int n, int most) { return (n + most - 1) / most; }

/* Piece i of n columns cut into equal pieces, multiples of `unit`. */
static void cut(int n, int most, int unit, int i, int *from, int *size) {
    int each = (n + pieces(n, most) - 1) / pieces(n, most);
    each = (each + unit - 1) / unit * unit;
    *from = i * each < n ? i * each : n;
    *size = n - *from < each ? n - *from : each;
}

/* A tile's most rows and columns of C. An operand that is packed ahead is taken whole, so
 * that the other is packed once. */
static void tile_size(const struct grad_job *job, int *m, int *n) {
    bool packed = job->a_packed || job->b_packed;
    *m = job->a_packed ? job->M : packed ? TILE_SLICE : TILE_M;
    *n = job->b_packed ? job->N : packed ? TILE_SLICE : TILE_N;
}

int grad_job_tiles(const struct grad_job *job) {
    int m, n;
    tile_size(job, &m, &n);
    return pieces(job->M, m) * pieces(job->N, n);
}

/* The tile's operands over steps [at, at + n) of all. */
struct operands {
    const float *a;
    size_t a_col, a_panel; /* floats from step to step, from panel to panel */
    int a_width;           /* columns of a panel */
    struct panels b;
};

static int row_of_step(const struct grad_job *job, int step) {
    return job->bf16 ? 2 * step : step;
}

static void take_a(const struct kernels *k, const struct grad_job *job, int m0, int m, int at,
                   int n, struct scratch *s, struct operands *o) {
    o->a_col = o->a_width = GRAD_PANEL;
    o->a_panel = (size_t)n * GRAD_PANEL;
    if (job->a_packed) {
        size_t steps = (size_t)steps_of(job->bf16, job->K);
        o->a_panel = steps * GRAD_PANEL;
        o->a = job->a_packed + (size_t)(m0 / GRAD_PANEL) * o->a_panel + (size_t)at * GRAD_PANEL;
    } else if (!job->a_row && !grad_packs(job->bf16, job->lda)) {
        o->a = job->a + (size_t)at * job->lda + m0;
        o->a_col = job->lda;
        o->a_width = m;
    } else {
        struct pack_source from = {job->a + m0, job->lda, job->a_row, job->bf16};
        k->pack_rows(&from, row_of_step(job, at), row_of_step(job, at + n), m, GRAD_PANEL, s->a,
                     o->a_panel);
        o->a = s->a;
    }
}

static void take_b(const struct kernels *k, const struct grad_job *job, int n0, int n_cols, int at,
                   int n, struct scratch *s, struct operands *o) {
    if (job->b_packed) {
        size_t panel = (size_t)steps_of(job->bf16, job->K) * PANEL;
        o->b = (struct panels){job->b_packed + (size_t)(n0 / PANEL) * panel + (size_t)at * PANEL,
                               panel, PANEL};
    } else if (!job->b_row && !grad_packs(job->bf16, job->ldb)) {
        o->b = kernels_rows(job->b + (size_t)at * job->ldb + n0, job->ldb);
    } else {
        struct pack_source from = {job->b + n0, job->ldb, job->b_row, job->bf16};
        o->b = (struct panels){s->b, (size_t)n * PANEL, PANEL};
        k->pack_rows(&from, row_of_step(job, at), row_of_step(job, at + n), n_cols, PANEL, s->b,
                     o->b.panel_stride);
    }
}

static void multiply(const struct kernels *k, bool bf16, const struct operands *o, int m, int n,
                     int steps, float *c, size_t ldc) {
    const float *a = o->a;
    for (int i = 0; i < m; i += o->a_width, a += o->a_panel) {
        int rows = m - i < o->a_width ? m - i : o->a_width;
        if (bf16)
            k->matmul_bf16(rows, n, steps, a, 1, o->a_col, o->b, c + (size_t)i * ldc, ldc, true);
        else
            k->matmul(rows, n, steps, a, 1, o->a_col, o->b, c + (size_t)i * ldc, ldc, true);
    }
}

void grad_job_tile(const struct kernels *k, const struct grad_job *job, int tile,
                   struct scratch *s) {
    int m0, m, n0, n, m_most, n_most;
    tile_size(job, &m_most, &n_most);
    int across = pieces(job->N, n_most), steps = steps_of(job->bf16, job->K);
    cut(job->M, m_most, job->a_packed ? GRAD_PANEL : 12, tile / across, &m0, &m);
    cut(job->N, n_most, PANEL, tile % across, &n0, &n);
    if (m <= 0 || n <= 0) return;
    int most = TILE_K, wide = (m > n ? m : n) + GRAD_PANEL;
    if (job->a_packed) wide = n + GRAD_PANEL;
    if (job->b_packed) wide = m + GRAD_PANEL;
    if (most * wide > SCRATCH_A) most = SCRATCH_A / wide;
    struct operands o;
    for (int i = 0; i < steps; i += most) {
        int sn = steps - i < most ? steps - i : most;
        take_a(k, job, m0, m, i, sn, s, &o);
        take_b(k, job, n0, n, i, sn, s, &o);
        multiply(k, job->bf16, &o, m, n, sn, job->c + (size_t)m0 * job->ldc + n0, job->ldc);
    }
}
