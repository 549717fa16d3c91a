/* reward/math_extract.h: where in a response the answer is.
 *
 * Looked for in what follows the last </think>: the last \boxed or \fbox; the last
 * <answer>...</answer>; what follows the last ####; what follows the last "answer is";
 * else all of it. Scanning is linear and looks at no byte outside.
 */
#ifndef REWARD_MATH_EXTRACT_H
#define REWARD_MATH_EXTRACT_H

#include <stdbool.h>
#include <stddef.h>

#include "reward/math.h"

struct math_span {
    const char *s; /* borrowed from the response */
    size_t n;
    const char *how; /* "the last box", ...; where there is no answer: why */
    bool whole;      /* nothing marked it: a formula within may be the answer */
};

/* False where there is no answer, with the reason in out->how. */
bool math_extract(const char *response, size_t n, enum math_extract how,
                  struct math_span *out);

/* The same of a gold: its last box, what follows ####, or all of it. */
void math_extract_gold(const char *gold, size_t n, struct math_span *out);

/* The boxes that the last one stands side by side with, nothing but commas, `and` and
 * spaces between; their number, 0 past max. */
int math_extract_boxes(const char *s, size_t n, struct math_span *box, int max);

/* What the last sentence of s ends in, after its verb: of "So the largest n is 34." it is
 * 34. False where it has none. */
bool math_extract_said(const char *s, size_t n, struct math_span *out);

/* The last $...$, \(...\) or \[...\] of s; false where there is none. How is "the last
 * formula", or "an earlier formula" where the last sentence has none. */
bool math_extract_formula(const char *s, size_t n, struct math_span *out);

/* The letter of a choice: "(B)", "B.", "\textbf{(B)} 12", "option b"; 0 where s is none.
 * With `bare` only the letter itself, upper case, as golds have it. */
char math_extract_choice(const char *s, size_t n, bool bare, bool any_case);

#endif
