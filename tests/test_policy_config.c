/* tests/test_policy_config.c: config.json in both dialects, what is refused, the layout
 * of the weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/json.h"
#include "policy/config.h"
#include "policy/weights.h"
#include "tests/policy_fixture.h"

static int parse(struct policy_config *cfg, const char *text, bool strict,
                 struct err *err) {
    cJSON *json;
    if (json_parse(&json, text, strlen(text), "c.json", 1, err) != 0) return -1;
    int rc = policy_config_parse(cfg, json, "c.json", strict, err);
    json_free(json);
    return rc;
}

static struct policy_config parsed(const char *text, bool strict) {
    struct policy_config cfg;
    struct err err = {0};
    if (parse(&cfg, text, strict, &err) != 0) fail_msg("%s: %s", text, err.msg);
    return cfg;
}

static struct policy_config small(void) {
    struct policy_config cfg = policy_config_default();
    cfg.vocab_size = 53;
    cfg.hidden_size = 40;
    cfg.intermediate_size = 36;
    cfg.moe_intermediate_size = 14;
    cfg.num_hidden_layers = 3;
    cfg.num_attention_heads = 3;
    cfg.q_lora_rank = 0;
    cfg.kv_lora_rank = 20;
    cfg.qk_rope_head_dim = 6;
    cfg.qk_nope_head_dim = 10;
    cfg.v_head_dim = 12;
    cfg.n_routed_experts = 6;
    cfg.num_experts_per_tok = 2;
    cfg.n_group = cfg.topk_group = 1;
    cfg.first_k_dense_replace = 1;
    policy_config_derive(&cfg);
    return cfg;
}

static struct policy_config small_llama(void) {
    struct policy_config cfg = policy_config_default_llama();
    cfg.vocab_size = 47;
    cfg.hidden_size = 36;
    cfg.intermediate_size = 40;
    cfg.num_hidden_layers = 2;
    cfg.num_attention_heads = 6;
    cfg.num_key_value_heads = 2;
    policy_config_derive(&cfg);
    return cfg;
}

/* ---- reading ---- */

static void test_config_empty_object_gives_the_published_defaults(void **state) {
    (void)state;
    struct policy_config cfg = parsed("{}", true), want = policy_config_default();
    struct err err = {0};
    assert_same_policy_config(&cfg, &want);
    assert_int_equal(cfg.vocab_size, 129280);
    assert_int_equal(cfg.pad_token_id, -1);
    if (policy_config_check(&cfg, "c.json", &err) != 0) fail_msg("%s", err.msg);
}

/* config.json as deepseek-ai published it with DeepSeek-V3, less its quantization. */
static void test_config_reads_the_published_file(void **state) {
    (void)state;
    struct policy_config cfg = parsed(
        "{\"architectures\":[\"DeepseekV3ForCausalLM\"],\"attention_bias\":false,"
        "\"attention_dropout\":0.0,\"auto_map\":{\"AutoConfig\":\"a.B\"},"
        "\"aux_loss_alpha\":0.001,\"bos_token_id\":0,\"eos_token_id\":1,\"ep_size\":1,"
        "\"first_k_dense_replace\":3,\"hidden_act\":\"silu\",\"hidden_size\":7168,"
        "\"initializer_range\":0.02,\"intermediate_size\":18432,\"kv_lora_rank\":512,"
        "\"max_position_embeddings\":163840,\"model_type\":\"deepseek_v3\","
        "\"moe_intermediate_size\":2048,\"moe_layer_freq\":1,\"n_group\":8,"
        "\"n_routed_experts\":256,\"n_shared_experts\":1,\"norm_topk_prob\":true,"
        "\"num_attention_heads\":128,\"num_experts_per_tok\":8,\"num_hidden_layers\":61,"
        "\"num_key_value_heads\":128,\"num_nextn_predict_layers\":1,\"pretraining_tp\":1,"
        "\"q_lora_rank\":1536,\"qk_nope_head_dim\":128,\"qk_rope_head_dim\":64,"
        "\"rms_norm_eps\":1e-06,\"rope_scaling\":{\"beta_fast\":32,\"beta_slow\":1,"
        "\"factor\":40,\"mscale\":1.0,\"mscale_all_dim\":1.0,"
        "\"original_max_position_embeddings\":4096,\"type\":\"yarn\"},\"rope_theta\":"
        "10000,"
        "\"routed_scaling_factor\":2.5,\"scoring_func\":\"sigmoid\",\"seq_aux\":true,"
        "\"tie_word_embeddings\":false,\"topk_group\":4,\"topk_method\":\"noaux_tc\","
        "\"torch_dtype\":\"bfloat16\",\"transformers_version\":\"4.33.1\","
        "\"use_cache\":true,\"v_head_dim\":128,\"vocab_size\":129280}",
        true);
    struct policy_config want = policy_config_default();
    want.max_position_embeddings = 163840;
    want.yarn.on = true;
    want.yarn.factor = 40;
    want.yarn.mscale = want.yarn.mscale_all_dim = 1;
    want.yarn.original_max_position_embeddings = 4096;
    assert_same_policy_config(&cfg, &want);
    assert_true(cfg.yarn.beta_fast == 32 && cfg.yarn.beta_slow == 1 && cfg.yarn.truncate);
}

