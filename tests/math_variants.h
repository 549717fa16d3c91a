/* tests/math_variants.h: wrong answers made from a right one: another sign, another
 * digit, one more, one less, parts swapped, another unit, another bracket, hedges.
 *
 * Every variant differs from its gold in value, by how it is made; where a change might
 * leave the value (0 and 1, zeros after the point, ends at infinity) it is not made.
 */
#ifndef TESTS_MATH_VARIANTS_H
#define TESTS_MATH_VARIANTS_H

/* Called with the gold (at times with a unit added) and a wrong answer; both borrowed. */
typedef void (*math_on_variant)(const char *gold, const char *wrong, void *user);

/* How many it made: at least 20 for a gold that is a number, an expression, a text, a
 * choice, or a tuple, interval, set, matrix or relation of them. */
int math_variants(const char *gold, math_on_variant visit, void *user);

#endif
