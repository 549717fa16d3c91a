/* db/select.h: what a person's SQL finds in a run's database.
 *
 * A condition is SQL over the columns of a view, as after WHERE. It may read whatever it likes
 * and change nothing; more than one statement is refused. A condition that is to give the same
 * again (`repeatable`) may not ask the clock or SQLite's random numbers.
 */
#ifndef DB_SELECT_H
#define DB_SELECT_H

#include "db/db.h"

/* The ids of "SELECT ID FROM VIEW WHERE (where) ORDER BY order", in the arena; `view`, `id` and
 * `order` are hone's own. EX_USAGE with SQLite's words where the condition is no SQL. */
MUST_USE int db_select_ids(struct db *db, const char *id, const char *view, const char *where,
                           const char *order, bool repeatable, struct arena *a, int64_t **ids,
                           int *n, struct err *err);

#endif
