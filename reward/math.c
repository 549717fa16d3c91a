/* reward/math.c: see math.h. Finds, folds, parses, decides; one work a thread. */
#include "reward/math.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "reward/math_compare.h"
#include "reward/math_extract.h"
#include "reward/math_fold.h"
#include "reward/math_parse.h"

enum { MAX_BYTES = 1 << 18 };

/* ---- a work a thread ---- */

static __thread struct math_work *mine;
static pthread_key_t at_exit;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void work_free(void *work) {
    struct math_work *w = work;
    math_work_reset(w);
    arena_clear(&w->arena);
    mem_free(w);
    flint_cleanup();
}

static void make_key(void) { CHECK(pthread_key_create(&at_exit, work_free) == 0); }

static struct math_work *work(void) {
    if (mine) return mine;
    pthread_once(&once, make_key);
    mine = mem_new(1, sizeof *mine);
    CHECK(pthread_setspecific(at_exit, mine) == 0);
    return mine;
}

void math_release(void) {
    if (!mine) return;
    CHECK(pthread_setspecific(at_exit, NULL) == 0);
    work_free(mine);
    mine = NULL;
}

/* ---- one side ---- */

struct side {
    const char *text; /* folded */
    size_t n;
    struct math_node *tree; /* NULL: not of the grammar */
    bool limit;
};

static void parse_side(struct math_work *w, struct side *s) {
    struct math_tokens tokens;
    s->tree = math_lex(w, s->text, s->n, &tokens) ? math_parse(w, &tokens) : NULL;
    s->limit = w->limit;
    if (w->limit) s->tree = NULL;
    w->limit = false;
}

static bool read_side(struct math_work *w, const char *text, size_t n, struct side *s) {
    *s = (struct side){.limit = true};
    if (!math_fold(w, text, n, MAX_BYTES, &s->text, &s->n)) return false;
    parse_side(w, s);
    return true;
}

/* Words alone, at least two letters: an answer that is a text. */
static bool is_wordy(const char *words) {
    int letters = 0;
    for (const char *c = words; *c; c++) {
        bool letter = isalpha((unsigned char)*c) || (unsigned char)*c >= 0x80;
        if (!letter && !strchr(" -", *c)) return false;
        letters += letter;
    }
    return letters > 1;
}

static void show_side(struct math_work *w, const char *what, const struct side *s) {
    if (!w->trace) return;
    buf_printf(w->trace, "%s \"%.*s\"%s\n  ", what, (int)(s->n < 200 ? s->n : 200),
               s->text, s->n > 200 ? "..." : "");
    struct buf tree = {0};
    if (s->tree)
        math_print(&tree, s->tree);
    else
        buf_puts(&tree, "not in the grammar");
    buf_printf(w->trace, "%s\n", buf_text(&tree));
    buf_clear(&tree);
}

/* ---- the decision ---- */

/* One writes a unit of one letter that the other took for a variable: 15 m, 15\text{ m}.
 */
static const char *letter_unit(struct math_work *w, const struct math_node *with,
                               const struct math_node *bare) {
    if (!math_has(with, M_UNIT) || math_has(bare, M_UNIT)) return NULL;
    static const char letters[] = "mgslhLNJWVCF";
    char name[2] = {0};
    for (const char *c = letters; *c; c++) {
        name[0] = *c;
        if (math_has_var(bare, name)) return arena_strdup(&w->arena, name);
    }
    return NULL;
}

static enum math_verdict decide_trees(struct math_work *w, struct side *gold,
                                      struct side *answer) {
    enum math_verdict v = math_equal(w, gold->tree, answer->tree);
    if (v != MATH_DIFFERENT) return v;
    const char *in_answer = letter_unit(w, gold->tree, answer->tree);
    const char *in_gold = letter_unit(w, answer->tree, gold->tree);
    if (!in_answer && !in_gold) return v;
    w->hint = in_answer ? in_answer : in_gold;
    struct side *again = in_answer ? answer : gold;
    struct math_node *before = again->tree;
    parse_side(w, again);
    w->hint = NULL;
    if (!again->tree || !math_has(again->tree, M_UNIT)) {
        again->tree = before;
        return v;
    }
    math_why(w, "%s read as a unit", in_answer ? in_answer : in_gold);
    return math_equal(w, gold->tree, answer->tree);
}

