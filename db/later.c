/* db/later.c: see later.h. */
#include "db/later.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "db/stmt.h"

enum { STACK_BYTES = 1 << 20 };

struct job {
    db_job run;
    void *ctx;
};

struct later {
    pthread_t thread;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    struct job queue[DB_LATER_JOBS];
    int n;                 /* in the queue */
    struct timespec until; /* then they are written; of CLOCK_MONOTONIC */
    bool writes;           /* the thread does, jobs that were in the queue */
    bool settle;           /* what is in the queue is written now: somebody waits */
    bool quit, failed;     /* failed: nothing is written until it is told */
    struct err err;
};

static struct timespec in_ms(int ms) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += ms * 1000000L;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static bool is_past(const struct timespec *t) {
    const struct timespec now = in_ms(0);
    return now.tv_sec != t->tv_sec ? now.tv_sec > t->tv_sec : now.tv_nsec >= t->tv_nsec;
}

static int write_jobs(struct db *db, const struct job *job, int n, struct err *err) {
    int rc = db_begin(db, err);
    for (int i = 0; i < n && rc == 0; i++) rc = job[i].run(db, job[i].ctx, err);
    if (rc == 0) return db_commit(db, err);
    db_rollback(db);
    return -1;
}

/* All of the queue. The lock is held when it begins and ends, and not while SQLite works. */
static void empty_queue(struct db *db, struct later *l) {
    struct job job[DB_LATER_JOBS];
    int n = l->n;
    memcpy(job, l->queue, sizeof job);
    l->n = 0;
    l->writes = true;
    pthread_cond_broadcast(&l->changed); /* there is room */
    pthread_mutex_unlock(&l->lock);
    int rc = write_jobs(db, job, n, &l->err);
    pthread_mutex_lock(&l->lock);
    l->writes = false;
    l->failed = rc != 0;
    if (l->failed) l->n = 0; /* what came meanwhile goes with what it follows */
    pthread_cond_broadcast(&l->changed);
}

static bool is_due(const struct later *l) {
    return l->settle || l->quit || l->n >= DB_LATER_JOBS / 2 || is_past(&l->until);
}

static void *work(void *arg) {
    struct db *db = arg;
    struct later *l = db->later;
    pthread_mutex_lock(&l->lock);
    while (l->n > 0 || !l->quit) {
        if (l->n == 0)
            pthread_cond_wait(&l->changed, &l->lock);
        else if (is_due(l))
            empty_queue(db, l);
        else
            pthread_cond_timedwait(&l->changed, &l->lock, &l->until);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Signals are for the thread of the run. To take back a statement of many rows that fails half
 * way, SQLite keeps pages, in a temporary file: made, written and removed some times a step, were
 * it not told to keep them in memory. (Not of every handle: VACUUM would be a copy in memory.) */
static int start(struct db *db, struct err *err) {
    sigset_t all, before;
    if (db_exec(db, "open", "PRAGMA temp_store = MEMORY", err) != 0) return -1;
    pthread_attr_t attr;
    pthread_condattr_t clock;
    struct later *l = db->later = mem_new(1, sizeof *l);
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &clock);
    pthread_condattr_destroy(&clock);
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&l->thread, &attr, work, db);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (rc == 0) return 0;
    mem_free(l);
    db->later = NULL;
    return err_set(err, EX_OSERR, "start a thread that records: %s", strerror(rc));
}

/* The thread's own uses of the handle wait for nothing. */
static struct later *other_thread(struct db *db) {
    struct later *l = db ? db->later : NULL;
    return l && !pthread_equal(pthread_self(), l->thread) ? l : NULL;
}

static int tell(struct later *l, struct err *err) {
    if (!l->failed) return 0;
    l->failed = false;
    *err = l->err;
    return -1;
}

void later_hold(struct db *db) {
    struct later *l = other_thread(db);
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->settle = true;
    pthread_cond_broadcast(&l->changed);
    while (l->n > 0 || l->writes) pthread_cond_wait(&l->changed, &l->lock);
    l->settle = false;
    pthread_mutex_unlock(&l->lock);
}

int db_wait(struct db *db, struct err *err) {
    struct later *l = other_thread(db);
    if (!l) return 0;
    later_hold(db);
    return tell(l, err); /* the thread has nothing to do: no lock */
}

int db_later(struct db *db, db_job job, void *ctx, struct err *err) {
    if (!db->later && start(db, err) != 0) return -1;
    struct later *l = db->later;
    pthread_mutex_lock(&l->lock);
    while (l->n == DB_LATER_JOBS) pthread_cond_wait(&l->changed, &l->lock);
    int rc = tell(l, err);
    if (rc == 0) {
        if (l->n == 0) l->until = in_ms(DB_LATER_MS);
        l->queue[l->n++] = (struct job){job, ctx};
        if (l->n == 1 || l->n == DB_LATER_JOBS / 2) pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

void db_end_later(struct db *db) {
    struct later *l = db->later;
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->quit = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->changed);
    mem_free(l);
    db->later = NULL;
}
