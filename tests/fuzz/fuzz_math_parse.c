/* tests/fuzz/fuzz_math_parse.c: any text through the maths checker's folding, tokens and
 * grammar. What is parsed prints, is within its budgets, and parses the same again.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "reward/math_fold.h"
#include "reward/math_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct math_node *parse(struct math_work *w, const char *text, size_t n) {
    struct math_tokens tokens;
    return math_lex(w, text, n, &tokens) ? math_parse(w, &tokens) : NULL;
}

/* Depth-first; the deepest path. */
static int check_tree(const struct math_node *t) {
    int deepest = 0;
    CHECK(t->kind < M_N_KINDS && t->n <= t->cap && (t->n == 0 || t->kid));
    CHECK((t->kind == M_NUM) == (t->num != NULL));
    for (int i = 0; i < t->n; i++) {
        int below = check_tree(t->kid[i]) + 1;
        if (below > deepest) deepest = below;
    }
    CHECK(deepest <= MATH_MAX_HEIGHT + 1);
    return deepest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static struct math_work w;
    static struct math_options o;
    if (!w.o) math_options_default(&o);
    w.o = &o;
    const char *text;
    size_t n_text;
    bool fits = math_fold(&w, (const char *)data, n, 1 << 18, &text, &n_text);
    CHECK(fits == (n <= 1 << 18));
    struct math_node *t = fits ? parse(&w, text, n_text) : NULL;
    if (t) {
        struct buf first = {0}, second = {0};
        check_tree(t);
        math_print(&first, t);
        struct math_node *again = parse(&w, text, n_text);
        CHECK(again != NULL);
        math_print(&second, again);
        CHECK(strcmp(buf_text(&first), buf_text(&second)) == 0);
        buf_clear(&first);
        buf_clear(&second);
    }
    math_work_reset(&w);
    return 0;
}
