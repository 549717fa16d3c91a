/* policy/model.c: names to tensors, rope tables, packing. See model.h. */
#include "policy/model.h"

#include <math.h>
#include <stdio.h>

#include "base/fmath.h"
#include "base/mem.h"

/* Floats of weights up to which both directions are packed ahead. */
#define SMALL_MODEL (4 << 20)
#define LATENT_EPS 1e-6f /* q_a_layernorm, kv_a_layernorm: transformers' class default */

static int tensor_of(const struct weights *w, int layer, const char *suffix) {
    char name[WEIGHTS_NAME_MAX];
    snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, suffix);
    int t = weights_find(w, name);
    CHECK(t >= 0);
    return t;
}

static struct linear linear_of(const struct weights *w, int tensor) {
    const struct weights_tensor *t = &w->tensor[tensor];
    return (struct linear){.in = t->cols, .out = t->rows, .w = weights_at(w, tensor),
                           .ld = (size_t)t->cols, .grad = t->offset};
}

static struct norm norm_of(const struct weights *w, int tensor, float eps) {
    const struct weights_tensor *t = &w->tensor[tensor];
    return (struct norm){.n = t->cols, .w = weights_at(w, tensor), .eps = eps,
                         .grad = t->offset};
}

static struct mlp mlp_of(const struct weights *w, int layer, const char *prefix) {
    static const char *const part[3] = {"gate_proj", "up_proj", "down_proj"};
    struct linear l[3];
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%s", prefix, part[i]);
        l[i] = linear_of(w, tensor_of(w, layer, name));
    }
    return (struct mlp){.width = l[0].out, .gate = l[0], .up = l[1], .down = l[2]};
}

/* kv_b_proj is [H][nope + v][r]: head h's first rows make keys, the others values. */
static void split_kv_b(struct layer *l, const struct weights *w, int tensor) {
    const struct policy_config *c = &w->cfg;
    int nope = c->qk_nope_head_dim, v = c->v_head_dim, r = c->kv_lora_rank;
    l->k_up = mem_new((size_t)c->num_attention_heads, sizeof *l->k_up);
    l->v_up = mem_new((size_t)c->num_attention_heads, sizeof *l->v_up);
    for (int h = 0; h < c->num_attention_heads; h++) {
        size_t at = (size_t)h * (size_t)(nope + v) * (size_t)r;
        size_t at_v = at + (size_t)nope * (size_t)r;
        const float *p = weights_at(w, tensor);
        size_t grad = w->tensor[tensor].offset;
        l->k_up[h] = (struct linear){.in = nope, .out = r, .w = p + at, .ld = (size_t)r,
                                     .by_input = true, .grad = grad + at};
        l->v_up[h] = (struct linear){.in = r, .out = v, .w = p + at_v, .ld = (size_t)r,
                                     .grad = grad + at_v};
    }
}

static void mla_init(struct layer *l, const struct weights *w, int i) {
    const struct policy_config *c = &w->cfg;
    l->kv_norm = norm_of(w, tensor_of(w, i, "self_attn.kv_a_layernorm"), LATENT_EPS);
    if (c->q_lora_rank > 0) {
        l->q_a = linear_of(w, tensor_of(w, i, "self_attn.q_a_proj"));
        l->q_norm = norm_of(w, tensor_of(w, i, "self_attn.q_a_layernorm"), LATENT_EPS);
        l->q_b = linear_of(w, tensor_of(w, i, "self_attn.q_b_proj"));
    } else {
        l->q_b = linear_of(w, tensor_of(w, i, "self_attn.q_proj"));
    }
    l->kv_a = linear_of(w, tensor_of(w, i, "self_attn.kv_a_proj_with_mqa"));
    split_kv_b(l, w, tensor_of(w, i, "self_attn.kv_b_proj"));
}

