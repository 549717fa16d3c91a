/* reward/code.c: the kind and the checker `code`: programs, judged by a problem's tests. */
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "reward/checker_impl.h"
#include "reward/code_run.h"
#include "reward/kind.h"

#define CODE_VERSION "code/1"

/* ---- the checker --------------------------------------------------------------- */

enum {
    TIMEOUT,
    COMPILE_TIMEOUT,
    MEMORY,
    PARTIAL,
    EXTRACT,
    OUTPUT,
    TOLERANCE,
    WARM,
    LANGUAGE,
    N_OPTIONS
};

static const struct checker_option options[N_OPTIONS] = {
    [TIMEOUT] = {.name = "timeout", .min = 0.05, .max = 600, .standard = 5,
                 .help = "seconds of a run, wall; all calls of a problem are one run"},
    [COMPILE_TIMEOUT] = {.name = "compile_timeout", .min = 0.1, .max = 600, .standard = 30,
                         .help = "seconds to compile"},
    [MEMORY] = {.name = "memory", .min = 128, .max = 65536, .standard = 512, .whole = true,
                .help = "MiB of a process"},
    [PARTIAL] = {.name = "partial", .words = "no|yes", .help = "the share of the tests passed"},
    [EXTRACT] = {.name = "extract", .words = "auto|fence", .help =
                     "the last fenced block, or all where there is none; or only a block"},
    [OUTPUT] = {.name = "output", .words = "lines|tokens|exact",
                .help = "how what is printed is compared"},
    [TOLERANCE] = {.name = "tolerance", .max = 1,
                   .help = "of numbers among tokens, absolute or relative"},
    [WARM] = {.name = "warm", .words = "no|yes", .standard = 1,
              .help = "Python programs fork from a warm interpreter"},
    [LANGUAGE] = {.name = "language", .words = "python3|c|cpp|javascript|lua|bash",
                  .help = "of rows that name none"},
};

static struct code_options from_values(const double *value) {
    return (struct code_options){
        .timeout_s = value[TIMEOUT],
        .compile_timeout_s = value[COMPILE_TIMEOUT],
        .memory_mib = (long)value[MEMORY],
        .partial = value[PARTIAL] != 0,
        .warm = value[WARM] != 0,
        .compare = (enum code_compare)value[OUTPUT],
        .tolerance = value[TOLERANCE],
    };
}

static int check(const double *value, struct err *err) {
    if (value[TOLERANCE] == 0 || value[OUTPUT] == CODE_TOKENS) return 0;
    return err_set(err, EX_CONFIG, "options.tolerance: is for \"output\": \"tokens\"");
}

static int open(void **self, const double *value, const struct scorer_config *c,
                struct err *err) {
    struct sandbox_config cfg = sandbox_config_default();
    struct sandbox *sb;
    cfg.launcher = c->program;
    cfg.memory_bytes = ((long)value[MEMORY] + 128) << 20;
    if (c->sandbox && *c->sandbox && sandbox_parse_layers(c->sandbox, &cfg.layers, err) != 0)
        return -1;
    if (sandbox_open(&sb, &cfg, err) != 0) return -1;
    *self = sb;
    return 0;
}

static void close_sandbox(void *self) { sandbox_close(self); }

static int read_row(struct code_tests *t, const double *value, const char *columns,
                    struct arena *arena, struct err *err) {
    cJSON *row;
    if (json_parse(&row, columns, strlen(columns), "row", 1, err) != 0) return -1;
    int rc = code_tests_read(t, row, code_lang_at((int)value[LANGUAGE])->name, arena, err);
    json_free(row);
    return rc;
}

static int check_row(const double *value, const char *columns, struct err *err) {
    struct code_tests t;
    struct arena arena = {0};
    int rc = read_row(&t, value, columns, &arena, err);
    arena_clear(&arena);
    return rc;
}

/* Whether a program that does nothing would pass. */
static bool asks_nothing(const struct code_tests *t) {
    struct code_options o = {.compare = CODE_TOKENS};
    for (int i = 0; i < t->n; i++)
        if (t->test[i].kind != CODE_STDIN || !code_output_is(t->test[i].output, "", 0, &o))
            return false;
    return true;
}

