/* policy/stage.c: see stage.h. */
#include "policy/stage.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/err.h"

enum { MAX_SLOTS = 1024 };

/* One thread's clock, on cache lines of its own. */
struct slot {
    _Alignas(128) enum stage now;
    double since; /* 0: not yet at work in this measurement */
    double seconds[N_STAGES];
};

bool stage_on;

static struct slot slots[MAX_SLOTS];
static atomic_int n_slots;
static double started;
static _Thread_local struct slot *mine;

const char *stage_name(enum stage s) {
    static const char *const name[N_STAGES] = {
        "idle",          "matmul",    "attention", "routing", "norm_rope_act", "sampling",
        "head_and_loss", "optimizer", "packing",   "other"};
    return name[s];
}

double stage_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void stage_switch(enum stage s) {
    double now = stage_now();
    if (!mine) {
        int i = atomic_fetch_add(&n_slots, 1);
        CHECK(i < MAX_SLOTS);
        mine = &slots[i];
    }
    if (mine->since > 0) mine->seconds[mine->now] += now - mine->since;
    mine->now = s;
    mine->since = now;
}

void stage_start(void) {
    memset(slots, 0, sizeof slots);
    started = stage_now();
    stage_on = true;
    stage_switch(STAGE_OTHER);
}

void stage_stop(int n_threads, double seconds[N_STAGES]) {
    double wall = stage_now() - started, claimed = 0;
    stage_switch(STAGE_IDLE);
    int n = atomic_load(&n_slots);
    stage_on = false;
    memset(seconds, 0, N_STAGES * sizeof *seconds);
    for (int s = STAGE_IDLE + 1; s < N_STAGES; s++) {
        for (int i = 0; i < n; i++) seconds[s] += slots[i].seconds[s] / n_threads;
        claimed += seconds[s];
    }
    seconds[STAGE_IDLE] = wall > claimed ? wall - claimed : 0;
}
