/* reward/answer.h: the closed grammars of plain answers. Inside reward/ only.
 *
 *   integer := "0" | ["-"] nonzero {digit}
 *   number  := ["-"] ["$"] ["-"] whole ["." digit {digit}], one "-" at most
 *   whole   := "0" | nonzero {digit} | nonzero [digit [digit]] {"," digit digit digit}
 *
 * Numbers are compared as decimal strings, so exactly, whatever their length.
 */
#ifndef REWARD_ANSWER_H
#define REWARD_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "reward/problem.h"
#include "reward/verdict.h"

#define ANSWER_MAX_DIGITS 100

bool answer_is_integer(const char *s, size_t n);

/* Writes the one spelling of a number: no "$", no ",", no trailing zeros after the point,
 * no "-0". False (and nothing written) where s is no number or has more than
 * ANSWER_MAX_DIGITS characters. */
bool answer_number(const char *s, size_t n, char out[ANSWER_MAX_DIGITS + 1]);

/* Drops white space (space, tab, CR, LF) at both ends. */
const char *answer_trim(const char *s, size_t *n);

/* `struct kind`'s score for a gold that is an integer. */
void answer_score_integer(const struct problem *p, const char *answer, size_t n,
                          struct verdict *out);

/* For a gold that is a number; not scorable where it is none. */
void answer_score_number(const struct problem *p, const char *answer, size_t n,
                         struct verdict *out);

/* For a gold that is a text: equal once runs of white space are one space. */
void answer_score_text(const struct problem *p, const char *answer, size_t n,
                       struct verdict *out);

#endif
