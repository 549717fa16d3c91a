/* reward/problem.c: see problem.h.
 *
 * Raw problem i of a generator is the first candidate of stream (seed, split, i) that
 * falls on the right side of the split. An endless set is the raw problems; a set with n
 * is the first n distinct ones, kept as the list of their raw numbers.
 */
#include "reward/problem.h"

#include <cjson/cJSON.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "reward/kind.h"

#define MAX_FILE_BYTES ((size_t)4 << 30)
#define TEST_SHARE 10    /* one key in so many is in test */
#define PROBES 32        /* raw problems an endless set must show when opened */
#define OPEN_TRIES 20000 /* candidates for each of them */
#define GET_TRIES (200 * OPEN_TRIES) /* later: plenty for any set that opened */
#define MAX_MISSES 1000000           /* repeated problems in a row before n is given up */

static const struct kind *const kinds[] = {
    &kind_countdown,      &kind_chain_sum,      &kind_products, &kind_gcd,
    &kind_number_sorting, &kind_spell_backward, &kind_gsm8k,    &kind_jsonl,
    &kind_code,
};
#define N_KINDS ((int)(sizeof kinds / sizeof *kinds))

struct problem_set {
    struct spec spec;
    int size;
    uint32_t *pick;        /* [size] raw numbers, owned; NULL for an endless set */
    struct problem *row;   /* [size], owned; NULL for a generator */
    struct arena arena;    /* the rows' texts */
    char *text, *alphabet; /* owned */
};

const struct kind *kind_at(int i) { return i >= 0 && i < N_KINDS ? kinds[i] : NULL; }

const struct kind *kind_find(const char *name) {
    for (int i = 0; i < N_KINDS; i++)
        if (strcmp(kinds[i]->name, name) == 0) return kinds[i];
    return NULL;
}

void kind_push_trace(struct buf *trace, const char *think, const char *answer) {
    buf_printf(trace, "<think>%s</think><answer>%s</answer>", think, answer);
}

int64_t dice_between(struct dice *dice, int64_t lo, int64_t hi) {
    CHECK(lo <= hi);
    return lo + (int64_t)rng_below(&dice->key, dice->position++, (uint64_t)(hi - lo) + 1);
}

int64_t dice_digits(struct dice *dice, struct spec_value digits) {
    int64_t low = 1;
    for (int64_t n = dice_between(dice, digits.lo, digits.hi); n > 1; n--) low *= 10;
    return dice_between(dice, low, low * 10 - 1);
}

void problem_text_reset(struct problem_text *t) {
    buf_reset(&t->key);
    buf_reset(&t->prompt);
    buf_reset(&t->gold);
    buf_reset(&t->trace);
    buf_reset(&t->columns);
}

void problem_text_clear(struct problem_text *t) {
    buf_clear(&t->key);
    buf_clear(&t->prompt);
    buf_clear(&t->gold);
    buf_clear(&t->trace);
    buf_clear(&t->columns);
}

/* The split is a property of the key alone: no seed and no parameter enters, so no choice
 * of either can bring a test problem into train. */
static bool in_split(const struct buf *key, enum spec_split split) {
    bool test = hash_bytes(buf_text(key), key->len, 0) % TEST_SHARE == 0;
    return split == SPLIT_ALL || test == (split == SPLIT_TEST);
}

/* Raw problem i: fills *d and *key. False where max_tries candidates were not enough. */
static bool draw_raw(const struct spec *s, uint32_t i, uint32_t max_tries,
                     struct draft *d, struct buf *key) {
    for (uint32_t k = 0; k < max_tries; k++) {
        struct dice dice = {{s->seed, RNG_PROBLEM, s->split == SPLIT_TEST, i, k}, 0};
        memset(d, 0, sizeof *d);
        if (!s->kind->draw(s->value, &dice, d)) continue;
        buf_reset(key);
        s->kind->key(d, key);
        if (!in_split(key, s->split)) continue;
        if (!s->kind->accept || s->kind->accept(d)) return true;
    }
    return false;
}

/* A set of 64-bit hashes with open addressing; cap is a power of two. */
struct seen {
    uint64_t *slot; /* [cap], 0 is empty */
    size_t cap;
};

/* True where hash was not in the set; it is now. */
static bool seen_add(struct seen *seen, uint64_t hash) {
    if (!hash) hash = 1;
    size_t i = hash & (seen->cap - 1);
    while (seen->slot[i] && seen->slot[i] != hash) i = (i + 1) & (seen->cap - 1);
    bool fresh = !seen->slot[i];
    seen->slot[i] = hash;
    return fresh;
}

