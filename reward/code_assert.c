/* reward/code_assert.c: an assert taken apart into calls and what must hold of them.
 *
 * What goes into the sandbox is a call of the program, perhaps inside a function of one
 * argument (`sorted(f(x))`), and never the side it is compared with: then no object with
 * an __eq__ of its own, and no reading of frames, is of use. What is not clearly of that
 * form is refused here and judged the other way (CODE_SCRIPT).
 */
#include <stdio.h>
#include <string.h>

#include "reward/code_tests.h"

struct part {
    const struct pyscan *scan, *trusted;
    struct arena *arena;
};

/* A range of words, all at depth d or in brackets that open there. */
struct range {
    int a, b, d;
};

static const struct pyword *word(const struct part *p, int i) { return &p->scan->word[i]; }

static bool is(const struct part *p, struct range r, int i, const char *text) {
    return i >= r.a && i < r.b && pyword_is(word(p, i), text);
}

static bool is_name(const struct part *p, struct range r, int i) {
    return i < r.b && word(p, i)->type == PYWORD_NAME;
}

static bool in_list(const struct pyword *w, const char *list) {
    char name[40];
    if (w->n + 3 > (int)sizeof name) return false;
    snprintf(name, sizeof name, " %.*s ", w->n, w->text);
    return strstr(list, name) != NULL;
}

static char *text_of(const struct part *p, struct range r) {
    const char *from = word(p, r.a)->text;
    size_t n = (size_t)(word(p, r.b - 1)->text - from) + (size_t)word(p, r.b - 1)->n;
    char *copy = arena_new(p->arena, n + 1, 1);
    memcpy(copy, from, n);
    return copy;
}

static bool literal(const struct part *p, struct range r, struct pyvalue *v) {
    if (r.a >= r.b) return false;
    const char *text = text_of(p, r);
    return pyvalue_read(v, text, strlen(text), p->arena) && v->type != PY_OPAQUE;
}

/* The bracket that closes word i. */
static int closing(const struct part *p, struct range r, int i) {
    int j = i + 1;
    while (j < r.b && word(p, j)->depth > word(p, i)->depth) j++;
    return j;
}

/* The next comma at the range's own depth, r.b where there is none. */
static int comma(const struct part *p, struct range r) {
    int i = r.a;
    while (i < r.b && !(word(p, i)->depth == r.d && is(p, r, i, ","))) i++;
    return i;
}

static struct range unwrap(const struct part *p, struct range r) {
    while (r.b - r.a > 2 && is(p, r, r.a, "(") && closing(p, r, r.a) == r.b - 1) {
        struct range inside = {r.a + 1, r.b - 1, r.d + 1};
        if (comma(p, inside) < inside.b) break;
        r = inside;
    }
    return r;
}

/* ---- calls --------------------------------------------------------------------- */

/* Functions of Python's, and modules, that are no program's. */
static const char builtin[] =
    " abs all any ascii bin bool bytearray bytes callable chr complex dict dir divmod enumerate "
    "filter float format frozenset getattr hasattr hash hex id int isinstance issubclass iter "
    "len list map max memoryview min next object oct ord pow print range repr reversed round "
    "set sorted str sum tuple type vars zip eval exec open compile setattr globals locals "
    "math cmath re sys os json itertools collections functools operator random copy string "
    "statistics decimal fractions datetime np numpy isclose fabs Counter deque defaultdict ";
static const char keyword[] =
    " and as assert await class def del elif else except finally for from global if import in "
    "is lambda nonlocal not or pass raise return try while with yield None True False ";

/* Whether test code defines or imports it. */
static bool is_trusted(const struct part *p, const struct pyword *name) {
    bool import = false;
    for (int i = 0; i < p->trusted->n; i++) {
        const struct pyword *w = &p->trusted->word[i];
        if (w->first) import = pyword_is(w, "import") || pyword_is(w, "from");
        if (w->type != PYWORD_NAME || w->n != name->n || memcmp(w->text, name->text, (size_t)w->n))
            continue;
        if (import) return true;
        if (i > 0 && (pyword_is(w - 1, "def") || pyword_is(w - 1, "class"))) return true;
        if (i + 2 < p->trusted->n && pyword_is(w + 1, "=") && pyword_is(w + 2, "lambda"))
            return true;
    }
    return false;
}

