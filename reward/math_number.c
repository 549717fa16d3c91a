/* reward/math_number.c: scalars as people write them: percent, units, bases, rounding. */
#include <string.h>

#include "reward/math_compare.h"
#include "reward/math_unit.h"

/* ---- rounding ---- */

/* The plain decimal that t is, with its sign; NULL where it is none. */
static const struct math_number *decimal(const struct math_node *t, bool *negative) {
    *negative = false;
    if (t->kind == M_PERCENT) return NULL;
    for (; t->kind == M_NEG; t = t->kid[0]) *negative = !*negative;
    return t->kind == M_NUM && t->num->decimals > 0 ? t->num : NULL;
}

/* Some decimal writes x exactly. */
static bool terminates(const fmpq_t x) {
    fmpz_t d, p;
    fmpz_init_set(d, fmpq_denref(x));
    fmpz_init(p);
    fmpz_set_ui(p, 2);
    fmpz_remove(d, d, p);
    fmpz_set_ui(p, 5);
    fmpz_remove(d, d, p);
    bool yes = fmpz_is_one(d);
    fmpz_clear(d);
    fmpz_clear(p);
    return yes;
}

/* |exact - d| below half of the last place of d, or with `loose` below all of it? A
 * number of 15 digits and more may be a double, off by its last bit. */
static bool within(struct math_work *w, struct math_node *exact,
                   const struct math_number *d, bool negative, bool loose) {
    acb_t x;
    arb_t half;
    fmpq_t value;
    struct math_point at = {NULL, 128 + 4 * d->decimals, false};
    acb_init(x);
    arb_init(half);
    fmpq_init(value);
    fmpq_set(value, &d->value);
    if (negative) fmpq_neg(value, value);
    bool close =
        math_ball(w, exact, &at, x) == VALUE_OK && acb_is_finite(x) && acb_is_real(x);
    if (close) {
        arb_set_fmpq(half, value, at.prec);
        arb_sub(acb_realref(x), acb_realref(x), half, at.prec);
        arb_abs(acb_realref(x), acb_realref(x));
        arb_set_ui(half, 10);
        arb_pow_ui(half, half, (ulong)d->decimals, at.prec);
        if (!loose) arb_mul_2exp_si(half, half, 1);
        arb_inv(half, half, at.prec);
        close = arb_lt(acb_realref(x), half);
        if (!close && d->digits >= 15) {
            arb_set_fmpq(half, value, at.prec);
            arb_abs(half, half);
            arb_mul_2exp_si(half, half, -52);
            close = arb_lt(acb_realref(x), half);
        }
    }
    acb_clear(x);
    arb_clear(half);
    fmpq_clear(value);
    return close;
}

/* Significant digits that stand for t, which no decimal can write; 0: none do. */
static int digits_needed(struct math_work *w, const struct math_node *t, int of_fraction,
                         int otherwise) {
    const char *names[1];
    fmpq_t x;
    bool negative;
    if (decimal(t, &negative) || math_variables(t, names, 0, 0) != 0) return 0;
    fmpq_init(x);
    enum math_value v = math_rational(w, t, NULL, x);
    bool inexact = v == VALUE_NOT || (v == VALUE_OK && !terminates(x));
    fmpq_clear(x);
    return !inexact ? 0 : v == VALUE_OK ? of_fraction : otherwise;
}

/* d is the correct rounding of `exact`, to `digits` significant ones at least; one that
 * is longer than an irrational needs may be cut off instead. */
static bool is_rounding(struct math_work *w, struct math_node *exact,
                        const struct math_node *decimals, int digits) {
    bool negative;
    const struct math_number *d = decimal(decimals, &negative);
    return digits > 0 && d && d->digits >= digits && d->decimals <= 1000 &&
           within(w, exact, d, negative,
                  d->digits > digits && d->digits > w->o->rounding);
}

static enum math_verdict plain(struct math_work *w, struct math_node *gold,
                               struct math_node *answer) {
    const struct math_options *o = w->o;
    enum math_verdict v = math_scalars_equal(w, gold, answer);
    bool negative;
    if (v != MATH_DIFFERENT || (!decimal(gold, &negative) && !decimal(answer, &negative)))
        return v;
    int of_gold = digits_needed(w, gold, o->fraction_rounding, o->rounding);
    int of_answer = digits_needed(w, answer, o->gold_rounding, o->gold_rounding);
    if (is_rounding(w, gold, answer, of_gold)) {
        math_why(w, "the gold, rounded");
        return MATH_EQUAL;
    }
    if (is_rounding(w, answer, gold, of_answer)) {
        math_why(w, "the answer rounds to the gold");
        return MATH_EQUAL;
    }
    return MATH_DIFFERENT;
}

