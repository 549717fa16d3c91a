/* tests/fuzz/fuzz_math_extract.c: where the answer of any response is. Every span lies
 * within the response, and none is found where the marks say there is none.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "reward/math_extract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_span(const struct math_span *x, const char *s, size_t n) {
    CHECK(x->how && *x->how);
    CHECK(x->s >= s && x->n <= n && x->s + x->n <= s + n);
}

static void check_choice(const char *s, size_t n) {
    for (int k = 0; k < 4; k++) {
        char c = math_extract_choice(s, n, k & 1, k & 2);
        CHECK(c == 0 || (c >= 'A' && c <= 'J'));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char *s = malloc(n ? n : 1); /* exactly as long: a byte beyond is seen */
    CHECK(s != NULL);
    memcpy(s, data, n);
    struct math_span x, formula, box;
    bool boxed = math_extract(s, n, MATH_EXTRACT_BOX, &box);
    if (boxed) check_span(&box, s, n);
    if (math_extract(s, n, MATH_EXTRACT_AUTO, &x)) {
        check_span(&x, s, n);
        if (boxed) CHECK(x.s == box.s && x.n == box.n);
        if (math_extract_formula(x.s, x.n, &formula)) check_span(&formula, x.s, x.n);
        check_choice(x.s, x.n);
    } else {
        CHECK(!boxed);
    }
    CHECK(math_extract(s, n, MATH_EXTRACT_WHOLE, &x));
    check_span(&x, s, n);
    math_extract_gold(s, n, &x);
    check_span(&x, s, n);
    free(s);
    return 0;
}
