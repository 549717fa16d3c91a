/* tests/test_reapply.c: a recorded run followed again by product code: from the start, from a
 * checkpoint, from a folder without any, and what it says of a log that was changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/checkpoint.h"
#include "cli/cmd.h"
#include "cli/reapply.h"
#include "tests/db_fixture.h"

static char folder[64], dir[96];
static struct err err;

#define OK(call)                                                                         \
    do {                                                                                 \
        if ((call) != 0) fail_msg("%s: %s", #call, err.msg);                             \
    } while (0)

static int quiet(int (*run)(int, char **), int argc, const char **argv) {
    int kept = dup(STDOUT_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    fflush(stdout);
    dup2(null, STDOUT_FILENO);
    int code = run(argc, (char **)argv);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    close(null);
    return code;
}

static int start(void **state) {
    (void)state;
    fixture_folder(folder);
    snprintf(dir, sizeof dir, "%s/run", folder);
    const char *argv[] = {"train", "tests/data/tiny.json", "--out", dir, "--threads", "1",
                          "--set=sft.max_steps=4", "--set=checkpoint.save_steps=2",
                          "--set=checkpoint.keep_last=0"};
    return quiet(cmd_train, (int)(sizeof argv / sizeof *argv), argv);
}

static int end(void **state) {
    (void)state;
    return checkpoint_remove_tree(folder, &err);
}

static void open_run(struct run *r, const char *isa, int n_threads) {
    OK(run_open_recorded(r, dir, isa, n_threads, &err));
    assert_int_equal(r->step, 0);
}

static uint64_t recorded(struct run *r, int step) {
    struct db_step row;
    OK(db_read_step(r->db, step, &r->arena, &row, &err));
    return row.weights_after;
}

static void change(const char *sql) {
    sqlite3 *db;
    char path[128];
    snprintf(path, sizeof path, "%s/run.db", dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (rc != SQLITE_OK) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void test_reapply_steps_from_the_start_give_every_recorded_hash(void **state) {
    (void)state;
    struct run r;
    open_run(&r, "plain", 2);
    for (int step = 1; step <= 8; step++) {
        OK(reapply_step(&r, step, &err));
        assert_true(weights_hash(&r.e.w) == recorded(&r, step));
        assert_int_equal(r.step, step);
        assert_int_equal(r.stage, step > 4);
    }
    run_close(&r);
}

static void test_reapply_from_every_checkpoint_goes_on_to_the_same_end(void **state) {
    (void)state;
    static const int from[9] = {0, 0, 2, 2, 4, 4, 6, 6, 8};
    for (int step = 0; step <= 8; step++) {
        struct run r;
        int began;
        open_run(&r, "auto", 1);
        OK(reapply_to(&r, step, &began, NULL, &err));
        assert_int_equal(began, from[step]);
        while (r.step < 8) OK(reapply_step(&r, r.step + 1, &err));
        assert_true(weights_hash(&r.e.w) == recorded(&r, 8));
        run_close(&r);
    }
}

/* One bit, in the weights and in the optimizer's state, of the newest checkpoint. */
static void flip(const char *name, long at_end) {
    char path[160];
    FILE *f;
    snprintf(path, sizeof path, "%s/checkpoints/step-6/%s", dir, name);
    assert_non_null(f = fopen(path, "r+b"));
    fseek(f, -at_end, SEEK_END);
    int c = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(c ^ 1, f);
    fclose(f);
}

static void test_reapply_leaves_out_a_checkpoint_with_one_wrong_bit(void **state) {
    (void)state;
    static const char *const file[] = {"model.safetensors", "optimizer.safetensors"};
    for (int i = 0; i < 2; i++) {
        struct run r;
        int began;
        flip(file[i], 4000);
        open_run(&r, "auto", 1);
        OK(reapply_to(&r, 7, &began, NULL, &err));
        assert_int_equal(began, 4);
        assert_true(weights_hash(&r.e.w) == recorded(&r, 7));
        run_close(&r);
        flip(file[i], 4000);
    }
}

static void test_reapply_names_the_step_with_a_changed_token(void **state) {
    (void)state;
    struct run r;
    change("CREATE TABLE kept AS SELECT id, ids FROM episodes;"
           "UPDATE episodes SET ids = CAST(x'05000000' || substr(ids, 5) AS BLOB) WHERE id ="
           " (SELECT min(e.id) FROM episodes e JOIN groups g ON g.id = group_id WHERE step = 6)");
    open_run(&r, "auto", 1);
    OK(reapply_to(&r, 5, NULL, NULL, &err));
    assert_int_equal(reapply_step(&r, 6, &err), -1);
    assert_int_equal(err.code, EX_DATAERR);
    assert_non_null(strstr(err.msg, "step 6 applied again gives"));
    run_close(&r);
    change("UPDATE episodes SET ids = (SELECT k.ids FROM kept k WHERE k.id = episodes.id);"
           "DROP TABLE kept");
}

static void test_reapply_without_checkpoints_starts_from_the_experiment(void **state) {
    (void)state;
    struct run r;
    char path[128];
    int began;
    snprintf(path, sizeof path, "%s/checkpoints", dir);
    OK(checkpoint_remove_tree(path, &err));
    open_run(&r, "auto", 1);
    OK(reapply_to(&r, 7, &began, NULL, &err));
    assert_int_equal(began, 0);
    assert_true(weights_hash(&r.e.w) == recorded(&r, 7));
    run_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reapply_steps_from_the_start_give_every_recorded_hash),
        cmocka_unit_test(test_reapply_from_every_checkpoint_goes_on_to_the_same_end),
        cmocka_unit_test(test_reapply_leaves_out_a_checkpoint_with_one_wrong_bit),
        cmocka_unit_test(test_reapply_names_the_step_with_a_changed_token),
        cmocka_unit_test(test_reapply_without_checkpoints_starts_from_the_experiment),
    };
    return cmocka_run_group_tests(tests, start, end);
}
