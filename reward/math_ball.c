/* reward/math_ball.c: values within balls of Arb, at a point and a precision. */
#include <math.h>
#include <string.h>

#include "reward/math_value.h"

#define MAX_LOG2 1152921504606846976.0 /* 2^60: of the size of a power */

static bool is_real(const acb_t x) { return arb_is_zero(acb_imagref(x)); }
static bool is_negative(const acb_t x) {
    return is_real(x) && arb_is_negative(acb_realref(x));
}

/* |log2 |x||, the larger of both ends of the ball. */
static double log2_size(const acb_t x) {
    mag_t m;
    mag_init(m);
    acb_get_mag(m, x);
    double high = fabs(mag_get_d_log2_approx(m));
    acb_get_mag_lower(m, x);
    double low = mag_is_zero(m) ? 0 : fabs(mag_get_d_log2_approx(m));
    mag_clear(m);
    return high > low ? high : low;
}

/* |x| < 2^bits? */
static bool below(const acb_t x, int bits) {
    mag_t m;
    mag_init(m);
    acb_get_mag(m, x);
    bool ok = mag_cmp_2exp_si(m, bits) < 0;
    mag_clear(m);
    return ok;
}

static enum math_value exponential(acb_t x, long prec) {
    if (!below(x, 60)) return VALUE_LIMIT;
    acb_exp(x, x, prec);
    return VALUE_OK;
}

static enum math_value logarithm(acb_t x, const struct math_point *at) {
    if (acb_is_zero(x)) return VALUE_UNDEFINED;
    if (!at->complex && arb_is_nonpositive(acb_realref(x))) return VALUE_UNDEFINED;
    if (!at->complex && !arb_is_positive(acb_realref(x))) return VALUE_SKIP;
    acb_log(x, x, at->prec);
    return VALUE_OK;
}

static enum math_value nth_root(acb_t x, long n, const struct math_point *at) {
    if (n < 1 || n > 1000) return VALUE_LIMIT;
    bool flip = is_negative(x) && n % 2 == 1;
    if (flip)
        acb_neg(x, x);
    else if (!at->complex && is_negative(x))
        return VALUE_UNDEFINED;
    if (is_real(x) && arb_is_nonnegative(acb_realref(x))) {
        arb_root_ui(acb_realref(x), acb_realref(x), (ulong)n, at->prec);
    } else if (is_real(x) && !at->complex) {
        if (n % 2 == 1) return VALUE_SKIP; /* around zero */
        arb_nonnegative_part(acb_realref(x), acb_realref(x));
        arb_root_ui(acb_realref(x), acb_realref(x), (ulong)n, at->prec);
    } else {
        acb_root_ui(x, x, (ulong)n, at->prec);
    }
    if (flip) acb_neg(x, x);
    return VALUE_OK;
}

static enum math_value power_int(acb_t x, const fmpz_t n, long prec) {
    if (acb_is_zero(x)) {
        if (fmpz_sgn(n) <= 0) return VALUE_UNDEFINED;
        return VALUE_OK;
    }
    if (log2_size(x) * fabs(fmpz_get_d(n)) > MAX_LOG2 || fmpz_bits(n) > 80)
        return VALUE_LIMIT;
    acb_pow_fmpz(x, x, n, prec + (long)fmpz_bits(n));
    return VALUE_OK;
}

/* x^(p/q) of a negative x: real where q is odd. */
static enum math_value power_fraction(acb_t x, const fmpq_t e,
                                      const struct math_point *at) {
    bool odd = fmpz_is_odd(fmpq_denref(e)),
         small = fmpz_cmp_si(fmpq_denref(e), 1000) <= 0;
    if (!odd || !small) return at->complex ? VALUE_NOT : VALUE_SKIP;
    enum math_value v = nth_root(x, fmpz_get_si(fmpq_denref(e)), at);
    return v == VALUE_OK ? power_int(x, fmpq_numref(e), at->prec) : v;
}

