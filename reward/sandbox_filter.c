/* reward/sandbox_filter.c: the system calls that a run may make, as a seccomp program.
 *
 * What is not on the list does not exist (ENOSYS), so that the C library takes its older
 * way. Not on it, on purpose: anything that makes or enters namespaces, mounts, traces or
 * reads another process, keys, System V objects and message queues (they outlive their
 * maker), memfd (memory that no limit of a process counts), io_uring (calls past this
 * filter), bpf, perf, userfaultfd, modules, clocks, other users. A name that an
 * architecture does not have is passed over by libseccomp.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reward/sandbox_wire.h"

static const char *const allowed[] = {
    /* files */
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2",
    "pwritev2", "open", "openat", "openat2", "creat", "close", "close_range", "stat", "fstat",
    "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "lseek", "ioctl",
    "pipe", "pipe2", "dup", "dup2", "dup3", "fcntl", "flock", "fsync", "fdatasync", "truncate",
    "ftruncate", "fallocate", "fadvise64", "getdents", "getdents64", "getcwd", "chdir",
    "fchdir", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "unlink",
    "unlinkat", "link", "linkat", "symlink", "symlinkat", "readlink", "readlinkat", "chmod",
    "fchmod", "fchmodat", "fchmodat2", "umask", "utime", "utimes", "utimensat", "futimesat",
    "mknod", "mknodat", "statfs", "fstatfs", "sendfile", "copy_file_range", "splice", "tee",
    "getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr",
    /* waiting */
    "select", "pselect6", "poll", "ppoll", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "timerfd_create",
    "timerfd_settime", "timerfd_gettime", "signalfd", "signalfd4", "pause", "nanosleep",
    "clock_nanosleep",
    /* memory */
    "brk", "mmap", "mprotect", "munmap", "mremap", "madvise", "msync", "mincore",
    "pkey_alloc", "pkey_free", "pkey_mprotect", "membarrier",
    /* signals and time */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend",
    "rt_sigtimedwait", "sigaltstack", "kill", "tkill", "tgkill", "restart_syscall",
    "gettimeofday", "time", "clock_gettime", "clock_getres", "times", "getitimer",
    "setitimer", "alarm", "timer_create", "timer_settime", "timer_gettime",
    "timer_getoverrun", "timer_delete",
    /* processes and threads */
    "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "getpid",
    "gettid", "getppid", "getpgrp", "getpgid", "setpgid", "getsid", "setsid", "getuid",
    "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "capget", "uname",
    "sysinfo", "getrlimit", "setrlimit", "prlimit64", "getrusage", "getpriority",
    "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam",
    "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min", "getcpu",
    "arch_prctl", "set_tid_address", "set_robust_list", "get_robust_list", "futex",
    "futex_waitv", "rseq", "getrandom",
    /* sockets between its own processes */
    "socketpair", "bind", "connect", "listen", "accept", "accept4", "getsockname",
    "getpeername", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg",
    "shutdown", "setsockopt", "getsockopt",
};

static int allow_all(scmp_filter_ctx ctx) {
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        int call = seccomp_syscall_resolve_name(allowed[i]);
        if (call == __NR_SCMP_ERROR) continue; /* newer than libseccomp */
        if (seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 0) != 0) return -1;
    }
    return 0;
}

/* A new process or thread, in the namespaces there are; clone3 hides its flags in memory
 * and so does not exist. Unix sockets only. A run may not outlive its launcher. */
static int allow_some(scmp_filter_ctx ctx) {
    const scmp_datum_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                    CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
                                    CLONE_NEWNET;
    const struct {
        int call;
        struct scmp_arg_cmp first;
    } rule[] = {
        {SCMP_SYS(clone), {0, SCMP_CMP_MASKED_EQ, namespaces, 0}},
        {SCMP_SYS(socket), {0, SCMP_CMP_EQ, AF_UNIX, 0}},
        {SCMP_SYS(prctl), {0, SCMP_CMP_NE, PR_SET_PDEATHSIG, 0}},
    };
    for (size_t i = 0; i < sizeof rule / sizeof *rule; i++)
        if (seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rule[i].call, 1, &rule[i].first) != 0)
            return -1;
    return 0;
}

/* libseccomp writes the program to a file. */
static int export(scmp_filter_ctx ctx, struct layer_filter *f) {
    int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0) return -1;
    int rc = seccomp_export_bpf(ctx, fd);
    ssize_t n = rc == 0 ? pread(fd, f->code, sizeof f->code, 0) : -1;
    off_t size = lseek(fd, 0, SEEK_END);
    close(fd);
    if (n <= 0 || size != (off_t)n) return -1;
    f->n = (uint16_t)((size_t)n / sizeof *f->code);
    return 0;
}

int layer_filter_make(struct layer_filter *f) {
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (!ctx) return -1;
    int rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
    if (rc == 0) rc = allow_all(ctx);
    if (rc == 0) rc = allow_some(ctx);
    if (rc == 0) rc = export(ctx, f);
    seccomp_release(ctx);
    return rc == 0 ? 0 : -1;
}
