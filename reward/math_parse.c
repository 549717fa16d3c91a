/* reward/math_parse.c: lists, relations, operands with their units, and operators. */
#include "reward/math_parse.h"

#include <string.h>

#include "reward/math_unit.h"

static bool is_separator(const struct math_parser *p) {
    const struct math_tok *t = parse_cur(p);
    return t->type == TK_OR || t->type == TK_AND || parse_is_op(p, ',') ||
           parse_is_op(p, ';');
}

/* Past `,`, `or`, `, and`; which of them into *seen ('o', 'a' or ','). */
static void skip_separator(struct math_parser *p, bool *any_or, bool *any_and) {
    bool comma = parse_is_op(p, ',') || parse_is_op(p, ';');
    if (comma) p->i++;
    if (parse_cur(p)->type == TK_OR)
        *any_or = true, p->i++;
    else if (parse_cur(p)->type == TK_AND)
        *any_and = true, p->i++;
}

/* 1,2;3,4: what stands between semicolons belongs together. */
static struct math_node *grouped(struct math_parser *p, struct math_node *list,
                                 const bool *semicolon) {
    struct math_node *out = math_new(p->w, M_LIST, 0), *group = NULL;
    for (int i = 0; i < list->n; i++) {
        if (!group || semicolon[i])
            math_push(p->w, out, group = math_new(p->w, M_TUPLE, 0));
        math_push(p->w, group, list->kid[i]);
    }
    for (int i = 0; i < out->n; i++)
        if (out->kid[i]->n != out->kid[0]->n || out->kid[i]->n < 2) return list;
    return out;
}

static struct math_node *list_of_items(struct math_parser *p) {
    bool any_or = false, any_and = false, semicolons = false, commas = false;
    bool before[64] = {false}; /* a semicolon before the item */
    struct math_node *item = parse_relation(p), *list;
    if (!item || !is_separator(p)) return item;
    list = math_new1(p->w, M_LIST, 0, item);
    while (is_separator(p)) {
        if (list->n < 64) before[list->n] = parse_is_op(p, ';');
        semicolons |= parse_is_op(p, ';');
        commas |= parse_is_op(p, ',');
        skip_separator(p, &any_or, &any_and);
        item = parse_relation(p);
        if (!item) return NULL;
        math_push(p->w, list, item);
    }
    if (semicolons && commas && !any_or && !any_and && list->n <= 64)
        return grouped(p, list, before);
    bool relations = true;
    for (int i = 0; i < list->n; i++) relations &= list->kid[i]->kind == M_REL;
    if (any_or)
        list->kind = M_OR;
    else if (any_and && relations)
        list->kind = M_AND;
    return list;
}

struct math_node *parse_list(struct math_parser *p) {
    if (p->depth >= MATH_MAX_DEPTH) {
        p->w->limit = true;
        return NULL;
    }
    p->depth++;
    struct math_node *t = list_of_items(p);
    p->depth--;
    return p->w->limit ? NULL : t;
}

/* ---- operands ---- */

static bool phrase_is(const struct math_tok *t, const char *list) {
    for (const char *at = list; *at;) {
        size_t n = strcspn(at, "|");
        if ((size_t)t->n == n && memcmp(t->text, at, n) == 0) return true;
        at += n + (at[n] == '|');
    }
    return false;
}

static bool phrase_ends(const struct math_tok *t, const char *end) {
    int n = (int)strlen(end);
    return t->n >= n && memcmp(t->text + t->n - n, end, (size_t)n) == 0 &&
           (t->n == n || t->text[t->n - n - 1] == ' ');
}

/* `Area =`, `the answer is`, `option`: words before a value that only name it. */
static bool skip_label(struct math_parser *p) {
    const struct math_tok *t = parse_cur(p), *next = t + 1;
    if (t->type != TK_TEXT || !math_unit_canon(p->w, t->text, t->n, 1)) return false;
    bool names = (next->type == TK_OP && next->id == ':') ||
                 (next->type == TK_REL && (next->id == REL_EQ || next->id == REL_APPROX));
    bool choice = phrase_is(t, "option|choice|answer|the answer") &&
                  (next->type == TK_VAR || next->type == TK_OPEN);
    if (names)
        p->i += 2;
    else if (phrase_ends(t, "is") || choice)
        p->i++;
    else
        return false;
    return true;
}

