/* policy/tokenizer_json.c: tokenizer.json, read and printed (see tokenizer.h).
 *
 * What is printed is what the `tokenizers` library prints for the same tokenizer, byte
 * for byte. What is read is refused unless every part of the pipeline is one that
 * tokenizer.c does.
 */
#include <limits.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "policy/tokenizer_internal.h"
#include "base/utf8.h"

enum { MAX_IDS = 1 << 20, MAX_ADDED = 4096 };

/* ---- printing ---- */

/* As serde_json escapes, which knows more short forms than we would use. */
static void print_char(struct buf *out, unsigned char c) {
    static const char FROM[] = "\"\\\b\f\n\r\t", TO[] = "\"\\bfnrt";
    const char *short_form = c ? strchr(FROM, c) : NULL;
    if (short_form)
        buf_printf(out, "\\%c", TO[short_form - FROM]);
    else if (c < 0x20)
        buf_printf(out, "\\u%04x", c);
    else
        buf_push(out, &c, 1);
}

/* The text of an id as it stands in the file. */
static void print_piece(struct buf *out, const struct tokenizer *tok, int id) {
    const struct piece *p = &tok->piece[id];
    char stand_in[4];
    const char *text = p->text;
    size_t n = p->n_bytes;
    if (tok->bytes && !p->added) {
        n = (size_t)utf8_write(tokenizer_byte_char((unsigned char)text[0]), stand_in);
        text = stand_in;
    }
    buf_puts(out, "\"");
    for (size_t i = 0; i < n; i++) print_char(out, (unsigned char)text[i]);
    buf_puts(out, "\"");
}

static void print_added(struct buf *out, const struct tokenizer *tok) {
    bool first = true;
    for (int i = 0; i < tok->n_pieces; i++) {
        if (!tok->piece[i].added) continue;
        buf_printf(out,
                   "%s\n    {\n      \"id\": %d,\n      \"content\": ", first ? "" : ",",
                   i);
        print_piece(out, tok, i);
        buf_printf(out,
                   ",\n      \"single_word\": false,\n      \"lstrip\": false,\n"
                   "      \"rstrip\": false,\n      \"normalized\": false,\n"
                   "      \"special\": %s\n    }",
                   tok->piece[i].special ? "true" : "false");
        first = false;
    }
    buf_puts(out, first ? "" : "\n  ");
}

static void print_template_item(struct buf *out, const struct tokenizer *tok,
                                const char *sequence, const char *end) {
    buf_printf(out, "      {\n        \"%s\": {\n          \"id\": ",
               sequence ? "Sequence" : "SpecialToken");
    if (sequence)
        buf_printf(out, "\"%s\"", sequence);
    else
        print_piece(out, tok, tok->bos);
    buf_printf(out, ",\n          \"type_id\": 0\n        }\n      }%s\n", end);
}

static void print_post_processor(struct buf *out, const struct tokenizer *tok) {
    buf_puts(out, "  \"post_processor\": ");
    if (tok->bos < 0) {
        buf_puts(out, "null,\n");
        return;
    }
    buf_puts(out, "{\n    \"type\": \"TemplateProcessing\",\n    \"single\": [\n");
    print_template_item(out, tok, NULL, ",");
    print_template_item(out, tok, "A", "");
    buf_puts(out, "    ],\n    \"pair\": [\n");
    print_template_item(out, tok, NULL, ",");
    print_template_item(out, tok, "A", ",");
    print_template_item(out, tok, "B", "");
    buf_puts(out, "    ],\n    \"special_tokens\": {\n      ");
    print_piece(out, tok, tok->bos);
    buf_puts(out, ": {\n        \"id\": ");
    print_piece(out, tok, tok->bos);
    buf_printf(out, ",\n        \"ids\": [\n          %d\n        ],\n", tok->bos);
    buf_puts(out, "        \"tokens\": [\n          ");
    print_piece(out, tok, tok->bos);
    buf_puts(out, "\n        ]\n      }\n    }\n  },\n");
}

