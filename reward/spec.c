/* reward/spec.c: see spec.h. */
#include "reward/spec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "reward/kind.h"

#define MAX_NAME 40

enum { COMMON_SPLIT, COMMON_N, COMMON_OFFSET, COMMON_SEED, N_COMMON };

/* seed is 64 bits wide and unsigned, so it is read apart from this table. */
static const struct spec_param common[N_COMMON] = {
    {"split", SPEC_WORD, {0, 2}, {0, 0}, "train|test|all", true,
     "which side of the split; all is for files"},
    {"n", SPEC_INT, {1, 10000000}, {0, 0}, NULL, true,
     "how many; generated ones all differ"},
    {"offset", SPEC_INT, {0, 1000000000}, {0, 0}, NULL, true,
     "how many are skipped first"},
    {"seed", SPEC_INT, {0, 0}, {0, 0}, NULL, false, "instead of the run's seed"},
};

static size_t edit_distance(const char *a, const char *b) {
    size_t n = strlen(b), row[MAX_NAME + 1];
    if (n > MAX_NAME) return MAX_NAME;
    for (size_t k = 0; k <= n; k++) row[k] = k;
    for (size_t i = 1; *a && i <= MAX_NAME; a++, i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t k = 1; k <= n; k++) {
            size_t best = diagonal + (*a != b[k - 1]);
            diagonal = row[k];
            if (row[k] + 1 < best) best = row[k] + 1;
            if (row[k - 1] + 1 < best) best = row[k - 1] + 1;
            row[k] = best;
        }
    }
    return row[n];
}

const char *spec_nearest(const char *name, const char *(*at)(int i)) {
    const char *best = at(0);
    for (int i = 1; at(i); i++)
        if (edit_distance(name, at(i)) < edit_distance(name, best)) best = at(i);
    return best;
}

static const struct spec_param *param_at(const struct kind *kind, bool file, int i) {
    for (int k = 0; k < kind->n_params + N_COMMON; k++) {
        const struct spec_param *p =
            k < kind->n_params ? &kind->param[k] : &common[k - kind->n_params];
        if ((!file || p->for_files) && i-- == 0) return p;
    }
    return NULL;
}

static const struct spec_param *param_find(const struct kind *kind, bool file,
                                           const char *name, struct err *err) {
    const struct spec_param *p, *near = NULL;
    for (int i = 0; (p = param_at(kind, file, i)); i++) {
        if (strcmp(p->name, name) == 0) return p;
        if (!near || edit_distance(name, p->name) < edit_distance(name, near->name))
            near = p;
    }
    err_set(err, EX_CONFIG, "no parameter \"%.40s\"%s; the nearest is \"%s\"", name,
            file ? " for a file" : "", near->name);
    return NULL;
}

/* An integer at *s, which is moved past it. */
static bool read_int(const char **s, int64_t *out) {
    char *end;
    if (**s < '0' || **s > '9') return false;
    errno = 0;
    *out = strtoll(*s, &end, 10);
    *s = end;
    return errno == 0;
}

static bool read_word(const char *words, const char *text, struct spec_value *v) {
    size_t n = strlen(text);
    for (int64_t i = 0; *words; i++) {
        size_t len = strcspn(words, "|");
        if (len == n && memcmp(words, text, n) == 0) {
            v->lo = v->hi = i;
            return true;
        }
        words += len + (words[len] == '|');
    }
    return false;
}

static int read_value(const struct spec_param *p, const char *text, struct spec_value *v,
                      struct err *err) {
    if (p->type == SPEC_WORD) {
        if (read_word(p->words, text, v)) return 0;
        return err_set(err, EX_CONFIG, "%s=%.40s: it must be one of %s", p->name, text,
                       p->words);
    }
    const char *at = text;
    bool good = read_int(&at, &v->lo);
    v->hi = v->lo;
    if (good && p->type == SPEC_RANGE && *at == '-') {
        at++;
        good = read_int(&at, &v->hi);
    }
    if (good && !*at && p->valid.lo <= v->lo && v->lo <= v->hi && v->hi <= p->valid.hi)
        return 0;
    return err_set(err, EX_CONFIG,
                   "%s=%.40s: it must be an integer%s from %" PRId64 " to %" PRId64,
                   p->name, text,
                   p->type == SPEC_RANGE ? ", or a range such as 2-4," : "", p->valid.lo,
                   p->valid.hi);
}

static int read_seed(const char *text, uint64_t *seed, struct err *err) {
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno)
        return err_set(err, EX_CONFIG,
                       "seed=%.40s: it must be an integer from 0 to %" PRIu64, text,
                       UINT64_MAX);
    *seed = value;
    return 0;
}

