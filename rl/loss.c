/* rl/loss.c: see loss.h. */
#include "rl/loss.h"

#include "base/fmath.h"

#define LOG_RATIO_MAX 80.0 /* beyond it exp and its products leave what f32 can hold */

static double clamp(double x) {
    return x > LOG_RATIO_MAX ? LOG_RATIO_MAX : x < -LOG_RATIO_MAX ? -LOG_RATIO_MAX : x;
}

struct loss_token loss_grpo(const struct loss_config *c, float logp, float old_logp,
                            float ref_logp, double adv) {
    struct loss_token t = {0};
    double r = fmath_exp(clamp((double)logp - old_logp)), grad = 0;
    double clipped = r < 1 - c->epsilon        ? 1 - c->epsilon
                     : r > 1 + c->epsilon_high ? 1 + c->epsilon_high
                                               : r;
    /* The minimum is the clipped branch only where that is strictly worse. */
    bool truncates = c->importance_cap > 0;
    t.low = !truncates && r < 1 - c->epsilon && adv < 0;
    t.high = truncates ? r > c->importance_cap : r > 1 + c->epsilon_high && adv > 0;
    if (truncates) {
        t.loss = grad = -(t.high ? c->importance_cap : r) * adv;
    } else if (t.low || t.high) {
        t.loss = -clipped * adv;
    } else {
        t.loss = -r * adv;
        grad = -r * adv;
    }
    if (c->beta != 0) {
        double d = clamp((double)ref_logp - logp), e = fmath_exp(d);
        t.kl = e - d - 1;
        t.loss += c->beta * t.kl;
        grad += c->beta * (1 - e);
    }
    t.grad = (float)grad;
    return t;
}

double loss_divisor(enum loss_type type, int n_seqs, int n_tokens, long n_tokens_all,
                    int max_completion_length) {
    double d = type == LOSS_GRPO      ? (double)n_seqs * n_tokens
               : type == LOSS_DR_GRPO ? (double)n_seqs * max_completion_length
                                      : (double)n_tokens_all;
    return d > 0 ? d : 1;
}
