/* tests/test_db.c: what goes into run.db comes out, and nothing else gets in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "db/db.h"
#include "db/schema.h"
#include "db/stmt.h"
#include "db/sums.h"
#include "tests/db_fixture.h"

static char folder[64], path[128];
static struct arena arena;
static struct err err;

static int setup(void **state) {
    (void)state;
    fixture_folder(folder);
    snprintf(path, sizeof path, "%s/run.db", folder);
    memset(&err, 0, sizeof err);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_clear(&arena);
    fixture_remove(folder);
    return 0;
}

static void ok(int rc) {
    if (rc != 0) fail_msg("%s", err.msg);
}

static void fails(int rc, int code, const char *part) {
    assert_int_equal(rc, -1);
    if (!strstr(err.msg, part)) fail_msg("\"%s\" does not say \"%s\"", err.msg, part);
    assert_int_equal(err.code, code);
}

/* One number out of the open database. */
static double ask(struct db *db, const char *sql) {
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(db->sq, sql, -1, &s, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db->sq));
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    double x =
        sqlite3_column_type(s, 0) == SQLITE_NULL ? NAN : sqlite3_column_double(s, 0);
    sqlite3_finalize(s);
    return x;
}

static void sound(struct db *db) {
    assert_true(ask(db, "SELECT integrity_check = 'ok' FROM pragma_integrity_check") ==
                1);
    assert_true(ask(db, "SELECT count(*) FROM pragma_foreign_key_check") == 0);
}

/* --- what goes in comes out -------------------------------------------------------- */

