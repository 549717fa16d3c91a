/* reward/code_run.h: a program against a problem's tests. Inside reward/ only.
 *
 * A judge owns a sandbox; any number of threads may judge at once.
 */
#ifndef REWARD_CODE_RUN_H
#define REWARD_CODE_RUN_H

#include "reward/code_tests.h"
#include "reward/sandbox.h"
#include "reward/verdict.h"

enum code_compare { CODE_LINES, CODE_TOKENS, CODE_EXACT };

struct code_options {
    double timeout_s;          /* of a run; a list of calls is one run */
    double compile_timeout_s;
    long memory_mib;           /* address space of a process */
    bool partial;              /* the share of the tests, and none is left out */
    bool warm;                 /* Python from the warm interpreter */
    enum code_compare compare; /* of standard output */
    double tolerance;          /* CODE_TOKENS: of numbers, absolute or relative */
};

/* Where the program stands in n bytes of a completion. NULL: there is none, *why says. With
 * `fence` it must be in a fenced block; without, a text that has none is all program. */
const char *code_extract(const char *text, size_t n, bool fence, size_t *n_program,
                         const char **why);

/* Whether the output is as expected. */
bool code_output_is(const char *expected, const char *out, size_t n,
                    const struct code_options *o);

/* Runs the program (n bytes) against all tests, t->n > 0; fills *v. */
void code_judge(struct sandbox *sb, const struct code_tests *t, const char *program, size_t n,
                const struct code_options *o, struct verdict *v);

/* Whether the check holds; pieces of code_judge that need no process. `next` is the value
 * of the next check, NULL where there is none. */
bool code_check_holds(const struct code_check *c, const struct pyvalue *value,
                      const struct pyvalue *next);

#endif
