/* reward/pyvalue_equal.c: equality, order and hashes of pyvalue.h.
 *
 * Numbers of different types are compared exactly, as rationals. A hash is of the exact
 * value too, so that equal numbers share it and unequal ones do not crowd one place.
 */
#include <gmp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "reward/pyvalue.h"

/* Past these many digits only numbers of one type can be equal. */
enum { MAX_DIGITS = 5000 };

bool pyvalue_is_number(const struct pyvalue *v) {
    return v->type == PY_BOOL || v->type == PY_INT || v->type == PY_FLOAT ||
           v->type == PY_DECIMAL || v->type == PY_FRACTION;
}

static bool is_whole(const struct pyvalue *v) { return v->type == PY_BOOL || v->type == PY_INT; }

static const char *whole_text(const struct pyvalue *v) {
    return v->type == PY_INT ? v->text : v->truth ? "1" : "0";
}

/* ---- rationals ----------------------------------------------------------------- */

/* `-12.50E+3`, as str(Decimal) writes it. */
static bool decimal_rational(const char *text, mpq_t q) {
    char digits[MAX_DIGITS + 8];
    size_t n = 0;
    long exponent = 0;
    bool point = false;
    if (strlen(text) > MAX_DIGITS) return false;
    for (; *text && *text != 'E' && *text != 'e'; text++) {
        if (*text == '.') {
            if (point) return false;
            point = true;
        } else if ((*text >= '0' && *text <= '9') || (n == 0 && *text == '-')) {
            digits[n++] = *text;
            exponent -= point;
        } else {
            return false;
        }
    }
    digits[n] = 0;
    if (*text) exponent += strtol(text + 1, NULL, 10);
    if (labs(exponent) > MAX_DIGITS || mpz_set_str(mpq_numref(q), digits, 10) != 0) return false;
    mpz_t scale;
    mpz_init(scale);
    mpz_ui_pow_ui(scale, 10, (unsigned long)labs(exponent));
    mpz_set_ui(mpq_denref(q), 1);
    if (exponent >= 0) mpz_mul(mpq_numref(q), mpq_numref(q), scale);
    else mpz_set(mpq_denref(q), scale);
    mpq_canonicalize(q);
    mpz_clear(scale);
    return true;
}

/* False where the number is none of bounded size. */
static bool rational(const struct pyvalue *v, mpq_t q) {
    switch (v->type) {
    case PY_BOOL: mpq_set_si(q, v->truth, 1); return true;
    case PY_INT:
        mpz_set_ui(mpq_denref(q), 1);
        return v->n <= MAX_DIGITS && mpz_set_str(mpq_numref(q), v->text, 10) == 0;
    case PY_FLOAT:
        if (!isfinite(v->real)) return false;
        mpq_set_d(q, v->real);
        return true;
    case PY_DECIMAL: return decimal_rational(v->text, q);
    case PY_FRACTION:
        if (v->item[0].n > MAX_DIGITS || v->item[1].n > MAX_DIGITS) return false;
        if (mpz_set_str(mpq_numref(q), v->item[0].text, 10) != 0 ||
            mpz_set_str(mpq_denref(q), v->item[1].text, 10) != 0)
            return false;
        mpq_canonicalize(q);
        return true;
    default: return false;
    }
}

static int sign(int x) { return (x > 0) - (x < 0); }

static int order_text(const char *a, const char *b) {
    bool minus = *a == '-';
    if (minus != (*b == '-')) return minus ? -1 : 1;
    size_t n = strlen(a), m = strlen(b);
    int order = n != m ? (n < m ? -1 : 1) : sign(strcmp(a, b));
    return minus ? -order : order;
}

static int order_rational(const struct pyvalue *a, const struct pyvalue *b) {
    mpq_t p, q;
    mpq_inits(p, q, NULL);
    bool good = rational(a, p) && rational(b, q);
    int order = good ? sign(mpq_cmp(p, q)) : 2;
    mpq_clears(p, q, NULL);
    return order;
}