static enum math_value power(struct math_work *w, const struct math_node *t,
                             const struct math_point *at, acb_t out) {
    fmpq_t e;
    acb_t y;
    fmpq_init(e);
    acb_init(y);
    enum math_value v = math_ball(w, t->kid[0], at, out);
    enum math_value rational =
        v == VALUE_OK ? math_rational(w, t->kid[1], at->env, e) : VALUE_NOT;
    bool done = false;
    if (v == VALUE_OK && rational == VALUE_OK) {
        done = true;
        if (fmpz_is_one(fmpq_denref(e)))
            v = power_int(out, fmpq_numref(e), at->prec);
        else if (is_negative(out) && math_rational(w, t->kid[1], NULL, e) == VALUE_OK)
            v = power_fraction(out, e, at); /* x^{1/3}, not (-1)^n */
        else
            done = false;
        if (v == VALUE_NOT) {
            v = VALUE_OK;
            done = false;
        }
    }
    if (v == VALUE_OK && !done) v = math_ball(w, t->kid[1], at, y);
    if (v == VALUE_OK && !done) {
        if (acb_is_zero(out)) {
            v = is_real(y) && arb_is_positive(acb_realref(y)) ? VALUE_OK
                                                              : VALUE_UNDEFINED;
        } else if (!at->complex && !arb_is_positive(acb_realref(out))) {
            v = VALUE_SKIP;
        } else {
            acb_log(out, out, at->prec);
            acb_mul(out, out, y, at->prec);
            v = exponential(out, at->prec);
        }
    }
    fmpq_clear(e);
    acb_clear(y);
    return v;
}

/* Inverse functions among the reals: |x| at most 1 (or at least). */
static bool outside(const acb_t x, bool large) {
    arb_t one, a;
    arb_init(one);
    arb_init(a);
    arb_one(one);
    arb_abs(a, acb_realref(x));
    bool out = large ? arb_lt(a, one) : arb_gt(a, one);
    arb_clear(one);
    arb_clear(a);
    return out;
}

static enum math_value inverse(int op, acb_t x, const struct math_point *at) {
    bool reciprocal = op == F_ASEC || op == F_ACSC || op == F_ACOT;
    acb_t half_pi;
    if ((op == F_ASIN || op == F_ACOS) && !at->complex && outside(x, false))
        return VALUE_UNDEFINED;
    if ((op == F_ASEC || op == F_ACSC) && !at->complex && outside(x, true))
        return VALUE_UNDEFINED;
    if (op == F_ATANH && !at->complex && outside(x, false)) return VALUE_UNDEFINED;
    if (op == F_ACOSH && !at->complex && (is_negative(x) || outside(x, true)))
        return VALUE_UNDEFINED;
    if (reciprocal && op != F_ACOT) acb_inv(x, x, at->prec);
    switch (op) {
    case F_ASIN:
    case F_ACSC: acb_asin(x, x, at->prec); break;
    case F_ACOS:
    case F_ASEC: acb_acos(x, x, at->prec); break;
    case F_ATAN: acb_atan(x, x, at->prec); break;
    case F_ASINH: acb_asinh(x, x, at->prec); break;
    case F_ACOSH: acb_acosh(x, x, at->prec); break;
    case F_ATANH: acb_atanh(x, x, at->prec); break;
    case F_ACOT:
        acb_init(half_pi);
        acb_const_pi(half_pi, at->prec);
        acb_mul_2exp_si(half_pi, half_pi, -1);
        acb_atan(x, x, at->prec);
        acb_sub(x, half_pi, x, at->prec);
        acb_clear(half_pi);
        break;
    default: return VALUE_NOT;
    }
    return VALUE_OK;
}

static enum math_value gamma_of(acb_t x, long plus, long prec) {
    if (!below(x, 30)) return VALUE_LIMIT;
    acb_add_si(x, x, plus, prec);
    if (is_real(x) && arb_is_exact(acb_realref(x)) && arb_is_int(acb_realref(x)) &&
        arb_is_nonpositive(acb_realref(x)))
        return VALUE_UNDEFINED;
    acb_gamma(x, x, prec);
    return VALUE_OK;
}

static void degrees(acb_t x, long prec) {
    arb_t pi;
    arb_init(pi);
    arb_const_pi(pi, prec);
    arb_div_ui(pi, pi, 180, prec);
    acb_mul_arb(x, x, pi, prec);
    arb_clear(pi);
}

static enum math_value rounded(int op, acb_t x, long prec) {
    if (!is_real(x)) return VALUE_NOT;
    if (op == F_FLOOR)
        arb_floor(acb_realref(x), acb_realref(x), prec);
    else
        arb_ceil(acb_realref(x), acb_realref(x), prec);
    return VALUE_OK;
}

