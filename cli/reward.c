/* cli/reward.c: `hone reward check PLUGIN.so`, and the worker process that hone starts around
 * a shared object. Each test of the first has a worker of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/child.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/version.h"
#include "reward/plugin_wire.h"
#include "reward/plugin_worker.h"
#include "reward/scorer.h"

int cmd_reward_worker(int argc, char **argv) {
    const char *path = NULL;
    bool strict = false;
    const struct arg arg[] = {
        {"PLUGIN", ARG_STRING, &path, .required = true, .help = "a shared object"},
        {"--strict", ARG_FLAG, &strict, .help = "guard what the plug-in reads too"},
    };
    const struct args args = {"reward-worker", "score with a shared object, line by line", arg, 2,
                              .notes = NULL};
    struct err err;
    int code;
    if (args_parse(&args, argc, argv, &code) != 0) return code;
    if (plugin_worker_run(path, version_short(), strict, &err) == 0) return EX_OK;
    fprintf(stderr, "hone reward-worker: %s\n", err.msg);
    return err.code;
}

/* ---- the conformance tests ----------------------------------------------------- */

enum { CHECK_MAX = 256 };

struct check {
    struct scorer_config config;
    const char *path;
    int failures;
    struct problem problem;
    struct completion c[CHECK_MAX];
    struct verdict v[CHECK_MAX];
    struct group g;
    char why[256];
};

static const int ids[] = {5, 6, 7, 8, 9, 10, 11, 12};

static void start_group(struct check *k) {
    k->problem = (struct problem){
        .kind = "jsonl", .key = "k", .prompt = "What is 3 + 4?", .gold = "7",
        .columns = "{\"question\": \"What is 3 + 4?\", \"answer\": \"7\"}"};
    k->g = (struct group){.problem = &k->problem, .completion = k->c, .max_tokens = 64,
                          .max_steps = 100};
}

static void add(struct check *k, const char *text, size_t n) {
    k->c[k->g.n++] = (struct completion){text, n, ids, (int)(n < 8 ? n : 8)};
}

static void ordinary_group(struct check *k) {
    static const char *const text[] = {"<think>3 + 4</think><answer>7</answer>",
                                       "<think>3 + 4</think><answer>8</answer>",
                                       "<answer>7</answer>", "7"};
    start_group(k);
    for (int i = 0; i < 4; i++) add(k, text[i], strlen(text[i]));
}

static bool fail(struct check *k, const char *why) {
    snprintf(k->why, sizeof k->why, "%s", why);
    return false;
}

/* Every sample has a verdict that is no failure of the plug-in's own. */
static bool sound(struct check *k, const struct verdict *v) {
    for (int i = 0; i < k->g.n; i++)
        if (v[i].status == VERDICT_CRASHED || v[i].status == VERDICT_TIMEOUT) {
            snprintf(k->why, sizeof k->why, "sample %d: %s: %s", i,
                     verdict_status_name(v[i].status), v[i].detail);
            return false;
        }
    return true;
}

/* The group at hand, scored by a worker of its own. */
static bool score_alone(struct check *k, struct verdict *v) {
    struct scorer *s;
    struct err err;
    if (scorer_open(&s, &k->config, &err) != 0) return fail(k, err.msg);
    scorer_score(s, &k->g, v);
    scorer_close(s);
    return sound(k, v);
}

static bool test_loads(struct check *k) {
    struct scorer *s;
    struct err err;
    if (scorer_open(&s, &k->config, &err) != 0) return fail(k, err.msg);
    printf("     %s, %s\n", scorer_version(s, ""),
           scorer_is_deterministic(s) ? "deterministic" : "not deterministic");
    scorer_close(s);
    return true;
}

static bool test_ordinary(struct check *k) {
    ordinary_group(k);
    return score_alone(k, k->v);
}

static bool test_one(struct check *k) {
    ordinary_group(k);
    k->g.n = 1;
    return score_alone(k, k->v);
}

static bool test_many(struct check *k) {
    start_group(k);
    while (k->g.n < CHECK_MAX) add(k, "<answer>7</answer>", 18);
    return score_alone(k, k->v);
}

static bool test_empty(struct check *k) {
    start_group(k);
    add(k, "", 0);
    add(k, " ", 1);
    k->c[1].n_id = 0;
    k->problem.columns = "{}";
    k->problem.gold = "";
    return score_alone(k, k->v);
}

static bool test_bytes(struct check *k) {
    static const char bytes[] = "a\0b<answer>\xff\xfe\0</answer>\xf0\x9f\0";
    start_group(k);
    for (size_t n = 1; n < sizeof bytes; n++) add(k, bytes, n);
    return score_alone(k, k->v);
}

static bool test_long(struct check *k) {
    enum { LONG = 1 << 20 };
    char *text = mem_new(LONG, 1);
    memset(text, '<', LONG);
    start_group(k);
    add(k, text, LONG);
    memset(text, 'a', LONG);
    add(k, text, LONG);
    bool good = score_alone(k, k->v);
    mem_free(text);
    return good;
}

