/* tests/test_sampler.c: what is recorded is what was sampled from, and the filters keep
 * what the plainest reading of their definition keeps. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "policy/sampler.h"

enum { MAX_V = 64, GUARD = 8 };

static const struct kernels *k;

static int find_kernels(void **state) {
    (void)state;
    struct err err;
    return kernels_find(&k, "auto", &err);
}

static const struct rng_key key = {.seed = 3, .purpose = RNG_TEST};

/* Logits on a grid of 1/4 in [-4, 4]: many equal ones, and the others well apart. */
static void grid_logits(float *x, int V, uint32_t stream) {
    struct rng_key own = key;
    own.sample = stream;
    for (int j = 0; j < V; j++)
        x[j] = (float)rng_below(&own, (uint32_t)j, 33) * 0.25f - 4;
}

static const struct sampler samplers[] = {
    {1, 0, 1, 0},      {0.6, 0, 1, 0},       {1.7, 0, 1, 0}, {1, 5, 1, 0},
    {1, 0, 0.8, 0},    {1, 0, 1, 0.1},       {0.8, 9, 1, 0}, {1.3, 12, 0.9, 0},
    {1, 0, 0.95, .02}, {0.7, 8, 0.85, 0.05}, {1, 1, 1, 0},   {1, 0, 0.01, 0},
};
enum { N_SAMPLERS = sizeof samplers / sizeof *samplers };

struct dist {
    float weight[MAX_V + GUARD];
    double p[MAX_V]; /* exp of the log-probability recorded */
    struct sampler_row row;
};

static void measure(struct dist *d, const struct sampler *s, const float *x, int V) {
    for (int j = 0; j < MAX_V + GUARD; j++) d->weight[j] = -77;
    d->row = (struct sampler_row){.weight = d->weight};
    sampler_row_fill(&d->row, k, s, x, V);
    for (int j = V; j < V + GUARD; j++) assert_true(d->weight[j] == -77);
    for (int j = 0; j < V; j++) d->p[j] = exp(sampler_row_logp(&d->row, x, j));
}

/* Draws */

/* Counts n draws with the uniform numbers given by at(i), checking what each one records.
 */
static void count_draws(const struct sampler *s, const float *x, int V, int n,
                        double (*at)(int i, int n), long *count) {
    struct dist d;
    float scratch[MAX_V + GUARD];
    measure(&d, s, x, V);
    for (int j = 0; j < MAX_V + GUARD; j++) scratch[j] = -77;
    for (int i = 0; i < n; i++) {
        float logp, want;
        int id = sampler_draw(k, s, x, V, at(i, n), scratch, &logp);
        assert_in_range(id, 0, V - 1);
        want = sampler_row_logp(&d.row, x, id);
        assert_memory_equal(&logp, &want, sizeof logp);
        assert_true(d.weight[id] > 0);
        count[id]++;
    }
    for (int j = V; j < V + GUARD; j++) assert_true(scratch[j] == -77);
}

static double random_u(int i, int n) {
    (void)n;
    return rng_uniform(&key, (uint32_t)i);
}

static double even_u(int i, int n) { return (i + 0.5) / n; }

static void test_frequencies_are_the_recorded_probabilities(void **state) {
    (void)state;
    enum { V = 23, N = 40000 };
    float x[V];
    grid_logits(x, V, 1);
    for (int s = 0; s < N_SAMPLERS; s++) {
        struct dist d;
        long count[V] = {0};
        double chi = 0, df = -1;
        measure(&d, &samplers[s], x, V);
        count_draws(&samplers[s], x, V, N, random_u, count);
        for (int j = 0; j < V; j++) {
            if (d.p[j] == 0) assert_int_equal(count[j], 0);
            if (d.p[j] * N < 5) continue; /* too rare for the statistic */
            chi += pow((double)count[j] - N * d.p[j], 2) / (N * d.p[j]);
            df++;
        }
        /* five standard deviations of chi square */
        if (!(chi <= df + 5 * sqrt(2 * df) + 1e-3))
            fail_msg("sampler %d: chi square %g with %g degrees", s, chi, df);
    }
}

