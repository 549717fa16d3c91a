/* reward/math_lex_words.c: the names that mean something: plain words and commands. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "reward/math_lex.h"

/* Words as people type them; lower-case, sorted. */
static const struct math_word words[] = {
    {"abs", TK_FUN, F_ABS},
    {"acos", TK_FUN, F_ACOS},
    {"acosh", TK_FUN, F_ACOSH},
    {"acot", TK_FUN, F_ACOT},
    {"and", TK_AND, 0},
    {"approx", TK_REL, REL_APPROX},
    {"arccos", TK_FUN, F_ACOS},
    {"arccosh", TK_FUN, F_ACOSH},
    {"arccot", TK_FUN, F_ACOT},
    {"arccsc", TK_FUN, F_ACSC},
    {"arcctg", TK_FUN, F_ACOT},
    {"arcosh", TK_FUN, F_ACOSH},
    {"arcsec", TK_FUN, F_ASEC},
    {"arcsin", TK_FUN, F_ASIN},
    {"arcsinh", TK_FUN, F_ASINH},
    {"arctan", TK_FUN, F_ATAN},
    {"arctanh", TK_FUN, F_ATANH},
    {"arctg", TK_FUN, F_ATAN},
    {"arsinh", TK_FUN, F_ASINH},
    {"artanh", TK_FUN, F_ATANH},
    {"asin", TK_FUN, F_ASIN},
    {"asinh", TK_FUN, F_ASINH},
    {"atan", TK_FUN, F_ATAN},
    {"atanh", TK_FUN, F_ATANH},
    {"ceil", TK_FUN, F_CEIL},
    {"cis", TK_FUN, F_CIS},
    {"cos", TK_FUN, F_COS},
    {"cosec", TK_FUN, F_CSC},
    {"cosh", TK_FUN, F_COSH},
    {"cot", TK_FUN, F_COT},
    {"csc", TK_FUN, F_CSC},
    {"ctg", TK_FUN, F_COT},
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
    {"arccosh", TK_FUN, F_ACOSH},
    {"arccot", TK_FUN, F_ACOT},
    {"arccsc", TK_FUN, F_ACSC},
    {"arcctg", TK_FUN, F_ACOT},
    {"arcosh", TK_FUN, F_ACOSH},
    {"arcsec", TK_FUN, F_ASEC},
    {"arcsin", TK_FUN, F_ASIN},
    {"arcsinh", TK_FUN, F_ASINH},
    {"arctan", TK_FUN, F_ATAN},
    {"arctanh", TK_FUN, F_ATANH},
    {"arctg", TK_FUN, F_ATAN},
    {"arg", TK_FUN, F_ARG},
    {"arsinh", TK_FUN, F_ASINH},
    {"artanh", TK_FUN, F_ATANH},
    {"ast", TK_OP, '*'},
    {"backslash", TK_OP, '\\'},
    {"bar", TK_OVERLINE, 0},
    {"bigcap", TK_OP, 'N'},
    {"bigcup", TK_OP, 'U'},
    {"binom", TK_BINOM, 0},
    {"bmod", TK_OP, '%'},
    {"bullet", TK_OP, '*'},
    {"cap", TK_OP, 'N'},
    {"cdot", TK_OP, '*'},
    {"cdots", TK_DOTS, 0},
    {"ceil", TK_FUN, F_CEIL},
    {"cfrac", TK_FRAC, 0},
    {"choose", TK_CHOOSE, 0},
    {"cis", TK_FUN, F_CIS},
    {"colon", TK_OP, ':'},
    {"cong", TK_REL, REL_MOD},
    {"cos", TK_FUN, F_COS},
    {"cosec", TK_FUN, F_CSC},
    {"cosh", TK_FUN, F_COSH},
    {"cot", TK_FUN, F_COT},
    {"csc", TK_FUN, F_CSC},
    {"ctg", TK_FUN, F_COT},
    {"cuberoot", TK_SQRT, 3},
    {"cup", TK_OP, 'U'},
    {"dbinom", TK_BINOM, 0},
    {"ddots", TK_DOTS, 0},
    {"deg", TK_DEG, 0},
    {"degree", TK_DEG, 0},
    {"degrees", TK_DEG, 0},
    {"det", TK_FUN, F_DET},
    {"dfrac", TK_FRAC, 0},
    {"div", TK_OP, '/'},
    {"dot", TK_OVERLINE, 0},
    {"dots", TK_DOTS, 0},
    {"dotsb", TK_DOTS, 0},
    {"dotsc", TK_DOTS, 0},
    {"emptyset", TK_EMPTY, 0},
    {"equiv", TK_REL, REL_MOD},
    {"euro", TK_MONEY, 'E'},
    {"exp", TK_FUN, F_EXP},
    {"exponentialE", TK_CONST, 'e'},
    {"floor", TK_FUN, F_FLOOR},
    {"frac", TK_FRAC, 0},
    {"gcd", TK_FUN, F_GCD},
    {"ge", TK_REL, REL_GE},
    {"geq", TK_REL, REL_GE},
    {"geqq", TK_REL, REL_GE},
    {"geqslant", TK_REL, REL_GE},
    {"gt", TK_REL, REL_GT},
    {"iff", TK_BAD, 0},
    {"imaginaryI", TK_CONST, 'i'},
    {"in", TK_REL, REL_IN},
    {"infinity", TK_CONST, 'o'},
    {"infty", TK_CONST, 'o'},
    {"land", TK_AND, 0},
    {"langle", TK_OPEN, 'a'},
    {"lbrace", TK_OPEN, 's'},
    {"lbrack", TK_OPEN, '['},
    {"lceil", TK_OPEN, 'c'},
    {"lcm", TK_FUN, F_LCM},
    {"ldots", TK_DOTS, 0},
    {"le", TK_REL, REL_LE},
    {"leftarrow", TK_BAD, 0},
    {"leftrightarrow", TK_BAD, 0},
    {"leq", TK_REL, REL_LE},
    {"leqq", TK_REL, REL_LE},
    {"leqslant", TK_REL, REL_LE},
    {"lfloor", TK_OPEN, 'f'},
    {"lg", TK_FUN, F_LOG},
    {"lgroup", TK_OPEN, '('},
    {"llcorner", TK_OPEN, 'f'},
    {"ln", TK_FUN, F_LN},
    {"log", TK_FUN, F_LOG},
    {"lor", TK_OR, 0},
    {"lrcorner", TK_CLOSE, 'f'},
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
    {"overbrace", TK_BAD, 0},
    {"overline", TK_OVERLINE, 0},
    {"overset", TK_BAD, 0},
    {"percent", TK_PERCENT, 0},
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
    {"rgroup", TK_CLOSE, '('},
    {"rightarrow", TK_BAD, 0},
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
    {"textgreater", TK_REL, REL_GT},
    {"textless", TK_REL, REL_LT},
    {"tfrac", TK_FRAC, 0},
    {"tg", TK_FUN, F_TAN},
    {"times", TK_OP, '*'},
    {"ulcorner", TK_OPEN, 'c'},
    {"urcorner", TK_CLOSE, 'c'},
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

/* ---- commands without a meaning of their own ---- */

static bool one_of(const char *s, int n, const char *list) {
    for (const char *at = list; *at;) {
        int len = (int)strcspn(at, " ");
        if (len == n && memcmp(at, s, (size_t)n) == 0) return true;
        at += len;
        while (*at == ' ') at++;
    }
    return false;
}

static const char text_fonts[] =
    "text textbf textrm textit texttt textsf textnormal textup mbox "
    "hbox emph textsc";
static const char fonts[] =
    "mathrm mathbf mathit mathsf mathtt mathcal mathscr boldsymbol bm operatorname rm bf "
    "it "
    "vec hat tilde widehat underline boxed fbox mathbb mathfrak bold overrightarrow pmb "
    "variable ensuremath";
static const char nothing[] =
    "left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr middle "
    "quad qquad "
    "enspace thinspace displaystyle textstyle scriptstyle limits nolimits hfill noindent "
    "nonumber notag mathstrut hline allowbreak centering large Large normalsize cdotp "
    "mathopen mathclose mathord mathbin mathrel mathop mleft mright tiny small huge Huge "
    "LARGE footnotesize displaylimits";
static const char with_argument[] =
    "hspace vspace phantom hphantom vphantom label tag color textcolor kern";
static const char letters[] =
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron "
    "rho sigma "
    "tau upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Sigma Upsilon Phi Psi "
    "Omega Pi "
    "varepsilon vartheta varphi varrho varsigma ell hbar partial nabla aleph angle "
    "triangle "
    "square Alpha Beta Epsilon Zeta Eta Iota Kappa Mu Nu Omicron Rho Tau Chi circ";

enum math_command math_command_class(const char *s, int n) {
    if (one_of(s, n, nothing)) return COMMAND_NOTHING;
    if (one_of(s, n, text_fonts)) return COMMAND_TEXT_FONT;
    if (one_of(s, n, fonts)) return COMMAND_FONT;
    if (one_of(s, n, with_argument)) return COMMAND_WITH_ARGUMENT;
    return one_of(s, n, letters) ? COMMAND_LETTER : COMMAND_UNKNOWN;
}

/* \quadx, \cdotx: TeX would not take them, people write them. */
int math_command_prefix(const char *s, int n) {
    for (int k = n - 1; k > 2; k--)
        if (math_find_command(s, k) || math_command_class(s, k) != COMMAND_UNKNOWN)
            return k;
    return 0;
}

/* ---- texts ---- */

static bool is_font(const char *s, int n) {
    enum math_command c = math_command_class(s, n);
    return c == COMMAND_TEXT_FONT || c == COMMAND_FONT || c == COMMAND_NOTHING;
}

const char *math_words(struct math_work *w, const char *s, size_t n) {
    char *out = arena_new(&w->arena, n + 2, 1);
    size_t k = 0;
    bool space = false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '\\' && i + 1 < n && isalpha((unsigned char)s[i + 1])) {
            size_t j = i + 1;
            while (j < n && isalpha((unsigned char)s[j])) j++;
            if (is_font(s + i + 1, (int)(j - i - 1))) {
                i = j - 1;
                continue;
            }
        } else if (c == '\\' && i + 1 < n && strchr(" ,;:!()[]", s[i + 1])) {
            i++;
            space = true;
            continue;
        }
        bool number = c == '.' && i + 1 < n && isdigit((unsigned char)s[i + 1]);
        if (isspace(c) || c == '~' || c == ',' || c == '"')
            space = true;
        else if (strchr("${}'`*", (char)c) || (c == '.' && !number))
            continue;
        else {
            if (space && k) out[k++] = ' ';
            space = false;
            out[k++] = c < 0x80 ? (char)tolower(c) : (char)c;
        }
    }
    return out;
}
