/* reward/math_relation.c: equations, inequalities, congruences, and what they state.
 *
 * Equations agree up to a factor, but where the gold is solved (x = 5) an answer that is
 * not (2x = 10) has work left to do: then only a factor of -1 is allowed. Inequalities
 * likewise, with positive factors.
 */
#include <string.h>

#include "reward/math_compare.h"

static bool all_of(const char *ops, const char *allowed) {
    for (; *ops; ops++)
        if (!strchr(allowed, *ops)) return false;
    return true;
}

static bool is_capital(const struct math_node *t) {
    return t->kind == M_VAR && t->name[0] >= 'A' && t->name[0] <= 'Z';
}

/* AB, \angle ABC, |AB|, V_1, A^{-1}: what geometry and algebra name by capitals. */
static bool is_capital_name(const struct math_node *t) {
    if (t->kind == M_FUN && t->op == F_ABS) {
        const struct math_node *of = t->kid[0];
        return of->kind == M_MUL && is_capital_name(of);
    }
    if (t->kind == M_POW)
        return is_capital(t->kid[0]) && t->kid[1]->kind == M_NEG &&
               math_is_int(t->kid[1]->kid[0], 1);
    if (t->kind != M_MUL) return is_capital(t);
    for (int i = 0; i < t->n; i++) {
        const char *name = t->kid[i]->kind == M_VAR ? t->kid[i]->name : "";
        bool sign =
            i == 0 && (strcmp(name, "angle") == 0 || strcmp(name, "triangle") == 0);
        if (!sign && !is_capital(t->kid[i])) return false;
    }
    return true;
}

/* x, f(x), (x, y), A', AB, V_1:V_2: what may stand before an equals sign as a name. */
static bool is_label(const struct math_node *t) {
    if (t->kind == M_VAR || t->kind == M_TEXT || is_capital_name(t)) return true;
    if (t->kind == M_CALL) {
        for (int i = 0; i < t->n; i++)
            if (t->kid[i]->kind != M_VAR && t->kid[i]->kind != M_NUM &&
                t->kid[i]->kind != M_ADD && t->kid[i]->kind != M_REL &&
                t->kid[i]->kind != M_SET)
                return false;
        return strcmp(t->name, "overline") != 0;
    }
    bool ratio = t->kind == M_DIV || t->kind == M_RATIO;
    if (t->kind != M_TUPLE && !ratio) return false;
    for (int i = 0; i < t->n; i++)
        if (ratio ? !is_capital_name(t->kid[i]) : t->kid[i]->kind != M_VAR) return false;
    return true;
}

static bool is_constant(const struct math_node *t) {
    const char *names[1];
    return math_variables(t, names, 0, 0) == 0 && !math_has(t, M_CALL);
}

/* Does the value speak of its own label? Then it is an equation, not a statement. */
static bool mentions(const struct math_node *value, const struct math_node *label) {
    if (label->kind == M_VAR) return math_has_var(value, label->name);
    for (int i = 0; i < label->n && label->kind != M_CALL; i++)
        if (mentions(value, label->kid[i])) return true;
    return false;
}

struct math_node *math_stated_value(struct math_work *w, struct math_node *t,
                                    struct math_node **label) {
    *label = NULL;
    if (t->kind != M_REL || !all_of(t->name, "=~")) return NULL;
    int first = 0, last = t->n - 1;
    if (is_label(t->kid[0]))
        *label = t->kid[first++];
    else if (t->n == 2 && is_label(t->kid[1]))
        *label = t->kid[last--];
    while (*label && first > 0 && first < last && is_label(t->kid[first]) &&
           is_constant(t->kid[last]))
        first++; /* x = y = 4 */
    struct math_node *value = t->kid[first];
    if (*label && mentions(value, *label)) return NULL;
    if (!*label && !is_constant(value)) return NULL;
    for (int i = first + 1; i <= last; i++) {
        if (t->name[i - 1] == REL_APPROX) break; /* what follows is only near */
        if (math_equal(w, value, t->kid[i]) != MATH_EQUAL) {
            math_why(w, "the sides of the chain are not equal");
            return NULL;
        }
    }
    return value;
}

/* ---- lists of solutions ---- */

/* The values in t with their labels in label[]; NULL where one item is no statement. */
static struct math_node *values_of(struct math_work *w, struct math_node *t,
                                   struct math_node **label) {
    struct math_node *out = math_new(w, t->kind == M_SET ? M_SET : M_LIST, 0);
    for (int i = 0; i < t->n; i++) {
        struct math_node *value =
            t->kid[i]->kind == M_REL ? math_stated_value(w, t->kid[i], &label[i]) : NULL;
        if (!value || !label[i]) return NULL;
        math_push(w, out, value);
    }
    return out;
}

/* x = 1, y = 2, x = 3, y = 4: a solution has as many values as there are labels until
 * the first comes again. 1: they are all the same; n: all different; 0: no period. */
