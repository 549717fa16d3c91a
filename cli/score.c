/* cli/score.c: `hone score`: a checker alone, at full speed, over a file of pairs. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/cmd.h"
#include "reward/math.h"
#include "reward/scorer.h"

#define MAX_FILE_BYTES ((size_t)4 << 30)

struct row {
    const char *gold, *pred; /* borrowed from json */
    char *columns;           /* the line, owned */
    cJSON *json;             /* owned */
    struct verdict verdict;
};

struct score_options {
    const char *checker, *options, *data, *gold_key, *pred_key;
    bool json, explain;
    int threads, repeat, row;
};

struct rows {
    struct row *row; /* [n], owned */
    int n, cap;
};

/* ---- reading ---- */

static int read_text(cJSON *json, const char *where, const char *key, const char **out,
                     struct err *err) {
    cJSON *value = cJSON_GetObjectItemCaseSensitive(json, key);
    if (!value) return err_set(err, EX_DATAERR, "%s: no \"%s\"", where, key);
    if (cJSON_IsNumber(value)) { /* as its writer wrote it, as far as a double can tell */
        struct buf text = {0};
        json_print_double(&text, value->valuedouble);
        cJSON *string = cJSON_CreateString(buf_text(&text));
        buf_clear(&text);
        if (!cJSON_ReplaceItemInObjectCaseSensitive(json, key, string))
            return err_set(err, EX_SOFTWARE, "%s: %s", where, key);
        value = string;
    }
    if (!cJSON_IsString(value))
        return err_set(err, EX_DATAERR, "%s: \"%s\" must be a text or a number", where,
                       key);
    *out = value->valuestring;
    return 0;
}

static int read_row(struct rows *rows, const struct score_options *o,
                    const struct scorer *scorer, const char *line, size_t n, int number,
                    struct err *err) {
    char where[512];
    if (rows->n == rows->cap) {
        int cap = rows->cap ? 2 * rows->cap : 1024;
        rows->row =
            mem_resize(rows->row, (size_t)rows->cap, (size_t)cap, sizeof *rows->row);
        rows->cap = cap;
    }
    struct row *r = &rows->row[rows->n];
    if (json_parse(&r->json, line, n, o->data, number, err) != 0) return -1;
    rows->n++;
    snprintf(where, sizeof where, "%s:%d", o->data, number);
    r->gold = "";
    r->columns = mem_new(n + 1, 1);
    memcpy(r->columns, line, n);
    if (!scorer_reads_rows(scorer)) {
        if (read_text(r->json, where, o->gold_key, &r->gold, err) != 0) return -1;
    } else if (scorer_check_row(scorer, r->columns, err) != 0) {
        return err_prefix(err, "%s", where);
    }
    return read_text(r->json, where, o->pred_key, &r->pred, err);
}

static int read_rows(struct rows *rows, const struct score_options *o,
                     const struct scorer *scorer, struct err *err) {
    char *data = NULL;
    size_t n = 0;
    int rc = 0, number = 0;
    if (file_load(o->data, MAX_FILE_BYTES, &data, &n, err) != 0) return -1;
    for (const char *at = data, *end = data + n; at < end && rc == 0;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = stop ? (size_t)(stop - at) : (size_t)(end - at);
        number++;
        if (strspn(at, " \t\r") < len) rc = read_row(rows, o, scorer, at, len, number, err);
        at += len + 1;
    }
    mem_free(data);
    if (rc == 0 && rows->n == 0)
        rc = err_set(err, EX_DATAERR, "%s: holds no rows", o->data);
    return rc;
}

static void rows_clear(struct rows *rows) {
    for (int i = 0; i < rows->n; i++) {
        json_free(rows->row[i].json);
        mem_free(rows->row[i].columns);
    }
    mem_free(rows->row);
}

/* ---- scoring ---- */

