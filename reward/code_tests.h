/* reward/code_tests.h: what a problem's row asks of a program. Inside reward/ only.
 *
 * Three kinds of test. CODE_STDIN: what it prints for an input. CODE_CALLS: calls that go
 * into the sandbox, and what must hold of their values, which stays outside. CODE_SCRIPT:
 * test code that could not be taken apart into these; it runs in a process of its own
 * beside the program's, so its verdict rests on that process: the weaker kind.
 */
#ifndef REWARD_CODE_TESTS_H
#define REWARD_CODE_TESTS_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "reward/code_lang.h"
#include "reward/pyscan.h"
#include "reward/pyvalue.h"

enum code_relation {
    CODE_EQUAL,
    CODE_NOT_EQUAL,
    CODE_LESS,
    CODE_LESS_EQUAL,
    CODE_GREATER,
    CODE_GREATER_EQUAL,
    CODE_IN,     /* the value is one of expected's items */
    CODE_NOT_IN,
    CODE_TRUE,   /* bool(value) */
    CODE_FALSE,
    CODE_SAME,   /* `is`: None, True or False itself */
    CODE_NOT_SAME,
    CODE_NEAR,   /* abs(value - expected) < bound */
    CODE_CLOSE,  /* math.isclose */
    CODE_TYPE,   /* isinstance; expected is the type's name */
    CODE_AS_NEXT, /* equal to the value of the next check's call */
    CODE_ANY,     /* it has a value */
};

struct code_check {
    const char *call; /* a Python expression */
    enum code_relation relation;
    struct pyvalue expected;
    double bound[2]; /* NEAR: bound, whether "<="; CLOSE: rel_tol, abs_tol */
    bool loose;      /* tuples and lists alike, as the expectation came from JSON */
};

enum code_test_kind { CODE_STDIN, CODE_CALLS, CODE_SCRIPT };

struct code_test {
    enum code_test_kind kind;
    const char *input, *output; /* CODE_STDIN */
    int first, n;               /* CODE_CALLS: check[first .. first + n) must all hold */
    const char *script;         /* CODE_SCRIPT */
};

/* All of it in the arena, but for the scan of nothing. */
struct code_tests {
    const struct code_lang *lang;
    const char *setup; /* run after the program, before its calls */
    double timeout_s;   /* of a run, as the row has it; 0: as the option */
    const char *before; /* put before the program (HumanEval's prompt); "" */
    struct code_test *test; /* [n] */
    struct code_check *check; /* [n_checks] */
    int n, n_checks, cap, cap_checks;
};

/* Reads the tests of a row. -1 with EX_DATAERR: a shape that is none of those that
 * docs/code.md lists, or a language that is unknown or not on this machine. No test at all
 * is no error: n is 0. `lang` is for rows that name none. */
MUST_USE int code_tests_read(struct code_tests *t, const cJSON *row, const char *lang,
                             struct arena *arena, struct err *err);

/* Adds a test of each kind. */
void code_add_stdin(struct code_tests *t, const char *input, const char *output,
                    struct arena *arena);
void code_add_script(struct code_tests *t, const char *script, struct arena *arena);
/* A check of the test that code_add_calls began. */
void code_add_calls(struct code_tests *t, struct arena *arena);
void code_add_check(struct code_tests *t, const struct code_check *c, struct arena *arena);

/* Adds the statement, one logical line `assert ...`, as CODE_CALLS where it can be taken
 * apart. False, and nothing added, where it cannot. `trusted` is test code: a name that it
 * defines is never called inside the sandbox. */
bool code_add_assert(struct code_tests *t, const char *text, size_t n, const char *trusted,
                     struct arena *arena);

/* The same of every line of `def check(candidate):` in source (HumanEval), all or none. */
bool code_add_check_function(struct code_tests *t, const char *source, struct arena *arena);

#endif
