/* reward/math_set.c: sets of real numbers as disjoint intervals, in order.
 *
 * Intervals, unions, inequalities in one variable and set-builders with constant ends all
 * come to one canonical list of pieces; two sets are equal when their lists are. Ends
 * that cannot be ordered (parameters) leave the trees to be compared as they stand.
 */
#include <string.h>

#include "reward/math_compare.h"

enum { MAX_PIECES = 48 };

struct piece {
    struct math_node *lo, *hi; /* NULL: no end */
    bool lo_in, hi_in;
};

struct set {
    struct piece piece[MAX_PIECES];
    int n;
};

static bool is_inequality(const struct math_node *t) {
    if (t->kind != M_REL) return false;
    for (const char *op = t->name; *op; op++)
        if (!strchr("<>lg!", *op)) return false;
    return true;
}

bool math_is_real_set(const struct math_node *t) {
    switch (t->kind) {
    case M_HALF:
    case M_SETOP:
    case M_NUMSET:
    case M_BUILDER: return true;
    case M_REL: return is_inequality(t) || strcmp(t->name, "i") == 0;
    case M_OR:
    case M_AND:
        for (int i = 0; i < t->n; i++)
            if (!math_is_real_set(t->kid[i])) return false;
        return true;
    default: return false;
    }
}

static bool is_infinite(const struct math_node *t) { return math_has_const(t, 'o'); }

static bool push(struct set *s, struct math_node *lo, bool lo_in, struct math_node *hi,
                 bool hi_in) {
    if (s->n == MAX_PIECES) return false;
    if (lo && is_infinite(lo)) lo = NULL;
    if (hi && is_infinite(hi)) hi = NULL;
    s->piece[s->n++] = (struct piece){lo, hi, lo && lo_in, hi && hi_in};
    return true;
}

/* ---- normal form ---- */

/* Of lower ends: before, same, after; 2: open. */
static int order_low(struct math_work *w, const struct piece *a, const struct piece *b) {
    if (!a->lo || !b->lo) return !a->lo && !b->lo ? 0 : !a->lo ? -1 : 1;
    int c = math_order(w, a->lo, b->lo);
    if (c == 0 && a->lo_in != b->lo_in) return a->lo_in ? -1 : 1;
    return c;
}

/* Does b begin where a has not yet ended, or just there? -1: open. */
static int touches(struct math_work *w, const struct piece *a, const struct piece *b) {
    if (!a->hi || !b->lo) return 1;
    int c = math_order(w, a->hi, b->lo);
    if (c == 2) return -1;
    return c > 0 || (c == 0 && (a->hi_in || b->lo_in));
}

/* Takes b into a, which it touches. */
static bool merge(struct math_work *w, struct piece *a, const struct piece *b) {
    if (!a->hi) return true;
    int c = b->hi ? math_order(w, a->hi, b->hi) : -1;
    if (c == 2) return false;
    if (c < 0) {
        a->hi = b->hi;
        a->hi_in = b->hi_in;
    } else if (c == 0) {
        a->hi_in |= b->hi_in;
    }
    return true;
}

static bool is_empty_piece(struct math_work *w, const struct piece *p, bool *open) {
    if (!p->lo || !p->hi) return false;
    int c = math_order(w, p->lo, p->hi);
    *open |= c == 2;
    return c == 1 || (c == 0 && !(p->lo_in && p->hi_in));
}

/* Sorts, drops what is empty, joins what touches. */
static bool normalise(struct math_work *w, struct set *s) {
    bool open = false;
    int n = 0;
    for (int i = 0; i < s->n; i++)
        if (!is_empty_piece(w, &s->piece[i], &open)) s->piece[n++] = s->piece[i];
    if (open) return false;
    s->n = n;
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0; j--) {
            int c = order_low(w, &s->piece[j - 1], &s->piece[j]);
            if (c == 2) return false;
            if (c <= 0) break;
            struct piece keep = s->piece[j];
            s->piece[j] = s->piece[j - 1];
            s->piece[j - 1] = keep;
        }
    int k = 0;
    for (int i = 1; i < n; i++) {
        int t = touches(w, &s->piece[k], &s->piece[i]);
        if (t < 0) return false;
        if (!t)
            s->piece[++k] = s->piece[i];
        else if (!merge(w, &s->piece[k], &s->piece[i]))
            return false;
    }
    s->n = n ? k + 1 : 0;
    return true;
}

/* Of a normal set. */
static bool complement(const struct set *s, struct set *out) {
    struct math_node *lo = NULL;
    bool lo_in = false, ok = true, rest = true;
    out->n = 0;
    for (int i = 0; i < s->n; i++) {
        const struct piece *p = &s->piece[i];
        if (p->lo) ok &= push(out, lo, lo_in, p->lo, !p->lo_in);
        lo = p->hi;
        lo_in = !p->hi_in;
        rest = p->hi != NULL;
    }
    if (rest) ok &= push(out, lo, lo_in, NULL, false);
    return ok;
}

