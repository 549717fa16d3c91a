/* tests/filter.c: linked into every test program; runs only the test functions whose name
 * contains HONE_TEST_FILTER, which tests/run.sh sets from `make check T=word`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

__attribute__((constructor)) static void filter_tests(void) {
    static char pattern[256];
    const char *word = getenv("HONE_TEST_FILTER");
    if (!word || !*word) return;
    snprintf(pattern, sizeof pattern, "*%s*", word);
    cmocka_set_test_filter(pattern);
}
