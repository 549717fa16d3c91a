/* reward/spec.h: the SPEC of a problem set, taken apart and checked.
 *
 * `KIND`, `KIND:key=value,...`, `KIND:FILE` or `KIND:FILE,key=value,...`. What follows
 * the colon names a file when its first comma part holds no '=', or a '/' before the '='.
 * Every key is looked up in the kind's table or in the four common ones (split, n,
 * offset, seed), and every value is held against a written range.
 */
#ifndef REWARD_SPEC_H
#define REWARD_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define SPEC_MAX_PARAMS 8

enum spec_type {
    SPEC_INT,   /* one integer */
    SPEC_RANGE, /* `3` or `3-4`: drawn uniformly from it */
    SPEC_WORD,  /* one of `words`; the value is its place, from 0 */
};

struct spec_value {
    int64_t lo, hi; /* equal but for SPEC_RANGE */
};

struct spec_param {
    const char *name;
    enum spec_type type;
    struct spec_value valid, standard;
    const char *words; /* "direct|search"; NULL but for SPEC_WORD */
    bool for_files;    /* makes sense for KIND:FILE too */
    const char *help;  /* one line */
};

enum spec_split { SPLIT_TRAIN, SPLIT_TEST, SPLIT_ALL };

struct kind;

struct spec {
    const struct kind *kind;
    char *file; /* owned; NULL for a generator */
    enum spec_split split;
    int n;      /* 0: all of them */
    int offset; /* how many of the split are skipped first */
    uint64_t seed;
    struct spec_value value[SPEC_MAX_PARAMS]; /* in the order of kind->param */
};

/* Fills *s, `seed` unless the text names one. On -1 (EX_CONFIG: unknown kind or key with
 * the nearest valid one, a value outside its range) *s is empty. The caller calls
 * spec_clear. */
MUST_USE int spec_parse(struct spec *s, const char *text, uint64_t seed, struct err *err);
void spec_clear(struct spec *s);

/* The same set with every parameter written out; spec_parse reads it back. */
void spec_print(const struct spec *s, struct buf *out);

/* One line a parameter: name, valid values, default, help. */
void spec_print_params(const struct kind *kind, struct buf *out);

/* The name nearest to `name` by edit distance among at(0), at(1), ... up to NULL. */
const char *spec_nearest(const char *name, const char *(*at)(int i));

#endif
