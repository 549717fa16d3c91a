/* tests/test_tokenizer.c: against what the Hugging Face library prints, encodes and
 * decodes (tests/reference/make_tokenizer_golden.py), and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "policy/tokenizer.h"
#include "base/utf8.h"

#define MATHS "0123456789+-*/()=, \nabcdefghijklmnopqrstuvwxyz"
#define ODD                                                                              \
    "ab<> \t\n\r\b\f\x01\x7f\"\\/éß日本語😀\xe2\x80\xa8\xef\xbb\xbf\xf4\x8f\xbf\xbf"

/* The same four as in the script. */
static const struct {
    const char *name, *alphabet; /* NULL: bytes */
    const char *tag[7];
    int n_tags;
} tokenizers[] = {
    {"chars", MATHS, {"<think>", "</think>", "<answer>", "</answer>"}, 4},
    {"plain", "cba", {0}, 0},
    {"odd", ODD, {"<a", "<ab", "<ab>b", "日本", "b", "b b", "é\n"}, 7},
    {"bytes", NULL, {"<think>", "</think>", "<think", "a b"}, 4},
};
enum { N_TOKENIZERS = 4 };

static struct tokenizer *make(int i) {
    if (!tokenizers[i].alphabet)
        return tokenizer_new_bytes(tokenizers[i].tag, tokenizers[i].n_tags);
    return tokenizer_new_chars(tokenizers[i].alphabet, tokenizers[i].tag,
                               tokenizers[i].n_tags);
}

static char *load_golden(int i, const char *end, size_t *n) {
    char path[256], *text = NULL;
    struct err err = {0};
    snprintf(path, sizeof path, "tests/golden/tokenizer_%s.%s", tokenizers[i].name, end);
    if (file_load(path, 1 << 24, &text, n, &err) != 0) fail_msg("%s", err.msg);
    return text;
}

static void check_print(const struct tokenizer *tok, const char *want) {
    struct buf out = {0};
    tokenizer_print(tok, &out);
    assert_string_equal(buf_text(&out), want);
    buf_clear(&out);
}

static void test_tokenizer_prints_what_the_library_prints(void **state) {
    (void)state;
    for (int i = 0; i < N_TOKENIZERS; i++) {
        size_t n;
        char *want = load_golden(i, "json", &n);
        struct tokenizer *tok = make(i);
        check_print(tok, want);
        tokenizer_free(tok);
        mem_free(want);
    }
}

static void test_tokenizer_parse_reads_back_what_was_printed(void **state) {
    (void)state;
    for (int i = 0; i < N_TOKENIZERS; i++) {
        size_t n;
        struct err err = {0};
        struct tokenizer *tok;
        char *want = load_golden(i, "json", &n);
        if (tokenizer_parse(&tok, want, "golden", &err) != 0) fail_msg("%s", err.msg);
        check_print(tok, want);
        assert_int_equal(tokenizer_pad(tok), 0);
        assert_int_equal(tokenizer_bos(tok), 1);
        assert_int_equal(tokenizer_eos(tok), 2);
        assert_int_equal(tokenizer_unk(tok), 3);
        tokenizer_free(tok);
        mem_free(want);
    }
}

static void check_ids(const struct tokenizer *tok, const char *text, bool bos,
                      const cJSON *want) {
    int ids[2048], n = tokenizer_encode(tok, text, strlen(text), bos, ids, 2048), i = 0;
    assert_int_equal(n, cJSON_GetArraySize(want));
    for (const cJSON *w = want->child; w; w = w->next, i++)
        assert_int_equal(ids[i], w->valueint);
}

static void check_decoded(const struct tokenizer *tok, const cJSON *list, bool skip,
                          const char *want) {
    int ids[2048], n = 0;
    struct buf out = {0};
    for (const cJSON *w = list->child; w; w = w->next) ids[n++] = w->valueint;
    tokenizer_decode(tok, ids, n, skip, &out);
    assert_string_equal(buf_text(&out), want);
    buf_clear(&out);
}

