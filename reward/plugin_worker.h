/* reward/plugin_worker.h: the process around a shared object. Inside reward/ and for cli.
 *
 * Reads requests (reward/plugin_wire.h) from standard input and answers on standard output,
 * on one thread, until its input ends. Each result lies at the end of a page that is followed
 * by one that may not be touched, and behind bytes that are checked, so that a write past
 * either end is seen.
 *
 * Two ways to be harsher, for `hone reward check`. `strict`: what the plug-in only reads is
 * guarded too and may not be written, and it must leave signals, the locale of numbers and
 * host functions of the worker's thread alone. `grown`: every struct is longer than this
 * header's, as a later hone's would be.
 */
#ifndef REWARD_PLUGIN_WORKER_H
#define REWARD_PLUGIN_WORKER_H

#include <stdbool.h>

#include "base/err.h"

struct plugin_worker_config {
    const char *path, *version; /* of the shared object; of hone */
    bool strict, grown;
};

/* Takes standard input and output over. `strict` guards the texts that the plug-in reads too.
 * 0 when the input ended; on -1 the trainer has been told as well, where it could be. */
MUST_USE int plugin_worker_run(const struct plugin_worker_config *config, struct err *err);

#endif
