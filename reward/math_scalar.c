/* reward/math_scalar.c: are two scalar expressions the same? Cheapest proof first.
 *
 * 1. both rational: exact. 2. the same tree up to order, where nothing in it can be
 * undefined. 3. constants: disjoint balls tell them apart, Calcium proves them equal.
 * 4. functions of variables: balls at points tell them apart; the canonical rational form
 * proves them equal; else agreement at all points at a precision far beyond the size of
 * what was written counts as equality.
 */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "reward/math_value.h"

enum {
    MAX_VARIABLES = 24,
    N_POINTS = 10,
    MIN_AGREEMENTS = 3,
    MAX_PREC = 6000,
    FAR_PREC = 2400
};

int math_variables(const struct math_node *t, const char **names, int n, int max) {
    if (n < 0) return n;
    if (t->kind == M_VAR) {
        for (int i = 0; i < n; i++)
            if (strcmp(names[i], t->name) == 0) return n;
        if (n == max) return -1;
        names[n] = t->name;
        return n + 1;
    }
    bool binds = t->kind == M_FUN && (t->op == F_SUM || t->op == F_PROD) && t->n == 4;
    for (int i = 0; i < t->n; i++) {
        if (binds && i == 0) continue;
        if (!binds || i != 3) {
            n = math_variables(t->kid[i], names, n, max);
            continue;
        }
        int before = n;
        n = math_variables(t->kid[i], names, n, max);
        for (int k = before; k < n; k++) /* the bound one is last or not there */
            if (strcmp(names[k], t->kid[0]->name) == 0) names[k] = names[--n];
    }
    return n;
}

static long size_of_constant(struct math_work *w, const struct math_node *t) {
    struct math_point at = {NULL, 128, true};
    fmpq_t q;
    acb_t x;
    mag_t low, high;
    long bits = -1;
    fmpq_init(q);
    enum math_value v = math_rational(w, t, NULL, q);
    if (v == VALUE_OK) bits = (long)fmpq_height_bits(q);
    fmpq_clear(q);
    if (v == VALUE_OK || v == VALUE_UNDEFINED) return v == VALUE_OK ? bits : 0;
    acb_init(x);
    mag_init(low);
    mag_init(high);
    if (math_ball(w, t, &at, x) == VALUE_OK && acb_is_finite(x)) {
        acb_get_mag_lower(low, x);
        acb_get_mag(high, x);
        double a = mag_is_zero(low) ? 1e9 : fabs(mag_get_d_log2_approx(low));
        double b = fabs(mag_get_d_log2_approx(high));
        if (a < MAX_PREC && b < MAX_PREC) bits = (long)(a > b ? a : b) + 1;
    }
    mag_clear(low);
    mag_clear(high);
    acb_clear(x);
    return bits;
}

/* How far from 1, on a scale of bits, all constants in t are, added up; -1 where one may
 * be zero or has no size that can be told: then agreement at any precision proves
 * nothing. */
static long constant_bits(struct math_work *w, const struct math_node *t) {
    const char *names[1];
    long sum = 0;
    if (t->kind == M_NUM) return (long)fmpq_height_bits(&t->num->value);
    if (t->kind == M_CONST || t->kind == M_VAR) return 0;
    if (math_variables(t, names, 0, 0) == 0 && t->kind != M_CALL)
        sum = size_of_constant(w, t);
    bool binds = t->kind == M_FUN && (t->op == F_SUM || t->op == F_PROD);
    for (int i = 0; i < t->n && sum >= 0; i++) {
        long bits = binds && (i == 0 || i == 3) ? 0 : constant_bits(w, t->kid[i]);
        sum = bits < 0 ? -1 : sum + bits;
    }
    return sum;
}