static void print_model(struct buf *out, const struct tokenizer *tok) {
    buf_puts(out, "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
                  "    \"unk_token\": ");
    if (tok->unk >= 0)
        print_piece(out, tok, tok->unk);
    else
        buf_puts(out, "null");
    buf_puts(out, ",\n    \"continuing_subword_prefix\": null,\n"
                  "    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
                  "    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n"
                  "    \"vocab\": {");
    for (int i = 0; i < tok->n_pieces; i++) {
        buf_puts(out, i ? ",\n      " : "\n      ");
        print_piece(out, tok, i);
        buf_printf(out, ": %d", i);
    }
    buf_puts(out, "\n    },\n    \"merges\": []\n  }\n");
}

void tokenizer_print(const struct tokenizer *tok, struct buf *out) {
    static const char BYTE_LEVEL[] =
        "{\n    \"type\": \"ByteLevel\",\n    \"add_prefix_space\": false,\n"
        "    \"trim_offsets\": false,\n    \"use_regex\": false\n  }";
    buf_puts(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n"
                  "  \"padding\": null,\n  \"added_tokens\": [");
    print_added(out, tok);
    buf_printf(out, "],\n  \"normalizer\": null,\n  \"pre_tokenizer\": %s,\n",
               tok->bytes ? BYTE_LEVEL : "null");
    print_post_processor(out, tok);
    buf_printf(out, "  \"decoder\": %s,\n",
               tok->bytes ? BYTE_LEVEL : "{\n    \"type\": \"Fuse\"\n  }");
    print_model(out, tok);
    buf_puts(out, "}");
}

/* ---- reading ---- */

/* Null, false, an empty text or an empty list: a part that does nothing. */
static bool is_off(const cJSON *value) {
    return !value || cJSON_IsNull(value) || cJSON_IsFalse(value) ||
           (cJSON_IsString(value) && !value->valuestring[0]) ||
           (cJSON_IsArray(value) && !value->child);
}

static int refuse(const char *where, const char *key, struct err *err) {
    char place[JSON_WHERE_BYTES];
    return err_set(err, EX_DATAERR,
                   "%s: this tokenizer needs something that is not built",
                   json_where(place, where, key));
}

/* Every key of obj among `keys` must do nothing. */
static int check_off(const cJSON *obj, const char *where, const char *const *keys, int n,
                     struct err *err) {
    for (int i = 0; i < n; i++)
        if (!is_off(json_find(obj, keys[i]))) return refuse(where, keys[i], err);
    return 0;
}

static bool has_type(const cJSON *obj, const char *type) {
    const cJSON *value = json_find(obj, "type");
    return cJSON_IsString(value) && strcmp(value->valuestring, type) == 0;
}

/* Which of the two pipelines it is. */
static int read_pipeline(const cJSON *json, const char *where, bool *bytes,
                         struct err *err) {
    static const char *const TOP[] = {"truncation", "padding", "normalizer"};
    static const char *const MODEL[] = {"dropout",
                                        "continuing_subword_prefix",
                                        "end_of_word_suffix",
                                        "fuse_unk",
                                        "byte_fallback",
                                        "ignore_merges",
                                        "merges"};
    char place[JSON_WHERE_BYTES];
    const cJSON *model = json_find(json, "model"),
                *pre = json_find(json, "pre_tokenizer");
    if (check_off(json, where, TOP, 3, err) != 0) return -1;
    json_where(place, where, "model");
    if (!has_type(model, "BPE")) return refuse(place, "type", err);
    if (check_off(model, place, MODEL, 7, err) != 0) return -1;
    *bytes = has_type(pre, "ByteLevel");
    if (!*bytes && !is_off(pre)) return refuse(where, "pre_tokenizer", err);
    json_where(place, where, "pre_tokenizer");
    /* both are on unless they are said to be off */
    if (*bytes && !cJSON_IsFalse(json_find(pre, "add_prefix_space")))
        return refuse(place, "add_prefix_space", err);
    if (*bytes && !cJSON_IsFalse(json_find(pre, "use_regex")))
        return refuse(place, "use_regex", err);
    if (!has_type(json_find(json, "decoder"), *bytes ? "ByteLevel" : "Fuse"))
        return refuse(where, "decoder", err);
    return 0;
}

