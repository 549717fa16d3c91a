/* reward/math_lex.c: see math_lex.h. */
#include "reward/math_lex.h"

#include <ctype.h>
#include <string.h>

#include "reward/math_unit.h"

enum { PHRASE_MAX = 400, TEXT_DEPTH = 6, LOOK_AHEAD = 200, MAX_REPEAT = 60 };

struct open_bracket {
    int tok;
    int round;  /* how many are open down to the innermost that is no TeX group */
    int spaced; /* see spaced_list; -1: not looked yet */
};

struct lexer {
    struct math_work *w;
    const char *s;
    int n, i;  /* n: where this part ends */
    int n_all; /* bytes of s */
    struct math_tok *tok;
    int n_tok, cap;
    struct open_bracket *open; /* [n_open] a stack */
    int n_open, cap_open;
    char *digits; /* where numbers go: room for all of s */
    int *past;    /* [n] see past_group; NULL until asked for */
    bool space, odd_dollars, bad;
    int text_depth; /* > 0 inside \text{...} */
    int text_from, text_to;
};

static bool is_letter(char c) {
    return isalpha((unsigned char)c) || (unsigned char)c >= 0x80;
}
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static char peek(const struct lexer *x, int ahead) {
    return x->i + ahead < x->n ? x->s[x->i + ahead] : 0;
}

static struct math_tok *push(struct lexer *x, enum math_tok_type type, int id, int from) {
    if (x->n_tok + 2 > x->cap) {
        int cap = x->cap ? 2 * x->cap : 64;
        struct math_tok *grown = arena_new(&x->w->arena, (size_t)cap, sizeof *grown);
        if (x->n_tok) memcpy(grown, x->tok, (size_t)x->n_tok * sizeof *grown);
        x->tok = grown;
        x->cap = cap;
    }
    struct math_tok *t = &x->tok[x->n_tok++];
    *t = (struct math_tok){.type = (uint8_t)type,
                           .id = (uint8_t)id,
                           .space = x->space,
                           .match = -1,
                           .text = x->s + from,
                           .n = x->i - from};
    x->space = false;
    if (type == TK_BAD) x->bad = true;
    if (x->n_tok > MATH_MAX_TOKENS) x->w->limit = true;
    return t;
}

static const struct math_tok *last(const struct lexer *x) {
    return x->n_tok ? &x->tok[x->n_tok - 1] : NULL;
}

/* Whether something with a value has just ended, so that a unit may follow. */
static bool after_value(const struct lexer *x) {
    const struct math_tok *t = last(x);
    return t && (t->type == TK_NUM || t->type == TK_CLOSE || t->type == TK_PERCENT ||
                 t->type == TK_DEG || (t->type == TK_CONST && t->id == 'p'));
}

/* ---- brackets ---- */

/* Does the bracket at s[i] hold a comma with a space after it? Then a comma without one
 * groups digits. */
static bool spaced_list(const struct lexer *x, int i) {
    int depth = 0;
    for (int j = i; j < x->n && j < i + LOOK_AHEAD; j++) {
        if (strchr("([{", x->s[j])) depth++;
        if (strchr(")]}", x->s[j]) && --depth <= 0) return false;
        if (x->s[j] == ',' && j + 1 < x->n && x->s[j + 1] == ' ') return true;
    }
    return false;
}

/* The innermost bracket that is no TeX group; NULL outside of all. */
static struct open_bracket *innermost(const struct lexer *x) {
    int round = x->n_open ? x->open[x->n_open - 1].round : 0;
    return round ? &x->open[round - 1] : NULL;
}

static void open_bracket(struct lexer *x, int id, int from) {
    push(x, TK_OPEN, id, from);
    if (x->n_open == x->cap_open) {
        int cap = x->cap_open ? 2 * x->cap_open : 64;
        struct open_bracket *grown = arena_new(&x->w->arena, (size_t)cap, sizeof *grown);
        if (x->n_open) memcpy(grown, x->open, (size_t)x->n_open * sizeof *grown);
        x->open = grown;
        x->cap_open = cap;
    }
    int outer = x->n_open ? x->open[x->n_open - 1].round : 0;
    x->open[x->n_open] = (struct open_bracket){
        .tok = x->n_tok - 1, .round = id == '{' ? outer : x->n_open + 1, .spaced = -1};
    x->n_open++;
}

