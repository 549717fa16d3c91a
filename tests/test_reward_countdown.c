/* tests/test_reward_countdown.c: the solver against brute force, and on the real rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/rng.h"
#include "reward/checker.h"
#include "reward/countdown.h"

static const char *solve(const struct countdown *c, struct buf *out) {
    struct countdown_plan plan;
    buf_reset(out);
    if (countdown_solve(c, 0, &plan)) countdown_push_expr(c, &plan, out);
    return buf_text(out);
}

static void test_countdown_solver_prefers_the_simplest(void **state) {
    (void)state;
    static const struct {
        struct countdown c;
        const char *expr; /* "": no solution */
    } rows[] = {
        {{3, {44, 19, 35}, 98}, "44+19+35"},
        {{3, {44, 19, 98}, 98}, "98"},
        {{1, {5}, 5}, "5"},
        {{1, {5}, 6}, ""},
        {{2, {3, 8}, 5}, "8-3"},
        {{2, {3, 24}, 8}, "24/3"},
        {{3, {2, 3, 6}, 12}, "2*6"},
        {{4, {3, 3, 8, 8}, 24}, "3*8"},
        {{4, {1, 5, 5, 5}, 24}, "5*5-1"},
        {{3, {7, 7, 3}, 0}, "7-7"},
        {{3, {8, 6, 2}, 1}, "(8-6)/2"},
        {{3, {10, 7, 2}, 5}, "7-2"},
        {{2, {4, 10}, 3}, ""},
    };
    struct buf out = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = solve(&rows[i].c, &out);
        if (strcmp(got, rows[i].expr) != 0) fail_msg("row %zu: %s", i, got);
    }
    /* Only fractions lead there. */
    struct countdown hard = {4, {2, 5, 5, 10}, 24};
    assert_string_equal(solve(&hard, &out), "(5-2/10)*5");
    struct countdown many = {7, {1, 1, 1, 1, 1, 1, 1}, 7};
    assert_string_equal(solve(&many, &out), "");
    buf_clear(&out);
}

static void test_countdown_teacher_writes_fractions_down(void **state) {
    (void)state;
    static const char row[] = "{\"target\": 24, \"nums\": [2, 5, 5, 10]}\n";
    struct err err = {0};
    struct problem_set *set;
    struct arena arena = {0};
    struct problem p;
    struct verdict v;
    const struct checker *c;
    char path[64];
    snprintf(path, sizeof path, "/tmp/hone-test-%ld.jsonl", (long)getpid());
    assert_int_equal(file_save(path, row, sizeof row - 1, &err), 0);
    char spec[128];
    snprintf(spec, sizeof spec, "countdown:%s", path);
    assert_int_equal(problem_set_open(&set, spec, 1, &err), 0);
    remove(path);
    problem_set_get(set, 0, &arena, &p);
    assert_string_equal(p.prompt, "2 5 5 10=24");
    assert_string_equal(p.trace, "<think>2/10=1/5;5-(1/5)=24/5;(24/5)*5=24</think>"
                                 "<answer>(5-2/10)*5</answer>");
    assert_int_equal(checker_find(&c, "answer", &err), 0);
    checker_score(c, &p, p.trace, strlen(p.trace), &v);
    assert_true(v.score == 1);
    arena_clear(&arena);
    problem_set_close(set);
}

/* Every value that some of the numbers reach, negative ones and fractions too. */
static bool reaches(const struct ratio *list, int n, int64_t target) {
    for (int i = 0; i < n; i++)
        if (list[i].num == target && list[i].den == 1) return true;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            for (const char *op = "+-*/"; i != j && *op; op++) {
                struct ratio next[4];
                int m = 0;
                for (int k = 0; k < n; k++)
                    if (k != i && k != j) next[m++] = list[k];
                if (ratio_apply(*op, list[i], list[j], &next[m]) != EXPR_OK) continue;
                if (reaches(next, m + 1, target)) return true;
            }
        }
    }
    return false;
}

