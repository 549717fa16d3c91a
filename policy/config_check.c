/* policy/config_check.c: what a configuration must keep to, whoever made it. See config.h. */
#include <limits.h>
#include <stdint.h>

#include "policy/config.h"

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

static int check_llama_sizes(const struct policy_config *c, const char *where,
                             struct err *err) {
    const struct range r[] = {
        {"vocab_size", c->vocab_size, 1, INT_MAX},
        {"hidden_size", c->hidden_size, 1, INT_MAX},
        {"intermediate_size", c->intermediate_size, 1, INT_MAX},
        {"num_hidden_layers", c->num_hidden_layers, 1, MAX_LAYERS},
        {"num_attention_heads", c->num_attention_heads, 1, INT_MAX},
        {"num_key_value_heads", c->num_key_value_heads, 1, c->num_attention_heads},
        {"max_position_embeddings", c->max_position_embeddings, 1, INT_MAX},
        {"rms_norm_eps", c->rms_norm_eps, 0, 1},
        {"initializer_range", c->initializer_range, 0, 1},
        {"rope_theta", c->rope_theta, 1.0001, 1e15},
        {"bos_token_id", c->bos_token_id, -1, c->vocab_size - 1.0},
        {"eos_token_id", c->eos_token_id, -1, c->vocab_size - 1.0},
        {"pad_token_id", c->pad_token_id, -1, c->vocab_size - 1.0},
    };
    if (check_ranges(r, (int)(sizeof r / sizeof *r), where, err) != 0) return -1;
    const struct {
        const char *what;
        int64_t a, b, c;
    } shape[] = {
        {"vocab_size x hidden_size", c->vocab_size, 1, c->hidden_size},
        {"intermediate_size x hidden_size", c->intermediate_size, 1, c->hidden_size},
        {"num_attention_heads x head_dim x hidden_size", c->num_attention_heads,
         c->head_dim, c->hidden_size},
    };
    for (int i = 0; i < (int)(sizeof shape / sizeof *shape); i++) {
        int64_t n;
        if (__builtin_mul_overflow(shape[i].a * shape[i].b, shape[i].c, &n) ||
            n > INT_MAX / 2)
            return err_set(err, EX_CONFIG, "%s: %s is too large", where, shape[i].what);
    }
    return 0;
}

static int check_llama(const struct policy_config *c, const char *where,
                       struct err *err) {
    struct policy_config derived = *c;
    if (check_llama_sizes(c, where, err) != 0) return -1;
    if (c->hidden_size % c->num_attention_heads != 0) /* transformers wants it too */
        return err_set(err, EX_CONFIG,
                       "%s: num_attention_heads %d does not divide hidden_size %d", where,
                       c->num_attention_heads, c->hidden_size);
    if (c->num_attention_heads % c->num_key_value_heads != 0)
        return err_set(err, EX_CONFIG,
                       "%s: num_key_value_heads %d does not divide num_attention_heads %d",
                       where, c->num_key_value_heads, c->num_attention_heads);
    if (c->head_dim < 2 || c->head_dim % 2 != 0)
        return err_set(err, EX_CONFIG, "%s: head_dim is %d, must be even and at least 2",
                       where, c->head_dim);
    policy_config_derive(&derived);
    CHECK(!c->yarn.on && derived.first_k_dense_replace == c->first_k_dense_replace &&
          derived.qk_rope_head_dim == c->qk_rope_head_dim &&
          derived.v_head_dim == c->v_head_dim && c->n_routed_experts == 0 &&
          c->kv_lora_rank == 0 && c->q_lora_rank == 0 && c->qk_nope_head_dim == 0);
    return 0;
}

int policy_config_check(const struct policy_config *cfg, const char *where,
                        struct err *err) {
    if (cfg->arch == POLICY_LLAMA) return check_llama(cfg, where, err);
    if (check_sizes(cfg, where, err) != 0) return -1;
    if (cfg->qk_rope_head_dim % 2 != 0)
        return err_set(err, EX_CONFIG, "%s: qk_rope_head_dim is %d, must be even", where,
                       cfg->qk_rope_head_dim);
    if (check_router(cfg, where, err) != 0) return -1;
    if (check_yarn(cfg, where, err) != 0) return -1;
    return check_extent(cfg, where, err);
}