static void close_bracket(struct lexer *x, int id, int from) {
    struct math_tok *t = push(x, TK_CLOSE, id, from);
    if (!x->n_open) return;
    int opener = x->open[x->n_open - 1].tok;
    struct math_tok *o = &x->tok[opener];
    bool round = (o->id == '(' || o->id == '[') && (id == '(' || id == '[');
    if (o->id != id && !round) return;
    x->n_open--;
    t->match = opener;
    o->match = x->n_tok - 1;
}

/* ((x)) says no more than (x): without this, depth would be the writer's to choose. */
static void drop_doubled(struct lexer *x) {
    int n = 0;
    bool any = false;
    for (int i = 0; i + 1 < x->n_tok; i++) {
        struct math_tok *a = &x->tok[i], *b = &x->tok[i + 1];
        if (a->type != TK_OPEN || b->type != TK_OPEN || a->id != b->id) continue;
        if (a->id != '{' && a->id != '(') continue;
        if (a->match < 0 || b->match != a->match - 1) continue;
        if (x->tok[a->match].id != a->id || x->tok[b->match].id != b->id) continue;
        x->tok[a->match].type = TK_END; /* the outer pair goes */
        b->space |= a->space;
        a->type = TK_END;
        any = true;
    }
    if (!any) return;
    for (int i = 0; i < x->n_tok; i++)
        if (x->tok[i].type != TK_END) x->tok[n++] = x->tok[i];
    x->n_tok = n;
}

/* ---- numbers ---- */

/* Three digits and no fourth at s[j]? */
static bool three_digits(const struct lexer *x, int j) {
    if (j + 3 > x->n) return false;
    for (int k = 0; k < 3; k++)
        if (!is_digit(x->s[j + k])) return false;
    return j + 3 == x->n || !is_digit(x->s[j + 3]);
}

/* Bytes of a thousands separator at s[j], 0 where there is none. */
static int separator(const struct lexer *x, int j) {
    static const char *const always[] = {"{,}\\!", "{,}", ",\\!\\!", ",\\!",
                                         "\\,",    "\\;", "\\ ",     "{\\,}",
                                         "{ }",    "~",   NULL};
    size_t left = (size_t)(x->n - j);
    for (int k = 0; always[k]; k++) {
        size_t n = strlen(always[k]);
        if (n <= left && memcmp(x->s + j, always[k], n) == 0) {
            int after = j + (int)n;
            while (always[k][0] == ',' && after < x->n && x->s[after] == ' ') after++;
            return three_digits(x, after) ? after - j : 0;
        }
    }
    if (x->s[j] == ' ') return three_digits(x, j + 1) ? 1 : 0;
    if (x->s[j] != ',' || !three_digits(x, j + 1)) return 0;
    struct open_bracket *in = innermost(x);
    if (in && in->spaced < 0)
        in->spaced = spaced_list(x, (int)(x->tok[in->tok].text - x->s));
    if (in && !in->spaced) return 0;
    return 1;
}

/* 2\!000: a negative thin space is nothing. */
static int nothing_at(const struct lexer *x, int j) {
    int k = j;
    while (k + 1 < x->n && x->s[k] == '\\' && x->s[k + 1] == '!') k += 2;
    return k > j && k < x->n && is_digit(x->s[k]) ? k - j : 0;
}

/* `e5`, `E-3` after a number. */
static long read_exponent(struct lexer *x) {
    int j = x->i + 1, digits = 0;
    long e = 0;
    if (peek(x, 0) != 'e' && peek(x, 0) != 'E') return 0;
    bool minus = j < x->n && x->s[j] == '-';
    if (j < x->n && (x->s[j] == '-' || x->s[j] == '+')) j++;
    for (; j < x->n && is_digit(x->s[j]) && digits < 8; j++, digits++)
        e = e * 10 + x->s[j] - '0';
    if (!digits ||
        (j < x->n && (is_digit(x->s[j]) || is_letter(x->s[j]) || x->s[j] == '.')))
        return 0;
    x->i = j;
    return minus ? -e : e;
}

