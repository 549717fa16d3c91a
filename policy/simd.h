/* policy/simd.h: one 16-lane f32 vector, whatever the processor.
 *
 * Code above it is written once and gives the same bits on AVX-512, AVX2+FMA, NEON and
 * plain C: every operation here is one IEEE operation a lane, a sum over lanes is one
 * fixed tree, and no lane count but 16 is visible. Files that include it are compiled once
 * an instruction set (-DSIMD_ISA=name, -DSIMD_PLAIN for no intrinsics).
 */
#ifndef POLICY_SIMD_H
#define POLICY_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(SIMD_PLAIN)
#define SIMD_W 4 /* lanes a native vector; plain C lets the compiler lower it */
#elif defined(__AVX512F__)
#include <immintrin.h>
#define SIMD_W 16
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define SIMD_W 8
#elif defined(__aarch64__)
#include <arm_neon.h>
#define SIMD_W 4
#else
#define SIMD_PLAIN
#define SIMD_W 4
#endif

#define SIMD_N (16 / SIMD_W) /* native vectors in one vf */

typedef uint16_t nh __attribute__((vector_size(SIMD_W * 2)));
typedef float nf __attribute__((vector_size(SIMD_W * 4)));
typedef int32_t ni __attribute__((vector_size(SIMD_W * 4)));
typedef uint32_t nu __attribute__((vector_size(SIMD_W * 4)));
typedef float nf_unaligned __attribute__((vector_size(SIMD_W * 4), aligned(4)));

struct vf {
    nf v[SIMD_N];
};

#define SIMD_EACH(i) _Pragma("GCC unroll 8") for (int i = 0; i < SIMD_N; i++)
#define SIMD_FN static inline __attribute__((always_inline, unused))