static void gqa_init(struct layer *l, const struct weights *w, int i) {
    l->q_b = linear_of(w, tensor_of(w, i, "self_attn.q_proj"));
    l->k = linear_of(w, tensor_of(w, i, "self_attn.k_proj"));
    l->v = linear_of(w, tensor_of(w, i, "self_attn.v_proj"));
}

static void layer_init(struct layer *l, const struct weights *w, int i) {
    const struct policy_config *c = &w->cfg;
    float eps = (float)c->rms_norm_eps;
    l->input_norm = norm_of(w, tensor_of(w, i, "input_layernorm"), eps);
    l->post_norm = norm_of(w, tensor_of(w, i, "post_attention_layernorm"), eps);
    if (c->arch == POLICY_LLAMA)
        gqa_init(l, w, i);
    else
        mla_init(l, w, i);
    l->o = linear_of(w, tensor_of(w, i, "self_attn.o_proj"));
    l->moe = i >= c->first_k_dense_replace;
    if (!l->moe) {
        l->dense = mlp_of(w, i, "mlp");
        return;
    }
    l->router = linear_of(w, tensor_of(w, i, "mlp.gate"));
    char name[WEIGHTS_NAME_MAX];
    snprintf(name, sizeof name, "model.layers.%d.mlp.gate.e_score_correction_bias", i);
    l->router_bias_tensor = weights_find(w, name);
    CHECK(l->router_bias_tensor >= 0);
    l->router_bias = weights_at(w, l->router_bias_tensor);
    if (c->n_shared_experts > 0) l->dense = mlp_of(w, i, "mlp.shared_experts");
    l->expert = mem_new((size_t)c->n_routed_experts, sizeof *l->expert);
    for (int e = 0; e < c->n_routed_experts; e++) {
        snprintf(name, sizeof name, "mlp.experts.%d", e);
        l->expert[e] = mlp_of(w, i, name);
    }
}

static double yarn_mscale(double factor, double mscale) {
    return factor <= 1 ? 1.0 : 0.1 * mscale * fmath_log(factor) + 1.0;
}

/* Inverse frequencies of YaRN (arXiv 2309.00071, eq. 23) or plain rope, rounded to f32 as
 * the reference keeps them. Returns the factor on cos and sin. */
static double rope_frequencies(const struct policy_config *c, float *inv) {
    const struct policy_yarn *y = &c->yarn;
    int dim = c->qk_rope_head_dim;
    double low = 0, high = 0;
    if (y->on) {
        double span = 2 * fmath_log(c->rope_theta), turns[2] = {y->beta_fast, y->beta_slow};
        double at[2];
        for (int i = 0; i < 2; i++)
            at[i] = dim *
                    fmath_log(y->original_max_position_embeddings /
                              (turns[i] * 2 * 3.14159265358979323846)) /
                    span;
        low = y->truncate ? floor(at[0]) : at[0];
        high = y->truncate ? ceil(at[1]) : at[1];
        if (low < 0) low = 0;
        if (high > dim - 1) high = dim - 1;
        if (low == high) high += 0.001;
    }
    for (int j = 0; j < dim / 2; j++) {
        double f = 1 / fmath_pow(c->rope_theta, 2.0 * j / dim);
        if (y->on) {
            double ramp = (j - low) / (high - low);
            ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
            f = f / y->factor * ramp + f * (1 - ramp);
        }
        inv[j] = (float)f;
    }
    if (!y->on) return 1;
    if (y->attention_factor > 0) return y->attention_factor;
    if (y->mscale != 0 && y->mscale_all_dim != 0)
        return yarn_mscale(y->factor, y->mscale) / yarn_mscale(y->factor, y->mscale_all_dim);
    return yarn_mscale(y->factor, 1);
}

