/* tests/test_code.c: values and asserts of Python taken apart, programs found, output
 * compared. Runs of programs are in test_code.sh. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reward/code_run.h"

static struct arena arena;

static bool read_value(const char *text, struct pyvalue *v) {
    return pyvalue_read(v, text, strlen(text), &arena);
}

static bool equal(const char *a, const char *b) {
    struct pyvalue x, y;
    assert_true(read_value(a, &x));
    assert_true(read_value(b, &y));
    bool one = pyvalue_equal(&x, &y, false);
    assert_int_equal(one, pyvalue_equal(&y, &x, false));
    return one;
}

/* Each pair was decided by python3 3.11. */
static void test_values_equal_as_in_python(void **state) {
    (void)state;
    static const char *const same[][2] = {
        {"1", "1.0"}, {"True", "1"}, {"0", "False"}, {"-0.0", "0"}, {"[1, 2]", "[True, 2.0]"},
        {"(1,)", "( 1 , )"}, {"(1)", "1"}, {"'a' \"b\"", "'ab'"}, {"r'\\n'", "'\\\\n'"},
        {"'\\x41\\u00e9\\U0001F600'", "'A\xc3\xa9\xf0\x9f\x98\x80'"}, {"b'\\xff'", "b'\\377'"},
        {"bytearray(b'a')", "b'a'"}, {"{1, 2, 3}", "{3, 2, 1, 1.0}"}, {"set()", "set([])"},
        {"{1}", "frozenset([True])"}, {"{'a': 1, 'b': [2]}", "{'b': [2.0], 'a': True}"},
        {"{1: 2, 1.0: 3}", "{1: 3}"}, {"1e3", "1_000"}, {"0xff", "255"}, {"3+0j", "3"},
        {"1-2j", "complex(1, -2)"}, {"Decimal('1.50')", "Fraction(3, 2)"}, {"1.5", "Fraction(3,2)"},
        {"Decimal('1E+2')", "100"}, {"float('inf')", "inf"}, {"range(3)", "range(0, 3, 1)"},
        {"123456789012345678901234567890", "123456789012345678901234567890"},
        {"1e22", "10000000000000000000000"}, {"deque([1])", "deque([1])"}, {"'''a\nb'''", "'a\\nb'"},
        {"--5", "5"}, {"[[], {}, ()]", "[[], dict(), tuple()]"}, {"{(1, 2): 3}", "{(1.0, 2): 3}"},
    };
    static const char *const different[][2] = {
        {"1", "2"}, {"[1]", "(1,)"}, {"'1'", "1"}, {"b'a'", "'a'"}, {"{1}", "[1]"}, {"{}", "set()"},
        {"nan", "nan"}, {"0.1", "Decimal('0.1')"}, {"0.1", "Fraction(1,10)"}, {"None", "False"},
        {"9007199254740993", "9007199254740992.0"}, {"[1, 2]", "[1, 2, 3]"}, {"{1: 2}", "{1: 3}"},
        {"{1: 2}", "{2: 2}"}, {"1j", "1"}, {"''", "' '"}, {"inf", "-inf"}, {"deque([1])", "[1]"},
        {"opaque('A',True)", "opaque('A',True)"}, {"opaque('A',True)", "True"},
        {"[[1], [2]]", "[[2], [1]]"}, {"'a'", "'A'"}, {"1e400", "10"}, {"range(3)", "[0, 1, 2]"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (!equal(same[i][0], same[i][1])) fail_msg("%s == %s", same[i][0], same[i][1]);
    for (size_t i = 0; i < sizeof different / sizeof *different; i++)
        if (equal(different[i][0], different[i][1]))
            fail_msg("%s != %s", different[i][0], different[i][1]);
}

static void test_values_of_no_literal_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",      "x",       "f(1)",  "[1",     "1]",         "[1 2]",   "{[1]: 2}", "{1, 2: 3}",
        "'abc",  "1 + 2",   "-'a'",  "__import__('os')",     "lambda: 1", "[x for x in 'a']",
        "f'{1}'", "'\\x4'", "b'\\u1234'[0]", "1 if 2 else 3", "'a' b'b'",  "Fraction(1,0)",
        "range(1,2,0)", "{[]}", "set([[]])", "1..real", "0x", "1e", "...x", "float('x')",
        "'\\N{BULLET}'"};
    struct pyvalue v;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (read_value(bad[i], &v)) fail_msg("'%s' was read", bad[i]);
    /* depth and size are bounded */
    char deep[2 * 100000 + 1];
    memset(deep, '[', 100000);
    memset(deep + 100000, ']', 100000);
    assert_false(pyvalue_read(&v, deep, sizeof deep - 1, &arena));
    memset(deep, '-', 100000);
    deep[100000] = '1';
    assert_true(pyvalue_read(&v, deep, 100001, &arena));
}

