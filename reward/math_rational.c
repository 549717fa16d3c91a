/* reward/math_rational.c: exact rational values, the fast path of nearly every check. */
#include <string.h>

#include "reward/math_value.h"

/* Fractions cost a gcd an operation, so they may grow less than whole numbers. */
static bool too_big(const fmpq_t x) {
    return fmpq_height_bits(x) >
           (fmpz_is_one(fmpq_denref(x)) ? MATH_MAX_BITS : MATH_MAX_BITS / 16);
}

/* Long numbers use up the budget of nodes as well. */
static bool spent(struct math_work *w, const fmpq_t x) {
    w->nodes += (long)(fmpq_height_bits(x) >> 9);
    return too_big(x) || w->nodes > MATH_MAX_NODES;
}

bool math_small_int(struct math_work *w, const struct math_node *t,
                    const struct math_env *env, long *out) {
    fmpq_t x;
    fmpq_init(x);
    bool ok = math_rational(w, t, env, x) == VALUE_OK && fmpz_is_one(fmpq_denref(x)) &&
              fmpz_fits_si(fmpq_numref(x)) && fmpz_bits(fmpq_numref(x)) < 40;
    if (ok) *out = fmpz_get_si(fmpq_numref(x));
    fmpq_clear(x);
    return ok;
}

bool math_rational_root(fmpq_t out, const fmpq_t a, long n) {
    if (n < 1 || n > 1000 || too_big(a)) return false;
    bool negative = fmpq_sgn(a) < 0;
    if (negative && n % 2 == 0) return false;
    fmpq_t r, back;
    fmpq_init(r);
    fmpq_init(back);
    fmpq_abs(r, a);
    fmpz_root(fmpq_numref(r), fmpq_numref(r), n);
    fmpz_root(fmpq_denref(r), fmpq_denref(r), n);
    fmpq_pow_si(back, r, n);
    if (negative) {
        fmpq_neg(r, r);
        fmpq_neg(back, back);
    }
    bool exact = fmpq_equal(back, a);
    if (exact) fmpq_set(out, r);
    fmpq_clear(r);
    fmpq_clear(back);
    return exact;
}

/* out = a^(e) for an integer e. */
static enum math_value power_int(fmpq_t out, const fmpq_t a, const fmpz_t e) {
    bool unit = fmpz_is_one(fmpq_denref(a)) && fmpz_is_pm1(fmpq_numref(a));
    if (fmpq_is_zero(a)) {
        if (fmpz_sgn(e) <= 0) return VALUE_UNDEFINED;
        fmpq_zero(out);
        return VALUE_OK;
    }
    if (unit) {
        bool minus = fmpq_sgn(a) < 0 && fmpz_is_odd(e);
        fmpq_set_si(out, minus ? -1 : 1, 1);
        return VALUE_OK;
    }
    if (fmpz_bits(e) > 21) return VALUE_LIMIT;
    long n = fmpz_get_si(e), bits = (long)fmpq_height_bits(a);
    if ((n < 0 ? -n : n) * bits > MATH_MAX_BITS) return VALUE_LIMIT;
    fmpq_pow_si(out, a, n);
    return VALUE_OK;
}

static enum math_value power(fmpq_t out, const fmpq_t a, const fmpq_t e) {
    fmpq_t root;
    if (fmpz_is_one(fmpq_denref(e))) return power_int(out, a, fmpq_numref(e));
    if (fmpz_cmp_si(fmpq_denref(e), 64) > 0) return VALUE_NOT;
    fmpq_init(root);
    bool exact = math_rational_root(root, a, fmpz_get_si(fmpq_denref(e)));
    enum math_value v = exact ? power_int(out, root, fmpq_numref(e)) : VALUE_NOT;
    fmpq_clear(root);
    return v;
}

static enum math_value factorial(fmpq_t out, const fmpq_t a) {
    if (!fmpz_is_one(fmpq_denref(a))) return VALUE_NOT;
    if (fmpq_sgn(a) < 0) return VALUE_UNDEFINED;
    if (fmpz_cmp_si(fmpq_numref(a), 20000) > 0) return VALUE_LIMIT;
    fmpq_zero(out);
    fmpz_fac_ui(fmpq_numref(out), fmpz_get_ui(fmpq_numref(a)));
    fmpz_one(fmpq_denref(out));
    return VALUE_OK;
}

