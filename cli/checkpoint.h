/* cli/checkpoint.h: a run's weights and optimizer as a folder, whole or absent. */
#ifndef CLI_CHECKPOINT_H
#define CLI_CHECKPOINT_H

#include "policy/tokenizer.h"
#include "policy/weights.h"
#include "rl/optimizer.h"

/* Writes DIR/checkpoints/step-N, a model folder, plus optimizer.safetensors unless o is NULL:
 * under another name, read back and compared, then renamed. One that is there and holds the
 * same is left alone; another one of that step goes last. */
MUST_USE int checkpoint_save(const char *dir, int step, const struct weights *w,
                             const struct tokenizer *tok, const struct optimizer *o,
                             struct err *err);

/* Removes what is beyond the newest keep_last (0: nothing), but not the start (step 0), not
 * those of every keep_every-th step (0: none), and not the one of step `needed`. */
MUST_USE int checkpoint_prune(const char *dir, int keep_last, int keep_every, int needed,
                              struct err *err);

/* The steps that DIR has checkpoints of, newest first, into step[max]; returns how many. */
int checkpoint_list(const char *dir, int *step, int max);

/* Reads the weights of DIR/checkpoints/step-N into the slab of w, and the optimizer's state
 * into o unless that is NULL; both laid out already. `hash` is what the weights must have. On
 * -1 (a file is missing, cut short or changed) w and o are as they were. */
MUST_USE int checkpoint_load(const char *dir, int step, uint64_t hash, const struct weights *w,
                             struct optimizer *o, struct err *err);

/* DIR/checkpoints/step-N into path[n]. */
MUST_USE int checkpoint_path(char *path, size_t n, const char *dir, int step, struct err *err);

/* Removes a folder and all in it. */
MUST_USE int checkpoint_remove_tree(const char *path, struct err *err);

#endif
