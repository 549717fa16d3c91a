/* reward/math_compare.c: which rules apply to two answers. */
#include "reward/math_compare.h"

#include <string.h>

enum { MAX_NESTING = 24 };

/* ---- ratios and times ---- */

static struct math_node *quotient(struct math_work *w, const struct math_node *t) {
    return math_new2(w, M_DIV, 0, t->kid[0], t->kid[1]);
}

static enum math_verdict proportions(struct math_work *w, const struct math_node *a,
                                     const struct math_node *b) {
    enum math_verdict all = MATH_EQUAL;
    if (a->n != b->n) return MATH_DIFFERENT;
    for (int i = 1; i < a->n && all != MATH_DIFFERENT; i++) {
        struct math_node *x = math_new2(w, M_DIV, 0, a->kid[0], a->kid[i]);
        struct math_node *y = math_new2(w, M_DIV, 0, b->kid[0], b->kid[i]);
        all = math_both(all, math_scalars_equal(w, x, y));
    }
    return all;
}

static enum math_verdict times(struct math_work *w, const struct math_node *gold,
                               const struct math_node *answer) {
    bool missing = !*gold->name || !*answer->name;
    if (strcmp(gold->name, answer->name) != 0 && !(missing && w->o->missing_unit)) {
        math_why(w, "am against pm");
        return MATH_DIFFERENT;
    }
    return math_in_order(w, gold, answer);
}

static enum math_verdict ratios(struct math_work *w, struct math_node *gold,
                                struct math_node *answer) {
    bool clock = gold->kind == M_TIME && answer->kind == M_TIME;
    bool marked = (gold->kind == M_TIME && *gold->name) ||
                  (answer->kind == M_TIME && *answer->name);
    if (clock) return times(w, gold, answer);
    if (marked) return MATH_DIFFERENT;
    bool both = (gold->kind == M_TIME || gold->kind == M_RATIO) &&
                (answer->kind == M_TIME || answer->kind == M_RATIO);
    if (both)
        return math_in_order(w, gold, answer) == MATH_EQUAL
                   ? MATH_EQUAL
                   : proportions(w, gold, answer);
    if ((gold->kind == M_RATIO || gold->kind == M_TIME) && gold->n == 2 &&
        answer->kind <= M_POW)
        return math_scalars_equal(w, quotient(w, gold), answer);
    if ((answer->kind == M_RATIO || answer->kind == M_TIME) && answer->n == 2 &&
        gold->kind <= M_POW)
        return math_scalars_equal(w, gold, quotient(w, answer));
    return MATH_DIFFERENT;
}

/* ---- statements ---- */

/* One is `x = value`, the other no relation: the values decide. */
static enum math_verdict statement(struct math_work *w, struct math_node *gold,
                                   struct math_node *answer) {
    struct math_node *label, *relation = gold->kind == M_REL ? gold : answer;
    const struct math_node *other = relation == gold ? answer : gold;
    struct math_node *value = math_stated_value(w, relation, &label);
    if (!value) return MATH_DIFFERENT;
    bool circular = label && label->kind == M_VAR && math_has_var(other, label->name);
    if (circular) {
        math_why(w, "an equation against an expression");
        return MATH_DIFFERENT;
    }
    return relation == gold ? math_equal(w, value, answer) : math_equal(w, gold, value);
}

static bool states(const struct math_node *t) {
    return t->kind == M_REL && strspn(t->name, "=~") == strlen(t->name);
}

/* x in [0, 1) is [0, 1). */
static struct math_node *member_of(struct math_node *t) {
    bool member =
        t->kind == M_REL && strcmp(t->name, "i") == 0 && t->kid[0]->kind == M_VAR;
    return member ? t->kid[1] : t;
}

/* ---- lists that are solutions ---- */

static enum math_verdict collections(struct math_work *w, struct math_node *gold,
                                     struct math_node *answer) {
    bool g_ordered, a_ordered;
    struct math_node *g = math_solutions(w, gold, &g_ordered),
                     *a = math_solutions(w, answer, &a_ordered);
    bool relations = g_ordered && a_ordered;
    if (relations || (g == gold && a == answer))
        return math_collections_equal(w, gold, answer);
    if (g_ordered || a_ordered) {
        /* x = 3, y = 4 against (3, 4) or 3, 4 */
        const struct math_node *other = g_ordered ? a : g;
        bool fits = other->kind == M_TUPLE || other->kind == M_LIST;
        return fits ? math_in_order(w, g, a) : MATH_DIFFERENT;
    }
    return math_collections_equal(w, g, a);
}

