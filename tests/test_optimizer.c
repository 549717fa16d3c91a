/* tests/test_optimizer.c: the optimizer against torch and transformers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "policy/safetensors.h"
#include "rl/optimizer.h"
#include "tests/policy_fixture.h"

enum { STEPS = 8, N_TENSORS = 4 };

/* The three tensors of the golden file and one that is not trained. */
static void golden_weights(struct weights *w) {
    static const struct weights_tensor tensor[N_TENSORS] = {
        {"matrix", 2, 5, 7, 0, true},
        {"frozen", 1, 1, 20, 48, false},
        {"vector", 1, 1, 33, 80, true},
        {"wide", 2, 3, 17, 128, true}};
    *w = (struct weights){.n_tensors = N_TENSORS, .n_data = 192};
    w->tensor = mem_new(N_TENSORS, sizeof *w->tensor);
    memcpy(w->tensor, tensor, sizeof tensor);
    w->data = mem_new(w->n_data, sizeof *w->data);
    for (int i = 0; i < 20; i++) w->data[48 + i] = 3;
}

static void golden_read(const struct safetensors *st, const char *what, const char *name,
                        const char *tensor, int n_dims, const int64_t *shape,
                        float *out) {
    struct err err;
    char key[64];
    snprintf(key, sizeof key, "%s.%s%s%s", what, name, tensor ? "." : "",
             tensor ? tensor : "");
    if (safetensors_load_f32(st, key, n_dims, shape, out, &err) != 0)
        fail_msg("%s", err.msg);
}

static void check_adamw(const struct safetensors *st, const char *name,
                        const struct kernels *k, int threads) {
    static float grad[N_TENSORS][STEPS * 64], want[N_TENSORS][STEPS * 64];
    float set[6], norm[STEPS];
    struct weights w;
    struct optimizer o;
    golden_weights(&w);
    optimizer_init(&o, &w);
    golden_read(st, "settings", name, NULL, 1, (int64_t[]){6}, set);
    golden_read(st, "norm", name, NULL, 1, (int64_t[]){STEPS}, norm);
    for (int i = 0; i < N_TENSORS; i++) {
        const struct weights_tensor *t = &w.tensor[i];
        int64_t n = (int64_t)t->rows * t->cols, start[] = {t->rows, t->cols};
        if (!t->trained) continue;
        golden_read(st, "start", name, t->name, t->n_dims, t->n_dims == 1 ? &n : start,
                    weights_at(&w, i));
        golden_read(st, "grad", name, t->name, 2, (int64_t[]){STEPS, n}, grad[i]);
        golden_read(st, "weight", name, t->name, 2, (int64_t[]){STEPS, n}, want[i]);
    }
    struct optimizer_config c = {.weight_decay = set[1],
                                 .beta1 = set[2],
                                 .beta2 = set[3],
                                 .epsilon = set[4],
                                 .max_grad_norm = set[5]};
    for (int s = 0; s < STEPS; s++) {
        for (int i = 0; i < N_TENSORS; i++) {
            size_t n = (size_t)(w.tensor[i].rows * w.tensor[i].cols);
            if (w.tensor[i].trained)
                memcpy(o.grad + w.tensor[i].offset, grad[i] + (size_t)s * n,
                       n * sizeof(float));
        }
        double got = optimizer_grad_norm(&o, &w, k, threads);
        assert_true(fabs(got - norm[s]) < 1e-6 * got);
        for (int i = 0; i < 20; i++) o.grad[48 + i] = 1; /* what is not trained stays */
        optimizer_step(&o, &w, k, &c, set[0], got, threads);
        for (int i = 0; i < 20; i++) o.grad[48 + i] = 0;
        assert_int_equal(o.t, s + 1);
        for (int i = 0; i < N_TENSORS; i++) {
            int n = w.tensor[i].rows * w.tensor[i].cols;
            for (int j = 0; j < n; j++) {
                float x = weights_at(&w, i)[j];
                if (!w.tensor[i].trained)
                    assert_true(x == 3);
                else if (!(fabs((double)x - want[i][s * n + j]) < 1e-6))
                    fail_msg("%s %s step %d: %.9g, torch has %.9g", name,
                             w.tensor[i].name, s, x, want[i][s * n + j]);
            }
        }
    }
    for (int i = 35; i < 48; i++) assert_true(w.data[i] == 0 && o.m[i] == 0); /* a gap */
    optimizer_reset(&o);
    assert_int_equal(o.t, 0);
    for (size_t i = 0; i < o.n_data; i++) assert_true(o.m[i] == 0 && o.v[i] == 0);
    optimizer_clear(&o);
    weights_clear(&w);
}

static const struct kernels *kernels(void) {
    const struct kernels *k;
    struct err err;
    assert_int_equal(kernels_find(&k, "auto", &err), 0);
    return k;
}

static void test_adamw_agrees_with_torch(void **state) {
    (void)state;
    struct safetensors st;
    struct err err;
    if (safetensors_open(&st, "tests/golden/adamw_steps.safetensors", &err) != 0)
        fail_msg("%s", err.msg);
    for (int threads = 1; threads <= 3; threads++) {
        check_adamw(&st, "torch", kernels(), threads);
        check_adamw(&st, "strong", kernels(), threads);
        check_adamw(&st, "sharp", kernels(), threads);
        check_adamw(&st, "soft", kernels(), threads);
    }
    safetensors_close(&st);
}