static void score_row(struct scorer *scorer, struct row *r) {
    struct problem p = {
        .kind = "jsonl", .key = "", .prompt = "", .gold = r->gold, .columns = r->columns};
    struct completion one = {.text = r->pred, .n_text = strlen(r->pred)};
    struct group g = {.problem = &p, .completion = &one, .n = 1};
    scorer_score(scorer, &g, &r->verdict);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Seconds for all rows, `repeat` times. */
static double score_rows(const struct score_options *o, struct scorer *scorer,
                         struct rows *rows) {
    double from = now();
    for (int k = 0; k < o->repeat; k++) {
#pragma omp parallel for num_threads(o->threads) schedule(dynamic, 1)
        for (int i = 0; i < rows->n; i++) score_row(scorer, &rows->row[i]);
    }
    return now() - from;
}

/* ---- printing ---- */

static void print_json_row(const struct row *r, int i) {
    struct buf line = {0};
    buf_printf(
        &line,
        "{\"row\": %d, \"status\": \"%s\", \"score\": %g, \"ms\": %.4f, \"reason\": ", i,
        verdict_status_name(r->verdict.status), r->verdict.score, r->verdict.ms);
    json_print_string(&line, r->verdict.detail);
    printf("%s}\n", buf_text(&line));
    buf_clear(&line);
}

static void explain_row(const struct math_options *o, struct row *r, int i) {
    struct buf text = {0};
    math_explain(r->gold, strlen(r->gold), r->pred, strlen(r->pred), o, &r->verdict,
                 &text);
    printf("row %d\n%s%s, score %g: %s\n\n", i, buf_text(&text),
           verdict_status_name(r->verdict.status), r->verdict.score, r->verdict.detail);
    buf_clear(&text);
}

static void print_rows(const struct score_options *o, struct rows *rows, double seconds) {
    long count[VERDICT_N_STATUS] = {0}, correct = 0;
    double slowest = 0, rate = (double)rows->n * o->repeat / seconds;
    for (int i = 0; i < rows->n; i++) {
        const struct verdict *v = &rows->row[i].verdict;
        count[v->status]++;
        correct += v->score >= 1;
        if (v->ms > slowest) slowest = v->ms;
        if (o->json) print_json_row(&rows->row[i], i);
    }
    if (o->json) {
        printf("{\"rows\": %d, \"correct\": %ld, \"checks_per_s\": %.0f, \"threads\": "
               "%d, \"slowest_ms\": %.3f",
               rows->n, correct, rate, o->threads, slowest);
        for (int s = 0; s < VERDICT_N_STATUS; s++)
            printf(", \"%s\": %ld", verdict_status_name(s), count[s]);
        printf("}\n");
        return;
    }
    printf(
        "%d rows, %ld correct (%.1f %%), %.0f checks/s on %d thread%s, slowest %.2f ms\n",
        rows->n, correct, 100.0 * (double)correct / rows->n, rate, o->threads,
        o->threads == 1 ? "" : "s", slowest);
    for (int s = 0; s < VERDICT_N_STATUS; s++)
        if (count[s]) printf("  %-14s %ld\n", verdict_status_name(s), count[s]);
}

/* ---- the command ---- */

static int explain(const struct score_options *o, struct rows *rows, struct err *err) {
    struct math_options math;
    if (strcmp(o->checker, "math") != 0)
        return err_set(err, EX_USAGE, "--explain: only the checker math has it");
    if (o->row >= rows->n)
        return err_set(err, EX_USAGE, "--row %d: %s has rows 0 to %d", o->row, o->data,
                       rows->n - 1);
    if (math_options_read(&math, o->options, err) != 0) return -1;
    for (int i = 0; i < rows->n; i++)
        if (o->row < 0 || o->row == i) explain_row(&math, &rows->row[i], i);
    return 0;
}

static int run(struct score_options *o, struct err *err) {
    struct rows rows = {0};
    struct scorer *scorer = NULL;
    struct scorer_config c = {
        .name = o->checker, .checker = o->checker, .options = o->options};
    int rc = -1;
    if (scorer_check(&c, err) != 0) {
        err_prefix(err, "--checker %s", o->checker);
        goto out;
    }
    if (scorer_open(&scorer, &c, err) != 0) {
        err_prefix(err, "--checker %s", o->checker);
        goto out;
    }
    if (read_rows(&rows, o, scorer, err) != 0) goto out;
    if (o->explain) {
        rc = explain(o, &rows, err);
        goto out;
    }
    print_rows(o, &rows, score_rows(o, scorer, &rows));
    rc = 0;
out:
    scorer_close(scorer);
    rows_clear(&rows);
    return rc;
}

int cmd_score(int argc, char **argv) {
    struct score_options o = {.checker = "math",
                              .gold_key = "gold",
                              .pred_key = "pred",
                              .threads = 1,
                              .repeat = 1,
                              .row = -1};
    const struct arg arg[] = {
        {"--data", ARG_STRING, &o.data, .required = true, .value_name = "FILE",
         .help = "JSON lines, each with a gold and a response"},
        {"--checker", ARG_STRING, &o.checker, .value_name = "NAME",
         .help = "math (default), or another of hone help config"},
        {"--gold-key", ARG_STRING, &o.gold_key, .value_name = "KEY",
         .help = "key of the gold (default gold); code needs none"},
        {"--pred-key", ARG_STRING, &o.pred_key, .value_name = "KEY",
         .help = "key of the response (default pred)"},
        {"--options", ARG_STRING, &o.options, .value_name = "JSON",
         .help = "the checker's options, as in an experiment: '{\"rounding\": 0}'"},
        {"--json", ARG_FLAG, &o.json, .help = "a JSON line a row, then one of totals"},
        {"--explain", ARG_FLAG, &o.explain, .help = "how each verdict came about"},
        {"--row", ARG_INT, &o.row, 0, INT_MAX, .value_name = "I",
         .help = "with --explain: row I only, from 0"},
        {"--threads", ARG_INT, &o.threads, 1, 256, .value_name = "N",
         .help = "threads (default 1)"},
        {"--repeat", ARG_INT, &o.repeat, 1, 1000000, .value_name = "N",
         .help = "score all rows N times, to measure"},
    };
    const struct args args = {
        "score", "check answers against golds, from a file of pairs", arg,
        sizeof arg / sizeof *arg,
        .notes = "checks_per_s counts the checking, not the reading of the file.\n"};
    struct err err = {0};
    int code;
    if (args_parse(&args, argc, argv, &code) != 0) return code;
    if (run(&o, &err) == 0) return EX_OK;
    fprintf(stderr, "hone score: %s\n", err.msg);
    return err.code;
}
