/* reward/math_atom.c: numbers, variables, functions, fractions, roots, and their marks.
 */
#include <stdio.h>
#include <string.h>

#include "reward/math_parse.h"

bool parse_at_factor(const struct math_parser *p) {
    const struct math_tok *t = parse_cur(p);
    switch (t->type) {
    case TK_VAR:
    case TK_CONST:
    case TK_FUN:
    case TK_FRAC:
    case TK_SQRT:
    case TK_BINOM:
    case TK_SUM:
    case TK_BEGIN:
    case TK_OVERLINE: return true;
    case TK_NUM:
        if (p->i > 0 && t[-1].type == TK_OP && t[-1].id == '!') return true;
        return p->i > 0 && t[-1].type == TK_CLOSE && t[-1].id != 's' && !t->space;
    case TK_OPEN: return t->id != '[' || t->match >= 0;
    case TK_BAR: return p->bars == 0 && !p->in_set;
    case TK_NORM: return p->bars == 0;
    default: return false;
    }
}

/* ---- numbers ---- */

/* 0.1\overline{6}: what the digits up to the repeating ones say, plus the rest. */
static struct math_node *repeating(struct math_parser *p, const struct math_tok *t) {
    char nines[64];
    int n = t->n - t->repeat;
    const char *dot = memchr(t->text, '.', (size_t)t->n);
    int after =
        (int)(t->text + n - dot) - 1; /* digits between the point and the repetition */
    struct math_node *head = math_literal(p->w, t->text, after ? n : n - 1);
    struct math_node *tail = math_literal(p->w, t->text + n, t->repeat);
    memset(nines, '9', (size_t)t->repeat);
    struct math_node *den = math_literal(p->w, nines, t->repeat);
    if (!head || !tail || !den) return NULL;
    fmpq_div(&tail->num->value, &tail->num->value, &den->num->value);
    fmpq_t ten;
    fmpq_init(ten);
    fmpq_set_si(ten, 10, 1);
    fmpq_pow_si(ten, ten, after);
    fmpq_div(&tail->num->value, &tail->num->value, ten);
    fmpq_add(&head->num->value, &head->num->value, &tail->num->value);
    fmpq_clear(ten);
    head->num->decimals = -1;
    return head;
}

static bool is_digits(const struct math_tok *t) {
    return t->type == TK_NUM && !t->exponent && !t->repeat && t->n < 10 &&
           !memchr(t->text, '.', (size_t)t->n);
}

static long digits_value(const struct math_tok *t) {
    long v = 0;
    for (int i = 0; i < t->n; i++) v = v * 10 + t->text[i] - '0';
    return v;
}

/* `{3}` or one digit of `34` as TeX reads it, at token j: the token after, 0 for neither.
 * *left is how many digits of that token remain. */
static int digits_argument(const struct math_parser *p, int j, int skip, long *value,
                           int *left) {
    const struct math_tok *t = &p->tok[j];
    *left = 0;
    if (t->type == TK_OPEN && t->id == '{' && is_digits(t + 1) && t[2].type == TK_CLOSE) {
        *value = digits_value(t + 1);
        return j + 3;
    }
    if (!is_digits(t) || t->n <= skip) return 0;
    *value = t->text[skip] - '0';
    *left = t->n - skip - 1;
    return j + (*left == 0);
}

/* 2\frac{1}{2} and 2 1/2: a whole number with a proper fraction beside it. */
static struct math_node *mixed(struct math_parser *p, struct math_node *whole) {
    const struct math_tok *t = parse_cur(p);
    long num = 0, den = 0;
    int next = 0, left = 0;
    if (t->type == TK_FRAC) {
        int mid = digits_argument(p, p->i + 1, 0, &num, &left);
        if (mid) next = digits_argument(p, mid, left ? 1 : 0, &den, &left);
    } else if (is_digits(t) && t->space && t[1].type == TK_OP && t[1].id == '/' &&
               is_digits(t + 2)) {
        num = digits_value(t);
        den = digits_value(t + 2);
        next = p->i + 3;
    }
    if (!next || left || num <= 0 || num >= den) return whole;
    p->i = next;
    fmpq_t fraction;
    fmpq_init(fraction);
    fmpq_set_si(fraction, num, (ulong)den);
    struct math_node *sum = math_fmpq(p->w, fraction);
    fmpq_add(&sum->num->value, fraction, &whole->num->value);
    fmpq_clear(fraction);
    return sum;
}