static int read_id(const cJSON *value, const char *where, int *id, struct err *err) {
    long long x;
    if (json_as_int(value, where, 0, MAX_IDS - 1, &x, err) != 0) {
        err->code = EX_DATAERR;
        return -1;
    }
    *id = (int)x;
    return 0;
}

/* The number of ids: one more than the largest. */
static int count_ids(const cJSON *vocab, const cJSON *added, const char *where, int *n,
                     struct err *err) {
    char place[JSON_WHERE_BYTES], inner[JSON_WHERE_BYTES];
    const cJSON *item;
    int id, i = 0;
    *n = 0;
    cJSON_ArrayForEach(item, vocab) {
        json_where(place, where, "model.vocab");
        if (read_id(item, json_where(inner, place, item->string), &id, err) != 0)
            return -1;
        if (id >= *n) *n = id + 1;
    }
    cJSON_ArrayForEach(item, added) {
        json_where(place, where, "added_tokens");
        json_where_at(inner, place, i++);
        if (read_id(json_find(item, "id"), json_where(place, inner, "id"), &id, err) != 0)
            return -1;
        if (id >= *n) *n = id + 1;
    }
    return 0;
}

static int read_vocab(struct tokenizer *tok, const cJSON *vocab, const char *where,
                      struct err *err) {
    const cJSON *item;
    cJSON_ArrayForEach(item, vocab) {
        int id = (int)item->valuedouble;
        if (tok->piece[id].text)
            return err_set(err, EX_DATAERR, "%s: model.vocab: id %d is there twice",
                           where, id);
        tokenizer_set(tok, id, item->string, strlen(item->string));
    }
    return 0;
}

static int read_added_one(struct tokenizer *tok, const cJSON *item, const char *where,
                          struct err *err) {
    static const char *const OFF[] = {"single_word", "lstrip", "rstrip", "normalized"};
    const char *content = "";
    int id = (int)json_find(item, "id")->valuedouble;
    struct piece *p = &tok->piece[id];
    bool special = false;
    if (check_off(item, where, OFF, 4, err) != 0) return -1;
    if (json_get_string(item, where, "content", &content, err) != 0 ||
        json_get_bool(item, where, "special", &special, err) != 0)
        return -1;
    if (!content[0]) return err_set(err, EX_DATAERR, "%s: has no content", where);
    if (p->added || (p->text && strcmp(p->text, content) != 0))
        return err_set(err, EX_DATAERR, "%s: id %d belongs to '%.100s' already", where,
                       id, p->text);
    for (const char *c = content; tok->bytes && *c; c++)
        if ((unsigned char)*c >= 0x80) /* its decoder would take them for bytes */
            return err_set(err, EX_DATAERR, "%s: ByteLevel garbles '%.100s'", where,
                           content);
    for (int i = 0; i < tok->n_pieces; i++)
        if (i != id && tok->piece[i].text && strcmp(tok->piece[i].text, content) == 0)
            return err_set(err, EX_DATAERR, "%s: '%.100s' has id %d already", where,
                           content, i);
    if (!p->text) tokenizer_set(tok, id, content, strlen(content));
    p->added = true;
    p->special = special;
    return 0;
}

static int read_added(struct tokenizer *tok, const cJSON *added, const char *where,
                      struct err *err) {
    char place[JSON_WHERE_BYTES], inner[JSON_WHERE_BYTES];
    const cJSON *item;
    int i = 0;
    json_where(place, where, "added_tokens");
    if (cJSON_GetArraySize(added) > MAX_ADDED)
        return err_set(err, EX_DATAERR, "%s: more than %d", place, MAX_ADDED);
    cJSON_ArrayForEach(item, added) {
        json_where_at(inner, place, i++);
        if (read_added_one(tok, item, inner, err) != 0) return -1;
    }
    return 0;
}

