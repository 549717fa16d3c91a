/* db/upgrade.c: an older database gets the tables and views of this version. See maintain.h.
 *
 * Version 4 added tables to version 3; version 5 dropped an index and asks less of two columns.
 * So bringing one up is: make the tables that are missing, as schema.sql has them, and all views
 * anew; drop the index; change the text of the two tables, whose rows stay as they are. What is
 * compared in the end is the text of every table with that of a new database.
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

/* What version 5 no longer asks, in words of schema.sql. A rule that only got weaker needs no
 * table to be copied: SQLite's manual (ALTER TABLE, "other kinds of table schema changes") has
 * the text changed in its place. */
static int weaken(struct db *db, const char *table, const char *rule, const char *weaker,
                  struct err *err) {
    static const char sql[] = "UPDATE sqlite_schema SET sql = replace(sql, ?, ?)"
                              " WHERE type = 'table' AND name = ?";
    struct stmt q;
    stmt_begin(&q, db, "change a table", sql);
    stmt_bind_text(&q, rule);
    stmt_bind_text(&q, weaker);
    stmt_bind_text(&q, table);
    return stmt_run(&q, err);
}

static int next_cookie(struct db *db, struct err *err) {
    struct stmt q;
    char sql[64];
    stmt_begin(&q, db, "upgrade", "PRAGMA schema_version");
    if (stmt_next(&q, err) != 1) return -1;
    snprintf(sql, sizeof sql, "PRAGMA schema_version = %lld", (long long)stmt_int(&q) + 1);
    stmt_end(&q);
    return db_exec(db, "upgrade", sql, err);
}

static int change_rules(struct db *db, struct err *err) {
    sqlite3_db_config(db->sq, SQLITE_DBCONFIG_DEFENSIVE, 0, (int *)NULL);
    sqlite3_db_config(db->sq, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1, (int *)NULL);
    int rc = weaken(db, "episodes",
                    "TEXT NOT NULL\n                CHECK (length(weights_hash) = 16 AND"
                    " weights_hash NOT GLOB '*[^0-9a-f]*')",
                    "TEXT NOT NULL CHECK (length(weights_hash) = 16)", err);
    if (rc == 0)
        rc = weaken(db, "verdicts", "CHECK (json_type(parts) = 'object')",
                    "CHECK (parts = '{}' OR json_type(parts) = 'object')", err);
    if (rc == 0) rc = next_cookie(db, err);
    sqlite3_db_config(db->sq, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0, (int *)NULL);
    sqlite3_db_config(db->sq, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    return rc;
}

static int bring_up(struct db *db, struct err *err) {
    char version[64];
    snprintf(version, sizeof version, "PRAGMA user_version = %d", DB_SCHEMA_VERSION);
    if (db_begin(db, err) != 0) return -1;
    if (drop_views(db, err) == 0 && schema_compare(db, add_missing, db, err) == 0 &&
        db_exec(db, "drop an index", "DROP INDEX IF EXISTS problems_by_key", err) == 0 &&
        change_rules(db, err) == 0 && schema_compare(db, refuse, db, err) == 0 &&
        db_exec(db, "upgrade", version, err) == 0)
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
