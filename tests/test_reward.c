/* tests/test_reward.c: what the checkers say of right, wrong, malformed and hostile text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"
#include "reward/checker.h"

static const struct checker *find(const char *name) {
    struct err err = {0};
    const struct checker *c;
    assert_int_equal(checker_find(&c, name, &err), 0);
    return c;
}

static struct verdict score(const char *checker, const char *kind, const char *gold,
                            const char *text, size_t n) {
    struct problem p = {.kind = kind, .key = "", .prompt = "", .gold = gold};
    struct verdict v;
    memset(&v, 0x5a, sizeof v);
    checker_score(find(checker), &p, text, n, &v);
    assert_true(v.status < VERDICT_N_STATUS);
    bool graded = strcmp(checker, "answer") != 0 && strcmp(checker, "format") != 0;
    assert_true(v.score == 0 || v.score == 1 || (graded && v.score > 0 && v.score < 1));
    assert_true(v.status == VERDICT_OK || v.score == 0);
    assert_true(v.ms >= 0);
    assert_non_null(memchr(v.detail, 0, sizeof v.detail));
    return v;
}

/* A row: an answer and what is expected of it: 1, 0, '?' unparsable, 'L' limit. */
struct row {
    const char *answer;
    char want;
};

static void check_rows(const char *kind, const char *gold, const struct row *row, int n) {
    for (int i = 0; i < n; i++) {
        char text[4096];
        snprintf(text, sizeof text, "<think>x</think><answer>%s</answer>", row[i].answer);
        struct verdict v = score("answer", kind, gold, text, strlen(text));
        char got = v.status == VERDICT_UNPARSABLE ? '?'
                   : v.status == VERDICT_LIMIT    ? 'L'
                   : v.status != VERDICT_OK       ? '!'
                                                  : (char)('0' + (int)v.score);
        if (got != row[i].want)
            fail_msg("%s, gold %s, answer %s: %c (%s), wanted %c", kind, gold,
                     row[i].answer, got, v.detail, row[i].want);
    }
}
#define CHECK_ROWS(kind, gold, rows)                                                     \
    check_rows(kind, gold, rows, (int)(sizeof rows / sizeof *rows))

static void test_countdown_scores_by_the_closed_grammar(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"44+19+35", '1'},
        {"35+44+19", '1'},
        {" ( 44 + 35 )+19 ", '1'},
        {"((((44))))+19+35", '1'},
        {"44+19+35=98", '1'},
        {"44+19+35 = 98", '1'},
        {"44-(0)", '0'},
        {"98", '0'},
        {"44+44+10", '0'},
        {"44+19", '0'},
        {"35+35+19", '0'},
        {"44+19+35+1-1", '0'},
        {"44+19+35=97", '0'},
        {"44+19=98", '0'},
        {"44/(19-19)", '0'},
        {"99999999999999999999999999", '0'},
        {"9999999999999999999999*44", '0'},
        {"", '?'},
        {"44+", '?'},
        {"+44", '?'},
        {"-44", '?'},
        {"44 19 35", '?'},
        {"4 4+19+35", '?'},
        {"44+19+35)", '?'},
        {"(44+19+35", '?'},
        {")44(", '?'},
        {"()", '?'},
        {"44()", '?'},
        {"(44)(19)", '?'},
        {"2(44)", '?'},
        {"044+19+35", '?'},
        {"44.0+19+35", '?'},
        {"44**19", '?'},
        {"9**9**9**9", '?'},
        {"44^19", '?'},
        {"44//19", '?'},
        {"44%19", '?'},
        {"44+19+35==98", '?'},
        {"44+19+35=", '?'},
        {"=98", '?'},
        {"98=44+19+35", '?'},
        {"44+19+35=98=98", '?'},
        {"44+19+35 or 98", '?'},
        {"44+19+35;44", '?'},
        {"44+19+35\n98", '?'},
        {"__import__('os')", '?'},
        {"1e2", '?'},
        {"44+-19", '?'},
        {"\xef\xbc\x94+94", '?'},
        {"44+19+35\xe2\x88", '?'},
        {"44+19+35=\xc3\x97", '?'},
    };
    CHECK_ROWS("countdown", "19,35,44=>98", rows);
}

