/* tests/test_db_show.c: the views, the queries of docs/database.md, and hone show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <cjson/cJSON.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/cmd.h"
#include "db/db.h"
#include "db/stmt.h"
#include "tests/db_fixture.h"

static char folder[64], path[128];
static struct arena arena;
static struct err err;
static struct db *db;

static int setup(void **state) {
    (void)state;
    fixture_folder(folder);
    snprintf(path, sizeof path, "%s/run.db", folder);
    db = fixture_run(path, 3);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    db_close(db);
    arena_clear(&arena);
    fixture_remove(folder);
    return 0;
}

/* One number out of the open database; NAN for NULL. */
static double ask(const char *sql) {
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(db->sq, sql, -1, &s, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db->sq));
    if (sqlite3_step(s) != SQLITE_ROW) fail_msg("%s: no row", sql);
    double x =
        sqlite3_column_type(s, 0) == SQLITE_NULL ? NAN : sqlite3_column_double(s, 0);
    sqlite3_finalize(s);
    return x;
}

static void near(double x, double y) {
    if (!(fabs(x - y) < 1e-12)) fail_msg("%.17g is not %.17g", x, y);
}

/* --- views ------------------------------------------------------------------------- */

static void test_db_curve_is_what_the_hand_computes(void **state) {
    (void)state;
    struct db_curve *c;
    int n;
    assert_int_equal(db_read_curve(db, &arena, &c, &n, &err), 0);
    assert_int_equal(n, 3);
    assert_string_equal(c[0].type, "sft");
    assert_true(c[0].episodes == 0 && isnan(c[0].reward) && isnan(c[0].accuracy));
    near(c[0].loss, 2.5);
    assert_int_equal(c[1].episodes, 4);
    near(c[1].reward, (1 + 0 + 0.1 + 0.1) / 4);
    near(c[1].accuracy, 1.0 / 3); /* the timeout counts in neither part */
    near(c[1].mean_length, (3 + 5 + 2 + 2) / 4.0);
    near(c[1].truncated, 0.25);
    near(c[1].zero_std, 0.5);
    near(c[1].kl, 0.01);
    near(c[1].entropy, 1.5);
    assert_true(isnan(c[1].grad_norm));
    assert_string_equal(c[2].state, "refused");
    near(c[2].accuracy, 1);
    near(c[2].zero_std, 1);
}

/* A view made anew for every step took a minute on 300 steps, 0.2 s without. */
static void test_db_curve_never_scans_inside_its_loop(void **state) {
    (void)state;
    sqlite3_stmt *s = NULL;
    int scans = 0;
    sqlite3_prepare_v2(db->sq, "EXPLAIN QUERY PLAN SELECT * FROM v_accuracy_by_step", -1,
                       &s, NULL);
    while (sqlite3_step(s) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(s, 3);
        bool own = strstr(detail, "subquery") || strstr(detail, "v_accuracy_by_step");
        scans += strncmp(detail, "SCAN ", 5) == 0 && !own;
    }
    sqlite3_finalize(s);
    assert_int_equal(scans, 1); /* over the steps */
}

static void test_db_groups_view_has_the_sample_deviation(void **state) {
    (void)state;
    near(ask("SELECT reward_std FROM v_groups WHERE group_id = 1"), sqrt(0.5));
    near(ask("SELECT reward_mean FROM v_groups WHERE group_id = 1"), 0.5);
    near(ask("SELECT passed FROM v_groups WHERE group_id = 1"), 1);
    near(ask("SELECT zero_std FROM v_groups WHERE group_id = 1"), 0);
    near(ask("SELECT reward_std FROM v_groups WHERE group_id = 2"), 0);
    near(ask("SELECT zero_std FROM v_groups WHERE group_id = 2"), 1);
    near(ask("SELECT truncated FROM v_groups WHERE group_id = 1"), 1);
}

static void test_db_hardest_problems_come_first(void **state) {
    (void)state;
    near(ask("SELECT problem_id FROM v_hardest_problems"), 1);
    near(ask("SELECT pass_rate FROM v_hardest_problems WHERE problem_id = 1"), 0.5);
    near(ask("SELECT visits FROM v_hardest_problems WHERE problem_id = 2"), 2);
    near(ask("SELECT scored FROM v_hardest_problems WHERE problem_id = 2"), 3);
    near(ask("SELECT pass_rate FROM v_hardest_problems WHERE problem_id = 2"), 2.0 / 3);
}

