/* reward/math_exact.c: equality of constants, proved by Calcium.
 *
 * A context lives for one question, so that an answer never depends on what was asked
 * before. Only called where balls already overlap and sizes are known to be modest.
 */
#include "reward/math_value.h"

enum { MAX_EXTENSIONS = 14, DEGREE_LIMIT = 60, PREC_LIMIT = 1024 };

struct exact {
    struct math_work *w;
    ca_ctx_struct ctx;
    int extensions; /* roots and functions so far: the degree grows with each */
};

static enum math_value value(struct exact *x, const struct math_node *t, ca_t out);

static enum math_value nth_root(struct exact *x, ca_t a, long n) {
    fmpq_t e;
    if (n < 1 || n > 40) return VALUE_LIMIT;
    if (n == 2) {
        ca_sqrt(a, a, &x->ctx);
        return VALUE_OK;
    }
    truth_t negative = ca_check_is_negative_real(a, &x->ctx);
    if (n % 2 == 1 && negative == T_UNKNOWN) return VALUE_NOT;
    bool flip = n % 2 == 1 && negative == T_TRUE;
    if (flip) ca_neg(a, a, &x->ctx);
    fmpq_init(e);
    fmpq_set_si(e, 1, (ulong)n);
    ca_pow_fmpq(a, a, e, &x->ctx);
    fmpq_clear(e);
    if (flip) ca_neg(a, a, &x->ctx);
    return VALUE_OK;
}

static enum math_value power(struct exact *x, const struct math_node *t, ca_t out) {
    fmpq_t e;
    ca_t y;
    enum math_value v;
    if (t->kid[0]->kind == M_CONST && t->kid[0]->op == 'e') { /* Calcium knows exp best */
        x->extensions++;
        v = value(x, t->kid[1], out);
        if (v == VALUE_OK) ca_exp(out, out, &x->ctx);
        return v;
    }
    v = value(x, t->kid[0], out);
    if (v != VALUE_OK) return v;
    fmpq_init(e);
    bool rational = math_rational(x->w, t->kid[1], NULL, e) == VALUE_OK;
    if (rational && fmpz_is_one(fmpq_denref(e))) {
        if (fmpz_bits(fmpq_numref(e)) > 40)
            v = VALUE_LIMIT;
        else
            ca_pow_fmpz(out, out, fmpq_numref(e), &x->ctx);
    } else if (rational && fmpz_cmp_si(fmpq_denref(e), 40) <= 0 &&
               fmpz_bits(fmpq_numref(e)) < 12) {
        x->extensions++;
        v = nth_root(x, out, fmpz_get_si(fmpq_denref(e)));
        if (v == VALUE_OK) ca_pow_fmpz(out, out, fmpq_numref(e), &x->ctx);
    } else {
        x->extensions++;
        ca_init(y, &x->ctx);
        v = value(x, t->kid[1], y);
        if (v == VALUE_OK) ca_pow(out, out, y, &x->ctx);
        ca_clear(y, &x->ctx);
    }
    fmpq_clear(e);
    return v;
}

static enum math_value log_by(struct exact *x, ca_t out, long base) {
    ca_t b;
    ca_log(out, out, &x->ctx);
    if (base < 2) return VALUE_OK;
    ca_init(b, &x->ctx);
    ca_set_si(b, base, &x->ctx);
    ca_log(b, b, &x->ctx);
    ca_div(out, out, b, &x->ctx);
    ca_clear(b, &x->ctx);
    return VALUE_OK;
}

/* cosh and sinh by exponentials. */
static void hyperbolic(struct exact *x, int op, ca_t a) {
    ca_t up, down;
    ca_init(up, &x->ctx);
    ca_init(down, &x->ctx);
    ca_exp(up, a, &x->ctx);
    ca_inv(down, up, &x->ctx);
    if (op == F_SINH)
        ca_sub(a, up, down, &x->ctx);
    else
        ca_add(a, up, down, &x->ctx);
    ca_div_ui(a, a, 2, &x->ctx);
    ca_clear(up, &x->ctx);
    ca_clear(down, &x->ctx);
}

static void degrees(struct exact *x, ca_t a) {
    ca_t pi;
    ca_init(pi, &x->ctx);
    ca_pi(pi, &x->ctx);
    ca_mul(a, a, pi, &x->ctx);
    ca_div_ui(a, a, 180, &x->ctx);
    ca_clear(pi, &x->ctx);
}

static enum math_value one(struct exact *x, int op, ca_t a) {
    ca_ctx_struct *ctx = &x->ctx;
    x->extensions += op != F_DEG;
    switch (op) {
    case F_SQRT: ca_sqrt(a, a, ctx); return VALUE_OK;
    case F_ABS: ca_abs(a, a, ctx); return VALUE_OK;
    case F_FLOOR: ca_floor(a, a, ctx); return VALUE_OK;
    case F_CEIL: ca_ceil(a, a, ctx); return VALUE_OK;
    case F_EXP: ca_exp(a, a, ctx); return VALUE_OK;
    case F_LN: ca_log(a, a, ctx); return VALUE_OK;
    case F_LOG: return log_by(x, a, x->w->o->log_base);
    case F_SIN: ca_sin(a, a, ctx); return VALUE_OK;
    case F_COS: ca_cos(a, a, ctx); return VALUE_OK;
    case F_TAN: ca_tan(a, a, ctx); return VALUE_OK;
    case F_COT: ca_cot(a, a, ctx); return VALUE_OK;
    case F_SEC:
        ca_cos(a, a, ctx);
        ca_inv(a, a, ctx);
        return VALUE_OK;
    case F_CSC:
        ca_sin(a, a, ctx);
        ca_inv(a, a, ctx);
        return VALUE_OK;
    case F_ASIN: ca_asin(a, a, ctx); return VALUE_OK;
    case F_ACOS: ca_acos(a, a, ctx); return VALUE_OK;
    case F_ATAN: ca_atan(a, a, ctx); return VALUE_OK;
    case F_SINH:
    case F_COSH: hyperbolic(x, op, a); return VALUE_OK;
    case F_DEG: degrees(x, a); return VALUE_OK;
    case F_RE: ca_re(a, a, ctx); return VALUE_OK;
    case F_IM: ca_im(a, a, ctx); return VALUE_OK;
    case F_CONJ: ca_conj(a, a, ctx); return VALUE_OK;
    default: return VALUE_NOT;
    }
}