static void test_countdown_is_exact(void **state) {
    (void)state;
    static const struct row thirds[] = {
        {"8/(3-8/3)", '1'},
        {"8\xc3\xb7(3\xe2\x88\x92"
         "8\xc3\xb7"
         "3)",
         '1'},
        {"3*8", '1'},
        {"3\xc3\x97"
         "8",
         '1'},
        {"8/3*3*8", '0'},
        {"8*3+3-3-3", '0'},
        {"8-3-3", '0'},
        {"8/(3-3)", '0'},
    };
    CHECK_ROWS("countdown", "3,3,8,8=>24", thirds);
    static const struct row left[] = {{"8-4-2", '1'}, {"8-(4+2)", '1'}, {"8-(4-2)", '0'},
                                      {"8/4*2", '0'}, {"8/4", '1'},     {"4-2*1", '0'}};
    CHECK_ROWS("countdown", "2,4,8=>2", left);
    static const struct row zero[] = {{"7/(5-5)", '0'}, {"7", '1'}, {"7+5-5", '1'}};
    CHECK_ROWS("countdown", "5,5,7=>7", zero);
    static const struct row once[] = {{"49+49", '0'}, {"49*2", '1'}, {"49/1*2", '1'}};
    CHECK_ROWS("countdown", "1,2,49=>98", once);
    static const struct row twice[] = {{"49+49", '1'}, {"49+49+49-49", '0'}};
    CHECK_ROWS("countdown", "49,49=>98", twice);
    static const struct row whole[] = {{"5/2", '0'}, {"2", '1'}};
    CHECK_ROWS("countdown", "2,5=>2", whole);
    static const struct row near[] = {{"999999999/1000000000", '0'}, {"1", '1'}};
    CHECK_ROWS("countdown", "1,999999999,1000000000=>1", near);
    /* 10^9 five times over passes 64 bits; 10^18 does not. */
    static const struct row large[] = {
        {"1000000000*1000000000", '0'},
        {"1000000000*1000000000*1000000000/(1000000000*1000000000)", 'L'},
    };
    CHECK_ROWS("countdown", "1000000000,1000000000,1000000000,1000000000,1000000000=>7",
               large);
}

static void test_countdown_stays_within_budgets(void **state) {
    (void)state;
    static char text[1 << 20];
    struct verdict v;
    memset(text, '(', sizeof text);
    memcpy(text, "<answer>", 8);
    memcpy(text + sizeof text - 9, "</answer>", 9);
    v = score("answer", "countdown", "1,2=>3", text, sizeof text);
    assert_int_equal(v.status, VERDICT_LIMIT);
    assert_true(v.ms < 200);
    for (int depth = 10; depth <= 300; depth += 27) {
        struct buf expr = {0};
        for (int i = 0; i < depth; i++) buf_puts(&expr, "(");
        buf_puts(&expr, "1+2");
        for (int i = 0; i < depth; i++) buf_puts(&expr, ")");
        /* 2 * 64 + 3 tokens are well within the other budget */
        struct row row = {buf_text(&expr), depth <= 64 ? '1' : 'L'};
        check_rows("countdown", "1,2=>3", &row, 1);
        expr.data[expr.len - 1] = 0; /* one ) is missing: no budget matters */
        row.want = '?';
        check_rows("countdown", "1,2=>3", &row, 1);
        buf_clear(&expr);
    }
    struct buf sum = {0};
    for (int i = 0; i < 200; i++) buf_puts(&sum, "1+");
    buf_puts(&sum, "1");
    struct row row = {buf_text(&sum), 'L'};
    check_rows("countdown", "1,2=>3", &row, 1);
    buf_clear(&sum);
}

