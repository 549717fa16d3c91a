/* policy/config.c: see config.h. */
#include "policy/config.h"

#include <float.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

struct policy_config policy_config_default(void) {
    return (struct policy_config){
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
        .yarn = {.on = false,
                 .factor = 1,
                 .beta_fast = 32,
                 .beta_slow = 1,
                 .mscale = 0,
                 .mscale_all_dim = 0,
                 .attention_factor = 0,
                 .original_max_position_embeddings = 0,
                 .truncate = true},
        .bos_token_id = 0,
        .eos_token_id = 1,
        .pad_token_id = -1,
    };
}

/* One line of a table of ranges. */
struct range {
    const char *key;
    double value, min, max;
};

static int check_ranges(const struct range *r, int n, const char *where,
                        struct err *err) {
    for (int i = 0; i < n; i++) {
        /* written so that NaN fails */
        if (r[i].value >= r[i].min && r[i].value <= r[i].max) continue;
        if (r[i].max >= INT_MAX)
            return err_set(err, EX_CONFIG, "%s: %s is %.9g, must be at least %.9g", where,
                           r[i].key, r[i].value, r[i].min);
        return err_set(err, EX_CONFIG, "%s: %s is %.9g, must be from %.9g to %.9g", where,
                       r[i].key, r[i].value, r[i].min, r[i].max);
    }
    return 0;
}

/* The router keeps one row's experts, groups and choices in arrays of these sizes. */
enum { MAX_EXPERTS = 1024, MAX_GROUPS = 256, MAX_CHOSEN = 64 };
enum { MAX_LAYERS = 1024, MAX_SHARED = 65536, MAX_TENSORS = 1000000 };

static int check_sizes(const struct policy_config *c, const char *where,
                       struct err *err) {
    const struct range r[] = {
        {"vocab_size", c->vocab_size, 1, INT_MAX},
        {"hidden_size", c->hidden_size, 1, INT_MAX},
        {"intermediate_size", c->intermediate_size, 1, INT_MAX},
        {"moe_intermediate_size", c->moe_intermediate_size, 1, INT_MAX},
        {"num_hidden_layers", c->num_hidden_layers, 1, MAX_LAYERS},
        {"num_attention_heads", c->num_attention_heads, 1, INT_MAX},
        {"q_lora_rank", c->q_lora_rank, 0, INT_MAX},
        {"kv_lora_rank", c->kv_lora_rank, 1, INT_MAX},
        {"qk_rope_head_dim", c->qk_rope_head_dim, 2, INT_MAX},
        {"qk_nope_head_dim", c->qk_nope_head_dim, 1, INT_MAX},
        {"v_head_dim", c->v_head_dim, 1, INT_MAX},
        {"n_routed_experts", c->n_routed_experts, 1, MAX_EXPERTS},
        {"n_shared_experts", c->n_shared_experts, 0, MAX_SHARED},
        {"num_experts_per_tok", c->num_experts_per_tok, 1, MAX_CHOSEN},
        {"n_group", c->n_group, 1, MAX_GROUPS},
        {"topk_group", c->topk_group, 1, MAX_GROUPS},
        {"first_k_dense_replace", c->first_k_dense_replace, 0, INT_MAX},
        {"max_position_embeddings", c->max_position_embeddings, 1, INT_MAX},
        {"routed_scaling_factor", c->routed_scaling_factor, 1e-9, 1e9},
        {"rms_norm_eps", c->rms_norm_eps, 0, 1},
        {"initializer_range", c->initializer_range, 0, 1e3},
        {"rope_theta", c->rope_theta, 1.0001, 1e15},
        {"bos_token_id", c->bos_token_id, -1, c->vocab_size - 1.0},
        {"eos_token_id", c->eos_token_id, -1, c->vocab_size - 1.0},
        {"pad_token_id", c->pad_token_id, -1, c->vocab_size - 1.0},
    };
    return check_ranges(r, (int)(sizeof r / sizeof *r), where, err);
}

/* What the router needs; an all-dense policy has none. */
static int check_router(const struct policy_config *c, const char *where,
                        struct err *err) {
    if (c->first_k_dense_replace >= c->num_hidden_layers) return 0;
    if (c->n_routed_experts % c->n_group != 0)
        return err_set(err, EX_CONFIG,
                       "%s: n_group %d does not divide n_routed_experts %d", where,
                       c->n_group, c->n_routed_experts);
    int per_group = c->n_routed_experts / c->n_group;
    /* a group's score is the sum of its two best experts */
    if (per_group < 2)
        return err_set(err, EX_CONFIG,
                       "%s: n_routed_experts %d in n_group %d leaves %d expert a group, "
                       "at least 2 are needed",
                       where, c->n_routed_experts, c->n_group, per_group);
    if (c->topk_group > c->n_group)
        return err_set(err, EX_CONFIG, "%s: topk_group %d is more than n_group %d", where,
                       c->topk_group, c->n_group);
    if (c->num_experts_per_tok > c->topk_group * per_group)
        return err_set(err, EX_CONFIG,
                       "%s: num_experts_per_tok %d is more than the %d experts of "
                       "topk_group %d groups",
                       where, c->num_experts_per_tok, c->topk_group * per_group,
                       c->topk_group);
    return 0;
}

