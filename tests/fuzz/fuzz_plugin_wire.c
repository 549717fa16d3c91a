/* tests/fuzz/fuzz_plugin_wire.c: the lines between hone and a plug-in, each way.
 *
 * The first byte picks the reader: `h` a plug-in's hello, a digit d its results for a group
 * of d, `q` a request as the worker around a shared object takes it, anything else bytes
 * that are a completion, a gold, an option: written, read again, and the same.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "reward/plugin_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ID = 7, SAMPLES = 9 };

static void check_verdict(const struct verdict *v) {
    CHECK(v->status < VERDICT_N_STATUS);
    CHECK(isfinite(v->score) && v->score >= 0 && v->score <= 1);
    CHECK(v->status == VERDICT_OK || v->score == 0);
    CHECK(memchr(v->detail, 0, sizeof v->detail) && utf8_valid(v->detail, strlen(v->detail)));
    CHECK(v->n_parts >= 0 && v->n_parts <= VERDICT_MAX_PARTS);
    for (int i = 0; i < v->n_parts; i++)
        CHECK(v->part[i].name[0] && memchr(v->part[i].name, 0, sizeof v->part[i].name) &&
              isfinite(v->part[i].value));
}

static void read_hello(const char *text, size_t n) {
    struct wire_hello h;
    struct err err = {0};
    if (wire_read_hello(&h, text, n, &err) != 0) {
        CHECK(err.msg[0] && err.code == EX_PROTOCOL);
        return;
    }
    CHECK(h.name[0] && memchr(h.name, 0, sizeof h.name));
    CHECK(h.version[0] && memchr(h.version, 0, sizeof h.version));
    struct buf out = {0};
    struct wire_hello again;
    wire_write_hello_answer(&out, &h);
    CHECK(wire_read_hello(&again, buf_text(&out), out.len, &err) == 0);
    CHECK(strcmp(h.name, again.name) == 0 && strcmp(h.version, again.version) == 0 &&
          h.deterministic == again.deterministic);
    buf_clear(&out);
}

static void read_results(const char *text, size_t n, int n_samples) {
    static const struct wire_range range[] = {{0, 1}, {-3, 5}};
    struct verdict v[SAMPLES], untouched;
    struct err err = {0};
    memset(v, 0x5a, sizeof v);
    memset(&untouched, 0x5a, sizeof untouched);
    int rc = wire_read_results(v, n_samples, ID, &range[n % 2], text, n, &err);
    CHECK(rc == 0 || (err.msg[0] && err.code == EX_PROTOCOL));
    for (int i = 0; i < SAMPLES; i++) {
        if (rc == 0 && i < n_samples) check_verdict(&v[i]);
        else CHECK(memcmp(&v[i], &untouched, sizeof v[i]) == 0);
    }
}

static void read_request(const char *text, size_t n) {
    struct wire_request r;
    struct err err = {0};
    struct buf sample = {0};
    if (wire_read_request(&r, text, n, &err) == 0 && !r.hello) {
        for (int i = 0; i < r.n; i++) {
            int n_ids = wire_sample_ids(&r, i);
            int32_t *ids = mem_new((size_t)n_ids, sizeof *ids);
            if (wire_sample(&r, i, &sample, ids, &err) != 0) CHECK(err.msg[0]);
            mem_free(ids);
        }
    }
    wire_request_clear(&r);
    buf_clear(&sample);
}

/* The group that hone writes is what a plug-in reads: every byte and every id. */
static void round_trip(const char *text, size_t n) {
    static const int id[] = {0, 1, 2147483647};
    struct problem p = {.kind = "jsonl", .key = "", .prompt = "p", .gold = "g", .columns = "{}"};
    struct completion c[2] = {{text, n, id, 3}, {text, n / 2, NULL, 0}};
    struct group g = {
        .problem = &p, .completion = c, .n = 2, .max_tokens = 64, .step = 3, .max_steps = 5};
    struct wire_request r;
    struct err err;
    struct buf out = {0}, sample = {0};
    int32_t ids[3];
    wire_write_group(&out, ID, &g);
    CHECK(!memchr(out.data, '\n', out.len));
    CHECK(wire_read_request(&r, buf_text(&out), out.len, &err) == 0);
    CHECK(!r.hello && r.id == ID && r.n == 2 && r.max_tokens == 64 && r.step == 3 &&
          r.max_steps == 5);
    for (int i = 0; i < 2; i++) {
        CHECK(wire_sample_ids(&r, i) == c[i].n_id);
        CHECK(wire_sample(&r, i, &sample, ids, &err) == 0);
        CHECK(sample.len == c[i].n_text);
        CHECK(sample.len == 0 || memcmp(sample.data, text, sample.len) == 0);
        for (int k = 0; k < c[i].n_id; k++) CHECK(ids[k] == id[k]);
    }
    wire_request_clear(&r);
    buf_clear(&out);
    buf_clear(&sample);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n == 0) return 0;
    const char *text = (const char *)data + 1;
    if (data[0] == 'h') read_hello(text, n - 1);
    else if (data[0] >= '0' && data[0] <= '9') read_results(text, n - 1, data[0] - '0');
    else if (data[0] == 'q') read_request(text, n - 1);
    else round_trip(text, n - 1);
    return 0;
}
