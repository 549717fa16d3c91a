/* cli/choice.h: what a grpo step takes where SQL chooses: problems of its set
 * (problems.where), or episodes of another run (replay.from, replay.where).
 *
 * The condition is asked of what is recorded, before each step the one and once at the start the
 * other; what it finds is visited in an order fixed by the seed. So a step that is made again
 * takes the same.
 */
#ifndef CLI_CHOICE_H
#define CLI_CHOICE_H

#include "cli/stage.h"

struct choice;

/* Sets r->choice, or leaves it NULL where the experiment asks for none. A source that does not
 * fit the policy (another vocabulary, other sampling) is refused. */
MUST_USE int choice_open(struct run *r, struct err *err);
void choice_close(struct choice *c);

/* n problems for the next step of stage i: indexes into r->train[i], in the step's arena. */
MUST_USE int choice_problems(struct run *r, int i, int n, int **index, struct err *err);

/* Fills h with the episodes of step stage_step of stage i. */
MUST_USE int choice_episodes(struct run *r, int i, int stage_step, struct harvest *h,
                             struct err *err);

/* The address of random numbers, weights and tokens that the episode was drawn with. */
void choice_keep_origin(struct db_episode *row, const struct db_episode *origin);

/* Inside the step's transaction: the query. */
MUST_USE int choice_record_query(struct run *r, int step, struct err *err);

#endif