/* The raw numbers of the first `wanted` distinct problems into pick; returns how many
 * were found before the repetitions made it hopeless. */
static int64_t pick_distinct(const struct spec *s, int64_t wanted, uint32_t *pick) {
    struct seen seen = {0};
    struct buf key = {0};
    struct draft d;
    int64_t found = 0, misses = 0;
    for (seen.cap = 64; seen.cap < (size_t)wanted * 2; seen.cap *= 2) {}
    seen.slot = mem_new(seen.cap, sizeof *seen.slot);
    for (uint32_t i = 0; found < wanted && i < UINT32_MAX; i++) {
        if (misses > 1000 + 30 * found || misses > MAX_MISSES) break;
        if (!draw_raw(s, i, OPEN_TRIES, &d, &key)) break;
        bool fresh = seen_add(&seen, hash_bytes(buf_text(&key), key.len, 1));
        misses = fresh ? 0 : misses + 1;
        if (fresh) pick[found++] = i;
    }
    mem_free(seen.slot);
    buf_clear(&key);
    return found;
}

static const char *split_name(const struct spec *s) {
    return s->split == SPLIT_TEST ? "test" : s->split == SPLIT_TRAIN ? "train" : "all";
}

const char *problem_set_split(const struct problem_set *set) { return split_name(&set->spec); }

const char *problem_set_checker(const struct problem_set *set) {
    return set->spec.kind->checker ? set->spec.kind->checker : "answer";
}

static int open_finite(struct problem_set *set, struct err *err) {
    const struct spec *s = &set->spec;
    int64_t wanted = (int64_t)s->n + s->offset;
    if (wanted > 100000000)
        return err_set(err, EX_CONFIG, "n + offset must be at most 100000000");
    uint32_t *pick = mem_new((size_t)wanted, sizeof *pick);
    int64_t found = pick_distinct(s, wanted, pick);
    if (found == wanted) {
        set->pick = mem_new((size_t)s->n, sizeof *pick);
        memcpy(set->pick, pick + s->offset, (size_t)s->n * sizeof *pick);
        set->size = s->n;
    }
    mem_free(pick);
    if (found == wanted) return 0;
    return err_set(err, found ? EX_CONFIG : EX_DATAERR,
                   "only %lld distinct problems found in split %s, %lld wanted: ask for "
                   "fewer or widen the parameters",
                   (long long)found, split_name(s), (long long)wanted);
}

static int open_endless(struct problem_set *set, struct err *err) {
    struct buf key = {0};
    struct draft d;
    bool good = true;
    for (uint32_t i = 0; i < PROBES && good; i++)
        good = draw_raw(&set->spec, i, OPEN_TRIES, &d, &key);
    buf_clear(&key);
    set->size = INT_MAX;
    if (good) return 0;
    return err_set(err, EX_DATAERR,
                   "no problem of split %s among %d candidates: "
                   "widen the parameters",
                   split_name(&set->spec), OPEN_TRIES);
}

/* The length of the UTF-8 sequence at s (its n bytes end before s[n]), 0 where there is
 * none: no overlong form, no surrogate, nothing past U+10FFFF. */
static size_t utf8_len(const char *text, size_t n) {
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80) return 1;
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len > n) return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)) return 0;
    if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0;
    return len;
}

static bool utf8_valid(const char *s, size_t n) {
    for (size_t i = 0, len; i < n; i += len) {
        len = utf8_len(s + i, n - i);
        if (!len) return false;
    }
    return true;
}

/* What of a line is no JSON object in clean UTF-8, NULL where it is one in *json. */
static const char *parse_line(const char *line, size_t n, cJSON **json) {
    const char *end = NULL;
    *json = NULL;
    if (strspn(line, " \t\r") == n) return "an empty line";
    if (memchr(line, 0, n)) return "a NUL byte";
    if (!utf8_valid(line, n)) return "not UTF-8";
    if (memmem(line, n, "\\u0000", 6)) return "an escaped NUL";
    *json = cJSON_ParseWithLengthOpts(line, n, &end, false);
    if (!*json) return "not JSON, or cut short";
    while (end < line + n && strchr(" \t\r", *end)) end++;
    if (end != line + n) return "more after the JSON";
    return cJSON_IsObject(*json) ? NULL : "not a JSON object";
}

