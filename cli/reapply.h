/* cli/reapply.h: a recorded run followed again, without sampling.
 *
 * The updates of the log are computed anew from its episodes and traces; each step's weights
 * must have the hash that was recorded. Resuming does it to reach the end of the log, `hone
 * replay` to reach any step. For a run from run_open or run_open_recorded.
 */
#ifndef CLI_REAPPLY_H
#define CLI_REAPPLY_H

#include "cli/run.h"

/* Applies step r->step + 1 of the log: weights, optimizer, r->step, r->hash and, where a stage
 * begins, r->stage and the reference move on. A step without a result, or other weights than
 * those recorded: EX_DATAERR, and r is of no more use. */
MUST_USE int reapply_step(struct run *r, int step, struct err *err);

/* Whether a run at its starting weights could be gone on with if the steps up to `step` could
 * not be applied again: a whole checkpoint of it or of a later step is loaded. -1: none is. */
MUST_USE int reapply_without(struct run *r, int step, struct err *err);

/* Brings a run at its starting weights to those after `step`, from the newest checkpoint at
 * or before it that is whole, or from the start. *from (may be NULL) gets where it began;
 * `each` (may be NULL) is called before each step that is applied. */
MUST_USE int reapply_to(struct run *r, int step, int *from,
                        void (*each)(struct run *r, int step), struct err *err);

#endif
