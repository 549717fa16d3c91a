/* db/upgrade.c: an older database gets the tables and views of this version. See maintain.h.
 *
 * Versions after DB_SCHEMA_OLDEST only added tables, so bringing one up is: make those that
 * are missing, as schema.sql has them, and all views anew. What is compared in the end is the
 * text of every table with that of a new database.
 */
#include <stdio.h>
#include <string.h>

#include "db/maintain.h"
#include "db/schema.h"
#include "db/schema_diff.h"
#include "db/stmt.h"

static int drop_views(struct db *db, struct err *err) {
    static const char sql[] = "SELECT group_concat('DROP VIEW \"' || name || '\"', ';')"
                              " FROM sqlite_schema WHERE type = 'view'";
    struct arena arena = {0};
    struct stmt q;
    stmt_begin(&q, db, "look for views", sql);
    int more = stmt_next(&q, err);
    const char *drop = more == 1 ? stmt_text(&q, &arena) : NULL;
    stmt_end(&q);
    int rc = more < 0 ? -1 : drop ? db_exec(db, "drop the views", drop, err) : 0;
    arena_clear(&arena);
    return rc;
}

static int add_missing(void *ctx, const char *name, const char *sql, const char *found,
                       struct err *err) {
    struct db *db = ctx;
    (void)name;
    return found ? 0 : db_exec(db, "add a table", sql, err);
}

static int refuse(void *ctx, const char *name, const char *sql, const char *found,
                  struct err *err) {
    struct db *db = ctx;
    if (found && strcmp(sql, found) == 0) return 0;
    return err_set(err, EX_DATAERR, "%s cannot be brought up: its %s is none of hone's", db->path,
                   name);
}

static int bring_up(struct db *db, struct err *err) {
    char version[64];
    snprintf(version, sizeof version, "PRAGMA user_version = %d", DB_SCHEMA_VERSION);
    if (db_begin(db, err) != 0) return -1;
    if (drop_views(db, err) == 0 && schema_compare(db, add_missing, db, err) == 0 &&
        schema_compare(db, refuse, db, err) == 0 && db_exec(db, "upgrade", version, err) == 0)
        return db_commit(db, err);
    db_rollback(db);
    return -1;
}

int db_upgrade(const char *path, int *from, struct err *err) {
    struct db *db;
    if (db_open_older(&db, path, from, err) != 0) return -1;
    int rc = *from == DB_SCHEMA_VERSION ? 0 : bring_up(db, err);
    db_close(db);
    return rc;
}