/* ^2, ^{2}, ^{-1} after a unit; 1 where there is none, 0 where it is none. */
static int unit_power(struct math_parser *p) {
    if (!parse_is_op(p, '^')) return 1;
    p->i++;
    bool brace = parse_is(p, TK_OPEN, '{');
    p->i += brace;
    int sign = parse_is_op(p, '-') ? -1 : 1;
    p->i += sign < 0;
    const struct math_tok *t = parse_cur(p);
    if (t->type != TK_NUM || t->n != 1 || t->text[0] == '0') return 0;
    p->i++;
    if (brace && !parse_is(p, TK_CLOSE, '{')) return 0;
    p->i += brace;
    return sign * (t->text[0] - '0');
}

static struct math_node *with_unit(struct math_parser *p, struct math_node *value,
                                   const char *unit) {
    if (!*unit) return value;
    struct math_node *t = math_new1(p->w, M_UNIT, 0, value);
    t->name = unit;
    return t;
}

static const char *joined_units(struct math_work *w, const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    char *joined = arena_new(&w->arena, n + m + 2, 1);
    memcpy(joined, a, n);
    joined[n] = ' ';
    memcpy(joined + n + 1, b, m);
    return joined;
}

/* `km/h`: the phrase after a slash, a power each. */
static const char *unit_per(struct math_parser *p, const char *unit) {
    while (parse_is_op(p, '/') && p->tok[p->i + 1].type == TK_TEXT) {
        const struct math_tok *t = &p->tok[p->i + 1];
        p->i += 2;
        int power = unit_power(p);
        const char *per = power ? math_unit_canon(p->w, t->text, t->n, -power) : NULL;
        if (!per) return NULL;
        unit = *unit ? joined_units(p->w, unit, per) : per;
    }
    return unit;
}

static struct math_node *based(struct math_parser *p, const struct math_node *value) {
    const struct math_tok *t = parse_cur(p);
    if (value->kind != M_NUM || value->num->decimals != 0 || t->type != TK_NUM)
        return NULL;
    struct math_node *base = math_literal(p->w, t->text, t->n);
    char *digits = fmpz_get_str(NULL, 10, fmpq_numref(&value->num->value));
    struct math_node *out = math_name(p->w, M_BASED, digits, (int)strlen(digits));
    flint_free(digits);
    if (base) math_push(p->w, out, base);
    p->i++;
    return base ? out : NULL;
}

/* 90^\circ: the degree sign, outside of functions, is a unit. */
static struct math_node *degrees_off(struct math_node *t, bool *found) {
    if (t->kind == M_FUN && t->op == F_DEG) {
        *found = true;
        return t->kid[0];
    }
    if (t->kind == M_NEG || t->kind == M_PM)
        t->kid[0] = degrees_off(t->kid[0], found);
    else if (t->kind == M_MUL)
        t->kid[t->n - 1] = degrees_off(t->kid[t->n - 1], found);
    else if (t->kind == M_ADD) {
        bool all = true;
        for (int i = 0; i < t->n; i++) {
            bool one = false;
            const struct math_node *kid = t->kid[i];
            while (kid->kind == M_NEG || kid->kind == M_PM) kid = kid->kid[0];
            one = kid->kind == M_FUN && kid->op == F_DEG;
            all &= one;
        }
        for (int i = 0; i < t->n && all; i++) t->kid[i] = degrees_off(t->kid[i], found);
    }
    return t;
}