static bool is_foreign(const struct part *p, const struct pyword *name) {
    return in_list(name, builtin) || is_trusted(p, name);
}

/* Arguments make the input, so they may be anything but a comparison around a call. */
static bool plain_arguments(const struct part *p, struct range r) {
    bool compares = false, calls = false;
    for (int i = r.a; i < r.b; i++) {
        const struct pyword *w = word(p, i);
        if (w->type == PYWORD_OP && in_list(w, " == != < > <= >= ")) compares = true;
        if (w->type == PYWORD_NAME && is(p, r, i + 1, "(") && !is_foreign(p, w)) calls = true;
        if (pyword_is(w, ":=") || pyword_is(w, "await") || pyword_is(w, "yield")) return false;
    }
    return !(compares && calls);
}

static bool literals(const struct part *p, struct range r) {
    struct pyvalue v;
    while (r.a < r.b) {
        int stop = comma(p, r);
        if (!literal(p, (struct range){r.a, stop, r.d}, &v)) return false;
        r.a = stop + 1;
    }
    return true;
}

static bool is_call(const struct part *p, struct range r);

/* What stands in the brackets of a function that is not the program's. */
static bool one_call(const struct part *p, const struct pyword *head, struct range r) {
    struct pyvalue v;
    int stop = comma(p, r);
    if (literals(p, r)) return true;
    if (!is_call(p, (struct range){r.a, stop, r.d})) return false;
    struct range rest = {stop + 1, r.b, r.d};
    if (rest.a >= rest.b) return true;
    if (pyword_is(head, "round")) return literal(p, rest, &v) && v.type == PY_INT;
    return pyword_is(head, "sorted") && is(p, rest, rest.a + 1, "=") && plain_arguments(p, rest);
}

/* `.name`, `[...]` and `(...)` from word i to the end. */
static bool postfix(const struct part *p, struct range r, int i) {
    while (i < r.b) {
        if (is(p, r, i, ".") && is_name(p, r, i + 1)) {
            i += 2;
        } else if (is(p, r, i, "[") || is(p, r, i, "(")) {
            int stop = closing(p, r, i);
            if (!plain_arguments(p, (struct range){i + 1, stop, r.d + 1})) return false;
            i = stop + 1;
        } else {
            return false;
        }
    }
    return true;
}

/* Where the brackets of `a.b.c(` open; -1 where it is no such thing. */
static int head_end(const struct part *p, struct range r) {
    int i = r.a + 1;
    if (!is_name(p, r, r.a) || in_list(word(p, r.a), keyword)) return -1;
    while (is(p, r, i, ".") && is_name(p, r, i + 1)) i += 2;
    return is(p, r, i, "(") ? i : -1;
}

static bool is_call(const struct part *p, struct range r) {
    for (int levels = 0; levels < 8; levels++) {
        r = unwrap(p, r);
        int open = head_end(p, r);
        if (open < 0) return false;
        int stop = closing(p, r, open);
        struct range inside = {open + 1, stop, r.d + 1};
        if (!postfix(p, r, stop + 1)) return false;
        if (!is_foreign(p, word(p, r.a))) return plain_arguments(p, inside);
        int end = comma(p, inside);
        if (end < inside.b || literals(p, inside)) return one_call(p, word(p, r.a), inside);
        r = inside;
    }
    return false;
}

/* A call of the program itself and nothing of the result: its truth may be asked for. */
static bool is_bare_call(const struct part *p, struct range r) {
    int open = head_end(p, r);
    if (open < 0 || is_foreign(p, word(p, r.a))) return false;
    return closing(p, r, open) == r.b - 1 && is_call(p, r);
}

