/* db/view.h: what a reader gives beside whole rows: places, and rows of views. See row.h. */
#ifndef DB_VIEW_H
#define DB_VIEW_H

#include <stdint.h>

/* Where an episode stands. */
struct db_place {
    int64_t id;
    int step;
};

/* A row of v_accuracy_by_step. NAN where a step has no such number. */
struct db_curve {
    int step, stage, stage_step;
    const char *stage_name, *type, *state;
    int64_t episodes;
    double reward, accuracy, mean_length, truncated, zero_std;
    double kl, entropy, loss, grad_norm, learning_rate, wall_s;
};

struct db_failed { /* of one checker in one step */
    int step, n, failed; /* n verdicts; those that were its own failure */
    const char *checker;
};

/* A row of v_failures. */
struct db_failure {
    const char *checker, *version, *status;
    int64_t n, an_episode;
    double rate;
    int first_step, last_step;
};

#endif
