/* policy/config.c: see config.h. */
#include "policy/config.h"

#include <float.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

static const struct policy_yarn YARN_OFF = {
    .factor = 1, .beta_fast = 32, .beta_slow = 1, .truncate = true};

struct policy_config policy_config_default(void) {
    struct policy_config cfg = {
        .arch = POLICY_DEEPSEEK_V3,
        .vocab_size = 129280,
        .hidden_size = 7168,
        .intermediate_size = 18432,
        .moe_intermediate_size = 2048,
        .num_hidden_layers = 61,
        .num_attention_heads = 128,
        .q_lora_rank = 1536,
        .kv_lora_rank = 512,
        .qk_rope_head_dim = 64,
        .qk_nope_head_dim = 128,
        .v_head_dim = 128,
        .n_routed_experts = 256,
        .n_shared_experts = 1,
        .num_experts_per_tok = 8,
        .n_group = 8,
        .topk_group = 4,
        .first_k_dense_replace = 3,
        .norm_topk_prob = true,
        .tie_word_embeddings = false,
        .rope_interleave = true,
        .routed_scaling_factor = 2.5,
        .rms_norm_eps = 1e-6,
        .initializer_range = 0.02,
        .rope_theta = 10000,
        .max_position_embeddings = 4096,
        .yarn = YARN_OFF,
        .bos_token_id = 0,
        .eos_token_id = 1,
        .pad_token_id = -1,
    };
    policy_config_derive(&cfg);
    return cfg;
}

struct policy_config policy_config_default_llama(void) {
    return (struct policy_config){
        .arch = POLICY_LLAMA,
        .vocab_size = 32000,
        .hidden_size = 4096,
        .intermediate_size = 11008,
        .num_hidden_layers = 32,
        .num_attention_heads = 32,
        .tie_word_embeddings = false,
        .rms_norm_eps = 1e-6,
        .initializer_range = 0.02,
        .rope_theta = 10000,
        .max_position_embeddings = 2048,
        .yarn = YARN_OFF,
        .bos_token_id = 1,
        .eos_token_id = 2,
        .pad_token_id = -1,
    };
}

/* What code shared by both reads of a policy without latents and experts. */
static void derive_llama(struct policy_config *c) {
    c->qk_rope_head_dim = c->v_head_dim = c->head_dim;
    c->qk_nope_head_dim = c->q_lora_rank = c->kv_lora_rank = 0;
    c->rope_interleave = false;
    c->first_k_dense_replace = c->num_hidden_layers;
    c->n_routed_experts = c->n_shared_experts = c->num_experts_per_tok = 0;
    c->moe_intermediate_size = 0;
    c->n_group = c->topk_group = 1;
    c->norm_topk_prob = false;
    c->routed_scaling_factor = 1;
}

void policy_config_derive(struct policy_config *cfg) {
    if (cfg->arch == POLICY_DEEPSEEK_V3) {
        cfg->num_key_value_heads = cfg->num_attention_heads;
        cfg->head_dim = cfg->qk_rope_head_dim;
        return;
    }
    if (cfg->num_key_value_heads == 0)
        cfg->num_key_value_heads = cfg->num_attention_heads;
    if (cfg->head_dim == 0 && cfg->num_attention_heads > 0)
        cfg->head_dim = cfg->hidden_size / cfg->num_attention_heads;
    derive_llama(cfg);
}

/* ---- config.json ---- */

/* Which architectures know a key. */
enum { V3 = 1 << POLICY_DEEPSEEK_V3, LLAMA = 1 << POLICY_LLAMA, BOTH = V3 | LLAMA };

static const struct {
    const char *model_type, *class;
} ARCH[] = {
    [POLICY_DEEPSEEK_V3] = {"deepseek_v3", "DeepseekV3ForCausalLM"},
    [POLICY_LLAMA] = {"llama", "LlamaForCausalLM"},
};

static bool knows(const struct policy_config *cfg, int archs) {
    return (archs >> cfg->arch & 1) != 0;
}

/* Where the value of a key goes. */
struct slot {
    const char *key;
    size_t offset;
    int archs;
    bool nullable;
    double null_value;
};