static enum math_value one(const struct math_work *w, int op, acb_t x,
                           const struct math_point *at) {
    long prec = at->prec;
    enum math_value v;
    arb_t ten;
    if (op >= F_SIN && op <= F_CSC && !below(x, 200)) return VALUE_LIMIT;
    if (op >= F_SINH && op <= F_TANH && !below(x, 60)) return VALUE_LIMIT;
    switch (op) {
    case F_SQRT: return nth_root(x, 2, at);
    case F_ABS:
    case F_NORM:
        acb_abs(acb_realref(x), x, prec);
        arb_zero(acb_imagref(x));
        return VALUE_OK;
    case F_FLOOR:
    case F_CEIL: return rounded(op, x, prec);
    case F_FACT: return gamma_of(x, 1, prec);
    case F_GAMMA: return gamma_of(x, 0, prec);
    case F_EXP: return exponential(x, prec);
    case F_LN: return logarithm(x, at);
    case F_LOG:
        v = logarithm(x, at);
        if (v != VALUE_OK || w->o->log_base < 2) return v;
        arb_init(ten);
        arb_log_ui(ten, (ulong)w->o->log_base, prec);
        acb_div_arb(x, x, ten, prec);
        arb_clear(ten);
        return VALUE_OK;
    case F_SIN: acb_sin(x, x, prec); return VALUE_OK;
    case F_COS: acb_cos(x, x, prec); return VALUE_OK;
    case F_TAN: acb_tan(x, x, prec); return VALUE_OK;
    case F_COT: acb_cot(x, x, prec); return VALUE_OK;
    case F_SEC: acb_sec(x, x, prec); return VALUE_OK;
    case F_CSC: acb_csc(x, x, prec); return VALUE_OK;
    case F_SINH: acb_sinh(x, x, prec); return VALUE_OK;
    case F_COSH: acb_cosh(x, x, prec); return VALUE_OK;
    case F_TANH: acb_tanh(x, x, prec); return VALUE_OK;
    case F_DEG: degrees(x, prec); return VALUE_OK;
    case F_RE: arb_zero(acb_imagref(x)); return VALUE_OK;
    case F_IM:
        arb_swap(acb_realref(x), acb_imagref(x));
        arb_zero(acb_imagref(x));
        return VALUE_OK;
    case F_CONJ: acb_conj(x, x); return VALUE_OK;
    case F_ARG:
        acb_arg(acb_realref(x), x, prec);
        arb_zero(acb_imagref(x));
        return VALUE_OK;
    default: return inverse(op, x, at);
    }
}

/* n! / (k! (n-k)!) for what need be no integers. */
static enum math_value binomial(acb_t x, acb_t k, const struct math_point *at) {
    acb_t rest;
    acb_init(rest);
    acb_sub(rest, x, k, at->prec);
    enum math_value v = gamma_of(x, 1, at->prec);
    if (v == VALUE_OK) v = gamma_of(k, 1, at->prec);
    if (v == VALUE_OK) v = gamma_of(rest, 1, at->prec);
    if (v == VALUE_UNDEFINED) v = VALUE_SKIP;
    if (v == VALUE_OK) {
        acb_mul(k, k, rest, at->prec);
        acb_div(x, x, k, at->prec);
    }
    acb_clear(rest);
    return v;
}

static enum math_value two(int op, acb_t x, acb_t y, const struct math_point *at) {
    enum math_value v;
    fmpz_t n;
    switch (op) {
    case F_BINOM: return binomial(x, y, at);
    case F_LOG:
        v = logarithm(x, at);
        if (v == VALUE_OK) v = logarithm(y, at);
        if (v == VALUE_OK && acb_is_zero(y)) v = VALUE_UNDEFINED;
        if (v == VALUE_OK) acb_div(x, x, y, at->prec);
        return v;
    case F_ROOT:
        fmpz_init(n);
        v = acb_get_unique_fmpz(n, y) && fmpz_fits_si(n) ? nth_root(x, fmpz_get_si(n), at)
                                                         : VALUE_NOT;
        fmpz_clear(n);
        return v;
    case F_MAX:
    case F_MIN:
        if (!is_real(x) || !is_real(y)) return VALUE_NOT;
        if (op == F_MAX)
            arb_max(acb_realref(x), acb_realref(x), acb_realref(y), at->prec);
        else
            arb_min(acb_realref(x), acb_realref(x), acb_realref(y), at->prec);
        return VALUE_OK;
    default: return VALUE_NOT;
    }
}

static enum math_value function(struct math_work *w, const struct math_node *t,
                                const struct math_point *at, acb_t out) {
    enum math_value v = t->n ? math_ball(w, t->kid[0], at, out) : VALUE_NOT;
    if (v == VALUE_OK && t->n == 1) return one(w, t->op, out, at);
    for (int i = 1; i < t->n && v == VALUE_OK; i++) {
        acb_t y;
        acb_init(y);
        v = math_ball(w, t->kid[i], at, y);
        if (v == VALUE_OK) v = two(t->op, out, y, at);
        acb_clear(y);
    }
    return v;
}

