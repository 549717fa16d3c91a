/* tests/kernels_fixture.c: see kernels_fixture.h. */
#include "tests/kernels_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

const float kernels_sentinel = -12345.678f;

int kernels_tables(const struct kernels *table[KERNELS_MAX]) {
    static const char *const name[] = {"avx512bf16", "avx512", "avx2", "neon", "plain"};
    struct err err;
    int n = 0;
    for (int i = 0; i < KERNELS_MAX; i++)
        if (kernels_find(&table[n], name[i], &err) == 0) n++;
    return n;
}

float *kernels_room(size_t n) {
    float *p = mem_new(n + KERNELS_GUARD, sizeof *p);
    for (size_t i = 0; i < n + KERNELS_GUARD; i++) p[i] = kernels_sentinel;
    return p;
}

void kernels_fill(float *x, size_t n, uint32_t stream) {
    struct rng_key key = {.seed = 1, .purpose = RNG_TEST, .sample = stream};
    for (size_t i = 0; i < n; i++) x[i] = (float)(rng_uniform(&key, (uint32_t)i) * 4 - 2);
}

float *kernels_filled(size_t n, uint32_t stream) {
    float *p = kernels_room(n);
    kernels_fill(p, n, stream);
    return p;
}

void kernels_check_guard(const float *p, size_t n, const char *what) {
    for (size_t i = n; i < n + KERNELS_GUARD; i++)
        if (memcmp(&p[i], &kernels_sentinel, sizeof *p) != 0)
            fail_msg("%s wrote past its end", what);
}