static void test_db_run_and_stages_come_back(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 3);
    struct db_run run;
    struct db_stage *stage;
    struct db_step *step, one;
    int n;
    db_close(db);
    ok(db_open_readonly(&db, path, &err));
    ok(db_read_run(db, &arena, &run, &err));
    assert_string_equal(run.name, "tiny");
    assert_string_equal(run.experiment, "{\"name\": \"tiny\"}");
    assert_true(run.seed == 0x8000000000000001u && run.start_weights == 0xaa);
    assert_int_equal(strlen(run.created_at), 24);
    ok(db_read_stages(db, &arena, &stage, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(stage[1].type, "grpo");
    assert_non_null(stage[0].finished_at);
    assert_null(stage[1].finished_at);
    ok(db_read_steps(db, 1, &arena, &step, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(step[0].state, "done");
    assert_true(step[0].weights_before == 0xbb && step[0].weights_after == 0xcc);
    assert_string_equal(step[1].state, "refused");
    assert_string_equal(step[1].refusal, "the gradient is not finite");
    fails(db_read_step(db, 4, &arena, &one, &err), EX_DATAERR, "has no step 4");
    sound(db);
    db_close(db);
}

static void test_db_blobs_come_back_bit_for_bit(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 2);
    /* NaN with a payload, denormal, -0, infinity: blobs do not care. */
    static const uint32_t bits[] = {0x7fc12345, 0x00000001, 0x80000000, 0xff800000};
    static const char text[] = "a\0b\xff\xc3";
    float logps[4];
    memcpy(logps, bits, sizeof bits);
    struct db_episode in = {.sample = 9,
                            .n_prompt = 1,
                            .n_completion = 4,
                            .ids = (const int32_t[]){INT32_MIN, -1, 0, 1, INT32_MAX},
                            .logps = logps,
                            .mask = (const uint8_t[]){1, 0, 255, 0},
                            .text = text,
                            .n_text = sizeof text - 1,
                            .finish_reason = "length",
                            .key_seed = UINT64_MAX,
                            .key_purpose = UINT32_MAX,
                            .key_step = 0xfffffffe,
                            .weights_hash = 0xfedcba9876543210u,
                            .reward = 0.1,
                            .advantage = (double)0.1f,
                            .gen_ms = NAN,
                            .score_ms = NAN},
                      out;
    struct db_group g = {.step = 2, .prompt_no = 9, .problem_id = 1, .n = 1, .episodes = &in,
                         .n_episodes = 1};
    ok(db_write_groups(db, &g, 1, &err));
    assert_true(in.group_id == g.id && g.id > 0);
    ok(db_read_episode(db, in.id, &arena, &out, &err));
    assert_memory_equal(out.ids, in.ids, 20);
    assert_memory_equal(out.logps, bits, 16);
    assert_memory_equal(out.mask, in.mask, 4);
    assert_int_equal(out.n_text, 5);
    assert_memory_equal(out.text, text, 5);
    assert_true(out.key_seed == UINT64_MAX && out.key_purpose == UINT32_MAX);
    assert_true(out.key_step == 0xfffffffe && out.weights_hash == 0xfedcba9876543210u);
    assert_true(out.reward == 0.1 && (float)out.advantage == 0.1f && isnan(out.gen_ms));
    in.sample = 10, in.n_prompt = in.n_completion = 0, in.n_text = 0;
    g.prompt_no = 10;
    ok(db_write_groups(db, &g, 1, &err));
    ok(db_read_episode(db, in.id, &arena, &out, &err));
    assert_int_equal(out.n_completion + (int)out.n_text, 0);
    db_close(db);
}

static void test_db_step_comes_back_in_order(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 3);
    struct db_group *g;
    struct db_episode *e;
    struct db_verdict *v;
    struct db_trace *t;
    struct db_metric *m;
    int n;
    ok(db_read_groups(db, 2, &arena, &g, &n, &err));
    assert_int_equal(n, 2);
    assert_int_equal(g[1].prompt_no, 1);
    ok(db_read_episodes(db, g[1].id, &arena, &e, &n, &err));
    assert_int_equal(n, 2);
    assert_int_equal(e[1].ids[0], 99);
    assert_true(isnan(e[1].advantage) && e[0].advantage == 0);
    ok(db_read_verdicts(db, e[1].id, &arena, &v, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(v[0].status, "timeout");
    assert_string_equal(v[0].parts, "{\"value\": 0.5}");
    assert_string_equal(v[1].parts, "{}");
    assert_true(v[0].deterministic && !v[1].deterministic);
    assert_true(isnan(v[0].score)); /* a failure is not a 0, though 0 was given */
    assert_string_equal(v[1].checker, "format");
    ok(db_read_traces(db, 1, &arena, &t, &n, &err));
    assert_int_equal(n, 2);
    assert_int_equal(t[0].n_ids, 6);
    assert_int_equal(t[0].ids[5], INT32_MAX);
    assert_int_equal(t[1].n_ids, 5);
    ok(db_read_metrics(db, 2, &arena, &m, &n, &err));
    assert_int_equal(n, 4);
    assert_string_equal(m[0].name, "entropy");
    assert_true(isnan(m[1].value)); /* grad_norm */
    db_close(db);
}

static void test_db_problem_is_stored_once(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 3);
    assert_true(ask(db, "SELECT count(*) FROM problems") == 2);
    db_close(db);
}

static int64_t problem_id(struct db *db, const struct db_problem *p) {
    int64_t id = 0;
    ok(db_write_problem(db, p, &id, &err));
    return id;
}

/* What the handle remembers is what the table has: of one that was opened, and after a rollback. */
static void test_db_problem_keeps_its_id(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 3);
    struct db_problem p = {.kind = "k", .key = "a", .split = "train", .prompt = "b", .gold = "c"};
    int64_t id = problem_id(db, &p);
    assert_int_equal(problem_id(db, &p), id);
    p.columns = "{}";
    assert_int_equal(problem_id(db, &p), id);
    p.columns = "{\"x\": 1}";
    assert_int_equal(problem_id(db, &p), id + 1);
    p.columns = NULL, p.key = "ab", p.split = "", p.prompt = "trainb"; /* moved, not the same */
    assert_int_equal(problem_id(db, &p), id + 2);
    db_close(db);
    ok(db_open(&db, path, &err));
    assert_int_equal(problem_id(db, &p), id + 2);
    ok(db_begin(db, &err));
    p.gold = "d";
    assert_int_equal(problem_id(db, &p), id + 3);
    db_rollback(db);
    assert_int_equal(ask(db, "SELECT count(*) FROM problems WHERE gold = 'd'"), 0);
    assert_int_equal(problem_id(db, &p), id + 3);
    assert_int_equal(ask(db, "SELECT count(*) FROM problems WHERE gold = 'd'"), 1);
    for (int i = 0; i < 3000; i++) { /* the table in memory grows twice */
        char key[16];
        snprintf(key, sizeof key, "%d", i % 1500);
        p.key = key;
        assert_int_equal(problem_id(db, &p), id + 4 + i % 1500);
    }
    db_close(db);
}

static void test_db_eval_again_replaces(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 0);
    struct db_eval *rows, e;
    struct db_eval_episode *x;
    int n;
    ok(db_read_evals(db, &arena, &rows, &n, &err));
    assert_int_equal(n, 1);
    ok(db_read_eval_episodes(db, rows[0].id, &arena, &x, &n, &err));
    assert_int_equal(n, 2);
    e = rows[0];
    e.pass1 = 0.75;
    ok(db_write_eval(db, &e, NULL, &err));
    ok(db_read_evals(db, &arena, &rows, &n, &err));
    assert_int_equal(n, 1);
    assert_true(rows[0].pass1 == 0.75 && isnan(rows[0].pass_at_k));
    assert_true(ask(db, "SELECT count(*) FROM eval_episodes") == 0);
    db_close(db);
}