/* ---- dispatch ---- */

static bool is(const struct math_node *g, const struct math_node *a,
               enum math_kind kind) {
    return g->kind == kind || a->kind == kind;
}

static enum math_verdict relations(struct math_work *w, struct math_node *gold,
                                   struct math_node *answer) {
    enum math_verdict v = math_relations_equal(w, gold, answer);
    if (v == MATH_EQUAL || !math_is_real_set(gold) || !math_is_real_set(answer)) return v;
    bool chains = gold->n > 2 || answer->n > 2;
    bool member = strcmp(gold->name, "i") == 0 || strcmp(answer->name, "i") == 0;
    return chains || member ? math_real_sets_equal(w, gold, answer) : v;
}

/* The empty set and the reals as people say them. */
static bool says_set(const struct math_node *text, const struct math_node *set) {
    static const char *const nothing[] = {"no solution", "no solutions", "empty set",
                                          "the empty set", NULL};
    static const char *const reals[] = {"all real numbers", "all reals",
                                        "real numbers",     "the real numbers",
                                        "all real values",  NULL};
    if (text->kind != M_TEXT) return false;
    bool empty = set->kind == M_SET && set->n == 0;
    bool all = set->kind == M_NUMSET && set->op == 'R';
    const char *const *say = empty ? nothing : reals;
    for (int k = 0; (empty || all) && say[k]; k++)
        if (strcmp(text->name, say[k]) == 0) return true;
    return false;
}

static enum math_verdict decide(struct math_work *w, struct math_node *gold,
                                struct math_node *answer) {
    if (is(gold, answer, M_TEXT)) {
        if (says_set(gold, answer) || says_set(answer, gold)) {
            math_why(w, "the set, in words");
            return MATH_EQUAL;
        }
        bool same = gold->kind == answer->kind && strcmp(gold->name, answer->name) == 0;
        math_why(w, same ? "the same words" : "words that differ");
        return same ? MATH_EQUAL : MATH_DIFFERENT;
    }
    if (gold->kind == M_REL && answer->kind == M_REL) return relations(w, gold, answer);
    if ((states(gold) || states(answer)) && !(gold->kind == M_OR || answer->kind == M_OR))
        return statement(w, gold, answer);
    gold = member_of(gold);
    answer = member_of(answer);
    if (math_is_real_set(gold) || math_is_real_set(answer))
        return math_real_sets_equal(w, gold, answer);
    if (is(gold, answer, M_RATIO) || is(gold, answer, M_TIME))
        return ratios(w, gold, answer);
    if (math_is_collection(gold) || math_is_collection(answer))
        return collections(w, gold, answer);
    if (gold->kind == M_REL || answer->kind == M_REL) return MATH_DIFFERENT;
    return math_quantities_equal(w, gold, answer);
}

/* Matrices carried out; NULL where they do not fit. */
static struct math_node *carried_out(struct math_work *w, struct math_node *t) {
    if (t->kind == M_MATRIX || math_is_collection(t) || t->kind == M_REL ||
        !math_has(t, M_MATRIX))
        return t;
    return math_matrix_value(w, t);
}

enum math_verdict math_equal(struct math_work *w, struct math_node *gold,
                             struct math_node *answer) {
    if (w->limit) return MATH_UNDECIDED;
    if (w->nesting >= MAX_NESTING || ++w->nodes > MATH_MAX_NODES) {
        w->limit = true;
        return MATH_UNDECIDED;
    }
    w->nesting++;
    struct math_node *g = math_expand(w, gold), *a = math_expand(w, answer);
    g = g ? carried_out(w, g) : NULL;
    a = a ? carried_out(w, a) : NULL;
    enum math_verdict v = MATH_UNDECIDED;
    if (g && a)
        v = decide(w, g, a);
    else
        math_why(w, "matrices that do not fit, or too many signs");
    w->nesting--;
    return v;
}