#define AT(field) offsetof(struct policy_config, field)

static const struct slot INTS[] = {
    {"vocab_size", AT(vocab_size), BOTH, false, 0},
    {"hidden_size", AT(hidden_size), BOTH, false, 0},
    {"intermediate_size", AT(intermediate_size), BOTH, false, 0},
    {"moe_intermediate_size", AT(moe_intermediate_size), V3, false, 0},
    {"num_hidden_layers", AT(num_hidden_layers), BOTH, false, 0},
    {"num_attention_heads", AT(num_attention_heads), BOTH, false, 0},
    {"num_key_value_heads", AT(num_key_value_heads), LLAMA, true, 0},
    {"head_dim", AT(head_dim), LLAMA, true, 0},
    {"q_lora_rank", AT(q_lora_rank), V3, true, 0},
    {"kv_lora_rank", AT(kv_lora_rank), V3, false, 0},
    {"qk_rope_head_dim", AT(qk_rope_head_dim), V3, false, 0},
    {"qk_nope_head_dim", AT(qk_nope_head_dim), V3, false, 0},
    {"v_head_dim", AT(v_head_dim), V3, false, 0},
    {"n_routed_experts", AT(n_routed_experts), V3, false, 0},
    {"num_local_experts", AT(n_routed_experts), V3, false, 0}, /* the same, elsewhere */
    {"n_shared_experts", AT(n_shared_experts), V3, true, 0},
    {"num_experts_per_tok", AT(num_experts_per_tok), V3, false, 0},
    {"n_group", AT(n_group), V3, true, 1},
    {"topk_group", AT(topk_group), V3, true, 1},
    {"first_k_dense_replace", AT(first_k_dense_replace), V3, false, 0},
    {"max_position_embeddings", AT(max_position_embeddings), BOTH, false, 0},
    {"bos_token_id", AT(bos_token_id), BOTH, true, -1},
    {"eos_token_id", AT(eos_token_id), BOTH, true, -1},
    {"pad_token_id", AT(pad_token_id), BOTH, true, -1},
};

static const struct slot BOOLS[] = {
    {"norm_topk_prob", AT(norm_topk_prob), V3, true, 0},
    {"tie_word_embeddings", AT(tie_word_embeddings), BOTH, false, 0},
    {"rope_interleave", AT(rope_interleave), V3, true, 0},
};

static const struct slot DOUBLES[] = {
    {"routed_scaling_factor", AT(routed_scaling_factor), V3, false, 0},
    {"rms_norm_eps", AT(rms_norm_eps), BOTH, false, 0},
    {"initializer_range", AT(initializer_range), BOTH, false, 0},
    {"rope_theta", AT(rope_theta), BOTH, false, 0},
};

/* What is built; any other value is refused. */
static const struct {
    const char *key, *only; /* as JSON */
    int archs;
} FIXED[] = {
    {"hidden_act", "\"silu\"", BOTH},       {"scoring_func", "\"sigmoid\"", V3},
    {"topk_method", "\"noaux_tc\"", V3},    {"attention_bias", "false", BOTH},
    {"mlp_bias", "false", BOTH},            {"attention_dropout", "0", BOTH},
    {"moe_layer_freq", "1", V3},            {"partial_rotary_factor", "1", BOTH},
    {"quantization_config", "null", BOTH},  {"pretraining_tp", "1", LLAMA},
};

/* A key of `archs` that cannot change a forward pass, or is read by hand. */
struct word {
    const char *key;
    int archs;
};

static const struct word IGNORED[] = {
    {"_name_or_path", BOTH},
    {"architectures", BOTH},
    {"auto_map", BOTH},
    {"aux_loss_alpha", V3},
    {"chunk_size_feed_forward", BOTH},
    {"dtype", BOTH},
    {"ep_size", V3},
    {"id2label", BOTH},
    {"is_encoder_decoder", BOTH},
    {"label2id", BOTH},
    {"num_mtp_layers", V3},
    {"num_nextn_predict_layers", V3},
    {"output_attentions", BOTH},
    {"output_hidden_states", BOTH},
    {"output_router_logits", V3},
    {"pretraining_tp", V3},
    {"problem_type", BOTH},
    {"return_dict", BOTH},
    {"router_aux_loss_coef", V3},
    {"seq_aux", V3},
    {"torch_dtype", BOTH},
    {"transformers_version", BOTH},
    {"use_cache", BOTH},
};

