/* tests/test_scorer.c: verdicts with parts, scorers over groups, the window of failures. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/failures.h"
#include "reward/scorer.h"

static void test_verdict_parts_are_finite_unique_and_few(void **state) {
    (void)state;
    struct verdict v;
    struct buf out = {0};
    verdict_set(&v, VERDICT_OK, 1, "right");
    verdict_print_parts(&v, &out);
    assert_string_equal(buf_text(&out), "{}");
    assert_true(verdict_add_part(&v, "tests", 3));
    assert_true(verdict_add_part(&v, "say \"hi\"", 0.1));
    assert_true(verdict_add_part(&v, "tests", 4));
    assert_false(verdict_add_part(&v, "", 1));
    assert_false(verdict_add_part(&v, "nan", NAN));
    assert_false(verdict_add_part(&v, "inf", INFINITY));
    assert_false(verdict_add_part(&v, "a name of thirty-two characters..", 1));
    buf_reset(&out);
    verdict_print_parts(&v, &out);
    assert_string_equal(buf_text(&out), "{\"tests\": 4, \"say \\\"hi\\\"\": 0.1}");
    for (int i = 2; i < VERDICT_MAX_PARTS; i++) {
        char name[8];
        snprintf(name, sizeof name, "p%d", i);
        assert_true(verdict_add_part(&v, name, i));
    }
    assert_false(verdict_add_part(&v, "one more", 1));
    assert_true(verdict_add_part(&v, "tests", 5));
    verdict_set(&v, VERDICT_OK, 1, "again");
    assert_int_equal(v.n_parts, 0);
    buf_clear(&out);
}

static void test_verdict_status_names_read_back(void **state) {
    (void)state;
    enum verdict_status s;
    for (int i = 0; i < VERDICT_N_STATUS; i++) {
        assert_true(verdict_status_find(verdict_status_name((enum verdict_status)i), &s));
        assert_int_equal(s, i);
    }
    assert_false(verdict_status_find("fine", &s));
}

static void test_scorer_scores_a_group(void **state) {
    (void)state;
    static const char *const text[] = {"<answer>ba</answer>", "<answer>ab</answer>", "x"};
    struct problem p = {.kind = "spell_backward", .key = "", .prompt = "", .gold = "ba",
                        .columns = "{}"};
    struct completion c[3];
    struct group g = {.problem = &p, .completion = c, .n = 3};
    struct verdict v[3];
    struct scorer *s;
    struct err err;
    for (int i = 0; i < 3; i++) c[i] = (struct completion){text[i], strlen(text[i]), NULL, 0};
    struct scorer_config cfg = {.name = "mine", .checker = "answer"};
    assert_int_equal(scorer_open(&s, &cfg, &err), 0);
    scorer_score(s, &g, v);
    assert_true(verdict_is_right(&v[0]));
    assert_true(v[1].status == VERDICT_OK && v[1].score == 0);
    assert_int_equal(v[2].status, VERDICT_UNPARSABLE);
    assert_string_equal(scorer_name(s), "mine");
    assert_string_equal(scorer_version(s, p.kind), "spell_backward/1");
    assert_true(scorer_is_deterministic(s));
    scorer_close(s);
}

static void test_scorer_refuses_what_it_does_not_know(void **state) {
    (void)state;
    struct scorer *s;
    struct err err;
    struct scorer_config cfg = {.name = "x", .checker = "anwser"};
    assert_int_equal(scorer_open(&s, &cfg, &err), -1);
    assert_null(s);
    assert_int_equal(err.code, EX_CONFIG);
    assert_non_null(strstr(err.msg, "\"answer\""));
    cfg.checker = "answer";
    cfg.options = "{\"a\":1}";
    assert_int_equal(scorer_open(&s, &cfg, &err), -1);
    assert_string_equal(err.msg, "options: answer has none");
}

/* ---- the rate of failures ---------------------------------------------------------- */

static void test_failures_one_in_a_small_step_stops_nothing(void **state) {
    (void)state;
    static struct failure_window w;
    failure_window_push(&w, 8, 1);
    assert_false(failure_window_over(&w, 0.05));
    assert_true(failure_window_over(&w, 0)); /* 0 is 0 */
    failure_window_push(&w, 8, 8);
    assert_false(failure_window_over(&w, 0.05));
    failure_window_push(&w, 8, 2); /* 11 of what counts as 200 */
    assert_true(failure_window_over(&w, 0.05));
    assert_false(failure_window_over(&w, 1));
}

static void test_failures_the_past_excuses_nothing(void **state) {
    (void)state;
    static struct failure_window w;
    for (int i = 0; i < 1000; i++) failure_window_push(&w, 50, 0);
    assert_int_equal(w.n, 200);
    failure_window_push(&w, 50, 10);
    assert_false(failure_window_over(&w, 0.05)); /* 10 of 200 */
    failure_window_push(&w, 50, 1);
    assert_true(failure_window_over(&w, 0.05));
    failure_window_push(&w, 1000, 50); /* a step larger than the window is one by itself */
    assert_int_equal(w.n, 1000);
    assert_false(failure_window_over(&w, 0.05));
    failure_window_push(&w, 1000, 51);
    assert_true(failure_window_over(&w, 0.05));
    for (int i = 0; i < 1000; i++) failure_window_push(&w, 1, i % 20 == 0);
    assert_int_equal(w.n, 200);
    assert_int_equal(w.failed, 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdict_parts_are_finite_unique_and_few),
        cmocka_unit_test(test_verdict_status_names_read_back),
        cmocka_unit_test(test_scorer_scores_a_group),
        cmocka_unit_test(test_scorer_refuses_what_it_does_not_know),
        cmocka_unit_test(test_failures_one_in_a_small_step_stops_nothing),
        cmocka_unit_test(test_failures_the_past_excuses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
