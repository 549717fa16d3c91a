/* tests/test_problem.c: specs, generators, teachers and the split. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/hash.h"
#include "reward/checker.h"

static struct problem_set *open_set(const char *spec, uint64_t seed) {
    struct err err = {0};
    struct problem_set *set;
    if (problem_set_open(&set, spec, seed, &err) != 0) fail_msg("%s: %s", spec, err.msg);
    return set;
}

static const struct checker *find(const char *name) {
    struct err err = {0};
    const struct checker *c;
    assert_int_equal(checker_find(&c, name, &err), 0);
    return c;
}

/* Settings of every generator, each of which is tried in both splits. */
static const char *const settings[] = {
    "countdown:",
    "countdown:numbers=2,",
    "countdown:numbers=3,trace=search,",
    "countdown:numbers=4,trace=search,tries=8,",
    "countdown:numbers=5,values=1-20,",
    "chain_sum:",
    "chain_sum:terms=2-6,digits=1-4,ops=+,trace=digits,",
    "chain_sum:terms=2-4,digits=1-3,trace=digits,",
    "chain_sum:terms=10,digits=9,ops=+,",
    "products:",
    "products:digits_a=1,digits_b=2-3,",
    "products:digits_a=6,digits_b=6,",
    "gcd:",
    "gcd:count=2-4,max=1000,",
    "gcd:count=8,max=1000000,",
    "number_sorting:",
    "number_sorting:order=desc,max=999,",
    "number_sorting:order=both,count=16,max=1000000,",
    "number_sorting:count=2,",
    "spell_backward:",
    "spell_backward:length=32,",
    "spell_backward:length=8,letters=2,",
};
#define N_SETTINGS (sizeof settings / sizeof *settings)

static struct problem_set *open_setting(size_t k, const char *rest, uint64_t seed) {
    char spec[200];
    snprintf(spec, sizeof spec, "%s%s", settings[k], rest);
    return open_set(spec, seed);
}

static void expect_right(const char *checker, const struct problem *p, const char *text) {
    struct verdict v;
    checker_score(find(checker), p, text, strlen(text), &v);
    if (v.status != VERDICT_OK || v.score != 1)
        fail_msg("%s: %s says %s of %s", p->prompt, checker, v.detail, text);
}

static void test_problem_teacher_is_always_right(void **state) {
    (void)state;
    for (size_t k = 0; k < 2 * N_SETTINGS; k++) {
        struct problem_set *set =
            open_setting(k / 2, k % 2 ? "split=test,n=10" : "split=train", 3);
        int n = problem_set_size(set) < 300 ? problem_set_size(set) : 300;
        struct arena arena = {0};
        for (int i = 0; i < n; i++) {
            struct problem p;
            problem_set_get(set, i, &arena, &p);
            assert_non_null(p.trace);
            expect_right("answer", &p, p.trace);
            expect_right("format", &p, p.trace);
        }
        arena_clear(&arena);
        problem_set_close(set);
    }
}

/* The numbers of a text; returns how many. */
static int read_numbers(const char *s, int64_t *num) {
    int n = 0;
    while (*s) {
        char *end;
        num[n] = strtoll(s, &end, 10);
        if (end > s) n++;
        s = end > s ? end : s + 1;
    }
    return n;
}

