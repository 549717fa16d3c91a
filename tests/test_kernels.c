/* tests/test_kernels.c: the tables, and every function but the product in each table this
 * processor runs.
 *
 * All tables agree to the bit, and closely with the formula in double; gradients with
 * central differences in double. Every buffer that is written has sentinels behind it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tests/kernels_fixture.h"

enum { MAX_OUT = 4096 };

static const struct kernels *table[KERNELS_MAX]; /* plain is the last */
static int n_tables;

static int find_tables(void **state) {
    (void)state;
    n_tables = kernels_tables(table);
    return n_tables > 0 ? 0 : -1;
}

static void close_to(double got, double want, double tolerance, const char *what,
                     int size) {
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("%s of %d: %.9g, want %.9g", what, size, got, want);
}

static bool same(const float *a, const float *b, size_t n) {
    return memcmp(a, b, n * sizeof *a) == 0;
}

/* Work done by one table into out[n_out]; every table must leave the same bytes there and
 * none behind. */
typedef size_t (*run_fn)(const struct kernels *k, int size, float *out);

static void every_table(run_fn run, int size, const char *what, float *out) {
    for (int t = n_tables - 1; t >= 0; t--) {
        float *got = kernels_room(MAX_OUT);
        size_t n = run(table[t], size, got);
        assert_true(n <= MAX_OUT);
        kernels_check_guard(got, n, what);
        if (t == n_tables - 1)
            memcpy(out, got, n * sizeof *out);
        else if (!same(got, out, n))
            fail_msg("%s of %d: %s and plain differ", what, size, table[t]->name);
        mem_free(got);
    }
}

static const int sizes[] = {1, 2, 15, 16, 17, 31, 32, 33, 47, 65, 100};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

/* Tables */

static void test_find_knows_its_tables(void **state) {
    (void)state;
    const struct kernels *k;
    struct err err;
    assert_int_equal(kernels_find(&k, "auto", &err), 0);
    assert_string_equal(k->name, kernels_isa_name());
    assert_ptr_equal(k, table[0]);
    assert_string_equal(table[n_tables - 1]->name, "plain");
    char all[64] = "";
    for (int t = 0; t < n_tables; t++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", t ? " " : "", table[t]->name);
        assert_int_equal(kernels_find(&k, table[t]->name, &err), 0);
        assert_ptr_equal(k, table[t]);
    }
    assert_string_equal(kernels_available(), all);
}

static void test_find_refuses_other_names(void **state) {
    (void)state;
    static const char *const wrong[] = {"", "sse2", "AVX2", "plain ", "avx"};
    for (int i = 0; i < 5; i++) {
        const struct kernels *k = NULL;
        struct err err = {0};
        assert_int_equal(kernels_find(&k, wrong[i], &err), -1);
        assert_null(k);
        assert_int_equal(err.code, EX_CONFIG);
        assert_non_null(strstr(err.msg, kernels_available()));
        assert_non_null(strstr(err.msg, wrong[i]));
    }
}

/* Norms */

enum { ROWS = 3 };

/* y [ROWS][D + 5], then rstd [ROWS]. */
static size_t run_rmsnorm(const struct kernels *k, int D, float *out) {
    size_t d = (size_t)D, ldy = d + 5;
    float *x = kernels_filled(ROWS * (d + 3), 10), *w = kernels_filled(d, 11);
    k->rmsnorm(ROWS, D, x, d + 3, w, 1e-5f, out, ldy, out + ROWS * ldy);
    mem_free(x);
    mem_free(w);
    return ROWS * ldy + ROWS;
}

static void test_rmsnorm_matches_its_formula(void **state) {
    (void)state;
    for (int s = 0; s < N_SIZES; s++) {
        int D = sizes[s];
        size_t d = (size_t)D, ldx = d + 3, ldy = d + 5;
        float out[MAX_OUT], *x = kernels_filled(ROWS * ldx, 10),
                            *w = kernels_filled(d, 11);
        every_table(run_rmsnorm, D, "rmsnorm", out);
        for (size_t i = 0; i < ROWS; i++) {
            double sum = 0;
            for (size_t j = 0; j < d; j++) sum += pow(x[i * ldx + j], 2);
            double r = 1 / sqrt(sum / D + (double)1e-5f);
            close_to(out[ROWS * ldy + i], r, 4e-7, "rstd", D);
            for (size_t j = 0; j < d; j++)
                close_to(out[i * ldy + j], x[i * ldx + j] * r * w[j], 1e-6, "rmsnorm", D);
            for (size_t j = d; j < ldy; j++)
                assert_true(out[i * ldy + j] == kernels_sentinel);
        }
        mem_free(x);
        mem_free(w);
    }
}

