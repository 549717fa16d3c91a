/* reward/checker.h: text in, verdict out.
 *
 * A checker is looked up by name. `answer` is the problem kind's own checker (countdown's
 * expression grammar, gsm8k's number, ...); `format` looks at the tags only; `partial` is
 * the share of the gold's words or characters that stand in their place. Every
 * checker parses with a closed grammar and a work budget, runs no code, raises no signal,
 * and may be called from any thread.
 */
#ifndef REWARD_CHECKER_H
#define REWARD_CHECKER_H

#include <stddef.h>

#include "base/err.h"
#include "reward/problem.h"
#include "reward/verdict.h"

struct checker; /* static, never freed */

/* By name: `answer`, `format` or `partial`; EX_CONFIG with the nearest valid name on -1. */
MUST_USE int checker_find(const struct checker **c, const char *name, struct err *err);

const char *checker_name(const struct checker *c);

/* Of the checker as applied to this kind: "countdown/1". Changes whenever any verdict
 * could. NULL where `answer` knows no such kind. */
const char *checker_version(const struct checker *c, const char *kind);

/* Scores one completion (n bytes, hostile, perhaps no UTF-8, perhaps with NULs). */
void checker_score(const struct checker *c, const struct problem *p,
                   const char *completion, size_t n, struct verdict *out);

/* The text of the one <answer>...</answer> after the last </think>, trimmed; borrowed
 * from completion. NULL where there are none or several of either tag after it, where
 * they are out of order, or where a <think> is still open. A text without </think> is all
 * looked at.
 */
const char *checker_answer_span(const char *completion, size_t n, size_t *n_answer);

/* Name number i, NULL past the last. */
const char *checker_name_at(int i);

#endif
