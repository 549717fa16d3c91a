/* policy/stage.h: where the time of a job goes, for `hone bench`.
 *
 * A thread is in one stage at a time; stage_enter says that from here on its time belongs to
 * another. Off until stage_start, and then a mark costs one test of a flag. Marks are only
 * ever read by the clock: no result depends on them. stage_start and stage_stop are called
 * while no other thread works.
 */
#ifndef POLICY_STAGE_H
#define POLICY_STAGE_H

#include <stdbool.h>

enum stage {
    STAGE_IDLE, /* waiting for other threads, or not yet at work */
    STAGE_MATMUL,
    STAGE_ATTENTION, /* its products included */
    STAGE_ROUTING,   /* gate, sorting, gather and scatter */
    STAGE_NORM,      /* norms, rope, activations */
    STAGE_SAMPLING,
    STAGE_HEAD, /* the vocabulary's products, softmax and loss */
    STAGE_OPTIMIZER,
    STAGE_PACKING,
    STAGE_OTHER,
    N_STAGES
};

/* "idle", "matmul", "attention", "routing", "norm_rope_act", "sampling", "head_and_loss",
 * "optimizer", "packing", "other" */
const char *stage_name(enum stage s);

extern bool stage_on; /* written by stage_start and stage_stop alone */

void stage_switch(enum stage s);

static inline void stage_enter(enum stage s) {
    if (__builtin_expect(stage_on, 0)) stage_switch(s);
}

/* Zeroes all clocks; the caller's thread is in STAGE_OTHER from here on. */
void stage_start(void);

/* Ends the measurement: seconds of each stage, summed over the threads and divided by
 * n_threads, so that they add up to the wall time. What no thread claimed is idle. */
void stage_stop(int n_threads, double seconds[N_STAGES]);

/* Seconds since some moment in the past. */
double stage_now(void);

#endif
