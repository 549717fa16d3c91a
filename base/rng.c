/* base/rng.c: see rng.h. */
#include "base/rng.h"

static void philox_round(uint32_t c[4], const uint32_t k[2]) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
    uint32_t c1 = c[1], c3 = c[3];
    c[0] = (uint32_t)(p1 >> 32) ^ c1 ^ k[0];
    c[1] = (uint32_t)p1;
    c[2] = (uint32_t)(p0 >> 32) ^ c3 ^ k[1];
    c[3] = (uint32_t)p0;
}

/* The 64-bit key is the seed with the purpose folded in by an odd multiplier, which
 * keeps different purposes of one seed apart. */
void rng_words(const struct rng_key *key, uint32_t position, uint32_t out[4]) {
    uint64_t k64 = key->seed ^ (key->purpose * 0x9E3779B97F4A7C15ull);
    uint32_t k[2] = {(uint32_t)k64, (uint32_t)(k64 >> 32)};
    uint32_t c[4] = {position, key->sample, key->prompt, key->step};
    for (int r = 0; r < 10; r++) {
        philox_round(c, k);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    for (int i = 0; i < 4; i++) out[i] = c[i];
}

static uint64_t word64(const struct rng_key *key, uint32_t position) {
    uint32_t w[4];
    rng_words(key, position, w);
    return (uint64_t)w[1] << 32 | w[0];
}

double rng_uniform(const struct rng_key *key, uint32_t position) {
    return (double)(word64(key, position) >> 11) * 0x1p-53;
}

uint64_t rng_below(const struct rng_key *key, uint32_t position, uint64_t n) {
    return (uint64_t)((unsigned __int128)word64(key, position) * n >> 64);
}

void rng_permutation(const struct rng_key *key, uint32_t n, uint32_t *out) {
    for (uint32_t i = 0; i < n; i++) out[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = (uint32_t)rng_below(key, i - 1, i), t = out[i - 1];
        out[i - 1] = out[j];
        out[j] = t;
    }
}