static void test_rmsnorm_works_in_place_and_row_by_row(void **state) {
    (void)state;
    enum { D = 37 };
    for (int t = 0; t < n_tables; t++) {
        float *x = kernels_filled(ROWS * D, 12), *w = kernels_filled(D, 13),
              *y = kernels_room(ROWS * D);
        table[t]->rmsnorm(ROWS, D, x, D, w, 1e-6f, y, D, NULL);
        for (int i = 0; i < ROWS; i++)
            table[t]->rmsnorm(1, D, x + i * D, D, w, 1e-6f, x + i * D, D, NULL);
        assert_true(same(x, y, ROWS * D));
        mem_free(x);
        mem_free(w);
        mem_free(y);
    }
}

static void test_rmsnorm_of_zeros_and_of_nan(void **state) {
    (void)state;
    enum { D = 18 };
    for (int t = 0; t < n_tables; t++) {
        float *x = kernels_filled(ROWS * D, 14), *w = kernels_filled(D, 15),
              *y = kernels_room(ROWS * D), rstd[ROWS];
        memset(x, 0, D * sizeof *x);
        x[D + 17] = NAN;
        table[t]->rmsnorm(ROWS, D, x, D, w, 1e-6f, y, D, rstd);
        for (int j = 0; j < D; j++) {
            assert_true(y[j] == 0);
            assert_true(isnan(y[D + j]));
            assert_true(isfinite(y[2 * D + j]));
        }
        close_to(rstd[0], 1e3, 1e-6, "rstd", D);
        assert_true(isnan(rstd[1]));
        mem_free(x);
        mem_free(w);
        mem_free(y);
    }
}

/* sum_j dy_j y_j in double, y the norm of x with eps 1e-5: what the gradients are of. */
static double norm_loss(int D, const double *x, const double *w, const float *dy) {
    double sum = 0, loss = 0;
    for (int j = 0; j < D; j++) sum += x[j] * x[j];
    double r = 1 / sqrt(sum / D + 1e-5);
    for (int j = 0; j < D; j++) loss += dy[j] * x[j] * r * w[j];
    return loss;
}

/* Slope of norm_loss along v[j], which is x[j] or w[j]. */
static double norm_slope(int D, const double *x, const double *w, const float *dy,
                         double *v) {
    double h = 1e-4, old = *v, side[2];
    for (int i = 0; i < 2; i++) {
        *v = i ? old - h : old + h;
        side[i] = norm_loss(D, x, w, dy);
    }
    *v = old;
    return (side[0] - side[1]) / (2 * h);
}

/* dx [ROWS][D + 2] written, the same added to 1, then dw[D] added to 0.5. */
static size_t run_rmsnorm_backward(const struct kernels *k, int D, float *out) {
    size_t d = (size_t)D, lddx = d + 2, n = ROWS * lddx;
    float *x = kernels_filled(ROWS * (d + 3), 16), *w = kernels_filled(d, 17),
          *dy = kernels_filled(ROWS * (d + 1), 18);
    float *y = kernels_room(ROWS * d), rstd[ROWS];
    k->rmsnorm(ROWS, D, x, d + 3, w, 1e-5f, y, d, rstd);
    k->rmsnorm_backward(ROWS, D, x, d + 3, w, rstd, dy, d + 1, out, lddx, false);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < d; j++) out[n + i * lddx + j] = 1;
    k->rmsnorm_backward(ROWS, D, x, d + 3, w, rstd, dy, d + 1, out + n, lddx, true);
    for (size_t j = 0; j < d; j++) out[2 * n + j] = 0.5f;
    int c0 = D / 3; /* in two parts: any cut of the columns gives the same */
    k->rmsnorm_dw(ROWS, c0, D, x, d + 3, rstd, dy, d + 1, out + 2 * n);
    k->rmsnorm_dw(ROWS, 0, c0, x, d + 3, rstd, dy, d + 1, out + 2 * n);
    float *owned[] = {x, w, dy, y};
    for (int i = 0; i < 4; i++) mem_free(owned[i]);
    return 2 * n + d;
}