int pyvalue_order(const struct pyvalue *a, const struct pyvalue *b) {
    if (!pyvalue_is_number(a) || !pyvalue_is_number(b)) return 2;
    if (is_whole(a) && is_whole(b)) return order_text(whole_text(a), whole_text(b));
    double x = pyvalue_double(a), y = pyvalue_double(b);
    if (isnan(x) || isnan(y)) return 2;
    if ((a->type == PY_FLOAT && b->type == PY_FLOAT) || isinf(x) || isinf(y))
        return (x > y) - (x < y);
    return order_rational(a, b);
}

double pyvalue_double(const struct pyvalue *v) {
    mpq_t q;
    double x = NAN;
    if (v->type == PY_FLOAT) return v->real;
    if (is_whole(v) || v->type == PY_DECIMAL) /* rounded to the nearest, as in Python */
        return strtod(v->type == PY_DECIMAL ? v->text : whole_text(v), NULL);
    mpq_init(q);
    if (rational(v, q)) x = mpq_get_d(q);
    mpq_clear(q);
    return x;
}

bool pyvalue_near(const struct pyvalue *a, const struct pyvalue *b, double bound, bool strict) {
    double gap = fabs(pyvalue_double(a) - pyvalue_double(b));
    return strict ? gap < bound : gap <= bound;
}

bool pyvalue_is_close(const struct pyvalue *a, const struct pyvalue *b, double rel_tol,
                      double abs_tol) {
    double x = pyvalue_double(a), y = pyvalue_double(b);
    if (x == y) return true;
    if (!isfinite(x) || !isfinite(y)) return false;
    return fabs(x - y) <= fmax(rel_tol * fmax(fabs(x), fabs(y)), abs_tol);
}

/* ---- equality ------------------------------------------------------------------ */

static bool equal_number(const struct pyvalue *a, const struct pyvalue *b) {
    if (a->type == PY_COMPLEX || b->type == PY_COMPLEX) {
        struct pyvalue part[2] = {{.type = PY_FLOAT}, {.type = PY_FLOAT}};
        const struct pyvalue *side[2] = {a, b};
        double imag[2] = {0, 0};
        for (int i = 0; i < 2; i++) {
            if (side[i]->type != PY_COMPLEX) continue;
            part[i].real = side[i]->real;
            imag[i] = side[i]->imag;
            side[i] = &part[i];
        }
        return imag[0] == imag[1] && pyvalue_order(side[0], side[1]) == 0;
    }
    return pyvalue_order(a, b) == 0;
}

/* What may be equal: numbers; bytes; sets; with `loose` sequences. */
static int family(enum pyvalue_type type, bool loose) {
    switch (type) {
    case PY_BOOL:
    case PY_FLOAT:
    case PY_COMPLEX:
    case PY_DECIMAL:
    case PY_FRACTION: return PY_INT;
    case PY_BYTEARRAY: return PY_BYTES;
    case PY_FROZENSET: return PY_SET;
    case PY_TUPLE: return loose ? PY_LIST : PY_TUPLE;
    default: return (int)type;
    }
}

static const struct pyvalue *find(const struct pyvalue *in, int step, const struct pyvalue *key,
                                  bool loose) {
    size_t lo = 0, hi = in->n / (size_t)step;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (in->item[mid * (size_t)step].hash < key->hash) lo = mid + 1;
        else hi = mid;
    }
    for (size_t i = lo * (size_t)step; i < in->n && in->item[i].hash == key->hash; i += (size_t)step)
        if (pyvalue_equal(&in->item[i], key, loose)) return &in->item[i];
    return NULL;
}

static bool equal_table(const struct pyvalue *a, const struct pyvalue *b, bool loose) {
    int step = a->type == PY_DICT ? 2 : 1;
    for (size_t i = 0; i < a->n; i += (size_t)step) {
        const struct pyvalue *at = find(b, step, &a->item[i], loose);
        if (!at || (step == 2 && !pyvalue_equal(&a->item[i + 1], at + 1, loose))) return false;
    }
    return true;
}

