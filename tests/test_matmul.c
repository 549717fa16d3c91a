/* tests/test_matmul.c: the product, in every table this processor runs, is one chain of
 * fused multiply-adds to the bit, whatever the shape, the strides and the cut. */
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

static const struct kernels *table[KERNELS_MAX]; /* plain is the last */
static int n_tables;

static int find_tables(void **state) {
    (void)state;
    n_tables = kernels_tables(table);
    return n_tables > 0 ? 0 : -1;
}

static bool same(const float *a, const float *b, size_t n) {
    return memcmp(a, b, n * sizeof *a) == 0;
}

static void test_pack_places_every_number(void **state) {
    (void)state;
    static const int shape[][2] = {{1, 1},  {3, 31}, {5, 32}, {4, 33},
                                   {7, 65}, {0, 5},  {5, 0}, {37, 50}};
    for (int s = 0; s < 8; s++) {
        int K = shape[s][0], N = shape[s][1];
        size_t ld_n = (size_t)N + 3, ld_k = (size_t)K + 2,
               size = kernels_packed_size(K, N);
        float *by_row = kernels_filled((size_t)K * ld_n, 1),
              *by_col = kernels_filled((size_t)N * ld_k, 2);
        for (int k = 0; k < K; k++)
            for (int j = 0; j < N; j++)
                by_col[(size_t)j * ld_k + (size_t)k] =
                    by_row[(size_t)k * ld_n + (size_t)j];
        for (int by_column = 0; by_column < 2; by_column++)
            for (int t = 0; t < n_tables; t++) {
                float *dst = kernels_room(size);
                struct pack_source rows = {by_row, ld_n, NULL, false};
                if (by_column)
                    table[t]->pack_columns(by_col, ld_k, false, K, N, dst);
                else
                    table[t]->pack_rows(&rows, 0, K, N, PANEL, dst, (size_t)K * PANEL);
                kernels_check_guard(dst, size, "packing");
                struct panels p = kernels_packed(dst, K);
                for (int k = 0; k < K; k++)
                    for (int j = 0; j < (N + PANEL - 1) / PANEL * PANEL; j++) {
                        float got = p.data[(size_t)(j / PANEL) * p.panel_stride +
                                           (size_t)k * p.row_stride + (size_t)(j % PANEL)];
                        float want = by_column ? 0 : kernels_sentinel;
                        if (j < N) want = by_row[(size_t)k * ld_n + (size_t)j];
                        assert_memory_equal(&got, &want, sizeof got);
                    }
                mem_free(dst);
            }
        mem_free(by_row);
        mem_free(by_col);
    }
}

/* One product in all its spellings. */
struct product {
    int M, N, K;
    size_t ldc;
    float *a, *at; /* [M][K] padded, and [K][M] padded */
    size_t lda, ldat;
    float *b, *packed; /* [K][N] padded with NaN, and packed */
    size_t ldb;
    float *c0, *chain, *add; /* C before, A B, and C + A B, [M][N] */
};

static void product_new(struct product *p, int M, int N, int K) {
    *p = (struct product){M, N, K, .ldc = (size_t)N + 5};
    size_t m = (size_t)M, n = (size_t)N, k = (size_t)K;
    p->lda = k + 3, p->ldat = m + 2, p->ldb = n + 1;
    p->a = kernels_filled(m * p->lda, 3);
    p->at = kernels_room(k * p->ldat);
    p->b = kernels_filled(k * p->ldb, 4);
    for (size_t i = 0; i < k * p->ldb + KERNELS_GUARD; i++)
        if (i >= k * p->ldb || i % p->ldb >= n) p->b[i] = NAN;
    p->packed = kernels_room(kernels_packed_size(K, N));
    table[0]->pack_rows(&(struct pack_source){p->b, p->ldb, NULL, false}, 0, K, N, PANEL,
                        p->packed, k * PANEL);
    p->c0 = kernels_filled(m * n, 5);
    p->chain = kernels_room(m * n);
    p->add = kernels_room(m * n);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < k; j++) p->at[j * p->ldat + i] = p->a[i * p->lda + j];
        for (size_t j = 0; j < n; j++) {
            float zero = 0, sum = p->c0[i * n + j];
            for (size_t l = 0; l < k; l++) {
                zero = fmaf(p->a[i * p->lda + l], p->b[l * p->ldb + j], zero);
                sum = fmaf(p->a[i * p->lda + l], p->b[l * p->ldb + j], sum);
            }
            p->chain[i * n + j] = zero;
            p->add[i * n + j] = sum;
        }
    }
}

static void product_clear(struct product *p) {
    float *owned[] = {p->a, p->at, p->b, p->packed, p->c0, p->chain, p->add};
    for (int i = 0; i < 7; i++) mem_free(owned[i]);
}

