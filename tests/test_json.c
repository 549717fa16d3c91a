/* tests/test_json.c: what the strict reader refuses, and in which words. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

static cJSON *parse(const char *text) {
    struct err err = {0};
    cJSON *json;
    if (json_parse(&json, text, strlen(text), "a.json", 1, &err) != 0)
        fail_msg("%s", err.msg);
    return json;
}

static void refuse(const char *text, const char *message) {
    struct err err = {0};
    cJSON *json = (cJSON *)&err;
    /* a copy of the exact size, so that the sanitizers see a read past the end */
    size_t n = strlen(text);
    char *copy = malloc(n + !n);
    memcpy(copy, text, n);
    int rc = json_parse(&json, copy, n, "a.json", 1, &err);
    free(copy);
    assert_int_equal(rc, -1);
    assert_null(json);
    assert_int_equal(err.code, EX_DATAERR);
    assert_string_equal(err.msg, message);
}

static void test_json_syntax_errors_have_line_and_column(void **state) {
    (void)state;
    const char *const ends = "the text ends where a value should go on";
    char text[128];
    const struct {
        const char *text, *place;
    } cut[] = {{"", "1:1"},
               {" \n ", "2:2"},
               {"{\"a\":1", "1:7"},
               {"[1,2\n", "2:1"},
               {"[", "1:2"}};
    for (int i = 0; i < COUNT(cut); i++) {
        snprintf(text, sizeof text, "a.json:%s: %s", cut[i].place, ends);
        refuse(cut[i].text, text);
    }
    refuse("{\"a\":1 \"b\":2}", "a.json:1:8: unexpected '\"b\":2}'");
    refuse("{\n  \"x\": [1,\n 2,]\n}", "a.json:3:4: unexpected ']'");
    refuse("{\"a\":1,}", "a.json:1:8: a key in double quotes is wanted, found '}'");
    refuse("{a:1}", "a.json:1:2: a key in double quotes is wanted, found 'a'");
    refuse("// x\n{}", "a.json:1:1: unexpected '//'");
    refuse("tru", "a.json:1:1: unexpected 'tru'");
    refuse("NaN", "a.json:1:1: unexpected 'NaN'");
    refuse("]", "a.json:1:1: unexpected ']'");
    refuse("{} {}", "a.json:1:4: after the end of the value: '{}'");
    refuse("\"\\q\"", "a.json:1:2: unexpected '\\q\"'");
    refuse("\"\\ud800\"", "a.json:1:2: unexpected '\\ud800\"'");
}

static void test_json_lenient_tokens_are_refused(void **state) {
    (void)state;
    refuse("[01]", "a.json:1:2: '01' is not a number");
    refuse("[1.]", "a.json:1:2: '1.' is not a number");
    refuse("[+1]", "a.json:1:2: '+1' is not a number");
    refuse("[1e]", "a.json:1:2: '1e' is not a number");
    refuse("[1-2]", "a.json:1:2: '1-2' is not a number");
    refuse("[-]", "a.json:1:2: '-' is not a number");
    refuse("[1e999]", "a.json:1:2: '1e999' is too large for a number");
    refuse("\"a\nb\"", "a.json:1:3: a string ends before its quote");
    refuse("\"a\tb\"", "a.json:1:3: a control character in a string");
    refuse("[\x01]", "a.json:1:2: a control character");
    refuse("\"abc", "a.json:1:1: a string without an end");
    refuse("\"abc\\", "a.json:1:1: a string without an end");
    refuse("\"\\u0000\"", "a.json:1:2: \\u0000 is not allowed in a string");
    const char *const broken[] = {
        "\"\xff\"",         "\"\xc0\x80\"",         "\"\xe2\x82\"",
        "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xf0\x8f\xbf\xbf\""};
    for (int i = 0; i < COUNT(broken); i++)
        refuse(broken[i], "a.json:1:2: a string is not valid UTF-8");
}

static void test_json_duplicate_keys_are_refused(void **state) {
    (void)state;
    refuse("{\"a\":1,\"a\":2}", "a.json: a: the key appears twice");
    refuse("{\"a\":[0,{\"b\":1,\"c\":0,\"b\":1}]}",
           "a.json: a[1].b: the key appears twice");
    json_free(parse("{\"a\":1,\"A\":2}"));
}

static void test_json_depth_is_bounded(void **state) {
    (void)state;
    char text[200];
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = 0;
    json_free(parse(text));
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    text[130] = 0;
    refuse(text, "a.json:1:65: nested deeper than 64");
}