static void test_integer_kinds_take_plain_integers_only(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"123", '1'},
        {" 123\n", '1'},
        {"124", '0'},
        {"-123", '0'},
        {"0", '0'},
        {"1234567890123456789012345678901234567890", '0'},
        {"+123", '?'},
        {"0123", '?'},
        {"123.0", '?'},
        {"123.", '?'},
        {"1,23", '?'},
        {"12 3", '?'},
        {"123 124", '?'},
        {"123 or 124", '?'},
        {"x123", '?'},
        {"-", '?'},
        {"--1", '?'},
        {"-0", '?'},
        {"00", '?'},
        {"1e2", '?'},
        {"0x7b", '?'},
        {"", '?'},
        {"$123", '?'},
        {"\xef\xbc\x91"
         "23",
         '?'},
        {"<think>123", '?'},
    };
    CHECK_ROWS("chain_sum", "123", rows);
    CHECK_ROWS("products", "123", rows);
    CHECK_ROWS("gcd", "123", rows);
    static const struct row zero[] = {{"0", '1'}, {"-0", '?'}, {"1", '0'}};
    CHECK_ROWS("chain_sum", "0", zero);
}

static void test_gsm8k_compares_decimals_exactly(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"1080", '1'},      {"1,080", '1'},        {"$1080", '1'},
        {"$1,080.00", '1'}, {"1080.0", '1'},       {"1080.000000000000000000000001", '0'},
        {"108", '0'},       {"10800", '0'},        {"-1080", '0'},
        {"-$1080", '0'},    {"$-1080", '0'},       {"10,80", '?'},
        {"1080,", '?'},     {"1,0800", '?'},       {",080", '?'},
        {"1080.", '?'},     {".5", '?'},           {"01080", '?'},
        {"0,080", '?'},     {"1080 dollars", '?'}, {"$", '?'},
        {"-", '?'},         {"$$1080", '?'},       {"--1080", '?'},
        {"-$-1080", '?'},   {"1080%", '?'},        {"1,080,", '?'},
        {"1080 1081", '?'}, {"NaN", '?'},          {"inf", '?'},
        {"1.08e3", '?'},    {"1.0.0", '?'},
    };
    CHECK_ROWS("gsm8k", "1080", rows);
    CHECK_ROWS("gsm8k", "1,080.0", rows);
    static const struct row half[] = {{"0.5", '1'},
                                      {"0.50", '1'},
                                      {"-0.5", '0'},
                                      {"0", '0'}};
    CHECK_ROWS("gsm8k", "0.5", half);
    static const struct row zero[] = {{"0", '1'},
                                      {"-0", '1'},
                                      {"0.0", '1'},
                                      {"-0.00", '1'}};
    CHECK_ROWS("gsm8k", "0", zero);
    static const struct row big[] = {{"1,234,567", '1'},
                                     {"1234,567", '?'},
                                     {"12,34,567", '?'}};
    CHECK_ROWS("gsm8k", "1234567", big);
    struct verdict v = score("answer", "gsm8k", "about 5", "<answer>5</answer>", 18);
    assert_int_equal(v.status, VERDICT_NOT_SCORABLE);
}

