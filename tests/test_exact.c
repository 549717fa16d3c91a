/* tests/test_exact.c: one step's episodes, log-probabilities and gradient have the same
 * bits however many sequences are in flight, on any number of threads, with and without
 * shared prompts, whatever the budget of a pass, on every instruction set; and what was
 * sampled is what is trained. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tests/step_fixture.h"

/* Rounds: threads, sequences in flight a thread, tokens a pass. */
static const int threads[] = {1, 2, 3, 4, 8}, in_flight[] = {64, 7, 64, 1, 7};
static const int budgets[] = {4096, STEP_MAX_FAMILY, 2 * STEP_MAX_FAMILY + 7, 4096,
                              STEP_MAX_FAMILY};

static const struct sampler plain = {1, 0, 1, 0}, filtered = {0.8, 9, 0.95, 0.01};

/* Each episode by a rollout of its own, which draws nothing else. */
static void draw_alone(struct step_fixture *f, struct step_episodes *out) {
    memset(out, 0, sizeof *out);
    for (int i = 0; i < STEP_EPISODES; i++) {
        struct rollout_prompt p = f->prompt[i / STEP_SAMPLES];
        struct trace t;
        p.n_samples = 1;
        p.first_sample = (uint32_t)(i % STEP_SAMPLES);
        struct rollout *r = step_fixture_rollout(f, 1, 1);
        rollout_run(r, &f->cfg, &p, 1, &t);
        out->n[i] = t.n;
        memcpy(out->id[i], t.id, (size_t)t.n * sizeof *t.id);
        memcpy(out->logp[i], t.logp, (size_t)t.n * sizeof *t.logp);
        rollout_free(r);
    }
}

static void check_draw(struct step_fixture *f, const struct step_episodes *alone,
                       int max_batch, int n_threads) {
    struct step_episodes crowd;
    struct rollout *r = step_fixture_rollout(f, max_batch, n_threads);
    step_fixture_draw(f, r, &crowd);
    rollout_free(r);
    if (memcmp(&crowd, alone, sizeof crowd) != 0)
        fail_msg(
            "%d in flight on %d threads of %s: not the episodes that are drawn alone",
            max_batch, n_threads, f->policy.m.k->name);
}

/* The gradient must be want; want[0] is NaN until there is one. */
static void check_learn(struct step_fixture *f, const struct step_episodes *e, bool share,
                        int budget, int n_threads, float *want) {
    size_t n = f->policy.w.n_data;
    float *grad = mem_new(n, sizeof *grad);
    struct step_episodes trained;
    struct update *u = update_new(&f->policy.m, budget, n_threads);
    struct update_stats st = step_fixture_learn(f, u, e, share, grad, &trained);
    update_free(u);
    assert_true(st.logp_diff_max == 0 && st.logp_diff_mean == 0);
    assert_memory_equal(trained.logp, e->logp, sizeof trained.logp);
    if (want[0] != want[0]) memcpy(want, grad, n * sizeof *grad);
    if (memcmp(want, grad, n * sizeof *grad) != 0)
        fail_msg("%d tokens a pass on %d threads of %s, %s: another gradient", budget,
                 n_threads, f->policy.m.k->name,
                 share ? "shared prompts" : "whole sequences");
    mem_free(grad);
}

/* Sets the policy to each table that this processor runs, one after the other. */
static bool next_isa(struct step_fixture *f, const char **rest) {
    struct err err;
    char name[32];
    int n = 0;
    if (sscanf(*rest, "%31s%n", name, &n) != 1) return false;
    *rest += n;
    assert_int_equal(kernels_find(&f->policy.m.k, name, &err), 0);
    model_pack(&f->policy.m, 1);
    return true;
}

static void check_shape(enum policy_shape shape, struct sampler sampler) {
    struct step_fixture f;
    struct step_episodes alone;
    step_fixture_init(&f, shape, sampler);
    float *want[2] = {mem_new(f.policy.w.n_data, sizeof(float)),
                      mem_new(f.policy.w.n_data, sizeof(float))};
    want[0][0] = want[1][0] = __builtin_nanf("");
    draw_alone(&f, &alone);
    for (int t = 0; t < 5; t++) {
        check_draw(&f, &alone, in_flight[t], threads[t]);
        check_learn(&f, &alone, false, budgets[t], threads[t], want[0]);
        check_learn(&f, &alone, true, budgets[t], threads[t], want[1]);
    }
    for (const char *rest = kernels_available(); next_isa(&f, &rest);) {
        check_draw(&f, &alone, 64, 2);
        check_learn(&f, &alone, true, budgets[1], 2, want[1]);
    }
    for (int i = 0; i < 2; i++) mem_free(want[i]);
    step_fixture_clear(&f);
}

static void test_a_step_of_each_policy_has_one_outcome(void **state) {
    (void)state;
    for (int shape = 0; shape < N_POLICY_SHAPES; shape++)
        check_shape((enum policy_shape)shape, plain);
}

static void test_a_step_with_filters_has_one_outcome(void **state) {
    (void)state;
    check_shape(POLICY_PLAIN, filtered);
    check_shape(POLICY_GROUPED_BF16, filtered);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_step_of_each_policy_has_one_outcome),
        cmocka_unit_test(test_a_step_with_filters_has_one_outcome),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
