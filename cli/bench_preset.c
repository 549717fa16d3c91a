/* cli/bench_preset.c: the models that `hone bench` measures. */
#include <string.h>

#include "base/json.h"
#include "base/nearest.h"
#include "cli/bench.h"

const char *const bench_presets[] = {"tiny-moe", "moe-30m", "llama-135m", NULL};

/* config.json of each, in the order of the names. tiny-moe is the quickstart's policy with
 * more positions; llama-135m has SmolLM2-135M's shape. */
static const char *const configs[] = {
    "{\"model_type\": \"deepseek_v3\", \"vocab_size\": 46, \"hidden_size\": 96,"
    " \"intermediate_size\": 192, \"moe_intermediate_size\": 64, \"num_hidden_layers\": 3,"
    " \"num_attention_heads\": 3, \"q_lora_rank\": null, \"kv_lora_rank\": 32,"
    " \"qk_nope_head_dim\": 32, \"qk_rope_head_dim\": 16, \"v_head_dim\": 32,"
    " \"n_routed_experts\": 8, \"n_shared_experts\": 1, \"num_experts_per_tok\": 2,"
    " \"n_group\": 1, \"topk_group\": 1, \"first_k_dense_replace\": 1,"
    " \"routed_scaling_factor\": 1.0, \"max_position_embeddings\": 1024,"
    " \"rms_norm_eps\": 1e-5, \"initializer_range\": 0.05, \"rope_theta\": 1000,"
    " \"tie_word_embeddings\": false}",
    "{\"model_type\": \"deepseek_v3\", \"vocab_size\": 8192, \"hidden_size\": 384,"
    " \"intermediate_size\": 1024, \"moe_intermediate_size\": 96, \"num_hidden_layers\": 8,"
    " \"num_attention_heads\": 6, \"q_lora_rank\": null, \"kv_lora_rank\": 64,"
    " \"qk_nope_head_dim\": 48, \"qk_rope_head_dim\": 16, \"v_head_dim\": 64,"
    " \"n_routed_experts\": 32, \"n_shared_experts\": 1, \"num_experts_per_tok\": 4,"
    " \"n_group\": 1, \"topk_group\": 1, \"first_k_dense_replace\": 1,"
    " \"routed_scaling_factor\": 2.5, \"max_position_embeddings\": 2048,"
    " \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000, \"tie_word_embeddings\": true}",
    "{\"model_type\": \"llama\", \"vocab_size\": 49152, \"hidden_size\": 576,"
    " \"intermediate_size\": 1536, \"num_hidden_layers\": 30, \"num_attention_heads\": 9,"
    " \"num_key_value_heads\": 3, \"head_dim\": 64, \"max_position_embeddings\": 2048,"
    " \"rms_norm_eps\": 1e-5, \"rope_theta\": 100000, \"tie_word_embeddings\": true}",
};

/* A tokenizer without <eos>: a completion ends where its length is reached. */
static const char no_eos[] = "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}},"
                             " \"decoder\": {\"type\": \"Fuse\"}}";

static int find_preset(const char *name, struct err *err) {
    char hint[NEAREST_HINT_BYTES];
    int n = 0;
    for (; bench_presets[n]; n++)
        if (strcmp(bench_presets[n], name) == 0) return n;
    nearest_hint(hint, name, bench_presets, n);
    return err_set(err, EX_USAGE, "--preset: no such preset '%s'%s", name, hint);
}

static int read_config(struct bench *b, struct policy_config *cfg, struct err *err) {
    cJSON *json = NULL;
    int rc = 0, preset = b->o.config ? -1 : find_preset(b->o.preset, err);
    if (!b->o.config && preset < 0) return -1;
    b->name = b->o.config ? b->o.config : b->o.preset;
    if (b->o.config)
        rc = json_load(&json, b->o.config, 1 << 20, err);
    else
        rc = json_parse(&json, configs[preset], strlen(configs[preset]), b->name, 1, err);
    if (rc == 0) rc = policy_config_parse(cfg, json, b->name, false, err);
    if (rc == 0) rc = policy_config_check(cfg, b->name, err);
    json_free(json);
    return rc;
}

/* Both jobs' positions must exist. */
static int check_lengths(const struct bench *b, struct err *err) {
    int max = b->e.m.max_pos;
    if (b->o.seq > max)
        return err_set(err, EX_USAGE, "--seq %d: %s has %d positions", b->o.seq, b->name, max);
    if (b->o.prompt + b->o.tokens > max)
        return err_set(err, EX_USAGE, "--prompt %d and --tokens %d: %s has %d positions",
                       b->o.prompt, b->o.tokens, b->name, max);
    return 0;
}

int bench_load(struct bench *b, struct err *err) {
    struct tokenizer *tok;
    struct policy_config cfg;
    if (engine_set_dtype(&b->e, b->o.dtype, err) != 0) return -1;
    b->e.trains_only = strcmp(b->o.job, "train") == 0;
    if (!b->o.model && read_config(b, &cfg, err) != 0) return -1;
    if (tokenizer_parse(&tok, no_eos, "hone bench", err) != 0) return -1;
    if (b->o.model) {
        b->name = b->o.model;
        int rc = engine_load(&b->e, b->o.model, true, err);
        tokenizer_free(b->e.tok);
        b->e.tok = tok;
        if (rc != 0) return -1;
    } else {
        engine_fresh(&b->e, &cfg, tok, 1, true);
    }
    return check_lengths(b, err);
}
