/* reward/math_tree.c: see math_tree.h. */
#include "reward/math_tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

void math_work_reset(struct math_work *w) {
    for (struct math_number *x = w->numbers; x; x = x->next) fmpq_clear(&x->value);
    w->numbers = NULL;
    w->nodes = 0;
    w->nesting = 0;
    w->limit = w->undecided = false;
    w->hint = NULL;
    w->why[0] = 0;
    arena_reset(&w->arena);
}

void math_why(struct math_work *w, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(w->why, sizeof w->why, fmt, args);
    va_end(args);
    if (w->trace) buf_printf(w->trace, "  - %s\n", w->why);
}

struct math_node *math_new(struct math_work *w, enum math_kind kind, int op) {
    struct math_node *t = arena_new(&w->arena, 1, sizeof *t);
    if (++w->nodes > MATH_MAX_NODES) w->limit = true;
    t->kind = (uint8_t)kind;
    t->op = (uint8_t)op;
    return t;
}

void math_push(struct math_work *w, struct math_node *list, struct math_node *kid) {
    if (list->n == list->cap) {
        int cap = list->cap ? 2 * list->cap : 4;
        struct math_node **kids = arena_new(&w->arena, (size_t)cap, sizeof *kids);
        if (list->n) memcpy(kids, list->kid, (size_t)list->n * sizeof *kids);
        list->kid = kids;
        list->cap = cap;
    }
    list->kid[list->n++] = kid;
    if (kid->height >= list->height) list->height = kid->height + 1;
    if (list->height > MATH_MAX_HEIGHT) w->limit = true;
}

struct math_node *math_new1(struct math_work *w, enum math_kind kind, int op,
                            struct math_node *a) {
    struct math_node *t = math_new(w, kind, op);
    math_push(w, t, a);
    return t;
}

struct math_node *math_new2(struct math_work *w, enum math_kind kind, int op,
                            struct math_node *a, struct math_node *b) {
    struct math_node *t = math_new1(w, kind, op, a);
    math_push(w, t, b);
    return t;
}

static struct math_node *number_new(struct math_work *w) {
    struct math_node *t = math_new(w, M_NUM, 0);
    t->num = arena_new(&w->arena, 1, sizeof *t->num);
    fmpq_init(&t->num->value);
    t->num->decimals = -1;
    t->num->next = w->numbers;
    w->numbers = t->num;
    return t;
}

struct math_node *math_int(struct math_work *w, long value) {
    struct math_node *t = number_new(w);
    fmpz_set_si(fmpq_numref(&t->num->value), value); /* the denominator is 1 */
    return t;
}

struct math_node *math_fmpq(struct math_work *w, const fmpq_t value) {
    struct math_node *t = number_new(w);
    fmpq_set(&t->num->value, value);
    return t;
}

/* The digits alone as an integer. */
static void set_digits(struct math_work *w, fmpz_t out, const char *digits, int n) {
    if (n <= 18) {
        ulong v = 0;
        for (int i = 0; i < n; i++) v = v * 10 + (ulong)(digits[i] - '0');
        fmpz_set_ui(out, v);
        return;
    }
    char *text = arena_new(&w->arena, (size_t)n + 1, 1);
    memcpy(text, digits, (size_t)n);
    CHECK(fmpz_set_str(out, text, 10) == 0);
}

struct math_node *math_literal(struct math_work *w, const char *digits, int n) {
    if (n > MATH_MAX_DIGITS) {
        w->limit = true;
        return NULL;
    }
    struct math_node *t = number_new(w);
    const char *dot = memchr(digits, '.', (size_t)n);
    int whole = dot ? (int)(dot - digits) : n, after = dot ? n - whole - 1 : 0;
    fmpz *num = fmpq_numref(&t->num->value), *den = fmpq_denref(&t->num->value);
    set_digits(w, num, digits, whole);
    t->num->decimals = after;
    if (after) {
        fmpz_t scale, fraction;
        fmpz_init(scale);
        fmpz_init(fraction);
        fmpz_set_ui(scale, 10);
        fmpz_pow_ui(scale, scale, (ulong)after);
        set_digits(w, fraction, dot + 1, after);
        fmpz_mul(num, num, scale);
        fmpz_add(num, num, fraction);
        fmpz_set(den, scale);
        fmpq_canonicalise(&t->num->value);
        fmpz_clear(scale);
        fmpz_clear(fraction);
    }
    int i = 0;
    while (i < n && (digits[i] == '0' || digits[i] == '.')) i++;
    t->num->digits = n - i - (dot && dot >= digits + i ? 1 : 0);
    return t;
}

