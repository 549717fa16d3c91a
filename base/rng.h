/* base/rng.h: random numbers as a function of where they are used.
 *
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11).
 * Nothing is stored anywhere: a number is a pure function of (run seed, purpose, step,
 * prompt, sample, position), so one episode can be drawn again alone, and two samples
 * of a group can never share a stream. Any thread may call.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

enum rng_purpose {
    RNG_INIT = 1,    /* initial weights: step = tensor number, position = element */
    RNG_SAMPLE = 2,  /* token draws of training rollouts */
    RNG_EVAL = 3,    /* token draws of evaluations */
    RNG_PROBLEM = 4, /* generated problems */
    RNG_SHUFFLE = 5, /* the order in which problems and traces are visited */
    RNG_TEST = 6,
};

/* The address of a stream of positions. */
struct rng_key {
    uint64_t seed;    /* the run's */
    uint32_t purpose; /* enum rng_purpose */
    uint32_t step, prompt, sample;
};

/* Four independent 32-bit words at one position. */
void rng_words(const struct rng_key *key, uint32_t position, uint32_t out[4]);

/* Uniform in [0, 1) with 53 bits. */
double rng_uniform(const struct rng_key *key, uint32_t position);

/* Uniform integer in [0, n), n > 0: the high half of word * n, bias below n / 2^64. */
uint64_t rng_below(const struct rng_key *key, uint32_t position, uint64_t n);

/* A permutation of 0..n-1 into out[n] (Fisher-Yates over positions 0..n-1). */
void rng_permutation(const struct rng_key *key, uint32_t n, uint32_t *out);

#endif