static void check_rmsnorm_backward(int D, const float *out) {
    size_t d = (size_t)D, lddx = d + 2, n = ROWS * lddx;
    float *x = kernels_filled(ROWS * (d + 3), 16), *w = kernels_filled(d, 17),
          *dy = kernels_filled(ROWS * (d + 1), 18);
    double wd[128], xd[128], dw[128] = {0};
    for (size_t j = 0; j < d; j++) wd[j] = w[j];
    for (size_t i = 0; i < ROWS; i++) {
        const float *g = dy + i * (d + 1);
        for (size_t j = 0; j < d; j++) xd[j] = x[i * (d + 3) + j];
        for (size_t j = 0; j < d; j++) {
            double dx = norm_slope(D, xd, wd, g, &xd[j]);
            close_to(out[i * lddx + j], dx, 2e-5, "rmsnorm_backward", D);
            close_to(out[n + i * lddx + j], 1 + dx, 2e-5, "rmsnorm_backward, added", D);
            dw[j] += norm_slope(D, xd, wd, g, &wd[j]);
        }
        for (size_t j = d; j < lddx; j++) {
            assert_true(out[i * lddx + j] == kernels_sentinel);
            assert_true(out[n + i * lddx + j] == kernels_sentinel);
        }
    }
    for (size_t j = 0; j < d; j++) close_to(out[2 * n + j], 0.5 + dw[j], 2e-6, "dw", D);
    mem_free(x);
    mem_free(w);
    mem_free(dy);
}

static void test_rmsnorm_backward_matches_central_differences(void **state) {
    (void)state;
    float out[MAX_OUT];
    for (int s = 1; s < N_SIZES; s++) {
        every_table(run_rmsnorm_backward, sizes[s], "rmsnorm_backward", out);
        check_rmsnorm_backward(sizes[s], out);
    }
}

static void test_rmsnorm_dw_leaves_other_columns_alone(void **state) {
    (void)state;
    enum { D = 70 };
    for (int t = 0; t < n_tables; t++)
        for (int c0 = 0; c0 < 40; c0 += 13) {
            float *x = kernels_filled(ROWS * D, 19), *dy = kernels_filled(ROWS * D, 20),
                  *dw = kernels_room(D);
            float rstd[ROWS] = {1, 2, 3};
            table[t]->rmsnorm_dw(ROWS, c0, c0 + 21, x, D, rstd, dy, D, dw);
            for (int j = 0; j < D; j++)
                assert_int_equal(j >= c0 && j < c0 + 21, dw[j] != kernels_sentinel);
            kernels_check_guard(dw, D, "rmsnorm_dw");
            mem_free(x);
            mem_free(dy);
            mem_free(dw);
        }
}

/* SwiGLU */

static double swiglu_of(double g, double u) { return g / (1 + exp(-g)) * u; }

/* h without and with scale [ROWS][F] each. */
static size_t run_swiglu(const struct kernels *k, int F, float *out) {
    size_t n = ROWS * (size_t)F;
    float *g = kernels_filled(n, 21), *u = kernels_filled(n, 22),
          scale[ROWS] = {0.5f, -3, 1};
    for (size_t i = 0; i < n; i++) g[i] *= 4;
    k->swiglu(ROWS, F, g, u, NULL, out);
    k->swiglu(ROWS, F, g, u, scale, out + n);
    mem_free(g);
    mem_free(u);
    return 2 * n;
}

static void test_swiglu_matches_its_formula(void **state) {
    (void)state;
    float out[MAX_OUT];
    for (int s = 0; s < N_SIZES; s++) {
        int F = sizes[s];
        size_t n = ROWS * (size_t)F;
        float *g = kernels_filled(n, 21), *u = kernels_filled(n, 22),
              scale[ROWS] = {0.5f, -3, 1};
        every_table(run_swiglu, F, "swiglu", out);
        for (size_t i = 0; i < n; i++) {
            double h = swiglu_of(4 * g[i], u[i]);
            close_to(out[i], h, 5e-7, "swiglu", F);
            close_to(out[n + i], h * scale[i / (size_t)F], 5e-7, "scaled swiglu", F);
        }
        mem_free(g);
        mem_free(u);
    }
}

