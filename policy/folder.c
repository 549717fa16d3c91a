/* policy/folder.c: see folder.h. */
#include "policy/folder.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "policy/safetensors.h"

enum { PATH_BYTES = 4096, TOKENIZER_MAX_BYTES = 64 << 20 };

/* ---- reading ---- */

/* Where the numbers of one tensor lie on disk. */
struct source {
    const struct safetensors_tensor *t;
    size_t first; /* element */
};

static int open_tensors(struct safetensors *st, const char *dir, struct err *err) {
    char path[PATH_BYTES], index[PATH_BYTES];
    if (file_join(path, sizeof path, dir, "model.safetensors", err) != 0 ||
        file_join(index, sizeof index, dir, "model.safetensors.index.json", err) != 0)
        return -1;
    if (!file_exists(path) && file_exists(index))
        return safetensors_open_index(st, index, err);
    return safetensors_open(st, path, err);
}

static bool has_shape(const struct safetensors_tensor *t, int n_dims, int64_t a,
                      int64_t b, int64_t c) {
    const int64_t want[3] = {a, b, c};
    return t->n_dims == n_dims &&
           memcmp(t->shape, want, (size_t)n_dims * sizeof *want) == 0;
}

static int wrong_shape(const struct safetensors *st, const struct safetensors_tensor *t,
                       const struct weights_tensor *want, struct err *err) {
    char have[256] = "", expected[64];
    for (int i = 0, n = 0; i < t->n_dims && n < (int)sizeof have; i++)
        n += snprintf(have + n, sizeof have - (size_t)n, "%s%lld", i ? ", " : "",
                      (long long)t->shape[i]);
    if (want->n_dims == 1)
        snprintf(expected, sizeof expected, "%d", want->cols);
    else
        snprintf(expected, sizeof expected, "%d, %d", want->rows, want->cols);
    return err_set(err, EX_DATAERR,
                   "%s: tensor '%s' has shape [%s], config.json asks for [%s]",
                   safetensors_path(st, t), t->name, have, expected);
}

/* transformers 5 keeps the experts of a layer in two tensors, experts.gate_up_proj
 * [E, 2 * width, hidden] and experts.down_proj [E, hidden, width]. */
static bool find_fused(const struct safetensors *st, const struct policy_config *cfg,
                       const struct weights_tensor *want, struct source *s) {
    int layer, expert;
    char part[16], name[WEIGHTS_NAME_MAX];
    if (sscanf(want->name, "model.layers.%d.mlp.experts.%d.%15[a-z]_proj.weight", &layer,
               &expert, part) != 3)
        return false;
    bool down = strcmp(part, "down") == 0;
    snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%s", layer,
             down ? "down_proj" : "gate_up_proj");
    s->t = safetensors_find(st, name);
    if (!s->t) return false;
    size_t n = (size_t)want->rows * (size_t)want->cols;
    s->first = (size_t)expert * n * (down ? 1 : 2) + (strcmp(part, "up") == 0 ? n : 0);
    return has_shape(s->t, 3, cfg->n_routed_experts, want->rows * (down ? 1 : 2),
                     want->cols);
}

static int find_source(const struct safetensors *st, const struct policy_config *cfg,
                       const struct weights_tensor *want, struct source *s,
                       struct err *err) {
    *s = (struct source){safetensors_find(st, want->name), 0};
    if (s->t) {
        bool fits = want->n_dims == 1 ? has_shape(s->t, 1, want->cols, 0, 0)
                                      : has_shape(s->t, 2, want->rows, want->cols, 0);
        return fits ? 0 : wrong_shape(st, s->t, want, err);
    }
    if (find_fused(st, cfg, want, s)) return 0;
    if (s->t) return wrong_shape(st, s->t, want, err);
    return err_set(err, EX_DATAERR, "%s: tensor '%s' is missing", st->file[0].path,
                   want->name);
}

/* What transformers leaves out without a word. */
static bool is_spare(const struct safetensors *st, const struct policy_config *cfg,
                     const struct safetensors_tensor *t) {
    int layer;
    char mtp[WEIGHTS_NAME_MAX];
    if (t->n == 0) return true;
    if (cfg->tie_word_embeddings && strcmp(t->name, "lm_head.weight") == 0)
        return has_shape(t, 2, cfg->vocab_size, cfg->hidden_size, 0);
    if (sscanf(t->name, "model.layers.%d.", &layer) != 1) return false;
    if (layer < cfg->num_hidden_layers)
        return strstr(t->name, ".rotary_emb.inv_freq") != NULL;
    snprintf(mtp, sizeof mtp, "model.layers.%d.eh_proj.weight", layer);
    return safetensors_find(st, mtp) != NULL;
}

