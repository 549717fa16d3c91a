/* reward/checker_impl.h: what a built-in checker is made of. Inside reward/ only.
 *
 * A checker is one row of the table in checker.c. It scores one completion at a time
 * (`score`), or a whole group in one call (`score_group`); the second kind may have
 * options and something that is opened once a run and closed at its end, such as a pool
 * of processes. Both kinds are called from several threads at once.
 */
#ifndef REWARD_CHECKER_IMPL_H
#define REWARD_CHECKER_IMPL_H

#include "reward/checker.h"
#include "reward/scorer.h"

#define CHECKER_MAX_OPTIONS 16

struct checker_option {
    const char *name;
    double min, max, standard;
    bool whole; /* only whole numbers */
    const char
        *words;       /* "latin|greek": a text, the value is its place, from 0; or NULL */
    const char *help; /* one line */
};

struct checker {
    const char *name, *version; /* version NULL: the kind's own */
    const char *help;           /* one line */
    bool shaping, needs_answer;
    const struct checker_option *option; /* [n_options] */
    int n_options;

    /* Either: one completion. */
    void (*score)(const struct problem *p, const char *text, size_t n,
                  struct verdict *out);

    /* Or: out[g->n]. value[n_options] are the options in the table's order; self is what
     * open left, NULL without one. */
    void (*score_group)(void *self, const double *value, const struct group *g,
                        struct verdict *out);
    /* What ranges alone cannot say of the options; EX_CONFIG. NULL: nothing. */
    int (*check)(const double *value, struct err *err);
    /* Both NULL, or both there. On -1 nothing is left open; the message says what option
     * or what of the machine is at fault. */
    int (*open)(void **self, const double *value, const struct scorer_config *c,
                struct err *err);
    void (*close)(void *self);
    /* The checker judges by the row alone: no gold is needed, and this says of a row that
     * it cannot be judged (EX_DATAERR, or EX_UNAVAILABLE). NULL: there is nothing to say. */
    int (*check_row)(const double *value, const char *columns, struct err *err);
};

extern const struct checker checker_tag_count, checker_length, checker_cosine,
    checker_repetition_penalty, checker_soft_overlong_punishment,
    checker_language_consistency, checker_math, checker_code;

/* What follows the last </think>. A text that never thinks is all answer; one whose last
 * <think> is still open has none yet, so NULL. */
const char *checker_after_thinking(const char *s, size_t n, size_t *n_tail);

/* Reads a JSON object of options into value[n_options]; NULL leaves them standard. -1
 * with EX_CONFIG: an unknown key with the nearest one, a value out of range. */
MUST_USE int checker_read_options(const struct checker *c, const char *json,
                                  double *value, struct err *err);

#endif
