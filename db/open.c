/* db/open.c: making, opening and closing a run's database, and its transactions.
 *
 * WAL, so that `hone show` reads while the run writes, and synchronous=FULL: a commit is
 * on the disk before the checkpoint that relies on it. That costs a sync a commit; NORMAL
 * would save it and could lose the last steps in a power cut while their checkpoint survives.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "db/db.h"
#include "db/later.h"
#include "db/problem_ids.h"
#include "db/schema.h"
#include "db/stmt.h"

enum { BUSY_MS = 10000 };

/* Of every handle: a cache that holds the largest step, so that nothing is spilt before the
 * commit, and a log of 64 MiB before it is moved into the file. */
static const char settings[] = "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;"
                               "PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 4096";

/* Of a new file. An episode takes some kilobytes: pages of 4 KiB would hold one each. */
static const char format[] = "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; BEGIN";

int db_exec(struct db *db, const char *doing, const char *sql, struct err *err) {
    if (db_wait(db, err) != 0) return -1;
    int rc = sqlite3_exec(db->sq, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : db_error(db, rc, doing, err);
}

static int connect_file(struct db **out, const char *path, const char *uri, int flags,
                        struct err *err) {
    struct db *db = mem_new(1, sizeof *db);
    db->path = mem_strdup(path);
    /* No count of memory, with its lock at every allocation; refused, and no matter, once SQLite
     * is in use. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    int rc = sqlite3_open_v2(uri, &db->sq, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
                             NULL);
    if (rc != SQLITE_OK) {
        db_error(db, rc, "open", err);
        db_close(db);
        return -1;
    }
    /* The file may come from elsewhere. Not TRUSTED_SCHEMA=0: SQLite 3.40 then refuses
     * json_valid in a CHECK. */
    sqlite3_db_config(db->sq, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    sqlite3_busy_timeout(db->sq, BUSY_MS);
    *out = db;
    return 0;
}

/* file: URIs, so that immutable=1 can be asked for; ? # % are escaped. */
static void make_uri(struct buf *out, const char *path, const char *query) {
    buf_puts(out, path[0] == '/' ? "file://" : "file:");
    for (const char *p = path; *p; p++)
        if (strchr("?#%", *p))
            buf_printf(out, "%%%02X", (unsigned)*p);
        else
            buf_push(out, p, 1);
    buf_puts(out, query);
}

static int pragma_int(struct db *db, const char *sql, int64_t *value, struct err *err) {
    struct stmt q;
    stmt_begin(&q, db, "open", sql);
    int more = stmt_next(&q, err);
    if (more == 1) *value = stmt_int(&q);
    stmt_end(&q);
    return more < 0 ? -1 : 0;
}

static int too_old(struct db *db, int64_t version, struct err *err) {
    if (version < DB_SCHEMA_OLDEST)
        return err_set(err, EX_DATAERR, "%s is not a hone database: its schema is %lld, known "
                       "are %d to %d", db->path, (long long)version, DB_SCHEMA_OLDEST,
                       DB_SCHEMA_VERSION);
    return err_set(err, EX_DATAERR,
                   "%s was written by an older hone: schema %lld, this one has %d; bring it up "
                   "with hone db upgrade",
                   db->path, (long long)version, DB_SCHEMA_VERSION);
}

/* The two numbers every SQLite file carries for this purpose. *found is the second. */
static int check_identity(struct db *db, int *found, struct err *err) {
    int64_t app = 0, version = 0;
    if (pragma_int(db, "PRAGMA application_id", &app, err) != 0 ||
        pragma_int(db, "PRAGMA user_version", &version, err) != 0) {
        if (err->code != EX_DATAERR) return -1;
        return err_set(err, EX_DATAERR, "%s is not a hone database: %s", db->path,
                       sqlite3_errmsg(db->sq));
    }
    if (app == DB_MERGED_APPLICATION_ID)
        return err_set(err, EX_DATAERR, "%s holds many runs, put together by hone db merge: it is "
                       "for sqlite3", db->path);
    if (app != DB_SCHEMA_APPLICATION_ID)
        return err_set(err, EX_DATAERR,
                       "%s is not a hone database: its application id is %lld", db->path,
                       (long long)app);
    if (version > DB_SCHEMA_VERSION)
        return err_set(err, EX_DATAERR,
                       "%s was written by a newer hone: schema %lld, this one knows %d",
                       db->path, (long long)version, DB_SCHEMA_VERSION);
    *found = (int)version;
    return version < DB_SCHEMA_VERSION ? too_old(db, version, err) : 0;
}

/* SQLite says "unable to open database file" of anything; the kernel knows better. */
static int check_file(const char *path, int flags, struct err *err) {
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) {
        int code =
            errno == EACCES || errno == EROFS || errno == EPERM ? EX_NOPERM : EX_NOINPUT;
        return err_errno(err, code, "open %s", path);
    }
    struct stat st;
    int bad = fstat(fd, &st) != 0 || !S_ISREG(st.st_mode);
    close(fd);
    return bad ? err_set(err, EX_DATAERR, "%s is not a hone database: not a file", path)
               : 0;
}

/* With `known`, older versions that can be brought up are opened too. */
static int open_as(struct db **out, const char *path, const char *query, int flags, int *known,
                   struct err *err) {
    struct buf uri = {0};
    struct db *db = NULL;
    int version = 0;
    make_uri(&uri, path, query);
    int rc = connect_file(&db, path, buf_text(&uri), flags, err);
    buf_clear(&uri);
    if (rc != 0) return -1;
    rc = check_identity(db, &version, err);
    if (rc != 0 && known && version >= DB_SCHEMA_OLDEST && version < DB_SCHEMA_VERSION) rc = 0;
    if (rc != 0 || db_exec(db, "open", settings, err) != 0) {
        db_close(db);
        return -1;
    }
    if (known) *known = version;
    *out = db;
    return 0;
}

int db_open_older(struct db **db, const char *path, int *version, struct err *err) {
    *db = NULL;
    if (check_file(path, O_RDWR, err) != 0) return -1;
    return open_as(db, path, "", SQLITE_OPEN_READWRITE, version, err);
}

int db_open(struct db **db, const char *path, struct err *err) {
    *db = NULL;
    if (check_file(path, O_RDWR, err) != 0) return -1;
    return open_as(db, path, "", SQLITE_OPEN_READWRITE, NULL, err);
}

/* A WAL database needs its -wal and -shm files even to read. Opened for writing (and then kept
 * from it), the last handle takes away what it made; one opened for reading would leave them
 * behind. A log that was there already, of a run that was killed, stays as it is. Where nothing
 * can be made (read-only medium) and no log holds newer pages, the file itself is all there is. */
int db_open_readonly(struct db **db, const char *path, struct err *err) {
    char wal[4096];
    struct stat st;
    *db = NULL;
    if (check_file(path, O_RDONLY, err) != 0) return -1;
    snprintf(wal, sizeof wal, "%s-wal", path);
    bool log = stat(wal, &st) == 0, full = log && st.st_size > 0;
    if (open_as(db, path, "", SQLITE_OPEN_READWRITE, NULL, err) == 0) {
        sqlite3_db_config((*db)->sq, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, log, (int *)NULL);
        if (db_exec(*db, "open", "PRAGMA query_only = ON", err) == 0) return 0;
        db_close(*db);
        *db = NULL;
        return -1;
    }
    if (err->code == EX_DATAERR || err->code == EX_TEMPFAIL) return -1;
    if (full) return open_as(db, path, "", SQLITE_OPEN_READONLY, NULL, err);
    return open_as(db, path, "?immutable=1", SQLITE_OPEN_READONLY, NULL, err);
}

int db_check_pages(struct db *db, struct err *err) {
    struct stmt q;
    struct arena a = {0};
    stmt_begin(&q, db, "check its pages", "PRAGMA quick_check(1)");
    int more = stmt_next(&q, err);
    if (more == 1) {
        const char *said = stmt_text(&q, &a);
        const char *last = said ? strrchr(said, '\n') : NULL;
        bool ok = said && strcmp(said, "ok") == 0;
        more = ok ? 0 : err_set(err, EX_DATAERR, "%s: damaged (%s); put back a copy of it to go on",
                                db->path, last ? last + 1 : said ? said : "no answer");
        stmt_end(&q);
    } else if (err->code == EX_DATAERR) { /* too damaged to be checked */
        err_set(err, EX_DATAERR, "%s: damaged (%s); put back a copy of it to go on", db->path,
                sqlite3_errmsg(db->sq));
    }
    arena_clear(&a);
    return more;
}

static void remove_all(const char *path) {
    static const char *const suffix[] = {"", "-wal", "-shm", "-journal"};
    char name[4096 + 64];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s%s", path, suffix[i]);
        unlink(name);
    }
}

