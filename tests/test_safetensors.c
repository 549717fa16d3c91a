/* tests/test_safetensors.c: what is written reads back; what is broken is refused with a
 * sentence, whatever byte it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "policy/safetensors.h"

static char folder[64], file_path[128];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/hone-safetensors-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(file_path, sizeof file_path, "%s/a.safetensors", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    static const char *const name[] = {"a.safetensors", "b.safetensors", "c.index.json"};
    char path[128];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, name[i]);
        unlink(path);
    }
    return rmdir(folder);
}

/* Writes header and n_data bytes of numbers as a file whose length field is right. */
static void write_raw(const char *path, const char *header, size_t n_data) {
    struct buf out = {0};
    struct err err = {0};
    uint64_t n = strlen(header);
    for (int i = 0; i < 8; i++) {
        char byte = (char)(n >> (8 * i));
        buf_push(&out, &byte, 1);
    }
    buf_puts(&out, header);
    for (size_t i = 0; i < n_data; i++) buf_push(&out, "\1", 1);
    assert_int_equal(file_save(path, out.data, out.len, &err), 0);
    buf_clear(&out);
}

static const float A[6] = {1, -2, 0.5f, 3e38f, 1e-45f, 0};
static const int64_t I[2] = {-1, INT64_MAX};
static const float S = 42;

static const struct safetensors_pair META[] = {{"format", "pt"},
                                               {"a \"key\"\n", "välue\\ \t"}};

/* Three tensors, one of them a single number, and an empty one. */
static void save_small(const char *path) {
    const struct safetensors_tensor tensor[] = {
        {.name = "m.a",
         .dtype = SAFETENSORS_F32,
         .n_dims = 2,
         .shape = {2, 3},
         .data = A},
        {.name = "i\"64", .dtype = SAFETENSORS_I64, .n_dims = 1, .shape = {2}, .data = I},
        {.name = "none",
         .dtype = SAFETENSORS_F32,
         .n_dims = 2,
         .shape = {0, 7},
         .data = A},
        {.name = "s", .dtype = SAFETENSORS_F32, .n_dims = 0, .data = &S},
    };
    struct err err = {0};
    if (safetensors_save(path, tensor, 4, META, 2, &err) != 0) fail_msg("%s", err.msg);
}

static void test_safetensors_round_trip(void **state) {
    (void)state;
    struct safetensors st;
    struct err err = {0};
    float a[6], s;
    int64_t i[2];
    save_small(file_path);
    if (safetensors_open(&st, file_path, &err) != 0) fail_msg("%s", err.msg);
    assert_int_equal(st.n_tensors, 4);
    assert_int_equal(safetensors_load_f32(&st, "m.a", 2, (int64_t[]){2, 3}, a, &err), 0);
    assert_memory_equal(a, A, sizeof a);
    assert_int_equal(safetensors_load_f32(&st, "s", 0, NULL, &s, &err), 0);
    assert_memory_equal(&s, &S, sizeof s);
    assert_int_equal(safetensors_load_i64(&st, "i\"64", 1, (int64_t[]){2}, i, &err), 0);
    assert_memory_equal(i, I, sizeof i);
    assert_int_equal(safetensors_load_f32(&st, "none", 2, (int64_t[]){0, 7}, a, &err), 0);
    assert_int_equal(
        safetensors_read_f32(&st, safetensors_find(&st, "m.a"), 2, 3, a, &err), 0);
    assert_memory_equal(a, A + 2, 3 * sizeof *a);
    assert_string_equal(safetensors_metadata(&st, "format"), "pt");
    assert_string_equal(safetensors_metadata(&st, META[1].key), META[1].value);
    assert_null(safetensors_metadata(&st, "none"));
    assert_null(safetensors_find(&st, "m"));
    safetensors_close(&st);
    safetensors_close(&st);
}

/* The layout of the reference: wide types first, then names; padded to 8 bytes. */
static void test_safetensors_save_orders_and_pads(void **state) {
    (void)state;
    char *text = NULL;
    size_t n = 0;
    struct err err = {0};
    static const char HEADER[] =
        "{\"__metadata__\":{\"format\":\"pt\",\"a \\\"key\\\"\\n\":\"välue\\\\ "
        "\\u0009\"},"
        "\"i\\\"64\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,16]},"
        "\"m.a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[16,40]},"
        "\"none\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[40,40]},"
        "\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[40,44]}}";
    save_small(file_path);
    assert_int_equal(file_load(file_path, 1 << 20, &text, &n, &err), 0);
    size_t len = (unsigned char)text[0] + 256 * (size_t)(unsigned char)text[1];
    assert_int_equal(len % 8, 0);
    assert_int_equal(n, 8 + len + 44);
    assert_memory_equal(text + 8, HEADER, sizeof HEADER - 1);
    for (size_t i = sizeof HEADER - 1; i < len; i++) assert_int_equal(text[8 + i], ' ');
    mem_free(text);
}