static int check_yarn(const struct policy_config *c, const char *where, struct err *err) {
    const struct policy_yarn *y = &c->yarn;
    if (!y->on) return 0;
    const struct range r[] = {
        {"rope_scaling.factor", y->factor, 1, 1e6},
        {"rope_scaling.beta_fast", y->beta_fast, 1e-3, 1e6},
        {"rope_scaling.beta_slow", y->beta_slow, 1e-3, 1e6},
        {"rope_scaling.mscale", y->mscale, 0, 1e3},
        {"rope_scaling.mscale_all_dim", y->mscale_all_dim, 0, 1e3},
        {"rope_scaling.attention_factor", y->attention_factor, 0, 1e3},
        {"rope_scaling.original_max_position_embeddings",
         y->original_max_position_embeddings, 1, INT_MAX},
    };
    if (check_ranges(r, (int)(sizeof r / sizeof *r), where, err) != 0) return -1;
    if (y->beta_fast < y->beta_slow)
        return err_set(err, EX_CONFIG,
                       "%s: rope_scaling.beta_fast %.9g is less than beta_slow %.9g",
                       where, y->beta_fast, y->beta_slow);
    return 0;
}

/* Numbers of elements are kept in int and tensors numbered in int all over; a hostile
 * config.json must not overflow them. */
static int check_extent(const struct policy_config *c, const char *where,
                        struct err *err) {
    const struct {
        const char *what;
        int a, b, c, d;
    } shape[] = {
        {"vocab_size x hidden_size", c->vocab_size, 1, c->hidden_size, 1},
        {"intermediate_size x hidden_size", c->intermediate_size, 1, c->hidden_size, 1},
        {"n_routed_experts x hidden_size", c->n_routed_experts, 1, c->hidden_size, 1},
        {"n_routed_experts x moe_intermediate_size", c->n_routed_experts, 1,
         c->moe_intermediate_size, 1},
        {"moe_intermediate_size x n_shared_experts x hidden_size",
         c->moe_intermediate_size, c->n_shared_experts ? c->n_shared_experts : 1,
         c->hidden_size, 1},
        {"num_attention_heads x v_head_dim x hidden_size", c->num_attention_heads,
         c->v_head_dim, c->hidden_size, 1},
        {"num_attention_heads x qk_nope_head_dim x hidden_size", c->num_attention_heads,
         c->qk_nope_head_dim, c->hidden_size, 1},
        {"num_attention_heads x qk_rope_head_dim x hidden_size", c->num_attention_heads,
         c->qk_rope_head_dim, c->hidden_size, 1},
        {"q_lora_rank x hidden_size", c->q_lora_rank, 1, c->hidden_size, 1},
        {"q_lora_rank x num_attention_heads x qk_nope_head_dim", c->q_lora_rank,
         c->num_attention_heads, c->qk_nope_head_dim, 1},
        {"q_lora_rank x num_attention_heads x qk_rope_head_dim", c->q_lora_rank,
         c->num_attention_heads, c->qk_rope_head_dim, 1},
        {"kv_lora_rank x hidden_size", c->kv_lora_rank, 1, c->hidden_size, 1},
        {"qk_rope_head_dim x hidden_size", c->qk_rope_head_dim, 1, c->hidden_size, 1},
        {"kv_lora_rank x num_attention_heads x v_head_dim", c->kv_lora_rank,
         c->num_attention_heads, c->v_head_dim, 1},
        {"kv_lora_rank x num_attention_heads x qk_nope_head_dim", c->kv_lora_rank,
         c->num_attention_heads, c->qk_nope_head_dim, 1},
    };
    for (int i = 0; i < (int)(sizeof shape / sizeof *shape); i++) {
        int64_t n;
        if (__builtin_mul_overflow((int64_t)shape[i].a * shape[i].b,
                                   (int64_t)shape[i].c * shape[i].d, &n) ||
            n > INT_MAX / 2) /* two of them are added up, see kv_b_proj */
            return err_set(err, EX_CONFIG, "%s: %s is too large", where, shape[i].what);
    }
    int64_t moe = c->num_hidden_layers - (int64_t)c->first_k_dense_replace;
    if (moe > 0 && moe * 3 * c->n_routed_experts > MAX_TENSORS)
        return err_set(err, EX_CONFIG,
                       "%s: num_hidden_layers x n_routed_experts is too large", where);
    return 0;
}

