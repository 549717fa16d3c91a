/* reward/math_list.c: collections of answers: lists, tuples, finite sets, vectors. */
#include "reward/math_compare.h"

enum { MAX_PAIRS = 10000 };

bool math_is_collection(const struct math_node *t) {
    switch (t->kind) {
    case M_TUPLE:
    case M_LIST:
    case M_SQUARE:
    case M_SET:
    case M_OR:
    case M_AND:
    case M_MATRIX: return true;
    default: return false;
    }
}

enum math_verdict math_in_order(struct math_work *w, const struct math_node *gold,
                                const struct math_node *answer) {
    enum math_verdict all = MATH_EQUAL;
    if (gold->n != answer->n) {
        math_why(w, "%d against %d parts", gold->n, answer->n);
        return MATH_DIFFERENT;
    }
    for (int i = 0; i < gold->n && all != MATH_DIFFERENT; i++)
        all = math_both(all, math_equal(w, gold->kid[i], answer->kid[i]));
    return all;
}

/* Is there an item of `in`, not taken yet where taken is given, that equals t? */
static enum math_verdict find(struct math_work *w, struct math_node *t,
                              const struct math_node *in, bool gold_inside, bool *taken) {
    enum math_verdict best = MATH_DIFFERENT;
    for (int i = 0; i < in->n; i++) {
        if (taken && taken[i]) continue;
        enum math_verdict v =
            gold_inside ? math_equal(w, in->kid[i], t) : math_equal(w, t, in->kid[i]);
        if (v == MATH_EQUAL && taken) taken[i] = true;
        if (v == MATH_EQUAL) return v;
        if (v == MATH_UNDECIDED) best = v;
    }
    return best;
}

static bool too_many(struct math_work *w, const struct math_node *a,
                     const struct math_node *b) {
    if ((long)a->n * b->n <= MAX_PAIRS) return false;
    w->limit = true;
    return true;
}

/* As multisets. */
static enum math_verdict in_any_order(struct math_work *w, const struct math_node *gold,
                                      const struct math_node *answer) {
    enum math_verdict all = MATH_EQUAL;
    if (gold->n != answer->n) {
        math_why(w, "%d against %d answers", gold->n, answer->n);
        return MATH_DIFFERENT;
    }
    if (too_many(w, gold, answer)) return MATH_UNDECIDED;
    bool *taken = arena_new(&w->arena, (size_t)gold->n, sizeof *taken);
    for (int i = 0; i < gold->n && all != MATH_DIFFERENT; i++)
        all = math_both(all, find(w, gold->kid[i], answer, false, taken));
    return all;
}

/* As sets: repetition does not count. */
static enum math_verdict as_sets(struct math_work *w, const struct math_node *gold,
                                 const struct math_node *answer) {
    enum math_verdict all = MATH_EQUAL;
    if (too_many(w, gold, answer)) return MATH_UNDECIDED;
    for (int i = 0; i < gold->n && all != MATH_DIFFERENT; i++)
        all = math_both(all, find(w, gold->kid[i], answer, false, NULL));
    for (int i = 0; i < answer->n && all != MATH_DIFFERENT; i++)
        all = math_both(all, find(w, answer->kid[i], gold, true, NULL));
    return all;
}

/* A column as a tuple; NULL where t is no vector, as the interval (2, \infty) is none. */
static struct math_node *vector(struct math_work *w, struct math_node *t) {
    if (math_has_const(t, 'o')) return NULL;
    if (t->kind == M_TUPLE) return t;
    if (t->kind != M_MATRIX || (t->cols != 1 && t->n != t->cols) || t->n < 2) return NULL;
    struct math_node *v = math_new(w, M_TUPLE, 0);
    for (int i = 0; i < t->n; i++) math_push(w, v, t->kid[i]);
    return v;
}

/* [[1,2],[3,4]] as a matrix. */
static struct math_node *rows(struct math_work *w, struct math_node *t) {
    bool nested = (t->kind == M_SQUARE || t->kind == M_LIST) && t->n > 0;
    for (int i = 0; nested && i < t->n; i++)
        nested = (t->kid[i]->kind == M_SQUARE || t->kid[i]->kind == M_TUPLE) &&
                 t->kid[i]->n == t->kid[0]->n && t->kid[i]->kind == t->kid[0]->kind;
    if (!nested) return t;
    struct math_node *m = math_new(w, M_MATRIX, 0);
    m->cols = t->kid[0]->n;
    for (int i = 0; i < t->n; i++)
        for (int j = 0; j < m->cols; j++) math_push(w, m, t->kid[i]->kid[j]);
    return m;
}

