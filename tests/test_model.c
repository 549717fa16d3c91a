/* tests/test_model.c: the forward against transformers, the backward against transformers
 * and against central differences, and both against themselves: thread counts, instruction
 * sets, shared prompts and cuts must not show in a single bit. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "policy/folder.h"
#include "policy/safetensors.h"
#include "policy/train.h"

static const char *const golden[] = {
    "plain",    "groups",     "yarn",  "yarn_plain",    "eps",         "eps5",       "tied",
    "unshared", "half_split", "dense", "llama_grouped", "llama_plain", "llama_wide", "llama_theta"};
enum { N_GOLDEN = sizeof golden / sizeof *golden };

static const struct kernels *kernels(const char *name) {
    const struct kernels *k;
    struct err err;
    if (kernels_find(&k, name, &err) != 0) return NULL;
    return k;
}

struct fixture {
    struct weights w;
    struct model m;
    struct safetensors st;
    struct batch b;
    struct batch_seq seq[64];
    int id[4096], target[4096];
    float *logits; /* golden */
    double loss;   /* golden mean */
};

static void golden_load(struct fixture *f, const char *name) {
    struct err err;
    char dir[256], path[300];
    memset(f, 0, sizeof *f);
    snprintf(dir, sizeof dir, "tests/golden/policy_%s", name);
    snprintf(path, sizeof path, "%s/golden.safetensors", dir);
    if (folder_load_weights(&f->w, dir, &err) != 0) fail_msg("%s", err.msg);
    if (safetensors_open(&f->st, path, &err) != 0) fail_msg("%s", err.msg);
    const struct safetensors_tensor *ids = safetensors_find(&f->st, "ids");
    int n = (int)ids->shape[0], T = (int)ids->shape[1], V = f->w.cfg.vocab_size;
    int64_t shape[3] = {n, T, V}, *raw = mem_new((size_t)(n * T), sizeof *raw);
    assert_int_equal(safetensors_load_i64(&f->st, "ids", 2, shape, raw, &err), 0);
    f->logits = mem_new((size_t)(n * T * V), sizeof(float));
    assert_int_equal(safetensors_load_f32(&f->st, "logits", 3, shape, f->logits, &err), 0);
    for (int i = 0; i < n * T; i++) {
        f->id[i] = (int)raw[i];
        f->target[i] = i % T == T - 1 ? -1 : (int)raw[i + 1];
    }
    for (int i = 0; i < n; i++) f->seq[i] = (struct batch_seq){-1, i * T, T, 0};
    f->b = (struct batch){f->seq, n, n * T, f->id, f->target, NULL};
    mem_free(raw);
}

static void golden_clear(struct fixture *f) {
    safetensors_close(&f->st);
    model_clear(&f->m);
    weights_clear(&f->w);
    mem_free(f->logits);
}

static void test_logits_agree_with_transformers(void **state) {
    (void)state;
    for (int g = 0; g < N_GOLDEN; g++) {
        struct fixture f;
        golden_load(&f, golden[g]);
        model_init(&f.m, &f.w, kernels("auto"), 256, false);
        struct train_space *t = train_space_new(&f.m, f.b.n_rows, 2);
        size_t n = (size_t)f.b.n_rows * (size_t)f.w.cfg.vocab_size;
        float *out = mem_new(n, sizeof *out);
        train_logits(t, &f.b, out);
        double worst = 0;
        for (size_t i = 0; i < n; i++) {
            double d = fabs((double)out[i] - f.logits[i]);
            if (!(d <= worst)) worst = d;
        }
        print_message("%-12s logits differ by at most %.2g\n", golden[g], worst);
        assert_true(worst < 1e-4);
        mem_free(out);
        train_space_free(t);
        golden_clear(&f);
    }
}

/* Mean token loss: dLoss/dlogp = -1/n. */
struct mean_loss {
    int n;
    float logp[4096], weight[4096];
    bool weighted;
};

static float mean_loss(void *ctx, int row, float logp, float entropy) {
    struct mean_loss *l = ctx;
    assert_true(entropy > -1e-3f);
    l->logp[row] = logp;
    return -(l->weighted ? l->weight[row] : 1.0f) / (float)l->n;
}

static int count_targets(const struct batch *b) {
    int n = 0;
    for (int i = 0; i < b->n_rows; i++) n += b->target[i] >= 0;
    return n;
}

static const struct sampler plain_sampler = {1, 0, 1, 0};

