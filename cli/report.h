/* cli/report.h: what a run tells others while it goes on: DIR/status.json, a file for
 * Prometheus' textfile collector, and a POST of the same JSON when it ends.
 *
 * Files are written whole or not at all, at the start, at the end, and at most once in
 * REPORT_EVERY seconds between. None of it can end a run that has begun: what fails is said,
 * and the run goes on. docs/reliability.md has the fields.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <stdbool.h>
#include <time.h>

#include "base/err.h"

struct run;

#define REPORT_EVERY 5.0

struct report_options {
    const char *metrics_file; /* NULL: none */
    const char *notify;       /* a URL; NULL: none */
};

struct report {
    struct report_options o;
    bool begun, warned;
    double last;       /* progress_now */
    time_t started_at; /* of the wall clock, to be shown only */
};

/* EX_USAGE where the URL is none, EX_CANTCREAT where the file has no folder. */
MUST_USE int report_check(const struct report_options *o, struct err *err);

/* The first report of this start; -1 where one of the files cannot be written. */
MUST_USE int report_begin(struct run *r, const struct report_options *o, struct err *err);

/* If it is time. */
bool report_due(const struct run *r);
void report_step(struct run *r);

/* The last one. code is the exit code, err its sentence, NULL where all is well. Also after a
 * run_open that failed; then only what is outside of the folder is written. */
void report_end(struct run *r, const struct report_options *o, int code, const struct err *err);

#endif
