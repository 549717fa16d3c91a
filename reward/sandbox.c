/* reward/sandbox.c: see sandbox.h. The side of hone: launchers, deadlines, bytes. */
#include "reward/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/nearest.h"
#include "reward/sandbox_wire.h"

enum {
    MAX_SLOTS = 64,
    START_MS = 180000, /* for a launcher to be ready, on a machine that is very busy */
    KILL_MS = 180000, /* for a killed run to be reaped, likewise */
};

#define DEFAULT_MEMORY (512l << 20)
#define DEFAULT_PROCESSES 64
#define TMP_BYTES (64l << 20)

/* One launcher. */
struct slot {
    enum sandbox_kind kind;
    pid_t pid; /* 0: the place is free */
    int fd;
    bool busy;
    struct cgroup group;
};

struct sandbox {
    struct sandbox_config cfg;
    char launcher[512];
    bool with_cgroup;
    pthread_mutex_t lock; /* over slot[] and serial */
    pthread_cond_t idle;
    struct slot slot[MAX_SLOTS];
    int serial;
};

static const char *const layer_names[SANDBOX_N_LAYERS] = {
    [SANDBOX_NAMESPACES] = "namespaces", [SANDBOX_RLIMITS] = "rlimits",
    [SANDBOX_SECCOMP] = "seccomp",       [SANDBOX_LANDLOCK] = "landlock",
    [SANDBOX_CGROUP] = "cgroup",
};

const char *sandbox_layer_name(enum sandbox_layer layer) {
    CHECK((unsigned)layer < SANDBOX_N_LAYERS);
    return layer_names[layer];
}

struct sandbox_config sandbox_config_default(void) {
    return (struct sandbox_config){
        .layers = 1u << SANDBOX_NAMESPACES | 1u << SANDBOX_RLIMITS | 1u << SANDBOX_SECCOMP |
                  1u << SANDBOX_LANDLOCK,
        .cgroup_if_usable = true,
        .memory_bytes = DEFAULT_MEMORY,
        .processes = DEFAULT_PROCESSES};
}

int sandbox_parse_layers(const char *text, unsigned *layers, struct err *err) {
    unsigned found = 0;
    while (*text) {
        size_t n = strcspn(text, ", ");
        int layer = 0;
        while (layer < SANDBOX_N_LAYERS && (strlen(layer_names[layer]) != n ||
                                            strncmp(layer_names[layer], text, n) != 0))
            layer++;
        if (n && layer == SANDBOX_N_LAYERS) {
            char word[64], hint[NEAREST_HINT_BYTES];
            snprintf(word, sizeof word, "%.*s", (int)n, text);
            nearest_hint(hint, word, layer_names, SANDBOX_N_LAYERS);
            return err_set(err, EX_CONFIG, "no sandbox layer '%s'%s", word, hint);
        }
        if (n) found |= 1u << layer;
        text += n + (text[n] != 0);
    }
    for (enum sandbox_layer l = SANDBOX_NAMESPACES; l <= SANDBOX_RLIMITS; l++)
        if (!(found & 1u << l))
            return err_set(err, EX_CONFIG, "the sandbox layer '%s' cannot be left out",
                           layer_names[l]);
    *layers = found;
    return 0;
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* --- launchers ------------------------------------------------------------------------ */

static int receive_reply(int fd, struct wire_reply *r, int wait_ms) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    double end = now_ms() + wait_ms;
    int rc;
    while ((rc = poll(&p, 1, (int)(end - now_ms()) + 1)) < 0 && errno == EINTR) {}
    if (rc <= 0) return -1;
    return recv(fd, r, sizeof *r, 0) == (ssize_t)sizeof *r ? 0 : -1;
}

/* Whatever it is doing. Its runs die with it: each is the first process of its namespace
 * and asked for a SIGKILL on its parent's death. */
static void slot_stop(struct slot *s) {
    if (s->fd >= 0) close(s->fd);
    kill(s->pid, SIGKILL);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR) {}
    cgroup_remove(&s->group);
    s->pid = 0;
    s->fd = -1;
}