static enum math_value binomial(fmpq_t out, const fmpq_t n, const fmpq_t k) {
    if (!fmpz_is_one(fmpq_denref(n)) || !fmpz_is_one(fmpq_denref(k))) return VALUE_NOT;
    if (fmpq_sgn(n) < 0) return VALUE_NOT;
    if (fmpz_cmp_si(fmpq_numref(n), 100000) > 0) return VALUE_LIMIT;
    long top = fmpz_get_si(fmpq_numref(n)), bottom;
    fmpz_t out_z;
    if (fmpq_sgn(k) < 0 || fmpq_cmp(k, n) > 0) {
        fmpq_zero(out);
        return VALUE_OK;
    }
    bottom = fmpz_get_si(fmpq_numref(k));
    fmpz_init(out_z);
    fmpz_bin_uiui(out_z, (ulong)top, (ulong)bottom);
    fmpq_set_fmpz(out, out_z);
    fmpz_clear(out_z);
    return VALUE_OK;
}

static void round_to(fmpq_t out, const fmpq_t a, bool up) {
    fmpz_t z;
    fmpz_init(z);
    if (up)
        fmpz_cdiv_q(z, fmpq_numref(a), fmpq_denref(a));
    else
        fmpz_fdiv_q(z, fmpq_numref(a), fmpq_denref(a));
    fmpq_set_fmpz(out, z);
    fmpz_clear(z);
}

static enum math_value modulo(fmpq_t out, const fmpq_t a, const fmpq_t m) {
    if (fmpq_is_zero(m)) return VALUE_UNDEFINED;
    fmpq_t q;
    fmpq_init(q);
    fmpq_div(q, a, m);
    round_to(q, q, false);
    fmpq_mul(q, q, m);
    fmpq_sub(out, a, q);
    fmpq_clear(q);
    return VALUE_OK;
}

/* log_base a where both are powers of one rational: a^q = base^p, small p and q. */
static enum math_value logarithm(fmpq_t out, const fmpq_t a, const fmpq_t base) {
    if (fmpq_sgn(a) <= 0 || fmpq_sgn(base) <= 0 || fmpq_is_one(base))
        return VALUE_UNDEFINED;
    if (fmpq_is_one(a)) {
        fmpq_zero(out);
        return VALUE_OK;
    }
    if (fmpq_height_bits(a) > 4096 || fmpq_height_bits(base) > 64) return VALUE_NOT;
    fmpq_t root, x;
    fmpq_init(root);
    fmpq_init(x);
    enum math_value v = VALUE_NOT;
    for (long q = 1; q <= 6 && v != VALUE_OK; q++) { /* base = root^q, a = root^p */
        if (!math_rational_root(root, base, q) || fmpq_is_one(root)) continue;
        fmpz *big = fmpz_cmp(fmpq_numref(root), fmpq_denref(root)) > 0
                        ? fmpq_numref(root)
                        : fmpq_denref(root);
        long most =
            (long)(fmpq_height_bits(a) / (fmpz_bits(big) > 1 ? fmpz_bits(big) - 1 : 1)) +
            1;
        fmpq_one(x);
        for (long p = 1; p <= most && v != VALUE_OK; p++) {
            fmpq_mul(x, x, root);
            bool up = fmpq_equal(x, a);
            fmpq_t inverse;
            fmpq_init(inverse);
            fmpq_inv(inverse, x);
            if (up || fmpq_equal(inverse, a)) {
                fmpq_set_si(out, up ? p : -p, (ulong)q);
                v = VALUE_OK;
            }
            fmpq_clear(inverse);
        }
    }
    fmpq_clear(root);
    fmpq_clear(x);
    return v;
}

