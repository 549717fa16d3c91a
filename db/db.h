/* db/db.h: one run's database: plain rows in, SQLite out, and back.
 *
 * `struct db` is one open run.db with its prepared statements; one thread at a time may
 * use it, and a thread of its own works for it (later.h). A training step is (1) its row, groups
 * with their episodes and verdicts (or traces), (2) db_finish_step with the result: in one
 * transaction, in two, or with other steps in one. What db_commit, db_wait, or db_finish_step
 * outside a transaction, returned 0 for survives a kill and a power cut.
 *
 * Every failure names the file and gives SQLite's own words. Codes: EX_NOINPUT missing,
 * EX_CANTCREAT, EX_NOPERM, EX_DATAERR not a hone database, damaged, or a row that breaks
 * a constraint, EX_TEMPFAIL locked by another process, EX_OSERR out of memory, else EX_IOERR (full disk, ...).
 * After a failed write the transaction is still to be ended with db_rollback.
 */
#ifndef DB_DB_H
#define DB_DB_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "db/row.h"
#include "db/view.h"

struct db;

/* db_create makes a new file with the schema, under a temporary name until it is whole;
 * a file that is there already: EX_CANTCREAT. db_open is for the one writer;
 * db_open_readonly changes nothing and also reads a run that is being written, or one on
 * a read-only medium. On -1 *db is NULL. */
MUST_USE int db_create(struct db **db, const char *path, struct err *err);
MUST_USE int db_open(struct db **db, const char *path, struct err *err);
MUST_USE int db_open_readonly(struct db **db, const char *path, struct err *err);

/* Looks at every page for damage of the file's structure, before anything is written on top of
 * it: EX_DATAERR. What a changed bit left well-formed, as in a text, it does not see. */
MUST_USE int db_check_pages(struct db *db, struct err *err);

/* A new database in memory, to try a condition on. */
MUST_USE int db_open_empty(struct db **db, struct err *err);

/* Rolls back what is not committed. Accepts NULL. */
void db_close(struct db *db);

/* Transactions do not nest. When db_commit fails, everything is rolled back. */
MUST_USE int db_begin(struct db *db, struct err *err);
MUST_USE int db_commit(struct db *db, struct err *err);
/* Harmless outside a transaction. */
void db_rollback(struct db *db);

/* Whether the run's row is there: a database that was only just made has none. */
MUST_USE int db_has_run(struct db *db, bool *has, struct err *err);

/* --- writing; `id` receives the row's id, or may be NULL --------------------------- */

MUST_USE int db_write_run(struct db *db, const struct db_run *row, struct err *err);
/* Text of n bytes, for a policy's token. */
MUST_USE int db_write_token(struct db *db, int token, const char *text, size_t n,
                            struct err *err);
MUST_USE int db_write_stage(struct db *db, const struct db_stage *row, struct err *err);
MUST_USE int db_finish_stage(struct db *db, int stage, struct err *err);
/* The experiment goes on with other settings: its text, and each recorded stage's max_steps,
 * of max_steps[n]; a finished stage that got more of them is unfinished again. */
MUST_USE int db_change_experiment(struct db *db, const char *experiment, const int *max_steps,
                                  int n, struct err *err);
/* Finds the same problem or adds it. */
MUST_USE int db_write_problem(struct db *db, const struct db_problem *row, int64_t *id,
                              struct err *err);
MUST_USE int db_write_step(struct db *db, const struct db_step *row, struct err *err);
MUST_USE int db_write_traces(struct db *db, const struct db_trace *row, int n, struct err *err);
/* Groups of a step, whole, with their episodes and verdicts and the sums over them. Sets the ids
 * in all of them. */
MUST_USE int db_write_groups(struct db *db, struct db_group *row, int n, struct err *err);
/* That an episode is a copy of episode source_id of another run. */
MUST_USE int db_write_source(struct db *db, int64_t episode_id, int64_t source_id,
                             struct err *err);
/* The query that chose what a step takes, and how many it found; with the step's row. */
MUST_USE int db_write_query(struct db *db, int step, const char *query, int found,
                            struct err *err);
