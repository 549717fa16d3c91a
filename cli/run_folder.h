/* cli/run_folder.h: the folder of a run: locked, made, replaced, or gone on with. */
#ifndef CLI_RUN_FOLDER_H
#define CLI_RUN_FOLDER_H

#include "cli/run.h"

/* Takes the lock that a writer of the folder holds, into *lock: a descriptor to be closed, also
 * on -1 where it is not 0. Somebody else has it: EX_TEMPFAIL. */
MUST_USE int run_folder_lock(const char *dir, int *lock, struct err *err);

/* Locks the folder if it is there, clears what a killed start left in it, and says whether it
 * holds a run to go on with: then r->db is open. Refuses what o->resume does not allow. */
MUST_USE int run_folder_look(struct run *r, const struct run_options *o, bool *there,
                             struct err *err);

/* A new run: the folder must hold none, unless that may be replaced. What fails after that
 * leaves nothing of this run behind. */
MUST_USE int run_folder_make(struct run *r, const struct run_options *o, struct err *err);

/* What run_folder_make would refuse before it makes anything; makes and removes nothing. */
MUST_USE int run_folder_could_make(const struct run *r, const struct run_options *o,
                                   struct err *err);

/* Records the tokens of a policy, which r->db has none of yet, in the caller's transaction. */
MUST_USE int run_folder_write_tokens(struct db *db, const struct tokenizer *tok, struct err *err);

/* Writes settings that were changed, and files that a kill left unwritten. */
MUST_USE int run_folder_continue(struct run *r, struct err *err);

/* The process that writes into a run's folder, as the kernel's list of locks has it; 0: none, or
 * the kernel does not tell. Takes no lock itself. */
long run_folder_holder(const char *dir);

#endif
