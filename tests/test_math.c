/* tests/test_math.c: pairs of answers, right and nearly right; where the answer is found;
 * what hostile text costs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "reward/math.h"

static struct verdict check(const char *gold, const char *response) {
    struct verdict v;
    memset(&v, 0x5a, sizeof v);
    math_score(gold, strlen(gold), response, strlen(response), NULL, &v);
    assert_true(v.status < VERDICT_N_STATUS);
    assert_true(v.score == 0 || v.score == 1);
    assert_true(v.status == VERDICT_OK || v.score == 0);
    return v;
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* others may stop this process */
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* ---- the table ---- */

typedef void (*on_pair)(const char *gold, const char *pred, bool equal);

static int each_pair(on_pair visit) {
    char *data, *at, *end;
    size_t n;
    struct err err = {0};
    int rows = 0;
    assert_int_equal(file_load("tests/data/math_pairs.jsonl", 1 << 24, &data, &n, &err),
                     0);
    for (at = data, end = data + n; at < end; rows++) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);
        cJSON *row;
        assert_int_equal(json_parse(&row, at, len, "math_pairs.jsonl", rows + 1, &err),
                         0);
        visit(json_find(row, "gold")->valuestring, json_find(row, "pred")->valuestring,
              cJSON_IsTrue(json_find(row, "equal")));
        json_free(row);
        at += len + 1;
    }
    mem_free(data);
    return rows;
}

static int wrong;

static void complain(const char *gold, const char *pred, struct verdict v) {
    print_message("# gold %s, answer %s: %s %g %s\n", gold, pred,
                  verdict_status_name(v.status), v.score, v.detail);
    wrong++;
}

static void visit_plain(const char *gold, const char *pred, bool equal) {
    struct verdict v = check(gold, pred);
    if ((v.score == 1) != equal) complain(gold, pred, v);
    if (equal && v.status != VERDICT_OK) complain(gold, pred, v);
}

static void visit_boxed(const char *gold, const char *pred, bool equal) {
    char text[1024];
    if (strstr(pred, "boxed") || strstr(pred, "answer") || strstr(pred, "##") ||
        strchr(pred, '$') || strncmp(pred, "Answer", 6) == 0)
        return;
    snprintf(text, sizeof text,
             "<think>\\boxed{7}</think>First $\\boxed{8}$, no: $\\boxed{%s}$. Done.",
             pred);
    struct verdict v = check(gold, text);
    if ((v.score == 1) != equal) complain(gold, text, v);
}

static void visit_self(const char *gold, const char *pred, bool equal) {
    (void)pred;
    if (strstr(gold, "{0}") || !equal) return; /* 1/0 is not itself */
    struct verdict v = check(gold, gold);
    if (v.score != 1) complain(gold, gold, v);
}

static void test_math_pairs(void **state) {
    (void)state;
    wrong = 0;
    assert_true(each_pair(visit_plain) > 150);
    assert_int_equal(wrong, 0);
}

static void test_math_pairs_in_boxes(void **state) {
    (void)state;
    wrong = 0;
    each_pair(visit_boxed);
    assert_int_equal(wrong, 0);
}

static void test_math_golds_equal_themselves(void **state) {
    (void)state;
    wrong = 0;
    each_pair(visit_self);
    assert_int_equal(wrong, 0);
}

/* ---- extraction ---- */

static void test_math_finds_the_answer(void **state) {
    (void)state;
    static const char *const right[] = {
        "\\boxed{5}",
        "\\fbox{5}",
        "\\boxed {5}",
        "\\boxed 5",
        "$\\boxed{\\boxed{5}}$",
        "x\\boxed{4}\\boxed{5}",
        "<think>\\boxed{4}</think>\\boxed{5}",
        "<think>4</think><answer>5</answer>",
        "6\n#### 5\n",
        "#### 5",
        "The answer is 5.",
        "the answer is: **5**",
        "Answer: 5\n\nThat is all.",
        "The answer is $5$. I hope.",
        "so $x = 4$, thus $y = 5$ follows",
        "So the largest $n$ is 5.",
        "Take $x = 4$. Then there are 5 apples.",
        "We had $x = 4$ before, which is wrong by 5.",
        "It is 5.<|im_end|>\n<|im_start|>user It is 6.",
        "Final Answer: the largest $n$ is 5.",
        "\\\\boxed{5}",
        "**5**",
        "`5`",
        " 5 \n",
        "$5$",
        "\\(5\\)",
        "\\[5\\]",
    };
    static const char *const other[] = {
        "\\boxed{4}",
        "\\boxed{5",
        "\\boxed{5}\\boxed{",
        "<think>\\boxed{5}",
        "<think>\\boxed{5}</think>",
        "",
        "\\boxed{}",
        "5 or 6",
        "not 5",
        "5; 6",
        "\\boxed{5}, no, \\boxed{6}",
        "there are 5 of them or so",
        "<answer>5",
        "#### ",
        "5 5",
        "So it is not 5.",
        "It is 5 or 6.",
        "It is 5. No, it is 6.",
        "5'; DROP TABLE answers;--",
        "__import__('os').system('5')",
    };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        if (check("5", right[i]).score != 1) fail_msg("not found: %s", right[i]);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (check("5", other[i]).score != 0) fail_msg("taken for 5: %s", other[i]);
    struct math_options o;
    struct verdict v;
    math_options_default(&o);
    o.extract = MATH_EXTRACT_BOX;
    math_score("5", 1, "The answer is 5", 15, &o, &v);
    assert_int_equal(v.status, VERDICT_UNPARSABLE);
}