static int build(const char *tmp, struct err *err) {
    struct db *db = NULL;
    struct buf uri = {0};
    make_uri(&uri, tmp, "");
    int rc = connect_file(&db, tmp, buf_text(&uri),
                          SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err);
    buf_clear(&uri);
    if (rc == 0) rc = db_exec(db, "create", format, err);
    if (rc == 0) rc = db_exec(db, "create", db_schema_sql, err);
    if (rc == 0) rc = db_exec(db, "create", db_views_sql, err);
    if (rc == 0) rc = db_exec(db, "create", "COMMIT", err);
    db_close(db);
    return rc;
}

int db_open_empty(struct db **out, struct err *err) {
    struct db *db = NULL;
    *out = NULL;
    if (connect_file(&db, ":memory:", ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY,
                     err) != 0)
        return -1;
    if (db_exec(db, "create", db_schema_sql, err) == 0 &&
        db_exec(db, "create", db_views_sql, err) == 0) {
        *out = db;
        return 0;
    }
    db_close(db);
    return -1;
}

static int sync_folder(const char *path, struct err *err) {
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int bad = fd < 0 || fsync(fd) != 0;
    if (bad) err_errno(err, EX_IOERR, "sync the folder of %s", path);
    if (fd >= 0) close(fd);
    return bad ? -1 : 0;
}

