/* rl/advantage.h: rewards of groups to advantages.
 *
 * GRPO (arXiv 2402.03300) with TRL's conventions: A = (r - mean) / (std + 1e-4), the mean
 * over the group, std with n - 1 in the divisor, over the group or the whole batch, or no
 * division (Dr. GRPO, arXiv 2503.20783). Sums are in double, so equal rewards give exact
 * zeros.
 */
#ifndef RL_ADVANTAGE_H
#define RL_ADVANTAGE_H

#include <stdbool.h>

enum scale_rewards { SCALE_GROUP, SCALE_BATCH, SCALE_NONE };

/* reward[n_groups][G] -> adv[n_groups][G]. A sample whose scorable flag is false (NULL: all
 * are) stays out of mean and std and gets 0, as TRL treats a reward of None; so does a
 * group with fewer than two that count. */
void advantage_compute(const double *reward, const bool *scorable, int n_groups, int G,
                       enum scale_rewards scale, double *adv);

/* Mean over groups of their std, and the share of groups whose std is 0 (what TRL logs as
 * reward_std and frac_reward_zero_std). A group without a scorable sample counts in neither. */
void advantage_spread(const double *reward, const bool *scorable, int n_groups, int G,
                      double *mean_std, double *frac_zero_std);

#endif
