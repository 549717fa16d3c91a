/* cli/failures.h: how often a reward failed of late, and whether that is too often.
 *
 * The rate is taken over a reward's newest steps that together have FAILURE_WINDOW
 * verdicts; while a run has fewer, they count as that many. So one failure in a step of
 * eight verdicts stops nothing, a checker that always fails stops the run within its first
 * steps, and one that begins to fail later is not excused by what it did before. A run that
 * is gone on with fills the window from run.db, and stops where one never killed would.
 */
#ifndef CLI_FAILURES_H
#define CLI_FAILURES_H

#include <stdbool.h>

enum { FAILURE_WINDOW = 200 };

/* Zeroed is empty. */
struct failure_window {
    struct {
        int n, failed;
    } step[FAILURE_WINDOW]; /* a ring; a step has at least one verdict */
    int first, n_steps;
    long n, failed; /* sums over the ring */
};

/* One step's verdicts, n > 0; steps that are no longer needed leave. */
void failure_window_push(struct failure_window *w, int n, int failed);

/* More than max_rate of the window failed. */
bool failure_window_over(const struct failure_window *w, double max_rate);

#endif