static void test_config_reads_both_dialects_alike(void **state) {
    (void)state;
    static const char *const same[] = {
        "{\"rope_theta\":500,\"max_position_embeddings\":64,\"rope_scaling\":"
        "{\"type\":\"yarn\",\"factor\":4,\"original_max_position_embeddings\":16}}",
        "{\"max_position_embeddings\":64,\"rope_parameters\":{\"rope_theta\":500.0,"
        "\"rope_type\":\"yarn\",\"factor\":4.0,\"original_max_position_embeddings\":16}}",
        /* an inner theta counts more than an outer one; a null is as good as nothing */
        "{\"rope_theta\":9,\"max_position_embeddings\":64,\"rope_scaling\":null,"
        "\"rope_parameters\":{\"rope_theta\":500,\"rope_type\":\"yarn\",\"factor\":null,"
        "\"mscale\":null,\"original_max_position_embeddings\":16}}",
        /* rope_scaling counts more than rope_parameters */
        "{\"rope_theta\":500,\"max_position_embeddings\":64,\"rope_scaling\":"
        "{\"rope_type\":\"yarn\",\"type\":\"linear\",\"factor\":4,"
        "\"original_max_position_embeddings\":16},\"rope_parameters\":{\"factor\":2}}",
        "{\"rope_theta\":500,\"max_position_embeddings\":64,"
        "\"original_max_position_embeddings\":16,"
        "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4}}",
    };
    struct policy_config first = parsed(same[0], true);
    assert_true(first.yarn.on && first.yarn.factor == 4 && first.rope_theta == 500);
    assert_int_equal(first.yarn.original_max_position_embeddings, 16);
    for (int i = 1; i < 5; i++) {
        struct policy_config cfg = parsed(same[i], true);
        assert_same_policy_config(&first, &cfg);
    }
    first =
        parsed("{\"rope_parameters\":{\"rope_theta\":77,\"rope_type\":\"default\"}}", 1);
    assert_true(first.rope_theta == 77 && !first.yarn.on);
    first = parsed("{\"rope_theta\":78,\"rope_scaling\":null}", 1);
    assert_true(first.rope_theta == 78 && !first.yarn.on);
}

static void test_config_null_means_what_it_means_in_transformers(void **state) {
    (void)state;
    struct policy_config cfg =
        parsed("{\"q_lora_rank\":null,\"n_shared_experts\":null,\"n_group\":null,"
               "\"topk_group\":null,\"bos_token_id\":null,\"eos_token_id\":null,"
               "\"pad_token_id\":null,\"norm_topk_prob\":null,\"rope_interleave\":null,"
               "\"num_key_value_heads\":null,\"quantization_config\":null}",
               true);
    assert_int_equal(cfg.q_lora_rank, 0);
    assert_int_equal(cfg.n_shared_experts, 0);
    assert_int_equal(cfg.n_group, 1);
    assert_int_equal(cfg.topk_group, 1);
    assert_int_equal(cfg.bos_token_id, -1);
    assert_int_equal(cfg.eos_token_id, -1);
    assert_int_equal(cfg.pad_token_id, -1);
    assert_false(cfg.norm_topk_prob);
    assert_false(cfg.rope_interleave);
    cfg = parsed("{\"eos_token_id\":[5,6]}", true);
    assert_int_equal(cfg.eos_token_id, 5);
}

static void test_config_unknown_keys_count_only_when_strict(void **state) {
    (void)state;
    struct policy_config cfg;
    struct err err = {0};
    cfg = parsed("{\"hiden_size\":3,\"rope_scaling\":{\"type\":\"default\",\"a\":1}}",
                 false);
    assert_int_equal(cfg.hidden_size, 7168);
    assert_int_equal(parse(&cfg, "{\"hiden_size\":3}", true, &err), -1);
    assert_int_equal(err.code, EX_CONFIG);
    assert_string_equal(err.msg,
                        "c.json: hiden_size: no such key; did you mean 'hidden_size'?");
    assert_int_equal(
        parse(&cfg, "{\"rope_scaling\":{\"type\":\"yarn\",\"beta_fsat\":1}}", true, &err),
        -1);
    assert_string_equal(err.msg,
                        "c.json: rope_scaling.beta_fsat: no such key; did you mean "
                        "'beta_fast'?");
}

