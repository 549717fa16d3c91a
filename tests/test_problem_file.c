/* tests/test_problem_file.c: problems from JSON lines, whole and broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "reward/checker.h"

static char path[64];

static int setup(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/hone-test-rows-%ld.jsonl", (long)getpid());
    return 0;
}

static int teardown(void **state) {
    (void)state;
    remove(path);
    return 0;
}

/* Opens `kind:path` + rest over a file of these n bytes. */
static int open_bytes(struct problem_set **set, const char *kind, const char *rest,
                      const char *text, size_t n, struct err *err) {
    char spec[256];
    if (file_save(path, text, n, err) != 0) fail_msg("%s", err->msg);
    snprintf(spec, sizeof spec, "%s:%s%s", kind, path, rest);
    return problem_set_open(set, spec, 1, err);
}

static struct problem_set *open_text(const char *kind, const char *rest,
                                     const char *text) {
    struct problem_set *set;
    struct err err = {0};
    if (open_bytes(&set, kind, rest, text, strlen(text), &err) != 0)
        fail_msg("%s", err.msg);
    return set;
}

static void test_file_rows_of_every_shape(void **state) {
    (void)state;
    static const struct {
        const char *kind, *line, *prompt, *gold, *trace;
    } rows[] = {
        {"jsonl", "{\"prompt\":\"a?\",\"answer\":\"b\"}", "a?", "b", NULL},
        {"jsonl", "{\"prompt\":\"a?\",\"solution\":\" b \"}", "a?", "b", NULL},
        {"jsonl", "{\"prompt\":\"a?\",\"ground_truth\":7}", "a?", "7", NULL},
        {"jsonl", "{\"prompt\":\"a?\",\"answer\":0.1}", "a?", "0.1", NULL},
        {"jsonl", "{\"prompt\":\"a?\",\"answer\":-123456789012}", "a?", "-123456789012",
         NULL},
        {"jsonl", "{\"prompt\":\"a?\",\"answer\":true}", "a?", "true", NULL},
        {"jsonl", "{\"prompt\":\"a?\",\"answer\":null}", "a?", "", NULL},
        {"jsonl", " {\"prompt\":\"a?\",\"answer\":\"b\"} \r", "a?", "b", NULL},
        {"jsonl", "{\"problem\":\"a?\",\"solution\":\"long\",\"answer\":\"b\"}", "a?",
         "b", NULL},
        {"jsonl", "{\"question\":\"a?\",\"answer\":\"so\\n#### 1,000\"}", "a?", "1,000",
         NULL},
        {"jsonl", "{\"prompt\":\"a?\",\"answer\":\"b\",\"completion\":\"c\"}", "a?", "b",
         "c"},
        {"jsonl",
         "{\"prompt\":[{\"role\":\"system\",\"content\":\"s\"},"
         "{\"role\":\"user\",\"content\":\"u\"}],"
         "\"reward_model\":{\"style\":\"rule\",\"ground_truth\":\"g\"}}",
         "s\nu", "g", NULL},
        {"jsonl", "{\"prompt\":\"a?\",\"reward_model\":{\"ground_truth\":3.50}}", "a?",
         "3.5", NULL},
        {"gsm8k", "{\"question\":\"q\",\"answer\":\"4/2=<<4/2=2>>2.\\n#### $1,002\"}",
         "q", "1002", "<think>4/2=2.</think><answer>1002</answer>"},
        {"gsm8k", "{\"question\":\"q\",\"answer\":\"a << b\\n#### 2\"}", "q", "2",
         "<think>a << b</think><answer>2</answer>"},
        {"gsm8k", "{\"question\":\"q\",\"answer\":\"####2\"}", "q", "2",
         "<think></think><answer>2</answer>"},
        {"countdown", "{\"target\":98,\"nums\":[44,19,35]}", "44 19 35=98",
         "19,35,44=>98", "<think>44+19=63;63+35=98</think><answer>44+19+35</answer>"},
        {"countdown",
         "{\"reward_model\":{\"ground_truth\":{\"target\":5,\"numbers\":[5]}}}", "5=5",
         "5=>5", "<think>5=5</think><answer>5</answer>"},
        {"countdown", "{\"target\":5,\"nums\":[0,0]}", "0 0=5", "0,0=>5", NULL},
        {"countdown", "{\"target\":9,\"nums\":[1,1,1,1,1,1,1,1,1]}",
         "1 1 1 1 1 1 1 1 1=9", "1,1,1,1,1,1,1,1,1=>9", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct problem_set *set = open_text(rows[i].kind, "", rows[i].line);
        struct arena arena = {0};
        struct problem p;
        assert_int_equal(problem_set_size(set), 1);
        problem_set_get(set, 0, &arena, &p);
        assert_string_equal(p.kind, rows[i].kind);
        assert_string_equal(p.prompt, rows[i].prompt);
        assert_string_equal(p.gold, rows[i].gold);
        assert_true(!p.trace == !rows[i].trace);
        if (p.trace) assert_string_equal(p.trace, rows[i].trace);
        arena_clear(&arena);
        problem_set_close(set);
    }
}

#define GOOD "{\"prompt\":\"a\",\"answer\":\"b\"}\n"

static void test_file_errors_name_file_and_line(void **state) {
    (void)state;
    static const struct {
        const char *kind, *text, *words;
    } rows[] = {
        {"jsonl", GOOD "\n" GOOD, ":2: an empty line"},
        {"jsonl", GOOD GOOD "  \t\n", ":3: an empty line"},
        {"jsonl", GOOD "{\"prompt\":\"a\",\"ans", ":2: not JSON, or cut short"},
        {"jsonl", GOOD "garbage\n", ":2: not JSON"},
        {"jsonl", GOOD "{\"prompt\":\"a\",\"answer\":\"b\"} x\n",
         ":2: more after the JSON"},
        {"jsonl", GOOD "[1,2]\n", ":2: not a JSON object"},
        {"jsonl", "3\n", ":1: not a JSON object"},
        {"jsonl", GOOD "{\"prompt\":\"\xff\",\"answer\":\"b\"}\n", ":2: not UTF-8"},
        {"jsonl", "{\"prompt\":\"\xed\xa0\x80\",\"answer\":\"b\"}\n", ":1: not UTF-8"},
        {"jsonl", "{\"prompt\":\"\xc0\xaf\",\"answer\":\"b\"}\n", ":1: not UTF-8"},
        {"jsonl", "{\"prompt\":\"a\\u0000b\",\"answer\":\"b\"}\n", ":1: an escaped NUL"},
        {"jsonl", "{}\n", ":1: no \"prompt\""},
        {"jsonl", "{\"prompt\":\"a\"}\n", ":1: no \"answer\""},
        {"jsonl", "{\"prompt\":3,\"answer\":\"b\"}\n", ":1: \"prompt\" must be"},
        {"jsonl", "{\"prompt\":\"\",\"answer\":\"b\"}\n", ":1: \"prompt\" must be"},
        {"jsonl", "{\"prompt\":[],\"answer\":\"b\"}\n", ":1: \"prompt\" must be"},
        {"jsonl", "{\"prompt\":[{\"content\":[]}],\"answer\":\"b\"}\n",
         ":1: \"prompt\" has"},
        {"jsonl", "{\"prompt\":[7],\"answer\":\"b\"}\n", ":1: \"prompt\" has"},
        {"jsonl", "{\"question\":\"a\",\"answer\":[1]}\n", ":1: \"answer\" must be"},
        {"gsm8k", "{\"question\":\"a\"}\n", ":1: no \"answer\""},
        {"gsm8k", "{\"answer\":\"#### 5\"}\n", ":1: no \"question\""},
        {"gsm8k", "{\"question\":\"\",\"answer\":\"#### 5\"}\n", ":1: \"question\" must"},
        {"gsm8k", "{\"question\":\"a\",\"answer\":\"5\"}\n",
         ":1: \"answer\" does not end"},
        {"gsm8k", "{\"question\":\"a\",\"answer\":\"#### five\"}\n",
         ":1: \"answer\" does not"},
        {"gsm8k", "{\"question\":\"a\",\"answer\":\"####\"}\n",
         ":1: \"answer\" does not"},
        {"countdown", "{\"nums\":[1]}\n", ":1: \"target\" must"},
        {"countdown", "{\"target\":1.5,\"nums\":[1]}\n", ":1: \"target\" must"},
        {"countdown", "{\"target\":-1,\"nums\":[1]}\n", ":1: \"target\" must"},
        {"countdown", "{\"target\":1e300,\"nums\":[1]}\n", ":1: \"target\" must"},
        {"countdown", "{\"target\":1}\n", ":1: \"nums\" must"},
        {"countdown", "{\"target\":1,\"nums\":[]}\n", ":1: \"nums\" must"},
        {"countdown", "{\"target\":1,\"nums\":[1,\"2\"]}\n", "item 2 is none"},
        {"countdown", "{\"target\":1,\"nums\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}\n",
         ":1: \"nums\" must be a list of 1 to 16"},
        {"jsonl", "", ": no problem in split all"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = {0};
        struct problem_set *set;
        int rc =
            open_bytes(&set, rows[i].kind, "", rows[i].text, strlen(rows[i].text), &err);
        assert_int_equal(rc, -1);
        assert_null(set);
        assert_int_equal(err.code, EX_DATAERR);
        if (!strstr(err.msg, rows[i].words) || !strstr(err.msg, path))
            fail_msg("%s: %s", rows[i].text, err.msg);
    }
    struct err err = {0};
    struct problem_set *set;
    static const char nul[] = GOOD "{\"prompt\":\"a\0\"}\n";
    assert_int_equal(open_bytes(&set, "jsonl", "", nul, sizeof nul - 1, &err), -1);
    assert_non_null(strstr(err.msg, ":2: a NUL byte"));
    assert_int_equal(open_bytes(&set, "jsonl", ",n=2", GOOD, strlen(GOOD), &err), -1);
    assert_non_null(strstr(err.msg, "only 1 problems"));
    assert_int_equal(open_bytes(&set, "jsonl", ",offset=1", GOOD, strlen(GOOD), &err),
                     -1);
}

/* Every prefix of a good file is whole rows or an error at the last line. */
static void test_file_cut_anywhere_is_noticed(void **state) {
    (void)state;
    static const char text[] = GOOD "{\"prompt\":\"c\",\"answer\":5}\n" GOOD;
    for (size_t n = 0; n < sizeof text; n++) {
        struct err err = {0};
        struct problem_set *set;
        bool whole = n && (text[n - 1] == '\n' || text[n] == '\n' || !text[n]);
        assert_int_equal(open_bytes(&set, "jsonl", "", text, n, &err), whole ? 0 : -1);
        problem_set_close(set);
    }
}

static void test_file_splits_partition_the_rows(void **state) {
    (void)state;
    struct buf text = {0};
    for (int i = 0; i < 400; i++)
        buf_printf(&text, "{\"prompt\":\"what is %d?\",\"answer\":%d}\n", i, i);
    struct problem_set *all = open_text("jsonl", "", buf_text(&text));
    struct problem_set *train = open_text("jsonl", ",split=train", buf_text(&text));
    struct problem_set *test = open_text("jsonl", ",split=test", buf_text(&text));
    int n_test = problem_set_size(test), n_train = problem_set_size(train);
    assert_int_equal(problem_set_size(all), 400);
    assert_int_equal(n_test + n_train, 400);
    assert_true(n_test > 20 && n_test < 65);
    struct arena arena = {0};
    struct problem p, q;
    for (int i = 0, next = 0; i < 400; i++) {
        problem_set_get(all, i, &arena, &p);
        if (hash_bytes(p.key, strlen(p.key), 0) % 10) continue;
        problem_set_get(test, next++, &arena, &q);
        assert_string_equal(p.prompt, q.prompt);
    }
    struct problem_set *part =
        open_text("jsonl", ",split=train,n=5,offset=7", buf_text(&text));
    assert_int_equal(problem_set_size(part), 5);
    for (int i = 0; i < 5; i++) {
        problem_set_get(part, i, &arena, &p);
        problem_set_get(train, 7 + i, &arena, &q);
        assert_string_equal(p.prompt, q.prompt);
    }
    arena_clear(&arena);
    buf_clear(&text);
    problem_set_close(all);
    problem_set_close(train);
    problem_set_close(test);
    problem_set_close(part);
}

/* A generated countdown and the same row in a file fall on the same side. */
static void test_file_and_generator_share_keys(void **state) {
    (void)state;
    struct err err = {0};
    struct problem_set *made, *read;
    struct arena arena = {0};
    struct buf text = {0};
    struct problem p, q;
    assert_int_equal(problem_set_open(&made, "countdown:split=test,n=50", 1, &err), 0);
    for (int i = 0; i < 50; i++) {
        problem_set_get(made, i, &arena, &p);
        int n = (int)strcspn(p.prompt, "=");
        buf_printf(&text, "{\"target\": %s, \"nums\": [", p.prompt + n + 1);
        for (int k = 0; k < n; k++) {
            char c = p.prompt[k] == ' ' ? ',' : p.prompt[k];
            buf_push(&text, &c, 1);
        }
        buf_puts(&text, "]}\n");
    }
    read = open_text("countdown", ",split=test", buf_text(&text));
    assert_int_equal(problem_set_size(read), 50);
    for (int i = 0; i < 50; i++) {
        problem_set_get(made, i, &arena, &p);
        problem_set_get(read, i, &arena, &q);
        assert_string_equal(p.key, q.key);
        assert_string_equal(p.trace, q.trace);
    }
    buf_clear(&text);
    arena_clear(&arena);
    problem_set_close(made);
    problem_set_close(read);
}

static void test_file_alphabet_is_sorted_utf8_without_tags(void **state) {
    (void)state;
    struct problem_set *set = open_text(
        "jsonl", "",
        "{\"prompt\":\"\xe2\x82\xac z\",\"answer\":\"\xc3\xa9\","
        "\"completion\":\"<think>\xf0\x9f\x98\x80</think><answer>b</answer>\"}");
    assert_string_equal(problem_set_alphabet(set),
                        " -.0123456789bz\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    problem_set_close(set);
    set = open_text("countdown", ",trace=search", "{\"target\":98,\"nums\":[44,19,35]}");
    assert_string_equal(problem_set_alphabet(set), " ()*+-/0123456789;=|");
    problem_set_close(set);
}

/* The teacher of gsm8k is the file's own worked-out answer. */
static void test_file_gsm8k_traces_score_one(void **state) {
    (void)state;
    const char *folder = getenv("HONE_DATA");
    char spec[512];
    struct err err = {0};
    struct problem_set *set;
    const struct checker *answer;
    snprintf(spec, sizeof spec, "gsm8k:%s/gsm8k/test.jsonl",
             folder ? folder : "../shared/data");
    if (problem_set_open(&set, spec, 1, &err) != 0) {
        if (err.code == EX_NOINPUT) skip();
        fail_msg("%s", err.msg);
    }
    assert_int_equal(checker_find(&answer, "answer", &err), 0);
    struct arena arena = {0};
    for (int i = 0; i < problem_set_size(set); i++) {
        struct problem p;
        struct verdict v;
        problem_set_get(set, i, &arena, &p);
        checker_score(answer, &p, p.trace, strlen(p.trace), &v);
        if (v.score != 1) fail_msg("%s: %s", p.trace, v.detail);
    }
    arena_clear(&arena);
    problem_set_close(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_rows_of_every_shape),
        cmocka_unit_test(test_file_errors_name_file_and_line),
        cmocka_unit_test(test_file_cut_anywhere_is_noticed),
        cmocka_unit_test(test_file_splits_partition_the_rows),
        cmocka_unit_test(test_file_and_generator_share_keys),
        cmocka_unit_test(test_file_alphabet_is_sorted_utf8_without_tags),
        cmocka_unit_test(test_file_gsm8k_traces_score_one),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
