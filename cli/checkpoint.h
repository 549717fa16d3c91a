/* cli/checkpoint.h: a run's weights and optimizer as a folder, whole or absent. */
#ifndef CLI_CHECKPOINT_H
#define CLI_CHECKPOINT_H

#include "policy/tokenizer.h"
#include "policy/weights.h"
#include "rl/optimizer.h"

/* Writes DIR/checkpoints/step-N (a model folder plus optimizer.safetensors) under another
 * name and renames it; then removes the oldest beyond `keep` (0: keeps all). */
MUST_USE int checkpoint_save(const char *dir, int step, const struct weights *w,
                             const struct tokenizer *tok, const struct optimizer *o, int keep,
                             struct err *err);

/* Removes a folder and all in it. */
MUST_USE int checkpoint_remove_tree(const char *path, struct err *err);

#endif
