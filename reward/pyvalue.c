/* reward/pyvalue.c: the reader of pyvalue.h: one pass, depth and nodes bounded. */
#include "reward/pyvalue.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const char *at, *end;
    struct arena *arena;
    int depth;
    long nodes;
};

/* Items while their number is not known; moved to the arena when it is. */
struct list {
    struct pyvalue *item;
    size_t n, cap;
};

static bool read_value(struct reader *r, struct pyvalue *v);

static void skip(struct reader *r) {
    while (r->at < r->end) {
        if (strchr(" \t\r\n\f", *r->at) && *r->at) r->at++;
        else if (*r->at == '\\' && r->end - r->at > 1 && r->at[1] == '\n') r->at += 2;
        else break;
    }
}

static bool take(struct reader *r, char c) {
    skip(r);
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static bool peek(struct reader *r, char c) {
    skip(r);
    return r->at < r->end && *r->at == c;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

/* ---- items --------------------------------------------------------------------- */

static void list_push(struct list *l, const struct pyvalue *v) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 8;
        l->item = mem_resize(l->item, l->cap, cap, sizeof *l->item);
        l->cap = cap;
    }
    l->item[l->n++] = *v;
}

static void list_give(struct list *l, struct reader *r, enum pyvalue_type type,
                      struct pyvalue *v) {
    struct pyvalue *item = l->n ? arena_new(r->arena, l->n, sizeof *item) : NULL;
    if (l->n) memcpy(item, l->item, l->n * sizeof *item);
    *v = (struct pyvalue){.type = type, .n = l->n};
    pyvalue_seal(v, item);
    mem_free(l->item);
}

static bool list_drop(struct list *l) {
    mem_free(l->item);
    return false;
}

/* ---- numbers ------------------------------------------------------------------- */

static void set_int(struct pyvalue *v, const char *text, size_t n, struct reader *r) {
    while (n > 1 && *text == '0') {
        text++;
        n--;
    }
    char *copy = arena_new(r->arena, n + 1, 1);
    memcpy(copy, text, n);
    *v = (struct pyvalue){.type = PY_INT, .text = copy, .n = n};
    pyvalue_seal(v, NULL);
}

/* 0x, 0o and 0b, of 63 bits. */
static bool read_based(struct reader *r, struct pyvalue *v) {
    char digits[80], text[32];
    size_t n = 0;
    int base = strchr("xX", r->at[1]) ? 16 : strchr("oO", r->at[1]) ? 8 : 2;
    for (r->at += 2; r->at < r->end && (is_digit(*r->at) || is_letter(*r->at)); r->at++) {
        if (*r->at == '_') continue;
        if (n + 1 >= sizeof digits) return false;
        digits[n++] = *r->at;
    }
    digits[n] = 0;
    char *stop;
    unsigned long long x = strtoull(digits, &stop, base);
    if (!n || *stop || x > (unsigned long long)1 << 62) return false;
    set_int(v, text, (size_t)snprintf(text, sizeof text, "%llu", x), r);
    return true;
}

/* Whether a decimal literal is a float, a complex one ('j'), or whole; its end in *end. */
static char number_shape(const struct reader *r, const char **end) {
    char shape = 'i';
    const char *p = r->at;
    while (p < r->end && (is_digit(*p) || *p == '_')) p++;
    if (p < r->end && *p == '.') {
        shape = 'f';
        for (p++; p < r->end && (is_digit(*p) || *p == '_');) p++;
    }
    if (p < r->end && (*p == 'e' || *p == 'E')) {
        const char *q = p + 1;
        if (q < r->end && (*q == '+' || *q == '-')) q++;
        if (q < r->end && is_digit(*q)) {
            shape = 'f';
            for (p = q; p < r->end && (is_digit(*p) || *p == '_');) p++;
        }
    }
    if (p < r->end && (*p == 'j' || *p == 'J')) {
        shape = 'j';
        p++;
    }
    *end = p;
    return p < r->end && (is_letter(*p) || is_digit(*p)) ? 0 : shape;
}