static void test_config_refuses_what_is_not_built(void **state) {
    (void)state;
    static const struct {
        const char *json, *message;
    } bad[] = {
        {"{\"attention_bias\":true}", "c.json: attention_bias: only false is built"},
        {"{\"hidden_act\":\"gelu\"}",
         "hidden_act: only \"silu\" is built, found \"gelu\""},
        {"{\"scoring_func\":\"softmax\"}", "scoring_func: only \"sigmoid\" is built"},
        {"{\"topk_method\":\"greedy\"}", "topk_method: only \"noaux_tc\" is built"},
        {"{\"model_type\":\"qwen3\"}",
         "model_type: only \"deepseek_v3\" and \"llama\" are built, found \"qwen3\""},
        {"{\"model_type\":3}", "model_type: only \"deepseek_v3\" and \"llama\" are built"},
        {"{\"model_type\":\"llama\",\"attention_bias\":true}",
         "attention_bias: only false is built, found true"},
        {"{\"model_type\":\"llama\",\"mlp_bias\":true}", "mlp_bias: only false is built"},
        {"{\"model_type\":\"llama\",\"hidden_act\":\"gelu\"}", "hidden_act: only \"silu\""},
        {"{\"model_type\":\"llama\",\"pretraining_tp\":2}",
         "pretraining_tp: only 1 is built, found 2"},
        {"{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2}}",
         "rope_scaling.rope_type: only \"default\" is built for llama, found \"yarn\""},
        {"{\"model_type\":\"llama\",\"rope_parameters\":{\"rope_type\":\"llama3\"}}",
         "rope_parameters.rope_type: only \"default\" is built for llama, found \"llama3\""},
        {"{\"moe_layer_freq\":2}", "moe_layer_freq: only 1 is built, found 2"},
        {"{\"attention_dropout\":0.1}", "attention_dropout: only 0 is built, found 0.1"},
        {"{\"mlp_bias\":true}", "mlp_bias: only false is built, found true"},
        {"{\"partial_rotary_factor\":0.5}", "partial_rotary_factor: only 1 is built"},
        {"{\"quantization_config\":{}}", "quantization_config: only null is built"},
        {"{\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}}",
         "rope_scaling.rope_type: only \"default\" and \"yarn\" are built, found "
         "\"linear\""},
        {"{\"rope_parameters\":{\"rope_type\":\"llama3\"}}",
         "rope_parameters.rope_type: only \"default\" and \"yarn\""},
        {"{\"rope_parameters\":{\"partial_rotary_factor\":0.5}}",
         "partial_rotary_factor"},
        {"{\"num_key_value_heads\":8}",
         "num_key_value_heads: must be num_attention_heads"},
        {"{\"head_dim\":128}", "head_dim: must be qk_rope_head_dim = 64, found 128"},
        {"{\"qk_head_dim\":64}",
         "qk_head_dim: must be qk_nope_head_dim + qk_rope_head_dim"},
    };
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++) {
        for (int strict = 0; strict < 2; strict++) {
            struct policy_config cfg;
            struct err err = {0};
            if (parse(&cfg, bad[i].json, strict, &err) == 0)
                fail_msg("%s was taken", bad[i].json);
            assert_int_equal(err.code, EX_CONFIG);
            if (!strstr(err.msg, bad[i].message))
                fail_msg("%s: %s", bad[i].json, err.msg);
        }
    }
}

static void test_config_refuses_wrong_types(void **state) {
    (void)state;
    static const char *const bad[] = {
        "[]",
        "{\"vocab_size\":\"53\"}",
        "{\"vocab_size\":5.5}",
        "{\"vocab_size\":-1}",
        "{\"vocab_size\":3000000000}",
        "{\"vocab_size\":null}",
        "{\"q_lora_rank\":0}",
        "{\"bos_token_id\":-2}",
        "{\"eos_token_id\":[]}",
        "{\"eos_token_id\":[\"a\"]}",
        "{\"tie_word_embeddings\":1}",
        "{\"norm_topk_prob\":\"yes\"}",
        "{\"rms_norm_eps\":\"1e-6\"}",
        "{\"rms_norm_eps\":null}",
        "{\"rope_scaling\":\"yarn\"}",
        "{\"rope_scaling\":[1]}",
        "{\"rope_scaling\":{\"type\":1}}",
        "{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":0.5}}",
        "{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":\"4\"}}",
        "{\"rope_scaling\":{\"type\":\"yarn\",\"beta_fast\":0}}",
        "{\"rope_scaling\":{\"type\":\"yarn\",\"attention_factor\":0}}",
        "{\"rope_scaling\":{\"type\":\"yarn\",\"truncate\":0}}",
        "{\"rope_scaling\":{\"type\":\"yarn\",\"original_max_position_embeddings\":0}}",
        "{\"model_type\":\"llama\",\"head_dim\":0}",
        "{\"model_type\":\"llama\",\"num_key_value_heads\":0}",
        "{\"model_type\":\"llama\",\"num_key_value_heads\":1.5}",
        "{\"model_type\":\"llama\",\"rope_theta\":\"1e5\"}",
    };
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++) {
        struct policy_config cfg;
        struct err err = {0};
        if (parse(&cfg, bad[i], false, &err) == 0) fail_msg("%s was taken", bad[i]);
        assert_int_equal(err.code, EX_CONFIG);
        assert_non_null(strstr(err.msg, "c.json"));
    }
}