static int skip_digits(struct lexer *x, char *out, int n) {
    while (x->i < x->n && (is_digit(x->s[x->i]) || nothing_at(x, x->i))) {
        if (is_digit(x->s[x->i]))
            out[n++] = x->s[x->i++];
        else
            x->i += nothing_at(x, x->i);
    }
    return n;
}

/* The repeating digits after a decimal point: \overline{3}, \bar3, (3); copied to
 * out[MAX_REPEAT]. */
static int read_repeat(struct lexer *x, char *out, bool only_point) {
    static const char *const marks[] = {"\\overline", "\\bar", "\\dot", NULL};
    int j = x->i, n = 0;
    for (int k = 0; marks[k]; k++)
        if (strncmp(x->s + j, marks[k], strlen(marks[k])) == 0)
            j += (int)strlen(marks[k]);
    bool bracket = j == x->i && only_point && j < x->n && x->s[j] == '(';
    if (j == x->i && !bracket) return 0;
    while (!bracket && j < x->n && x->s[j] == ' ') j++;
    bool brace = j < x->n && (x->s[j] == '{' || bracket);
    j += brace;
    for (; j < x->n && is_digit(x->s[j]) && n < (brace ? MAX_REPEAT : 1); j++)
        out[n++] = x->s[j];
    if (!n || (brace && (j >= x->n || x->s[j] != (bracket ? ')' : '}')))) return 0;
    x->i = j + brace;
    return n;
}

static void lex_number(struct lexer *x) {
    int from = x->i, n, repeat = 0, sep;
    if (!x->digits) x->digits = arena_new(&x->w->arena, (size_t)x->n_all + 64, 1);
    char *out = x->digits;
    n = skip_digits(x, out, 0);
    bool grouped = false;
    while (x->i < x->n && n > 0 && (grouped || n <= 3) &&
           (sep = separator(x, x->i)) > 0) {
        x->i += sep;
        n = skip_digits(x, out, n);
        grouped = true;
    }
    bool comma = x->w->o->decimal_comma && !grouped && peek(x, 0) == ',' &&
                 is_digit(peek(x, 1)) && !innermost(x);
    if ((peek(x, 0) == '.' && peek(x, 1) != '.') || comma) {
        out[n++] = '.';
        x->i++;
        int before = n;
        n = skip_digits(x, out, n);
        char tail[MAX_REPEAT];
        repeat = read_repeat(x, tail, n == before);
        for (int k = 0; k < repeat; k++) out[n++] = tail[k];
        if (out[n - 1] == '.') n--;
    }
    if (n > MATH_MAX_DIGITS) x->w->limit = true;
    long exponent = repeat ? 0 : read_exponent(x);
    struct math_tok *t = push(x, TK_NUM, 0, from);
    x->digits += n; /* never more than was read */
    t->text = out;
    t->n = n;
    t->repeat = repeat;
    t->exponent = exponent;
}

/* ---- words ---- */

/* Adds words to the phrase before, or begins one. */
static void push_text(struct lexer *x, const char *s, int n, int from) {
    struct math_tok *t =
        x->n_tok && last(x)->type == TK_TEXT ? &x->tok[x->n_tok - 1] : NULL;
    int before = t ? t->n : 0;
    if (before + n + 2 > PHRASE_MAX) {
        push(x, TK_BAD, 0, from);
        return;
    }
    char *out;
    if (t) {
        out = (char *)(uintptr_t)t->text; /* ours: allocated below */
        out[before++] = ' ';
    } else {
        t = push(x, TK_TEXT, 0, from);
        out = arena_new(&x->w->arena, PHRASE_MAX, 1);
        t->text = out;
    }
    for (int k = 0; k < n; k++) {
        unsigned char c = (unsigned char)s[k];
        if (c == '.' || c == '\'') continue;
        out[before++] = c < 0x80 ? (char)tolower(c) : (char)c;
    }
    t->n = before;
    x->space = false;
    if (t->n == 8 && memcmp(t->text, "per cent", 8) == 0) t->type = TK_PERCENT;
}