static const struct word OTHERS[] = {
    {"model_type", BOTH},       {"rope_scaling", BOTH}, {"rope_parameters", BOTH},
    {"num_key_value_heads", V3}, {"head_dim", V3},       {"qk_head_dim", V3},
    {"original_max_position_embeddings", V3},
};

#define COUNT(table) ((int)(sizeof(table) / sizeof *(table)))
enum {
    MAX_KEYS = COUNT(INTS) + COUNT(BOOLS) + COUNT(DOUBLES) + COUNT(FIXED) +
               COUNT(IGNORED) + COUNT(OTHERS)
};

static int check_known(const struct policy_config *cfg, const cJSON *json,
                       const char *where, struct err *err) {
    const char *key[MAX_KEYS];
    int n = 0;
#define ADD_KEYS(table)                                                                  \
    for (int i = 0; i < COUNT(table); i++)                                               \
        if (knows(cfg, table[i].archs)) key[n++] = table[i].key
    ADD_KEYS(INTS);
    ADD_KEYS(BOOLS);
    ADD_KEYS(DOUBLES);
    ADD_KEYS(OTHERS);
    ADD_KEYS(FIXED);
    ADD_KEYS(IGNORED);
#undef ADD_KEYS
    return json_check_keys(json, where, key, n, err);
}

static int refuse_value(const cJSON *value, const char *where, const char *key,
                        const char *built, struct err *err) {
    char place[JSON_WHERE_BYTES], found[64];
    bool string = cJSON_IsString(value);
    return err_set(err, EX_CONFIG, "%s: only %s built, found %s%.100s%s",
                   json_where(place, where, key), built, string ? "\"" : "",
                   string ? value->valuestring : json_found(value, found),
                   string ? "\"" : "");
}

/* model_type says which defaults and keys hold; without one it is deepseek_v3. */
static int read_arch(struct policy_config *cfg, const cJSON *json, const char *where,
                     struct err *err) {
    const cJSON *type = json_find(json, "model_type");
    const char *name = cJSON_GetStringValue(type);
    *cfg = policy_config_default();
    if (!type || (name && strcmp(name, ARCH[POLICY_DEEPSEEK_V3].model_type) == 0)) return 0;
    *cfg = policy_config_default_llama();
    if (name && strcmp(name, ARCH[POLICY_LLAMA].model_type) == 0) return 0;
    return refuse_value(type, where, "model_type", "\"deepseek_v3\" and \"llama\" are", err);
}

static int check_fixed(const struct policy_config *cfg, const cJSON *json,
                       const char *where, struct err *err) {
    for (int i = 0; i < COUNT(FIXED); i++) {
        const cJSON *value = json_find(json, FIXED[i].key);
        char built[32];
        if (!value || !knows(cfg, FIXED[i].archs)) continue;
        cJSON *only = cJSON_Parse(FIXED[i].only);
        bool same = cJSON_Compare(value, only, true);
        cJSON_Delete(only);
        if (same) continue;
        snprintf(built, sizeof built, "%s is", FIXED[i].only);
        return refuse_value(value, where, FIXED[i].key, built, err);
    }
    return 0;
}

/* The ints that are 0 where the file has null, and so may not be 0 in it. */
static bool null_is_zero(const struct slot *s) {
    return s->offset == AT(q_lora_rank) || s->offset == AT(num_key_value_heads) ||
           s->offset == AT(head_dim);
}