/* dg, du without scale; dg, du and dscale with it, written over g and u. */
static size_t run_swiglu_backward(const struct kernels *k, int F, float *out) {
    size_t n = ROWS * (size_t)F;
    float *g = kernels_filled(n, 23), *u = kernels_filled(n, 24),
          *dh = kernels_filled(n, 25);
    float scale[ROWS] = {0.5f, -3, 1};
    float *h = kernels_room(n), *again = kernels_room(n);
    k->swiglu(ROWS, F, g, u, scale, h);
    k->swiglu_backward(ROWS, F, g, u, NULL, dh, out, out + n, again, NULL);
    memcpy(out + 2 * n, g, n * sizeof *g);
    memcpy(out + 3 * n, u, n * sizeof *u);
    memcpy(again, dh, n * sizeof *dh);
    k->swiglu_backward(ROWS, F, out + 2 * n, out + 3 * n, scale, again, out + 2 * n,
                       out + 3 * n, again, out + 4 * n);
    assert_memory_equal(again, h, n * sizeof *h); /* what the forward had */
    kernels_check_guard(again, n, "swiglu_backward's h");
    float *owned[] = {g, u, dh, h, again};
    for (int i = 0; i < 5; i++) mem_free(owned[i]);
    return 4 * n + ROWS;
}

static void check_swiglu_backward(int F, const float *out) {
    size_t n = ROWS * (size_t)F;
    float *g = kernels_filled(n, 23), *u = kernels_filled(n, 24),
          *dh = kernels_filled(n, 25);
    double scale[ROWS] = {0.5, -3, 1}, dscale[ROWS] = {0}, e = 1e-4;
    for (size_t i = 0; i < n; i++) {
        double s = scale[i / (size_t)F], d = dh[i];
        double dg = d * (swiglu_of(g[i] + e, u[i]) - swiglu_of(g[i] - e, u[i])) / (2 * e);
        double du = d * (swiglu_of(g[i], u[i] + e) - swiglu_of(g[i], u[i] - e)) / (2 * e);
        close_to(out[i], dg, 2e-6, "dg", F);
        close_to(out[n + i], du, 2e-6, "du", F);
        close_to(out[2 * n + i], s * dg, 2e-6, "scaled dg", F);
        close_to(out[3 * n + i], s * du, 2e-6, "scaled du", F);
        dscale[i / (size_t)F] += d * swiglu_of(g[i], u[i]);
    }
    for (int i = 0; i < ROWS; i++)
        close_to(out[4 * n + (size_t)i], dscale[i], 3e-6, "dscale", F);
    mem_free(g);
    mem_free(u);
    mem_free(dh);
}

static void test_swiglu_backward_matches_central_differences(void **state) {
    (void)state;
    float out[MAX_OUT];
    for (int s = 0; s < N_SIZES; s++) {
        every_table(run_swiglu_backward, sizes[s], "swiglu_backward", out);
        check_swiglu_backward(sizes[s], out);
    }
}

static void test_swiglu_at_the_ends(void **state) {
    (void)state;
    for (int t = 0; t < n_tables; t++) {
        float g[5] = {1e4f, -1e4f, 0, NAN, 2}, u[5] = {2, 2, 2, 2, NAN}, h[5];
        table[t]->swiglu(1, 5, g, u, NULL, h);
        assert_true(h[0] == 2e4f && fabsf(h[1]) < 1e-30f && h[2] == 0);
        assert_true(isnan(h[3]) && isnan(h[4]));
    }
}

/* Softmax */

/* p[0..len) and the zeros up to len + 7. */
static size_t run_softmax(const struct kernels *k, int len, float *out) {
    kernels_fill(out, (size_t)len, 26);
    k->softmax(out, len, len + 7, 1.7f);
    return (size_t)len + 7;
}

static void test_softmax_matches_its_formula(void **state) {
    (void)state;
    float out[MAX_OUT];
    for (int s = 0; s < N_SIZES; s++) {
        int len = sizes[s];
        float *x = kernels_filled((size_t)len, 26);
        double sum = 0, total = 0;
        every_table(run_softmax, len, "softmax", out);
        for (int j = 0; j < len; j++) sum += exp(x[j] * (double)1.7f);
        for (int j = 0; j < len; j++) {
            double p = exp(x[j] * (double)1.7f) / sum;
            close_to(out[j] / p, 1, 2e-6, "softmax", len);
            total += out[j];
        }
        close_to(total, 1, 1e-6, "sum of softmax", len);
        for (int j = len; j < len + 7; j++) assert_true(out[j] == 0);
        mem_free(x);
    }
}