static bool has_vowel(const char *s, int n) {
    for (int k = 0; k < n; k++)
        if (strchr("aeiouyAEIOUY", s[k]) || (unsigned char)s[k] >= 0x80) return true;
    return false;
}

/* abc, xyz, ABC: letters in the order of the alphabet are a product, not a word. */
static bool ascending(const char *s, int n) {
    if (n > 5) return false; /* chimps */
    for (int k = 1; k < n; k++)
        if (s[k] <= s[k - 1]) return false;
    return true;
}

static void push_letter(struct lexer *x, int at) {
    char c = x->s[at];
    const struct math_tok *before = last(x);
    int keep = x->i, j = x->i;
    x->i = at + 1;
    if (c == 'e' || c == 'i') {
        push(x, TK_CONST, c, at);
    } else if (c == 'x' && before && before->type == TK_NUM) {
        while (j < x->n && x->s[j] == ' ') j++;
        push(x, j < x->n && is_digit(x->s[j]) ? TK_OP : TK_VAR, '*', at);
    } else {
        push(x, TK_VAR, 0, at);
    }
    x->i = keep;
}

/* sinx, lnx: a known function and a letter. */
static int function_prefix(const char *s, int n) {
    const struct math_word *word = n > 2 ? math_find_word(s, n - 1) : NULL;
    bool function = word && (word->type == TK_FUN || word->type == TK_SQRT ||
                             (word->type == TK_CONST && word->id == 'p'));
    return function && strchr("xyzr", s[n - 1]) ? n - 1 : 0;
}

static void push_word(struct lexer *x, const struct math_word *word, int from) {
    if (word->type == TK_OPEN)
        open_bracket(x, word->id, from);
    else if (word->type == TK_CLOSE)
        close_bracket(x, word->id, from);
    else
        push(x, (enum math_tok_type)word->type, word->id, from);
}

/* Words of two letters that are no product of variables. */
static bool is_short_word(const char *s) {
    static const char *const words[] = {"no", "No", "is", "of", "to", "so", "on"};
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        if (memcmp(s, words[k], 2) == 0) return true;
    return false;
}

/* A run of letters outside of \text. */
static void lex_letters(struct lexer *x, int from) {
    const char *s = x->s + from;
    int n = x->i - from;
    bool value = after_value(x), single = n == 1 && (unsigned char)s[0] < 0x80;
    const struct math_word *word = math_find_word(s, n);
    bool hinted = single && value && x->w->hint && x->w->hint[0] == s[0];
    if (hinted || (value && n > 1 && math_unit_is_known(s, n))) {
        push_text(x, s, n, from);
    } else if (word) {
        push_word(x, word, from);
    } else if (single) {
        push_letter(x, from);
    } else if (n == 2 && is_short_word(s)) {
        push_text(x, s, n, from);
    } else if (function_prefix(s, n)) {
        x->i = from + function_prefix(s, n);
        push_word(x, math_find_word(s, n - 1), from);
        x->i = from + n;
        push_letter(x, from + n - 1);
    } else if ((n > 2 && has_vowel(s, n) && !ascending(s, n)) ||
               (last(x) && last(x)->type == TK_TEXT) || (unsigned char)s[0] >= 0x80 ||
               n > 12) {
        push_text(x, s, n, from);
    } else {
        for (int k = from; k < from + n; k++) push_letter(x, k);
    }
}