/* --- what must not get in ---------------------------------------------------------- */

static void test_db_constraints_reject_bad_rows(void **state) {
    (void)state;
    static const char *const bad[] = {
        "UPDATE episodes SET ids = x'00'",
        "UPDATE episodes SET logps = zeroblob(4 * n_completion + 4)",
        "UPDATE episodes SET mask = x''",
        "UPDATE episodes SET n_completion = n_completion + 1",
        "UPDATE episodes SET finish_reason = 'tired'",
        "UPDATE episodes SET weights_hash = '0123'",
        "UPDATE steps SET weights_before = 'ABCDEF0123456789'",
        "UPDATE episodes SET text = 7.5, ids = 'text'",
        "UPDATE episodes SET group_id = 99",
        "UPDATE verdicts SET status = 'wrong'",
        "UPDATE verdicts SET score = 2",
        "UPDATE verdicts SET parts = '[]'",
        "UPDATE verdicts SET score = 0 WHERE status = 'timeout'",
        "UPDATE verdicts SET score = NULL WHERE status = 'ok'",
        "UPDATE steps SET state = 'sampled'",
        "UPDATE steps SET refusal = 'no' WHERE state = 'done'",
        "UPDATE stages SET type = 'ppo'",
        "UPDATE traces SET ids = x'000000'",
        "UPDATE traces SET n_prompt = 7",
        "UPDATE runs SET experiment = '{'",
        "UPDATE eval_runs SET pass1 = 1.5",
        "INSERT INTO metrics VALUES (99, 'loss', 1)",
        "UPDATE runs SET id = 2",
        "DELETE FROM problems",
    };
    struct db *db = fixture_run(path, 3);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (sqlite3_exec(db->sq, bad[i], NULL, NULL, NULL) != SQLITE_CONSTRAINT)
            fail_msg("not rejected: %s", bad[i]);
    struct db_verdict v = {.checker = "x",
                           .version = "1",
                           .status = "fine",
                           .weight = 1,
                           .ms = 0};
    struct db_episode e = {.finish_reason = "eos", .text = "", .reward = 1, .advantage = NAN,
                           .verdicts = &v, .n_verdicts = 1};
    struct db_group g = {.step = 2, .prompt_no = 9, .problem_id = 1, .n = 1, .episodes = &e,
                         .n_episodes = 1};
    ok(db_begin(db, &err));
    fails(db_write_groups(db, &g, 1, &err), EX_DATAERR, "record a verdict: CHECK constraint");
    db_rollback(db);
    v.status = NULL;
    ok(db_begin(db, &err));
    fails(db_write_groups(db, &g, 1, &err), EX_DATAERR, "NOT NULL constraint failed");
    db_rollback(db);
    sound(db);
    db_close(db);
}

static void test_db_steps_are_a_chain(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 2);
    struct db_step s = {.step = 4, .stage = 2, .stage_step = 2, .weights_before = 0xcc};
    fails(db_write_step(db, &s, &err), EX_DATAERR, "numbered 1, 2, 3");
    s.step = 3, s.weights_before = 0xcd;
    fails(db_write_step(db, &s, &err), EX_DATAERR, "weights the last one left");
    s.weights_before = 0xcc;
    ok(db_write_step(db, &s, &err));
    s.step = 4, s.stage_step = 3;
    fails(db_write_step(db, &s, &err), EX_DATAERR, "weights the last one left");
    s.step = 2, s.weights_after = 1, s.wall_s = 0;
    fails(db_finish_step(db, &s, NULL, 0, NULL, 0, &err), EX_DATAERR, "step 2 is not waiting");
    db_close(db);
}

