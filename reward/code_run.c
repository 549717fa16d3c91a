/* reward/code_run.c: see code_run.h. The runs; what they mean is in code_compare.c. */
#include "reward/code_run.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "base/utf8.h"

enum { MAX_OUTPUT = 8 << 20, MAX_PROGRAM = 32 << 20 };

/* One program's way through its tests. */
struct trial {
    struct sandbox *sb;
    const struct code_tests *tests;
    const struct code_options *o;
    double timeout_s;
    const char *program; /* [n] */
    size_t n;
    int passed;
    int first_failed; /* -1: none */
    char why[100];    /* of that one */
    enum verdict_status status; /* not VERDICT_OK: nothing of it counts */
    struct arena arena;
};

/* Test i has failed for this reason, of bytes that a program chose. */
static void failed(struct trial *t, int i, const char *why) {
    if (t->first_failed >= 0 && t->first_failed <= i) return;
    t->first_failed = i;
    snprintf(t->why, sizeof t->why, "%s", why);
    for (char *s = t->why; *s; s++)
        if (!isprint((unsigned char)*s)) *s = ' ';
}

static bool is_over(const struct trial *t) {
    return t->status != VERDICT_OK || (t->first_failed >= 0 && !t->o->partial);
}

/* The sandbox failed: the program is not to blame. */
static void broken(struct trial *t, const struct err *err) {
    t->status = VERDICT_CRASHED;
    snprintf(t->why, sizeof t->why, "%.99s", err->msg);
}

static const char *end_of(const struct trial *t, const struct sandbox_result *r, char why[100]) {
    const char *last = buf_text(&r->err);
    size_t n = strlen(last);
    while (n && (last[n - 1] == '\n' || last[n - 1] == ' ')) n--;
    size_t from = n;
    while (from && last[from - 1] != '\n') from--;
    switch (r->end) {
    case SANDBOX_TIMEOUT: snprintf(why, 100, "not done within %g s", t->timeout_s); break;
    case SANDBOX_OUTPUT: snprintf(why, 100, "its output has no end"); break;
    case SANDBOX_SIGNALED: snprintf(why, 100, "killed by signal %d", r->code); break;
    default:
        if (r->code) snprintf(why, 100, "status %d: %.*s", r->code, (int)(n - from), last + from);
        else snprintf(why, 100, "it ended early");
    }
    return why;
}

static struct sandbox_request request(const struct trial *t, enum sandbox_kind kind) {
    return (struct sandbox_request){.kind = kind, .wall_ms = (int)(t->timeout_s * 1000),
                                    .memory_bytes = t->o->memory_mib << 20,
                                    .max_output = MAX_OUTPUT, .peer = -1};
}

/* The program, with what comes before it. */
static void push_source(const struct trial *t, struct buf *out) {
    if (*t->tests->before) buf_printf(out, "%s\n", t->tests->before);
    buf_push(out, t->program, t->n);
    buf_puts(out, "\n");
}

static void begin_job(const struct trial *t, const char *mode, bool with_source, struct buf *job) {
    struct buf source = {0};
    push_source(t, &source);
    buf_printf(job, "{\"mode\": \"%s\", \"setup\": ", mode);
    json_print_string(job, t->tests->setup);
    if (with_source) {
        buf_puts(job, ", \"source\": ");
        json_print_string(job, buf_text(&source));
    }
    buf_clear(&source);
}

/* ---- records ------------------------------------------------------------------- */

struct record {
    char tag;
    const char *text; /* [n] */
    size_t n;
};

/* `V 3\n1.5\n`, as record() of zygote.py writes it; the program may have written to the
 * same pipe, so nothing is believed of its form. */
static bool next_record(const char **at, const char *end, struct record *r) {
    char *stop;
    if (end - *at < 4 || (*at)[1] != ' ' || !isdigit((unsigned char)(*at)[2])) return false;
    unsigned long n = strtoul(*at + 2, &stop, 10);
    if (*stop != '\n' || n >= (size_t)(end - stop) - 1 || stop[1 + n] != '\n') return false;
    *r = (struct record){**at, stop + 1, n};
    *at = stop + n + 2;
    return true;
}

