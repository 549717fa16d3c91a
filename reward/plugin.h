/* reward/plugin.h: rewards that are other people's programs. Inside reward/ only.
 *
 * A plug-in is a program that answers lines (a command, or `hone reward-worker` around a
 * shared object) or an HTTP server; all speak reward/plugin_wire.h. It is the user's own code
 * and so runs without a sandbox, but never in this process: one that crashes, hangs, floods
 * or talks nonsense costs the samples at hand a status, and is started again for the next
 * ones. Any number of threads may score; each call holds one of the plug-in's places
 * (a process, a connection) and waits for a free one first, which its timeout does not count.
 */
#ifndef REWARD_PLUGIN_H
#define REWARD_PLUGIN_H

#include "reward/plugin_wire.h"

struct plugin_config {
    const char *const *argv; /* NULL-terminated; or NULL, and */
    const char *url;
    const char *options; /* a JSON object for the plug-in, or "" */
    double timeout_s;    /* of a group */
    int workers;         /* places */
    int retries;         /* of an HTTP request that may succeed the next time */
    struct wire_range range;
};

struct plugin;

/* Starts one program, or asks the server, and reads its hello; all strings are copied. On -1
 * (EX_UNAVAILABLE) *p is NULL. */
MUST_USE int plugin_open(struct plugin **p, const struct plugin_config *c, struct err *err);
/* Accepts NULL. */
void plugin_close(struct plugin *p);

/* Leaves out[g->n]. */
void plugin_score(struct plugin *p, const struct group *g, struct verdict *out);

/* "name/version" of its hello. */
const char *plugin_version(const struct plugin *p);
bool plugin_is_deterministic(const struct plugin *p);

#endif
