/* reward/sandbox.h: programs nobody trusts, run so that nothing of them is left.
 *
 * A sandbox is a set of launchers: small processes of one thread, each in namespaces of its
 * own, that start one program after the other. Every run gets a new pid and mount
 * namespace, an empty /tmp and nothing else to write to; it is over when its first process
 * is dead, and then all its descendants are. What a run may say comes back as bytes.
 * Two kinds of launcher: SANDBOX_EXEC executes a program; SANDBOX_PYTHON is a warm
 * interpreter that forks once a run (reward/zygote.py). Any thread may call sandbox_run.
 */
#ifndef REWARD_SANDBOX_H
#define REWARD_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum sandbox_layer {
    SANDBOX_NAMESPACES, /* user, mount, pid, net, ipc, uts; a root of /usr alone */
    SANDBOX_RLIMITS,
    SANDBOX_SECCOMP,  /* a list of the system calls that are allowed */
    SANDBOX_LANDLOCK, /* the rules of the mounts, a second time */
    SANDBOX_CGROUP,   /* memory and processes of a run together; v1 or v2 */
    SANDBOX_N_LAYERS,
};

enum { SANDBOX_MAX_FILES = 4, SANDBOX_MAX_ARGS = 16 };

/* "namespaces", "rlimits", ... */
const char *sandbox_layer_name(enum sandbox_layer layer);

struct sandbox_config {
    unsigned layers;      /* 1 << layer: each is applied, or sandbox_open fails */
    bool cgroup_if_usable; /* and a cgroup where it can be had unasked */
    const char *launcher; /* run as `LAUNCHER sandbox-launcher`; NULL: this program */
    long memory_bytes;    /* of a launcher's cgroup, default 512 MiB */
    int processes;        /* likewise, default 64 */
};

struct sandbox_config sandbox_config_default(void);

/* "namespaces,rlimits,seccomp,landlock" to bits. EX_CONFIG: an unknown layer, or one that
 * cannot be left out (namespaces, rlimits). */
MUST_USE int sandbox_parse_layers(const char *text, unsigned *layers, struct err *err);

/* What this machine lacks for a layer; "" where it is all there. */
void sandbox_probe(enum sandbox_layer layer, char why[256]);

enum sandbox_kind { SANDBOX_EXEC, SANDBOX_PYTHON };

struct sandbox_file {
    const char *name; /* in /tmp, without a slash */
    const void *data;
    size_t n;
    bool executable;
};

struct sandbox_request {
    enum sandbox_kind kind;
    const char *const *argv; /* NULL-terminated, argv[0] a path; SANDBOX_EXEC only */
    struct sandbox_file file[SANDBOX_MAX_FILES]; /* SANDBOX_PYTHON: file[0] is the job */
    int n_files;
    const void *input; /* its standard input */
    size_t n_input;
    int wall_ms;
    long memory_bytes;   /* address space a process; 0: 512 MiB */
    bool wide_addresses; /* reserves far more than it uses (V8): count private pages only */
    int processes;       /* 0: 64 */
    size_t max_output;   /* bytes of each of the three; past it the run is killed */
    int peer;            /* a socket that the run gets as fd 4; -1: none */
};

enum sandbox_end {
    SANDBOX_EXITED,   /* code is its status */
    SANDBOX_SIGNALED, /* code is the signal */
    SANDBOX_TIMEOUT,  /* killed at its deadline */
    SANDBOX_OUTPUT,   /* killed for saying too much */
};

struct sandbox_result {
    enum sandbox_end end;
    int code;
    struct buf out, err, reply; /* fds 1, 2 and 3, owned */
    double ms;                  /* wall */
};

struct sandbox;

/* Caller frees with sandbox_close. Tries every layer once; a layer that was asked for and
 * is missing is EX_UNAVAILABLE with the reason. */
MUST_USE int sandbox_open(struct sandbox **s, const struct sandbox_config *cfg,
                          struct err *err);
void sandbox_close(struct sandbox *s);

/* Whether runs are in a cgroup. */
bool sandbox_has_cgroup(const struct sandbox *s);

/* Runs it to its end; waits where all launchers are busy. *res is filled anew, the caller
 * calls sandbox_result_clear. -1: the sandbox itself failed, the program is not to blame. */
MUST_USE int sandbox_run(struct sandbox *s, const struct sandbox_request *req,
                         struct sandbox_result *res, struct err *err);
void sandbox_result_clear(struct sandbox_result *res);

/* The process behind `LAUNCHER sandbox-launcher exec|python`: talks over fd 3. */
int sandbox_launcher_main(int argc, char **argv);

#endif
