/* reward/math_poly.c: canonical rational functions, over FLINT's fmpz_mpoly_q.
 *
 * What is no rational operation (sin x, sqrt(2), 2^n, pi) becomes a generator of its own,
 * one for each different tree. Equal canonical forms then prove equality; unequal ones
 * prove the opposite only where all generators are variables.
 */
#include <string.h>

#include "reward/math_value.h"

enum {
    MAX_GENERATORS = 12,
    MAX_TERMS = 600,
    MAX_DEGREE = 40,
    MAX_POWER = 30,
    MAX_COEFF_BITS = 4096
};

struct ring {
    struct math_work *w;
    struct math_node *gen[MAX_GENERATORS];
    int n;
    bool opaque; /* some generator is no variable */
    bool full;
    fmpz_mpoly_ctx_t ctx;
};

static bool small_power(const struct math_node *t, long *n) {
    const struct math_node *e = t->kid[1];
    bool negative = e->kind == M_NEG;
    if (negative) e = e->kid[0];
    if (e->kind != M_NUM || !fmpz_is_one(fmpq_denref(&e->num->value))) return false;
    if (fmpz_cmp_si(fmpq_numref(&e->num->value), MAX_POWER) > 0 ||
        fmpq_sgn(&e->num->value) < 0)
        return false;
    *n = fmpz_get_si(fmpq_numref(&e->num->value));
    if (negative) *n = -*n;
    return *n != 0;
}

static void add_generator(struct ring *r, struct math_node *t) {
    math_sort(r->w, t);
    for (int i = 0; i < r->n; i++)
        if (math_compare_trees(r->gen[i], t) == 0) return;
    if (r->n == MAX_GENERATORS) {
        r->full = true;
        return;
    }
    r->opaque |= t->kind != M_VAR;
    r->gen[r->n++] = t;
}

static bool is_rational(struct math_work *w, const struct math_node *t) {
    fmpq_t q;
    if (t->kind != M_FUN && t->kind != M_POW) return false;
    fmpq_init(q);
    bool yes = math_rational(w, t, NULL, q) == VALUE_OK;
    fmpq_clear(q);
    return yes;
}

static void collect(struct ring *r, struct math_node *t) {
    long n;
    if (r->full) return;
    switch (t->kind) {
    case M_NUM: return;
    case M_ADD:
    case M_MUL:
    case M_NEG:
    case M_DIV:
    case M_PERCENT:
        for (int i = 0; i < t->n; i++) collect(r, t->kid[i]);
        return;
    case M_POW:
        if (small_power(t, &n))
            collect(r, t->kid[0]);
        else if (!is_rational(r->w, t))
            add_generator(r, t);
        return;
    default:
        if (!is_rational(r->w, t)) add_generator(r, t);
    }
}

/* ---- arithmetic within bounds ---- */

static bool modest(struct ring *r, const fmpz_mpoly_q_t x) {
    const fmpz_mpoly_struct *part[] = {fmpz_mpoly_q_numref(x), fmpz_mpoly_q_denref(x)};
    for (int k = 0; k < 2; k++) {
        if (fmpz_mpoly_length(part[k], r->ctx) > MAX_TERMS) return false;
        if (fmpz_mpoly_max_bits(part[k]) > MAX_COEFF_BITS ||
            fmpz_mpoly_max_bits(part[k]) < -MAX_COEFF_BITS)
            return false;
        slong degree = fmpz_mpoly_total_degree_si(part[k], r->ctx);
        if (degree > 2 * MAX_DEGREE) return false;
    }
    return true;
}

/* Would a times b stay within bounds, cross products included? */
static bool may_multiply(struct ring *r, const fmpz_mpoly_q_t a, const fmpz_mpoly_q_t b) {
    slong an = fmpz_mpoly_length(fmpz_mpoly_q_numref(a), r->ctx);
    slong ad = fmpz_mpoly_length(fmpz_mpoly_q_denref(a), r->ctx);
    slong bn = fmpz_mpoly_length(fmpz_mpoly_q_numref(b), r->ctx);
    slong bd = fmpz_mpoly_length(fmpz_mpoly_q_denref(b), r->ctx);
    slong top = an > ad ? an : ad, bottom = bn > bd ? bn : bd;
    return top * bottom <= 8 * MAX_TERMS && modest(r, a) && modest(r, b);
}