static void test_lists_words_and_texts(void **state) {
    (void)state;
    static const struct row list[] = {
        {"3 5 9", '1'},  {"3,5,9", '1'},     {"3, 5,  9", '1'}, {"3  5 9", '1'},
        {"3 5", '0'},    {"5 3 9", '0'},     {"3 5 9 9", '0'},  {"359", '0'},
        {"3;5;9", '?'},  {"[3,5,9]", '?'},   {"3,,5 9", '?'},   {",3 5 9", '?'},
        {"3 5 9,", '?'}, {"3 , , 5 9", '?'}, {"3 5 09", '?'},   {",", '?'},
    };
    CHECK_ROWS("number_sorting", "3 5 9", list);
    static const struct row word[] = {
        {"enots", '1'},     {" enots ", '1'},   {"stone", '0'}, {"enot", '0'},
        {"enotss", '0'},    {"e n o t s", '?'}, {"Enots", '?'}, {"enots.", '?'},
        {"\"enots\"", '?'}, {"", '?'},
    };
    CHECK_ROWS("spell_backward", "enots", word);
    static const struct row text[] = {{"New  York", '1'}, {"New\nYork", '1'},
                                      {"new york", '0'},  {"New York City", '0'},
                                      {"NewYork", '0'},   {"New Yorz", '0'},
                                      {"New Yor", '0'},   {"", '?'}};
    CHECK_ROWS("jsonl", "New York", text);
    static const struct row number[] = {{"1,000", '1'}, {"1000.0", '1'}, {"ten", '?'}};
    CHECK_ROWS("jsonl", "1000", number);
    struct verdict v = score("answer", "jsonl", "", "<answer>5</answer>", 18);
    assert_int_equal(v.status, VERDICT_NOT_SCORABLE);
    v = score("answer", "nonsense", "5", "<answer>5</answer>", 18);
    assert_int_equal(v.status, VERDICT_NOT_SCORABLE);
}