/* Nothing in it divides, takes roots or logarithms, or is infinite. */
static bool is_total(const struct math_node *t) {
    if (t->kind == M_FUN && t->op != F_ABS && t->op != F_SIN && t->op != F_COS &&
        t->op != F_EXP && t->op != F_DEG && t->op != F_SQRT)
        return false;
    if (t->kind == M_FUN && t->op == F_SQRT)
        return t->kid[0]->kind == M_NUM || is_total(t->kid[0]);
    if (t->kind == M_POW) {
        const struct math_node *e = t->kid[1];
        bool plain = e->kind == M_NUM && fmpq_sgn(&e->num->value) > 0;
        bool tower = t->kid[0]->kind == M_NUM && fmpq_sgn(&t->kid[0]->num->value) > 0;
        if (!plain && !tower) return false;
    }
    if (t->kind == M_DIV) {
        if (t->kid[1]->kind != M_NUM || fmpq_is_zero(&t->kid[1]->num->value))
            return false;
    } else if (t->kind == M_CONST) {
        return t->op != 'o';
    } else if (t->kind > M_POW && t->kind != M_FUN && t->kind != M_PERCENT) {
        return false;
    }
    for (int i = 0; i < t->n; i++)
        if (!is_total(t->kid[i])) return false;
    return true;
}

static bool same_tree(struct math_work *w, struct math_node *a, struct math_node *b) {
    math_sort(w, a);
    math_sort(w, b);
    return math_compare_trees(a, b) == 0;
}

/* ---- constants ---- */

static bool is_finite(const acb_t x) { return acb_is_finite(x); }

static long agreement_bits(const acb_t x) {
    mag_t rad;
    mag_init(rad);
    mag_max(rad, arb_radref(acb_realref(x)), arb_radref(acb_imagref(x)));
    long bits = mag_is_zero(rad) ? MAX_PREC : -(long)mag_get_d_log2_approx(rad);
    mag_clear(rad);
    return bits;
}

/* DIFFERENT for certain; EQUAL as far as this precision sees, with how many bits it saw
 * in *bits. */
static enum math_verdict compare_balls(struct math_work *w, struct math_node *a,
                                       struct math_node *b, long prec, bool *undefined,
                                       long *bits) {
    acb_t x, y;
    struct math_point at = {NULL, prec, true};
    acb_init(x);
    acb_init(y);
    enum math_verdict verdict = MATH_UNDECIDED;
    enum math_value va = math_ball(w, a, &at, x), vb = math_ball(w, b, &at, y);
    *undefined = va == VALUE_UNDEFINED || vb == VALUE_UNDEFINED;
    bool ok = va == VALUE_OK && vb == VALUE_OK && is_finite(x) && is_finite(y);
    if (*undefined || (ok && !acb_overlaps(x, y)))
        verdict = MATH_DIFFERENT;
    else if (ok)
        verdict = MATH_EQUAL;
    acb_sub(x, x, y, prec);
    *bits = verdict == MATH_EQUAL ? agreement_bits(x) : 0;
    acb_clear(x);
    acb_clear(y);
    return verdict;
}

/* Constants that Calcium leaves open: agreement far beyond the size of what is written.
 */
static enum math_verdict agree_beyond_size(struct math_work *w, struct math_node *a,
                                           struct math_node *b) {
    long size_a = constant_bits(w, a), size_b = constant_bits(w, b), seen = 0;
    long prec = FAR_PREC + 4 * (size_a + size_b);
    bool undefined;
    enum math_verdict v = MATH_UNDECIDED;
    if (size_a >= 0 && size_b >= 0 && prec <= MAX_PREC)
        v = compare_balls(w, a, b, prec, &undefined, &seen);
    if (v == MATH_EQUAL && seen >= prec / 2) {
        math_why(w, "they agree to %ld bits, far beyond what is written", seen);
        return v;
    }
    if (v == MATH_EQUAL) v = MATH_UNDECIDED;
    math_why(w,
             v == MATH_DIFFERENT ? "the values are apart" : "neither proved nor apart");
    return v;
}