static const char *const base_names[] = {"two",   "three", "four", "five", "six",
                                         "seven", "eight", "nine", "ten"};

/* `_2`, `_{16}`, `_\text{two}` at token j: the token after; 0: no base. */
static int base_at(const struct math_parser *p, int j, long *base) {
    const struct math_tok *t = &p->tok[j];
    if (t->type != TK_OP || t->id != '_' || p->power) return 0;
    bool brace = t[1].type == TK_OPEN && t[1].id == '{';
    const struct math_tok *b = t + 1 + brace;
    if (brace && b[1].type != TK_CLOSE) return 0;
    *base = is_digits(b) && b->n <= 2 ? digits_value(b) : 0;
    for (int k = 0; b->type == TK_TEXT && k < 9; k++)
        if ((size_t)b->n == strlen(base_names[k]) &&
            memcmp(b->text, base_names[k], (size_t)b->n) == 0)
            *base = k + 2;
    return *base >= 2 && *base <= 36 ? j + 2 + 2 * brace : 0;
}

/* 1F_{16}: digits and letters up to a base. NULL, nothing read, where it is none. */
static struct math_node *based(struct math_parser *p) {
    char digits[128];
    int n = 0, j = p->i;
    long base;
    for (;; j++) {
        const struct math_tok *t = &p->tok[j];
        bool letter = (t->type == TK_VAR || t->type == TK_TEXT) && t->n <= 8;
        if (!(is_digits(t) ||
              (t->type == TK_NUM && !memchr(t->text, '.', (size_t)t->n))) &&
            !letter)
            break;
        if ((j > p->i && t->space) || t->n + n > 100) return NULL;
        for (int k = 0; k < t->n; k++) {
            char c = t->text[k];
            if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
            if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) return NULL;
            digits[n++] = c;
        }
    }
    int next = base_at(p, j, &base);
    bool single_letter = j == p->i + 1 && p->tok[p->i].type != TK_NUM;
    if (!next || single_letter || !n) return NULL;
    p->i = next;
    int zeros = 0;
    while (zeros < n - 1 && digits[zeros] == '0') zeros++;
    struct math_node *t = math_name(p->w, M_BASED, digits + zeros, n - zeros);
    math_push(p->w, t, math_int(p->w, base));
    return t;
}

static struct math_node *number(struct math_parser *p) {
    const struct math_tok *t = parse_cur(p);
    struct math_node *v = based(p);
    if (v) return v;
    p->i++;
    v = t->repeat ? repeating(p, t) : math_literal(p->w, t->text, t->n);
    if (!v) return NULL;
    if (t->exponent) {
        struct math_node *power =
            math_new2(p->w, M_POW, 0, math_int(p->w, 10), math_int(p->w, t->exponent));
        return math_new2(p->w, M_MUL, 0, v, power);
    }
    /* 0.333... */
    if (parse_cur(p)->type == TK_DOTS && v->num->decimals >= 2 &&
        t->text[t->n - 1] == t->text[t->n - 2]) {
        struct math_tok again = *t;
        again.repeat = 1;
        p->i++;
        return repeating(p, &again);
    }
    return v->num->decimals == 0 ? mixed(p, v) : v;
}

/* ---- names ---- */

