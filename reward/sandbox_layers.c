/* reward/sandbox_layers.c: the layers, each applied by a process to itself.
 *
 * What a run sees: /usr and its links read-only, five harmless devices, an empty /tmp of a
 * limited size, no /proc, no network but a loopback that is down. Its user is mapped to
 * one that owns nothing outside: when hone runs as root, to a number that nobody has.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "reward/sandbox_wire.h"

#define ROOT "/tmp" /* where the new root is built, in a mount namespace of its own */
#define INSIDE_ID 1000
#define NOBODY 65534

static int write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return -1;
    ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* Root becomes a user without files or processes, so that the only way on is the one that
 * every user has. */
static const char *leave_root(void) {
    if (geteuid() != 0) return NULL;
    uid_t id = 0x70000000u + (uid_t)getpid();
    if (setgroups(0, NULL) != 0) return "setgroups";
    if (setresgid(id, id, id) != 0 && (id = NOBODY, setresgid(id, id, id)) != 0)
        return "setresgid";
    if (setresuid(id, id, id) != 0) return "setresuid";
    /* or /proc/self belongs to root */
    return prctl(PR_SET_DUMPABLE, 1) == 0 ? NULL : "prctl(PR_SET_DUMPABLE)";
}

static const char *new_user(void) {
    char uid[64], gid[64];
    snprintf(uid, sizeof uid, "%d %u 1", INSIDE_ID, geteuid());
    snprintf(gid, sizeof gid, "%d %u 1", INSIDE_ID, getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                CLONE_NEWCGROUP) != 0)
        return "unshare(user, mount, net, ipc, uts, cgroup)";
    if (write_text("/proc/self/setgroups", "deny") != 0) return "write /proc/self/setgroups";
    if (write_text("/proc/self/uid_map", uid) != 0) return "write /proc/self/uid_map";
    if (write_text("/proc/self/gid_map", gid) != 0) return "write /proc/self/gid_map";
    return NULL;
}

/* Binds a folder or file of the host at the same place below ROOT. */
static int bind_from_host(const char *path, bool device) {
    char to[128];
    struct stat st;
    struct mount_attr attr = {
        .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | (device ? 0 : MOUNT_ATTR_NODEV)};
    if (device) attr.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
    snprintf(to, sizeof to, ROOT "%s", path);
    if (lstat(path, &st) != 0) return errno == ENOENT && !device ? 0 : -1;
    if (S_ISLNK(st.st_mode)) {
        char target[256];
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n < 0) return -1;
        target[n] = 0;
        return symlink(target, to);
    }
    if ((S_ISDIR(st.st_mode) ? mkdir(to, 0755) : write_text(to, "")) != 0) return -1;
    if (mount(path, to, NULL, MS_BIND | MS_REC, NULL) != 0) return -1;
    return (int)syscall(SYS_mount_setattr, AT_FDCWD, to, AT_RECURSIVE, &attr, sizeof attr);
}

static const char *fill_root(void) {
    static const char *const dirs[] = {"/etc", "/dev", "/tmp", "/proc"};
    static const char *const shared[] = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64",
                                         "/libx32", "/etc/ld.so.cache", "/etc/alternatives"};
    static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full",
                                          "/dev/random", "/dev/urandom"};
    char path[64];
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        snprintf(path, sizeof path, ROOT "%s", dirs[i]);
        if (mkdir(path, 0755) != 0) return "mkdir in the new root";
    }
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        if (bind_from_host(shared[i], false) != 0) return "bind a folder of the system";
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (bind_from_host(devices[i], true) != 0) return "bind a device";
    /* what shm_open and sem_open make goes with /tmp */
    if (symlink("/tmp", ROOT "/dev/shm") != 0) return "symlink /dev/shm";
    if (write_text(ROOT "/etc/passwd", "user:x:1000:1000:user:/tmp:/bin/sh\n") != 0 ||
        write_text(ROOT "/etc/group", "user:x:1000:\n") != 0)
        return "write /etc/passwd";
    return NULL;
}

static const char *new_root(void) {
    struct mount_attr attr = {.attr_set =
                                  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return "make / private";
    if (mount("tmpfs", ROOT, "tmpfs", MS_NOSUID, "size=1m,nr_inodes=256,mode=755") != 0)
        return "mount the new root";
    const char *failed = fill_root();
    if (failed) return failed;
    if (chdir(ROOT) != 0) return "chdir";
    if (syscall(SYS_pivot_root, ".", ".") != 0) return "pivot_root";
    if (umount2(".", MNT_DETACH) != 0) return "umount the old root";
    if (chdir("/") != 0) return "chdir";
    if (syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof attr) != 0)
        return "make the new root read-only";
    return NULL;
}

