/* reward/shaping.c: tags, lengths and repetitions. See shaping.h for the formulas. */
#include "reward/shaping.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fmath.h"
#include "base/hash.h"
#include "base/mem.h"

void shaping_set(struct verdict *v, double score, double value, const char *fmt, ...) {
    char detail[sizeof v->detail];
    va_list args;
    va_start(args, fmt);
    vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    verdict_set(v, VERDICT_OK, score < 0 ? 0 : score > 1 ? 1 : score, "%s", detail);
    verdict_add_part(v, "value", value);
}

/* ---- tags ---------------------------------------------------------------------- */

/* Where tag stands in text if it stands there once, else NULL. */
static const char *only(const char *text, size_t n, const char *tag) {
    size_t len = strlen(tag);
    const char *at = n ? memmem(text, n, tag, len) : NULL;
    if (!at) return NULL;
    return memmem(at + len, (size_t)(text + n - at) - len, tag, len) ? NULL : at;
}

static void score_tags(const struct problem *p, const char *text, size_t n,
                       struct verdict *out) {
    static const char *const tags[] = {"<think>", "</think>", "<answer>", "</answer>"};
    const char *last = text;
    int found = 0;
    (void)p;
    for (int i = 0; i < 4; i++) {
        const char *at = only(text, n, tags[i]);
        if (!at || at < last) continue;
        if (i == 0 && at != text) continue;
        if (i == 3 && at + strlen(tags[i]) != text + n) continue;
        last = at;
        found++;
    }
    shaping_set(out, found / 4.0, found / 4.0, "%d of 4 tags in place", found);
}

const struct checker checker_tag_count = {
    .name = "tag_count", .version = "tag_count/1", .shaping = true, .score = score_tags,
    .help = "a quarter for each tag that stands once and in its place"};

/* ---- lengths ------------------------------------------------------------------- */

#define UNITS "tokens|characters"
enum { UNIT_TOKENS, UNIT_CHARACTERS };

/* Tokens, or characters of UTF-8 (bytes that continue none count too); -1: no tokens. */
static double length_of(const struct completion *c, double unit) {
    if (unit == UNIT_TOKENS) return c->id || c->n_text == 0 ? c->n_id : -1;
    size_t n = 0;
    for (size_t i = 0; i < c->n_text; i++) n += (c->text[i] & 0xc0) != 0x80;
    return (double)n;
}

/* What these formulas need of sample i; false with a verdict where it is not there. */
static bool know(const struct group *g, int i, double len, bool *right,
                 struct verdict *out) {
    const struct verdict *a = g->answer ? &g->answer[i] : NULL;
    const char *flaw = len < 0                       ? "its tokens are not known"
                       : !a || !verdict_has_score(a) ? "nothing is known of its answer"
                                                     : NULL;
    if (flaw) {
        verdict_set(out, VERDICT_NOT_SCORABLE, 0, "%s", flaw);
        return false;
    }
    *right = verdict_is_right(a);
    return true;
}

static void score_length(void *self, const double *value, const struct group *g,
                         struct verdict *out) {
    double min = INFINITY, max = 0;
    (void)self;
    for (int i = 0; i < g->n; i++) {
        double len = length_of(&g->completion[i], value[0]);
        min = len < min ? len : min;
        max = len > max ? len : max;
    }
    for (int i = 0; i < g->n; i++) {
        double len = length_of(&g->completion[i], value[0]), r = 0;
        bool right;
        if (!know(g, i, min < 0 ? min : len, &right, &out[i])) continue;
        if (max > min) r = 0.5 - (len - min) / (max - min);
        if (!right && r > 0) r = 0;
        shaping_set(&out[i], r + 0.5, r, "%.0f of %.0f to %.0f, %s", len, min, max,
                    right ? "right" : "wrong");
    }
}

static const struct checker_option length_options[] = {
    {"unit", 0, 1, UNIT_TOKENS, true, UNITS, "what is counted"},
};

const struct checker checker_length = {
    .name = "length", .version = "length/1", .shaping = true, .needs_answer = true,
    .help = "shorter than the rest of the group is better (Kimi k1.5)",
    .option = length_options, .n_options = 1, .score_group = score_length};

