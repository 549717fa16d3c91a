/* tests/test_args.c: the command line of one command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/args.h"

struct parsed {
    const char *file, *out;
    bool force;
    int n;
    double rate;
    struct arg_list set, rest;
};

enum { MAX_WORDS = 100 };

static int read_words(struct parsed *p, int argc, const char *const *word,
                      struct err *err) {
    char *argv[MAX_WORDS];
    const struct arg arg[] = {
        {.name = "FILE",
         .type = ARG_STRING,
         .value = &p->file,
         .required = true,
         .help = "what to read"},
        {.name = "--out",
         .type = ARG_STRING,
         .value = &p->out,
         .value_name = "DIR",
         .help = "where to write"},
        {.name = "--force", .type = ARG_FLAG, .value = &p->force, .help = "anyway"},
        {.name = "--n",
         .type = ARG_INT,
         .value = &p->n,
         .min = 1,
         .max = 10,
         .help = "count"},
        {.name = "--rate", .type = ARG_DOUBLE, .value = &p->rate, .help = "speed"},
        {.name = "--set",
         .type = ARG_LIST,
         .value = &p->set,
         .value_name = "KEY=VALUE",
         .help = "override"},
        {.name = "REST", .type = ARG_LIST, .value = &p->rest, .help = "more"},
    };
    const struct args args = {"test", "do a thing", arg, 7, "A note."};
    *p = (struct parsed){.out = "default", .n = 3};
    memset(err, 0, sizeof *err);
    for (int i = 0; i < argc; i++) argv[i + 1] = (char *)(uintptr_t)word[i];
    int rc = args_read(&args, argc + 1, argv, err);
    if (rc == 1) {
        static const char *const lines[] = {
            "usage: hone test FILE [REST...] [options]\n",
            "\ndo a thing\n",
            "\n  --out DIR                where to write\n",
            "\n  --set KEY=VALUE          override (may be repeated)\n",
            "\n  --help                   this text\n",
            "\nA note.\n"};
        struct buf text = {0};
        args_print_help(&args, &text);
        for (int i = 0; i < 6; i++) assert_non_null(strstr(buf_text(&text), lines[i]));
        buf_clear(&text);
    }
    return rc;
}

#define WORDS(...)                                                                       \
    (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), (const char *[]) {    \
        __VA_ARGS__                                                                      \
    }

static void refuse(const char *message, int argc, const char *const *word) {
    struct parsed p;
    struct err err;
    assert_int_equal(read_words(&p, argc, word, &err), -1);
    assert_int_equal(err.code, EX_USAGE);
    assert_string_equal(err.msg, message);
}

static void test_args_reads_options_anywhere(void **state) {
    (void)state;
    struct parsed p;
    struct err err;
    assert_int_equal(read_words(&p,
                                WORDS("--n", "10", "a", "--out=b=c", "--set", "x=1", "d",
                                      "--rate=-2.5e1", "--set=y", "--force", "-"),
                                &err),
                     0);
    assert_string_equal(p.file, "a");
    assert_string_equal(p.out, "b=c");
    assert_true(p.force && p.n == 10 && p.rate == -25);
    assert_int_equal(p.set.n, 2);
    assert_string_equal(p.set.item[0], "x=1");
    assert_string_equal(p.set.item[1], "y");
    assert_int_equal(p.rest.n, 2);
    assert_string_equal(p.rest.item[1], "-");
}

static void test_args_keeps_defaults(void **state) {
    (void)state;
    struct parsed p;
    struct err err;
    assert_int_equal(read_words(&p, WORDS("a"), &err), 0);
    assert_string_equal(p.out, "default");
    assert_true(!p.force && p.n == 3);
}

static void test_args_two_dashes_end_the_options(void **state) {
    (void)state;
    struct parsed p;
    struct err err;
    assert_int_equal(read_words(&p, WORDS("--", "--force", "--help"), &err), 0);
    assert_string_equal(p.file, "--force");
    assert_string_equal(p.rest.item[0], "--help");
    assert_false(p.force);
}

static void test_args_help_wins_over_what_is_missing(void **state) {
    (void)state;
    struct parsed p;
    struct err err;
    assert_int_equal(read_words(&p, WORDS("--help"), &err), 1);
    assert_int_equal(read_words(&p, WORDS("--bad", "-h"), &err), 1);
}

static void test_args_errors(void **state) {
    (void)state;
    refuse("FILE is missing", WORDS("--force"));
    refuse("no such option '--ouput'; did you mean '--out'?", WORDS("a", "--ouput=3"));
    refuse("no such option '-x'; valid are --out, --force, --n, --rate, --set and --help",
           WORDS("-x"));
    refuse("--out: its value is missing", WORDS("a", "--out"));
    refuse("--out: given twice", WORDS("a", "--out=b", "--out=c"));
    refuse("--force: takes no value", WORDS("a", "--force=1"));
    refuse("--n: must be a whole number, found '3x'", WORDS("a", "--n", "3x"));
    refuse("--n: must be a whole number, found ''", WORDS("a", "--n="));
    refuse("--n: must be a whole number, found '99999999999'",
           WORDS("a", "--n=99999999999"));
    refuse("--n: must be from 1 to 10, found 11", WORDS("a", "--n=11"));
    refuse("--rate: must be a number, found 'nan'", WORDS("a", "--rate=nan"));
    const char *many[ARG_LIST_MAX + 2];
    for (int i = 0; i < ARG_LIST_MAX + 2; i++) many[i] = "w";
    refuse("REST: at most 64 of them", ARG_LIST_MAX + 2, many);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_args_reads_options_anywhere),
        cmocka_unit_test(test_args_keeps_defaults),
        cmocka_unit_test(test_args_two_dashes_end_the_options),
        cmocka_unit_test(test_args_help_wins_over_what_is_missing),
        cmocka_unit_test(test_args_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