static void test_config_print_reads_back_strictly(void **state) {
    (void)state;
    struct policy_config cfg[3] = {policy_config_default(), small(), small()};
    cfg[1].norm_topk_prob = cfg[1].rope_interleave = false;
    cfg[1].tie_word_embeddings = true;
    cfg[1].n_shared_experts = 0;
    cfg[1].pad_token_id = cfg[1].bos_token_id = cfg[1].eos_token_id = -1;
    cfg[1].routed_scaling_factor = 1;
    cfg[1].rms_norm_eps = 1e-5 / 3;
    cfg[2].q_lora_rank = 7;
    cfg[2].rope_theta = 1e20;
    cfg[2].yarn = (struct policy_yarn){.on = true,
                                       .factor = 40,
                                       .beta_fast = 31,
                                       .beta_slow = 0.1,
                                       .mscale = 0.707,
                                       .mscale_all_dim = 1.5,
                                       .attention_factor = 1.25,
                                       .original_max_position_embeddings = 99,
                                       .truncate = false};
    for (int i = 0; i < 3; i++) {
        struct buf out = {0};
        policy_config_print(&cfg[i], &out);
        struct policy_config back = parsed(buf_text(&out), true);
        assert_same_policy_config(&cfg[i], &back);
        assert_true(back.rms_norm_eps == cfg[i].rms_norm_eps);
        assert_true(back.yarn.mscale == cfg[i].yarn.mscale);
        assert_true(back.yarn.attention_factor == cfg[i].yarn.attention_factor);
        assert_int_equal(back.yarn.truncate, cfg[i].yarn.truncate);
        buf_clear(&out);
    }
}

/* transformers refuses a whole number where it wants a float. */
static void test_config_print_writes_floats_as_floats(void **state) {
    (void)state;
    struct policy_config cfg = small();
    struct buf out = {0};
    cfg.routed_scaling_factor = 1;
    policy_config_print(&cfg, &out);
    assert_non_null(strstr(buf_text(&out), "\"routed_scaling_factor\": 1.0,"));
    assert_non_null(strstr(buf_text(&out), "\"rope_theta\": 10000.0,"));
    assert_non_null(strstr(buf_text(&out), "\"num_key_value_heads\": 3,"));
    assert_non_null(strstr(buf_text(&out), "\"q_lora_rank\": null,"));
    assert_non_null(strstr(buf_text(&out), "\"torch_dtype\": \"float32\""));
    buf_clear(&out);
}

/* ---- llama ---- */

static void test_config_llama_has_the_published_defaults(void **state) {
    (void)state;
    struct policy_config cfg = parsed("{\"model_type\":\"llama\"}", true);
    struct err err = {0};
    if (policy_config_check(&cfg, "c.json", &err) != 0) fail_msg("%s", err.msg);
    assert_int_equal(cfg.arch, POLICY_LLAMA);
    assert_int_equal(cfg.vocab_size, 32000);
    assert_int_equal(cfg.hidden_size, 4096);
    assert_int_equal(cfg.intermediate_size, 11008);
    assert_int_equal(cfg.num_hidden_layers, 32);
    assert_int_equal(cfg.num_attention_heads, 32);
    assert_int_equal(cfg.num_key_value_heads, 32);
    assert_int_equal(cfg.head_dim, 128);
    assert_int_equal(cfg.max_position_embeddings, 2048);
    assert_int_equal(cfg.bos_token_id, 1);
    assert_int_equal(cfg.eos_token_id, 2);
    assert_int_equal(cfg.pad_token_id, -1);
    assert_true(cfg.rms_norm_eps == 1e-6 && cfg.rope_theta == 10000);
    assert_true(cfg.initializer_range == 0.02);
    assert_false(cfg.tie_word_embeddings);
}