/* "kind call relation", or "script" where it is not taken apart. */
static const char *apart(const char *text, const char *trusted) {
    static const char *const names[] = {"==", "!=", "<", "<=", ">", ">=", "in", "not in", "true",
                                        "false", "is", "is not", "near", "close", "type", "next",
                                        "any"};
    static char out[512];
    struct code_tests t = {0};
    size_t n = 0;
    if (!code_add_assert(&t, text, strlen(text), trusted, &arena)) {
        assert_int_equal(t.n, 0);
        assert_int_equal(t.n_checks, 0);
        return "script";
    }
    for (int i = 0; i < t.n_checks; i++) {
        struct buf value = {0};
        const struct code_check *c = &t.check[i];
        if (c->relation != CODE_TYPE && c->relation != CODE_ANY) pyvalue_print(&c->expected, &value);
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%s %s %s", i ? " & " : "", c->call,
                              names[c->relation],
                              c->relation == CODE_TYPE ? c->expected.text : buf_text(&value));
        buf_clear(&value);
    }
    return out;
}

static void test_asserts_are_taken_apart(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"assert f(1, [2]) == 3", "f(1, [2]) == 3"},
        {"assert f(1)==(3), 'why'", "f(1) == 3"},
        {"assert\t(f(1) == 3)", "f(1) == 3"},
        {"assert 3 == f(1)", "f(1) == 3"},
        {"assert 3 < f(1)", "f(1) > 3"},
        {"assert f(1) != -3", "f(1) != -3"},
        {"assert f(1) is None", "f(1) is None"},
        {"assert f(1) is not True", "f(1) is not True"},
        {"assert f('a') in ['x', 'y']", "f('a') in ['x', 'y']"},
        {"assert f('a') not in (1, 2)", "f('a') not in (1, 2)"},
        {"assert f(2)", "f(2) true None"},
        {"assert not f(2)", "f(2) false None"},
        {"assert f(1) == 1 and f(2) == 4", "f(1) == 1 & f(2) == 4"},
        {"assert set(f(1)) == {3}", "set(f(1)) == {3}"},
        {"assert sorted(f(1), key=len) == [3]", "sorted(f(1), key=len) == [3]"},
        {"assert sorted(list(f(1)))[0] == 3", "sorted(list(f(1)))[0] == 3"},
        {"assert round(f(1), 2) == 3.5", "round(f(1), 2) == 3.5"},
        {"assert f(1)[0].lower() == 'a'", "f(1)[0].lower() == 'a'"},
        {"assert Solution().f(1) == 2", "Solution().f(1) == 2"},
        {"assert abs(f(1) - 2.5) < 1e-6", "f(1) near 2.5"},
        {"assert abs(2.5 - f(1)) <= 0.5", "f(1) near 2.5"},
        {"assert math.fabs(f(-1) - -2) < 1", "f(-1) near -2"},
        {"assert math.isclose(f(1), 2, rel_tol=1e-3)", "f(1) close 2"},
        {"assert isclose(2, f(1))", "f(1) close 2"},
        {"assert isinstance(f(1), list)", "f(1) type list"},
        {"assert f(1) == f(2)", "f(1) next None & f(2) any "},
        {"assert f(lambda x: x == 1, [1]) == 2", "f(lambda x: x == 1, [1]) == 2"},
        {"assert sum(10, 15) == 6", "sum(10, 15) == 6"},
        {"assert f(\n    1, # one\n    '#') == 2", "f(\n    1, # one\n    '#') == 2"},
        /* what would take an expected value into the sandbox, or is no such form */
        {"assert\t(f(1) == 5) == True", "script"},
        {"assert f(1) - 5 == 0", "script"},
        {"assert max(f(1), 10) == 10", "script"},
        {"assert isinstance(f(1), int) == True", "script"},
        {"assert all(f(1))", "script"},
        {"assert any(x == 1 for x in f(1))", "script"},
        {"assert f(1).startswith('a')", "script"},
        {"assert f(1) == 2 or f(1) == 3", "script"},
        {"assert f(1) == g", "script"},
        {"assert 1 < f(1) < 3", "script"},
        {"assert f(1) == 1/3", "script"},
        {"assert helper(f(1), 3) == True", "script"},
        {"assert f(g(1) == 2) == 3", "script"},
        {"assert f(1) < 'a'", "script"},
        {"assert f(1) == 2; f(2)", "script"},
        {"assert", "script"},
        {"assert f(1", "script"},
        {"f(1) == 2", "script"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = apart(cases[i][0], "def helper(a, b): return a == b");
        if (strcmp(got, cases[i][1]) != 0)
            fail_msg("%s\nwanted %s\ngot    %s", cases[i][0], cases[i][1], got);
    }
}

