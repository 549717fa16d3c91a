/* reward/sandbox_launch.c: the launcher, a process of one thread between hone and the runs.
 *
 * It enters its own namespaces once, then for every packet on fd 3 starts one program as
 * process 1 of a new pid namespace and says how it ended. A run cannot name it: no pid, no
 * file, no socket of it exists inside. When hone is gone, fd 3 ends, and so does all this.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reward/sandbox_wire.h"
#include "reward/zygote.h"

struct launcher {
    unsigned layers;
    struct layer_filter filter;
};

static void reply(int what, int status, const char *text, int error) {
    struct wire_reply r = {.what = what, .status = status};
    if (text && error) snprintf(r.text, sizeof r.text, "%s: %s", text, strerror(error));
    else if (text) snprintf(r.text, sizeof r.text, "%s", text);
    /* a sandbox that is gone is noticed on the next read */
    if (send(WIRE_CONTROL_FD, &r, sizeof r, MSG_NOSIGNAL) < 0) return;
}

/* One packet with its descriptors. Its size; 0 at the end. */
static ssize_t receive(struct wire_run *run, int fd[WIRE_FDS], int *n_fds) {
    char control[CMSG_SPACE(sizeof(int) * WIRE_FDS)];
    struct iovec iov = {run, sizeof *run};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                         .msg_controllen = sizeof control};
    ssize_t n = recvmsg(WIRE_CONTROL_FD, &msg, MSG_CMSG_CLOEXEC);
    *n_fds = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        *n_fds = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fd, CMSG_DATA(c), (size_t)*n_fds * sizeof(int));
    }
    return n;
}

static const char *copy_file(const char *name, int from, bool executable) {
    struct stat st;
    if (fstat(from, &st) != 0) return "fstat";
    int to = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, executable ? 0755 : 0644);
    if (to < 0) return "create a file in /tmp";
    off_t at = 0;
    while (at < st.st_size)
        if (sendfile(to, from, &at, (size_t)(st.st_size - at)) <= 0) return "fill a file in /tmp";
    close(to);
    return NULL;
}

/* The descriptors go to 0, 1, 2, 3 and 4 by way of numbers above all of them. */
static const char *place_fds(const int *fd, int n_fds, const struct wire_run *run) {
    int at[5], n = 4;
    for (int i = 0; i < 4; i++) at[i] = fd[i];
    if (run->has_peer) at[n++] = fd[n_fds - 1];
    for (int i = 0; i < n; i++)
        if ((at[i] = fcntl(at[i], F_DUPFD, 64)) < 0) return "fcntl(F_DUPFD)";
    for (int i = 0; i < n; i++)
        if (dup2(at[i], i) < 0) return "dup2";
    return NULL;
}

static const char *confine(const struct launcher *l, const struct wire_run *run) {
    const char *failed = layer_rlimits(run);
    if (!failed && l->layers & 1u << SANDBOX_LANDLOCK) {
        /* without the capability the kernel asks for this first */
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return "prctl";
        failed = layer_landlock();
    }
    if (!failed) failed = layer_no_caps();
    if (!failed && l->layers & 1u << SANDBOX_SECCOMP) failed = layer_seccomp(&l->filter);
    return failed;
}

/* In the child: never returns. What failed goes to `report`, which closes on exec. */
static _Noreturn void become_run(const struct launcher *l, const struct wire_run *run,
                                 const int *fd, int n_fds, int report) {
    static const char *const env[] = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/tmp", NULL};
    const char *arg[SANDBOX_MAX_ARGS + 1] = {0}, *text = run->text, *failed;
    for (int i = 0; i < run->n_args; i++, text += strlen(text) + 1) arg[i] = text;
    failed = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 ? NULL : "prctl(PR_SET_PDEATHSIG)";
    if (!failed && setsid() < 0) failed = "setsid";
    if (!failed) failed = layer_tmp(run->tmp_bytes);
    for (int i = 0; i < run->n_files && !failed; i++, text += strlen(text) + 1)
        failed = copy_file(text, fd[4 + i], run->executable >> i & 1);
    /* out of the way of the numbers below */
    if (!failed && (report = fcntl(report, F_DUPFD_CLOEXEC, 128)) < 0)
        failed = "fcntl(F_DUPFD_CLOEXEC)";
    if (!failed) failed = place_fds(fd, n_fds, run);
    if (!failed) {
        syscall(SYS_close_range, run->has_peer ? 5 : 4, report - 1, 0);
        syscall(SYS_close_range, report + 1, ~0u, 0);
        failed = confine(l, run);
    }
    if (!failed) {
        execve(arg[0], (char **)arg, (char **)env);
        /* what was compiled in here may be a program that cannot start */
        if (strncmp(arg[0], "/tmp/", 5) == 0) _exit(126);
        failed = "execute the program";
    }
    const char *part[] = {failed, ": ", strerrordesc_np(errno)};
    for (int i = 0; i < 3; i++)
        if (part[i] && write(report, part[i], strlen(part[i])) < 0) break;
    _exit(127);
}