/* Shared code reads these without asking for the architecture. */
static void test_config_llama_fills_the_fields_of_the_other(void **state) {
    (void)state;
    struct policy_config cfg =
        parsed("{\"model_type\":\"llama\",\"num_hidden_layers\":5,\"head_dim\":40}", true);
    assert_int_equal(cfg.first_k_dense_replace, 5);
    assert_int_equal(cfg.n_routed_experts, 0);
    assert_int_equal(cfg.n_shared_experts, 0);
    assert_int_equal(cfg.num_experts_per_tok, 0);
    assert_int_equal(cfg.head_dim, 40);
    assert_int_equal(cfg.qk_rope_head_dim, 40);
    assert_int_equal(cfg.v_head_dim, 40);
    assert_int_equal(cfg.qk_nope_head_dim, 0);
    assert_int_equal(cfg.kv_lora_rank, 0);
    assert_int_equal(cfg.q_lora_rank, 0);
    assert_false(cfg.rope_interleave);
    cfg = parsed("{\"num_attention_heads\":16,\"qk_rope_head_dim\":32}", true);
    assert_int_equal(cfg.num_key_value_heads, 16);
    assert_int_equal(cfg.head_dim, 32);
}

/* config.json in the way of HuggingFaceTB's SmolLM2-135M, with its keys of other tools. */
static void test_config_llama_reads_published_files(void **state) {
    (void)state;
    static const char *const same[] = {
        "{\"architectures\":[\"LlamaForCausalLM\"],\"attention_bias\":false,"
        "\"attention_dropout\":0.0,\"bos_token_id\":0,\"eos_token_id\":0,"
        "\"hidden_act\":\"silu\",\"hidden_size\":576,\"initializer_range\":"
        "0.041666666666666664,\"intermediate_size\":1536,\"is_llama_config\":true,"
        "\"max_position_embeddings\":8192,\"mlp_bias\":false,\"model_type\":\"llama\","
        "\"num_attention_heads\":9,\"num_hidden_layers\":30,\"num_key_value_heads\":3,"
        "\"pretraining_tp\":1,\"rms_norm_eps\":1e-05,\"rope_interleaved\":false,"
        "\"rope_scaling\":null,\"rope_theta\":100000,\"tie_word_embeddings\":true,"
        "\"torch_dtype\":\"bfloat16\",\"transformers_version\":\"4.40.1\","
        "\"use_cache\":true,\"vocab_size\":49152}",
        "{\"bos_token_id\":0,\"eos_token_id\":[0],\"head_dim\":64,\"hidden_size\":576,"
        "\"initializer_range\":0.041666666666666664,\"intermediate_size\":1536,"
        "\"max_position_embeddings\":8192,\"model_type\":\"llama\","
        "\"num_attention_heads\":9,\"num_hidden_layers\":30,\"num_key_value_heads\":3,"
        "\"rms_norm_eps\":1e-05,\"rope_parameters\":{\"rope_theta\":100000.0,"
        "\"rope_type\":\"default\"},\"tie_word_embeddings\":true,\"vocab_size\":49152}",
    };
    struct err err = {0};
    struct policy_config first = parsed(same[0], false), second = parsed(same[1], true);
    if (policy_config_check(&first, "c.json", &err) != 0) fail_msg("%s", err.msg);
    assert_same_policy_config(&first, &second);
    assert_int_equal(first.head_dim, 64);
    assert_true(first.rope_theta == 100000 && first.rms_norm_eps == 1e-5);
    assert_true(first.tie_word_embeddings);
}

static void test_config_llama_print_reads_back_strictly(void **state) {
    (void)state;
    struct policy_config cfg[2] = {small_llama(), small_llama()};
    cfg[1].head_dim = 8;
    cfg[1].tie_word_embeddings = true;
    cfg[1].bos_token_id = cfg[1].eos_token_id = -1;
    cfg[1].rope_theta = 77;
    policy_config_derive(&cfg[1]);
    for (int i = 0; i < 2; i++) {
        struct buf out = {0};
        policy_config_print(&cfg[i], &out);
        assert_non_null(strstr(buf_text(&out), "\"LlamaForCausalLM\""));
        assert_non_null(strstr(buf_text(&out), "\"model_type\": \"llama\""));
        assert_null(strstr(buf_text(&out), "lora_rank"));
        assert_null(strstr(buf_text(&out), "experts"));
        struct policy_config back = parsed(buf_text(&out), true);
        assert_same_policy_config(&back, &cfg[i]);
        buf_clear(&out);
    }
}

