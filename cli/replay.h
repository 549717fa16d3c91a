/* cli/replay.h: the parts of `hone replay`.
 *
 * A replay is a recorded run (run_open_recorded) that is followed to the weights of the
 * episodes asked for; there they are drawn again from their recorded random keys and
 * compared, id by id and bit by bit. Nothing of the run is written.
 */
#ifndef CLI_REPLAY_H
#define CLI_REPLAY_H

#include "cli/run.h"

enum { REPLAY_MAX_BATCH = 4096, REPLAY_SHOWN = 20 };

struct replay {
    struct run r;
    struct db_run recorded; /* by whom; in the arena below */
    struct arena arena;     /* what lives as long as the command */
    int batch;              /* sequences in flight a thread */
    bool json;
    long checked, exact;
};

/* Draws the n episodes of step r.step + 1 again, at the weights now, and compares. */
MUST_USE int replay_draw(struct replay *p, const int64_t *id, int n, struct err *err);

/* "recorded by hone 0.1.0 (gcc 12), avx512; drawn by ...": valid until the next call. */
const char *replay_builds(const struct replay *p);

/* The first step at which two runs differ, and in what; counts steps in checked and exact. */
MUST_USE int replay_bisect(struct replay *p, const char *dir, const char *other,
                           struct err *err);

#endif
