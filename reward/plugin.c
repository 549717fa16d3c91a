/* reward/plugin.c: see plugin.h. */
#include "reward/plugin.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/child.h"
#include "base/http.h"
#include "base/mem.h"

#define HELLO_S 30.0 /* to start: an interpreter that loads its libraries */
#define MAX_REQUEST_BYTES ((size_t)256 << 20)
#define MAX_ANSWER_BYTES ((size_t)16 << 20)
#define FIRST_PAUSE_S 0.1 /* before the first retry; doubled for each next */

/* One process or one connection; of one call at a time. */
struct place {
    struct child child;
    struct http http;
    struct buf request, answer;
    bool busy;
};

struct plugin {
    char *argv[CHILD_MAX_ARGS + 1]; /* owned, NULL-terminated */
    char *url, *options;            /* owned; url NULL: a program */
    double timeout_s;
    int retries;
    struct wire_range range;
    struct wire_hello hello;
    char version[WIRE_NAME_BYTES + WIRE_VERSION_BYTES];
    struct place *place; /* [n_places] */
    int n_places;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    long id; /* of the next request */
};

/* How an exchange went wrong: the status of all its samples, and why. */
struct failure {
    enum verdict_status status;
    char why[120];
};

static bool fail(struct failure *f, enum verdict_status status, const char *why) {
    f->status = status;
    snprintf(f->why, sizeof f->why, "%s", why);
    return false;
}

/* ---- one exchange -------------------------------------------------------------- */

static bool ask_child(struct plugin *p, struct place *at, double seconds, struct failure *f) {
    char how[64], why[120];
    enum child_status got = child_ask(&at->child, buf_text(&at->request), at->request.len,
                                      child_now() + seconds, MAX_ANSWER_BYTES, &at->answer);
    (void)p;
    if (got == CHILD_OK) return true;
    child_stop(&at->child, how, sizeof how);
    switch (got) {
    case CHILD_LATE:
        snprintf(why, sizeof why, "no answer within %g s", seconds);
        return fail(f, VERDICT_TIMEOUT, why);
    case CHILD_LONG: return fail(f, VERDICT_LIMIT, "its answer has no end");
    default:
        snprintf(why, sizeof why, "it went away: %s", *how ? how : "it closed its output");
        return fail(f, VERDICT_CRASHED, why);
    }
}

static bool ask_server(struct plugin *p, struct place *at, double seconds, struct failure *f) {
    double end = child_now() + seconds, pause = FIRST_PAUSE_S;
    char why[100], full[120];
    for (int tries = 0;; tries++) {
        double left = end - child_now();
        enum http_status got =
            left > 0 ? http_post(&at->http, p->url, buf_text(&at->request), at->request.len,
                                 left, MAX_ANSWER_BYTES, &at->answer, why, sizeof why)
                     : HTTP_LATE;
        if (got == HTTP_OK) return true;
        if (got == HTTP_LATE) {
            snprintf(full, sizeof full, "no answer within %g s", seconds);
            return fail(f, VERDICT_TIMEOUT, full);
        }
        if (got == HTTP_LONG) return fail(f, VERDICT_LIMIT, "its answer has no end");
        if (got == HTTP_FAILED || tries == p->retries || end - child_now() < pause) {
            snprintf(full, sizeof full, "%s%s", why, tries ? ", also when tried again" : "");
            return fail(f, VERDICT_CRASHED, full);
        }
        nanosleep(&(struct timespec){(time_t)pause, (long)((pause - (double)(time_t)pause) * 1e9)},
                  NULL);
        pause *= 2;
    }
}

/* Sends at->request; true with at->answer. */
static bool ask(struct plugin *p, struct place *at, double seconds, struct failure *f) {
    if (at->request.full) return fail(f, VERDICT_LIMIT, "the group is too long to be sent");
    return p->url ? ask_server(p, at, seconds, f) : ask_child(p, at, seconds, f);
}

/* ---- starting ------------------------------------------------------------------ */

static bool greet(struct plugin *p, struct place *at, struct wire_hello *h, struct failure *f) {
    struct err err;
    if (!p->url && child_start(&at->child, (const char *const *)p->argv, &err) != 0)
        return fail(f, VERDICT_CRASHED, err.msg);
    buf_reset(&at->request);
    wire_write_hello(&at->request, p->options);
    if (!ask(p, at, HELLO_S, f)) return false;
    if (wire_read_hello(h, buf_text(&at->answer), at->answer.len, &err) == 0) return true;
    child_stop(&at->child, NULL, 0);
    return fail(f, VERDICT_CRASHED, err.msg);
}