static enum math_value two(int op, fmpq_t out, const fmpq_t a, const fmpq_t b) {
    bool whole = fmpz_is_one(fmpq_denref(a)) && fmpz_is_one(fmpq_denref(b));
    fmpz_t z;
    switch (op) {
    case F_BINOM: return binomial(out, a, b);
    case F_MOD: return modulo(out, a, b);
    case F_LOG: return logarithm(out, a, b);
    case F_ROOT:
        if (!fmpz_is_one(fmpq_denref(b)) || fmpz_cmp_si(fmpq_numref(b), 1000) > 0)
            return VALUE_NOT;
        return math_rational_root(out, a, fmpz_get_si(fmpq_numref(b))) ? VALUE_OK
                                                                       : VALUE_NOT;
    case F_MAX: fmpq_set(out, fmpq_cmp(a, b) >= 0 ? a : b); return VALUE_OK;
    case F_MIN: fmpq_set(out, fmpq_cmp(a, b) <= 0 ? a : b); return VALUE_OK;
    case F_GCD:
    case F_LCM:
        if (!whole) return VALUE_NOT;
        fmpz_init(z);
        if (op == F_GCD)
            fmpz_gcd(z, fmpq_numref(a), fmpq_numref(b));
        else
            fmpz_lcm(z, fmpq_numref(a), fmpq_numref(b));
        fmpq_set_fmpz(out, z);
        fmpz_clear(z);
        return VALUE_OK;
    default: return VALUE_NOT;
    }
}

static enum math_value one(const struct math_work *w, int op, fmpq_t out,
                           const fmpq_t a) {
    fmpq_t ten;
    enum math_value v;
    switch (op) {
    case F_SQRT: return math_rational_root(out, a, 2) ? VALUE_OK : VALUE_NOT;
    case F_ABS:
    case F_NORM: fmpq_abs(out, a); return VALUE_OK;
    case F_FLOOR: round_to(out, a, false); return VALUE_OK;
    case F_CEIL: round_to(out, a, true); return VALUE_OK;
    case F_FACT: return factorial(out, a);
    case F_RE:
    case F_CONJ:
    case F_GCD:
    case F_LCM:
    case F_MAX:
    case F_MIN: fmpq_set(out, a); return VALUE_OK;
    case F_IM: fmpq_zero(out); return VALUE_OK;
    case F_SGN: fmpq_set_si(out, fmpq_sgn(a), 1); return VALUE_OK;
    case F_EXP:
        if (!fmpq_is_zero(a)) return VALUE_NOT;
        fmpq_one(out);
        return VALUE_OK;
    case F_LN:
        if (fmpq_is_zero(a)) return VALUE_UNDEFINED;
        if (!fmpq_is_one(a)) return VALUE_NOT;
        fmpq_zero(out);
        return VALUE_OK;
    case F_LOG:
        if (w->o->log_base < 2)
            return fmpq_is_one(a) ? (fmpq_zero(out), VALUE_OK) : VALUE_NOT;
        if (fmpq_sgn(a) < 0) return VALUE_NOT;
        fmpq_init(ten);
        fmpq_set_si(ten, w->o->log_base, 1);
        v = logarithm(out, a, ten);
        fmpq_clear(ten);
        return v;
    default: return VALUE_NOT;
    }
}

static enum math_value function(struct math_work *w, const struct math_node *t,
                                const struct math_env *env, fmpq_t out) {
    fmpq_t a;
    if (t->n < 1) return VALUE_NOT;
    if (t->n > 1 && t->op != F_GCD && t->op != F_LCM && t->op != F_MAX &&
        t->op != F_MIN && t->n != 2)
        return VALUE_NOT;
    fmpq_init(a);
    enum math_value v = math_rational(w, t->kid[0], env, out);
    if (v == VALUE_OK && t->n == 1) {
        fmpq_set(a, out);
        v = one(w, t->op, out, a);
    }
    for (int i = 1; i < t->n && v == VALUE_OK; i++) {
        fmpq_t b;
        fmpq_init(b);
        fmpq_set(a, out);
        v = math_rational(w, t->kid[i], env, b);
        if (v == VALUE_OK) v = two(t->op, out, a, b);
        fmpq_clear(b);
    }
    fmpq_clear(a);
    return v;
}

