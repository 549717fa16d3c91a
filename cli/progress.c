/* cli/progress.c: see progress.h. */
#include "cli/progress.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#define TTY_EVERY 0.1
#define PLAIN_EVERY 5.0

double progress_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void progress_start(struct progress *p, FILE *out) {
    *p = (struct progress){.out = out, .tty = isatty(fileno(out)) != 0,
                           .start = progress_now()};
}

static void clock_text(double s, char *out, size_t n) {
    long t = s < 0 || s > 1e7 ? 0 : (long)(s + 0.5);
    if (t >= 3600)
        snprintf(out, n, "%ld:%02ld:%02ld", t / 3600, t / 60 % 60, t % 60);
    else
        snprintf(out, n, "%ld:%02ld", t / 60, t % 60);
}

void progress_show(struct progress *p, const char *name, int step, int max, bool force,
                   const char *text) {
    double now = progress_now();
    bool due = p->last == 0 || now - p->last >= (p->tty ? TTY_EVERY : PLAIN_EVERY);
    if (!due && !force) return;
    char eta[32];
    double each = step > 0 ? (now - p->start) / step : 0;
    clock_text(each * (max - step), eta, sizeof eta);
    fprintf(p->out, "%s%-6s %4d/%d  %s  eta %s%s", p->tty ? "\r\033[K" : "", name, step, max,
            text, eta, p->tty ? "" : "\n");
    fflush(p->out);
    p->open = p->tty;
    p->last = now;
}

void progress_end(struct progress *p) {
    if (p->open) fputc('\n', p->out);
    p->open = false;
    fflush(p->out);
}

void progress_note(struct progress *p, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    if (p->open) fputs("\r\033[K", p->out);
    p->open = false;
    vfprintf(p->out, fmt, args);
    fputc('\n', p->out);
    fflush(p->out);
    va_end(args);
}