/* Evenly spaced numbers must be shared out to within one draw. */
static void test_even_numbers_are_shared_out_exactly(void **state) {
    (void)state;
    enum { V = 31, N = 20000 };
    float x[V];
    grid_logits(x, V, 2);
    for (int s = 0; s < N_SAMPLERS; s++) {
        struct dist d;
        long count[V] = {0};
        measure(&d, &samplers[s], x, V);
        count_draws(&samplers[s], x, V, N, even_u, count);
        for (int j = 0; j < V; j++)
            if (!(fabs((double)count[j] - N * d.p[j]) < 1.02))
                fail_msg("sampler %d, id %d: %ld draws of %g", s, j, count[j],
                         N * d.p[j]);
    }
}

static void test_draw_is_the_first_id_past_u(void **state) {
    (void)state;
    enum { V = 40 };
    float x[V], scratch[V], logp;
    for (uint32_t g = 0; g < 20; g++) {
        grid_logits(x, V, 10 + g);
        for (int s = 0; s < N_SAMPLERS; s++) {
            struct dist d;
            measure(&d, &samplers[s], x, V);
            int first = 0, last = V - 1;
            while (d.weight[first] == 0) first++;
            while (d.weight[last] == 0) last--;
            assert_int_equal(sampler_draw(k, &samplers[s], x, V, 0, scratch, &logp),
                             first);
            assert_int_equal(
                sampler_draw(k, &samplers[s], x, V, 1 - 0x1p-53, scratch, &logp), last);
        }
    }
}

static void test_greedy_takes_the_lowest_of_the_best(void **state) {
    (void)state;
    const struct sampler greedy = {0, 3, 0.5, 0.1};
    float x[] = {-INFINITY, -2, 7, 3, 7, 7}, logp = 5;
    for (int n = 1; n <= 6; n++) {
        float scratch[6];
        int id = sampler_draw(k, &greedy, x, n, 0.99, scratch, &logp);
        assert_int_equal(id, n < 3 ? n - 1 : 2);
        assert_true(logp == 0);
    }
}

static void test_logits_are_not_written(void **state) {
    (void)state;
    enum { V = 33 };
    float x[V], old[V], scratch[V], logp;
    grid_logits(x, V, 4);
    memcpy(old, x, sizeof x);
    for (int s = 0; s < N_SAMPLERS; s++) {
        sampler_draw(k, &samplers[s], x, V, 0.3, scratch, &logp);
        assert_memory_equal(x, old, sizeof x);
    }
}

/* What a row says of itself */

static void test_probabilities_sum_to_one(void **state) {
    (void)state;
    for (uint32_t g = 0; g < 50; g++) {
        int V = 1 + (int)g;
        float x[MAX_V];
        grid_logits(x, V, 100 + g);
        for (int s = 0; s < N_SAMPLERS; s++) {
            struct dist d;
            double sum = 0, entropy = 0;
            measure(&d, &samplers[s], x, V);
            for (int j = 0; j < V; j++) {
                assert_int_equal(d.p[j] == 0, d.weight[j] == 0);
                sum += d.p[j];
                if (d.p[j] > 0) entropy -= d.p[j] * log(d.p[j]);
            }
            assert_true(fabs(sum - 1) < 2e-6);
            float got = sampler_row_entropy(&d.row, k, x, V);
            assert_true(fabs(got - entropy) < 2e-5);
        }
    }
}

/* Against softmax in double. */
static void test_logp_is_the_softmax_at_its_temperature(void **state) {
    (void)state;
    enum { V = 27 };
    float x[V];
    grid_logits(x, V, 5);
    for (int s = 0; s < 3; s++) {
        struct dist d;
        double sum = 0, T = samplers[s].temperature;
        measure(&d, &samplers[s], x, V);
        for (int j = 0; j < V; j++) sum += exp(x[j] / T);
        for (int j = 0; j < V; j++) {
            double want = x[j] / T - log(sum);
            assert_true(fabs(sampler_row_logp(&d.row, x, j) - want) < 2e-6 * (1 - want));
        }
    }
}

