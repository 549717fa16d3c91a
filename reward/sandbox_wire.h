/* reward/sandbox_wire.h: what goes between sandbox.c and a launcher. Inside reward/ only.
 *
 * One packet a message over a SOCK_SEQPACKET pair. Sandbox to launcher: a struct wire_run
 * with its file descriptors, or an empty struct wire_kill. Launcher to sandbox: a struct
 * wire_reply when it is ready, and one when a run is over. reward/zygote.py reads the same
 * structs: change both.
 */
#ifndef REWARD_SANDBOX_WIRE_H
#define REWARD_SANDBOX_WIRE_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "reward/sandbox.h"

enum { WIRE_TEXT = 2048, WIRE_FDS = 5 + SANDBOX_MAX_FILES, WIRE_CONTROL_FD = 3 };

enum { WIRE_RUN = 1, WIRE_KILL = 2, WIRE_GO = 3 };

struct wire_run {
    int32_t what; /* the other two are this field alone */
    int32_t n_args, n_files, executable; /* bit i: file i */
    int32_t has_peer, wide_addresses, processes, cpu_s;
    int64_t memory_bytes, tmp_bytes;
    char text[WIRE_TEXT]; /* n_args arguments, then n_files names, each with its NUL */
};
/* fds in order: input, out, err, reply, the files, the peer */

enum { WIRE_READY = 1, WIRE_OVER = 2, WIRE_FAILED = 3 };

struct wire_reply {
    int32_t what;
    int32_t status; /* as from waitpid; WIRE_OVER */
    char text[248]; /* WIRE_FAILED: why */
};

/* The layers, applied by the process itself. Each returns NULL, or what failed (static
 * text; errno says why). */

/* New user, mount, net, ipc, uts and cgroup namespaces and the root of /usr. */
const char *layer_namespaces(void);
/* A new mount at /tmp of so many bytes. Needs a mount namespace of one's own. */
const char *layer_tmp(int64_t bytes);
const char *layer_rlimits(const struct wire_run *run);
const char *layer_landlock(void);
/* No capability, no way to get one. */
const char *layer_no_caps(void);

/* The filter as the kernel takes it. -1: libseccomp failed. */
struct layer_filter {
    struct sock_filter code[1024];
    uint16_t n;
};
int layer_filter_make(struct layer_filter *f);
const char *layer_seccomp(const struct layer_filter *f);

/* The newest Landlock that this kernel has; 0: none. */
int layer_landlock_abi(void);

/* Host side of cgroups: makes one with these limits and puts pid into it. On -1 there is
 * none. `path` names it for cgroup_remove: one folder (v2) or two, NUL-separated (v1). */
struct cgroup {
    char path[2][256];
};
int cgroup_make(struct cgroup *g, int pid, int serial, long memory_bytes, int processes,
                struct err *err);
void cgroup_remove(struct cgroup *g);

#endif