static void test_json_accepts_the_standard(void **state) {
    (void)state;
    cJSON *json =
        parse("\xEF\xBB\xBF {\"a\":[-0.5e-3,1E+2,true,false,null,\"\\u00e9\\ud83d"
              "\\ude00\\/\\\"\"],\"\":{}}\r\n");
    const cJSON *a = json_find(json, "a");
    assert_int_equal(cJSON_GetArraySize(a), 6);
    assert_true(cJSON_GetArrayItem(a, 0)->valuedouble == -0.5e-3);
    assert_string_equal(cJSON_GetArrayItem(a, 5)->valuestring,
                        "\xc3\xa9\xf0\x9f\x98\x80/\"");
    assert_null(json_find(json, "A"));
    json_free(json);
    json_free(NULL);
}

/* A vocabulary has 10^5 keys: a quadratic search for duplicates would take minutes. */
static void test_json_many_keys_take_no_time(void **state) {
    (void)state;
    struct buf b = {0};
    buf_puts(&b, "{");
    for (int i = 0; i < 200000; i++) buf_printf(&b, "%s\"k%d\":%d", i ? "," : "", i, i);
    buf_puts(&b, "}");
    json_free(parse(buf_text(&b)));
    buf_clear(&b);
}

static void test_json_load_names_the_file(void **state) {
    (void)state;
    struct err err = {0};
    cJSON *json;
    assert_int_equal(json_load(&json, "/no/such.json", 10, &err), -1);
    assert_int_equal(err.code, EX_NOINPUT);
    assert_string_equal(err.msg, "open /no/such.json: No such file or directory");
    assert_null(json);
}

static void test_json_where_joins_paths(void **state) {
    (void)state;
    char a[JSON_WHERE_BYTES], b[JSON_WHERE_BYTES];
    assert_string_equal(json_where(a, "a.json", "stages"), "a.json: stages");
    assert_string_equal(json_where_at(b, a, 1), "a.json: stages[1]");
    assert_string_equal(json_where(a, b, "beta"), "a.json: stages[1].beta");
    assert_string_equal(json_where_at(b, "a.json", 3), "a.json: [3]");
}

static const char OBJECT[] =
    "{\"s\":\"x\",\"i\":3,\"d\":2.5,\"b\":true,\"n\":null,\"o\":{},"
    "\"a\":[],\"big\":1e17}";

static void test_json_getters_read_and_leave_absent_alone(void **state) {
    (void)state;
    struct err err = {0};
    cJSON *json = parse(OBJECT);
    const char *s = "default";
    int i = 7;
    double d = 7;
    bool b = false;
    assert_int_equal(json_get_string(json, "a.json", "none", &s, &err), 0);
    assert_string_equal(s, "default");
    assert_int_equal(json_get_int(json, "a.json", "none", 0, 9, &i, &err), 0);
    assert_int_equal(i, 7);
    assert_int_equal(json_get_string(json, "a.json", "s", &s, &err), 0);
    assert_int_equal(json_get_int(json, "a.json", "i", 3, 3, &i, &err), 0);
    assert_int_equal(json_get_double(json, "a.json", "d", 0, 9, &d, &err), 0);
    assert_int_equal(json_get_bool(json, "a.json", "b", &b, &err), 0);
    assert_string_equal(s, "x");
    assert_int_equal(i, 3);
    assert_true(d == 2.5 && b);
    json_free(json);
}

static void test_json_getters_say_what_is_wrong(void **state) {
    (void)state;
    struct err err = {0};
    cJSON *json = parse(OBJECT);
    const char *s = "kept";
    int i = 7;
    double d = 7;
    bool b = false;
    const char *const w = "a.json: stages[1]";
    assert_int_equal(json_get_double(json, w, "s", 0, 1, &d, &err), -1);
    assert_string_equal(err.msg, "a.json: stages[1].s: must be a number, found a string");
    assert_int_equal(err.code, EX_CONFIG);
    assert_int_equal(json_get_int(json, w, "d", 0, 9, &i, &err), -1);
    assert_string_equal(err.msg,
                        "a.json: stages[1].d: must be a whole number, found 2.5");
    assert_int_equal(json_get_int(json, w, "i", 4, 9, &i, &err), -1);
    assert_string_equal(err.msg, "a.json: stages[1].i: must be from 4 to 9, found 3");
    long long l = 7;
    assert_int_equal(json_as_int(json_find(json, "big"), w, 0, INT64_MAX, &l, &err), -1);
    assert_string_equal(err.msg, "a.json: stages[1]: whole numbers go up to "
                                 "9007199254740992, found 1e+17");
    assert_int_equal(json_get_double(json, w, "d", 3, 1.0 / 0.0, &d, &err), -1);
    assert_string_equal(err.msg, "a.json: stages[1].d: must be at least 3, found 2.5");
    assert_int_equal(json_get_bool(json, w, "n", &b, &err), -1);
    assert_string_equal(err.msg,
                        "a.json: stages[1].n: must be true or false, found null");
    assert_int_equal(json_get_string(json, w, "o", &s, &err), -1);
    assert_string_equal(err.msg,
                        "a.json: stages[1].o: must be a string, found an object");
    assert_int_equal(json_as_object(json_find(json, "a"), w, &err), -1);
    assert_string_equal(err.msg, "a.json: stages[1]: must be an object, found an array");
    assert_int_equal(json_need(json, w, "none", &err), -1);
    assert_string_equal(err.msg, "a.json: stages[1].none: missing");
    assert_string_equal(s, "kept");
    assert_true(i == 7 && l == 7 && d == 7 && !b);
    json_free(json);
}