static int spawn(const struct sandbox *sb, struct slot *s, struct err *err) {
    char layers[16], command[] = "sandbox-launcher";
    char kind[8];
    int pair[2];
    snprintf(layers, sizeof layers, "%u", sb->cfg.layers);
    snprintf(kind, sizeof kind, "%s", s->kind == SANDBOX_PYTHON ? "python" : "exec");
    char *argv[] = {(char *)sb->launcher, command, kind, layers, NULL};
    char *env[] = {NULL};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return err_errno(err, EX_OSERR, "make a socket pair for a sandbox");
    posix_spawn_file_actions_t act;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&act);
    posix_spawn_file_actions_adddup2(&act, pair[1], WIRE_CONTROL_FD);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0); /* an interrupt is hone's to handle */
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                        POSIX_SPAWN_SETPGROUP);
    /* dup2 onto itself would leave the close-on-exec flag */
    if (pair[1] == WIRE_CONTROL_FD) pair[1] = fcntl(pair[1], F_DUPFD_CLOEXEC, 10);
    int rc = posix_spawn(&s->pid, sb->launcher, &act, &attr, argv, env);
    posix_spawn_file_actions_destroy(&act);
    posix_spawnattr_destroy(&attr);
    close(pair[1]);
    s->fd = pair[0];
    if (rc == 0) return 0;
    close(pair[0]);
    s->pid = 0;
    s->fd = -1;
    errno = rc;
    return err_errno(err, EX_OSERR, "start %s", sb->launcher);
}

static void tell(const struct slot *s, int32_t what) {
    /* a launcher that is gone is noticed by who waits for its reply */
    if (send(s->fd, &what, sizeof what, MSG_NOSIGNAL) < 0) return;
}

static int slot_start(struct sandbox *sb, struct slot *s, int serial, struct err *err) {
    struct wire_reply r;
    memset(&s->group, 0, sizeof s->group);
    if (spawn(sb, s, err) != 0) return -1;
    int rc = 0;
    if (sb->with_cgroup)
        rc = cgroup_make(&s->group, s->pid, serial, sb->cfg.memory_bytes,
                         sb->cfg.processes + 4, err);
    if (rc == 0) tell(s, WIRE_GO);
    if (rc == 0 && receive_reply(s->fd, &r, START_MS) != 0)
        rc = err_set(err, EX_UNAVAILABLE, "start a sandbox: its launcher ended at once");
    if (rc == 0 && r.what != WIRE_READY)
        rc = err_set(err, EX_UNAVAILABLE, "start a sandbox: %.240s", r.text);
    if (rc != 0) slot_stop(s);
    return rc;
}

/* An idle launcher of the kind, or a new one; the caller owns it until slot_return. */
static struct slot *slot_take(struct sandbox *sb, enum sandbox_kind kind, struct err *err) {
    struct slot *found = NULL, *vacant = NULL;
    pthread_mutex_lock(&sb->lock);
    for (;;) {
        for (int i = 0; i < MAX_SLOTS && !found; i++) {
            struct slot *s = &sb->slot[i];
            if (s->pid && !s->busy && s->kind == kind) found = s;
            if (!s->pid && !s->busy && !vacant) vacant = s;
        }
        if (found || vacant) break;
        pthread_cond_wait(&sb->idle, &sb->lock);
    }
    struct slot *s = found ? found : vacant;
    int serial = sb->serial++;
    s->busy = true;
    pthread_mutex_unlock(&sb->lock);
    if (found) return s;
    s->kind = kind;
    if (slot_start(sb, s, serial, err) == 0) return s;
    pthread_mutex_lock(&sb->lock);
    s->busy = false;
    pthread_cond_signal(&sb->idle);
    pthread_mutex_unlock(&sb->lock);
    return NULL;
}

static void slot_return(struct sandbox *sb, struct slot *s, bool broken) {
    if (broken) slot_stop(s);
    pthread_mutex_lock(&sb->lock);
    s->busy = false;
    pthread_cond_signal(&sb->idle);
    pthread_mutex_unlock(&sb->lock);
}

/* --- one run -------------------------------------------------------------------------- */