static void test_minus_infinity_is_never_drawn(void **state) {
    (void)state;
    enum { V = 19, N = 500 };
    float x[V];
    grid_logits(x, V, 6);
    for (int j = 0; j < V; j += 3) x[j] = -INFINITY;
    for (int s = 0; s < N_SAMPLERS; s++) {
        struct dist d;
        long count[V] = {0};
        double sum = 0;
        measure(&d, &samplers[s], x, V);
        count_draws(&samplers[s], x, V, N, even_u, count);
        for (int j = 0; j < V; j++) {
            sum += d.p[j];
            if (j % 3) continue;
            assert_int_equal(count[j], 0);
            assert_true(sampler_row_logp(&d.row, x, j) == -INFINITY);
        }
        assert_true(fabs(sum - 1) < 2e-6);
    }
}

static void test_unlikely_tokens_keep_a_finite_logp(void **state) {
    (void)state;
    const struct sampler plain = {1, 0, 1, 0};
    float x[] = {0, -60, -86, -300, -1e6f};
    struct dist d;
    measure(&d, &plain, x, 5);
    for (int j = 0; j < 5; j++) assert_true(sampler_row_logp(&d.row, x, j) == x[j]);
}

static void test_nan_shows_in_the_logp(void **state) {
    (void)state;
    for (int all = 0; all < 2; all++) {
        float x[20], scratch[20], logp;
        for (int j = 0; j < 20; j++) x[j] = all ? NAN : (float)j;
        x[18] = NAN;
        for (int s = 0; s < N_SAMPLERS; s++) {
            int id = sampler_draw(k, &samplers[s], x, 20, 0.4, scratch, &logp);
            assert_in_range(id, 0, 19);
            assert_true(isnan(logp));
        }
    }
}

/* Filters */

/* The definitions, one token at a time: j stays among the top_k when fewer than k are
 * likelier; of those, in top_p when what is likelier does not reach p; in min_p when it
 * has that share of the best. Returns false where rounding could decide. */
static bool oracle_keeps(const struct sampler *s, const float *x, int V, int j,
                         bool *clear) {
    double best = -INFINITY, of_k = 0, above = 0;
    int likelier = 0;
    *clear = true;
    for (int i = 0; i < V; i++) {
        if (x[i] > best) best = x[i];
        likelier += x[i] > x[j];
    }
    if (s->top_k > 0 && likelier >= s->top_k) return false;
    for (int i = 0; i < V; i++) {
        int before = 0;
        for (int l = 0; l < V; l++) before += x[l] > x[i];
        if (s->top_k > 0 && before >= s->top_k) continue;
        double e = exp((x[i] - best) / s->temperature);
        of_k += e;
        if (x[i] > x[j]) above += e;
    }
    double share = above / of_k - s->top_p;
    double e = exp((x[j] - best) / s->temperature) - s->min_p;
    *clear = fabs(share) > 1e-6 && fabs(e) > 1e-6;
    return (s->top_p >= 1 || share < 0) && e >= 0;
}

static void check_kept(const struct sampler *s, const float *x, int V) {
    struct dist d;
    measure(&d, s, x, V);
    for (int j = 0; j < V; j++) {
        bool clear, keeps = oracle_keeps(s, x, V, j, &clear);
        if (clear && keeps != (d.weight[j] > 0))
            fail_msg("top_k %d top_p %g min_p %g of %d at %g: id %d kept %d", s->top_k,
                     s->top_p, s->min_p, V, s->temperature, j, !keeps);
        if (clear && !keeps) assert_true(sampler_row_logp(&d.row, x, j) == -INFINITY);
    }
}