static int set_param(struct spec *s, char *part, uint64_t *seen, struct err *err) {
    char *equals = strchr(part, '=');
    if (!equals || equals == part)
        return err_set(err, EX_CONFIG, "\"%.60s\": it must be key=value", part);
    *equals = 0;
    const struct spec_param *p = param_find(s->kind, s->file != NULL, part, err);
    if (!p) return -1;
    bool is_common = p >= common && p < common + N_COMMON;
    int place = is_common ? (int)(p - common) : (int)(p - s->kind->param);
    uint64_t bit = 1ull << (place + (is_common ? 32 : 0));
    if (*seen & bit) return err_set(err, EX_CONFIG, "%s is given twice", p->name);
    *seen |= bit;
    if (is_common && place == COMMON_SEED) return read_seed(equals + 1, &s->seed, err);
    struct spec_value v = {0, 0};
    if (read_value(p, equals + 1, &v, err) != 0) return -1;
    if (!is_common) s->value[place] = v;
    else if (place == COMMON_SPLIT) s->split = (enum spec_split)v.lo;
    else if (place == COMMON_N) s->n = (int)v.lo;
    else s->offset = (int)v.lo;
    return 0;
}

/* Whether the first part names a file: no '=', or a '/' before it. */
static bool is_file(const char *rest) {
    size_t n = strcspn(rest, ",");
    const char *equals = memchr(rest, '=', n), *slash = memchr(rest, '/', n);
    return !equals || (slash && slash < equals);
}

static int parse_rest(struct spec *s, char *rest, struct err *err) {
    uint64_t seen = 0;
    char *next = rest;
    if (is_file(rest)) {
        char *path = strsep(&next, ",");
        if (!*path) return err_set(err, EX_CONFIG, "nothing follows the colon");
        if (!s->kind->row)
            return err_set(err, EX_CONFIG,
                           "\"%.60s\" is no key=value, and %s problems are not read "
                           "from files",
                           path, s->kind->name);
        s->file = mem_strdup(path);
        s->split = SPLIT_ALL;
    }
    while (next) {
        char *part = strsep(&next, ",");
        if (set_param(s, part, &seen, err) != 0) return -1;
    }
    return 0;
}

static const char *name_at(int i) {
    const struct kind *kind = kind_at(i);
    return kind ? kind->name : NULL;
}

static int parse(struct spec *s, char *text, struct err *err) {
    char *rest = text, *name = strsep(&rest, ":");
    s->kind = kind_find(name);
    if (!s->kind)
        return err_set(err, EX_CONFIG, "no problem kind \"%.60s\"; the nearest is \"%s\"",
                       name, spec_nearest(name, name_at));
    CHECK(s->kind->n_params <= SPEC_MAX_PARAMS);
    for (int i = 0; i < s->kind->n_params; i++) s->value[i] = s->kind->param[i].standard;
    if (rest && parse_rest(s, rest, err) != 0) return -1;
    if (!s->file && !s->kind->draw)
        return err_set(err, EX_CONFIG, "%s needs a file: %s:FILE", name, name);
    if (!s->file && s->split == SPLIT_ALL)
        return err_set(err, EX_CONFIG,
                       "split=all: it must be train or test, all is for files");
    if (!s->file && s->split == SPLIT_TEST && !s->n) s->n = 500;
    return 0;
}

int spec_parse(struct spec *s, const char *text, uint64_t seed, struct err *err) {
    memset(s, 0, sizeof *s);
    s->seed = seed;
    char *copy = mem_strdup(text);
    int rc = parse(s, copy, err);
    mem_free(copy);
    if (rc == 0) return 0;
    spec_clear(s);
    return err_prefix(err, "problems \"%.200s\"", text);
}

void spec_clear(struct spec *s) {
    mem_free(s->file);
    memset(s, 0, sizeof *s);
}

static void push_word(const char *words, int64_t place, struct buf *out) {
    while (place--) words += strcspn(words, "|") + 1;
    buf_push(out, words, strcspn(words, "|"));
}

static void push_value(const struct spec_param *p, struct spec_value v, struct buf *out) {
    if (p->type == SPEC_WORD) {
        push_word(p->words, v.lo, out);
        return;
    }
    buf_printf(out, "%" PRId64, v.lo);
    if (v.hi != v.lo) buf_printf(out, "-%" PRId64, v.hi);
}

void spec_print(const struct spec *s, struct buf *out) {
    buf_printf(out, "%s:", s->kind->name);
    if (s->file) buf_printf(out, "%s,", s->file);
    for (int i = 0; i < s->kind->n_params; i++) {
        const struct spec_param *p = &s->kind->param[i];
        if (s->file && !p->for_files) continue;
        buf_printf(out, "%s=", p->name);
        push_value(p, s->value[i], out);
        buf_puts(out, ",");
    }
    buf_puts(out, "split=");
    push_word(common[COMMON_SPLIT].words, (int64_t)s->split, out);
    if (s->n) buf_printf(out, ",n=%d", s->n);
    buf_printf(out, ",offset=%d", s->offset);
    if (!s->file) buf_printf(out, ",seed=%" PRIu64, s->seed);
}

void spec_print_params(const struct kind *kind, struct buf *out) {
    for (int i = 0; i < kind->n_params; i++) {
        const struct spec_param *p = &kind->param[i];
        buf_printf(out, "\n  %s=", p->name);
        push_value(p, p->standard, out);
        if (p->type == SPEC_WORD) buf_printf(out, "  %s", p->words);
        else buf_printf(out, "  %" PRId64 "-%" PRId64, p->valid.lo, p->valid.hi);
        buf_printf(out, "  %s", p->help);
    }
}
