/* tests/test_rl.c: rewards to advantages, the loss and its gradient, and whole updates by
 * central differences. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "rl/advantage.h"
#include "rl/optimizer.h"
#include "rl/update.h"
#include "rollout/rollout.h"
#include "tests/policy_fixture.h"

/* ---- advantages ---- */

static void test_equal_rewards_give_exact_zeros(void **state) {
    (void)state;
    static const double value[] = {0, 1, 0.1, 0.1f, 1.0 / 3, -0.7, 1e9 + 0.1, 1e-300};
    static const enum scale_rewards scale[] = {SCALE_GROUP, SCALE_BATCH, SCALE_NONE};
    for (int G = 2; G <= 16; G++)
        for (int v = 0; v < 8; v++)
            for (int s = 0; s < 3; s++) {
                double reward[32], adv[32], std, frac;
                for (int i = 0; i < G; i++) reward[i] = value[v];
                for (int i = G; i < 2 * G; i++)
                    reward[i] = i % 2; /* a group with spread */
                advantage_compute(reward, NULL, 2, G, scale[s], adv);
                for (int i = 0; i < G; i++) assert_true(adv[i] == 0);
                for (int i = G; i < 2 * G; i++) assert_true(adv[i] != 0);
                advantage_spread(reward, NULL, 2, G, &std, &frac);
                assert_true(frac == 0.5 && std > 0);
            }
}

static void near(double got, double want) {
    if (!(fabs(got - want) <= 1e-12 * (1 + fabs(want))))
        fail_msg("%.17g, want %.17g", got, want);
}

/* By hand: {1, 0, 0, 1} has mean 1/2 and std sqrt(1/3); {3, 1, 2, 2} mean 2, std
 * sqrt(2/3); all eight mean 5/4 and squares 1/16 (1 + 25 + 25 + 1 + 49 + 1 + 9 + 9)
 * = 7.5. */
static void test_advantages_match_numbers_by_hand(void **state) {
    (void)state;
    static const double reward[] = {1, 0, 0, 1, 3, 1, 2, 2},
                        centred[] = {.5, -.5, -.5, .5, 1, -1, 0, 0};
    double adv[8], std, frac, first = sqrt(1.0 / 3), second = sqrt(2.0 / 3);
    double batch = sqrt(7.5 / 7);
    advantage_compute(reward, NULL, 2, 4, SCALE_GROUP, adv);
    for (int i = 0; i < 8; i++)
        near(adv[i], centred[i] / ((i < 4 ? first : second) + 1e-4));
    advantage_compute(reward, NULL, 2, 4, SCALE_BATCH, adv);
    for (int i = 0; i < 8; i++) near(adv[i], centred[i] / (batch + 1e-4));
    advantage_compute(reward, NULL, 2, 4, SCALE_NONE, adv);
    for (int i = 0; i < 8; i++) near(adv[i], centred[i]);
    advantage_spread(reward, NULL, 2, 4, &std, &frac);
    near(std, (first + second) / 2);
    assert_true(frac == 0);
}

/* What is not scorable stays out: the others get what a smaller group would give them. */
static void test_what_is_not_scorable_stays_out(void **state) {
    (void)state;
    static const double reward[] = {7, 1, NAN, 0, 5, 9, NAN, 4, 2, 2, 2, 2};
    static const bool use[] = {0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0};
    double adv[12], std, frac, half = sqrt(0.5);
    advantage_compute(reward, use, 3, 4, SCALE_GROUP, adv);
    near(adv[1], 0.5 / (half + 1e-4));
    near(adv[3], -0.5 / (half + 1e-4));
    for (int i = 0; i < 12; i++) assert_true((i == 1 || i == 3) == (adv[i] != 0));
    /* the single one of group 2 counts for the batch's std: of 1, 0 and 9 */
    double mean = 10.0 / 3;
    double batch = sqrt((pow(1 - mean, 2) + pow(mean, 2) + pow(9 - mean, 2)) / 2);
    advantage_compute(reward, use, 3, 4, SCALE_BATCH, adv);
    near(adv[1], 0.5 / (batch + 1e-4));
    near(adv[3], -0.5 / (batch + 1e-4));
    for (int i = 0; i < 12; i++) assert_true((i == 1 || i == 3) == (adv[i] != 0));
    advantage_compute(reward, use, 3, 4, SCALE_NONE, adv);
    for (int i = 0; i < 12; i++)
        assert_true(adv[i] == (i == 1 ? 0.5 : i == 3 ? -0.5 : 0));
    advantage_spread(reward, use, 3, 4, &std, &frac);
    /* the group without any is in neither */
    near(std, half / 2);
    near(frac, 1.0 / 2);
    advantage_compute(reward + 5, NULL, 1, 1, SCALE_GROUP, adv);
    assert_true(adv[0] == 0);
}

