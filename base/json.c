/* base/json.c: see json.h.
 *
 * cJSON builds the tree and finds grammar errors. It is lenient about tokens (01, raw
 * control characters, \u0000 cutting a string short, 1e999), so a scan over the tokens
 * comes first; it keeps no trace of duplicates, so a walk over the tree comes last.
 */
#include "base/json.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/nearest.h"
#include "base/utf8.h"

/* ---- syntax -------------------------------------------------------------------- */

struct scan {
    const char *text, *where; /* borrowed */
    size_t n, pos;
    int line; /* of text[0] */
    struct err *err;
};

static __attribute__((format(printf, 3, 4))) int fail_at(const struct scan *s, size_t pos,
                                                         const char *fmt, ...) {
    char why[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    int line = s->line, column = 1;
    for (size_t i = 0; i < pos && i < s->n; i++) {
        column++;
        if (s->text[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return err_set(s->err, EX_DATAERR, "%s:%d:%d: %s", s->where, line, column, why);
}

/* Bytes of the UTF-8 character at p, 0 if there is none. */
static size_t utf8_length(const unsigned char *p, size_t n) {
    if (p[0] < 0x80) return 1;
    size_t len = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || len > n) return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F)) return 0;
    if ((p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F)) return 0;
    return len;
}

/* Escapes other than \u0000 are left to cJSON. */
static int scan_string(struct scan *s) {
    size_t start = s->pos++;
    while (s->pos < s->n && s->text[s->pos] != '"') {
        const char *p = s->text + s->pos;
        size_t left = s->n - s->pos;
        if ((unsigned char)*p < 0x20)
            return fail_at(s, s->pos,
                           *p == '\n' ? "a string ends before its quote"
                                      : "a control character in a string");
        if (*p == '\\' && left >= 6 && memcmp(p + 1, "u0000", 5) == 0)
            return fail_at(s, s->pos, "\\u0000 is not allowed in a string");
        size_t len = *p == '\\' && left > 1 ? 2 : utf8_length((const void *)p, left);
        if (len == 0) return fail_at(s, s->pos, "a string is not valid UTF-8");
        s->pos += len;
    }
    if (s->pos >= s->n) return fail_at(s, start, "a string without an end");
    s->pos++;
    return 0;
}

static size_t skip_digits(const char *p, size_t i, size_t n) {
    while (i < n && isdigit((unsigned char)p[i])) i++;
    return i;
}

/* -?(0|[1-9]d*)(.d+)?([eE][+-]?d+)?, and finite. */
static int scan_number(struct scan *s) {
    char token[64];
    size_t start = s->pos, n = 0;
    while (s->pos < s->n && memchr("+-.eE0123456789", s->text[s->pos], 15)) s->pos++;
    n = s->pos - start;
    if (n >= sizeof token)
        return fail_at(s, start, "a number of more than 63 characters");
    memcpy(token, s->text + start, n);
    token[n] = 0;
    size_t i = token[0] == '-', j = skip_digits(token, i, n);
    bool good = j > i && (token[i] != '0' || j == i + 1);
    if (good && token[j] == '.') {
        i = j + 1;
        j = skip_digits(token, i, n);
        good = j > i;
    }
    if (good && (token[j] == 'e' || token[j] == 'E')) {
        i = j + 1 + (token[j + 1] == '+' || token[j + 1] == '-');
        j = skip_digits(token, i, n);
        good = j > i;
    }
    if (!good || j != n) return fail_at(s, start, "'%s' is not a number", token);
    if (!isfinite(strtod(token, NULL)))
        return fail_at(s, start, "'%s' is too large for a number", token);
    return 0;
}

/* cJSON points one byte too far where a key is missing, so keys are looked for here. */
static int scan_tokens(struct scan *s) {
    char open[JSON_MAX_DEPTH + 1] = {0}, last = 0; /* the token before */
    int depth = 0;
    while (s->pos < s->n) {
        char c = s->text[s->pos];
        if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
            s->pos++;
            continue;
        }
        if ((unsigned char)c < 0x20) return fail_at(s, s->pos, "a control character");
        bool key = open[depth] == '{' && (last == ',' || (last == '{' && c != '}'));
        if (key && c != '"')
            return fail_at(s, s->pos, "a key in double quotes is wanted, found '%c'", c);
        last = c;
        if (c == '"') {
            if (scan_string(s) != 0) return -1;
            continue;
        }
        if (c == '-' || c == '+' || isdigit((unsigned char)c)) {
            if (scan_number(s) != 0) return -1;
            continue;
        }
        if (c == '{' || c == '[') {
            if (depth == JSON_MAX_DEPTH)
                return fail_at(s, s->pos, "nested deeper than %d", JSON_MAX_DEPTH);
            open[++depth] = c;
        }
        if ((c == '}' || c == ']') && depth > 0) depth--;
        s->pos++;
    }
    return 0;
}

