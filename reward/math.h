/* reward/math.h: is this mathematical answer equal to that one?
 *
 * The answer is found in the response, both texts are parsed by one closed grammar (LaTeX
 * and plain), and the trees are decided exactly: rationals by GMP, algebraic and
 * elementary constants by Calcium, rational functions canonically, other functions of
 * variables by ball arithmetic at several points, and sets, intervals, relations,
 * matrices, units and texts by their own rules. What cannot be decided is
 * VERDICT_UNDECIDED, never a guess.
 *
 * Any thread may call. Work is bounded by counts (bytes, tokens, depth, nodes, bits,
 * degrees), never by a clock or a signal; no text aborts the process. The verdict is a
 * function of the texts and the options alone. docs/maths.md has the rules.
 */
#ifndef REWARD_MATH_H
#define REWARD_MATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "reward/verdict.h"

#define MATH_VERSION "math/1"

enum math_extract {
    MATH_EXTRACT_AUTO,  /* box, <answer>, ####, "answer is", all of it, last formula */
    MATH_EXTRACT_BOX,   /* the last \boxed or \fbox or nothing */
    MATH_EXTRACT_WHOLE, /* the whole response is the answer */
};

enum math_boxes {
    MATH_BOXES_PARTS, /* boxes side by side are the parts of a gold that has parts */
    MATH_BOXES_LAST,  /* the last one, whatever stands beside it */
};

/* Where people differ. Zeroed is not a default: use math_options_default. */
struct math_options {
    enum math_extract extract;
    enum math_boxes boxes;
    /* Significant digits that a correctly rounded decimal needs to stand for what no
     * decimal can write; 0: never. */
    int rounding;          /* an answer for an irrational gold: 3.14159 for pi */
    int fraction_rounding; /* an answer for a fraction: 0.333 for 1/3 */
    int gold_rounding;     /* a gold for an exact answer: 33.3 for 100/3 */
    bool missing_unit;     /* an answer may leave out the gold's unit, or add one */
    bool bare_percent;     /* 50 may stand for 50 %, and 50 % for 50 */
    bool missing_base;     /* 204 may stand for 204 in base 5 */
    bool choice_case;      /* b may stand for the choice B */
    bool drop_brackets;    /* 1,2 may stand for (1,2), and 1,2,3 for {1,2,3} */
    bool list_order;       /* in a bare list the order counts */
    bool decimal_comma;    /* 1,5 is 1.5 */
    int log_base;          /* of \log without one: 10, or 0 for e */
};

void math_options_default(struct math_options *o);

/* From a JSON object of options by their names, as an experiment has them; NULL or "" is
 * the defaults. EX_CONFIG on -1. */
MUST_USE int math_options_read(struct math_options *o, const char *json, struct err *err);

/* Compares the answer in response (n bytes, hostile) with gold. o NULL: the defaults.
 * Score 1 is equal; a score of 0 with VERDICT_OK is different. */
void math_score(const char *gold, size_t n_gold, const char *response, size_t n,
                const struct math_options *o, struct verdict *out);

/* The same; appends to explain how the verdict came about, for a person. */
void math_explain(const char *gold, size_t n_gold, const char *response, size_t n,
                  const struct math_options *o, struct verdict *out, struct buf *explain);

/* Gives back what this thread holds between calls; threads that end do so by themselves.
 */
void math_release(void);

#endif
