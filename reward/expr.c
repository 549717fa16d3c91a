/* reward/expr.c: see expr.h. */
#include "reward/expr.h"

#include <string.h>

#include "base/err.h"

typedef __int128 wide;

static wide wide_gcd(wide a, wide b) {
    while (b) {
        wide r = a % b;
        a = b;
        b = r;
    }
    return a < 0 ? -a : a;
}

/* Products of two int64 fit in 127 bits, and so does the sum of two of them but for
 * the one corner INT64_MIN, which no ratio here can hold. */
enum expr_status ratio_apply(char op, struct ratio a, struct ratio b, struct ratio *out) {
    wide num, den;
    if (op == '+' || op == '-') {
        wide right = (wide)b.num * a.den;
        num = (wide)a.num * b.den + (op == '+' ? right : -right);
        den = (wide)a.den * b.den;
    } else if (op == '*') {
        num = (wide)a.num * b.num;
        den = (wide)a.den * b.den;
    } else {
        CHECK(op == '/');
        if (b.num == 0) return EXPR_ZERO;
        num = (wide)a.num * b.den;
        den = (wide)a.den * b.num;
    }
    wide g = wide_gcd(num, den);
    if (den < 0) g = -g;
    num /= g;
    den /= g;
    if (num > INT64_MAX || num < -INT64_MAX || den > INT64_MAX) return EXPR_LIMIT;
    out->num = (int64_t)num;
    out->den = (int64_t)den;
    return EXPR_OK;
}

/* A token: '0' for a number, an operator, a parenthesis, ' ' for a blank, 0 for what is
 * none. *len is its length in bytes. */
static char token(const char *s, size_t n, size_t *len, int64_t *num) {
    static const struct {
        const char *text;
        char op;
    } signs[] = {{"\xc3\x97", '*'}, {"\xc3\xb7", '/'}, {"\xe2\x88\x92", '-'}};
    *len = 1;
    if (*s >= '0' && *s <= '9') {
        size_t i = 0;
        *num = 0;
        for (; i < n && s[i] >= '0' && s[i] <= '9'; i++)
            *num = *num > INT64_MAX / 10 - 1 ? INT64_MAX : *num * 10 + (s[i] - '0');
        *len = i;
        return i > 1 && *s == '0' ? 0 : '0';
    }
    if (*s && strchr("+-*/()", *s)) return *s;
    if (*s && strchr(" \t\r\n", *s)) return ' ';
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        *len = strlen(signs[i].text);
        if (n >= *len && memcmp(s, signs[i].text, *len) == 0) return signs[i].op;
    }
    *len = 1;
    return 0;
}

/* What can be said without the grammar: every byte belongs to a token, the parentheses
 * balance, the budgets suffice. Only a text that is otherwise sound can hit a budget. */
static enum expr_status scan(const char *s, size_t n, const char **why) {
    int depth = 0, deepest = 0, tokens = 0;
    size_t len;
    int64_t num;
    for (size_t i = 0; i < n; i += len) {
        char t = token(s + i, n - i, &len, &num);
        *why = "a character or number outside the grammar";
        if (!t) return EXPR_SYNTAX;
        if (t != ' ') tokens++;
        depth += (t == '(') - (t == ')');
        *why = "unbalanced parentheses";
        if (depth < 0) return EXPR_SYNTAX;
        if (depth > deepest) deepest = depth;
    }
    if (depth) return EXPR_SYNTAX;
    *why = "too long or too deeply nested";
    return tokens > EXPR_MAX_TOKENS || deepest > EXPR_MAX_DEPTH ? EXPR_LIMIT : EXPR_OK;
}

static int rank(char op) { return op == '*' || op == '/' ? 2 : op == '(' ? 0 : 1; }

static void push(struct expr *e, char op, int64_t num) {
    CHECK(e->n < EXPR_MAX_TOKENS);
    e->item[e->n].op = op;
    e->item[e->n++].num = num;
}

/* Dijkstra's shunting yard. */
enum expr_status expr_parse(struct expr *e, const char *s, size_t n, const char **why) {
    char stack[EXPR_MAX_TOKENS];
    int top = 0;
    bool want_operand = true;
    e->n = 0;
    enum expr_status status = scan(s, n, why);
    if (status != EXPR_OK) return status;
    *why = "not an expression";
    size_t len;
    int64_t num = 0;
    for (size_t i = 0; i < n; i += len) {
        char t = token(s + i, n - i, &len, &num);
        if (t == ' ') continue;
        if ((t == '0' || t == '(') != want_operand) return EXPR_SYNTAX;
        if (t == '0') {
            push(e, 0, num);
            want_operand = false;
        } else if (t == '(') {
            stack[top++] = t;
        } else if (t == ')') {
            while (stack[top - 1] != '(') push(e, stack[--top], 0);
            top--;
        } else {
            while (top && rank(stack[top - 1]) >= rank(t)) push(e, stack[--top], 0);
            stack[top++] = t;
            want_operand = true;
        }
    }
    if (want_operand) return EXPR_SYNTAX;
    while (top) push(e, stack[--top], 0);
    *why = "";
    return EXPR_OK;
}

enum expr_status expr_eval(const struct expr *e, struct ratio *out) {
    struct ratio stack[EXPR_MAX_TOKENS];
    int top = 0;
    for (int i = 0; i < e->n; i++) {
        if (!e->item[i].op) {
            stack[top++] = (struct ratio){e->item[i].num, 1};
            continue;
        }
        CHECK(top >= 2);
        top--;
        enum expr_status status =
            ratio_apply(e->item[i].op, stack[top - 1], stack[top], &stack[top - 1]);
        if (status != EXPR_OK) return status;
    }
    CHECK(top == 1);
    *out = stack[0];
    return EXPR_OK;
}