/* start, stop, step: equal where the sequences are. Ends are whole numbers of any size,
 * so only what can be told from the texts is told. */
static bool equal_range(const struct pyvalue *a, const struct pyvalue *b) {
    for (int i = 0; i < 3; i++)
        if (!equal_number(&a->item[i], &b->item[i])) return false;
    return true;
}

bool pyvalue_equal(const struct pyvalue *a, const struct pyvalue *b, bool loose) {
    int kind = family(a->type, loose);
    if (kind != family(b->type, loose) || a->hash != b->hash) return false;
    switch (kind) {
    case PY_NONE:
    case PY_ELLIPSIS: return true;
    case PY_INT: return equal_number(a, b);
    case PY_STR:
    case PY_BYTES: return a->n == b->n && memcmp(a->text, b->text, a->n) == 0;
    case PY_OPAQUE: return false;
    case PY_RANGE: return equal_range(a, b);
    default: break;
    }
    if (a->n != b->n) return false;
    if (kind == PY_SET || kind == PY_DICT) return equal_table(a, b, loose);
    for (size_t i = 0; i < a->n; i++)
        if (!pyvalue_equal(&a->item[i], &b->item[i], loose)) return false;
    return true;
}

/* ---- sealing ------------------------------------------------------------------- */

/* The text of the exact value: "3", "-1/8"; "inf", "nan", "big" where there is none. */
static unsigned long hash_number(const struct pyvalue *v) {
    if (is_whole(v)) return hash_bytes(whole_text(v), strlen(whole_text(v)), 2);
    mpq_t q;
    mpq_init(q);
    bool good = rational(v, q);
    char *text = good ? mpq_get_str(NULL, 10, q) : NULL;
    unsigned long hash = good ? hash_bytes(text, strlen(text), 2) : 7;
    if (text) {
        void (*release)(void *, size_t);
        mp_get_memory_functions(NULL, NULL, &release);
        release(text, strlen(text) + 1);
    }
    mpq_clear(q);
    return hash;
}

static unsigned long hash_items(const struct pyvalue *v) {
    unsigned long sum = v->n;
    bool table = v->type == PY_SET || v->type == PY_FROZENSET || v->type == PY_DICT;
    int step = v->type == PY_DICT ? 2 : 1;
    for (size_t i = 0; i < v->n; i += (size_t)step) {
        unsigned long pair[2] = {v->item[i].hash, step == 2 ? v->item[i + 1].hash : sum};
        if (table && step == 1) pair[1] = 0;
        unsigned long hash = hash_bytes(pair, sizeof pair, 3);
        sum = table ? sum + hash : hash;
    }
    return sum;
}

static unsigned long hash_value(const struct pyvalue *v) {
    struct pyvalue real = {.type = PY_FLOAT, .real = v->real};
    switch (v->type) {
    case PY_BOOL:
    case PY_INT:
    case PY_FLOAT:
    case PY_DECIMAL:
    case PY_FRACTION: return hash_number(v);
    case PY_COMPLEX: return hash_number(&real) + (v->imag != 0) * hash_bytes(&v->imag, 8, 4);
    case PY_STR:
    case PY_BYTES:
    case PY_BYTEARRAY:
    case PY_OPAQUE: return hash_bytes(v->text, v->n, 5);
    case PY_RANGE: return 11;
    default: return hash_items(v);
    }
}

static bool truth_of(const struct pyvalue *v) {
    switch (v->type) {
    case PY_NONE: return false;
    case PY_ELLIPSIS: return true;
    case PY_BOOL:
    case PY_OPAQUE: return v->truth;
    case PY_INT: return strcmp(v->text, "0") != 0;
    case PY_FLOAT:
    case PY_COMPLEX: return v->real != 0 || v->imag != 0;
    case PY_DECIMAL: return strpbrk(v->text, "123456789nN") != NULL;
    case PY_FRACTION: return strcmp(v->item[0].text, "0") != 0;
    case PY_RANGE: {
        int step = v->item[2].text[0] == '-' ? 1 : -1;
        return order_text(v->item[0].text, v->item[1].text) == step;
    }
    default: return v->n > 0;
    }
}

