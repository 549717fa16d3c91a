/* reward/plugin_wire.c: see plugin_wire.h. */
#include "reward/plugin_wire.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/utf8.h"

#define PROTOCOL 1

/* ---- writing ------------------------------------------------------------------- */

static void write_key(struct buf *out, const char *key, const char *value) {
    buf_printf(out, "\"%s\":", key);
    json_print_string(out, value);
}

/* What is no UTF-8, and each NUL, becomes U+FFFD; then the bytes themselves come too. */
static void write_text(struct buf *out, const char *text, size_t n) {
    buf_puts(out, "\"text\":");
    bool exact = json_print_bytes(out, text, n);
    if (exact) return;
    buf_puts(out, ",\"text_base64\":\"");
    base64_encode(text, n, out);
    buf_puts(out, "\"");
}

static void write_sample(struct buf *out, const struct completion *c) {
    buf_puts(out, "{");
    write_text(out, c->text, c->n_text);
    buf_puts(out, ",\"ids\":[");
    for (int i = 0; c->id && i < c->n_id; i++) buf_printf(out, i ? ",%d" : "%d", c->id[i]);
    buf_puts(out, "]}");
}

/* Rows come from files whose lines may hold spaces at their ends, and a CR. */
static void write_columns(struct buf *out, const char *columns) {
    buf_puts(out, ",\"columns\":");
    buf_puts(out, columns && *columns ? columns : "{}");
}

void wire_write_hello(struct buf *out, const char *options) {
    buf_printf(out, "{\"hone_reward\":%d,\"type\":\"hello\",\"options\":%s}", PROTOCOL,
               options && *options ? options : "{}");
}

void wire_write_group(struct buf *out, long id, const struct group *g) {
    const struct problem *p = g->problem;
    buf_printf(out, "{\"hone_reward\":%d,\"type\":\"score\",\"id\":%ld,\"problem\":{", PROTOCOL, id);
    write_key(out, "kind", p->kind);
    buf_puts(out, ",");
    write_key(out, "prompt", p->prompt);
    buf_puts(out, ",");
    write_key(out, "gold", p->gold);
    write_columns(out, p->columns);
    buf_printf(out, "},\"max_tokens\":%d,\"step\":%d,\"max_steps\":%d,\"samples\":[",
               g->max_tokens, g->step, g->max_steps);
    for (int i = 0; i < g->n; i++) {
        if (i) buf_puts(out, ",");
        write_sample(out, &g->completion[i]);
    }
    buf_puts(out, "]}");
}

void wire_write_hello_answer(struct buf *out, const struct wire_hello *h) {
    buf_printf(out, "{\"hone_reward\":%d,", PROTOCOL);
    write_key(out, "name", h->name);
    buf_puts(out, ",");
    write_key(out, "version", h->version);
    buf_printf(out, ",\"deterministic\":%s}", h->deterministic ? "true" : "false");
}

void wire_write_results(struct buf *out, long id, const struct verdict *v,
                        const double *value, int n) {
    buf_printf(out, "{\"id\":%ld,\"results\":[", id);
    for (int i = 0; i < n; i++) {
        buf_puts(out, i ? ",{" : "{");
        write_key(out, "status", verdict_status_name(v[i].status));
        buf_puts(out, ",\"score\":");
        if (verdict_has_score(&v[i])) json_print_double(out, value[i]);
        else buf_puts(out, "null");
        buf_puts(out, ",");
        write_key(out, "reason", v[i].detail);
        buf_puts(out, ",\"parts\":");
        verdict_print_parts(&v[i], out);
        buf_puts(out, "}");
    }
    buf_puts(out, "]}");
}

void wire_write_error(struct buf *out, long id, const char *message) {
    buf_printf(out, "{\"id\":%ld,", id);
    write_key(out, "error", message);
    buf_puts(out, "}");
}

/* ---- reading answers ----------------------------------------------------------- */

/* Strict JSON in clean UTF-8 whose root is an object. */
static int parse(cJSON **tree, const char *text, size_t n, struct err *err) {
    *tree = NULL;
    if (!utf8_valid(text, n)) return err_set(err, EX_PROTOCOL, "the answer is not UTF-8");
    if (json_parse(tree, text, n, "answer", 1, err) != 0) return -1;
    return json_as_object(*tree, "answer", err);
}

static int copy_string(char *out, size_t size, const cJSON *tree, const char *key,
                       struct err *err) {
    const char *s = NULL;
    if (json_need(tree, "answer", key, err) != 0 ||
        json_get_string(tree, "answer", key, &s, err) != 0)
        return -1;
    size_t n = strlen(s);
    if (n == 0 || n >= size)
        return err_set(err, EX_PROTOCOL, "answer: %s: must have 1 to %zu bytes, found %zu", key,
                       size - 1, n);
    memcpy(out, s, n + 1);
    return 0;
}