/* A run of letters inside \text{...}. */
static void lex_text_letters(struct lexer *x, int from) {
    int n = x->i - from;
    const struct math_word *word = math_find_word(x->s + from, n);
    bool alone = true;
    for (int k = x->text_from; k < x->text_to && alone; k++)
        alone = (k >= from && k < from + n) || isspace((unsigned char)x->s[k]);
    int next = x->i;
    while (next < x->n && x->s[next] == ' ') next++;
    const struct math_tok *before = last(x);
    bool per = x->n_tok > 1 && before->type == TK_OP && before->id == '/' &&
               before[-1].type == TK_TEXT;
    bool letter =
        n == 1 && !after_value(x) && !per && (next == x->n || !is_letter(x->s[next])) &&
        !(before && before->type == TK_TEXT) && (unsigned char)x->s[from] < 0x80;
    bool joins =
        word && (word->type == TK_OR || word->type == TK_AND || word->type == TK_PERCENT);
    if (joins ||
        (word && alone && !(after_value(x) && math_unit_is_known(x->s + from, n))))
        push_word(x, word, from);
    else if (letter)
        push_letter(x, from);
    else
        push_text(x, x->s + from, n, from);
}

static void lex_word(struct lexer *x) {
    int from = x->i;
    for (;;) {
        while (x->i < x->n && is_letter(x->s[x->i])) x->i++;
        /* p.m., o'clock, x-axis: within a word of a text */
        bool inner = x->i > from && x->i + 1 < x->n && is_letter(x->s[x->i + 1]);
        char c = peek(x, 0);
        if (inner && x->text_depth && (c == '\'' || c == '-'))
            x->i++;
        else if (inner && c == '.' && x->i - from == 1 && !is_letter(peek(x, 2)))
            x->i++;
        else
            break;
    }
    if (x->i - from == 3 && x->s[from + 1] == '.' && peek(x, 0) == '.') x->i++;
    if (x->i - from >= 3 && x->s[from + 1] == '.')
        push_text(x, x->s + from, x->i - from, from);
    else if (x->text_depth)
        lex_text_letters(x, from);
    else
        lex_letters(x, from);
}

/* ---- commands ---- */

/* Pairs all braces in one pass: asked one by one, open ones would cost the square. */
static void pair_braces(struct lexer *x) {
    int n = x->n_all, top = 0;
    int *stack = arena_new(&x->w->arena, (size_t)n, sizeof *stack);
    x->past = arena_new(&x->w->arena, (size_t)n, sizeof *x->past);
    for (int j = 0; j < n; j++) {
        x->past[j] = n;
        if (x->s[j] == '\\') {
            if (j + 1 < n) x->past[++j] = n;
        } else if (x->s[j] == '{') {
            stack[top++] = j;
        } else if (x->s[j] == '}' && top) {
            x->past[stack[--top]] = j + 1;
        }
    }
}

/* Past the partner of the { at s[j]; the end where there is none. */
static int past_group(struct lexer *x, int j) {
    if (j >= x->n) return x->n;
    if (!x->past) pair_braces(x);
    return x->past[j] < x->n ? x->past[j] : x->n;
}

static void lex_until(struct lexer *x, int end);

static void lex_text(struct lexer *x, int from, int to) {
    int end = x->n, keep_from = x->text_from, keep_to = x->text_to;
    if (x->text_depth >= TEXT_DEPTH) {
        push(x, TK_BAD, 0, from);
        return;
    }
    while (from < to && isspace((unsigned char)x->s[from])) from++;
    x->text_depth++;
    x->text_from = from;
    x->text_to = to;
    x->i = from;
    lex_until(x, to);
    x->n = end;
    x->i = to + 1 < end ? to + 1 : end;
    x->text_from = keep_from;
    x->text_to = keep_to;
    x->text_depth--;
}

static bool only_words(const struct lexer *x, int from, int to) {
    int n = 0;
    for (int k = from; k < to; k++) {
        bool per = x->s[k] == '/' && k > from && after_value(x);
        if (!is_letter(x->s[k]) && !strchr(" .-", x->s[k]) && !per) return false;
        n += is_letter(x->s[k]);
    }
    return n > 1;
}

