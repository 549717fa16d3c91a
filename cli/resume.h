/* cli/resume.h: a start on a folder that holds a run: may it go on, and from where. */
#ifndef CLI_RESUME_H
#define CLI_RESUME_H

#include "cli/run.h"

/* Compares the experiment of r, as asked for now, with the one that r->db recorded, and takes
 * over what the run found out when it began (the size of the vocabulary). Differences are
 * printed to stderr, one a line; EX_CONFIG where one of them would change what the run does. */
MUST_USE int resume_compare(struct run *r, struct err *err);

/* Finds the last finished step (r->last) and one whose update is still to be made
 * (r->pending). */
MUST_USE int resume_find_end(struct run *r, struct err *err);

/* The problems of the last recorded step must be those that the experiment gives for it now:
 * a file of problems may have been changed. */
MUST_USE int resume_check_problems(struct run *r, struct err *err);

/* Fills the windows of failures from the steps that are done. */
MUST_USE int resume_fill_failures(struct run *r, struct err *err);

#endif