static void rope_init(struct model *m) {
    int half = m->cfg.qk_rope_head_dim / 2;
    float *inv = mem_new((size_t)half, sizeof *inv);
    double factor = rope_frequencies(&m->cfg, inv);
    size_t n = (size_t)m->max_pos * (size_t)half;
    m->rope_cos = mem_new(n, sizeof *m->rope_cos);
    m->rope_sin = mem_new(n, sizeof *m->rope_sin);
    for (int p = 0; p < m->max_pos; p++) {
        for (int j = 0; j < half; j++) {
            double angle = (float)p * inv[j];
            size_t at = (size_t)p * (size_t)half + (size_t)j;
            m->rope_cos[at] = (float)(fmath_cos(angle) * factor);
            m->rope_sin[at] = (float)(fmath_sin(angle) * factor);
        }
    }
    mem_free(inv);
}

/* Calls f on every linear of the model, in slab order. */
static void each_linear(struct model *m, void (*f)(struct linear *, void *), void *ctx) {
    for (int i = 0; i < m->cfg.num_hidden_layers; i++) {
        struct layer *l = &m->layer[i];
        struct linear *fixed[] = {&l->q_a,    &l->q_b,        &l->kv_a,     &l->k,
                                  &l->v,      &l->o,          &l->router,   &l->dense.gate,
                                  &l->dense.up, &l->dense.down};
        for (size_t j = 0; j < sizeof fixed / sizeof *fixed; j++)
            if (fixed[j]->w) f(fixed[j], ctx);
        for (int h = 0; l->k_up && h < m->cfg.num_attention_heads; h++) {
            f(&l->k_up[h], ctx);
            f(&l->v_up[h], ctx);
        }
        for (int e = 0; l->expert && e < m->cfg.n_routed_experts; e++) {
            f(&l->expert[e].gate, ctx);
            f(&l->expert[e].up, ctx);
            f(&l->expert[e].down, ctx);
        }
    }
    f(&m->head, ctx);
}

struct placing {
    bool fwd, bwd;
    size_t used; /* floats */
    float *slab; /* NULL while only counting */
    struct linear **list;
    int n;
};

static void place(struct linear *l, void *ctx) {
    struct placing *p = ctx;
    if (p->list) p->list[p->n] = l;
    p->n++;
    if (p->fwd) {
        if (p->slab) l->fwd_mem = p->slab + p->used;
        p->used += linear_packed_size(l, l->in, l->out);
    }
    if (p->bwd) {
        if (p->slab) l->bwd_mem = p->slab + p->used;
        p->used += linear_packed_size(l, l->out, l->in);
    }
}

static struct placing placing_of(const struct model *m) {
    bool small = !model_is_large(m);
    return (struct placing){.fwd = m->options.decodes || small,
                            .bwd = m->options.trains && small};
}

void model_pack(struct model *m, int n_threads) {
    struct placing p = placing_of(m);
    each_linear(m, place, &p); /* counts */
    if (p.used == 0) return;
    struct linear **list = mem_new((size_t)p.n, sizeof *list);
    struct placing fill = placing_of(m);
    fill.slab = m->slab, fill.list = list;
    each_linear(m, place, &fill);
#pragma omp parallel for schedule(dynamic) num_threads(n_threads)
    for (int i = 0; i < fill.n; i++) linear_pack(m->k, list[i]);
    mem_free(list);
}

static void compute_in_bf16(struct linear *l, void *ctx) {
    (void)ctx;
    l->bf16 = true;
}

static void attention_shape(struct model *m) {
    const struct policy_config *c = &m->cfg;
    bool gqa = c->arch == POLICY_LLAMA;
    m->qd = c->qk_nope_head_dim + c->qk_rope_head_dim;
    m->n_kv = gqa ? c->num_key_value_heads : 1;
    m->key_dim = gqa ? c->head_dim : c->kv_lora_rank + c->qk_rope_head_dim;
    m->val_dim = gqa ? c->head_dim : c->kv_lora_rank;
    m->dk = m->n_kv * m->key_dim;
    m->dv = gqa ? m->n_kv * m->val_dim : 0;
    double scale = 1 / sqrt((double)m->qd);
    if (c->yarn.on && c->yarn.mscale_all_dim != 0) {
        double mscale = yarn_mscale(c->yarn.factor, c->yarn.mscale_all_dim);
        scale = scale * mscale * mscale;
    }
    m->attn_scale = (float)scale;
}