/* ---- the loss of a token ---- */

static double clamp(double x, double lo, double hi) {
    return x < lo ? lo : x > hi ? hi : x;
}

/* The formula of loss.h, as it stands there. */
static double loss_formula(const struct loss_config *c, double logp, double old,
                           double ref, double adv) {
    double r = exp(logp - old), k3 = exp(ref - logp) - (ref - logp) - 1;
    return -fmin(r * adv, clamp(r, 1 - c->epsilon, 1 + c->epsilon_high) * adv) +
           c->beta * k3;
}

static void check_token(const struct loss_config *c, float logp, float old, float ref,
                        double adv) {
    struct loss_token t = loss_grpo(c, logp, old, ref, adv);
    double h = 1e-5, r = exp((double)logp - old), d = (double)ref - logp;
    double slope = (loss_formula(c, logp + h, old, ref, adv) -
                    loss_formula(c, logp - h, old, ref, adv)) /
                   (2 * h);
    assert_true(fabs(t.loss - loss_formula(c, logp, old, ref, adv)) <
                1e-12 * (1 + fabs(t.loss)));
    assert_true(fabs(t.grad - slope) < 1e-6 * (1 + fabs(slope)));
    assert_true(fabs(t.kl - (c->beta == 0 ? 0 : exp(d) - d - 1)) < 1e-12 * (1 + t.kl));
    assert_true(t.kl >= 0);
    assert_int_equal(t.low, adv < 0 && r < 1 - c->epsilon);
    assert_int_equal(t.high, adv > 0 && r > 1 + c->epsilon_high);
    if ((t.low || t.high) && c->beta == 0) assert_true(t.grad == 0);
}

static void test_loss_matches_its_formula_and_central_differences(void **state) {
    (void)state;
    static const double eps[][2] = {{0.2, 0.2}, {0.2, 0.28}, {0.1, 5}, {0, 0.1}};
    static const double beta[] = {0, 0.04, 1}, adv[] = {-2, -0.3, 0, 0.7, 3};
    static const float ratio[] = {-2,    -0.5f, -0.23f, -0.2f, -0.07f, 0.013f,
                                  0.11f, 0.19f, 0.24f,  0.26f, 0.6f,   1.9f};
    static const float ref[] = {-1.5f, -0.1f, 0, 0.4f, 2};
    for (int e = 0; e < 4; e++)
        for (int b = 0; b < 3; b++)
            for (int a = 0; a < 5; a++)
                for (int r = 0; r < 12; r++)
                    for (int f = 0; f < 5; f++)
                        check_token(&(struct loss_config){LOSS_DAPO, eps[e][0], eps[e][1],
                                                          beta[b], 0},
                                    -1.7f + ratio[r], -1.7f, -1.7f + ref[f], adv[a]);
}

static void test_loss_on_policy_is_plain_policy_gradient(void **state) {
    (void)state;
    struct loss_config c = {LOSS_DAPO, 0.2, 0.28, 0, 0};
    for (int i = -20; i <= 20; i++) {
        struct loss_token t =
            loss_grpo(&c, -0.3f * (float)i, -0.3f * (float)i, 9, i * 0.1);
        assert_true(t.loss == -(i * 0.1) && t.grad == (float)-(i * 0.1));
        assert_true(!t.low && !t.high && t.kl == 0);
    }
}

/* The ratio is a weight: held fixed, and not above the cap. */
static void test_loss_of_others_is_weighted_by_a_truncated_ratio(void **state) {
    (void)state;
    struct loss_config c = {LOSS_DAPO, 0.2, 0.28, 0, 1.5};
    for (int i = -20; i <= 20; i++)
        for (int a = -3; a <= 3; a++) {
            double r = exp(0.1 * i), w = fmin(r, 1.5);
            struct loss_token t = loss_grpo(&c, -1 + 0.1f * (float)i, -1, 9, a);
            assert_true(fabs(t.grad + w * a) < 1e-6 && fabs(t.loss + w * a) < 1e-6);
            assert_true(!t.low && t.high == (r > 1.5));
        }
}

