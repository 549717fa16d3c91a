/* tests/step_fixture.h: the episodes of one GRPO step, drawn and trained on.
 *
 * 8 prompts of 1 to 15 tokens with 8 samples each, so that 64 sequences are in flight
 * where they may. Draw into one struct step_episodes, train on another's.
 */
#ifndef TESTS_STEP_FIXTURE_H
#define TESTS_STEP_FIXTURE_H

#include "rl/update.h"
#include "rollout/rollout.h"
#include "tests/policy_fixture.h"

enum { STEP_PROMPTS = 8, STEP_SAMPLES = 8, STEP_EPISODES = STEP_PROMPTS * STEP_SAMPLES };
enum { STEP_MAX_PROMPT = 15, STEP_MAX_LEN = 10 };
enum { STEP_MAX_FAMILY = STEP_MAX_PROMPT + STEP_SAMPLES * STEP_MAX_LEN };

struct step_fixture {
    struct tokenizer *tok;
    struct policy_fixture policy;
    struct rollout_prompt prompt[STEP_PROMPTS];
    int id[STEP_PROMPTS][STEP_MAX_PROMPT];
    struct rollout_config cfg;
    struct trace trace[STEP_EPISODES]; /* of the last draw */
};

/* What of the episodes is determined, zero behind their ends. */
struct step_episodes {
    int id[STEP_EPISODES][STEP_MAX_LEN];
    float logp[STEP_EPISODES][STEP_MAX_LEN];
    int n[STEP_EPISODES];
};

void step_fixture_init(struct step_fixture *f, enum policy_shape shape,
                       struct sampler sampler);
void step_fixture_clear(struct step_fixture *f);

struct rollout *step_fixture_rollout(const struct step_fixture *f, int max_batch,
                                     int n_threads);

/* All of them with one run of r. */
void step_fixture_draw(struct step_fixture *f, struct rollout *r,
                       struct step_episodes *out);

/* The gradient by the episodes e (grad NULL: only measures); logp gets what is computed.
 */
struct update_stats step_fixture_learn(const struct step_fixture *f, struct update *u,
                                       const struct step_episodes *e, bool share,
                                       float *grad, struct step_episodes *logp);

#endif