/* The tokens of a subscript as text, after the name. */
static struct math_node *with_subscript(struct math_parser *p, struct math_node *var) {
    char name[96];
    int n = (int)strlen(var->name), depth = 0;
    if (n > 40) return NULL;
    memcpy(name, var->name, (size_t)n);
    name[n++] = '_';
    p->i++;
    do {
        const struct math_tok *t = parse_cur(p);
        if (t->type == TK_END || t->type == TK_FRAC) return NULL;
        bool brace = (t->type == TK_OPEN || t->type == TK_CLOSE) && t->id == '{';
        depth += t->type == TK_OPEN ? 1 : t->type == TK_CLOSE ? -1 : 0;
        if (!brace) {
            if (n + t->n > 90) return NULL;
            memcpy(name + n, t->text, (size_t)t->n);
            n += t->n;
        }
        p->i++;
    } while (depth > 0);
    return math_name(p->w, M_VAR, name, n);
}

static struct math_node *call(struct math_parser *p, struct math_node *var) {
    struct math_node *args = parse_group(p);
    if (!args) return NULL;
    struct math_node *t = math_new(p->w, M_CALL, 0);
    t->name = var->name;
    if (args->kind != M_TUPLE)
        math_push(p->w, t, args);
    else
        for (int i = 0; i < args->n; i++) math_push(p->w, t, args->kid[i]);
    return t;
}

/* P(X = 1): a bracket with a relation in it is no factor. */
static bool holds_relation(const struct math_parser *p) {
    if (!parse_is(p, TK_OPEN, '(')) return false;
    for (int j = p->i + 1; j < p->i + 24 && p->tok[j].type != TK_END; j++) {
        if (p->tok[j].type == TK_REL) return true;
        if (p->tok[j].type == TK_OPEN || p->tok[j].type == TK_CLOSE) return false;
    }
    return false;
}

static struct math_node *variable(struct math_parser *p) {
    const struct math_tok *t = parse_cur(p);
    struct math_node *v = t->type == TK_VAR && t->n == 1 ? based(p) : NULL;
    if (v) return v;
    p->i++;
    v = math_name(p->w, M_VAR, t->text, t->n);
    if (parse_is_op(p, '_')) v = with_subscript(p, v);
    while (v && parse_is_op(p, '\'')) {
        char name[100];
        int n = (int)strlen(v->name);
        if (n > 90) return NULL;
        memcpy(name, v->name, (size_t)n);
        name[n] = '\'';
        v = math_name(p->w, M_VAR, name, n + 1);
        p->i++;
    }
    bool function =
        v && !parse_cur(p)->space && (strchr("fghFGH", v->name[0]) || holds_relation(p));
    bool braced = parse_is(p, TK_OPEN, '{') && p->tok[p->i + 1].type == TK_OPEN &&
                  p->tok[p->i + 1].id == '(';
    return function && (braced || parse_is(p, TK_OPEN, '(')) ? call(p, v) : v;
}

static struct math_node *constant(struct math_parser *p) {
    const struct math_tok *t = parse_cur(p);
    bool index = t->id == 'i' && p->bound_i > 0;
    if (index || (t[1].type == TK_OP && (t[1].id == '_' || t[1].id == '\'')))
        return variable(p);
    p->i++;
    return math_new(p->w, M_CONST, t->id);
}

/* ---- commands with arguments ---- */

/* One argument as TeX takes it: a group, or one token of which a number gives one digit.
 */
static struct math_node *argument(struct math_parser *p) {
    struct math_tok *t = parse_cur(p);
    if (t->type != TK_NUM || t->n == 1) return parse_script(p);
    if (t->text[0] == '.') return NULL;
    struct math_node *digit = math_literal(p->w, t->text, 1);
    t->text++;
    t->n--;
    return digit;
}

static struct math_node *fraction(struct math_parser *p) {
    p->i++;
    struct math_node *num = argument(p), *den = num ? argument(p) : NULL;
    return den ? math_new2(p->w, M_DIV, 0, num, den) : NULL;
}

static struct math_node *binomial(struct math_parser *p) {
    p->i++;
    struct math_node *n = argument(p), *k = n ? argument(p) : NULL;
    return k ? math_new2(p->w, M_FUN, F_BINOM, n, k) : NULL;
}

