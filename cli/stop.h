/* cli/stop.h: SIGINT and SIGTERM ask a run to end; it looks when it can end without loss.
 *
 * The first signal is only noted. The second ends the process at once, which loses nothing
 * that was committed. One set of handlers a process.
 */
#ifndef CLI_STOP_H
#define CLI_STOP_H

/* Why a run ends before its last step. */
enum run_stop { RUN_GOES_ON, RUN_STOP_SIGNAL, RUN_STOP_MINUTES, RUN_STOP_STEPS, RUN_STOP_UNTIL };

struct run_limits {
    double max_minutes; /* of this start; 0: none */
    int max_steps;      /* made by this start; 0: none */
};

/* Installs the handlers, once. */
void stop_watch_signals(void);

/* The signal that asked to end, 0: none yet. Any thread. */
int stop_signal(void);

#endif
