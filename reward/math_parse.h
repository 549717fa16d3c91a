/* reward/math_parse.h: tokens into a tree, by a closed grammar.
 *
 *     answer   = item ((`,` | `;` | or | and) item)*
 *     item     = operand (relation operand)*
 *     operand  = [label] [money] expr [unit]          | text
 *     expr     = unary (operator unary)*
 *     operator = `:` | cup | cap | \ | + | - | pm | * | / | mod, and none (a product)
 *     unary    = sign* primary (`^` script | `!` | degree | percent | prime)*
 *     primary  = number | variable | constant | function | bracket | fraction | root ...
 *
 * reward/math_parse.c has everything down to unary, math_atom.c the rest.
 */
#ifndef REWARD_MATH_PARSE_H
#define REWARD_MATH_PARSE_H

#include "reward/math_lex.h"

/* NULL where the tokens are no answer of the grammar, or w->limit is set. */
struct math_node *math_parse(struct math_work *w, const struct math_tokens *tokens);

/* ---- between math_parse.c and math_atom.c ---- */

struct math_parser {
    struct math_work *w;
    struct math_tok *tok;
    int i;
    int depth;     /* of brackets and scripts */
    int primaries; /* within primaries */
    int bars;      /* open | in this bracket */
    bool in_set;   /* in { }, where | and : separate a condition */
    int bound_i;   /* sums over i around here */
    bool power;    /* of a variable: x^2_3 is x_3 squared, not to the power 2 in base 3 */
};

enum { PREC_RATIO = 1, PREC_SET, PREC_SUM, PREC_PRODUCT, PREC_UNARY };

struct math_node *parse_list(struct math_parser *p);
struct math_node *parse_relation(struct math_parser *p);
struct math_node *parse_expr(struct math_parser *p, int min_prec);
struct math_node *parse_unary(struct math_parser *p);
/* What follows ^ or _: a group or one thing. */
struct math_node *parse_script(struct math_parser *p);
/* A primary with its exponents and marks. */
struct math_node *parse_postfix(struct math_parser *p);
/* A product without signs between, as the argument of \sin. */
struct math_node *parse_juxtaposed(struct math_parser *p);
/* Can the next token begin a factor that has no sign before it? */
bool parse_at_factor(const struct math_parser *p);
/* A bracket of any kind, math_group.c. */
struct math_node *parse_group(struct math_parser *p);
struct math_node *parse_matrix(struct math_parser *p);

static inline struct math_tok *parse_cur(const struct math_parser *p) {
    return &p->tok[p->i];
}
static inline bool parse_is_op(const struct math_parser *p, int id) {
    return p->tok[p->i].type == TK_OP && p->tok[p->i].id == id;
}
static inline bool parse_tok_is(const struct math_parser *p, int i,
                                enum math_tok_type type, int id) {
    return p->tok[i].type == type && p->tok[i].id == id;
}
static inline bool parse_is(const struct math_parser *p, enum math_tok_type type,
                            int id) {
    return parse_tok_is(p, p->i, type, id);
}

#endif
