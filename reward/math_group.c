/* reward/math_group.c: brackets of every kind, and matrices. */
#include <string.h>

#include "reward/math_parse.h"

/* The inside of a bracket, with bars and braces of its own. */
static struct math_node *inside(struct math_parser *p, bool set) {
    int bars = p->bars;
    bool in_set = p->in_set, power = p->power;
    p->bars = 0;
    p->in_set = set;
    p->power = false;
    struct math_node *t = parse_list(p);
    p->power = power;
    p->bars = bars;
    p->in_set = in_set;
    return t;
}

static bool at_close(const struct math_parser *p, int id) {
    return parse_is(p, TK_CLOSE, id);
}

/* {a \choose b}, {a \over b} */
static struct math_node *infix_fraction(struct math_parser *p, struct math_node *a) {
    bool choose = parse_cur(p)->type == TK_CHOOSE;
    p->i++;
    struct math_node *b = inside(p, false);
    if (!b) return NULL;
    return choose ? math_new2(p->w, M_FUN, F_BINOM, a, b)
                  : math_new2(p->w, M_DIV, 0, a, b);
}

static struct math_node *tex_group(struct math_parser *p) {
    struct math_node *t = inside(p, false);
    if (t && (parse_cur(p)->type == TK_CHOOSE || parse_cur(p)->type == TK_OVER))
        t = infix_fraction(p, t);
    if (!t || !at_close(p, '{')) return NULL;
    p->i++;
    if (t->kind == M_LIST) t->kind = M_SET; /* {1, 2} without the backslashes */
    return t;
}

static struct math_node *set_group(struct math_parser *p) {
    if (at_close(p, 's')) {
        p->i++;
        return math_new(p->w, M_SET, 0);
    }
    struct math_node *t = inside(p, true), *set;
    if (!t) return NULL;
    if (parse_cur(p)->type == TK_BAR || parse_is_op(p, ':')) {
        p->i++;
        struct math_node *condition = inside(p, false);
        set = condition ? math_new2(p->w, M_BUILDER, 0, t, condition) : NULL;
    } else if (t->kind == M_LIST || t->kind == M_OR) {
        set = t;
        set->kind = M_SET;
    } else {
        set = math_new1(p->w, M_SET, 0, t);
    }
    if (!set || !at_close(p, 's')) return NULL;
    p->i++;
    return set;
}

/* `)`, `]`, or the `[` of a French interval; 0 for none. */
static int round_close(struct math_parser *p) {
    const struct math_tok *t = parse_cur(p);
    int id = 0;
    if (t->type == TK_CLOSE && (t->id == '(' || t->id == '['))
        id = t->id == '(' ? ')' : ']';
    else if (t->type == TK_OPEN && t->id == '[' && t->match < 0)
        id = ')';
    p->i += id != 0;
    return id;
}

/* open: '(' or '[' as to whether the end is in. */
static struct math_node *round_group(struct math_parser *p, int open) {
    struct math_node *t = inside(p, false);
    int close = t ? round_close(p) : 0;
    if (!close) return NULL;
    bool matching = (open == '(') == (close == ')');
    if (t->kind != M_LIST) return matching ? t : NULL;
    if (matching) {
        t->kind = open == '(' ? M_TUPLE : M_SQUARE;
    } else {
        if (t->n != 2) return NULL;
        t->kind = M_HALF;
        t->op = open == '[' ? 1 : 2;
    }
    return t;
}

static struct math_node *bars(struct math_parser *p, enum math_tok_type bar) {
    bool in_set = p->in_set;
    p->bars++;
    p->in_set = false;
    struct math_node *t = parse_list(p);
    p->bars--;
    p->in_set = in_set;
    if (!t || parse_cur(p)->type != bar) return NULL;
    p->i++;
    if (t->kind == M_MATRIX) return math_new1(p->w, M_FUN, F_DET, t);
    return math_new1(p->w, M_FUN, bar == TK_BAR ? F_ABS : F_NORM, t);
}

static struct math_node *closed_by(struct math_parser *p, int id, enum math_fun f) {
    struct math_node *t = inside(p, false);
    if (!t || !at_close(p, id)) return NULL;
    p->i++;
    if (id != 'a') return math_new1(p->w, M_FUN, f, t);
    if (t->kind != M_LIST) t = math_new1(p->w, M_TUPLE, 0, t);
    t->kind = M_TUPLE;
    return t;
}

struct math_node *parse_group(struct math_parser *p) {
    const struct math_tok *t = parse_cur(p);
    bool french = t->type == TK_CLOSE && t->id == '[' && t->match < 0;
    if (t->type == TK_CLOSE && !french) return NULL;
    p->i++;
    if (french) return round_group(p, '(');
    if (t->type == TK_BAR || t->type == TK_NORM)
        return bars(p, (enum math_tok_type)t->type);
    switch (t->id) {
    case '{': return tex_group(p);
    case 's': return set_group(p);
    case '(':
    case '[': return round_group(p, t->id);
    case 'f': return closed_by(p, 'f', F_FLOOR);
    case 'c': return closed_by(p, 'c', F_CEIL);
    case 'a': return closed_by(p, 'a', F_NORM);
    default: return NULL;
    }
}

/* ---- matrices ---- */

static bool is_matrix_name(const struct math_tok *t) {
    return (t->n >= 6 && memcmp(t->text + t->n - 6, "matrix", 6) == 0) ||
           (t->n == 5 && memcmp(t->text, "array", 5) == 0);
}

/* Reads cells up to \\ or the end; their number. -1 where one is no item. */
static int row(struct math_parser *p, struct math_node *m) {
    int cells = 0;
    for (;;) {
        struct math_node *cell = parse_relation(p);
        if (!cell) return -1;
        math_push(p->w, m, cell);
        cells++;
        if (!parse_is_op(p, '&')) return cells;
        p->i++;
    }
}

static struct math_node *cells(struct math_parser *p) {
    struct math_node *m = math_new(p->w, M_MATRIX, 0);
    while (parse_cur(p)->type != TK_ENDENV) {
        int n = row(p, m);
        if (n < 1 || (m->cols && n != m->cols)) return NULL;
        m->cols = n;
        if (parse_cur(p)->type == TK_ROW)
            p->i++;
        else if (parse_cur(p)->type != TK_ENDENV)
            return NULL;
    }
    p->i++;
    return m->n ? m : NULL;
}

struct math_node *parse_matrix(struct math_parser *p) {
    const struct math_tok *t = parse_cur(p);
    int bars = p->bars;
    bool in_set = p->in_set;
    if (!is_matrix_name(t) || p->depth >= MATH_MAX_DEPTH) return NULL;
    p->i++;
    p->depth++;
    p->bars = 0;
    p->in_set = false;
    struct math_node *m = cells(p);
    p->depth--;
    p->bars = bars;
    p->in_set = in_set;
    bool det = m && t->text[0] == 'v';
    return det ? math_new1(p->w, M_FUN, F_DET, m) : m;
}
