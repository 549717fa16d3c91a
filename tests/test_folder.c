/* tests/test_folder.c: folders that transformers saved, folders of our own, broken ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "policy/folder.h"
#include "policy/safetensors.h"

/* Made by tests/reference/make_policy_golden.py; n is transformers' own count of
 * parameters, with the buffer e_score_correction_bias. */
static const struct {
    const char *dir;
    size_t n;
} golden[] = {
    {"tests/golden/policy_plain", 50072},      {"tests/golden/policy_groups", 34380},
    {"tests/golden/policy_yarn", 31986},       {"tests/golden/policy_yarn_plain", 30086},
    {"tests/golden/policy_eps", 25053},        {"tests/golden/policy_eps5", 26334},
    {"tests/golden/policy_tied", 30126},       {"tests/golden/policy_unshared", 33130},
    {"tests/golden/policy_half_split", 32044}, {"tests/golden/policy_dense", 34080},
    {"tests/golden/policy_llama_grouped", 26304}, {"tests/golden/policy_llama_plain", 22572},
    {"tests/golden/policy_llama_wide", 24668}, {"tests/golden/policy_llama_theta", 19320},
};
enum { N_GOLDEN = sizeof golden / sizeof *golden };

static char root[64];

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int make_root(void **state) {
    (void)state;
    snprintf(root, sizeof root, "/tmp/hone-folder-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state) {
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* root/name, valid until the third call from now. */
static const char *in_root(const char *name) {
    static char path[3][256];
    static int next;
    char *out = path[next++ % 3];
    snprintf(out, sizeof *path, "%s/%s", root, name);
    return out;
}

static void load(struct weights *w, const char *dir) {
    struct err err = {0};
    if (folder_load_weights(w, dir, &err) != 0) fail_msg("%s", err.msg);
}

static void save(const struct weights *w, const struct tokenizer *tok, const char *dir) {
    struct err err = {0};
    if (folder_save(w, tok, dir, &err) != 0) fail_msg("%s", err.msg);
}

static void assert_same_file(const char *a_dir, const char *b_dir, const char *name) {
    char path[512], *a = NULL, *b = NULL;
    size_t n_a = 0, n_b = 0;
    struct err err = {0};
    snprintf(path, sizeof path, "%s/%s", a_dir, name);
    assert_int_equal(file_load(path, 1 << 24, &a, &n_a, &err), 0);
    snprintf(path, sizeof path, "%s/%s", b_dir, name);
    assert_int_equal(file_load(path, 1 << 24, &b, &n_b, &err), 0);
    assert_int_equal(n_a, n_b);
    assert_memory_equal(a, b, n_a);
    mem_free(a);
    mem_free(b);
}

/* ---- folders of transformers ---- */

static void test_folder_loads_every_number_of_a_golden(void **state) {
    (void)state;
    for (int g = 0; g < N_GOLDEN; g++) {
        char path[512];
        struct weights w;
        struct safetensors st;
        struct err err = {0};
        size_t n = 0;
        load(&w, golden[g].dir);
        assert_int_equal(weights_count(&w), golden[g].n);
        snprintf(path, sizeof path, "%s/model.safetensors", golden[g].dir);
        assert_int_equal(safetensors_open(&st, path, &err), 0);
        for (int i = 0; i < w.n_tensors; i++) {
            const struct safetensors_tensor *t = safetensors_find(&st, w.tensor[i].name);
            float *want = mem_new(t->n, sizeof *want);
            assert_int_equal(safetensors_read_f32(&st, t, 0, t->n, want, &err), 0);
            assert_memory_equal(weights_at(&w, i), want, t->n * sizeof *want);
            n += t->n;
            mem_free(want);
        }
        assert_int_equal(n, golden[g].n);
        safetensors_close(&st);
        weights_clear(&w);
    }
}

/* What other tests take from golden.safetensors is there. */
static void test_folder_goldens_hold_a_gradient_for_each_trained_tensor(void **state) {
    (void)state;
    for (int g = 0; g < N_GOLDEN; g++) {
        char path[512], name[128];
        struct weights w;
        struct safetensors st;
        struct err err = {0};
        int n = 0;
        load(&w, golden[g].dir);
        snprintf(path, sizeof path, "%s/golden.safetensors", golden[g].dir);
        assert_int_equal(safetensors_open(&st, path, &err), 0);
        for (int i = 0; i < w.n_tensors; i++) {
            snprintf(name, sizeof name, "grad.%s", w.tensor[i].name);
            const struct safetensors_tensor *t = safetensors_find(&st, name);
            assert_int_equal(t != NULL, w.tensor[i].trained);
            n += t != NULL;
        }
        const struct safetensors_tensor *ids = safetensors_find(&st, "ids");
        const struct safetensors_tensor *logits = safetensors_find(&st, "logits");
        assert_int_equal(ids->dtype, SAFETENSORS_I64);
        assert_int_equal(logits->shape[0], ids->shape[0]);
        assert_int_equal(logits->shape[1], ids->shape[1]);
        assert_int_equal(logits->shape[2], w.cfg.vocab_size);
        assert_int_equal(safetensors_find(&st, "loss")->n_dims, 0);
        assert_true(st.n_tensors >= n + 3);
        safetensors_close(&st);
        weights_clear(&w);
    }
}

/* What transformers wrote, read and written by us, is the same file, byte for byte. */
static void test_folder_golden_saved_again_is_the_same_file(void **state) {
    (void)state;
    for (int g = 0; g < N_GOLDEN; g++) {
        struct weights w, back;
        char out[256];
        snprintf(out, sizeof out, "%s/again-%d/deep", root, g);
        load(&w, golden[g].dir);
        save(&w, NULL, out);
        assert_same_file(golden[g].dir, out, "model.safetensors");
        load(&back, out);
        assert_int_equal(weights_hash(&back), weights_hash(&w));
        struct buf a = {0}, b = {0};
        policy_config_print(&w.cfg, &a);
        policy_config_print(&back.cfg, &b);
        assert_string_equal(buf_text(&a), buf_text(&b));
        buf_clear(&a);
        buf_clear(&b);
        weights_clear(&back);
        weights_clear(&w);
    }
}

/* ---- folders of ours ---- */

static struct tokenizer *new_tokenizer(void) {
    static const char *const tags[] = {"<think>", "</think>"};
    return tokenizer_new_chars("0123456789+-=\n", tags, 2);
}

/* Random weights of the golden `plain` config. */
static void new_weights(struct weights *w) {
    struct policy_config cfg;
    struct err err = {0};
    assert_int_equal(policy_config_load(&cfg, golden[0].dir, &err), 0);
    weights_init(w, &cfg);
    weights_randomize(w, 5);
}

static void test_folder_save_writes_all_five_files(void **state) {
    (void)state;
    static const char *const name[] = {"config.json", "model.safetensors",
                                       "tokenizer.json", "tokenizer_config.json",
                                       "generation_config.json"};
    struct weights w, back;
    struct tokenizer *tok = new_tokenizer(), *tok_back;
    struct err err = {0};
    const char *dir = in_root("five");
    new_weights(&w);
    w.cfg.bos_token_id = 50;
    save(&w, tok, dir);
    save(&w, tok, dir); /* over itself */
    for (int i = 0; i < 5; i++) {
        char path[512];
        cJSON *json;
        snprintf(path, sizeof path, "%s/%s", dir, name[i]);
        assert_true(file_exists(path));
        if (i == 1) continue;
        if (json_load(&json, path, 1 << 20, &err) != 0) fail_msg("%s", err.msg);
        if (i == 4) assert_int_equal(json_find(json, "eos_token_id")->valueint, 2);
        if (i == 3)
            assert_string_equal(json_find(json, "eos_token")->valuestring, "<eos>");
        json_free(json);
    }
    load(&back, dir);
    assert_int_equal(weights_hash(&back), weights_hash(&w));
    assert_int_equal(back.cfg.bos_token_id, tokenizer_bos(tok));
    assert_int_equal(folder_load_tokenizer(&tok_back, dir, &back.cfg, &err), 0);
    assert_int_equal(tokenizer_vocab_size(tok_back), 20);
    tokenizer_free(tok_back);
    back.cfg.vocab_size = 19;
    assert_int_equal(folder_load_tokenizer(&tok_back, dir, &back.cfg, &err), -1);
    assert_null(tok_back);
    assert_non_null(strstr(err.msg, "has 20 ids, the policy's vocab_size is 19"));
    tokenizer_free(tok);
    weights_clear(&back);
    weights_clear(&w);
}

static void test_folder_save_names_the_file_in_the_way(void **state) {
    (void)state;
    struct weights w;
    struct err err = {0};
    const char *path = in_root("file");
    new_weights(&w);
    assert_int_equal(file_save(path, "x", 1, &err), 0);
    assert_int_equal(folder_save(&w, NULL, path, &err), -1);
    assert_int_equal(err.code, EX_CANTCREAT);
    assert_non_null(strstr(err.msg, path));
    weights_clear(&w);
}

/* ---- other layouts, and broken ones ---- */

enum { MAX_TENSORS = 256 };

/* The tensors of a policy as a list that a test may change before it is written. */
struct list {
    struct weights w;
    struct safetensors_tensor tensor[MAX_TENSORS];
    int n;
};

static void list_init(struct list *l) {
    new_weights(&l->w);
    l->n = l->w.n_tensors;
    assert_true(l->n < MAX_TENSORS - 8);
    for (int i = 0; i < l->n; i++) {
        const struct weights_tensor *t = &l->w.tensor[i];
        l->tensor[i] = (struct safetensors_tensor){.name = t->name,
                                                   .dtype = SAFETENSORS_F32,
                                                   .n_dims = t->n_dims,
                                                   .data = weights_at(&l->w, i)};
        l->tensor[i].shape[0] = t->n_dims == 1 ? t->cols : t->rows;
        l->tensor[i].shape[1] = t->n_dims == 1 ? 0 : t->cols;
    }
}

static struct safetensors_tensor *list_find(struct list *l, const char *name) {
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->tensor[i].name, name) == 0) return &l->tensor[i];
    fail_msg("no %s", name);
    return NULL;
}

