/* policy/folder.h: a policy as a Hugging Face model folder, read and written.
 *
 * config.json, model.safetensors (or shards with model.safetensors.index.json),
 * tokenizer.json, tokenizer_config.json, generation_config.json. What is written loads in
 * transformers; every file is complete or absent.
 */
#ifndef POLICY_FOLDER_H
#define POLICY_FOLDER_H

#include "base/err.h"
#include "policy/tokenizer.h"
#include "policy/weights.h"

/* Reads config.json and the tensors (F32, BF16 or F16 on disk; fused or per-expert expert
 * names) into *w, which the caller ends with weights_clear. Each tensor must be there
 * once with its shape; what is missing, surplus or of another shape is named: EX_DATAERR.
 * Surplus tensors that transformers leaves out too are left out: layers for multi-token
 * prediction, empty ones, the copy of a tied head. On -1 *w is empty. */
MUST_USE int folder_load_weights(struct weights *w, const char *dir, struct err *err);

/* As above for tokenizer.json. Checks that ids fit cfg->vocab_size. On -1 *tok is NULL. */
MUST_USE int folder_load_tokenizer(struct tokenizer **tok, const char *dir,
                                   const struct policy_config *cfg, struct err *err);

/* Writes all five files into dir, made when absent; config.json comes last. A tied head is
 * stored once. config.json gets the special ids of tok. With tok NULL only the weights and
 * config.json are written. */
MUST_USE int folder_save(const struct weights *w, const struct tokenizer *tok,
                         const char *dir, struct err *err);

#endif
