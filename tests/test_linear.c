/* tests/test_linear.c: bf16 rounding, packing and products in every table against a scalar
 * chain written here; a weight matrix used packed, unpacked, by parts and by tiles gives the
 * same bits in f32 and bf16. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "policy/linear.h"
#include "tests/kernels_fixture.h"

static const struct kernels *table[KERNELS_MAX];
static int n_tables;

static int find_tables(void **state) {
    (void)state;
    n_tables = kernels_tables(table);
    return n_tables > 0 ? 0 : -1;
}

/* --- the oracle ---------------------------------------------------------------------- */

static float flushed(float x) { return fabsf(x) < FLT_MIN ? copysignf(0, x) : x; }

static uint16_t to_bf16(float x) {
    uint32_t u;
    x = flushed(x);
    memcpy(&u, &x, sizeof u);
    if (isnan(x)) return (uint16_t)(u >> 16 | 0x40);
    uint32_t low = u & 0xffff, high = u >> 16; /* nearest, ties to even */
    if (low > 0x8000 || (low == 0x8000 && high % 2 == 1)) high++;
    return (uint16_t)high;
}

static float from_bf16(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static float rounded(float x) { return from_bf16(to_bf16(x)); }

/* c + sum over K numbers as the type says; a and b by strides. */
static float chain(bool bf16, int K, const float *a, size_t as, const float *b, size_t bs,
                   float c) {
    if (bf16) c = flushed(c);
    for (int k = 0; k < K; k += bf16 ? 2 : 1) {
        if (!bf16) {
            c = fmaf(a[(size_t)k * as], b[(size_t)k * bs], c);
            continue;
        }
        bool odd = k + 1 < K;
        float ah = odd ? rounded(a[(size_t)(k + 1) * as]) : 0;
        float bh = odd ? rounded(b[(size_t)(k + 1) * bs]) : 0;
        c = flushed(fmaf(ah, bh, c));
        c = flushed(fmaf(rounded(a[(size_t)k * as]), rounded(b[(size_t)k * bs]), c));
    }
    return c;
}

/* --- conversion ---------------------------------------------------------------------- */

static void test_bf16_rounds_as_the_processor_does(void **state) {
    (void)state;
    static const uint32_t special[] = {
        0x00000000, 0x80000000, 0x00000001, 0x807fffff, 0x00800000, 0x3f808000, 0x3f818000,
        0x3f808001, 0x3f807fff, 0x7f7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001,
        0xffbfffff, 0x7f7f8000, 0x40490fdb};
    enum { N = 4096 };
    float *x = kernels_filled(N, 1), *out = kernels_room(N / 2);
    for (size_t i = 0; i < N; i++) x[i] *= powf(2, (float)(i % 250) - 125);
    memcpy(x + 7, special, sizeof special);
    for (int t = 0; t < n_tables; t++) {
        table[t]->bf16_rows(1, N, x, N, out);
        for (int i = 0; i < N; i++) {
            uint16_t got, want = to_bf16(x[i]);
            memcpy(&got, (char *)out + 2 * i, sizeof got);
            if (got != want)
                fail_msg("%s: %a to %04x, not %04x", table[t]->name, (double)x[i], got, want);
        }
        kernels_check_guard(out, N / 2, "bf16_rows");
    }
    mem_free(x);
    mem_free(out);
}

static void test_bf16_odd_rows_are_padded(void **state) {
    (void)state;
    for (int t = 0; t < n_tables; t++)
        for (int K = 1; K < 70; K++) {
            size_t width = ((size_t)K + 1) / 2;
            float *x = kernels_filled(3 * 80, 2), *out = kernels_room(3 * width);
            table[t]->bf16_rows(3, K, x, 80, out);
            for (int i = 0; i < 3; i++)
                for (int k = 0; k < 2 * (int)width; k++) {
                    uint16_t got, want = k < K ? to_bf16(x[i * 80 + k]) : 0;
                    memcpy(&got, (char *)(out + (size_t)i * width) + 2 * k, sizeof got);
                    assert_int_equal(got, want);
                }
            kernels_check_guard(out, 3 * width, "bf16_rows");
            mem_free(x);
            mem_free(out);
        }
}

/* --- products ------------------------------------------------------------------------ */

/* B[K][N] packed from its rows and from its columns, times A[M][K]. */
static void check_bf16_product(const struct kernels *k, int M, int N, int K, float scale) {
    size_t m = (size_t)M, n = (size_t)N, kk = (size_t)K, steps = (kk + 1) / 2;
    size_t size = kernels_packed_size((int)steps, N);
    float *a = kernels_filled(m * kk, 3), *b = kernels_filled(kk * n, 4);
    float *bt = kernels_room(kk * n), *c0 = kernels_filled(m * n, 5), *c = kernels_room(m * n);
    float *pairs = kernels_room(m * steps), *packed[2];
    for (size_t i = 0; i < m * kk; i++) a[i] *= scale;
    for (size_t i = 0; i < m * n; i++) c0[i] *= scale;
    for (size_t i = 0; i < kk; i++)
        for (size_t j = 0; j < n; j++) bt[j * kk + i] = b[i * n + j];
    struct pack_source rows = {b, n, NULL, true};
    for (int i = 0; i < 2; i++) {
        packed[i] = kernels_room(size);
        if (i == 0)
            k->pack_rows(&rows, 0, K, N, PANEL, packed[i], steps * PANEL);
        else
            k->pack_columns(bt, kk, true, K, N, packed[i]);
        kernels_check_guard(packed[i], size, "packing pairs");
    }
    k->bf16_rows(M, K, a, kk, pairs);
    for (int way = 0; way < 4; way++) {
        bool add = way & 1;
        memcpy(c, c0, m * n * sizeof *c);
        k->matmul_bf16(M, N, (int)steps, pairs, steps, 1,
                       kernels_packed(packed[way / 2], (int)steps), c, n, add);
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) {
                float want = chain(true, K, a + i * kk, 1, b + j, n, add ? c0[i * n + j] : 0);
                if (memcmp(&want, &c[i * n + j], sizeof want) != 0)
                    fail_msg("%s: %dx%dx%d way %d: %a, not %a", k->name, M, N, K, way,
                             (double)c[i * n + j], (double)want);
            }
        kernels_check_guard(c, m * n, "matmul_bf16");
    }
    float *owned[] = {a, b, bt, c0, c, pairs, packed[0], packed[1]};
    for (int i = 0; i < 8; i++) mem_free(owned[i]);
}

