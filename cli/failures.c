/* cli/failures.c: see failures.h. */
#include "cli/failures.h"

#include "base/err.h"

static void drop_first(struct failure_window *w) {
    w->n -= w->step[w->first].n;
    w->failed -= w->step[w->first].failed;
    w->first = (w->first + 1) % FAILURE_WINDOW;
    w->n_steps--;
}

void failure_window_push(struct failure_window *w, int n, int failed) {
    CHECK(n > 0 && failed >= 0 && failed <= n);
    while (w->n_steps > 0 && w->n + n - w->step[w->first].n >= FAILURE_WINDOW) drop_first(w);
    int at = (w->first + w->n_steps++) % FAILURE_WINDOW;
    w->step[at].n = n;
    w->step[at].failed = failed;
    w->n += n;
    w->failed += failed;
}

bool failure_window_over(const struct failure_window *w, double max_rate) {
    double n = w->n > FAILURE_WINDOW ? (double)w->n : FAILURE_WINDOW;
    return (double)w->failed > max_rate * n;
}