static void test_db_finish_step_is_all_or_nothing(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 1);
    const struct db_metric twice[] = {{"kl", 1}, {"kl", 2}};
    struct db_step s = {.step = 2, .weights_after = 0xcc, .wall_s = 1};
    fixture_sample(db, 2);
    ok(db_commit(db, &err));
    fails(db_finish_step(db, &s, twice, 2, NULL, 0, &err), EX_DATAERR, "UNIQUE constraint failed");
    assert_true(ask(db, "SELECT count(*) FROM metrics WHERE step = 2") == 0);
    assert_true(ask(db, "SELECT state = 'sampled' FROM steps WHERE step = 2") == 1);
    fixture_finish(db, 2);
    db_close(db);
}

/* --- faults ------------------------------------------------------------------------ */

static void test_db_rollback_leaves_nothing(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 1);
    fixture_sample(db, 2);
    db_rollback(db);
    db_rollback(db);
    assert_true(ask(db, "SELECT count(*) FROM episodes") == 0);
    assert_true(ask(db, "SELECT count(*) FROM verdicts") == 0);
    assert_true(ask(db, "SELECT max(step) FROM steps") == 1);
    fixture_sample(db, 2);
    ok(db_commit(db, &err));
    sound(db);
    db_close(db);
}

static void test_db_failed_commit_ends_the_transaction(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 2);
    ok(db_begin(db, &err));
    assert_int_equal(sqlite3_exec(db->sq,
                                  "PRAGMA defer_foreign_keys = ON;"
                                  "UPDATE episodes SET group_id = 99 WHERE id = 1",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    fails(db_commit(db, &err), EX_DATAERR, "commit: FOREIGN KEY constraint failed");
    assert_true(ask(db, "SELECT group_id FROM episodes WHERE id = 1") == 1);
    ok(db_begin(db, &err));
    db_rollback(db);
    db_close(db);
}

static void reopened_has(int steps, int episodes, const char *state) {
    struct db *db;
    char sql[128];
    ok(db_open(&db, path, &err));
    sound(db);
    assert_true(ask(db, "SELECT max(step) FROM steps") == steps);
    assert_true(ask(db, "SELECT count(*) FROM episodes") == episodes);
    snprintf(sql, sizeof sql, "SELECT state = '%s' FROM steps WHERE step = %d", state,
             steps);
    assert_true(ask(db, sql) == 1);
    db_close(db);
}

static void test_db_kill_keeps_what_was_committed(void **state) {
    (void)state;
    for (int when = 0; when < 3; when++) {
        fixture_remove(folder);
        assert_int_equal(mkdir(folder, 0700), 0);
        pid_t child = fork();
        if (child == 0) {
            struct db *db = fixture_run(path, 2);
            fixture_sample(db, 3);
            if (when >= 1 && db_commit(db, &err) != 0) _exit(1);
            if (when == 2) fixture_finish(db, 3);
            raise(SIGKILL);
        }
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        if (when == 0) reopened_has(2, 4, "done");
        if (when == 1) reopened_has(3, 6, "sampled");
        if (when == 2) reopened_has(3, 6, "refused");
    }
}

/* A file that may not grow is a full disk. */
static int fill_up(void) {
    struct db *db = fixture_run(path, 1);
    struct rlimit limit = {.rlim_cur = 200 * 1024, .rlim_max = RLIM_INFINITY};
    static char text[64 * 1024];
    int64_t problem;
    int rc = 0;
    memset(text, 'x', sizeof text - 1);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    fixture_sample(db, 2);
    for (int i = 0; i < 20 && rc == 0; i++) {
        text[0] = (char)('a' + i);
        struct db_problem p = {
            .kind = "k", .key = "k", .split = "train", .prompt = text, .gold = ""};
        rc = db_write_problem(db, &p, &problem, &err);
    }
    if (rc == 0) rc = db_commit(db, &err);
    if (rc == 0 || err.code != EX_IOERR || !strstr(err.msg, path)) return 1;
    db_rollback(db);
    if (ask(db, "SELECT count(*) FROM episodes") != 0) return 2;
    return 0;
}

static void test_db_full_disk_is_an_error_and_loses_nothing(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0) _exit(fill_up());
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    reopened_has(1, 0, "done");
}

static void test_db_reader_sees_commits_while_a_writer_works(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 1), *reader;
    fixture_sample(db, 2);
    ok(db_open_readonly(&reader, path, &err));
    assert_true(ask(reader, "SELECT max(step) FROM steps") == 1);
    ok(db_commit(db, &err));
    assert_true(ask(reader, "SELECT max(step) FROM steps") == 2);
    struct db_stage s = {3, "x", "sft", 1, NULL, NULL};
    fails(db_write_stage(reader, &s, &err), EX_NOPERM, "readonly");
    db_close(reader);
    db_close(db);
}