static double finish(struct math_work *w, enum math_verdict v, struct verdict *out) {
    if (v == MATH_EQUAL) return verdict_set(out, VERDICT_OK, 1, "equal: %s", w->why);
    if (v == MATH_DIFFERENT)
        return verdict_set(out, VERDICT_OK, 0, "different: %s", w->why);
    if (w->limit) return verdict_set(out, VERDICT_LIMIT, 0, "too large to decide");
    return verdict_set(out, VERDICT_UNDECIDED, 0, "%s",
                       w->why[0] ? w->why : "not decided");
}

static void decide(struct math_work *w, struct side *gold, struct side *answer,
                   struct verdict *out) {
    char choice = math_extract_choice(gold->text, gold->n, true, false);
    char chosen =
        choice ? math_extract_choice(answer->text, answer->n, false, w->o->choice_case)
               : 0;
    if (chosen) {
        math_why(w, "choice %c against %c", choice, chosen);
        finish(w, choice == chosen ? MATH_EQUAL : MATH_DIFFERENT, out);
        return;
    }
    bool short_text = gold->n <= 2000 && answer->n <= 2000;
    bool structured = gold->tree && gold->tree->kind != M_TEXT;
    const char *words =
        short_text && (!structured || isalpha((unsigned char)gold->text[0]) ||
                       gold->text[0] == '\\' || (unsigned char)gold->text[0] >= 0x80)
            ? math_words(w, gold->text, gold->n)
            : "";
    bool wordy = is_wordy(words);
    if ((wordy || !gold->tree) && *words &&
        strcmp(words, math_words(w, answer->text, answer->n)) == 0) {
        math_why(w, "the same words");
        finish(w, MATH_EQUAL, out);
    } else if (!gold->tree && wordy) {
        math_why(w, "words that differ");
        finish(w, MATH_DIFFERENT, out);
    } else if (!gold->tree) {
        verdict_set(out, VERDICT_NOT_SCORABLE, 0, "the gold is %s",
                    gold->limit ? "too large" : "not in the grammar");
    } else if (!answer->tree) {
        verdict_set(out, VERDICT_UNPARSABLE, 0, "the answer is %s",
                    answer->limit ? "too large" : "not in the grammar");
    } else {
        w->nodes = 0;
        bool unit = choice && math_has(answer->tree, M_UNIT); /* Cs is not C in seconds */
        if (unit) math_why(w, "a choice against a quantity");
        finish(w, unit ? MATH_DIFFERENT : decide_trees(w, gold, answer), out);
    }
}

/* ---- where the answer is ---- */

/* Side by side in boxes, the parts of an answer whose gold has parts: as one list. */
static bool read_parts(struct math_work *w, const char *s, size_t n, struct side *out) {
    struct math_span box[16];
    int k = math_extract_boxes(s, n, box, 16);
    struct buf joined = {0};
    for (int i = 0; i < k; i++)
        buf_printf(&joined, "%s%.*s", i ? ", " : "", (int)box[i].n, box[i].s);
    bool read = k > 1 && read_side(w, buf_text(&joined), joined.len, out);
    buf_clear(&joined);
    return read;
}

static bool has_parts(const struct math_node *t) {
    return t &&
           (t->kind == M_LIST || t->kind == M_SET || t->kind == M_OR || t->kind == M_AND);
}

static void note(struct math_work *w, const char *what, const char *how) {
    if (w->trace) buf_printf(w->trace, "%s%s\n", what, how);
}

/* The gold as a whole; where that is a text with an answer in it, that answer. */
static bool read_gold(struct math_work *w, const char *gold, size_t n,
                      const struct math_span *span, struct side *g) {
    struct math_span inner;
    if (w->o->boxes == MATH_BOXES_PARTS && read_parts(w, gold, n, g)) return true;
    if (!read_side(w, span->s, span->n, g)) return false;
    bool found = !g->tree && span->s == gold &&
                 math_extract(gold, n, MATH_EXTRACT_AUTO, &inner) && !inner.whole;
    struct side again;
    if (found && read_side(w, inner.s, inner.n, &again) && again.tree) *g = again;
    return true;
}

