/* tests/fuzz/fuzz_math_score.c: a gold, a newline, a response: the whole decision. The
 * verdict is well formed, and the same when asked again.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "reward/math.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const char *gold = (const char *)data;
    const char *end = n ? memchr(gold, '\n', n) : NULL;
    if (!end) return 0;
    const char *response = end + 1;
    size_t n_gold = (size_t)(end - gold), n_response = n - n_gold - 1;
    struct verdict v, again;
    math_score(gold, n_gold, response, n_response, NULL, &v);
    CHECK(v.status < VERDICT_N_STATUS && (v.score == 0 || v.score == 1));
    CHECK(v.status == VERDICT_OK || v.score == 0);
    CHECK(memchr(v.detail, 0, sizeof v.detail));
    math_score(gold, n_gold, response, n_response, NULL, &again);
    CHECK(v.status == again.status && v.score == again.score);
    CHECK(strcmp(v.detail, again.detail) == 0);
    return 0;
}