static double number(const cJSON *row, const char *key) {
    const cJSON *x = json_find(row, key);
    assert_true(cJSON_IsNumber(x));
    return x->valuedouble;
}

static void test_rates_agree_with_transformers(void **state) {
    (void)state;
    cJSON *table;
    struct err err;
    static const char *const names[] = {"constant", "cosine", "linear"};
    static const enum lr_schedule schedules[] = {LR_CONSTANT, LR_COSINE, LR_LINEAR};
    if (json_load(&table, "tests/golden/adamw_rates.json", 1 << 20, &err) != 0)
        fail_msg("%s", err.msg);
    int rows = 0, n = 0;
    for (const cJSON *row = table->child; row; row = row->next, rows++) {
        struct optimizer_config c = {.learning_rate = number(row, "learning_rate"),
                                     .warmup_steps = (int)number(row, "warmup_steps"),
                                     .max_steps = (int)number(row, "max_steps")};
        const char *name = json_find(row, "schedule")->valuestring;
        for (int i = 0; i < 3; i++)
            if (strcmp(name, names[i]) == 0) c.schedule = schedules[i];
        int step = 0;
        for (const cJSON *r = json_find(row, "rates")->child; r; r = r->next, step++, n++)
            if (!(fabs(optimizer_rate(&c, step) - r->valuedouble) <
                  1e-14 * c.learning_rate))
                fail_msg("%s of %d, warm-up %d, step %d: %.17g, want %.17g", name,
                         c.max_steps, c.warmup_steps, step, optimizer_rate(&c, step),
                         r->valuedouble);
    }
    assert_int_equal(rows, 9);
    assert_true(n > 90);
    json_free(table);
}

/* Larger than one piece of work; the norm has one order of summation. */
static void test_gradient_norm_is_one_number_for_all_threads(void **state) {
    (void)state;
    struct weights w = {.n_data = 50000};
    struct optimizer o;
    struct rng_key key = {.seed = 2, .purpose = RNG_TEST};
    double want = 0;
    optimizer_init(&o, &w);
    for (size_t i = 0; i < w.n_data; i++) {
        o.grad[i] = (float)(rng_uniform(&key, (uint32_t)i) - 0.5);
        want += (double)o.grad[i] * o.grad[i];
    }
    double one = optimizer_grad_norm(&o, &w, kernels(), 1);
    assert_true(fabs(one - sqrt(want)) < 1e-12 * one);
    for (int threads = 2; threads <= 5; threads++)
        assert_true(optimizer_grad_norm(&o, &w, kernels(), threads) == one);
    for (size_t at = 0; at < w.n_data; at += 49999) {
        float old = o.grad[at];
        o.grad[at] = NAN;
        assert_true(isnan(optimizer_grad_norm(&o, &w, kernels(), 2)));
        o.grad[at] = -INFINITY;
        assert_true(isinf(optimizer_grad_norm(&o, &w, kernels(), 2)));
        o.grad[at] = 3e38f; /* large is not infinite */
        assert_true(isfinite(optimizer_grad_norm(&o, &w, kernels(), 2)));
        o.grad[at] = old;
    }
    optimizer_clear(&o);
}

/* Loads above the mean lower the bias, below raise it, at the mean leave it; dense layers
 * have none. */
static void test_balance_moves_each_bias_against_its_load(void **state) {
    (void)state;
    struct policy_fixture f;
    policy_fixture_init(&f, POLICY_PLAIN, 20, 8);
    enum { E = 5 };
    static const int64_t load[3 * E] = {9, 9, 0, 0, 0, 10, 6, 8, 8, 8, 0, 0, 0, 0, 1};
    static const double want[3 * E] = {0, 0, 0, 0, 0, -1, 1, 0, 0, 0, 1, 1, 1, 1, -1};
    float *old = mem_new(f.w.n_data, sizeof *old);
    memcpy(old, f.w.data, f.w.n_data * sizeof *old);
    optimizer_balance(&f.w, load, 0.25);
    for (int l = 1; l < 3; l++) {
        char name[WEIGHTS_NAME_MAX];
        snprintf(name, sizeof name, "model.layers.%d.mlp.gate.e_score_correction_bias",
                 l);
        size_t at = f.w.tensor[weights_find(&f.w, name)].offset;
        for (int e = 0; e < E; e++) {
            assert_true(f.w.data[at + (size_t)e] ==
                        old[at + (size_t)e] + (float)(0.25 * want[l * E + e]));
            old[at + (size_t)e] = f.w.data[at + (size_t)e];
        }
    }
    assert_memory_equal(old, f.w.data, f.w.n_data * sizeof *old); /* nothing else */
    mem_free(old);
    policy_fixture_clear(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adamw_agrees_with_torch),
        cmocka_unit_test(test_rates_agree_with_transformers),
        cmocka_unit_test(test_gradient_norm_is_one_number_for_all_threads),
        cmocka_unit_test(test_balance_moves_each_bias_against_its_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
