/* policy/kernels/pack.c: operands into the order in which the matmul walks them.
 *
 * A step of k is one number in f32 and a pair of bf16 numbers in the 4 bytes of one in bf16
 * (policy/kernels.h), so that both types share every layout; only the loads differ.
 */
#include "policy/kernels/internal.h"
#include "policy/simd.h"

/* 16 (or the first n) pairs of two rows; hi NULL: zeros. */
SIMD_FN struct vf load_pair(const float *lo, const float *hi, int n) {
    struct vf a = vf_load_n(lo, n), b = hi ? vf_load_n(hi, n) : vf_zero();
#if SIMD_BF16_DOT
    static const uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                       21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                       11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)b.v[0], (__m512)a.v[0]);
    a.v[0] = (nf)_mm512_permutexvar_epi16(_mm512_loadu_si512(order), both);
#else
    SIMD_EACH(i) a.v[i] = (nf)(nf_to_bf16(a.v[i]) | nf_to_bf16(b.v[i]) << 16);
#endif
    return a;
}

/* 16 pairs of one row. */
SIMD_FN struct vf row_pairs(struct vf lo, struct vf hi) {
    struct vf r;
#if SIMD_BF16_DOT
    r.v[0] = (nf)_mm512_cvtne2ps_pbh((__m512)hi.v[0], (__m512)lo.v[0]);
#else
    uint16_t t[32];
    SIMD_EACH(i) {
        nh l = __builtin_convertvector(nf_to_bf16(lo.v[i]), nh);
        nh h = __builtin_convertvector(nf_to_bf16(hi.v[i]), nh);
        memcpy(t + i * SIMD_W, &l, sizeof l);
        memcpy(t + 16 + i * SIMD_W, &h, sizeof h);
    }
    memcpy(&r, t, sizeof r);
#endif
    return r;
}

/* The same of the first n numbers, n > 0; the others are 0. */
SIMD_FN struct vf load_row_pairs(const float *x, int n) {
    return row_pairs(vf_load_n(x, n), n > 16 ? vf_load_n(x + 16, n - 16) : vf_zero());
}

static float scalar_pair(float lo, float hi) {
    struct vf p = load_pair(&lo, &hi, 1);
    return p.v[0][0];
}

void K(k_bf16_rows)(int n, int K, const float *x, size_t ldx, float *pairs) {
    size_t width = ((size_t)K + 1) / 2;
    for (int i = 0; i < n; i++) {
        const float *xi = x + (size_t)i * ldx;
        float *out = pairs + (size_t)i * width;
        int j = 0;
        for (; j + 32 <= K; j += 32) vf_store(out + j / 2, load_row_pairs(xi + j, 32));
        if (j < K) vf_store_n(out + j / 2, load_row_pairs(xi + j, K - j), (K - j + 1) / 2);
    }
}

void K(k_bf16_seconds)(const float *x, size_t n, float *pairs) {
    for (size_t j = 0; j < n; j += 16) {
        int m = n - j < 16 ? (int)(n - j) : 16;
        struct vf old = vf_load_n(pairs + j, m), now = load_pair(x + j, NULL, m);
        SIMD_EACH(i) old.v[i] = (nf)(((nu)old.v[i] & 0xffffu) | (nu)now.v[i] << 16);
        vf_store_n(pairs + j, old, m);
    }
}

SIMD_FN void copy_row(const float *lo, const float *hi, bool bf16, int n, float *d) {
    int j = 0;
    if (bf16) {
        for (; j + 16 <= n; j += 16) vf_store(d + j, load_pair(lo + j, hi ? hi + j : NULL, 16));
        if (j < n) vf_store_n(d + j, load_pair(lo + j, hi ? hi + j : NULL, n - j), n - j);
    } else {
        for (; j + 16 <= n; j += 16) vf_store(d + j, vf_load(lo + j));
        if (j < n) vf_store_n(d + j, vf_load_n(lo + j, n - j), n - j);
    }
}

static const float *row_at(const struct pack_source *s, int i) {
    if (!s->row) return s->x + (size_t)i * s->ld;
    return s->row[i] < 0 ? NULL : s->x + (size_t)s->row[i] * s->ld;
}

/* Row i's columns are on their way from memory while the rows before it are packed. */
SIMD_FN void fetch(const struct pack_source *s, int i, int last, int n) {
    const float *x = i < last ? row_at(s, i) : NULL;
    for (int j = 0; x && j < n; j += 16) __builtin_prefetch(x + j);
}

