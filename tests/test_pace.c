/* tests/test_pace.c: the numbers of an estimate that need no run. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "cli/estimate.h"

static void test_pace_is_known_after_a_few_steps(void **state) {
    (void)state;
    assert_true(isnan(estimate_seconds_left(60, 2, 10)));  /* too few */
    assert_true(isnan(estimate_seconds_left(4.9, 50, 10))); /* too short */
    assert_float_equal(estimate_seconds_left(60, 3, 10), 200, 1e-9);
    assert_float_equal(estimate_seconds_left(5, 500, 0), 0, 0);
}

static void test_memory_free_obeys_the_limits_of_the_process(void **state) {
    (void)state;
    struct rlimit before, less;
    double machine = estimate_memory_free();
    assert_true(machine > 0);
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    less = before;
    less.rlim_cur = 16 << 20;
    assert_int_equal(setrlimit(RLIMIT_DATA, &less), 0);
    double data = estimate_memory_free();
    assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
    assert_true(data >= 0 && data < 16 << 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pace_is_known_after_a_few_steps),
        cmocka_unit_test(test_memory_free_obeys_the_limits_of_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