int db_create(struct db **db, const char *path, struct err *err) {
    *db = NULL;
    char tmp[4096];
    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp-%ld", path, (long)getpid()) >=
        sizeof tmp)
        return err_set(err, EX_CANTCREAT, "create %s: the name is too long", path);
    if (file_exists(path))
        return err_set(err, EX_CANTCREAT, "create %s: it exists already", path);
    int fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return err_errno(err, EX_CANTCREAT, "create %s", path);
    close(fd);
    if (build(tmp, err) != 0) {
        remove_all(tmp);
        return -1;
    }
    if (rename(tmp, path) != 0) {
        err_errno(err, EX_CANTCREAT, "create %s", path);
        remove_all(tmp);
        return -1;
    }
    if (sync_folder(path, err) != 0) return -1;
    return db_open(db, path, err);
}

void db_close(struct db *db) {
    if (!db) return;
    db_end_later(db);
    problem_ids_forget(db);
    for (int i = 0; i < db->n_cached; i++) sqlite3_finalize(db->cache[i].stmt);
    sqlite3_close(db->sq);
    mem_free(db->path);
    mem_free(db);
}

/* As db_exec, prepared once a handle. */
static int run_once(struct db *db, const char *doing, const char *sql, struct err *err) {
    struct stmt q;
    if (db_wait(db, err) != 0) return -1;
    stmt_begin(&q, db, doing, sql);
    return stmt_run(&q, err);
}

/* IMMEDIATE takes the write lock now, so that a second writer is seen before the work. */
int db_begin(struct db *db, struct err *err) {
    static const char sql[] = "BEGIN IMMEDIATE";
    return run_once(db, "begin a transaction", sql, err);
}

int db_commit(struct db *db, struct err *err) {
    static const char sql[] = "COMMIT";
    if (run_once(db, "commit", sql, err) == 0) return 0;
    db_rollback(db);
    return -1;
}

void db_rollback(struct db *db) {
    later_hold(db);
    problem_ids_forget(db); /* some of them may not be there any more */
    if (!sqlite3_get_autocommit(db->sq))
        sqlite3_exec(db->sq, "ROLLBACK", NULL, NULL, NULL);
}