/* A sealed file in memory, read from its start. */
static int memory_file(const void *data, size_t n) {
    int fd = memfd_create("input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const char *at = data;
    while (fd >= 0 && n) {
        ssize_t done = write(fd, at, n);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) goto fail;
        at += done;
        n -= (size_t)done;
    }
    if (fd < 0) return -1;
    if (lseek(fd, 0, SEEK_SET) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        goto fail;
    return fd;
fail:
    close(fd);
    return -1;
}

/* The descriptors of a run: ours to read from, and the ones that go to the launcher. */
struct run_fds {
    int read[3];         /* out, err, reply; non-blocking */
    int give[WIRE_FDS];  /* input, out, err, reply, files; all ours to close */
    int n;
};

static void close_given(struct run_fds *f) {
    for (int i = 0; i < f->n; i++)
        if (f->give[i] >= 0) close(f->give[i]);
    f->n = 0;
}

static int open_fds(struct run_fds *f, const struct sandbox_request *req) {
    *f = (struct run_fds){.read = {-1, -1, -1}};
    f->give[f->n++] = memory_file(req->input, req->n_input);
    for (int i = 0; i < 3; i++) {
        int p[2] = {-1, -1};
        if (pipe2(p, O_CLOEXEC) != 0) p[0] = p[1] = -1;
        f->read[i] = p[0];
        f->give[f->n++] = p[1];
        if (p[0] >= 0 && fcntl(p[0], F_SETFL, O_NONBLOCK) != 0) return -1;
    }
    for (int i = 0; i < req->n_files; i++)
        f->give[f->n++] = memory_file(req->file[i].data, req->file[i].n);
    for (int i = 0; i < f->n; i++)
        if (f->give[i] < 0) return -1;
    return 0;
}

static void put_text(struct wire_run *w, size_t *at, const char *text) {
    size_t n = strlen(text) + 1;
    CHECK(*at + n <= sizeof w->text);
    memcpy(w->text + *at, text, n);
    *at += n;
}

static int send_run(const struct slot *s, const struct sandbox_request *req,
                    const struct run_fds *f) {
    struct wire_run w = {.what = WIRE_RUN};
    char control[CMSG_SPACE(sizeof(int) * WIRE_FDS)] = {0};
    struct iovec iov = {&w, sizeof w};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control};
    int fd[WIRE_FDS], n = f->n;
    size_t at = 0;
    memcpy(fd, f->give, sizeof fd);
    for (; req->argv && req->argv[w.n_args]; w.n_args++) put_text(&w, &at, req->argv[w.n_args]);
    CHECK(w.n_args <= SANDBOX_MAX_ARGS);
    for (; w.n_files < req->n_files; w.n_files++) {
        put_text(&w, &at, req->file[w.n_files].name);
        w.executable |= req->file[w.n_files].executable << w.n_files;
    }
    if (req->peer >= 0) fd[n++] = req->peer;
    w.has_peer = req->peer >= 0;
    w.wide_addresses = req->wide_addresses;
    w.processes = req->processes ? req->processes : DEFAULT_PROCESSES;
    w.cpu_s = req->wall_ms / 1000 + 2;
    w.memory_bytes = req->memory_bytes ? req->memory_bytes : DEFAULT_MEMORY;
    w.tmp_bytes = TMP_BYTES;
    msg.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n);
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    *c = (struct cmsghdr){CMSG_LEN(sizeof(int) * (size_t)n), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(c), fd, sizeof(int) * (size_t)n);
    return sendmsg(s->fd, &msg, MSG_NOSIGNAL) == (ssize_t)sizeof w ? 0 : -1;
}

