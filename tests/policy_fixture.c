/* tests/policy_fixture.c: see policy_fixture.h. */
#include "tests/policy_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"

static struct policy_config grouped(int vocab_size, int max_pos) {
    struct policy_config c = policy_config_default_llama();
    c.vocab_size = vocab_size, c.max_position_embeddings = max_pos;
    c.hidden_size = 18, c.intermediate_size = 27, c.num_hidden_layers = 2;
    c.num_attention_heads = 6, c.num_key_value_heads = 2, c.head_dim = 10;
    c.initializer_range = 0.3, c.pad_token_id = 0;
    return c;
}

static struct policy_config config_of(enum policy_shape shape, int vocab_size,
                                      int max_pos) {
    if (shape == POLICY_GROUPED || shape == POLICY_GROUPED_BF16 ||
        shape == POLICY_GROUPED_LARGE || shape == POLICY_GROUPED_LARGE_BF16)
        return grouped(vocab_size, max_pos);
    struct policy_config c = policy_config_default();
    c.vocab_size = vocab_size;
    c.hidden_size = 20, c.intermediate_size = 27, c.moe_intermediate_size = 9;
    c.num_hidden_layers = 3, c.num_attention_heads = 3, c.q_lora_rank = 0;
    c.kv_lora_rank = 11, c.qk_rope_head_dim = 4, c.qk_nope_head_dim = 5, c.v_head_dim = 7;
    c.n_routed_experts = 5, c.n_shared_experts = 1, c.num_experts_per_tok = 2;
    c.n_group = 1, c.topk_group = 1, c.first_k_dense_replace = 1;
    c.initializer_range = 0.3;
    c.max_position_embeddings = max_pos;
    c.bos_token_id = 1, c.eos_token_id = 2, c.pad_token_id = 0;
    if (shape == POLICY_LORA) {
        c.q_lora_rank = 13, c.n_routed_experts = 8, c.n_group = 4, c.topk_group = 2;
        c.num_experts_per_tok = 3, c.first_k_dense_replace = 0, c.num_hidden_layers = 2;
        c.n_shared_experts = 0, c.rope_interleave = false;
    }
    if (shape == POLICY_DENSE) c.first_k_dense_replace = c.num_hidden_layers;
    if (shape == POLICY_TIED) c.tie_word_embeddings = true;
    return c;
}

void policy_fixture_init(struct policy_fixture *f, enum policy_shape shape,
                         int vocab_size, int max_pos) {
    struct policy_config c = config_of(shape, vocab_size, max_pos);
    struct err err;
    const struct kernels *k;
    policy_config_derive(&c);
    CHECK(policy_config_check(&c, "fixture", &err) == 0);
    CHECK(kernels_find(&k, "auto", &err) == 0);
    weights_init(&f->w, &c);
    weights_randomize(&f->w, 17);
    struct rng_key key = {.seed = 17, .purpose = RNG_TEST};
    for (int i = 0; i < f->w.n_tensors; i++) { /* norms near 1, router biases near 0 */
        const struct weights_tensor *t = &f->w.tensor[i];
        float *p = weights_at(&f->w, i);
        key.step = (uint32_t)i;
        for (int j = 0; j < t->cols && t->n_dims == 1; j++)
            p[j] += (float)(rng_uniform(&key, (uint32_t)j) * 0.4 - 0.2);
    }
    bool bf16 = shape == POLICY_BF16 || shape == POLICY_GROUPED_BF16 || shape >= POLICY_LARGE_BF16;
    model_init_as(&f->m, &f->w, k,
                  (struct model_options){.max_pos = max_pos, .trains = true, .decodes = true,
                                         .dtype = bf16 ? COMPUTE_BF16 : COMPUTE_F32,
                                         .large = shape >= POLICY_LARGE});
}

void policy_fixture_clear(struct policy_fixture *f) {
    model_clear(&f->m);
    weights_clear(&f->w);
}

void assert_same_policy_config(const struct policy_config *a,
                               const struct policy_config *b) {
    struct buf x = {0}, y = {0};
    policy_config_print(a, &x);
    policy_config_print(b, &y);
    assert_string_equal(buf_text(&x), buf_text(&y));
    buf_clear(&x);
    buf_clear(&y);
}
