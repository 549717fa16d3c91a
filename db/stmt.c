/* db/stmt.c: see stmt.h. */
#include "db/stmt.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "db/later.h"

static int exit_code(int rc) {
    switch (rc & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_CONSTRAINT:
    case SQLITE_ERROR: /* a table or column is missing: no schema of ours */
    case SQLITE_MISMATCH:
        return EX_DATAERR;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EX_TEMPFAIL;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return EX_NOPERM;
    case SQLITE_NOMEM:
        return EX_OSERR;
    default:
        return EX_IOERR;
    }
}

int db_error(struct db *db, int rc, const char *doing, struct err *err) {
    /* The handle speaks of its latest call; when that was not the one that failed, only
     * the code is left to say. */
    const char *why = sqlite3_errcode(db->sq) == (rc & 0xff) ? sqlite3_errmsg(db->sq)
                                                             : sqlite3_errstr(rc);
    int system = (rc & 0xff) == SQLITE_IOERR ? sqlite3_system_errno(db->sq) : 0;
    if (system == 0) return err_set(err, exit_code(rc), "%s: %s: %s", db->path, doing, why);
    return err_set(err, system == ENOMEM ? EX_OSERR : EX_IOERR, "%s: %s: %s (%s)", db->path, doing,
                   why, strerror(system));
}

void stmt_begin(struct stmt *q, struct db *db, const char *doing, const char *sql) {
    *q = (struct stmt){.db = db, .doing = doing, .col = 1};
    later_hold(db);
    for (int i = 0; i < db->n_cached && !q->s; i++)
        if (db->cache[i].sql == sql) q->s = db->cache[i].stmt;
    if (q->s) return;
    q->rc = sqlite3_prepare_v3(db->sq, sql, -1, SQLITE_PREPARE_PERSISTENT, &q->s, NULL);
    if (q->rc != SQLITE_OK) return;
    CHECK(db->n_cached < STMT_MAX);
    db->cache[db->n_cached].sql = sql;
    db->cache[db->n_cached++].stmt = q->s;
}

static void keep(struct stmt *q, int rc) {
    if (q->rc == SQLITE_OK) q->rc = rc;
}

void stmt_bind_int(struct stmt *q, int64_t x) {
    if (q->rc == SQLITE_OK) keep(q, sqlite3_bind_int64(q->s, q->col++, x));
}

void stmt_bind_null(struct stmt *q) {
    if (q->rc == SQLITE_OK) keep(q, sqlite3_bind_null(q->s, q->col++));
}

void stmt_bind_real(struct stmt *q, double x) {
    if (q->rc != SQLITE_OK) return;
    keep(q, isnan(x) ? sqlite3_bind_null(q->s, q->col)
                     : sqlite3_bind_double(q->s, q->col, x));
    q->col++;
}

void stmt_bind_text_n(struct stmt *q, const char *s, size_t n) {
    if (q->rc != SQLITE_OK) return;
    keep(q,
         sqlite3_bind_text64(q->s, q->col++, s ? s : "", n, SQLITE_STATIC, SQLITE_UTF8));
}

void stmt_bind_text(struct stmt *q, const char *s) {
    if (q->rc != SQLITE_OK) return;
    if (s)
        stmt_bind_text_n(q, s, strlen(s));
    else
        keep(q, sqlite3_bind_null(q->s, q->col++));
}

void stmt_bind_blob(struct stmt *q, const void *p, size_t n) {
    if (q->rc != SQLITE_OK) return;
    keep(q, n ? sqlite3_bind_blob64(q->s, q->col, p, n, SQLITE_STATIC)
              : sqlite3_bind_zeroblob(q->s, q->col, 0));
    q->col++;
}

void stmt_bind_hash(struct stmt *q, uint64_t hash) {
    char hex[17];
    hash_hex(hash, hex);
    if (q->rc != SQLITE_OK) return;
    keep(q, sqlite3_bind_text(q->s, q->col++, hex, 16, SQLITE_TRANSIENT));
}

void stmt_end(struct stmt *q) {
    if (!q->s) return;
    sqlite3_reset(q->s);
    sqlite3_clear_bindings(q->s);
}

int stmt_next(struct stmt *q, struct err *err) {
    if (q->rc == SQLITE_OK) {
        int rc = sqlite3_step(q->s);
        q->col = 0;
        if (rc == SQLITE_ROW) return 1;
        if (rc != SQLITE_DONE) q->rc = rc;
    }
    int result = q->rc == SQLITE_OK ? 0 : db_error(q->db, q->rc, q->doing, err);
    stmt_end(q);
    return result;
}

int stmt_run(struct stmt *q, struct err *err) {
    int more;
    while ((more = stmt_next(q, err)) == 1) continue;
    return more;
}

int64_t stmt_int(struct stmt *q) { return sqlite3_column_int64(q->s, q->col++); }

bool stmt_is_null(struct stmt *q) {
    return sqlite3_column_type(q->s, q->col) == SQLITE_NULL;
}

double stmt_real(struct stmt *q) {
    bool null = stmt_is_null(q);
    double x = sqlite3_column_double(q->s, q->col++);
    return null ? NAN : x;
}

const void *stmt_blob(struct stmt *q, struct arena *a, size_t *n) {
    const void *p = sqlite3_column_blob(q->s, q->col);
    *n = (size_t)sqlite3_column_bytes(q->s, q->col++);
    char *copy = arena_new(a, *n + 1, 1); /* the arena zeroes: a NUL follows */
    if (*n) memcpy(copy, p, *n);
    return copy;
}

const char *stmt_text_n(struct stmt *q, struct arena *a, size_t *n) {
    *n = 0;
    if (!stmt_is_null(q)) return stmt_blob(q, a, n);
    q->col++;
    return NULL;
}

const char *stmt_text(struct stmt *q, struct arena *a) {
    size_t n;
    return stmt_text_n(q, a, &n);
}

uint64_t stmt_hash(struct stmt *q) {
    const unsigned char *hex = sqlite3_column_text(q->s, q->col++);
    return hex ? strtoull((const char *)hex, NULL, 16) : 0;
}