static int compare_numbers(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The reference answer worked out again from the prompt, another way. */
static void expect_gold(const struct problem *p) {
    int64_t num[64], gold[64];
    int n = read_numbers(p->prompt, num), n_gold = read_numbers(p->gold, gold);
    if (strcmp(p->kind, "chain_sum") == 0) {
        int64_t total = 0; /* read_numbers takes the signs along */
        for (int i = 0; i < n; i++) total += num[i];
        assert_int_equal(gold[0], total);
    } else if (strcmp(p->kind, "products") == 0) {
        assert_int_equal(gold[0], num[0] * num[1]);
    } else if (strcmp(p->kind, "gcd") == 0) {
        int64_t least = num[0], d;
        for (int i = 1; i < n; i++) least = num[i] < least ? num[i] : least;
        for (d = least; d > 1; d--) {
            int divided = 0;
            while (divided < n && num[divided] % d == 0) divided++;
            if (divided == n) break;
        }
        assert_int_equal(gold[0], d);
    } else if (strcmp(p->kind, "number_sorting") == 0) {
        qsort(num, (size_t)n, sizeof *num, compare_numbers);
        bool falls = strncmp(p->prompt, "desc ", 5) == 0;
        assert_true(falls || strncmp(p->prompt, "asc ", 4) == 0);
        assert_int_equal(n, n_gold);
        for (int i = 0; i < n; i++) assert_int_equal(gold[i], num[falls ? n - 1 - i : i]);
    } else if (strcmp(p->kind, "spell_backward") == 0) {
        size_t len = strlen(p->gold);
        assert_int_equal(len, strlen(p->prompt + 4));
        for (size_t i = 0; i < len; i++)
            assert_int_equal(p->gold[i], p->prompt[4 + len - 1 - i]);
    } else {
        assert_string_equal(p->gold, p->key);
    }
}

static void test_problem_gold_is_right(void **state) {
    (void)state;
    for (size_t k = 0; k < N_SETTINGS; k++) {
        struct problem_set *set = open_setting(k, "split=train", 6);
        struct arena arena = {0};
        for (int i = 0; i < 60; i++) {
            struct problem p;
            problem_set_get(set, i, &arena, &p);
            expect_gold(&p);
        }
        arena_clear(&arena);
        problem_set_close(set);
    }
}

/* Drops the four tags, which are no characters of the policy. */
static void without_tags(const char *trace, struct buf *out) {
    while (*trace) {
        const char *tag = strncmp(trace, "<think>", 7) == 0     ? "<think>"
                          : strncmp(trace, "</think>", 8) == 0  ? "</think>"
                          : strncmp(trace, "<answer>", 8) == 0  ? "<answer>"
                          : strncmp(trace, "</answer>", 9) == 0 ? "</answer>"
                                                                : "";
        if (!*tag) buf_push(out, trace, 1);
        trace += *tag ? strlen(tag) : 1;
    }
}

static void test_problem_alphabet_covers_prompts_and_traces(void **state) {
    (void)state;
    for (size_t k = 0; k < N_SETTINGS; k++) {
        struct problem_set *set = open_setting(k, "split=train", 4);
        const char *alphabet = problem_set_alphabet(set);
        for (const char *c = alphabet; c[0] && c[1]; c++) assert_true(c[0] < c[1]);
        struct arena arena = {0};
        struct buf text = {0};
        for (int i = 0; i < 300; i++) {
            struct problem p;
            problem_set_get(set, i, &arena, &p);
            buf_puts(&text, p.prompt);
            without_tags(p.trace, &text);
        }
        if (strspn(buf_text(&text), alphabet) != text.len)
            fail_msg("%s: %s", settings[k], alphabet);
        buf_clear(&text);
        arena_clear(&arena);
        problem_set_close(set);
    }
}

/* The rules of the house for prompts: short, and without the answer. A countdown's prompt
 * is its whole statement; the answer is an expression that is not in it. */
static void test_problem_prompt_does_not_hold_the_answer(void **state) {
    (void)state;
    static const char *const specs[] = {"chain_sum:terms=2-3,digits=3,ops=+",
                                        "products:digits_a=2-3,digits_b=2-3",
                                        "number_sorting:count=5,max=99",
                                        "spell_backward:length=6-8", "countdown"};
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++) {
        struct problem_set *set = open_set(specs[k], 5);
        struct arena arena = {0};
        int leaks = 0;
        for (int i = 0; i < 200; i++) {
            struct problem p;
            problem_set_get(set, i, &arena, &p);
            leaks += strstr(p.prompt, p.gold) != NULL;
            assert_true(strlen(p.prompt) <= 40);
            struct verdict v;
            checker_score(find("answer"), &p, p.prompt, strlen(p.prompt), &v);
            assert_int_equal(v.status, VERDICT_UNPARSABLE);
        }
        /* A sorted list or a palindrome may come up by chance. */
        if (leaks > 6) fail_msg("%s: %d", specs[k], leaks);
        arena_clear(&arena);
        problem_set_close(set);
    }
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void test_problem_splits_share_no_key_whatever_the_seed(void **state) {
    (void)state;
    static const char *const kinds[] = {"countdown:numbers=2,",
                                        "chain_sum:terms=2,digits=1-2,",
                                        "products:",
                                        "gcd:max=40,",
                                        "number_sorting:count=2-3,max=20,order=both,",
                                        "spell_backward:length=2-3,letters=8,"};
    static const char *const rest[] = {"split=test,n=40", "split=train"};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const char *key[2][2000];
        size_t n[2] = {0, 0};
        struct arena arena = {0};
        for (int side = 0; side < 2; side++) {
            for (uint64_t seed = 0; seed < 5; seed++) {
                char spec[200];
                snprintf(spec, sizeof spec, "%s%s", kinds[k], rest[side]);
                struct problem_set *set = open_set(spec, seed * 1000003);
                for (int i = 0; i < (side ? 400 : 40); i++) {
                    struct problem p;
                    problem_set_get(set, i, &arena, &p);
                    key[side][n[side]++] = p.key;
                    bool test = hash_bytes(p.key, strlen(p.key), 0) % 10 == 0;
                    assert_int_equal(test, side == 0);
                }
                problem_set_close(set);
            }
        }
        qsort(key[1], n[1], sizeof key[1][0], compare_keys);
        for (size_t i = 0; i < n[0]; i++)
            assert_null(
                bsearch(&key[0][i], key[1], n[1], sizeof key[1][0], compare_keys));
        arena_clear(&arena);
    }
}

