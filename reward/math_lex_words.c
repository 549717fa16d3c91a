/* reward/math_lex_words.c: the names that mean something: plain words and commands. */
#include <stdlib.h>
#include <string.h>

#include "reward/math_lex.h"

/* Words as people type them; lower-case, sorted. */
static const struct math_word words[] = {
    {"abs", TK_FUN, F_ABS},
    {"and", TK_AND, 0},
    {"approx", TK_REL, REL_APPROX},
    {"arccos", TK_FUN, F_ACOS},
    {"arccot", TK_FUN, F_ACOT},
    {"arcsin", TK_FUN, F_ASIN},
    {"arctan", TK_FUN, F_ATAN},
    {"ceil", TK_FUN, F_CEIL},
    {"cos", TK_FUN, F_COS},
    {"cosh", TK_FUN, F_COSH},
    {"cot", TK_FUN, F_COT},
    {"csc", TK_FUN, F_CSC},
    {"det", TK_FUN, F_DET},
    {"exp", TK_FUN, F_EXP},
    {"floor", TK_FUN, F_FLOOR},
    {"gcd", TK_FUN, F_GCD},
    {"in", TK_REL, REL_IN},
    {"inf", TK_CONST, 'o'},
    {"infinity", TK_CONST, 'o'},
    {"infty", TK_CONST, 'o'},
    {"lcm", TK_FUN, F_LCM},
    {"lg", TK_FUN, F_LOG},
    {"ln", TK_FUN, F_LN},
    {"log", TK_FUN, F_LOG},
    {"max", TK_FUN, F_MAX},
    {"min", TK_FUN, F_MIN},
    {"mod", TK_OP, '%'},
    {"or", TK_OR, 0},
    {"pct", TK_PERCENT, 0},
    {"percent", TK_PERCENT, 0},
    {"percentage", TK_PERCENT, 0},
    {"pi", TK_CONST, 'p'},
    {"sec", TK_FUN, F_SEC},
    {"sin", TK_FUN, F_SIN},
    {"sinh", TK_FUN, F_SINH},
    {"sqrt", TK_SQRT, 1},
    {"tan", TK_FUN, F_TAN},
    {"tanh", TK_FUN, F_TANH},
    {"union", TK_OP, 'U'},
};

