/* db/merge.c: many runs in one database, for queries over all of them. See maintain.h.
 *
 * Every table comes along with a column `run` before its own, so that a join says USING (run,
 * ...), and the ids are still those of the run's folder. The tables are made from the columns of
 * the schema, so that a later one needs nothing here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "db/maintain.h"
#include "db/schema.h"
#include "db/stmt.h"

static const char indexes[] =
    "CREATE INDEX groups_by_step ON groups (run, step);"
    "CREATE INDEX groups_by_problem ON groups (run, problem_id);"
    "CREATE INDEX episodes_by_group ON episodes (run, group_id, sample);"
    "CREATE VIEW v_curves AS SELECT s.run, r.name, s.step, t.name AS stage,"
    " sum(m.episodes) AS episodes, sum(m.reward_sum) / sum(m.rewarded) AS reward,"
    " sum(a.passed) * 1.0 / sum(a.scored) AS accuracy,"
    " sum(m.tokens) * 1.0 / sum(m.episodes) AS mean_length"
    " FROM steps s JOIN runs r USING (run) JOIN stages t USING (run, stage)"
    " JOIN groups g USING (run, step) JOIN group_sums m ON m.run = g.run AND m.group_id = g.id"
    " LEFT JOIN group_checkers a ON a.run = g.run AND a.group_id = g.id AND a.checker = 'answer'"
    " GROUP BY s.run, s.step;"
    "CREATE VIEW v_last_evals AS SELECT r.run, r.name, r.path, e.spec, e.mode, e.k, e.step,"
    " e.pass1, e.ci95, e.pass_at_k FROM runs r JOIN eval_runs e USING (run)"
    " WHERE e.step = (SELECT max(step) FROM eval_runs x WHERE x.run = r.run AND x.spec = e.spec"
    "                 AND x.mode = e.mode);";

struct merge {
    sqlite3 *out;
    const char *path;
    struct buf sql;
};

static int failed(const struct merge *m, const char *doing, struct err *err) {
    int code = sqlite3_errcode(m->out) == SQLITE_CONSTRAINT ? EX_DATAERR : EX_IOERR;
    return err_set(err, code, "%s: %s: %s", m->path, doing, sqlite3_errmsg(m->out));
}

static int exec(struct merge *m, const char *doing, const char *sql, struct err *err) {
    return sqlite3_exec(m->out, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(m, doing, err);
}

/* Appends the columns of a table of src to m->sql, after a comma each: with their types, or
 * only those of the primary key. */
static int add_columns(struct merge *m, const char *table, bool types, bool key, struct err *err) {
    static const char sql[] = "SELECT name, type FROM pragma_table_xinfo(?1, 'src')"
                              " WHERE ?2 = 0 OR pk > 0 ORDER BY iif(?2, pk, cid)";
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(m->out, sql, -1, &s, NULL) != SQLITE_OK)
        return failed(m, "read the schema", err);
    sqlite3_bind_text(s, 1, table, -1, SQLITE_STATIC);
    sqlite3_bind_int(s, 2, key);
    while (sqlite3_step(s) == SQLITE_ROW) {
        const char *type = (const char *)sqlite3_column_text(s, 1);
        buf_printf(&m->sql, ", \"%s\"%s%s", sqlite3_column_text(s, 0), types ? " " : "",
                   types ? (*type ? type : "INTEGER") : "");
    }
    return sqlite3_finalize(s) == SQLITE_OK ? 0 : failed(m, "read the schema", err);
}

static int make_table(struct merge *m, const char *table, struct err *err) {
    bool runs = strcmp(table, "runs") == 0;
    buf_reset(&m->sql);
    buf_printf(&m->sql, "CREATE TABLE \"%s\" (run INTEGER NOT NULL", table);
    if (runs) buf_puts(&m->sql, ", path TEXT NOT NULL");
    if (add_columns(m, table, true, false, err) != 0) return -1;
    buf_puts(&m->sql, ", PRIMARY KEY (run");
    if (!runs && add_columns(m, table, false, true, err) != 0) return -1;
    buf_puts(&m->sql, "))");
    return exec(m, "make a table", buf_text(&m->sql), err);
}

