/* cli/estimate.h: whether a run can fit, found out before its first file is made.
 *
 * Memory is not guessed: what a run works in is allocated when it is opened, and while that
 * goes on, mem_limit holds it to what the machine has to give. Disk is bounded from below and
 * from above by the experiment.
 */
#ifndef CLI_ESTIMATE_H
#define CLI_ESTIMATE_H

#include <stdbool.h>

#include "base/err.h"

struct run;

/* Until estimate_fits, an allocation beyond what the machine or the control group has to give
 * ends the program with EX_OSERR. */
void estimate_begin(void);

/* For a run that is opened but not made: EX_OSERR where the reference of a later stage will not
 * fit into memory, EX_CANTCREAT where the disk cannot hold the least that the run writes. */
MUST_USE int estimate_fits(struct run *r, bool overwrite, struct err *err);

/* A line of both to stdout. */
void estimate_show(struct run *r, bool overwrite);

/* Bytes of memory that can still be had: of the machine, its control groups, the limits of the
 * process (ulimit -v, -d); -1 where nobody says. */
double estimate_memory_free(void);

/* At the pace of `made` steps in so many seconds; NAN while that says nothing. */
double estimate_seconds_left(double seconds, int made, int left);

/* After a step of stage i, of which this start found `before` done: says once whether
 * --max-minutes will end the run within the stage. */
void estimate_watch(struct run *r, int i, int before, int done);

#endif