static void test_softmax_of_huge_scores(void **state) {
    (void)state;
    for (int t = 0; t < n_tables; t++) {
        float x[20];
        for (int j = 0; j < 20; j++) x[j] = -INFINITY;
        x[3] = -3e38f, x[17] = 3e38f;
        table[t]->softmax(x, 20, 20, 2);
        for (int j = 0; j < 20; j++) assert_true(x[j] == (j == 17));
        for (int j = 0; j < 20; j++) x[j] = 3e38f;
        table[t]->softmax(x, 16, 16, 1);
        for (int j = 0; j < 20; j++) assert_true(x[j] == (j < 16 ? 1.0f / 16 : 3e38f));
        for (int at = 0; at < 20; at += 19) {
            for (int j = 0; j < 20; j++) x[j] = 1;
            x[at] = NAN;
            table[t]->softmax(x, 20, 20, 1);
            for (int j = 0; j < 20; j++) assert_true(isnan(x[j]));
        }
    }
}

/* sum_j dp_j p_j of scores s, in double. */
static double softmax_loss(int len, const double *s, const float *dp, double scale) {
    double sum = 0, loss = 0;
    for (int j = 0; j < len; j++) sum += exp(s[j] * scale);
    for (int j = 0; j < len; j++) loss += dp[j] * exp(s[j] * scale) / sum;
    return loss;
}

static size_t run_softmax_backward(const struct kernels *k, int len, float *out) {
    float *p = kernels_filled((size_t)len, 27);
    k->softmax(p, len, len, 0.8f);
    kernels_fill(out, (size_t)len, 28);
    k->softmax_backward(p, out, len, 0.8f);
    mem_free(p);
    return (size_t)len;
}

static void test_softmax_backward_matches_central_differences(void **state) {
    (void)state;
    float out[MAX_OUT];
    for (int i = 0; i < N_SIZES; i++) {
        int len = sizes[i];
        float *s = kernels_filled((size_t)len, 27), *dp = kernels_filled((size_t)len, 28);
        double sd[128], h = 1e-4;
        for (int j = 0; j < len; j++) sd[j] = s[j];
        every_table(run_softmax_backward, len, "softmax_backward", out);
        for (int j = 0; j < len; j++) {
            sd[j] = s[j] + h;
            double up = softmax_loss(len, sd, dp, (double)0.8f);
            sd[j] = s[j] - h;
            double down = softmax_loss(len, sd, dp, (double)0.8f);
            sd[j] = s[j];
            close_to(out[j], (up - down) / (2 * h), 1e-6, "softmax_backward", len);
        }
        mem_free(s);
        mem_free(dp);
    }
}

/* Distributions */

/* e[V], max, sum, weighted sum. */
static size_t run_exp_row(const struct kernels *k, int V, float *out) {
    float *x = kernels_filled((size_t)V, 29);
    k->exp_row(x, V, 1.3f, out, out + V, out + V + 1);
    out[V + 2] = k->weighted_sum(out, x, V, out[V]);
    mem_free(x);
    return (size_t)V + 3;
}

static void test_exp_row_matches_its_formula(void **state) {
    (void)state;
    float out[MAX_OUT];
    for (int s = 0; s < N_SIZES; s++) {
        int V = sizes[s];
        float *x = kernels_filled((size_t)V, 29);
        double max = -9, sum = 0, weighted = 0;
        every_table(run_exp_row, V, "exp_row", out);
        for (int j = 0; j < V; j++) max = x[j] > max ? x[j] : max;
        assert_true(out[V] == (float)max);
        for (int j = 0; j < V; j++) {
            double e = exp((x[j] - max) * (double)1.3f);
            close_to(out[j] / e, 1, 1e-6, "exp_row", V);
            sum += e;
            weighted += e * (x[j] - max);
        }
        close_to(out[V + 1], sum, 1e-6, "sum of exp_row", V);
        close_to(out[V + 2], weighted, 1e-6, "weighted_sum", V);
        mem_free(x);
    }
}

static void test_exp_row_shows_nan_and_drops_minus_infinity(void **state) {
    (void)state;
    for (int t = 0; t < n_tables; t++) {
        float x[18], e[18], max, sum;
        for (int at = 0; at < 18; at += 17) {
            for (int j = 0; j < 18; j++) x[j] = -INFINITY;
            x[at] = 5, x[9] = 5;
            table[t]->exp_row(x, 18, 1, e, &max, &sum);
            assert_true(max == 5 && sum == 2);
            for (int j = 0; j < 18; j++) assert_true(e[j] == (j == at || j == 9));
            x[at] = NAN;
            table[t]->exp_row(x, 18, 1, e, &max, &sum);
            assert_true(isnan(e[at]) && isnan(sum));
            x[at] = INFINITY;
            table[t]->exp_row(x, 18, 1, e, &max, &sum);
            assert_true(isnan(sum));
        }
    }
}

