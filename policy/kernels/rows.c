/* policy/kernels/rows.c: everything that is not a matrix product, a row at a time.
 *
 * Reductions run over 16 lanes (element j in lane j % 16) and end in the fixed tree of
 * simd.h; a short tail is loaded with zeros, which leaves a lane's sum unchanged.
 */
#include "policy/kernels/internal.h"
#include "policy/simd.h"

#define EACH_VEC(j, n) for (int j = 0; j < (n); j += 16)

void K(k_rmsnorm)(int n, int D, const float *x, size_t ldx, const float *w, float eps,
                  float *y, size_t ldy, float *rstd) {
    for (int i = 0; i < n; i++) {
        const float *xi = x + (size_t)i * ldx;
        float *yi = y + (size_t)i * ldy;
        struct vf sum = vf_zero();
        EACH_VEC(j, D) {
            struct vf v = vf_load_n(xi + j, D - j);
            sum = vf_fma(v, v, sum);
        }
        float r = 1.0f / __builtin_sqrtf(vf_sum(sum) / (float)D + eps);
        if (rstd) rstd[i] = r;
        struct vf rv = vf_set1(r);
        EACH_VEC(j, D) {
            struct vf v = vf_mul(vf_load_n(xi + j, D - j), rv);
            vf_store_n(yi + j, vf_mul(v, vf_load_n(w + j, D - j)), D - j);
        }
    }
}

void K(k_norm_again)(int n, int D, const float *x, size_t ldx, const float *w,
                     const float *rstd, float *y, size_t ldy) {
    for (int i = 0; i < n; i++) {
        const float *xi = x + (size_t)i * ldx;
        float *yi = y + (size_t)i * ldy;
        struct vf rv = vf_set1(rstd[i]);
        EACH_VEC(j, D) {
            struct vf v = vf_mul(vf_load_n(xi + j, D - j), rv);
            vf_store_n(yi + j, vf_mul(v, vf_load_n(w + j, D - j)), D - j);
        }
    }
}

void K(k_rmsnorm_backward)(int n, int D, const float *x, size_t ldx, const float *w,
                           const float *rstd, const float *dy, size_t ldy, float *dx,
                           size_t lddx, bool add) {
    for (int i = 0; i < n; i++) {
        const float *xi = x + (size_t)i * ldx, *dyi = dy + (size_t)i * ldy;
        float *dxi = dx + (size_t)i * lddx, r = rstd[i];
        struct vf dot = vf_zero();
        EACH_VEC(j, D) {
            struct vf g = vf_mul(vf_load_n(dyi + j, D - j), vf_load_n(w + j, D - j));
            dot = vf_fma(g, vf_load_n(xi + j, D - j), dot);
        }
        struct vf rv = vf_set1(r);
        struct vf c = vf_set1(-(r * r * r) * (vf_sum(dot) / (float)D));
        EACH_VEC(j, D) {
            struct vf g = vf_mul(vf_load_n(dyi + j, D - j), vf_load_n(w + j, D - j));
            struct vf d = vf_fma(c, vf_load_n(xi + j, D - j), vf_mul(rv, g));
            if (add) d = vf_add(d, vf_load_n(dxi + j, D - j));
            vf_store_n(dxi + j, d, D - j);
        }
    }
}

/* Columns [j, j + 16 nv) of one pass over the rows. */
SIMD_FN void dw_columns(int n, int nv, int left, const float *x, size_t ldx, const float *rstd,
                        const float *dy, size_t ldy, float *dw) {
    struct vf acc[4];
    for (int v = 0; v < nv; v++) acc[v] = vf_load_n(dw + 16 * v, left - 16 * v);
    for (int i = 0; i < n; i++) {
        struct vf r = vf_set1(rstd[i]);
        for (int v = 0; v < nv; v++) {
            int m = left - 16 * v;
            struct vf xv = vf_mul(vf_load_n(x + (size_t)i * ldx + 16 * v, m), r);
            acc[v] = vf_fma(vf_load_n(dy + (size_t)i * ldy + 16 * v, m), xv, acc[v]);
        }
    }
    for (int v = 0; v < nv; v++) vf_store_n(dw + 16 * v, acc[v], left - 16 * v);
}

void K(k_rmsnorm_dw)(int n, int c0, int c1, const float *x, size_t ldx, const float *rstd,
                     const float *dy, size_t ldy, float *dw) {
    int j = c0;
    for (; j + 64 <= c1; j += 64) dw_columns(n, 4, 64, x + j, ldx, rstd, dy + j, ldy, dw + j);
    for (; j < c1; j += 16) dw_columns(n, 1, c1 - j, x + j, ldx, rstd, dy + j, ldy, dw + j);
}

void K(k_swiglu)(int n, int F, const float *g, const float *u, const float *scale,
                 float *h) {
    for (int i = 0; i < n; i++) {
        size_t o = (size_t)i * (size_t)F;
        struct vf s = vf_set1(scale ? scale[i] : 1.0f);
        EACH_VEC(j, F) {
            struct vf gv = vf_load_n(g + o + j, F - j), uv = vf_load_n(u + o + j, F - j);
            struct vf y = vf_mul(vf_mul(gv, vf_sigmoid(gv)), uv);
            vf_store_n(h + o + j, vf_mul(y, s), F - j);
        }
    }
}