/* ---- calls --------------------------------------------------------------------- */

static void push_calls(const struct code_tests *tests, struct buf *job) {
    buf_puts(job, ", \"calls\": [");
    for (int i = 0; i < tests->n_checks; i++) {
        buf_puts(job, i ? ", [\"v\", " : "[\"v\", ");
        json_print_string(job, tests->check[i].call);
        buf_puts(job, "]");
    }
    buf_puts(job, "]}");
}

static const char *wrong_value(const struct pyvalue *v, char why[100]) {
    struct buf text = {0};
    pyvalue_print(v, &text);
    snprintf(why, 100, "wrong value %.80s", buf_text(&text));
    buf_clear(&text);
    return why;
}

/* What is wrong with the values of a test, NULL where nothing is. */
static const char *judge_values(const struct trial *t, const struct code_test *test,
                                const struct pyvalue *value, const char *const *raised,
                                const char *end, char why[100]) {
    for (int i = test->first; i < test->first + test->n; i++) {
        bool last = i + 1 == test->first + test->n;
        if (!raised[i]) return end;
        if (*raised[i]) {
            snprintf(why, 100, "it raised %.60s", raised[i]);
            return why;
        }
        const struct pyvalue *next = last || !raised[i + 1] || *raised[i + 1] ? NULL : &value[i + 1];
        if (!code_check_holds(&t->tests->check[i], &value[i], next))
            return wrong_value(&value[i], why);
    }
    return NULL;
}

/* The records into value[n_checks] and raised[n_checks]: "" for a value, NULL for none. */
static void read_values(struct trial *t, const struct sandbox_result *res, struct pyvalue *value,
                        const char **raised, char end[100]) {
    const char *at = buf_text(&res->reply), *stop = at + res->reply.len;
    struct record r;
    end_of(t, res, end);
    if (!next_record(&at, stop, &r)) return;
    if (r.tag != 'R') {
        snprintf(end, 100, "it cannot be loaded: %.*s", (int)(r.n < 60 ? r.n : 60), r.text);
        return;
    }
    for (int i = 0; i < t->tests->n_checks && next_record(&at, stop, &r); i++) {
        char *text = arena_new(&t->arena, r.n + 1, 1);
        memcpy(text, r.text, r.n);
        if (r.tag == 'V' && pyvalue_read(&value[i], r.text, r.n, &t->arena)) raised[i] = "";
        else raised[i] = r.tag == 'E' && r.n ? text : "something that is no value";
    }
}

static void run_calls(struct trial *t) {
    struct sandbox_result res;
    struct buf job = {0};
    struct err err = {0};
    char end[100], why[100];
    size_t n = (size_t)t->tests->n_checks;
    struct pyvalue *value = arena_new(&t->arena, n, sizeof *value);
    const char **raised = arena_new(&t->arena, n, sizeof *raised);
    begin_job(t, "calls", true, &job);
    push_calls(t->tests, &job);
    struct sandbox_request req = request(t, SANDBOX_PYTHON);
    req.file[0] = (struct sandbox_file){"job", buf_text(&job), job.len, false};
    req.n_files = 1;
    if (sandbox_run(t->sb, &req, &res, &err) != 0) {
        broken(t, &err);
    } else {
        read_values(t, &res, value, raised, end);
        for (int i = 0; i < t->tests->n; i++) {
            if (t->tests->test[i].kind != CODE_CALLS) continue;
            const char *wrong = judge_values(t, &t->tests->test[i], value, raised, end, why);
            if (wrong) failed(t, i, wrong);
            else t->passed++;
        }
        sandbox_result_clear(&res);
    }
    buf_clear(&job);
}

/* ---- scripts: the tests in one run, the program in another ----------------------- */

struct half {
    struct trial *t;
    struct sandbox_request req;
    struct sandbox_result res;
    struct err err;
    int rc;
};

static void run_half(struct half *h) {
    h->rc = sandbox_run(h->t->sb, &h->req, &h->res, &h->err);
    /* the other half reads an end of file */
    close(h->req.peer);
}

static void *run_program(void *half) {
    run_half(half);
    return NULL;
}

