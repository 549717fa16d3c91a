/* tests/math_variants.c: see math_variants.h. */
#include "tests/math_variants.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 1024 };

struct maker {
    const char *gold;
    math_on_variant visit;
    void *user;
    int made;
};

static void emit_of(struct maker *m, const char *gold, const char *wrong) {
    m->visit(gold, wrong, m->user);
    m->made++;
}

static void emit(struct maker *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void emit(struct maker *m, const char *fmt, ...) {
    char text[MAX_TEXT];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    emit_of(m, m->gold, text);
}

/* ---- what a gold is ---- */

/* `\$32,\!348` as 32348; false where it is no plain number. */
static bool plain_number(const char *s, double *value) {
    char digits[64];
    size_t n = 0;
    for (; *s && n < sizeof digits - 1; s++) {
        if (strchr("\\$!, ", *s)) continue;
        if (!isdigit((unsigned char)*s) && *s != '.' && !(*s == '-' && n == 0))
            return false;
        digits[n++] = *s;
    }
    digits[n] = 0;
    char *end;
    *value = strtod(digits, &end);
    return n > 0 && !*end;
}

static bool is_list_of_numbers(const char *s) {
    return strchr(s, ' ') && strchr(s, ',') && !strchr(s, '\\');
}

/* One value without a unit: no list, relation, set, text or base. */
static bool is_scalar(const char *s) {
    static const char *const other[] = {
        ",",      "=",      "<",      ">", "\\in",  "\\cup", "\\pm", "\\{",
        "\\text", "\\mbox", "\\circ", "_", "begin", "[",     "\\%",  NULL};
    for (int i = 0; other[i]; i++)
        if (strstr(s, other[i])) return false;
    return true;
}

/* `\text{east}` as east, `\text{(C)}` as (C); false where it is none. */
static bool is_text(const char *s, char *word) {
    size_t n = strlen(s);
    if (strncmp(s, "\\text{", 6) != 0 || n < 8 || s[n - 1] != '}' || n > 60) return false;
    memcpy(word, s + 6, n - 7);
    word[n - 7] = 0;
    return !strpbrk(word, "{}\\");
}

/* ---- changes of the text ---- */

/* Within \text{...} or a command's name: no digit or letter of the value. */
static bool is_markup(const char *s, size_t at) {
    size_t i = at;
    while (i > 0 && isalpha((unsigned char)s[i - 1])) i--;
    if (i > 0 && s[i - 1] == '\\') return true;
    for (const char *t = strstr(s, "\\text{"); t && t < s + at;
         t = strstr(t + 1, "\\text{")) {
        const char *end = strchr(t, '}');
        if (end && end > s + at) return true;
    }
    for (const char *t = strstr(s, "\\mbox{"); t && t < s + at;
         t = strstr(t + 1, "\\mbox{")) {
        const char *end = strchr(t, '}');
        if (end && end > s + at) return true;
    }
    return false;
}

static void other_digits(struct maker *m) {
    char text[MAX_TEXT];
    const char *frac = strstr(m->gold, "\\frac");
    bool mixed = frac && frac > m->gold && isdigit((unsigned char)frac[-1]);
    if (mixed) return; /* 1 9/5, read as a product, is 1 4/5 */
    snprintf(text, sizeof text, "%s", m->gold);
    for (size_t i = 0; text[i]; i++) {
        char c = text[i];
        if (!isdigit((unsigned char)c) || is_markup(text, i)) continue;
        for (int k = 1; k < 10; k++) {
            text[i] = (char)('0' + (c - '0' + k) % 10);
            emit(m, "%s", text);
        }
        text[i] = c;
    }
}

static void swapped_digits(struct maker *m) {
    char text[MAX_TEXT];
    snprintf(text, sizeof text, "%s", m->gold);
    for (size_t i = 0; text[i] && text[i + 1]; i++) {
        char a = text[i], b = text[i + 1];
        if (!isdigit((unsigned char)a) || !isdigit((unsigned char)b) || a == b) continue;
        text[i] = b;
        text[i + 1] = a;
        emit(m, "%s", text);
        text[i] = a;
        text[i + 1] = b;
    }
}

/* Every variable but the names of functions and constants, renamed throughout. */
static void other_variable(struct maker *m) {
    static const char names[] = "xyzanpqkrR";
    for (const char *v = names; *v; v++) {
        char text[MAX_TEXT];
        bool any = false;
        snprintf(text, sizeof text, "%s", m->gold);
        for (size_t i = 0; text[i]; i++) {
            bool letter = text[i] == *v && !is_markup(text, i);
            bool alone = letter && !isalpha((unsigned char)text[i + 1]) &&
                         (i == 0 || !isalpha((unsigned char)text[i - 1]));
            if (alone) text[i] = 'w', any = true;
        }
        if (any) emit(m, "%s", text);
    }
}

static void other_signs(struct maker *m) {
    static const char *const pairs[][2] = {{" + ", " - "},     {" - ", " + "},
                                           {"=", "<"},         {"\\pm", "+"},
                                           {"\\cup", "\\cap"}, {"\\in", "\\notin"}};
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        const char *at = strstr(m->gold, pairs[k][0]);
        if (k == 5 && at && strncmp(at, "\\infty", 6) == 0) at = strstr(at + 1, "\\in ");
        if (!at) continue;
        emit(m, "%.*s%s%s", (int)(at - m->gold), m->gold, pairs[k][1],
             at + strlen(pairs[k][0]));
    }
}