struct place {
    unsigned long hash;
    size_t from;
};

static int by_hash(const void *a, const void *b) {
    const struct place *p = a, *q = b;
    if (p->hash != q->hash) return p->hash < q->hash ? -1 : 1;
    return (p->from > q->from) - (p->from < q->from);
}

/* Orders by hash and keeps the first of equal keys, with the last of their values. */
static void order_items(struct pyvalue *v, struct pyvalue *item) {
    size_t step = v->type == PY_DICT ? 2 : 1, n = v->n / step, kept = 0;
    struct place *place = mem_new(n, sizeof *place);
    struct pyvalue *copy = mem_new(v->n, sizeof *copy);
    if (v->n) memcpy(copy, item, v->n * sizeof *copy);
    for (size_t i = 0; i < n; i++) place[i] = (struct place){copy[i * step].hash, i};
    qsort(place, n, sizeof *place, by_hash);
    for (size_t i = 0; i < n; i++) {
        const struct pyvalue *key = &copy[place[i].from * step];
        size_t same = kept;
        while (same > 0 && item[(same - 1) * step].hash == key->hash &&
               !pyvalue_equal(&item[(same - 1) * step], key, false))
            same--;
        bool found = same > 0 && item[(same - 1) * step].hash == key->hash;
        if (!found) item[kept * step] = *key;
        if (step == 2) item[(found ? same - 1 : kept) * step + 1] = key[1];
        kept += !found;
    }
    v->n = kept * step;
    mem_free(place);
    mem_free(copy);
}

void pyvalue_seal(struct pyvalue *v, struct pyvalue *item) {
    if (item) v->item = item;
    if (v->type == PY_SET || v->type == PY_FROZENSET || v->type == PY_DICT) order_items(v, item);
    v->hash = hash_value(v);
    v->truth = truth_of(v);
}

/* ---- printing ------------------------------------------------------------------ */

void pyvalue_print(const struct pyvalue *v, struct buf *out) {
    static const char *const open[] = {[PY_LIST] = "[", [PY_TUPLE] = "(", [PY_DEQUE] = "deque([",
                                       [PY_SET] = "{", [PY_FROZENSET] = "frozenset({",
                                       [PY_DICT] = "{", [PY_RANGE] = "range(",
                                       [PY_FRACTION] = "Fraction("};
    static const char *const word[] = {[PY_NONE] = "None", [PY_ELLIPSIS] = "Ellipsis"};
    if (out->len > 60) return;
    switch (v->type) {
    case PY_NONE:
    case PY_ELLIPSIS: buf_puts(out, word[v->type]); return;
    case PY_BOOL: buf_puts(out, v->truth ? "True" : "False"); return;
    case PY_FLOAT: buf_printf(out, "%.17g", v->real); return;
    case PY_COMPLEX: buf_printf(out, "(%g%+gj)", v->real, v->imag); return;
    case PY_OPAQUE: buf_printf(out, "<%.40s>", v->text); return;
    case PY_INT:
    case PY_DECIMAL: buf_printf(out, "%.60s", v->text); return;
    case PY_STR:
    case PY_BYTES:
    case PY_BYTEARRAY: buf_printf(out, "%s'%.50s'", v->type == PY_STR ? "" : "b", v->text); return;
    default: break;
    }
    buf_puts(out, open[v->type]);
    for (size_t i = 0; i < v->n && out->len <= 60; i++) {
        if (i) buf_puts(out, v->type == PY_DICT && i % 2 ? ": " : ", ");
        pyvalue_print(&v->item[i], out);
    }
    buf_puts(out, v->type == PY_LIST ? "]" : v->type == PY_DICT || v->type == PY_SET ? "}" : ")");
}