static struct math_node *root(struct math_parser *p) {
    int style = parse_cur(p)->id;
    struct math_node *degree = style == 3 ? math_int(p->w, 3) : NULL;
    p->i++;
    if (style == 0 && parse_is(p, TK_OPEN, '[')) {
        p->i++;
        degree = parse_expr(p, PREC_SUM);
        if (!degree || !parse_is(p, TK_CLOSE, '[')) return NULL;
        p->i++;
    }
    struct math_node *of = style ? parse_script(p) : argument(p);
    if (!of) return NULL;
    return degree ? math_new2(p->w, M_FUN, F_ROOT, of, degree)
                  : math_new1(p->w, M_FUN, F_SQRT, of);
}

static int inverse_of(int f) {
    switch (f) {
    case F_SIN: return F_ASIN;
    case F_COS: return F_ACOS;
    case F_TAN: return F_ATAN;
    case F_COT: return F_ACOT;
    case F_SEC: return F_ASEC;
    case F_CSC: return F_ACSC;
    case F_SINH: return F_ASINH;
    case F_COSH: return F_ACOSH;
    case F_TANH: return F_ATANH;
    default: return -1;
    }
}

static bool wants_brackets(int f) {
    return f == F_GCD || f == F_LCM || f == F_MAX || f == F_MIN || f == F_ABS ||
           f == F_FLOOR || f == F_CEIL;
}

static struct math_node *function_arguments(struct math_parser *p, int f) {
    struct math_node *t = math_new(p->w, M_FUN, f), *args;
    bool group = parse_cur(p)->type == TK_OPEN;
    if (!group && wants_brackets(f)) return NULL;
    args = group ? parse_group(p) : parse_juxtaposed(p);
    if (!args) return NULL;
    bool many = wants_brackets(f) &&
                (args->kind == M_TUPLE || args->kind == M_SET || args->kind == M_LIST);
    if (!many && (args->kind == M_TUPLE || args->kind == M_LIST)) return NULL;
    for (int i = 0; many && i < args->n; i++) math_push(p->w, t, args->kid[i]);
    if (!many) math_push(p->w, t, args);
    return t;
}

/* \log_2 8; TeX reads \log_28 as that too. */
static struct math_node *log_base(struct math_parser *p) {
    p->i++;
    struct math_tok *t = parse_cur(p);
    if (t->type != TK_NUM || t->n == 1) return parse_script(p);
    p->i++;
    bool more = parse_at_factor(p) || parse_cur(p)->type == TK_NUM;
    p->i--;
    return more ? parse_script(p) : argument(p);
}

static struct math_node *function(struct math_parser *p) {
    int f = parse_cur(p)->id;
    struct math_node *power = NULL, *base = NULL;
    p->i++;
    for (int k = 0; k < 2; k++) {
        if (parse_is_op(p, '^') && !power) {
            p->i++;
            if (!(power = parse_script(p))) return NULL;
        } else if (parse_is_op(p, '_') && f == F_LOG && !base) {
            if (!(base = log_base(p))) return NULL;
        }
    }
    bool minus_one = power && power->kind == M_NEG && math_is_int(power->kid[0], 1);
    if (minus_one) {
        f = inverse_of(f);
        if (f < 0) return NULL;
        power = NULL;
    }
    struct math_node *t = function_arguments(p, f == F_CIS ? F_EXP : f);
    if (t && f == F_CIS)
        t->kid[0] = math_new2(p->w, M_MUL, 0, math_new(p->w, M_CONST, 'i'), t->kid[0]);
    if (t && base) math_push(p->w, t, base);
    return t && power ? math_new2(p->w, M_POW, 0, t, power) : t;
}

/* `_{k=1}` and `^{n}` of a sum, in either order. */
static bool sum_bounds(struct math_parser *p, struct math_node **low,
                       struct math_node **high) {
    *low = *high = NULL;
    for (int k = 0; k < 2; k++) {
        bool lower = parse_is_op(p, '_');
        if ((!lower && !parse_is_op(p, '^')) || (lower ? *low : *high)) return false;
        p->i++;
        struct math_node *t = parse_script(p);
        if (lower)
            *low = t;
        else
            *high = t;
        if (!t) return false;
    }
    return (*low)->kind == M_REL && strcmp((*low)->name, "=") == 0 &&
           (*low)->kid[0]->kind == M_VAR;
}

