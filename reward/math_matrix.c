/* reward/math_matrix.c: arithmetic of matrices, down to one matrix of scalars. */
#include "reward/math_compare.h"

enum { MAX_CELLS = 400, MAX_POWER = 16 };

static struct math_node *shape(struct math_work *w, int cols) {
    struct math_node *m = math_new(w, M_MATRIX, 0);
    m->cols = cols;
    return m;
}

static struct math_node *sum(struct math_work *w, struct math_node *a,
                             struct math_node *b) {
    if (a->kind != M_MATRIX || b->kind != M_MATRIX || a->n != b->n || a->cols != b->cols)
        return NULL;
    struct math_node *m = shape(w, a->cols);
    for (int i = 0; i < a->n; i++)
        math_push(w, m, math_new2(w, M_ADD, 0, a->kid[i], b->kid[i]));
    return m;
}

static struct math_node *scale(struct math_work *w, struct math_node *m,
                               struct math_node *by, int kind) {
    struct math_node *out = shape(w, m->cols);
    for (int i = 0; i < m->n; i++)
        math_push(w, out, math_new2(w, (enum math_kind)kind, 0, m->kid[i], by));
    return out;
}

static struct math_node *product(struct math_work *w, struct math_node *a,
                                 struct math_node *b) {
    if (a->kind != M_MATRIX && b->kind != M_MATRIX) return math_new2(w, M_MUL, 0, a, b);
    if (a->kind != M_MATRIX) return scale(w, b, a, M_MUL);
    if (b->kind != M_MATRIX) return scale(w, a, b, M_MUL);
    int rows = a->n / a->cols, inner = a->cols;
    if (inner != b->n / b->cols || rows * b->cols > MAX_CELLS ||
        (long)rows * b->cols * inner > 4000)
        return NULL;
    struct math_node *m = shape(w, b->cols);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < b->cols; j++) {
            struct math_node *cell = math_new(w, M_ADD, 0);
            for (int k = 0; k < inner; k++)
                math_push(w, cell,
                          math_new2(w, M_MUL, 0, a->kid[i * inner + k],
                                    b->kid[k * b->cols + j]));
            math_push(w, m, cell);
        }
    return m;
}

static struct math_node *transpose(struct math_work *w, struct math_node *a) {
    int rows = a->n / a->cols;
    struct math_node *m = shape(w, rows);
    for (int j = 0; j < a->cols; j++)
        for (int i = 0; i < rows; i++) math_push(w, m, a->kid[i * a->cols + j]);
    return m;
}

/* Without row 0 and column `skip`. */
static struct math_node *minor_of(struct math_work *w, struct math_node *a, int skip) {
    struct math_node *m = shape(w, a->cols - 1);
    for (int i = a->cols; i < a->n; i++)
        if (i % a->cols != skip) math_push(w, m, a->kid[i]);
    return m;
}

static struct math_node *determinant(struct math_work *w, struct math_node *a) {
    if (a->n != a->cols * a->cols || a->cols > 5) return NULL;
    if (a->cols == 1) return a->kid[0];
    struct math_node *out = math_new(w, M_ADD, 0);
    for (int j = 0; j < a->cols; j++) {
        struct math_node *det = determinant(w, minor_of(w, a, j));
        struct math_node *term = math_new2(w, M_MUL, 0, a->kid[j], det);
        math_push(w, out, j % 2 ? math_new1(w, M_NEG, 0, term) : term);
    }
    return out;
}

static struct math_node *fold(struct math_work *w, struct math_node *t) {
    struct math_node *out = math_matrix_value(w, t->kid[0]);
    for (int i = 1; i < t->n && out && !w->limit; i++) {
        struct math_node *next = math_matrix_value(w, t->kid[i]);
        if (!next) return NULL;
        out = t->kind == M_ADD ? sum(w, out, next) : product(w, out, next);
    }
    return out;
}

static struct math_node *power(struct math_work *w, struct math_node *t) {
    long n;
    struct math_node *base = math_matrix_value(w, t->kid[0]), *out = base;
    if (!base || base->kind != M_MATRIX || !math_small_int(w, t->kid[1], NULL, &n) ||
        n < 1 || n > MAX_POWER)
        return NULL;
    for (long k = 1; k < n && out && !w->limit; k++) out = product(w, out, base);
    return out;
}

struct math_node *math_matrix_value(struct math_work *w, struct math_node *t) {
    struct math_node *a;
    if (t->kind == M_MATRIX) return t->n <= MAX_CELLS ? t : NULL;
    if (!math_has(t, M_MATRIX)) return t;
    switch (t->kind) {
    case M_ADD:
    case M_MUL: return fold(w, t);
    case M_NEG:
        a = math_matrix_value(w, t->kid[0]);
        return a ? product(w, math_int(w, -1), a) : NULL;
    case M_DIV:
        a = math_matrix_value(w, t->kid[0]);
        if (!a || a->kind != M_MATRIX || math_has(t->kid[1], M_MATRIX)) return NULL;
        return scale(w, a, t->kid[1], M_DIV);
    case M_POW: return power(w, t);
    case M_FUN:
        a = math_matrix_value(w, t->kid[0]);
        if (!a || a->kind != M_MATRIX) return NULL;
        if (t->op == F_TRANSPOSE) return transpose(w, a);
        return t->op == F_DET || t->op == F_ABS ? determinant(w, a) : NULL;
    default: return NULL;
    }
}