/* \frac{a}{b} as \frac{b}{a}, and (a, b) as (b, a). */
static void swapped_parts(struct maker *m) {
    const char *s = m->gold, *frac = strstr(s, "\\frac{");
    if (frac) {
        const char *a = frac + 6, *a_end = strchr(a, '}');
        const char *b = a_end && a_end[1] == '{' ? a_end + 2 : NULL;
        const char *b_end = b ? strchr(b, '}') : NULL;
        bool flat = b_end && !memchr(a, '{', (size_t)(a_end - a)) &&
                    !memchr(b, '{', (size_t)(b_end - b));
        if (flat && (a_end - a != b_end - b || memcmp(a, b, (size_t)(a_end - a)) != 0))
            emit(m, "%.*s\\frac{%.*s}{%.*s}%s", (int)(frac - s), s, (int)(b_end - b), b,
                 (int)(a_end - a), a, b_end + 1);
    }
    const char *comma = strchr(s, ',');
    size_t n = strlen(s);
    if (s[0] == '(' && s[n - 1] == ')' && comma && !strchr(comma + 1, ',') &&
        !strstr(s, "\\cup") && !strstr(s, "\\infty"))
        emit(m, "(%.*s,%.*s)", (int)(s + n - 1 - comma - 1), comma + 1,
             (int)(comma - s - 1), s + 1);
}

static void other_brackets(struct maker *m) {
    static const char round[] = "()[]";
    char text[MAX_TEXT];
    const char *comma = strchr(m->gold, ',');
    if (!comma || strchr(comma + 1, ',') || !strpbrk(m->gold, round)) return;
    snprintf(text, sizeof text, "%s", m->gold);
    for (size_t i = 0; text[i]; i++) {
        const char *at = strchr(round, text[i]);
        if (!at || (i && text[i - 1] == '\\')) continue;
        bool low = text[i] == '(' || text[i] == '[';
        bool infinite = low ? strncmp(text + i + 1, "-\\infty", 7) == 0
                            : i > 5 && strncmp(text + i - 6, "\\infty", 6) == 0;
        if (infinite) continue;
        char keep = text[i];
        text[i] = round[(at - round + 2) % 4];
        emit(m, "%s", text);
        text[i] = keep;
    }
}

static void swapped_rows(struct maker *m) {
    const char *s = strstr(m->gold, "matrix}"), *row = s ? strstr(s, "\\\\") : NULL;
    if (!row) return;
    emit(m, "%.*s&%s", (int)(row - m->gold), m->gold, row + 2); /* in one row */
    emit(m, "%.*s\\\\ 0 %s", (int)(row - m->gold), m->gold, row);
    const char *first = s + 7, *next = row + 2, *end = strstr(next, "\\\\");
    if (!end) end = strstr(next, "\\end");
    if (end)
        emit(m, "%.*s%.*s\\\\%.*s%s", (int)(first - m->gold), m->gold, (int)(end - next),
             next, (int)(row - first), first, end);
}

/* ---- values ---- */

static void other_values(struct maker *m, double v, bool known) {
    const char *g = m->gold;
    if (!known || v != 0) {
        emit(m, "-(%s)", g);
        emit(m, "2(%s)", g);
        emit(m, "10\\cdot(%s)", g);
        emit(m, "\\frac{%s}{2}", g);
        emit(m, "(%s)\\cdot 10^{-3}", g);
        emit(m, "(%s)i", g);
    }
    if (!known || (v != 0 && v != 1)) {
        emit(m, "(%s)^2", g);
        emit(m, "\\sqrt{%s}", g);
    }
    if (!known || (v != 1 && v != -1)) emit(m, "\\frac{1}{%s}", g);
    emit(m, "(%s)+1", g);
    emit(m, "(%s)-1", g);
    emit(m, "(%s)+\\frac{1}{2}", g);
    emit(m, "(%s)+10^{-9}", g);
    emit(m, "(%s)+w", g);
    emit(m, "%s or (%s)+1", g, g);
    emit(m, "%s, (%s)+1", g, g);
    emit(m, "not %s", g);
    emit(m, "w=(%s)+1", g);
    emit(m, "w<%s", g);
    emit(m, "%s\\pm 1", g);
}

