/* db/bulk.c: see bulk.h. An eponymous virtual table whose argument is a pointer. */
#include "db/bulk.h"

#include <string.h>

#include "base/hash.h"

static const char pointer_type[] = "hone bulk";

struct cursor {
    sqlite3_vtab_cursor base;
    const struct bulk *b;
    int i;
};

static int connect_table(sqlite3 *sq, void *aux, int argc, const char *const *argv,
                         sqlite3_vtab **out, char **message) {
    (void)aux, (void)argc, (void)argv, (void)message;
    int rc = sqlite3_declare_vtab(sq, "CREATE TABLE bulk (c0, c1, c2, c3, c4, c5, c6, c7, c8, c9,"
                                      " c10, c11, c12, c13, c14, c15, c16, c17, c18, c19,"
                                      " rows HIDDEN)");
    if (rc != SQLITE_OK) return rc;
    *out = sqlite3_malloc(sizeof **out);
    if (!*out) return SQLITE_NOMEM;
    memset(*out, 0, sizeof **out);
    return SQLITE_OK;
}

static int disconnect_table(sqlite3_vtab *t) {
    sqlite3_free(t);
    return SQLITE_OK;
}

/* All rows, in their order; without the argument there are none to give. */
static int choose_plan(sqlite3_vtab *t, sqlite3_index_info *info) {
    (void)t;
    for (int i = 0; i < info->nConstraint; i++) {
        if (info->aConstraint[i].iColumn != BULK_MAX_COLUMNS || !info->aConstraint[i].usable)
            continue;
        info->aConstraintUsage[i].argvIndex = 1;
        info->aConstraintUsage[i].omit = 1;
        return SQLITE_OK;
    }
    return SQLITE_CONSTRAINT;
}

static int open_cursor(sqlite3_vtab *t, sqlite3_vtab_cursor **out) {
    (void)t;
    struct cursor *c = sqlite3_malloc(sizeof *c);
    if (!c) return SQLITE_NOMEM;
    memset(c, 0, sizeof *c);
    *out = &c->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *c) {
    sqlite3_free(c);
    return SQLITE_OK;
}

static int first_row(sqlite3_vtab_cursor *base, int plan, const char *text, int argc,
                     sqlite3_value **argv) {
    struct cursor *c = (struct cursor *)base;
    (void)plan, (void)text;
    c->i = 0;
    c->b = argc == 1 ? sqlite3_value_pointer(argv[0], pointer_type) : NULL;
    return SQLITE_OK;
}

static int next_row(sqlite3_vtab_cursor *base) {
    ((struct cursor *)base)->i++;
    return SQLITE_OK;
}

static int at_end(sqlite3_vtab_cursor *base) {
    const struct cursor *c = (struct cursor *)base;
    return !c->b || c->i >= c->b->n;
}

static int give_column(sqlite3_vtab_cursor *base, sqlite3_context *out, int col) {
    const struct cursor *c = (struct cursor *)base;
    if (col < BULK_MAX_COLUMNS) c->b->column(out, c->b->rows, c->i, col);
    return SQLITE_OK;
}

static int give_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *id) {
    *id = ((struct cursor *)base)->i;
    return SQLITE_OK;
}

/* No xCreate: there is only the one table, of the module's name. */
static const sqlite3_module module = {
    .xConnect = connect_table, .xBestIndex = choose_plan, .xDisconnect = disconnect_table,
    .xOpen = open_cursor, .xClose = close_cursor, .xFilter = first_row, .xNext = next_row,
    .xEof = at_end, .xColumn = give_column, .xRowid = give_rowid};

int bulk_run(struct db *db, const char *doing, const char *sql, const struct bulk *rows,
             struct err *err) {
    struct stmt q;
    if (!db->has_bulk) {
        int rc = sqlite3_create_module(db->sq, "bulk", &module, NULL);
        if (rc != SQLITE_OK) return db_error(db, rc, doing, err);
        db->has_bulk = true;
    }
    stmt_begin(&q, db, doing, sql);
    if (q.rc == SQLITE_OK) q.rc = sqlite3_bind_pointer(q.s, 1, (void *)rows, pointer_type, NULL);
    return stmt_run(&q, err);
}

void bulk_text(sqlite3_context *out, const char *s) {
    if (s)
        sqlite3_result_text(out, s, -1, SQLITE_STATIC);
    else
        sqlite3_result_null(out);
}

void bulk_blob(sqlite3_context *out, const void *p, size_t n) {
    if (n)
        sqlite3_result_blob64(out, p, n, SQLITE_STATIC);
    else
        sqlite3_result_zeroblob(out, 0);
}

void bulk_hash(sqlite3_context *out, uint64_t hash) {
    char hex[17];
    hash_hex(hash, hex);
    sqlite3_result_text(out, hex, 16, SQLITE_TRANSIENT);
}