static bool read_number(struct reader *r, struct pyvalue *v) {
    const char *end;
    struct buf text = {0};
    if (r->end - r->at > 2 && *r->at == '0' && strchr("xXoObB", r->at[1])) return read_based(r, v);
    char shape = number_shape(r, &end);
    if (!shape) return false;
    for (; r->at < end; r->at++)
        if (*r->at != '_') buf_push(&text, r->at, 1);
    bool good = text.len > 0 && strcmp(buf_text(&text), ".") != 0;
    if (good && shape == 'i') {
        set_int(v, buf_text(&text), text.len, r);
    } else if (good) {
        double x = strtod(buf_text(&text), NULL);
        *v = shape == 'f' ? (struct pyvalue){.type = PY_FLOAT, .real = x}
                          : (struct pyvalue){.type = PY_COMPLEX, .imag = x};
        pyvalue_seal(v, NULL);
    }
    buf_clear(&text);
    return good;
}

static bool negate(struct reader *r, struct pyvalue *v) {
    if (v->type == PY_BOOL) set_int(v, v->truth ? "1" : "0", 1, r);
    if (v->type == PY_INT && v->truth) {
        bool minus = *v->text == '-';
        size_t n = v->n + !minus - minus;
        char *text = arena_new(r->arena, n + 1, 1);
        snprintf(text, n + 1, "%s%s", minus ? "" : "-", v->text + minus);
        *v = (struct pyvalue){.type = PY_INT, .text = text, .n = n};
    } else if (v->type == PY_FLOAT || v->type == PY_COMPLEX) {
        v->real = -v->real;
        v->imag = -v->imag;
    }
    pyvalue_seal(v, NULL);
    return v->type == PY_INT || v->type == PY_FLOAT || v->type == PY_COMPLEX;
}

/* `1+2j`, and nothing else that is arithmetic. */
static bool read_imaginary(struct reader *r, struct pyvalue *v) {
    struct pyvalue second;
    if (!(peek(r, '+') || peek(r, '-'))) return true;
    bool minus = *r->at++ == '-';
    skip(r);
    if (r->at == r->end || !(is_digit(*r->at) || *r->at == '.')) return false;
    if (!(v->type == PY_INT || v->type == PY_FLOAT)) return false;
    if (!read_number(r, &second) || second.type != PY_COMPLEX) return false;
    *v = (struct pyvalue){.type = PY_COMPLEX, .real = pyvalue_double(v),
                          .imag = minus ? -second.imag : second.imag};
    pyvalue_seal(v, NULL);
    return true;
}

/* ---- strings ------------------------------------------------------------------- */

static void push_code_point(struct buf *out, unsigned long c) {
    char s[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6) s[i] = (char)(0x80 | (c & 0x3f));
    s[0] = (char)(n == 1 ? c : lead[n] | c);
    buf_push(out, s, n);
}

static bool read_digits(struct reader *r, size_t n, int base, unsigned long *x) {
    char text[9] = {0}, *stop;
    if ((size_t)(r->end - r->at) < n) return false;
    memcpy(text, r->at, n);
    if (strspn(text, base == 8 ? "01234567" : "0123456789abcdefABCDEF") != n) return false;
    *x = strtoul(text, &stop, base);
    r->at += n;
    return true;
}

/* After the backslash. */
static bool read_escape(struct reader *r, bool bytes, struct buf *out) {
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    unsigned long c = 0;
    if (r->at == r->end) return false;
    char kind = *r->at++;
    const char *simple = kind ? strchr(from, kind) : NULL;
    if (simple) {
        buf_push(out, to + (simple - from), 1);
        return true;
    }
    if (kind == '\n') return true;
    if (kind >= '0' && kind <= '7') {
        size_t n = 1;
        r->at--;
        while (n < 3 && r->at + n < r->end && r->at[n] >= '0' && r->at[n] <= '7') n++;
        if (!read_digits(r, n, 8, &c)) return false;
    } else if (kind == 'x') {
        if (!read_digits(r, 2, 16, &c)) return false;
    } else if (!bytes && (kind == 'u' || kind == 'U')) {
        if (!read_digits(r, kind == 'u' ? 4 : 8, 16, &c) || c > 0x10ffff) return false;
    } else if (!bytes && kind == 'N') {
        return false; /* a name of Unicode's */
    } else {
        buf_push(out, "\\", 1);
        buf_push(out, &kind, 1);
        return true;
    }
    char byte = (char)c;
    if (bytes) buf_push(out, &byte, 1);
    else push_code_point(out, c);
    return true;
}