static int read_int(struct policy_config *cfg, const struct slot *s, const cJSON *value,
                    const char *where, struct err *err) {
    int *out = (int *)((char *)cfg + s->offset);
    char place[JSON_WHERE_BYTES];
    long long x;
    if (cJSON_IsNull(value) && s->nullable) {
        *out = (int)s->null_value;
        return 0;
    }
    /* several ends of text are allowed there; the tokenizer knows the one that counts */
    if (cJSON_IsArray(value) && value->child && strcmp(s->key, "eos_token_id") == 0)
        value = value->child;
    int min = s->null_value < 0 ? -1 : null_is_zero(s);
    if (json_as_int(value, json_where(place, where, s->key), min, INT_MAX, &x, err) != 0)
        return -1;
    *out = (int)x;
    return 0;
}

static int read_values(struct policy_config *cfg, const cJSON *json, const char *where,
                       struct err *err) {
    for (int i = 0; i < COUNT(INTS); i++) {
        const cJSON *value = json_find(json, INTS[i].key);
        if (value && knows(cfg, INTS[i].archs) && read_int(cfg, &INTS[i], value, where, err) != 0) return -1;
    }
    for (int i = 0; i < COUNT(BOOLS); i++) {
        bool *out = (bool *)((char *)cfg + BOOLS[i].offset);
        if (!knows(cfg, BOOLS[i].archs)) continue;
        if (BOOLS[i].nullable && cJSON_IsNull(json_find(json, BOOLS[i].key)))
            *out = false;
        else if (json_get_bool(json, where, BOOLS[i].key, out, err) != 0)
            return -1;
    }
    for (int i = 0; i < COUNT(DOUBLES); i++) {
        double *out = (double *)((char *)cfg + DOUBLES[i].offset);
        if (!knows(cfg, DOUBLES[i].archs)) continue;
        if (json_get_double(json, where, DOUBLES[i].key, -DBL_MAX, DBL_MAX, out, err) !=
            0)
            return -1;
    }
    return 0;
}

/* A number that may be null, which leaves *out as it is. */
static int read_optional(const cJSON *json, const char *where, const char *key,
                         double min, double *out, struct err *err) {
    if (cJSON_IsNull(json_find(json, key))) return 0;
    return json_get_double(json, where, key, min, DBL_MAX, out, err);
}

/* transformers wants only factor; without one it is the ratio of the two lengths. */
static int read_yarn(struct policy_config *cfg, const cJSON *rope, const cJSON *json,
                     const char *where, struct err *err) {
    struct policy_yarn *y = &cfg->yarn;
    y->on = true;
    y->original_max_position_embeddings = cfg->max_position_embeddings;
    y->factor = 0;
    const char *key = "original_max_position_embeddings";
    if (json_get_int(rope, where, key, 1, INT_MAX, &y->original_max_position_embeddings,
                     err) != 0 ||
        json_get_int(json, where, key, 1, INT_MAX, &y->original_max_position_embeddings,
                     err) != 0 ||
        read_optional(rope, where, "factor", 1, &y->factor, err) != 0 ||
        read_optional(rope, where, "beta_fast", 1e-3, &y->beta_fast, err) != 0 ||
        read_optional(rope, where, "beta_slow", 1e-3, &y->beta_slow, err) != 0 ||
        read_optional(rope, where, "mscale", 0, &y->mscale, err) != 0 ||
        read_optional(rope, where, "mscale_all_dim", 0, &y->mscale_all_dim, err) != 0 ||
        read_optional(rope, where, "attention_factor", 1e-6, &y->attention_factor, err) !=
            0 ||
        json_get_bool(rope, where, "truncate", &y->truncate, err) != 0)
        return -1;
    if (y->factor == 0)
        y->factor =
            (double)cfg->max_position_embeddings / y->original_max_position_embeddings;
    return 0;
}

/* Python's idea of false, for a dictionary. */
static bool is_nothing(const cJSON *obj) {
    return !obj || cJSON_IsNull(obj) || (cJSON_IsObject(obj) && !obj->child);
}

/* Both dialects: rope_theta and rope_scaling beside each other (transformers 4), or both
 * in rope_parameters (5). rope_scaling wins, as there; so does an inner rope_theta. */