/* Is the bound variable of the sum at hand called i? */
static bool sum_is_over_i(const struct math_parser *p) {
    for (int j = p->i; p->tok[j].type != TK_END && j < p->i + 12; j++) {
        const struct math_tok *t = &p->tok[j];
        if (t->type == TK_OP && t->id == '_' && t[1].type == TK_OPEN)
            return t[2].type == TK_CONST && t[2].id == 'i';
    }
    return false;
}

static struct math_node *sum(struct math_parser *p) {
    struct math_node *t = math_new(p->w, M_FUN, parse_cur(p)->id), *low, *high;
    p->i++;
    bool over_i = sum_is_over_i(p);
    p->bound_i += over_i;
    struct math_node *body =
        sum_bounds(p, &low, &high) ? parse_expr(p, PREC_PRODUCT) : NULL;
    p->bound_i -= over_i;
    if (!body) return NULL;
    math_push(p->w, t, low->kid[0]);
    math_push(p->w, t, low->kid[1]);
    math_push(p->w, t, high);
    math_push(p->w, t, body);
    return t;
}

static struct math_node *overline(struct math_parser *p) {
    p->i++;
    struct math_node *of = argument(p), *t;
    if (!of) return NULL;
    if (of->kind == M_VAR && strlen(of->name) < 40) { /* a name like any other */
        char name[64];
        snprintf(name, sizeof name, "bar %s", of->name);
        of = math_name(p->w, M_VAR, name, (int)strlen(name));
        return parse_is_op(p, '_') ? with_subscript(p, of) : of;
    }
    if (math_has_const(of, 'i')) return math_new1(p->w, M_FUN, F_CONJ, of);
    t = math_new1(p->w, M_CALL, 0, of);
    t->name = "overline";
    return t;
}

static struct math_node *primary_of(struct math_parser *p) {
    switch (parse_cur(p)->type) {
    case TK_NUM: return number(p);
    case TK_VAR: return variable(p);
    case TK_CONST: return constant(p);
    case TK_FUN: return function(p);
    case TK_FRAC: return fraction(p);
    case TK_BINOM: return binomial(p);
    case TK_SQRT: return root(p);
    case TK_SUM: return sum(p);
    case TK_OVERLINE: return overline(p);
    case TK_OPEN:
    case TK_BAR:
    case TK_NORM:
    case TK_CLOSE: return parse_group(p);
    case TK_BEGIN: return parse_matrix(p);
    case TK_NUMSET: return math_new(p->w, M_NUMSET, p->tok[p->i++].id);
    case TK_EMPTY: p->i++; return math_new(p->w, M_SET, 0);
    default: return NULL;
    }
}

/* \sin\sin...: what nests without brackets does so through here. */
static struct math_node *primary(struct math_parser *p) {
    if (++p->primaries > MATH_MAX_DEPTH * 2) p->w->limit = true;
    struct math_node *t = p->w->limit ? NULL : primary_of(p);
    p->primaries--;
    return t;
}

struct math_node *parse_script(struct math_parser *p) {
    bool negative = false;
    if (++p->depth > MATH_MAX_DEPTH) {
        p->w->limit = true;
        return NULL;
    }
    for (; parse_is_op(p, '-') || parse_is_op(p, '+'); p->i++)
        if (parse_is_op(p, '-')) negative = !negative;
    struct math_node *t = parse_cur(p)->type == TK_FUN ? function(p) : primary(p);
    p->depth--;
    return t && negative ? math_new1(p->w, M_NEG, 0, t) : t;
}