/* Commands, sorted by byte. Font and spacing commands are in math_lex.c. */
static const struct math_word commands[] = {
    {"Im", TK_FUN, F_IM},
    {"Re", TK_FUN, F_RE},
    {"Vert", TK_NORM, 0},
    {"approx", TK_REL, REL_APPROX},
    {"arccos", TK_FUN, F_ACOS},
    {"arcsin", TK_FUN, F_ASIN},
    {"arctan", TK_FUN, F_ATAN},
    {"arg", TK_FUN, F_ARG},
    {"ast", TK_OP, '*'},
    {"backslash", TK_OP, '\\'},
    {"bar", TK_OVERLINE, 0},
    {"binom", TK_BINOM, 0},
    {"bmod", TK_OP, '%'},
    {"bullet", TK_OP, '*'},
    {"cap", TK_OP, 'N'},
    {"cdot", TK_OP, '*'},
    {"cdots", TK_DOTS, 0},
    {"cfrac", TK_FRAC, 0},
    {"choose", TK_CHOOSE, 0},
    {"colon", TK_OP, ':'},
    {"cong", TK_REL, REL_MOD},
    {"cos", TK_FUN, F_COS},
    {"cosh", TK_FUN, F_COSH},
    {"cot", TK_FUN, F_COT},
    {"csc", TK_FUN, F_CSC},
    {"cuberoot", TK_SQRT, 3},
    {"cup", TK_OP, 'U'},
    {"dbinom", TK_BINOM, 0},
    {"ddots", TK_DOTS, 0},
    {"degree", TK_DEG, 0},
    {"det", TK_FUN, F_DET},
    {"dfrac", TK_FRAC, 0},
    {"div", TK_OP, '/'},
    {"dot", TK_OVERLINE, 0},
    {"dots", TK_DOTS, 0},
    {"emptyset", TK_EMPTY, 0},
    {"equiv", TK_REL, REL_MOD},
    {"euro", TK_MONEY, 'E'},
    {"exp", TK_FUN, F_EXP},
    {"frac", TK_FRAC, 0},
    {"gcd", TK_FUN, F_GCD},
    {"ge", TK_REL, REL_GE},
    {"geq", TK_REL, REL_GE},
    {"geqq", TK_REL, REL_GE},
    {"geqslant", TK_REL, REL_GE},
    {"gt", TK_REL, REL_GT},
    {"iff", TK_BAD, 0},
    {"in", TK_REL, REL_IN},
    {"infty", TK_CONST, 'o'},
    {"land", TK_AND, 0},
    {"langle", TK_OPEN, 'a'},
    {"lbrace", TK_OPEN, 's'},
    {"lbrack", TK_OPEN, '['},
    {"lceil", TK_OPEN, 'c'},
    {"lcm", TK_FUN, F_LCM},
    {"ldots", TK_DOTS, 0},
    {"le", TK_REL, REL_LE},
    {"leq", TK_REL, REL_LE},
    {"leqq", TK_REL, REL_LE},
    {"leqslant", TK_REL, REL_LE},
    {"lfloor", TK_OPEN, 'f'},
    {"lg", TK_FUN, F_LOG},
    {"ln", TK_FUN, F_LN},
    {"log", TK_FUN, F_LOG},
    {"lor", TK_OR, 0},
    {"lt", TK_REL, REL_LT},
    {"lvert", TK_BAR, 0},
    {"max", TK_FUN, F_MAX},
    {"mid", TK_BAR, 0},
    {"min", TK_FUN, F_MIN},
    {"mod", TK_OP, '%'},
    {"mp", TK_OP, 'M'},
    {"ne", TK_REL, REL_NE},
    {"neq", TK_REL, REL_NE},
    {"over", TK_OVER, 0},
    {"overline", TK_OVERLINE, 0},
    {"pi", TK_CONST, 'p'},
    {"pm", TK_OP, 'P'},
    {"pmod", TK_PMOD, 0},
    {"pounds", TK_MONEY, 'P'},
    {"prime", TK_OP, '\''},
    {"prod", TK_SUM, F_PROD},
    {"rangle", TK_CLOSE, 'a'},
    {"rbrace", TK_CLOSE, 's'},
    {"rbrack", TK_CLOSE, '['},
    {"rceil", TK_CLOSE, 'c'},
    {"rfloor", TK_CLOSE, 'f'},
    {"rvert", TK_BAR, 0},
    {"sec", TK_FUN, F_SEC},
    {"setminus", TK_OP, '\\'},
    {"sim", TK_REL, REL_APPROX},
    {"simeq", TK_REL, REL_APPROX},
    {"sin", TK_FUN, F_SIN},
    {"sinh", TK_FUN, F_SINH},
    {"smallsetminus", TK_OP, '\\'},
    {"sqrt", TK_SQRT, 0},
    {"sum", TK_SUM, F_SUM},
    {"surd", TK_SQRT, 1},
    {"tan", TK_FUN, F_TAN},
    {"tanh", TK_FUN, F_TANH},
    {"tbinom", TK_BINOM, 0},
    {"textdegree", TK_DEG, 0},
    {"tfrac", TK_FRAC, 0},
    {"times", TK_OP, '*'},
    {"varnothing", TK_EMPTY, 0},
    {"vdots", TK_DOTS, 0},
    {"vee", TK_OR, 0},
    {"vert", TK_BAR, 0},
    {"wedge", TK_AND, 0},
    {"yen", TK_MONEY, 'Y'},
};

struct key {
    const char *s;
    int n;
};

static int compare(const void *a, const void *b) {
    const struct key *key = a;
    const char *name = ((const struct math_word *)b)->name;
    int c = strncmp(key->s, name, (size_t)key->n);
    return c ? c : -(name[key->n] != 0);
}

const struct math_word *math_find_word(const char *s, int n) {
    char lower[16];
    if (n >= (int)sizeof lower) return NULL;
    bool upper_tail = false;
    for (int i = 0; i < n; i++) {
        bool upper = s[i] >= 'A' && s[i] <= 'Z';
        upper_tail |= upper && i > 0;
        lower[i] = (char)(upper ? s[i] - 'A' + 'a' : s[i]);
    }
    if (upper_tail) return NULL; /* PI, MIN and the like are letters */
    struct key key = {lower, n};
    return bsearch(&key, words, sizeof words / sizeof *words, sizeof *words, compare);
}

const struct math_word *math_find_command(const char *s, int n) {
    struct key key = {s, n};
    return bsearch(&key, commands, sizeof commands / sizeof *commands, sizeof *commands,
                   compare);
}