/* One quoted part, the prefix already read. */
static bool read_quoted(struct reader *r, bool raw, bool bytes, struct buf *out) {
    char quote = *r->at;
    size_t n = r->end - r->at >= 3 && r->at[1] == quote && r->at[2] == quote ? 3 : 1;
    r->at += n;
    while (r->at < r->end) {
        if (*r->at == quote && (size_t)(r->end - r->at) >= n &&
            (n == 1 || (r->at[1] == quote && r->at[2] == quote))) {
            r->at += n;
            return true;
        }
        if (n == 1 && *r->at == '\n') return false;
        if (*r->at == '\\' && !raw) {
            r->at++;
            if (!read_escape(r, bytes, out)) return false;
        } else {
            if (*r->at == '\\' && r->end - r->at > 1) buf_push(out, r->at++, 1);
            buf_push(out, r->at++, 1);
        }
    }
    return false;
}

/* How many letters of a prefix stand before a quote; -1: no string begins here. */
static int string_prefix(const struct reader *r, bool *raw, bool *bytes) {
    *raw = *bytes = false;
    for (int i = 0; i <= 2 && r->at + i < r->end; i++) {
        char c = r->at[i];
        if (c == '"' || c == '\'') return i;
        if (c == 'r' || c == 'R') *raw = true;
        else if (c == 'b' || c == 'B') *bytes = true;
        else if (c != 'u' && c != 'U') return -1;
    }
    return -1;
}

/* Parts that stand side by side are one. */
static bool read_string(struct reader *r, struct pyvalue *v) {
    struct buf text = {0};
    bool raw, bytes, first_bytes = false, good = true;
    int prefix, parts = 0;
    for (; good && (prefix = string_prefix(r, &raw, &bytes)) >= 0; parts++) {
        if (!parts) first_bytes = bytes;
        r->at += prefix;
        good = bytes == first_bytes && read_quoted(r, raw, bytes, &text);
        skip(r);
    }
    good = good && !text.full;
    if (good) {
        char *copy = arena_new(r->arena, text.len + 1, 1);
        memcpy(copy, buf_text(&text), text.len);
        *v = (struct pyvalue){
            .type = first_bytes ? PY_BYTES : PY_STR, .text = copy, .n = text.len};
        pyvalue_seal(v, NULL);
    }
    buf_clear(&text);
    return good;
}

/* ---- brackets and calls -------------------------------------------------------- */

static bool read_items(struct reader *r, char close, struct list *l, bool *comma) {
    struct pyvalue v;
    *comma = false;
    while (!take(r, close)) {
        if (l->n && !*comma) return false;
        if (!read_value(r, &v)) return false;
        list_push(l, &v);
        *comma = take(r, ',');
    }
    return true;
}

static bool read_sequence(struct reader *r, struct pyvalue *v) {
    struct list l = {0};
    bool comma, tuple = *r->at == '(';
    r->at++;
    if (!read_items(r, tuple ? ')' : ']', &l, &comma)) return list_drop(&l);
    if (tuple && l.n == 1 && !comma) {
        *v = l.item[0];
        mem_free(l.item);
        return true;
    }
    list_give(&l, r, tuple ? PY_TUPLE : PY_LIST, v);
    return true;
}

static bool is_hashable(const struct pyvalue *v) {
    if (v->type == PY_LIST || v->type == PY_SET || v->type == PY_DICT ||
        v->type == PY_BYTEARRAY || v->type == PY_DEQUE)
        return false;
    for (size_t i = 0; v->type == PY_TUPLE && i < v->n; i++)
        if (!is_hashable(&v->item[i])) return false;
    return true;
}

