/* rl/update.h: recorded episodes (or teacher's traces) to one gradient, in micro-batches.
 *
 * Rows are cut into passes at group borders by a token budget; the gradient does not depend
 * on the cut (train.h), and every divisor is over the whole step. Completions of one prompt
 * that say the same, token by token, are the same rows: they are passed once, with the sum of
 * their gradients by log-probability.
 */
#ifndef RL_UPDATE_H
#define RL_UPDATE_H

#include "policy/train.h"
#include "rl/loss.h"

/* One completion of a prompt, with what the loss needs. Arrays are borrowed. */
struct update_seq {
    const int *prompt; /* [n_prompt] */
    int n_prompt;
    const int *id; /* [n] completion */
    int n;
    bool masked;           /* its tokens count for nothing (a truncated one) */
    double adv;            /* GRPO */
    const float *old_logp; /* [n] GRPO */
    const float *ref_logp; /* [n] GRPO with beta; else NULL */
    /* Filled where they are given. A token's experts are those of the row that it was drawn
     * from, laid out as train_experts has them. */
    float *entropy;   /* [n] */
    uint8_t *experts; /* [n][experts a row] */
};

struct update_config {
    bool sft; /* mean negative log-likelihood of the completion tokens */
    struct loss_config loss;
    struct sampler sampler; /* log-probabilities are under it */
    int max_completion_length;
    double router_aux_loss_coef; /* a shared prompt counts as a sequence of its own */
    bool share_prompts; /* neighbours with the same prompt share its rows, and those that say the
                           same are passed once (not where the balance loss counts sequences) */
};

struct update_stats {
    double loss, kl, entropy; /* over the tokens that count */
    double clip_low, clip_high;             /* shares of tokens */
    double logp_diff_max, logp_diff_mean;   /* |logp - old_logp| over all tokens */
    long n_tokens;
};

struct update; /* buffers */

struct update *update_new(const struct model *m, int max_tokens, int n_threads);
void update_free(struct update *u);

/* What update_new was given. */
int update_max_tokens(const struct update *u);

/* How many experts a row is routed to, all layers together. */
size_t update_experts(const struct update *u);

/* Adds the step's gradient to grad (NULL: only measures). A family longer than max_tokens
 * is an error of the caller, who checks lengths first. logp, when given, holds n_seqs
 * pointers to where each sequence's log-probabilities go. */
void update_gradient(struct update *u, const struct update_config *cfg,
                     const struct update_seq *seq, int n_seqs, float *const *logp, float *grad,
                     struct update_stats *stats);

/* Loads of the experts over all passes since the last reset (train.h). */
const int64_t *update_expert_load(const struct update *u);
void update_expert_load_reset(struct update *u);

#endif
