/* tests/test_db_later.c: jobs that a thread writes: which of them share a commit, when it comes,
 * and what is left of them when one fails or the process is killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "db/later.h"
#include "db/stmt.h"
#include "tests/db_fixture.h"

static char folder[64], path[128];
static struct err err;
static struct db *db;
static int commits;

static int count(void *n) {
    ++*(int *)n;
    return 0;
}

static int setup(void **state) {
    (void)state;
    fixture_folder(folder);
    snprintf(path, sizeof path, "%s/run.db", folder);
    memset(&err, 0, sizeof err);
    db = fixture_run(path, 1);
    commits = 0;
    sqlite3_commit_hook(db->sq, count, &commits);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    db_close(db);
    fixture_remove(folder);
    return 0;
}

static void ok(int rc) {
    if (rc != 0) fail_msg("%s", err.msg);
}

static void fails(int rc, const char *part) {
    assert_int_equal(rc, -1);
    if (!strstr(err.msg, part)) fail_msg("\"%s\" does not say \"%s\"", err.msg, part);
    assert_int_equal(err.code, EX_DATAERR);
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* Through a connection of its own: what is committed. */
static int ask(const char *sql) {
    sqlite3 *sq;
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_open_v2(path, &sq, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(sq, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int n = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(sq);
    return n;
}

static int committed(void) { return ask("SELECT count(*) FROM problems WHERE kind = 'job'"); }

/* A problem of that key. */
static int write_key(struct db *d, void *key, struct err *e) {
    const struct db_problem p = {.kind = "job", .key = key, .split = "train", .prompt = "",
                                 .gold = ""};
    return db_write_problem(d, &p, NULL, e);
}

static int write_wrong_stage(struct db *d, void *type, struct err *e) {
    const struct db_stage bad = {.stage = 9, .name = "x", .type = type};
    return db_write_stage(d, &bad, e);
}

static char keys[4 * DB_LATER_JOBS][8];

static void *key(int i) {
    snprintf(keys[i], sizeof keys[i], "%d", i);
    return keys[i];
}

/* ---- when ---- */

static void test_db_later_jobs_share_a_commit(void **state) {
    (void)state;
    double start = now_ms();
    for (int i = 0; i < 5; i++) ok(db_later(db, write_key, key(i), &err));
    int before = committed();
    bool in_time = now_ms() - start < DB_LATER_MS;
    ok(db_wait(db, &err));
    assert_int_equal(committed(), 5);
    if (!in_time) return; /* on a machine that stood still */
    assert_int_equal(before, 0);
    assert_int_equal(commits, 1);
}

static void test_db_later_commits_unasked(void **state) {
    (void)state;
    double start = now_ms();
    ok(db_later(db, write_key, key(0), &err));
    while (committed() == 0 && now_ms() - start < 30000) usleep(10000);
    assert_int_equal(committed(), 1);
    assert_true(now_ms() - start >= DB_LATER_MS);
    ok(db_wait(db, &err));
    assert_int_equal(commits, 1);
}

/* More than there is room for: none is lost, none is before another. */
static void test_db_later_keeps_the_order_of_many(void **state) {
    (void)state;
    int n = sizeof keys / sizeof *keys;
    for (int i = 0; i < n; i++) ok(db_later(db, write_key, key(i), &err));
    ok(db_wait(db, &err));
    assert_int_equal(committed(), n);
    assert_int_equal(ask("SELECT count(*) FROM problems a, problems b WHERE a.kind = 'job' AND"
                         " b.kind = 'job' AND b.id = a.id + 1 AND b.key <> a.key + 1"), 0);
    assert_in_range(commits, 4, 8);
}

static void test_db_later_any_other_use_waits(void **state) {
    (void)state;
    struct arena arena = {0};
    struct db_problem p;
    struct db_stage *stage;
    int n;
    ok(db_later(db, write_key, key(3), &err));
    ok(db_read_stages(db, &arena, &stage, &n, &err));
    assert_int_equal(commits, 1);
    ok(db_read_problem(db, ask("SELECT id FROM problems WHERE key = '3'"), &arena, &p, &err));
    assert_string_equal(p.kind, "job");
    ok(db_later(db, write_key, key(4), &err));
    ok(db_begin(db, &err));
    assert_int_equal(commits, 2);
    db_rollback(db);
    arena_clear(&arena);
}

/* ---- what is left ---- */

/* Nor is what memory knows of its rows. */
static void test_db_later_failure_leaves_nothing_of_its_transaction(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) ok(db_later(db, write_key, key(i), &err));
    ok(db_wait(db, &err));
    for (int i = 2; i < 4; i++) ok(db_later(db, write_key, key(i), &err));
    ok(db_later(db, write_wrong_stage, "ppo", &err));
    ok(db_later(db, write_key, key(4), &err));
    fails(db_wait(db, &err), "record a stage: CHECK constraint");
    assert_int_equal(committed(), 2);
    ok(db_wait(db, &err)); /* told once */
    ok(db_later(db, write_key, key(3), &err));
    ok(db_wait(db, &err));
    assert_int_equal(committed(), 3);
    assert_int_equal(commits, 2);
}

static void test_db_later_failure_is_told_to_whoever_writes_next(void **state) {
    (void)state;
    struct arena arena = {0};
    struct db_stage *stage;
    int n;
    ok(db_later(db, write_wrong_stage, "ppo", &err));
    ok(db_read_stages(db, &arena, &stage, &n, &err)); /* reading is not what failed */
    fails(db_begin(db, &err), "record a stage: ");
    ok(db_begin(db, &err));
    db_rollback(db);
    ok(db_later(db, write_wrong_stage, "ppo", &err));
    ok(db_read_stages(db, &arena, &stage, &n, &err));
    fails(db_later(db, write_key, key(0), &err), "record a stage: ");
    ok(db_wait(db, &err));
    assert_int_equal(committed(), 0);
    arena_clear(&arena);
}

static void test_db_later_close_writes_the_queue(void **state) {
    (void)state;
    ok(db_later(db, write_key, key(0), &err));
    ok(db_later(db, write_key, key(1), &err));
    db_close(db);
    assert_int_equal(committed(), 2);
    ok(db_open(&db, path, &err));
    ok(db_later(db, write_wrong_stage, "ppo", &err)); /* nor is it in the way when it fails */
}

static void test_db_later_kill_takes_a_whole_transaction(void **state) {
    (void)state;
    db_close(db);
    db = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        if (db_open(&db, path, &err) != 0) _exit(1);
        for (int i = 0; i < 6; i++)
            if (db_later(db, write_key, key(i), &err) != 0 || (i == 2 && db_wait(db, &err) != 0))
                _exit(1);
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    int n = committed();
    assert_true(n == 3 || n == 6); /* 6: the machine stood still */
    ok(db_open(&db, path, &err));
    ok(db_later(db, write_key, key(n), &err));
    ok(db_wait(db, &err));
    assert_int_equal(committed(), n + 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_db_later_jobs_share_a_commit),
        TEST(test_db_later_commits_unasked),
        TEST(test_db_later_keeps_the_order_of_many),
        TEST(test_db_later_any_other_use_waits),
        TEST(test_db_later_failure_leaves_nothing_of_its_transaction),
        TEST(test_db_later_failure_is_told_to_whoever_writes_next),
        TEST(test_db_later_close_writes_the_queue),
        TEST(test_db_later_kill_takes_a_whole_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