static int read_rope(struct policy_config *cfg, const cJSON *json, const char *where,
                     bool strict, struct err *err) {
    static const char *const KEYS[] = {
        "type",
        "rope_type",
        "rope_theta",
        "factor",
        "beta_fast",
        "beta_slow",
        "mscale",
        "truncate",
        "mscale_all_dim",
        "attention_factor",
        "original_max_position_embeddings",
        "partial_rotary_factor",
    };
    char inside[JSON_WHERE_BYTES], place[JSON_WHERE_BYTES];
    const char *type = "default", *name = "rope_scaling";
    const cJSON *rope = json_find(json, name);
    if (is_nothing(rope)) rope = json_find(json, name = "rope_parameters");
    if (is_nothing(rope)) return 0;
    json_where(inside, where, name);
    if (json_as_object(rope, inside, err) != 0) return -1;
    if (strict && json_check_keys(rope, inside, KEYS, COUNT(KEYS), err) != 0) return -1;
    double partial = 1;
    if (json_get_string(rope, inside, "type", &type, err) != 0 ||
        json_get_string(rope, inside, "rope_type", &type, err) != 0 ||
        json_get_double(rope, inside, "rope_theta", -DBL_MAX, DBL_MAX, &cfg->rope_theta,
                        err) != 0 ||
        json_get_double(rope, inside, "partial_rotary_factor", 1, 1, &partial, err) != 0)
        return -1;
    if (strcmp(type, "default") == 0) return 0;
    if (cfg->arch == POLICY_DEEPSEEK_V3 && strcmp(type, "yarn") == 0)
        return read_yarn(cfg, rope, json, inside, err);
    return err_set(err, EX_CONFIG, "%s: only %s built%s, found \"%.100s\"",
                   json_where(place, inside, "rope_type"),
                   cfg->arch == POLICY_LLAMA ? "\"default\" is"
                                             : "\"default\" and \"yarn\" are",
                   cfg->arch == POLICY_LLAMA ? " for llama" : "", type);
}

/* Numbers that follow from others: transformers writes them down, and believes them. */
static int check_derived(const struct policy_config *cfg, const cJSON *json,
                         const char *where, struct err *err) {
    const struct {
        const char *key;
        int value;
        const char *rule;
    } derived[] = {
        {"num_key_value_heads", cfg->num_attention_heads, "num_attention_heads"},
        {"head_dim", cfg->qk_rope_head_dim, "qk_rope_head_dim"},
        {"qk_head_dim", cfg->qk_nope_head_dim + cfg->qk_rope_head_dim,
         "qk_nope_head_dim + qk_rope_head_dim"},
    };
    for (int i = 0; i < COUNT(derived); i++) {
        char place[JSON_WHERE_BYTES], found[64];
        const cJSON *value = json_find(json, derived[i].key);
        if (!value || cJSON_IsNull(value)) continue;
        if (cJSON_IsNumber(value) && value->valuedouble == derived[i].value) continue;
        return err_set(err, EX_CONFIG, "%s: must be %s = %d, found %s",
                       json_where(place, where, derived[i].key), derived[i].rule,
                       derived[i].value, json_found(value, found));
    }
    return 0;
}

int policy_config_parse(struct policy_config *cfg, const cJSON *json, const char *where,
                        bool strict, struct err *err) {
    *cfg = policy_config_default();
    if (json_as_object(json, where, err) != 0) return -1;
    if (read_arch(cfg, json, where, err) != 0) return -1;
    if (check_fixed(cfg, json, where, err) != 0) return -1;
    if (strict && check_known(cfg, json, where, err) != 0) return -1;
    if (read_values(cfg, json, where, err) != 0) return -1;
    if (read_rope(cfg, json, where, strict, err) != 0) return -1;
    policy_config_derive(cfg);
    return cfg->arch == POLICY_LLAMA ? 0 : check_derived(cfg, json, where, err);
}

int policy_config_load(struct policy_config *cfg, const char *dir, struct err *err) {
    char path[4096];
    cJSON *json;
    if (file_join(path, sizeof path, dir, "config.json", err) != 0) return -1;
    if (json_load(&json, path, 1 << 20, err) != 0) return -1;
    int rc = json_as_object(json, path, err);
    if (rc == 0) rc = json_need(json, path, "model_type", err);
    if (rc == 0) rc = policy_config_parse(cfg, json, path, false, err);
    if (rc == 0) rc = policy_config_check(cfg, path, err);
    json_free(json);
    return rc;
}