static void test_math_statuses(void **state) {
    (void)state;
    assert_int_equal(check("", "5").status, VERDICT_NOT_SCORABLE);
    assert_int_equal(check("\\int_0^1 f", "5").status, VERDICT_NOT_SCORABLE);
    assert_int_equal(check("5", "\\frac{}{}").status, VERDICT_UNPARSABLE);
    assert_int_equal(check("5", "\\input{/etc/passwd}").status, VERDICT_UNPARSABLE);
    assert_int_equal(check("5", "6").status, VERDICT_OK);
    assert_int_equal(check("1", "e^{e^{-12000}}").status, VERDICT_UNDECIDED);
}

/* ---- options ---- */

static double with_options(const char *json, const char *gold, const char *answer) {
    struct math_options o;
    struct verdict v;
    struct err err;
    assert_int_equal(math_options_read(&o, json, &err), 0);
    math_score(gold, strlen(gold), answer, strlen(answer), &o, &v);
    return v.score;
}

static void test_math_options(void **state) {
    (void)state;
    static const struct {
        const char *json, *gold, *answer;
        double score, otherwise;
    } rows[] = {
        {"{\"boxes\": \"last\"}", "1,2", "\\boxed{1} and \\boxed{2}", 0, 1},
        {"{\"rounding\": 0}", "\\pi", "3.14159", 0, 1},
        {"{\"rounding\": 3}", "\\pi", "3.14", 1, 0},
        {"{\"fraction_rounding\": 4}", "1/3", "0.333", 0, 1},
        {"{\"fraction_rounding\": 2}", "2/3", "0.67", 1, 0},
        {"{\"gold_rounding\": 0}", "33.3", "100/3", 0, 1},
        {"{\"missing_unit\": \"no\"}", "5\\text{ cm}", "5", 0, 1},
        {"{\"bare_percent\": \"no\"}", "50\\%", "50", 0, 1},
        {"{\"missing_base\": \"no\"}", "11_2", "11", 0, 1},
        {"{\"choice_case\": \"no\"}", "B", "b", 0, 1},
        {"{\"drop_brackets\": \"no\"}", "(1,2)", "1,2", 0, 1},
        {"{\"list_order\": \"yes\"}", "1,2", "2,1", 0, 1},
        {"{\"decimal_comma\": \"yes\"}", "1.5", "1,5", 1, 0},
        {"{\"log_base\": 0}", "\\ln 3", "\\log 3", 1, 0},
        {"{\"extract\": \"whole\"}", "5", "\\boxed{4}\\boxed{5}", 0, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (with_options(rows[i].json, rows[i].gold, rows[i].answer) != rows[i].score)
            fail_msg("%s: %s, %s", rows[i].json, rows[i].gold, rows[i].answer);
        assert_true(check(rows[i].gold, rows[i].answer).score == rows[i].otherwise);
    }
}

static void test_math_options_are_checked(void **state) {
    (void)state;
    static const char *const bad[] = {"{\"roundin\": 1}", "{\"rounding\": -1}",
                                      "{\"missing_unit\": \"maybe\"}",
                                      "{\"log_base\": 1}", "[]"};
    struct math_options o;
    struct err err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(math_options_read(&o, bad[i], &err), -1);
    assert_int_equal(math_options_read(&o, NULL, &err), 0);
    assert_true(o.rounding == 6 && o.missing_unit && !o.list_order && o.log_base == 10);
}

/* ---- hostile sizes ---- */

static char *repeat(const char *before, const char *part, int n, const char *after) {
    struct buf b = {0};
    buf_puts(&b, before);
    for (int i = 0; i < n; i++) buf_puts(&b, part);
    buf_puts(&b, after);
    return b.data;
}

static void test_math_hostile_sizes(void **state) {
    (void)state;
    static const struct {
        const char *part;
        int n;
        const char *after;
    } rows[] = {
        {"{", 100000, "5"},
        {"(", 100000, "5"},
        {"{(", 20000, "5"},
        {"\\sqrt{", 20000, "2"},
        {"\\boxed{", 50000, "5"},
        {"$", 300000, "5"},
        {"-", 300000, "5"},
        {"1+", 11000, "1"},
        {"x+", 11000, "x"},
        {"\\frac{1}{", 20000, ""},
        {"9^", 11000, "9"},
        {"9", 250000, ""},
        {"2!", 5000, ""},
        {"\\text{", 20000, "a"},
        {"1,", 11000, "1"},
        {"\\pm1", 5000, ""},
        {"|", 20000, "x"},
        {"<think>", 50000, "5"},
        {"<answer>", 50000, "5"},
        {"#### ", 100000, "5"},
        {"answer is ", 50000, "5"},
        {"\xf0\x9d\x9f\x97", 60000, ""},
        {"\xff", 100000, "5"},
        {"a ", 100000, ""},
        {"\\begin{pmatrix}", 5000, "1"},
        {"1&", 11000, "1"},
        {"\\sin", 10000, "x"},
        {"x^", 5000, "2"},
        {"(x+1)", 5000, ""},
        {"\\sqrt2+", 5000, "1"},
        {"1/(1+", 1000, "1"},
        {"[0,1]\\cup", 4000, "[0,1]"},
        {"x=", 5000, "1"},
        {"\\{", 5000, "1"},
        {"1:", 5000, "1"},
        {"\\sum_{k=1}^{5000}", 40, "k"},
        {"10^{9}!", 1, ""},
        {"e^", 5000, "9"},
        {"\\ln ", 5000, "9"},
        {"0.", 50000, "5"},
        {"1e9999999", 1, ""},
    };
    double slowest = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = repeat("", rows[i].part, rows[i].n, rows[i].after);
        const char *golds[] = {"5", "\\sqrt{2}+x", "(1,2)", "[0,1]\\cup[2,3]"};
        for (int g = 0; g < 4; g++) {
            double from = now_ms();
            struct verdict v = check(golds[g], text);
            double ms = now_ms() - from;
            if (ms > slowest) slowest = ms;
            if (ms > 1000)
                fail_msg("%.20s x %d against %s: %.0f ms", rows[i].part, rows[i].n,
                         golds[g], ms);
            (void)v;
        }
        mem_free(text);
    }
    print_message("# the slowest: %.1f ms\n", slowest);
}