static void check_gradients(struct fixture *f, const char *name, const float *grad) {
    struct err err;
    double worst = 0;
    for (int i = 0; i < f->w.n_tensors; i++) {
        const struct weights_tensor *wt = &f->w.tensor[i];
        if (!wt->trained) continue;
        char key[WEIGHTS_NAME_MAX + 8];
        snprintf(key, sizeof key, "grad.%s", wt->name);
        size_t n = (size_t)wt->rows * (size_t)wt->cols;
        float *want = mem_new(n, sizeof *want);
        int64_t shape[2] = {wt->n_dims == 1 ? wt->cols : wt->rows, wt->cols};
        if (safetensors_load_f32(&f->st, key, wt->n_dims, shape, want, &err) != 0)
            fail_msg("%s", err.msg);
        double diff = 0, size = 0;
        for (size_t j = 0; j < n; j++) {
            double d = (double)grad[wt->offset + j] - want[j];
            diff += d * d;
            size += (double)want[j] * want[j];
        }
        double rel = sqrt(diff) / (sqrt(size) + 1e-9);
        if (!(rel <= 1e-3)) fail_msg("%s: %s differs by %g of its norm", name, wt->name, rel);
        if (rel > worst) worst = rel;
        mem_free(want);
    }
    print_message("%-12s gradients differ by at most %.2g of their norm\n", name, worst);
}

static void test_gradients_agree_with_transformers(void **state) {
    (void)state;
    for (int g = 0; g < N_GOLDEN; g++) {
        struct fixture f;
        golden_load(&f, golden[g]);
        model_init(&f.m, &f.w, kernels("auto"), 256, true);
        struct train_space *t = train_space_new(&f.m, f.b.n_rows, 2);
        float *grad = mem_new(f.w.n_data, sizeof *grad);
        struct mean_loss loss = {.n = count_targets(&f.b)};
        train_pass(t, &f.b, &plain_sampler, mean_loss, &loss, 0, grad);
        train_finish(t, grad);
        check_gradients(&f, golden[g], grad);
        mem_free(grad);
        train_space_free(t);
        golden_clear(&f);
    }
}

/* Models with everything on and odd sizes. */
static struct policy_config family_config(enum policy_arch arch) {
    if (arch == POLICY_LLAMA) {
        struct policy_config c = policy_config_default_llama();
        c.vocab_size = 29, c.hidden_size = 42, c.intermediate_size = 41;
        c.num_hidden_layers = 3, c.num_attention_heads = 6, c.num_key_value_heads = 2;
        c.head_dim = 10, c.max_position_embeddings = 128, c.initializer_range = 0.15;
        policy_config_derive(&c);
        return c;
    }
    struct policy_config c = policy_config_default();
    c.vocab_size = 29, c.hidden_size = 37, c.intermediate_size = 41;
    c.moe_intermediate_size = 19, c.num_hidden_layers = 3, c.num_attention_heads = 3;
    c.q_lora_rank = 13, c.kv_lora_rank = 17, c.qk_rope_head_dim = 6, c.qk_nope_head_dim = 11;
    c.v_head_dim = 9, c.n_routed_experts = 8, c.n_shared_experts = 1;
    c.num_experts_per_tok = 3, c.n_group = 4, c.topk_group = 2, c.first_k_dense_replace = 1;
    c.max_position_embeddings = 128, c.initializer_range = 0.15;
    return c;
}

/* One of them and a batch of two prompts with completions. */
static struct model_options family_options; /* what a family computes in, and how */