static int check_lines(const struct tokenizer *tok, char *text, size_t n) {
    int n_lines = 0;
    struct err err = {0};
    for (char *line = text, *end; line < text + n; line = end + 1, n_lines++) {
        cJSON *json;
        end = strchr(line, '\n');
        if (json_parse(&json, line, (size_t)(end - line), "golden", n_lines + 1, &err) !=
            0)
            fail_msg("%s", err.msg);
        const char *s = json_find(json, "text")->valuestring;
        const cJSON *ids_bos = json_find(json, "ids_bos");
        check_ids(tok, s, false, json_find(json, "ids"));
        check_ids(tok, s, true, ids_bos);
        check_decoded(tok, ids_bos, false, json_find(json, "decoded")->valuestring);
        check_decoded(tok, ids_bos, true, json_find(json, "decoded_skip")->valuestring);
        json_free(json);
    }
    return n_lines;
}

static void test_tokenizer_agrees_with_the_library_on_every_text(void **state) {
    (void)state;
    for (int i = 0; i < N_TOKENIZERS; i++) {
        size_t n;
        char *lines = load_golden(i, "jsonl", &n);
        struct tokenizer *tok = make(i);
        assert_true(check_lines(tok, lines, n) > 100);
        tokenizer_free(tok);
        mem_free(lines);
    }
}

static void test_tokenizer_encode_counts_past_max_and_writes_no_further(void **state) {
    (void)state;
    struct tokenizer *tok = make(0);
    int ids[4] = {-7, -7, -7, -7};
    assert_int_equal(tokenizer_encode(tok, "12345", 5, true, ids, 2), 6);
    assert_int_equal(ids[0], tokenizer_bos(tok));
    assert_true(ids[1] > 7);
    assert_int_equal(ids[2], -7);
    assert_int_equal(tokenizer_encode(tok, "12345", 5, true, NULL, 0), 6);
    assert_int_equal(tokenizer_encode(tok, "", 0, false, NULL, 0), 0);
    tokenizer_free(tok);
}

static void test_tokenizer_chars_give_unk_for_bytes_that_are_no_text(void **state) {
    (void)state;
    static const char text[] = "a\xff\xc3\xe6\x97z\0b";
    struct tokenizer *tok = make(0);
    int ids[16], n = tokenizer_encode(tok, text, sizeof text - 1, false, ids, 16);
    assert_int_equal(n, 8);
    for (int i = 1; i < 7; i++)
        if (i != 5) assert_int_equal(ids[i], 3);
    assert_true(ids[0] > 7 && ids[5] > 7 && ids[7] == ids[0] + 1);
    tokenizer_free(tok);
}

static void test_tokenizer_bytes_round_trip_every_byte(void **state) {
    (void)state;
    char text[256];
    int ids[256];
    struct buf out = {0};
    struct tokenizer *tok = make(3);
    for (int i = 0; i < 256; i++) text[i] = (char)i;
    assert_int_equal(tokenizer_encode(tok, text, 256, false, ids, 256), 256);
    tokenizer_decode(tok, ids, 256, true, &out);
    assert_int_equal(out.len, 256);
    assert_memory_equal(out.data, text, 256);
    for (int i = 0; i < 256; i++) {
        size_t n;
        const char *piece = tokenizer_piece(tok, ids[i], &n);
        assert_int_equal(n, 1);
        assert_int_equal(piece[0], text[i]);
    }
    buf_clear(&out);
    tokenizer_free(tok);
}

static void test_tokenizer_decode_passes_over_ids_that_do_not_exist(void **state) {
    (void)state;
    struct buf out = {0};
    struct tokenizer *tok = make(1);
    const int ids[] = {-1, 4, 7, 1000000, 5};
    tokenizer_decode(tok, ids, 5, false, &out);
    assert_string_equal(buf_text(&out), "ab");
    buf_clear(&out);
    tokenizer_free(tok);
}

