/* reward/verdict.c: see verdict.h. */
#include "reward/verdict.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"

static const char *const names[] = {
    [VERDICT_OK] = "ok",
    [VERDICT_UNPARSABLE] = "unparsable",
    [VERDICT_UNDECIDED] = "undecided",
    [VERDICT_TIMEOUT] = "timeout",
    [VERDICT_LIMIT] = "limit",
    [VERDICT_CRASHED] = "crashed",
    [VERDICT_NOT_SCORABLE] = "not_scorable",
};
_Static_assert(sizeof names / sizeof *names == VERDICT_N_STATUS, "a name a status");

const char *verdict_status_name(enum verdict_status status) {
    CHECK((unsigned)status < VERDICT_N_STATUS);
    return names[status];
}

bool verdict_is_failure(enum verdict_status status) {
    return status == VERDICT_UNDECIDED || status == VERDICT_TIMEOUT ||
           status == VERDICT_LIMIT || status == VERDICT_CRASHED;
}

double verdict_set(struct verdict *v, enum verdict_status status, double score,
                   const char *fmt, ...) {
    CHECK(score >= 0 && score <= 1);
    va_list args;
    va_start(args, fmt);
    v->status = status;
    v->score = score;
    v->ms = 0;
    vsnprintf(v->detail, sizeof v->detail, fmt, args);
    va_end(args);
    return score;
}
