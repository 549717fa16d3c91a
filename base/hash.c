/* base/hash.c: see hash.h. */
#include "base/hash.h"

#include <xxhash.h>

uint64_t hash_bytes(const void *bytes, size_t n, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes, n, seed);
}

void hash_wide(const void *bytes, size_t n, uint64_t out[2]) {
    XXH128_hash_t h = XXH3_128bits(bytes, n);
    out[0] = h.low64;
    out[1] = h.high64;
}

void hash_hex(uint64_t hash, char out[17]) {
    for (int i = 0; i < 16; i++) out[i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15];
    out[16] = 0;
}