/* Each tensor of the table has a source, and nothing else is there. */
static int check_tensors(const struct safetensors *st, const struct weights *w,
                         struct err *err) {
    int rc = -1;
    bool *used = mem_new((size_t)st->n_tensors, sizeof *used);
    for (int i = 0; i < w->n_tensors; i++) {
        struct source s;
        if (find_source(st, &w->cfg, &w->tensor[i], &s, err) != 0) goto out;
        used[s.t - st->tensor] = true;
    }
    for (int i = 0; i < st->n_tensors; i++) {
        const struct safetensors_tensor *t = &st->tensor[i];
        if (used[i] || is_spare(st, &w->cfg, t)) continue;
        err_set(err, EX_DATAERR,
                "%s: tensor '%.200s' does not belong to the policy of config.json",
                safetensors_path(st, t), t->name);
        goto out;
    }
    rc = 0;
out:
    mem_free(used);
    return rc;
}

static int read_tensors(const struct safetensors *st, struct weights *w,
                        struct err *err) {
    for (int i = 0; i < w->n_tensors; i++) {
        const struct weights_tensor *want = &w->tensor[i];
        struct source s;
        size_t n = (size_t)want->rows * (size_t)want->cols;
        if (find_source(st, &w->cfg, want, &s, err) != 0 ||
            safetensors_read_f32(st, s.t, s.first, n, weights_at(w, i), err) != 0)
            return -1;
    }
    return 0;
}

int folder_load_weights(struct weights *w, const char *dir, struct err *err) {
    struct policy_config cfg;
    struct safetensors st = {0};
    memset(w, 0, sizeof *w);
    if (policy_config_load(&cfg, dir, err) != 0) return -1;
    if (open_tensors(&st, dir, err) != 0) return -1;
    weights_layout(w, &cfg);
    int rc = check_tensors(&st, w, err);
    if (rc == 0) {
        /* only now: the sizes in config.json are those of a file that is there */
        w->data = mem_new(w->n_data, sizeof *w->data);
        rc = read_tensors(&st, w, err);
    }
    safetensors_close(&st);
    if (rc != 0) weights_clear(w);
    return rc;
}

int folder_load_tokenizer(struct tokenizer **tok, const char *dir,
                          const struct policy_config *cfg, struct err *err) {
    char path[PATH_BYTES], *text;
    size_t n;
    *tok = NULL;
    if (file_join(path, sizeof path, dir, "tokenizer.json", err) != 0) return -1;
    if (file_load(path, TOKENIZER_MAX_BYTES, &text, &n, err) != 0) return -1;
    int rc = strlen(text) == n ? tokenizer_parse(tok, text, path, err)
                               : err_set(err, EX_DATAERR, "%s: a NUL byte in it", path);
    mem_free(text);
    if (rc != 0) return -1;
    if (tokenizer_vocab_size(*tok) <= cfg->vocab_size) return 0;
    err_set(err, EX_DATAERR, "%s: has %d ids, the policy's vocab_size is %d", path,
            tokenizer_vocab_size(*tok), cfg->vocab_size);
    tokenizer_free(*tok);
    *tok = NULL;
    return -1;
}

/* ---- writing ---- */

/* The empty tensors that transformers expects where no expert is shared. */
static int add_unshared(struct safetensors_tensor *out, const struct policy_config *cfg,
                        char (*name)[WEIGHTS_NAME_MAX]) {
    static const char *const PART[] = {"gate", "up", "down"};
    int n = 0;
    if (cfg->n_shared_experts > 0) return 0;
    for (int i = cfg->first_k_dense_replace; i < cfg->num_hidden_layers; i++) {
        for (int p = 0; p < 3; p++, n++) {
            snprintf(name[n], sizeof name[n],
                     "model.layers.%d.mlp.shared_experts.%s_proj.weight", i, PART[p]);
            out[n] = (struct safetensors_tensor){.name = name[n],
                                                 .dtype = SAFETENSORS_F32,
                                                 .n_dims = 2,
                                                 .shape = {0, cfg->hidden_size},
                                                 .data = ""};
            if (p == 2) {
                out[n].shape[0] = cfg->hidden_size;
                out[n].shape[1] = 0;
            }
        }
    }
    return n;
}