static enum math_verdict constants(struct math_work *w, struct math_node *a,
                                   struct math_node *b) {
    bool undefined = false;
    long bits;
    for (long prec = 96; prec <= 384; prec *= 2) {
        enum math_verdict near = compare_balls(w, a, b, prec, &undefined, &bits);
        if (near == MATH_UNDECIDED) break;
        if (near == MATH_EQUAL) continue;
        math_why(w, undefined ? "one has no value" : "the values are apart at %ld bits",
                 prec);
        return MATH_DIFFERENT;
    }
    bool same = same_tree(w, a, b);
    if (same && is_total(a)) {
        math_why(w, "the same expression");
        return MATH_EQUAL;
    }
    /* too large for balls is too large for Calcium; 1/0 is finite for neither */
    truth_t proof = math_constants_equal(w, a, b);
    if (proof == T_UNKNOWN) return agree_beyond_size(w, a, b);
    math_why(w, "proved %s as constants", proof == T_TRUE ? "equal" : "different");
    return proof == T_TRUE ? MATH_EQUAL : MATH_DIFFERENT;
}

/* ---- functions of variables ---- */

/* Point k: positive ones first, whole ones, then both signs, then within (0, 1). */
static void set_point(struct math_env *env, int k) {
    static const int primes[] = {7,  11, 13, 17, 19, 23, 29, 31, 37, 41, 43,  47,
                                 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103};
    for (int i = 0; i < env->n; i++) {
        long p = primes[i % 24], num = p * (3 + 2 * k) + 5 * k + 1,
             den = 8 + k + 3 * (i % 5);
        if (k == 2 || k == 3 || k == 9) {
            num = 2 + (i * 5 + k * 3) % 11;
            den = 1;
        } else if (k == 4 || k == 5 || k == 8) {
            if ((i + k) % 2 == 0 || env->n == 1) num = -num;
        } else if (k >= 6) {
            num = num % 89 + 1;
            den = 97;
        }
        fmpq_set_si(env->value[i], num, (ulong)den);
    }
}

struct comparison {
    struct math_work *w;
    struct math_node *gold, *answer;
    struct math_env env;
    long prec;
    bool complex, up_to_factor;
    acb_t x, y, ratio;
    int agreements, sign;
};

/* One more ratio: the same as the first? */
static truth_t compare_ratio(struct comparison *c) {
    if (acb_contains_zero(c->y) || acb_contains_zero(c->x)) {
        bool both = acb_is_zero(c->x) && acb_is_zero(c->y);
        bool apart =
            (acb_contains_zero(c->x) && acb_is_zero(c->x) && !acb_contains_zero(c->y)) ||
            (acb_is_zero(c->y) && !acb_contains_zero(c->x));
        return apart ? T_FALSE : both ? T_TRUE : T_UNKNOWN;
    }
    acb_div(c->x, c->x, c->y, c->prec);
    if (c->agreements++ == 0) {
        acb_set(c->ratio, c->x);
        c->sign = arb_is_positive(acb_realref(c->x))   ? 1
                  : arb_is_negative(acb_realref(c->x)) ? -1
                                                       : 0;
        return T_TRUE;
    }
    return acb_overlaps(c->ratio, c->x) ? T_TRUE : T_FALSE;
}

/* T_TRUE: agree or nothing to compare here; T_FALSE: differ for certain. */
static truth_t compare_point(struct comparison *c, int k) {
    set_point(&c->env, k);
    struct math_point at = {&c->env, c->prec, c->complex};
    enum math_value vg = math_ball(c->w, c->gold, &at, c->x);
    if (vg == VALUE_UNDEFINED || vg == VALUE_SKIP) return T_TRUE;
    enum math_value va = math_ball(c->w, c->answer, &at, c->y);
    if (va == VALUE_UNDEFINED && vg == VALUE_OK && is_finite(c->x)) {
        math_why(c->w, "the answer has no value where the gold has one");
        return T_FALSE;
    }
    if (va == VALUE_UNDEFINED || va == VALUE_SKIP) return T_TRUE;
    if (vg != VALUE_OK || va != VALUE_OK) return T_UNKNOWN;
    if (!is_finite(c->x) || !is_finite(c->y)) return T_TRUE;
    if (c->up_to_factor) return compare_ratio(c);
    if (!acb_overlaps(c->x, c->y)) {
        math_why(c->w, "the values are apart at a point");
        return T_FALSE;
    }
    acb_sub(c->x, c->x, c->y, c->prec);
    if (agreement_bits(c->x) < c->prec / 2) return T_UNKNOWN;
    c->agreements++;
    return T_TRUE;
}