static void list_add(struct list *l, const char *name, int n_dims, int a, int b, int c,
                     const void *data) {
    l->tensor[l->n++] = (struct safetensors_tensor){.name = name,
                                                    .dtype = SAFETENSORS_F32,
                                                    .n_dims = n_dims,
                                                    .shape = {a, b, c},
                                                    .data = data};
}

static void list_drop(struct list *l, const char *name) {
    struct safetensors_tensor *t = list_find(l, name);
    *t = l->tensor[--l->n];
}

/* Writes config and tensors to root/name. */
static const char *list_save(const struct list *l, const char *name) {
    const char *dir = in_root(name);
    char path[512];
    struct buf text = {0};
    struct err err = {0};
    assert_int_equal(file_mkdirs(dir, &err), 0);
    policy_config_print(&l->w.cfg, &text);
    snprintf(path, sizeof path, "%s/config.json", dir);
    assert_int_equal(file_save(path, text.data, text.len, &err), 0);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    if (safetensors_save(path, l->tensor, l->n, NULL, 0, &err) != 0)
        fail_msg("%s", err.msg);
    buf_clear(&text);
    return dir;
}

static void check_loads_the_same(const struct list *l, const char *name) {
    struct weights back;
    load(&back, list_save(l, name));
    assert_int_equal(weights_hash(&back), weights_hash(&l->w));
    weights_clear(&back);
}

