/* db/schema_diff.c: see schema_diff.h. */
#include "db/schema_diff.h"

#include "db/schema.h"

/* A new database, in memory. */
static int make_model(sqlite3 **model, struct err *err) {
    if (sqlite3_open(":memory:", model) == SQLITE_OK &&
        sqlite3_exec(*model, db_schema_sql, NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_exec(*model, db_views_sql, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    return err_set(err, EX_SOFTWARE, "make the schema: %s", sqlite3_errmsg(*model));
}

/* -1 failed; else *found is the text, in the arena, or NULL. */
static int find(struct db *db, const char *name, struct arena *a, const char **found,
                struct err *err) {
    static const char sql[] = "SELECT sql FROM sqlite_schema WHERE name = ?";
    struct stmt q;
    stmt_begin(&q, db, "read the schema", sql);
    stmt_bind_text(&q, name);
    int more = stmt_next(&q, err);
    *found = more == 1 ? stmt_text(&q, a) : NULL;
    stmt_end(&q);
    return more < 0 ? -1 : 0;
}

int schema_compare(struct db *db, schema_visit visit, void *ctx, struct err *err) {
    static const char all[] = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL";
    sqlite3 *model = NULL;
    sqlite3_stmt *s = NULL;
    struct arena arena = {0};
    int rc = make_model(&model, err);
    if (rc == 0 && sqlite3_prepare_v2(model, all, -1, &s, NULL) != SQLITE_OK)
        rc = err_set(err, EX_SOFTWARE, "read the schema: %s", sqlite3_errmsg(model));
    while (rc == 0 && sqlite3_step(s) == SQLITE_ROW) {
        const char *found, *name = (const char *)sqlite3_column_text(s, 0);
        rc = find(db, name, &arena, &found, err);
        if (rc == 0) rc = visit(ctx, name, (const char *)sqlite3_column_text(s, 1), found, err);
    }
    sqlite3_finalize(s);
    sqlite3_close(model);
    arena_clear(&arena);
    return rc;
}