static bool append(struct set *a, const struct set *b) {
    for (int i = 0; i < b->n; i++)
        if (!push(a, b->piece[i].lo, b->piece[i].lo_in, b->piece[i].hi,
                  b->piece[i].hi_in))
            return false;
    return true;
}

static bool intersect(struct math_work *w, struct set *a, const struct set *b) {
    struct set not_a, not_b;
    if (!complement(a, &not_a) || !complement(b, &not_b) || !append(&not_a, &not_b))
        return false;
    return normalise(w, &not_a) && complement(&not_a, a);
}

/* ---- from trees ---- */

static bool build(struct math_work *w, struct math_node *t, struct set *s);

/* c OP x (flipped: x OP c). */
static bool half_line(struct set *s, int op, struct math_node *c, bool flipped) {
    bool below = flipped == (op == '<' || op == 'l'), in = op == 'l' || op == 'g';
    if (op == '!')
        return push(s, NULL, false, c, false) && push(s, c, false, NULL, false);
    return below ? push(s, NULL, false, c, in) : push(s, c, in, NULL, false);
}

static bool is_constant(const struct math_node *t) {
    const char *names[1];
    return math_variables(t, names, 0, 0) == 0;
}

/* |x| OP c. */
static bool around_zero(struct math_work *w, struct set *s, int op, struct math_node *c,
                        bool flipped) {
    bool below = flipped == (op == '<' || op == 'l'), in = op == 'l' || op == 'g';
    struct math_node *minus = math_new1(w, M_NEG, 0, c);
    if (op == '!') return false;
    return below ? push(s, minus, in, c, in)
                 : push(s, NULL, false, minus, in) && push(s, c, in, NULL, false);
}

/* What an inequality bounds: x, |x|, f(x). */
static bool is_bounded_term(const struct math_node *t) {
    return t->kind == M_VAR || t->kind == M_CALL ||
           (t->kind == M_FUN && t->op == F_ABS && t->kid[0]->kind == M_VAR);
}

/* x < 3, -2 <= x <= 5, 3 > x. */
static bool inequality(struct math_work *w, struct math_node *t, struct set *s) {
    s->n = 0;
    push(s, NULL, false, NULL, false);
    if (t->n > 3) return false;
    for (int i = 0; t->name[i]; i++) {
        struct set one = {.n = 0};
        struct math_node *a = t->kid[i], *b = t->kid[i + 1];
        bool left = is_bounded_term(a) && is_constant(b),
             right = is_bounded_term(b) && is_constant(a);
        if (!left && !right) return false;
        bool absolute = (left ? a : b)->kind == M_FUN;
        struct math_node *c = left ? b : a;
        if (absolute ? !around_zero(w, &one, t->name[i], c, left)
                     : !half_line(&one, t->name[i], c, left))
            return false;
        if (!normalise(w, &one) || !intersect(w, s, &one)) return false;
    }
    return true;
}

/* The variable that t speaks of: x in x < 3. NULL where there are several. */
static const char *subject(const struct math_node *t) {
    const char *names[1];
    return math_variables(t, names, 0, 1) == 1 ? names[0] : NULL;
}

static bool several(struct math_work *w, struct math_node *t, struct set *s) {
    const char *first = subject(t);
    if (!first) return false;
    for (int i = 0; i < t->n; i++) {
        struct set one = {.n = 0};
        if (!build(w, t->kid[i], &one)) return false;
        if (i == 0)
            *s = one;
        else if (t->kind == M_OR ? !(append(s, &one) && normalise(w, s))
                                 : !intersect(w, s, &one))
            return false;
    }
    return true;
}

static bool operation(struct math_work *w, struct math_node *t, struct set *s) {
    struct set b = {.n = 0}, not_b;
    if (!build(w, t->kid[0], s) || !build(w, t->kid[1], &b)) return false;
    if (t->op == 'u') return append(s, &b) && normalise(w, s);
    if (t->op == 'n') return intersect(w, s, &b);
    return complement(&b, &not_b) && intersect(w, s, &not_b);
}

static bool points(struct math_work *w, struct math_node *t, struct set *s) {
    s->n = 0;
    for (int i = 0; i < t->n; i++)
        if (!is_constant(t->kid[i]) || math_is_collection(t->kid[i]) ||
            !push(s, t->kid[i], true, t->kid[i], true))
            return false;
    return normalise(w, s);
}

static bool relation(struct math_work *w, struct math_node *t, struct set *s) {
    if (is_inequality(t)) return inequality(w, t, s);
    if (strcmp(t->name, "i") == 0 && t->kid[0]->kind == M_VAR)
        return build(w, t->kid[1], s);
    bool solved =
        strcmp(t->name, "=") == 0 && t->kid[0]->kind == M_VAR && is_constant(t->kid[1]);
    s->n = 0;
    return solved && push(s, t->kid[1], true, t->kid[1], true);
}