static void check_refused(const struct list *l, const char *message) {
    struct weights w;
    struct err err = {0};
    assert_int_equal(folder_load_weights(&w, list_save(l, "broken"), &err), -1);
    assert_null(w.data);
    assert_null(w.tensor);
    assert_int_equal(err.code, EX_DATAERR);
    if (!strstr(err.msg, message)) fail_msg("want '%s', got '%s'", message, err.msg);
}

/* experts.gate_up_proj [E, 2 width, hidden] and experts.down_proj [E, hidden, width]. */
static void fuse_layer(struct list *l, int layer, float *gate_up, float *down) {
    static char names[8][96];
    const struct policy_config *c = &l->w.cfg;
    size_t n = (size_t)c->moe_intermediate_size * (size_t)c->hidden_size;
    for (int e = 0; e < c->n_routed_experts; e++) {
        static const char *const part[] = {"gate", "up", "down"};
        for (int p = 0; p < 3; p++) {
            char name[96];
            float *to =
                p < 2 ? gate_up + (2 * (size_t)e + (size_t)p) * n : down + (size_t)e * n;
            snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%d.%s_proj.weight",
                     layer, e, part[p]);
            memcpy(to, list_find(l, name)->data, n * sizeof *to);
            list_drop(l, name);
        }
    }
    snprintf(names[2 * layer], 96, "model.layers.%d.mlp.experts.gate_up_proj", layer);
    snprintf(names[2 * layer + 1], 96, "model.layers.%d.mlp.experts.down_proj", layer);
    list_add(l, names[2 * layer], 3, c->n_routed_experts, 2 * c->moe_intermediate_size,
             c->hidden_size, gate_up);
    list_add(l, names[2 * layer + 1], 3, c->n_routed_experts, c->hidden_size,
             c->moe_intermediate_size, down);
}