static void test_db_failures_view_counts_failures_only(void **state) {
    (void)state;
    struct db_failure *f;
    int n;
    assert_int_equal(db_read_failures(db, &arena, &f, &n, &err), 0);
    assert_int_equal(n, 1);
    assert_string_equal(f[0].checker, "answer");
    assert_string_equal(f[0].status, "timeout");
    assert_true(f[0].n == 1 && f[0].an_episode == 4 && f[0].first_step == 2);
    near(f[0].rate, 1.0 / 6);
    near(ask("SELECT unparsable FROM v_checkers_by_step WHERE checker = 'answer'"), 1);
    near(ask("SELECT mean_score FROM v_checkers_by_step WHERE checker = 'format'"), 1);
}

static void test_db_episode_view_folds_the_verdicts(void **state) {
    (void)state;
    near(ask("SELECT json_extract(verdicts, '$.answer.score') FROM v_episode WHERE id = "
             "1"),
         1);
    assert_true(isnan(ask("SELECT json_extract(verdicts, '$.answer.score') FROM v_episode"
                          " WHERE id = 4")));
    near(ask("SELECT verdicts ->> '$.format.weight' FROM v_episode WHERE id = 4"), 0.1);
    near(ask("SELECT count(*) FROM v_episode WHERE stage = 'grpo' AND step = 2"), 4);
}

/* --- docs/database.md -------------------------------------------------------------- */

static int rows_of(const char *sql) {
    sqlite3_stmt *s = NULL;
    const char *rest = sql;
    int n = 0, rc = sqlite3_prepare_v2(db->sq, sql, -1, &s, &rest);
    if (rc != SQLITE_OK) fail_msg("%s: %s", sql, sqlite3_errmsg(db->sq));
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) n++;
    if (rc != SQLITE_DONE) fail_msg("%s: %s", sql, sqlite3_errmsg(db->sq));
    assert_true(sqlite3_stmt_readonly(s));
    sqlite3_finalize(s);
    assert_int_equal(strspn(rest, " \n"), strlen(rest)); /* one statement a block */
    return n;
}

static void test_db_documented_queries_run_and_find_rows(void **state) {
    (void)state;
    char *text, *at;
    size_t size;
    int blocks = 0;
    assert_int_equal(file_load("docs/database.md", 1 << 20, &text, &size, &err), 0);
    for (at = text; (at = strstr(at, "```sql\n")); blocks++) {
        char *sql = at + 7, *end = strstr(sql, "```");
        assert_non_null(end);
        *end = 0;
        if (rows_of(sql) == 0) fail_msg("nothing found by: %s", sql);
        at = end + 3;
    }
    mem_free(text);
    assert_true(blocks >= 5);
}

/* Every table, view and column has its line. */
static void test_db_documentation_names_every_column(void **state) {
    (void)state;
    char *text, word[128];
    size_t size;
    sqlite3_stmt *s;
    assert_int_equal(file_load("docs/database.md", 1 << 20, &text, &size, &err), 0);
    sqlite3_prepare_v2(db->sq,
                       "SELECT m.name, c.name FROM sqlite_schema m,"
                       " pragma_table_xinfo(m.name) c WHERE m.type IN ('table', 'view')",
                       -1, &s, NULL);
    int n = 0;
    for (; sqlite3_step(s) == SQLITE_ROW; n++)
        for (int i = 0; i < 2; i++) {
            snprintf(word, sizeof word, "`%s`", sqlite3_column_text(s, i));
            if (!strstr(text, word)) fail_msg("docs/database.md lacks %s", word);
        }
    sqlite3_finalize(s);
    mem_free(text);
    assert_true(n > 100);
}

/* --- hone show --------------------------------------------------------------------- */

static char said[1 << 16]; /* what the last call printed, stdout and then stderr */

/* Runs `show` with up to three arguments after the folder; returns its exit code. */
static int show(const char *dir, const char *a, const char *b, const char *c) {
    const char *argv[] = {"show", dir, a, b, c, NULL};
    char out[96];
    int argc = 1;
    while (argv[argc]) argc++;
    snprintf(out, sizeof out, "%s/said", folder);
    fflush(stdout);
    int saved[2] = {dup(1), dup(2)};
    FILE *f = fopen(out, "w+");
    dup2(fileno(f), 1);
    dup2(fileno(f), 2);
    int code = cmd_show(argc, (char **)argv);
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], i + 1);
        close(saved[i]);
    }
    rewind(f);
    said[fread(said, 1, sizeof said - 1, f)] = 0;
    fclose(f);
    return code;
}

static void says(const char *part) {
    if (!strstr(said, part)) fail_msg("no \"%s\" in:\n%s", part, said);
}

static void test_db_show_run_gives_the_overview(void **state) {
    (void)state;
    assert_int_equal(show(folder, NULL, NULL, NULL), EX_OK);
    says("run tiny, begun 20");
    says("seed 9223372036854775809, start weights 00000000000000aa");
    says("grpo  2 of 2       not finished, updates refused: 1");
    says("grpo: accuracy 0.333 -> 1.000");
    says("greedy     1      2  0.5000");
    says("answer (countdown/1): timeout 1 times, 16.67 % of its verdicts");
    assert_null(strchr(said, '\x1b'));                     /* no colours into a file */
    assert_int_equal(show(path, NULL, NULL, NULL), EX_OK); /* run.db itself */
}