static void test_config_llama_check_names_the_key(void **state) {
    (void)state;
    static const struct {
        const char *json, *message;
    } bad[] = {
        {"\"num_attention_heads\":5", "num_attention_heads 5 does not divide hidden_size 36"},
        {"\"num_key_value_heads\":4",
         "num_key_value_heads 4 does not divide num_attention_heads 6"},
        {"\"num_key_value_heads\":7", "num_key_value_heads is 7, must be from 1 to 6"},
        {"\"num_attention_heads\":12", "head_dim is 3, must be even"},
        {"\"head_dim\":7", "head_dim is 7, must be even"},
        {"\"head_dim\":2000000000", "head_dim x hidden_size is too large"},
        {"\"vocab_size\":2000000000", "vocab_size x hidden_size is too large"},
        {"\"num_hidden_layers\":1025", "num_hidden_layers is 1025"},
        {"\"intermediate_size\":0", "intermediate_size is 0"},
        {"\"rms_norm_eps\":2", "rms_norm_eps is 2"},
        {"\"eos_token_id\":47", "eos_token_id is 47, must be from -1 to 46"},
    };
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++) {
        char text[512];
        struct err err = {0};
        cJSON *json, *change;
        snprintf(text, sizeof text,
                 "{\"model_type\":\"llama\",\"vocab_size\":47,\"hidden_size\":36,"
                 "\"intermediate_size\":40,\"num_attention_heads\":6,"
                 "\"num_hidden_layers\":2}");
        assert_int_equal(json_parse(&json, text, strlen(text), "c.json", 1, &err), 0);
        snprintf(text, sizeof text, "{%s}", bad[i].json);
        assert_int_equal(json_parse(&change, text, strlen(text), "c.json", 1, &err), 0);
        cJSON *item = cJSON_DetachItemViaPointer(change, change->child);
        cJSON_DeleteItemFromObjectCaseSensitive(json, item->string);
        cJSON_AddItemToArray(json, item);
        struct policy_config cfg;
        assert_int_equal(policy_config_parse(&cfg, json, "c.json", true, &err), 0);
        assert_int_equal(policy_config_check(&cfg, "c.json", &err), -1);
        assert_int_equal(err.code, EX_CONFIG);
        if (!strstr(err.msg, bad[i].message)) fail_msg("%s: %s", bad[i].json, err.msg);
        json_free(json);
        json_free(change);
    }
}

/* ---- ranges ---- */

static void test_config_check_names_the_key_out_of_range(void **state) {
    (void)state;
    const struct {
        size_t offset;
        int value;
        const char *message;
    } bad[] = {
        {offsetof(struct policy_config, vocab_size), 0,
         "vocab_size is 0, must be at least 1"},
        {offsetof(struct policy_config, hidden_size), -3, "hidden_size is -3"},
        {offsetof(struct policy_config, num_hidden_layers), 1025,
         "num_hidden_layers is 1025"},
        {offsetof(struct policy_config, qk_rope_head_dim), 7,
         "qk_rope_head_dim is 7, must be even"},
        {offsetof(struct policy_config, qk_nope_head_dim), 0, "qk_nope_head_dim is 0"},
        {offsetof(struct policy_config, n_group), 4,
         "n_group 4 does not divide n_routed"},
        {offsetof(struct policy_config, n_group), 6, "leaves 1 expert a group"},
        {offsetof(struct policy_config, topk_group), 2,
         "topk_group 2 is more than n_group 1"},
        {offsetof(struct policy_config, num_experts_per_tok), 7,
         "num_experts_per_tok 7 is more"},
        {offsetof(struct policy_config, num_experts_per_tok), 0,
         "num_experts_per_tok is 0"},
        {offsetof(struct policy_config, eos_token_id), 53,
         "eos_token_id is 53, must be from -1 to 52"},
        {offsetof(struct policy_config, hidden_size), 2000000000,
         "x hidden_size is too large"},
        {offsetof(struct policy_config, num_attention_heads), 2000000000, "is too large"},
        {offsetof(struct policy_config, kv_lora_rank), 100000000, "kv_lora_rank x"},
        {offsetof(struct policy_config, q_lora_rank), 100000000, "q_lora_rank x"},
        {offsetof(struct policy_config, n_shared_experts), 65536 * 2,
         "n_shared_experts is"},
    };
    struct policy_config cfg = small();
    struct err err = {0};
    if (policy_config_check(&cfg, "c.json", &err) != 0) fail_msg("%s", err.msg);
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++) {
        cfg = small();
        *(int *)((char *)&cfg + bad[i].offset) = bad[i].value;
        assert_int_equal(policy_config_check(&cfg, "c.json", &err), -1);
        assert_int_equal(err.code, EX_CONFIG);
        if (!strstr(err.msg, bad[i].message)) fail_msg("%s: %s", bad[i].message, err.msg);
    }
}

