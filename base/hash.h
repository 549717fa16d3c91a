/* base/hash.h: fingerprints of weights, files and problems (XXH3, 64 bits).
 *
 * Not against an adversary: against bit rot, mix-ups and drift. The value of the same
 * bytes is the same on every processor of either width, little endian only.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH3-64 of n bytes with a seed; chain several pieces by passing the last value on. */
uint64_t hash_bytes(const void *bytes, size_t n, uint64_t seed);

/* XXH3-128: for what is told apart by its hash alone. */
void hash_wide(const void *bytes, size_t n, uint64_t out[2]);

/* 16 lower-case hex digits and a NUL. */
void hash_hex(uint64_t hash, char out[17]);

#endif