static void push_scripts(const struct code_tests *tests, struct buf *job) {
    const char *comma = "";
    buf_puts(job, ", \"tests\": [");
    for (int i = 0; i < tests->n; i++) {
        if (tests->test[i].kind != CODE_SCRIPT) continue;
        buf_puts(job, comma);
        json_print_string(job, tests->test[i].script);
        comma = ", ";
    }
    buf_puts(job, "]}");
}

static void judge_scripts(struct trial *t, const struct sandbox_result *res) {
    const char *at = buf_text(&res->reply), *stop = at + res->reply.len;
    char why[100];
    struct record r;
    for (int i = 0; i < t->tests->n; i++) {
        if (t->tests->test[i].kind != CODE_SCRIPT) continue;
        if (!next_record(&at, stop, &r)) {
            failed(t, i, end_of(t, res, why));
        } else if (r.tag == 'U') {
            t->status = VERDICT_UNDECIDED;
            snprintf(t->why, sizeof t->why, "test %d hands over what is no plain data", i + 1);
        } else if (r.tag == 'P') {
            t->passed++;
        } else {
            snprintf(why, sizeof why, "it raised %.*s", (int)(r.n < 60 ? r.n : 60), r.text);
            failed(t, i, why);
        }
    }
}

static void run_scripts(struct trial *t) {
    struct half half[2] = {{.t = t}, {.t = t}}; /* the tests, the program */
    struct buf job[2] = {{0}};
    pthread_t thread;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        err_errno(&half[0].err, EX_OSERR, "make a socket pair");
        broken(t, &half[0].err);
        return;
    }
    begin_job(t, "tests", false, &job[0]);
    push_scripts(t->tests, &job[0]);
    begin_job(t, "serve", true, &job[1]);
    buf_puts(&job[1], "}");
    for (int i = 0; i < 2; i++) {
        half[i].req = request(t, SANDBOX_PYTHON);
        half[i].req.peer = pair[i];
        half[i].req.file[0] = (struct sandbox_file){"job", buf_text(&job[i]), job[i].len, false};
        half[i].req.n_files = 1;
    }
    if (pthread_create(&thread, NULL, run_program, &half[1]) != 0) {
        err_set(&half[0].err, EX_OSERR, "start a thread");
        half[0].rc = half[1].rc = -1;
        close(pair[0]);
        close(pair[1]);
    } else {
        run_half(&half[0]);
        pthread_join(thread, NULL);
    }
    if (half[0].rc != 0) broken(t, &half[0].err);
    else if (half[1].rc != 0) broken(t, &half[1].err);
    else judge_scripts(t, &half[0].res);
    for (int i = 0; i < 2; i++) {
        if (half[i].rc == 0) sandbox_result_clear(&half[i].res);
        buf_clear(&job[i]);
    }
}

/* ---- standard input and output --------------------------------------------------- */

/* `gcc ... && cat program >&3`: what was made comes out as bytes, and nothing outside ever
 * opens a file of the sandbox. False after the verdict is clear. */
static bool compile(struct trial *t, struct buf *program) {
    const struct code_lang *lang = t->tests->lang;
    char line[256], why[100];
    const char *argv[] = {"/bin/sh", "-c", line, NULL};
    struct sandbox_result res;
    struct err err = {0};
    snprintf(line, sizeof line, "%s %s && cat program >&3", code_lang_path(lang), lang->compile);
    struct sandbox_request req = request(t, SANDBOX_EXEC);
    req.argv = argv;
    req.wall_ms = (int)(t->o->compile_timeout_s * 1000);
    req.memory_bytes = 0;
    req.max_output = MAX_PROGRAM;
    req.file[0] = (struct sandbox_file){lang->file, t->program, t->n, false};
    req.n_files = 1;
    if (sandbox_run(t->sb, &req, &res, &err) != 0) {
        broken(t, &err);
        return false;
    }
    bool good = res.end == SANDBOX_EXITED && res.code == 0 && res.reply.len > 0;
    if (good) {
        *program = res.reply;
        res.reply = (struct buf){0};
    } else {
        snprintf(why, sizeof why, "does not compile: %.70s", buf_text(&res.err));
        failed(t, 0, why);
    }
    sandbox_result_clear(&res);
    return good;
}

