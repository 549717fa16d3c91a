/* reward/scorer.c: see scorer.h. */
#include "reward/scorer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/child.h"
#include "base/json.h"
#include "base/mem.h"
#include "reward/checker_impl.h"
#include "reward/plugin.h"

struct scorer {
    char *name;                        /* owned */
    struct plugin *plugin;             /* owned; or NULL, and */
    const struct checker *checker;
    double value[CHECKER_MAX_OPTIONS]; /* of the checker's options */
    void *self;                        /* what its open left */
};

static bool given(const char *s) { return s && *s; }

/* ---- configuration ------------------------------------------------------------- */

/* The strings of the command into argv[CHILD_MAX_ARGS + 1], borrowed from the tree. */
static int read_command(const struct scorer_config *c, cJSON **tree, const char **argv,
                        struct err *err) {
    int n = 0;
    if (json_parse(tree, c->command, strlen(c->command), "command", 1, err) != 0) return -1;
    if (json_as_array(*tree, "command", err) != 0) return -1;
    if (!(*tree)->child || cJSON_GetArraySize(*tree) > CHILD_MAX_ARGS)
        return err_set(err, EX_CONFIG, "command: must have 1 to %d strings", CHILD_MAX_ARGS);
    for (const cJSON *item = (*tree)->child; item; item = item->next, n++) {
        char where[JSON_WHERE_BYTES];
        snprintf(where, sizeof where, "command[%d]", n);
        if (json_as_string(item, where, &argv[n], err) != 0) return -1;
    }
    argv[n] = NULL;
    return 0;
}

static int check_plugin(const struct scorer_config *c, struct err *err) {
    const char *argv[CHILD_MAX_ARGS + 1];
    cJSON *tree = NULL;
    int rc = 0;
    if (given(c->command)) rc = read_command(c, &tree, argv, err);
    json_free(tree);
    if (rc != 0) return -1;
    if (given(c->url) && strncmp(c->url, "http://", 7) != 0 &&
        strncmp(c->url, "https://", 8) != 0)
        return err_set(err, EX_CONFIG, "url: must begin with http:// or https://, found '%.60s'",
                       c->url);
    if (c->min_value >= c->max_value)
        return err_set(err, EX_CONFIG, "min_value: must be below max_value");
    return 0;
}

int scorer_check(const struct scorer_config *c, struct err *err) {
    const struct checker *checker;
    double value[CHECKER_MAX_OPTIONS];
    int n = given(c->checker) + given(c->plugin) + given(c->command) + given(c->url);
    if (n == 0)
        return err_set(err, EX_CONFIG, "checker: missing; or plugin, command or url");
    if (n > 1)
        return err_set(err, EX_CONFIG, "checker: only one of checker, plugin, command and url");
    if (!given(c->checker)) return check_plugin(c, err);
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
    return given(c->checker) && checker_is_shaping(checker_of(c));
}

bool scorer_needs_answer(const struct scorer_config *c) {
    return given(c->checker) && checker_needs_answer(checker_of(c));
}

/* ---- opening ------------------------------------------------------------------- */

static int open_plugin(struct scorer *s, const struct scorer_config *c, struct err *err) {
    const char *argv[CHILD_MAX_ARGS + 1] = {c->program ? c->program : "/proc/self/exe",
                                            "reward-worker", c->plugin, NULL};
    cJSON *tree = NULL;
    struct plugin_config p = {
        .argv = given(c->url) ? NULL : argv, .url = given(c->url) ? c->url : NULL,
        .options = c->options, .timeout_s = c->timeout_s, .workers = c->workers,
        .retries = c->retries, .range = {c->min_value, c->max_value}};
    int rc = given(c->command) ? read_command(c, &tree, argv, err) : 0;
    if (rc == 0) rc = plugin_open(&s->plugin, &p, err);
    json_free(tree);
    if (rc == 0) return 0;
    return err_prefix(err, "%s", given(c->plugin) ? "plugin" : given(c->url) ? "url" : "command");
}

static int open_checker(struct scorer *s, const struct scorer_config *c, struct err *err) {
    s->checker = checker_of(c);
    if (checker_read_options(s->checker, c->options, s->value, err) != 0) return -1;
    return s->checker->open ? s->checker->open(&s->self, s->value, c, err) : 0;
}

int scorer_open(struct scorer **out, const struct scorer_config *c, struct err *err) {
    *out = NULL;
    if (scorer_check(c, err) != 0) return -1;
    struct scorer *s = mem_new(1, sizeof *s);
    s->name = mem_strdup(c->name);
    int rc = given(c->checker) ? open_checker(s, c, err) : open_plugin(s, c, err);
    if (rc == 0) {
        *out = s;
        return 0;
    }
    mem_free(s->name);
    mem_free(s);
    return -1;
}

bool scorer_reads_rows(const struct scorer *s) { return s->checker && s->checker->check_row; }

int scorer_check_row(const struct scorer *s, const char *columns, struct err *err) {
    return scorer_reads_rows(s) ? s->checker->check_row(s->value, columns, err) : 0;
}

void scorer_close(struct scorer *s) {
    if (!s) return;
    if (s->checker && s->checker->close) s->checker->close(s->self);
    plugin_close(s->plugin);
    mem_free(s->name);
    mem_free(s);
}

/* ---- scoring ------------------------------------------------------------------- */

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

void scorer_score(struct scorer *s, const struct group *g, struct verdict *out) {
    if (s->checker && s->checker->score) {
        for (int i = 0; i < g->n; i++)
            checker_score(s->checker, g->problem, g->completion[i].text,
                          g->completion[i].n_text, &out[i]);
        return;
    }
    double start = now_ms();
    if (s->plugin) plugin_score(s->plugin, g, out);
    else s->checker->score_group(s->self, s->value, g, out);
    double each = g->n ? (now_ms() - start) / g->n : 0;
    for (int i = 0; i < g->n; i++) out[i].ms = each;
}

const char *scorer_name(const struct scorer *s) { return s->name; }

const char *scorer_version(const struct scorer *s, const char *kind) {
    if (s->plugin) return plugin_version(s->plugin);
    const char *version = checker_version(s->checker, kind);
    return version ? version : "none/0";
}

bool scorer_is_deterministic(const struct scorer *s) {
    return !s->plugin || plugin_is_deterministic(s->plugin);
}