static void family_fixture(struct fixture *f, enum policy_arch arch, const char *isa,
                           bool shared) {
    struct policy_config c = family_config(arch);
    memset(f, 0, sizeof *f);
    weights_init(&f->w, &c);
    weights_randomize(&f->w, 7);
    struct rng_key key = {.seed = 3, .purpose = RNG_TEST};
    for (int i = 0; i < f->w.n_tensors; i++) /* norms and biases away from 1 and 0 */
        if (f->w.tensor[i].n_dims == 1)
            for (int j = 0; j < f->w.tensor[i].cols; j++)
                weights_at(&f->w, i)[j] +=
                    (float)(rng_uniform(&key, (uint32_t)(i * 1000 + j)) * 0.2 - 0.1);
    struct model_options options = family_options;
    options.max_pos = 128, options.trains = options.decodes = true;
    model_init_as(&f->m, &f->w, kernels(isa), options);
    static const int prompt[2] = {33, 5}, completion[2][3] = {{7, 40, 1}, {12, 3, 9}};
    int row = 0, n = 0;
    for (int p = 0; p < 2; p++) {
        int ids[200], parent = n;
        for (int i = 0; i < prompt[p]; i++) ids[i] = (int)rng_below(&key, (uint32_t)(9000 + p * 100 + i), 29);
        if (shared) {
            f->seq[n++] = (struct batch_seq){-1, row, prompt[p], 0};
            for (int i = 0; i < prompt[p]; i++) f->id[row] = ids[i], f->target[row++] = -1;
        }
        for (int g = 0; g < 3; g++) {
            int own = completion[p][g], skip = shared ? prompt[p] : 0;
            f->seq[n++] = (struct batch_seq){shared ? parent : -1, row, prompt[p] + own - skip, skip};
            for (int i = skip; i < prompt[p]; i++) f->id[row] = ids[i], f->target[row++] = -1;
            for (int i = 0; i < own; i++) {
                uint32_t at = (uint32_t)(20000 + p * 1000 + g * 100 + i);
                f->id[row] = (int)rng_below(&key, at, 29);
                f->target[row++] = (int)rng_below(&key, at + 50, 29);
            }
        }
    }
    f->b = (struct batch){f->seq, n, row, f->id, f->target, NULL};
}

struct outcome {
    float logp[4096];
    int n; /* targets in batch order */
    float *grad;
};

static struct outcome run_family(enum policy_arch arch, const char *isa, bool shared,
                                 int threads, double aux, const struct sampler *s) {
    struct fixture f;
    struct outcome o = {0};
    family_fixture(&f, arch, isa, shared);
    struct train_space *t = train_space_new(&f.m, f.b.n_rows, threads);
    struct mean_loss loss = {.n = 1};
    o.grad = mem_new(f.w.n_data, sizeof *o.grad);
    train_pass(t, &f.b, s, mean_loss, &loss, aux, o.grad);
    for (int i = 0; i < f.b.n_rows; i++)
        if (f.target[i] >= 0) o.logp[o.n++] = loss.logp[i];
    train_space_free(t);
    golden_clear(&f);
    return o;
}

static size_t family_n_data(enum policy_arch arch) {
    struct fixture f;
    family_fixture(&f, arch, "auto", true);
    size_t n = f.w.n_data;
    golden_clear(&f);
    return n;
}

static void check_thread_count_does_not_show(enum policy_arch arch) {
    size_t bytes = family_n_data(arch) * sizeof(float);
    struct outcome one = run_family(arch, "auto", true, 1, 0.01, &plain_sampler);
    for (int threads = 2; threads <= 8; threads++) {
        struct outcome o = run_family(arch, "auto", true, threads, 0.01, &plain_sampler);
        assert_memory_equal(o.logp, one.logp, (size_t)one.n * sizeof(float));
        assert_memory_equal(o.grad, one.grad, bytes);
        mem_free(o.grad);
    }
    mem_free(one.grad);
}

/* Both architectures, in f32 and bf16, as small and as large models. */
static void every_way(void (*check)(enum policy_arch arch)) {
    for (int way = 0; way < 4; way++) {
        family_options.dtype = way & 1 ? COMPUTE_BF16 : COMPUTE_F32;
        family_options.large = way & 2;
        check(POLICY_DEEPSEEK_V3);
        check(POLICY_LLAMA);
    }
    family_options = (struct model_options){0};
}

static void test_thread_count_does_not_show(void **state) {
    (void)state;
    every_way(check_thread_count_does_not_show);
}

static void check_instruction_set_does_not_show(enum policy_arch arch) {
    size_t bytes = family_n_data(arch) * sizeof(float);
    struct outcome one = run_family(arch, "auto", true, 2, 0.01, &plain_sampler);
    static const char *const isa[] = {"avx512bf16", "avx512", "avx2", "neon", "plain"};
    for (int i = 0; i < 5; i++) {
        if (!kernels(isa[i])) continue;
        struct outcome o = run_family(arch, isa[i], true, 2, 0.01, &plain_sampler);
        assert_memory_equal(o.logp, one.logp, (size_t)one.n * sizeof(float));
        assert_memory_equal(o.grad, one.grad, bytes);
        mem_free(o.grad);
    }
    mem_free(one.grad);
}

static void test_instruction_set_does_not_show(void **state) {
    (void)state;
    every_way(check_instruction_set_does_not_show);
}