static bool read_other(struct math_work *w, const struct math_span *span,
                       struct side *a) {
    note(w, "no answer as a whole: ", span->how);
    return read_side(w, span->s, span->n, a);
}

static bool same_words(struct math_work *w, const struct side *gold,
                       const struct side *a) {
    return gold->n < 2000 && a->n < 2000 &&
           strcmp(math_words(w, gold->text, gold->n), math_words(w, a->text, a->n)) == 0;
}

/* The answer, read. Where no mark shows it and the whole is no answer: the last formula,
 * or what the last sentence says. */
static bool read_answer(struct math_work *w, const struct math_span *span,
                        const struct side *gold, struct side *a) {
    struct math_span other;
    bool read = span->n > 0 && read_side(w, span->s, span->n, a);
    bool text_gold = !gold->tree || gold->tree->kind == M_TEXT;
    bool said = strcmp(span->how, "\"answer is\"") == 0;
    struct math_span formula = {.how = ""};
    bool any = span->whole && math_extract_formula(span->s, span->n, &formula);
    /* a text with a formula in it, and not as the gold is one */
    bool prose = any && formula.n + 8 < span->n && !(read && same_words(w, gold, a));
    if ((!span->whole && !said) || (read && (text_gold ? !prose : a->tree != NULL)))
        return read;
    bool speaks = math_extract_said(span->s, span->n, &other);
    bool late = any && strcmp(formula.how, "the last formula") == 0 &&
                !(speaks && other.s > formula.s + formula.n);
    if (late) read = read_other(w, &formula, a);
    if ((!read || !a->tree) && speaks) {
        read = read_other(w, &other, a);
        if (read && !text_gold && a->tree && a->tree->kind == M_TEXT) a->tree = NULL;
    }
    if ((!read || !a->tree) && any && !late) read = read_other(w, &formula, a);
    return read;
}

static void score(struct math_work *w, const char *gold, size_t n_gold,
                  const char *response, size_t n, struct verdict *out) {
    struct math_span gold_span, span;
    struct side g, a;
    math_extract_gold(gold, n_gold, &gold_span);
    if (!gold_span.n) {
        verdict_set(out, VERDICT_NOT_SCORABLE, 0, "the gold is empty");
        return;
    }
    if (!read_gold(w, gold, n_gold, &gold_span, &g)) {
        verdict_set(out, VERDICT_NOT_SCORABLE, 0, "the gold is too long");
        return;
    }
    show_side(w, "gold", &g);
    if (!math_extract(response, n, w->o->extract, &span)) {
        verdict_set(out, VERDICT_UNPARSABLE, 0, "%s", span.how);
        return;
    }
    bool parts = w->o->boxes == MATH_BOXES_PARTS && has_parts(g.tree) &&
                 w->o->extract != MATH_EXTRACT_WHOLE && read_parts(w, response, n, &a);
    note(w, "answer from ", parts ? "boxes side by side" : span.how);
    if (!parts && !read_answer(w, &span, &g, &a)) {
        verdict_set(out, VERDICT_UNPARSABLE, 0,
                    span.n ? "the answer is too long" : "the answer is empty");
        return;
    }
    show_side(w, "answer", &a);
    decide(w, &g, &a, out);
    if (out->score == 0 && g.n == a.n && memcmp(g.text, a.text, g.n) == 0)
        verdict_set(out, VERDICT_OK, 1, "equal: the same text");
}

void math_explain(const char *gold, size_t n_gold, const char *response, size_t n,
                  const struct math_options *o, struct verdict *out,
                  struct buf *explain) {
    struct math_options defaults;
    struct math_work *w = work();
    math_options_default(&defaults);
    w->o = o ? o : &defaults;
    w->trace = explain;
    score(w, n_gold ? gold : "", n_gold, n ? response : "", n, out);
    w->o = NULL;
    w->trace = NULL;
    math_work_reset(w);
}

void math_score(const char *gold, size_t n_gold, const char *response, size_t n,
                const struct math_options *o, struct verdict *out) {
    math_explain(gold, n_gold, response, n, o, out, NULL);
}