/* \mathrm{cm} is a text, \mathbf{5} and \mathrm e are what they hold. */
static void lex_font(struct lexer *x, const char *name, int n, bool text) {
    while (peek(x, 0) == '*' || peek(x, 0) == ' ') x->i++;
    bool blackboard = n == 6 && memcmp(name, "mathbb", 6) == 0;
    int at = x->i + (peek(x, 0) == '{');
    if (blackboard && at < x->n && strchr("RQZNC", x->s[at])) {
        x->i = at + 1;
        push(x, TK_NUMSET, x->s[at], at);
        if (peek(x, 0) == '}' && at > 0 && x->s[at - 1] == '{') x->i++;
        return;
    }
    if (peek(x, 0) != '{') return;
    int end = past_group(x, x->i);
    text = text || only_words(x, x->i + 1, end - 1);
    if (text && x->s[end - 1] == '}') lex_text(x, x->i + 1, end - 1);
}

static void lex_environment(struct lexer *x, enum math_tok_type type) {
    int from = x->i, at;
    while (peek(x, 0) == ' ') x->i++;
    at = x->i + 1;
    int end = peek(x, 0) == '{' ? past_group(x, x->i) : x->n;
    if (peek(x, 0) != '{' || end - at > 20 || x->s[end - 1] != '}') {
        push(x, TK_BAD, 0, from);
        return;
    }
    x->i = end;
    struct math_tok *t = push(x, type, 0, from);
    t->text = x->s + at;
    t->n = end - 1 - at;
    bool columns = t->n >= 5 && memcmp(t->text, "array", 5) == 0 && type == TK_BEGIN;
    if (columns && peek(x, 0) == '{') x->i = past_group(x, x->i);
}

/* \left. and \right. have no bracket; \left{ is meant as \left\{. */
static void lex_side(struct lexer *x, const char *name, int n, int from) {
    bool sized = n >= 4 && (memcmp(name + n - 4, "left", 4) == 0 ||
                            memcmp(name + n - 4, "ight", 4) == 0);
    char next = peek(x, 0);
    x->space |= n > 3 && name[0] == 'q';
    if (!sized) return;
    x->i += next == '.' || next == '{' || next == '}';
    if (next == '{') open_bracket(x, 's', from);
    if (next == '}') close_bracket(x, 's', from);
}

static void lex_named(struct lexer *x, int from);

/* What the grammar does not know: a known command that has grown into what follows. */
static void lex_unknown(struct lexer *x, int from) {
    const char *name = x->s + from + 1;
    int n = x->i - from - 1, known = math_command_prefix(name, n);
    if (n == 3 && memcmp(name, "not", 3) == 0) {
        while (peek(x, 0) == ' ') x->i++;
        push(x, peek(x, 0) == '=' ? TK_REL : TK_BAD, REL_NE, from);
        x->i += peek(x, 0) == '=';
    } else if (known) {
        x->i = from + 1 + known;
        lex_named(x, from);
    } else {
        push(x, TK_BAD, 0, from);
    }
}

static void lex_named(struct lexer *x, int from) {
    const char *name = x->s + from + 1;
    int n = x->i - from - 1;
    const struct math_word *word = math_find_command(name, n);
    if (word) {
        push_word(x, word, from);
        return;
    }
    if ((n == 5 && memcmp(name, "begin", 5) == 0) ||
        (n == 3 && memcmp(name, "end", 3) == 0)) {
        lex_environment(x, n == 5 ? TK_BEGIN : TK_ENDENV);
        return;
    }
    enum math_command c = math_command_class(name, n);
    int var = n > 3 && memcmp(name, "var", 3) == 0 ? 3 : 0;
    struct math_tok *t;
    switch (c) {
    case COMMAND_NOTHING: lex_side(x, name, n, from); break;
    case COMMAND_TEXT_FONT:
    case COMMAND_FONT: lex_font(x, name, n, c == COMMAND_TEXT_FONT); break;
    case COMMAND_WITH_ARGUMENT:
        if (peek(x, 0) == '{') x->i = past_group(x, x->i);
        break;
    case COMMAND_LETTER:
        t = push(x, TK_VAR, 0, from);
        t->text = name + var;
        t->n = n - var;
        break;
    default: lex_unknown(x, from);
    }
}