static void test_loss_divisors(void **state) {
    (void)state;
    assert_true(loss_divisor(LOSS_GRPO, 8, 5, 1000, 64) == 40);
    assert_true(loss_divisor(LOSS_DR_GRPO, 8, 5, 1000, 64) == 512);
    assert_true(loss_divisor(LOSS_DAPO, 8, 5, 1000, 64) == 1000);
    assert_true(loss_divisor(LOSS_GRPO, 8, 0, 0, 64) == 1);
    assert_true(loss_divisor(LOSS_DAPO, 8, 5, 0, 64) == 1);
    assert_true(loss_divisor(LOSS_DR_GRPO, 60000, 1, 1, 60000) == 3.6e9);
}

/* ---- whole updates ---- */

enum { N_PROMPTS = 5, MAX_SAMPLES = 4, N_SEQS = 14, MAX_LEN = 9, MAX_PROMPT = 7 };

/* Drawn episodes as sequences of an update: groups of 4, 1, 3, 4 and 2, the second and
 * the last with a prompt of one token. */
struct step {
    struct tokenizer *tok;
    struct policy_fixture policy;
    struct rollout *rollout;
    struct rollout_prompt prompt[N_PROMPTS];
    int id[N_PROMPTS][MAX_PROMPT];
    struct trace trace[N_SEQS];
    struct update_seq seq[N_SEQS];
    float logp[N_SEQS][MAX_LEN], old[N_SEQS][MAX_LEN], ref[N_SEQS][MAX_LEN];
    float *logps[N_SEQS];
    struct update_config cfg;
};

static void step_init(struct step *s, enum policy_shape shape, struct sampler sampler) {
    static const int lengths[] = {4, 1, 6, 3, 1}, samples[] = {4, 1, 3, 4, 2};
    *s = (struct step){.tok = tokenizer_new_chars("abcdefgh", NULL, 0)};
    int V = tokenizer_vocab_size(s->tok), n = 0;
    struct rng_key key = {.seed = 21, .purpose = RNG_TEST};
    policy_fixture_init(&s->policy, shape, V, MAX_PROMPT + MAX_LEN);
    for (int i = 0; i < N_PROMPTS; i++) {
        for (int j = 0; j < lengths[i]; j++)
            s->id[i][j] = (int)rng_below(&key, (uint32_t)(i * 10 + j), (uint64_t)V);
        s->prompt[i] =
            (struct rollout_prompt){s->id[i], lengths[i], 1, (uint32_t)i, samples[i], 0};
    }
    struct rollout_config cfg = {.sampler = sampler,
                                 .max_completion_length = MAX_LEN,
                                 .seed = 6,
                                 .purpose = RNG_SAMPLE};
    s->rollout = rollout_new(&s->policy.m, s->tok, MAX_PROMPT, MAX_LEN, 5, 100, 2);
    rollout_run(s->rollout, &cfg, s->prompt, N_PROMPTS, s->trace);
    for (int i = 0; i < N_PROMPTS; i++)
        for (int k = 0; k < samples[i]; k++, n++) {
            s->seq[n] = (struct update_seq){.prompt = s->id[i],
                                            .n_prompt = lengths[i],
                                            .id = s->trace[n].id,
                                            .n = s->trace[n].n,
                                            .adv = n % 3 - 0.8,
                                            .old_logp = s->trace[n].logp};
            s->logps[n] = s->logp[n];
        }
    s->cfg = (struct update_config){.loss = {LOSS_DAPO, 0.2, 0.28, 0, 0},
                                    .sampler = sampler,
                                    .max_completion_length = MAX_LEN,
                                    .share_prompts = true};
}

static void step_clear(struct step *s) {
    rollout_free(s->rollout);
    policy_fixture_clear(&s->policy);
    tokenizer_free(s->tok);
}

/* Off policy: both clips are active somewhere, no ratio is near its border, and every
 * third sequence is masked. */
