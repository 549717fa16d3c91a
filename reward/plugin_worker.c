/* reward/plugin_worker.c: see plugin_worker.h. */
#include "reward/plugin_worker.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "reward/hone_reward.h"
#include "reward/plugin_wire.h"

enum { CANARY = 0xa5, GROWN_BYTES = 64, N_SIGNALS = 32 };

/* n bytes that end where a page without access begins; before them CANARY. */
struct guarded {
    unsigned char *map, *data;
    size_t n, n_map; /* bytes; n_map with the guard page */
};

struct worker {
    const struct hone_reward_plugin *plugin;
    void *instance;
    bool created, strict;
    size_t extra; /* bytes that structs are longer than they are here */
    pthread_t thread;
    struct guarded host_memory;
    struct hone_reward_host *host;
    char error[256];
    const char *misuse; /* of a host function; NULL: none */
    struct sigaction action[N_SIGNALS]; /* before the plug-in was loaded */
    FILE *in, *out;
    struct buf reply;
    /* of the request at hand, [n] each */
    struct guarded *result, *text, *ids, *sample, group;
    struct hone_reward_result **results;
    const struct hone_reward_sample **samples;
    int n;
};

static struct worker worker; /* the process is about nothing else */

/* ---- memory with a fence ------------------------------------------------------- */

static void guarded_new(struct guarded *g, size_t n) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t body = (n + page) / page * page; /* at least a byte of canary */
    g->n = n;
    g->n_map = body + page;
    void *map = mmap(NULL, g->n_map, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED);
    g->map = map;
    g->data = g->map + body - n;
    memset(g->map, CANARY, body - n);
    CHECK(mprotect(g->map + body, page, PROT_NONE) == 0);
}

static bool guarded_intact(const struct guarded *g) {
    for (const unsigned char *p = g->map; p < g->data; p++)
        if (*p != CANARY) return false;
    return true;
}

/* A struct of n bytes and of those that a later hone would have added. */
static void *guarded_struct(struct guarded *g, size_t n) {
    guarded_new(g, n + worker.extra);
    memset(g->data, 0, n);
    memset(g->data + n, CANARY, worker.extra);
    return g->data;
}

static bool extra_intact(const struct guarded *g) {
    for (size_t i = g->n - worker.extra; i < g->n; i++)
        if (g->data[i] != CANARY) return false;
    return true;
}

/* The plug-in may read it, and no more. */
static void guarded_seal(struct guarded *g) {
    if (worker.strict)
        CHECK(mprotect(g->map, g->n_map - (size_t)sysconf(_SC_PAGESIZE), PROT_READ) == 0);
}

static void guarded_free(struct guarded *g) {
    if (g->map) munmap(g->map, g->n_map);
    *g = (struct guarded){0};
}

/* ---- what hone offers ---------------------------------------------------------- */

static void host_log(const struct hone_reward_host *host, int severity, const char *text) {
    static const char *const names[] = {"", "warning: ", "error: "};
    (void)host;
    fprintf(stderr, "%s: %s%s\n", worker.plugin ? worker.plugin->name : "plug-in",
            severity >= 0 && severity <= 2 ? names[severity] : "", text);
}

static int is_worker(const struct hone_reward_host *host) {
    (void)host;
    return pthread_equal(pthread_self(), worker.thread) != 0;
}

static void host_set_error(const struct hone_reward_host *host, const char *text) {
    if (!is_worker(host)) worker.misuse = "it called set_error on a thread of its own";
    snprintf(worker.error, sizeof worker.error, "%s", text);
}

static const struct hone_reward_thread_check thread_check = {
    .size = sizeof thread_check, .is_worker = is_worker};

static const void *host_extension(const struct hone_reward_host *host, const char *id) {
    (void)host;
    return strcmp(id, "hone.thread-check/1") == 0 ? &thread_check : NULL;
}

static void make_host(const char *version) {
    worker.host = guarded_struct(&worker.host_memory, sizeof *worker.host);
    *worker.host = (struct hone_reward_host){
        .size = (uint32_t)(sizeof *worker.host + worker.extra),
        .abi_major = HONE_REWARD_ABI_MAJOR,
        .abi_minor = HONE_REWARD_ABI_MINOR + (worker.extra > 0),
        .version = version,
        .log = host_log,
        .set_error = host_set_error,
        .extension = host_extension};
    guarded_seal(&worker.host_memory);
}

/* ---- what a plug-in leaves alone ------------------------------------------------- */

