/* reward/verdict.c: see verdict.h. */
#include "reward/verdict.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"

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

bool verdict_status_find(const char *name, enum verdict_status *status) {
    for (int i = 0; i < VERDICT_N_STATUS; i++) {
        if (strcmp(names[i], name) != 0) continue;
        *status = (enum verdict_status)i;
        return true;
    }
    return false;
}

bool verdict_is_failure(enum verdict_status status) {
    return status == VERDICT_UNDECIDED || status == VERDICT_TIMEOUT ||
           status == VERDICT_LIMIT || status == VERDICT_CRASHED;
}

bool verdict_is_right(const struct verdict *v) {
    return v->status == VERDICT_OK && v->score >= 1;
}

bool verdict_has_score(const struct verdict *v) {
    return v->status == VERDICT_OK || v->status == VERDICT_UNPARSABLE;
}

double verdict_set(struct verdict *v, enum verdict_status status, double score,
                   const char *fmt, ...) {
    CHECK(score >= 0 && score <= 1);
    va_list args;
    va_start(args, fmt);
    v->status = status;
    v->score = score;
    v->ms = 0;
    v->n_parts = 0;
    vsnprintf(v->detail, sizeof v->detail, fmt, args);
    va_end(args);
    return score;
}

bool verdict_add_part(struct verdict *v, const char *name, double value) {
    int i = 0;
    size_t n = strlen(name);
    if (n == 0 || n >= sizeof v->part[0].name || !isfinite(value)) return false;
    while (i < v->n_parts && strcmp(v->part[i].name, name) != 0) i++;
    if (i == VERDICT_MAX_PARTS) return false;
    memcpy(v->part[i].name, name, n + 1);
    v->part[i].value = value;
    v->n_parts += i == v->n_parts;
    return true;
}

void verdict_print_parts(const struct verdict *v, struct buf *out) {
    buf_puts(out, "{");
    for (int i = 0; i < v->n_parts; i++) {
        if (i) buf_puts(out, ", ");
        json_print_string(out, v->part[i].name);
        buf_puts(out, ": ");
        json_print_double(out, v->part[i].value);
    }
    buf_puts(out, "}");
}