static void test_db_locked_database_is_a_temporary_failure(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 1), *other;
    ok(db_open(&other, path, &err));
    sqlite3_busy_timeout(other->sq, 1);
    ok(db_begin(db, &err));
    fails(db_begin(other, &err), EX_TEMPFAIL, "database is locked");
    db_rollback(db);
    ok(db_begin(other, &err));
    db_close(other);
    db_close(db);
}

static void test_db_damaged_blob_is_found_by_the_reader(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 2);
    struct db_episode e;
    int rc = sqlite3_exec(db->sq,
                          "PRAGMA ignore_check_constraints = 1;"
                          "UPDATE episodes SET logps = x'00' WHERE id = 1",
                          NULL, NULL, NULL);
    assert_int_equal(rc, SQLITE_OK);
    fails(db_read_episode(db, 1, &arena, &e, &err), EX_DATAERR, "episode 1 is damaged");
    db_close(db);
}

/* --- opening ----------------------------------------------------------------------- */

static void opens_fail(int code, const char *part) {
    struct db *db = (void *)1;
    fails(db_open(&db, path, &err), code, part);
    assert_null(db);
    assert_non_null(strstr(err.msg, path));
    fails(db_open_readonly(&db, path, &err), code, part);
    assert_null(db);
}

static void sqlite_file(const char *sql) {
    sqlite3 *sq;
    assert_int_equal(sqlite3_open(path, &sq), SQLITE_OK);
    assert_int_equal(sqlite3_exec(sq, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(sq);
}

static void test_db_open_refuses_what_is_no_hone_database(void **state) {
    (void)state;
    static char noise[20000];
    opens_fail(EX_NOINPUT, "No such file or directory");
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)(i * i * 31 >> 3);
    ok(file_save(path, noise, sizeof noise, &err));
    opens_fail(EX_DATAERR, "is not a hone database: file is not a database");
    ok(file_save(path, "", 0, &err));
    opens_fail(EX_DATAERR, "is not a hone database: its application id is 0");
    unlink(path);
    sqlite_file("CREATE TABLE t (a); PRAGMA application_id = 7");
    opens_fail(EX_DATAERR, "its application id is 7");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    struct db *db;
    fails(db_open_readonly(&db, path, &err), EX_DATAERR, "not a file");
    rmdir(path);
}

/* What groups.c adds up is what SQL adds up: no reward, one, some; checkers that come and go. */
static void test_db_sums_of_groups_are_those_of_their_episodes(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 3);
    int64_t wrong = -1;
    ok(sums_count_wrong(db, &wrong, &err));
    assert_int_equal(wrong, 0);
    static const double reward[3][3] = {{NAN, NAN, NAN}, {NAN, -0.25, NAN}, {0.1, 0.7, NAN}};
    static const char *const status[] = {"ok", "unparsable", "timeout", "not_scorable"};
    struct db_verdict v[3][3][2];
    struct db_episode e[3][3];
    struct db_group g[3];
    for (int p = 0; p < 3; p++) {
        for (int k = 0; k < 3; k++) {
            for (int c = 0; c < 2; c++)
                v[p][k][c] = (struct db_verdict){.checker = c == k % 2 ? "a" : "b", .version = "1",
                                                 .weight = 1, .status = status[(p + k + c) % 4],
                                                 .score = k ? 1 : 0.3, .ms = 0.1 * k};
            e[p][k] = (struct db_episode){.sample = k, .finish_reason = k ? "eos" : "length",
                                          .text = "", .reward = reward[p][k], .advantage = NAN,
                                          .verdicts = v[p][k], .n_verdicts = 2 - (k == 1)};
        }
        g[p] = (struct db_group){.step = 3, .prompt_no = 7 + p, .problem_id = 1, .n = 3,
                                 .episodes = e[p], .n_episodes = 3};
    }
    ok(db_begin(db, &err));
    ok(db_write_groups(db, g, 3, &err));
    ok(db_commit(db, &err));
    assert_int_equal(e[2][2].id, e[0][0].id + 8);
    ok(sums_count_wrong(db, &wrong, &err));
    assert_int_equal(wrong, 0);
    ok(db_begin(db, &err));
    assert_int_equal(sqlite3_exec(db->sq, "UPDATE verdicts SET score = 0.5 WHERE score = 1",
                                  NULL, NULL, NULL), SQLITE_OK);
    ok(sums_count_wrong(db, &wrong, &err));
    assert_true(wrong > 0);
    ok(sums_rebuild(db, &err));
    ok(sums_count_wrong(db, &wrong, &err));
    assert_int_equal(wrong, 0);
    db_rollback(db);
    db_close(db);
}

