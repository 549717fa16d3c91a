/* tests/step_fixture.c: see step_fixture.h. */
#include "tests/step_fixture.h"

#include <string.h>

void step_fixture_init(struct step_fixture *f, enum policy_shape shape,
                       struct sampler sampler) {
    *f = (struct step_fixture){.tok = tokenizer_new_chars("abcdefgh", NULL, 0)};
    int V = tokenizer_vocab_size(f->tok);
    struct rng_key key = {.seed = 31, .purpose = RNG_TEST};
    policy_fixture_init(&f->policy, shape, V, STEP_MAX_PROMPT + STEP_MAX_LEN);
    for (int i = 0; i < STEP_PROMPTS; i++) {
        key.prompt = (uint32_t)i;
        f->prompt[i] = (struct rollout_prompt){.id = f->id[i],
                                               .n = 1 + 2 * i,
                                               .step = 5,
                                               .prompt = (uint32_t)i,
                                               .n_samples = STEP_SAMPLES};
        for (int j = 0; j < f->prompt[i].n; j++)
            f->id[i][j] = (int)rng_below(&key, (uint32_t)j, (uint64_t)V);
    }
    f->cfg = (struct rollout_config){.sampler = sampler,
                                     .max_completion_length = STEP_MAX_LEN,
                                     .seed = 9,
                                     .purpose = RNG_SAMPLE};
}

void step_fixture_clear(struct step_fixture *f) {
    policy_fixture_clear(&f->policy);
    tokenizer_free(f->tok);
}

struct rollout *step_fixture_rollout(const struct step_fixture *f, int max_batch,
                                     int n_threads) {
    return rollout_new(&f->policy.m, f->tok, STEP_MAX_PROMPT, STEP_MAX_LEN, max_batch,
                       STEP_EPISODES, n_threads);
}

void step_fixture_draw(struct step_fixture *f, struct rollout *r,
                       struct step_episodes *out) {
    rollout_run(r, &f->cfg, f->prompt, STEP_PROMPTS, f->trace);
    memset(out, 0, sizeof *out);
    for (int i = 0; i < STEP_EPISODES; i++) {
        const struct trace *t = &f->trace[i];
        out->n[i] = t->n;
        memcpy(out->id[i], t->id, (size_t)t->n * sizeof *t->id);
        memcpy(out->logp[i], t->logp, (size_t)t->n * sizeof *t->logp);
    }
}

struct update_stats step_fixture_learn(const struct step_fixture *f, struct update *u,
                                       const struct step_episodes *e, bool share,
                                       float *grad, struct step_episodes *logp) {
    struct update_config cfg = {.loss = {LOSS_DAPO, 0.2, 0.28, 0, 0},
                                .sampler = f->cfg.sampler,
                                .max_completion_length = STEP_MAX_LEN,
                                .router_aux_loss_coef = 0.01,
                                .share_prompts = share};
    struct update_seq seq[STEP_EPISODES];
    float *at[STEP_EPISODES];
    struct update_stats stats;
    memset(logp, 0, sizeof *logp);
    for (int i = 0; i < STEP_EPISODES; i++) {
        const struct rollout_prompt *p = &f->prompt[i / STEP_SAMPLES];
        seq[i] = (struct update_seq){.prompt = p->id,
                                     .n_prompt = p->n,
                                     .id = e->id[i],
                                     .n = e->n[i],
                                     .adv = i % 5 - 1.9,
                                     .old_logp = e->logp[i]};
        at[i] = logp->logp[i];
    }
    update_gradient(u, &cfg, seq, STEP_EPISODES, at, grad, &stats);
    return stats;
}