static int save_tensors(const struct weights *w, const char *path, struct err *err) {
    size_t max = (size_t)w->n_tensors + 3 * (size_t)w->cfg.num_hidden_layers;
    struct safetensors_tensor *out = mem_new(max, sizeof *out);
    char(*name)[WEIGHTS_NAME_MAX] =
        mem_new(3 * (size_t)w->cfg.num_hidden_layers, sizeof *name);
    for (int i = 0; i < w->n_tensors; i++) {
        const struct weights_tensor *t = &w->tensor[i];
        out[i] = (struct safetensors_tensor){.name = t->name,
                                             .dtype = SAFETENSORS_F32,
                                             .n_dims = t->n_dims,
                                             .data = weights_at(w, i)};
        out[i].shape[0] = t->n_dims == 1 ? t->cols : t->rows;
        out[i].shape[1] = t->n_dims == 1 ? 0 : t->cols;
    }
    int n = w->n_tensors + add_unshared(out + w->n_tensors, &w->cfg, name);
    int rc = safetensors_save(path, out, n, NULL, 0, err);
    mem_free(name);
    mem_free(out);
    return rc;
}

static void print_token(struct buf *out, const struct tokenizer *tok, const char *key,
                        int id) {
    size_t n;
    if (id < 0) return;
    const char *piece = tokenizer_piece(tok, id, &n);
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)n, piece);
    buf_printf(out, "  \"%s\": ", key);
    json_print_string(out, text);
    buf_puts(out, ",\n");
}

static void print_tokenizer_config(struct buf *out, const struct weights *w,
                                   const struct tokenizer *tok) {
    buf_puts(out, "{\n");
    print_token(out, tok, "bos_token", tokenizer_bos(tok));
    print_token(out, tok, "eos_token", tokenizer_eos(tok));
    print_token(out, tok, "pad_token", tokenizer_pad(tok));
    print_token(out, tok, "unk_token", tokenizer_unk(tok));
    buf_printf(out,
               "  \"clean_up_tokenization_spaces\": false,\n"
               "  \"model_max_length\": %d,\n"
               "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n",
               w->cfg.max_position_embeddings);
}

static void print_id(struct buf *out, const char *key, int id) {
    if (id >= 0) buf_printf(out, ",\n  \"%s\": %d", key, id);
}

static void print_generation_config(struct buf *out, const struct tokenizer *tok) {
    buf_puts(out, "{\n  \"_from_model_config\": true");
    print_id(out, "bos_token_id", tokenizer_bos(tok));
    print_id(out, "eos_token_id", tokenizer_eos(tok));
    print_id(out, "pad_token_id", tokenizer_pad(tok));
    buf_puts(out, "\n}\n");
}

/* Writes the text to DIR/name and empties it. */
static int save_text(struct buf *text, const char *dir, const char *name,
                     struct err *err) {
    char path[PATH_BYTES];
    int rc = file_join(path, sizeof path, dir, name, err);
    CHECK(!text->full);
    if (rc == 0) rc = file_save(path, text->data, text->len, err);
    buf_reset(text);
    return rc;
}

static int save_tokenizer(const struct weights *w, const struct tokenizer *tok,
                          const char *dir, struct err *err) {
    struct buf text = {0};
    tokenizer_print(tok, &text);
    int rc = save_text(&text, dir, "tokenizer.json", err);
    print_tokenizer_config(&text, w, tok);
    if (rc == 0) rc = save_text(&text, dir, "tokenizer_config.json", err);
    buf_reset(&text);
    print_generation_config(&text, tok);
    if (rc == 0) rc = save_text(&text, dir, "generation_config.json", err);
    buf_clear(&text);
    return rc;
}

int folder_save(const struct weights *w, const struct tokenizer *tok, const char *dir,
                struct err *err) {
    char path[PATH_BYTES];
    struct policy_config cfg = w->cfg;
    struct buf text = {0};
    if (file_mkdirs(dir, err) != 0) return -1;
    if (file_join(path, sizeof path, dir, "model.safetensors", err) != 0) return -1;
    if (save_tensors(w, path, err) != 0) return -1;
    if (tok) {
        cfg.bos_token_id = tokenizer_bos(tok);
        cfg.eos_token_id = tokenizer_eos(tok);
        cfg.pad_token_id = tokenizer_pad(tok);
        if (save_tokenizer(w, tok, dir, err) != 0) return -1;
    }
    policy_config_print(&cfg, &text);
    int rc = save_text(&text, dir, "config.json", err);
    buf_clear(&text);
    return rc;
}