static void lex_command(struct lexer *x) {
    int from = x->i++;
    char c = peek(x, 0);
    if (isalpha((unsigned char)c)) {
        while (isalpha((unsigned char)peek(x, 0))) x->i++;
        lex_named(x, from);
        return;
    }
    x->i += c != 0;
    switch (c) {
    case '{': open_bracket(x, 's', from); break;
    case '}': close_bracket(x, 's', from); break;
    case '|': push(x, TK_NORM, 0, from); break;
    case '%': push(x, TK_PERCENT, 0, from); break;
    case '$': push(x, TK_MONEY, '$', from); break;
    case '\\': push(x, TK_ROW, 0, from); break;
    case '(':
    case ')':
    case '[':
    case ']':
    case ',':
    case ';':
    case ':':
    case ' ':
    case '>':
    case '\n':
    case '\t': x->space = true; break;
    case '!':
    case '/': break;
    default: push(x, TK_BAD, 0, from);
    }
}

/* ---- single signs ---- */

static void lex_dollar(struct lexer *x) {
    int j = x->i + 1;
    while (j < x->n && x->s[j] == ' ') j++;
    bool money = x->odd_dollars &&
                 ((j < x->n && (is_digit(x->s[j]) || x->s[j] == '.')) || after_value(x));
    if (money) {
        x->odd_dollars = false;
        x->i++;
        push(x, TK_MONEY, '$', x->i - 1);
        return;
    }
    x->i++;
    x->space = true;
}

/* Two-character signs; false where there is none here. */
static bool lex_pair(struct lexer *x) {
    static const struct {
        char sign[3];
        uint8_t type, id;
    } pairs[] = {{"<=", TK_REL, REL_LE}, {"=<", TK_REL, REL_LE}, {">=", TK_REL, REL_GE},
                 {"!=", TK_REL, REL_NE}, {"==", TK_REL, REL_EQ}, {"**", TK_OP, '^'},
                 {"+-", TK_OP, 'P'},     {":=", TK_REL, REL_EQ}, {"->", TK_BAD, 0}};
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        if (peek(x, 0) != pairs[k].sign[0] || peek(x, 1) != pairs[k].sign[1]) continue;
        if (pairs[k].id == 'P' && is_digit(peek(x, 2)) && last(x)) continue; /* 3+-2 */
        x->i += 2;
        push(x, (enum math_tok_type)pairs[k].type, pairs[k].id, x->i - 2);
        return true;
    }
    return false;
}

static void lex_dot(struct lexer *x) {
    int from = x->i;
    while (peek(x, 0) == '.') x->i++;
    int j = x->i;
    while (j < x->n && (isspace((unsigned char)x->s[j]) || x->s[j] == '$')) j++;
    bool closing =
        x->n_tok && (j == x->n || strchr("})", x->s[j]) ||
                     (x->s[j] == '\\' && j + 1 < x->n && strchr(")]", x->s[j + 1])));
    if (x->i - from >= 3)
        push(x, TK_DOTS, 0, from);
    else if (!closing && !x->text_depth)
        push(x, TK_BAD, 0, from);
}

/* Is s[n], the inside of a bracket, what was counted, rather than a factor? */
static bool is_counted(const char *s, int n) {
    int letters = 0;
    bool space = false;
    for (int k = 0; k < n; k++) {
        if (!is_letter(s[k]) && !strchr(" .-'", s[k])) return false;
        letters += is_letter(s[k]);
        space |= s[k] == ' ' && k > 0 && k + 1 < n;
    }
    bool acronym = n > 2 && s[n - 1] == 's' && isupper((unsigned char)s[n - 2]);
    if (n == 1) return strchr("mgslh", s[0]) != NULL;
    return letters > 1 && n < PHRASE_MAX / 2 &&
           (space || acronym || math_unit_is_known(s, n) || (n > 2 && has_vowel(s, n)));
}

