/* base/child.c: see child.h.
 *
 * The kernel sends a program its parent-death signal when the thread that forked it ends.
 * Scoring threads come and go, so one thread that never ends does all the forking.
 */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double child_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- starting ------------------------------------------------------------------ */

struct job {
    const char *const *argv;
    int in, out, report; /* the program's ends; where it says why exec failed */
    pid_t pid;
    int error; /* errno of fork */
    bool done;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct job *waiting; /* one at a time */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Between fork and exec: system calls only. */
_Noreturn static void become(const struct job *j, pid_t parent) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && dup2(j->in, 0) >= 0 && dup2(j->out, 1) >= 0)
        execvp(j->argv[0], (char *const *)j->argv);
    int why = errno;
    ssize_t ignored = write(j->report, &why, sizeof why);
    (void)ignored;
    _exit(127);
}

static void *fork_forever(void *unused) {
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!waiting || waiting->done) pthread_cond_wait(&changed, &lock);
        pid_t parent = getpid(), pid = fork();
        if (pid == 0) become(waiting, parent);
        waiting->pid = pid;
        waiting->error = errno;
        waiting->done = true;
        pthread_cond_broadcast(&changed);
    }
    return NULL;
}

static void start_forker(void) {
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for other threads */
    int rc = pthread_create(&thread, NULL, fork_forever, NULL);
    CHECK(rc == 0);
    pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    signal(SIGPIPE, SIG_IGN); /* a program that went away is an answer, not our end */
}

static void run_job(struct job *j) {
    pthread_once(&once, start_forker);
    pthread_mutex_lock(&lock);
    while (waiting) pthread_cond_wait(&changed, &lock);
    waiting = j;
    pthread_cond_broadcast(&changed);
    while (!j->done) pthread_cond_wait(&changed, &lock);
    waiting = NULL;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void close_all(const int *fd, int n) {
    for (int i = 0; i < n; i++)
        if (fd[i] >= 0) close(fd[i]);
}

int child_start(struct child *c, const char *const *argv, struct err *err) {
    int fd[6] = {-1, -1, -1, -1, -1, -1}, why = 0; /* to read, write; from; report */
    struct job j = {.argv = argv};
    c->pid = 0;
    buf_reset(&c->unread);
    if (pipe2(fd, O_CLOEXEC) != 0 || pipe2(fd + 2, O_CLOEXEC) != 0 ||
        pipe2(fd + 4, O_CLOEXEC) != 0) {
        err_errno(err, EX_OSERR, "start %s", argv[0]);
        close_all(fd, 6);
        return -1;
    }
    j.in = fd[0], j.out = fd[3], j.report = fd[5];
    run_job(&j);
    close(fd[0]), close(fd[3]), close(fd[5]);
    ssize_t n = 0;
    if (j.pid > 0) {
        do n = read(fd[4], &why, sizeof why);
        while (n < 0 && errno == EINTR);
    }
    close(fd[4]);
    if (j.pid > 0 && n != sizeof why) {
        *c = (struct child){j.pid, fd[1], fd[2], c->unread};
        fcntl(c->to, F_SETFL, O_NONBLOCK);
        fcntl(c->from, F_SETFL, O_NONBLOCK);
        return 0;
    }
    close(fd[1]), close(fd[2]);
    if (j.pid > 0) waitpid(j.pid, NULL, 0);
    errno = j.pid > 0 ? why : j.error;
    return err_errno(err, EX_UNAVAILABLE, "start %s", argv[0]);
}

/* ---- talking ------------------------------------------------------------------- */

/* A line that is in `unread` already. */
static bool take_line(struct child *c, struct buf *line) {
    const char *end = c->unread.len ? memchr(c->unread.data, '\n', c->unread.len) : NULL;
    if (!end) return false;
    size_t n = (size_t)(end - c->unread.data), rest = c->unread.len - n - 1;
    buf_push(line, c->unread.data, n);
    memmove(c->unread.data, end + 1, rest);
    c->unread.len = rest;
    return true;
}

static enum child_status read_some(struct child *c, size_t max) {
    char block[65536];
    ssize_t n = read(c->from, block, sizeof block);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? CHILD_OK : CHILD_CLOSED;
    if (n == 0) return CHILD_CLOSED;
    const char *end = memchr(block, '\n', (size_t)n);
    if (c->unread.len + (end ? (size_t)(end - block) : (size_t)n) > max) return CHILD_LONG;
    c->unread.max = max + sizeof block;
    buf_push(&c->unread, block, (size_t)n);
    return CHILD_OK;
}

/* Writes what goes in without waiting; false where the other end is closed. */
static bool write_some(int fd, const char **text, size_t *n) {
    ssize_t done = write(fd, *text, *n);
    if (done < 0) return errno == EAGAIN || errno == EINTR;
    *text += done;
    *n -= (size_t)done;
    return true;
}

enum child_status child_ask(struct child *c, const char *text, size_t n, double deadline,
                            size_t max, struct buf *line) {
    size_t n_end = 1;
    const char *newline = "\n";
    buf_reset(line);
    line->max = max + 1;
    for (;;) {
        if (n + n_end == 0 && take_line(c, line)) return CHILD_OK;
        double left = deadline - child_now();
        if (left <= 0) return CHILD_LATE;
        struct pollfd p[2] = {{.fd = c->from, .events = POLLIN},
                              {.fd = n + n_end ? c->to : -1, .events = POLLOUT}};
        if (poll(p, 2, left < 1e6 ? (int)(left * 1e3) + 1 : -1) < 0 && errno != EINTR)
            return CHILD_CLOSED;
        if (p[1].revents) {
            bool open = n ? write_some(c->to, &text, &n) : write_some(c->to, &newline, &n_end);
            /* it may have said why before it closed its end */
            if (!open) n = n_end = 0;
        }
        if (!p[0].revents) continue;
        enum child_status status = read_some(c, max);
        if (status != CHILD_OK) return status;
    }
}

/* ---- stopping ------------------------------------------------------------------ */

static void describe(int status, char *how, size_t n) {
    if (WIFSIGNALED(status))
        snprintf(how, n, "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(how, n, "exit status %d", WEXITSTATUS(status));
}

void child_stop(struct child *c, char *how, size_t n) {
    int status = 0;
    if (n) how[0] = 0;
    if (c->pid > 0) {
        close(c->to);
        close(c->from);
        /* what crashed needs a moment to be gone; what hangs gets no more than that */
        pid_t gone = 0;
        for (int i = 0; i < 50 && gone == 0; i++) {
            gone = waitpid(c->pid, &status, WNOHANG);
            if (gone == 0) nanosleep(&(struct timespec){0, 1000000}, NULL);
        }
        if (gone == c->pid && n) describe(status, how, n);
        kill(-c->pid, SIGKILL);
        if (gone == 0) waitpid(c->pid, NULL, 0);
    }
    buf_clear(&c->unread);
    c->pid = 0;
}