static void make_off_policy(struct step *s, bool masked) {
    static const float shift[] = {0.05f, -0.5f, 0.1f, 0.6f, -0.1f, 0.02f, 0.9f};
    for (int i = 0; i < N_SEQS; i++) {
        for (int j = 0; j < s->seq[i].n; j++) {
            s->old[i][j] = s->trace[i].logp[j] + shift[(i + j) % 7];
            s->ref[i][j] = s->trace[i].logp[j] + shift[(i + 2 * j + 3) % 7];
        }
        s->seq[i].old_logp = s->old[i];
        s->seq[i].ref_logp = s->ref[i];
        s->seq[i].masked = masked && i % 3 == 1;
    }
}

/* Sequences 1 and 3 say what 0 says, 10 what 9 says: the same rows, with advantages (and one
 * with a mask) of their own. */
static void make_twins(struct step *s) {
    static const int twin[][2] = {{1, 0}, {3, 0}, {10, 9}};
    for (int i = 0; i < 3; i++) {
        struct update_seq *a = &s->seq[twin[i][0]], *of = &s->seq[twin[i][1]];
        a->id = of->id;
        a->n = of->n;
        a->old_logp = of->old_logp;
        a->ref_logp = of->ref_logp;
    }
    s->seq[3].masked = true;
}

static const struct sampler plain_sampler = {1, 0, 1, 0};

static struct update_stats measure(struct step *s, int max_tokens, int n_threads,
                                   float *grad) {
    struct update *u = update_new(&s->policy.m, max_tokens, n_threads);
    struct update_stats stats;
    assert_int_equal(update_max_tokens(u), max_tokens);
    update_gradient(u, &s->cfg, s->seq, N_SEQS, s->logps, grad, &stats);
    update_free(u);
    return stats;
}

static void test_logp_is_the_rollouts_to_the_bit(void **state) {
    (void)state;
    static const struct sampler sampler[] = {
        {1, 0, 1, 0}, {0.7, 0, 1, 0}, {1.2, 5, 1, 0}, {1, 0, 0.9, 0}, {1, 0, 1, 0.05}};
    for (int shape = 0; shape < N_POLICY_SHAPES; shape++)
        for (int i = 0; i < 5; i++)
            for (int share = 0; share < 2; share++) {
                struct step s;
                step_init(&s, (enum policy_shape)shape, sampler[i]);
                s.cfg.share_prompts = share;
                s.seq[2].masked = true;
                struct update_stats st = measure(&s, 60, 2, NULL);
                assert_true(st.logp_diff_max == 0 && st.logp_diff_mean == 0);
                assert_true(st.clip_low == 0 && st.clip_high == 0 && st.kl == 0);
                assert_true(st.entropy > 0);
                long n = 0;
                for (int q = 0; q < N_SEQS; q++) {
                    n += q == 2 ? 0 : s.seq[q].n;
                    assert_memory_equal(s.logp[q], s.trace[q].logp,
                                        (size_t)s.seq[q].n * sizeof(float));
                }
                assert_int_equal(st.n_tokens, n);
                step_clear(&s);
            }
}

/* A difference that is there is seen, in its full size and on average. */
static void test_logp_difference_is_measured(void **state) {
    (void)state;
    struct step s;
    long n = 0;
    step_init(&s, POLICY_PLAIN, plain_sampler);
    for (int i = 0; i < N_SEQS; i++) n += s.seq[i].n;
    memcpy(s.old[3], s.trace[3].logp, (size_t)s.seq[3].n * sizeof(float));
    s.old[3][s.seq[3].n - 1] += 0.25f;
    s.seq[3].old_logp = s.old[3];
    s.seq[3].masked = true; /* it counts for this all the same */
    struct update_stats st = measure(&s, 100, 1, NULL);
    assert_true(fabs(st.logp_diff_max - 0.25) < 1e-6);
    assert_true(fabs(st.logp_diff_mean * (double)n - 0.25) < 1e-6);
    s.old[3][0] = NAN;
    assert_true(isnan(measure(&s, 100, 1, NULL).logp_diff_max));
    step_clear(&s);
}

