/* tests/kernels_fixture.h: the tables this processor runs, and buffers with sentinels. */
#ifndef TESTS_KERNELS_FIXTURE_H
#define TESTS_KERNELS_FIXTURE_H

#include <stdint.h>

#include "policy/kernels.h"

enum { KERNELS_GUARD = 40, KERNELS_MAX = 5 };

extern const float kernels_sentinel;

/* The tables, best first and plain last; how many. */
int kernels_tables(const struct kernels *table[KERNELS_MAX]);

/* n floats and KERNELS_GUARD more, all sentinels. Freed with mem_free. */
float *kernels_room(size_t n);

/* The same with n reproducible numbers in [-2, 2). */
float *kernels_filled(size_t n, uint32_t stream);
void kernels_fill(float *x, size_t n, uint32_t stream);

/* Fails the test when a sentinel behind p[n] is gone. */
void kernels_check_guard(const float *p, size_t n, const char *what);

#endif