static void test_safetensors_save_pads_headers_of_any_length(void **state) {
    (void)state;
    static const char name[] = "abcdefghijklmnop";
    for (int i = 0; i < 16; i++) {
        char *text = NULL;
        size_t n = 0;
        struct err err = {0};
        struct safetensors_tensor tensor = {
            .name = name + i, .dtype = SAFETENSORS_F32, .n_dims = 0, .data = &S};
        assert_int_equal(safetensors_save(file_path, &tensor, 1, NULL, 0, &err), 0);
        assert_int_equal(file_load(file_path, 1 << 20, &text, &n, &err), 0);
        assert_int_equal((unsigned char)text[0] % 8, 0);
        assert_int_equal(n, 8 + (size_t)(unsigned char)text[0] + 4);
        mem_free(text);
    }
}

static void test_safetensors_empty_file_of_no_tensors(void **state) {
    (void)state;
    struct safetensors st;
    struct err err = {0};
    assert_int_equal(safetensors_save(file_path, NULL, 0, NULL, 0, &err), 0);
    assert_int_equal(safetensors_open(&st, file_path, &err), 0);
    assert_int_equal(st.n_tensors, 0);
    assert_null(safetensors_find(&st, "a"));
    assert_string_equal(safetensors_metadata(&st, "format"), "pt");
    safetensors_close(&st);
}

static void test_safetensors_load_names_what_is_not_as_expected(void **state) {
    (void)state;
    struct safetensors st;
    struct err err = {0};
    float a[6];
    int64_t i[6];
    save_small(file_path);
    assert_int_equal(safetensors_open(&st, file_path, &err), 0);
    assert_int_equal(safetensors_load_f32(&st, "b", 1, (int64_t[]){1}, a, &err), -1);
    assert_int_equal(err.code, EX_DATAERR);
    assert_non_null(strstr(err.msg, "tensor 'b' is missing"));
    assert_int_equal(safetensors_load_f32(&st, "m.a", 2, (int64_t[]){3, 2}, a, &err), -1);
    assert_non_null(strstr(err.msg, "'m.a' has shape [2, 3], expected [3, 2]"));
    assert_int_equal(safetensors_load_f32(&st, "m.a", 1, (int64_t[]){6}, a, &err), -1);
    assert_non_null(strstr(err.msg, "'m.a' has shape [2, 3], expected [6]"));
    assert_int_equal(safetensors_load_f32(&st, "i\"64", 1, (int64_t[]){2}, a, &err), -1);
    assert_non_null(strstr(err.msg, "'i\"64' is I64"));
    assert_int_equal(safetensors_load_i64(&st, "m.a", 2, (int64_t[]){2, 3}, i, &err), -1);
    assert_non_null(strstr(err.msg, "'m.a' is F32, expected I64"));
    assert_int_equal(err.code, EX_DATAERR);
    safetensors_close(&st);
}

static void test_safetensors_halves_are_widened_exactly(void **state) {
    (void)state;
    static const uint16_t f16[] = {0x0000, 0x8000, 0x0001, 0x03ff, 0x0400, 0x3c00,
                                   0xc000, 0x7bff, 0x7c00, 0xfc00, 0x3555};
    static const float f16_want[] = {0,  -0.0f, 0x1p-24f,    0x1.ff8p-15f, 0x1p-14f,   1,
                                     -2, 65504, 1.0f / 0.0f, -1.0f / 0.0f, 0x1.554p-2f};
    static const uint16_t bf16[] = {0x3f80, 0xc040, 0x0001, 0x7f7f, 0x8000};
    static const float bf16_want[] = {1, -3, 0x1p-133f, 0x1.fep+127f, -0.0f};
    const struct safetensors_tensor tensor[] = {
        {.name = "h", .dtype = SAFETENSORS_F16, .n_dims = 1, .shape = {11}, .data = f16},
        {.name = "b", .dtype = SAFETENSORS_BF16, .n_dims = 1, .shape = {5}, .data = bf16},
    };
    struct safetensors st;
    struct err err = {0};
    float h[11], b[5];
    assert_int_equal(safetensors_save(file_path, tensor, 2, NULL, 0, &err), 0);
    assert_int_equal(safetensors_open(&st, file_path, &err), 0);
    assert_int_equal(safetensors_load_f32(&st, "h", 1, (int64_t[]){11}, h, &err), 0);
    assert_int_equal(safetensors_load_f32(&st, "b", 1, (int64_t[]){5}, b, &err), 0);
    assert_memory_equal(h, f16_want, sizeof h);
    assert_memory_equal(b, bf16_want, sizeof b);
    safetensors_close(&st);
}

