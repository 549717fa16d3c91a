/* tests/test_shaping.c: each shaping reward against its published numbers, and the holes of
 * the published ones. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "reward/scorer.h"

enum { MAX = 8 };

/* A group under construction; texts of tokens are their ids. */
struct bench {
    struct problem problem;
    struct completion c[MAX];
    struct verdict answer[MAX], v[MAX];
    int ids[4096];
    struct group g;
};

static struct bench b;

static void start(void) {
    b = (struct bench){.problem = {.kind = "jsonl", .key = "", .prompt = "", .gold = "1",
                                   .columns = "{}"}};
    b.g = (struct group){
        .problem = &b.problem, .completion = b.c, .max_tokens = 100, .answer = b.answer};
}

static void add(const char *text, size_t n, int n_id, bool right) {
    int i = b.g.n++;
    b.c[i] = (struct completion){text, n, b.ids, n_id};
    verdict_set(&b.answer[i], VERDICT_OK, right ? 1 : 0, "%s", "");
}

static void add_text(const char *text) { add(text, strlen(text), (int)strlen(text), false); }

static void run(const char *checker, const char *options) {
    struct scorer_config c = {.name = checker, .checker = checker, .options = options};
    struct scorer *s;
    struct err err;
    if (scorer_open(&s, &c, &err) != 0) fail_msg("%s", err.msg);
    scorer_score(s, &b.g, b.v);
    scorer_close(s);
}

/* Sample i: score in [0, 1], and the published number. */
static void expect(int i, double score, double value) {
    if (b.v[i].status != VERDICT_OK || fabs(b.v[i].score - score) > 1e-12 ||
        b.v[i].n_parts != 1 || fabs(b.v[i].part[0].value - value) > 1e-12)
        fail_msg("sample %d: %s, score %.17g, value %.17g (%s); wanted %g and %g", i,
                 verdict_status_name(b.v[i].status), b.v[i].score, b.v[i].part[0].value,
                 b.v[i].detail, score, value);
}

static void refused(const char *checker, const char *options, const char *message) {
    struct scorer_config c = {.name = checker, .checker = checker, .options = options};
    struct err err;
    assert_int_equal(scorer_check(&c, &err), -1);
    assert_int_equal(err.code, EX_CONFIG);
    if (!strstr(err.msg, message)) fail_msg("'%s' lacks '%s'", err.msg, message);
}

static void test_tag_count_counts_tags_in_their_place(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int tags;
    } row[] = {
        {"<think>a</think><answer>b</answer>", 4},
        {"<think>a</think>\n<answer>b</answer>", 4},
        {"<think>a</think><answer>b</answer>!", 3}, /* the published one gives 4 */
        {" <think>a</think><answer>b</answer>", 3},
        {"<think>a</think><answer>b", 3},
        {"</answer><answer></think><think>", 1}, /* out of order */
        {"<think><think></think></think><answer>b</answer>", 2},
        {"<think></think><answer></answer>", 4},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        start();
        add_text(row[i].text);
        run("tag_count", NULL);
        if (b.v[0].score != row[i].tags / 4.0)
            fail_msg("'%s': %g", row[i].text, b.v[0].score);
        expect(0, row[i].tags / 4.0, row[i].tags / 4.0);
    }
}

static void test_length_is_kimis(void **state) {
    (void)state;
    start();
    add("", 0, 10, true);
    add("", 0, 20, true);
    add("", 0, 30, true);
    add("", 0, 10, false);
    add("", 0, 30, false);
    run("length", NULL);
    expect(0, 1, 0.5);
    expect(1, 0.5, 0);
    expect(2, 0, -0.5);
    expect(3, 0.5, 0); /* short, but wrong */
    expect(4, 0, -0.5);
    start();
    for (int i = 0; i < 3; i++) add("", 0, 7, i == 1);
    run("length", NULL);
    for (int i = 0; i < 3; i++) expect(i, 0.5, 0);
    start();
    add("\xc3\xa9\xc3\xa9", 4, 0, true); /* two characters */
    add("abcd", 4, 9, true);
    run("length", "{\"unit\": \"characters\"}");
    expect(0, 1, 0.5);
    expect(1, 0, -0.5);
}