int policy_config_check(const struct policy_config *cfg, const char *where,
                        struct err *err) {
    if (check_sizes(cfg, where, err) != 0) return -1;
    if (cfg->qk_rope_head_dim % 2 != 0)
        return err_set(err, EX_CONFIG, "%s: qk_rope_head_dim is %d, must be even", where,
                       cfg->qk_rope_head_dim);
    if (check_router(cfg, where, err) != 0) return -1;
    if (check_yarn(cfg, where, err) != 0) return -1;
    return check_extent(cfg, where, err);
}

/* ---- config.json ---- */

/* Where the value of a key goes. */
struct slot {
    const char *key;
    size_t offset;
    bool nullable;
    double null_value;
};

#define AT(field) offsetof(struct policy_config, field)

static const struct slot INTS[] = {
    {"vocab_size", AT(vocab_size), false, 0},
    {"hidden_size", AT(hidden_size), false, 0},
    {"intermediate_size", AT(intermediate_size), false, 0},
    {"moe_intermediate_size", AT(moe_intermediate_size), false, 0},
    {"num_hidden_layers", AT(num_hidden_layers), false, 0},
    {"num_attention_heads", AT(num_attention_heads), false, 0},
    {"q_lora_rank", AT(q_lora_rank), true, 0},
    {"kv_lora_rank", AT(kv_lora_rank), false, 0},
    {"qk_rope_head_dim", AT(qk_rope_head_dim), false, 0},
    {"qk_nope_head_dim", AT(qk_nope_head_dim), false, 0},
    {"v_head_dim", AT(v_head_dim), false, 0},
    {"n_routed_experts", AT(n_routed_experts), false, 0},
    {"num_local_experts", AT(n_routed_experts), false, 0}, /* the same, elsewhere */
    {"n_shared_experts", AT(n_shared_experts), true, 0},
    {"num_experts_per_tok", AT(num_experts_per_tok), false, 0},
    {"n_group", AT(n_group), true, 1},
    {"topk_group", AT(topk_group), true, 1},
    {"first_k_dense_replace", AT(first_k_dense_replace), false, 0},
    {"max_position_embeddings", AT(max_position_embeddings), false, 0},
    {"bos_token_id", AT(bos_token_id), true, -1},
    {"eos_token_id", AT(eos_token_id), true, -1},
    {"pad_token_id", AT(pad_token_id), true, -1},
};

static const struct slot BOOLS[] = {
    {"norm_topk_prob", AT(norm_topk_prob), true, 0},
    {"tie_word_embeddings", AT(tie_word_embeddings), false, 0},
    {"rope_interleave", AT(rope_interleave), true, 0},
};

static const struct slot DOUBLES[] = {
    {"routed_scaling_factor", AT(routed_scaling_factor), false, 0},
    {"rms_norm_eps", AT(rms_norm_eps), false, 0},
    {"initializer_range", AT(initializer_range), false, 0},
    {"rope_theta", AT(rope_theta), false, 0},
};

/* What is built; any other value is refused. */
static const struct {
    const char *key, *only; /* as JSON */
} FIXED[] = {
    {"model_type", "\"deepseek_v3\""}, {"hidden_act", "\"silu\""},
    {"scoring_func", "\"sigmoid\""},   {"topk_method", "\"noaux_tc\""},
    {"attention_bias", "false"},       {"mlp_bias", "false"},
    {"attention_dropout", "0"},        {"moe_layer_freq", "1"},
    {"partial_rotary_factor", "1"},    {"quantization_config", "null"},
};

/* Keys that cannot change a forward pass. */
static const char *const IGNORED[] = {
    "_name_or_path",
    "architectures",
    "auto_map",
    "aux_loss_alpha",
    "chunk_size_feed_forward",
    "dtype",
    "ep_size",
    "id2label",
    "is_encoder_decoder",
    "label2id",
    "num_mtp_layers",
    "num_nextn_predict_layers",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "pretraining_tp",
    "problem_type",
    "return_dict",
    "router_aux_loss_coef",
    "seq_aux",
    "torch_dtype",
    "transformers_version",
    "use_cache",
};

/* Keys that are read by hand. */
static const char *const OTHERS[] = {
    "rope_scaling", "rope_parameters", "num_key_value_heads",
    "head_dim",     "qk_head_dim",     "original_max_position_embeddings",
};

#define COUNT(table) ((int)(sizeof(table) / sizeof *(table)))
enum {
    MAX_KEYS = COUNT(INTS) + COUNT(BOOLS) + COUNT(DOUBLES) + COUNT(FIXED) +
               COUNT(IGNORED) + COUNT(OTHERS)
};

