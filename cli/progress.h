/* cli/progress.h: what a person sees while a run goes on.
 *
 * On a terminal one line is rewritten; elsewhere (cron, a pipe) plain lines come, one at
 * the start, one at the end and at most one every few seconds between.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdio.h>

struct progress {
    FILE *out;
    bool tty;
    double start, last; /* seconds */
    int first_step;     /* done when the clock started */
    bool open;          /* an unfinished line stands on the terminal */
};

/* Starts the clock of one stage. */
void progress_start(struct progress *p, FILE *out);

/* Shows "name step/max  text  eta m:ss"; `force` shows it whatever the clock says. */
void progress_show(struct progress *p, const char *name, int step, int max, bool force,
                   const char *text);

/* A whole line of its own, above the live one. */
void progress_note(struct progress *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Ends the live line. */
void progress_end(struct progress *p);

/* Monotonic seconds. */
double progress_now(void);

#endif