static void test_length_takes_no_unknown_answer_for_a_right_one(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        start();
        for (int i = 0; i < 3; i++) add("", 0, 10 + i, true);
        verdict_set(&b.answer[0], VERDICT_NOT_SCORABLE, 0, "no gold");
        verdict_set(&b.answer[1], VERDICT_TIMEOUT, 0, "late");
        run(k ? "cosine" : "length", NULL);
        assert_int_equal(b.v[0].status, VERDICT_NOT_SCORABLE);
        assert_int_equal(b.v[1].status, VERDICT_NOT_SCORABLE);
        assert_int_equal(b.v[2].status, VERDICT_OK);
        b.g.answer = NULL;
        run(k ? "cosine" : "length", NULL);
        assert_int_equal(b.v[2].status, VERDICT_NOT_SCORABLE);
    }
}

static void test_cosine_is_the_published_curve_and_clamped(void **state) {
    (void)state;
    start();
    add("", 0, 0, true);
    add("", 0, 500, true);
    add("", 0, 1000, true);
    add("", 0, 2000, true); /* the published one is back at 1 */
    add("", 0, 0, false);
    add("", 0, 500, false);
    add("", 0, 1000, false);
    add("", 0, 2000, false);
    run("cosine", "{\"max_len\": 1000}");
    expect(0, 1, 1);
    expect(1, 1.75 / 2, 0.75);
    expect(2, 1.5 / 2, 0.5);
    expect(3, 1.5 / 2, 0.5);
    expect(4, 0, -1);
    expect(5, 0.25 / 2, -0.75);
    expect(6, 0.5 / 2, -0.5);
    expect(7, 0.5 / 2, -0.5);
    run("cosine", NULL); /* of max_completion_length, 100 here */
    expect(1, 1.5 / 2, 0.5);
    refused("cosine", "{\"unit\": \"characters\"}", "options.max_len: characters need");
    refused("cosine", "{\"max_value_wrong\": 0.6}", "a wrong answer may beat a right one");
    refused("cosine", "{\"max_length\": 5}", "options: max_length: no such key; did you mean 'max_len'");
    refused("cosine", "{\"max_len\": 1.5}", "options.max_len: must be");
    refused("cosine", "{\"unit\": \"words\"}", "must be one of tokens|characters");
}

static void test_overlong_is_dapos(void **state) {
    (void)state;
    start();
    static const int len[] = {0, 60, 80, 90, 100, 5000};
    static const double r[] = {0, 0, 0, -0.5, -1, -1};
    for (int i = 0; i < 6; i++) add("x", 1, len[i], false);
    run("soft_overlong_punishment", "{\"max_len\": 100, \"cache\": 20}");
    for (int i = 0; i < 6; i++) expect(i, 1 + r[i], r[i]);
    run("soft_overlong_punishment", NULL); /* 100 and a quarter of it */
    expect(2, 0.8, -0.2);
    b.c[0].id = NULL;
    run("soft_overlong_punishment", NULL);
    assert_int_equal(b.v[0].status, VERDICT_NOT_SCORABLE);
}

static void test_repetition_counts_distinct_ngrams(void **state) {
    (void)state;
    char long_word[400];
    memset(long_word, 'a', sizeof long_word);
    start();
    add_text("one two three four five");
    add_text("a b a b a b");      /* aba bab aba bab */
    add_text("The cat the CAT the cat"); /* case does not count */
    add_text("two words");
    add_text("");
    add(long_word, sizeof long_word, 0, false);
    add_text("  spaces\n\tare   one  ");
    run("repetition_penalty", NULL);
    expect(0, 1, 0);
    expect(1, 0.5, -0.5);
    expect(2, 0.5, -0.5);
    expect(3, 1, 0);
    expect(4, 1, 0);
    assert_true(b.v[5].score < 0.3); /* no spaces are no way out */
    expect(6, 1, 0);
    start();
    for (int i = 0; i < 6; i++) b.ids[i] = i % 2;
    add("x", 1, 6, false);
    run("repetition_penalty", "{\"unit\": \"tokens\", \"ngram_size\": 2}");
    expect(0, 2.0 / 5, -3.0 / 5);
}

