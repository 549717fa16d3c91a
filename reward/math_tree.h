/* reward/math_tree.h: what a parsed answer is made of, and the work that one check may
 * do.
 *
 * Trees live in the work's arena and are immutable after parsing, except that math_sort
 * brings sums and products into one order. Inside reward/math*.c only.
 */
#ifndef REWARD_MATH_TREE_H
#define REWARD_MATH_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "reward/math.h"
#include "reward/math_flint.h"

enum {
    MATH_MAX_TOKENS = 24000, /* of one answer */
    MATH_MAX_DEPTH = 1100,   /* of groups within groups */
    MATH_MAX_HEIGHT = 3300,  /* of a tree: its functions call themselves */
    MATH_MAX_NODES = 60000,  /* of both trees and all rewriting */
    MATH_MAX_DIGITS = 200000,
    MATH_MAX_BITS = 1 << 20, /* of a rational on the way */
};

/* clang-format off */
enum math_kind {
    M_NUM,
    M_CONST, /* op: 'p' pi, 'e', 'i', 'o' infinity */
    M_VAR,   /* name */
    M_ADD, M_MUL, M_NEG, M_DIV, M_POW,
    M_FUN,     /* op: enum math_fun */
    M_CALL,    /* name(kids): an unknown function */
    M_PM,      /* kid 0 with either sign; op '+' for \pm, '-' for \mp */
    M_PERCENT,
    M_UNIT,    /* kid 0 with unit `name`, canonical (math_unit.h) */
    M_BASED,   /* name: the digits; kid 0: the base */
    M_TUPLE,   /* (a, b), <a, b>: order counts */
    M_LIST,    /* a, b: bare */
    M_SQUARE,  /* [a, b] and [a, b, c]: interval or list */
    M_HALF,    /* [a, b) and ]a, b]; op bit 0: lower end closed, bit 1: upper */
    M_SET,
    M_BUILDER, /* {kid 0 | kid 1} */
    M_SETOP,   /* op: 'u' union, 'n' intersection, '\\' difference; two kids */
    M_NUMSET,  /* op: 'R', 'Q', 'Z', 'N', 'C' */
    M_REL,     /* kids with name[i] between kid i and i + 1 */
    M_OR, M_AND, M_RATIO,
    M_TIME,    /* kids: hours, minutes, ...; name: "am", "pm" or "" */
    M_MATRIX,  /* rows of `cols` kids */
    M_TEXT,    /* name: lower-case words with one space between */
    M_N_KINDS,
};

/* Relations, in M_REL.name. */
enum {
    REL_EQ = '=', REL_LT = '<', REL_GT = '>', REL_LE = 'l', REL_GE = 'g', REL_NE = '!',
    REL_APPROX = '~', REL_IN = 'i', REL_MOD = 'm'
};

enum math_fun {
    F_SQRT, F_ROOT /* x, n */, F_ABS, F_FLOOR, F_CEIL, F_FACT, F_BINOM, F_PERM, F_GCD,
    F_LCM, F_MAX, F_MIN, F_MOD, F_EXP, F_LN, F_LOG /* x[, base] */, F_SIN, F_COS, F_TAN,
    F_COT, F_SEC, F_CSC, F_ASIN, F_ACOS, F_ATAN, F_ACOT, F_ASEC, F_ACSC, F_SINH, F_COSH,
    F_TANH, F_ASINH, F_ACOSH, F_ATANH, F_DEG, F_RE, F_IM, F_CONJ, F_ARG, F_SGN, F_GAMMA,
    F_NORM, F_DET, F_TRANSPOSE, F_SUM /* var, lo, hi, body */, F_PROD, F_N_FUNS,
    F_CIS /* of the parser only: exp(i x) */,
};
/* clang-format on */

struct math_number {
    fmpq value;
    int decimals;             /* written after the point; -1: no plain literal */
    int digits;               /* significant ones as written */
    struct math_number *next; /* of the work's list */
};

struct math_node {
    uint8_t kind;
    uint8_t op;
    bool sorted;
    int height;             /* 0: a leaf */
    int n, cap;             /* kids */
    int cols;               /* of a matrix */
    struct math_node **kid; /* [n] */
    const char *name;
    struct math_number *num;
};

struct math_work {
    struct arena arena;
    const struct math_options *o;
    struct math_number *numbers; /* to be cleared */
    const char *hint; /* a unit of one letter that the other answer has; NULL: none */
    long nodes;
    int nesting;       /* of math_equal */
    bool limit;        /* a budget ran out */
    bool undecided;    /* something stayed open on the way */
    struct buf *trace; /* for `--explain`; NULL: none */
    char why[160];     /* the last reason */
};

/* Ends the work's numbers and takes the arena back. */
void math_work_reset(struct math_work *w);

struct math_node *math_new(struct math_work *w, enum math_kind kind, int op);
struct math_node *math_new1(struct math_work *w, enum math_kind kind, int op,
                            struct math_node *a);
struct math_node *math_new2(struct math_work *w, enum math_kind kind, int op,
                            struct math_node *a, struct math_node *b);
void math_push(struct math_work *w, struct math_node *list, struct math_node *kid);
struct math_node *math_int(struct math_work *w, long value);
struct math_node *math_fmpq(struct math_work *w, const fmpq_t value);
/* From digits with an optional point; NULL past the limits. */
struct math_node *math_literal(struct math_work *w, const char *digits, int n);
struct math_node *math_name(struct math_work *w, enum math_kind kind, const char *name,
                            int n);

/* Flattens and orders sums and products, in place. */
void math_sort(struct math_work *w, struct math_node *t);
/* Total order of sorted trees; 0: the same tree. */
int math_compare_trees(const struct math_node *a, const struct math_node *b);
/* Is a node of this kind in t? */
bool math_has(const struct math_node *t, enum math_kind kind);
bool math_has_const(const struct math_node *t, int op);
bool math_is_int(const struct math_node *t, long value);
/* Whether t names variable `name` freely. */
bool math_has_var(const struct math_node *t, const char *name);
/* t with every free `name` replaced. */
struct math_node *math_substitute(struct math_work *w, struct math_node *t,
                                  const char *name, struct math_node *by);

void math_print(struct buf *out, const struct math_node *t);
void math_why(struct math_work *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