/* transformers takes 1 for an int and refuses it where it wants a float. */
static void print_float(struct buf *out, const char *key, double x) {
    struct buf text = {0};
    json_print_double(&text, x);
    bool whole = !strpbrk(buf_text(&text), ".e");
    buf_printf(out, "\"%s\": %s%s", key, buf_text(&text), whole ? ".0" : "");
    buf_clear(&text);
}

static void print_yarn(struct buf *out, const struct policy_yarn *y) {
    buf_puts(out, "{\n    ");
    if (y->attention_factor > 0) {
        print_float(out, "attention_factor", y->attention_factor);
        buf_puts(out, ",\n    ");
    }
    print_float(out, "beta_fast", y->beta_fast);
    buf_puts(out, ",\n    ");
    print_float(out, "beta_slow", y->beta_slow);
    buf_puts(out, ",\n    ");
    print_float(out, "factor", y->factor);
    buf_puts(out, ",\n    ");
    if (y->mscale > 0) {
        print_float(out, "mscale", y->mscale);
        buf_puts(out, ",\n    ");
    }
    if (y->mscale_all_dim > 0) {
        print_float(out, "mscale_all_dim", y->mscale_all_dim);
        buf_puts(out, ",\n    ");
    }
    buf_printf(out,
               "\"original_max_position_embeddings\": %d,\n    \"rope_type\": \"yarn\",\n"
               "    \"truncate\": %s,\n    \"type\": \"yarn\"\n  }",
               y->original_max_position_embeddings, y->truncate ? "true" : "false");
}

static void print_ints(struct buf *out, const struct policy_config *cfg) {
    for (int i = 0; i < COUNT(INTS); i++) {
        int value = *(const int *)((const char *)cfg + INTS[i].offset);
        if (!knows(cfg, INTS[i].archs) || strcmp(INTS[i].key, "num_local_experts") == 0)
            continue;
        bool null = null_is_zero(&INTS[i]) ? value == 0 : value < 0;
        buf_printf(out, "  \"%s\": ", INTS[i].key);
        if (null)
            buf_puts(out, "null,\n");
        else
            buf_printf(out, "%d,\n", value);
    }
}

void policy_config_print(const struct policy_config *cfg, struct buf *out) {
    bool v3 = cfg->arch == POLICY_DEEPSEEK_V3;
    buf_printf(out,
               "{\n  \"architectures\": [\n    \"%s\"\n  ],\n"
               "  \"model_type\": \"%s\",\n  \"torch_dtype\": \"float32\",\n"
               "  \"attention_bias\": false,\n  \"attention_dropout\": 0.0,\n"
               "  \"hidden_act\": \"silu\",\n",
               ARCH[cfg->arch].class, ARCH[cfg->arch].model_type);
    if (v3)
        buf_printf(out, "  \"num_key_value_heads\": %d,\n", cfg->num_attention_heads);
    else
        buf_puts(out, "  \"mlp_bias\": false,\n");
    print_ints(out, cfg);
    for (int i = 0; i < COUNT(BOOLS); i++) {
        bool value = *(const bool *)((const char *)cfg + BOOLS[i].offset);
        if (knows(cfg, BOOLS[i].archs))
            buf_printf(out, "  \"%s\": %s,\n", BOOLS[i].key, value ? "true" : "false");
    }
    for (int i = 0; i < COUNT(DOUBLES); i++) {
        if (!knows(cfg, DOUBLES[i].archs)) continue;
        buf_puts(out, "  ");
        print_float(out, DOUBLES[i].key,
                    *(const double *)((const char *)cfg + DOUBLES[i].offset));
        buf_puts(out, ",\n");
    }
    buf_puts(out, "  \"rope_scaling\": ");
    if (cfg->yarn.on)
        print_yarn(out, &cfg->yarn);
    else
        buf_puts(out, "null");
    buf_puts(out, v3 ? ",\n  \"num_nextn_predict_layers\": 0\n}\n" : "\n}\n");
}
