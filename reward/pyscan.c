/* reward/pyscan.c: see pyscan.h. */
#include "reward/pyscan.h"

#include <string.h>

#include "base/mem.h"

struct scanner {
    const char *at, *end;
    struct pyscan *out;
    int cap, depth, indent;
    bool fresh; /* a logical line begins */
    char open[64];
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static void push(struct scanner *s, enum pyword_type type, const char *from, int depth) {
    struct pyscan *out = s->out;
    if (out->n == s->cap) {
        int cap = s->cap ? 2 * s->cap : 64;
        out->word = mem_resize(out->word, (size_t)s->cap, (size_t)cap, sizeof *out->word);
        s->cap = cap;
    }
    out->word[out->n++] = (struct pyword){
        .type = type, .text = from, .n = (int)(s->at - from), .depth = depth,
        .first = s->fresh, .indent = s->indent};
    s->fresh = false;
}

/* White space, comments and ends of lines before the next word. */
static void skip(struct scanner *s) {
    const char *line = s->fresh ? s->at : NULL;
    while (s->at < s->end) {
        char c = *s->at;
        if (c == '#') {
            while (s->at < s->end && *s->at != '\n') s->at++;
        } else if (c == '\n' || (c == ';' && s->depth == 0)) {
            s->at++;
            if (s->depth) continue;
            s->fresh = true;
            if (c == '\n') line = s->at;
        } else if (c == '\\' && s->end - s->at > 1 && strchr("\r\n", s->at[1])) {
            s->at += s->at[1] == '\r' && s->end - s->at > 2 && s->at[2] == '\n' ? 3 : 2;
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f') {
            s->at++;
        } else {
            break;
        }
    }
    if (line) s->indent = (int)(s->at - line);
}

/* At a quote, its prefix already passed. */
static bool quoted(struct scanner *s) {
    char quote = *s->at;
    long n = s->end - s->at >= 3 && s->at[1] == quote && s->at[2] == quote ? 3 : 1;
    for (s->at += n; s->at < s->end; s->at++) {
        if (*s->at == '\\') {
            s->at++;
        } else if (*s->at == quote && s->end - s->at >= n &&
                   (n == 1 || (s->at[1] == quote && s->at[2] == quote))) {
            s->at += n;
            return true;
        } else if (n == 1 && *s->at == '\n') {
            return false;
        }
    }
    return false;
}

static bool bracket(struct scanner *s) {
    static const char opening[] = "([{", closing[] = ")]}";
    const char *from = s->at, *p = strchr(opening, *s->at);
    s->at++;
    if (p) {
        if (s->depth >= (int)sizeof s->open) return false;
        push(s, PYWORD_OP, from, s->depth);
        s->open[s->depth++] = closing[p - opening];
        return true;
    }
    if (s->depth == 0 || s->open[--s->depth] != *from) return false;
    push(s, PYWORD_OP, from, s->depth);
    return true;
}

static void operator(struct scanner *s) {
    static const char *const longer[] = {"**=", "//=", "<<=", ">>=", "...", "==", "!=", "<=",
                                         ">=", "->", ":=", "**", "//", "<<", ">>", "+=", "-=",
                                         "*=", "/=", "%=", "&=", "|=", "^=", "@="};
    const char *from = s->at++;
    for (size_t i = 0; i < sizeof longer / sizeof *longer; i++) {
        size_t n = strlen(longer[i]);
        if ((size_t)(s->end - from) >= n && strncmp(from, longer[i], n) == 0) {
            s->at = from + n;
            break;
        }
    }
    push(s, PYWORD_OP, from, s->depth);
}

static bool word(struct scanner *s) {
    const char *from = s->at;
    if (is_letter(*from)) {
        while (s->at < s->end && (is_letter(*s->at) || is_digit(*s->at))) s->at++;
        bool quote = s->at < s->end && (*s->at == '"' || *s->at == '\'') && s->at - from <= 2 &&
                     strspn(from, "rRbBuUfF") >= (size_t)(s->at - from);
        if (quote && !quoted(s)) return false;
        push(s, quote ? PYWORD_STRING : PYWORD_NAME, from, s->depth);
    } else if (is_digit(*from) || (*from == '.' && s->end - from > 1 && is_digit(from[1]))) {
        while (s->at < s->end &&
               (is_letter(*s->at) || is_digit(*s->at) || *s->at == '.' ||
                ((*s->at == '+' || *s->at == '-') && strchr("eE", s->at[-1]) && from[1] != 'x')))
            s->at++;
        push(s, PYWORD_NUMBER, from, s->depth);
    } else if (*from == '"' || *from == '\'') {
        if (!quoted(s)) return false;
        push(s, PYWORD_STRING, from, s->depth);
    } else if (strchr("()[]{}", *from) && *from) {
        return bracket(s);
    } else {
        operator(s);
    }
    return true;
}

bool pyscan_read(struct pyscan *out, const char *text, size_t n) {
    struct scanner s = {.at = text, .end = text + n, .out = out, .fresh = true};
    *out = (struct pyscan){0};
    for (skip(&s); s.at < s.end; skip(&s)) {
        if (word(&s)) continue;
        pyscan_clear(out);
        return false;
    }
    if (s.depth == 0) return true;
    pyscan_clear(out);
    return false;
}

void pyscan_clear(struct pyscan *s) {
    mem_free(s->word);
    *s = (struct pyscan){0};
}

bool pyword_is(const struct pyword *w, const char *text) {
    return w->type != PYWORD_STRING && (size_t)w->n == strlen(text) &&
           memcmp(w->text, text, (size_t)w->n) == 0;
}

int pyscan_line_end(const struct pyscan *s, int from) {
    int i = from + 1;
    while (i < s->n && !s->word[i].first) i++;
    return i;
}