static void test_folder_reads_fused_experts(void **state) {
    (void)state;
    static float gate_up[2][8192], down[2][4096];
    struct list l;
    list_init(&l);
    fuse_layer(&l, 1, gate_up[0], down[0]); /* the other layer stays split */
    check_loads_the_same(&l, "half-fused");
    fuse_layer(&l, 2, gate_up[1], down[1]);
    check_loads_the_same(&l, "fused");
    struct safetensors_tensor *t =
        list_find(&l, "model.layers.2.mlp.experts.gate_up_proj");
    t->shape[1] /= 2;
    check_refused(&l, "experts.gate_up_proj' has shape [6, 14, 40]");
    t->shape[1] *= 2;
    list_drop(&l, "model.layers.1.mlp.experts.down_proj");
    check_refused(&l, "'model.layers.1.mlp.experts.0.down_proj.weight' is missing");
    weights_clear(&l.w);
}

static void test_folder_reads_bf16(void **state) {
    (void)state;
    struct list l;
    struct weights back;
    list_init(&l);
    uint16_t *half[MAX_TENSORS];
    for (int i = 0; i < l.n; i++) {
        const struct weights_tensor *t = &l.w.tensor[i];
        size_t n = (size_t)t->rows * (size_t)t->cols;
        float *p = weights_at(&l.w, i);
        half[i] = mem_new(n, sizeof **half);
        for (size_t k = 0; k < n; k++) {
            uint32_t bits;
            memcpy(&bits, &p[k], 4);
            half[i][k] = (uint16_t)(bits >> 16);
            bits &= 0xffff0000;
            memcpy(&p[k], &bits, 4);
        }
        if (i % 3 == 2) continue; /* the kinds may be mixed */
        l.tensor[i].dtype = SAFETENSORS_BF16;
        l.tensor[i].data = half[i];
    }
    load(&back, list_save(&l, "bf16"));
    assert_int_equal(weights_hash(&back), weights_hash(&l.w));
    for (int i = 0; i < l.n; i++) mem_free(half[i]);
    weights_clear(&back);
    weights_clear(&l.w);
}