/* Puts bytes in the place of the characters that stand for them. */
static int check_pieces(struct tokenizer *tok, const char *where, struct err *err) {
    for (int i = 0; i < tok->n_pieces; i++) {
        struct piece *p = &tok->piece[i];
        if (!p->text)
            return err_set(err, EX_DATAERR, "%s: model.vocab: id %d is missing", where,
                           i);
        if (!tok->bytes || p->added) continue;
        uint32_t cp = 0;
        int len = utf8_read(p->text, p->n_bytes, &cp), byte = tokenizer_char_byte(cp);
        if (len == 0 || (size_t)len != p->n_bytes || byte < 0)
            return err_set(err, EX_DATAERR, "%s: model.vocab: '%.100s' is not one byte",
                           where, p->text);
        p->text[0] = (char)byte;
        p->text[1] = 0;
        p->n_bytes = 1;
    }
    return 0;
}

static int find_piece(const struct tokenizer *tok, const char *text) {
    for (int i = 0; i < tok->n_pieces; i++)
        if (tok->piece[i].added && strcmp(tok->piece[i].text, text) == 0) return i;
    return -1;
}

/* null, or `single` being one special token and the text. */
static int read_template(struct tokenizer *tok, const cJSON *post, const char *where,
                         struct err *err) {
    if (is_off(post)) return 0;
    if (!has_type(post, "TemplateProcessing"))
        return refuse(where, "post_processor", err);
    const cJSON *single = json_find(post, "single");
    const cJSON *first = cJSON_GetArrayItem(single, 0),
                *second = first ? first->next : NULL;
    const cJSON *bos = json_find(json_find(first, "SpecialToken"), "id");
    const cJSON *sequence = json_find(json_find(second, "Sequence"), "id");
    if (cJSON_GetArraySize(single) != 2 || !cJSON_IsString(bos) ||
        !cJSON_IsString(sequence))
        return refuse(where, "post_processor.single", err);
    const cJSON *entry = json_find(json_find(post, "special_tokens"), bos->valuestring);
    const cJSON *ids = json_find(entry, "ids");
    tok->bos = find_piece(tok, bos->valuestring);
    if (tok->bos < 0 || cJSON_GetArraySize(ids) != 1 || !cJSON_IsNumber(ids->child) ||
        ids->child->valuedouble != tok->bos)
        return refuse(where, "post_processor.special_tokens", err);
    return 0;
}

static int read_all(struct tokenizer *tok, const cJSON *json, const char *where,
                    struct err *err) {
    const cJSON *model = json_find(json, "model"), *unk = json_find(model, "unk_token");
    if (read_vocab(tok, json_find(model, "vocab"), where, err) != 0 ||
        read_added(tok, json_find(json, "added_tokens"), where, err) != 0 ||
        check_pieces(tok, where, err) != 0 ||
        read_template(tok, json_find(json, "post_processor"), where, err) != 0)
        return -1;
    tok->eos = find_piece(tok, "<eos>");
    tok->pad = find_piece(tok, "<pad>");
    if (cJSON_IsString(unk)) {
        tok->unk = find_piece(tok, unk->valuestring);
        if (tok->unk < 0) return refuse(where, "model.unk_token", err);
    }
    tokenizer_index(tok);
    return 0;
}

int tokenizer_parse(struct tokenizer **tok, const char *text, const char *where,
                    struct err *err) {
    cJSON *json;
    bool bytes;
    int n, rc = -1;
    *tok = NULL;
    if (json_parse(&json, text, strlen(text), where, 1, err) != 0) return -1;
    const cJSON *vocab = json_find(json_find(json, "model"), "vocab");
    const cJSON *added = json_find(json, "added_tokens");
    if (read_pipeline(json, where, &bytes, err) != 0) goto out;
    if (!cJSON_IsObject(vocab) || (added && !cJSON_IsArray(added))) {
        err_set(err, EX_DATAERR, "%s: no model.vocab, or added_tokens is no list", where);
        goto out;
    }
    if (count_ids(vocab, added, where, &n, err) != 0) goto out;
    *tok = tokenizer_new(bytes, n);
    rc = read_all(*tok, json, where, err);
    if (rc != 0) {
        tokenizer_free(*tok);
        *tok = NULL;
    }
out:
    json_free(json);
    return rc;
}