static bool read_braces(struct reader *r, struct pyvalue *v) {
    struct list l = {0};
    struct pyvalue x;
    bool comma = true, dict = false;
    r->at++;
    while (!take(r, '}')) {
        if (!comma || !read_value(r, &x) || !is_hashable(&x)) return list_drop(&l);
        bool pair = take(r, ':');
        if (l.n && pair != dict) return list_drop(&l);
        dict = pair;
        list_push(&l, &x);
        if (pair && !read_value(r, &x)) return list_drop(&l);
        if (pair) list_push(&l, &x);
        comma = take(r, ',');
    }
    list_give(&l, r, dict || !l.n ? PY_DICT : PY_SET, v);
    return true;
}

/* The items of any sequence or set as another kind of value. */
static bool convert(struct reader *r, const struct list *arg, enum pyvalue_type type,
                    struct pyvalue *v) {
    struct list l = {0};
    if (arg->n > 1) return false;
    if (arg->n) {
        const struct pyvalue *from = &arg->item[0];
        bool set = type == PY_SET || type == PY_FROZENSET;
        if (!(from->type == PY_LIST || from->type == PY_TUPLE ||
              (set && (from->type == PY_SET || from->type == PY_FROZENSET))))
            return false;
        for (size_t i = 0; i < from->n; i++) {
            if (set && !is_hashable(&from->item[i])) return list_drop(&l);
            list_push(&l, &from->item[i]);
        }
    }
    list_give(&l, r, type, v);
    return true;
}

static bool to_float(const struct list *arg, struct pyvalue *v) {
    static const char *const word[] = {"inf", "infinity", "nan"};
    if (arg->n != 1) return false;
    const struct pyvalue *x = &arg->item[0];
    double value = pyvalue_double(x);
    if (x->type == PY_STR) {
        bool minus = *x->text == '-';
        size_t i = 0;
        while (i < 3 && strcasecmp(x->text + minus, word[i]) != 0) i++;
        if (i == 3) return false;
        value = i == 2 ? NAN : minus ? -INFINITY : INFINITY;
    } else if (!pyvalue_is_number(x)) {
        return false;
    }
    *v = (struct pyvalue){.type = PY_FLOAT, .real = value};
    pyvalue_seal(v, NULL);
    return true;
}

/* Numbers in [n], as they are for range, complex and Fraction. */
static bool keep_numbers(struct reader *r, struct list *arg, enum pyvalue_type type,
                         struct pyvalue *v) {
    struct list l = {0};
    struct pyvalue zero, one;
    set_int(&zero, "0", 1, r);
    set_int(&one, "1", 1, r);
    if (arg->n < 1 || arg->n > (type == PY_RANGE ? 3 : 2)) return false;
    for (size_t i = 0; i < arg->n; i++)
        if (type == PY_COMPLEX ? !pyvalue_is_number(&arg->item[i]) : arg->item[i].type != PY_INT)
            return false;
    if (type == PY_COMPLEX) {
        *v = (struct pyvalue){.type = type, .real = pyvalue_double(&arg->item[0]),
                              .imag = arg->n > 1 ? pyvalue_double(&arg->item[1]) : 0};
        pyvalue_seal(v, NULL);
        return true;
    }
    if (type == PY_RANGE && arg->n == 1) list_push(&l, &zero);
    for (size_t i = 0; i < arg->n; i++) list_push(&l, &arg->item[i]);
    while (l.n < (type == PY_RANGE ? 3 : 2)) list_push(&l, &one);
    if (!l.item[l.n - 1].truth) return list_drop(&l); /* a step or denominator of 0 */
    list_give(&l, r, type, v);
    return true;
}

static bool from_text(const struct list *arg, enum pyvalue_type type, enum pyvalue_type of,
                      struct pyvalue *v) {
    if (arg->n < 1 || arg->item[0].type != of) return false;
    *v = arg->item[0];
    v->type = type;
    if (type == PY_OPAQUE && arg->n == 2) v->truth = arg->item[1].truth;
    else if (arg->n != 1) return false;
    else pyvalue_seal(v, NULL);
    return true;
}