static int grammar_error(const struct scan *s, size_t pos, const char *what) {
    while (pos < s->n && isspace((unsigned char)s->text[pos])) pos++;
    if (pos >= s->n) return fail_at(s, s->n, "the text ends where a value should go on");
    const char *near = s->text + pos;
    int n = 0;
    while (n < 24 && pos + (size_t)n < s->n && isgraph((unsigned char)near[n])) n++;
    return fail_at(s, pos, "%s '%.*s'", what, n, near);
}

/* cJSON never points past its last byte, so that `{"a":1` seems to fail at the 1: a
 * second parse, with a NUL appended, tells the end from what stands before it. */
static size_t failure_position(const char *text, size_t n) {
    const char *end = NULL;
    char *copy = mem_new(n + 1, 1);
    memcpy(copy, text, n);
    cJSON_Delete(cJSON_ParseWithLengthOpts(copy, n + 1, &end, false));
    size_t pos = end ? (size_t)(end - copy) : 0;
    mem_free(copy);
    return pos;
}

static int compare_names(const void *a, const void *b) {
    const cJSON *const *x = a, *const *y = b;
    return strcmp((*x)->string, (*y)->string);
}

/* Sorted, so that a vocabulary of 10^5 keys takes no time. */
static int check_own_duplicates(const cJSON *obj, const char *where, struct err *err) {
    int n = cJSON_GetArraySize(obj), i = 0, rc = 0;
    const cJSON **child = mem_new((size_t)n, sizeof *child);
    for (const cJSON *c = obj->child; c; c = c->next) child[i++] = c;
    qsort(child, (size_t)n, sizeof *child, compare_names);
    for (i = 1; i < n && rc == 0; i++) {
        char place[JSON_WHERE_BYTES];
        if (strcmp(child[i]->string, child[i - 1]->string) != 0) continue;
        rc = err_set(err, EX_DATAERR, "%s: the key appears twice",
                     json_where(place, where, child[i]->string));
    }
    mem_free(child);
    return rc;
}

static int check_duplicates(const cJSON *node, const char *where, struct err *err) {
    int i = 0;
    if (cJSON_IsObject(node) && check_own_duplicates(node, where, err) != 0) return -1;
    for (const cJSON *c = node->child; c; c = c->next, i++) {
        char place[JSON_WHERE_BYTES];
        if (!c->child) continue;
        if (c->string)
            json_where(place, where, c->string);
        else
            json_where_at(place, where, i);
        if (check_duplicates(c, place, err) != 0) return -1;
    }
    return 0;
}

int json_parse(cJSON **json, const char *text, size_t n, const char *where, int line,
               struct err *err) {
    struct scan s = {.text = text, .where = where, .n = n, .line = line, .err = err};
    const char *end = NULL;
    *json = NULL;
    if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) s.pos = 3;
    if (scan_tokens(&s) != 0) return -1;
    cJSON *tree = cJSON_ParseWithLengthOpts(text, n, &end, false);
    if (!tree) return grammar_error(&s, failure_position(text, n), "unexpected");
    while (end < text + n && isspace((unsigned char)*end)) end++;
    int rc = end < text + n
                 ? grammar_error(&s, (size_t)(end - text), "after the end of the value:")
                 : check_duplicates(tree, where, err);
    if (rc == 0)
        *json = tree;
    else
        cJSON_Delete(tree);
    return rc;
}

int json_load(cJSON **json, const char *path, size_t max_bytes, struct err *err) {
    char *text;
    size_t n;
    *json = NULL;
    if (file_load(path, max_bytes, &text, &n, err) != 0) return -1;
    int rc = json_parse(json, text, n, path, 1, err);
    mem_free(text);
    return rc;
}

void json_free(cJSON *json) { cJSON_Delete(json); }

/* ---- places -------------------------------------------------------------------- */

const char *json_where(char out[JSON_WHERE_BYTES], const char *where, const char *key) {
    const char *join = strstr(where, ": ") ? "." : ": ";
    snprintf(out, JSON_WHERE_BYTES, "%.440s%s%.180s", where, join, key);
    return out;
}

