/* tests/test_math_golds.c: every gold of public sets equals itself, and none of its wrong
 * variants. Reads ../shared/data where it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "reward/math.h"
#include "tests/math_variants.h"

static struct {
    long golds, variants, wrong;
    int fewest;
} seen;

static struct verdict check(const char *gold, const char *response) {
    struct verdict v;
    math_score(gold, strlen(gold), response, strlen(response), NULL, &v);
    return v;
}

static void complain(const char *gold, const char *answer, const struct verdict *v) {
    if (seen.wrong++ < 40)
        print_message("# gold %s, answer %s: %s, %s\n", gold, answer,
                      verdict_status_name(v->status), v->detail);
}

static void on_variant(const char *gold, const char *wrong, void *user) {
    static const char *const frames[] = {"\\boxed{%s}", "%s", "The answer is $%s$."};
    char text[2200];
    (void)user;
    snprintf(text, sizeof text, frames[seen.variants % 3], wrong);
    struct verdict v = check(gold, text);
    seen.variants++;
    if (v.score != 0) complain(gold, text, &v);
}

static void visit(const char *gold) {
    static const char *const frames[] = {"%s", "\\boxed{%s}", "<think>7</think>\\[%s\\]"};
    seen.golds++;
    for (int i = 0; i < 3; i++) {
        char text[1100];
        snprintf(text, sizeof text, frames[i], gold);
        struct verdict v = check(gold, text);
        if (v.score != 1) complain(gold, text, &v);
    }
    int made = math_variants(gold, on_variant, NULL);
    if (!seen.fewest || made < seen.fewest) seen.fewest = made;
}

/* The row's gold as text; what follows #### where there is that mark. */
static void gold_of(const cJSON *row, const char *key, char *out, size_t size) {
    const cJSON *value = json_find(row, key);
    assert_non_null(value);
    if (cJSON_IsNumber(value)) {
        snprintf(out, size, "%.12g", value->valuedouble);
        return;
    }
    const char *mark = strstr(value->valuestring, "####");
    snprintf(out, size, "%s", mark ? mark + 5 : value->valuestring);
}

static void each_gold(const char *path, const char *key) {
    char *data;
    size_t n;
    struct err err = {0};
    if (access(path, R_OK) != 0) skip();
    memset(&seen, 0, sizeof seen);
    assert_int_equal(file_load(path, 1 << 28, &data, &n, &err), 0);
    int line = 0;
    for (char *at = data, *end = data + n; at < end;) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);
        char gold[1000];
        cJSON *row;
        assert_int_equal(json_parse(&row, at, len, path, ++line, &err), 0);
        gold_of(row, key, gold, sizeof gold);
        json_free(row);
        visit(gold);
        at += len + 1;
    }
    mem_free(data);
    print_message("# %s: %ld golds, %ld wrong variants, %d or more a gold\n", path,
                  seen.golds, seen.variants, seen.fewest);
    assert_true(seen.fewest >= 20);
    assert_int_equal(seen.wrong, 0);
}

static void test_math_golds_of_math500(void **state) {
    (void)state;
    each_gold("../shared/data/math500/test.jsonl", "answer");
}

static void test_math_golds_of_gsm8k(void **state) {
    (void)state;
    each_gold("../shared/data/gsm8k/test.jsonl", "answer");
}

static void test_math_golds_of_svamp(void **state) {
    (void)state;
    each_gold("../shared/data/svamp/test.jsonl", "Answer");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_math_golds_of_math500),
        cmocka_unit_test(test_math_golds_of_gsm8k),
        cmocka_unit_test(test_math_golds_of_svamp),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    math_release();
    return failed;
}