static enum math_value function(struct exact *x, const struct math_node *t, ca_t out) {
    long n;
    ca_t base;
    if (t->op == F_SUM || t->op == F_PROD || t->n < 1) return VALUE_NOT;
    enum math_value v = value(x, t->kid[0], out);
    if (v != VALUE_OK || t->n == 1) return v == VALUE_OK ? one(x, t->op, out) : v;
    if (t->op == F_ROOT && math_small_int(x->w, t->kid[1], NULL, &n)) {
        x->extensions++;
        return nth_root(x, out, n);
    }
    if (t->op != F_LOG) return VALUE_NOT;
    x->extensions += 2;
    ca_init(base, &x->ctx);
    v = value(x, t->kid[1], base);
    if (v == VALUE_OK) {
        ca_log(out, out, &x->ctx);
        ca_log(base, base, &x->ctx);
        ca_div(out, out, base, &x->ctx);
    }
    ca_clear(base, &x->ctx);
    return v;
}

static enum math_value fold(struct exact *x, const struct math_node *t, ca_t out) {
    ca_t y;
    enum math_value v = value(x, t->kid[0], out);
    ca_init(y, &x->ctx);
    for (int i = 1; i < t->n && v == VALUE_OK; i++) {
        v = value(x, t->kid[i], y);
        if (v != VALUE_OK) break;
        if (t->kind == M_ADD)
            ca_add(out, out, y, &x->ctx);
        else if (t->kind == M_MUL)
            ca_mul(out, out, y, &x->ctx);
        else
            ca_div(out, out, y, &x->ctx);
    }
    ca_clear(y, &x->ctx);
    return v;
}

static enum math_value constant(struct exact *x, int op, ca_t out) {
    switch (op) {
    case 'p': ca_pi(out, &x->ctx); return VALUE_OK;
    case 'i': ca_i(out, &x->ctx); return VALUE_OK;
    case 'e':
        ca_one(out, &x->ctx);
        ca_exp(out, out, &x->ctx);
        return VALUE_OK;
    default: return VALUE_NOT;
    }
}

/* Functions that are never worth a try among the rationals. */
static bool is_elementary(int op) {
    return op == F_SQRT || op == F_ABS || (op >= F_SIN && op <= F_CONJ);
}

static enum math_value value(struct exact *x, const struct math_node *t, ca_t out) {
    enum math_value v;
    fmpq_t q;
    if (x->extensions > MAX_EXTENSIONS || ++x->w->nodes > 4 * MATH_MAX_NODES)
        return VALUE_LIMIT;
    if (t->kind == M_NUM || (t->kind == M_FUN && !is_elementary(t->op))) {
        fmpq_init(q);
        v = math_rational(x->w, t, NULL, q);
        bool rational = v == VALUE_OK;
        if (rational) ca_set_fmpq(out, q, &x->ctx);
        fmpq_clear(q);
        if (rational || v == VALUE_UNDEFINED || v == VALUE_LIMIT) return v;
    }
    switch (t->kind) {
    case M_CONST: return constant(x, t->op, out);
    case M_NEG:
    case M_PERCENT:
        v = value(x, t->kid[0], out);
        if (v == VALUE_OK && t->kind == M_NEG)
            ca_neg(out, out, &x->ctx);
        else if (v == VALUE_OK)
            ca_div_ui(out, out, 100, &x->ctx);
        return v;
    case M_ADD:
    case M_MUL:
    case M_DIV: return fold(x, t, out);
    case M_POW: return power(x, t, out);
    case M_FUN: return function(x, t, out);
    default: return VALUE_NOT;
    }
}

truth_t math_constants_equal(struct math_work *w, const struct math_node *a,
                             const struct math_node *b) {
    struct exact x = {.w = w};
    ca_t va, vb;
    truth_t equal = T_UNKNOWN;
    ca_ctx_init(&x.ctx);
    ca_ctx_set_option(&x.ctx, CA_OPT_QQBAR_DEG_LIMIT, DEGREE_LIMIT);
    ca_ctx_set_option(&x.ctx, CA_OPT_PREC_LIMIT, PREC_LIMIT);
    ca_init(va, &x.ctx);
    ca_init(vb, &x.ctx);
    enum math_value v = value(&x, a, va);
    if (v == VALUE_OK) v = value(&x, b, vb);
    if (v == VALUE_OK && x.extensions <= MAX_EXTENSIONS) {
        bool numbers = ca_check_is_number(va, &x.ctx) == T_TRUE &&
                       ca_check_is_number(vb, &x.ctx) == T_TRUE;
        bool special = ca_check_is_number(va, &x.ctx) == T_FALSE ||
                       ca_check_is_number(vb, &x.ctx) == T_FALSE;
        if (numbers)
            equal = ca_check_equal(va, vb, &x.ctx);
        else if (special)
            equal = T_FALSE; /* 1/0 equals nothing */
    } else if (v == VALUE_UNDEFINED) {
        equal = T_FALSE;
    }
    ca_clear(va, &x.ctx);
    ca_clear(vb, &x.ctx);
    ca_ctx_clear(&x.ctx);
    return equal;
}