/* Log-probabilities to the bit; gradients sum the prompt's part in another order. */
static void check_shared_prompt_is_exact(enum policy_arch arch) {
    size_t n = family_n_data(arch);
    struct outcome a = run_family(arch, "auto", true, 2, 0, &plain_sampler);
    struct outcome b = run_family(arch, "auto", false, 2, 0, &plain_sampler);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.logp, b.logp, (size_t)a.n * sizeof(float));
    double diff = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        diff += pow((double)a.grad[i] - b.grad[i], 2);
        size += pow(b.grad[i], 2);
    }
    /* in bf16 the sum of a prompt's parts is rounded once more before it goes on */
    assert_true(sqrt(diff / size) < (family_options.dtype == COMPUTE_BF16 ? 1e-2 : 1e-5));
    mem_free(a.grad);
    mem_free(b.grad);
}

static void test_shared_prompt_is_exact(void **state) {
    (void)state;
    every_way(check_shared_prompt_is_exact);
}

/* Gradients of passes over single families add up, bit for bit, to the whole batch's. */
static void check_cut_into_passes_does_not_show(enum policy_arch arch) {
    struct fixture f;
    family_fixture(&f, arch, "auto", true);
    struct train_space *t = train_space_new(&f.m, f.b.n_rows, 2);
    struct mean_loss loss = {.n = 1};
    float *whole = mem_new(f.w.n_data, sizeof *whole), *cut = mem_new(f.w.n_data, sizeof *cut);
    train_pass(t, &f.b, &plain_sampler, mean_loss, &loss, 0, whole);
    for (int half = 0; half < 2; half++) {
        struct batch_seq seq[4];
        int row = f.seq[half * 4].row, n = half ? f.b.n_rows - row : f.seq[4].row;
        for (int i = 0; i < 4; i++) {
            seq[i] = f.seq[half * 4 + i];
            seq[i].row -= row;
            if (seq[i].parent >= 0) seq[i].parent -= half * 4;
        }
        struct batch b = {seq, 4, n, f.id + row, f.target + row, NULL};
        train_pass(t, &b, &plain_sampler, mean_loss, &loss, 0, cut);
    }
    assert_memory_equal(cut, whole, f.w.n_data * sizeof *cut);
    mem_free(whole);
    mem_free(cut);
    train_space_free(t);
    golden_clear(&f);
}

static void test_cut_into_passes_does_not_show(void **state) {
    (void)state;
    every_way(check_cut_into_passes_does_not_show);
}

/* Layers' activations computed again, and products packed while they are used. */
static void check_same_when(enum policy_arch arch, bool recompute, bool large) {
    size_t bytes = family_n_data(arch) * sizeof(float);
    struct model_options before = family_options;
    struct outcome one = run_family(arch, "auto", true, 2, 0.01, &plain_sampler);
    family_options.recompute = recompute;
    family_options.large = large;
    struct outcome o = run_family(arch, "auto", true, 2, 0.01, &plain_sampler);
    assert_memory_equal(o.logp, one.logp, (size_t)one.n * sizeof(float));
    assert_memory_equal(o.grad, one.grad, bytes);
    mem_free(o.grad);
    mem_free(one.grad);
    family_options = before;
}

static void check_recomputed(enum policy_arch arch) { check_same_when(arch, true, false); }
static void check_large(enum policy_arch arch) { check_same_when(arch, false, true); }

static void test_recomputed_activations_are_the_same(void **state) {
    (void)state;
    every_way(check_recomputed);
}

static void test_size_does_not_show(void **state) {
    (void)state;
    every_way(check_large);
}

/* bf16 stays near f32: its rounding is 2^-9. */
static void check_bf16_is_near(enum policy_arch arch) {
    size_t n = family_n_data(arch);
    struct outcome a = run_family(arch, "auto", true, 2, 0, &plain_sampler);
    family_options.dtype = COMPUTE_BF16;
    struct outcome b = run_family(arch, "auto", true, 2, 0, &plain_sampler);
    family_options.dtype = COMPUTE_F32;
    double diff = 0, size = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        diff += pow((double)a.grad[i] - b.grad[i], 2);
        size += pow(a.grad[i], 2);
    }
    for (int i = 0; i < a.n; i++) worst = fmax(worst, fabs((double)a.logp[i] - b.logp[i]));
    print_message("bf16: logp within %.2g, gradient within %.2g of its norm\n", worst,
                  sqrt(diff / size));
    assert_true(worst < 0.2 && sqrt(diff / size) < 0.1 && diff > 0);
    mem_free(a.grad);
    mem_free(b.grad);
}

