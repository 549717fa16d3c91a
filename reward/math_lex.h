/* reward/math_lex.h: folded text into tokens.
 *
 * Spacing, sizing and font commands are gone after this; brackets know their partners;
 * digits are grouped into numbers; letters are single variables, known words, or text.
 */
#ifndef REWARD_MATH_LEX_H
#define REWARD_MATH_LEX_H

#include "reward/math_tree.h"

enum math_tok_type {
    TK_END,
    TK_NUM,   /* text: digits with an optional point, separators gone; n */
    TK_VAR,   /* text */
    TK_CONST, /* id: as M_CONST.op */
    TK_FUN,   /* id: enum math_fun */
    TK_TEXT,  /* text: words, lower case, one space between */
    TK_OPEN,  /* id: '(' '[' '{' (TeX group) 's' (set brace) 'a' angle 'f' floor 'c' ceil
               */
    TK_CLOSE, /* id: the same letter, so ')' has '(' */
    TK_BAR,   /* | */
    TK_NORM,  /* \| */
    TK_OP,    /* id: one of + - * / ^ _ ! : , ; ' & and
                 P \pm M \mp U cup N cap \ setminus % mod  */
    TK_REL,   /* id: as M_REL.name */
    TK_FRAC,
    TK_SQRT, /* id: 0 TeX, 1 the plain sign or word, 3 the cube root sign */
    TK_BINOM,
    TK_CHOOSE,
    TK_OVER,
    TK_SUM,    /* id: F_SUM or F_PROD */
    TK_BEGIN,  /* text: environment */
    TK_ENDENV, /* text */
    TK_ROW,    /* \\ */
    TK_DEG,
    TK_PERCENT,
    TK_MONEY, /* id: '$' 'E' 'P' 'Y' */
    TK_OR,
    TK_AND,
    TK_DOTS,
    TK_NUMSET, /* id */
    TK_EMPTY,
    TK_OVERLINE,
    TK_PMOD, /* \pmod */
    TK_BAD,  /* nothing that the grammar knows */
};

struct math_tok {
    uint8_t type;
    uint8_t id;
    bool space; /* white space before it */
    int n;      /* bytes of text */
    int match;  /* partner of a bracket, -1 */
    const char *text;
    int repeat;    /* TK_NUM: repeating digits at the end of text */
    long exponent; /* TK_NUM: of 1.5e3, else 0 */
};

struct math_tokens {
    struct math_tok *tok; /* [n + 1], the last TK_END; in the work's arena */
    int n;
    bool bad; /* holds something that is no mathematics */
};

/* Sets w->limit and returns false where there are too many. */
bool math_lex(struct math_work *w, const char *s, size_t n, struct math_tokens *out);

/* The words of s as text is compared: lower case, wrappers and outer punctuation gone,
 * one space between; "" where there are none. In the arena. */
const char *math_words(struct math_work *w, const char *s, size_t n);

/* Of a letter run or command name: false where it is no known word. math_lex_words.c */
struct math_word {
    const char *name;
    uint8_t type, id;
};
const struct math_word *math_find_word(const char *s, int n);
const struct math_word *math_find_command(const char *s, int n);

/* Of a command that is no word: what it does to the text. */
enum math_command {
    COMMAND_UNKNOWN,
    COMMAND_NOTHING,   /* spacing and sizing */
    COMMAND_TEXT_FONT, /* \text: words follow */
    COMMAND_FONT,
    COMMAND_WITH_ARGUMENT, /* goes, and its argument with it */
    COMMAND_LETTER,
};
enum math_command math_command_class(const char *s, int n);
/* Bytes of the longest known command that s begins with, 0 for none; s itself does not
 * count. */
int math_command_prefix(const char *s, int n);

#endif
