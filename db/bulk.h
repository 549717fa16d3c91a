/* db/bulk.h: many rows in one statement: an array in memory, seen by SQLite as a table. Inside
 * db/ only.
 *
 * `INSERT INTO t (...) SELECT c0, c1 FROM bulk(?)` costs half of as many INSERTs of one row: the
 * statement is begun once, and nothing is bound.
 */
#ifndef DB_BULK_H
#define DB_BULK_H

#include "db/stmt.h"

enum { BULK_MAX_COLUMNS = 20 };

/* rows[n], borrowed for the call; `column` gives column `col`, c0, c1, ..., of row i through
 * sqlite3_result_*; what it points to lives as long as the rows. */
struct bulk {
    int n;
    const void *rows;
    void (*column)(sqlite3_context *out, const void *rows, int i, int col);
};

/* Runs sql, a literal with `bulk(?)` in it as its only parameter. */
MUST_USE int bulk_run(struct db *db, const char *doing, const char *sql, const struct bulk *rows,
                      struct err *err);

/* Column values as stmt_bind_* has them. */
void bulk_text(sqlite3_context *out, const char *s); /* NULL: NULL */
void bulk_blob(sqlite3_context *out, const void *p, size_t n); /* never NULL */
void bulk_hash(sqlite3_context *out, uint64_t hash);

#endif