/* 2.5 thousand apples: the value times 1000, and what the phrase says besides. */
static struct math_node *with_magnitude(struct math_parser *p, struct math_node *value,
                                        struct math_tok *phrase) {
    static const char *const names[] = {"thousand", "million", "billion", "trillion"};
    for (int k = 0; k < 4; k++) {
        int n = (int)strlen(names[k]);
        if (phrase->n < n || memcmp(phrase->text, names[k], (size_t)n) != 0) continue;
        if (phrase->n > n && phrase->text[n] != ' ') continue;
        phrase->text += n;
        phrase->n -= n;
        struct math_node *ten = math_int(p->w, 10), *e = math_int(p->w, 3 * (k + 1));
        return math_new2(p->w, M_MUL, 0, value, math_new2(p->w, M_POW, 0, ten, e));
    }
    return value;
}

static const char *money_name(int id) {
    return id == '$' ? "usd" : id == 'E' ? "eur" : id == 'P' ? "gbp" : "yen";
}

/* 3 pm and 3:05 pm; NULL where the value is no hour. */
static struct math_node *time_of_day(struct math_parser *p, struct math_node *value,
                                     const char *half) {
    if (value->kind == M_NUM && value->num->decimals == 0)
        value = math_new2(p->w, M_TIME, 0, value, math_int(p->w, 0));
    if (value->kind != M_TIME) return NULL;
    value->name = half;
    return value;
}

static struct math_node *unit_after(struct math_parser *p, struct math_node *value) {
    struct math_tok *t = parse_cur(p);
    bool degree = false;
    value = degrees_off(value, &degree);
    if (t->type == TK_MONEY) {
        p->i++;
        return degree ? NULL : with_unit(p, value, money_name(t->id));
    }
    if (t->type != TK_TEXT) return degree ? with_unit(p, value, "degree") : value;
    p->i++;
    if (phrase_is(t, "base|in base")) return based(p, value);
    int power = unit_power(p);
    value = with_magnitude(p, value, t);
    const char *unit = power ? math_unit_canon(p->w, t->text, t->n, power) : NULL;
    unit = unit ? unit_per(p, unit) : NULL;
    if (!unit) return NULL;
    if (strcmp(unit, "am") == 0 || strcmp(unit, "pm") == 0)
        return time_of_day(p, value, unit);
    if (degree && strcmp(unit, "celsius") != 0 && strcmp(unit, "fahrenheit") != 0)
        return NULL;
    return with_unit(p, value, unit);
}

static struct math_node *money(struct math_parser *p, bool negative) {
    int id = parse_cur(p)->id;
    p->i++;
    struct math_node *value = parse_expr(p, PREC_SUM);
    if (!value) return NULL;
    if (negative) value = math_new1(p->w, M_NEG, 0, value);
    const char *name = money_name(id);
    if (parse_cur(p)->type == TK_TEXT) { /* $5 per hour, $5 dollars */
        struct math_tok *t = parse_cur(p);
        value = with_magnitude(p, value, t);
        const char *unit = math_unit_canon(p->w, t->text, t->n, 1);
        if (!unit) return NULL;
        p->i++;
        size_t n = strlen(name); /* $5 dollars an hour names it twice */
        bool twice = strncmp(unit, name, n) == 0 && (!unit[n] || unit[n] == ' ');
        name = twice ? unit : joined_units(p->w, name, unit);
    }
    return with_unit(p, value, name);
}

static struct math_node *operand(struct math_parser *p) {
    while (skip_label(p)) {
    }
    const struct math_tok *t = parse_cur(p);
    if (t->type == TK_TEXT) {
        p->i++;
        return math_name(p->w, M_TEXT, t->text, t->n);
    }
    if (t->type == TK_DOTS) {
        p->i++;
        return math_name(p->w, M_VAR, "...", 3);
    }
    bool signed_money = parse_is_op(p, '-') && p->tok[p->i + 1].type == TK_MONEY;
    if (signed_money) p->i++;
    if (parse_cur(p)->type == TK_MONEY) return money(p, signed_money);
    struct math_node *value = parse_expr(p, PREC_RATIO);
    return value ? unit_after(p, value) : NULL;
}

