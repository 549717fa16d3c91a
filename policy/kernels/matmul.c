/* policy/kernels/matmul.c: the one matrix product, in f32 and in bf16 pairs.
 *
 * A tile of R rows by NV vectors of 16 columns is kept in registers while k runs; each
 * element is one chain of fused multiply-adds, so neither R, NV nor the vector width shows
 * in the result, and a chain cut in two (C stored, reloaded with add) has the same bits.
 * AVX-512 has 32 registers: 12 rows x 2 vectors. AVX2 has 16 of half the size: 6 x 1.
 * Few rows take more columns at once, so that enough chains are in flight (an FMA takes
 * 4 cycles and two start a cycle). In bf16 a step of k is a pair in the 4 bytes of a float,
 * so that the layout and the walk are the same and only the step differs.
 *
 * Blocking: a row block (A_FLOATS) stays in L2 while all panels pass over it; k is cut so
 * that a panel's piece does too while the rows pass over it.
 */
#include "policy/kernels/internal.h"
#include "policy/simd.h"

#if SIMD_W == 16
#define R_MAX 12
#else
#define R_MAX 6
#endif
#define A_FLOATS (48 * 1024) /* 192 KiB */
#define K_BLOCK 576          /* x 32 columns x 4 bytes = 72 KiB */

struct tile {
    int K;
    const float *a;
    size_t a_row, a_col;
    const float *b;
    size_t b_row, b_panel;
    float *c;
    size_t ldc;
    int n; /* columns to store */
    bool add;
};

#define STEP_f32 vf_fma
#define STEP_bf16 vf_dot_bf16
#define START_f32(c) (c)
#if SIMD_BF16_DOT || SIMD_FLUSH_MODE /* the step itself takes denormals as 0 */
#define START_bf16(c) (c)
#else
#define START_bf16(c) vf_flush(c)
#endif

/* NV vectors of 16 columns starting at t->b; vector v stands in panel v / 2. */
#define DEFINE_TILE_AS(TYPE, R, NV)                                                               \
    static __attribute__((noinline)) void TYPE##_##R##x##NV(const struct tile *t) {                                  \
        struct vf acc[R][NV];                                                            \
        const float *a = t->a;                                                           \
        const size_t a_row = t->a_row, a_col = t->a_col, b_row = t->b_row;               \
        const float *b = t->b;                                                           \
        _Pragma("GCC unroll 16") for (int i = 0; i < R; i++)                             \
            _Pragma("GCC unroll 16") for (int v = 0; v < NV; v++) {                      \
            int left = t->n - 16 * v;                                                    \
            acc[i][v] = t->add && left > 0                                               \
                            ? vf_load_n(t->c + (size_t)i * t->ldc + 16 * v, left)        \
                            : vf_zero();                                                 \
            acc[i][v] = START_##TYPE(acc[i][v]);                                                 \
        }                                                                                \
        for (int k = 0; k < t->K; k++) {                                                 \
            struct vf bv[NV];                                                            \
            _Pragma("GCC unroll 16") for (int v = 0; v < NV; v++) bv[v] =                \
                vf_load(b + (size_t)(v / 2) * t->b_panel + 16 * (v % 2));                \
            _Pragma("GCC unroll 16") for (int i = 0; i < R; i++) {                       \
                struct vf av = vf_set1(a[(size_t)i * a_row]);                            \
                _Pragma("GCC unroll 16") for (int v = 0; v < NV; v++) acc[i][v] =        \
                    STEP_##TYPE(av, bv[v], acc[i][v]);                                        \
            }                                                                            \
            a += a_col;                                                                  \
            b += b_row;                                                                  \
        }                                                                                \
        _Pragma("GCC unroll 16") for (int i = 0; i < R; i++)                             \
            _Pragma("GCC unroll 16") for (int v = 0; v < NV; v++) {                      \
            int left = t->n - 16 * v;                                                    \
            if (left > 0) vf_store_n(t->c + (size_t)i * t->ldc + 16 * v, acc[i][v], left); \
        }                                                                                \
    }

#define DEFINE_TILE(R, NV) DEFINE_TILE_AS(f32, R, NV) DEFINE_TILE_AS(bf16, R, NV)

typedef void (*tile_fn)(const struct tile *);

