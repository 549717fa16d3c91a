/* cli/reward_check.c: see reward_check.h. */
#include "cli/reward_check.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/http.h"
#include "base/json.h"
#include "base/mem.h"
#include "reward/plugin_wire.h"

enum { MANY = 256, AT_ONCE = 4, ID = 7 };

#define START_S 30.0 /* for an interpreter that loads its libraries */
#define MAX_ANSWER_BYTES ((size_t)16 << 20)

struct check {
    struct scorer_config config;
    const char *plugin;
    const char *columns;
    int n, failures;
    int seen[VERDICT_N_STATUS]; /* verdicts of each status */
    struct problem problem;
    struct completion c[MANY];
    struct verdict v[MANY];
    struct group g;
    char why[256];
};

static const int ids[] = {5, 6, 7, 8, 9, 10, 11, 12};
static const int far_ids[] = {0, INT32_MAX, 1 << 20, 0};

/* ---- groups to try ------------------------------------------------------------- */

static void start_group(struct check *k) {
    k->problem = (struct problem){.kind = "jsonl", .key = "k", .prompt = "What is 3 + 4?",
                                  .gold = "7", .columns = k->columns};
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
    for (int i = 0; i < k->g.n; i++) {
        k->seen[v[i].status]++;
        if (v[i].status == VERDICT_CRASHED || v[i].status == VERDICT_TIMEOUT) {
            snprintf(k->why, sizeof k->why, "sample %d: %s: %s", i,
                     verdict_status_name(v[i].status), v[i].detail);
            return false;
        }
    }
    return true;
}

/* The group at hand, scored by a plug-in that is started for it. */
static bool score_alone(struct check *k, struct verdict *v) {
    struct scorer *s;
    struct err err;
    if (scorer_open(&s, &k->config, &err) != 0) return fail(k, err.msg);
    scorer_score(s, &k->g, v);
    scorer_close(s);
    return sound(k, v);
}

/* ---- tests of every kind --------------------------------------------------------- */

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
    while (k->g.n < MANY) add(k, "<answer>7</answer>", 18);
    return score_alone(k, k->v);
}

static bool test_empty(struct check *k) {
    start_group(k);
    add(k, "", 0);
    add(k, " ", 1);
    k->c[1].n_id = 0;
    k->problem.gold = "";
    if (k->plugin) k->problem.columns = "{}";
    return score_alone(k, k->v);
}

static bool test_bytes(struct check *k) {
    static const char bytes[] = "a\0b<answer>\xff\xfe\0</answer>\xf0\x9f\0";
    start_group(k);
    for (size_t n = 1; n < sizeof bytes; n++) add(k, bytes, n);
    return score_alone(k, k->v);
}

static bool test_ids(struct check *k) {
    start_group(k);
    for (int n = 0; n <= 4; n++) {
        add(k, "<answer>7</answer>", 18);
        k->c[n].id = far_ids;
        k->c[n].n_id = n;
    }
    k->g.max_tokens = 0; /* not known */
    k->g.max_steps = 0;
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

/* Groups come from several threads: as many processes, or connections. */
static bool test_at_once(struct check *k) {
    struct scorer *s;
    struct err err;
    struct scorer_config config = k->config;
    config.workers = AT_ONCE;
    ordinary_group(k);
    if (!score_alone(k, k->v)) return false;
    if (scorer_open(&s, &config, &err) != 0) return fail(k, err.msg);
#pragma omp parallel for num_threads(AT_ONCE) schedule(static)
    for (int i = 1; i <= AT_ONCE; i++) scorer_score(s, &k->g, k->v + i * k->g.n);
    bool promised = scorer_is_deterministic(s), good = true;
    scorer_close(s);
    for (int i = 1; i <= AT_ONCE && good; i++) good = sound(k, k->v + i * k->g.n);
    for (int i = k->g.n; i < k->g.n * (AT_ONCE + 1) && good && promised; i++)
        if (!same(&k->v[i], &k->v[i % k->g.n]))
            good = fail(k, "it gave another verdict while others were at work");
    return good;
}

/* ---- tests of one kind ------------------------------------------------------------ */

/* The strings of the command, borrowed from the tree. */
static void read_argv(const cJSON *tree, const char **argv) {
    int n = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, tree) if (n < CHILD_MAX_ARGS) argv[n++] = item->valuestring;
    argv[n] = NULL;
}

static int start(struct check *k, struct child *child, struct err *err) {
    const char *argv[CHILD_MAX_ARGS + 1];
    cJSON *tree = cJSON_Parse(k->config.command);
    read_argv(tree, argv);
    int rc = child_start(child, argv, err);
    json_free(tree);
    return rc;
}

/* Ends the program's input and waits for its end, which child_stop is to report. */
static bool end_input(struct child *child, double seconds) {
    char rest[4096];
    double end = child_now() + seconds;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0) return false;
    dup2(null, child->to);
    close(null);
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0 &&
            info.si_pid)
            return true;
        if (child_now() > end) return false;
        ssize_t ignored = read(child->from, rest, sizeof rest); /* it may say something yet */
        (void)ignored;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
}