enum { COS_MAX_LEN, COS_UNIT, COS_MIN_WRONG, COS_MAX_WRONG, COS_MIN_RIGHT, COS_MAX_RIGHT,
       COS_N };

static const struct checker_option cosine_options[COS_N] = {
    {"max_len", 0, 1e9, 0, true, NULL, "where the curve ends; 0: max_completion_length"},
    {"unit", 0, 1, UNIT_TOKENS, true, UNITS, "what is counted"},
    {"min_value_wrong", -10, 10, -1, false, NULL, "a wrong answer of length 0"},
    {"max_value_wrong", -10, 10, -0.5, false, NULL, "a wrong answer of max_len"},
    {"min_value_correct", -10, 10, 0.5, false, NULL, "a right answer of max_len"},
    {"max_value_correct", -10, 10, 1, false, NULL, "a right answer of length 0"},
};

static int check_cosine(const double *value, struct err *err) {
    if (value[COS_UNIT] == UNIT_CHARACTERS && value[COS_MAX_LEN] == 0)
        return err_set(err, EX_CONFIG, "options.max_len: characters need one above 0");
    if (value[COS_MIN_WRONG] <= value[COS_MAX_WRONG] &&
        value[COS_MAX_WRONG] < value[COS_MIN_RIGHT] &&
        value[COS_MIN_RIGHT] <= value[COS_MAX_RIGHT])
        return 0;
    return err_set(err, EX_CONFIG,
                   "options: min_value_wrong <= max_value_wrong < min_value_correct <= "
                   "max_value_correct must hold, or a wrong answer may beat a right one");
}

static void score_cosine(void *self, const double *value, const struct group *g,
                         struct verdict *out) {
    double max_len = value[COS_MAX_LEN] > 0 ? value[COS_MAX_LEN] : g->max_tokens;
    double low = value[COS_MIN_WRONG], high = value[COS_MAX_RIGHT];
    (void)self;
    for (int i = 0; i < g->n; i++) {
        double len = length_of(&g->completion[i], value[COS_UNIT]);
        bool right;
        if (!know(g, i, max_len > 0 ? len : -1, &right, &out[i])) continue;
        double at = len < max_len ? len / max_len : 1;
        double from = value[right ? COS_MAX_RIGHT : COS_MIN_WRONG];
        double to = value[right ? COS_MIN_RIGHT : COS_MAX_WRONG];
        double r = to + 0.5 * (from - to) * (1 + fmath_cos(M_PI * at));
        shaping_set(&out[i], (r - low) / (high - low), r, "%.0f of %.0f, %s", len, max_len,
                    right ? "right" : "wrong");
    }
}

const struct checker checker_cosine = {
    .name = "cosine", .version = "cosine/1", .shaping = true, .needs_answer = true,
    .help = "short if right, long if wrong, along a cosine", .option = cosine_options,
    .n_options = COS_N, .check = check_cosine, .score_group = score_cosine};

enum { OVER_MAX_LEN, OVER_CACHE, OVER_N };

static const struct checker_option overlong_options[OVER_N] = {
    {"max_len", 0, 1e9, 0, true, NULL, "tokens; 0: max_completion_length"},
    {"cache", 0, 1e9, 0, true, NULL, "tokens before it that cost; 0: a quarter of it"},
};

static void score_overlong(void *self, const double *value, const struct group *g,
                           struct verdict *out) {
    double max_len = value[OVER_MAX_LEN] > 0 ? value[OVER_MAX_LEN] : g->max_tokens;
    double cache = value[OVER_CACHE] > 0 ? value[OVER_CACHE] : max_len / 4;
    (void)self;
    for (int i = 0; i < g->n; i++) {
        double len = length_of(&g->completion[i], UNIT_TOKENS), r = 0;
        if (len < 0 || max_len <= 0) {
            verdict_set(&out[i], VERDICT_NOT_SCORABLE, 0, "its tokens are not known");
            continue;
        }
        if (len > max_len - cache) r = (max_len - cache - len) / cache;
        if (r < -1) r = -1;
        shaping_set(&out[i], 1 + r, r, "%.0f of %.0f tokens", len, max_len);
    }
}

