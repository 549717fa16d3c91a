/* db/later.h: work on a run's database that a thread of its own does while the caller goes on.
 *
 * One job at a time, each in a transaction of its own, in the order they were given. Any other
 * use of the handle waits for the job by itself; what it failed with is told once, to the next
 * db_later, db_wait or db_begin. Whoever relies on a job being on the disk calls db_wait.
 */
#ifndef DB_LATER_H
#define DB_LATER_H

#include "db/db.h"

/* Runs in the thread; may use db as its own. A job that fails rolls back. */
typedef int (*db_job)(struct db *db, void *ctx, struct err *err);

/* Waits for the job before and gives this one; ctx is borrowed until it has run. On -1 (the job
 * before failed, or no thread can be had: EX_OSERR) it is not run. */
MUST_USE int db_later(struct db *db, db_job job, void *ctx, struct err *err);

/* Returns once no job runs: 0 where the last one, if any, was done. Accepts NULL. */
MUST_USE int db_wait(struct db *db, struct err *err);

/* Ends the thread, after its job. What a job failed with is lost. db_close does it. */
void db_end_later(struct db *db);

/* Inside db/: before each use of the handle. */
void later_hold(struct db *db);
MUST_USE int later_failure(struct db *db, struct err *err);

#endif
