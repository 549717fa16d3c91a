/* policy/weights.h: every number that training changes, in one slab, with names.
 *
 * The slab holds the tensors of a Hugging Face checkpoint in a fixed order, f32, each
 * starting on a 64-byte boundary (gaps are zero). A gradient, an Adam moment or a frozen
 * reference is another slab of the same layout. Reading is safe from any thread.
 */
#ifndef POLICY_WEIGHTS_H
#define POLICY_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "policy/config.h"

enum { WEIGHTS_NAME_MAX = 96 };

struct weights_tensor {
    char name[WEIGHTS_NAME_MAX]; /* "model.layers.0.self_attn.q_proj.weight" */
    int n_dims;                  /* 1 or 2 */
    int rows, cols;              /* [rows, cols]; a vector is [1, cols] */
    size_t offset;               /* floats from the start of the slab */
    bool trained;                /* false: e_score_correction_bias, moved by its own rule */
};

struct weights {
    struct policy_config cfg;
    struct weights_tensor *tensor; /* [n_tensors], owned */
    int n_tensors;
    float *data;   /* [n_data], owned */
    size_t n_data; /* floats, a multiple of 16 */
};

/* Lays the tensors out for cfg (already checked) and allocates a zero slab. Caller ends
 * it with weights_clear. */
void weights_init(struct weights *w, const struct policy_config *cfg);

/* The table alone, data NULL: for looking before memory is spent. weights_clear ends it
 * too. */
void weights_layout(struct weights *w, const struct policy_config *cfg);

/* Norms 1, bias 0, all else nearly normal(0, initializer_range) from (seed, RNG_INIT); the
 * same bits on every platform. */
void weights_randomize(struct weights *w, uint64_t seed);

/* The tensor's number, or -1. */
int weights_find(const struct weights *w, const char *name);

static inline float *weights_at(const struct weights *w, int tensor) {
    return w->data + w->tensor[tensor].offset;
}

/* How many numbers the tensors hold, without the gaps. */
size_t weights_count(const struct weights *w);

/* XXH3 over all tensors in slab order; what a step's row in the database carries. */
uint64_t weights_hash(const struct weights *w);

/* Frees the slab and the table, zeroes the struct. Harmless when empty. */
void weights_clear(struct weights *w);

#endif