/* ---- relations ----------------------------------------------------------------- */

/* abs(call - number), in either order. */
static bool difference(const struct part *p, struct range r, struct code_check *c) {
    r = unwrap(p, r);
    int open = head_end(p, r), minus = -1;
    if (open < 0 || closing(p, r, open) != r.b - 1) return false;
    if (!pyword_is(word(p, open - 1), "abs") && !pyword_is(word(p, open - 1), "fabs")) return false;
    struct range in = unwrap(p, (struct range){open + 1, r.b - 1, r.d + 1});
    for (int i = in.a + 1; i < in.b; i++)
        if (word(p, i)->depth == in.d && is(p, in, i, "-") &&
            (word(p, i - 1)->type != PYWORD_OP || in_list(word(p, i - 1), " ) ] } ")))
            minus = i;
    if (minus < 0) return false;
    struct range left = {in.a, minus, in.d}, right = {minus + 1, in.b, in.d};
    if (!is_call(p, left)) {
        struct range swap = left;
        left = right;
        right = swap;
    }
    if (!is_call(p, left) || !literal(p, right, &c->expected)) return false;
    c->call = text_of(p, left);
    return pyvalue_is_number(&c->expected);
}

/* math.isclose(call, number, rel_tol=..., abs_tol=...). */
static bool is_close(const struct part *p, struct range r, struct code_check *c) {
    int open = head_end(p, r), place = 0;
    if (open < 0 || closing(p, r, open) != r.b - 1) return false;
    if (!pyword_is(word(p, open - 1), "isclose")) return false;
    struct range in = {open + 1, r.b - 1, r.d + 1};
    c->relation = CODE_CLOSE;
    c->bound[0] = 1e-9;
    c->bound[1] = 0;
    for (; in.a < in.b; place++) {
        struct pyvalue v;
        struct range arg = {in.a, comma(p, in), in.d};
        in.a = arg.b + 1;
        if (place < 2) {
            if (is_call(p, arg) && !c->call) c->call = text_of(p, arg);
            else if (!literal(p, arg, &c->expected) || !pyvalue_is_number(&c->expected)) return false;
            continue;
        }
        bool abs_tol = is(p, arg, arg.a, "abs_tol");
        if (!abs_tol && !is(p, arg, arg.a, "rel_tol")) return false;
        arg.a += 2;
        if (!pyword_is(word(p, arg.a - 1), "=")) return false;
        if (!literal(p, arg, &v) || !pyvalue_is_number(&v)) return false;
        c->bound[abs_tol] = pyvalue_double(&v);
    }
    return c->call && place >= 2;
}

static bool is_instance(const struct part *p, struct range r, struct code_check *c) {
    if (!is(p, r, r.a, "isinstance") || !is(p, r, r.a + 1, "(")) return false;
    if (closing(p, r, r.a + 1) != r.b - 1) return false;
    struct range in = {r.a + 2, r.b - 1, r.d + 1}, call = {in.a, comma(p, in), in.d};
    if (call.b + 2 != in.b || !is_call(p, call)) return false;
    const struct pyword *type = word(p, call.b + 1);
    if (!in_list(type, " int float str bool list tuple set dict bytes complex ")) return false;
    c->relation = CODE_TYPE;
    c->call = text_of(p, call);
    c->expected.text = text_of(p, (struct range){call.b + 1, in.b, in.d});
    return true;
}

static bool fits(enum code_relation relation, const struct pyvalue *v) {
    switch (relation) {
    case CODE_LESS:
    case CODE_LESS_EQUAL:
    case CODE_GREATER:
    case CODE_GREATER_EQUAL: return pyvalue_is_number(v);
    case CODE_IN:
    case CODE_NOT_IN: return v->type == PY_LIST || v->type == PY_TUPLE || v->type == PY_SET;
    case CODE_SAME:
    case CODE_NOT_SAME: return v->type == PY_NONE || v->type == PY_BOOL;
    default: return true;
    }
}

