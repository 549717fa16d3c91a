/* reward/math_unit.h: the units that answers carry, by their canonical names.
 *
 * "square centimeters", "sq. cm" and "cm^2" are one unit; "apples" is a unit too, which
 * only says what was counted. Units are compared, never converted, but for money.
 */
#ifndef REWARD_MATH_UNIT_H
#define REWARD_MATH_UNIT_H

#include "reward/math_tree.h"

/* One word, any case where it is longer than a symbol. */
bool math_unit_is_known(const char *s, int n);

/* The canonical name of a phrase ("square miles per hour") to the power `power`, in the
 * arena: known units as "mile^2 hour^-1", else "#" and the words; "" for a phrase that
 * only says that there is a unit; NULL where the phrase is none (or, not, than, ...). */
const char *math_unit_canon(struct math_work *w, const char *phrase, int n, int power);

enum math_unit_match {
    UNIT_SAME,
    UNIT_ONE_MISSING,
    UNIT_DIFFERENT,
    UNIT_CENTS_OF_DOLLARS, /* a is in cents, b in dollars */
    UNIT_DOLLARS_OF_CENTS,
};
enum math_unit_match math_unit_compare(const char *a, const char *b);

#endif