/* The step's loss as the formulas of loss.h define it, from log-probabilities. */
static double loss_by_hand(const struct step *s) {
    const struct loss_config *c = &s->cfg.loss;
    double loss = 0, counted = 0;
    for (int i = 0; i < N_SEQS; i++) counted += s->seq[i].masked ? 0 : s->seq[i].n;
    for (int i = 0; i < N_SEQS; i++) {
        const struct update_seq *q = &s->seq[i];
        double sum = 0;
        for (int j = 0; j < q->n && !q->masked; j++)
            sum += s->cfg.sft ? -(double)s->logp[i][j]
                              : loss_formula(c, s->logp[i][j], q->old_logp[j],
                                             q->ref_logp[j], q->adv);
        if (s->cfg.sft || c->type == LOSS_DAPO)
            loss += sum / counted;
        else if (c->type == LOSS_GRPO)
            loss += sum / q->n / N_SEQS;
        else
            loss += sum / ((double)N_SEQS * MAX_LEN);
    }
    return loss;
}

/* The slope of the loss along the gradient's own direction is the gradient's norm. The
 * step is so small that no token changes its experts; f32 leaves three digits. */
static void check_update(struct step *s) {
    struct weights *w = &s->policy.w;
    float *grad = mem_new(w->n_data, sizeof *grad),
          *old = mem_new(w->n_data, sizeof *old);
    struct update_stats st = measure(s, 200, 1, grad);
    double norm = 0, h = 3e-5, side[2];
    assert_true(fabs(st.loss - loss_by_hand(s)) < 1e-9);
    for (size_t i = 0; i < w->n_data; i++) norm += (double)grad[i] * grad[i];
    norm = sqrt(norm);
    memcpy(old, w->data, w->n_data * sizeof *old);
    for (int i = 0; i < 2; i++) {
        for (size_t j = 0; j < w->n_data; j++)
            w->data[j] = (float)(old[j] + (i ? -h : h) * grad[j] / norm);
        model_pack(&s->policy.m, 1);
        side[i] = measure(s, 200, 1, NULL).loss;
    }
    memcpy(w->data, old, w->n_data * sizeof *old);
    model_pack(&s->policy.m, 1);
    double slope = (side[0] - side[1]) / (2 * h);
    if (!(norm > 0.01 && fabs(slope - norm) < 4e-3 * norm))
        fail_msg("type %d, beta %g, masked %d, sft %d: gradient %g, measured %g",
                 s->cfg.loss.type, s->cfg.loss.beta, s->seq[1].masked, s->cfg.sft, norm,
                 slope);
    mem_free(grad);
    mem_free(old);
}

static void test_gradient_of_the_step_matches_central_differences(void **state) {
    (void)state;
    static const enum loss_type type[] = {LOSS_GRPO, LOSS_DR_GRPO, LOSS_DAPO};
    for (int shape = 0; shape < N_POLICY_SHAPES; shape++) {
        struct step s;
        step_init(&s, (enum policy_shape)shape, (struct sampler){0.8, 0, 1, 0});
        /* steps so small drown in the rounding of bf16 */
        bool bf16 = s.policy.m.dtype == COMPUTE_BF16;
        for (int t = 0; t < 3 && !bf16; t++)
            for (int beta = 0; beta < 2; beta++)
                for (int masked = 0; masked < 2; masked++) {
                    s.cfg.loss = (struct loss_config){type[t], 0.2, 0.28, beta ? 0.3 : 0, 0};
                    make_off_policy(&s, masked);
                    check_update(&s);
                }
        step_clear(&s);
    }
}

static void test_gradient_of_sft_matches_central_differences(void **state) {
    (void)state;
    struct step s;
    step_init(&s, POLICY_PLAIN, plain_sampler);
    make_off_policy(&s, true);
    s.cfg.sft = true;
    check_update(&s);
    for (int i = 0; i < N_SEQS; i++) s.seq[i].old_logp = s.seq[i].ref_logp = NULL;
    struct update_stats st = measure(&s, 200, 1, NULL);
    assert_true(st.kl == 0 && st.logp_diff_max == 0 && st.loss > 0);
    step_clear(&s);
}

static void test_masked_sequences_move_nothing(void **state) {
    (void)state;
    struct step s;
    step_init(&s, POLICY_PLAIN, plain_sampler);
    size_t n = s.policy.w.n_data;
    float *grad = mem_new(n, sizeof *grad);
    s.cfg.loss.beta = 0.1;
    make_off_policy(&s, false);
    for (int i = 0; i < N_SEQS; i++) s.seq[i].masked = true;
    struct update_stats st = measure(&s, 100, 1, grad);
    for (size_t i = 0; i < n; i++) assert_true(grad[i] == 0);
    assert_true(st.loss == 0 && st.kl == 0 && st.n_tokens == 0);
    mem_free(grad);
    step_clear(&s);
}