static void test_db_open_refuses_a_newer_schema(void **state) {
    (void)state;
    db_close(fixture_run(path, 1));
    sqlite_file("PRAGMA user_version = 1000");
    opens_fail(EX_DATAERR, "written by a newer hone: schema 1000, this one knows ");
}

static void test_db_open_with_tables_missing_says_so(void **state) {
    (void)state;
    struct db *db;
    struct db_run run;
    char sql[128];
    snprintf(sql, sizeof sql, "CREATE TABLE t (a); PRAGMA application_id = 0x686f6e65;"
             "PRAGMA user_version = %d", DB_SCHEMA_VERSION);
    sqlite_file(sql);
    ok(db_open(&db, path, &err));
    fails(db_read_run(db, &arena, &run, &err), EX_DATAERR, "no such table: runs");
    db_close(db);
}

static void test_db_create_reports_where_it_cannot(void **state) {
    (void)state;
    struct db *db = (void *)1;
    db_close(fixture_run(path, 1));
    fails(db_create(&db, path, &err), EX_CANTCREAT, "exists already");
    fails(db_create(&db, "/proc/run.db", &err), EX_CANTCREAT, "create /proc/run.db");
    fails(db_create(&db, "/nowhere/run.db", &err), EX_CANTCREAT, "No such file");
    assert_null(db);
}

static void test_db_odd_names_and_read_only_copies_open(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 3);
    char odd[256], wal[300];
    db_close(db);
    snprintf(odd, sizeof odd, "%s/a?b#c%%20 d.db", folder);
    assert_int_equal(rename(path, odd), 0);
    ok(db_open_readonly(&db, odd, &err));
    assert_true(ask(db, "SELECT max(step) FROM steps") == 3);
    db_close(db);
    /* A folder in which no -shm can be made: its name leads nowhere. */
    snprintf(wal, sizeof wal, "%s-wal", odd);
    unlink(wal);
    snprintf(wal, sizeof wal, "%s-shm", odd);
    unlink(wal);
    assert_int_equal(symlink(wal, wal), 0);
    ok(db_open_readonly(&db, odd, &err));
    assert_true(ask(db, "SELECT max(step) FROM steps") == 3);
    db_close(db);
    fails(db_open(&db, odd, &err), EX_IOERR, "unable to open database file");
}

static void test_db_commits_are_synced(void **state) {
    (void)state;
    struct db *db = fixture_run(path, 1);
    assert_true(ask(db, "PRAGMA synchronous") == 2);
    assert_true(ask(db, "SELECT journal_mode = 'wal' FROM pragma_journal_mode") == 1);
    assert_true(ask(db, "PRAGMA foreign_keys") == 1);
    db_close(db);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_db_run_and_stages_come_back),
        TEST(test_db_blobs_come_back_bit_for_bit),
        TEST(test_db_step_comes_back_in_order),
        TEST(test_db_problem_is_stored_once),
        TEST(test_db_problem_keeps_its_id),
        TEST(test_db_eval_again_replaces),
        TEST(test_db_constraints_reject_bad_rows),
        TEST(test_db_steps_are_a_chain),
        TEST(test_db_finish_step_is_all_or_nothing),
        TEST(test_db_rollback_leaves_nothing),
        TEST(test_db_failed_commit_ends_the_transaction),
        TEST(test_db_kill_keeps_what_was_committed),
        TEST(test_db_full_disk_is_an_error_and_loses_nothing),
        TEST(test_db_reader_sees_commits_while_a_writer_works),
        TEST(test_db_locked_database_is_a_temporary_failure),
        TEST(test_db_damaged_blob_is_found_by_the_reader),
        TEST(test_db_open_refuses_what_is_no_hone_database),
        TEST(test_db_sums_of_groups_are_those_of_their_episodes),
        TEST(test_db_open_refuses_a_newer_schema),
        TEST(test_db_open_with_tables_missing_says_so),
        TEST(test_db_create_reports_where_it_cannot),
        TEST(test_db_odd_names_and_read_only_copies_open),
        TEST(test_db_commits_are_synced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
