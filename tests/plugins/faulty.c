/* tests/plugins/faulty.c: a shared object that is sound, but for one group of a run.
 *
 * Options {"fault": NAME, "marker": FILE}: the group that comes to make FILE gets the fault
 * in its first sample; with an empty FILE all samples of every group do.
 */
#include "reward/hone_reward.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char fault[32], marker[256];
static const struct hone_reward_host *host;

static void *create(const struct hone_reward_host *h, const char *options, size_t n) {
    char text[512] = "";
    host = h;
    if (n < sizeof text) memcpy(text, options, n);
    if (sscanf(text, "{\"fault\":\"%31[a-z]\",\"marker\":\"%255[^\"]", fault, marker) < 1)
        snprintf(fault, sizeof fault, "none");
    if (strcmp(fault, "create") == 0) return NULL;
    return fault;
}

/* A hang that no polite request ends, and that leaves a child which holds the streams. */
static void hang(void) {
    signal(SIGTERM, SIG_IGN);
    if (fork() >= 0)
        for (;;) pause();
}

static void *complain(void *unused) {
    (void)unused;
    host->set_error(host, "from another thread");
    return NULL;
}

/* What only `hone reward check` sees: a rule broken that costs a run nothing yet. */
static void break_rule(const struct hone_reward_group *g) {
    pthread_t thread;
    if (strcmp(fault, "signal") == 0) signal(SIGINT, SIG_IGN);
    if (strcmp(fault, "thread") == 0 && pthread_create(&thread, NULL, complain, NULL) == 0)
        pthread_join(thread, NULL);
    if (strcmp(fault, "text") == 0) *(char *)(uintptr_t)g->sample[0]->text.data = 'x';
    if (strcmp(fault, "ids") == 0) *(int32_t *)(uintptr_t)g->sample[0]->ids = 1;
    /* samples as an array, which they are only until they grow */
    if (strcmp(fault, "array") == 0)
        g->result[0]->score = g->sample[0][1].size == sizeof **g->sample ? 0 : 1;
    if (strcmp(fault, "size") == 0 && g->size != sizeof *g) abort();
    if (strcmp(fault, "wipe") == 0) memset(g->result[0], 0, g->result[0]->size);
}

static void past_end(struct hone_reward_result *r, size_t from, size_t n) {
    memset((char *)r + sizeof *r + from, 1, n);
}

/* What ends or spoils the whole call. */
static int fail_group(struct hone_reward_result *r) {
    volatile int *nothing = NULL;
    if (strcmp(fault, "segv") == 0) *nothing = 1;
    if (strcmp(fault, "abort") == 0) abort();
    if (strcmp(fault, "exit") == 0) exit(0);
    if (strcmp(fault, "hang") == 0) hang();
    if (strcmp(fault, "past") == 0) past_end(r, 0, 1);
    if (strcmp(fault, "streams") == 0)
        for (int fd = 3; fd < 100; fd++) close(fd);
    if (strcmp(fault, "error") != 0) return 0;
    host->set_error(host, "no dictionary today");
    return -1;
}

/* What spoils one sample. */
static void fail_sample(struct hone_reward_result *r) {
    if (strcmp(fault, "nan") == 0) r->score = NAN;
    if (strcmp(fault, "range") == 0) r->score = 1.5;
    if (strcmp(fault, "unset") == 0) r->status = HONE_REWARD_UNSET;
    if (strcmp(fault, "status") == 0) r->status = 99;
    if (strcmp(fault, "undecided") == 0) r->status = HONE_REWARD_UNDECIDED;
    if (strcmp(fault, "none") == 0) r->status = HONE_REWARD_NOT_SCORABLE;
    if (strcmp(fault, "before") == 0) ((char *)r)[-1] = 0;
    if (strcmp(fault, "reason") == 0) memset(r->reason, 'x', sizeof r->reason);
    if (strcmp(fault, "parts") == 0) r->n_parts = 9;
}

static int score(void *instance, const struct hone_reward_group *g) {
    (void)instance;
    int fd = marker[0] ? open(marker, O_CREAT | O_EXCL | O_WRONLY, 0600) : -1;
    int now = !marker[0] || fd >= 0;
    if (fd >= 0) close(fd);
    printf("a plug-in may print, {\"id\":1,\"results\":[]}\n"); /* and it is no answer */
    fflush(stdout);
    if (now && fail_group(g->result[0]) != 0) return -1;
    break_rule(g);
    for (uint32_t i = 0; i < g->n; i++) {
        g->result[i]->status = HONE_REWARD_OK;
        g->result[i]->score = g->sample[i]->n_ids % 2;
        if (now && (i == 0 || !marker[0])) fail_sample(g->result[i]);
    }
    return 0;
}

static const struct hone_reward_plugin plugin = {
    .size = sizeof plugin, .abi_major = HONE_REWARD_ABI_MAJOR,
    .abi_minor = HONE_REWARD_ABI_MINOR, .flags = HONE_REWARD_DETERMINISTIC, .name = "faulty",
    .version = "1", .create = create, .score = score};

const struct hone_reward_plugin *hone_reward_entry(void) { return &plugin; }