static bool same(const struct verdict *a, const struct verdict *b) {
    struct buf x = {0}, y = {0};
    verdict_print_parts(a, &x);
    verdict_print_parts(b, &y);
    bool equal = a->status == b->status && a->score == b->score &&
                 strcmp(a->detail, b->detail) == 0 &&
                 strcmp(buf_text(&x), buf_text(&y)) == 0;
    buf_clear(&x);
    buf_clear(&y);
    return equal;
}

/* Twice in one process with another group between, and once in a new one. */
static bool test_again(struct check *k) {
    struct scorer *s;
    struct err err;
    struct verdict first[4], again[4];
    if (scorer_open(&s, &k->config, &err) != 0) return fail(k, err.msg);
    bool promised = scorer_is_deterministic(s);
    ordinary_group(k);
    scorer_score(s, &k->g, first);
    k->g.n = 1;
    scorer_score(s, &k->g, k->v);
    ordinary_group(k);
    scorer_score(s, &k->g, again);
    scorer_close(s);
    if (!sound(k, first) || !sound(k, again) || !score_alone(k, k->v)) return false;
    for (int i = 0; i < k->g.n && promised; i++)
        if (!same(&first[i], &again[i]) || !same(&first[i], &k->v[i]))
            return fail(k, "it says that it is deterministic, and gave another verdict");
    return true;
}

/* When its input ends a worker ends, by itself and without a crash in destroy. */
static bool test_ends(struct check *k) {
    const char *argv[] = {"/proc/self/exe", "reward-worker", k->path, NULL};
    struct child child = {0};
    struct buf request = {0}, answer = {0};
    struct err err;
    char how[64] = "";
    if (child_start(&child, argv, &err) != 0) return fail(k, err.msg);
    wire_write_hello(&request, k->config.options);
    enum child_status got = child_ask(&child, buf_text(&request), request.len,
                                      child_now() + 30, 1 << 20, &answer);
    child_stop(&child, how, sizeof how);
    buf_clear(&request);
    buf_clear(&answer);
    if (got != CHILD_OK) return fail(k, "no answer to hello");
    if (strcmp(how, "exit status 0") == 0) return true;
    return fail(k, *how ? how : "destroy takes more than 50 ms");
}

static void run_check(struct check *k, const char *what, bool (*test)(struct check *)) {
    bool good = test(k);
    printf("%s %s\n", good ? "ok  " : "FAIL", what);
    if (!good) printf("     %s\n", k->why);
    fflush(stdout);
    k->failures += !good;
}

static int check(struct check *k) {
    run_check(k, "it loads, and says who it is", test_loads);
    if (k->failures) return EX_UNAVAILABLE;
    run_check(k, "it scores an ordinary group", test_ordinary);
    run_check(k, "a group of one", test_one);
    run_check(k, "a group of 256", test_many);
    run_check(k, "completions, columns and a gold that are empty", test_empty);
    run_check(k, "bytes that are no text, and NULs", test_bytes);
    run_check(k, "a completion of 1 MiB", test_long);
    run_check(k, "the same group again, and in another process", test_again);
    run_check(k, "it ends when its input ends", test_ends);
    if (k->failures) printf("%d of 9 tests failed\n", k->failures);
    else printf("all 9 tests passed\n");
    return k->failures ? EX_SOFTWARE : EX_OK;
}

int cmd_reward(int argc, char **argv) {
    const char *action = NULL, *options = "{}";
    struct check *k = mem_new(1, sizeof *k);
    struct scorer_config *c = &k->config;
    *c = (struct scorer_config){.name = "check", .timeout_s = 10, .max_value = 1, .workers = 1};
    const struct arg arg[] = {
        {"ACTION", ARG_STRING, &action, .required = true, .help = "check"},
        {"PLUGIN", ARG_STRING, &k->path, .required = true,
         .help = "a shared object that exports hone_reward_entry"},
        {"--options", ARG_STRING, &options, .value_name = "JSON", .help = "for its create"},
        {"--min-value", ARG_DOUBLE, &c->min_value, -1e9, 1e9, .help = "its least score (0)"},
        {"--max-value", ARG_DOUBLE, &c->max_value, -1e9, 1e9, .help = "its greatest (1)"},
        {"--timeout", ARG_DOUBLE, &c->timeout_s, 0.001, 86400, .value_name = "SECONDS",
         .help = "for a group (10)"},
    };
    const struct args args = {"reward", "try a reward plug-in against its interface's rules", arg,
                              sizeof arg / sizeof *arg, .notes = NULL};
    struct buf command = {0};
    cJSON *tree = NULL;
    struct err err = {0};
    int code;
    if (args_parse(&args, argc, argv, &code) != 0) goto out;
    code = EX_USAGE;
    if (strcmp(action, "check") != 0)
        err_set(&err, EX_USAGE, "'%.60s': the action is check", action);
    else if (json_parse(&tree, options, strlen(options), "--options", 1, &err) == 0 &&
             json_as_object(tree, "--options", &err) == 0) {
        buf_puts(&command, "[\"/proc/self/exe\", \"reward-worker\", \"--strict\", ");
        json_print_string(&command, k->path);
        buf_puts(&command, "]");
        c->command = buf_text(&command);
        c->options = options;
        code = check(k);
    }
    if (err.msg[0]) fprintf(stderr, "hone reward: %s\n", err.msg);
out:
    json_free(tree);
    buf_clear(&command);
    mem_free(k);
    return code;
}
