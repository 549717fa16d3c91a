/* cli/db.h: the actions of `hone db` that have a file of their own. */
#ifndef CLI_DB_H
#define CLI_DB_H

#include "db/db.h"

/* JSON lines of the episodes that `where` (SQL over v_episode; NULL: all) finds, in the shape
 * "trl" or "verl", to stdout or the file `out`. */
MUST_USE int db_export(struct db *db, const char *shape, const char *where, const char *out,
                       struct err *err);

#endif