static void test_config_check_refuses_nan_and_odd_doubles(void **state) {
    (void)state;
    struct err err = {0};
    static const double bad[] = {0.0 / 0.0, 1.0 / 0.0, -1};
    static const size_t field[] = {offsetof(struct policy_config, rms_norm_eps),
                                   offsetof(struct policy_config, routed_scaling_factor),
                                   offsetof(struct policy_config, initializer_range),
                                   offsetof(struct policy_config, rope_theta)};
    for (int i = 0; i < 3; i++) {
        for (int f = 0; f < 4; f++) {
            struct policy_config cfg = small();
            *(double *)((char *)&cfg + field[f]) = bad[i];
            assert_int_equal(policy_config_check(&cfg, "c.json", &err), -1);
        }
    }
    struct policy_config cfg = small();
    cfg.yarn.on = true;
    cfg.yarn.original_max_position_embeddings = 16;
    assert_int_equal(policy_config_check(&cfg, "c.json", &err), 0);
    cfg.yarn.beta_slow = 33;
    assert_int_equal(policy_config_check(&cfg, "c.json", &err), -1);
    assert_non_null(
        strstr(err.msg, "rope_scaling.beta_fast 32 is less than beta_slow 33"));
}

static void test_config_check_asks_nothing_of_a_router_that_is_not_there(void **state) {
    (void)state;
    struct policy_config cfg = small();
    struct err err = {0};
    cfg.first_k_dense_replace = 3;
    cfg.n_group = 5;
    assert_int_equal(policy_config_check(&cfg, "c.json", &err), 0);
}

/* ---- weights ---- */

static void test_weights_lie_in_order_on_64_byte_boundaries(void **state) {
    (void)state;
    static const char *const order[] = {
        "model.embed_tokens.weight",
        "model.layers.0.input_layernorm.weight",
        "model.layers.0.self_attn.q_a_proj.weight",
        "model.layers.0.self_attn.q_a_layernorm.weight",
        "model.layers.0.self_attn.q_b_proj.weight",
        "model.layers.0.self_attn.kv_a_proj_with_mqa.weight",
        "model.layers.0.self_attn.kv_a_layernorm.weight",
        "model.layers.0.self_attn.kv_b_proj.weight",
        "model.layers.0.self_attn.o_proj.weight",
        "model.layers.0.post_attention_layernorm.weight",
        "model.layers.0.mlp.gate_proj.weight",
        "model.layers.0.mlp.up_proj.weight",
        "model.layers.0.mlp.down_proj.weight",
        "model.layers.1.input_layernorm.weight",
    };
    struct policy_config cfg = small();
    struct weights w;
    cfg.q_lora_rank = 7;
    weights_init(&w, &cfg);
    for (int i = 0; i < 14; i++) assert_string_equal(w.tensor[i].name, order[i]);
    assert_string_equal(w.tensor[w.n_tensors - 2].name, "model.norm.weight");
    assert_string_equal(w.tensor[w.n_tensors - 1].name, "lm_head.weight");
    assert_int_equal((uintptr_t)w.data % 64, 0);
    size_t at = 0, n = 0;
    for (int i = 0; i < w.n_tensors; i++) {
        const struct weights_tensor *t = &w.tensor[i];
        assert_int_equal(t->offset, at);
        assert_int_equal(t->offset % 16, 0);
        assert_int_equal(weights_find(&w, t->name), i);
        assert_int_equal(t->trained, !strstr(t->name, "e_score_correction_bias"));
        n += (size_t)t->rows * (size_t)t->cols;
        at += ((size_t)t->rows * (size_t)t->cols + 15) / 16 * 16;
    }
    assert_int_equal(at, w.n_data);
    assert_int_equal(n, weights_count(&w));
    assert_int_equal(weights_find(&w, "model.layers.0.self_attn.q_proj.weight"), -1);
    weights_clear(&w);
    weights_clear(&w);
}

static void test_weights_tied_and_unshared_have_fewer_tensors(void **state) {
    (void)state;
    struct policy_config cfg = small();
    struct weights w;
    cfg.tie_word_embeddings = true;
    cfg.n_shared_experts = 0;
    weights_init(&w, &cfg);
    assert_int_equal(weights_find(&w, "lm_head.weight"), -1);
    assert_int_equal(weights_find(&w, "model.layers.1.mlp.shared_experts.up_proj.weight"),
                     -1);
    assert_true(weights_find(&w, "model.layers.1.mlp.experts.5.up_proj.weight") > 0);
    assert_true(weights_find(&w, "model.layers.1.mlp.experts.6.up_proj.weight") < 0);
    assert_int_equal(weights_hash(&w), weights_hash(&w));
    weights_clear(&w);
}