static bool call(struct reader *r, const char *name, struct list *arg, struct pyvalue *v) {
    static const struct {
        const char *name;
        enum pyvalue_type type;
    } kinds[] = {{"set", PY_SET}, {"frozenset", PY_FROZENSET}, {"list", PY_LIST},
                 {"tuple", PY_TUPLE}, {"deque", PY_DEQUE}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(name, kinds[i].name) == 0) return convert(r, arg, kinds[i].type, v);
    if (strcmp(name, "float") == 0) return to_float(arg, v);
    if (strcmp(name, "range") == 0) return keep_numbers(r, arg, PY_RANGE, v);
    if (strcmp(name, "complex") == 0) return keep_numbers(r, arg, PY_COMPLEX, v);
    if (strcmp(name, "Fraction") == 0) return keep_numbers(r, arg, PY_FRACTION, v);
    if (strcmp(name, "Decimal") == 0) return from_text(arg, PY_DECIMAL, PY_STR, v);
    if (strcmp(name, "bytearray") == 0) return from_text(arg, PY_BYTEARRAY, PY_BYTES, v);
    if (strcmp(name, "opaque") == 0) return from_text(arg, PY_OPAQUE, PY_STR, v);
    if (strcmp(name, "dict") == 0 && !arg->n) {
        list_give(&(struct list){0}, r, PY_DICT, v);
        return true;
    }
    return false;
}

static bool read_name(struct reader *r, struct pyvalue *v) {
    static const struct {
        const char *name;
        struct pyvalue value;
    } words[] = {
        {"None", {.type = PY_NONE}},
        {"True", {.type = PY_BOOL, .truth = true}},
        {"False", {.type = PY_BOOL}},
        {"Ellipsis", {.type = PY_ELLIPSIS}},
        {"inf", {.type = PY_FLOAT, .real = INFINITY}},
        {"nan", {.type = PY_FLOAT, .real = NAN}},
    };
    char name[16];
    size_t n = 0;
    while (r->at < r->end && (is_letter(*r->at) || is_digit(*r->at))) {
        if (n + 1 >= sizeof name) return false;
        name[n++] = *r->at++;
    }
    name[n] = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(name, words[i].name) != 0) continue;
        *v = words[i].value;
        pyvalue_seal(v, NULL);
        return true;
    }
    struct list arg = {0};
    bool comma;
    if (!take(r, '(') || !read_items(r, ')', &arg, &comma)) return list_drop(&arg);
    bool good = call(r, name, &arg, v);
    mem_free(arg.item);
    return good;
}

static bool read_plain(struct reader *r, struct pyvalue *v) {
    bool raw, bytes;
    if (r->at == r->end) return false;
    char c = *r->at;
    if (c == '[' || c == '(') return read_sequence(r, v);
    if (c == '{') return read_braces(r, v);
    if (is_digit(c) || (c == '.' && r->end - r->at > 1 && is_digit(r->at[1])))
        return read_number(r, v);
    if (string_prefix(r, &raw, &bytes) >= 0) return read_string(r, v);
    return is_letter(c) && read_name(r, v);
}

static bool read_signed(struct reader *r, struct pyvalue *v) {
    bool sign = false, minus = false;
    for (skip(r); r->at < r->end && (*r->at == '-' || *r->at == '+'); skip(r)) {
        sign = true;
        minus ^= *r->at++ == '-';
    }
    if (!read_plain(r, v)) return false;
    if (!sign) return true;
    return minus ? negate(r, v) : pyvalue_is_number(v) || v->type == PY_COMPLEX;
}

static bool read_value(struct reader *r, struct pyvalue *v) {
    if (r->depth >= PYVALUE_MAX_DEPTH || ++r->nodes > PYVALUE_MAX_NODES) return false;
    r->depth++;
    bool good = read_signed(r, v) && read_imaginary(r, v);
    r->depth--;
    return good;
}

bool pyvalue_read(struct pyvalue *v, const char *text, size_t n, struct arena *arena) {
    struct reader r = {.at = text, .end = text + n, .arena = arena};
    if (!read_value(&r, v)) return false;
    skip(&r);
    return r.at == r.end;
}
