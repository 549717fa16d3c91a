/* policy/kernels.h: the arithmetic, one table an instruction set, chosen at run time.
 *
 * Functions work on rows of f32, single-threaded; a row's result depends on
 * that row alone, and has the same bits in every table. Matrices are row-major with the
 * leading dimension named; "panel" layout is defined at struct panels. Any thread may call.
 */
#ifndef POLICY_KERNELS_H
#define POLICY_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum { PANEL = 32 }; /* columns of a panel */

/* One operand B[K][N] of a product, in panels of 32 columns: column j of row k stands at
 * data[(j / 32) * panel_stride + k * row_stride + j % 32]. Memory up to a multiple of 32
 * columns is read (never used). */
struct panels {
    const float *data;
    size_t panel_stride, row_stride; /* floats */
};

struct adamw_rates;

/* Rows to be packed: a step of k each, in bf16 a pair. */
struct pack_source {
    const float *x;
    size_t ld;
    const int *row; /* the i-th row's number, NULL: i; -1, as second of a pair: zeros */
    bool bf16;
};

struct kernels {
    const char *name; /* "avx512bf16", "avx512", "avx2", "neon", "plain" */
    bool bf16_dot;    /* the processor's own bf16 dot; else it is a chain of FMAs */

    /* C[i][j] = (add ? C[i][j] : 0) + sum_k A[i][k] B[k][j], one chain of fused
     * multiply-adds over k = 0..K-1. A[i][k] stands at a[i * a_row + k * a_col]. Only the
     * N columns of C are written. */
    void (*matmul)(int M, int N, int K, const float *a, size_t a_row, size_t a_col,
                   struct panels b, float *c, size_t ldc, bool add);

    /* The same over pairs of bf16 numbers, two in the 4 bytes of a float (element 2i in the
     * low half): C[i][j] = chain over pairs p of + A[i][2p+1] B[2p+1][j], then
     * + A[i][2p] B[2p][j], accumulated in f32, denormals taken as 0. Strides count pairs;
     * a panel's row holds 32 columns of one pair. */
    void (*matmul_bf16)(int M, int N, int n_pairs, const float *a, size_t a_row,
                        size_t a_col, struct panels b, float *c, size_t ldc, bool add);
    /* Rows of K floats to ceil(K / 2) pairs each, to nearest even; an odd end gets a 0. */
    void (*bf16_rows)(int n, int K, const float *x, size_t ldx, float *pairs);
    /* x[i] rounded as the second number of each of n pairs. */
    void (*bf16_seconds)(const float *x, size_t n, float *pairs);
    /* Rows [first, last) of the source, n columns, in panels of `panel` columns that start
     * `stride` floats apart, a step a row of a panel; the last one's columns past n are left
     * alone. */
    void (*pack_rows)(const struct pack_source *s, int first, int last, int n, int panel,
                      float *dst, size_t stride);
    /* B[K][N] in panels of 32 columns from x[N][K], a column a row of it; zero past N. */
    void (*pack_columns)(const float *x, size_t ld, bool bf16, int K, int N, float *dst);

    /* y = x * rstd * w with rstd = 1 / sqrt(mean(x^2) + eps); rstd[n] is kept for the
     * backward. x and y may be the same. */
    void (*rmsnorm)(int n, int D, const float *x, size_t ldx, const float *w, float eps,
                    float *y, size_t ldy, float *rstd);
    /* The same y, from the rstd kept. */
    void (*norm_again)(int n, int D, const float *x, size_t ldx, const float *w,
                       const float *rstd, float *y, size_t ldy);
    /* Rotates the pairs of n vectors of 2 half numbers (RoPE, arXiv 2104.09864): pair j is
     * (2j, 2j + 1) when interleaved, else (j, half + j), by the angle whose cosine and sine
     * are cs[j] and sn[j]; back: the transpose. y may be x. */
    void (*rope)(int n, int half, const float *cs, const float *sn, bool interleave, bool back,
                 const float *x, size_t ldx, float *y, size_t ldy);
    /* dx (+)= r (w dy) - x r^3 / D sum(w dy x). */
    void (*rmsnorm_backward)(int n, int D, const float *x, size_t ldx, const float *w,
                             const float *rstd, const float *dy, size_t ldy, float *dx,
                             size_t lddx, bool add);
    /* dw[c0..c1) += sum over rows of dy x rstd, one chain over the rows a column. */
    void (*rmsnorm_dw)(int n, int c0, int c1, const float *x, size_t ldx,
                       const float *rstd, const float *dy, size_t ldy, float *dw);

