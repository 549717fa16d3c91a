/* tests/sandbox_fixture.h: one sandbox a test program, and Python sources run in it. */
#ifndef TESTS_SANDBOX_FIXTURE_H
#define TESTS_SANDBOX_FIXTURE_H

#include "reward/sandbox.h"

/* Made on first use with the program named by HONE; skips the test, with the reason, where
 * this machine cannot have one. */
struct sandbox *fixture_sandbox(void);
void fixture_sandbox_close(void);

/* Runs source as a script, cold (SANDBOX_EXEC) or warm. The sandbox must not fail. */
void fixture_python(enum sandbox_kind kind, const char *source, const char *input,
                    int wall_ms, struct sandbox_result *res);

/* Whether any process of this machine has `word` in its command line. */
bool fixture_process_alive(const char *word);

#endif