static int read_line(const struct spec *s, const char *line, size_t n, int number,
                     struct problem_text *t, struct err *err) {
    cJSON *json;
    problem_text_reset(t);
    const char *flaw = parse_line(line, n, &json);
    int rc = flaw ? err_set(err, EX_DATAERR, "%s", flaw) : s->kind->row(json, t, err);
    if (rc == 0) buf_push(&t->columns, line, n);
    cJSON_Delete(json);
    return rc == 0 ? 0 : err_prefix(err, "%s:%d", s->file, number);
}

static void push_row(struct problem_set *set, int *cap, const struct problem_text *t) {
    if (set->size == *cap) {
        int grown = *cap ? *cap * 2 : 256;
        set->row = mem_resize(set->row, (size_t)*cap, (size_t)grown, sizeof *set->row);
        *cap = grown;
    }
    struct arena *a = &set->arena;
    struct problem *p = &set->row[set->size++];
    p->kind = set->spec.kind->name;
    p->key = arena_strdup(a, buf_text(&t->key));
    p->prompt = arena_strdup(a, buf_text(&t->prompt));
    p->gold = arena_strdup(a, buf_text(&t->gold));
    p->trace = t->trace.len ? arena_strdup(a, buf_text(&t->trace)) : NULL;
    p->columns = arena_strdup(a, buf_text(&t->columns));
}

static int read_rows(struct problem_set *set, const char *data, size_t n,
                     struct err *err) {
    const struct spec *s = &set->spec;
    struct problem_text t = {0};
    int rc = 0, cap = 0, number = 0, skipped = 0;
    for (size_t i = 0; i < n && rc == 0;) {
        const char *stop = memchr(data + i, '\n', n - i);
        size_t len = stop ? (size_t)(stop - data) - i : n - i;
        rc = read_line(s, data + i, len, ++number, &t, err);
        i += len + 1;
        if (rc != 0 || !in_split(&t.key, s->split)) continue;
        if (s->n && set->size == s->n) continue;
        if (skipped++ >= s->offset) push_row(set, &cap, &t);
    }
    problem_text_clear(&t);
    return rc;
}

static int open_file(struct problem_set *set, struct err *err) {
    const struct spec *s = &set->spec;
    char *data;
    size_t n;
    if (file_load(s->file, MAX_FILE_BYTES, &data, &n, err) != 0) return -1;
    int rc = read_rows(set, data, n, err);
    mem_free(data);
    if (rc != 0) return -1;
    if (s->n && set->size < s->n)
        return err_set(err, EX_DATAERR,
                       "%s: only %d problems in split %s after offset %d, "
                       "%d wanted",
                       s->file, set->size, split_name(s), s->offset, s->n);
    if (set->size) return 0;
    return err_set(err, EX_DATAERR, "%s: no problem in split %s after offset %d", s->file,
                   split_name(s), s->offset);
}

/* Code points seen so far, a bit each. */
struct charset {
    uint8_t bit[0x110000 / 8];
};

static void charset_add(struct charset *set, const char *text) {
    static const char *const tags[] = {"<think>", "</think>", "<answer>", "</answer>"};
    size_t n = strlen(text);
    for (size_t i = 0, len; i < n; i += len) {
        len = 0;
        for (int k = 0; k < 4; k++)
            if (strncmp(text + i, tags[k], strlen(tags[k])) == 0) len = strlen(tags[k]);
        if (len) continue;
        len = utf8_len(text + i, n - i);
        CHECK(len);
        uint32_t c = (unsigned char)text[i] & (len == 1 ? 0x7f : 0x7f >> len);
        for (size_t k = 1; k < len; k++) c = c << 6 | ((unsigned char)text[i + k] & 0x3f);
        set->bit[c / 8] |= (uint8_t)(1 << c % 8);
    }
}

static void push_utf8(struct buf *out, uint32_t c) {
    char s[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i; i--, c >>= 6) s[i] = (char)(0x80 | (c & 0x3f));
    s[0] = (char)(n == 1 ? c : (0xf00 >> n & 0xff) | c);
    buf_push(out, s, n);
}