/* Reads what is there. -1: past the limit. */
static int drain(int *fd, struct buf *out, size_t max) {
    char chunk[65536];
    for (;;) {
        ssize_t n = read(*fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return 0;
        if (n <= 0) {
            close(*fd);
            *fd = -1;
            return 0;
        }
        size_t room = max - out->len;
        buf_push(out, chunk, (size_t)n < room ? (size_t)n : room);
        if ((size_t)n > room) return -1;
    }
}

/* Until the launcher says that the run is over. -1: it said nothing in time, or is gone. */
static int watch(const struct slot *s, const struct sandbox_request *req, struct run_fds *f,
                 struct sandbox_result *res, struct wire_reply *r) {
    struct buf *out[3] = {&res->out, &res->err, &res->reply};
    double end = now_ms() + req->wall_ms;
    bool killed = false;
    for (;;) {
        struct pollfd p[4] = {{.fd = s->fd, .events = POLLIN}};
        for (int i = 0; i < 3; i++) p[1 + i] = (struct pollfd){f->read[i], POLLIN, 0};
        double left = end - now_ms();
        int n = poll(p, 4, left > 0 ? (int)left + 1 : 0);
        if (n < 0 && errno != EINTR) return -1;
        bool over = n > 0 && p[0].revents;
        for (int i = 0; i < 3; i++) {
            if (f->read[i] < 0 || !(over || (n > 0 && p[1 + i].revents))) continue;
            if (drain(&f->read[i], out[i], req->max_output) == 0) continue;
            if (res->end == SANDBOX_EXITED) res->end = SANDBOX_OUTPUT;
            close(f->read[i]); /* it gets a SIGPIPE until it is dead */
            f->read[i] = -1;
        }
        if (over) return recv(s->fd, r, sizeof *r, 0) == (ssize_t)sizeof *r ? 0 : -1;
        bool late = now_ms() >= end;
        if (late && killed) return -1;
        if (late && res->end == SANDBOX_EXITED) res->end = SANDBOX_TIMEOUT;
        if (res->end == SANDBOX_EXITED || killed) continue;
        tell(s, WIRE_KILL);
        killed = true;
        end = now_ms() + KILL_MS;
    }
}

static void finish(struct run_fds *f, struct sandbox_result *res, const struct wire_reply *r,
                   size_t max) {
    struct buf *out[3] = {&res->out, &res->err, &res->reply};
    for (int i = 0; i < 3; i++)
        if (f->read[i] >= 0 && drain(&f->read[i], out[i], max) != 0 &&
            res->end == SANDBOX_EXITED)
            res->end = SANDBOX_OUTPUT;
    if (res->end != SANDBOX_EXITED) return;
    if (WIFSIGNALED(r->status)) res->end = SANDBOX_SIGNALED;
    res->code = WIFSIGNALED(r->status) ? WTERMSIG(r->status) : WEXITSTATUS(r->status);
}

/* On -1 *broken says whether the launcher is of further use. */
static int run_in(struct slot *s, const struct sandbox_request *req,
                  struct sandbox_result *res, bool *broken, struct err *err) {
    struct run_fds f;
    struct wire_reply r = {0};
    int rc = open_fds(&f, req);
    *broken = false;
    if (rc != 0) {
        err_errno(err, EX_OSERR, "open the pipes of a sandbox");
    } else {
        *broken = send_run(s, req, &f) != 0;
        close_given(&f);
        if (!*broken) *broken = watch(s, req, &f, res, &r) != 0;
        if (*broken)
            rc = err_set(err, EX_UNAVAILABLE, "the launcher of a sandbox is gone");
        else if (r.what != WIRE_OVER)
            rc = err_set(err, EX_UNAVAILABLE, "start a run: %.240s", r.text);
        else finish(&f, res, &r, req->max_output);
    }
    close_given(&f);
    for (int i = 0; i < 3; i++)
        if (f.read[i] >= 0) close(f.read[i]);
    return rc;
}

int sandbox_run(struct sandbox *sb, const struct sandbox_request *req,
                struct sandbox_result *res, struct err *err) {
    bool broken;
    double start = now_ms();
    CHECK(req->max_output < (size_t)64 << 20 && req->n_files <= SANDBOX_MAX_FILES);
    memset(res, 0, sizeof *res);
    struct slot *s = slot_take(sb, req->kind, err);
    if (!s) return -1;
    int rc = run_in(s, req, res, &broken, err);
    slot_return(sb, s, broken);
    res->ms = now_ms() - start;
    if (rc != 0) sandbox_result_clear(res);
    return rc;
}

void sandbox_result_clear(struct sandbox_result *res) {
    buf_clear(&res->out);
    buf_clear(&res->err);
    buf_clear(&res->reply);
}

/* --- opening -------------------------------------------------------------------------- */

/* Every layer is put on once. */
static int try_run(struct sandbox *sb, struct err *err) {
    static const char *const argv[] = {"/usr/bin/true", NULL};
    struct sandbox_request req = {.argv = argv, .wall_ms = START_MS, .max_output = 4096,
                                  .peer = -1};
    struct sandbox_result res;
    if (sandbox_run(sb, &req, &res, err) != 0) return -1;
    bool good = res.end == SANDBOX_EXITED && res.code == 0;
    if (!good) err_set(err, EX_UNAVAILABLE, "try a sandbox: /usr/bin/true failed in it");
    sandbox_result_clear(&res);
    return good ? 0 : -1;
}

/* The cgroup of the first launcher tells whether there can be any. */
static int find_cgroup(struct sandbox *sb, struct err *err) {
    bool wanted = sb->cfg.layers & 1u << SANDBOX_CGROUP;
    struct cgroup g;
    if (!wanted && !sb->cfg.cgroup_if_usable) return 0;
    int rc = -1;
    /* a process of its own to move, as moving this one would be no try */
    pid_t pid;
    char path[] = "/usr/bin/sleep", arg[] = "60", *argv[] = {path, arg, NULL}, *env[] = {NULL};
    if (posix_spawn(&pid, path, NULL, NULL, argv, env) != 0)
        return err_errno(err, EX_OSERR, "start %s", path);
    rc = cgroup_make(&g, pid, sb->serial++, sb->cfg.memory_bytes, sb->cfg.processes, err);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (rc == 0) cgroup_remove(&g);
    sb->with_cgroup = rc == 0;
    return wanted ? rc : 0;
}

int sandbox_open(struct sandbox **out, const struct sandbox_config *cfg, struct err *err) {
    struct sandbox *sb = mem_new(1, sizeof *sb);
    *out = NULL;
    sb->cfg = *cfg;
    if (!sb->cfg.memory_bytes) sb->cfg.memory_bytes = DEFAULT_MEMORY;
    if (!sb->cfg.processes) sb->cfg.processes = DEFAULT_PROCESSES;
    snprintf(sb->launcher, sizeof sb->launcher, "%s",
             cfg->launcher ? cfg->launcher : "/proc/self/exe");
    pthread_mutex_init(&sb->lock, NULL);
    pthread_cond_init(&sb->idle, NULL);
    for (int i = 0; i < MAX_SLOTS; i++) sb->slot[i].fd = -1;
    int rc = 0;
    if (cfg->layers & 1u << SANDBOX_LANDLOCK && !layer_landlock_abi())
        rc = err_set(err, EX_UNAVAILABLE,
                     "sandbox layer landlock: this kernel has none (5.13 or later, and "
                     "landlock among its lsm=)");
    if (rc == 0 && find_cgroup(sb, err) != 0) rc = err_prefix(err, "sandbox layer cgroup");
    if (rc == 0) rc = try_run(sb, err);
    if (rc == 0) *out = sb;
    else sandbox_close(sb);
    return rc;
}

void sandbox_close(struct sandbox *sb) {
    if (!sb) return;
    for (int i = 0; i < MAX_SLOTS; i++)
        if (sb->slot[i].pid) slot_stop(&sb->slot[i]);
    pthread_mutex_destroy(&sb->lock);
    pthread_cond_destroy(&sb->idle);
    mem_free(sb);
}

bool sandbox_has_cgroup(const struct sandbox *s) { return s->with_cgroup; }

void sandbox_probe(enum sandbox_layer layer, char why[256]) {
    struct sandbox_config cfg = {.layers = 1u << SANDBOX_NAMESPACES | 1u << SANDBOX_RLIMITS |
                                           1u << layer};
    struct sandbox *sb;
    struct err err = {0};
    why[0] = 0;
    if (sandbox_open(&sb, &cfg, &err) != 0) snprintf(why, 256, "%.255s", err.msg);
    else sandbox_close(sb);
}