/* exp over all of its range. The maximum of the row is 0, so that arguments are exact; a
 * negative inv_t reaches the positive ones. */
static void test_exp_is_accurate_over_its_range(void **state) {
    (void)state;
    enum { N = 20000 };
    for (int sign = -1; sign <= 1; sign += 2) {
        float *x = kernels_room(N), *e = kernels_room(N), *plain = kernels_room(N), max,
              sum;
        double worst = 0;
        for (int i = 0; i < N; i++) x[i] = (float)(-87.0 * i / (N - 1));
        for (int t = n_tables - 1; t >= 0; t--) {
            table[t]->exp_row(x, N, (float)-sign, e, &max, &sum);
            if (t == n_tables - 1) memcpy(plain, e, N * sizeof *e);
            assert_true(max == 0 && same(e, plain, N));
        }
        for (int i = 0; i < N; i++) {
            double rel = fabs(e[i] / exp(-sign * (double)x[i]) - 1);
            if (!(rel <= worst)) worst = rel;
        }
        print_message("exp of 0 .. %d: relative error %.3g\n", sign * 87, worst);
        assert_true(worst < 3e-7);
        mem_free(x);
        mem_free(e);
        mem_free(plain);
    }
}

static void test_exp_at_the_ends_of_its_range(void **state) {
    (void)state;
    for (int t = 0; t < n_tables; t++) {
        float x[] = {0, -86.9f, -87.5f, -88.0f, -1e4f, -3e38f, -INFINITY}, e[7], max, sum;
        table[t]->exp_row(x, 7, 1, e, &max, &sum);
        assert_true(e[0] == 1 && e[1] > 1e-38f);
        for (int j = 2; j < 7; j++) assert_true(e[j] == 0);
        table[t]->exp_row(x, 7, -1, e, &max, &sum); /* of 0, 86.9, 87.5, 88, ... inf */
        for (int j = 3; j < 7; j++)
            assert_true(e[j] == e[3] && e[j] > 1.6e38f && isfinite(e[j]));
    }
}

/* A NaN may carry any bits. */
static void test_exp_keeps_every_nan(void **state) {
    (void)state;
    static const uint32_t bits[] = {0x7fc00000, 0x7fc00001, 0x7fffffff, 0xffc12345,
                                    0x7fe00100};
    for (int t = 0; t < n_tables; t++)
        for (int i = 0; i < 5; i++) {
            float x[20] = {0}, e[20], y[20], max, sum;
            memcpy(&x[7], &bits[i], sizeof bits[i]);
            memcpy(&x[18], &bits[i], sizeof bits[i]);
            table[t]->exp_row(x, 20, 1, e, &max, &sum);
            table[t]->sigmoid(x, 20, y);
            for (int j = 0; j < 20; j++) {
                assert_int_equal(isnan(e[j]) != 0, j == 7 || j == 18);
                assert_int_equal(isnan(y[j]) != 0, j == 7 || j == 18);
            }
            assert_true(isnan(sum));
        }
}

static size_t run_sigmoid(const struct kernels *k, int n, float *out) {
    float *x = kernels_filled((size_t)n, 30);
    for (int j = 0; j < n; j++) x[j] *= 10;
    k->sigmoid(x, n, out);
    mem_free(x);
    return (size_t)n;
}

static void test_sigmoid_matches_its_formula(void **state) {
    (void)state;
    float out[MAX_OUT];
    for (int s = 0; s < N_SIZES; s++) {
        float *x = kernels_filled((size_t)sizes[s], 30);
        every_table(run_sigmoid, sizes[s], "sigmoid", out);
        for (int j = 0; j < sizes[s]; j++)
            close_to(out[j] * (1 + exp(-10 * x[j])), 1, 6e-7, "sigmoid", sizes[s]);
        mem_free(x);
    }
    for (int t = 0; t < n_tables; t++) {
        float x[] = {INFINITY, 1e4f, 0, -1e4f, -INFINITY, NAN}, y[6];
        table[t]->sigmoid(x, 6, y);
        assert_true(y[0] == 1 && y[1] == 1 && y[2] == 0.5f && isnan(y[5]));
        assert_true(y[3] >= 0 && y[3] < 1e-37f && y[4] == y[3]);
    }
}

/* Vectors */

