/* db/stmt.h: one prepared statement at a time: bind, step, read columns. Inside db/ only.
 *
 * Binding and reading go from left to right. The first failure sticks in rc and is
 * reported by stmt_next or stmt_run, so callers need not look at every bind. Statements
 * are prepared once a handle, found again by the address of their text.
 */
#ifndef DB_STMT_H
#define DB_STMT_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

enum { STMT_MAX = 96 };

struct db {
    sqlite3 *sq; /* owned */
    char *path;  /* owned, for messages */
    struct {
        const char *sql; /* a literal */
        sqlite3_stmt *stmt;
    } cache[STMT_MAX];
    int n_cached;
    bool has_bulk;       /* bulk.h is known to the handle */
    struct problem_ids *problem_ids; /* owned; NULL: not read yet */
    struct later *later; /* owned; the thread of later.h, NULL: none yet */
};

struct stmt {
    struct db *db;
    sqlite3_stmt *s;
    const char *doing; /* "read the run", for messages */
    int col;           /* next parameter or column */
    int rc;
};

/* Turns the handle's last SQLite error into *err. Returns -1. */
int db_error(struct db *db, int rc, const char *doing, struct err *err);

/* Statements without parameters or rows. */
MUST_USE int db_exec(struct db *db, const char *doing, const char *sql, struct err *err);

/* As db_open, also a database of an older version that can be brought up. */
MUST_USE int db_open_older(struct db **db, const char *path, int *version, struct err *err);

/* Prepares sql, a literal, or takes it from the cache. */
void stmt_begin(struct stmt *q, struct db *db, const char *doing, const char *sql);

void stmt_bind_int(struct stmt *q, int64_t x);
void stmt_bind_null(struct stmt *q);
void stmt_bind_real(struct stmt *q, double x);      /* NAN: NULL */
void stmt_bind_text(struct stmt *q, const char *s); /* NULL: NULL; borrowed until done */
void stmt_bind_text_n(struct stmt *q, const char *s, size_t n);
void stmt_bind_blob(struct stmt *q, const void *p, size_t n); /* never NULL */
void stmt_bind_hash(struct stmt *q, uint64_t hash);

/* 1: a row is there, 0: no more, -1: failed. After 0 and -1 the statement is reset. */
MUST_USE int stmt_next(struct stmt *q, struct err *err);
/* For statements without rows: 0 or -1. */
MUST_USE int stmt_run(struct stmt *q, struct err *err);
/* Lets go of a statement whose rows were not all read. */
void stmt_end(struct stmt *q);

int64_t stmt_int(struct stmt *q);
bool stmt_is_null(struct stmt *q); /* the next column; does not move on */
double stmt_real(struct stmt *q);                       /* NULL: NAN */
const char *stmt_text(struct stmt *q, struct arena *a); /* NULL: NULL */
const char *stmt_text_n(struct stmt *q, struct arena *a, size_t *n);
const void *stmt_blob(struct stmt *q, struct arena *a, size_t *n);
uint64_t stmt_hash(struct stmt *q); /* NULL: 0 */

#endif
