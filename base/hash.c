/* base/hash.c: see hash.h. */
#include "base/hash.h"

#include <stdio.h>
#include <xxhash.h>

uint64_t hash_bytes(const void *bytes, size_t n, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes, n, seed);
}

void hash_hex(uint64_t hash, char out[17]) {
    snprintf(out, 17, "%016llx", (unsigned long long)hash);
}