static enum math_value convert(struct ring *r, struct math_node *t, fmpz_mpoly_q_t out);

static enum math_value power(struct ring *r, struct math_node *t, long n,
                             fmpz_mpoly_q_t out) {
    fmpz_mpoly_q_t base;
    fmpz_mpoly_q_init(base, r->ctx);
    enum math_value v = convert(r, t->kid[0], base);
    if (v == VALUE_OK && n < 0) {
        if (fmpz_mpoly_q_is_zero(base, r->ctx))
            v = VALUE_UNDEFINED;
        else
            fmpz_mpoly_q_inv(base, base, r->ctx);
        n = -n;
    }
    if (v == VALUE_OK) fmpz_mpoly_q_set(out, base, r->ctx);
    for (long k = 1; k < n && v == VALUE_OK; k++) {
        if (may_multiply(r, out, base))
            fmpz_mpoly_q_mul(out, out, base, r->ctx);
        else
            v = VALUE_LIMIT;
    }
    fmpz_mpoly_q_clear(base, r->ctx);
    return v;
}

static enum math_value combine(struct ring *r, int kind, fmpz_mpoly_q_t out,
                               const fmpz_mpoly_q_t x) {
    if (++r->w->nodes > 4 * MATH_MAX_NODES) return VALUE_LIMIT;
    if (!may_multiply(r, out, x)) return VALUE_LIMIT;
    if (kind == M_ADD)
        fmpz_mpoly_q_add(out, out, x, r->ctx);
    else if (kind == M_MUL)
        fmpz_mpoly_q_mul(out, out, x, r->ctx);
    else if (fmpz_mpoly_q_is_zero(x, r->ctx))
        return VALUE_UNDEFINED;
    else
        fmpz_mpoly_q_div(out, out, x, r->ctx);
    r->w->nodes += fmpz_mpoly_length(fmpz_mpoly_q_numref(out), r->ctx) / 4;
    return modest(r, out) ? VALUE_OK : VALUE_LIMIT;
}

static enum math_value fold(struct ring *r, struct math_node *t, fmpz_mpoly_q_t out) {
    fmpz_mpoly_q_t x;
    fmpz_mpoly_q_init(x, r->ctx);
    enum math_value v = convert(r, t->kid[0], out);
    for (int i = 1; i < t->n && v == VALUE_OK; i++) {
        v = convert(r, t->kid[i], x);
        if (v == VALUE_OK) v = combine(r, t->kind, out, x);
    }
    fmpz_mpoly_q_clear(x, r->ctx);
    return v;
}

static enum math_value leaf(struct ring *r, struct math_node *t, fmpz_mpoly_q_t out) {
    fmpq_t q;
    for (int i = 0; i < r->n; i++)
        if (math_compare_trees(r->gen[i], t) == 0) {
            fmpz_mpoly_q_gen(out, i, r->ctx);
            return VALUE_OK;
        }
    fmpq_init(q);
    enum math_value v = math_rational(r->w, t, NULL, q);
    if (v == VALUE_OK && fmpq_height_bits(q) > MAX_COEFF_BITS) v = VALUE_LIMIT;
    if (v == VALUE_OK) fmpz_mpoly_q_set_fmpq(out, q, r->ctx);
    fmpq_clear(q);
    return v;
}

static enum math_value convert(struct ring *r, struct math_node *t, fmpz_mpoly_q_t out) {
    long n;
    enum math_value v;
    switch (t->kind) {
    case M_ADD:
    case M_MUL:
    case M_DIV: return fold(r, t, out);
    case M_NEG:
    case M_PERCENT:
        v = convert(r, t->kid[0], out);
        if (v == VALUE_OK && t->kind == M_NEG)
            fmpz_mpoly_q_neg(out, out, r->ctx);
        else if (v == VALUE_OK)
            fmpz_mpoly_q_div_si(out, out, 100, r->ctx);
        return v;
    case M_POW:
        if (small_power(t, &n)) return power(r, t, n, out);
        return leaf(r, t, out);
    default: return leaf(r, t, out);
    }
}

