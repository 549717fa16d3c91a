/* reward/scorer.h: one entry of an experiment's list of rewards, opened for a run.
 *
 * A scorer takes a group of completions and leaves a verdict for each. It is a built-in
 * checker with its options, or a plug-in: a shared object (reward/hone_reward.h), a program
 * or a server (docs/rewards.md). Any number of threads may score with it at once; a scorer that
 * has only so many places makes the others wait.
 */
#ifndef REWARD_SCORER_H
#define REWARD_SCORER_H

#include "reward/checker.h"

struct scorer_config {
    const char *name; /* what verdicts are recorded under */
    /* One of the four; the others are NULL or "". */
    const char *checker; /* built-in */
    const char *plugin;  /* path of a shared object */
    const char *command; /* a JSON array of strings: program and arguments */
    const char *url;     /* http or https */
    const char *options; /* a JSON object; NULL or "": standard */
    /* of plug-ins: */
    double timeout_s, min_value, max_value;
    int workers, retries;
    const char *program; /* the hone that plays the worker; NULL: this one */
    const char *sandbox; /* layers of a sandbox, as sandbox_parse_layers reads them; NULL or
                          * "": standard */
};

struct scorer;

/* Checks the configuration alone: starts and opens nothing. */
MUST_USE int scorer_check(const struct scorer_config *c, struct err *err);

/* As checker_is_shaping and checker_needs_answer, of a configuration that was checked. */
bool scorer_is_shaping(const struct scorer_config *c);
bool scorer_needs_answer(const struct scorer_config *c);

/* Starts the plug-in, if it is one. On -1 *s is NULL. Caller frees with scorer_close, which accepts NULL. */
MUST_USE int scorer_open(struct scorer **s, const struct scorer_config *c, struct err *err);
void scorer_close(struct scorer *s);

/* Whether it judges by the problem's row alone (`code`), and needs no gold. */
bool scorer_reads_rows(const struct scorer *s);

/* Of such a scorer: what is wrong with a row, EX_DATAERR or EX_UNAVAILABLE. Others: 0. */
MUST_USE int scorer_check_row(const struct scorer *s, const char *columns, struct err *err);

/* Leaves out[g->n], each with its milliseconds (a share of the call's, where the whole
 * group was one call). Never fails: what goes wrong is a status. */
void scorer_score(struct scorer *s, const struct group *g, struct verdict *out);

const char *scorer_name(const struct scorer *s);

/* As recorded; see checker_version. Never NULL. */
const char *scorer_version(const struct scorer *s, const char *kind);

/* Whether the same input would give the same verdict again. */
bool scorer_is_deterministic(const struct scorer *s);

#endif