static void test_problem_finite_sets_hold_no_problem_twice(void **state) {
    (void)state;
    static const char *const specs[] = {
        "countdown:split=test", "chain_sum:terms=2,digits=1,split=train,n=78",
        "products:digits_a=1,digits_b=1,split=train,n=30",
        "spell_backward:length=2,letters=26,split=test,n=40", "gcd:split=test,n=100"};
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++) {
        struct problem_set *set = open_set(specs[k], 1);
        int n = problem_set_size(set);
        const char *key[500];
        struct arena arena = {0};
        assert_true(n <= 500);
        for (int i = 0; i < n; i++) {
            struct problem p;
            problem_set_get(set, i, &arena, &p);
            key[i] = p.key;
        }
        qsort(key, (size_t)n, sizeof *key, compare_keys);
        for (int i = 1; i < n; i++) assert_string_not_equal(key[i - 1], key[i]);
        arena_clear(&arena);
        problem_set_close(set);
    }
}

static void expect_same(const struct problem *a, const struct problem *b) {
    assert_string_equal(a->kind, b->kind);
    assert_string_equal(a->key, b->key);
    assert_string_equal(a->prompt, b->prompt);
    assert_string_equal(a->gold, b->gold);
    assert_string_equal(a->trace, b->trace);
}

static void test_problem_is_a_function_of_its_address(void **state) {
    (void)state;
    for (size_t k = 0; k < N_SETTINGS; k++) {
        struct problem_set *a = open_setting(k, "split=train", 9);
        struct problem_set *b = open_set(problem_set_spec(a), 77); /* it names its seed */
        struct problem_set *late = open_setting(k, "offset=20", 9);
        struct problem_set *other = open_setting(k, "split=train", 10);
        struct problem p[50], q;
        struct arena arena = {0};
        int differ = 0;
        for (int i = 0; i < 50; i++) problem_set_get(a, i, &arena, &p[i]);
        for (int i = 49; i >= 0; i--) {
            problem_set_get(b, i, &arena, &q);
            expect_same(&p[i], &q);
            if (i < 20) continue;
            problem_set_get(late, i - 20, &arena, &q);
            expect_same(&p[i], &q);
            problem_set_get(other, i, &arena, &q);
            differ += strcmp(p[i].prompt, q.prompt) != 0;
        }
        assert_true(differ >= 10);
        assert_string_equal(problem_set_spec(a), problem_set_spec(b));
        assert_int_equal(problem_set_size(a), INT_MAX);
        problem_set_get(a, INT_MAX - 1, &arena, &q);
        arena_clear(&arena);
        problem_set_close(a);
        problem_set_close(b);
        problem_set_close(late);
        problem_set_close(other);
    }
}

