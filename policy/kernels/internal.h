/* policy/kernels/internal.h: names of the kernels of the instruction set being compiled.
 *
 * Each file of this folder is compiled once an instruction set; K(x) is x with that set's
 * name behind it, and table.c gathers them. Contracts are in policy/kernels.h.
 */
#ifndef POLICY_KERNELS_INTERNAL_H
#define POLICY_KERNELS_INTERNAL_H

#include "policy/kernels.h"

#ifndef SIMD_ISA /* the header alone, as lint compiles it */
#define SIMD_ISA plain
#endif

#define K_JOIN2(a, b) a##_##b
#define K_JOIN(a, b) K_JOIN2(a, b)
#define K(name) K_JOIN(name, SIMD_ISA)

void K(k_matmul)(int M, int N, int Kd, const float *a, size_t a_row, size_t a_col,
                 struct panels b, float *c, size_t ldc, bool add);
void K(k_matmul_bf16)(int M, int N, int n_pairs, const float *a, size_t a_row, size_t a_col,
                      struct panels b, float *c, size_t ldc, bool add);
void K(k_bf16_rows)(int n, int K, const float *x, size_t ldx, float *pairs);
void K(k_bf16_seconds)(const float *x, size_t n, float *pairs);
void K(k_pack_rows)(const struct pack_source *s, int first, int last, int n, int panel,
                    float *dst, size_t stride);
void K(k_pack_columns)(const float *x, size_t ld, bool bf16, int K, int N, float *dst);
void K(k_rmsnorm)(int n, int D, const float *x, size_t ldx, const float *w, float eps,
                  float *y, size_t ldy, float *rstd);
void K(k_rmsnorm_backward)(int n, int D, const float *x, size_t ldx, const float *w,
                           const float *rstd, const float *dy, size_t ldy, float *dx,
                           size_t lddx, bool add);
void K(k_rmsnorm_dw)(int n, int c0, int c1, const float *x, size_t ldx, const float *rstd,
                     const float *dy, size_t ldy, float *dw);
void K(k_swiglu)(int n, int F, const float *g, const float *u, const float *scale,
                 float *h);
void K(k_swiglu_backward)(int n, int F, const float *g, const float *u, const float *scale,
                          const float *dh, float *dg, float *du, float *h, float *dscale);
void K(k_norm_again)(int n, int D, const float *x, size_t ldx, const float *w,
                     const float *rstd, float *y, size_t ldy);
void K(k_rope)(int n, int half, const float *cs, const float *sn, bool interleave, bool back,
               const float *x, size_t ldx, float *y, size_t ldy);
void K(k_softmax)(float *s, int len, int len_zero, float scale);
void K(k_softmax_backward)(const float *p, float *dp, int len, float scale);
void K(k_exp_row)(const float *x, int V, float inv_t, float *e, float *max, float *sum);
float K(k_weighted_sum)(const float *e, const float *x, int V, float max);
void K(k_sigmoid)(const float *x, int n, float *y);
void K(k_add)(float *y, const float *x, size_t n);
void K(k_axpy)(float *y, float a, const float *x, size_t n);
void K(k_scale)(float *y, float a, size_t n);
void K(k_scale_to)(float *y, float a, const float *x, size_t n);
double K(k_sum_squares)(const float *x, size_t n);
void K(k_adamw)(float *w, float *m, float *v, const float *g, size_t n,
                const struct adamw_rates *r);
double K(k_peak_fma)(long rounds, float *sink);
double K(k_peak_dot)(long rounds, float *sink);
float K(k_read_all)(const float *p, size_t n);

#endif
