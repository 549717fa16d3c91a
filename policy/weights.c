/* policy/weights.c: see weights.h. */
#include "policy/weights.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"

/* Tensors are added twice: once to count them, once to fill the table. */
struct layout {
    struct weights_tensor *tensor; /* NULL while counting */
    int n;
    size_t offset; /* floats */
};

static void add(struct layout *l, int n_dims, int rows, int cols, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

static void add(struct layout *l, int n_dims, int rows, int cols, const char *fmt, ...) {
    if (l->tensor) {
        struct weights_tensor *t = &l->tensor[l->n];
        va_list args;
        va_start(args, fmt);
        int len = vsnprintf(t->name, sizeof t->name, fmt, args);
        va_end(args);
        CHECK(len > 0 && len < WEIGHTS_NAME_MAX);
        t->n_dims = n_dims;
        t->rows = rows;
        t->cols = cols;
        t->offset = l->offset;
        t->trained = true;
    }
    CHECK(rows > 0 && cols > 0);
    l->offset += ((size_t)rows * (size_t)cols + 15) / 16 * 16;
    l->n++;
}

static void add_latent_attention(struct layout *l, const struct policy_config *c, int i) {
    int heads = c->num_attention_heads, qk = c->qk_nope_head_dim + c->qk_rope_head_dim;
    if (c->q_lora_rank == 0) {
        add(l, 2, heads * qk, c->hidden_size, "model.layers.%d.self_attn.q_proj.weight",
            i);
    } else {
        add(l, 2, c->q_lora_rank, c->hidden_size,
            "model.layers.%d.self_attn.q_a_proj.weight", i);
        add(l, 1, 1, c->q_lora_rank, "model.layers.%d.self_attn.q_a_layernorm.weight", i);
        add(l, 2, heads * qk, c->q_lora_rank, "model.layers.%d.self_attn.q_b_proj.weight",
            i);
    }
    add(l, 2, c->kv_lora_rank + c->qk_rope_head_dim, c->hidden_size,
        "model.layers.%d.self_attn.kv_a_proj_with_mqa.weight", i);
    add(l, 1, 1, c->kv_lora_rank, "model.layers.%d.self_attn.kv_a_layernorm.weight", i);
    add(l, 2, heads * (c->qk_nope_head_dim + c->v_head_dim), c->kv_lora_rank,
        "model.layers.%d.self_attn.kv_b_proj.weight", i);
    add(l, 2, c->hidden_size, heads * c->v_head_dim,
        "model.layers.%d.self_attn.o_proj.weight", i);
}

/* Heads of queries share the keys and values of their group. */
static void add_grouped_attention(struct layout *l, const struct policy_config *c, int i) {
    int q = c->num_attention_heads * c->head_dim;
    int kv = c->num_key_value_heads * c->head_dim;
    add(l, 2, q, c->hidden_size, "model.layers.%d.self_attn.q_proj.weight", i);
    add(l, 2, kv, c->hidden_size, "model.layers.%d.self_attn.k_proj.weight", i);
    add(l, 2, kv, c->hidden_size, "model.layers.%d.self_attn.v_proj.weight", i);
    add(l, 2, c->hidden_size, q, "model.layers.%d.self_attn.o_proj.weight", i);
}

/* gate, up and down of one SwiGLU; `part` is "", "experts.7." or "shared_experts." */
static void add_swiglu(struct layout *l, int hidden, int width, int i, const char *part) {
    add(l, 2, width, hidden, "model.layers.%d.mlp.%sgate_proj.weight", i, part);
    add(l, 2, width, hidden, "model.layers.%d.mlp.%sup_proj.weight", i, part);
    add(l, 2, hidden, width, "model.layers.%d.mlp.%sdown_proj.weight", i, part);
}

static void add_experts(struct layout *l, const struct policy_config *c, int i) {
    int hidden = c->hidden_size, width = c->moe_intermediate_size;
    add(l, 2, c->n_routed_experts, hidden, "model.layers.%d.mlp.gate.weight", i);
    add(l, 1, 1, c->n_routed_experts, "model.layers.%d.mlp.gate.e_score_correction_bias",
        i);
    if (l->tensor) l->tensor[l->n - 1].trained = false;
    for (int e = 0; e < c->n_routed_experts; e++) {
        char part[32];
        snprintf(part, sizeof part, "experts.%d.", e);
        add_swiglu(l, hidden, width, i, part);
    }
    if (c->n_shared_experts > 0)
        add_swiglu(l, hidden, width * c->n_shared_experts, i, "shared_experts.");
}

static void add_all(struct layout *l, const struct policy_config *c) {
    int hidden = c->hidden_size;
    add(l, 2, c->vocab_size, hidden, "model.embed_tokens.weight");
    for (int i = 0; i < c->num_hidden_layers; i++) {
        add(l, 1, 1, hidden, "model.layers.%d.input_layernorm.weight", i);
        if (c->arch == POLICY_LLAMA)
            add_grouped_attention(l, c, i);
        else
            add_latent_attention(l, c, i);
        add(l, 1, 1, hidden, "model.layers.%d.post_attention_layernorm.weight", i);
        if (i < c->first_k_dense_replace)
            add_swiglu(l, hidden, c->intermediate_size, i, "");
        else
            add_experts(l, c, i);
    }
    add(l, 1, 1, hidden, "model.norm.weight");
    if (!c->tie_word_embeddings) add(l, 2, c->vocab_size, hidden, "lm_head.weight");
}

void weights_layout(struct weights *w, const struct policy_config *cfg) {
    struct layout count = {0}, fill = {0};
    add_all(&count, cfg);
    fill.tensor = mem_new((size_t)count.n, sizeof *fill.tensor);
    add_all(&fill, cfg);
    CHECK(fill.n == count.n && fill.offset == count.offset);
    w->cfg = *cfg;
    w->tensor = fill.tensor;
    w->n_tensors = fill.n;
    w->n_data = fill.offset;
    w->data = NULL;
}

void weights_init(struct weights *w, const struct policy_config *cfg) {
    weights_layout(w, cfg);
    w->data = mem_new(w->n_data, sizeof *w->data);
}

static size_t tensor_count(const struct weights_tensor *t) {
    return (size_t)t->rows * (size_t)t->cols;
}

/* A standard normal number, nearly: the sum of the eight 16-bit halves of one counter
 * block, centred and scaled to variance 1 (Irwin-Hall; kurtosis 2.85, |z| < 4.9). Log and
 * cosine, which Box-Muller needs, differ in the last bit from one C library to the next;
 * an integer sum and two products do not, so a seed gives the same bits everywhere. */
static double normal_at(const struct rng_key *key, uint32_t position) {
    const double mean = 8 * 65535 / 2.0;         /* of the sum */
    const double inv_sd = 0x1.3988e1412ed76p-16; /* 1 / sqrt(8 (65536^2 - 1) / 12) */
    uint32_t word[4];
    rng_words(key, position, word);
    uint32_t sum = 0;
    for (int i = 0; i < 4; i++) sum += (word[i] & 0xffffu) + (word[i] >> 16);
    return ((double)sum - mean) * inv_sd;
}

void weights_randomize(struct weights *w, uint64_t seed) {
    struct rng_key key = {.seed = seed, .purpose = RNG_INIT};
    for (int i = 0; i < w->n_tensors; i++) {
        const struct weights_tensor *t = &w->tensor[i];
        float *p = weights_at(w, i);
        size_t n = tensor_count(t);
        CHECK(n <= UINT32_MAX);
        key.step = (uint32_t)i;
        for (size_t k = 0; k < n; k++) {
            if (!t->trained)
                p[k] = 0;
            else if (t->n_dims == 1)
                p[k] = 1;
            else
                p[k] = (float)(normal_at(&key, (uint32_t)k) * w->cfg.initializer_range);
        }
    }
}

int weights_find(const struct weights *w, const char *name) {
    for (int i = 0; i < w->n_tensors; i++)
        if (strcmp(w->tensor[i].name, name) == 0) return i;
    return -1;
}

size_t weights_count(const struct weights *w) {
    size_t n = 0;
    for (int i = 0; i < w->n_tensors; i++) n += tensor_count(&w->tensor[i]);
    return n;
}

/* Tensor by tensor, so that the gaps stay out of it. */
uint64_t weights_hash(const struct weights *w) {
    uint64_t hash = 0;
    for (int i = 0; i < w->n_tensors; i++)
        hash = hash_bytes(weights_at(w, i), tensor_count(&w->tensor[i]) * sizeof(float),
                          hash);
    return hash;
}

void weights_clear(struct weights *w) {
    mem_free(w->tensor);
    mem_free(w->data);
    memset(w, 0, sizeof *w);
}