/* Fills what runs: a job for the warm interpreter, a source, or what was compiled. */
static void set_program(const struct trial *t, struct sandbox_request *req, const char **argv,
                        const struct buf *ready, bool warm) {
    const struct code_lang *lang = t->tests->lang;
    int n = 0;
    for (; lang->command[n] || n == 0; n++) argv[n] = lang->command[n];
    argv[n] = NULL;
    if (!lang->compile) argv[0] = code_lang_path(lang);
    if (!warm) req->argv = argv;
    req->wide_addresses = lang->wide_addresses;
    req->file[0] = (struct sandbox_file){lang->compile ? "program" : lang->file, buf_text(ready),
                                         ready->len, lang->compile != NULL};
    req->n_files = 1;
}

static void run_one(struct trial *t, int i, const struct buf *ready, bool warm) {
    const struct code_test *test = &t->tests->test[i];
    const char *argv[SANDBOX_MAX_ARGS + 1];
    struct sandbox_request req = request(t, warm ? SANDBOX_PYTHON : SANDBOX_EXEC);
    struct sandbox_result res;
    struct err err = {0};
    char why[100];
    set_program(t, &req, argv, ready, warm);
    req.input = test->input;
    req.n_input = strlen(test->input);
    if (sandbox_run(t->sb, &req, &res, &err) != 0) {
        broken(t, &err);
        return;
    }
    if (res.end != SANDBOX_EXITED || res.code != 0) failed(t, i, end_of(t, &res, why));
    else if (!code_output_is(test->output, buf_text(&res.out), res.out.len, t->o))
        failed(t, i, "wrong output");
    else t->passed++;
    sandbox_result_clear(&res);
}

static void run_stdin(struct trial *t) {
    const struct code_lang *lang = t->tests->lang;
    bool warm = t->o->warm && strcmp(lang->name, "python3") == 0;
    struct buf ready = {0};
    if (lang->compile) {
        if (!compile(t, &ready)) return;
    } else if (warm) {
        begin_job(t, "script", true, &ready);
        buf_puts(&ready, "}");
    } else {
        push_source(t, &ready);
    }
    for (int i = 0; i < t->tests->n && !is_over(t); i++)
        if (t->tests->test[i].kind == CODE_STDIN) run_one(t, i, &ready, warm);
    buf_clear(&ready);
}

/* ---- all of it ------------------------------------------------------------------- */

static int count(const struct code_tests *t, enum code_test_kind kind) {
    int n = 0;
    for (int i = 0; i < t->n; i++) n += t->test[i].kind == kind;
    return n;
}

void code_judge(struct sandbox *sb, const struct code_tests *tests, const char *program, size_t n,
                const struct code_options *o, struct verdict *v) {
    struct trial t = {.sb = sb, .tests = tests, .o = o, .program = program, .n = n,
                      .first_failed = -1,
                      .timeout_s = tests->timeout_s > 0 ? tests->timeout_s : o->timeout_s};
    int scripts = count(tests, CODE_SCRIPT);
    CHECK(tests->n > 0);
    if (count(tests, CODE_CALLS)) run_calls(&t);
    if (scripts && !is_over(&t)) run_scripts(&t);
    if (count(tests, CODE_STDIN) && !is_over(&t)) run_stdin(&t);
    double share = (double)t.passed / tests->n;
    if (t.status != VERDICT_OK) {
        verdict_set(v, t.status, 0, "%s", t.why);
    } else if (t.first_failed < 0) {
        verdict_set(v, VERDICT_OK, 1, "passed%s", scripts ? ", by asserts that ran beside it" : "");
    } else {
        verdict_set(v, VERDICT_OK, o->partial ? share : 0, "test %d of %d: %s",
                    t.first_failed + 1, tests->n, t.why);
    }
    verdict_add_part(v, "tests", tests->n);
    verdict_add_part(v, "passed", t.passed);
    if (scripts) verdict_add_part(v, "weaker", scripts);
    arena_clear(&t.arena);
}
