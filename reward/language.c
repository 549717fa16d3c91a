/* reward/language.c: language_consistency. See shaping.h.
 *
 * PCRE2 knows the Unicode scripts. One pattern walks over tags, LaTeX commands and words;
 * its group 1 is there where a word is all in the target's script.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "reward/shaping.h"

/* In the order of SCRIPTS; what stands between the brackets of a class. */
#define SCRIPTS                                                                          \
    "latin|greek|cyrillic|arabic|hebrew|devanagari|bengali|tamil|thai|georgian|armenian|" \
    "chinese|japanese|korean"
static const char *const script_class[] = {
    "\\p{Latin}", "\\p{Greek}", "\\p{Cyrillic}", "\\p{Arabic}", "\\p{Hebrew}",
    "\\p{Devanagari}", "\\p{Bengali}", "\\p{Tamil}", "\\p{Thai}", "\\p{Georgian}",
    "\\p{Armenian}", "\\p{Han}", "\\p{Han}\\p{Hiragana}\\p{Katakana}", "\\p{Hangul}"};
enum { N_SCRIPTS = sizeof script_class / sizeof *script_class };

/* Written without spaces: each is a word. */
#define ALONE "[\\p{Han}\\p{Hiragana}\\p{Katakana}]"
#define LETTER "(?!" ALONE ")[\\p{L}\\p{M}]"

static pcre2_code *compiled[N_SCRIPTS]; /* once, for the program's life */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static pcre2_code *compile(const char *script) {
    char pattern[512];
    int code;
    PCRE2_SIZE at;
    snprintf(pattern, sizeof pattern,
             "</?(?:think|answer)>|\\\\[A-Za-z]+|((?=[%s])" ALONE "\\p{M}*+|"
             "(?:(?!" ALONE ")[%s\\p{M}])++(?!" LETTER "))|" ALONE "\\p{M}*+|(?:" LETTER ")++",
             script, script);
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_MATCH_INVALID_UTF, &code, &at, NULL);
    CHECK(re);
    return re;
}

static const pcre2_code *pattern_of(int script) {
    pthread_mutex_lock(&lock);
    if (!compiled[script]) compiled[script] = compile(script_class[script]);
    pthread_mutex_unlock(&lock);
    return compiled[script];
}

/* The last </think> ends the chain; without one all is chain. */
static size_t chain_length(const char *text, size_t n) {
    static const char end[] = "</think>";
    size_t found = 0, len = sizeof end - 1;
    for (const char *at = text; n >= len; at++) {
        at = memmem(at, (size_t)(text + n - at), end, len);
        if (!at) break;
        found = (size_t)(at - text) + len;
    }
    return found ? found : n;
}

/* Words, and those of the target; -1 where a budget of the matcher ran out. */
static int count_words(const pcre2_code *re, pcre2_match_data *match, const char *text,
                       size_t n, size_t *all, size_t *target) {
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(match);
    *all = *target = 0;
    for (size_t at = 0; at < n;) {
        int rc = pcre2_match(re, (PCRE2_SPTR)text, n, at, 0, match, NULL);
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc < 0) return -1;
        at = range[1];
        if (text[range[0]] == '<' || text[range[0]] == '\\') continue;
        (*all)++;
        *target += rc == 2;
    }
    return 0;
}

static void score_language(void *self, const double *value, const struct group *g,
                           struct verdict *out) {
    const pcre2_code *re = pattern_of((int)value[0]);
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(re, NULL);
    (void)self;
    CHECK(match);
    for (int i = 0; i < g->n; i++) {
        const struct completion *c = &g->completion[i];
        size_t all, target;
        if (count_words(re, match, c->text, chain_length(c->text, c->n_text), &all,
                        &target) != 0) {
            verdict_set(&out[i], VERDICT_LIMIT, 0, "the text is too hard to cut into words");
            continue;
        }
        double share = all ? (double)target / (double)all : 0;
        shaping_set(&out[i], share, share, "%zu of %zu words", target, all);
    }
    pcre2_match_data_free(match);
}

static const struct checker_option options[] = {
    {"script", 0, N_SCRIPTS - 1, 0, true, SCRIPTS, "of the target language"},
};

const struct checker checker_language_consistency = {
    .name = "language_consistency", .version = "language_consistency/1", .shaping = true,
    .help = "share of the chain's words in the target's script (DeepSeek-R1)",
    .option = options, .n_options = 1, .score_group = score_language};