/* Groups without advantages are only measured: the gradient is, to the bit, that of a step
 * in which everything goes backward (a balance loss too small for a float asks for that). */
static void test_groups_without_advantages_are_measured(void **state) {
    (void)state;
    for (int shape = 0; shape < N_POLICY_SHAPES; shape++) {
        struct step s;
        step_init(&s, (enum policy_shape)shape, plain_sampler);
        make_off_policy(&s, false);
        size_t n = s.policy.w.n_data;
        float *all = mem_new(n, sizeof *all), *some = mem_new(n, sizeof *some);
        for (int i = 0; i < N_SEQS; i++)
            if (i < 4 || (i >= 5 && i < 8)) s.seq[i].adv = 0;
        s.cfg.router_aux_loss_coef = 1e-300;
        struct update_stats a = measure(&s, 60, 2, all);
        float logp[N_SEQS][MAX_LEN];
        memcpy(logp, s.logp, sizeof logp);
        memset(s.logp, 0, sizeof s.logp);
        s.cfg.router_aux_loss_coef = 0;
        struct update_stats b = measure(&s, 60, 2, some);
        if (memcmp(all, some, n * sizeof *all) != 0) fail_msg("shape %d: another gradient", shape);
        for (int i = 0; i < N_SEQS; i++)
            assert_memory_equal(logp[i], s.logp[i], (size_t)s.seq[i].n * sizeof(float));
        assert_true(a.n_tokens == b.n_tokens && a.logp_diff_max == b.logp_diff_max);
        near(b.entropy, a.entropy);
        near(b.loss, a.loss);
        mem_free(all);
        mem_free(some);
        step_clear(&s);
    }
}

/* Relative distance of two gradients. */
static double distance(const float *a, const float *b, size_t n) {
    double diff = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        diff += pow((double)a[i] - b[i], 2);
        size += pow(a[i], 2);
    }
    return sqrt(diff / size);
}

/* Passes as long as the longest family, longer ones, and all in one: the same gradient
 * and the same numbers. */
static void check_cuts_of(enum policy_shape shape, enum loss_type type, bool twins) {
    struct step s;
    step_init(&s, shape, plain_sampler);
    make_off_policy(&s, true);
    s.cfg.loss = (struct loss_config){type, 0.2, 0.28, 0.1, 0};
    s.cfg.router_aux_loss_coef = twins ? 0 : 0.01;
    if (twins) make_twins(&s);
    size_t n = s.policy.w.n_data;
    float *whole = mem_new(n, sizeof *whole), *cut = mem_new(n, sizeof *cut);
    int family = 0;
    for (int i = 0, at = 0; i < N_PROMPTS; at += s.prompt[i++].n_samples) {
        int rows = s.prompt[i].n - 1;
        for (int k = 0; k < s.prompt[i].n_samples; k++) rows += s.seq[at + k].n;
        if (rows > family) family = rows;
    }
    struct update_stats a = measure(&s, 500, 1, whole);
    for (int max = family; max < family * 5; max += family * 4 / 3)
        for (int threads = 1; threads <= 3; threads += 2) {
            memset(cut, 0, n * sizeof *cut);
            struct update_stats b = measure(&s, max, threads, cut);
            assert_memory_equal(&a, &b, sizeof a);
            if (memcmp(cut, whole, n * sizeof *cut) != 0)
                fail_msg("shape %d: passes of %d rows, %d threads: another gradient",
                         shape, max, threads);
        }
    mem_free(whole);
    mem_free(cut);
    step_clear(&s);
}

static void check_cuts(enum policy_shape shape, enum loss_type type) {
    check_cuts_of(shape, type, false);
    check_cuts_of(shape, type, true);
}

static void test_cut_into_passes_does_not_show(void **state) {
    (void)state;
    check_cuts(POLICY_PLAIN, LOSS_DAPO);
    check_cuts(POLICY_PLAIN, LOSS_GRPO);
    check_cuts(POLICY_LORA, LOSS_DR_GRPO);
    check_cuts(POLICY_DENSE, LOSS_DAPO);
    check_cuts(POLICY_TIED, LOSS_DAPO);
    check_cuts(POLICY_GROUPED, LOSS_DAPO);
    check_cuts(POLICY_BF16, LOSS_GRPO);
    check_cuts(POLICY_GROUPED_BF16, LOSS_DAPO);
    check_cuts(POLICY_LARGE, LOSS_DAPO);
    check_cuts(POLICY_GROUPED_LARGE, LOSS_DAPO);
    check_cuts(POLICY_LARGE_BF16, LOSS_DAPO);
    check_cuts(POLICY_GROUPED_LARGE_BF16, LOSS_DAPO);
}

