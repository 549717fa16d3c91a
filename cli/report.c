/* cli/report.c: see report.h. */
#include "cli/report.h"

#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/http.h"
#include "base/json.h"
#include "cli/run.h"
#include "cli/version.h"

enum { NOTIFY_TRIES = 3, NOTIFY_SECONDS = 10 };

/* Everything that is told, in one place. NAN: not known. */
struct standing {
    const char *state, *reason, *error; /* reason, error: NULL where there is none */
    int code;                           /* -1 while it runs */
    int stage, stage_step, stage_steps, steps; /* stage from 0, -1: none yet */
    double reward, tokens_per_s;        /* of the newest step that has them */
    double pass1, ci95;                 /* greedy, newest */
    int eval_step;
    double seconds, eta_s; /* of this start; at its mean pace */
    time_t now;
};

/* ---- where the run stands ---------------------------------------------------------- */

static void read_results(struct run *r, struct standing *s) {
    struct arena arena = {0};
    struct db_metric *m;
    struct db_eval *e;
    struct err ignored;
    int n;
    s->reward = s->tokens_per_s = s->pass1 = s->ci95 = NAN;
    if (!r->db) return;
    if (r->step > 0 && db_read_metrics(r->db, r->step, &arena, &m, &n, &ignored) == 0)
        for (int i = 0; i < n; i++) {
            if (strcmp(m[i].name, "reward") == 0) s->reward = m[i].value;
            if (strcmp(m[i].name, "tokens_per_s") == 0) s->tokens_per_s = m[i].value;
        }
    if (db_read_evals(r->db, &arena, &e, &n, &ignored) == 0)
        for (int i = 0; i < n; i++) {
            if (strcmp(e[i].mode, "greedy") != 0 || e[i].step < s->eval_step) continue;
            s->eval_step = e[i].step;
            s->pass1 = e[i].pass1;
            s->ci95 = e[i].ci95;
        }
    arena_clear(&arena);
}

static void stand(struct run *r, struct standing *s) {
    int before = 0;
    *s = (struct standing){.state = "running", .code = -1, .stage = -1, .now = time(NULL)};
    for (int i = 0; i < r->x.n_stages; i++) {
        int max = r->x.stage[i].max_steps;
        if (r->step >= before && (r->step < before + max || i + 1 == r->x.n_stages)) {
            s->stage = i;
            s->stage_step = r->step - before;
            s->stage_steps = max;
        }
        before += max;
    }
    s->steps = before;
    s->seconds = r->started > 0 ? progress_now() - r->started : 0;
    int made = r->step - r->first_step;
    s->eta_s = made > 0 ? s->seconds / made * (s->steps - r->step) : NAN;
    read_results(r, s);
}

/* ---- as JSON ----------------------------------------------------------------------- */

static void add_time(cJSON *o, const char *key, time_t t) {
    char text[32];
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    cJSON_AddStringToObject(o, key, text);
}

static double tenths(double x) { return round(10 * x) / 10; }

static void print_json(const struct run *r, const struct standing *s, struct buf *out) {
    cJSON *o = cJSON_CreateObject();
    char host[256] = "", weights[17];
    gethostname(host, sizeof host - 1);
    hash_hex(r->hash, weights);
    json_add_text(o, "state", s->state);
    json_add_text(o, "reason", s->reason);
    json_add_text(o, "error", s->error);
    json_add_number(o, "exit_code", s->code < 0 ? NAN : s->code);
    json_add_text(o, "name", r->x.name);
    json_add_text(o, "dir", r->dir);
    json_add_number(o, "step", r->step);
    json_add_number(o, "steps", s->steps);
    json_add_text(o, "stage", s->stage < 0 ? NULL : r->x.stage[s->stage].name);
    json_add_number(o, "stage_step", s->stage_step);
    json_add_number(o, "stage_steps", s->stage_steps);
    json_add_number(o, "reward", s->reward);
    json_add_number(o, "eval/pass@1", s->pass1);
    json_add_number(o, "eval/ci95", s->ci95);
    json_add_number(o, "eval/step", isnan(s->pass1) ? NAN : s->eval_step);
    json_add_number(o, "tokens_per_s", tenths(s->tokens_per_s));
    json_add_text(o, "weights", weights);
    json_add_number(o, "seconds", tenths(s->seconds));
    json_add_number(o, "eta_seconds", round(s->eta_s));
    add_time(o, "started_at", r->report.started_at);
    add_time(o, "updated_at", s->now);
    json_add_text(o, "host", host);
    json_add_number(o, "pid", (double)getpid());
    json_add_text(o, "version", version_short());
    json_print(out, o);
    buf_puts(out, "\n");
    json_free(o);
}

/* ---- for Prometheus ---------------------------------------------------------------- */

static void print_label(struct buf *out, const char *text) {
    for (; *text; text++) {
        if (*text == '\n')
            buf_puts(out, "\\n");
        else
            buf_printf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    }
}

static void print_gauge(struct buf *out, const struct run *r, const char *name, const char *help,
                        double x) {
    if (!isfinite(x)) return;
    buf_printf(out, "# HELP hone_%s %s\n# TYPE hone_%s gauge\nhone_%s{run=\"", name, help, name,
               name);
    print_label(out, r->x.name);
    buf_puts(out, "\",dir=\"");
    print_label(out, r->dir);
    buf_puts(out, "\"} ");
    json_print_double(out, x);
    buf_puts(out, "\n");
}

