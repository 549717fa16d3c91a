/* reward/math_compare.h: whole answers against each other, whatever they are.
 *
 * gold and answer are not symmetrical: an answer may be less reduced, solved for or
 * wrapped than the gold, never more ambiguous.
 */
#ifndef REWARD_MATH_COMPARE_H
#define REWARD_MATH_COMPARE_H

#include "reward/math_value.h"

/* Both trees as parsed; they are rewritten on the way. */
enum math_verdict math_equal(struct math_work *w, struct math_node *gold,
                             struct math_node *answer);

/* math_number.c: scalars with percent signs, units and rounding. */
enum math_verdict math_quantities_equal(struct math_work *w, struct math_node *gold,
                                        struct math_node *answer);

/* math_list.c: lists, tuples, finite sets and matrices. */
bool math_is_collection(const struct math_node *t);
enum math_verdict math_collections_equal(struct math_work *w, struct math_node *gold,
                                         struct math_node *answer);
/* Kid by kid. */
enum math_verdict math_in_order(struct math_work *w, const struct math_node *gold,
                                const struct math_node *answer);

/* math_matrix.c: t with every sum, product and power of matrices carried out; NULL where
 * the shapes do not fit. */
struct math_node *math_matrix_value(struct math_work *w, struct math_node *t);

/* math_set.c: sets of reals: intervals, unions, inequalities, \{x | x > 0\}. */
bool math_is_real_set(const struct math_node *t);
enum math_verdict math_real_sets_equal(struct math_work *w, struct math_node *gold,
                                       struct math_node *answer);

/* math_relation.c */
enum math_verdict math_relations_equal(struct math_work *w, struct math_node *gold,
                                       struct math_node *answer);
/* The value that `x = 5`, `5 = x` or `2 + 3 = 5` states; NULL where it states none or
 * contradicts itself. *label is what stands for it, NULL for none. */
struct math_node *math_stated_value(struct math_work *w, struct math_node *t,
                                    struct math_node **label);
/* Solutions written as relations, as their values: x=2 or x=3 is the list 2, 3. t itself
 * where it is none. *ordered: they are values of different variables. */
struct math_node *math_solutions(struct math_work *w, struct math_node *t, bool *ordered);

/* math_expand.c: every \pm as both signs: a list where there is one, else t. NULL past
 * the limits. */
struct math_node *math_expand(struct math_work *w, struct math_node *t);

static inline enum math_verdict math_both(enum math_verdict a, enum math_verdict b) {
    if (a == MATH_DIFFERENT || b == MATH_DIFFERENT) return MATH_DIFFERENT;
    return a == MATH_EQUAL && b == MATH_EQUAL ? MATH_EQUAL : MATH_UNDECIDED;
}

#endif