/* 9 (apples), just past the bracket: as 9 \text{ apples}, where nothing follows. */
static bool lex_counted(struct lexer *x) {
    const struct math_tok *before = last(x);
    int from = x->i, to = from;
    if (!before || before->type != TK_NUM || !isspace((unsigned char)x->s[from - 2]))
        return false;
    while (to < x->n && to < from + PHRASE_MAX && x->s[to] != ')') to++;
    if (to == x->n || x->s[to] != ')' || !is_counted(x->s + from, to - from))
        return false;
    for (int k = to + 1; k < x->n; k++)
        if (!strchr(" .$}\n", x->s[k])) return false;
    push_text(x, "(", 1, from - 1);
    lex_text(x, from, to);
    return true;
}

/* <1, 2, 3>, if that is all there is: a vector. */
static bool lex_angle(struct lexer *x, char c, int from) {
    bool opens = c == '<' && x->n_tok == 0, closes = c == '>' && x->n_open == 1 &&
                                                     x->tok[0].type == TK_OPEN &&
                                                     x->tok[0].id == 'a';
    bool comma = false;
    if (closes) close_bracket(x, 'a', from);
    if (!opens) return closes;
    int j = x->i;
    for (; j < x->n && j < x->i + LOOK_AHEAD && !strchr("<>=", x->s[j]); j++)
        comma |= x->s[j] == ',';
    if (!comma || j >= x->n || x->s[j] != '>') return false;
    while (++j < x->n && strchr(" .$", x->s[j])) {
    }
    if (j < x->n) return false;
    open_bracket(x, 'a', from);
    return true;
}

static void lex_sign(struct lexer *x) {
    char c = peek(x, 0);
    int from = x->i;
    if (lex_pair(x)) return;
    x->i++;
    switch (c) {
    case '(':
        if (lex_counted(x)) break;
        /* fall through */
    case '[':
    case '{': open_bracket(x, c, from); break;
    case ')': close_bracket(x, '(', from); break;
    case ']': close_bracket(x, '[', from); break;
    case '}': close_bracket(x, '{', from); break;
    case '<':
    case '>':
        if (lex_angle(x, c, from)) break;
        /* fall through */
    case '=': push(x, TK_REL, c, from); break;
    case '|': push(x, TK_BAR, 0, from); break;
    case '%': push(x, TK_PERCENT, 0, from); break;
    case '+':
    case '-':
    case '*':
    case '/':
    case '^':
    case '_':
    case '!':
    case ',':
    case ';':
    case ':':
    case '\'':
    case '&': push(x, TK_OP, c, from); break;
    case '~': x->space = true; break;
    default: push(x, TK_BAD, 0, from);
    }
}

static void lex_until(struct lexer *x, int end) {
    int keep = x->n;
    x->n = end;
    while (x->i < x->n && !x->w->limit && !x->bad) {
        char c = x->s[x->i];
        if (isspace((unsigned char)c)) {
            x->space = true;
            x->i++;
        } else if (is_digit(c) || (c == '.' && is_digit(peek(x, 1)))) {
            lex_number(x);
        } else if (is_letter(c)) {
            lex_word(x);
        } else if (c == '\\') {
            lex_command(x);
        } else if (c == '$') {
            lex_dollar(x);
        } else if (c == '.') {
            lex_dot(x);
        } else {
            lex_sign(x);
        }
    }
    x->n = keep;
}

bool math_lex(struct math_work *w, const char *s, size_t n, struct math_tokens *out) {
    struct lexer x = {.w = w, .s = s, .n = (int)n, .n_all = (int)n};
    int dollars = 0;
    for (size_t k = 0; k < n; k++) {
        if (s[k] == '\\')
            k++;
        else
            dollars += s[k] == '$';
    }
    x.odd_dollars = dollars % 2;
    lex_until(&x, x.n);
    x.space = false;
    while (x.n_tok && last(&x)->type == TK_ROW) x.n_tok--; /* 5\\ */
    bool ok = !w->limit;
    drop_doubled(&x);
    push(&x, TK_END, 0, x.i);
    w->limit = !ok;
    *out = (struct math_tokens){x.tok, x.n_tok - 1, x.bad};
    return ok;
}