/* The error that it answers with. */
static void say(const char *message, struct err *err) {
    err_set(err, EX_PROTOCOL, "%.300s", *message ? message : "it failed and did not say why");
}

int wire_read_hello(struct wire_hello *h, const char *text, size_t n, struct err *err) {
    static const char *const keys[] = {"hone_reward", "name", "version", "deterministic",
                                       "error", "id"};
    cJSON *tree;
    int protocol = 0, rc = -1;
    const char *message = NULL;
    memset(h, 0, sizeof *h);
    if (parse(&tree, text, n, err) != 0) goto out;
    if (json_check_keys(tree, "answer", keys, 6, err) != 0) goto out;
    if (json_get_string(tree, "answer", "error", &message, err) != 0) goto out;
    if (message) {
        say(message, err);
        goto out;
    }
    if (json_need(tree, "answer", "hone_reward", err) != 0 ||
        json_get_int(tree, "answer", "hone_reward", 1, 1000, &protocol, err) != 0)
        goto out;
    if (protocol != PROTOCOL) {
        err_set(err, EX_PROTOCOL, "it speaks protocol %d, this hone speaks %d", protocol,
                PROTOCOL);
        goto out;
    }
    if (copy_string(h->name, sizeof h->name, tree, "name", err) != 0 ||
        copy_string(h->version, sizeof h->version, tree, "version", err) != 0 ||
        json_get_bool(tree, "answer", "deterministic", &h->deterministic, err) != 0)
        goto out;
    rc = 0;
out:
    json_free(tree);
    if (rc != 0) err->code = EX_PROTOCOL;
    return rc;
}

static void crashed(struct verdict *v, const char *why) {
    verdict_set(v, VERDICT_CRASHED, 0, "%s", why);
}

/* Ok with what is left of the range; the value itself is kept where it is another. */
static void set_score(struct verdict *v, double value, const struct wire_range *range) {
    double score = (value - range->min) / (range->max - range->min);
    char why[sizeof v->detail];
    if (!(score >= -1e-9 && score <= 1 + 1e-9)) {
        snprintf(why, sizeof why, "score %g is outside of %g to %g: min_value, max_value", value,
                 range->min, range->max);
        crashed(v, why);
        return;
    }
    verdict_set(v, VERDICT_OK, score < 0 ? 0 : score > 1 ? 1 : score, "%s", "");
    if (range->min != 0 || range->max != 1) verdict_add_part(v, "value", value);
}

/* As much of the reason as fits, cut between characters. */
static void set_reason(struct verdict *v, const char *reason) {
    size_t n = strlen(reason);
    if (n >= sizeof v->detail)
        for (n = sizeof v->detail - 1; n > 0 && (reason[n] & 0xc0) == 0x80;) n--;
    memcpy(v->detail, reason, n);
    v->detail[n] = 0;
}

/* The pieces of one result; NULL, or what is wrong with them. */
static const char *read_parts(struct verdict *v, const cJSON *parts) {
    if (!cJSON_IsObject(parts)) return "\"parts\" is no object";
    for (const cJSON *c = parts->child; c; c = c->next) {
        if (!cJSON_IsNumber(c)) return "\"parts\" has a value that is no number";
        if (!verdict_add_part(v, c->string, c->valuedouble))
            return "\"parts\" has more than 8 names, or one of more than 31 bytes";
    }
    return NULL;
}

static const char *read_result_object(struct verdict *v, const cJSON *r,
                                      const struct wire_range *range) {
    enum verdict_status status = VERDICT_OK;
    const cJSON *score = json_find(r, "score"), *name = json_find(r, "status"),
                *reason = json_find(r, "reason"), *parts = json_find(r, "parts");
    for (const cJSON *c = r->child; c; c = c->next)
        if (c != score && c != name && c != reason && c != parts)
            return "a result has a key that is none of score, status, reason, parts";
    if (reason && !cJSON_IsString(reason)) return "\"reason\" is no string";
    if (!name && cJSON_IsNull(score)) status = VERDICT_NOT_SCORABLE;
    if (name && (!cJSON_IsString(name) || !verdict_status_find(name->valuestring, &status)))
        return "\"status\" is none of ok, unparsable, undecided, timeout, limit, crashed, "
               "not_scorable";
    if (status == VERDICT_OK) {
        if (!cJSON_IsNumber(score)) return "an ok result without a number as score";
        set_score(v, score->valuedouble, range);
        if (v->status != VERDICT_OK) return NULL;
    } else {
        verdict_set(v, status, 0, "%s", "");
    }
    if (reason) set_reason(v, reason->valuestring);
    return parts ? read_parts(v, parts) : NULL;
}