const struct checker checker_soft_overlong_punishment = {
    .name = "soft_overlong_punishment", .version = "soft_overlong_punishment/1",
    .shaping = true, .help = "a penalty that grows near the limit of tokens (DAPO)",
    .option = overlong_options, .n_options = OVER_N, .score_group = score_overlong};

/* ---- repetition ---------------------------------------------------------------- */

enum { WORD_BYTES = 32 };
#define REP_UNITS "words|tokens"
enum { REP_NGRAM, REP_UNIT, REP_N };
enum { REP_WORDS, REP_TOKENS };

static const struct checker_option repetition_options[REP_N] = {
    {"ngram_size", 1, 100, 3, true, NULL, "words or tokens in one n-gram"},
    {"unit", 0, 1, REP_WORDS, true, REP_UNITS, "what n-grams are made of"},
};

static bool is_space(char c) { return strchr(" \t\r\n\v\f", c) != NULL && c; }

/* A hash a word into out (NULL: only counts); returns how many. */
static size_t hash_words(const struct completion *c, uint64_t *out) {
    size_t n = 0, len = 0;
    char word[WORD_BYTES];
    for (size_t i = 0; i <= c->n_text; i++) {
        bool end = i == c->n_text || is_space(c->text[i]);
        if (len && (end || len == WORD_BYTES)) {
            if (out) out[n] = hash_bytes(word, len, 0);
            n++, len = 0;
        }
        if (end) continue;
        char b = c->text[i];
        word[len++] = b >= 'A' && b <= 'Z' ? (char)(b + 32) : b;
    }
    return n;
}

/* How many of the n hashes differ. */
static size_t count_distinct(const uint64_t *hash, size_t n) {
    size_t cap = 64, distinct = 0;
    while (cap < 2 * n) cap *= 2;
    uint64_t *slot = mem_new(cap, sizeof *slot);
    for (size_t k = 0; k < n; k++) {
        uint64_t h = hash[k] ? hash[k] : 1;
        size_t i = h & (cap - 1);
        while (slot[i] && slot[i] != h) i = (i + 1) & (cap - 1);
        distinct += !slot[i];
        slot[i] = h;
    }
    mem_free(slot);
    return distinct;
}

static void score_one_repetition(const struct completion *c, const double *value,
                                 struct verdict *out) {
    bool words = value[REP_UNIT] == REP_WORDS;
    size_t size = (size_t)value[REP_NGRAM];
    size_t n = words ? hash_words(c, NULL) : (size_t)c->n_id;
    if (n < size) {
        shaping_set(out, 1, 0, "fewer than %zu %s", size, words ? "words" : "tokens");
        return;
    }
    uint64_t *unit = mem_new(n, sizeof *unit);
    if (words) hash_words(c, unit);
    for (size_t i = 0; !words && i < n; i++) unit[i] = (uint64_t)c->id[i];
    size_t total = n - size + 1;
    /* each n-gram's hash takes the place of its first unit */
    for (size_t i = 0; i < total; i++)
        unit[i] = hash_bytes(&unit[i], size * sizeof *unit, 0);
    double share = (double)count_distinct(unit, total) / (double)total;
    mem_free(unit);
    shaping_set(out, share, share - 1, "%.0f %% of %zu n-grams differ", 100 * share, total);
}

static void score_repetition(void *self, const double *value, const struct group *g,
                             struct verdict *out) {
    (void)self;
    for (int i = 0; i < g->n; i++) {
        if (value[REP_UNIT] == REP_TOKENS && length_of(&g->completion[i], UNIT_TOKENS) < 0)
            verdict_set(&out[i], VERDICT_NOT_SCORABLE, 0, "its tokens are not known");
        else
            score_one_repetition(&g->completion[i], value, &out[i]);
    }
}

const struct checker checker_repetition_penalty = {
    .name = "repetition_penalty", .version = "repetition_penalty/1", .shaping = true,
    .help = "the share of n-grams that are not repetitions", .option = repetition_options,
    .n_options = REP_N, .score_group = score_repetition};
