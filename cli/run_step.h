/* cli/run_step.h: what the steps of all kinds of stages share: problems, metrics, the update
 * and the row of the step. One thread, that of the run. */
#ifndef CLI_RUN_STEP_H
#define CLI_RUN_STEP_H

#include "cli/run.h"

/* The optimizer's settings of a stage. */
struct optimizer_config run_optimizer_config(const struct experiment_stage *s);

/* The problem visited as number `visit` of stage i, in an order fixed by the seed; `limit`
 * > 0 keeps to that many different problems. */
int run_problem_at(struct run *r, int i, long visit, int limit);

/* Finds or adds the problem's row. */
MUST_USE int run_record_problem(struct run *r, const struct problem_set *set,
                                const struct problem *p, int64_t *id, struct err *err);

void run_metric(struct run *r, const char *name, double value);

/* Clips, checks and applies opt.grad; -1 never, 1 when the gradient is not finite and the
 * weights were left alone. Leaves grad_norm in *norm. */
int run_apply(struct run *r, const struct experiment_stage *s, double lr, double *norm);
/* False once an update has left a weight that is not finite: the run cannot go on. */
bool run_weights_finite(const struct run *r);

/* The row of the step to be made now: the one that waits for its result, or a new one. */
struct db_step run_new_step(const struct run *r, int i, int stage_step);
/* Moves r->step and r->hash on, and has the step's result written (later.h): r->arena, to which
 * the step's jobs may refer, is another one then. refusal NULL: done. */
MUST_USE int run_end_step(struct run *r, struct db_step *row, const char *refusal, double wall_s,
                          struct err *err);

#endif
