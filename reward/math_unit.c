/* reward/math_unit.c: see math_unit.h. */
#include "reward/math_unit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *word; /* lower case */
    const char *name; /* canonical */
    int power;
};

/* Sorted by word. Plurals in -s are derived. */
static const struct unit units[] = {
    {"acre", "acre", 1},
    {"am", "am", 1},
    {"amp", "ampere", 1},
    {"ampere", "ampere", 1},
    {"buck", "usd", 1},
    {"cal", "calorie", 1},
    {"calorie", "calorie", 1},
    {"cc", "cm", 3},
    {"celsius", "celsius", 1},
    {"cent", "cent", 1},
    {"centimeter", "cm", 1},
    {"centimetre", "cm", 1},
    {"century", "century", 1},
    {"cm", "cm", 1},
    {"day", "day", 1},
    {"decade", "decade", 1},
    {"deg", "degree", 1},
    {"degree", "degree", 1},
    {"dollar", "usd", 1},
    {"dozen", "dozen", 1},
    {"dozens", "dozen", 1},
    {"eur", "eur", 1},
    {"euro", "eur", 1},
    {"fahrenheit", "fahrenheit", 1},
    {"feet", "foot", 1},
    {"foot", "foot", 1},
    {"ft", "foot", 1},
    {"gal", "gallon", 1},
    {"gallon", "gallon", 1},
    {"gb", "gb", 1},
    {"gm", "g", 1},
    {"gram", "g", 1},
    {"ha", "hectare", 1},
    {"hectare", "hectare", 1},
    {"hertz", "hz", 1},
    {"hour", "hour", 1},
    {"hr", "hour", 1},
    {"hrs", "hour", 1},
    {"hz", "hz", 1},
    {"in", "inch", 1},
    {"inch", "inch", 1},
    {"inches", "inch", 1},
    {"joule", "joule", 1},
    {"kb", "kb", 1},
    {"kelvin", "kelvin", 1},
    {"kg", "kg", 1},
    {"kilogram", "kg", 1},
    {"kilometer", "km", 1},
    {"kilometre", "km", 1},
    {"kilowatt", "kw", 1},
    {"km", "km", 1},
    {"kmh", "km hour^-1", 0},
    {"kmph", "km hour^-1", 0},
    {"knot", "knot", 1},
    {"kph", "km hour^-1", 0},
    {"kw", "kw", 1},
    {"lb", "pound", 1},
    {"liter", "liter", 1},
    {"litre", "liter", 1},
    {"mb", "mb", 1},
    {"meter", "m", 1},
    {"metre", "m", 1},
    {"mg", "mg", 1},
    {"mi", "mile", 1},
    {"mile", "mile", 1},
    {"milligram", "mg", 1},
    {"milliliter", "ml", 1},
    {"millilitre", "ml", 1},
    {"millimeter", "mm", 1},
    {"millimetre", "mm", 1},
    {"min", "minute", 1},
    {"minute", "minute", 1},
    {"ml", "ml", 1},
    {"mm", "mm", 1},
    {"mole", "mole", 1},
    {"month", "month", 1},
    {"mph", "mile hour^-1", 0},
    {"ms", "ms", 1},
    {"newton", "newton", 1},
    {"ohm", "ohm", 1},
    {"ounce", "ounce", 1},
    {"oz", "ounce", 1},
    {"pint", "pint", 1},
    {"pm", "pm", 1},
    {"pound", "pound", 1},
    {"quart", "quart", 1},
    {"rad", "radian", 1},
    {"radian", "radian", 1},
    {"rupee", "rupee", 1},
    {"sec", "second", 1},
    {"second", "second", 1},
    {"ton", "ton", 1},
    {"tonne", "tonne", 1},
    {"usd", "usd", 1},
    {"volt", "volt", 1},
    {"watt", "watt", 1},
    {"week", "week", 1},
    {"yard", "yard", 1},
    {"yd", "yard", 1},
    {"year", "year", 1},
    {"yen", "yen", 1},
    {"yr", "year", 1},
};

