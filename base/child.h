/* base/child.h: a program beside ours that answers lines with lines.
 *
 * It is started without a shell, in a process group of its own, with pipes as standard input
 * and output; its standard error is ours. When this process ends, however it ends, the
 * kernel kills the program. A struct child is used by one thread at a time. Whatever the
 * program does (dies, hangs, floods, stops reading), a call returns by its deadline.
 */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

enum { CHILD_MAX_ARGS = 64 };

struct child {
    pid_t pid;         /* 0: none runs */
    int to, from;      /* pipes, non-blocking */
    struct buf unread; /* bytes after the last line that was read */
};

enum child_status {
    CHILD_OK,
    CHILD_LATE,   /* the deadline passed */
    CHILD_CLOSED, /* it ended, or closed one of its ends */
    CHILD_LONG,   /* a line of more bytes than allowed */
};

/* Seconds of the monotonic clock, for deadlines. */
double child_now(void);

/* Starts argv[0] (looked up in PATH) with argv, NULL-terminated, of at most CHILD_MAX_ARGS.
 * On -1 (EX_UNAVAILABLE) nothing runs. */
MUST_USE int child_start(struct child *c, const char *const *argv, struct err *err);

/* Sends n bytes and a newline, and reads one line of at most max bytes into *line (emptied
 * first; without its newline). After anything but CHILD_OK, stop it. */
enum child_status child_ask(struct child *c, const char *text, size_t n, double deadline,
                            size_t max, struct buf *line);

/* Kills the program and its group, and says in how[n] how it had ended by itself ("killed by
 * signal 11 (Segmentation fault)", "exit status 3"), or "" where it had not. Harmless where
 * none runs. */
void child_stop(struct child *c, char *how, size_t n);

#endif
