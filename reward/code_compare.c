/* reward/code_compare.c: where the program is in a completion, and whether what came back
 * from it is right: bytes and values only. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reward/checker_impl.h"
#include "reward/code_run.h"

/* ---- the program --------------------------------------------------------------- */

/* A line of a fence: how many marks, 0 where it is none. *info: what follows them. */
static size_t fence_of(const char *line, size_t n, char mark, const char **info) {
    size_t i = 0, marks = 0;
    while (i < n && i < 3 && line[i] == ' ') i++;
    while (i + marks < n && line[i + marks] == mark) marks++;
    *info = line + i + marks;
    return marks >= 3 ? marks : 0;
}

static bool is_blank(const char *s, const char *end) {
    while (s < end && strchr(" \t\r\n", *s) && *s) s++;
    return s == end;
}

/* The last fenced block; one that is not closed ends with the text. */
static const char *last_block(const char *text, size_t n, size_t *n_block) {
    const char *end = text + n, *found = NULL, *open = NULL, *info;
    size_t marks = 0;
    char mark = 0;
    for (const char *line = text; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t len = stop ? (size_t)(stop - line) : (size_t)(end - line);
        const char *next = stop ? stop + 1 : end;
        if (!open) {
            for (int k = 0; k < 2 && !open; k++) {
                mark = "`~"[k];
                marks = fence_of(line, len, mark, &info);
                /* an inline ```word``` opens nothing */
                if (marks && !memchr(info, '`', (size_t)(line + len - info))) open = next;
            }
        } else if (fence_of(line, len, mark, &info) >= marks && is_blank(info, line + len)) {
            found = open;
            *n_block = (size_t)(line - open);
            open = NULL;
        }
        line = next;
    }
    if (open) {
        found = open;
        *n_block = (size_t)(end - open);
    }
    return found;
}

const char *code_extract(const char *text, size_t n, bool fence, size_t *n_program,
                         const char **why) {
    size_t n_answer;
    const char *answer = checker_answer_span(text, n, &n_answer);
    const char *at = n ? checker_after_thinking(text, n, n_program) : NULL;
    if (answer) {
        at = answer;
        *n_program = n_answer;
    }
    if (!at) {
        *why = n ? "the thinking does not end" : "the completion is empty";
        return NULL;
    }
    const char *block = last_block(at, *n_program, n_program);
    if (block) at = block;
    *why = fence && !block ? "no fenced block" : "the program is empty";
    if ((fence && !block) || is_blank(at, at + *n_program)) return NULL;
    *why = "the program holds a NUL";
    return memchr(at, 0, *n_program) ? NULL : at;
}

/* ---- standard output ----------------------------------------------------------- */

struct text {
    const char *at, *end;
};

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static void drop_space(struct text *t) {
    while (t->end > t->at && is_space(t->end[-1])) t->end--;
}

/* The next line without the white space at its end. */
static bool next_line(struct text *t, struct text *line) {
    if (t->at >= t->end) return false;
    const char *stop = memchr(t->at, '\n', (size_t)(t->end - t->at));
    line->at = t->at;
    line->end = stop ? stop : t->end;
    t->at = stop ? stop + 1 : t->end;
    drop_space(line);
    return true;
}

static bool next_token(struct text *t, struct text *token) {
    while (t->at < t->end && is_space(*t->at)) t->at++;
    token->at = t->at;
    while (t->at < t->end && !is_space(*t->at)) t->at++;
    token->end = t->at;
    return token->at < token->end;
}

static bool same(const struct text *a, const struct text *b) {
    size_t n = (size_t)(a->end - a->at);
    return n == (size_t)(b->end - b->at) && memcmp(a->at, b->at, n) == 0;
}

/* A decimal number and nothing else. */
static bool number(const struct text *t, double *x) {
    char copy[64], *stop;
    size_t n = (size_t)(t->end - t->at);
    if (n == 0 || n >= sizeof copy || memchr(t->at, 0, n)) return false;
    memcpy(copy, t->at, n);
    copy[n] = 0;
    if (strspn(copy, "+-.0123456789eE") != n) return false;
    *x = strtod(copy, &stop);
    return !*stop && isfinite(*x);
}

static bool near(const struct text *a, const struct text *b, double tolerance) {
    double x, y;
    if (same(a, b)) return true;
    if (tolerance <= 0 || !number(a, &x) || !number(b, &y)) return false;
    return fabs(x - y) <= tolerance * fmax(1, fabs(x));
}

bool code_output_is(const char *expected, const char *out, size_t n,
                    const struct code_options *o) {
    struct text a = {expected, expected + strlen(expected)}, b = {out, out + n}, x, y;
    if (o->compare == CODE_EXACT) return same(&a, &b);
    drop_space(&a);
    drop_space(&b);
    for (;;) {
        bool lines = o->compare == CODE_LINES;
        bool more = lines ? next_line(&a, &x) : next_token(&a, &x);
        if (more != (lines ? next_line(&b, &y) : next_token(&b, &y))) return false;
        if (!more) return true;
        if (lines ? !same(&x, &y) : !near(&x, &y, o->tolerance)) return false;
    }
}

/* ---- values -------------------------------------------------------------------- */

static bool is_type(const struct pyvalue *v, const char *name) {
    static const char *const names[] = {
        [PY_BOOL] = "bool", [PY_INT] = "int", [PY_FLOAT] = "float", [PY_COMPLEX] = "complex",
        [PY_STR] = "str", [PY_BYTES] = "bytes", [PY_LIST] = "list", [PY_TUPLE] = "tuple",
        [PY_SET] = "set", [PY_DICT] = "dict"};
    if (v->type >= sizeof names / sizeof *names || !names[v->type]) return false;
    if (v->type == PY_BOOL && strcmp(name, "int") == 0) return true;
    return strcmp(names[v->type], name) == 0;
}

static bool is_among(const struct pyvalue *list, const struct pyvalue *v) {
    for (size_t i = 0; i < list->n; i++)
        if (pyvalue_equal(&list->item[i], v, false)) return true;
    return false;
}

static bool is_same(const struct pyvalue *a, const struct pyvalue *b) {
    return a->type == b->type && a->truth == b->truth;
}

bool code_check_holds(const struct code_check *c, const struct pyvalue *v,
                      const struct pyvalue *next) {
    int order = pyvalue_order(v, &c->expected);
    switch (c->relation) {
    case CODE_EQUAL: return pyvalue_equal(v, &c->expected, c->loose);
    case CODE_NOT_EQUAL: return !pyvalue_equal(v, &c->expected, c->loose);
    case CODE_LESS: return order == -1;
    case CODE_LESS_EQUAL: return order == -1 || order == 0;
    case CODE_GREATER: return order == 1;
    case CODE_GREATER_EQUAL: return order == 1 || order == 0;
    case CODE_IN: return is_among(&c->expected, v);
    case CODE_NOT_IN: return !is_among(&c->expected, v);
    case CODE_TRUE: return v->truth;
    case CODE_FALSE: return !v->truth;
    case CODE_SAME: return is_same(v, &c->expected);
    case CODE_NOT_SAME: return !is_same(v, &c->expected);
    case CODE_NEAR: return pyvalue_near(v, &c->expected, c->bound[0], c->bound[1] == 0);
    case CODE_CLOSE: return pyvalue_is_close(v, &c->expected, c->bound[0], c->bound[1]);
    case CODE_TYPE: return is_type(v, c->expected.text);
    case CODE_AS_NEXT: return next && pyvalue_equal(v, next, false);
    case CODE_ANY: return true;
    }
    return false;
}
