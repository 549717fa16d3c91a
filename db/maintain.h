/* db/maintain.h: what is done to a whole database: brought up, checked, pruned, put together.
 *
 * For `hone db`. Whoever calls holds the lock of the run's folder where something is written.
 */
#ifndef DB_MAINTAIN_H
#define DB_MAINTAIN_H

#include "db/db.h"

/* Brings a database of an older schema up, in one transaction; *from gets its version, which
 * is the present one where there was nothing to do. */
MUST_USE int db_upgrade(const char *path, int *from, struct err *err);

/* --- checking ------------------------------------------------------------------------- */

/* One thing that was looked at: `wrong` rows are not as they should be, `example` names one. */
struct db_finding {
    const char *what;
    int64_t wrong;
    char example[200];
};

/* Quick checks follow indexes and sums; with `full`, every page, row and blob is read. Fills
 * finding[max], returns how many; -1 where the database cannot be read at all. */
MUST_USE int db_check(struct db *db, bool full, struct db_finding *finding, int max,
                      struct err *err);

/* --- pruning -------------------------------------------------------------------------- */

struct db_prune {
    int keep_steps; /* of the newest steps everything stays; 0: of all */
    int keep_every; /* and of every Nth; 0: none */
    int keep_evals; /* completions of the newest N evaluations stay; 0: of all */
};

struct db_pruned {
    int64_t steps, episodes, traces, eval_episodes; /* what goes */
    int last_step;                                  /* the newest that goes; 0: none */
};

/* What the rules would take out. */
MUST_USE int db_prune_count(struct db *db, const struct db_prune *rule, struct db_pruned *out,
                            struct err *err);
/* Takes it out: episodes with all that hangs on them, and traces. Steps, groups, problems, sums
 * and metrics stay, so that every curve does. */
MUST_USE int db_prune(struct db *db, const struct db_prune *rule, struct err *err);

/* Whether a step was pruned. */
MUST_USE int db_is_pruned(struct db *db, int step, bool *pruned, struct err *err);

/* Writes the file anew, without free pages. */
MUST_USE int db_vacuum(struct db *db, struct err *err);

/* --- many runs in one file ------------------------------------------------------------ */

/* Writes `out`, which must not exist: every table of the n databases with a column `run` before
 * the others, 1 to n. */
MUST_USE int db_merge(const char *out, const char *const *path, int n, struct err *err);

#endif
