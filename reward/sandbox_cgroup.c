/* reward/sandbox_cgroup.c: a cgroup for a launcher and all that it starts.
 *
 * Below the cgroup of hone itself: version 2 where its memory and pids controllers are
 * handed down, else the version 1 hierarchies of both. The folder's name holds the pid of
 * its maker, so that what a killed process left behind is removed by the next.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reward/sandbox_wire.h"

#define PREFIX "hone-"

static int write_number(const char *dir, const char *file, long long value) {
    char path[512], text[32];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    int n = snprintf(text, sizeof text, "%lld", value), fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t done = write(fd, text, (size_t)n);
    close(fd);
    return done == n ? 0 : -1;
}

/* This process's place in the hierarchy of `controller` ("" for version 2), as
 * /proc/self/cgroup has it: `4:memory:/a/b`. */
static bool own_place(const char *controller, char *out, size_t n) {
    char line[512];
    bool found = false;
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f) return false;
    while (!found && fgets(line, sizeof line, f)) {
        char *names = strchr(line, ':'), *place = names ? strchr(names + 1, ':') : NULL;
        if (!place) continue;
        *names++ = *place++ = 0;
        place[strcspn(place, "\n")] = 0;
        found = strcmp(names, controller) == 0;
        if (found) snprintf(out, n, "%s", place);
    }
    fclose(f);
    return found;
}

/* Removes the empty folders of makers that are gone. */
static void sweep(const char *dir) {
    DIR *d = opendir(dir);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) {
        long pid = strncmp(e->d_name, PREFIX, strlen(PREFIX)) == 0
                       ? strtol(e->d_name + strlen(PREFIX), NULL, 10)
                       : 0;
        if (pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
            unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
    }
    closedir(d);
}

static int make_folder(const char *parent, int serial, char out[256]) {
    if (serial == 0) sweep(parent);
    int n = snprintf(out, 256, "%s/" PREFIX "%d-%d", parent, (int)getpid(), serial);
    if (n < 256 && (mkdir(out, 0755) == 0 || errno == EEXIST)) return 0;
    out[0] = 0;
    return -1;
}

/* Version 2: in the own group if it hands its controllers down, else beside it. */
static int make_v2(struct cgroup *g, int serial, long bytes, int processes) {
    char place[200], parent[256];
    struct stat st;
    if (!own_place("", place, sizeof place)) return -1;
    for (int up = 0; up < 2; up++) {
        snprintf(parent, sizeof parent, "/sys/fs/cgroup%s", strcmp(place, "/") ? place : "");
        if (make_folder(parent, serial, g->path[0]) == 0) {
            snprintf(parent, sizeof parent, "%s/memory.max", g->path[0]);
            if (stat(parent, &st) == 0 && write_number(g->path[0], "memory.max", bytes) == 0 &&
                write_number(g->path[0], "pids.max", processes) == 0) {
                /* no swap beyond it, where the kernel counts that */
                if (write_number(g->path[0], "memory.swap.max", 0) != 0) errno = 0;
                return 0;
            }
            cgroup_remove(g);
        }
        char *slash = strrchr(place, '/');
        if (!slash || slash == place) break;
        *slash = 0;
    }
    return -1;
}

static int make_v1(struct cgroup *g, int serial, long bytes, int processes) {
    static const char *const controller[] = {"memory", "pids"};
    for (int i = 0; i < 2; i++) {
        char place[128], parent[256];
        if (!own_place(controller[i], place, sizeof place)) return -1;
        snprintf(parent, sizeof parent, "/sys/fs/cgroup/%s%s", controller[i],
                 strcmp(place, "/") ? place : "");
        if (make_folder(parent, serial, g->path[i]) != 0) return -1;
    }
    if (write_number(g->path[0], "memory.limit_in_bytes", bytes) != 0) return -1;
    if (write_number(g->path[0], "memory.memsw.limit_in_bytes", bytes) != 0) errno = 0;
    return write_number(g->path[1], "pids.max", processes);
}

int cgroup_make(struct cgroup *g, int pid, int serial, long memory_bytes, int processes,
                struct err *err) {
    memset(g, 0, sizeof *g);
    int rc = make_v2(g, serial, memory_bytes, processes);
    if (rc != 0) rc = make_v1(g, serial, memory_bytes, processes);
    for (int i = 0; i < 2 && rc == 0; i++)
        if (g->path[i][0]) rc = write_number(g->path[i], "cgroup.procs", pid);
    if (rc == 0) return 0;
    int error = errno;
    cgroup_remove(g);
    errno = error;
    return err_errno(err, EX_UNAVAILABLE, "make a cgroup with limits of memory and pids");
}

void cgroup_remove(struct cgroup *g) {
    for (int i = 0; i < 2; i++) {
        /* a group is busy for a moment after its last process */
        for (int tries = 0; g->path[i][0] && tries < 50; tries++) {
            if (rmdir(g->path[i]) == 0 || errno != EBUSY) break;
            usleep(2000);
        }
        g->path[i][0] = 0;
    }
}