static int period(struct math_node *const *label, int n) {
    int k = 1;
    while (k < n && math_compare_trees(label[0], label[k]) != 0) k++;
    for (int i = k; i < n; i++)
        if (math_compare_trees(label[i], label[i % k]) != 0) return 0;
    return n % k == 0 ? k : 0;
}

static struct math_node *in_tuples(struct math_work *w, const struct math_node *values,
                                   int size) {
    struct math_node *out = math_new(w, M_LIST, 0), *tuple = NULL;
    for (int i = 0; i < values->n; i++) {
        if (i % size == 0) math_push(w, out, tuple = math_new(w, M_TUPLE, 0));
        math_push(w, tuple, values->kid[i]);
    }
    return out;
}

struct math_node *math_solutions(struct math_work *w, struct math_node *t,
                                 bool *ordered) {
    struct math_node *label = NULL, **labels;
    *ordered = false;
    if ((t->kind != M_LIST && t->kind != M_OR && t->kind != M_AND && t->kind != M_SET) ||
        t->n < 2)
        return t;
    if (t->kid[0]->kind != M_REL) return t;
    bool rest_bare = true;
    for (int i = 1; i < t->n; i++) rest_bare &= t->kid[i]->kind != M_REL;
    if (rest_bare) { /* x = 1, 2, 3 */
        struct math_node *value = math_stated_value(w, t->kid[0], &label), *out;
        if (!value || !label || label->kind != M_VAR) return t;
        out = math_new1(w, M_LIST, 0, value);
        for (int i = 1; i < t->n; i++) math_push(w, out, t->kid[i]);
        return out;
    }
    labels = arena_new(&w->arena, (size_t)t->n, sizeof(struct math_node *));
    struct math_node *values = values_of(w, t, labels);
    if (!values) return t;
    int size = period(labels, t->n);
    if (size > 1 && size < t->n) return in_tuples(w, values, size);
    *ordered = size != 1;
    return values;
}

/* ---- equations ---- */

static struct math_node *difference(struct math_work *w, const struct math_node *t) {
    return math_new2(w, M_ADD, 0, t->kid[0], math_new1(w, M_NEG, 0, t->kid[1]));
}

static bool is_solved(const struct math_node *t) {
    bool left = t->kid[0]->kind == M_VAR && is_constant(t->kid[1]);
    return left || (t->kid[1]->kind == M_VAR && is_constant(t->kid[0]));
}

static bool is_scalar(const struct math_node *t) {
    for (int i = 0; i < t->n; i++)
        if (!is_scalar(t->kid[i])) return false;
    return t->kind <= M_CALL || t->kind == M_PERCENT;
}

static bool scalar_sides(const struct math_node *t) {
    return t->n == 2 && is_scalar(t->kid[0]) && is_scalar(t->kid[1]);
}

/* gold = answer up to a factor, whose sign goes to *sign and whether it is 1 or -1 to
 * *unit. */
static enum math_verdict up_to_factor(struct math_work *w, struct math_node *g,
                                      struct math_node *a, bool numerators, int *sign,
                                      bool *unit) {
    fmpq_t ratio;
    fmpq_init(ratio);
    truth_t t = math_proportional(w, g, a, numerators, ratio);
    *sign = t == T_TRUE ? fmpq_sgn(ratio) : 0;
    *unit =
        t == T_TRUE && fmpz_is_one(fmpq_denref(ratio)) && fmpz_is_pm1(fmpq_numref(ratio));
    fmpq_clear(ratio);
    if (t == T_UNKNOWN) t = math_agree(w, g, a, true, sign);
    return t == T_TRUE ? MATH_EQUAL : t == T_FALSE ? MATH_DIFFERENT : MATH_UNDECIDED;
}

static enum math_verdict functions_equal(struct math_work *w, struct math_node *gold,
                                         struct math_node *answer) {
    const struct math_node *f = gold->kid[0], *g = answer->kid[0];
    struct math_node *rhs = answer->kid[1];
    if (strcmp(f->name, g->name) != 0 || f->n != g->n) return MATH_DIFFERENT;
    for (int i = 0; i < f->n; i++) {
        if (math_compare_trees(f->kid[i], g->kid[i]) == 0) continue;
        bool rename = f->kid[i]->kind == M_VAR && g->kid[i]->kind == M_VAR &&
                      !math_has_var(answer->kid[1], f->kid[i]->name);
        if (!rename) return MATH_DIFFERENT;
        rhs = math_substitute(w, rhs, g->kid[i]->name, f->kid[i]);
    }
    return math_equal(w, gold->kid[1], rhs);
}

static enum math_verdict solved_equal(struct math_work *w, struct math_node *gold,
                                      struct math_node *answer) {
    struct math_node *lg, *la;
    struct math_node *vg = math_stated_value(w, gold, &lg),
                     *va = math_stated_value(w, answer, &la);
    if (!vg || !va || !lg != !la) return MATH_DIFFERENT;
    if (lg && math_compare_trees(lg, la) != 0) {
        math_why(w, "another variable");
        return MATH_DIFFERENT;
    }
    return math_equal(w, vg, va);
}