static void test_folder_leaves_out_what_transformers_leaves_out(void **state) {
    (void)state;
    static const float zero[64];
    struct list l;
    list_init(&l);
    list_add(&l, "model.layers.3.eh_proj.weight", 1, 4, 0, 0, zero);
    list_add(&l, "model.layers.3.mlp.up_proj.weight", 1, 4, 0, 0, zero);
    list_add(&l, "model.layers.0.self_attn.rotary_emb.inv_freq", 1, 3, 0, 0, zero);
    list_add(&l, "nothing", 2, 0, 5, 0, zero);
    check_loads_the_same(&l, "surplus");
    weights_clear(&l.w);
}

static void test_folder_takes_the_copy_of_a_tied_head(void **state) {
    (void)state;
    struct list l;
    struct weights back;
    list_init(&l);
    l.w.cfg.tie_word_embeddings = true;
    load(&back, list_save(&l, "tied"));
    assert_int_equal(back.n_tensors, l.w.n_tensors - 1);
    weights_clear(&back);
    list_find(&l, "lm_head.weight")->shape[0]--;
    check_refused(&l, "'lm_head.weight' does not belong");
    weights_clear(&l.w);
}

static void test_folder_names_the_tensor_that_is_wrong(void **state) {
    (void)state;
    static const float zero[64];
    struct list l;
    list_init(&l);
    struct safetensors_tensor *norm = list_find(&l, "model.norm.weight"), kept = *norm;

    list_drop(&l, "model.norm.weight");
    check_refused(&l, "model.safetensors: tensor 'model.norm.weight' is missing");
    l.tensor[l.n++] = kept;

    list_add(&l, "model.extra.weight", 1, 4, 0, 0, zero);
    check_refused(&l, "tensor 'model.extra.weight' does not belong to the policy");
    list_drop(&l, "model.extra.weight");

    list_add(&l, "model.layers.3.mlp.up_proj.weight", 1, 4, 0, 0, zero);
    check_refused(&l, "tensor 'model.layers.3.mlp.up_proj.weight' does not belong");
    list_drop(&l, "model.layers.3.mlp.up_proj.weight");

    norm = list_find(&l, "model.norm.weight");
    norm->shape[0] = 39;
    check_refused(&l, "'model.norm.weight' has shape [39], config.json asks for [40]");
    norm->n_dims = 2;
    norm->shape[0] = 1, norm->shape[1] = 40;
    check_refused(&l, "'model.norm.weight' has shape [1, 40], config.json asks for [40]");
    *norm = kept;

    struct safetensors_tensor *o =
        list_find(&l, "model.layers.1.self_attn.o_proj.weight");
    o->shape[0] = 36, o->shape[1] = 40;
    check_refused(&l, "o_proj.weight' has shape [36, 40], config.json asks for [40, 36]");
    o->shape[0] = 40, o->shape[1] = 36;

    norm->dtype = SAFETENSORS_I32;
    check_refused(&l, "'model.norm.weight' is I32; only F32, BF16 and F16");
    norm->dtype = SAFETENSORS_F32;
    check_loads_the_same(&l, "repaired");
    weights_clear(&l.w);
}

/* Sizes that no machine has memory for: refused by the file, before any is taken. */
static void test_folder_believes_the_file_before_the_config(void **state) {
    (void)state;
    struct list l;
    list_init(&l);
    l.w.cfg.vocab_size = 20000000;
    l.w.cfg.num_hidden_layers = 1000;
    l.w.cfg.intermediate_size = 20000000;
    l.w.cfg.moe_intermediate_size = 20000000;
    check_refused(&l, "'model.embed_tokens.weight' has shape [53, 40]");
    weights_clear(&l.w);
}