static void score_one(struct sandbox *sb, const double *value, const struct code_tests *t,
                      const struct completion *c, struct verdict *out) {
    struct code_options o = from_values(value);
    const char *why;
    size_t n;
    const char *program =
        code_extract(c->n_text ? c->text : "", c->n_text, value[EXTRACT] != 0, &n, &why);
    if (!program)
        verdict_set(out, VERDICT_UNPARSABLE, 0, "%s", why);
    else if (!utf8_valid(program, n))
        verdict_set(out, VERDICT_UNPARSABLE, 0, "the program is not UTF-8");
    else
        code_judge(sb, t, program, n, &o, out);
}

static void score_group(void *self, const double *value, const struct group *g,
                        struct verdict *out) {
    struct code_tests t;
    struct arena arena = {0};
    struct err err = {0};
    int rc = read_row(&t, value, g->problem->columns, &arena, &err);
    for (int i = 0; i < g->n; i++) {
        if (rc != 0)
            verdict_set(&out[i], VERDICT_NOT_SCORABLE, 0, "%.120s", err.msg);
        else if (asks_nothing(&t))
            verdict_set(&out[i], VERDICT_NOT_SCORABLE, 0,
                        t.n ? "a program that does nothing would pass" : "no tests");
        else
            score_one(self, value, &t, &g->completion[i], &out[i]);
    }
    arena_clear(&arena);
}

const struct checker checker_code = {
    .name = "code",
    .version = CODE_VERSION,
    .help = "a program, run in a sandbox against the tests of the problem's row",
    .option = options,
    .n_options = N_OPTIONS,
    .score_group = score_group,
    .check = check,
    .open = open,
    .close = close_sandbox,
    .check_row = check_row,
};

/* ---- the kind ------------------------------------------------------------------ */

static const char *text_of(const cJSON *row, const char *const *keys) {
    for (; *keys; keys++) {
        const cJSON *item = json_find(row, *keys);
        if (cJSON_IsString(item) && *item->valuestring) return item->valuestring;
    }
    return NULL;
}

/* What the policy sees: the task, and of asserts the first, which shows the function's name
 * and form; the others stay hidden. LiveCodeBench's starter code likewise. */
static void push_prompt(const cJSON *row, const char *task, struct buf *out) {
    const cJSON *first = cJSON_GetArrayItem(json_find(row, "test_list"), 0);
    const cJSON *starter = json_find(row, "starter_code");
    buf_puts(out, task);
    if (cJSON_IsString(starter) && *starter->valuestring)
        buf_printf(out, "\n\n%s", starter->valuestring);
    if (cJSON_IsString(first)) buf_printf(out, "\nA test: %s", first->valuestring);
}

static int row_code(const cJSON *row, struct problem_text *t, struct err *err) {
    static const char *const tasks[] = {"prompt", "text", "question_content", "description",
                                        "question", "problem", NULL};
    static const char *const references[] = {"code", "canonical_solution", "solution", NULL};
    struct code_tests tests;
    struct arena arena = {0};
    const char *task = text_of(row, tasks), *reference = text_of(row, references);
    if (!task) return err_set(err, EX_DATAERR, "no \"prompt\", \"text\" or \"question_content\"");
    int rc = code_tests_read(&tests, row, "python3", &arena, err);
    if (rc == 0 && !tests.n)
        rc = err_set(err, EX_DATAERR, "no tests in any shape that hone knows (docs/code.md)");
    if (rc == 0) {
        push_prompt(row, task, &t->prompt);
        kind_push_prompt_key(buf_text(&t->prompt), &t->key);
        if (reference) {
            buf_puts(&t->gold, reference);
            buf_printf(&t->trace, "<think></think>```%s\n%s\n```", tests.lang->name, reference);
        }
    }
    arena_clear(&arena);
    return rc;
}

const struct kind kind_code = {
    .name = "code",
    .version = CODE_VERSION,
    .help = "programs from a file of tasks with tests (MBPP, HumanEval, LiveCodeBench, ...)",
    .row = row_code,
    .checker = "code",
};
