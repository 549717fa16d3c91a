/* reward/math_fold.c: see math_fold.h. */
#include "reward/math_fold.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct sign {
    int code;
    const char *text;
};

/* Sorted by code. What compatibility decomposition would lose or not know. */
static const struct sign signs[] = {
    {0x00A0, " "},
    {0x00A2, "\\text{ cents}"},
    {0x00A3, "\\pounds "},
    {0x00A5, "\\yen "},
    {0x00AD, ""},
    {0x00B0, "\\degree "},
    {0x00B1, "\\pm "},
    {0x00B7, "\\cdot "},
    {0x00BA, "\\degree "},
    {0x00D7, "\\times "},
    {0x00F7, "\\div "},
    {0x200B, ""},
    {0x200C, ""},
    {0x200D, ""},
    {0x200E, ""},
    {0x200F, ""},
    {0x2010, "-"},
    {0x2011, "-"},
    {0x2012, "-"},
    {0x2013, "-"},
    {0x2014, "-"},
    {0x2015, "-"},
    {0x2016, "\\| "},
    {0x2018, "'"},
    {0x2019, "'"},
    {0x201C, "\""},
    {0x201D, "\""},
    {0x2022, "\\cdot "},
    {0x2026, "\\ldots "},
    {0x202A, ""},
    {0x202C, ""},
    {0x202F, " "},
    {0x2032, "'"},
    {0x2033, "''"},
    {0x2044, "/"},
    {0x2060, ""},
    {0x2061, ""},
    {0x2062, ""},
    {0x2063, ","},
    {0x20AC, "\\euro "},
    {0x2102, "\\mathbb{C}"},
    {0x2115, "\\mathbb{N}"},
    {0x211A, "\\mathbb{Q}"},
    {0x211D, "\\mathbb{R}"},
    {0x2124, "\\mathbb{Z}"},
    {0x2190, "\\leftarrow "},
    {0x2192, "\\to "},
    {0x21D2, "\\Rightarrow "},
    {0x2200, "\\forall "},
    {0x2205, "\\emptyset "},
    {0x2208, "\\in "},
    {0x2209, "\\notin "},
    {0x220F, "\\prod "},
    {0x2211, "\\sum "},
    {0x2212, "-"},
    {0x2213, "\\mp "},
    {0x2215, "/"},
    {0x2216, "\\setminus "},
    {0x2217, "*"},
    {0x2218, "\\circ "},
    {0x2219, "\\cdot "},
    {0x221A, "\\surd "},
    {0x221B, "\\cuberoot "},
    {0x221E, "\\infty "},
    {0x2220, "\\angle "},
    {0x2223, "|"},
    {0x2227, "\\land "},
    {0x2228, "\\lor "},
    {0x2229, "\\cap "},
    {0x222A, "\\cup "},
    {0x2236, ":"},
    {0x2248, "\\approx "},
    {0x2260, "\\neq "},
    {0x2261, "\\equiv "},
    {0x2264, "\\leq "},
    {0x2265, "\\geq "},
    {0x2266, "\\leq "},
    {0x2267, "\\geq "},
    {0x22C5, "\\cdot "},
    {0x22EF, "\\cdots "},
    {0x2308, "\\lceil "},
    {0x2309, "\\rceil "},
    {0x230A, "\\lfloor "},
    {0x230B, "\\rfloor "},
    {0x2329, "\\langle "},
    {0x232A, "\\rangle "},
    {0x2713, ""},
    {0x27E8, "\\langle "},
    {0x27E9, "\\rangle "},
    {0x2A7D, "\\leq "},
    {0x2A7E, "\\geq "},
    {0x2E3A, "-"},
    {0x3001, ","},
    {0x3002, "."},
    {0x3008, "\\langle "},
    {0x3009, "\\rangle "},
    {0xFE63, "-"},
    {0xFEFF, ""},
    {0xFF0D, "-"},
};

static const char *const greek[] = {
    "alpha",   "beta", "gamma", "delta",  "epsilon", "zeta", "eta",
    "theta",   "iota", "kappa", "lambda", "mu",      "nu",   "xi",
    "omicron", "pi",   "rho",   "sigma",  "sigma",   "tau",  "upsilon",
    "phi",     "chi",  "psi",   "omega",
};

static int compare_sign(const void *a, const void *b) {
    return *(const int *)a - ((const struct sign *)b)->code;
}

/* '0' to '9', '+', '-', '(', ')', 'n', 'i' of a super- or subscript; 0: it is none. */
static char script(int c, bool sub) {
    if (sub) {
        if (c >= 0x2080 && c <= 0x2089) return (char)('0' + c - 0x2080);
        if (c >= 0x208A && c <= 0x208E) return "+-=()"[c - 0x208A];
        if (c >= 0x2090 && c <= 0x209C) return "aeoxehklmnpst"[c - 0x2090];
        return 0;
    }
    if (c == 0xB2 || c == 0xB3) return (char)('0' + c - 0xB0);
    if (c == 0xB9) return '1';
    if (c == 0x2070 || (c >= 0x2074 && c <= 0x2079)) return (char)('0' + c - 0x2070);
    if (c == 0x2071) return 'i';
    if (c >= 0x207A && c <= 0x207F) return "+-=()n"[c - 0x207A];
    return 0;
}

struct folding {
    char *out;
    size_t n, cap;
    struct math_work *w;
};

static void put(struct folding *f, const char *s, size_t n) {
    if (f->n + n + 1 > f->cap) {
        size_t cap = 2 * (f->n + n) + 64;
        char *grown = arena_new(&f->w->arena, cap, 1);
        memcpy(grown, f->out, f->n);
        f->out = grown;
        f->cap = cap;
    }
    memcpy(f->out + f->n, s, n);
    f->n += n;
}