static void remember_process(void) {
    for (int s = 1; s < N_SIGNALS; s++) sigaction(s, NULL, &worker.action[s]);
}

/* NULL, or what it did to the process. */
static const char *process_flaw(void) {
    static char why[64];
    if (!worker.strict) return NULL;
    for (int s = 1; s < N_SIGNALS; s++) {
        struct sigaction now;
        if (sigaction(s, NULL, &now) != 0 || now.sa_handler == worker.action[s].sa_handler)
            continue;
        snprintf(why, sizeof why, "it changed what signal %d (%s) does", s, strsignal(s));
        return why;
    }
    if (strcmp(localeconv()->decimal_point, ".") != 0) return "it changed how numbers are written";
    return worker.misuse;
}

/* ---- loading ------------------------------------------------------------------- */

static int check_plugin(const struct hone_reward_plugin *p, const char *path, struct err *err) {
    if (!p) return err_set(err, EX_UNAVAILABLE, "%s: hone_reward_entry gave nothing", path);
    if (p->size < offsetof(struct hone_reward_plugin, extension))
        return err_set(err, EX_UNAVAILABLE, "%s: its struct has %u bytes, %zu are the least",
                       path, p->size, offsetof(struct hone_reward_plugin, extension));
    if (p->abi_major != HONE_REWARD_ABI_MAJOR)
        return err_set(err, EX_UNAVAILABLE,
                       "%s: was built for interface %u.%u, this hone has %d.%d", path,
                       p->abi_major, p->abi_minor, HONE_REWARD_ABI_MAJOR,
                       HONE_REWARD_ABI_MINOR);
    if (!p->name || !*p->name || strlen(p->name) >= WIRE_NAME_BYTES || !p->version ||
        !*p->version || strlen(p->version) >= WIRE_VERSION_BYTES)
        return err_set(err, EX_UNAVAILABLE, "%s: its name and version must have 1 to 63 bytes",
                       path);
    if (!p->create || !p->score)
        return err_set(err, EX_UNAVAILABLE, "%s: it lacks create or score", path);
    return 0;
}

static int load(const char *path, struct err *err) {
    struct buf name = {0};
    /* without a slash the loader would look in the system's folders */
    if (!strchr(path, '/')) buf_puts(&name, "./");
    buf_puts(&name, path);
    void *so = dlopen(buf_text(&name), RTLD_NOW | RTLD_LOCAL);
    buf_clear(&name);
    if (!so) return err_set(err, EX_UNAVAILABLE, "load the plug-in: %s", dlerror());
    void *symbol = dlsym(so, "hone_reward_entry");
    if (!symbol)
        return err_set(err, EX_UNAVAILABLE, "%s: it does not export hone_reward_entry", path);
    const struct hone_reward_plugin *(*entry)(void);
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from one to the other */
    worker.plugin = entry();
    if (check_plugin(worker.plugin, path, err) == 0) return 0;
    worker.plugin = NULL;
    return -1;
}

/* ---- scoring ------------------------------------------------------------------- */

static void free_group(void) {
    for (int i = 0; i < worker.n; i++) {
        guarded_free(&worker.result[i]);
        guarded_free(&worker.text[i]);
        guarded_free(&worker.ids[i]);
        guarded_free(&worker.sample[i]);
    }
    guarded_free(&worker.group);
    mem_free(worker.result);
    mem_free(worker.text);
    mem_free(worker.ids);
    mem_free(worker.sample);
    mem_free(worker.results);
    mem_free(worker.samples);
    worker.n = 0;
}

static int make_sample(const struct wire_request *r, int i, struct buf *text, struct err *err) {
    int n_ids = wire_sample_ids(r, i);
    guarded_new(&worker.ids[i], (size_t)n_ids * sizeof(int32_t));
    int32_t *ids = (void *)worker.ids[i].data;
    if (wire_sample(r, i, text, ids, err) != 0) return -1;
    guarded_new(&worker.text[i], text->len + !worker.strict);
    memcpy(worker.text[i].data, buf_text(text), text->len);
    struct hone_reward_sample *s = guarded_struct(&worker.sample[i], sizeof *s);
    *s = (struct hone_reward_sample){
        .size = (uint32_t)(sizeof *s + worker.extra), .n_ids = (uint32_t)n_ids, .ids = ids,
        .text = {(const char *)worker.text[i].data, text->len}};
    worker.samples[i] = s;
    struct hone_reward_result *result = guarded_struct(&worker.result[i], sizeof *result);
    result->size = (uint32_t)(sizeof *result + worker.extra);
    worker.results[i] = result;
    guarded_seal(&worker.ids[i]);
    guarded_seal(&worker.text[i]);
    guarded_seal(&worker.sample[i]);
    return 0;
}