/* The golden text of tokenizer i with the first `from` replaced by `to`. Caller frees. */
static char *edited(int i, const char *from, const char *to) {
    size_t n;
    char *text = load_golden(i, "json", &n);
    struct buf out = {0};
    size_t at = 0, len = strlen(from);
    while (at < n && strncmp(text + at, from, len) != 0) at++;
    assert_true(at < n);
    buf_push(&out, text, at);
    buf_puts(&out, to);
    buf_push(&out, text + at + len, n - at - len);
    mem_free(text);
    return out.data;
}

static void test_tokenizer_parse_refuses_what_is_not_built(void **state) {
    (void)state;
    static const struct {
        int tokenizer;
        const char *from, *to, *message;
    } bad[] = {
        {0, "\"truncation\": null", "\"truncation\": {}", "g: truncation: "},
        {0, "\"padding\": null", "\"padding\": {\"a\": 1}", "g: padding: "},
        {0, "\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}", "normalizer"},
        {0, "\"pre_tokenizer\": null", "\"pre_tokenizer\": {\"type\": \"Digits\"}",
         "pre_tokenizer"},
        {3, "\"add_prefix_space\": false", "\"add_prefix_space\": true",
         "pre_tokenizer.add_prefix_space"},
        {3, "\"use_regex\": false", "\"use_regex\": true", "pre_tokenizer.use_regex"},
        {3, ",\n    \"use_regex\": false", "", "pre_tokenizer.use_regex"},
        {0, "\"type\": \"Fuse\"", "\"type\": \"ByteLevel\"", "decoder"},
        {3, "\"decoder\": {\n    \"type\": \"ByteLevel\"",
         "\"decoder\": {\n    \"type\": \"Fuse\"", "decoder"},
        {0, "\"type\": \"BPE\"", "\"type\": \"Unigram\"", "model.type"},
        {0, "\"merges\": []", "\"merges\": [\"a b\"]", "model.merges"},
        {0, "\"dropout\": null", "\"dropout\": 0.5", "model.dropout"},
        {0, "\"fuse_unk\": false", "\"fuse_unk\": true", "model.fuse_unk"},
        {0, "\"byte_fallback\": false", "\"byte_fallback\": true", "model.byte_fallback"},
        {0, "\"ignore_merges\": false", "\"ignore_merges\": true", "model.ignore_merges"},
        {0, "\"unk_token\": \"<unk>\"", "\"unk_token\": \"nil\"", "model.unk_token"},
        {0, "\"lstrip\": false", "\"lstrip\": true", "added_tokens[0].lstrip"},
        {0, "\"normalized\": false", "\"normalized\": true",
         "added_tokens[0].normalized"},
        {0, "TemplateProcessing", "BertProcessing", "post_processor"},
        {0, "\"Sequence\"", "\"SpecialToken\"", "post_processor.single"},
        {0, "\"ids\": [\n          1", "\"ids\": [\n          2",
         "post_processor.special_tokens"},
        {0, "\"content\": \"<pad>\"", "\"content\": \"\"", "no content"},
        {0, "\"content\": \"<pad>\"", "\"content\": \"<p>\"", "belongs to '<pad>'"},
        {0, "\"id\": 0", "\"id\": 60", "'<pad>' has id 0 already"},
        {0, "\"id\": 0", "\"id\": -1", "added_tokens[0].id"},
        {0, "\"id\": 0", "\"id\": 1e9", "added_tokens[0].id"},
        {0, "\"id\": 0,", "", "added_tokens[0].id"},
        {0, "\"a\": 28", "\"a\": 29", "id 29 is there twice"},
        {0, "\"a\": 28", "\"a\": 54", "id 28 is missing"},
        {0, "\"a\": 28", "\"b\": 28", "twice"},
        {0, "\"a\": 28", "\"a\": \"28\"", "model.vocab.a"},
        {0, "\"vocab\"", "\"vocabulary\"", "no model.vocab"},
        {0, "\"added_tokens\": [", "\"added_tokens\": 1, \"x\": [", "no list"},
        {3, "\"!\": ", "\"!!\": ", "'!!' is not one byte"},
        {3, "\"!\": ", "\"語\": ", "is not one byte"},
        {3, "\"content\": \"a b\"", "\"content\": \"é b\"", ""},
        {0, "\n}", "\n", "g:"},
    };
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++) {
        struct err err = {0};
        struct tokenizer *tok;
        char *text = edited(bad[i].tokenizer, bad[i].from, bad[i].to);
        if (tokenizer_parse(&tok, text, "g", &err) == 0)
            fail_msg("%s -> %s was taken", bad[i].from, bad[i].to);
        assert_null(tok);
        assert_int_equal(err.code, EX_DATAERR);
        if (!strstr(err.msg, bad[i].message)) fail_msg("%s: %s", bad[i].to, err.msg);
        mem_free(text);
    }
}

