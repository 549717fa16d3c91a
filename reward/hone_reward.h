/* hone_reward.h: the interface between hone and a reward that is a shared object.
 *
 * A plug-in exports one symbol, hone_reward_entry, and links to nothing of hone. It is loaded
 * by a worker process of its own, never by the trainer, and is never unloaded. What it does
 * wrong (a crash, a hang, a write past a result, a NaN) costs the samples at hand a status.
 * Docs: docs/rewards.md. `hone reward check PLUGIN.so` tries a plug-in against these rules.
 *
 * Evolution. Structs begin with their size in bytes as whoever filled them knew it. Fields
 * are only ever added at the end; a reader looks at a field only where the size reaches
 * beyond it. The major version changes when something else must; hone refuses another major.
 * New services come as extensions, fetched by an id such as "hone.thread-check/1" whose
 * meaning never changes.
 *
 * Threads. [worker]: called by hone on one thread, the same one for all calls, one call at a
 * time. [any]: may be called from every thread until the [worker] call under way returns.
 *
 * Memory. What hone passes in lives until the call returns, unless said otherwise. Texts are
 * bytes with a length: completions come from a model and hold anything, NULs and broken UTF-8
 * too; prompt, gold and columns are UTF-8. Nothing is NUL-terminated unless it is a char *.
 * No exit, longjmp or exception may leave a plug-in; it owns no signal and no file of hone's.
 * Standard output is sent to standard error while a plug-in runs.
 */
#ifndef HONE_REWARD_H
#define HONE_REWARD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HONE_REWARD_ABI_MAJOR 1
#define HONE_REWARD_ABI_MINOR 1
#define HONE_REWARD_EXPORT __attribute__((visibility("default")))

enum hone_reward_status {
    HONE_REWARD_UNSET = 0,   /* as hone leaves it; one that stays so has crashed */
    HONE_REWARD_OK = 1,      /* score counts */
    HONE_REWARD_UNPARSABLE = 2, /* nothing to read in the completion: a 0 that counts */
    HONE_REWARD_UNDECIDED = 3,  /* 3 to 6: the checker failed, not the policy */
    HONE_REWARD_TIMEOUT = 4,
    HONE_REWARD_LIMIT = 5,
    HONE_REWARD_CRASHED = 6,
    HONE_REWARD_NOT_SCORABLE = 7 /* nothing to say: the sample's other rewards still count */
};

enum hone_reward_flags {
    HONE_REWARD_DETERMINISTIC = 1 /* the same group gives the same results, always */
};

enum { HONE_REWARD_REASON_BYTES = 128, HONE_REWARD_PART_NAME_BYTES = 32,
       HONE_REWARD_MAX_PARTS = 8 };

struct hone_reward_text {
    const char *data; /* never NULL */
    size_t n;
};

struct hone_reward_sample {
    uint32_t size;
    uint32_t n_ids;
    const int32_t *ids; /* [n_ids] tokens */
    struct hone_reward_text text;
};

struct hone_reward_part {
    char name[HONE_REWARD_PART_NAME_BYTES]; /* NUL-terminated */
    double value;                           /* finite */
};

/* Filled by the plug-in, but for size. */
struct hone_reward_result {
    uint32_t size;
    uint32_t status; /* enum hone_reward_status */
    double score;    /* of HONE_REWARD_OK: from 0 to 1, or min_value to max_value */
    uint32_t n_parts;
    uint32_t reserved;
    struct hone_reward_part part[HONE_REWARD_MAX_PARTS];
    char reason[HONE_REWARD_REASON_BYTES]; /* NUL-terminated UTF-8; may stay "" */
};

/* All completions of one prompt. */
struct hone_reward_group {
    uint32_t size;
    uint32_t n; /* samples */
    struct hone_reward_text kind, prompt, gold;
    struct hone_reward_text columns; /* the problem's row: a JSON object */
    const struct hone_reward_sample *const *sample; /* [n] */
    struct hone_reward_result *const *result;       /* [n] */
    uint32_t max_tokens;                            /* 0: not known */
    uint32_t reserved;
    /* since 1.1: of the stage, steps that are done and steps in all; 0 and 0: not known */
    uint32_t step, max_steps;
};

enum hone_reward_severity { HONE_REWARD_INFO = 0, HONE_REWARD_WARNING = 1, HONE_REWARD_ERROR = 2 };

/* What hone offers; lives as long as the process. */
struct hone_reward_host {
    uint32_t size;
    uint32_t abi_major, abi_minor;
    uint32_t reserved;
    const char *version; /* of hone */
    /* [any] A line on hone's standard error. */
    void (*log)(const struct hone_reward_host *host, int severity, const char *text);
    /* [worker] Why create or score is about to fail. */
    void (*set_error)(const struct hone_reward_host *host, const char *text);
    /* [any] NULL where hone does not know the id. */
    const void *(*extension)(const struct hone_reward_host *host, const char *id);
};

/* Extension "hone.thread-check/1", always there. */
struct hone_reward_thread_check {
    uint32_t size;
    uint32_t reserved;
    /* [any] 1 on the worker thread. */
    int (*is_worker)(const struct hone_reward_host *host);
};

struct hone_reward_plugin {
    uint32_t size; /* sizeof(struct hone_reward_plugin) */
    uint32_t abi_major, abi_minor;
    uint32_t flags;            /* enum hone_reward_flags */
    const char *name, *version; /* 1 to 63 bytes; the version changes when a score could */
    /* [worker] options[n_options] is the JSON object of the experiment file. NULL: failed,
     * after set_error. The instance may be NULL-free state of any kind. */
    void *(*create)(const struct hone_reward_host *host, const char *options, size_t n_options);
    /* [worker] Fills group->result[0 .. n-1]. 0, or -1 after set_error: no result counts. */
    int (*score)(void *instance, const struct hone_reward_group *group);
    /* [worker] May be NULL. The last call. */
    void (*destroy)(void *instance);
    /* [worker] What the plug-in offers beyond this; NULL, or NULL for an unknown id. */
    const void *(*extension)(const char *id);
};

/* [worker] The one symbol a plug-in exports. The result lives as long as the process. */
HONE_REWARD_EXPORT const struct hone_reward_plugin *hone_reward_entry(void);

#ifdef __cplusplus
}
#endif

#endif