/* silu'(g) = sig + g sig (1 - sig) */
void K(k_swiglu_backward)(int n, int F, const float *g, const float *u, const float *scale,
                          const float *dh, float *dg, float *du, float *h, float *dscale) {
    const struct vf one = vf_set1(1.0f);
    for (int i = 0; i < n; i++) {
        size_t o = (size_t)i * (size_t)F;
        struct vf s = vf_set1(scale ? scale[i] : 1.0f), dot = vf_zero();
        EACH_VEC(j, F) {
            int m = F - j;
            struct vf gv = vf_load_n(g + o + j, m), uv = vf_load_n(u + o + j, m);
            struct vf d = vf_load_n(dh + o + j, m), sig = vf_sigmoid(gv);
            struct vf silu = vf_mul(gv, sig);
            struct vf y = vf_mul(silu, uv);
            dot = vf_fma(d, y, dot);
            d = vf_mul(d, s);
            struct vf slope = vf_fma(silu, vf_sub(one, sig), sig);
            vf_store_n(dg + o + j, vf_mul(vf_mul(d, uv), slope), m);
            vf_store_n(du + o + j, vf_mul(d, silu), m);
            vf_store_n(h + o + j, vf_mul(y, s), m);
        }
        if (scale) dscale[i] = vf_sum(dot);
    }
}

/* Pairs of neighbours, eight at a time; how many pairs it did. */
static int rope_pairs(int n, int half, const float *cs, const float *sn, bool back,
                      const float *x, size_t ldx, float *y, size_t ldy) {
    int j = 0;
    for (; j + 8 <= half; j += 8) {
        struct vf c = vf_load_twice(cs + j), s = vf_load_twice(sn + j);
        if (back) s = vf_sub(vf_zero(), s);
        for (int i = 0; i < n; i++) {
            struct vf a = vf_load(x + (size_t)i * ldx + 2 * j);
            struct vf b = vf_negate_even(vf_mul(vf_swap_pairs(a), s));
            vf_store(y + (size_t)i * ldy + 2 * j, vf_add(vf_mul(a, c), b));
        }
    }
    return j;
}

/* Two halves, sixteen pairs at a time. */
static int rope_halves(int n, int half, const float *cs, const float *sn, bool back,
                       const float *x, size_t ldx, float *y, size_t ldy) {
    int j = 0;
    for (; j + 16 <= half; j += 16) {
        struct vf c = vf_load(cs + j), s = vf_load(sn + j);
        if (back) s = vf_sub(vf_zero(), s);
        for (int i = 0; i < n; i++) {
            const float *xi = x + (size_t)i * ldx + j;
            float *yi = y + (size_t)i * ldy + j;
            struct vf a = vf_load(xi), b = vf_load(xi + half);
            vf_store(yi, vf_sub(vf_mul(a, c), vf_mul(b, s)));
            vf_store(yi + half, vf_add(vf_mul(b, c), vf_mul(a, s)));
        }
    }
    return j;
}

void K(k_rope)(int n, int half, const float *cs, const float *sn, bool interleave, bool back,
               const float *x, size_t ldx, float *y, size_t ldy) {
    int step = interleave ? 2 : 1, other = interleave ? 1 : half;
    int first = interleave ? rope_pairs(n, half, cs, sn, back, x, ldx, y, ldy)
                           : rope_halves(n, half, cs, sn, back, x, ldx, y, ldy);
    for (int i = 0; first < half && i < n; i++) {
        const float *xi = x + (size_t)i * ldx;
        float *yi = y + (size_t)i * ldy;
        for (int j = first; j < half; j++) {
            float a = xi[j * step], b = xi[j * step + other], s = back ? 0.0f - sn[j] : sn[j];
            yi[j * step] = a * cs[j] - b * s;
            yi[j * step + other] = b * cs[j] + a * s;
        }
    }
}

static float row_max(const float *x, int n) {
    const struct vf least = vf_set1(-__builtin_inff());
    struct vf m = least;
    int j = 0;
    for (; j + 16 <= n; j += 16) m = vf_max(vf_load(x + j), m);
    if (j < n) m = vf_max(vf_first(vf_load_part(x + j, n - j), n - j, least), m);
    return vf_max_lane(m);
}

/* e = exp((x - max) inv_t), returns the sum; the tail's dead lanes are not summed. */
static float exp_sum(const float *x, int n, float max, float inv_t, float *e) {
    struct vf sum = vf_zero(), mv = vf_set1(max), tv = vf_set1(inv_t);
    int j = 0;
    for (; j + 16 <= n; j += 16) {
        struct vf v = vf_exp(vf_mul(vf_sub(vf_load(x + j), mv), tv));
        vf_store(e + j, v);
        sum = vf_add(sum, v);
    }
    if (j < n) {
        struct vf v = vf_exp(vf_mul(vf_sub(vf_load_part(x + j, n - j), mv), tv));
        vf_store_part(e + j, v, n - j);
        sum = vf_add(sum, vf_first(v, n - j, vf_zero()));
    }
    return vf_sum(sum);
}