const char *json_where_at(char out[JSON_WHERE_BYTES], const char *where, int i) {
    const char *join = strstr(where, ": ") ? "" : ": ";
    snprintf(out, JSON_WHERE_BYTES, "%.600s%s[%d]", where, join, i);
    return out;
}

/* ---- values -------------------------------------------------------------------- */

static void format_double(char out[32], double x) {
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, x);
        if (strtod(out, NULL) == x) return;
    }
}

const char *json_found(const cJSON *value, char out[64]) {
    if (cJSON_IsNumber(value)) {
        format_double(out, value->valuedouble);
        return out;
    }
    const char *name = !value                  ? "nothing"
                       : cJSON_IsString(value) ? "a string"
                       : cJSON_IsObject(value) ? "an object"
                       : cJSON_IsArray(value)  ? "an array"
                       : cJSON_IsTrue(value)   ? "true"
                       : cJSON_IsFalse(value)  ? "false"
                                               : "null";
    snprintf(out, 64, "%s", name);
    return out;
}

static int wrong_type(const cJSON *value, const char *where, const char *want,
                      struct err *err) {
    char found[64];
    return err_set(err, EX_CONFIG, "%s: must be %s, found %s", where, want,
                   json_found(value, found));
}

int json_as_bool(const cJSON *value, const char *where, bool *out, struct err *err) {
    if (!cJSON_IsBool(value)) return wrong_type(value, where, "true or false", err);
    *out = cJSON_IsTrue(value);
    return 0;
}

int json_as_int(const cJSON *value, const char *where, long long min, long long max,
                long long *out, struct err *err) {
    char found[64];
    if (!cJSON_IsNumber(value)) return wrong_type(value, where, "a whole number", err);
    double x = value->valuedouble;
    if (x != floor(x)) return wrong_type(value, where, "a whole number", err);
    if (fabs(x) > 0x1p53)
        return err_set(err, EX_CONFIG,
                       "%s: whole numbers go up to 9007199254740992, found %s", where,
                       json_found(value, found));
    if (x < (double)min || x > (double)max)
        return err_set(err, EX_CONFIG, "%s: must be from %lld to %lld, found %s", where,
                       min, max, json_found(value, found));
    *out = (long long)x;
    return 0;
}

int json_as_double(const cJSON *value, const char *where, double min, double max,
                   double *out, struct err *err) {
    char low[32], high[32], found[64];
    if (!cJSON_IsNumber(value)) return wrong_type(value, where, "a number", err);
    double x = value->valuedouble;
    if (x < min || x > max) {
        format_double(low, min);
        format_double(high, max);
        json_found(value, found);
        if (isinf(max))
            return err_set(err, EX_CONFIG, "%s: must be at least %s, found %s", where,
                           low, found);
        return err_set(err, EX_CONFIG, "%s: must be from %s to %s, found %s", where, low,
                       high, found);
    }
    *out = x;
    return 0;
}

int json_as_string(const cJSON *value, const char *where, const char **out,
                   struct err *err) {
    if (!cJSON_IsString(value)) return wrong_type(value, where, "a string", err);
    *out = value->valuestring;
    return 0;
}

int json_as_object(const cJSON *value, const char *where, struct err *err) {
    return cJSON_IsObject(value) ? 0 : wrong_type(value, where, "an object", err);
}

int json_as_array(const cJSON *value, const char *where, struct err *err) {
    return cJSON_IsArray(value) ? 0 : wrong_type(value, where, "an array", err);
}

/* ---- keys ---------------------------------------------------------------------- */

const cJSON *json_find(const cJSON *obj, const char *key) {
    return cJSON_IsObject(obj) ? cJSON_GetObjectItemCaseSensitive(obj, key) : NULL;
}

int json_get_bool(const cJSON *obj, const char *where, const char *key, bool *out,
                  struct err *err) {
    char place[JSON_WHERE_BYTES];
    const cJSON *value = json_find(obj, key);
    return value ? json_as_bool(value, json_where(place, where, key), out, err) : 0;
}

int json_get_int(const cJSON *obj, const char *where, const char *key, int min, int max,
                 int *out, struct err *err) {
    char place[JSON_WHERE_BYTES];
    const cJSON *value = json_find(obj, key);
    long long x;
    if (!value) return 0;
    if (json_as_int(value, json_where(place, where, key), min, max, &x, err) != 0)
        return -1;
    *out = (int)x;
    return 0;
}

