/* reward/math_expand.c: plus-minus signs written out. */
#include "reward/math_compare.h"

enum { MAX_SIGNS = 4 };

static void count_signs(const struct math_node *t, int *n, bool *paired) {
    if (t->kind == M_PM) {
        ++*n;
        *paired |= t->op == '-';
    }
    for (int i = 0; i < t->n; i++) count_signs(t->kid[i], n, paired);
}

/* t with sign k (or, where they are paired, all) taken from the bits of `choice`. */
static struct math_node *choose(struct math_work *w, struct math_node *t, int choice,
                                bool paired, int *k) {
    if (!math_has(t, M_PM)) return t;
    if (t->kind == M_PM) {
        bool minus = (choice >> (paired ? 0 : (*k)++)) & 1;
        if (t->op == '-') minus = !minus;
        struct math_node *of = choose(w, t->kid[0], choice, paired, k);
        return minus ? math_new1(w, M_NEG, 0, of) : of;
    }
    struct math_node *copy = math_new(w, (enum math_kind)t->kind, t->op);
    copy->cols = t->cols;
    copy->name = t->name;
    for (int i = 0; i < t->n; i++)
        math_push(w, copy, choose(w, t->kid[i], choice, paired, k));
    return copy;
}

static bool push_choices(struct math_work *w, struct math_node *list,
                         struct math_node *t) {
    int n = 0;
    bool paired = false;
    count_signs(t, &n, &paired);
    if (!paired && n > MAX_SIGNS) return false;
    int choices = n == 0 ? 1 : paired ? 2 : 1 << n;
    for (int c = 0; c < choices; c++) {
        int k = 0;
        math_push(w, list, choose(w, t, c, paired, &k));
    }
    return true;
}

struct math_node *math_expand(struct math_work *w, struct math_node *t) {
    if (!math_has(t, M_PM)) return t;
    bool list = t->kind == M_LIST || t->kind == M_SET || t->kind == M_OR;
    struct math_node *out = math_new(w, list ? (enum math_kind)t->kind : M_LIST, 0);
    if (!list) return push_choices(w, out, t) ? out : NULL;
    for (int i = 0; i < t->n; i++)
        if (!push_choices(w, out, t->kid[i])) return NULL;
    return out;
}
