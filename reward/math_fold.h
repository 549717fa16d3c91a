/* reward/math_fold.h: Unicode folded into the ASCII and LaTeX that the grammar knows.
 *
 * Invisible characters go, full-width and styled letters become plain ones, mathematical
 * signs become their commands (the minus sign a hyphen, infinity \infty ), runs of
 * superscripts become ^{...}. Other letters stay as they are and can only be text.
 */
#ifndef REWARD_MATH_FOLD_H
#define REWARD_MATH_FOLD_H

#include "reward/math_tree.h"

/* At most `max` bytes of s are read; the result lives in the work's arena, ends in NUL
 * and holds no other. False where s is longer. */
bool math_fold(struct math_work *w, const char *s, size_t n, size_t max, const char **out,
               size_t *n_out);

#endif
