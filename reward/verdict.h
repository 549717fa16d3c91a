/* reward/verdict.h: what a checker says of one completion.
 *
 * A status stands beside the score, so that a checker that failed is never silently a 0:
 * only VERDICT_OK and VERDICT_UNPARSABLE carry a score that counts; VERDICT_NOT_SCORABLE
 * says that this checker has nothing to say, and a sample of which no checker has is left
 * out of its group's baseline; the rest are failures of checking, which are counted, shown,
 * and stop the run above a rate.
 *
 * Parts are named numbers beside the score (tests passed, the published scale of a shaping
 * reward, what a plug-in wants to see in its log). They are recorded and never summed.
 */
#ifndef REWARD_VERDICT_H
#define REWARD_VERDICT_H

#include <stdbool.h>

#include "base/buf.h"

#define VERDICT_MAX_PARTS 8

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

struct verdict_part {
    char name[32]; /* unique in its verdict */
    double value;  /* finite */
};

struct verdict {
    enum verdict_status status;
    double score;     /* in [0, 1] */
    double ms;        /* wall milliseconds */
    char detail[128]; /* the reason, for a person; "" where there is nothing to say */
    int n_parts;
    struct verdict_part part[VERDICT_MAX_PARTS];
};

/* "ok", "unparsable", ... as stored in the database. */
const char *verdict_status_name(enum verdict_status status);

/* The status of that name; false where there is none. */
bool verdict_status_find(const char *name, enum verdict_status *status);

/* Undecided, timeout, limit or crashed: the checker's failure, not the policy's. */
bool verdict_is_failure(enum verdict_status status);

/* Ok with the full score. */
bool verdict_is_right(const struct verdict *v);

/* Whether the score counts: ok or unparsable. */
bool verdict_has_score(const struct verdict *v);

/* Fills *v, without parts; returns v->score for convenience. */
double verdict_set(struct verdict *v, enum verdict_status status, double score,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Adds a part, or sets the one of that name. False, and nothing done, where the name is
 * empty or too long, the value is not finite, or all places are taken. */
bool verdict_add_part(struct verdict *v, const char *name, double value);

/* The parts as a JSON object, "{}" where there are none. */
void verdict_print_parts(const struct verdict *v, struct buf *out);

#endif