static void test_countdown_solver_agrees_with_brute_force(void **state) {
    (void)state;
    struct buf out = {0};
    int solved = 0;
    for (uint32_t i = 0; i < 400; i++) {
        struct rng_key key = {7, RNG_TEST, 0, i, 0};
        struct countdown c = {.n = 2 + (int)rng_below(&key, 0, 3)};
        struct ratio list[4];
        uint64_t largest = i % 2 ? 9 : 60;
        for (int k = 0; k < c.n; k++) {
            c.num[k] = (int64_t)rng_below(&key, 1 + (uint32_t)k, largest + 1);
            list[k] = (struct ratio){c.num[k], 1};
        }
        c.target = (int64_t)rng_below(&key, 9, 100);
        bool want = reaches(list, c.n, c.target), got = *solve(&c, &out) != 0;
        assert_int_equal(want, got);
        if (!got) continue;
        solved++;
        struct expr e;
        struct ratio value;
        const char *why;
        assert_int_equal(expr_parse(&e, out.data, out.len, &why), EXPR_OK);
        assert_int_equal(expr_eval(&e, &value), EXPR_OK);
        assert_true(value.num == c.target && value.den == 1);
    }
    assert_in_range(solved, 60, 300);
    buf_clear(&out);
}

static void test_countdown_uses_all_counts_every_number(void **state) {
    (void)state;
    struct countdown c = {3, {44, 19, 35}, 98};
    assert_true(countdown_uses_all(&c));
    c = (struct countdown){3, {2, 5, 90}, 10};
    assert_false(countdown_uses_all(&c));
    c = (struct countdown){3, {1, 5, 90}, 95};
    assert_true(countdown_uses_all(&c)); /* 1 is used up by *1 */
}

static void test_countdown_search_shows_wrong_tries_then_the_plan(void **state) {
    (void)state;
    struct countdown c = {3, {44, 19, 35}, 60};
    struct countdown_plan plan;
    assert_true(countdown_solve(&c, 3, &plan));
    assert_int_equal(plan.n_tries, 3);
    struct countdown_step *last = &plan.step[plan.n_steps - 1];
    assert_true(last->result.num == 60);
    for (int i = 0; i < plan.n_tries; i++)
        assert_true(plan.tries[i][plan.n_steps - 1].result.num != 60);
    c.target = 98; /* the second leaf of the search: one try before it at most */
    assert_true(countdown_solve(&c, 3, &plan));
    assert_true(plan.n_tries == 0);
}

static void expect_file_solved(const char *folder, const char *name) {
    char spec[512];
    struct err err = {0};
    struct problem_set *set;
    const struct checker *answer, *format;
    struct arena arena = {0};
    snprintf(spec, sizeof spec, "countdown:%s/countdown/%s", folder, name);
    if (problem_set_open(&set, spec, 1, &err) != 0) {
        if (err.code == EX_NOINPUT) skip();
        fail_msg("%s", err.msg);
    }
    assert_int_equal(checker_find(&answer, "answer", &err), 0);
    assert_int_equal(checker_find(&format, "format", &err), 0);
    for (int i = 0; i < problem_set_size(set); i++) {
        struct problem p;
        struct verdict v;
        problem_set_get(set, i, &arena, &p);
        if (!p.trace) fail_msg("%s: no solution", p.prompt);
        checker_score(answer, &p, p.trace, strlen(p.trace), &v);
        if (v.score != 1) fail_msg("%s: %s: %s", p.prompt, p.trace, v.detail);
        checker_score(format, &p, p.trace, strlen(p.trace), &v);
        assert_true(v.score == 1);
        arena_reset(&arena);
    }
    arena_clear(&arena);
    problem_set_close(set);
}

/* Needs the public rows: the folder named by HONE_DATA, else ../shared/data. */
static void test_countdown_teacher_solves_all_public_rows(void **state) {
    (void)state;
    const char *folder = getenv("HONE_DATA");
    if (!folder) folder = "../shared/data";
    if (!file_exists(folder)) skip();
    expect_file_solved(folder, "train.jsonl");
    expect_file_solved(folder, "test.jsonl");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_countdown_solver_prefers_the_simplest),
        cmocka_unit_test(test_countdown_teacher_writes_fractions_down),
        cmocka_unit_test(test_countdown_solver_agrees_with_brute_force),
        cmocka_unit_test(test_countdown_uses_all_counts_every_number),
        cmocka_unit_test(test_countdown_search_shows_wrong_tries_then_the_plan),
        cmocka_unit_test(test_countdown_teacher_solves_all_public_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
