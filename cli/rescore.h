/* cli/rescore.h: the parts of `hone rescore`.
 *
 * The episodes of a recorded run are scored again by other rewards and compared, group by
 * group, with the verdicts that stand in run.db. Nothing of the run is written.
 */
#ifndef CLI_RESCORE_H
#define CLI_RESCORE_H

#include "cli/run.h"

enum { RESCORE_MAX_CHECKERS = 2 * EXPERIMENT_MAX_REWARDS };

/* One checker on both sides; it is told apart by its name. */
struct rescore_checker {
    const char *name;
    int was, now;              /* places in the two lists of rewards; -1: not in it */
    char old[64], fresh[64];   /* versions, of the first verdict seen */
    long lost, gained;         /* right then and not now; the other way round */
    long status, score;        /* others whose status, or only whose score, is another */
    long same;
    long failed_was, failed_now;
};

/* A step's row of the curve. Means are NAN where nothing counts. */
struct rescore_point {
    int step;
    long episodes;
    double reward[2], accuracy[2]; /* then, now */
};

struct rescore {
    struct run r;          /* r.x has the new rewards */
    struct experiment was; /* as recorded */
    int only;              /* the one reward that is run again; -1: all */
    struct rescore_checker checker[RESCORE_MAX_CHECKERS];
    int n_checkers;
    struct rescore_point *point; /* [n_points], owned */
    int n_points;
    long episodes, groups, steps;
    long pruned;                /* steps that have no episodes any more */
    long to_useful, to_useless; /* groups whose rewards differ now, or do not any more */
    long sign[3][3];            /* of advantages: [then][now], - 0 + */
    long part_steps;            /* without advantages: not all of their groups are there */
    bool json;
    int show;   /* flips to print */
    long flips; /* of all checkers */
};

/* One verdict that flips, as it is found; and all that was counted, at the end. */
void rescore_print_flip(struct rescore *p, const struct rescore_checker *c, int step,
                        const struct db_episode *e, const struct problem *problem,
                        const struct db_verdict *was, const struct verdict *now);
void rescore_print(const struct rescore *p);

#endif