static enum math_verdict equations(struct math_work *w, struct math_node *gold,
                                   struct math_node *answer) {
    if (gold->kid[0]->kind == M_CALL && answer->kid[0]->kind == M_CALL)
        return functions_equal(w, gold, answer);
    bool solved = is_solved(gold);
    if ((solved && is_solved(answer)) || !scalar_sides(gold) || !scalar_sides(answer))
        return solved_equal(w, gold, answer);
    int sign;
    bool unit;
    enum math_verdict v =
        up_to_factor(w, difference(w, gold), difference(w, answer), true, &sign, &unit);
    if (v == MATH_EQUAL && solved && !unit) {
        math_why(w, "the gold is solved, the answer is not");
        return MATH_DIFFERENT;
    }
    math_why(w, v == MATH_EQUAL ? "the same equation up to a factor"
                                : "equations that differ");
    return v;
}

/* ---- inequalities ---- */

static int flipped(int op) {
    return op == '<' ? '>' : op == '>' ? '<' : op == 'l' ? 'g' : op == 'g' ? 'l' : op;
}

/* lhs - rhs with `<` or `<=`: turned where it was > or >=. */
static struct math_node *below_zero(struct math_work *w, const struct math_node *t,
                                    int *op) {
    struct math_node *d = difference(w, t);
    *op = t->name[0];
    if (*op != '>' && *op != 'g') return d;
    *op = flipped(*op);
    return math_new1(w, M_NEG, 0, d);
}

static enum math_verdict inequalities(struct math_work *w, struct math_node *gold,
                                      struct math_node *answer) {
    int og, oa, sign;
    bool unit;
    struct math_node *g = below_zero(w, gold, &og), *a = below_zero(w, answer, &oa);
    if (og != oa || !scalar_sides(gold) || !scalar_sides(answer)) return MATH_DIFFERENT;
    enum math_verdict v = up_to_factor(w, g, a, false, &sign, &unit);
    if (v != MATH_EQUAL) return v;
    bool direction = og == '!' || sign > 0;
    bool allowed = direction && (unit || !is_solved(gold));
    math_why(w, allowed     ? "the same inequality"
                : direction ? "the gold is solved, the answer is not"
                            : "the inequality points the other way");
    return allowed ? MATH_EQUAL : MATH_DIFFERENT;
}

/* ---- chains, congruences ---- */

/* a > b > c as c < b < a. */
static struct math_node *ascending(struct math_work *w, struct math_node *t) {
    if (!all_of(t->name, ">g")) return t;
    struct math_node *out = math_new(w, M_REL, 0);
    size_t n = strlen(t->name);
    char *ops = arena_new(&w->arena, n + 1, 1);
    for (size_t i = 0; i < n; i++) ops[i] = (char)flipped(t->name[n - 1 - i]);
    for (int i = t->n - 1; i >= 0; i--) math_push(w, out, t->kid[i]);
    out->name = ops;
    return out;
}

static enum math_verdict congruences(struct math_work *w, struct math_node *gold,
                                     struct math_node *answer) {
    if (strcmp(gold->name, "mM") != 0 || strcmp(answer->name, "mM") != 0)
        return math_in_order(w, gold, answer);
    enum math_verdict v = math_both(math_equal(w, gold->kid[0], answer->kid[0]),
                                    math_equal(w, gold->kid[2], answer->kid[2]));
    if (v != MATH_EQUAL) return v;
    struct math_node *rest = math_new2(
        w, M_FUN, F_MOD,
        math_new2(w, M_ADD, 0, gold->kid[1], math_new1(w, M_NEG, 0, answer->kid[1])),
        gold->kid[2]);
    long r;
    if (!math_small_int(w, rest, NULL, &r))
        return math_equal(w, gold->kid[1], answer->kid[1]);
    return r == 0 ? MATH_EQUAL : MATH_DIFFERENT;
}

enum math_verdict math_relations_equal(struct math_work *w, struct math_node *gold,
                                       struct math_node *answer) {
    struct math_node *lg, *la;
    if (all_of(gold->name, "=~") && all_of(answer->name, "=~")) {
        if (gold->n == 2 && answer->n == 2) return equations(w, gold, answer);
        struct math_node *vg = math_stated_value(w, gold, &lg),
                         *va = math_stated_value(w, answer, &la);
        if (!vg || !va) return MATH_DIFFERENT;
        if (lg && la && math_compare_trees(lg, la) != 0) return MATH_DIFFERENT;
        return math_equal(w, vg, va);
    }
    if (gold->name[0] == 'm' || answer->name[0] == 'm')
        return strcmp(gold->name, answer->name) == 0 ? congruences(w, gold, answer)
                                                     : MATH_DIFFERENT;
    if (gold->n == 2 && answer->n == 2 && all_of(gold->name, "<>lg!") &&
        all_of(answer->name, "<>lg!"))
        return inequalities(w, gold, answer);
    struct math_node *g = ascending(w, gold), *a = ascending(w, answer);
    if (strcmp(g->name, a->name) != 0) return MATH_DIFFERENT;
    return math_in_order(w, g, a);
}
