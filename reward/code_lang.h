/* reward/code_lang.h: the languages that programs are judged in.
 *
 * A language is on this machine when its programs are. Any thread.
 */
#ifndef REWARD_CODE_LANG_H
#define REWARD_CODE_LANG_H

#include <stdbool.h>

#include "base/err.h"

struct code_lang {
    const char *name;           /* "python3" */
    const char *also;           /* other names: "|python|py|" */
    const char *file;           /* what its source is called in the sandbox */
    const char *compile;        /* a shell line that leaves ./program; NULL: none */
    const char *const *command; /* NULL-terminated; the interpreter first */
    const char *const *paths;   /* NULL-terminated: any of them is it */
    bool wide_addresses;
};

/* Number i, NULL past the last. */
const struct code_lang *code_lang_at(int i);

/* The program that compiles or runs it, NULL where it is not on this machine. */
const char *code_lang_path(const struct code_lang *l);

/* By name. EX_DATAERR: unknown, with the nearest, or not on this machine. */
MUST_USE int code_lang_find(const struct code_lang **l, const char *name, struct err *err);

#endif