truth_t math_agree(struct math_work *w, struct math_node *gold, struct math_node *answer,
                   bool up_to_factor, int *sign) {
    struct comparison c = {
        .w = w, .gold = gold, .answer = answer, .up_to_factor = up_to_factor};
    long bits = constant_bits(w, gold), more = constant_bits(w, answer);
    bool sized = bits >= 0 && more >= 0;
    if (!sized) bits = more = 0;
    c.prec = 192 + 2 * (bits + more);
    c.env.n = math_variables(gold, c.env.name, 0, MAX_VARIABLES);
    c.env.n = math_variables(answer, c.env.name, c.env.n, MAX_VARIABLES);
    if (c.env.n < 0 || c.prec > MAX_PREC) return T_UNKNOWN;
    c.complex = math_has_const(gold, 'i') || math_has_const(answer, 'i');
    for (int i = 0; i < c.env.n; i++) fmpq_init(c.env.value[i]);
    acb_init(c.x);
    acb_init(c.y);
    acb_init(c.ratio);
    truth_t agree = T_TRUE;
    for (int k = 0; k < N_POINTS && agree != T_FALSE; k++) {
        truth_t here = compare_point(&c, k);
        if (here != T_TRUE) agree = here;
    }
    if (agree == T_TRUE && (c.agreements < MIN_AGREEMENTS || !sized)) agree = T_UNKNOWN;
    if (sign) *sign = c.sign;
    for (int i = 0; i < c.env.n; i++) fmpq_clear(c.env.value[i]);
    acb_clear(c.x);
    acb_clear(c.y);
    acb_clear(c.ratio);
    return agree;
}

static enum math_verdict functions(struct math_work *w, struct math_node *a,
                                   struct math_node *b) {
    bool same = same_tree(w, a, b);
    if (same && is_total(a)) {
        math_why(w, "the same expression");
        return MATH_EQUAL;
    }
    truth_t agree = math_agree(w, a, b, false, NULL);
    if (agree == T_FALSE) return MATH_DIFFERENT;
    truth_t proof = math_rational_functions_equal(w, a, b);
    if (proof == T_TRUE) {
        math_why(w, "the same rational function");
        return MATH_EQUAL;
    }
    if (proof == T_FALSE) {
        math_why(w, "different rational functions");
        return MATH_DIFFERENT;
    }
    if (agree == T_TRUE) {
        math_why(w, "the same values at every point tried");
        return MATH_EQUAL;
    }
    math_why(w, "neither proved equal nor told apart");
    return MATH_UNDECIDED;
}

/* ---- the decision ---- */

/* +infinity and -infinity; 0: t is neither. */
static int infinity_sign(const struct math_node *t) {
    int sign = 1;
    for (; t->kind == M_NEG; t = t->kid[0]) sign = -sign;
    return t->kind == M_CONST && t->op == 'o' ? sign : 0;
}

static bool is_sum(const struct math_node *t) {
    return t->kind == M_FUN && (t->op == F_SUM || t->op == F_PROD) && t->n == 4;
}

static bool has_sum(const struct math_node *t) {
    if (is_sum(t)) return true;
    for (int i = 0; i < t->n; i++)
        if (has_sum(t->kid[i])) return true;
    return false;
}