struct math_node *math_name(struct math_work *w, enum math_kind kind, const char *name,
                            int n) {
    struct math_node *t = math_new(w, kind, 0);
    char *copy = arena_new(&w->arena, (size_t)n + 1, 1);
    memcpy(copy, name, (size_t)n);
    t->name = copy;
    return t;
}

int math_compare_trees(const struct math_node *a, const struct math_node *b) {
    if (a == b) return 0;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->op != b->op) return a->op < b->op ? -1 : 1;
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    if (a->cols != b->cols) return a->cols < b->cols ? -1 : 1;
    if (a->kind == M_NUM) return fmpq_cmp(&a->num->value, &b->num->value);
    if (a->name || b->name) {
        int c = strcmp(a->name ? a->name : "", b->name ? b->name : "");
        if (c) return c;
    }
    for (int i = 0; i < a->n; i++) {
        int c = math_compare_trees(a->kid[i], b->kid[i]);
        if (c) return c;
    }
    return 0;
}

static int compare_kids(const void *a, const void *b) {
    return math_compare_trees(*(struct math_node *const *)a,
                              *(struct math_node *const *)b);
}

/* Kids of t's own kind are replaced by their kids. They are sorted, so flat, already. */
static void flatten(struct math_work *w, struct math_node *t) {
    int n = 0;
    bool nested = false;
    for (int i = 0; i < t->n; i++) {
        nested |= t->kid[i]->kind == t->kind;
        n += t->kid[i]->kind == t->kind ? t->kid[i]->n : 1;
    }
    if (!nested) return;
    struct math_node **kids = arena_new(&w->arena, (size_t)n, sizeof *kids);
    int k = 0;
    for (int i = 0; i < t->n; i++) {
        if (t->kid[i]->kind != t->kind)
            kids[k++] = t->kid[i];
        else
            for (int j = 0; j < t->kid[i]->n; j++) kids[k++] = t->kid[i]->kid[j];
    }
    t->kid = kids;
    t->n = t->cap = n;
}

void math_sort(struct math_work *w, struct math_node *t) {
    if (t->sorted) return;
    t->sorted = true;
    for (int i = 0; i < t->n; i++) math_sort(w, t->kid[i]);
    if (t->kind != M_ADD && t->kind != M_MUL) return;
    for (int i = 0; i < t->n; i++)
        if (t->kid[i]->kind == M_MATRIX || t->kid[i]->kind == M_TUPLE) return;
    flatten(w, t);
    if (t->n > 1) qsort(t->kid, (size_t)t->n, sizeof *t->kid, compare_kids);
}

bool math_has(const struct math_node *t, enum math_kind kind) {
    if (t->kind == kind) return true;
    for (int i = 0; i < t->n; i++)
        if (math_has(t->kid[i], kind)) return true;
    return false;
}

bool math_has_const(const struct math_node *t, int op) {
    if (t->kind == M_CONST && t->op == op) return true;
    for (int i = 0; i < t->n; i++)
        if (math_has_const(t->kid[i], op)) return true;
    return false;
}

bool math_is_int(const struct math_node *t, long value) {
    if (t->kind != M_NUM || !fmpz_is_one(fmpq_denref(&t->num->value))) return false;
    return fmpz_equal_si(fmpq_numref(&t->num->value), value);
}

static bool binds(const struct math_node *t, const char *name) {
    return t->kind == M_FUN && (t->op == F_SUM || t->op == F_PROD) &&
           strcmp(t->kid[0]->name, name) == 0;
}

bool math_has_var(const struct math_node *t, const char *name) {
    if (t->kind == M_VAR) return strcmp(t->name, name) == 0;
    for (int i = 0; i < t->n; i++) {
        if ((i == 0 || i == 3) && binds(t, name)) continue;
        if (math_has_var(t->kid[i], name)) return true;
    }
    return false;
}

struct math_node *math_substitute(struct math_work *w, struct math_node *t,
                                  const char *name, struct math_node *by) {
    if (!math_has_var(t, name) || w->limit) return t;
    if (t->kind == M_VAR) return by;
    struct math_node *copy = math_new(w, t->kind, t->op);
    copy->cols = t->cols;
    copy->name = t->name;
    for (int i = 0; i < t->n; i++) {
        bool bound = (i == 0 || i == 3) && binds(t, name);
        math_push(w, copy, bound ? t->kid[i] : math_substitute(w, t->kid[i], name, by));
    }
    return copy;
}

/* ---- printing, for --explain ---- */

