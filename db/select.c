/* db/select.c: see select.h. */
#include "db/select.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "db/stmt.h"

static int allow_reads(void *ctx, int action, const char *a, const char *function,
                       const char *schema, const char *trigger) {
    static const char *const changing[] = {
        "random",   "randomblob", "date",          "time",          "datetime",
        "julianday", "unixepoch", "strftime",      "timediff",      "changes",
        "last_insert_rowid",      "total_changes", "current_time",  "current_date",
        "current_timestamp"};
    (void)a, (void)schema, (void)trigger;
    const bool *repeatable = ctx;
    if (action == SQLITE_SELECT || action == SQLITE_READ || action == SQLITE_RECURSIVE)
        return SQLITE_OK;
    if (action != SQLITE_FUNCTION || strcasecmp(function, "load_extension") == 0)
        return SQLITE_DENY;
    for (size_t i = 0; *repeatable && i < sizeof changing / sizeof *changing; i++)
        if (strcasecmp(function, changing[i]) == 0) return SQLITE_DENY;
    return SQLITE_OK;
}

static int refuse(struct db *db, const char *where, struct err *err) {
    return err_set(err, EX_USAGE, "the condition '%.200s': %s", where, sqlite3_errmsg(db->sq));
}

/* Alone first, so that nothing can close the parenthesis it is put into. */
static int check_condition(struct db *db, const char *view, const char *where, struct err *err) {
    struct buf sql = {0};
    sqlite3_stmt *s = NULL;
    const char *rest = "";
    buf_printf(&sql, "SELECT 1 FROM %s WHERE %s", view, where);
    int rc = sqlite3_prepare_v2(db->sq, buf_text(&sql), -1, &s, &rest);
    bool more = rc == SQLITE_OK && rest[strspn(rest, " \t\r\n")] != 0;
    int out = rc != SQLITE_OK ? refuse(db, where, err) : 0;
    if (more || (rc == SQLITE_OK && strchr(where, ';')))
        out = err_set(err, EX_USAGE, "the condition '%.200s': one condition, without ;", where);
    sqlite3_finalize(s);
    buf_clear(&sql);
    return out;
}

static int read_ids(struct db *db, sqlite3_stmt *s, struct arena *a, int64_t **ids, int *n,
                    const char *where, struct err *err) {
    int rc;
    *n = 0;
    *ids = NULL;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        if ((*n & (*n - 1)) == 0) { /* full at 0, 1, 2, 4, 8 ... */
            int64_t *more = arena_new(a, *n ? 2 * (size_t)*n : 1, sizeof *more);
            if (*n) memcpy(more, *ids, (size_t)*n * sizeof *more);
            *ids = more;
        }
        (*ids)[(*n)++] = sqlite3_column_int64(s, 0);
    }
    return rc == SQLITE_DONE ? 0 : refuse(db, where, err);
}

int db_select_ids(struct db *db, const char *id, const char *view, const char *where,
                  const char *order, bool repeatable, struct arena *a, int64_t **ids, int *n,
                  struct err *err) {
    struct buf sql = {0};
    sqlite3_stmt *s = NULL;
    int rc;
    sqlite3_set_authorizer(db->sq, allow_reads, &repeatable);
    rc = check_condition(db, view, where, err);
    buf_printf(&sql, "SELECT %s FROM %s WHERE (%s\n) ORDER BY %s", id, view, where, order);
    if (rc == 0 && sqlite3_prepare_v2(db->sq, buf_text(&sql), -1, &s, NULL) != SQLITE_OK)
        rc = refuse(db, where, err);
    sqlite3_set_authorizer(db->sq, NULL, NULL);
    if (rc == 0) rc = read_ids(db, s, a, ids, n, where, err);
    sqlite3_finalize(s);
    buf_clear(&sql);
    return rc;
}