/* Symbols of one letter, only inside \text. */
static const struct unit symbols[] = {
    {"c", "celsius", 1}, {"f", "fahrenheit", 1}, {"g", "g", 1},      {"h", "hour", 1},
    {"l", "liter", 1},   {"m", "m", 1},          {"s", "second", 1}, {"v", "volt", 1},
    {"w", "watt", 1},    {"n", "newton", 1},     {"j", "joule", 1},
};

static int compare(const void *a, const void *b) {
    return strcmp(a, ((const struct unit *)b)->word);
}

static const struct unit *find_exact(const char *word) {
    return bsearch(word, units, sizeof units / sizeof *units, sizeof *units, compare);
}

static const struct unit *find(const char *word) {
    char stem[24];
    size_t n = strlen(word);
    const struct unit *u = find_exact(word);
    for (size_t k = 0; n == 1 && k < sizeof symbols / sizeof *symbols; k++)
        if (symbols[k].word[0] == word[0]) return &symbols[k];
    if (u || n < 3 || n >= sizeof stem || word[n - 1] != 's') return u;
    memcpy(stem, word, n + 1);
    stem[n - 1] = 0;
    return find_exact(stem);
}

bool math_unit_is_known(const char *s, int n) {
    char word[24];
    if (n < 2 || n >= (int)sizeof word) return false;
    for (int k = 0; k < n; k++) word[k] = (char)tolower((unsigned char)s[k]);
    word[n] = 0;
    bool ordinal = n == 2 && (strcmp(word, "th") == 0 || strcmp(word, "st") == 0 ||
                              strcmp(word, "nd") == 0 || strcmp(word, "rd") == 0);
    return ordinal || find(word) != NULL;
}

/* Words that turn a number into something else than so many of a thing. */
static bool is_spoiler(const char *word) {
    static const char *const spoilers[] = {
        "or",       "and",           "not",       "if",        "than",
        "more",     "less",          "when",      "but",       "except",
        "least",    "most",          "about",     "wrong",     "incorrect",
        "isnt",     "unless",        "otherwise", "maybe",     "either",
        "fewer",    "approximately", "between",   "plus",      "minus",
        "times",    "over",          "thousand",  "million",   "billion",
        "trillion", "hundred",       "half",      "halves",    "third",
        "thirds",   "quarters",      "fourths",   "fifths",    "up",
        "above",    "below",         "greater",   "to",        "false",
        "base",     "factorial",     "no",        "none",      "never",
        "non",      "without",       "modulo",    "remainder", NULL};
    for (int k = 0; spoilers[k]; k++)
        if (strcmp(spoilers[k], word) == 0) return true;
    return false;
}

/* Of these, what may be counted where a bracket says so: 9 (quarters). */
static bool is_countable(const char *word) {
    static const char *const words[] = {"times", "quarters", "halves", "thirds", NULL};
    for (int k = 0; words[k]; k++)
        if (strcmp(words[k], word) == 0) return true;
    return false;
}

struct parsed {
    char known[96], label[200];
    int words, sign, next_power;
    bool bracket; /* the phrase stood in one */
};

static void add_known(struct parsed *p, const struct unit *u, int power) {
    size_t at = strlen(p->known);
    const char *gap = at ? " " : "";
    int e = u->power * power;
    if (u->power == 0)
        snprintf(p->known + at, sizeof p->known - at, "%s%s", gap, u->name);
    else if (e == 1)
        snprintf(p->known + at, sizeof p->known - at, "%s%s", gap, u->name);
    else
        snprintf(p->known + at, sizeof p->known - at, "%s%s^%d", gap, u->name, e);
}

static void add_label(struct parsed *p, const char *word) {
    size_t at = strlen(p->label), n = strlen(word);
    bool plural = n > 3 && word[n - 1] == 's' && word[n - 2] != 's';
    snprintf(p->label + at, sizeof p->label - at, "%s%.*s", at ? " " : "",
             (int)(plural ? n - 1 : n), word);
}

