/* tests/test_frozen.c: the loops of sampling and training take no lock and allocate
 * nothing.
 *
 * This program stands before the C library's allocator and before the locks of pthreads
 * and OpenMP, and notes who calls them in a parallel region while the thread is frozen
 * (base/mem.h). What the OpenMP runtime does for its own barriers does not count.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <omp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/step_fixture.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

static atomic_int n_seen;
static const char *_Atomic last_seen;
static _Thread_local bool noting;

static void note(const char *name, void *caller) {
    Dl_info where = {0};
    if (!mem_frozen() || noting) return;
    noting = true;
    bool loop = omp_get_level() > 0; /* else the runtime may be making a team */
    bool runtime =
        dladdr(caller, &where) && where.dli_fname &&
        (strstr(where.dli_fname, "libgomp") || strstr(where.dli_fname, "libomp"));
    noting = false;
    if (runtime || !loop) return;
    atomic_store(&last_seen, name);
    atomic_fetch_add(&n_seen, 1);
}

/* Not inlined, so that the return address is the caller's. */
#define APART __attribute__((noinline))

/* An int function of one pointer that is noted and then done. */
#define NOTED(name, type)                                                                \
    APART int name(type *p) {                                                            \
        static int (*real)(type *);                                                      \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                            \
        note(#name, __builtin_return_address(0));                                        \
        return real(p);                                                                  \
    }
NOTED(pthread_mutex_lock, pthread_mutex_t)
NOTED(pthread_rwlock_rdlock, pthread_rwlock_t)
NOTED(pthread_rwlock_wrlock, pthread_rwlock_t)
NOTED(sem_wait, sem_t)

/* `#pragma omp critical`, as gcc and as clang call it. */
void GOMP_critical_start(void);
APART void GOMP_critical_start(void) {
    void (*real)(void);
    *(void **)&real = dlsym(RTLD_NEXT, "GOMP_critical_start");
    note("critical", __builtin_return_address(0));
    real();
}

void __kmpc_critical(void *place, int32_t thread, void *lock);
APART void __kmpc_critical(void *place, int32_t thread, void *lock) {
    void (*real)(void *, int32_t, void *);
    *(void **)&real = dlsym(RTLD_NEXT, "__kmpc_critical");
    note("critical", __builtin_return_address(0));
    real(place, thread, lock);
}

APART void omp_set_lock(omp_lock_t *lock) {
    void (*real)(omp_lock_t *);
    *(void **)&real = dlsym(RTLD_NEXT, "omp_set_lock");
    note("omp_set_lock", __builtin_return_address(0));
    real(lock);
}

#ifndef __SANITIZE_ADDRESS__ /* whose own allocator this would stand before */
extern void *__libc_malloc(size_t n), *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n), *__libc_memalign(size_t align, size_t n);
extern void __libc_free(void *p);

APART void *malloc(size_t n) {
    note("malloc", __builtin_return_address(0));
    return __libc_malloc(n);
}

APART void *calloc(size_t n, size_t size) {
    note("calloc", __builtin_return_address(0));
    return __libc_calloc(n, size);
}

APART void *realloc(void *p, size_t n) {
    note("realloc", __builtin_return_address(0));
    return __libc_realloc(p, n);
}

APART void *aligned_alloc(size_t align, size_t n) {
    note("aligned_alloc", __builtin_return_address(0));
    return __libc_memalign(align, n);
}

APART void free(void *p) {
    note("free", __builtin_return_address(0));
    __libc_free(p);
}
#endif

/* How many calls since the last time. */
static int seen(void) { return atomic_exchange(&n_seen, 0); }

#ifdef __clang__ /* it inlines what it knows of OpenMP, definitions of one's own too */
#define AS_WRITTEN __attribute__((optnone, noinline))
#else
#define AS_WRITTEN
#endif

