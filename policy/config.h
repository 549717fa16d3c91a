/* policy/config.h: the architecture of a policy, as its config.json says it.
 *
 * DeepSeek-V3 (arXiv 2412.19437): `model_type: deepseek_v3`; Llama with grouped queries
 * (arXiv 2307.09288): `model_type: llama`. Field names are the keys of the Hugging Face
 * file; defaults are those of transformers' DeepseekV3Config and LlamaConfig. Plain
 * values, freely copied, immutable once read.
 */
#ifndef POLICY_CONFIG_H
#define POLICY_CONFIG_H

#include <stdbool.h>

#include "base/err.h"
#include "base/buf.h"

struct cJSON;

/* rope_scaling / rope_parameters of type yarn (arXiv 2309.00071). */
struct policy_yarn {
    bool on;
    double factor, beta_fast, beta_slow, mscale, mscale_all_dim;
    double attention_factor; /* 0: derived from mscale and mscale_all_dim */
    int original_max_position_embeddings;
    bool truncate; /* floor and ceil the correction range; true by default */
};

enum policy_arch { POLICY_DEEPSEEK_V3, POLICY_LLAMA };

/* A Llama policy has values in all fields, so that shared code need not ask: every layer
 * dense (first_k_dense_replace = num_hidden_layers), no experts (n_routed_experts,
 * n_shared_experts, num_experts_per_tok and moe_intermediate_size 0), no latents
 * (q_lora_rank, kv_lora_rank and qk_nope_head_dim 0), the whole head rotated by halves
 * (qk_rope_head_dim = v_head_dim = head_dim, rope_interleave false). */
struct policy_config {
    enum policy_arch arch;
    int vocab_size, hidden_size, intermediate_size, moe_intermediate_size;
    int num_hidden_layers, num_attention_heads;
    int num_key_value_heads; /* deepseek_v3: = num_attention_heads */
    int head_dim;            /* deepseek_v3: = qk_rope_head_dim */
    int q_lora_rank; /* 0: null, a plain q_proj */
    int kv_lora_rank, qk_rope_head_dim, qk_nope_head_dim, v_head_dim;
    int n_routed_experts, n_shared_experts, num_experts_per_tok;
    int n_group, topk_group, first_k_dense_replace;
    bool norm_topk_prob, tie_word_embeddings, rope_interleave;
    double routed_scaling_factor, rms_norm_eps, initializer_range, rope_theta;
    int max_position_embeddings;
    struct policy_yarn yarn;
    int bos_token_id, eos_token_id, pad_token_id; /* -1: null */
};

/* The published defaults (vocab 129280, 61 layers, ...). */
struct policy_config policy_config_default(void);

/* LlamaConfig's. num_key_value_heads and head_dim are 0, null in the file: give them
 * values or not, then call policy_config_derive. */
struct policy_config policy_config_default_llama(void);

/* Fills what follows from other fields; for who sets fields by hand. A config that was
 * parsed has it done. Twice is as good as once. */
void policy_config_derive(struct policy_config *cfg);

/* Reads the object `json` over the defaults of its model_type, deepseek_v3 where it has
 * none. `where` names it in messages ("models/a/config.json", "quickstart.json:
 * model.config"). Both dialects are read (rope_theta + rope_scaling, and
 * rope_parameters). Keys that cannot change a forward pass are ignored as transformers
 * ignores them; a key that asks for something that is not built (attention_bias true,
 * hidden_act other than silu, scoring_func other than sigmoid, ...) is refused by name.
 * With `strict`, any other unknown key is refused too, with the nearest valid key. EX_DATAERR or EX_CONFIG on -1. */
MUST_USE int policy_config_parse(struct policy_config *cfg, const struct cJSON *json,
                                 const char *where, bool strict, struct err *err);

/* Reads DIR/config.json. */
MUST_USE int policy_config_load(struct policy_config *cfg, const char *dir,
                                struct err *err);

/* Ranges and divisibility: sizes > 0, n_group divides n_routed_experts, topk fits in the
 * kept groups, qk_rope_head_dim even, ... One sentence with the key. A Llama config must
 * have been derived. */
MUST_USE int policy_config_check(const struct policy_config *cfg, const char *where,
                                 struct err *err);

/* The config.json that transformers loads: architectures [DeepseekV3ForCausalLM] or
 * [LlamaForCausalLM], model_type, torch_dtype float32, and the keys of that type. */
void policy_config_print(const struct policy_config *cfg, struct buf *out);

#endif
