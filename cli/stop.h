/* cli/stop.h: SIGINT and SIGTERM ask a run to end; it looks when it can end without loss.
 *
 * The first signal is only noted. The second ends the process at once, which loses nothing
 * that was committed. One set of handlers a process.
 */
#ifndef CLI_STOP_H
#define CLI_STOP_H

/* Installs the handlers, once. */
void stop_watch_signals(void);

/* The signal that asked to end, 0: none yet. Any thread. */
int stop_signal(void);

#endif