static int copy_table(struct merge *m, const char *table, int run, const char *path,
                      struct err *err) {
    bool runs = strcmp(table, "runs") == 0;
    sqlite3_stmt *s;
    buf_reset(&m->sql);
    buf_printf(&m->sql, "INSERT INTO main.\"%s\" SELECT ?1%s", table, runs ? ", ?2" : "");
    if (add_columns(m, table, false, false, err) != 0) return -1;
    buf_printf(&m->sql, " FROM src.\"%s\"", table);
    if (sqlite3_prepare_v2(m->out, buf_text(&m->sql), -1, &s, NULL) != SQLITE_OK)
        return failed(m, "copy a table", err);
    sqlite3_bind_int(s, 1, run);
    if (runs) sqlite3_bind_text(s, 2, path, -1, SQLITE_STATIC);
    sqlite3_step(s);
    return sqlite3_finalize(s) == SQLITE_OK ? 0 : failed(m, "copy a table", err);
}

/* Every table of src, made first where this is the first run. */
static int copy_tables(struct merge *m, int run, const char *path, struct err *err) {
    static const char sql[] = "SELECT name FROM src.sqlite_schema WHERE type = 'table'"
                              " AND name NOT LIKE 'sqlite_%' ORDER BY rowid";
    sqlite3_stmt *s;
    int rc = 0;
    if (sqlite3_prepare_v2(m->out, sql, -1, &s, NULL) != SQLITE_OK)
        return failed(m, "read the schema", err);
    while (rc == 0 && sqlite3_step(s) == SQLITE_ROW) {
        const char *table = (const char *)sqlite3_column_text(s, 0);
        if (run == 1) rc = make_table(m, table, err);
        if (rc == 0) rc = copy_table(m, table, run, path, err);
    }
    sqlite3_finalize(s);
    return rc;
}

/* The same run twice would count twice. */
static int check_twice(struct merge *m, const char *path, struct err *err) {
    static const char sql[] =
        "SELECT a.path FROM main.runs a JOIN src.runs b ON a.created_at = b.created_at"
        " AND a.seed = b.seed AND a.start_weights = b.start_weights";
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(m->out, sql, -1, &s, NULL) != SQLITE_OK)
        return failed(m, "compare runs", err);
    int rc = 0;
    if (sqlite3_step(s) == SQLITE_ROW)
        rc = err_set(err, EX_DATAERR, "%s is the run of %s once more", path,
                     (const char *)sqlite3_column_text(s, 0));
    sqlite3_finalize(s);
    return rc;
}

/* Opened by db_open_readonly first, which says what is wrong with a file that is no run's and
 * which holds on to its log. */
static int add_run(struct merge *m, int run, const char *path, struct err *err) {
    struct db *db;
    sqlite3_stmt *s;
    if (db_open_readonly(&db, path, err) != 0) return -1;
    int rc = sqlite3_prepare_v2(m->out, "ATTACH ? AS src", -1, &s, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_text(s, 1, sqlite3_db_filename(db->sq, "main"), -1, SQLITE_STATIC);
        sqlite3_step(s);
        rc = sqlite3_finalize(s);
    }
    if (rc != SQLITE_OK) {
        db_close(db);
        return failed(m, path, err);
    }
    rc = run > 1 ? check_twice(m, path, err) : 0;
    if (rc == 0) rc = exec(m, "begin", "BEGIN", err);
    if (rc == 0) rc = copy_tables(m, run, path, err);
    if (rc == 0) rc = exec(m, "commit", "COMMIT", err);
    if (rc == 0) rc = exec(m, "detach", "DETACH src", err);
    db_close(db);
    return rc;
}

int db_merge(const char *out, const char *const *path, int n, struct err *err) {
    struct merge m = {.path = out};
    char tmp[4096], identity[64];
    if (file_exists(out)) return err_set(err, EX_CANTCREAT, "create %s: it exists already", out);
    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp-%ld", out, (long)getpid()) >= sizeof tmp)
        return err_set(err, EX_CANTCREAT, "create %s: the name is too long", out);
    unlink(tmp);
    snprintf(identity, sizeof identity, "PRAGMA application_id = %d; PRAGMA user_version = %d",
             DB_MERGED_APPLICATION_ID, DB_SCHEMA_VERSION);
    int rc = sqlite3_open(tmp, &m.out) == SQLITE_OK ? 0 : failed(&m, "create", err);
    if (rc == 0) rc = exec(&m, "create", "PRAGMA page_size = 16384", err);
    for (int i = 0; rc == 0 && i < n; i++) rc = add_run(&m, i + 1, path[i], err);
    if (rc == 0) rc = exec(&m, "make the indexes", indexes, err);
    if (rc == 0) rc = exec(&m, "create", identity, err);
    sqlite3_close(m.out);
    buf_clear(&m.sql);
    if (rc == 0 && rename(tmp, out) != 0) rc = err_errno(err, EX_CANTCREAT, "create %s", out);
    if (rc != 0) unlink(tmp);
    return rc;
}