static void test_weights_llama_lie_in_order(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int rows, cols;
    } want[] = {
        {"model.embed_tokens.weight", 47, 36},
        {"model.layers.0.input_layernorm.weight", 1, 36},
        {"model.layers.0.self_attn.q_proj.weight", 48, 36},
        {"model.layers.0.self_attn.k_proj.weight", 16, 36},
        {"model.layers.0.self_attn.v_proj.weight", 16, 36},
        {"model.layers.0.self_attn.o_proj.weight", 36, 48},
        {"model.layers.0.post_attention_layernorm.weight", 1, 36},
        {"model.layers.0.mlp.gate_proj.weight", 40, 36},
        {"model.layers.0.mlp.up_proj.weight", 40, 36},
        {"model.layers.0.mlp.down_proj.weight", 36, 40},
        {"model.layers.1.input_layernorm.weight", 1, 36},
    };
    struct policy_config cfg = small_llama();
    struct weights w;
    cfg.head_dim = 8;
    policy_config_derive(&cfg);
    weights_init(&w, &cfg);
    assert_int_equal(w.n_tensors, 1 + 2 * 9 + 2);
    for (int i = 0; i < (int)(sizeof want / sizeof *want); i++) {
        assert_string_equal(w.tensor[i].name, want[i].name);
        assert_int_equal(w.tensor[i].rows, want[i].rows);
        assert_int_equal(w.tensor[i].cols, want[i].cols);
        assert_true(w.tensor[i].trained);
    }
    assert_string_equal(w.tensor[w.n_tensors - 2].name, "model.norm.weight");
    assert_string_equal(w.tensor[w.n_tensors - 1].name, "lm_head.weight");
    weights_clear(&w);
    cfg.tie_word_embeddings = true;
    weights_init(&w, &cfg);
    assert_int_equal(weights_find(&w, "lm_head.weight"), -1);
    weights_clear(&w);
}

static void test_weights_random_start_is_normal_and_the_same_everywhere(void **state) {
    (void)state;
    struct policy_config cfg = small();
    struct weights w;
    double sum = 0, sum2 = 0, sum4 = 0, n = 0;
    char hex[17];
    cfg.vocab_size = 2000;
    weights_init(&w, &cfg);
    weights_randomize(&w, 3);
    for (int i = 0; i < w.n_tensors; i++) {
        const float *p = weights_at(&w, i);
        for (int k = 0; k < w.tensor[i].rows * w.tensor[i].cols; k++) {
            if (w.tensor[i].n_dims == 1) {
                assert_true(p[k] == (w.tensor[i].trained ? 1.0f : 0.0f));
                continue;
            }
            double z = p[k] / cfg.initializer_range;
            assert_true(z > -4.91 && z < 4.91);
            sum += z;
            sum2 += z * z;
            sum4 += z * z * z * z;
            n++;
        }
    }
    assert_true(n > 150000);
    assert_true(sum / n > -0.01 && sum / n < 0.01);
    assert_true(sum2 / n > 0.99 && sum2 / n < 1.01);
    assert_true(sum4 / n > 2.8 && sum4 / n < 2.9);
    hash_hex(weights_hash(&w), hex);
    assert_string_equal(hex, "976b621979193465");
    uint64_t hash = weights_hash(&w);
    weights_at(&w, w.n_tensors - 1)[1999] += 1e-6f;
    assert_true(weights_hash(&w) != hash);
    weights_randomize(&w, 4);
    assert_true(weights_hash(&w) != hash);
    weights_randomize(&w, 3);
    assert_int_equal(weights_hash(&w), hash);
    weights_clear(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_empty_object_gives_the_published_defaults),
        cmocka_unit_test(test_config_reads_the_published_file),
        cmocka_unit_test(test_config_reads_both_dialects_alike),
        cmocka_unit_test(test_config_null_means_what_it_means_in_transformers),
        cmocka_unit_test(test_config_unknown_keys_count_only_when_strict),
        cmocka_unit_test(test_config_refuses_what_is_not_built),
        cmocka_unit_test(test_config_refuses_wrong_types),
        cmocka_unit_test(test_config_print_reads_back_strictly),
        cmocka_unit_test(test_config_print_writes_floats_as_floats),
        cmocka_unit_test(test_config_llama_has_the_published_defaults),
        cmocka_unit_test(test_config_llama_fills_the_fields_of_the_other),
        cmocka_unit_test(test_config_llama_reads_published_files),
        cmocka_unit_test(test_config_llama_print_reads_back_strictly),
        cmocka_unit_test(test_config_llama_check_names_the_key),
        cmocka_unit_test(test_config_check_names_the_key_out_of_range),
        cmocka_unit_test(test_config_check_refuses_nan_and_odd_doubles),
        cmocka_unit_test(test_config_check_asks_nothing_of_a_router_that_is_not_there),
        cmocka_unit_test(test_weights_lie_in_order_on_64_byte_boundaries),
        cmocka_unit_test(test_weights_tied_and_unshared_have_fewer_tensors),
        cmocka_unit_test(test_weights_llama_lie_in_order),
        cmocka_unit_test(test_weights_random_start_is_normal_and_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