/* Log-probabilities to the bit; the gradients of a prompt are summed in another order. */
static void test_shared_prompts_agree_with_whole_sequences(void **state) {
    (void)state;
    for (int shape = 0; shape < N_POLICY_SHAPES; shape++) {
        struct step s;
        float logp[N_SEQS][MAX_LEN];
        step_init(&s, (enum policy_shape)shape, plain_sampler);
        make_off_policy(&s, false);
        size_t n = s.policy.w.n_data;
        float *grad[2];
        for (int share = 0; share < 2; share++) {
            s.cfg.share_prompts = share;
            grad[share] = mem_new(n, sizeof *grad[share]);
            measure(&s, 300, 2, grad[share]);
            if (share) assert_memory_equal(logp, s.logp, sizeof logp);
            memcpy(logp, s.logp, sizeof logp);
        }
        /* in bf16 such a sum is rounded to 8 bits before it goes on */
        bool bf16 = s.policy.m.dtype == COMPUTE_BF16;
        assert_true(distance(grad[0], grad[1], n) < (bf16 ? 1e-2 : 3e-6));
        mem_free(grad[0]);
        mem_free(grad[1]);
        step_clear(&s);
    }
}

/* Two gradients, the second from passes too short for rows that are said twice. */
static void check_twins(enum policy_shape shape, enum loss_type type, bool sft) {
    struct step s;
    struct update_stats st[2];
    float logp[N_SEQS][MAX_LEN];
    int64_t load[2];
    step_init(&s, shape, plain_sampler);
    make_off_policy(&s, false);
    make_twins(&s);
    s.cfg.sft = sft;
    s.cfg.loss = (struct loss_config){type, 0.2, 0.28, 0.1, 0};
    int rows = s.prompt[0].n - 1 + s.seq[0].n + s.seq[2].n, longest = 6 - 1 + 3 * MAX_LEN;
    const struct policy_config *c = &s.policy.w.cfg;
    int moe_layers = c->num_hidden_layers - c->first_k_dense_replace;
    size_t n = s.policy.w.n_data;
    float *grad[2];
    for (int share = 0; share < 2; share++) {
        struct update *u = update_new(&s.policy.m, longest, 2);
        s.cfg.share_prompts = share;
        grad[share] = mem_new(n, sizeof *grad[share]);
        memset(s.logp, 0, sizeof s.logp);
        update_gradient(u, &s.cfg, s.seq, N_SEQS, s.logps, grad[share], &st[share]);
        if (share) assert_memory_equal(logp, s.logp, sizeof logp);
        memcpy(logp, s.logp, sizeof logp);
        update_expert_load_reset(u);
        update_gradient(u, &s.cfg, s.seq, 4, NULL, NULL, &(struct update_stats){0});
        load[share] = 0;
        for (int e = 0; e < c->num_hidden_layers * c->n_routed_experts; e++)
            load[share] += update_expert_load(u)[e];
        update_free(u);
    }
    /* the prompt's rows once, those of the completions as often as they were drawn */
    assert_true(load[0] - load[1] ==
                (int64_t)3 * (s.prompt[0].n - 1) * moe_layers * c->num_experts_per_tok);
    assert_int_equal(st[0].n_tokens, st[1].n_tokens);
    assert_true(fabs(st[0].loss - st[1].loss) < 1e-9 && fabs(st[0].kl - st[1].kl) < 1e-9);
    assert_true(fabs(st[0].entropy - st[1].entropy) < 1e-9);
    assert_true(st[0].clip_low == st[1].clip_low && st[0].clip_high == st[1].clip_high);
    assert_true(distance(grad[0], grad[1], n) < (s.policy.m.dtype == COMPUTE_BF16 ? 1e-2 : 3e-6));
    struct update *u = update_new(&s.policy.m, rows, 1); /* four completions of it would not fit */
    assert_true(s.prompt[0].n - 1 + 3 * s.seq[0].n + s.seq[2].n > rows);
    update_gradient(u, &s.cfg, s.seq, 4, NULL, NULL, &(struct update_stats){0});
    update_free(u);
    mem_free(grad[0]);
    mem_free(grad[1]);
    step_clear(&s);
}