static void test_filters_keep_what_their_definition_keeps(void **state) {
    (void)state;
    static const double top_p[] = {1, 0.999, 0.9, 0.7, 0.5, 0.1, 1e-9};
    static const double min_p[] = {0, 0.01, 0.1, 0.3, 0.9, 1},
                        temperature[] = {0.5, 1, 2};
    static const int sizes[] = {1, 2, 7, 16, 19, 33};
    for (int v = 0; v < 6; v++) {
        float x[MAX_V];
        grid_logits(x, sizes[v], 200 + (uint32_t)v);
        for (int kk = 0; kk <= sizes[v] + 2; kk += kk < 6 ? 1 : 5)
            for (int p = 0; p < 7; p++)
                for (int m = 0; m < 6; m++)
                    for (int t = 0; t < 3; t++)
                        check_kept(
                            &(struct sampler){temperature[t], kk, top_p[p], min_p[m]}, x,
                            sizes[v]);
    }
}

static void test_equals_stay_together(void **state) {
    (void)state;
    float x[] = {1, 3, 3, 3, 2, 3};
    static const struct sampler s[] = {{1, 2, 1, 0}, {1, 0, 0.3, 0}, {1, 0, 1, 1}};
    for (int i = 0; i < 3; i++) {
        struct dist d;
        measure(&d, &s[i], x, 6);
        for (int j = 0; j < 6; j++)
            assert_true(fabs(d.p[j] - (x[j] == 3 ? 0.25 : 0)) < 1e-7);
    }
}

static void test_filters_that_drop_nothing_change_nothing(void **state) {
    (void)state;
    enum { V = 29 };
    static const struct sampler none = {0.9, 0, 1, 0};
    static const struct sampler same[] = {
        {0.9, V, 1, 0}, {0.9, V + 1, 1, 0}, {0.9, 1 << 30, 1, 1e-30}};
    float x[V];
    struct dist a, b;
    grid_logits(x, V, 7);
    measure(&a, &none, x, V);
    for (int s = 0; s < 3; s++) {
        measure(&b, &same[s], x, V);
        assert_memory_equal(a.weight, b.weight, sizeof a.weight);
        for (int j = 0; j < V; j++) assert_true(fabs(b.p[j] / a.p[j] - 1) < 1e-6);
    }
}

/* A filter's cut is certain even for a token that is nearly as unlikely as exp can say.
 */
static void test_what_a_filter_drops_has_no_probability(void **state) {
    (void)state;
    const struct sampler top_one = {1, 1, 1, 0};
    for (int i = 1; i <= 86; i++) {
        float x[2] = {0, (float)-i};
        struct dist d;
        measure(&d, &top_one, x, 2);
        assert_true(sampler_row_logp(&d.row, x, 0) == 0);
        assert_true(sampler_row_logp(&d.row, x, 1) == -INFINITY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frequencies_are_the_recorded_probabilities),
        cmocka_unit_test(test_even_numbers_are_shared_out_exactly),
        cmocka_unit_test(test_draw_is_the_first_id_past_u),
        cmocka_unit_test(test_greedy_takes_the_lowest_of_the_best),
        cmocka_unit_test(test_logits_are_not_written),
        cmocka_unit_test(test_probabilities_sum_to_one),
        cmocka_unit_test(test_logp_is_the_softmax_at_its_temperature),
        cmocka_unit_test(test_minus_infinity_is_never_drawn),
        cmocka_unit_test(test_unlikely_tokens_keep_a_finite_logp),
        cmocka_unit_test(test_nan_shows_in_the_logp),
        cmocka_unit_test(test_filters_keep_what_their_definition_keeps),
        cmocka_unit_test(test_equals_stay_together),
        cmocka_unit_test(test_filters_that_drop_nothing_change_nothing),
        cmocka_unit_test(test_what_a_filter_drops_has_no_probability),
    };
    return cmocka_run_group_tests(tests, find_kernels, NULL);
}