/* ---- percent ---- */

static bool above_one(struct math_work *w, const struct math_node *t) {
    fmpq_t x;
    fmpq_init(x);
    bool yes = math_rational(w, t, NULL, x) == VALUE_OK;
    fmpq_abs(x, x);
    yes = yes && fmpq_cmp_si(x, 1) > 0;
    fmpq_clear(x);
    return yes;
}

static struct math_node *without_percent(const struct math_node *t, bool *percent) {
    *percent = false;
    if (t->kind == M_PERCENT) {
        *percent = true;
        return t->kid[0];
    }
    bool inner = t->kind == M_NEG && t->kid[0]->kind == M_PERCENT;
    *percent = inner;
    return NULL;
}

/* The number before the percent sign, its own sign included. */
static struct math_node *percent_number(struct math_work *w, struct math_node *t,
                                        bool *percent) {
    struct math_node *inside = without_percent(t, percent);
    if (inside) return inside;
    return *percent ? math_new1(w, M_NEG, 0, t->kid[0]->kid[0]) : t;
}

static enum math_verdict percents(struct math_work *w, struct math_node *gold,
                                  struct math_node *answer) {
    bool pg, pa;
    struct math_node *g = percent_number(w, gold, &pg),
                     *a = percent_number(w, answer, &pa);
    if (pg == pa) return plain(w, g, a);
    enum math_verdict v = plain(w, gold, answer);
    if (v == MATH_EQUAL || !w->o->bare_percent) return v;
    /* 50 for 50 %, but not 0.5 for 0.5 % */
    if (!above_one(w, pg ? a : g)) return v;
    return plain(w, g, a);
}

/* ---- bases ---- */

static enum math_verdict bases(struct math_work *w, const struct math_node *gold,
                               const struct math_node *answer) {
    char *digits;
    bool same;
    if (gold->kind == M_BASED && answer->kind == M_BASED)
        same = strcmp(gold->name, answer->name) == 0 &&
               math_compare_trees(gold->kid[0], answer->kid[0]) == 0;
    else {
        const struct math_node *based = gold->kind == M_BASED ? gold : answer;
        const struct math_node *bare = based == gold ? answer : gold;
        bool allowed =
            math_is_int(based->kid[0], 10) || (based == gold && w->o->missing_base);
        if (!allowed || bare->kind != M_NUM || bare->num->decimals != 0)
            return MATH_DIFFERENT;
        digits = fmpz_get_str(NULL, 10, fmpq_numref(&bare->num->value));
        same = strcmp(digits, based->name) == 0;
        flint_free(digits);
    }
    math_why(w,
             same ? "the same digits in the same base" : "other digits or another base");
    return same ? MATH_EQUAL : MATH_DIFFERENT;
}

/* ---- units ---- */

static struct math_node *scaled(struct math_work *w, struct math_node *t) {
    return math_new2(w, M_MUL, 0, math_int(w, 100), t);
}

static const char *unit_of(struct math_node **t) {
    const char *unit = "";
    if ((*t)->kind != M_UNIT) return unit;
    unit = (*t)->name;
    *t = (*t)->kid[0];
    return unit;
}

enum math_verdict math_quantities_equal(struct math_work *w, struct math_node *gold,
                                        struct math_node *answer) {
    const char *ug = unit_of(&gold), *ua = unit_of(&answer);
    bool percent;
    percent_number(w, *ug ? answer : gold, &percent);
    if (percent && !*ug != !*ua) {
        math_why(w, "a percent sign against a unit");
        return MATH_DIFFERENT;
    }
    switch (math_unit_compare(ug, ua)) {
    case UNIT_SAME: break;
    case UNIT_ONE_MISSING:
        if (w->o->missing_unit) break;
        math_why(w, "one has no unit");
        return MATH_DIFFERENT;
    case UNIT_CENTS_OF_DOLLARS: answer = scaled(w, answer); break;
    case UNIT_DOLLARS_OF_CENTS: gold = scaled(w, gold); break;
    case UNIT_DIFFERENT:
        math_why(w, "the units differ: %.40s, %.40s", ug, ua);
        return MATH_DIFFERENT;
    }
    if (gold->kind == M_BASED || answer->kind == M_BASED) return bases(w, gold, answer);
    if (gold->kind == M_PERCENT || answer->kind == M_PERCENT || gold->kind == M_NEG ||
        answer->kind == M_NEG)
        return percents(w, gold, answer);
    return plain(w, gold, answer);
}