void K(k_softmax)(float *s, int len, int len_zero, float scale) {
    float sum = exp_sum(s, len, row_max(s, len), scale, s);
    struct vf inv = vf_set1(1.0f / sum);
    EACH_VEC(j, len) vf_store_n(s + j, vf_mul(vf_load_n(s + j, len - j), inv), len - j);
    if (len_zero > len) memset(s + len, 0, (size_t)(len_zero - len) * sizeof *s);
}

void K(k_softmax_backward)(const float *p, float *dp, int len, float scale) {
    struct vf dot = vf_zero(), sv = vf_set1(scale);
    EACH_VEC(j, len) dot = vf_fma(vf_load_n(p + j, len - j), vf_load_n(dp + j, len - j), dot);
    struct vf d = vf_set1(vf_sum(dot));
    EACH_VEC(j, len) {
        struct vf v = vf_sub(vf_load_n(dp + j, len - j), d);
        v = vf_mul(vf_mul(v, vf_load_n(p + j, len - j)), sv);
        vf_store_n(dp + j, v, len - j);
    }
}

void K(k_exp_row)(const float *x, int V, float inv_t, float *e, float *max, float *sum) {
    *max = row_max(x, V);
    *sum = exp_sum(x, V, *max, inv_t, e);
}

float K(k_weighted_sum)(const float *e, const float *x, int V, float max) {
    struct vf sum = vf_zero(), mv = vf_set1(max);
    EACH_VEC(j, V) {
        int m = V - j;
        sum = vf_fma(vf_load_n(e + j, m), vf_sub(vf_load_n(x + j, m), mv), sum);
    }
    return vf_sum(sum);
}

void K(k_sigmoid)(const float *x, int n, float *y) {
    EACH_VEC(j, n) vf_store_n(y + j, vf_sigmoid(vf_load_n(x + j, n - j)), n - j);
}

void K(k_add)(float *y, const float *x, size_t n) {
    for (size_t j = 0; j < n; j += 16) {
        int m = n - j < 16 ? (int)(n - j) : 16;
        vf_store_n(y + j, vf_add(vf_load_n(y + j, m), vf_load_n(x + j, m)), m);
    }
}

void K(k_axpy)(float *y, float a, const float *x, size_t n) {
    struct vf av = vf_set1(a);
    for (size_t j = 0; j < n; j += 16) {
        int m = n - j < 16 ? (int)(n - j) : 16;
        vf_store_n(y + j, vf_fma(av, vf_load_n(x + j, m), vf_load_n(y + j, m)), m);
    }
}

void K(k_scale)(float *y, float a, size_t n) {
    struct vf av = vf_set1(a);
    for (size_t j = 0; j < n; j += 16) {
        int m = n - j < 16 ? (int)(n - j) : 16;
        vf_store_n(y + j, vf_mul(vf_load_n(y + j, m), av), m);
    }
}

void K(k_scale_to)(float *y, float a, const float *x, size_t n) {
    struct vf av = vf_set1(a);
    for (size_t j = 0; j < n; j += 16) {
        int m = n - j < 16 ? (int)(n - j) : 16;
        vf_store_n(y + j, vf_mul(vf_load_n(x + j, m), av), m);
    }
}

double K(k_sum_squares)(const float *x, size_t n) {
    double lane[16] = {0};
    for (size_t j = 0; j < n; j += 16) {
        size_t m = n - j < 16 ? n - j : 16;
        for (size_t l = 0; l < m; l++) lane[l] += (double)x[j + l] * (double)x[j + l];
    }
    for (int s = 8; s > 0; s /= 2)
        for (int i = 0; i < s; i++) lane[i] += lane[i + s];
    return lane[0];
}

void K(k_adamw)(float *w, float *m, float *v, const float *g, size_t n,
                const struct adamw_rates *r) {
    struct vf b1 = vf_set1(r->beta1), b2 = vf_set1(r->beta2), clip = vf_set1(r->clip);
    struct vf a1 = vf_set1(r->rest1), a2 = vf_set1(r->rest2);
    struct vf eps = vf_set1(r->eps), vs = vf_set1(r->v_scale);
    struct vf keep = vf_set1(1.0f - r->decay), step = vf_set1(-r->step);
    for (size_t j = 0; j < n; j += 16) {
        int left = n - j < 16 ? (int)(n - j) : 16;
        struct vf gv = vf_mul(vf_load_n(g + j, left), clip);
        struct vf mv = vf_fma(b1, vf_load_n(m + j, left), vf_mul(a1, gv));
        struct vf vv = vf_fma(b2, vf_load_n(v + j, left), vf_mul(vf_mul(a2, gv), gv));
        struct vf wv = vf_mul(vf_load_n(w + j, left), keep);
        struct vf den = vf_fma(vf_sqrt(vv), vs, eps);
        wv = vf_fma(step, vf_div(mv, den), wv);
        vf_store_n(m + j, mv, left);
        vf_store_n(v + j, vv, left);
        vf_store_n(w + j, wv, left);
    }
}