static void test_bf16_is_near_f32(void **state) {
    (void)state;
    check_bf16_is_near(POLICY_DEEPSEEK_V3);
    check_bf16_is_near(POLICY_LLAMA);
}

/* Loss in double from the log-probabilities, with weights that differ by row. */
static double weighted_loss(struct fixture *f, struct train_space *t, const struct sampler *s,
                            struct mean_loss *l, double aux, float *grad) {
    train_pass(t, &f->b, s, mean_loss, l, aux, grad);
    double sum = 0;
    for (int i = 0; i < f->b.n_rows; i++)
        if (f->target[i] >= 0) sum -= (double)l->weight[i] * l->logp[i] / l->n;
    return sum;
}

/* Every trained tensor: a step along a random direction must change the loss as the
 * gradient says. f32 leaves about three digits. */
static void central_differences(enum policy_arch arch, const struct sampler *s) {
    const double tolerance = 0.02;
    struct fixture f;
    family_fixture(&f, arch, "auto", true);
    struct train_space *t = train_space_new(&f.m, f.b.n_rows, 2);
    struct mean_loss l = {.n = 7, .weighted = true};
    struct rng_key key = {.seed = 5, .purpose = RNG_TEST};
    for (int i = 0; i < f.b.n_rows; i++)
        l.weight[i] = (float)(rng_uniform(&key, (uint32_t)i) * 2 - 0.7);
    float *grad = mem_new(f.w.n_data, sizeof *grad), *old = mem_new(f.w.n_data, sizeof *old);
    weighted_loss(&f, t, s, &l, 0, grad);
    memcpy(old, f.w.data, f.w.n_data * sizeof *old);
    for (int i = 0; i < f.w.n_tensors; i++) {
        const struct weights_tensor *wt = &f.w.tensor[i];
        if (!wt->trained) continue;
        size_t n = (size_t)wt->rows * (size_t)wt->cols;
        double norm = 0, want, got[2];
        for (size_t j = 0; j < n; j++) norm += pow(grad[wt->offset + j], 2);
        norm = sqrt(norm);
        if (norm < 1e-3) continue; /* an expert nobody chose */
        double h = 5e-4;
        want = norm; /* along the gradient's own direction */
        for (int side = 0; side < 2; side++) {
            for (size_t j = 0; j < n; j++)
                f.w.data[wt->offset + j] = (float)(old[wt->offset + j] +
                    (side ? -h : h) * grad[wt->offset + j] / norm);
            model_pack(&f.m, 1);
            got[side] = weighted_loss(&f, t, s, &l, 0, NULL);
        }
        memcpy(f.w.data, old, f.w.n_data * sizeof *old);
        double slope = (got[0] - got[1]) / (2 * h);
        if (!(fabs(slope - want) < tolerance * (fabs(want) + 0.02)))
            fail_msg("%s: gradient %g, measured %g", wt->name, want, slope);
    }
    mem_free(grad);
    mem_free(old);
    train_space_free(t);
    golden_clear(&f);
}

static void test_backward_matches_central_differences(void **state) {
    (void)state;
    central_differences(POLICY_DEEPSEEK_V3, &plain_sampler);
    central_differences(POLICY_LLAMA, &plain_sampler);
}

static void test_backward_at_another_temperature_matches_central_differences(void **state) {
    (void)state;
    const struct sampler warm = {0.7, 0, 1, 0};
    central_differences(POLICY_DEEPSEEK_V3, &warm);
    central_differences(POLICY_LLAMA, &warm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits_agree_with_transformers),
        cmocka_unit_test(test_gradients_agree_with_transformers),
        cmocka_unit_test(test_thread_count_does_not_show),
        cmocka_unit_test(test_instruction_set_does_not_show),
        cmocka_unit_test(test_shared_prompt_is_exact),
        cmocka_unit_test(test_cut_into_passes_does_not_show),
        cmocka_unit_test(test_recomputed_activations_are_the_same),
        cmocka_unit_test(test_size_does_not_show),
        cmocka_unit_test(test_bf16_is_near_f32),
        cmocka_unit_test(test_backward_matches_central_differences),
        cmocka_unit_test(test_backward_at_another_temperature_matches_central_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
