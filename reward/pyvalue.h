/* reward/pyvalue.h: plain data of Python, read from its own closed text and compared.
 *
 * The text is that of a literal (numbers, strings, bytes, None, True, False, lists,
 * tuples, sets, dicts) or of a few calls on literals: set, frozenset, list, tuple, dict,
 * deque, bytearray, range, complex, float('inf'), Decimal, Fraction, opaque. Nothing is
 * evaluated. A value lives in the arena it was read into and is immutable; any thread.
 */
#ifndef REWARD_PYVALUE_H
#define REWARD_PYVALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/mem.h"

enum pyvalue_type {
    PY_NONE,
    PY_ELLIPSIS,
    PY_BOOL,
    PY_INT, /* text: its decimal digits, no leading zeros, perhaps a "-" */
    PY_FLOAT,
    PY_COMPLEX,
    PY_DECIMAL,  /* text */
    PY_FRACTION, /* item[0] / item[1] */
    PY_STR,      /* text: UTF-8 */
    PY_BYTES,
    PY_BYTEARRAY,
    PY_LIST,
    PY_TUPLE,
    PY_DEQUE,
    PY_SET, /* items without repetition, ordered by hash */
    PY_FROZENSET,
    PY_DICT,  /* key, value, key, value, ...; keys as in a set */
    PY_RANGE, /* start, stop, step */
    PY_OPAQUE, /* text: the name of its type */
};

struct pyvalue {
    enum pyvalue_type type;
    bool truth;         /* as bool(x); PY_OPAQUE: as the program said */
    double real, imag;  /* PY_FLOAT (real alone), PY_COMPLEX */
    const char *text;   /* [n] */
    size_t n;           /* bytes of text, or items */
    const struct pyvalue *item;
    unsigned long hash; /* equal values have equal hashes */
};

enum { PYVALUE_MAX_DEPTH = 100, PYVALUE_MAX_NODES = 2000000 };

/* Reads all n bytes of text as one value. False where they are none, or too deep or large. */
bool pyvalue_read(struct pyvalue *v, const char *text, size_t n, struct arena *arena);

/* a == b by the rules of Python. With `loose` a tuple and a list of the same items are
 * equal, as they are in JSON. */
bool pyvalue_equal(const struct pyvalue *a, const struct pyvalue *b, bool loose);

bool pyvalue_is_number(const struct pyvalue *v); /* and no complex one */

/* -1, 0, 1 of two numbers; 2 where one is a NaN or no number. Exact. */
int pyvalue_order(const struct pyvalue *a, const struct pyvalue *b);

/* abs(a - b) <= or < bound, in doubles as there; false where one is no number. */
bool pyvalue_near(const struct pyvalue *a, const struct pyvalue *b, double bound, bool strict);

/* As math.isclose. */
bool pyvalue_is_close(const struct pyvalue *a, const struct pyvalue *b, double rel_tol,
                      double abs_tol);

/* A double; NaN where it is no number. */
double pyvalue_double(const struct pyvalue *v);

/* A short text for a person, cut at 60 bytes. */
void pyvalue_print(const struct pyvalue *v, struct buf *out);

/* For the reader: orders and thins the items of a set or dict, sets hash and truth. */
void pyvalue_seal(struct pyvalue *v, struct pyvalue *item);

#endif