/* \sum and \prod over integers. */
static enum math_value series(struct math_work *w, const struct math_node *t,
                              const struct math_env *env, fmpq_t out) {
    long low, high;
    struct math_env inner = {.n = 0};
    int n = env ? env->n : 0;
    if (n >= 4 || !math_small_int(w, t->kid[1], env, &low) ||
        !math_small_int(w, t->kid[2], env, &high))
        return VALUE_NOT;
    if (high - low > 5000) return VALUE_LIMIT;
    for (int i = 0; i <= n; i++) {
        fmpq_init(inner.value[i]);
        inner.name[i] = i < n ? env->name[i] : t->kid[0]->name;
        if (i < n) fmpq_set(inner.value[i], env->value[i]);
    }
    inner.n = n + 1;
    fmpq_t term;
    fmpq_init(term);
    fmpq_set_si(out, t->op == F_PROD, 1);
    enum math_value v = VALUE_OK;
    for (long k = low; k <= high && v == VALUE_OK; k++) {
        fmpq_set_si(inner.value[n], k, 1);
        if (++w->nodes > MATH_MAX_NODES)
            v = VALUE_LIMIT;
        else
            v = math_rational(w, t->kid[3], &inner, term);
        if (v == VALUE_OK && t->op == F_SUM)
            fmpq_add(out, out, term);
        else if (v == VALUE_OK)
            fmpq_mul(out, out, term);
        if (v == VALUE_OK && fmpq_height_bits(out) > 20000) v = VALUE_LIMIT;
    }
    fmpq_clear(term);
    for (int i = 0; i <= n; i++) fmpq_clear(inner.value[i]);
    return v;
}

static enum math_value fold(struct math_work *w, const struct math_node *t,
                            const struct math_env *env, fmpq_t out) {
    fmpq_t x;
    fmpq_init(x);
    enum math_value v = math_rational(w, t->kid[0], env, out);
    for (int i = 1; i < t->n && v == VALUE_OK; i++) {
        v = math_rational(w, t->kid[i], env, x);
        if (v != VALUE_OK) break;
        if (t->kind == M_ADD)
            fmpq_add(out, out, x);
        else
            fmpq_mul(out, out, x);
        if (spent(w, out)) v = VALUE_LIMIT;
    }
    fmpq_clear(x);
    return v;
}

static enum math_value quotient(struct math_work *w, const struct math_node *t,
                                const struct math_env *env, fmpq_t out) {
    fmpq_t x;
    fmpq_init(x);
    enum math_value v = math_rational(w, t->kid[0], env, out);
    enum math_value den =
        v == VALUE_OK || v == VALUE_NOT ? math_rational(w, t->kid[1], env, x) : v;
    if (den == VALUE_OK && fmpq_is_zero(x))
        v = VALUE_UNDEFINED;
    else if (v == VALUE_OK)
        v = den;
    if (v == VALUE_OK &&
        (too_big(x) || fmpq_height_bits(x) + fmpq_height_bits(out) > MATH_MAX_BITS / 8))
        v = VALUE_LIMIT;
    if (v == VALUE_OK) fmpq_div(out, out, x);
    if (v == VALUE_OK && spent(w, out)) v = VALUE_LIMIT;
    fmpq_clear(x);
    return v;
}

static enum math_value lookup(const struct math_node *t, const struct math_env *env,
                              fmpq_t out) {
    for (int i = env ? env->n - 1 : -1; i >= 0; i--)
        if (strcmp(env->name[i], t->name) == 0) {
            fmpq_set(out, env->value[i]);
            return VALUE_OK;
        }
    return VALUE_NOT;
}

enum math_value math_rational(struct math_work *w, const struct math_node *t,
                              const struct math_env *env, fmpq_t out) {
    enum math_value v;
    fmpq_t e;
    switch (t->kind) {
    case M_NUM: fmpq_set(out, &t->num->value); return VALUE_OK;
    case M_VAR: return lookup(t, env, out);
    case M_NEG:
        v = math_rational(w, t->kid[0], env, out);
        if (v == VALUE_OK) fmpq_neg(out, out);
        return v;
    case M_ADD:
    case M_MUL: return fold(w, t, env, out);
    case M_DIV: return quotient(w, t, env, out);
    case M_POW:
        fmpq_init(e);
        v = math_rational(w, t->kid[0], env, out);
        if (v == VALUE_OK) v = math_rational(w, t->kid[1], env, e);
        if (v == VALUE_OK) {
            fmpq_t a;
            fmpq_init(a);
            fmpq_set(a, out);
            v = power(out, a, e);
            fmpq_clear(a);
        }
        fmpq_clear(e);
        return v;
    case M_PERCENT:
        v = math_rational(w, t->kid[0], env, out);
        if (v == VALUE_OK) fmpq_div_fmpz(out, out, (fmpz[]){100});
        return v;
    case M_FUN:
        if (t->op == F_SUM || t->op == F_PROD) return series(w, t, env, out);
        return function(w, t, env, out);
    default: return VALUE_NOT;
    }
}