/* ^\circ and ^{\circ} */
static bool skip_circle(struct math_parser *p) {
    int j = p->i + 1;
    bool brace = p->tok[j].type == TK_OPEN && p->tok[j].id == '{';
    const struct math_tok *t = &p->tok[j + brace];
    bool circle = (t->type == TK_VAR && ((t->n == 4 && memcmp(t->text, "circ", 4) == 0) ||
                                         (brace && t->n == 1 && t->text[0] == 'o'))) ||
                  t->type == TK_DEG;
    if (!circle || (brace && t[1].type != TK_CLOSE)) return false;
    p->i = j + 1 + 2 * brace;
    return true;
}

/* 3^2 of 2^3^2: from the right. */
static struct math_node *exponent(struct math_parser *p) {
    if (++p->depth > MATH_MAX_DEPTH) {
        p->w->limit = true;
        return NULL;
    }
    struct math_node *t = parse_script(p), *power = NULL;
    if (t && parse_is_op(p, '^')) {
        p->i++;
        power = exponent(p);
        t = power ? math_new2(p->w, M_POW, 0, t, power) : NULL;
    }
    p->depth--;
    return t;
}

/* 5^{\text{th}} */
static bool skip_ordinal(struct math_parser *p) {
    const struct math_tok *t = &p->tok[p->i + 1];
    bool brace = t->type == TK_OPEN && t->id == '{';
    t += brace;
    bool ordinal = t->type == TK_TEXT && t->n == 2 &&
                   (memcmp(t->text, "th", 2) == 0 || memcmp(t->text, "st", 2) == 0 ||
                    memcmp(t->text, "nd", 2) == 0 || memcmp(t->text, "rd", 2) == 0);
    if (!ordinal || (brace && t[1].type != TK_CLOSE)) return false;
    p->i += 2 + 2 * brace;
    return true;
}

static struct math_node *power_of(struct math_parser *p, struct math_node *t) {
    if (skip_circle(p)) return math_new1(p->w, M_FUN, F_DEG, t);
    if (t->kind == M_NUM && skip_ordinal(p)) return t;
    p->i++;
    if (t->kind == M_MATRIX && parse_cur(p)->type == TK_VAR &&
        parse_cur(p)->text[0] == 'T') {
        p->i++;
        return math_new1(p->w, M_FUN, F_TRANSPOSE, t);
    }
    p->power = t->kind == M_VAR;
    struct math_node *power = exponent(p);
    p->power = false;
    if (power && t->kind == M_VAR && parse_is_op(p, '_')) t = with_subscript(p, t);
    return power && t ? math_new2(p->w, M_POW, 0, t, power) : NULL;
}

/* (101)_2 */
static struct math_node *base_after(struct math_parser *p, const struct math_node *t) {
    long base;
    int next = base_at(p, p->i, &base);
    if (!next || t->kind != M_NUM || t->num->decimals != 0) return NULL;
    char *digits = fmpz_get_str(NULL, 10, fmpq_numref(&t->num->value));
    struct math_node *out = math_name(p->w, M_BASED, digits, (int)strlen(digits));
    flint_free(digits);
    math_push(p->w, out, math_int(p->w, base));
    p->i = next;
    return out;
}

struct math_node *parse_postfix(struct math_parser *p) {
    struct math_node *t = primary(p);
    bool factorial = false;
    while (t && !p->w->limit) {
        const struct math_tok *tok = parse_cur(p);
        if (parse_is_op(p, '!')) {
            if (factorial) return NULL; /* n!! is another function */
            p->i++;
            t = math_new1(p->w, M_FUN, F_FACT, t);
            factorial = true;
            continue;
        }
        factorial = false;
        if (parse_is_op(p, '^')) {
            t = power_of(p, t);
        } else if (parse_is_op(p, '_')) {
            t = base_after(p, t);
        } else if (tok->type == TK_PERCENT) {
            p->i++;
            t = math_new1(p->w, M_PERCENT, 0, t);
        } else if (tok->type == TK_DEG) {
            p->i++;
            t = math_new1(p->w, M_FUN, F_DEG, t);
        } else {
            break;
        }
    }
    return t;
}