/* Of an episode that was written without one. */
MUST_USE int db_set_advantage(struct db *db, int64_t episode_id, double advantage,
                              struct err *err);

/* The result of the update of row->step: weights_after, wall_s, refusal (NULL: done),
 * metrics and details, in one transaction of its own unless one is open. A step that is not
 * waiting for its result: EX_DATAERR. */
MUST_USE int db_finish_step(struct db *db, const struct db_step *row,
                            const struct db_metric *metrics, int n_metrics,
                            const struct db_detail *details, int n_details, struct err *err);

/* An evaluation at the same step, spec, mode, k and temperature is replaced, with its
 * episodes. Inside a transaction. */
MUST_USE int db_write_eval(struct db *db, const struct db_eval *row, int64_t *id,
                           struct err *err);
MUST_USE int db_write_eval_episode(struct db *db, const struct db_eval_episode *row,
                                   struct err *err);

/* --- reading: rows[0..n) in the arena, in the order of the log ---------------------- */

/* One row; a missing one: EX_DATAERR "run.db has no episode 7". */
MUST_USE int db_read_run(struct db *db, struct arena *a, struct db_run *row,
                         struct err *err);
MUST_USE int db_read_step(struct db *db, int step, struct arena *a, struct db_step *row,
                          struct err *err);
MUST_USE int db_read_problem(struct db *db, int64_t id, struct arena *a,
                             struct db_problem *row, struct err *err);
MUST_USE int db_read_group(struct db *db, int64_t id, struct arena *a,
                           struct db_group *row, struct err *err);
MUST_USE int db_read_episode(struct db *db, int64_t id, struct arena *a,
                             struct db_episode *row, struct err *err);

/* The newest step that has its result; step 0: none has. */
MUST_USE int db_read_newest(struct db *db, struct arena *a, struct db_step *row, struct err *err);
/* How many the query of a step found; -1: it had none. */
MUST_USE int db_read_found(struct db *db, int step, int *found, struct err *err);
/* The policy's tokens, in order. */
MUST_USE int db_read_tokens(struct db *db, struct arena *a, struct db_token **rows, int *n,
                            struct err *err);
MUST_USE int db_read_stages(struct db *db, struct arena *a, struct db_stage **rows, int *n,
                            struct err *err);
/* Steps after `after` (0: all). */
MUST_USE int db_read_steps(struct db *db, int after, struct arena *a,
                           struct db_step **rows, int *n, struct err *err);
MUST_USE int db_read_metrics(struct db *db, int step, struct arena *a,
                             struct db_metric **rows, int *n, struct err *err);
MUST_USE int db_read_traces(struct db *db, int step, struct arena *a,
                            struct db_trace **rows, int *n, struct err *err);
MUST_USE int db_read_groups(struct db *db, int step, struct arena *a,
                            struct db_group **rows, int *n, struct err *err);
MUST_USE int db_read_episodes(struct db *db, int64_t group_id, struct arena *a,
                              struct db_episode **rows, int *n, struct err *err);
/* Where the episodes are that a step (0: all of them) drew itself, in the order of their ids. */
MUST_USE int db_read_places(struct db *db, int step, struct arena *a,
                            struct db_place **rows, int *n, struct err *err);
MUST_USE int db_read_verdicts(struct db *db, int64_t episode_id, struct arena *a,
                              struct db_verdict **rows, int *n, struct err *err);
MUST_USE int db_read_evals(struct db *db, struct arena *a, struct db_eval **rows, int *n,
                           struct err *err);
MUST_USE int db_read_eval_episodes(struct db *db, int64_t eval_id, struct arena *a,
                                   struct db_eval_episode **rows, int *n, struct err *err);

/* --- views --- */
MUST_USE int db_read_curve(struct db *db, struct arena *a, struct db_curve **rows, int *n,
                           struct err *err);
/* Of steps after `after`, in their order; a step that waits for its result is left out. */
MUST_USE int db_read_failed(struct db *db, int after, struct arena *a, struct db_failed **rows,
                            int *n, struct err *err);
MUST_USE int db_read_failures(struct db *db, struct arena *a, struct db_failure **rows,
                              int *n, struct err *err);

#endif