static void print_metrics(const struct run *r, const struct standing *s, struct buf *out) {
    print_gauge(out, r, "running", "1 while a start of the run goes on.", s->code < 0);
    print_gauge(out, r, "complete", "1 once all steps are done.",
                strcmp(s->state, "complete") == 0);
    print_gauge(out, r, "exit_code", "Of the last start.", s->code < 0 ? NAN : s->code);
    print_gauge(out, r, "step", "Steps done.", r->step);
    print_gauge(out, r, "steps", "Steps that the experiment has.", s->steps);
    print_gauge(out, r, "reward", "Mean reward of the newest step.", s->reward);
    print_gauge(out, r, "eval_pass_at_1", "Greedy, of the newest evaluation.", s->pass1);
    print_gauge(out, r, "tokens_per_second", "Of the newest step.", s->tokens_per_s);
    print_gauge(out, r, "eta_seconds", "To the last step, at the pace of this start.", s->eta_s);
    print_gauge(out, r, "started_timestamp_seconds", "Of this start.",
                (double)r->report.started_at);
    print_gauge(out, r, "updated_timestamp_seconds", "Of this file.", (double)s->now);
}

/* ---- telling ----------------------------------------------------------------------- */

static int write_status(const struct run *r, const struct standing *s, struct err *err) {
    char path[PATH_MAX];
    struct buf text = {0};
    if (file_join(path, sizeof path, r->dir, "status.json", err) != 0) return -1;
    print_json(r, s, &text);
    int rc = file_save(path, buf_text(&text), text.len, err);
    buf_clear(&text);
    return rc;
}

static int write_metrics(const struct run *r, const struct report_options *o,
                         const struct standing *s, struct err *err) {
    struct buf text = {0};
    if (!o->metrics_file) return 0;
    print_metrics(r, s, &text);
    int rc = file_save(o->metrics_file, buf_text(&text), text.len, err);
    buf_clear(&text);
    return rc;
}

static void notify(const struct run *r, const char *url, const struct standing *s) {
    struct http http = {0};
    struct buf json = {0}, answer = {0};
    char why[256] = "";
    enum http_status status = HTTP_AGAIN;
    print_json(r, s, &json);
    for (int i = 0; i < NOTIFY_TRIES && status == HTTP_AGAIN; i++) {
        if (i > 0) sleep(1);
        status = http_post(&http, url, buf_text(&json), json.len, NOTIFY_SECONDS, 1 << 20,
                           &answer, why, sizeof why);
    }
    if (status != HTTP_OK)
        fprintf(stderr, "hone train: --notify %s: %s; the run itself is not affected\n", url, why);
    http_close(&http);
    buf_clear(&json);
    buf_clear(&answer);
}

/* Before anything is made: the file itself comes with the first report. */
static int check_folder_of(const char *path, struct err *err) {
    char copy[PATH_MAX];
    if ((size_t)snprintf(copy, sizeof copy, "%s", path) >= sizeof copy)
        return err_set(err, EX_USAGE, "--metrics-file: the path is too long");
    const char *dir = dirname(copy);
    if (access(dir, W_OK) == 0) return 0;
    return err_errno(err, EX_CANTCREAT, "--metrics-file: write into %s", dir);
}

int report_check(const struct report_options *o, struct err *err) {
    if (o->metrics_file && check_folder_of(o->metrics_file, err) != 0) return -1;
    if (!o->notify || strncmp(o->notify, "http://", 7) == 0 ||
        strncmp(o->notify, "https://", 8) == 0)
        return 0;
    return err_set(err, EX_USAGE, "--notify: must begin with http:// or https://, found '%.100s'",
                   o->notify);
}

int report_begin(struct run *r, const struct report_options *o, struct err *err) {
    struct standing s;
    r->report.o = *o;
    stand(r, &s);
    if (write_metrics(r, o, &s, err) != 0) return err_prefix(err, "--metrics-file");
    if (write_status(r, &s, err) != 0) return -1;
    r->report.begun = true;
    r->report.last = progress_now();
    return 0;
}

bool report_due(const struct run *r) {
    return r->report.begun && progress_now() - r->report.last >= REPORT_EVERY;
}

void report_step(struct run *r) {
    struct standing s;
    struct err err;
    if (!report_due(r)) return;
    r->report.last = progress_now();
    stand(r, &s);
    if (write_status(r, &s, &err) == 0 && write_metrics(r, &r->report.o, &s, &err) == 0) return;
    if (!r->report.warned) progress_note(&r->progress, "the run goes on, but: %s", err.msg);
    r->report.warned = true;
}

void report_end(struct run *r, const struct report_options *o, int code, const struct err *err) {
    static const char *const reason[] = {
        [RUN_STOP_SIGNAL] = "signal", [RUN_STOP_MINUTES] = "max-minutes",
        [RUN_STOP_STEPS] = "max-steps", [RUN_STOP_UNTIL] = "until"};
    struct standing s;
    struct err failed;
    stand(r, &s);
    s.code = code;
    s.state = err ? "failed" : r->stop == RUN_GOES_ON ? "complete" : "stopped";
    s.reason = err ? NULL : reason[r->stop];
    s.error = err ? err->msg : NULL;
    s.eta_s = strcmp(s.state, "complete") == 0 ? 0 : s.eta_s;
    /* where the failure is the disk's, this one is no news */
    if (r->report.begun && write_status(r, &s, &failed) != 0 && !err)
        fprintf(stderr, "hone train: %s\n", failed.msg);
    if (write_metrics(r, o, &s, &failed) != 0 && !err)
        fprintf(stderr, "hone train: --metrics-file: %s\n", failed.msg);
    if (o->notify) notify(r, o->notify, &s);
}
