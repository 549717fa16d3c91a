/* reward/math_value.h: what a scalar tree is worth, exactly or within a ball.
 *
 * Each evaluator guards sizes before it calls the library, which would abort: no bits,
 * degrees or exponents beyond a budget are ever built.
 */
#ifndef REWARD_MATH_VALUE_H
#define REWARD_MATH_VALUE_H

#include "reward/math_tree.h"

enum math_value {
    VALUE_OK,
    VALUE_NOT,       /* not of this evaluator's domain: irrational, or has a variable */
    VALUE_UNDEFINED, /* has no value: 1/0, a root of -1 among the reals */
    VALUE_SKIP,      /* no value at this point that says anything */
    VALUE_LIMIT,     /* too large to build */
};

/* Bindings of variables. */
struct math_env {
    const char *name[32];
    fmpq_t value[32]; /* initialised by the owner */
    int n;
};

/* math_rational.c: exact rationals; env NULL: none. */
enum math_value math_rational(struct math_work *w, const struct math_node *t,
                              const struct math_env *env, fmpq_t out);

/* The integer that t is, where it fits; false otherwise. */
bool math_small_int(struct math_work *w, const struct math_node *t,
                    const struct math_env *env, long *out);

/* out = a^(1/n) where that is rational; odd roots of negatives are negative. */
bool math_rational_root(fmpq_t out, const fmpq_t a, long n);

/* math_ball.c: a ball that holds the value. Without `complex` the value is real and a
 * root or logarithm of a negative is undefined. */
struct math_point {
    const struct math_env *env;
    long prec;
    bool complex;
};
enum math_value math_ball(struct math_work *w, const struct math_node *t,
                          const struct math_point *at, acb_t out);

/* math_exact.c: is a - b zero, for constants? T_UNKNOWN where it stays open. */
truth_t math_constants_equal(struct math_work *w, const struct math_node *a,
                             const struct math_node *b);

/* math_poly.c: as rational functions of their variables and of what is no polynomial.
 * T_FALSE is certain only where all is polynomial. Dividing by zero is T_FALSE too. */
truth_t math_rational_functions_equal(struct math_work *w, struct math_node *a,
                                      struct math_node *b);
/* Is a = c * b for a rational constant c, which goes to ratio? With `numerators` the
 * denominators may differ: a = 0 and b = 0 say the same. */
truth_t math_proportional(struct math_work *w, struct math_node *a, struct math_node *b,
                          bool numerators, fmpq_t ratio);

/* math_scalar.c: the decision over scalars without units. */
enum math_verdict {
    MATH_DIFFERENT,
    MATH_EQUAL,
    MATH_UNDECIDED,
};
enum math_verdict math_scalars_equal(struct math_work *w, struct math_node *gold,
                                     struct math_node *answer);
/* -1, 0, 1 as a is below, equal to, above b, among real constants; 2 where it is open. */
int math_order(struct math_work *w, struct math_node *a, struct math_node *b);

/* As functions of their variables, by balls at several points; a ratio of the two that is
 * the same everywhere with `up_to_factor`, its sign in *sign. T_TRUE is agreement at all.
 */
truth_t math_agree(struct math_work *w, struct math_node *gold, struct math_node *answer,
                   bool up_to_factor, int *sign);

/* Adds the free variables of t to names[n]; the new number, -1 past max. */
int math_variables(const struct math_node *t, const char **names, int n, int max);

#endif