/* y + x, y + a x, a y, and the sum of squares of x. */
static size_t run_vectors(const struct kernels *k, int n, float *out) {
    size_t N = (size_t)n;
    float *x = kernels_filled(N, 31);
    for (size_t i = 0; i < 3; i++) kernels_fill(out + i * N, N, 32);
    k->add(out, x, N);
    k->axpy(out + N, 0.3f, x, N);
    k->scale(out + 2 * N, 0.3f, N);
    double sum = k->sum_squares(x, N);
    memcpy(out + 3 * N, &sum, sizeof sum);
    mem_free(x);
    return 3 * N + 2;
}

static void test_vectors_match_their_formulas(void **state) {
    (void)state;
    float out[MAX_OUT];
    for (int s = 0; s < N_SIZES; s++) {
        size_t N = (size_t)sizes[s];
        float *x = kernels_filled(N, 31), *y = kernels_filled(N, 32);
        double want = 0, got;
        every_table(run_vectors, sizes[s], "add, axpy, scale, sum_squares", out);
        for (size_t j = 0; j < N; j++) {
            assert_true(out[j] == y[j] + x[j]);
            assert_true(out[N + j] == fmaf(0.3f, x[j], y[j]));
            assert_true(out[2 * N + j] == y[j] * 0.3f);
            want += (double)x[j] * x[j];
        }
        memcpy(&got, out + 3 * N, sizeof got);
        close_to(got, want, 1e-14, "sum_squares", sizes[s]);
        mem_free(x);
        mem_free(y);
    }
}

static void test_sum_squares_sees_what_is_not_finite(void **state) {
    (void)state;
    for (int t = 0; t < n_tables; t++) {
        float *x = kernels_filled(40, 33);
        assert_true(table[t]->sum_squares(x, 0) == 0);
        for (int at = 0; at < 40; at += 39) {
            float old = x[at];
            x[at] = NAN;
            assert_true(isnan(table[t]->sum_squares(x, 40)));
            x[at] = -INFINITY;
            assert_true(isinf(table[t]->sum_squares(x, 40)));
            x[at] = 3e38f; /* a square no float can hold */
            assert_true(isfinite(table[t]->sum_squares(x, 40)));
            x[at] = old;
        }
        mem_free(x);
    }
}

static const struct adamw_rates rates = {.beta1 = 0.9f,
                                         .beta2 = 0.95f,
                                         .rest1 = 0.1f,
                                         .rest2 = 0.05f,
                                         .eps = 1e-8f,
                                         .clip = 0.25f,
                                         .decay = 1e-3f,
                                         .step = 0.02f,
                                         .v_scale = 3.1f};

/* w, m and v after one step. */
static size_t run_adamw(const struct kernels *k, int n, float *out) {
    size_t N = (size_t)n;
    float *g = kernels_filled(N, 34);
    for (size_t i = 0; i < 3; i++) kernels_fill(out + i * N, N, 35 + (uint32_t)i);
    for (size_t j = 0; j < N; j++) out[2 * N + j] = fabsf(out[2 * N + j]);
    k->adamw(out, out + N, out + 2 * N, g, N, &rates);
    kernels_check_guard(g, N, "adamw");
    mem_free(g);
    return 3 * N;
}

static void test_adamw_matches_its_formula(void **state) {
    (void)state;
    float out[MAX_OUT];
    const struct adamw_rates *r = &rates;
    for (int s = 0; s < N_SIZES; s++) {
        size_t N = (size_t)sizes[s];
        float *g = kernels_filled(N, 34), *w = kernels_filled(N, 35),
              *m = kernels_filled(N, 36), *v = kernels_filled(N, 37);
        every_table(run_adamw, sizes[s], "adamw", out);
        for (size_t j = 0; j < N; j++) {
            double gc = (double)g[j] * r->clip;
            double m1 = r->beta1 * (double)m[j] + (1 - (double)r->beta1) * gc;
            double v1 = r->beta2 * fabs(v[j]) + (1 - (double)r->beta2) * gc * gc;
            double w1 = w[j] * (1 - (double)r->decay) -
                        r->step * m1 / (sqrt(v1) * r->v_scale + r->eps);
            close_to(out[j], w1, 3e-7, "adamw's w", sizes[s]);
            close_to(out[N + j], m1, 3e-7, "adamw's m", sizes[s]);
            close_to(out[2 * N + j], v1, 3e-7, "adamw's v", sizes[s]);
        }
        float *owned[] = {g, w, m, v};
        for (int i = 0; i < 4; i++) mem_free(owned[i]);
    }
}