/* One word of a phrase; false where the phrase is no unit. */
static bool add_word(struct parsed *p, const char *word, bool final, int power) {
    int modifier = strcmp(word, "square") == 0 || strcmp(word, "sq") == 0  ? 2
                   : strcmp(word, "cubic") == 0 || strcmp(word, "cu") == 0 ? 3
                                                                           : 0;
    bool suffix2 = strcmp(word, "squared") == 0, suffix3 = strcmp(word, "cubed") == 0;
    const struct unit *u = find(word);
    bool counted = p->bracket && is_countable(word);
    if (strcmp(word, "(") == 0) {
        p->bracket = true;
        return true;
    }
    if ((is_spoiler(word) && !counted) || ++p->words > 5) return false;
    if (modifier) {
        p->next_power = modifier;
    } else if ((suffix2 || suffix3) && p->known[0]) {
        size_t at = strlen(p->known);
        snprintf(p->known + at, sizeof p->known - at, "^%d", suffix2 ? 2 : 3);
    } else if (strcmp(word, "per") == 0 || strcmp(word, "an") == 0) {
        p->sign = -1;
    } else if (u) {
        int own = p->next_power ? p->next_power : final ? power : 1;
        add_known(p, u, p->sign * own);
        p->next_power = 0;
    } else if (strcmp(word, "unit") != 0 && strcmp(word, "units") != 0 &&
               strcmp(word, "of") != 0 && strcmp(word, "the") != 0 &&
               strcmp(word, "a") != 0) {
        add_label(p, word);
    }
    return true;
}

const char *math_unit_canon(struct math_work *w, const char *phrase, int n, int power) {
    struct parsed p = {.sign = 1};
    char word[64];
    p.bracket = n == 5 && memcmp(phrase, "times", 5) == 0;
    for (int i = 0; i < n;) {
        int k = 0;
        while (i < n && phrase[i] == ' ') i++;
        while (i < n && phrase[i] != ' ' && k < (int)sizeof word - 1)
            word[k++] = phrase[i++];
        while (i < n && phrase[i] != ' ') i++;
        word[k] = 0;
        if (k && !add_word(&p, word, i >= n, power)) return NULL;
    }
    if (p.known[0]) return arena_strdup(&w->arena, p.known);
    if (!p.label[0]) return "";
    char *out = arena_new(&w->arena, strlen(p.label) + 2, 1);
    out[0] = '#';
    memcpy(out + 1, p.label, strlen(p.label));
    return out;
}

/* Every word of a label among those of b's. */
static bool words_within(const char *a, const char *b) {
    size_t n_b = strlen(b);
    for (const char *at = a; *at;) {
        size_t n = strcspn(at, " ");
        bool found = false;
        for (size_t i = 0; i + n <= n_b && !found; i++)
            found = (i == 0 || b[i - 1] == ' ') && strncmp(b + i, at, n) == 0 &&
                    (b[i + n] == 0 || b[i + n] == ' ');
        if (!found) return false;
        at += n;
        while (*at == ' ') at++;
    }
    return true;
}

/* a is a currency, b the same with something more: dollars, dollars a cup. */
static bool more_of_money(const char *a, const char *b) {
    size_t n = strlen(a);
    bool money = strcmp(a, "usd") == 0 || strcmp(a, "eur") == 0 ||
                 strcmp(a, "gbp") == 0 || strcmp(a, "yen") == 0 || strcmp(a, "cent") == 0;
    return money && strncmp(a, b, n) == 0 && b[n] == ' ';
}

enum math_unit_match math_unit_compare(const char *a, const char *b) {
    if (strcmp(a, b) == 0) return UNIT_SAME;
    if (!*a || !*b) return UNIT_ONE_MISSING;
    if (strcmp(a, "cent") == 0 && strcmp(b, "usd") == 0) return UNIT_CENTS_OF_DOLLARS;
    if (strcmp(a, "usd") == 0 && strcmp(b, "cent") == 0) return UNIT_DOLLARS_OF_CENTS;
    if (*a == '#' && *b == '#' &&
        (words_within(a + 1, b + 1) || words_within(b + 1, a + 1)))
        return UNIT_SAME;
    /* 3 dollars for 3 dollars a cup, but not 5 km for 5 km an hour */
    return more_of_money(a, b) || more_of_money(b, a) ? UNIT_ONE_MISSING : UNIT_DIFFERENT;
}
