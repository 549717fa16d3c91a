/* reward/checker.c: see checker.h. */
#include "reward/checker.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "reward/answer.h"
#include "reward/checker_impl.h"
#include "reward/kind.h"

#define THINK "<think>"
#define THINK_END "</think>"
#define ANSWER "<answer>"
#define ANSWER_END "</answer>"

/* Where tag first stands in n bytes of s, NULL where it does not. */
static const char *find(const char *s, size_t n, const char *tag) {
    return n ? memmem(s, n, tag, strlen(tag)) : NULL;
}

static int count(const char *s, size_t n, const char *tag) {
    int found = 0;
    const char *end = s + n, *at = s;
    while ((at = find(at, (size_t)(end - at), tag))) {
        at += strlen(tag);
        found++;
    }
    return found;
}

const char *checker_after_thinking(const char *s, size_t n, size_t *n_tail) {
    const char *end = s + n, *tail = s, *at;
    while ((at = find(tail, (size_t)(end - tail), THINK_END))) {
        tail = at + strlen(THINK_END);
    }
    *n_tail = (size_t)(end - tail);
    return find(tail, *n_tail, THINK) ? NULL : tail;
}

const char *checker_answer_span(const char *completion, size_t n, size_t *n_answer) {
    size_t n_tail;
    *n_answer = 0;
    const char *tail = n ? checker_after_thinking(completion, n, &n_tail) : NULL;
    if (!tail || count(tail, n_tail, ANSWER) != 1 || count(tail, n_tail, ANSWER_END) != 1)
        return NULL;
    const char *from = find(tail, n_tail, ANSWER) + strlen(ANSWER);
    const char *to = find(tail, n_tail, ANSWER_END);
    if (to < from) return NULL;
    *n_answer = (size_t)(to - from);
    return answer_trim(from, n_answer);
}

static void score_answer(const struct problem *p, const char *text, size_t n,
                         struct verdict *out) {
    size_t n_answer;
    const struct kind *kind = kind_find(p->kind);
    if (!kind || kind->checker) {
        verdict_set(out, VERDICT_NOT_SCORABLE, 0, "no %s of kind \"%.60s\"",
                    kind ? "plain answers" : "problem", p->kind);
        return;
    }
    const char *answer = checker_answer_span(text, n, &n_answer);
    if (!answer) {
        verdict_set(out, VERDICT_UNPARSABLE, 0,
                    "not exactly one answer after the thinking");
    } else if (!n_answer) {
        verdict_set(out, VERDICT_UNPARSABLE, 0, "the answer is empty");
    } else {
        kind->score(p, answer, n_answer, out);
    }
}

/* Words where the gold has several, else characters: how many stand where the gold has
 * them, out of the longer of the two. */
static double share_in_place(const char *gold, const char *answer, size_t n_answer) {
    size_t n_gold = strlen(gold), i = 0, j = 0, same = 0, n[2] = {0};
    bool words = strchr(gold, ' ') != NULL;
    while (i < n_gold || j < n_answer) {
        size_t a = i, b = j;
        while (i < n_gold && (words ? gold[i] != ' ' : i == a)) i++;
        while (j < n_answer && (words ? answer[j] != ' ' : j == b)) j++;
        n[0] += i > a;
        n[1] += j > b;
        same += i > a && i - a == j - b && memcmp(gold + a, answer + b, i - a) == 0;
        if (words && i < n_gold) i++;
        if (words && j < n_answer) j++;
    }
    size_t longer = n[0] > n[1] ? n[0] : n[1];
    return longer ? (double)same / (double)longer : 0;
}

/* Part of the reward for part of the answer, where the gold is the one right answer. What
 * `answer` cannot parse gets nothing. */
static void score_partial(const struct problem *p, const char *text, size_t n,
                          struct verdict *out) {
    size_t n_answer;
    score_answer(p, text, n, out);
    if (out->status != VERDICT_OK || out->score >= 1) return;
    if (kind_find(p->kind)->many_answers) return;
    const char *answer = checker_answer_span(text, n, &n_answer);
    double share = share_in_place(p->gold, answer, n_answer);
    verdict_set(out, VERDICT_OK, share, "%.0f %% in place", 100 * share);
}

/* NULL where the text is one think block and one answer block and nothing else. */
static const char *format_flaw(const char *s, size_t n) {
    static const char *const tags[] = {THINK, THINK_END, ANSWER, ANSWER_END};
    const char *at[4], *end = s + n;
    for (int i = 0; i < 4; i++) {
        if (count(s, n, tags[i]) != 1) return "not exactly one of each tag";
        at[i] = find(s, n, tags[i]);
        if (i && at[i] < at[i - 1]) return "the tags are out of order";
    }
    size_t gap = (size_t)(at[2] - at[1]) - strlen(THINK_END);
    size_t n_answer = (size_t)(at[3] - at[2]) - strlen(ANSWER);
    if (at[0] != s) return "text before <think>";
    if (at[3] + strlen(ANSWER_END) != end) return "text after </answer>";
    answer_trim(at[1] + strlen(THINK_END), &gap);
    if (gap) return "text between </think> and <answer>";
    answer_trim(at[2] + strlen(ANSWER), &n_answer);
    return n_answer ? NULL : "the answer is empty";
}

static void score_format(const struct problem *p, const char *text, size_t n,
                         struct verdict *out) {
    (void)p;
    const char *flaw = format_flaw(text, n);
    verdict_set(out, VERDICT_OK, flaw ? 0 : 1, "%s", flaw ? flaw : "right");
}

static const struct checker checker_answer = {
    .name = "answer", .help = "the problem kind's own", .score = score_answer};