static void test_safetensors_halves_are_read_over_many_parts(void **state) {
    (void)state;
    enum { N = 10000 };
    static uint16_t data[N];
    static float out[N];
    const struct safetensors_tensor tensor = {
        .name = "b", .dtype = SAFETENSORS_BF16, .n_dims = 1, .shape = {N}, .data = data};
    struct safetensors st;
    struct err err = {0};
    for (int i = 0; i < N; i++) data[i] = (uint16_t)(0x3f80 + i % 4001);
    assert_int_equal(safetensors_save(file_path, &tensor, 1, NULL, 0, &err), 0);
    assert_int_equal(safetensors_open(&st, file_path, &err), 0);
    assert_int_equal(safetensors_read_f32(&st, &st.tensor[0], 3, N - 3, out, &err), 0);
    for (int i = 0; i < N - 3; i++) {
        uint32_t bits;
        memcpy(&bits, &out[i], 4);
        assert_int_equal(bits, (uint32_t)data[i + 3] << 16);
    }
    safetensors_close(&st);
}

/* ---- broken files ---- */

/* Without the sync of file_save, which takes its time. */
static void write_bytes(const char *text, size_t n) {
    FILE *f = fopen(file_path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void check_refused(const char *message) {
    struct safetensors st;
    struct err err = {0};
    if (safetensors_open(&st, file_path, &err) == 0) fail_msg("taken, not: %s", message);
    assert_int_equal(st.n_tensors + st.n_files, 0);
    assert_int_equal(err.code, EX_DATAERR);
    assert_non_null(strstr(err.msg, file_path));
    if (!strstr(err.msg, message)) fail_msg("want '%s', got '%s'", message, err.msg);
}

static void test_safetensors_refuses_every_cut_and_every_surplus(void **state) {
    (void)state;
    char *text = NULL;
    size_t n = 0;
    struct err err = {0};
    save_small(file_path);
    assert_int_equal(file_load(file_path, 1 << 20, &text, &n, &err), 0);
    for (size_t i = 0; i < n; i++) {
        write_bytes(text, i);
        check_refused("");
    }
    assert_int_equal(file_save(file_path, text, n + 1, &err), 0);
    check_refused("the header describes 44 bytes of data, the file has 45");
    mem_free(text);
}

/* A header has no checksum, so some changes make another valid file: those must read. */
static void test_safetensors_survives_every_flipped_bit(void **state) {
    (void)state;
    char *text = NULL;
    size_t n = 0;
    int n_taken = 0;
    struct err err = {0};
    save_small(file_path);
    assert_int_equal(file_load(file_path, 1 << 20, &text, &n, &err), 0);
    for (size_t bit = 0; bit < 8 * (n - 44); bit++) {
        struct safetensors st;
        text[bit / 8] ^= (char)(1 << bit % 8);
        write_bytes(text, n);
        text[bit / 8] ^= (char)(1 << bit % 8);
        err = (struct err){0};
        if (safetensors_open(&st, file_path, &err) != 0) {
            assert_int_equal(err.code, EX_DATAERR);
            assert_true(err.msg[0] != 0);
            continue;
        }
        n_taken++;
        for (int i = 0; i < st.n_tensors; i++) {
            float out[64];
            assert_true(st.tensor[i].n <= 64);
            int rc =
                safetensors_read_f32(&st, &st.tensor[i], 0, st.tensor[i].n, out, &err);
            assert_true(rc == 0 || err.code == EX_DATAERR);
        }
        safetensors_close(&st);
    }
    assert_in_range(n_taken, 1, 8 * (n - 44) / 2);
    mem_free(text);
}

static void test_safetensors_refuses_bad_headers(void **state) {
    (void)state;
#define T(dtype, shape, offsets)                                                         \
    "{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define F4 T("\"F32\"", "[1]", "[0,4]")
    static const struct {
        const char *header;
        size_t n_data;
        const char *message;
    } bad[] = {
        {"", 0, "header"},
        {"x", 0, "header"},
        {"[]", 0, "must be a JSON object"},
        {"null", 0, "must be a JSON object"},
        {"{} x", 0, "header"},
        {"{}\xff", 0, "header"},
        {"{\"a\xff\":" F4 "}", 4, "UTF-8"},
        {"{\"a\\u0000\":" F4 "}", 4, "\\u0000"},
        {"{\"a\":1}", 0, "tensor 'a': must be an object"},
        {"{\"a\":{}}", 0, "tensor 'a': must be an object with"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4,
         "must be an object with"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[1]}}", 4, "twice"},
        {"{\"a\":" F4 ",\"a\":" T("\"F32\"", "[1]", "[4,8]") "}", 8, "twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ is no object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "'a' is no string"},
        {"{\"a\":" T("\"F31\"", "[1]", "[0,4]") "}", 4, "bad dtype"},
        {"{\"a\":" T("1", "[1]", "[0,4]") "}", 4, "bad dtype"},
        {"{\"a\":" T("\"F32\"", "1", "[0,4]") "}", 4, "bad shape"},
        {"{\"a\":" T("\"F32\"", "[-1]", "[0,4]") "}", 4, "bad shape"},
        {"{\"a\":" T("\"F32\"", "[1.5]", "[0,4]") "}", 4, "bad shape"},
        {"{\"a\":" T("\"F32\"", "[\"1\"]", "[0,4]") "}", 4, "bad shape"},
        {"{\"a\":" T("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "bad shape"},
        {"{\"a\":" T("\"F32\"", "[4294967296,4294967296]", "[0,4]") "}", 4, "bad shape"},
        {"{\"a\":" T("\"F32\"", "[1e300]", "[0,4]") "}", 4, "bad shape"},
        {"{\"a\":" T("\"F32\"", "[2147483648,2147483648]", "[0,4]") "}", 4,
         "not what dtype and shape need"},
        {"{\"a\":" T("\"F32\"", "[2]", "[0,4]") "}", 4, "not what dtype and shape need"},
        {"{\"a\":" T("\"F32\"", "[]", "[0,0]") "}", 0, "not what dtype and shape need"},
        {"{\"a\":" T("\"F4\"", "[1]", "[0,0]") "}", 0, "not what dtype and shape need"},
        {"{\"a\":" T("\"F32\"", "[1]", "[4,0]") "}", 4, "bad data_offsets"},
        {"{\"a\":" T("\"F32\"", "[1]", "[-4,0]") "}", 4, "bad data_offsets"},
        {"{\"a\":" T("\"F32\"", "[1]", "[0]") "}", 4, "bad data_offsets"},
        {"{\"a\":" T("\"F32\"", "[1]", "[0,4,8]") "}", 4, "bad data_offsets"},
        {"{\"a\":" T("\"F32\"", "[1]", "{}") "}", 4, "bad data_offsets"},
        {"{\"a\":" T("\"F32\"", "[1]", "[0,1e30]") "}", 4, "bad data_offsets"},
        {"{\"a\":" F4 "}", 3, "describes 4 bytes of data, the file has 3"},
        {"{\"a\":" F4 "}", 8, "describes 4 bytes of data, the file has 8"},
        {"{}", 1, "describes 0 bytes of data, the file has 1"},
        {"{\"a\":" T("\"F32\"", "[1]", "[4,8]") "}", 8, "starts at byte 4"},
        {"{\"a\":" F4 ",\"b\":" F4 "}", 4,
         "starts at byte 0 of the data, the one before"},
        {"{\"a\":" T("\"F32\"", "[2]", "[0,8]") ",\"b\":" T("\"F32\"", "[2]",
                                                            "[4,12]") "}",
         12, "tensor 'b' starts at byte 4 of the data, the one before it ends at 8"},
        {"{\"a\":" F4 ",\"b\":" T("\"F32\"", "[1]", "[8,12]") "}", 12,
         "tensor 'b' starts at byte 8 of the data, the one before it ends at 4"},
    };
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++) {
        write_raw(file_path, bad[i].header, bad[i].n_data);
        check_refused(bad[i].message);
    }
}

static void test_safetensors_takes_spaces_order_and_odd_alignment(void **state) {
    (void)state;
    struct safetensors st;
    struct err err = {0};
    write_raw(file_path,
              " {\"b\":" T("\"U8\"", "[3]", "[0,3]") ", \"a\":" T("\"F32\"", "[1]",
                                                                  "[3,7]") "}\n  ",
              7);
    if (safetensors_open(&st, file_path, &err) != 0) fail_msg("%s", err.msg);
    float x;
    assert_int_equal(safetensors_load_f32(&st, "a", 1, (int64_t[]){1}, &x, &err), 0);
    assert_memory_equal(&x, "\1\1\1\1", 4);
    safetensors_close(&st);
}

static void test_safetensors_refuses_huge_and_cut_headers(void **state) {
    (void)state;
    static const struct {
        unsigned char length[8];
        const char *message;
    } bad[] = {
        {{0x01, 0xe1, 0xf5, 0x05}, "100000001 bytes, more than the 100000000 allowed"},
        {{0, 0, 0, 0, 0, 0, 0, 0x80}, "more than the 100000000 allowed"},
        {{255, 255, 255, 255, 255, 255, 255, 255},
         "18446744073709551615 bytes, more than"},
        {{0x00, 0xe1, 0xf5, 0x05}, "ends within its header (2 of 100000000 bytes)"},
        {{3}, "ends within its header (2 of 3 bytes)"},
    };
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++) {
        struct err err = {0};
        char text[10];
        memcpy(text, bad[i].length, 8);
        memcpy(text + 8, "{}", 2);
        assert_int_equal(file_save(file_path, text, sizeof text, &err), 0);
        check_refused(bad[i].message);
    }
}

static void test_safetensors_file_that_shrinks_is_an_error(void **state) {
    (void)state;
    struct safetensors st;
    struct err err = {0};
    float a[6];
    save_small(file_path);
    assert_int_equal(safetensors_open(&st, file_path, &err), 0);
    assert_int_equal(truncate(file_path, 100), 0);
    assert_int_equal(safetensors_load_f32(&st, "m.a", 2, (int64_t[]){2, 3}, a, &err), -1);
    assert_int_equal(err.code, EX_IOERR);
    safetensors_close(&st);
}

static void test_safetensors_missing_file_and_folder(void **state) {
    (void)state;
    struct safetensors st;
    struct err err = {0};
    assert_int_equal(safetensors_open(&st, "/nowhere/a", &err), -1);
    assert_int_equal(err.code, EX_NOINPUT);
    assert_int_equal(safetensors_open(&st, folder, &err), -1);
    assert_int_equal(err.code, EX_NOINPUT);
    assert_int_equal(safetensors_save("/nowhere/a", NULL, 0, NULL, 0, &err), -1);
    assert_int_equal(err.code, EX_CANTCREAT);
}

static void test_safetensors_failed_save_keeps_the_old_file(void **state) {
    (void)state;
    struct safetensors st;
    struct err err = {0};
    static const struct safetensors_pair none;
    char *name = mem_new(SAFETENSORS_MAX_HEADER + 1, 1);
    save_small(file_path);
    memset(name, 'a', SAFETENSORS_MAX_HEADER);
    const struct safetensors_tensor tensor = {
        .name = name, .dtype = SAFETENSORS_F32, .n_dims = 0, .data = &S};
    assert_int_equal(safetensors_save(file_path, &tensor, 1, &none, 0, &err), -1);
    assert_non_null(strstr(err.msg, "the header is too long"));
    assert_int_equal(safetensors_open(&st, file_path, &err), 0);
    assert_int_equal(st.n_tensors, 4);
    safetensors_close(&st);
    mem_free(name);
}

/* ---- shards ---- */

/* a.safetensors with x, b.safetensors with y and z, and an index with this map. */
static int open_index(struct safetensors *st, const char *map, struct err *err) {
    char path[128], index[1024];
    snprintf(path, sizeof path, "%s/b.safetensors", folder);
    write_raw(file_path, "{\"x\":" F4 "}", 4);
    write_raw(path, "{\"y\":" F4 ",\"z\":" T("\"F32\"", "[2]", "[4,12]") "}", 12);
    snprintf(path, sizeof path, "%s/c.index.json", folder);
    snprintf(index, sizeof index, "{\"metadata\":{\"total_size\":16},\"weight_map\":%s}",
             map);
    assert_int_equal(file_save(path, index, strlen(index), err), 0);
    return safetensors_open_index(st, path, err);
}

static void test_safetensors_index_joins_shards(void **state) {
    (void)state;
    struct safetensors st;
    struct err err = {0};
    float z[2];
    if (open_index(&st,
                   "{\"z\":\"b.safetensors\",\"x\":\"a.safetensors\","
                   "\"y\":\"b.safetensors\"}",
                   &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(st.n_tensors, 3);
    assert_int_equal(st.n_files, 2);
    assert_non_null(strstr(safetensors_path(&st, safetensors_find(&st, "x")), "/a.safe"));
    assert_int_equal(safetensors_load_f32(&st, "z", 1, (int64_t[]){2}, z, &err), 0);
    assert_memory_equal(z, "\1\1\1\1\1\1\1\1", 8);
    safetensors_close(&st);
}

static void test_safetensors_index_must_agree_with_its_shards(void **state) {
    (void)state;
    static const struct {
        const char *map;
        int code;
        const char *message;
    } bad[] = {
        {"[]", EX_DATAERR, "weight_map"},
        {"{\"x\":\"a.safetensors\",\"y\":\"b.safetensors\"}", EX_DATAERR,
         "names 2 tensors, the shards hold 3"},
        {"{\"x\":\"b.safetensors\",\"y\":\"b.safetensors\",\"z\":\"a.safetensors\"}",
         EX_DATAERR, "tensor 'x' is not in b.safetensors"},
        {"{\"x\":\"a.safetensors\",\"w\":\"b.safetensors\"}", EX_DATAERR,
         "tensor 'w' is not in b.safetensors"},
        {"{\"x\":\"d.safetensors\"}", EX_NOINPUT, "d.safetensors"},
        {"{\"x\":\"../a.safetensors\"}", EX_DATAERR, "'x' is not mapped to a file name"},
        {"{\"x\":\"..\"}", EX_DATAERR, "'x' is not mapped to a file name"},
        {"{\"x\":\"\"}", EX_DATAERR, "'x' is not mapped to a file name"},
        {"{\"x\":1}", EX_DATAERR, "'x' is not mapped to a file name"},
        {"{\"x\":\"c.index.json\"}", EX_DATAERR, "c.index.json"},
    };
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++) {
        struct safetensors st;
        struct err err = {0};
        assert_int_equal(open_index(&st, bad[i].map, &err), -1);
        assert_int_equal(st.n_tensors + st.n_files, 0);
        assert_int_equal(err.code, bad[i].code);
        if (!strstr(err.msg, bad[i].message)) fail_msg("%s: %s", bad[i].map, err.msg);
    }
}

static void test_safetensors_tensor_in_two_shards_is_refused(void **state) {
    (void)state;
    struct safetensors st;
    struct err err = {0};
    char path[128], index[] = "{\"weight_map\":{\"x\":\"a.safetensors\","
                              "\"y\":\"b.safetensors\"}}";
    snprintf(path, sizeof path, "%s/b.safetensors", folder);
    write_raw(file_path, "{\"x\":" F4 "}", 4);
    write_raw(path, "{\"x\":" F4 "}", 4);
    snprintf(path, sizeof path, "%s/c.index.json", folder);
    assert_int_equal(file_save(path, index, strlen(index), &err), 0);
    assert_int_equal(safetensors_open_index(&st, path, &err), -1);
    assert_non_null(strstr(err.msg, "tensor 'x' is in two shards"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safetensors_round_trip),
        cmocka_unit_test(test_safetensors_save_orders_and_pads),
        cmocka_unit_test(test_safetensors_save_pads_headers_of_any_length),
        cmocka_unit_test(test_safetensors_empty_file_of_no_tensors),
        cmocka_unit_test(test_safetensors_load_names_what_is_not_as_expected),
        cmocka_unit_test(test_safetensors_halves_are_widened_exactly),
        cmocka_unit_test(test_safetensors_halves_are_read_over_many_parts),
        cmocka_unit_test(test_safetensors_refuses_every_cut_and_every_surplus),
        cmocka_unit_test(test_safetensors_survives_every_flipped_bit),
        cmocka_unit_test(test_safetensors_refuses_bad_headers),
        cmocka_unit_test(test_safetensors_takes_spaces_order_and_odd_alignment),
        cmocka_unit_test(test_safetensors_refuses_huge_and_cut_headers),
        cmocka_unit_test(test_safetensors_file_that_shrinks_is_an_error),
        cmocka_unit_test(test_safetensors_missing_file_and_folder),
        cmocka_unit_test(test_safetensors_failed_save_keeps_the_old_file),
        cmocka_unit_test(test_safetensors_index_joins_shards),
        cmocka_unit_test(test_safetensors_index_must_agree_with_its_shards),
        cmocka_unit_test(test_safetensors_tensor_in_two_shards_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