/* When its input ends a program ends, by itself and without a crash. */
static bool test_ends(struct check *k) {
    struct child child = {0};
    struct buf request = {0}, answer = {0};
    struct err err;
    char how[64] = "";
    if (start(k, &child, &err) != 0) return fail(k, err.msg);
    wire_write_hello(&request, k->config.options);
    enum child_status got = child_ask(&child, buf_text(&request), request.len,
                                      child_now() + START_S, MAX_ANSWER_BYTES, &answer);
    bool ended = got == CHILD_OK && end_input(&child, k->config.timeout_s);
    child_stop(&child, how, sizeof how);
    buf_clear(&request);
    buf_clear(&answer);
    if (got != CHILD_OK) return fail(k, "no answer to hello");
    if (!ended) return fail(k, "it goes on");
    return strcmp(how, "exit status 0") == 0 || fail(k, how);
}

static bool test_grown(struct check *k) {
    const char *command = k->config.command;
    struct buf grown = {0};
    buf_puts(&grown, "[\"/proc/self/exe\", \"reward-worker\", \"--strict\", \"--grown\", ");
    json_print_string(&grown, k->plugin);
    buf_puts(&grown, "]");
    k->config.command = buf_text(&grown);
    ordinary_group(k);
    bool good = score_alone(k, k->v);
    k->config.command = command;
    buf_clear(&grown);
    return good;
}

/* A request of this hone with keys that it does not know yet. */
static void add_later_keys(struct buf *request) {
    struct buf later = {0};
    buf_puts(&later, "{\"later\": {\"a\": [1, null, \"\\u00e9\"]}, ");
    buf_puts(&later, buf_text(request) + 1);
    buf_clear(request);
    *request = later;
}

/* One request to a program that runs, or to the server. */
static bool exchange(struct check *k, struct child *child, struct http *http,
                     const struct buf *request, double seconds, struct buf *answer) {
    char why[128];
    if (!k->config.url)
        return child_ask(child, buf_text(request), request->len, child_now() + seconds,
                         MAX_ANSWER_BYTES, answer) == CHILD_OK ||
               fail(k, "no answer");
    return http_post(http, k->config.url, buf_text(request), request->len, seconds,
                     MAX_ANSWER_BYTES, answer, why, sizeof why) == HTTP_OK ||
           fail(k, why);
}

static bool test_later(struct check *k) {
    const struct wire_range range = {k->config.min_value, k->config.max_value};
    struct child child = {0};
    struct http http = {0};
    struct buf hello = {0}, request = {0}, answer = {0};
    struct wire_hello h;
    struct err err;
    if (!k->config.url && start(k, &child, &err) != 0) return fail(k, err.msg);
    ordinary_group(k);
    wire_write_hello(&hello, k->config.options);
    wire_write_group(&request, ID, &k->g);
    add_later_keys(&hello);
    add_later_keys(&request);
    bool good = exchange(k, &child, &http, &hello, START_S, &answer);
    if (good && wire_read_hello(&h, buf_text(&answer), answer.len, &err) != 0)
        good = fail(k, err.msg);
    good = good && exchange(k, &child, &http, &request, k->config.timeout_s, &answer);
    if (good && wire_read_results(k->v, k->g.n, ID, &range, buf_text(&answer), answer.len,
                                  &err) != 0)
        good = fail(k, err.msg);
    good = good && sound(k, k->v);
    child_stop(&child, NULL, 0);
    http_close(&http);
    buf_clear(&hello);
    buf_clear(&request);
    buf_clear(&answer);
    return good;
}

/* ---- all of them ------------------------------------------------------------------ */

static void run(struct check *k, const char *what, bool (*test)(struct check *)) {
    bool good = test(k);
    printf("%s %s\n", good ? "ok  " : "FAIL", what);
    if (!good) printf("     %s\n", k->why);
    fflush(stdout);
    k->n++;
    k->failures += !good;
}

static int run_all(struct check *k) {
    run(k, "it loads, and says who it is", test_loads);
    if (k->failures) return EX_UNAVAILABLE;
    run(k, "it scores an ordinary group", test_ordinary);
    run(k, "a group of one", test_one);
    run(k, "a group of 256", test_many);
    run(k, "completions and a gold that are empty", test_empty);
    run(k, "bytes that are no text, and NULs", test_bytes);
    run(k, "token ids: none, and the greatest", test_ids);
    run(k, "a completion of 1 MiB", test_long);
    run(k, "the same group again, and in another process", test_again);
    run(k, "four groups at once", test_at_once);
    if (k->plugin) run(k, "structs that are longer, as a later hone's", test_grown);
    else run(k, "keys that it does not know, as a later hone's", test_later);
    if (!k->config.url) run(k, "it ends when its input ends", test_ends);
    printf("    ");
    for (int i = 0; i < VERDICT_N_STATUS; i++)
        if (k->seen[i]) printf(" %d %s", k->seen[i], verdict_status_name((enum verdict_status)i));
    printf("\n");
    if (k->failures) printf("%d of %d tests failed\n", k->failures, k->n);
    else printf("all %d tests passed\n", k->n);
    return k->failures ? EX_SOFTWARE : EX_OK;
}

int reward_check(const struct reward_check_config *config) {
    struct check *k = mem_new(1, sizeof *k);
    struct buf command = {0};
    k->config = config->scorer;
    k->config.workers = 1;
    k->plugin = config->plugin;
    k->columns = config->columns ? config->columns
                                 : "{\"question\": \"What is 3 + 4?\", \"answer\": \"7\"}";
    if (k->plugin) {
        buf_puts(&command, "[\"/proc/self/exe\", \"reward-worker\", \"--strict\", ");
        json_print_string(&command, k->plugin);
        buf_puts(&command, "]");
        k->config.command = buf_text(&command);
    }
    int code = run_all(k);
    buf_clear(&command);
    mem_free(k);
    return code;
}
