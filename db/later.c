/* db/later.c: see later.h. */
#include "db/later.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "db/stmt.h"

enum { STACK_BYTES = 1 << 20 };

struct later {
    pthread_t thread;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    db_job job; /* NULL: none */
    void *ctx;
    bool quit, failed;
    struct err err; /* of the job that failed */
};

static void *work(void *arg) {
    struct db *db = arg;
    struct later *l = db->later;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->job && !l->quit) pthread_cond_wait(&l->changed, &l->lock);
        if (!l->job) break;
        pthread_mutex_unlock(&l->lock);
        int rc = l->job(db, l->ctx, &l->err);
        pthread_mutex_lock(&l->lock);
        l->failed = rc != 0;
        l->job = NULL;
        pthread_cond_broadcast(&l->changed);
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
    struct later *l = db->later = mem_new(1, sizeof *l);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
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

void later_hold(struct db *db) {
    struct later *l = db->later;
    if (!l || pthread_equal(pthread_self(), l->thread)) return;
    pthread_mutex_lock(&l->lock);
    while (l->job) pthread_cond_wait(&l->changed, &l->lock);
    pthread_mutex_unlock(&l->lock);
}

int later_failure(struct db *db, struct err *err) {
    struct later *l = db->later;
    if (!l || pthread_equal(pthread_self(), l->thread) || !l->failed) return 0;
    l->failed = false;
    *err = l->err;
    return -1;
}

int db_wait(struct db *db, struct err *err) {
    if (!db) return 0;
    later_hold(db);
    return later_failure(db, err);
}

int db_later(struct db *db, db_job job, void *ctx, struct err *err) {
    if (db_wait(db, err) != 0) return -1;
    if (!db->later && start(db, err) != 0) return -1;
    pthread_mutex_lock(&db->later->lock);
    db->later->job = job;
    db->later->ctx = ctx;
    pthread_cond_broadcast(&db->later->changed);
    pthread_mutex_unlock(&db->later->lock);
    return 0;
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
