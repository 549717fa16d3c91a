/* rl/loss.h: the clipped policy-gradient loss, a token at a time.
 *
 * With ratio r = exp(logp - old), advantage A and k3 = exp(ref - logp) - (ref - logp) - 1:
 *   loss_t = -min(r A, clip(r, 1 - epsilon, 1 + epsilon_high) A) + beta k3
 * Where importance_cap C is given, for episodes that another policy drew, the ratio is a weight
 * that is held fixed and truncated: -min(r, C) A + beta k3, with min(r, C) A logp' as gradient.
 * The sum over tokens is divided by, over the whole batch of a step (never a micro-batch):
 *   grpo     each sequence's length, then the number of sequences (arXiv 2402.03300)
 *   dr_grpo  sequences x max_completion_length (arXiv 2503.20783)
 *   dapo     the tokens that count (arXiv 2503.14476)
 */
#ifndef RL_LOSS_H
#define RL_LOSS_H

#include <stdbool.h>

enum loss_type { LOSS_GRPO, LOSS_DR_GRPO, LOSS_DAPO };

struct loss_config {
    enum loss_type type;
    double epsilon, epsilon_high, beta;
    double importance_cap; /* 0: the clipped loss */
};

/* One token's part; all finite for finite input (log ratios are held within 80). */
struct loss_token {
    double loss; /* policy part + beta kl */
    double kl;   /* k3, 0 where beta is 0 */
    float grad;  /* dloss/dlogp */
    bool low, high; /* the clip was active, below or above; high: the ratio was truncated */
};

struct loss_token loss_grpo(const struct loss_config *c, float logp, float old_logp,
                            float ref_logp, double adv);

/* What one token of a sequence of n_tokens is divided by. n_seqs and n_tokens_all count the
 * whole step; n_tokens_all leaves masked tokens out. */
double loss_divisor(enum loss_type type, int n_seqs, int n_tokens, long n_tokens_all,
                    int max_completion_length);

#endif