static void test_answer_is_the_one_after_the_thinking(void **state) {
    (void)state;
    static const struct {
        const char *text, *answer; /* NULL: none */
    } rows[] = {
        {"<think>a</think><answer>5</answer>", "5"},
        {"<answer> 5\n</answer>", "5"},
        {"5=<think>a</think> so <answer>5</answer> it is", "5"},
        {"<think><answer>4</answer></think><answer>5</answer>", "5"},
        {"<answer>4</answer></think><answer>5</answer>", "5"},
        {"<think>a</think><answer>4</answer></think><answer>5</answer>", "5"},
        {"<think>a</think><answer></answer>", ""},
        {"<think>a</think><answer> </answer>", ""},
        {"<think>a</think><answer>4</answer><answer>5</answer>", NULL},
        {"<think>a</think><answer>4<answer>5</answer>", NULL},
        {"<think>a</think><answer>4</answer>5</answer>", NULL},
        {"<think>a</think></answer>5<answer>", NULL},
        {"<think><answer>5</answer>", NULL},
        {"<think><answer>5</answer></think>", NULL},
        {"<think>a</think><think><answer>5</answer>", NULL},
        {"<answer>5</answer><think>", NULL},
        {"<answer>4</think>5</answer>", NULL},
        {"<think>a</think>5", NULL},
        {"<think>a</think><answer>5", NULL},
        {"<think>a</think>5</answer>", NULL},
        {"<think>a</think><ANSWER>5</ANSWER>", NULL},
        {"<think>a</think><answer >5</answer>", NULL},
        {"<answer", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n;
        const char *text = rows[i].text;
        const char *answer = checker_answer_span(text, strlen(text), &n);
        if (!answer != !rows[i].answer) fail_msg("%s", text);
        if (!answer) continue;
        assert_int_equal(n, strlen(rows[i].answer));
        assert_memory_equal(answer, rows[i].answer, n);
    }
    static const char nul[] = "<think>\0</think><answer>5</answer>";
    size_t n;
    assert_non_null(checker_answer_span(nul, sizeof nul - 1, &n));
    assert_int_equal(n, 1);
    assert_null(checker_answer_span(NULL, 0, &n));
    static const char inside[] = "<think></think><answer>5\0</answer>";
    struct verdict v = score("answer", "gcd", "5", inside, sizeof inside - 1);
    assert_int_equal(v.status, VERDICT_UNPARSABLE);
}

static void test_format_wants_two_blocks_and_nothing_else(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int want;
    } rows[] = {
        {"<think>a</think><answer>5</answer>", 1},
        {"<think></think><answer>5</answer>", 1},
        {"<think>a\nb</think>\n \t<answer>\n5\n</answer>", 1},
        {"<think>a</think><answer></answer>", 0},
        {"<think>a</think><answer> \n</answer>", 0},
        {" <think>a</think><answer>5</answer>", 0},
        {"<think>a</think><answer>5</answer>\n", 0},
        {"<think>a</think><answer>5</answer>!", 0},
        {"<think>a</think>so<answer>5</answer>", 0},
        {"<think>a</think><answer>5</answer><answer>5</answer>", 0},
        {"<think>a</think><think>a</think><answer>5</answer>", 0},
        {"<think><answer>5</answer></think>", 0},
        {"<think><answer>a</think>5</answer>", 0},
        {"<answer>5</answer><think>a</think>", 0},
        {"</think>a<think><answer>5</answer>", 0},
        {"<think>a</think></answer>5<answer>", 0},
        {"<answer>5</answer>", 0},
        {"<think>a</think>", 0},
        {"<think>a</think><answer>5", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct verdict v =
            score("format", "gcd", "5", rows[i].text, strlen(rows[i].text));
        assert_int_equal(v.status, VERDICT_OK);
        if (v.score != rows[i].want) fail_msg("%s: %s", rows[i].text, v.detail);
    }
}

/* Tags and bytes at random, NULs among them, in a block of their exact size. */
static void test_checkers_survive_random_bytes(void **state) {
    (void)state;
    static const char *const pieces[] = {"<think>", "</think>", "<answer>", "</answer>",
                                         "44",      "+",        "(",        ")",
                                         "=",       "/",        "0",        ",",
                                         " ",       "-"};
    static const struct {
        const char *kind, *gold;
    } kinds[] = {{"countdown", "19,35,44=>98"},
                 {"chain_sum", "5"},
                 {"products", "5"},
                 {"gcd", "5"},
                 {"number_sorting", "3 5"},
                 {"spell_backward", "ab"},
                 {"gsm8k", "5"},
                 {"jsonl", "a b"},
                 {"countdown", "rubbish"}};
    for (uint32_t round = 0; round < 4000; round++) {
        struct rng_key key = {1, RNG_TEST, 0, round, 0};
        struct buf text = {0};
        uint32_t at = 0;
        bool tagged = round % 2;
        if (tagged) buf_puts(&text, "<think></think><answer>");
        for (uint64_t n = rng_below(&key, at++, 30); n; n--) {
            uint64_t k = rng_below(&key, at++, tagged ? 24 : 18);
            char byte = (char)rng_below(&key, at++, 256);
            if (tagged) k = k < 4 ? 20 : k;
            if (k < 14) buf_puts(&text, pieces[k]);
            else buf_push(&text, &byte, 1);
        }
        if (tagged) buf_puts(&text, "</answer>");
        char *exact = mem_new(text.len + 1, 1);
        memcpy(exact, buf_text(&text), text.len);
        memset(exact + text.len, '7', 1);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            for (int c = 0; checker_name_at(c); c++) {
                if (strcmp(checker_name_at(c), "code") == 0) continue; /* runs programs */
                score(checker_name_at(c), kinds[k].kind, kinds[k].gold, exact, text.len);
            }
        mem_free(exact);
        buf_clear(&text);
    }
}

static void test_checkers_are_found_by_name(void **state) {
    (void)state;
    struct err err = {0};
    const struct checker *c;
    assert_string_equal(checker_name(find("answer")), "answer");
    assert_string_equal(checker_version(find("answer"), "countdown"), "countdown/1");
    assert_string_equal(checker_version(find("format"), "countdown"), "format/1");
    assert_null(checker_version(find("answer"), "nonsense"));
    assert_int_equal(checker_find(&c, "fromat", &err), -1);
    assert_null(c);
    assert_int_equal(err.code, EX_CONFIG);
    assert_non_null(strstr(err.msg, "\"format\""));
    assert_null(checker_name_at(-1));
    assert_string_equal(checker_name_at(2), "partial");
    for (int i = 0; checker_name_at(i); i++)
        assert_string_equal(checker_name(find(checker_name_at(i))), checker_name_at(i));
}

static double partial(const char *kind, const char *gold, const char *answer) {
    char text[256];
    snprintf(text, sizeof text, "<think></think><answer>%s</answer>", answer);
    return score("partial", kind, gold, text, strlen(text)).score;
}

/* Characters in their place, or words where the gold has several. */
static void test_partial_gives_part_for_part_of_the_answer(void **state) {
    (void)state;
    assert_float_equal(partial("spell_backward", "cwom", "cwom"), 1, 0);
    assert_float_equal(partial("spell_backward", "cwom", "cwam"), 0.75, 0);
    assert_float_equal(partial("spell_backward", "cwom", "cw"), 0.5, 0);
    assert_float_equal(partial("spell_backward", "cwom", "cwomm"), 0.8, 1e-12);
    assert_float_equal(partial("spell_backward", "cwom", "mowc"), 0, 0);
    assert_float_equal(partial("spell_backward", "cwom", "3"), 0, 0); /* unparsable */
    assert_float_equal(partial("chain_sum", "132", "135"), 2.0 / 3, 1e-12);
    assert_float_equal(partial("number_sorting", "5 10 99", "5 10 99"), 1, 0);
    assert_float_equal(partial("number_sorting", "5 10 99", "5 9 99"), 2.0 / 3, 1e-12);
    assert_float_equal(partial("number_sorting", "5 10 99", "5"), 1.0 / 3, 1e-12);
    assert_float_equal(partial("countdown", "19,35,44=>98", "19+35"), 0, 0);
    assert_float_equal(partial("countdown", "19,35,44=>98", "19+35+44"), 1, 0);
}

static void test_verdicts_have_names_and_failures(void **state) {
    (void)state;
    struct verdict v;
    assert_string_equal(verdict_status_name(VERDICT_OK), "ok");
    assert_string_equal(verdict_status_name(VERDICT_NOT_SCORABLE), "not_scorable");
    for (int i = 0; i < VERDICT_N_STATUS; i++)
        assert_true(*verdict_status_name((enum verdict_status)i) != 0);
    assert_false(verdict_is_failure(VERDICT_OK));
    assert_false(verdict_is_failure(VERDICT_UNPARSABLE));
    assert_false(verdict_is_failure(VERDICT_NOT_SCORABLE));
    assert_true(verdict_is_failure(VERDICT_UNDECIDED));
    assert_true(verdict_is_failure(VERDICT_TIMEOUT));
    assert_true(verdict_is_failure(VERDICT_LIMIT));
    assert_true(verdict_is_failure(VERDICT_CRASHED));
    char text[500];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_true(verdict_set(&v, VERDICT_OK, 1, "%s", text) == 1);
    assert_int_equal(strlen(v.detail), sizeof v.detail - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_countdown_scores_by_the_closed_grammar),
        cmocka_unit_test(test_countdown_is_exact),
        cmocka_unit_test(test_countdown_stays_within_budgets),
        cmocka_unit_test(test_integer_kinds_take_plain_integers_only),
        cmocka_unit_test(test_gsm8k_compares_decimals_exactly),
        cmocka_unit_test(test_lists_words_and_texts),
        cmocka_unit_test(test_answer_is_the_one_after_the_thinking),
        cmocka_unit_test(test_format_wants_two_blocks_and_nothing_else),
        cmocka_unit_test(test_checkers_survive_random_bytes),
        cmocka_unit_test(test_checkers_are_found_by_name),
        cmocka_unit_test(test_partial_gives_part_for_part_of_the_answer),
        cmocka_unit_test(test_verdicts_have_names_and_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
