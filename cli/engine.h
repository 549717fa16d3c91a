/* cli/engine.h: a policy loaded and ready: kernels, weights, tokenizer, packed model.
 *
 * What `hone train`, `eval` and `sample` start from. Owned by the command; the parts may be
 * read from any thread between updates.
 */
#ifndef CLI_ENGINE_H
#define CLI_ENGINE_H

#include "policy/model.h"
#include "policy/tokenizer.h"
#include "rollout/rollout.h"

/* Rows that one thread decodes at a time, if there are as many (rollout.h). */
enum { ENGINE_MAX_BATCH = 128 };

struct engine {
    const struct kernels *k;
    int n_threads;
    struct weights w;
    struct tokenizer *tok;
    enum compute_dtype dtype; /* f32 unless engine_set_dtype says otherwise */
    bool recompute;           /* gradient_checkpointing */
    bool trains_only;         /* packs nothing for decoding where that costs memory */
    struct model m;           /* borrows w */
};

/* Picks the kernels ("auto" or a name) and starts the threads (0: one a processor). */
MUST_USE int engine_init(struct engine *e, const char *isa, int n_threads, struct err *err);

/* What to compute in: "f32", "bf16", or "auto": bf16 where the processor has its dot product.
 * Before loading. EX_CONFIG on -1, the option unnamed. */
MUST_USE int engine_set_dtype(struct engine *e, const char *name, struct err *err);

/* "f32" or "bf16", as recorded with a run. */
const char *engine_dtype_name(const struct engine *e);

/* Weights and tokenizer from a model folder; packs for decoding, for training too when
 * `trains`. On -1 engine_clear is still due. */
MUST_USE int engine_load(struct engine *e, const char *dir, bool trains, struct err *err);

/* Random weights of cfg (checked) from seed. Takes tok over. */
void engine_fresh(struct engine *e, const struct policy_config *cfg, struct tokenizer *tok,
                  uint64_t seed, bool trains);

void engine_clear(struct engine *e);

/* <bos> and the prompt's tokens into id[max]; -1 with EX_DATAERR when they do not fit or a
 * character is not in the vocabulary. Returns their number. */
MUST_USE int engine_encode_prompt(const struct engine *e, const char *prompt, int *id, int max,
                                  struct err *err);

/* The tokens of a teacher's completion and <eos>; as above. */
MUST_USE int engine_encode_completion(const struct engine *e, const char *text, int *id, int max,
                                      struct err *err);

/* Buffers for completions of up to max_completion tokens after prompts of up to max_prompt,
 * for at most n of them at a time; caller frees with rollout_free. */
struct rollout *engine_rollout(const struct engine *e, int max_prompt, int max_completion,
                               long n);

/* The longest prompt, in tokens, that leaves room for a completion. */
int engine_max_prompt(const struct engine *e, int max_completion);

/* The length of completions where nobody says one: 256, or half of a shorter model. */
int engine_default_completion(const struct engine *e);

#endif