static void test_bf16_matmul_is_one_chain_to_the_bit(void **state) {
    (void)state;
    static const int N[] = {1, 16, 17, 32, 33, 130}, K[] = {1, 2, 7, 31, 32, 33, 70};
    for (int t = 0; t < n_tables; t++)
        for (int M = 1; M <= 13; M += 3)
            for (int n = 0; n < 6; n++)
                for (int k = 0; k < 7; k++) check_bf16_product(table[t], M, N[n], K[k], 1);
}

/* Products and sums around 2^-126 become 0 in every table. */
static void test_bf16_matmul_takes_denormals_as_zero(void **state) {
    (void)state;
    for (int t = 0; t < n_tables; t++)
        for (int e = 118; e < 150; e += 2)
            check_bf16_product(table[t], 5, 20, 9, powf(2, -(float)e));
}

/* The flush-to-zero mode of the emulation does not leak into f32. */
static void test_bf16_matmul_leaves_the_mode_as_it_was(void **state) {
    (void)state;
    volatile float tiny = FLT_MIN;
    for (int t = 0; t < n_tables; t++) {
        check_bf16_product(table[t], 2, 16, 4, 1);
        assert_true(tiny / 2 > 0);
    }
}

/* --- a weight matrix ------------------------------------------------------------------ */

struct fixture {
    int in, out, n;
    bool by_input, bf16;
    float *w, *x, *dy, *y0, *dx0;
    struct scratch s;
};

static void fixture_init(struct fixture *f, int in, int out, int n, bool by_input, bool bf16) {
    *f = (struct fixture){in, out, n, by_input, bf16, .w = kernels_filled((size_t)(in * out), 6)};
    f->x = kernels_filled((size_t)(n * in), 7);
    f->dy = kernels_filled((size_t)(n * out), 8);
    f->y0 = kernels_filled((size_t)(n * out), 9);
    f->dx0 = kernels_filled((size_t)(n * in), 10);
    scratch_init(&f->s);
}

static void fixture_clear(struct fixture *f) {
    float *owned[] = {f->w, f->x, f->dy, f->y0, f->dx0};
    for (int i = 0; i < 5; i++) mem_free(owned[i]);
    scratch_clear(&f->s);
}