static void other_numbers(struct maker *m, double v) {
    if (v != 0) emit(m, "%.12g", -v);
    if (v != 0) emit(m, "%.12g", v * 10);
    if (v != 0) emit(m, "%.12g", v / 10);
    if (v != 0) emit(m, "%.15g", v * 1.001);
    emit(m, "%.12g", v + 1);
    emit(m, "%.12g", v - 1);
    emit(m, "%.12g", v + 2);
    emit(m, "%.12g", v + 10);
    emit(m, "%.12g", v - 100);
    emit(m, "%.12g", v + 0.5);
    emit(m, "%.15g", v + 0.01);
    if (v != 0) emit(m, "%.12g%d", v, v == floor(v) ? 0 : 1);
    if (v == 0) emit(m, "1e-12");
    emit(m, "%.12g_7", v);
    emit(m, "%.12g:00 pm", v);
}

static void other_units(struct maker *m) {
    static const char *const units[][2] = {{"cm", "km"},
                                           {"hours", "minutes"},
                                           {"kg", "g"},
                                           {"dollars", "cents"},
                                           {"meters", "feet"},
                                           {"cm^2", "cm^3"},
                                           {"miles", "miles per hour"}};
    char gold[MAX_TEXT], wrong[MAX_TEXT];
    for (size_t k = 0; k < sizeof units / sizeof *units; k++) {
        for (int way = 0; way < 2; way++) {
            snprintf(gold, sizeof gold, "%s\\text{ %s}", m->gold, units[k][way]);
            snprintf(wrong, sizeof wrong, "%s\\text{ %s}", m->gold, units[k][!way]);
            emit_of(m, gold, wrong);
        }
    }
}

static void other_words(struct maker *m, const char *word) {
    static const char *const words[] = {"west", "odd",  "circle",  "0", "1",
                                        "yes",  "no",   "none",    "x", "\\pi",
                                        "A",    "true", "parabola"};
    size_t n = strlen(word);
    bool choice = n == 3 && word[0] == '(' && word[2] == ')';
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        if (strcmp(words[k], word) != 0) emit(m, "%s", words[k]);
    emit(m, "not %s", word);
    emit(m, "\\text{not %s}", word);
    emit(m, "%s or west", word);
    emit(m, "%s%s", word, word);
    emit(m, "\\text{%.*s}", (int)n - 1, word);
    emit(m, "\\text{%ss}", word);
    emit(m, "\\text{un%s}", word);
    if (!choice) return;
    for (char c = 'A'; c <= 'F'; c++) {
        if (c == word[1]) continue;
        emit(m, "(%c)", c);
        emit(m, "\\text{%c}", c);
        emit(m, "%c or %c", word[1], c);
        emit(m, "(%c) (%c)", word[1], c);
    }
}

static void other_unit_words(struct maker *m) {
    static const char *const swaps[][2] = {{"^\\circ", "\\%"},     {"inches", "miles"},
                                           {"cm", "km"},           {"cents", "euros"},
                                           {"degrees", "radians"}, {"\\$", "\\pounds "}};
    for (size_t k = 0; k < sizeof swaps / sizeof *swaps; k++) {
        const char *at = strstr(m->gold, swaps[k][0]);
        if (at)
            emit(m, "%.*s%s%s", (int)(at - m->gold), m->gold, swaps[k][1],
                 at + strlen(swaps[k][0]));
    }
}

int math_variants(const char *gold, math_on_variant visit, void *user) {
    struct maker m = {.gold = gold, .visit = visit, .user = user};
    char word[64];
    double v = 0;
    if (is_text(gold, word)) {
        other_words(&m, word);
        return m.made;
    }
    bool number = !is_list_of_numbers(gold) && plain_number(gold, &v);
    other_digits(&m);
    swapped_digits(&m);
    other_variable(&m);
    other_signs(&m);
    swapped_parts(&m);
    other_brackets(&m);
    swapped_rows(&m);
    other_unit_words(&m);
    if (number) other_numbers(&m, v);
    bool scalar = number || is_scalar(gold);
    if (scalar) other_values(&m, v, number);
    if (scalar && !strchr(gold, '$') && !(number && v == 0)) other_units(&m);
    if (!number)
        for (int k = 2; k < 9; k++) emit(&m, "%s, %d7", gold, k);
    static const char *const nothing[] = {"",
                                          "w",
                                          "0.123456789",
                                          "\\emptyset",
                                          "\\infty",
                                          "\\text{none}",
                                          "-\\frac{1}{7919}",
                                          "7919!"};
    for (size_t k = 0; k < sizeof nothing / sizeof *nothing; k++)
        emit(&m, "%s", nothing[k]);
    return m.made;
}
