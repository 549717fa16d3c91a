/* reward/expr.h: arithmetic over integers, parsed by a closed grammar, exactly evaluated.
 *
 *   expr    := operand {op operand}          op := + - * / (also U+00D7, U+00F7, U+2212)
 *   operand := integer | "(" expr ")"        integer := "0" | nonzero {digit}
 *
 * * and / bind stronger, all four associate to the left, blanks may stand between tokens.
 * No sign, no power, no implied product. The parser is a loop over tokens with a stack of
 * fixed size: nothing recurses, nothing allocates. Inside reward/ only.
 */
#ifndef REWARD_EXPR_H
#define REWARD_EXPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPR_MAX_TOKENS 256
#define EXPR_MAX_DEPTH 64

/* A fraction in lowest terms, den > 0. */
struct ratio {
    int64_t num, den;
};

enum expr_status {
    EXPR_OK,
    EXPR_SYNTAX, /* not in the grammar */
    EXPR_ZERO,   /* a division by zero */
    EXPR_LIMIT,  /* too many tokens, too deep, or a value past 64 bits */
};

/* The expression in postfix order. */
struct expr {
    int n;
    struct {
        char op;     /* + - * /, or 0 for a number */
        int64_t num; /* INT64_MAX for any number that does not fit */
    } item[EXPR_MAX_TOKENS];
};

/* a op b. */
enum expr_status ratio_apply(char op, struct ratio a, struct ratio b, struct ratio *out);

/* Parses n bytes; *why says what is wrong (static text). */
enum expr_status expr_parse(struct expr *e, const char *s, size_t n, const char **why);

enum expr_status expr_eval(const struct expr *e, struct ratio *out);

#endif