static void read_result(struct verdict *v, const cJSON *r, const struct wire_range *range) {
    const char *flaw = NULL;
    if (cJSON_IsNumber(r)) {
        set_score(v, r->valuedouble, range);
    } else if (cJSON_IsNull(r)) {
        verdict_set(v, VERDICT_NOT_SCORABLE, 0, "%s", "");
    } else if (cJSON_IsObject(r)) {
        flaw = read_result_object(v, r, range);
    } else {
        flaw = "a result is neither an object nor a number nor null";
    }
    if (flaw) crashed(v, flaw);
}

int wire_read_results(struct verdict *out, int n_samples, long id,
                      const struct wire_range *range, const char *text, size_t n,
                      struct err *err) {
    static const char *const keys[] = {"id", "results", "error"};
    cJSON *tree;
    int rc = -1;
    long long found = id;
    const char *message = NULL;
    if (parse(&tree, text, n, err) != 0) goto out;
    if (json_check_keys(tree, "answer", keys, 3, err) != 0) goto out;
    const cJSON *number = json_find(tree, "id"), *results = json_find(tree, "results");
    if (number && json_as_int(number, "answer: id", 0, 1LL << 53, &found, err) != 0) goto out;
    if (found != id) {
        err_set(err, EX_PROTOCOL, "it answers request %lld, asked was %ld", found, id);
        goto out;
    }
    if (json_get_string(tree, "answer", "error", &message, err) != 0) goto out;
    if (message) {
        say(message, err);
        goto out;
    }
    if (json_need(tree, "answer", "results", err) != 0 ||
        json_as_array(results, "answer: results", err) != 0)
        goto out;
    if (cJSON_GetArraySize(results) != n_samples) {
        err_set(err, EX_PROTOCOL, "it has %d results for %d samples",
                cJSON_GetArraySize(results), n_samples);
        goto out;
    }
    const cJSON *r = results->child;
    for (int i = 0; i < n_samples; i++, r = r->next) read_result(&out[i], r, range);
    rc = 0;
out:
    json_free(tree);
    if (rc != 0) err->code = EX_PROTOCOL;
    return rc;
}

/* ---- reading requests ---------------------------------------------------------- */

int wire_read_request(struct wire_request *r, const char *text, size_t n, struct err *err) {
    long long id = 0;
    const char *type = NULL;
    *r = (struct wire_request){0};
    /* columns are a user's row, which may hold what json_parse refuses, so cJSON reads it */
    r->tree = utf8_valid(text, n) ? cJSON_ParseWithLength(text, n) : NULL;
    if (!r->tree) return err_set(err, EX_PROTOCOL, "the request is no JSON");
    if (json_as_object(r->tree, "request", err) != 0 ||
        json_get_string(r->tree, "request", "type", &type, err) != 0)
        return -1;
    r->hello = type && strcmp(type, "hello") == 0;
    r->options = json_find(r->tree, "options");
    if (r->hello) return 0;
    r->problem = json_find(r->tree, "problem");
    r->samples = json_find(r->tree, "samples");
    if (!type || strcmp(type, "score") != 0 || !cJSON_IsObject(r->problem) ||
        !cJSON_IsArray(r->samples) || !json_find(r->tree, "id"))
        return err_set(err, EX_PROTOCOL, "the request is neither hello nor score");
    if (json_as_int(json_find(r->tree, "id"), "id", 0, 1LL << 53, &id, err) != 0 ||
        json_get_int(r->tree, "request", "max_tokens", 0, 1 << 30, &r->max_tokens, err) != 0 ||
        json_get_int(r->tree, "request", "step", 0, 1 << 30, &r->step, err) != 0 ||
        json_get_int(r->tree, "request", "max_steps", 0, 1 << 30, &r->max_steps, err) != 0)
        return -1;
    r->id = (long)id;
    r->n = cJSON_GetArraySize(r->samples);
    return 0;
}

void wire_request_clear(struct wire_request *r) {
    json_free(r->tree);
    r->tree = NULL;
}

int wire_sample_ids(const struct wire_request *r, int i) {
    return cJSON_GetArraySize(json_find(cJSON_GetArrayItem(r->samples, i), "ids"));
}

int wire_sample(const struct wire_request *r, int i, struct buf *text, int32_t *ids,
                struct err *err) {
    const cJSON *s = cJSON_GetArrayItem(r->samples, i), *id;
    const char *exact = cJSON_GetStringValue(json_find(s, "text_base64"));
    const char *clean = cJSON_GetStringValue(json_find(s, "text"));
    int k = 0;
    buf_reset(text);
    if (exact) {
        if (!base64_decode(exact, strlen(exact), text))
            return err_set(err, EX_PROTOCOL, "sample %d: text_base64 is no base64", i);
    } else if (clean) {
        buf_puts(text, clean);
    } else {
        return err_set(err, EX_PROTOCOL, "sample %d: no text", i);
    }
    cJSON_ArrayForEach(id, json_find(s, "ids")) ids[k++] = id->valueint;
    return 0;
}