static void test_db_show_step_lists_groups_or_traces(void **state) {
    (void)state;
    assert_int_equal(show(folder, "--step", "2", NULL), EX_OK);
    says("prompt 0, problem 1: countdown 3,44,9=>98");
    says("  Make 98 from 3, 44, 9.");
    says("       2      1        0   -0.5000      5 length  ok");
    says("timeout");
    says("entropy");
    assert_int_equal(show(folder, "--step=3", NULL, NULL), EX_OK);
    says("update refused: the gradient is not finite");
    assert_int_equal(show(folder, "--step", "1", NULL), EX_OK);
    says("6 tokens,     2 of them prompt");
}

static void test_db_show_episode_cannot_drive_the_terminal(void **state) {
    (void)state;
    assert_int_equal(show(folder, "--episode", "3", "--tokens"), EX_OK);
    says("episode 3: step 2, prompt 1, sample 0, weights 00000000000000bb");
    says("10?\\x1b[31m\\xff");
    says("unparsable    0.000   1.00");
    says("    -0.20000  0.8187  no");
    assert_null(strchr(said, '\x1b'));
    assert_null(strstr(said, "\xff"));
}

static void test_db_show_json_is_json(void **state) {
    (void)state;
    static const char *const how[][2] = {{"--json", NULL},
                                         {"--step=1", "--json"},
                                         {"--step=2", "--json"},
                                         {"--episode=3", "--json"}};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(show(folder, how[i][0], how[i][1], NULL), EX_OK);
        cJSON *o = cJSON_ParseWithOpts(said, NULL, 1);
        if (!o) fail_msg("no JSON: %s", said);
        if (i == 0) {
            cJSON *steps = cJSON_GetObjectItem(o, "steps");
            assert_int_equal(cJSON_GetArraySize(steps), 3);
            near(cJSON_GetObjectItem(cJSON_GetArrayItem(steps, 1), "reward")->valuedouble,
                 0.3);
        }
        if (i == 3)
            assert_string_equal(cJSON_GetObjectItem(o, "text")->valuestring,
                                "10?\x1b[31m\xef\xbf\xbd");
        cJSON_Delete(o);
    }
}

static void test_db_show_fails_with_one_sentence(void **state) {
    (void)state;
    static const struct {
        const char *a, *b, *c, *message;
        int code;
    } call[] = {
        {"--step", "9", NULL, "run.db has no step 9\n", EX_DATAERR},
        {"--episode", "77", NULL, "run.db has no episode 77\n", EX_DATAERR},
        {"--step", "0", NULL, "--step: must be from 1", EX_USAGE},
        {"--step=1", "--episode=1", NULL, "either --step or --episode", EX_USAGE},
        {"--stop", NULL, NULL, "no such option '--stop'", EX_USAGE},
    };
    for (size_t i = 0; i < sizeof call / sizeof *call; i++) {
        assert_int_equal(show(folder, call[i].a, call[i].b, call[i].c), call[i].code);
        says(call[i].message);
        assert_memory_equal(said, "hone show: ", 11);
        assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
    }
    assert_int_equal(show("/nowhere", NULL, NULL, NULL), EX_NOINPUT);
    says("hone show: open /nowhere: No such file or directory\n");
    assert_int_equal(show("tests", NULL, NULL, NULL), EX_NOINPUT);
    says("hone show: open tests/run.db: No such file or directory\n");
    assert_int_equal(show("db/schema.sql", NULL, NULL, NULL), EX_DATAERR);
    says("hone show: db/schema.sql is not a hone database: file is not a database\n");
    assert_int_equal(show("--help", NULL, NULL, NULL), EX_OK);
    says("usage: hone show DIR [options]");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_db_curve_is_what_the_hand_computes),
        TEST(test_db_curve_never_scans_inside_its_loop),
        TEST(test_db_groups_view_has_the_sample_deviation),
        TEST(test_db_hardest_problems_come_first),
        TEST(test_db_failures_view_counts_failures_only),
        TEST(test_db_episode_view_folds_the_verdicts),
        TEST(test_db_documented_queries_run_and_find_rows),
        TEST(test_db_documentation_names_every_column),
        TEST(test_db_show_run_gives_the_overview),
        TEST(test_db_show_step_lists_groups_or_traces),
        TEST(test_db_show_episode_cannot_drive_the_terminal),
        TEST(test_db_show_json_is_json),
        TEST(test_db_show_fails_with_one_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