void model_init_as(struct model *m, const struct weights *w, const struct kernels *k,
                   struct model_options options) {
    const struct policy_config *c = &w->cfg;
    *m = (struct model){.k = k, .w = w, .cfg = *c, .max_pos = options.max_pos,
                        .dtype = options.dtype, .options = options};
    attention_shape(m);
    rope_init(m);
    m->layer = mem_new((size_t)c->num_hidden_layers, sizeof *m->layer);
    for (int i = 0; i < c->num_hidden_layers; i++) layer_init(&m->layer[i], w, i);
    m->final_norm = norm_of(w, weights_find(w, "model.norm.weight"), (float)c->rms_norm_eps);
    int embed = weights_find(w, "model.embed_tokens.weight");
    m->embed = weights_at(w, embed);
    m->embed_grad = w->tensor[embed].offset;
    m->head = linear_of(w, c->tie_word_embeddings ? embed : weights_find(w, "lm_head.weight"));
    if (options.dtype == COMPUTE_BF16) {
        each_linear(m, compute_in_bf16, NULL);
        /* who is routed where is decided in f32 */
        for (int i = 0; i < c->num_hidden_layers; i++) m->layer[i].router.bf16 = false;
    }
    struct placing count = placing_of(m);
    each_linear(m, place, &count);
    m->slab = mem_new(count.used + 1, sizeof *m->slab);
    model_pack(m, 1);
}

void model_init(struct model *m, const struct weights *w, const struct kernels *k,
                int max_pos, bool trains) {
    model_init_as(m, w, k, (struct model_options){.max_pos = max_pos, .trains = trains, .decodes = true});
}

bool model_is_large(const struct model *m) {
    return m->options.large || m->w->n_data > SMALL_MODEL;
}

void model_clear(struct model *m) {
    for (int i = 0; m->layer && i < m->cfg.num_hidden_layers; i++) {
        mem_free(m->layer[i].k_up);
        mem_free(m->layer[i].v_up);
        mem_free(m->layer[i].expert);
    }
    mem_free(m->layer);
    mem_free(m->rope_cos);
    mem_free(m->rope_sin);
    mem_free(m->slab);
    *m = (struct model){0};
}

size_t model_active_params(const struct model *m) {
    const struct policy_config *c = &m->cfg;
    size_t n = (size_t)c->vocab_size * (size_t)c->hidden_size;
    for (int i = 0; i < c->num_hidden_layers; i++) {
        const struct layer *l = &m->layer[i];
        const struct linear *fixed[] = {&l->q_a, &l->q_b, &l->kv_a, &l->o, &l->router,
                                        &l->dense.gate, &l->dense.up, &l->dense.down,
                                        &l->k,          &l->v};
        for (size_t j = 0; j < sizeof fixed / sizeof *fixed; j++)
            n += (size_t)fixed[j]->in * (size_t)fixed[j]->out;
        n += (size_t)c->num_attention_heads * (size_t)c->kv_lora_rank *
             (size_t)(c->qk_nope_head_dim + c->v_head_dim);
        if (l->moe)
            n += 3 * (size_t)c->num_experts_per_tok * (size_t)c->hidden_size *
                 (size_t)c->moe_intermediate_size;
    }
    return n;
}

void model_rope(const struct model *m, int n, int pos, const float *x, size_t ldx, float *y,
                size_t ldy, bool back) {
    int half = m->cfg.qk_rope_head_dim / 2;
    size_t at = (size_t)pos * (size_t)half;
    m->k->rope(n, half, m->rope_cos + at, m->rope_sin + at, m->cfg.rope_interleave, back, x, ldx,
               y, ldy);
}
