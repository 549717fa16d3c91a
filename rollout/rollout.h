/* rollout/rollout.h: prompts in, groups of sampled traces out.
 *
 * Worker threads take prompts one after another; each decodes as one ragged batch: a prompt is
 * prefilled once for its samples, and those that have said the same so far are one row, which
 * forks where they draw different tokens; finished ones leave, waiting ones enter. What a
 * trace says depends on (seed, purpose, step, prompt, sample) and the weights
 * alone: not on its neighbours, the thread count or the order in which work ends.
 */
#ifndef ROLLOUT_ROLLOUT_H
#define ROLLOUT_ROLLOUT_H

#include <stdint.h>

#include "base/rng.h"
#include "policy/model.h"
#include "policy/sampler.h"
#include "policy/tokenizer.h"

enum rollout_finish { FINISH_EOS, FINISH_STOP, FINISH_LENGTH };

/* "eos", "stop", "length" */
const char *rollout_finish_name(enum rollout_finish f);

struct rollout_config {
    struct sampler sampler;
    int max_completion_length; /* tokens, the closing one included */
    const char *const *stop;   /* [n_stop] a trace ends where one of these appears */
    int n_stop;
    uint64_t seed;
    enum rng_purpose purpose;
};

struct rollout_prompt {
    const int *id; /* [n], n >= 1, borrowed */
    int n;
    uint32_t step, prompt; /* its place in the run, part of the random key */
    int n_samples;
    uint32_t first_sample; /* the number of the first; 0 but for one that is drawn again */
};

struct trace {
    int *id;     /* [n] the completion's tokens, the closing one included */
    float *logp; /* [n] of each, under the distribution it was drawn from */
    int n;
    enum rollout_finish finish;
    double ms; /* wall time from its first to its last token */
};

struct rollout;

/* Buffers for prompts of up to max_prompt and completions of up to max_completion tokens. A
 * thread takes prompts while it has fewer than max_batch rows in flight; as samples share rows,
 * these may be more samples, each of which keeps room for a row of its own: with a small model
 * up to four times max_batch, as long as their caches are small, but no more than max_samples.
 * Borrows both; free with rollout_free. */
struct rollout *rollout_new(const struct model *m, const struct tokenizer *tok, int max_prompt,
                            int max_completion, int max_batch, int max_samples,
                            int n_threads);
void rollout_free(struct rollout *r);

/* Fills trace[sum of n_samples], a prompt's samples side by side. Their arrays are the
 * rollout's, valid until its next run. */
void rollout_run(struct rollout *r, const struct rollout_config *cfg,
                 const struct rollout_prompt *prompt, int n_prompts, struct trace *trace);

/* Rows that the last run computed behind the prompts: of its tokens, each beginning of a
 * group's traces counts once. Admission may cut a large group in two, which share none. */
long rollout_rows(const struct rollout *r);

#endif