#if SIMD_W == 16
DEFINE_TILE(1, 2)
DEFINE_TILE(2, 2)
DEFINE_TILE(3, 2)
DEFINE_TILE(4, 2)
DEFINE_TILE(5, 2)
DEFINE_TILE(6, 2)
DEFINE_TILE(7, 2)
DEFINE_TILE(8, 2)
DEFINE_TILE(9, 2)
DEFINE_TILE(10, 2)
DEFINE_TILE(11, 2)
DEFINE_TILE(12, 2)
DEFINE_TILE(1, 1)
DEFINE_TILE(2, 1)
DEFINE_TILE(3, 1)
DEFINE_TILE(4, 1)
DEFINE_TILE(5, 1)
DEFINE_TILE(6, 1)
DEFINE_TILE(7, 1)
DEFINE_TILE(8, 1)
DEFINE_TILE(9, 1)
DEFINE_TILE(10, 1)
DEFINE_TILE(11, 1)
DEFINE_TILE(12, 1)
DEFINE_TILE(1, 8)
DEFINE_TILE(2, 8)
DEFINE_TILE(3, 8)
#define NARROW(T)                                                                        \
    {0,       T##_1x2, T##_2x2, T##_3x2,  T##_4x2,  T##_5x2, T##_6x2,                        \
     T##_7x2, T##_8x2, T##_9x2, T##_10x2, T##_11x2, T##_12x2}
/* a last half panel: 16 columns or fewer */
#define HALF(T)                                                                          \
    {0,       T##_1x1, T##_2x1, T##_3x1,  T##_4x1,  T##_5x1, T##_6x1,                        \
     T##_7x1, T##_8x1, T##_9x1, T##_10x1, T##_11x1, T##_12x1}
#define WIDE(T) {0, T##_1x8, T##_2x8, T##_3x8}
#define NARROW_COLS 32
#define WIDE_COLS 128
#define WIDE_MAX_ROWS 3
#else
DEFINE_TILE(1, 1)
DEFINE_TILE(2, 1)
DEFINE_TILE(3, 1)
DEFINE_TILE(4, 1)
DEFINE_TILE(5, 1)
DEFINE_TILE(6, 1)
DEFINE_TILE(1, 4)
#define NARROW(T) {0, T##_1x1, T##_2x1, T##_3x1, T##_4x1, T##_5x1, T##_6x1}
#define HALF NARROW
#define WIDE(T) {0, T##_1x4}
#define NARROW_COLS 16
#define WIDE_COLS 64
#define WIDE_MAX_ROWS 1
#endif

/* The tiles of one type. */
struct tiles {
    tile_fn narrow[R_MAX + 1], half[R_MAX + 1], wide[WIDE_MAX_ROWS + 1];
};
static const struct tiles tiles_f32 = {NARROW(f32), HALF(f32), WIDE(f32)};
static const struct tiles tiles_bf16 = {NARROW(bf16), HALF(bf16), WIDE(bf16)};

static const float *panel_at(struct panels b, int col) {
    return b.data + (size_t)(col / PANEL) * b.panel_stride + (size_t)(col % PANEL);
}

/* All columns for at most WIDE_MAX_ROWS rows. */
static void few_rows(const struct tiles *f, int M, int N, struct panels b, struct tile t, float *c) {
    int j = 0;
    for (; j + WIDE_COLS <= N; j += WIDE_COLS) {
        t.b = panel_at(b, j);
        t.c = c + j;
        t.n = WIDE_COLS;
        f->wide[M](&t);
    }
    for (; j < N; j += NARROW_COLS) {
        t.b = panel_at(b, j);
        t.c = c + j;
        t.n = N - j < NARROW_COLS ? N - j : NARROW_COLS;
        f->narrow[M](&t);
    }
}

/* Rows [0, M) of a block against all columns, one piece of k. */
static void row_block(const struct tiles *f, int M, int N, struct panels b, struct tile t, float *c) {
    const float *a = t.a;
    for (int j = 0; j < N; j += NARROW_COLS) {
        t.b = panel_at(b, j);
        t.n = N - j < NARROW_COLS ? N - j : NARROW_COLS;
        const tile_fn *tile = t.n <= 16 ? f->half : f->narrow;
        for (int i = 0; i < M; i += R_MAX) {
            t.a = a + (size_t)i * t.a_row;
            t.c = c + (size_t)i * t.ldc + j;
            tile[M - i < R_MAX ? M - i : R_MAX](&t);
        }
    }
}

static void matmul(const struct tiles *f, int M, int N, int Kd, const float *a,
                   size_t a_row, size_t a_col, struct panels b, float *c, size_t ldc,
                   bool add) {
    struct tile t = {.a_row = a_row, .a_col = a_col, .b_row = b.row_stride,
                     .b_panel = b.panel_stride, .ldc = ldc};
    if (M <= WIDE_MAX_ROWS && M > 0) {
        t.K = Kd;
        t.a = a;
        t.add = add;
        few_rows(f, M, N, b, t, c);
        return;
    }
    /* pieces of k of equal size, so that the last one is not a sliver */
    int n_pieces = Kd > K_BLOCK ? (Kd + K_BLOCK - 1) / K_BLOCK : 1;
    int k_piece = (Kd + n_pieces - 1) / n_pieces;
    int rows = k_piece > 0 ? A_FLOATS / k_piece / R_MAX * R_MAX : M;
    if (rows < R_MAX) rows = R_MAX;
    for (int i = 0; i < M; i += rows) {
        for (int k = 0; k < Kd || k == 0; k += k_piece) {
            struct panels bk = b;
            bk.data += (size_t)k * b.row_stride;
            t.K = Kd - k < k_piece ? Kd - k : k_piece;
            t.a = a + (size_t)i * a_row + (size_t)k * a_col;
            t.add = add || k > 0;
            row_block(f, M - i < rows ? M - i : rows, N, bk, t, c + (size_t)i * ldc);
            if (k_piece == 0) break;
        }
    }
}

void K(k_matmul)(int M, int N, int Kd, const float *a, size_t a_row, size_t a_col,
                 struct panels b, float *c, size_t ldc, bool add) {
    matmul(&tiles_f32, M, N, Kd, a, a_row, a_col, b, c, ldc, add);
}

void K(k_matmul_bf16)(int M, int N, int n_pairs, const float *a, size_t a_row, size_t a_col,
                      struct panels b, float *c, size_t ldc, bool add) {
#if SIMD_FLUSH_MODE
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* flush to zero, denormals are zero */
#endif
    matmul(&tiles_bf16, M, N, n_pairs, a, a_row, a_col, b, c, ldc, add);
#if SIMD_FLUSH_MODE
    _mm_setcsr(mode);
#endif
}
