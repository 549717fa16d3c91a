/* reward/problem.h: where prompts come from: generated, or read from a file.
 *
 * A set is opened from a SPEC: `countdown:numbers=3,split=test,n=500` (a kind with
 * parameters) or `countdown:FILE`, `gsm8k:FILE`, `jsonl:FILE` (JSON lines);
 * docs/problems.md has the grammar. Generated sets are endless unless n is given
 * (split=test: n=500), and then hold no problem twice; problem i is a pure function of
 * (seed, parameters, split, i). Splits are disjoint by construction: a problem belongs to
 * `test` or `train` by a hash of its canonical form, and a generator only keeps what
 * belongs to its split. A kind's generator, teacher and checker stand side by side in
 * reward/<kind>.c. An open set is immutable and may be read from any thread.
 */
#ifndef REWARD_PROBLEM_H
#define REWARD_PROBLEM_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "reward/verdict.h"

struct problem {
    const char *kind;   /* "countdown" */
    const char *key;    /* canonical form, one a problem: "19,35,44=>98" */
    const char *prompt; /* UTF-8, what the policy sees */
    const char *gold;   /* the reference the checker compares with; never shown */
    const char *trace;  /* the teacher's completion; NULL where there is none */
    const char *columns; /* the file's row as one JSON object, for checkers and plug-ins;
                          * "{}" for a generator */
};

struct problem_set;

/* `seed` feeds generators only. Caller frees with problem_set_close. On -1 *set is NULL;
 * unknown kind or parameter: EX_CONFIG with the nearest valid one; missing file:
 * EX_NOINPUT; a bad line: EX_DATAERR with file and line number; no problem at all:
 * EX_DATAERR. */
MUST_USE int problem_set_open(struct problem_set **set, const char *spec, uint64_t seed,
                              struct err *err);
void problem_set_close(struct problem_set *set);

/* How many there are; INT_MAX for an endless generator. */
int problem_set_size(const struct problem_set *set);

/* The spec with every parameter written out, as recorded with the run. */
const char *problem_set_spec(const struct problem_set *set);

/* "train", "test" or (files only) "all". */
const char *problem_set_split(const struct problem_set *set);

/* The checker of its answers: "answer", or the one that its kind needs. */
const char *problem_set_checker(const struct problem_set *set);

/* Every character that prompts, traces and sensible answers of this set use (UTF-8). */
const char *problem_set_alphabet(const struct problem_set *set);

/* Problem i, 0 <= i < size. Its strings live in the arena. */
void problem_set_get(const struct problem_set *set, int i, struct arena *arena,
                     struct problem *out);

/* For `hone help problems`: kind k's name, parameters and one line; NULL past the last.
 */
const char *problem_kind_name(int k);
const char *problem_kind_help(int k);

#endif
