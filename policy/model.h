/* policy/model.h: a policy ready to run: weights, and the same weights packed for matmul.
 *
 * One struct model is shared read-only by all threads between two model_pack calls. It
 * borrows the weights. The maths is DeepSeek-V3's (arXiv 2412.19437, section 2.1), with the
 * key-value up-projection absorbed into query and output for every use (training, prefill
 * and decode alike), so that one arithmetic serves all and only latents are cached.
 *
 * Sizes: D hidden, H heads, r kv_lora_rank, dk = r + qk_rope_head_dim (a cached key),
 * qd = qk_nope_head_dim + qk_rope_head_dim, E experts, V vocabulary.
 */
#ifndef POLICY_MODEL_H
#define POLICY_MODEL_H

#include "policy/linear.h"
#include "policy/weights.h"

struct norm {
    int n;
    const float *w; /* [n], borrowed */
    float eps;
    size_t grad;
};

struct mlp {
    int width; /* F; 0: there is none */
    struct linear gate, up, down;
};

struct layer {
    struct norm input_norm, q_norm, kv_norm, post_norm;
    struct linear q_a; /* MLA, used when q_lora_rank > 0; q_b is then [H qd][q_lora_rank] */
    struct linear q_b; /* the plain q_proj [H qd][D] otherwise, and of GQA */
    struct linear kv_a;
    struct linear *k_up, *v_up; /* [H] slices of kv_b_proj: nope -> r and r -> v, owned */
    struct linear k, v;         /* GQA: [KV hd][D] */
    struct linear o;
    bool moe;
    struct mlp dense; /* the dense FFN, or the shared experts */
    struct linear router;
    const float *router_bias; /* [E], borrowed */
    int router_bias_tensor;
    struct mlp *expert; /* [E], owned */
};

struct model_options {
    int max_pos; /* bounds the positions that will be asked for */
    enum compute_dtype dtype;
    bool trains, decodes;
    bool large;     /* treat it as a large model, whatever its size (for tests) */
    bool recompute; /* keep layers' inputs only, compute the rest again in the backward */
};

struct model {
    const struct kernels *k;
    const struct weights *w; /* borrowed */
    struct policy_config cfg;
    enum compute_dtype dtype;
    int qd;
    /* What attention sees: n_kv heads of keys, key_dim numbers each, and of values. A key
     * row is dk = n_kv key_dim numbers. MLA in its absorbed form has one head of keys (latent
     * and rotated key), whose first val_dim = kv_lora_rank numbers are the value: dv is 0,
     * no values are kept. GQA keeps dv = n_kv val_dim numbers of values a row. */
    int n_kv, key_dim, val_dim, dk, dv;
    float attn_scale;
    int max_pos;                 /* positions in the rope tables */
    float *rope_cos, *rope_sin;  /* [max_pos][qk_rope_head_dim / 2], owned */
    struct layer *layer;         /* [num_hidden_layers], owned */
    struct norm final_norm;
    struct linear head;
    const float *embed; /* [V][D], borrowed */
    size_t embed_grad;
    float *slab; /* packed weights, owned */
    struct model_options options;
};

/* Lays out and packs. Large matrices are packed ahead for decoding only (the trainer packs
 * them while it uses them), those of a small model for everything. Caller ends it with
 * model_clear; w must outlive it. */
void model_init_as(struct model *m, const struct weights *w, const struct kernels *k,
                   struct model_options options);

/* The same in f32, for decoding, and for training too when `trains`. */
void model_init(struct model *m, const struct weights *w, const struct kernels *k,
                int max_pos, bool trains);

/* Packs again after the weights changed. Called by one thread, uses n_threads. */
void model_pack(struct model *m, int n_threads);

void model_clear(struct model *m);

/* Whether the packed weights outgrow a core's own cache, so that threads should walk them
 * together. */
bool model_is_large(const struct model *m);

/* Parameters that touch one token: all but the embedding table and unrouted experts. */
size_t model_active_params(const struct model *m);

/* Rotates n vectors of qk_rope_head_dim at x, ld floats apart, by position pos (the
 * transpose, for gradients, when back). y may be x. */
void model_rope(const struct model *m, int n, int pos, const float *x, size_t ldx, float *y,
                size_t ldy, bool back);

#endif