static const char *const kind_names[] = {
    [M_NUM] = "",          [M_CONST] = "",         [M_VAR] = "",
    [M_ADD] = "+",         [M_MUL] = "*",          [M_NEG] = "-",
    [M_DIV] = "/",         [M_POW] = "^",          [M_FUN] = "",
    [M_CALL] = "call",     [M_PM] = "plus-minus",  [M_PERCENT] = "percent",
    [M_UNIT] = "unit",     [M_BASED] = "base",     [M_TUPLE] = "tuple",
    [M_LIST] = "list",     [M_SQUARE] = "square",  [M_HALF] = "interval",
    [M_SET] = "set",       [M_BUILDER] = "set-of", [M_SETOP] = "",
    [M_NUMSET] = "",       [M_REL] = "relation",   [M_OR] = "or",
    [M_AND] = "and",       [M_RATIO] = "ratio",    [M_TIME] = "time",
    [M_MATRIX] = "matrix", [M_TEXT] = "text",
};
_Static_assert(sizeof kind_names / sizeof *kind_names == M_N_KINDS, "a name a kind");

static const char *const fun_names[] = {
    [F_SQRT] = "sqrt",      [F_ROOT] = "root",
    [F_ABS] = "abs",        [F_FLOOR] = "floor",
    [F_CEIL] = "ceil",      [F_FACT] = "factorial",
    [F_BINOM] = "binomial", [F_PERM] = "permutations",
    [F_GCD] = "gcd",        [F_LCM] = "lcm",
    [F_MAX] = "max",        [F_MIN] = "min",
    [F_MOD] = "mod",        [F_EXP] = "exp",
    [F_LN] = "ln",          [F_LOG] = "log",
    [F_SIN] = "sin",        [F_COS] = "cos",
    [F_TAN] = "tan",        [F_COT] = "cot",
    [F_SEC] = "sec",        [F_CSC] = "csc",
    [F_ASIN] = "arcsin",    [F_ACOS] = "arccos",
    [F_ATAN] = "arctan",    [F_ACOT] = "arccot",
    [F_ASEC] = "arcsec",    [F_ACSC] = "arccsc",
    [F_SINH] = "sinh",      [F_COSH] = "cosh",
    [F_TANH] = "tanh",      [F_ASINH] = "arsinh",
    [F_ACOSH] = "arcosh",   [F_ATANH] = "artanh",
    [F_DEG] = "degrees",    [F_RE] = "re",
    [F_IM] = "im",          [F_CONJ] = "conj",
    [F_ARG] = "arg",        [F_SGN] = "sgn",
    [F_GAMMA] = "gamma",    [F_NORM] = "norm",
    [F_DET] = "det",        [F_TRANSPOSE] = "transpose",
    [F_SUM] = "sum",        [F_PROD] = "product",
};
_Static_assert(sizeof fun_names / sizeof *fun_names == F_N_FUNS, "a name a function");

static void print_leaf(struct buf *out, const struct math_node *t) {
    if (t->kind == M_NUM) {
        if (fmpq_height_bits(&t->num->value) > 400) {
            buf_printf(out, "(%ld-bit number)", (long)fmpq_height_bits(&t->num->value));
            return;
        }
        char *s = fmpq_get_str(NULL, 10, &t->num->value);
        buf_puts(out, s);
        flint_free(s);
    } else if (t->kind == M_CONST) {
        buf_puts(out, t->op == 'p'   ? "pi"
                      : t->op == 'o' ? "infinity"
                      : t->op == 'i' ? "i"
                                     : "e");
    } else if (t->kind == M_TEXT) {
        buf_printf(out, "\"%s\"", t->name);
    } else {
        buf_puts(out, t->name);
    }
}

void math_print(struct buf *out, const struct math_node *t) {
    if (out->len > 4000) {
        if (out->data[out->len - 1] != '~') buf_puts(out, " ~");
        return;
    }
    if (t->kind == M_NUM || t->kind == M_CONST || t->kind == M_VAR || t->kind == M_TEXT) {
        print_leaf(out, t);
        return;
    }
    buf_printf(out, "(%s", t->kind == M_FUN ? fun_names[t->op] : kind_names[t->kind]);
    if (t->kind == M_SETOP || t->kind == M_NUMSET) buf_printf(out, "%c", t->op);
    if (t->kind == M_HALF)
        buf_printf(out, " %c%c", t->op & 1 ? '[' : '(', t->op & 2 ? ']' : ')');
    if (t->name && *t->name) buf_printf(out, " %s", t->name);
    for (int i = 0; i < t->n; i++) {
        buf_puts(out, " ");
        math_print(out, t->kid[i]);
    }
    buf_puts(out, ")");
}
