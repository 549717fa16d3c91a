/* reward/verdict.h: what a checker says of one completion.
 *
 * A status stands beside the score, so that a checker that failed is never silently a 0:
 * only VERDICT_OK and VERDICT_UNPARSABLE carry a score that counts; VERDICT_NOT_SCORABLE
 * leaves the sample out of its group's baseline; the rest are failures of checking, which
 * are counted, shown, and stop the run above a rate.
 */
#ifndef REWARD_VERDICT_H
#define REWARD_VERDICT_H

#include <stdbool.h>

enum verdict_status {
    VERDICT_OK,         /* decided; score says how */
    VERDICT_UNPARSABLE, /* the completion has no answer in the grammar; score 0 */
    VERDICT_UNDECIDED,  /* parsed, but the checker could not decide */
    VERDICT_TIMEOUT,
    VERDICT_LIMIT, /* a work budget (nodes, digits, bits) ran out */
    VERDICT_CRASHED,
    VERDICT_NOT_SCORABLE, /* the problem itself has no usable gold */
    VERDICT_N_STATUS,
};

struct verdict {
    enum verdict_status status;
    double score;     /* in [0, 1] */
    double ms;        /* wall milliseconds */
    char detail[128]; /* why, for a person; "" where there is nothing to say */
};

/* "ok", "unparsable", ... as stored in the database. */
const char *verdict_status_name(enum verdict_status status);

/* Undecided, timeout, limit or crashed: the checker's failure, not the policy's. */
bool verdict_is_failure(enum verdict_status status);

/* Fills *v; returns v->score for convenience. */
double verdict_set(struct verdict *v, enum verdict_status status, double score,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
