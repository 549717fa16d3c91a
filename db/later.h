/* db/later.h: work on a run's database that a thread of its own does while the caller goes on.
 *
 * Jobs are queued, and written in the order they were given, those of half a second in one
 * transaction. Any other use of the handle has the queue written first, by itself. Where a job or
 * the commit fails, all of the transaction is rolled back and what was queued after it is dropped;
 * it is told once, to the next db_later, db_wait or db_begin. Whoever relies on a job being on the
 * disk calls db_wait.
 */
#ifndef DB_LATER_H
#define DB_LATER_H

#include "db/db.h"

/* The queue is written so long after its first job was given, whether more come or not; or when
 * half of it is full. A transaction costs as much as the rows of a fast step, and a thread that
 * wakes up for each of them finds nothing of SQLite in the processor's caches. What a kill takes
 * is as little. */
enum { DB_LATER_MS = 500, DB_LATER_JOBS = 64 };

/* Runs in the thread, in the transaction; may use db as its own. */
typedef int (*db_job)(struct db *db, void *ctx, struct err *err);

/* Queues a job; waits only where there is no room. ctx is borrowed until the job has run, or
 * db_wait has returned. On -1 (something before failed, or no thread can be had: EX_OSERR) it is
 * not queued. */
MUST_USE int db_later(struct db *db, db_job job, void *ctx, struct err *err);

/* Returns once the queue is written: 0 where all that was queued is committed. Accepts NULL. */
MUST_USE int db_wait(struct db *db, struct err *err);

/* Ends the thread, once the queue is written. What a job failed with is lost. db_close does it. */
void db_end_later(struct db *db);

/* Inside db/: before each use of the handle. db_wait that tells nothing. */
void later_hold(struct db *db);

#endif