/* `\pmod n` after a congruence. */
static bool modulus(struct math_parser *p, struct math_node *relation) {
    if (parse_cur(p)->type != TK_PMOD) return true;
    p->i++;
    struct math_node *m = parse_script(p);
    if (m) math_push(p->w, relation, m);
    return m != NULL;
}

struct math_node *parse_relation(struct math_parser *p) {
    char ops[32];
    int n = 0;
    bool leading = parse_cur(p)->type == TK_REL &&
                   (parse_cur(p)->id == REL_EQ || parse_cur(p)->id == REL_APPROX);
    p->i += leading; /* "= 5" */
    struct math_node *first = operand(p), *relation = NULL;
    while (first && parse_cur(p)->type == TK_REL && n < (int)sizeof ops - 2) {
        if (!relation) relation = math_new1(p->w, M_REL, 0, first);
        ops[n++] = (char)parse_cur(p)->id;
        p->i++;
        struct math_node *next = operand(p);
        if (!next) return NULL;
        math_push(p->w, relation, next);
    }
    if (!relation) return first;
    if (parse_cur(p)->type == TK_PMOD) ops[n++] = 'M';
    ops[n] = 0;
    relation->name = arena_strdup(&p->w->arena, ops);
    return modulus(p, relation) ? relation : NULL;
}

/* ---- operators ---- */

/* `U` typed between two intervals. */
static bool is_typed_union(const struct math_parser *p) {
    const struct math_tok *t = parse_cur(p);
    return p->i > 0 && t->type == TK_VAR && t->n == 1 && t->text[0] == 'U' &&
           t[-1].type == TK_CLOSE && t[-1].id != '{' && t[1].type == TK_OPEN;
}

static int precedence(const struct math_parser *p) {
    const struct math_tok *t = parse_cur(p);
    if (is_typed_union(p)) return PREC_SET;
    if (t->type != TK_OP) return parse_at_factor(p) ? PREC_PRODUCT : 0;
    switch (t->id) {
    case ':': return p->in_set ? 0 : PREC_RATIO;
    case 'U':
    case 'N':
    case '\\': return PREC_SET;
    case '+':
    case '-':
    case 'P':
    case 'M': return PREC_SUM;
    case '*':
    case '/':
    case '%': return PREC_PRODUCT;
    default: return 0;
    }
}

static struct math_node *add(struct math_parser *p, struct math_node *lhs, int op,
                             struct math_node **open) {
    struct math_node *rhs = parse_expr(p, PREC_PRODUCT);
    if (!rhs) return NULL;
    if (op == '-') rhs = math_new1(p->w, M_NEG, 0, rhs);
    if (op == 'P' || op == 'M') rhs = math_new1(p->w, M_PM, op == 'P' ? '+' : '-', rhs);
    if (*open != lhs || lhs->kind != M_ADD) *open = math_new1(p->w, M_ADD, 0, lhs);
    math_push(p->w, *open, rhs);
    return *open;
}

static struct math_node *multiply(struct math_parser *p, struct math_node *lhs, int op,
                                  struct math_node **open) {
    struct math_node *rhs = parse_unary(p);
    if (!rhs) return NULL;
    if (op == '/') return math_new2(p->w, M_DIV, 0, lhs, rhs);
    if (op == '%') return math_new2(p->w, M_FUN, F_MOD, lhs, rhs);
    if (*open != lhs || lhs->kind != M_MUL) *open = math_new1(p->w, M_MUL, 0, lhs);
    math_push(p->w, *open, rhs);
    return *open;
}

static bool looks_like_time(const struct math_parser *p, int colon) {
    const struct math_tok *h = &p->tok[colon - 1], *m = &p->tok[colon + 1];
    if (h->type != TK_NUM || m->type != TK_NUM || h->n > 2 || m->n != 2) return false;
    return memchr(h->text, '.', (size_t)h->n) == NULL &&
           memchr(m->text, '.', 2) == NULL && m->text[0] < '6' && !m->exponent &&
           !h->exponent;
}