static void test_tokenizer_parse_survives_every_cut(void **state) {
    (void)state;
    size_t n;
    char *text = load_golden(2, "json", &n);
    for (size_t i = 0; i < n; i++) {
        struct err err = {0};
        struct tokenizer *tok;
        char *cut = mem_new(n + 1, 1);
        memcpy(cut, text, i);
        assert_int_equal(tokenizer_parse(&tok, cut, "g", &err), -1);
        assert_null(tok);
        mem_free(cut);
    }
    mem_free(text);
}

static void test_tokenizer_parse_survives_every_changed_byte(void **state) {
    (void)state;
    for (int t = 1; t <= 2; t++) {
        size_t n;
        char *text = load_golden(t, "json", &n);
        for (size_t i = 0; i < n; i++) {
            static const char other[] = {'0', '"', ' ', '}', 'n', '-'};
            char old = text[i];
            for (size_t k = 0; k < sizeof other; k++) {
                struct err err = {0};
                struct tokenizer *tok;
                int ids[8];
                text[i] = other[k];
                if (tokenizer_parse(&tok, text, "g", &err) == 0)
                    (void)tokenizer_encode(tok, "ab<ab>b", 7, true, ids, 8);
                else
                    assert_true(err.msg[0]);
                tokenizer_free(tok);
            }
            text[i] = old;
        }
        mem_free(text);
    }
}

static void test_utf8_takes_exactly_the_code_points(void **state) {
    (void)state;
    static const char *const bad[] = {
        "\x80",         "\xc0\x80",         "\xc1\xbf",         "\xe0\x9f\xbf",
        "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xc3",         "\xe6\x97",         "\xf0\x9f\x98",     "\xc3(",
        "\xff",
    };
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++)
        assert_false(utf8_valid(bad[i], strlen(bad[i])));
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        char text[4];
        uint32_t back = 0;
        if (cp >= 0xd800 && cp < 0xe000) continue;
        int n = utf8_write(cp, text);
        assert_int_equal(utf8_read(text, (size_t)n, &back), n);
        assert_int_equal(back, cp);
        assert_int_equal(utf8_read(text, (size_t)n - 1, &back), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizer_prints_what_the_library_prints),
        cmocka_unit_test(test_tokenizer_parse_reads_back_what_was_printed),
        cmocka_unit_test(test_tokenizer_agrees_with_the_library_on_every_text),
        cmocka_unit_test(test_tokenizer_encode_counts_past_max_and_writes_no_further),
        cmocka_unit_test(test_tokenizer_chars_give_unk_for_bytes_that_are_no_text),
        cmocka_unit_test(test_tokenizer_bytes_round_trip_every_byte),
        cmocka_unit_test(test_tokenizer_decode_passes_over_ids_that_do_not_exist),
        cmocka_unit_test(test_tokenizer_parse_refuses_what_is_not_built),
        cmocka_unit_test(test_tokenizer_parse_survives_every_cut),
        cmocka_unit_test(test_tokenizer_parse_survives_every_changed_byte),
        cmocka_unit_test(test_utf8_takes_exactly_the_code_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