void K(k_pack_rows)(const struct pack_source *s, int first, int last, int n, int panel,
                    float *dst, size_t stride) {
    enum { AHEAD = 4 };
    int steps = s->bf16 ? (last - first + 1) / 2 : last - first;
    for (int i = 0; i < steps; i++) {
        int r = first + (s->bf16 ? 2 * i : i);
        const float *lo = row_at(s, r);
        const float *hi = s->bf16 && r + 1 < last ? row_at(s, r + 1) : NULL;
        fetch(s, r + AHEAD, last, n);
        if (s->bf16) fetch(s, r + AHEAD + 1, last, n);
        float *d = dst + (size_t)i * (size_t)panel;
        int j = 0;
        if (panel == PANEL)
            for (; j + PANEL <= n; j += PANEL, d += stride)
                copy_row(lo + j, hi ? hi + j : NULL, s->bf16, PANEL, d);
        for (; j < n; j += panel, d += stride)
            copy_row(lo + j, hi ? hi + j : NULL, s->bf16, n - j < panel ? n - j : panel, d);
    }
}

/* --- by column: the operand's columns are rows of the source -------------------------- */

#if SIMD_W == 16 && !defined(SIMD_PLAIN)
/* Element j of r[i] and element i of r[j] change places. */
SIMD_FN void transpose16(struct vf *r) {
    __m512 t[16], u[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps((__m512)r[i].v[0], (__m512)r[i + 1].v[0]);
        t[i + 1] = _mm512_unpackhi_ps((__m512)r[i].v[0], (__m512)r[i + 1].v[0]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            __m512d a = (__m512d)t[i + j], b = (__m512d)t[i + j + 2];
            u[i + 2 * j] = (__m512)_mm512_unpacklo_pd(a, b);
            u[i + 2 * j + 1] = (__m512)_mm512_unpackhi_pd(a, b);
        }
    for (int i = 0; i < 4; i++) {
        __m512 a = _mm512_shuffle_f32x4(u[i], u[i + 4], 0x88);
        __m512 b = _mm512_shuffle_f32x4(u[i], u[i + 4], 0xdd);
        __m512 c = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0x88);
        __m512 d = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0xdd);
        r[i].v[0] = (nf)_mm512_shuffle_f32x4(a, c, 0x88);
        r[i + 4].v[0] = (nf)_mm512_shuffle_f32x4(b, d, 0x88);
        r[i + 8].v[0] = (nf)_mm512_shuffle_f32x4(a, c, 0xdd);
        r[i + 12].v[0] = (nf)_mm512_shuffle_f32x4(b, d, 0xdd);
    }
}
#else
SIMD_FN void transpose16(struct vf *r) {
    float t[16][16], *flat = (float *)r;
    memcpy(t, r, sizeof t);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) flat[i * 16 + j] = t[j][i];
}
#endif

/* Steps [0, steps) of 16 columns, the rows at x, into dst[steps][PANEL]. */
static void columns16(const float *x, size_t ld, bool bf16, int K, float *dst) {
    int width = bf16 ? 32 : 16;
    struct vf r[16];
    for (int i = 0; i < K; i += width, dst += 16 * PANEL) {
        int n = K - i < width ? K - i : width, steps = bf16 ? (n + 1) / 2 : n;
        for (int c = 0; c < 16; c++) {
            const float *at = x + (size_t)c * ld + i;
            r[c] = bf16 ? load_row_pairs(at, n) : vf_load_n(at, n);
        }
        transpose16(r);
        for (int k = 0; k < steps; k++) vf_store(dst + (size_t)k * PANEL, r[k]);
    }
}

static void column1(const float *x, bool bf16, int K, float *dst) {
    if (!bf16) {
        for (int k = 0; k < K; k++) dst[(size_t)k * PANEL] = x[k];
        return;
    }
    for (int k = 0; k < K; k += 2)
        dst[(size_t)(k / 2) * PANEL] = scalar_pair(x[k], k + 1 < K ? x[k + 1] : 0);
}

void K(k_pack_columns)(const float *x, size_t ld, bool bf16, int K, int N, float *dst) {
    size_t steps = bf16 ? ((size_t)K + 1) / 2 : (size_t)K;
    for (int j = 0; j < N; j += PANEL, dst += steps * PANEL) {
        int cols = N - j < PANEL ? N - j : PANEL, c = 0;
        if (cols < PANEL) memset(dst, 0, steps * PANEL * sizeof *dst);
        for (; c + 16 <= cols; c += 16) columns16(x + (size_t)(j + c) * ld, ld, bf16, K, dst + c);
        for (; c < cols; c++) column1(x + (size_t)(j + c) * ld, bf16, K, dst + c);
    }
}