static enum math_verdict matrices(struct math_work *w, struct math_node *gold,
                                  struct math_node *answer) {
    if (gold->kind == M_MATRIX && answer->kind != M_MATRIX) answer = rows(w, answer);
    if (gold->kind == M_MATRIX && answer->kind == M_MATRIX) {
        if (gold->cols != answer->cols || gold->n != answer->n) {
            math_why(w, "matrices of different shapes");
            return MATH_DIFFERENT;
        }
        return math_in_order(w, gold, answer);
    }
    struct math_node *g = vector(w, gold), *a = vector(w, answer);
    return g && a ? math_in_order(w, g, a) : MATH_DIFFERENT;
}

static bool is_list(const struct math_node *t) {
    return t->kind == M_LIST || t->kind == M_OR;
}

/* One in brackets that keep the order, one bare. */
static enum math_verdict bare_for_ordered(struct math_work *w,
                                          const struct math_node *gold,
                                          const struct math_node *answer) {
    const struct math_node *ordered = is_list(gold) ? answer : gold;
    if (!w->o->drop_brackets || gold->kind == M_OR || answer->kind == M_OR)
        return MATH_DIFFERENT;
    if (ordered->kind == M_SQUARE && ordered->n == 2)
        return MATH_DIFFERENT; /* an interval */
    return math_in_order(w, gold, answer);
}

/* (1, 2) of {(1, 2)}, where the other is a tuple; NULL elsewhere. */
static struct math_node *single_of(const struct math_node *set,
                                   const struct math_node *other) {
    bool point = set->kind == M_SET && set->n == 1 && other->kind == M_TUPLE;
    return point && set->kid[0]->kind == M_TUPLE ? set->kid[0] : NULL;
}

static bool are_points(const struct math_node *t) {
    for (int i = 0; i < t->n; i++)
        if (t->kid[i]->kind != M_TUPLE) return false;
    return true;
}

enum math_verdict math_collections_equal(struct math_work *w, struct math_node *gold,
                                         struct math_node *answer) {
    bool g_list = is_list(gold), a_list = is_list(answer);
    if (gold->kind == M_MATRIX || answer->kind == M_MATRIX)
        return matrices(w, gold, answer);
    if (gold->kind == M_AND || answer->kind == M_AND) {
        bool fits = (gold->kind == M_AND || g_list) && (answer->kind == M_AND || a_list);
        return fits ? in_any_order(w, gold, answer) : MATH_DIFFERENT;
    }
    if (!math_is_collection(gold) || !math_is_collection(answer)) {
        struct math_node *single = math_is_collection(gold) ? gold : answer;
        if (single->kind != M_SET || single->n != 1 || !w->o->drop_brackets)
            return MATH_DIFFERENT;
        return single == gold ? math_equal(w, gold->kid[0], answer)
                              : math_equal(w, gold, answer->kid[0]);
    }
    struct math_node *one = single_of(gold, answer);
    if (one && w->o->drop_brackets) return math_equal(w, one, answer);
    one = single_of(answer, gold);
    if (one && w->o->drop_brackets) return math_equal(w, gold, one);
    if (g_list && a_list) {
        if (w->o->list_order && gold->kind == M_LIST)
            return math_in_order(w, gold, answer);
        return are_points(gold) && are_points(answer) ? as_sets(w, gold, answer)
                                                      : in_any_order(w, gold, answer);
    }
    if (gold->kind == M_SET && answer->kind == M_SET) return as_sets(w, gold, answer);
    if (gold->kind == M_SET || answer->kind == M_SET)
        return w->o->drop_brackets && (g_list || a_list) ? as_sets(w, gold, answer)
                                                         : MATH_DIFFERENT;
    if (g_list || a_list) return bare_for_ordered(w, gold, answer);
    if (gold->kind != answer->kind && gold->n == 2) {
        math_why(w, "brackets of another kind");
        return MATH_DIFFERENT;
    }
    return math_in_order(w, gold, answer);
}