/* W[o][i] wherever it stands. */
static const float *weight(const struct fixture *f, int o, int i, size_t *step_o, size_t *step_i) {
    *step_o = f->by_input ? 1 : (size_t)f->in;
    *step_i = f->by_input ? (size_t)f->out : 1;
    return f->w + (size_t)o * *step_o + (size_t)i * *step_i;
}

static void check_use(const struct fixture *f, const struct kernels *k, const struct linear *l,
                      int parts, bool add, struct scratch *s) {
    size_t in = (size_t)f->in, out = (size_t)f->out, n = (size_t)f->n, so, si;
    float *y = kernels_room(n * out), *dx = kernels_room(n * in);
    memcpy(y, f->y0, n * out * sizeof *y);
    memcpy(dx, f->dx0, n * in * sizeof *dx);
    for (int p = 0; p < parts; p++) {
        linear_forward(k, l, f->n, f->x, in, y, out, add, (struct part){p, parts, false}, s);
        linear_backward(k, l, f->n, f->dy, out, dx, in, add, (struct part){p, parts, true}, s);
    }
    for (size_t r = 0; r < n; r++) {
        for (int o = 0; o < f->out; o++) {
            const float *w = weight(f, o, 0, &so, &si);
            float want = chain(f->bf16, f->in, f->x + r * in, 1, w, si,
                               add ? f->y0[r * out + (size_t)o] : 0);
            if (memcmp(&want, &y[r * out + (size_t)o], sizeof want) != 0)
                fail_msg("%s: y of %dx%d, %d rows, %d parts", k->name, f->out, f->in, f->n, parts);
        }
        for (int i = 0; i < f->in; i++) {
            const float *w = weight(f, 0, i, &so, &si);
            float want = chain(f->bf16, f->out, f->dy + r * out, 1, w, so,
                               add ? f->dx0[r * in + (size_t)i] : 0);
            if (memcmp(&want, &dx[r * in + (size_t)i], sizeof want) != 0)
                fail_msg("%s: dx of %dx%d, %d rows, %d parts", k->name, f->out, f->in, f->n,
                         parts);
        }
    }
    kernels_check_guard(y, n * out, "linear_forward");
    kernels_check_guard(dx, n * in, "linear_backward");
    mem_free(y);
    mem_free(dx);
}

static void check_linear(int in, int out, int n, bool by_input, bool bf16) {
    struct fixture f;
    fixture_init(&f, in, out, n, by_input, bf16);
    for (int t = 0; t < n_tables; t++)
        for (int packed = 0; packed < 2; packed++) {
            struct linear l = {.in = in, .out = out, .w = f.w, .by_input = by_input,
                               .bf16 = bf16, .ld = (size_t)(by_input ? out : in)};
            if (packed) {
                l.fwd_mem = mem_new(linear_packed_size(&l, in, out), sizeof(float));
                l.bwd_mem = mem_new(linear_packed_size(&l, out, in), sizeof(float));
            }
            linear_pack(table[t], &l);
            check_use(&f, table[t], &l, packed ? 3 : 1, packed, &f.s);
            check_use(&f, table[t], &l, packed ? 1 : 2, !packed, &f.s);
            mem_free(l.fwd_mem);
            mem_free(l.bwd_mem);
        }
    fixture_clear(&f);
}

static void test_packed_or_not_is_the_same_chain(void **state) {
    (void)state;
    for (int way = 0; way < 4; way++) {
        check_linear(5, 3, 1, way & 1, way & 2);
        check_linear(33, 70, 14, way & 1, way & 2);
    }
    check_linear(800, 40, 3, false, false); /* beyond one piece of k */
    check_linear(40, 801, 3, false, true);
    check_linear(8200, 2, 2, false, true); /* beyond the longest bf16 row */
}

/* --- weight gradients ----------------------------------------------------------------- */

/* The job's tiles, with nothing packed ahead, A (by two threads) or B. */
static void run_job(const struct kernels *k, struct grad_job *j, int ahead, struct scratch *s) {
    float *packed = kernels_room(grad_packed_size(j->bf16, j->K, j->M > j->N ? j->M : j->N));
    struct pack_source a = {j->a, j->lda, j->a_row, j->bf16}, b = {j->b, j->ldb, j->b_row, j->bf16};
    int middle = j->K / 4 * 2;
    if (ahead == 1) {
        grad_pack(k, &a, middle, j->K, j->K, j->M, GRAD_PANEL, packed);
        grad_pack(k, &a, 0, middle, j->K, j->M, GRAD_PANEL, packed);
        j->a_packed = packed;
    } else if (ahead == 2) {
        grad_pack(k, &b, 0, j->K, j->K, j->N, PANEL, packed);
        j->b_packed = packed;
    }
    for (int tile = grad_job_tiles(j) - 1; tile >= 0; tile--) grad_job_tile(k, j, tile, s);
    mem_free(packed);
}

