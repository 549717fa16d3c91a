/* cli/stop.c: see stop.h. */
#include "cli/stop.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t asked;

/* _exit: what is not committed is rolled back by SQLite at the next opening. */
static void on_signal(int sig) {
    static const char text[] = "hone: stopped at once; what was committed is there\n";
    if (!asked) {
        asked = sig;
        return;
    }
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
    _exit(128 + sig);
}

void stop_watch_signals(void) {
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

int stop_signal(void) { return asked; }