/* ---- questions ---- */

static bool open_ring(struct ring *r, struct math_work *w, struct math_node *a,
                      struct math_node *b) {
    *r = (struct ring){.w = w};
    collect(r, a);
    collect(r, b);
    if (r->full) return false;
    fmpz_mpoly_ctx_init(r->ctx, r->n ? r->n : 1, ORD_LEX);
    return true;
}

truth_t math_rational_functions_equal(struct math_work *w, struct math_node *a,
                                      struct math_node *b) {
    struct ring r;
    fmpz_mpoly_q_t fa, fb;
    truth_t equal = T_UNKNOWN;
    if (!open_ring(&r, w, a, b)) return T_UNKNOWN;
    fmpz_mpoly_q_init(fa, r.ctx);
    fmpz_mpoly_q_init(fb, r.ctx);
    enum math_value v = convert(&r, a, fa);
    if (v == VALUE_OK) v = convert(&r, b, fb);
    if (v == VALUE_UNDEFINED)
        equal = T_FALSE;
    else if (v == VALUE_OK && fmpz_mpoly_q_equal(fa, fb, r.ctx))
        equal = T_TRUE;
    else if (v == VALUE_OK && !r.opaque)
        equal = T_FALSE;
    fmpz_mpoly_q_clear(fa, r.ctx);
    fmpz_mpoly_q_clear(fb, r.ctx);
    fmpz_mpoly_ctx_clear(r.ctx);
    return equal;
}

/* Forgets the denominator. */
static void only_numerator(struct ring *r, fmpz_mpoly_q_t f) {
    fmpz_mpoly_one(fmpz_mpoly_q_denref(f), r->ctx);
    fmpz_mpoly_q_canonicalise(f, r->ctx);
}

static truth_t ratio_of(struct ring *r, fmpz_mpoly_q_t fa, fmpz_mpoly_q_t fb,
                        fmpq_t ratio) {
    if (fmpz_mpoly_q_is_zero(fa, r->ctx) || fmpz_mpoly_q_is_zero(fb, r->ctx)) {
        bool both = fmpz_mpoly_q_is_zero(fa, r->ctx) && fmpz_mpoly_q_is_zero(fb, r->ctx);
        fmpq_set_si(ratio, 1, 1);
        return both ? T_TRUE : r->opaque ? T_UNKNOWN : T_FALSE;
    }
    if (!may_multiply(r, fa, fb)) return T_UNKNOWN;
    fmpz_mpoly_q_div(fa, fa, fb, r->ctx);
    if (!fmpz_mpoly_q_is_fmpq(fa, r->ctx)) return r->opaque ? T_UNKNOWN : T_FALSE;
    fmpz_mpoly_get_fmpz(fmpq_numref(ratio), fmpz_mpoly_q_numref(fa), r->ctx);
    fmpz_mpoly_get_fmpz(fmpq_denref(ratio), fmpz_mpoly_q_denref(fa), r->ctx);
    fmpq_canonicalise(ratio);
    return T_TRUE;
}

truth_t math_proportional(struct math_work *w, struct math_node *a, struct math_node *b,
                          bool numerators, fmpq_t ratio) {
    struct ring r;
    fmpz_mpoly_q_t fa, fb;
    truth_t answer = T_UNKNOWN;
    if (!open_ring(&r, w, a, b)) return T_UNKNOWN;
    fmpz_mpoly_q_init(fa, r.ctx);
    fmpz_mpoly_q_init(fb, r.ctx);
    enum math_value v = convert(&r, a, fa);
    if (v == VALUE_OK) v = convert(&r, b, fb);
    if (v == VALUE_UNDEFINED) answer = T_FALSE;
    if (v == VALUE_OK && numerators) {
        only_numerator(&r, fa);
        only_numerator(&r, fb);
    }
    if (v == VALUE_OK) answer = ratio_of(&r, fa, fb, ratio);
    fmpz_mpoly_q_clear(fa, r.ctx);
    fmpz_mpoly_q_clear(fb, r.ctx);
    fmpz_mpoly_ctx_clear(r.ctx);
    return answer;
}