static int make_group(const struct wire_request *r, struct err *err) {
    struct buf text = {0};
    size_t n = (size_t)r->n;
    int rc = 0;
    worker.result = mem_new(n, sizeof *worker.result);
    worker.text = mem_new(n, sizeof *worker.text);
    worker.ids = mem_new(n, sizeof *worker.ids);
    worker.results = mem_new(n, sizeof *worker.results);
    worker.sample = mem_new(n, sizeof *worker.sample);
    worker.samples = mem_new(n, sizeof *worker.samples);
    worker.n = r->n;
    for (int i = 0; i < r->n && rc == 0; i++) rc = make_sample(r, i, &text, err);
    buf_clear(&text);
    return rc;
}

static struct hone_reward_text text_of(const char *s) {
    return (struct hone_reward_text){s ? s : "", s ? strlen(s) : 0};
}

/* What the plug-in left for one sample; NULL, or what is wrong with it. */
static const char *read_result(const struct guarded *g, struct verdict *v, double *value) {
    static const enum verdict_status status[] = {
        [HONE_REWARD_OK] = VERDICT_OK, [HONE_REWARD_UNPARSABLE] = VERDICT_UNPARSABLE,
        [HONE_REWARD_UNDECIDED] = VERDICT_UNDECIDED, [HONE_REWARD_TIMEOUT] = VERDICT_TIMEOUT,
        [HONE_REWARD_LIMIT] = VERDICT_LIMIT, [HONE_REWARD_CRASHED] = VERDICT_CRASHED,
        [HONE_REWARD_NOT_SCORABLE] = VERDICT_NOT_SCORABLE};
    const struct hone_reward_result *r = (const void *)g->data;
    *value = 0;
    if (!guarded_intact(g) || r->size != g->n) return "it wrote before its result";
    if (!extra_intact(g)) return "it wrote past its result";
    if (r->status == HONE_REWARD_UNSET) return "it left the sample without a verdict";
    if (r->status > HONE_REWARD_NOT_SCORABLE) return "it left an unknown status";
    size_t n = strnlen(r->reason, sizeof r->reason);
    if (n == sizeof r->reason || !utf8_valid(r->reason, n)) return "its reason is no UTF-8 text";
    if (r->status == HONE_REWARD_OK && !isfinite(r->score)) return "its score is not a number";
    if (r->n_parts > HONE_REWARD_MAX_PARTS) return "it left more than 8 parts";
    verdict_set(v, status[r->status], 0, "%s", r->reason);
    if (r->status == HONE_REWARD_OK) *value = r->score;
    for (uint32_t i = 0; i < r->n_parts; i++) {
        const struct hone_reward_part *p = &r->part[i];
        size_t len = strnlen(p->name, sizeof p->name);
        if (len == sizeof p->name || !utf8_valid(p->name, len) ||
            !verdict_add_part(v, p->name, p->value))
            return "it left a part without a name or a finite value";
    }
    return NULL;
}

static void answer_group(const struct wire_request *r) {
    struct verdict *v = mem_new((size_t)r->n, sizeof *v);
    double *value = mem_new((size_t)r->n, sizeof *value);
    for (int i = 0; i < r->n; i++) {
        const char *flaw = read_result(&worker.result[i], &v[i], &value[i]);
        if (flaw) verdict_set(&v[i], VERDICT_CRASHED, 0, "%s", flaw);
    }
    wire_write_results(&worker.reply, r->id, v, value, r->n);
    mem_free(v);
    mem_free(value);
}

