/* cli/reward_check.h: a plug-in tried against the rules of its interface, of each kind.
 *
 * Each test has a process (or a connection) of its own, so that one that goes wrong spoils no
 * other.
 */
#ifndef CLI_REWARD_CHECK_H
#define CLI_REWARD_CHECK_H

#include "reward/scorer.h"

struct reward_check_config {
    const char *plugin;          /* a shared object; or NULL, and */
    struct scorer_config scorer; /* its command or url; the rest is for all kinds */
    const char *columns;         /* a JSON object; NULL: a row of the check's own */
};

/* Prints a line a test. EX_OK; EX_UNAVAILABLE where it does not start, EX_SOFTWARE where it
 * fails a test. */
int reward_check(const struct reward_check_config *config);

#endif