/* Word i begins a comparison of `*n` words. */
static bool comparison(const struct part *p, struct range r, int i, enum code_relation *relation,
                       int *n) {
    static const struct {
        const char *word[2];
        enum code_relation relation;
    } table[] = {
        {{"=="}, CODE_EQUAL},      {{"!="}, CODE_NOT_EQUAL},  {{"<"}, CODE_LESS},
        {{"<="}, CODE_LESS_EQUAL}, {{">"}, CODE_GREATER},     {{">="}, CODE_GREATER_EQUAL},
        {{"not", "in"}, CODE_NOT_IN}, {{"in"}, CODE_IN},
        {{"is", "not"}, CODE_NOT_SAME}, {{"is"}, CODE_SAME},
    };
    for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
        if (!is(p, r, i, table[k].word[0])) continue;
        if (table[k].word[1] && !is(p, r, i + 1, table[k].word[1])) continue;
        *relation = table[k].relation;
        *n = table[k].word[1] ? 2 : 1;
        return true;
    }
    return false;
}

static enum code_relation swapped(enum code_relation relation) {
    switch (relation) {
    case CODE_LESS: return CODE_GREATER;
    case CODE_LESS_EQUAL: return CODE_GREATER_EQUAL;
    case CODE_GREATER: return CODE_LESS;
    case CODE_GREATER_EQUAL: return CODE_LESS_EQUAL;
    default: return relation;
    }
}

static bool add_comparison(const struct part *p, struct range left, enum code_relation relation,
                           struct range right, struct code_tests *t) {
    struct code_check c = {.relation = relation}, other = {.relation = CODE_AS_NEXT};
    struct pyvalue bound;
    bool below = relation == CODE_LESS || relation == CODE_LESS_EQUAL;
    if (below && difference(p, left, &c)) {
        if (!literal(p, right, &bound) || !pyvalue_is_number(&bound)) return false;
        c.relation = CODE_NEAR;
        c.bound[0] = pyvalue_double(&bound);
        c.bound[1] = relation == CODE_LESS_EQUAL;
    } else if (is_call(p, left) && literal(p, right, &c.expected)) {
        c.call = text_of(p, left);
    } else if (relation != CODE_IN && relation != CODE_NOT_IN && is_call(p, right) &&
               literal(p, left, &c.expected)) {
        c.call = text_of(p, right);
        c.relation = swapped(relation);
    } else if (relation == CODE_EQUAL && is_bare_call(p, unwrap(p, left)) &&
               is_bare_call(p, unwrap(p, right))) {
        other.call = text_of(p, left);
        code_add_check(t, &other, p->arena);
        c.call = text_of(p, right);
        c.relation = CODE_ANY;
    } else {
        return false;
    }
    if (!fits(c.relation, &c.expected)) return false;
    code_add_check(t, &c, p->arena);
    return true;
}

/* One of what `and` joins. */
static bool add_part(const struct part *p, struct range r, struct code_tests *t) {
    struct code_check c = {.relation = CODE_TRUE};
    enum code_relation relation, found = CODE_TRUE;
    int at = -1, n = 0, width = 0;
    r = unwrap(p, r);
    bool not = is(p, r, r.a, "not");
    for (int i = r.a + not; i < r.b; i++) {
        const struct pyword *w = word(p, i);
        if (w->depth != r.d) continue;
        if (w->type == PYWORD_NAME && in_list(w, " or if else lambda for await yield ")) return false;
        if (!comparison(p, r, i, &relation, &n)) continue;
        if (at >= 0) return false;
        at = i;
        found = relation;
        width = n;
        i += n - 1;
    }
    if (at >= 0 && !not)
        return add_comparison(p, (struct range){r.a, at, r.d}, found,
                              (struct range){at + width, r.b, r.d}, t);
    if (at >= 0) return false;
    struct range call = unwrap(p, (struct range){r.a + not, r.b, r.d});
    if (call.a >= call.b) return false;
    if (not) c.relation = CODE_FALSE;
    if (is_bare_call(p, call)) c.call = text_of(p, call);
    else if (not || !(is_close(p, r, &c) || is_instance(p, r, &c))) return false;
    code_add_check(t, &c, p->arena);
    return true;
}