/* Starts the run; its pid, or -1 after a reply that says why not. */
static pid_t start(const struct launcher *l, const struct wire_run *run, const int *fd,
                   int n_fds) {
    char why[200];
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) {
        reply(WIRE_FAILED, 0, "pipe", errno);
        return -1;
    }
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) become_run(l, run, fd, n_fds, report[1]);
    int error = errno;
    close(report[1]);
    ssize_t n = 0, more;
    while (pid > 0 && (more = read(report[0], why + n, sizeof why - 1 - (size_t)n)) > 0) n += more;
    close(report[0]);
    if (pid < 0) reply(WIRE_FAILED, 0, "clone(pid, mount)", error);
    if (n <= 0) return pid;
    why[n] = 0;
    waitpid(pid, NULL, 0);
    reply(WIRE_FAILED, 0, why, 0);
    return -1;
}

/* Until the run is over, or the sandbox says or shows that it should be. */
static void watch(pid_t pid) {
    struct wire_run message;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), fd[WIRE_FDS], n_fds, status = 0;
    struct pollfd p[2] = {{.fd = pidfd, .events = POLLIN},
                          {.fd = WIRE_CONTROL_FD, .events = POLLIN}};
    if (pidfd < 0) kill(pid, SIGKILL);
    while (pidfd >= 0 && !(p[0].revents & POLLIN)) {
        if (poll(p, 2, -1) < 0 && errno != EINTR) break;
        if (!p[1].revents) continue;
        bool gone = receive(&message, fd, &n_fds) <= 0;
        kill(pid, SIGKILL);
        if (gone) _exit(0);
    }
    waitpid(pid, &status, 0);
    close(pidfd);
    reply(WIRE_OVER, status, NULL, 0);
}

static int serve(const struct launcher *l) {
    struct wire_run run;
    int fd[WIRE_FDS], n_fds;
    ssize_t n;
    while ((n = receive(&run, fd, &n_fds)) > 0) {
        if (n == sizeof run && run.what == WIRE_RUN) {
            pid_t pid = start(l, &run, fd, n_fds);
            for (int i = 0; i < n_fds; i++) close(fd[i]);
            if (pid > 0) watch(pid);
        }
    }
    return 0;
}

/* The warm interpreter mounts a new /tmp for each of its children, so two capabilities go
 * with it over its own exec. Its children drop them before they read a line. */
static const char *keep_capabilities(void) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct cap[2] = {{0}};
    uint32_t kept = 1u << CAP_SYS_ADMIN | 1u << CAP_SETPCAP;
    cap[0].effective = cap[0].permitted = cap[0].inheritable = kept;
    if (syscall(SYS_capset, &head, cap) != 0) return "capset";
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0) != 0 ||
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SETPCAP, 0, 0) != 0)
        return "prctl(PR_CAP_AMBIENT_RAISE)";
    return NULL;
}

static const char *exec_zygote(const struct launcher *l) {
    char layers[16], abi[16], filter[16];
    const char *const env[] = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/tmp", NULL};
    const char *const arg[] = {"/usr/bin/python3", "-I", "-S", "-B", "-X", "utf8", "-c",
                               zygote_source(), layers, abi, filter, NULL};
    struct rlimit stack = {64 << 20, 64 << 20};
    int fd = memfd_create("filter", 0);
    size_t n = l->filter.n * sizeof *l->filter.code;
    if (fd < 0 || write(fd, l->filter.code, n) != (ssize_t)n) return "write the filter";
    snprintf(layers, sizeof layers, "%u", l->layers);
    snprintf(abi, sizeof abi, "%d", layer_landlock_abi());
    snprintf(filter, sizeof filter, "%d", fd);
    if (fcntl(WIRE_CONTROL_FD, F_SETFD, 0) != 0) return "fcntl";
    if (setrlimit(RLIMIT_STACK, &stack) != 0) return "setrlimit";
    const char *failed = keep_capabilities();
    if (failed) return failed;
    execve(arg[0], (char **)arg, (char **)env);
    return "execute /usr/bin/python3";
}

/* The interpreter is process 1 of a namespace between hone's and those of the runs, as it
 * must have a right to its own to go back to it after each. This process waits. */
static const char *become_zygote(const struct launcher *l) {
    int status;
    if (unshare(CLONE_NEWPID) != 0) return "unshare(pid)";
    pid_t pid = fork();
    if (pid < 0) return "fork";
    if (pid > 0) {
        close(WIRE_CONTROL_FD);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
        _exit(0);
    }
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return "prctl(PR_SET_PDEATHSIG)";
    return exec_zygote(l);
}

/* hone says go when the cgroup is there. */
static bool wait_for_go(void) {
    struct wire_run message;
    int fd[WIRE_FDS], n_fds;
    return receive(&message, fd, &n_fds) > 0;
}

int sandbox_launcher_main(int argc, char **argv) {
    static struct launcher l;
    unsigned layers = 0;
    if (argc != 3 || sscanf(argv[2], "%u", &layers) != 1) return EX_USAGE;
    bool python = strcmp(argv[1], "python") == 0;
    l.layers = layers;
    syscall(SYS_close_range, WIRE_CONTROL_FD + 1, ~0u, 0);
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0) return EX_OSERR;
    if (!wait_for_go()) return 0;
    const char *failed = layer_namespaces();
    if (!failed && layer_filter_make(&l.filter) != 0) failed = "make the seccomp filter";
    if (!failed && python) failed = become_zygote(&l);
    if (failed) {
        reply(WIRE_FAILED, 0, failed, errno);
        return EX_OSERR;
    }
    reply(WIRE_READY, 0, NULL, 0);
    return serve(&l);
}
