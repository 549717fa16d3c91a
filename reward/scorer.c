/* reward/scorer.c: see scorer.h. */
#include "reward/scorer.h"

#include <time.h>

#include "base/mem.h"
#include "reward/checker_impl.h"

struct scorer {
    char *name;                        /* owned */
    const struct checker *checker;
    double value[CHECKER_MAX_OPTIONS]; /* of the checker's options */
    void *self;                        /* what its open left */
};

int scorer_check(const struct scorer_config *c, struct err *err) {
    const struct checker *checker;
    double value[CHECKER_MAX_OPTIONS];
    if (checker_find(&checker, c->checker, err) != 0) return err_prefix(err, "checker");
    return checker_read_options(checker, c->options, value, err);
}

static const struct checker *checker_of(const struct scorer_config *c) {
    const struct checker *checker;
    struct err err;
    int rc = checker_find(&checker, c->checker, &err);
    CHECK(rc == 0);
    return checker;
}

bool scorer_is_shaping(const struct scorer_config *c) {
    return checker_is_shaping(checker_of(c));
}

bool scorer_needs_answer(const struct scorer_config *c) {
    return checker_needs_answer(checker_of(c));
}

int scorer_open(struct scorer **out, const struct scorer_config *c, struct err *err) {
    struct scorer *s = mem_new(1, sizeof *s);
    *out = NULL;
    s->name = mem_strdup(c->name);
    if (checker_find(&s->checker, c->checker, err) != 0) {
        err_prefix(err, "checker");
        goto fail;
    }
    if (checker_read_options(s->checker, c->options, s->value, err) != 0) goto fail;
    if (s->checker->open && s->checker->open(&s->self, s->value, err) != 0) goto fail;
    *out = s;
    return 0;
fail:
    mem_free(s->name);
    mem_free(s);
    return -1;
}

void scorer_close(struct scorer *s) {
    if (!s) return;
    if (s->checker->close) s->checker->close(s->self);
    mem_free(s->name);
    mem_free(s);
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

void scorer_score(struct scorer *s, const struct group *g, struct verdict *out) {
    if (s->checker->score) {
        for (int i = 0; i < g->n; i++)
            checker_score(s->checker, g->problem, g->completion[i].text,
                          g->completion[i].n_text, &out[i]);
        return;
    }
    double start = now_ms();
    s->checker->score_group(s->self, s->value, g, out);
    double each = g->n ? (now_ms() - start) / g->n : 0;
    for (int i = 0; i < g->n; i++) out[i].ms = each;
}

const char *scorer_name(const struct scorer *s) { return s->name; }

const char *scorer_version(const struct scorer *s, const char *kind) {
    const char *version = checker_version(s->checker, kind);
    return version ? version : "none/0";
}

bool scorer_is_deterministic(const struct scorer *s) {
    (void)s;
    return true;
}