    /* h = silu(g) u, times scale[row] when scale is given. */
    void (*swiglu)(int n, int F, const float *g, const float *u, const float *scale,
                   float *h);
    /* From dh: dg, du, h again, and dscale[row] = sum_j dh_j silu(g_j) u_j (scale may be
     * NULL, then dscale is not written). dg, du and h may be the memory of g, u and dh. */
    void (*swiglu_backward)(int n, int F, const float *g, const float *u,
                            const float *scale, const float *dh, float *dg, float *du,
                            float *h, float *dscale);

    /* In place: softmax(s[0..len) scale), then zeros up to len_zero; one score is finite. */
    void (*softmax)(float *s, int len, int len_zero, float scale);
    /* ds[j] = scale p[j] (dp[j] - sum_j p[j] dp[j]), in place over dp. */
    void (*softmax_backward)(const float *p, float *dp, int len, float scale);

    /* Distribution of one row of logits: e[j] = exp((x[j] - max) * inv_t), *max, *sum. */
    void (*exp_row)(const float *x, int V, float inv_t, float *e, float *max, float *sum);
    /* sum_j e[j] (x[j] - max), for the entropy. */
    float (*weighted_sum)(const float *e, const float *x, int V, float max);

    void (*sigmoid)(const float *x, int n, float *y);
    /* y[j] += x[j], y[j] += a x[j], y[j] *= a, y[j] = a x[j] */
    void (*add)(float *y, const float *x, size_t n);
    void (*axpy)(float *y, float a, const float *x, size_t n);
    void (*scale)(float *y, float a, size_t n);
    void (*scale_to)(float *y, float a, const float *x, size_t n);
    /* sum of squares of n values as 16 double lanes and the fixed tree. */
    double (*sum_squares)(const float *x, size_t n);

    /* One fused AdamW pass (Loshchilov and Hutter, arXiv 1711.05101) over n values:
     * m = b1 m + (1 - b1) g', v = b2 v + (1 - b2) g'^2, with g' = g * clip,
     * w = w (1 - lr wd) - step m / (sqrt(v) * v_scale + eps). */
    void (*adamw)(float *w, float *m, float *v, const float *g, size_t n,
                  const struct adamw_rates *rates);

    /* For `hone bench`. Independent chains in registers, `rounds` times; returns how many
     * operations that were (a multiplication and an addition are two). peak_dot uses the
     * dot product of bf16 pairs where the processor has it, else it is peak_fma. *sink,
     * 0 before, keeps the compiler honest. */
    double (*peak_fma)(long rounds, float *sink);
    double (*peak_dot)(long rounds, float *sink);
    /* Reads n floats, a multiple of 256, as fast as it can, and returns their sum. */
    float (*read_all)(const float *p, size_t n);
};

struct adamw_rates {
    float beta1, beta2, eps, clip;
    float rest1, rest2; /* 1 - beta1, 1 - beta2, rounded once */
    float decay;   /* lr * weight_decay */
    float step;    /* lr / (1 - beta1^t) */
    float v_scale; /* 1 / sqrt(1 - beta2^t) */
};

/* The table by name; "auto" takes the best that this processor runs. EX_CONFIG with the
 * names there are on -1 (also for one that the processor cannot run). */
MUST_USE int kernels_find(const struct kernels **k, const char *name, struct err *err);

const char *kernels_available(void); /* best first, separated by spaces */
const char *kernels_isa_name(void);  /* what "auto" gives */

/* Floats of a packed B[K][N]: ceil(N / 32) panels of K rows. */
size_t kernels_packed_size(int K, int N);

/* Reads packed memory again, or a plain row-major B[K][N] without packing it (32 floats
 * past its end must be readable). */
struct panels kernels_packed(const float *data, int K);
struct panels kernels_rows(const float *data, size_t ld);

#endif
