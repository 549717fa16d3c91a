/* db/schema_diff.h: a database's schema beside that of a new one. Inside db/ only. */
#ifndef DB_SCHEMA_DIFF_H
#define DB_SCHEMA_DIFF_H

#include "db/stmt.h"

/* Called of each table, index, trigger and view of a new database: its text there, and in this
 * one (NULL: it is missing). -1 ends the walk. */
typedef int (*schema_visit)(void *ctx, const char *name, const char *sql, const char *found,
                            struct err *err);

MUST_USE int schema_compare(struct db *db, schema_visit visit, void *ctx, struct err *err);

#endif