/* a * b + c, rounded once. */
SIMD_FN nf nf_fma(nf a, nf b, nf c) {
#if defined(SIMD_PLAIN)
    nf r;
    for (int i = 0; i < SIMD_W; i++) r[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return r;
#elif SIMD_W == 16
    return (nf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif SIMD_W == 8
    return (nf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return (nf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#endif
}

SIMD_FN nf nf_sqrt(nf a) {
#if defined(SIMD_PLAIN)
    nf r;
    for (int i = 0; i < SIMD_W; i++) r[i] = __builtin_sqrtf(a[i]);
    return r;
#elif SIMD_W == 16
    return (nf)_mm512_sqrt_ps((__m512)a);
#elif SIMD_W == 8
    return (nf)_mm256_sqrt_ps((__m256)a);
#else
    return (nf)vsqrtq_f32((float32x4_t)a);
#endif
}

SIMD_FN nf nf_set1(float x) {
#if SIMD_W == 16
    return (nf){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#elif SIMD_W == 8
    return (nf){x, x, x, x, x, x, x, x};
#else
    return (nf){x, x, x, x};
#endif
}

SIMD_FN nf nf_load(const float *p) { return (nf) * (const nf_unaligned *)p; }
SIMD_FN void nf_store(float *p, nf a) { *(nf_unaligned *)p = (nf_unaligned)a; }

/* mask lanes are all ones or all zeros */
SIMD_FN nf nf_select(ni mask, nf yes, nf no) {
    return (nf)((mask & (ni)yes) | (~mask & (ni)no));
}

/* a > b ? a : b, so b where either is NaN, and a < b ? a : b. */
SIMD_FN nf nf_max(nf a, nf b) {
#if defined(SIMD_PLAIN) || SIMD_W == 4
    return nf_select(a > b, a, b);
#elif SIMD_W == 16
    return (nf)_mm512_max_ps((__m512)a, (__m512)b);
#else
    return (nf)_mm256_max_ps((__m256)a, (__m256)b);
#endif
}
SIMD_FN nf nf_min(nf a, nf b) {
#if defined(SIMD_PLAIN) || SIMD_W == 4
    return nf_select(a < b, a, b);
#elif SIMD_W == 16
    return (nf)_mm512_min_ps((__m512)a, (__m512)b);
#else
    return (nf)_mm256_min_ps((__m256)a, (__m256)b);
#endif
}

/* Lanes of one native vector in another order, by constant indices. */
#if defined(__clang__)
#define SIMD_ORDER(a, ...) __builtin_shufflevector(a, a, __VA_ARGS__)
#else
#define SIMD_ORDER(a, ...) __builtin_shuffle(a, (ni){__VA_ARGS__})
#endif
#if SIMD_W == 16
#define SIMD_SWAPPED 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14
#define SIMD_LOW_TWICE 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7
#define SIMD_HIGH_TWICE 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15
#define SIMD_SIGN_EVEN INT32_MIN, 0, INT32_MIN, 0, INT32_MIN, 0, INT32_MIN, 0, \
                       INT32_MIN, 0, INT32_MIN, 0, INT32_MIN, 0, INT32_MIN, 0
#elif SIMD_W == 8
#define SIMD_SWAPPED 1, 0, 3, 2, 5, 4, 7, 6
#define SIMD_LOW_TWICE 0, 0, 1, 1, 2, 2, 3, 3
#define SIMD_HIGH_TWICE 4, 4, 5, 5, 6, 6, 7, 7
#define SIMD_SIGN_EVEN INT32_MIN, 0, INT32_MIN, 0, INT32_MIN, 0, INT32_MIN, 0
#else
#define SIMD_SWAPPED 1, 0, 3, 2
#define SIMD_LOW_TWICE 0, 0, 1, 1
#define SIMD_HIGH_TWICE 2, 2, 3, 3
#define SIMD_SIGN_EVEN INT32_MIN, 0, INT32_MIN, 0
#endif

SIMD_FN struct vf vf_set1(float x) {
    struct vf r;
    SIMD_EACH(i) r.v[i] = nf_set1(x);
    return r;
}
SIMD_FN struct vf vf_zero(void) { return vf_set1(0.0f); }
SIMD_FN struct vf vf_load(const float *p) {
    struct vf r;
    SIMD_EACH(i) r.v[i] = nf_load(p + i * SIMD_W);
    return r;
}
SIMD_FN void vf_store(float *p, struct vf a) {
    SIMD_EACH(i) nf_store(p + i * SIMD_W, a.v[i]);
}
/* The first n lanes (0 < n <= 16); the others are 0, and memory past n is not touched. */
SIMD_FN struct vf vf_load_part(const float *p, int n) {
#if SIMD_W == 16 && !defined(SIMD_PLAIN)
    struct vf r;
    r.v[0] = (nf)_mm512_maskz_loadu_ps((__mmask16)(0xffffu >> (16 - n)), p);
    return r;
#else
    float t[16] = {0};
    memcpy(t, p, (size_t)n * sizeof *t);
    return vf_load(t);
#endif
}
SIMD_FN void vf_store_part(float *p, struct vf a, int n) {
#if SIMD_W == 16 && !defined(SIMD_PLAIN)
    _mm512_mask_storeu_ps(p, (__mmask16)(0xffffu >> (16 - n)), (__m512)a.v[0]);
#else
    float t[16];
    vf_store(t, a);
    memcpy(p, t, (size_t)n * sizeof *t);
#endif
}
SIMD_FN struct vf vf_load_n(const float *p, int n) {
    return n >= 16 ? vf_load(p) : vf_load_part(p, n);
}
SIMD_FN void vf_store_n(float *p, struct vf a, int n) {
    if (n >= 16)
        vf_store(p, a);
    else
        vf_store_part(p, a, n);
}
/* Each of 8 numbers twice: p[0], p[0], p[1], p[1], ... */
SIMD_FN struct vf vf_load_twice(const float *p) {
    struct vf h = vf_load_part(p, 8), r;
    SIMD_EACH(i) r.v[i] = i % 2 == 0 ? SIMD_ORDER(h.v[i / 2], SIMD_LOW_TWICE)
                                     : SIMD_ORDER(h.v[i / 2], SIMD_HIGH_TWICE);
    return r;
}
/* Neighbours change places: a[1], a[0], a[3], a[2], ... */
SIMD_FN struct vf vf_swap_pairs(struct vf a) {
    SIMD_EACH(i) a.v[i] = SIMD_ORDER(a.v[i], SIMD_SWAPPED);
    return a;
}
/* -a[0], a[1], -a[2], ... */
SIMD_FN struct vf vf_negate_even(struct vf a) {
    SIMD_EACH(i) a.v[i] = (nf)((ni)a.v[i] ^ (ni){SIMD_SIGN_EVEN});
    return a;
}
SIMD_FN struct vf vf_fma(struct vf a, struct vf b, struct vf c) {
    SIMD_EACH(i) c.v[i] = nf_fma(a.v[i], b.v[i], c.v[i]);
    return c;
}
SIMD_FN struct vf vf_add(struct vf a, struct vf b) {
    SIMD_EACH(i) a.v[i] += b.v[i];
    return a;
}
SIMD_FN struct vf vf_sub(struct vf a, struct vf b) {
    SIMD_EACH(i) a.v[i] -= b.v[i];
    return a;
}
SIMD_FN struct vf vf_mul(struct vf a, struct vf b) {
    SIMD_EACH(i) a.v[i] *= b.v[i];
    return a;
}
SIMD_FN struct vf vf_div(struct vf a, struct vf b) {
    SIMD_EACH(i) a.v[i] /= b.v[i];
    return a;
}
SIMD_FN struct vf vf_sqrt(struct vf a) {
    SIMD_EACH(i) a.v[i] = nf_sqrt(a.v[i]);
    return a;
}
/* a > b ? a : b, lane by lane, so b where either is NaN. */
SIMD_FN struct vf vf_max(struct vf a, struct vf b) {
    SIMD_EACH(i) a.v[i] = nf_max(a.v[i], b.v[i]);
    return a;
}
/* The first n lanes of a (0 < n <= 16), the others of b. */
SIMD_FN struct vf vf_first(struct vf a, int n, struct vf b) {
#if SIMD_W == 16 && !defined(SIMD_PLAIN)
    a.v[0] = (nf)_mm512_mask_mov_ps((__m512)b.v[0], (__mmask16)(0xffffu >> (16 - n)),
                                    (__m512)a.v[0]);
#else
    float t[16], u[16];
    vf_store(t, a);
    vf_store(u, b);
    for (int i = n; i < 16; i++) t[i] = u[i];
    a = vf_load(t);
#endif
    return a;
}

/* A pair of bf16 numbers stands in the 4 bytes of a lane: element 2i in the low half, 2i + 1
 * in the high one. A bf16 dot is the chain acc + a[2i+1] b[2i+1], then + a[2i] b[2i], each
 * a fused multiply-add, denormal operands and results taken as 0: what VDPBF16PS does.
 * SIMD_FLUSH_MODE: the caller has set flush-to-zero in MXCSR. */
#if defined(__AVX512BF16__) && SIMD_W == 16 && !defined(SIMD_PLAIN)
#define SIMD_BF16_DOT 1
#else
#define SIMD_BF16_DOT 0
#endif
#if !SIMD_BF16_DOT && SIMD_W >= 8 && !defined(SIMD_PLAIN)
#define SIMD_FLUSH_MODE 1
#else
#define SIMD_FLUSH_MODE 0
#endif

/* Denormals become 0 of their sign. */
SIMD_FN nf nf_flush(nf a) {
    ni tiny = ((ni)a & 0x7f800000) == 0;
    return (nf)((ni)a & (~tiny | (ni)((nu)tiny << 31)));
}

SIMD_FN struct vf vf_flush(struct vf a) {
    SIMD_EACH(i) a.v[i] = nf_flush(a.v[i]);
    return a;
}

SIMD_FN nf nf_dot_bf16(nf a, nf b, nf acc) {
#if SIMD_BF16_DOT
    return (nf)_mm512_dpbf16_ps((__m512)acc, (__m512bh)a, (__m512bh)b);
#else
    nf ah = (nf)((nu)a & 0xffff0000u), bh = (nf)((nu)b & 0xffff0000u);
    nf al = (nf)((nu)a << 16), bl = (nf)((nu)b << 16);
#if SIMD_FLUSH_MODE
    return nf_fma(al, bl, nf_fma(ah, bh, acc));
#else
    return nf_flush(nf_fma(al, bl, nf_flush(nf_fma(ah, bh, acc))));
#endif
#endif
}
SIMD_FN struct vf vf_dot_bf16(struct vf a, struct vf b, struct vf acc) {
    SIMD_EACH(i) acc.v[i] = nf_dot_bf16(a.v[i], b.v[i], acc.v[i]);
    return acc;
}

/* To the nearest bf16, ties to even, in the low half of each lane. A denormal becomes 0 of
 * its sign; NaN stays NaN. */
SIMD_FN nu nf_to_bf16(nf x) {
    nu u = (nu)nf_flush(x);
    nu round = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    nu nan = (nu)((u & 0x7fffffffu) > 0x7f800000u);
    return (nan & ((u >> 16) | 0x40u)) | (~nan & round);
}

/* The fixed tree: lanes 8 apart, then 4, 2, 1; the lower half first. */
#if SIMD_W >= 8 && !defined(SIMD_PLAIN)
#if SIMD_W == 16
#define SIMD_HALVES(a) _mm512_castps512_ps256((__m512)a.v[0]), \
                       _mm512_extractf32x8_ps((__m512)a.v[0], 1)
#else
#define SIMD_HALVES(a) (__m256)a.v[0], (__m256)a.v[1]
#endif
#define SIMD_TREE(a, op)                                                            \
    __m256 t8 = _mm256_##op##_ps(SIMD_HALVES(a));                                   \
    __m128 t4 = _mm_##op##_ps(_mm256_castps256_ps128(t8), _mm256_extractf128_ps(t8, 1)); \
    __m128 t2 = _mm_##op##_ps(t4, _mm_movehl_ps(t4, t4));                           \
    return _mm_cvtss_f32(_mm_##op##_ss(t2, _mm_movehdup_ps(t2)))
#endif

SIMD_FN float vf_sum(struct vf a) {
#if SIMD_W == 4 || defined(SIMD_PLAIN)
    nf t = (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]);
    float even = t[0] + t[2], odd = t[1] + t[3];
    return even + odd;
#else
    SIMD_TREE(a, add);
#endif
}
SIMD_FN float vf_max_lane(struct vf a) {
#if SIMD_W == 4 || defined(SIMD_PLAIN)
    nf t = nf_max(nf_max(a.v[0], a.v[2]), nf_max(a.v[1], a.v[3]));
    float even = t[0] > t[2] ? t[0] : t[2], odd = t[1] > t[3] ? t[1] : t[3];
    return even > odd ? even : odd;
#else
    SIMD_TREE(a, max);
#endif
}

/* e^x: x = n ln2 + r with |r| <= ln2 / 2, a degree 6 polynomial in r (relative error below
 * 2.5e-7), scaled by 2^n. Below -87 it is 0, above 88 it is 2^127 (1 + ...), NaN stays NaN. */
SIMD_FN nf nf_exp(nf x) {
    const nf lo = nf_set1(-87.0f), hi = nf_set1(88.0f);
    nf t = nf_max(lo, nf_min(hi, x));
    const nf magic = nf_set1(12582912.0f); /* 1.5 * 2^23: adding it rounds to integer */
    nf n = nf_fma(t, nf_set1(1.44269504f), magic);
    nu bits = (nu)n; /* wraps where n is NaN */
    n -= magic;
    nf r = nf_fma(n, nf_set1(-0.693145752f), t);
    r = nf_fma(n, nf_set1(-1.42860677e-6f), r);
    nf p = nf_set1(1.0f / 720);
    p = nf_fma(p, r, nf_set1(1.0f / 120));
    p = nf_fma(p, r, nf_set1(1.0f / 24));
    p = nf_fma(p, r, nf_set1(1.0f / 6));
    p = nf_fma(p, r, nf_set1(0.5f));
    p = nf_fma(p, r, nf_set1(1.0f));
    p = nf_fma(p, r, nf_set1(1.0f));
    nf e = (nf)((nu)p + (bits << 23));
#if SIMD_W == 16 && !defined(SIMD_PLAIN)
    __mmask16 number = _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_ORD_Q);
    e = (nf)_mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512)x, (__m512)lo, _CMP_NLT_UQ), (__m512)e);
    return (nf)_mm512_mask_mov_ps((__m512)x, number, (__m512)e);
#else
    e = nf_select(x < lo, nf_set1(0.0f), e);
    return nf_select(x == x, e, x);
#endif
}
SIMD_FN struct vf vf_exp(struct vf x) {
    SIMD_EACH(i) x.v[i] = nf_exp(x.v[i]);
    return x;
}
/* 1 / (1 + e^-x) */
SIMD_FN struct vf vf_sigmoid(struct vf x) {
    const struct vf one = vf_set1(1.0f);
    return vf_div(one, vf_add(one, vf_exp(vf_sub(vf_zero(), x))));
}

#endif