static void test_adamw_of_nothing_changes_nothing(void **state) {
    (void)state;
    struct adamw_rates still = rates;
    still.decay = 0;
    for (int t = 0; t < n_tables; t++) {
        float *w = kernels_filled(33, 38), *old = kernels_filled(33, 38), zero[33] = {0},
              m[33] = {0}, v[33] = {0};
        table[t]->adamw(w, m, v, zero, 33, &still);
        assert_true(same(w, old, 33) && same(m, zero, 33) && same(v, zero, 33));
        zero[32] = NAN;
        table[t]->adamw(w, m, v, zero, 33, &still);
        assert_true(isnan(w[32]) && same(w, old, 32));
        mem_free(w);
        mem_free(old);
    }
}

/* ---- rope ---- */

/* Operation by operation as kernels.h has it, for pairs and for halves, there and back. */
static void check_rope(const struct kernels *k, int half, bool pairs, bool back) {
    enum { N = 3 };
    size_t dim = 2 * (size_t)half, ld = dim + 3;
    float *x = kernels_filled(N * ld, 91), *y = kernels_room(N * ld);
    float *cs = kernels_filled((size_t)half, 92), *sn = kernels_filled((size_t)half, 93);
    sn[0] = 0;
    memcpy(y, x, N * ld * sizeof *y);
    k->rope(N, half, cs, sn, pairs, back, x, ld, y, ld);
    for (size_t i = 0; i < N * ld; i++) {
        size_t at = i % ld, j = pairs ? at / 2 : at % (size_t)half;
        bool second = pairs ? at % 2 == 1 : at >= (size_t)half;
        size_t first = i - at + (pairs ? 2 * j : j), other = first + (pairs ? 1 : (size_t)half);
        float want = x[i];
        if (at < dim) {
            float s = back ? 0.0f - sn[j] : sn[j], a = x[first], b = x[other];
            float p = (second ? b : a) * cs[j], q = (second ? a : b) * s;
            want = second ? p + q : p - q;
        }
        if (memcmp(&want, &y[i], sizeof want) != 0)
            fail_msg("%s: rope of %d pairs, place %zu: %.9g, want %.9g", k->name, half, at,
                     (double)y[i], (double)want);
    }
    kernels_check_guard(y, N * ld, "rope");
    float *owned[] = {x, y, cs, sn};
    for (int i = 0; i < 4; i++) mem_free(owned[i]);
}

static void test_rope_is_its_formula_to_the_bit(void **state) {
    (void)state;
    for (int t = 0; t < n_tables; t++)
        for (int half = 1; half <= 40; half++)
            for (int way = 0; way < 4; way++) check_rope(table[t], half, way & 1, way & 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_knows_its_tables),
        cmocka_unit_test(test_find_refuses_other_names),
        cmocka_unit_test(test_rmsnorm_matches_its_formula),
        cmocka_unit_test(test_rmsnorm_works_in_place_and_row_by_row),
        cmocka_unit_test(test_rmsnorm_of_zeros_and_of_nan),
        cmocka_unit_test(test_rmsnorm_backward_matches_central_differences),
        cmocka_unit_test(test_rmsnorm_dw_leaves_other_columns_alone),
        cmocka_unit_test(test_swiglu_matches_its_formula),
        cmocka_unit_test(test_swiglu_backward_matches_central_differences),
        cmocka_unit_test(test_swiglu_at_the_ends),
        cmocka_unit_test(test_rope_is_its_formula_to_the_bit),
        cmocka_unit_test(test_softmax_matches_its_formula),
        cmocka_unit_test(test_softmax_of_huge_scores),
        cmocka_unit_test(test_softmax_backward_matches_central_differences),
        cmocka_unit_test(test_exp_row_matches_its_formula),
        cmocka_unit_test(test_exp_row_shows_nan_and_drops_minus_infinity),
        cmocka_unit_test(test_exp_is_accurate_over_its_range),
        cmocka_unit_test(test_exp_at_the_ends_of_its_range),
        cmocka_unit_test(test_exp_keeps_every_nan),
        cmocka_unit_test(test_sigmoid_matches_its_formula),
        cmocka_unit_test(test_vectors_match_their_formulas),
        cmocka_unit_test(test_sum_squares_sees_what_is_not_finite),
        cmocka_unit_test(test_adamw_matches_its_formula),
        cmocka_unit_test(test_adamw_of_nothing_changes_nothing),
    };
    return cmocka_run_group_tests(tests, find_tables, NULL);
}