int json_get_double(const cJSON *obj, const char *where, const char *key, double min,
                    double max, double *out, struct err *err) {
    char place[JSON_WHERE_BYTES];
    const cJSON *value = json_find(obj, key);
    return value
               ? json_as_double(value, json_where(place, where, key), min, max, out, err)
               : 0;
}

int json_get_string(const cJSON *obj, const char *where, const char *key,
                    const char **out, struct err *err) {
    char place[JSON_WHERE_BYTES];
    const cJSON *value = json_find(obj, key);
    return value ? json_as_string(value, json_where(place, where, key), out, err) : 0;
}

int json_need(const cJSON *obj, const char *where, const char *key, struct err *err) {
    char place[JSON_WHERE_BYTES];
    if (json_find(obj, key)) return 0;
    return err_set(err, EX_CONFIG, "%s: missing", json_where(place, where, key));
}

int json_check_keys(const cJSON *obj, const char *where, const char *const *keys, int n,
                    struct err *err) {
    if (json_as_object(obj, where, err) != 0) return -1;
    for (const cJSON *c = obj->child; c; c = c->next) {
        char place[JSON_WHERE_BYTES], hint[NEAREST_HINT_BYTES];
        int i = 0;
        while (i < n && strcmp(c->string, keys[i]) != 0) i++;
        if (i < n) continue;
        nearest_hint(hint, c->string, keys, n);
        return err_set(err, EX_CONFIG, "%s: no such key%s",
                       json_where(place, where, c->string), hint);
    }
    return 0;
}

/* ---- making -------------------------------------------------------------------- */

void json_add_number(cJSON *obj, const char *key, double x) {
    if (isfinite(x))
        cJSON_AddNumberToObject(obj, key, x);
    else
        cJSON_AddNullToObject(obj, key);
}

void json_add_text(cJSON *obj, const char *key, const char *s) {
    if (s && *s)
        cJSON_AddStringToObject(obj, key, s);
    else
        cJSON_AddNullToObject(obj, key);
}

/* ---- printing ------------------------------------------------------------------ */

void json_print_string(struct buf *out, const char *s) {
    buf_puts(out, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_printf(out, "\\%c", *s);
        else if (*s == '\n')
            buf_puts(out, "\\n");
        else if ((unsigned char)*s < 0x20 || *s == 0x7F)
            buf_printf(out, "\\u%04x", (unsigned)*s);
        else
            buf_push(out, s, 1);
    }
    buf_puts(out, "\"");
}

bool json_print_bytes(struct buf *out, const char *s, size_t n) {
    struct buf clean = {.max = SIZE_MAX};
    bool exact = true;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int len = utf8_read(s + i, n - i, &cp);
        if (len > 0 && cp) {
            buf_push(&clean, s + i, (size_t)len);
            i += (size_t)len;
        } else {
            buf_puts(&clean, "\xef\xbf\xbd");
            exact = false;
            i++;
        }
    }
    json_print_string(out, buf_text(&clean));
    buf_clear(&clean);
    return exact;
}

void json_print_double(struct buf *out, double x) {
    char text[32];
    format_double(text, x);
    buf_puts(out, text);
}

static void print_value(struct buf *out, const cJSON *value, int indent);

static void print_children(struct buf *out, const cJSON *parent, int indent) {
    bool flat = cJSON_IsArray(parent);
    for (const cJSON *c = parent->child; c; c = c->next) flat = flat && !c->child;
    for (const cJSON *c = parent->child; c; c = c->next) {
        if (!flat) buf_printf(out, "\n%*s", indent + 2, "");
        if (c->string) {
            json_print_string(out, c->string);
            buf_puts(out, ": ");
        }
        print_value(out, c, indent + 2);
        if (c->next) buf_puts(out, flat ? ", " : ",");
    }
    if (!flat) buf_printf(out, "\n%*s", indent, "");
}

static void print_value(struct buf *out, const cJSON *value, int indent) {
    if (cJSON_IsString(value)) {
        json_print_string(out, value->valuestring);
    } else if (cJSON_IsNumber(value)) {
        json_print_double(out, value->valuedouble);
    } else if (cJSON_IsArray(value) || cJSON_IsObject(value)) {
        buf_puts(out, cJSON_IsArray(value) ? "[" : "{");
        if (value->child) print_children(out, value, indent);
        buf_puts(out, cJSON_IsArray(value) ? "]" : "}");
    } else {
        buf_puts(out, cJSON_IsNull(value)   ? "null"
                      : cJSON_IsTrue(value) ? "true"
                                            : "false");
    }
}

void json_print(struct buf *out, const cJSON *json) { print_value(out, json, 0); }