/* A verdict does not depend on what was asked before. */
static void test_math_verdicts_have_no_memory(void **state) {
    (void)state;
    struct verdict first = check(
        "\\frac12", "\\cos\\frac{\\pi}{7}-\\cos\\frac{2\\pi}{7}+\\cos\\frac{3\\pi}{7}");
    for (int i = 0; i < 20; i++) check("9^{9^{9^9}}", "\\sqrt{\\sqrt{2}+3}");
    math_release();
    struct verdict again = check(
        "\\frac12", "\\cos\\frac{\\pi}{7}-\\cos\\frac{2\\pi}{7}+\\cos\\frac{3\\pi}{7}");
    assert_true(first.score == 1 && again.score == 1);
    assert_string_equal(first.detail, again.detail);
}

static void test_math_from_many_threads(void **state) {
    (void)state;
    int bad = 0;
#pragma omp parallel for num_threads(8) reduction(+ : bad) schedule(static, 1)
    for (int i = 0; i < 400; i++) {
        struct verdict v;
        const char *gold = i % 2 ? "4+2\\sqrt{3}" : "x^2-1",
                   *answer = i % 2 ? "(1+\\sqrt3)^2" : "(x-1)(x+1)";
        math_score(gold, strlen(gold), answer, strlen(answer), NULL, &v);
        bad += v.score != 1;
    }
    assert_int_equal(bad, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_math_pairs),
        cmocka_unit_test(test_math_pairs_in_boxes),
        cmocka_unit_test(test_math_golds_equal_themselves),
        cmocka_unit_test(test_math_finds_the_answer),
        cmocka_unit_test(test_math_statuses),
        cmocka_unit_test(test_math_options),
        cmocka_unit_test(test_math_options_are_checked),
        cmocka_unit_test(test_math_hostile_sizes),
        cmocka_unit_test(test_math_verdicts_have_no_memory),
        cmocka_unit_test(test_math_from_many_threads),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    math_release();
    return failed;
}
