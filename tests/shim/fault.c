/* tests/shim/fault.c: LD_PRELOADed into hone: makes one system call of the write path fail, or
 * kills the process in it.
 *
 *     FAULT_AT=N       the N-th call counted here, from 1; absent: none
 *     FAULT_AS=ERRNO   as which error it fails; kill: half of a write, then SIGKILL
 *     FAULT_STICKS=1   every later call that needs room on the disk fails too
 *     FAULT_LOG=FILE   a line for each counted call: its number, its name, what it is of
 *     FAULT_CLOCK=S    the wall clock is S seconds ahead, or behind
 *
 * Counted are calls that make, write, sync, name or remove files, of hone's and of SQLite's;
 * not what goes to the standard streams, to pipes and to /proc, /sys and devices.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* real(write)(...) is the call that this one stands before. */
#define real(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum verdict { PASS, FAIL, KILL };

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : 0;
}

static void note(long n, const char *call, const char *what) {
    const char *path = getenv("FAULT_LOG");
    char line[512];
    int len = snprintf(line, sizeof line, "%ld %s %.400s\n", n, call, what);
    int fd = path ? real(open64)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    if (fd < 0) return;
    ssize_t ignored = real(write)(fd, line, (size_t)len);
    (void)ignored;
    real(close)(fd);
}

/* Counts the call and says what is to become of it; errno is set where it fails. `room`: it
 * needs room on the disk. */
static enum verdict judge(const char *call, const char *what, bool room) {
    static atomic_long calls;
    long n = atomic_fetch_add(&calls, 1) + 1, at = number("FAULT_AT");
    const char *as = getenv("FAULT_AS");
    int before = errno;
    note(n, call, what);
    errno = before;
    if (at == 0 || !as || (n != at && !(n > at && room && number("FAULT_STICKS")))) return PASS;
    if (strcmp(as, "kill") == 0) return KILL;
    errno = (int)number("FAULT_AS");
    return FAIL;
}

static enum verdict judge_path(const char *call, const char *path, bool room) {
    if (strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/sys/", 5) == 0) return PASS;
    if (strncmp(path, "/dev/", 5) == 0 && strncmp(path, "/dev/shm/", 9) != 0) return PASS;
    enum verdict v = judge(call, path, room);
    if (v == KILL) raise(SIGKILL);
    return v;
}

/* Of descriptors only regular files and folders count. */
static enum verdict judge_fd(const char *call, int fd, bool room) {
    struct stat st;
    char link[64], path[400];
    if (fd <= 2 || fstat(fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return PASS;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    return judge(call, path, room);
}

/* ---- opening ---- */

static bool for_writing(int flags) {
    return (flags & (O_CREAT | O_DIRECTORY)) || (flags & O_ACCMODE) != O_RDONLY;
}

#define MODE(flags)                                                                      \
    va_list args;                                                                        \
    va_start(args, flags);                                                               \
    mode_t mode = (flags) & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;            \
    va_end(args)

int open(const char *path, int flags, ...) {
    MODE(flags);
    if (for_writing(flags) && judge_path("open", path, flags & O_CREAT) != PASS) return -1;
    return real(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags);
    if (for_writing(flags) && judge_path("open", path, flags & O_CREAT) != PASS) return -1;
    return real(open64)(path, flags, mode);
}

/* The descriptor is gone all the same, as with the kernel's. */
int close(int fd) {
    int flags = fcntl(fd, F_GETFL);
    enum verdict v = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY ? judge_fd("close", fd, false)
                                                                  : PASS;
    int error = errno;
    if (v == KILL) raise(SIGKILL);
    int rc = real(close)(fd);
    if (v == PASS) return rc;
    errno = error;
    return -1;
}

/* ---- writing ---- */

#define WRITE(call, ...)                                                                 \
    enum verdict v = judge_fd(#call, fd, true);                                          \
    if (v == FAIL) return -1;                                                            \
    if (v == KILL) n /= 2;                                                               \
    ssize_t put = real(call)(fd, data, n __VA_ARGS__);                                   \
    if (v == KILL) raise(SIGKILL);                                                       \
    return put

ssize_t write(int fd, const void *data, size_t n) { WRITE(write); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { WRITE(pwrite, , at); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) { WRITE(pwrite64, , at); }

#define ON_FD(call, room, ...)                                                           \
    enum verdict v = judge_fd(#call, fd, room);                                          \
    if (v == KILL) raise(SIGKILL);                                                       \
    return v == FAIL ? -1 : real(call)(fd __VA_ARGS__)

int fsync(int fd) { ON_FD(fsync, false); }
int fdatasync(int fd) { ON_FD(fdatasync, false); }
int ftruncate(int fd, off_t n) { ON_FD(ftruncate, false, , n); }
int ftruncate64(int fd, off64_t n) { ON_FD(ftruncate64, false, , n); }
int flock(int fd, int how) { ON_FD(flock, false, , how); }

/* Of a file that is shared: the index of SQLite's log. */
static bool is_shared(int prot, int flags, int fd) {
    return fd >= 0 && (prot & PROT_WRITE) && (flags & MAP_SHARED);
}

static void *map_failed(enum verdict v) {
    if (v == KILL) raise(SIGKILL);
    return MAP_FAILED;
}

void *mmap64(void *at, size_t n, int prot, int flags, int fd, off64_t from) {
    enum verdict v = is_shared(prot, flags, fd) ? judge_fd("mmap", fd, true) : PASS;
    return v == PASS ? real(mmap64)(at, n, prot, flags, fd, from) : map_failed(v);
}

/* ---- names ---- */

#define ON_PATH(call, room, ...)                                                         \
    return judge_path(#call, path, room) == PASS ? real(call)(__VA_ARGS__) : -1

int mkdir(const char *path, mode_t mode) { ON_PATH(mkdir, true, path, mode); }
int rmdir(const char *path) { ON_PATH(rmdir, false, path); }
int unlink(const char *path) { ON_PATH(unlink, false, path); }
int unlinkat(int at, const char *path, int flags) { ON_PATH(unlinkat, false, at, path, flags); }
int remove(const char *path) { ON_PATH(remove, false, path); }
int rename(const char *from, const char *path) { ON_PATH(rename, false, from, path); }
int renameat2(int a, const char *from, int b, const char *path, unsigned flags) {
    ON_PATH(renameat2, false, a, from, b, path, flags);
}

/* ---- the clock ---- */

int clock_gettime(clockid_t which, struct timespec *t) {
    int rc = real(clock_gettime)(which, t);
    if (rc == 0 && which == CLOCK_REALTIME) t->tv_sec += number("FAULT_CLOCK");
    return rc;
}

int gettimeofday(struct timeval *t, void *zone) {
    int rc = real(gettimeofday)(t, zone);
    if (rc == 0) t->tv_sec += number("FAULT_CLOCK");
    return rc;
}

time_t time(time_t *out) {
    time_t t = real(time)(NULL) + number("FAULT_CLOCK");
    if (out) *out = t;
    return t;
}