static int score(const struct wire_request *r, struct err *err) {
    const struct hone_reward_plugin *p = worker.plugin;
    char *columns = cJSON_PrintUnformatted(json_find(r->problem, "columns"));
    int rc = make_group(r, err);
    if (rc == 0) {
        struct hone_reward_group *g = guarded_struct(&worker.group, sizeof *g);
        *g = (struct hone_reward_group){
            .size = (uint32_t)(sizeof *g + worker.extra), .n = (uint32_t)r->n,
            .kind = text_of(cJSON_GetStringValue(json_find(r->problem, "kind"))),
            .prompt = text_of(cJSON_GetStringValue(json_find(r->problem, "prompt"))),
            .gold = text_of(cJSON_GetStringValue(json_find(r->problem, "gold"))),
            .columns = text_of(columns ? columns : "{}"), .sample = worker.samples,
            .result = worker.results, .max_tokens = (uint32_t)r->max_tokens,
            .step = (uint32_t)r->step, .max_steps = (uint32_t)r->max_steps};
        guarded_seal(&worker.group);
        snprintf(worker.error, sizeof worker.error, "%s", "its score function failed");
        int failed = p->score(worker.instance, g);
        const char *flaw = process_flaw();
        if (failed || flaw) wire_write_error(&worker.reply, r->id, flaw ? flaw : worker.error);
        else answer_group(r);
    }
    cJSON_free(columns);
    free_group();
    return rc;
}

/* ---- the loop ------------------------------------------------------------------ */

static int hello(const struct wire_request *r, struct err *err) {
    const struct hone_reward_plugin *p = worker.plugin;
    struct wire_hello h = {.deterministic = p->flags & HONE_REWARD_DETERMINISTIC};
    char *options = cJSON_PrintUnformatted(r->options);
    const char *text = options ? options : "{}";
    int rc = 0;
    if (!worker.created) {
        snprintf(worker.error, sizeof worker.error, "%s", "its create function failed");
        worker.instance = p->create(worker.host, text, strlen(text));
        worker.created = worker.instance != NULL;
        const char *flaw = worker.created ? process_flaw() : worker.error;
        if (flaw) rc = err_set(err, EX_UNAVAILABLE, "%s", flaw);
    }
    snprintf(h.name, sizeof h.name, "%s", p->name);
    snprintf(h.version, sizeof h.version, "%s", p->version);
    if (rc == 0) wire_write_hello_answer(&worker.reply, &h);
    cJSON_free(options);
    return rc;
}

static int answer(const char *line, size_t n, struct err *err) {
    struct wire_request r;
    buf_reset(&worker.reply);
    int rc = wire_read_request(&r, line, n, err);
    if (rc == 0 && r.hello) rc = hello(&r, err);
    else if (rc == 0 && !worker.created)
        rc = err_set(err, EX_PROTOCOL, "asked for scores before the hello");
    else if (rc == 0) rc = score(&r, err);
    if (rc != 0) {
        buf_reset(&worker.reply);
        wire_write_error(&worker.reply, r.id, err->msg);
    }
    wire_request_clear(&r);
    buf_puts(&worker.reply, "\n");
    if (fwrite(worker.reply.data, 1, worker.reply.len, worker.out) != worker.reply.len ||
        fflush(worker.out) != 0)
        return err_errno(err, EX_IOERR, "answer");
    return rc;
}

/* The protocol moves away from 0 and 1, where a plug-in might read and print. */
static int take_streams(struct err *err) {
    int in = fcntl(0, F_DUPFD_CLOEXEC, 10), out = fcntl(1, F_DUPFD_CLOEXEC, 10);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (in < 0 || out < 0 || null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0)
        return err_errno(err, EX_OSERR, "move the streams");
    close(null);
    worker.in = fdopen(in, "r");
    worker.out = fdopen(out, "w");
    return worker.in && worker.out ? 0 : err_errno(err, EX_OSERR, "open the streams");
}

int plugin_worker_run(const struct plugin_worker_config *config, struct err *err) {
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    worker = (struct worker){.strict = config->strict, .thread = pthread_self()};
    worker.extra = config->grown ? GROWN_BYTES : 0;
    worker.reply.max = (size_t)64 << 20;
    make_host(config->version);
    remember_process();
    if (take_streams(err) != 0) return -1;
    int rc = load(config->path, err);
    while (rc == 0 && (n = getline(&line, &cap, worker.in)) > 0)
        if (answer(line, (size_t)n, err) != 0) rc = -1;
    if (rc != 0 && !worker.plugin) { /* the first request gets the reason */
        wire_write_error(&worker.reply, 0, err->msg);
        buf_puts(&worker.reply, "\n");
        if (getline(&line, &cap, worker.in) > 0)
            fwrite(worker.reply.data, 1, worker.reply.len, worker.out);
    }
    if (worker.created && worker.plugin->destroy) worker.plugin->destroy(worker.instance);
    guarded_free(&worker.host_memory);
    buf_clear(&worker.reply);
    fclose(worker.in);
    fclose(worker.out);
    free(line);
    return rc;
}