/* By code point. The four tags are tokens of their own and add no characters. */
static char *make_alphabet(const struct problem_set *set) {
    struct charset *chars = mem_new(1, sizeof *chars);
    const struct kind *kind = set->spec.kind;
    struct buf out = {0};
    charset_add(chars, kind->alphabet ? kind->alphabet(set->spec.value) : "0123456789-.");
    for (int i = 0; set->row && i < set->size; i++) {
        charset_add(chars, set->row[i].prompt);
        if (!kind->alphabet) charset_add(chars, set->row[i].gold);
        if (set->row[i].trace) charset_add(chars, set->row[i].trace);
    }
    for (uint32_t c = 1; c < 0x110000; c++)
        if (chars->bit[c / 8] >> c % 8 & 1) push_utf8(&out, c);
    mem_free(chars);
    char *copy = mem_strdup(buf_text(&out));
    buf_clear(&out);
    return copy;
}

static int open_spec(struct problem_set *set, struct err *err) {
    const struct spec *s = &set->spec;
    if (s->file) return open_file(set, err);
    int rc = s->n ? open_finite(set, err) : open_endless(set, err);
    return rc == 0 ? 0 : err_prefix(err, "problems of kind %s", s->kind->name);
}

int problem_set_open(struct problem_set **set, const char *spec, uint64_t seed,
                     struct err *err) {
    struct problem_set *made = mem_new(1, sizeof *made);
    struct buf text = {0};
    *set = NULL;
    if (spec_parse(&made->spec, spec, seed, err) != 0 || open_spec(made, err) != 0) {
        problem_set_close(made);
        return -1;
    }
    spec_print(&made->spec, &text);
    made->text = mem_strdup(buf_text(&text));
    made->alphabet = make_alphabet(made);
    buf_clear(&text);
    *set = made;
    return 0;
}

void problem_set_close(struct problem_set *set) {
    if (!set) return;
    spec_clear(&set->spec);
    mem_free(set->pick);
    mem_free(set->row);
    arena_clear(&set->arena);
    mem_free(set->text);
    mem_free(set->alphabet);
    mem_free(set);
}

int problem_set_size(const struct problem_set *set) { return set->size; }

const char *problem_set_spec(const struct problem_set *set) { return set->text; }

const char *problem_set_alphabet(const struct problem_set *set) { return set->alphabet; }

/* A row lives as long as the set, but the contract is the arena, so it is copied. */
static void get_row(const struct problem_set *set, int i, struct arena *arena,
                    struct problem *out) {
    const struct problem *p = &set->row[i];
    const struct kind *kind = set->spec.kind;
    out->kind = kind->name;
    out->key = arena_strdup(arena, p->key);
    out->prompt = arena_strdup(arena, p->prompt);
    out->gold = arena_strdup(arena, p->gold);
    out->trace = arena_strdup(arena, p->trace);
    out->columns = arena_strdup(arena, p->columns);
    if (out->trace || !kind->retrace) return;
    struct buf trace = {0};
    kind->retrace(set->spec.value, p->prompt, &trace);
    if (trace.len) out->trace = arena_strdup(arena, buf_text(&trace));
    buf_clear(&trace);
}

void problem_set_get(const struct problem_set *set, int i, struct arena *arena,
                     struct problem *out) {
    CHECK(i >= 0 && i < set->size);
    if (set->row) {
        get_row(set, i, arena, out);
        return;
    }
    struct problem_text t = {0};
    struct draft d;
    const struct spec *s = &set->spec;
    uint32_t raw = set->pick ? set->pick[i] : (uint32_t)i + (uint32_t)s->offset;
    CHECK(draw_raw(s, raw, GET_TRIES, &d, &t.key));
    s->kind->write(s->value, &d, &t);
    out->kind = s->kind->name;
    out->key = arena_strdup(arena, buf_text(&t.key));
    out->prompt = arena_strdup(arena, buf_text(&t.prompt));
    out->gold = arena_strdup(arena, buf_text(&t.gold));
    out->trace = t.trace.len ? arena_strdup(arena, buf_text(&t.trace)) : NULL;
    out->columns = "{}";
    problem_text_clear(&t);
}

const char *problem_kind_name(int k) {
    const struct kind *kind = kind_at(k);
    return kind ? kind->name : NULL;
}

static char *help_text[N_KINDS]; /* made once, kept for the program's life */

static void make_help(void) {
    for (int k = 0; k < N_KINDS; k++) {
        struct buf out = {0};
        buf_printf(&out, "%s  %s", kinds[k]->name, kinds[k]->help);
        spec_print_params(kinds[k], &out);
        help_text[k] = mem_strdup(buf_text(&out));
        buf_clear(&out);
    }
}

const char *problem_kind_help(int k) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_help);
    return k >= 0 && k < N_KINDS ? help_text[k] : NULL;
}