static const struct checker checker_format = {
    .name = "format", .version = "format/1", .shaping = true, .score = score_format,
    .help = "one think block, then one answer block, and nothing else"};
static const struct checker checker_partial = {
    .name = "partial", .version = "partial/1", .score = score_partial,
    .help = "the share of the answer's words or characters in their place"};
static const struct checker *const checkers[] = {
    &checker_answer,
    &checker_format,
    &checker_partial,
    &checker_math,
    &checker_code,
    &checker_tag_count,
    &checker_length,
    &checker_cosine,
    &checker_repetition_penalty,
    &checker_soft_overlong_punishment,
    &checker_language_consistency,
};
#define N_CHECKERS ((int)(sizeof checkers / sizeof *checkers))

const char *checker_name_at(int i) {
    return i >= 0 && i < N_CHECKERS ? checkers[i]->name : NULL;
}

int checker_find(const struct checker **c, const char *name, struct err *err) {
    *c = NULL;
    for (int i = 0; i < N_CHECKERS; i++)
        if (strcmp(checkers[i]->name, name) == 0) *c = checkers[i];
    if (*c) return 0;
    return err_set(err, EX_CONFIG, "no checker \"%.60s\"; the nearest is \"%s\"", name,
                   spec_nearest(name, checker_name_at));
}

const char *checker_name(const struct checker *c) { return c->name; }

const char *checker_version(const struct checker *c, const char *kind) {
    if (c->version) return c->version;
    const struct kind *k = kind_find(kind);
    return k ? k->version : NULL;
}

bool checker_is_shaping(const struct checker *c) { return c->shaping; }

bool checker_needs_answer(const struct checker *c) { return c->needs_answer; }

/* ---- options ------------------------------------------------------------------- */

/* The place of a text among "latin|greek|...", -1 where it is none of them. */
static int word_place(const char *words, const char *text) {
    size_t n = strlen(text);
    for (int i = 0; *words; i++) {
        size_t len = strcspn(words, "|");
        if (len == n && memcmp(words, text, n) == 0) return i;
        words += len + (words[len] == '|');
    }
    return -1;
}

static int read_option(const struct checker_option *o, const cJSON *json,
                       const char *where, double *value, struct err *err) {
    if (o->words) {
        const char *text;
        if (json_as_string(json, where, &text, err) != 0) return -1;
        int place = word_place(o->words, text);
        if (place < 0)
            return err_set(err, EX_CONFIG, "%s: must be one of %s, found \"%.60s\"", where,
                           o->words, text);
        *value = place;
        return 0;
    }
    if (!o->whole) return json_as_double(json, where, o->min, o->max, value, err);
    long long whole;
    if (json_as_int(json, where, (long long)o->min, (long long)o->max, &whole, err) != 0)
        return -1;
    *value = (double)whole;
    return 0;
}

int checker_read_options(const struct checker *c, const char *json, double *value,
                         struct err *err) {
    const char *keys[CHECKER_MAX_OPTIONS];
    cJSON *tree = NULL;
    int rc = -1;
    CHECK(c->n_options <= CHECKER_MAX_OPTIONS);
    for (int i = 0; i < c->n_options; i++) {
        keys[i] = c->option[i].name;
        value[i] = c->option[i].standard;
    }
    if (!json || !*json) return c->check ? c->check(value, err) : 0;
    if (json_parse(&tree, json, strlen(json), "options", 1, err) != 0) return -1;
    if (json_as_object(tree, "options", err) != 0) goto out;
    if (c->n_options == 0 && tree->child) {
        err_set(err, EX_CONFIG, "options: %s has none", c->name);
        goto out;
    }
    if (json_check_keys(tree, "options", keys, c->n_options, err) != 0) goto out;
    for (int i = 0; i < c->n_options; i++) {
        char where[JSON_WHERE_BYTES];
        const cJSON *item = json_find(tree, keys[i]);
        snprintf(where, sizeof where, "options.%s", keys[i]);
        if (item && read_option(&c->option[i], item, where, &value[i], err) != 0) goto out;
    }
    rc = c->check ? c->check(value, err) : 0;
out:
    json_free(tree);
    return rc;
}

void checker_print_help(int i, struct buf *out) {
    const struct checker *c = checkers[i];
    buf_printf(out, "  %-27s %s\n", c->name, c->help);
    for (int k = 0; k < c->n_options; k++) {
        const struct checker_option *o = &c->option[k];
        buf_printf(out, "    %-25s ", o->name);
        if (o->words) {
            int n = (int)o->standard;
            const char *word = o->words;
            while (n--) word += strcspn(word, "|") + 1;
            buf_printf(out, "%s  %.*s", o->words, (int)strcspn(word, "|"), word);
        } else {
            buf_printf(out, "%s %g to %g  %g", o->whole ? "integer" : "number", o->min,
                       o->max, o->standard);
        }
        buf_printf(out, "  %s\n", o->help);
    }
}

/* ---- scoring ------------------------------------------------------------------- */

void checker_score(const struct checker *c, const struct problem *p,
                   const char *completion, size_t n, struct verdict *out) {
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    if (c->score) {
        c->score(p, n ? completion : "", n, out);
    } else {
        struct completion one = {.text = n ? completion : "", .n_text = n};
        struct group g = {.problem = p, .completion = &one, .n = 1};
        double value[CHECKER_MAX_OPTIONS];
        struct err err;
        int rc = checker_read_options(c, NULL, value, &err);
        CHECK(rc == 0 && !c->open);
        c->score_group(NULL, value, &g, out);
    }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    out->ms =
        (double)(t1.tv_sec - t0.tv_sec) * 1e3 + (double)(t1.tv_nsec - t0.tv_nsec) * 1e-6;
}