/* \{x | x > 0\}, \{x \in R : x > 0\}. */
static bool builder(struct math_work *w, struct math_node *t, struct set *s) {
    const struct math_node *x = t->kid[0];
    struct set domain = {.n = 0};
    bool within = x->kind == M_REL && strcmp(x->name, "i") == 0;
    if (within && !build(w, x->kid[1], &domain)) return false;
    if (within) x = x->kid[0];
    const char *var = subject(t->kid[1]);
    if (x->kind != M_VAR || !var || strcmp(var, x->name) != 0 || !build(w, t->kid[1], s))
        return false;
    return within ? intersect(w, s, &domain) : true;
}

/* The normal form of t into *s; false where it has none. */
static bool build(struct math_work *w, struct math_node *t, struct set *s) {
    s->n = 0;
    if (++w->nodes > MATH_MAX_NODES) return false;
    switch (t->kind) {
    case M_TUPLE:
    case M_SQUARE:
    case M_HALF:
        if (t->n != 2 || !is_constant(t)) return false;
        bool lo_in = t->kind == M_SQUARE || (t->kind == M_HALF && (t->op & 1));
        bool hi_in = t->kind == M_SQUARE || (t->kind == M_HALF && (t->op & 2));
        push(s, t->kid[0], lo_in, t->kid[1], hi_in);
        /* (3, 1) is a pair, [3, 1) nothing known: an interval has an inside, or is [3, 3]
         */
        return normalise(w, s) && s->n == 1;
    case M_SET: return points(w, t, s);
    case M_NUMSET: return t->op == 'R' && push(s, NULL, false, NULL, false);
    case M_SETOP: return operation(w, t, s);
    case M_OR:
    case M_AND: return several(w, t, s);
    case M_REL: return relation(w, t, s);
    case M_BUILDER: return builder(w, t, s);
    default: return false;
    }
}

/* ---- comparison ---- */

static enum math_verdict ends_equal(struct math_work *w, struct math_node *a,
                                    struct math_node *b, bool a_in, bool b_in) {
    if (!a || !b) return !a && !b ? MATH_EQUAL : MATH_DIFFERENT;
    return a_in == b_in ? math_quantities_equal(w, a, b) : MATH_DIFFERENT;
}

static enum math_verdict pieces_equal(struct math_work *w, const struct set *a,
                                      const struct set *b) {
    enum math_verdict all = a->n == b->n ? MATH_EQUAL : MATH_DIFFERENT;
    for (int i = 0; i < a->n && all != MATH_DIFFERENT; i++) {
        const struct piece *p = &a->piece[i], *q = &b->piece[i];
        all = math_both(all, ends_equal(w, p->lo, q->lo, p->lo_in, q->lo_in));
        all = math_both(all, ends_equal(w, p->hi, q->hi, p->hi_in, q->hi_in));
    }
    math_why(w,
             all == MATH_EQUAL ? "the same set of reals" : "sets of reals that differ");
    return all;
}

static bool is_interval(const struct math_node *t) {
    return t->n == 2 && (t->kind == M_TUPLE || t->kind == M_SQUARE || t->kind == M_HALF);
}

/* Sets with parameters: the same form with equal parts; a union in either order. */
static enum math_verdict forms_equal(struct math_work *w, struct math_node *a,
                                     struct math_node *b) {
    if (is_interval(a) && is_interval(b) && (a->kind != b->kind || a->op != b->op))
        return MATH_DIFFERENT;
    if (a->kind != b->kind || a->op != b->op || a->n != b->n) return MATH_UNDECIDED;
    if (a->kind == M_NUMSET) return MATH_EQUAL;
    bool swap = a->kind == M_SETOP && a->op != '\\';
    if (a->kind == M_OR || a->kind == M_AND || a->kind == M_REL) return MATH_UNDECIDED;
    enum math_verdict v = math_in_order(w, a, b);
    if (a->kind == M_BUILDER && v == MATH_DIFFERENT) return MATH_UNDECIDED;
    if (v == MATH_EQUAL || !swap) return v;
    return math_both(math_equal(w, a->kid[0], b->kid[1]),
                     math_equal(w, a->kid[1], b->kid[0])) == MATH_EQUAL
               ? MATH_EQUAL
               : MATH_UNDECIDED;
}

enum math_verdict math_real_sets_equal(struct math_work *w, struct math_node *gold,
                                       struct math_node *answer) {
    struct set a = {.n = 0}, b = {.n = 0};
    const char *x = gold->kind == M_REL || gold->kind == M_OR ? subject(gold) : NULL;
    const char *y =
        answer->kind == M_REL || answer->kind == M_OR ? subject(answer) : NULL;
    if (x && y && strcmp(x, y) != 0) {
        math_why(w, "another variable");
        return MATH_DIFFERENT;
    }
    if (x && y && math_has(gold, M_CALL) != math_has(answer, M_CALL)) {
        math_why(w, "a bound on f(x) against one on x");
        return MATH_DIFFERENT;
    }
    bool ga = build(w, gold, &a), ba = build(w, answer, &b);
    if (ga && ba) return pieces_equal(w, &a, &b);
    if (ga != ba && is_constant(gold) && is_constant(answer)) return MATH_DIFFERENT;
    return forms_equal(w, gold, answer);
}