static void test_completions_that_say_the_same_are_passed_once(void **state) {
    (void)state;
    for (int shape = 0; shape < N_POLICY_SHAPES; shape++) {
        check_twins((enum policy_shape)shape, LOSS_GRPO, false);
        check_twins((enum policy_shape)shape, LOSS_DAPO, false);
        check_twins((enum policy_shape)shape, LOSS_DAPO, true);
    }
}

static void test_expert_load_counts_every_row(void **state) {
    (void)state;
    struct step s;
    struct update_stats st;
    step_init(&s, POLICY_PLAIN, plain_sampler);
    const struct policy_config *c = &s.policy.w.cfg;
    struct update *u = update_new(&s.policy.m, 40, 2);
    int64_t rows = 0, layer[3] = {0};
    for (int i = 0, at = 0; i < N_PROMPTS; at += s.prompt[i++].n_samples) {
        rows += s.prompt[i].n - 1;
        for (int k = 0; k < s.prompt[i].n_samples; k++) rows += s.seq[at + k].n;
    }
    for (int pass = 1; pass <= 2; pass++)
        update_gradient(u, &s.cfg, s.seq, N_SEQS, NULL, NULL, &st);
    for (int l = 0; l < 3; l++)
        for (int e = 0; e < c->n_routed_experts; e++)
            layer[l] += update_expert_load(u)[l * c->n_routed_experts + e];
    assert_int_equal(layer[0], 0); /* dense */
    assert_int_equal(layer[1], 2 * rows * c->num_experts_per_tok);
    assert_int_equal(layer[2], layer[1]);
    update_expert_load_reset(u);
    for (int i = 0; i < 3 * c->n_routed_experts; i++)
        assert_int_equal(update_expert_load(u)[i], 0);
    update_free(u);
    step_clear(&s);
}

/* A NaN in the weights reaches the norm through forward and backward. */
static void test_what_is_not_finite_reaches_the_norm(void **state) {
    (void)state;
    struct step s;
    struct optimizer o;
    step_init(&s, POLICY_PLAIN, plain_sampler);
    optimizer_init(&o, &s.policy.w);
    measure(&s, 200, 2, o.grad);
    assert_true(isfinite(optimizer_grad_norm(&o, &s.policy.w, s.policy.m.k, 2)));
    weights_at(&s.policy.w, weights_find(&s.policy.w, "model.norm.weight"))[3] = NAN;
    memset(o.grad, 0, o.n_data * sizeof *o.grad);
    struct update_stats st = measure(&s, 200, 2, o.grad);
    assert_true(isnan(st.loss) && isnan(st.logp_diff_max));
    assert_false(isfinite(optimizer_grad_norm(&o, &s.policy.w, s.policy.m.k, 2)));
    optimizer_clear(&o);
    step_clear(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_rewards_give_exact_zeros),
        cmocka_unit_test(test_advantages_match_numbers_by_hand),
        cmocka_unit_test(test_what_is_not_scorable_stays_out),
        cmocka_unit_test(test_loss_matches_its_formula_and_central_differences),
        cmocka_unit_test(test_loss_on_policy_is_plain_policy_gradient),
        cmocka_unit_test(test_loss_of_others_is_weighted_by_a_truncated_ratio),
        cmocka_unit_test(test_loss_divisors),
        cmocka_unit_test(test_logp_is_the_rollouts_to_the_bit),
        cmocka_unit_test(test_logp_difference_is_measured),
        cmocka_unit_test(test_gradient_of_the_step_matches_central_differences),
        cmocka_unit_test(test_gradient_of_sft_matches_central_differences),
        cmocka_unit_test(test_masked_sequences_move_nothing),
        cmocka_unit_test(test_groups_without_advantages_are_measured),
        cmocka_unit_test(test_cut_into_passes_does_not_show),
        cmocka_unit_test(test_shared_prompts_agree_with_whole_sequences),
        cmocka_unit_test(test_completions_that_say_the_same_are_passed_once),
        cmocka_unit_test(test_expert_load_counts_every_row),
        cmocka_unit_test(test_what_is_not_finite_reaches_the_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