const char *layer_namespaces(void) {
    umask(022);
    const char *failed = leave_root();
    if (!failed) failed = new_user();
    return failed ? failed : new_root();
}

const char *layer_tmp(int64_t bytes) {
    char options[96];
    snprintf(options, sizeof options, "size=%lld,nr_inodes=4096,mode=700", (long long)bytes);
    if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options) != 0) return "mount /tmp";
    return chdir("/tmp") == 0 ? NULL : "chdir /tmp";
}

const char *layer_rlimits(const struct wire_run *run) {
    rlim_t memory = (rlim_t)run->memory_bytes;
    /* the default size of each thread's stack too, and V8 starts with four threads */
    rlim_t stack = run->wide_addresses ? 8 << 20 : memory / 4;
    const struct {
        int what;
        rlim_t soft, hard;
    } limit[] = {
        /* 1: a pattern that pipes the core does not honour 0 */
        {RLIMIT_CORE, 1, 1},
        {RLIMIT_CPU, (rlim_t)run->cpu_s, (rlim_t)run->cpu_s + 1},
        {RLIMIT_DATA, memory, memory},
        {RLIMIT_AS, memory, memory},
        {RLIMIT_STACK, stack, stack},
        {RLIMIT_FSIZE, (rlim_t)run->tmp_bytes, (rlim_t)run->tmp_bytes},
        {RLIMIT_NPROC, (rlim_t)run->processes + 1, (rlim_t)run->processes + 1},
        {RLIMIT_NOFILE, 256, 256},
        {RLIMIT_MEMLOCK, 0, 0},
        {RLIMIT_MSGQUEUE, 0, 0},
        {RLIMIT_SIGPENDING, 256, 256},
    };
    for (size_t i = 0; i < sizeof limit / sizeof *limit; i++) {
        struct rlimit r = {limit[i].soft, limit[i].hard};
        if (limit[i].what == RLIMIT_AS && run->wide_addresses) continue;
        if (setrlimit((__rlimit_resource_t)limit[i].what, &r) != 0) return "setrlimit";
    }
    return NULL;
}

const char *layer_no_caps(void) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    for (int cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && errno != EINVAL)
            return "prctl(PR_CAPBSET_DROP)";
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return "prctl(PR_CAP_AMBIENT)";
    if (syscall(SYS_capset, &head, none) != 0) return "capset";
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? NULL : "prctl(PR_SET_NO_NEW_PRIVS)";
}

/* As the newest kernel knows it; an older one takes the first bytes. */
struct ruleset {
    uint64_t fs, net, scoped;
};

enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_MAKE_CHAR = 1 << 6,
    FS_MAKE_BLOCK = 1 << 11,
    FS_ALL_V1 = (1 << 13) - 1,
    FS_REFER = 1 << 13,    /* version 2 */
    FS_TRUNCATE = 1 << 14, /* version 3 */
    FS_IOCTL_DEV = 1 << 15, /* version 5 */
};

int layer_landlock_abi(void) {
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

static int allow(int ruleset, const char *path, uint64_t access) {
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0) return -1;
    long rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(rule.parent_fd);
    return (int)rc;
}

const char *layer_landlock(void) {
    int abi = layer_landlock_abi();
    uint64_t all = FS_ALL_V1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
                   (abi >= 5 ? FS_IOCTL_DEV : 0);
    struct ruleset attr = {.fs = all, .net = 3, .scoped = 3};
    size_t size = abi >= 6 ? sizeof attr : abi >= 4 ? 16 : 8;
    int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (fd < 0) return "landlock_create_ruleset";
    int rc = allow(fd, "/", FS_EXECUTE | FS_READ_FILE | FS_READ_DIR);
    if (rc == 0) rc = allow(fd, "/dev", FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE);
    if (rc == 0)
        rc = allow(fd, "/tmp", all & ~(uint64_t)(FS_MAKE_CHAR | FS_MAKE_BLOCK | FS_IOCTL_DEV));
    if (rc != 0) return "landlock_add_rule";
    rc = (int)syscall(SYS_landlock_restrict_self, fd, 0);
    close(fd);
    return rc == 0 ? NULL : "landlock_restrict_self";
}

const char *layer_seccomp(const struct layer_filter *f) {
    struct sock_fprog prog = {f->n, (struct sock_filter *)f->code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0 ? NULL : "seccomp";
}