/* These bytes are part of the contract: a change makes recorded runs unreplayable. */
static void test_problem_first_of_seed_1_is_pinned(void **state) {
    (void)state;
    static const char *const specs[] = {"countdown",
                                        "countdown:trace=search",
                                        "chain_sum:trace=digits,terms=3",
                                        "products",
                                        "gcd",
                                        "number_sorting",
                                        "spell_backward"};
    struct buf all = {0};
    struct arena arena = {0};
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++) {
        struct problem_set *set = open_set(specs[k], 1);
        for (int i = 0; i < 100; i++) {
            struct problem p;
            problem_set_get(set, i, &arena, &p);
            buf_printf(&all, "%s %s %s %s\n", p.key, p.prompt, p.gold, p.trace);
        }
        problem_set_close(set);
    }
    char hex[17];
    hash_hex(hash_bytes(buf_text(&all), all.len, 0), hex);
    assert_string_equal(hex, "5da550901d6cb5b5");
    buf_clear(&all);
    arena_clear(&arena);
}

static void test_problem_offset_of_a_finite_set_continues_it(void **state) {
    (void)state;
    struct problem_set *whole = open_set("gcd:split=test,n=60", 2);
    struct problem_set *rest = open_set("gcd:split=test,n=25,offset=35", 2);
    struct arena arena = {0};
    for (int i = 0; i < 25; i++) {
        struct problem p, q;
        problem_set_get(whole, 35 + i, &arena, &p);
        problem_set_get(rest, i, &arena, &q);
        expect_same(&p, &q);
    }
    arena_clear(&arena);
    problem_set_close(whole);
    problem_set_close(rest);
}