static struct math_node *ratio(struct math_parser *p, struct math_node *lhs) {
    bool time = p->i > 0 && looks_like_time(p, p->i);
    struct math_node *t = math_new1(p->w, M_RATIO, 0, lhs);
    while (parse_is_op(p, ':')) {
        p->i++;
        struct math_node *next = parse_expr(p, PREC_SET);
        if (!next) return NULL;
        math_push(p->w, t, next);
    }
    if (time && t->n <= 3) {
        t->kind = M_TIME;
        t->name = "";
    }
    return t;
}

/* {2} of \cup {2}: a set where the TeX group is all there is. */
static struct math_node *braced_set(struct math_parser *p, struct math_node *t, int from,
                                    int to) {
    int depth = 0, i = from;
    if (!parse_tok_is(p, from, TK_OPEN, '{') || to - from > 64) return t;
    do {
        depth += p->tok[i].type == TK_OPEN ? 1 : p->tok[i].type == TK_CLOSE ? -1 : 0;
    } while (++i < to && depth > 0);
    bool group = depth == 0 && i == to && p->tok[to - 1].type == TK_CLOSE;
    bool scalar = t->kind <= M_POW || t->kind == M_FUN;
    return group && scalar ? math_new1(p->w, M_SET, 0, t) : t;
}

struct math_node *parse_expr(struct math_parser *p, int min_prec) {
    int first = p->i;
    struct math_node *lhs = parse_unary(p), *open = NULL;
    while (lhs && !p->w->limit) {
        int prec = precedence(p);
        if (!prec || prec < min_prec) break;
        bool sign = parse_cur(p)->type == TK_OP, typed = is_typed_union(p);
        int op = typed ? 'U' : sign ? parse_cur(p)->id : '*';
        if (prec == PREC_RATIO) {
            lhs = ratio(p, lhs);
            continue;
        }
        p->i += sign || typed;
        if (prec == PREC_SET) {
            lhs = braced_set(p, lhs, first, p->i - 1);
            int from = p->i;
            struct math_node *rhs = parse_expr(p, PREC_SUM);
            if (rhs) rhs = braced_set(p, rhs, from, p->i);
            lhs = rhs ? math_new2(p->w, M_SETOP,
                                  op == 'U'   ? 'u'
                                  : op == 'N' ? 'n'
                                              : '\\',
                                  lhs, rhs)
                      : NULL;
        } else if (prec == PREC_SUM) {
            lhs = add(p, lhs, op, &open);
        } else {
            lhs = multiply(p, lhs, op, &open);
        }
    }
    return p->w->limit ? NULL : lhs;
}

struct math_node *parse_unary(struct math_parser *p) {
    bool negative = false;
    int both = 0;
    for (;; p->i++) {
        if (parse_is_op(p, '-'))
            negative = !negative;
        else if (parse_is_op(p, 'P') || parse_is_op(p, 'M'))
            both = parse_cur(p)->id;
        else if (!parse_is_op(p, '+'))
            break;
    }
    struct math_node *t = parse_postfix(p);
    if (!t) return NULL;
    if (negative) t = math_new1(p->w, M_NEG, 0, t);
    if (both) t = math_new1(p->w, M_PM, both == 'P' ? '+' : '-', t);
    return t;
}

struct math_node *parse_juxtaposed(struct math_parser *p) {
    struct math_node *t = parse_unary(p), *product = NULL;
    while (t && parse_at_factor(p) && parse_cur(p)->type != TK_FUN && !p->w->limit) {
        struct math_node *factor = parse_postfix(p);
        if (!factor) return NULL;
        if (!product) t = product = math_new1(p->w, M_MUL, 0, t);
        math_push(p->w, product, factor);
    }
    return t;
}

struct math_node *math_parse(struct math_work *w, const struct math_tokens *tokens) {
    struct math_parser p = {.w = w, .tok = tokens->tok};
    if (tokens->bad || tokens->n == 0 || w->limit) return NULL;
    struct math_node *t = parse_list(&p);
    return t && parse_cur(&p)->type == TK_END && !w->limit ? t : NULL;
}
