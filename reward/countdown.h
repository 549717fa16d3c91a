/* reward/countdown.h: the solver behind countdown's generator, teacher and tests.
 *
 * Exact: values are fractions. A plan is a list of steps, each putting the result of one
 * operation in the place of its two operands, so a step's operands are numbers of the
 * problem or results of earlier steps. Pure functions; any thread may call.
 */
#ifndef REWARD_COUNTDOWN_H
#define REWARD_COUNTDOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "reward/expr.h"

#define COUNTDOWN_MAX_NUMBERS 16 /* of a row */
#define COUNTDOWN_MAX_SOLVE 6    /* of what the solver takes on */
#define COUNTDOWN_MAX_STEPS (COUNTDOWN_MAX_SOLVE - 1)
#define COUNTDOWN_MAX_TRIES 8
#define COUNTDOWN_MAX_VALUE 1000000000

struct countdown {
    int n;
    int64_t num[COUNTDOWN_MAX_NUMBERS]; /* [n] */
    int64_t target;
};

struct countdown_step {
    struct ratio a, b, result;
    int node_a, node_b; /* below n: that number; n + k: the result of step k */
    char op;
};

struct countdown_plan {
    int n_steps; /* 0: the target is one of the numbers */
    int number;  /* which one, where n_steps is 0 */
    struct countdown_step step[COUNTDOWN_MAX_STEPS];
    /* The last wrong plans of as many steps before this one in search order. */
    int n_tries;
    struct countdown_step tries[COUNTDOWN_MAX_TRIES][COUNTDOWN_MAX_STEPS];
};

/* The simplest plan: whole numbers only if possible, then fewest steps, then cheapest (+
 * and - cost 1, * 2, / 3), then first in search order. Keeps up to n_tries wrong plans.
 * False: there is none, or more than COUNTDOWN_MAX_SOLVE numbers. */
bool countdown_solve(const struct countdown *c, int n_tries, struct countdown_plan *plan);

/* Whether whole-number steps that use every number reach the target. */
bool countdown_uses_all(const struct countdown *c);

/* The plan as one expression with no needless parentheses. */
void countdown_push_expr(const struct countdown *c, const struct countdown_plan *plan,
                         struct buf *out);

#endif