static void test_problem_spec_errors_say_what_is_valid(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        int code;
        const char *words;
    } rows[] = {
        {"", EX_CONFIG, "no problem kind"},
        {"countdwn", EX_CONFIG, "nearest is \"countdown\""},
        {"chain-sum:n=3", EX_CONFIG, "nearest is \"chain_sum\""},
        {"countdown:", EX_CONFIG, "nothing follows"},
        {"countdown:nubers=3", EX_CONFIG, "nearest is \"numbers\""},
        {"countdown:sed=3", EX_CONFIG, "nearest is \"seed\""},
        {"countdown:numbers=9", EX_CONFIG,
         "numbers=9: it must be an integer, or a range"},
        {"countdown:numbers=9", EX_CONFIG, "from 2 to 5"},
        {"countdown:numbers=4-3", EX_CONFIG, "from 2 to 5"},
        {"countdown:numbers=", EX_CONFIG, "numbers="},
        {"countdown:numbers=3x", EX_CONFIG, "numbers=3x"},
        {"countdown:numbers=3-", EX_CONFIG, "numbers=3-"},
        {"countdown:numbers= 3", EX_CONFIG, "numbers= 3"},
        {"countdown:numbers=99999999999999999999", EX_CONFIG, "from 2 to 5"},
        {"countdown:tries=1-2", EX_CONFIG, "from 1 to 8"},
        {"countdown:trace=serach", EX_CONFIG, "one of direct|search"},
        {"countdown:trace=", EX_CONFIG, "one of direct|search"},
        {"countdown:trace=direct|search", EX_CONFIG, "one of direct|search"},
        {"countdown:n=3,n=4", EX_CONFIG, "n is given twice"},
        {"countdown:n=3,", EX_CONFIG, "key=value"},
        {"countdown:n=3,,seed=1", EX_CONFIG, "key=value"},
        {"countdown:n=0", EX_CONFIG, "from 1 to"},
        {"countdown:n=-1", EX_CONFIG, "from 1 to"},
        {"countdown:split=dev", EX_CONFIG, "one of train|test|all"},
        {"countdown:split=all", EX_CONFIG, "train or test"},
        {"countdown:seed=18446744073709551616", EX_CONFIG, "18446744073709551615"},
        {"countdown:=3", EX_CONFIG, "key=value"},
        {"countdown:n=10000000,offset=1000000000", EX_CONFIG, "n + offset"},
        {"countdown:none.jsonl,numbers=3", EX_CONFIG,
         "no parameter \"numbers\" for a file"},
        {"countdown:none.jsonl", EX_NOINPUT, "none.jsonl"},
        {"jsonl:./a=b.jsonl", EX_NOINPUT, "./a=b.jsonl"},
        {"gsm8k", EX_CONFIG, "gsm8k:FILE"},
        {"gsm8k:n=3", EX_CONFIG, "gsm8k:FILE"},
        {"gcd:some.jsonl", EX_CONFIG, "not read from files"},
        {"products:digits_a=1,digits_b=1,split=test,n=200", EX_CONFIG,
         "distinct problems"},
        {"countdown:values=1-2,target=9000-9999", EX_DATAERR,
         "no problem of split train"},
        {"countdown:values=1-2,target=9000-9999,n=2", EX_DATAERR, "only 0 distinct"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = {0};
        struct problem_set *set = (struct problem_set *)&err;
        assert_int_equal(problem_set_open(&set, rows[i].spec, 1, &err), -1);
        assert_null(set);
        if (err.code != rows[i].code || !strstr(err.msg, rows[i].words))
            fail_msg("%s: code %d, %s", rows[i].spec, err.code, err.msg);
    }
    problem_set_close(NULL);
}

static void test_problem_spec_is_written_out(void **state) {
    (void)state;
    struct problem_set *set = open_set("countdown:numbers=3,split=test", 42);
    assert_string_equal(
        problem_set_spec(set),
        "countdown:numbers=3,values=1-99,target=10-99,trace=direct,tries=3,"
        "split=test,n=500,offset=0,seed=42");
    assert_int_equal(problem_set_size(set), 500);
    problem_set_close(set);
    set = open_set("chain_sum:ops=+,seed=18446744073709551615", 42);
    assert_non_null(strstr(problem_set_spec(set), ",ops=+,"));
    assert_non_null(strstr(problem_set_spec(set), "seed=18446744073709551615"));
    problem_set_close(set);
}

static void test_problem_kinds_have_help(void **state) {
    (void)state;
    int k = 0;
    for (; problem_kind_name(k); k++) {
        assert_non_null(strstr(problem_kind_help(k), problem_kind_name(k)));
        assert_non_null(checker_version(find("answer"), problem_kind_name(k)));
    }
    assert_int_equal(k, 9);
    assert_null(problem_kind_help(k));
    assert_null(problem_kind_name(-1));
    assert_non_null(strstr(problem_kind_help(0), "numbers=3-4  2-5  how many numbers"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_problem_teacher_is_always_right),
        cmocka_unit_test(test_problem_gold_is_right),
        cmocka_unit_test(test_problem_alphabet_covers_prompts_and_traces),
        cmocka_unit_test(test_problem_prompt_does_not_hold_the_answer),
        cmocka_unit_test(test_problem_splits_share_no_key_whatever_the_seed),
        cmocka_unit_test(test_problem_finite_sets_hold_no_problem_twice),
        cmocka_unit_test(test_problem_is_a_function_of_its_address),
        cmocka_unit_test(test_problem_first_of_seed_1_is_pinned),
        cmocka_unit_test(test_problem_offset_of_a_finite_set_continues_it),
        cmocka_unit_test(test_problem_spec_errors_say_what_is_valid),
        cmocka_unit_test(test_problem_spec_is_written_out),
        cmocka_unit_test(test_problem_kinds_have_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
