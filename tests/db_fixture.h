/* tests/db_fixture.h: a run of three steps, small enough to check its views by hand.
 *
 * Step 1 is supervised. Step 2 has two groups of two: rewards 1, 0 and 0.1, 0.1 (its
 * second checker timed out). Step 3 visits the second problem again; its update was
 * refused.
 */
#ifndef TESTS_DB_FIXTURE_H
#define TESTS_DB_FIXTURE_H

#include "db/db.h"

/* A fresh folder under /tmp into out, and its removal with all files in it. */
void fixture_folder(char out[64]);
void fixture_remove(const char *folder);

/* Creates path and records the run, up to n_steps of its steps (0 to 3). On any failure
 * the test fails. The caller closes the database. */
struct db *fixture_run(const char *path, int n_steps);

/* Steps one at a time: the first transaction up to, not including, its commit. */
void fixture_sample(struct db *db, int step);
void fixture_finish(struct db *db, int step);

#endif