static bool add_parts(const struct part *p, struct range r, struct code_tests *t) {
    r = unwrap(p, r);
    while (r.a < r.b) {
        int stop = r.a;
        while (stop < r.b && !(word(p, stop)->depth == r.d && is(p, r, stop, "and"))) stop++;
        if (stop == r.a || !add_part(p, (struct range){r.a, stop, r.d}, t)) return false;
        r.a = stop + 1;
    }
    return true;
}

static bool add_line(const struct part *p, struct range line, struct code_tests *t) {
    struct code_tests before = *t;
    if (!is(p, line, line.a, "assert")) return false;
    struct range r = {line.a + 1, line.b, 0};
    r.b = comma(p, r);
    bool joined = true;
    for (int i = r.a; i < r.b; i++) /* `a and b or c`: not a conjunction */
        if (word(p, i)->depth == 0 && (is(p, r, i, "or") || is(p, r, i, "if"))) joined = false;
    code_add_calls(t, p->arena);
    if (joined && r.a < r.b && add_parts(p, r, t)) return true;
    t->n = before.n;
    t->n_checks = before.n_checks;
    return false;
}

bool code_add_assert(struct code_tests *t, const char *text, size_t n, const char *trusted,
                     struct arena *arena) {
    struct pyscan scan, helper = {0};
    bool good = false;
    if (!pyscan_read(&scan, text, n)) return false;
    if (pyscan_read(&helper, trusted, strlen(trusted)) && scan.n > 0 &&
        pyscan_line_end(&scan, 0) == scan.n) {
        struct part p = {&scan, &helper, arena};
        good = add_line(&p, (struct range){0, scan.n, 0}, t);
    }
    pyscan_clear(&scan);
    pyscan_clear(&helper);
    return good;
}

/* ---- HumanEval ----------------------------------------------------------------- */

/* A docstring, `pass`, or `assert True`. */
static bool says_nothing(const struct part *p, struct range line) {
    if (line.b - line.a == 1)
        return word(p, line.a)->type == PYWORD_STRING || is(p, line, line.a, "pass");
    return is(p, line, line.a, "assert") && is(p, line, line.a + 1, "True") &&
           (line.b - line.a == 2 || is(p, line, line.a + 2, ","));
}

static bool add_body(const struct part *p, int from, struct code_tests *t) {
    int indent = word(p, from)->indent;
    while (from < p->scan->n && word(p, from)->indent > indent - 1) {
        struct range line = {from, pyscan_line_end(p->scan, from), 0};
        if (word(p, from)->indent != indent) return false;
        if (!says_nothing(p, line) && !add_line(p, line, t)) return false;
        from = line.b;
    }
    return true;
}

bool code_add_check_function(struct code_tests *t, const char *source, struct arena *arena) {
    struct pyscan scan, none = {0};
    struct code_tests before = *t;
    bool good = false;
    if (!pyscan_read(&scan, source, strlen(source))) return false;
    struct part p = {&scan, &none, arena};
    struct range all = {0, scan.n, 0};
    for (int i = 0; i < scan.n; i = pyscan_line_end(&scan, i)) {
        int end = pyscan_line_end(&scan, i);
        if (is(&p, all, i, "def") && is(&p, all, i + 1, "check") && end < scan.n) {
            good = !good && end - i == 6 && is(&p, all, i + 3, "candidate") &&
                   scan.word[end].indent > scan.word[i].indent && add_body(&p, end, t);
            if (!good) break;
        } else if (scan.word[i].indent == 0 && !is(&p, all, i + 1, "=")) {
            good = false; /* helpers, imports: not to be taken apart */
            break;
        }
    }
    good = good && t->n > before.n;
    if (!good) {
        t->n = before.n;
        t->n_checks = before.n_checks;
    }
    pyscan_clear(&scan);
    return good;
}