static int check_known(const cJSON *json, const char *where, struct err *err) {
    const char *key[MAX_KEYS];
    int n = 0;
    for (int i = 0; i < COUNT(INTS); i++) key[n++] = INTS[i].key;
    for (int i = 0; i < COUNT(BOOLS); i++) key[n++] = BOOLS[i].key;
    for (int i = 0; i < COUNT(DOUBLES); i++) key[n++] = DOUBLES[i].key;
    for (int i = 0; i < COUNT(OTHERS); i++) key[n++] = OTHERS[i];
    for (int i = 0; i < COUNT(FIXED); i++) key[n++] = FIXED[i].key;
    for (int i = 0; i < COUNT(IGNORED); i++) key[n++] = IGNORED[i];
    return json_check_keys(json, where, key, n, err);
}

static int check_fixed(const cJSON *json, const char *where, struct err *err) {
    char place[JSON_WHERE_BYTES], found[64];
    for (int i = 0; i < COUNT(FIXED); i++) {
        const cJSON *value = json_find(json, FIXED[i].key);
        if (!value) continue;
        cJSON *only = cJSON_Parse(FIXED[i].only);
        bool same = cJSON_Compare(value, only, true);
        cJSON_Delete(only);
        if (same) continue;
        bool string = cJSON_IsString(value);
        return err_set(
            err, EX_CONFIG, "%s: only %s is built, found %s%.100s%s",
            json_where(place, where, FIXED[i].key), FIXED[i].only, string ? "\"" : "",
            string ? value->valuestring : json_found(value, found), string ? "\"" : "");
    }
    return 0;
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
    /* 0 would be read back as null */
    int min = s->null_value < 0 ? -1 : strcmp(s->key, "q_lora_rank") == 0;
    if (json_as_int(value, json_where(place, where, s->key), min, INT_MAX, &x, err) != 0)
        return -1;
    *out = (int)x;
    return 0;
}

static int read_values(struct policy_config *cfg, const cJSON *json, const char *where,
                       struct err *err) {
    for (int i = 0; i < COUNT(INTS); i++) {
        const cJSON *value = json_find(json, INTS[i].key);
        if (value && read_int(cfg, &INTS[i], value, where, err) != 0) return -1;
    }
    for (int i = 0; i < COUNT(BOOLS); i++) {
        bool *out = (bool *)((char *)cfg + BOOLS[i].offset);
        if (BOOLS[i].nullable && cJSON_IsNull(json_find(json, BOOLS[i].key)))
            *out = false;
        else if (json_get_bool(json, where, BOOLS[i].key, out, err) != 0)
            return -1;
    }
    for (int i = 0; i < COUNT(DOUBLES); i++) {
        double *out = (double *)((char *)cfg + DOUBLES[i].offset);
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
    if (strcmp(type, "yarn") == 0) return read_yarn(cfg, rope, json, inside, err);
    if (strcmp(type, "default") == 0) return 0;
    return err_set(err, EX_CONFIG,
                   "%s: only \"default\" and \"yarn\" are built, found \"%.100s\"",
                   json_where(place, inside, "rope_type"), type);
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
    if (check_fixed(json, where, err) != 0) return -1;
    if (strict && check_known(json, where, err) != 0) return -1;
    if (read_values(cfg, json, where, err) != 0) return -1;
    if (read_rope(cfg, json, where, strict, err) != 0) return -1;
    return check_derived(cfg, json, where, err);
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

void policy_config_print(const struct policy_config *cfg, struct buf *out) {
    buf_puts(out, "{\n  \"architectures\": [\n    \"DeepseekV3ForCausalLM\"\n  ],\n"
                  "  \"model_type\": \"deepseek_v3\",\n  \"torch_dtype\": \"float32\",\n"
                  "  \"attention_bias\": false,\n  \"attention_dropout\": 0.0,\n"
                  "  \"hidden_act\": \"silu\",\n");
    buf_printf(out, "  \"num_key_value_heads\": %d,\n", cfg->num_attention_heads);
    for (int i = 0; i < COUNT(INTS); i++) {
        int value = *(const int *)((const char *)cfg + INTS[i].offset);
        if (strcmp(INTS[i].key, "num_local_experts") == 0) continue;
        bool null = strcmp(INTS[i].key, "q_lora_rank") == 0 ? value == 0 : value < 0;
        buf_printf(out, "  \"%s\": ", INTS[i].key);
        if (null)
            buf_puts(out, "null,\n");
        else
            buf_printf(out, "%d,\n", value);
    }
    for (int i = 0; i < COUNT(BOOLS); i++) {
        bool value = *(const bool *)((const char *)cfg + BOOLS[i].offset);
        buf_printf(out, "  \"%s\": %s,\n", BOOLS[i].key, value ? "true" : "false");
    }
    for (int i = 0; i < COUNT(DOUBLES); i++) {
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
    buf_puts(out, ",\n  \"num_nextn_predict_layers\": 0\n}\n");
}