static void test_json_unknown_key_gets_the_nearest(void **state) {
    (void)state;
    static const char *const keys[] = {"seed", "name"};
    struct err err = {0};
    cJSON *json = parse("{\"seed\":1,\"nmae\":2}");
    assert_int_equal(json_check_keys(json, "a.json", keys, 2, &err), -1);
    assert_string_equal(err.msg, "a.json: nmae: no such key; did you mean 'name'?");
    json_free(json);
    json = parse("{\"seed\":1}");
    assert_int_equal(json_check_keys(json, "a.json", keys, 2, &err), 0);
    json_free(json);
}

static void test_json_print_reads_back(void **state) {
    (void)state;
    const char *text = "{\n  \"a\": [1, -2.5, \"x\\n\\\"\\u0001\\\\\"],\n"
                       "  \"b\": {\n    \"c\": [],\n    \"d\": {}\n  },\n"
                       "  \"e\": [\n    {\n      \"f\": null\n    },\n    true\n  ]\n}";
    struct buf out = {0};
    cJSON *json = parse(text);
    json_print(&out, json);
    assert_string_equal(buf_text(&out), text);
    buf_clear(&out);
    json_free(json);
}

static void test_json_add_makes_null_of_nothing(void **state) {
    (void)state;
    struct buf out = {0};
    cJSON *json = cJSON_CreateObject();
    json_add_number(json, "a", 0.5);
    json_add_number(json, "b", NAN);
    json_add_number(json, "c", -INFINITY);
    json_add_text(json, "d", "x");
    json_add_text(json, "e", "");
    json_add_text(json, "f", NULL);
    json_print(&out, json);
    assert_string_equal(buf_text(&out), "{\n  \"a\": 0.5,\n  \"b\": null,\n  \"c\": null,\n"
                                        "  \"d\": \"x\",\n  \"e\": null,\n  \"f\": null\n}");
    buf_clear(&out);
    json_free(json);
}

static void test_json_print_double_is_short_and_exact(void **state) {
    (void)state;
    const struct {
        double x;
        const char *text;
    } c[] = {{0.1, "0.1"},
             {1e-6, "1e-06"},
             {3, "3"},
             {1.0 / 3, "0.3333333333333333"},
             {0x1p53, "9007199254740992"},
             {0.1 + 0.2, "0.30000000000000004"}};
    for (int i = 0; i < COUNT(c); i++) {
        struct buf out = {0};
        json_print_double(&out, c[i].x);
        assert_string_equal(buf_text(&out), c[i].text);
        buf_clear(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_syntax_errors_have_line_and_column),
        cmocka_unit_test(test_json_lenient_tokens_are_refused),
        cmocka_unit_test(test_json_duplicate_keys_are_refused),
        cmocka_unit_test(test_json_depth_is_bounded),
        cmocka_unit_test(test_json_accepts_the_standard),
        cmocka_unit_test(test_json_many_keys_take_no_time),
        cmocka_unit_test(test_json_load_names_the_file),
        cmocka_unit_test(test_json_where_joins_paths),
        cmocka_unit_test(test_json_getters_read_and_leave_absent_alone),
        cmocka_unit_test(test_json_getters_say_what_is_wrong),
        cmocka_unit_test(test_json_unknown_key_gets_the_nearest),
        cmocka_unit_test(test_json_print_reads_back),
        cmocka_unit_test(test_json_add_makes_null_of_nothing),
        cmocka_unit_test(test_json_print_double_is_short_and_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