/* dW over rows taken by a list with pads, as one job, and as two that go on. */
static void check_gradient(const struct kernels *k, int M, int N, int rows, bool bf16,
                           bool listed) {
    size_t m = (size_t)M, n = (size_t)N;
    float *a = kernels_filled((size_t)rows * m, 11), *b = kernels_filled((size_t)rows * n, 12);
    float *c0 = kernels_filled(m * n, 13), *pa = kernels_room(2 * (size_t)rows * m);
    float *pb = kernels_room(2 * (size_t)rows * n);
    int *list = mem_new(2 * (size_t)rows, sizeof *list), K = 0;
    for (int i = 0; i < rows; i++) { /* a pad behind every third row that begins a pair */
        list[K++] = listed ? rows - 1 - i : i;
        if (bf16 && K % 2 == 1 && (i % 3 == 0 || i == rows - 1)) list[K++] = -1;
    }
    memset(pa, 0, (size_t)K * m * sizeof *pa);
    memset(pb, 0, (size_t)K * n * sizeof *pb);
    for (int i = 0; i < K; i++) {
        if (list[i] < 0) continue;
        memcpy(pa + (size_t)i * m, a + (size_t)list[i] * m, m * sizeof *a);
        memcpy(pb + (size_t)i * n, b + (size_t)list[i] * n, n * sizeof *b);
    }
    struct scratch s;
    scratch_init(&s);
    for (int way = 0; way < 6; way++) {
        int cut = way % 2;
        float *c = kernels_room(m * n);
        memcpy(c, c0, m * n * sizeof *c);
        int first = cut ? K / 4 * 2 : 0;
        for (int half = cut ? 0 : 1; half < 2; half++) {
            const int *at = listed || bf16 ? list + (half ? first : 0) : NULL;
            int from = half ? first : 0, count = half ? K - first : first;
            struct grad_job j = {.M = M, .N = N, .K = count, .bf16 = bf16, .a = a, .lda = m,
                                 .a_row = at, .b = b, .ldb = n, .b_row = at, .c = c, .ldc = n};
            if (!at) j.a += (size_t)from * m, j.b += (size_t)from * n;
            run_job(k, &j, way / 2, &s);
        }
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) {
                float want = chain(bf16, K, pa + i, m, pb + j, n, c0[i * n + j]);
                if (memcmp(&want, &c[i * n + j], sizeof want) != 0)
                    fail_msg("%s: dW %dx%d over %d rows, bf16 %d listed %d way %d", k->name, M, N,
                             rows, bf16, listed, way);
            }
        kernels_check_guard(c, m * n, "grad_job_tile");
        mem_free(c);
    }
    scratch_clear(&s);
    void *owned[] = {a, b, c0, pa, pb, list};
    for (int i = 0; i < 6; i++) mem_free(owned[i]);
}

static void test_gradient_tiles_are_one_chain_over_the_rows(void **state) {
    (void)state;
    for (int t = 0; t < n_tables; t++)
        for (int way = 0; way < 4; way++) {
            check_gradient(table[t], 3, 5, 1, way & 1, way & 2);
            check_gradient(table[t], 20, 37, 11, way & 1, way & 2);
            check_gradient(table[t], 200, 7, 9, way & 1, way & 2);  /* two tiles of rows */
            check_gradient(table[t], 7, 300, 330, way & 1, way & 2); /* of columns, of steps */
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16_rounds_as_the_processor_does),
        cmocka_unit_test(test_bf16_odd_rows_are_padded),
        cmocka_unit_test(test_bf16_matmul_is_one_chain_to_the_bit),
        cmocka_unit_test(test_bf16_matmul_takes_denormals_as_zero),
        cmocka_unit_test(test_bf16_matmul_leaves_the_mode_as_it_was),
        cmocka_unit_test(test_packed_or_not_is_the_same_chain),
        cmocka_unit_test(test_gradient_tiles_are_one_chain_over_the_rows),
    };
    return cmocka_run_group_tests(tests, find_tables, NULL);
}