static void test_check_function_is_taken_apart_or_not_at_all(void **state) {
    (void)state;
    static const char *const good =
        "METADATA = {'author': 'x'}\n\ndef check(candidate):\n    \"\"\"doc\"\"\"\n"
        "    # simple\n    assert True, 'fine'\n    assert candidate(1) == 2, \"no\"\n"
        "    assert candidate(2) == [\n        3]\n";
    static const char *const bad[] = {
        "def check(candidate):\n    assert candidate(1) == 2\n    x = 3\n",
        "import math\ndef check(candidate):\n    assert candidate(1) == 2\n",
        "def check(candidate):\n    for i in range(3):\n        assert candidate(i) == 2\n",
        "def check(f):\n    assert candidate(1) == 2\n", "def check(candidate):\n    pass\n", ""};
    struct code_tests t = {0};
    assert_true(code_add_check_function(&t, good, &arena));
    assert_int_equal(t.n, 2);
    assert_string_equal(t.check[1].call, "candidate(2)");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(code_add_check_function(&t, bad[i], &arena));
        assert_int_equal(t.n, 2);
    }
}

static void test_program_is_the_last_block_after_thinking(void **state) {
    (void)state;
    static const struct {
        const char *text, *program; /* NULL: none */
        bool fence;
    } cases[] = {
        {"print(1)", "print(1)", false},
        {"print(1)", NULL, true},
        {"a\n```python\nx\n```\nb\n```py\ny\n```\nc", "y\n", false},
        {"<think>```\nx\n```</think>```\ny\n```", "y\n", false},
        {"<think>```\nx\n```\n", NULL, false},
        {"<think></think>\n   ", NULL, false},
        {"```python\nx = 1\n", "x = 1\n", true},
        {"````\n```\nx\n```\n````", "```\nx\n```\n", true},
        {"~~~\nx\n```\n~~~", "x\n```\n", true},
        {"use ```x``` here", "use ```x``` here", false},
        {"<think>t</think><answer>\n```\nx\n```\n</answer>\n```\ny\n```", "x\n", false},
        {"```\n\n```", NULL, false},
        {"", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = 0;
        const char *why = NULL, *got = code_extract(cases[i].text, strlen(cases[i].text),
                                                    cases[i].fence, &n, &why);
        if (!cases[i].program) {
            if (got) fail_msg("%s: found %.*s", cases[i].text, (int)n, got);
            assert_non_null(why);
        } else if (!got || n != strlen(cases[i].program) ||
                   memcmp(got, cases[i].program, n) != 0) {
            fail_msg("%s: %.*s", cases[i].text, (int)n, got ? got : "");
        }
    }
    size_t n;
    const char *why;
    assert_null(code_extract("a\0b", 3, false, &n, &why));
}

static bool output(enum code_compare how, double tolerance, const char *expected,
                   const char *out) {
    struct code_options o = {.compare = how, .tolerance = tolerance};
    return code_output_is(expected, out, strlen(out), &o);
}

static void test_output_is_compared_whole(void **state) {
    (void)state;
    assert_true(output(CODE_LINES, 0, "1 2\n3\n", "1 2 \r\n3\n\n \n"));
    assert_false(output(CODE_LINES, 0, "YES\n1 2 3", "YES"));
    assert_false(output(CODE_LINES, 0, "YES", "YES\n1 2 3"));
    assert_false(output(CODE_LINES, 0, "\n1", "1"));
    assert_false(output(CODE_LINES, 0, "1 2", "1  2"));
    assert_false(output(CODE_LINES, 0, "1", "1.0"));
    assert_true(output(CODE_TOKENS, 0, "1 2\n3", "1\n2 3"));
    assert_false(output(CODE_TOKENS, 0, "1 2", "1 2 3"));
    assert_false(output(CODE_TOKENS, 0, "1.0", "1"));
    assert_true(output(CODE_TOKENS, 1e-6, "0.5 x", "0.5000001 x"));
    assert_true(output(CODE_TOKENS, 1e-6, "1000000", "1000000.5"));
    assert_false(output(CODE_TOKENS, 1e-6, "0.5", "0.50001"));
    assert_false(output(CODE_TOKENS, 1, "0.5", "nan"));
    assert_false(output(CODE_TOKENS, 1, "0.5", "0x1"));
    assert_false(output(CODE_TOKENS, 1, "", "0"));
    assert_true(output(CODE_EXACT, 0, "1\n", "1\n"));
    assert_false(output(CODE_EXACT, 0, "1\n", "1"));
}

static int clear(void **state) {
    (void)state;
    arena_clear(&arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_equal_as_in_python),
        cmocka_unit_test(test_values_of_no_literal_are_refused),
        cmocka_unit_test(test_asserts_are_taken_apart),
        cmocka_unit_test(test_check_function_is_taken_apart_or_not_at_all),
        cmocka_unit_test(test_program_is_the_last_block_after_thinking),
        cmocka_unit_test(test_output_is_compared_whole),
    };
    return cmocka_run_group_tests(tests, NULL, clear);
}