static void test_folder_reads_shards(void **state) {
    (void)state;
    struct list l;
    struct weights back;
    struct err err = {0};
    struct buf index = {0};
    char path[512];
    list_init(&l);
    const char *dir = list_save(&l, "shards");
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(folder_load_weights(&back, dir, &err), -1);
    assert_int_equal(err.code, EX_NOINPUT);
    assert_non_null(strstr(err.msg, "model.safetensors"));
    int half = l.n / 2;
    snprintf(path, sizeof path, "%s/one.safetensors", dir);
    assert_int_equal(safetensors_save(path, l.tensor, half, NULL, 0, &err), 0);
    snprintf(path, sizeof path, "%s/two.safetensors", dir);
    assert_int_equal(safetensors_save(path, l.tensor + half, l.n - half, NULL, 0, &err),
                     0);
    buf_puts(&index, "{\"metadata\":{},\"weight_map\":{");
    for (int i = 0; i < l.n; i++)
        buf_printf(&index, "%s\"%s\":\"%s.safetensors\"", i ? "," : "", l.tensor[i].name,
                   i < half ? "one" : "two");
    buf_puts(&index, "}}");
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    assert_int_equal(file_save(path, index.data, index.len, &err), 0);
    load(&back, dir);
    assert_int_equal(weights_hash(&back), weights_hash(&l.w));
    buf_clear(&index);
    weights_clear(&back);
    weights_clear(&l.w);
}

static void test_folder_names_the_file_that_is_missing_or_broken(void **state) {
    (void)state;
    static const struct {
        const char *name, *text, *message;
        int code;
    } step[] = {
        {NULL, NULL, "config.json", EX_NOINPUT},
        {"config.json", "{", "config.json:1", EX_DATAERR},
        {"config.json", "[]", "must be an object", EX_CONFIG},
        {"config.json", "{}", "config.json: model_type: missing", EX_CONFIG},
        {"config.json", "{\"model_type\":\"qwen3\"}", "model_type: only", EX_CONFIG},
        {"config.json", "{\"model_type\":\"deepseek_v3\",\"n_group\":7}",
         "n_group 7 does not divide", EX_CONFIG},
        {"config.json", "{\"model_type\":\"deepseek_v3\"}", "model.safetensors",
         EX_NOINPUT},
        {"model.safetensors", "", "0 bytes are no safetensors file", EX_DATAERR},
    };
    const char *dir = in_root("pieces");
    struct err err = {0};
    assert_int_equal(file_mkdirs(dir, &err), 0);
    for (int i = 0; i < 8; i++) {
        struct weights w;
        char path[512];
        if (step[i].name) {
            snprintf(path, sizeof path, "%s/%s", dir, step[i].name);
            assert_int_equal(file_save(path, step[i].text, strlen(step[i].text), &err),
                             0);
        }
        assert_int_equal(folder_load_weights(&w, dir, &err), -1);
        assert_null(w.tensor);
        assert_int_equal(err.code, step[i].code);
        if (!strstr(err.msg, step[i].message)) fail_msg("%d: %s", i, err.msg);
    }
    struct policy_config cfg = policy_config_default();
    struct tokenizer *tok;
    char path[512];
    assert_int_equal(folder_load_tokenizer(&tok, dir, &cfg, &err), -1);
    assert_int_equal(err.code, EX_NOINPUT);
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    assert_int_equal(file_save(path, "{}\0{}", 5, &err), 0);
    assert_int_equal(folder_load_tokenizer(&tok, dir, &cfg, &err), -1);
    assert_int_equal(err.code, EX_DATAERR);
    assert_null(tok);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder_loads_every_number_of_a_golden),
        cmocka_unit_test(test_folder_goldens_hold_a_gradient_for_each_trained_tensor),
        cmocka_unit_test(test_folder_golden_saved_again_is_the_same_file),
        cmocka_unit_test(test_folder_save_writes_all_five_files),
        cmocka_unit_test(test_folder_save_names_the_file_in_the_way),
        cmocka_unit_test(test_folder_reads_fused_experts),
        cmocka_unit_test(test_folder_reads_bf16),
        cmocka_unit_test(test_folder_leaves_out_what_transformers_leaves_out),
        cmocka_unit_test(test_folder_takes_the_copy_of_a_tied_head),
        cmocka_unit_test(test_folder_names_the_tensor_that_is_wrong),
        cmocka_unit_test(test_folder_believes_the_file_before_the_config),
        cmocka_unit_test(test_folder_reads_shards),
        cmocka_unit_test(test_folder_names_the_file_that_is_missing_or_broken),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