/* A program runs in this place, and is the one that the run began with. */
static bool ready(struct plugin *p, struct place *at, struct failure *f) {
    struct wire_hello h;
    if (p->url || at->child.pid > 0) return true;
    if (!greet(p, at, &h, f)) return false;
    if (strcmp(h.name, p->hello.name) == 0 && strcmp(h.version, p->hello.version) == 0)
        return true;
    child_stop(&at->child, NULL, 0);
    return fail(f, VERDICT_CRASHED, "it came back with another name or version");
}

static void copy_config(struct plugin *p, const struct plugin_config *c) {
    for (int i = 0; c->argv && c->argv[i]; i++) {
        CHECK(i < CHILD_MAX_ARGS);
        p->argv[i] = mem_strdup(c->argv[i]);
    }
    p->url = mem_strdup(c->url);
    p->options = mem_strdup(c->options);
    p->timeout_s = c->timeout_s;
    p->retries = c->retries;
    p->range = c->range;
    p->n_places = c->workers;
    p->place = mem_new((size_t)c->workers, sizeof *p->place);
    for (int i = 0; i < c->workers; i++) p->place[i].request.max = MAX_REQUEST_BYTES;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->freed, NULL);
}

int plugin_open(struct plugin **out, const struct plugin_config *c, struct err *err) {
    struct plugin *p = mem_new(1, sizeof *p);
    struct failure f;
    *out = NULL;
    copy_config(p, c);
    if (!greet(p, &p->place[0], &p->hello, &f)) {
        err_set(err, EX_UNAVAILABLE, "%s does not say hello: %s", p->url ? p->url : p->argv[0],
                f.why);
        plugin_close(p);
        return -1;
    }
    snprintf(p->version, sizeof p->version, "%s/%s", p->hello.name, p->hello.version);
    *out = p;
    return 0;
}

void plugin_close(struct plugin *p) {
    if (!p) return;
    for (int i = 0; i < p->n_places; i++) {
        child_stop(&p->place[i].child, NULL, 0);
        http_close(&p->place[i].http);
        buf_clear(&p->place[i].request);
        buf_clear(&p->place[i].answer);
    }
    mem_free(p->place);
    for (int i = 0; p->argv[i]; i++) mem_free(p->argv[i]);
    mem_free(p->url);
    mem_free(p->options);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->freed);
    mem_free(p);
}

/* ---- scoring ------------------------------------------------------------------- */

static struct place *take_place(struct plugin *p, long *id) {
    struct place *at = NULL;
    pthread_mutex_lock(&p->lock);
    while (!at) {
        for (int i = 0; i < p->n_places && !at; i++)
            if (!p->place[i].busy) at = &p->place[i];
        if (!at) pthread_cond_wait(&p->freed, &p->lock);
    }
    at->busy = true;
    *id = ++p->id;
    pthread_mutex_unlock(&p->lock);
    return at;
}

static void leave_place(struct plugin *p, struct place *at) {
    pthread_mutex_lock(&p->lock);
    at->busy = false;
    pthread_cond_signal(&p->freed);
    pthread_mutex_unlock(&p->lock);
}

static bool exchange(struct plugin *p, struct place *at, long id, const struct group *g,
                     struct verdict *out, struct failure *f) {
    struct err err;
    if (!ready(p, at, f)) return false;
    buf_reset(&at->request);
    wire_write_group(&at->request, id, g);
    if (!ask(p, at, p->timeout_s, f)) return false;
    if (wire_read_results(out, g->n, id, &p->range, buf_text(&at->answer), at->answer.len,
                          &err) == 0)
        return true;
    /* what talks nonsense once may be out of step for good */
    child_stop(&at->child, NULL, 0);
    return fail(f, VERDICT_CRASHED, err.msg);
}

void plugin_score(struct plugin *p, const struct group *g, struct verdict *out) {
    struct failure f;
    long id;
    struct place *at = take_place(p, &id);
    if (!exchange(p, at, id, g, out, &f))
        for (int i = 0; i < g->n; i++) verdict_set(&out[i], f.status, 0, "%s", f.why);
    leave_place(p, at);
}

const char *plugin_version(const struct plugin *p) { return p->version; }

bool plugin_is_deterministic(const struct plugin *p) { return p->hello.deterministic; }