static enum math_value series(struct math_work *w, const struct math_node *t,
                              const struct math_point *at, acb_t out) {
    long low, high;
    struct math_env inner = {.n = 0};
    int n = at->env ? at->env->n : 0;
    struct math_point there = {&inner, at->prec, at->complex};
    if (n >= 30 || !math_small_int(w, t->kid[1], at->env, &low) ||
        !math_small_int(w, t->kid[2], at->env, &high))
        return VALUE_SKIP;
    if (high < low - 1 && n) return VALUE_SKIP; /* to -5: whatever that means */
    if (high - low > 1000) return VALUE_LIMIT;
    for (int i = 0; i <= n; i++) {
        fmpq_init(inner.value[i]);
        inner.name[i] = i < n ? at->env->name[i] : t->kid[0]->name;
        if (i < n) fmpq_set(inner.value[i], at->env->value[i]);
    }
    inner.n = n + 1;
    acb_t term;
    acb_init(term);
    if (t->op == F_PROD)
        acb_one(out);
    else
        acb_zero(out);
    enum math_value v = VALUE_OK;
    for (long k = low; k <= high && v == VALUE_OK; k++) {
        fmpq_set_si(inner.value[n], k, 1);
        v = math_ball(w, t->kid[3], &there, term);
        if (v == VALUE_OK && t->op == F_SUM)
            acb_add(out, out, term, at->prec);
        else if (v == VALUE_OK)
            acb_mul(out, out, term, at->prec);
    }
    acb_clear(term);
    for (int i = 0; i <= n; i++) fmpq_clear(inner.value[i]);
    return v;
}

static enum math_value fold(struct math_work *w, const struct math_node *t,
                            const struct math_point *at, acb_t out) {
    acb_t x;
    acb_init(x);
    enum math_value v = math_ball(w, t->kid[0], at, out);
    for (int i = 1; i < t->n && v == VALUE_OK; i++) {
        v = math_ball(w, t->kid[i], at, x);
        if (v != VALUE_OK) break;
        if (t->kind == M_ADD)
            acb_add(out, out, x, at->prec);
        else if (t->kind == M_MUL)
            acb_mul(out, out, x, at->prec);
        else if (acb_is_zero(x))
            v = VALUE_UNDEFINED;
        else
            acb_div(out, out, x, at->prec);
    }
    acb_clear(x);
    return v;
}

static enum math_value constant(int op, long prec, acb_t out) {
    switch (op) {
    case 'p': acb_const_pi(out, prec); return VALUE_OK;
    case 'e':
        acb_one(out);
        acb_exp(out, out, prec);
        return VALUE_OK;
    case 'i': acb_onei(out); return VALUE_OK;
    default: return VALUE_NOT;
    }
}

static enum math_value variable(const struct math_node *t, const struct math_point *at,
                                acb_t out) {
    for (int i = at->env ? at->env->n - 1 : -1; i >= 0; i--)
        if (strcmp(at->env->name[i], t->name) == 0) {
            acb_set_fmpq(out, at->env->value[i], at->prec);
            return VALUE_OK;
        }
    return VALUE_NOT;
}

enum math_value math_ball(struct math_work *w, const struct math_node *t,
                          const struct math_point *at, acb_t out) {
    enum math_value v;
    w->nodes += 1 + at->prec / 2048;
    if (w->nodes > 4 * MATH_MAX_NODES) return VALUE_LIMIT;
    switch (t->kind) {
    case M_NUM: acb_set_fmpq(out, &t->num->value, at->prec); return VALUE_OK;
    case M_CONST: return constant(t->op, at->prec, out);
    case M_VAR: return variable(t, at, out);
    case M_NEG:
    case M_PERCENT:
        v = math_ball(w, t->kid[0], at, out);
        if (v != VALUE_OK) return v;
        if (t->kind == M_NEG)
            acb_neg(out, out);
        else
            acb_div_ui(out, out, 100, at->prec);
        return v;
    case M_ADD:
    case M_MUL:
    case M_DIV: return fold(w, t, at, out);
    case M_POW: return power(w, t, at, out);
    case M_FUN:
        if (t->op == F_SUM || t->op == F_PROD) return series(w, t, at, out);
        return function(w, t, at, out);
    default: return VALUE_NOT;
    }
}