/* Sums without an end are not added up: the same if all their parts are. */
static enum math_verdict endless_sums(struct math_work *w, struct math_node *gold,
                                      struct math_node *answer) {
    bool same = same_tree(w, gold, answer);
    if (!same && is_sum(gold) && is_sum(answer) && gold->op == answer->op) {
        struct math_node *body =
            math_substitute(w, answer->kid[3], answer->kid[0]->name, gold->kid[0]);
        same = true;
        for (int i = 1; i < 4 && same; i++)
            same = math_scalars_equal(w, gold->kid[i], i < 3 ? answer->kid[i] : body) ==
                   MATH_EQUAL;
    }
    math_why(w, same ? "the same sum" : "sums without an end");
    return same ? MATH_EQUAL : MATH_UNDECIDED;
}

static enum math_verdict rationals(struct math_work *w, struct math_node *gold,
                                   struct math_node *answer, bool *done) {
    fmpq_t a, b;
    fmpq_init(a);
    fmpq_init(b);
    enum math_value va = math_rational(w, gold, NULL, a),
                    vb = math_rational(w, answer, NULL, b);
    bool equal = va == VALUE_OK && vb == VALUE_OK && fmpq_equal(a, b);
    *done = true;
    if (va == VALUE_UNDEFINED || vb == VALUE_UNDEFINED)
        math_why(w, "one has no value");
    else if (va == VALUE_OK && vb == VALUE_OK)
        math_why(w, "%s rational numbers", equal ? "equal" : "different");
    else
        *done = false;
    fmpq_clear(a);
    fmpq_clear(b);
    return equal ? MATH_EQUAL : MATH_DIFFERENT;
}

enum math_verdict math_scalars_equal(struct math_work *w, struct math_node *gold,
                                     struct math_node *answer) {
    int ig = infinity_sign(gold), ia = infinity_sign(answer);
    bool done;
    const char *names[MAX_VARIABLES];
    if (ig || ia) return ig == ia ? MATH_EQUAL : MATH_DIFFERENT;
    bool endless = math_has_const(gold, 'o') && math_has_const(answer, 'o');
    if (endless && has_sum(gold) && has_sum(answer)) return endless_sums(w, gold, answer);
    if (math_has_const(gold, 'o') || math_has_const(answer, 'o')) {
        math_why(w, "arithmetic with infinity has no value");
        return MATH_DIFFERENT;
    }
    enum math_verdict v = rationals(w, gold, answer, &done);
    if (done) return v;
    if (w->limit) return MATH_UNDECIDED;
    int n = math_variables(gold, names, 0, MAX_VARIABLES);
    n = math_variables(answer, names, n, MAX_VARIABLES);
    bool calls = math_has(gold, M_CALL) || math_has(answer, M_CALL);
    return n == 0 && !calls ? constants(w, gold, answer) : functions(w, gold, answer);
}

int math_order(struct math_work *w, struct math_node *a, struct math_node *b) {
    int ia = infinity_sign(a), ib = infinity_sign(b);
    acb_t x, y;
    struct math_point at = {NULL, 128, false};
    const char *names[1];
    if (ia || ib) return ia == ib ? 0 : ia < ib ? -1 : 1;
    if (math_variables(a, names, 0, 0) || math_variables(b, names, 0, 0)) return 2;
    acb_init(x);
    acb_init(y);
    int order = 2;
    bool ok = math_ball(w, a, &at, x) == VALUE_OK && math_ball(w, b, &at, y) == VALUE_OK;
    if (ok && is_finite(x) && is_finite(y) && acb_is_real(x) && acb_is_real(y)) {
        if (arb_lt(acb_realref(x), acb_realref(y)))
            order = -1;
        else if (arb_gt(acb_realref(x), acb_realref(y)))
            order = 1;
        else if (math_scalars_equal(w, a, b) == MATH_EQUAL)
            order = 0;
    }
    acb_clear(x);
    acb_clear(y);
    return order;
}