static void test_language_is_the_share_of_words(void **state) {
    (void)state;
    static const struct {
        const char *text, *script;
        int target, all;
    } row[] = {
        {"<think>so 3 + 4 = 7</think><answer>seven</answer>", "latin", 1, 1},
        {"<think>\xe6\x89\x80\xe4\xbb\xa5 so we get</think><answer>x</answer>", "latin", 3, 5},
        {"<think>\xe6\x89\x80\xe4\xbb\xa5 so</think>", "chinese", 2, 3},
        {"\xe3\x81\x9d\xe3\x82\x8c ka \xe6\x9c\x88", "japanese", 3, 4},
        {"\xe3\x81\x9d\xe3\x82\x8c ka \xe6\x9c\x88", "chinese", 1, 4},
        {"\xd0\xb4\xd0\xb0 yes \\frac{1}{2}", "cyrillic", 1, 2},
        {"p\xd0\xb0y", "latin", 0, 1}, /* a Cyrillic letter inside */
        {"p\xd0\xb0y", "cyrillic", 0, 1},
        {"caf\xc3\xa9 cafe\xcc\x81", "latin", 2, 2}, /* composed and not */
        {"\xed\x95\x9c\xea\xb5\xad\xec\x96\xb4 ok", "korean", 1, 2},
        {"ok \xff\xfe ok\xf0\x9f", "latin", 2, 2}, /* no UTF-8 in between */
        {"12 + 13 = 25", "latin", 0, 0},
        {"", "greek", 0, 0},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char options[64], detail[64];
        snprintf(options, sizeof options, "{\"script\": \"%s\"}", row[i].script);
        snprintf(detail, sizeof detail, "%d of %d words", row[i].target, row[i].all);
        start();
        add_text(row[i].text);
        run("language_consistency", options);
        if (strcmp(b.v[0].detail, detail) != 0)
            fail_msg("'%s' in %s: %s", row[i].text, row[i].script, b.v[0].detail);
        double share = row[i].all ? (double)row[i].target / row[i].all : 0;
        expect(0, share, share);
    }
    start();
    add("a\0b", 3, 0, false);
    run("language_consistency", NULL);
    assert_string_equal(b.v[0].detail, "2 of 2 words");
}

/* Whatever the bytes are: a verdict in range, and no end of the buffer is passed. */
static void test_shaping_bears_any_bytes(void **state) {
    (void)state;
    static const char *const name[] = {"format", "tag_count", "length", "cosine",
                                       "repetition_penalty", "soft_overlong_punishment",
                                       "language_consistency"};
    static const char piece[][12] = {"<think>", "</think>", "<answer>", "</answer>", "\\ab",
                                     "\xe6\x89", "\xe6\x89\x80", "\xff", "a ", "  ", "\n"};
    unsigned seed = 1;
    for (int round = 0; round < 300; round++) {
        char *text[4];
        start();
        for (int i = 0; i < 4; i++) {
            struct buf t = {0};
            for (int k = rand_r(&seed) % 20; k > 0; k--) {
                buf_puts(&t, piece[(size_t)rand_r(&seed) % (sizeof piece / sizeof *piece)]);
                if (rand_r(&seed) % 9 == 0) buf_push(&t, "", 1);
            }
            text[i] = malloc(t.len + 1); /* exactly, so that sanitizers see one byte more */
            text[i] = realloc(text[i], t.len ? t.len : 1);
            memcpy(text[i], buf_text(&t), t.len);
            add(text[i], t.len, rand_r(&seed) % 200, rand_r(&seed) % 2);
            buf_clear(&t);
        }
        for (size_t k = 0; k < sizeof name / sizeof *name; k++) {
            run(name[k], NULL);
            for (int i = 0; i < 4; i++)
                assert_true(b.v[i].score >= 0 && b.v[i].score <= 1);
        }
        for (int i = 0; i < 4; i++) free(text[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tag_count_counts_tags_in_their_place),
        cmocka_unit_test(test_length_is_kimis),
        cmocka_unit_test(test_length_takes_no_unknown_answer_for_a_right_one),
        cmocka_unit_test(test_cosine_is_the_published_curve_and_clamped),
        cmocka_unit_test(test_overlong_is_dapos),
        cmocka_unit_test(test_repetition_counts_distinct_ngrams),
        cmocka_unit_test(test_language_is_the_share_of_words),
        cmocka_unit_test(test_shaping_bears_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
