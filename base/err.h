/* base/err.h: how a failure of the outside world travels up to main.
 *
 * A function that can fail takes `struct err *err` last and returns 0 or -1. The
 * message says what was attempted, on what, and why: `open runs/a.db: Permission
 * denied`. Only main prints it and exits, with the code (sysexits.h) kept here.
 * Our own bugs do not come this way: they abort through CHECK.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <sysexits.h>

#define MUST_USE __attribute__((warn_unused_result))

struct err {
    int code; /* a sysexits.h code: EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_CONFIG ... */
    char msg[1024];
};

/* Fills *err with a formatted message and returns -1, so that `return err_set(...)`
 * reads well. A longer message is cut. */
int err_set(struct err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, with ": " and the text of errno appended. */
int err_errno(struct err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message that err already holds. Returns -1. */
int err_prefix(struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints place and text, then aborts. */
_Noreturn void err_bug(const char *file, int line, const char *text);

/* A condition that only a bug of ours can break. Never compiled out; no side
 * effects inside. */
#define CHECK(cond)                                                                      \
    do {                                                                                 \
        if (!(cond)) err_bug(__FILE__, __LINE__, #cond);                                 \
    } while (0)

#endif
