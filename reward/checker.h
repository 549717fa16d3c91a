/* reward/checker.h: text in, verdict out.
 *
 * A checker is looked up by name. `answer` is the problem kind's own checker (countdown's
 * expression grammar, gsm8k's number, ...); `partial` is the share of the gold's words or
 * characters that stand in their place; `math` compares with the gold as mathematics, for
 * any kind (reward/math.h); the shaping checkers (`format`, `length`, ...) judge how a
 * completion is written, not whether it is right. Every checker parses with a closed
 * grammar and a work budget, runs no code, raises no signal, and may be called from any
 * thread. What an experiment lists as a reward is a scorer (reward/scorer.h): a checker
 * with its options, or a plug-in.
 */
#ifndef REWARD_CHECKER_H
#define REWARD_CHECKER_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "reward/problem.h"
#include "reward/verdict.h"

struct checker; /* static, never freed */

/* One completion of a group; borrowed. */
struct completion {
    const char *text; /* [n_text] hostile: perhaps no UTF-8, perhaps with NULs */
    size_t n_text;
    const int *id; /* [n_id] its tokens; NULL where there are none */
    int n_id;
};

/* What is scored in one call: all completions of one prompt. */
struct group {
    const struct problem *problem;
    const struct completion *completion; /* [n] */
    int n;
    int max_tokens;               /* a completion's limit; 0: not known */
    const struct verdict *answer; /* [n] what the answer's checker said; NULL: not known */
    int step, max_steps; /* of the stage: steps that are done, and in all; 0 and 0: not known */
};

/* By name; EX_CONFIG with the nearest valid name on -1. */
MUST_USE int checker_find(const struct checker **c, const char *name, struct err *err);

const char *checker_name(const struct checker *c);

/* Of the checker as applied to this kind: "countdown/1". Changes whenever any verdict
 * could. NULL where `answer` knows no such kind. */
const char *checker_version(const struct checker *c, const char *kind);

/* Whether it judges how a completion is written, and so is never taken for the answer. */
bool checker_is_shaping(const struct checker *c);

/* Whether its score depends on the answer's verdict (length, cosine). */
bool checker_needs_answer(const struct checker *c);

/* Scores one completion (n bytes, hostile) with the checker's standard options. */
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

/* What `hone help config` says of checker number i and its options, a line each. */
void checker_print_help(int i, struct buf *out);

#endif