static void put_greek(struct folding *f, int c) {
    bool upper = c < 0x3B1;
    const char *name = greek[c - (upper ? 0x391 : 0x3B1)];
    char text[16] = "\\";
    size_t n = strlen(name);
    memcpy(text + 1, name, n);
    if (upper) text[1] = (char)(text[1] - 'a' + 'A');
    text[n + 1] = ' ';
    put(f, text, n + 2);
}

/* A vulgar fraction decomposes to digits around a fraction slash. */
static void put_fraction(struct folding *f, const utf8proc_int32_t *d, int n) {
    char text[32] = "\\frac{";
    size_t k = 6;
    for (int i = 0; i < n; i++) {
        if (d[i] == 0x2044) {
            memcpy(text + k, "}{", 2);
            k += 2;
        } else {
            text[k++] = (char)d[i];
        }
    }
    text[k++] = '}';
    put(f, text, k);
}

static void put_decomposed(struct folding *f, int c, const char *bytes, size_t n) {
    utf8proc_int32_t d[32];
    int boundclass = 0;
    utf8proc_ssize_t k = utf8proc_decompose_char(
        c, d, 32, UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE, &boundclass);
    if (k < 1 || k > 32) {
        put(f, bytes, n);
        return;
    }
    bool ascii = true, slash = false;
    for (int i = 0; i < k; i++) {
        slash |= d[i] == 0x2044;
        ascii &= d[i] < 128 || d[i] == 0x2044;
    }
    if (ascii && slash && k <= 8) {
        put_fraction(f, d, (int)k);
    } else if (ascii && d[0] != '\\' && d[0] != '$') {
        for (int i = 0; i < k; i++) put(f, &(char){(char)d[i]}, 1);
    } else if (k == 1 && d[0] >= 0x391 && d[0] <= 0x3C9 &&
               (d[0] <= 0x3A9 || d[0] >= 0x3B1)) {
        put_greek(f, d[0]);
    } else {
        put(f, bytes, n);
    }
}

/* A run of raised or lowered signs as one group; bytes read. */
static size_t put_scripts(struct folding *f, const unsigned char *s, size_t n, bool sub) {
    size_t i = 0;
    utf8proc_int32_t c;
    put(f, sub ? "_{" : "^{", 2);
    while (i < n) {
        utf8proc_ssize_t k = utf8proc_iterate(s + i, (utf8proc_ssize_t)(n - i), &c);
        char plain = k > 0 ? script(c, sub) : 0;
        if (!plain) break;
        put(f, &plain, 1);
        i += (size_t)k;
    }
    put(f, "}", 1);
    return i;
}

/* One character beyond ASCII; bytes read. */
static size_t fold_one(struct folding *f, const unsigned char *s, size_t n) {
    utf8proc_int32_t c;
    utf8proc_ssize_t k = utf8proc_iterate(s, (utf8proc_ssize_t)n, &c);
    if (k <= 0) {
        put(f, "\x7f", 1);
        return 1;
    }
    if (script(c, false)) return put_scripts(f, s, n, false);
    if (script(c, true)) return put_scripts(f, s, n, true);
    const struct sign *sign =
        bsearch(&c, signs, sizeof signs / sizeof *signs, sizeof *signs, compare_sign);
    if (sign)
        put(f, sign->text, strlen(sign->text));
    else if (c >= 0x391 && c <= 0x3C9 && (c <= 0x3A9 || c >= 0x3B1))
        put_greek(f, c);
    else if (c >= 0xFE00 && c <= 0xFE0F)
        put(f, "", 0); /* variation selectors */
    else if (utf8proc_category(c) == UTF8PROC_CATEGORY_ZS)
        put(f, " ", 1);
    else
        put_decomposed(f, c, (const char *)s, (size_t)k);
    return (size_t)k;
}

/* \\\\frac{1}{2}: escaped once too often, as no single \\ stands before a letter. A row
 * of a matrix ends in \\\\ before a letter too, but its \\begin has a single one. */
static bool is_escaped(const char *s, size_t n) {
    bool any = false;
    for (const char *at = s; (at = memchr(at, '\\', n - (size_t)(at - s))) != NULL;) {
        const char *end = at;
        while (end < s + n && *end == '\\') end++;
        bool letter = end < s + n && isalpha((unsigned char)*end);
        if (letter && (end - at) % 2) return false;
        any |= letter;
        at = end;
    }
    return any;
}

static void put_ascii(struct folding *f, const char *s, size_t n, bool escaped) {
    size_t from = 0;
    for (size_t i = 0; escaped && i + 1 < n; i++) {
        if (s[i] != '\\' || s[i + 1] != '\\') continue;
        put(f, s + from, i - from);
        from = ++i;
    }
    put(f, s + from, n - from);
}

bool math_fold(struct math_work *w, const char *s, size_t n, size_t max, const char **out,
               size_t *n_out) {
    const unsigned char *u = (const unsigned char *)s;
    if (n > max) return false;
    struct folding f = {.w = w, .cap = n + 64};
    f.out = arena_new(&w->arena, f.cap, 1);
    bool escaped = is_escaped(s, n);
    for (size_t i = 0; i < n;) {
        size_t j = i;
        while (j < n && u[j] < 128 && u[j]) j++;
        if (j > i) put_ascii(&f, s + i, j - i, escaped);
        i = j;
        if (i < n && !u[i]) {
            put(&f, "\x7f", 1);
            i++;
        } else if (i < n) {
            i += fold_one(&f, u + i, n - i);
        }
    }
    f.out[f.n] = 0;
    *out = f.out;
    *n_out = f.n;
    return true;
}