static void product_check(const struct product *p, const struct kernels *k, bool by_col,
                          bool packed, bool add) {
    size_t n = (size_t)p->N, size = (size_t)p->M * p->ldc;
    float *c = kernels_room(size);
    for (int i = 0; i < p->M; i++)
        for (size_t j = 0; j < n; j++)
            c[(size_t)i * p->ldc + j] = add ? p->c0[(size_t)i * n + j] : NAN;
    struct panels b =
        packed ? kernels_packed(p->packed, p->K) : kernels_rows(p->b, p->ldb);
    if (by_col)
        k->matmul(p->M, p->N, p->K, p->at, 1, p->ldat, b, c, p->ldc, add);
    else
        k->matmul(p->M, p->N, p->K, p->a, p->lda, 1, b, c, p->ldc, add);
    const float *want = add ? p->add : p->chain;
    for (int i = 0; i < p->M; i++) {
        const float *row = c + (size_t)i * p->ldc;
        if (!same(row, want + (size_t)i * n, n))
            fail_msg("%s: row %d of %dx%dx%d, by_col %d packed %d add %d", k->name, i,
                     p->M, p->N, p->K, by_col, packed, add);
        for (size_t j = n; j < p->ldc; j++)
            assert_memory_equal(&row[j], &kernels_sentinel, sizeof kernels_sentinel);
    }
    kernels_check_guard(c, size, "matmul");
    mem_free(c);
}

/* Four of the eight ways a shape, so that each pair of choices meets; the next shape
 * takes the other four. */
static void check_product(int M, int N, int K) {
    static const int ways[2][4] = {{0, 3, 5, 6}, {1, 2, 4, 7}};
    struct product p;
    product_new(&p, M, N, K);
    for (int t = 0; t < n_tables; t++)
        for (int i = 0; i < 4; i++) {
            int way = ways[(M + N + K) % 2][i];
            product_check(&p, table[t], way & 1, way & 2, way & 4);
        }
    product_clear(&p);
}

static void test_matmul_is_one_chain_to_the_bit(void **state) {
    (void)state;
    static const int N[] = {0, 1, 15, 16, 17, 31, 32, 33, 65}, K[] = {0, 1, 31, 32, 33};
    for (int M = 0; M <= 14; M++)
        for (int n = 0; n < 9; n++)
            for (int k = 0; k < 5; k++) check_product(M, N[n], K[k]);
}

/* Few rows take 64 or 128 columns at once. */
static void test_matmul_of_few_rows_and_many_columns(void **state) {
    (void)state;
    static const int N[] = {63, 64, 127, 128, 129, 150, 257};
    for (int M = 1; M <= 4; M++)
        for (int n = 0; n < 7; n++) check_product(M, N[n], 9);
}

/* k is cut into pieces beyond 320, rows into blocks beyond 512 KiB. */
static void test_matmul_cuts_do_not_show(void **state) {
    (void)state;
    static const int K[] = {320, 321, 640, 1000};
    static const int M[] = {1, 4, 7, 13};
    for (int k = 0; k < 4; k++)
        for (int m = 0; m < 4; m++) check_product(M[m], 17, K[k]);
    check_product(410, 1, 320);
    check_product(409, 2, 321);
}

/* A chain cut in two by the caller: the second half added to the first. */
static void test_matmul_goes_on_where_it_was_left(void **state) {
    (void)state;
    struct product p;
    product_new(&p, 5, 19, 37);
    for (int t = 0; t < n_tables; t++)
        for (int cut = 0; cut <= 37; cut++) {
            float *c = kernels_room(5 * 19);
            struct panels b = kernels_rows(p.b, p.ldb), rest = b;
            rest.data += (size_t)cut * p.ldb;
            table[t]->matmul(5, 19, cut, p.a, p.lda, 1, b, c, 19, false);
            table[t]->matmul(5, 19, 37 - cut, p.a + cut, p.lda, 1, rest, c, 19, true);
            assert_true(same(c, p.chain, 5 * 19));
            mem_free(c);
        }
    product_clear(&p);
}

static void test_matmul_keeps_nan_and_infinity_to_their_row(void **state) {
    (void)state;
    enum { M = 7, N = 20, K = 6 };
    for (int t = 0; t < n_tables; t++) {
        float *a = kernels_filled(M * K, 6), *b = kernels_filled(K * N, 7),
              *c = kernels_room(M * N);
        a[2 * K + 3] = NAN;
        a[4 * K + 1] = INFINITY;
        table[t]->matmul(M, N, K, a, K, 1, kernels_rows(b, N), c, N, false);
        for (int i = 0; i < M * N; i++) {
            if (i / N == 2)
                assert_true(isnan(c[i]));
            else
                assert_int_equal(i / N == 4, isinf(c[i]) != 0);
        }
        mem_free(a);
        mem_free(b);
        mem_free(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack_places_every_number),
        cmocka_unit_test(test_matmul_is_one_chain_to_the_bit),
        cmocka_unit_test(test_matmul_of_few_rows_and_many_columns),
        cmocka_unit_test(test_matmul_cuts_do_not_show),
        cmocka_unit_test(test_matmul_goes_on_where_it_was_left),
        cmocka_unit_test(test_matmul_keeps_nan_and_infinity_to_their_row),
    };
    return cmocka_run_group_tests(tests, find_tables, NULL);
}