/* Does, frozen, what a loop must not do; each must be seen once. */
AS_WRITTEN static void misbehave(void) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    omp_lock_t lock;
    static int n;
    omp_init_lock(&lock);
    mem_freeze();
    pthread_mutex_lock(&mutex);
    assert_int_equal(seen(), 1);
    omp_set_lock(&lock);
    assert_int_equal(seen(), 1);
#pragma omp critical
    n++;
    assert_int_equal(seen(), 1);
#ifndef __SANITIZE_ADDRESS__
    void *volatile p = malloc(10);
    assert_int_equal(seen(), 1);
    free(p);
    assert_int_equal(seen(), 1);
#endif
    mem_thaw();
    omp_unset_lock(&lock);
    pthread_mutex_unlock(&mutex);
    pthread_mutex_lock(&mutex); /* free to do so again */
    pthread_mutex_unlock(&mutex);
    void *volatile q = malloc((size_t)n);
    free(q);
    assert_int_equal(seen(), 0);
}

static void test_frozen_calls_are_seen(void **state) {
    (void)state;
    seen();
#pragma omp parallel num_threads(1)
    misbehave();
}

/* The signal that ends a process which does this to frozen memory. */
static int ends_with(void (*act)(void *), void *p) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        close(2);
        mem_freeze();
        act(p);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void take(void *p) { mem_free(mem_new(*(size_t *)p, 1)); }
static void grow(void *p) {
    struct arena a = {0};
    arena_new(&a, *(size_t *)p, 1);
}
static void count(void *p) { ++*(size_t *)p; }

static void test_memory_of_ours_aborts(void **state) {
    (void)state;
    size_t n = 3;
    void *held = mem_new(1, 1);
    assert_int_equal(ends_with(take, &n), SIGABRT);
    assert_int_equal(ends_with(grow, &n), SIGABRT);
    assert_int_equal(ends_with(mem_free, held), SIGABRT);
    assert_int_equal(ends_with(count, &n), 0);
    mem_free(held);
}

static void check_unseen(const char *what, int shape, int n_threads) {
    int n = seen();
    if (n > 0)
        fail_msg("%s of policy %d on %d threads: %d calls, the last of %s", what, shape,
                 n_threads, n, atomic_load(&last_seen));
}

/* The loops freeze themselves; the second time nothing around them may allocate either.
 */
static void check_step(enum policy_shape shape, struct sampler sampler, int n_threads) {
    static const char *const stop[] = {"ab", "dd"};
    struct step_fixture f;
    struct step_episodes e, trained;
    step_fixture_init(&f, shape, sampler);
    f.cfg.stop = stop;
    f.cfg.n_stop = 2;
    float *grad = mem_new(f.policy.w.n_data, sizeof *grad);
    struct rollout *r = step_fixture_rollout(&f, 7, n_threads);
    struct update *u = update_new(&f.policy.m, 2 * STEP_MAX_FAMILY, n_threads);
    seen();
    for (int again = 0; again < 2; again++) {
        if (again) mem_freeze();
        step_fixture_draw(&f, r, &e);
        check_unseen("sampling", shape, n_threads);
        step_fixture_learn(&f, u, &e, true, grad, &trained);
        check_unseen("the gradient", shape, n_threads);
    }
    mem_thaw();
    assert_false(mem_frozen());
    update_free(u);
    rollout_free(r);
    mem_free(grad);
    step_fixture_clear(&f);
}

static void test_a_step_takes_no_lock_and_no_memory(void **state) {
    (void)state;
    for (int shape = 0; shape < N_POLICY_SHAPES; shape++)
        for (int n_threads = 1; n_threads <= 4; n_threads++)
            check_step((enum policy_shape)shape, (struct sampler){1, 0, 1, 0}, n_threads);
    check_step(POLICY_PLAIN, (struct sampler){0.7, 5, 0.9, 0.02}, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frozen_calls_are_seen),
        cmocka_unit_test(test_memory_of_ours_aborts),
        cmocka_unit_test(test_a_step_takes_no_lock_and_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
