/* tests/test_base.c: counters, memory, growing text, files, nearest names. */
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
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/nearest.h"
#include "base/rng.h"

/* ---- rng ----------------------------------------------------------------------- */

/* kat_vectors of Random123 1.14: philox4x32 with 10 rounds. The words are those of its
 * counter (c0 = position, c1 = sample, c2 = prompt, c3 = step), its key, its result. */
static const struct {
    uint32_t counter[4], key[2], out[4];
} kat[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void test_rng_words_match_the_published_vectors(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        uint64_t want = (uint64_t)kat[i].key[1] << 32 | kat[i].key[0];
        struct rng_key key = {
            /* the purpose is folded in by exclusive or; this seed takes it out again */
            .seed = want ^ RNG_TEST * 0x9E3779B97F4A7C15ull,
            .purpose = RNG_TEST,
            .step = kat[i].counter[3],
            .prompt = kat[i].counter[2],
            .sample = kat[i].counter[1],
        };
        uint32_t out[4];
        rng_words(&key, kat[i].counter[0], out);
        for (int k = 0; k < 4; k++) assert_int_equal(out[k], kat[i].out[k]);
    }
}

static void test_rng_uniform_fills_the_unit_interval(void **state) {
    (void)state;
    struct rng_key key = {.seed = 1, .purpose = RNG_TEST};
    int bin[10] = {0};
    double sum = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        double u = rng_uniform(&key, i);
        assert_true(u >= 0 && u < 1);
        bin[(int)(u * 10)]++;
        sum += u;
    }
    /* 5 standard deviations */
    assert_true(sum / 100000 > 0.5 - 0.0046 && sum / 100000 < 0.5 + 0.0046);
    for (int i = 0; i < 10; i++)
        assert_true(bin[i] > 10000 - 475 && bin[i] < 10000 + 475);
}

static void test_rng_every_part_of_the_key_counts(void **state) {
    (void)state;
    struct rng_key a = {
        .seed = 7, .purpose = RNG_SAMPLE, .step = 1, .prompt = 2, .sample = 3};
    struct rng_key b[5] = {a, a, a, a, a};
    b[0].seed++;
    b[1].purpose = RNG_EVAL;
    b[2].step++;
    b[3].prompt++;
    b[4].sample++;
    double u = rng_uniform(&a, 0);
    for (int i = 0; i < 5; i++) assert_true(rng_uniform(&b[i], 0) != u);
    assert_true(rng_uniform(&a, 1) != u);
    assert_true(rng_uniform(&a, 0) == u);
}

static void test_rng_below_stays_below_and_reaches_all(void **state) {
    (void)state;
    struct rng_key key = {.seed = 3, .purpose = RNG_TEST};
    int seen[7] = {0};
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t x = rng_below(&key, i, 7);
        assert_true(x < 7);
        seen[x]++;
    }
    for (int i = 0; i < 7; i++) assert_true(seen[i] > 0);
    assert_int_equal(rng_below(&key, 0, 1), 0);
}

static void test_rng_permutation_is_one(void **state) {
    (void)state;
    enum { N = 1000 };
    static uint32_t p[N], q[N];
    static bool seen[N];
    struct rng_key key = {.seed = 3, .purpose = RNG_SHUFFLE};
    rng_permutation(&key, N, p);
    int fixed = 0;
    for (uint32_t i = 0; i < N; i++) {
        assert_true(p[i] < N && !seen[p[i]]);
        seen[p[i]] = true;
        fixed += p[i] == i;
    }
    assert_true(fixed < 10);
    rng_permutation(&key, N, q);
    assert_memory_equal(p, q, sizeof p);
    rng_permutation(&key, 1, p);
    assert_int_equal(p[0], 0);
}

/* ---- mem ----------------------------------------------------------------------- */

static void test_mem_is_aligned_zeroed_and_never_null(void **state) {
    (void)state;
    char *p = mem_new(3, 5);
    assert_int_equal((uintptr_t)p % 64, 0);
    for (int i = 0; i < 15; i++) assert_int_equal(p[i], 0);
    memset(p, 'x', 15);
    p = mem_resize(p, 15, 4000, 1);
    for (int i = 0; i < 4000; i++) assert_int_equal(p[i], i < 15 ? 'x' : 0);
    mem_free(p);
    p = mem_new(0, 8);
    assert_non_null(p);
    mem_free(p);
    mem_free(NULL);
    assert_null(mem_strdup(NULL));
}

static void test_arena_never_moves_and_gives_zeroes_again(void **state) {
    (void)state;
    struct arena a = {0};
    char *piece[64];
    for (int i = 0; i < 64; i++) {
        piece[i] = arena_new(&a, 100000, 1);
        assert_int_equal((uintptr_t)piece[i] % 64, 0);
        memset(piece[i], i + 1, 100000);
    }
    for (int i = 0; i < 64; i++)
        for (int k = 0; k < 100000; k += 9999) assert_int_equal(piece[i][k], i + 1);
    char *large = arena_new(&a, (size_t)5 << 20, 1); /* beyond a block */
    memset(large, 1, (size_t)5 << 20);
    arena_reset(&a);
    char *again = arena_new(&a, 100000, 1);
    assert_ptr_equal(again, piece[0]);
    for (int k = 0; k < 100000; k++) assert_int_equal(again[k], 0);
    assert_string_equal(arena_strdup(&a, "word"), "word");
    arena_clear(&a);
    arena_clear(&a);
}

/* ---- buf ----------------------------------------------------------------------- */

static void test_buf_stops_at_its_ceiling(void **state) {
    (void)state;
    struct buf b = {.max = 10};
    assert_string_equal(buf_text(&b), "");
    buf_puts(&b, "12345");
    buf_printf(&b, "%d", 678);
    assert_false(b.full);
    buf_puts(&b, "9012"); /* does not fit: nothing of it is added */
    assert_true(b.full);
    assert_string_equal(buf_text(&b), "12345678");
    buf_puts(&b, "9"); /* would fit, but order would be lost */
    assert_string_equal(buf_text(&b), "12345678");
    buf_reset(&b);
    assert_false(b.full);
    buf_puts(&b, "1234567890");
    assert_false(b.full);
    assert_int_equal(b.len, 10);
    buf_clear(&b);
    assert_int_equal(b.max, 10);
}

static void test_buf_prints_long_text_whole(void **state) {
    (void)state;
    struct buf b = {0};
    char text[3000];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = 0;
    buf_printf(&b, "<%s>", text);
    assert_int_equal(b.len, sizeof text + 1);
    assert_int_equal(b.data[b.len - 1], '>');
    buf_clear(&b);
}

/* ---- err ----------------------------------------------------------------------- */

static void test_err_prefix_goes_in_front(void **state) {
    (void)state;
    struct err err = {0};
    assert_int_equal(err_set(&err, EX_DATAERR, "bad %s", "bits"), -1);
    assert_int_equal(err_prefix(&err, "load %s", "a"), -1);
    assert_string_equal(err.msg, "load a: bad bits");
    assert_int_equal(err.code, EX_DATAERR);
}

/* ---- file ---------------------------------------------------------------------- */

static char folder[] = "/tmp/hone-test-XXXXXX";

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void path_in(char out[256], const char *name) {
    struct err err;
    assert_int_equal(file_join(out, 256, folder, name, &err), 0);
}

static void assert_content(const char *path, const char *want) {
    struct err err;
    char *data;
    size_t n;
    assert_int_equal(file_load(path, 1000, &data, &n, &err), 0);
    assert_int_equal(n, strlen(want));
    assert_string_equal(data, want);
    mem_free(data);
}

static void test_file_save_replaces_whole(void **state) {
    (void)state;
    struct err err;
    char path[256];
    path_in(path, "a");
    assert_int_equal(file_save(path, "old text", 8, &err), 0);
    assert_int_equal(file_save(path, "new", 3, &err), 0);
    assert_content(path, "new");
}

static void test_file_abandoned_leaves_the_old_one(void **state) {
    (void)state;
    struct err err;
    struct file_writer w;
    char path[256];
    path_in(path, "b");
    assert_int_equal(file_save(path, "old", 3, &err), 0);
    assert_int_equal(file_create(&w, path, &err), 0);
    assert_int_equal(file_write(&w, "half", 4, &err), 0);
    assert_content(path, "old"); /* as a kill would leave it */
    file_abandon(&w);
    file_abandon(&w);
    assert_content(path, "old");
    assert_false(file_exists(w.tmp));
}

/* A folder in the place of the file makes the rename fail, for root too. */
static void test_file_failing_rename_leaves_nothing_behind(void **state) {
    (void)state;
    struct err err = {0};
    struct file_writer w;
    char path[256], inner[256];
    path_in(path, "c");
    path_in(inner, "c/inner");
    assert_int_equal(file_mkdirs(path, &err), 0);
    assert_int_equal(file_save(inner, "kept", 4, &err), 0);
    assert_int_equal(file_create(&w, path, &err), 0);
    assert_int_equal(file_write(&w, "x", 1, &err), 0);
    assert_int_equal(file_commit(&w, &err), -1);
    assert_int_equal(err.code, EX_CANTCREAT);
    assert_non_null(strstr(err.msg, "rename "));
    assert_false(file_exists(w.tmp));
    assert_content(inner, "kept");
}

static void test_file_full_disk_leaves_the_old_one(void **state) {
    (void)state;
    struct err err = {0};
    struct file_writer w;
    char path[256];
    path_in(path, "d");
    assert_int_equal(file_save(path, "old", 3, &err), 0);
    assert_int_equal(file_create(&w, path, &err), 0);
    FILE *full = fopen("/dev/full", "w");
    if (!full) skip();
    assert_true(dup2(fileno(full), w.fd) >= 0);
    fclose(full);
    assert_int_equal(file_write(&w, "x", 1, &err), -1);
    assert_int_equal(err.code, EX_IOERR);
    assert_non_null(strstr(err.msg, "No space left on device"));
    file_abandon(&w);
    assert_content(path, "old");
}

static void test_file_errors_name_the_cause(void **state) {
    (void)state;
    struct err err;
    char path[256], *data;
    size_t n;
    path_in(path, "none");
    assert_int_equal(file_load(path, 10, &data, &n, &err), -1);
    assert_int_equal(err.code, EX_NOINPUT);
    assert_non_null(strstr(err.msg, "No such file or directory"));
    assert_null(data);
    assert_int_equal(file_load(folder, 10, &data, &n, &err), -1);
    assert_int_equal(err.code, EX_NOINPUT);
    path_in(path, "large");
    assert_int_equal(file_save(path, "12345678901", 11, &err), 0);
    assert_int_equal(file_load(path, 10, &data, &n, &err), -1);
    assert_int_equal(err.code, EX_DATAERR);
    path_in(path, "no/such/folder");
    assert_int_equal(file_save(path, "x", 1, &err), -1);
    assert_int_equal(err.code, EX_CANTCREAT);
    path_in(path, "large/below");
    assert_int_equal(file_mkdirs(path, &err), -1);
    assert_int_equal(err.code, EX_CANTCREAT);
}

/* ---- nearest ------------------------------------------------------------------- */

static const char *const keys[] = {"learning_rate", "num_generations", "beta",
                                   "temperature",   "top_p",           "top_k"};

static void test_nearest_finds_the_typo(void **state) {
    (void)state;
    assert_string_equal(nearest_name("learing_rate", keys, 6), "learning_rate");
    assert_string_equal(nearest_name("learning-Rate", keys, 6), "learning_rate");
    assert_string_equal(nearest_name("generations", keys, 6), "num_generations");
    assert_string_equal(nearest_name("baet", keys, 6), "beta");
    const char *const swap[] = {"abxx", "abcd"};
    assert_string_equal(nearest_name("abdc", swap, 2), "abcd"); /* a swap is one edit */
    assert_string_equal(nearest_name("top", keys, 6), "top_p"); /* first of equals */
    assert_null(nearest_name("optimizer", keys, 6));
    assert_null(nearest_name("x", keys, 0));
}

static void test_nearest_hint_lists_when_nothing_is_near(void **state) {
    (void)state;
    char hint[NEAREST_HINT_BYTES];
    nearest_hint(hint, "bet", keys, 6);
    assert_string_equal(hint, "; did you mean 'beta'?");
    nearest_hint(hint, "optimizer", keys, 3);
    assert_string_equal(hint, "; valid are learning_rate, num_generations and beta");
    const char *many[100];
    for (int i = 0; i < 100; i++) many[i] = "some_long_name";
    nearest_hint(hint, "optimizer", many, 100);
    assert_true(strlen(hint) < NEAREST_HINT_BYTES);
    assert_string_equal(hint + strlen(hint) - 5, ", ...");
    nearest_hint(hint, "optimizer", many, 0);
    assert_string_equal(hint, "");
}

/* ---- hash ---------------------------------------------------------------------- */

static void test_hash_is_xxh3(void **state) {
    (void)state;
    char hex[17];
    hash_hex(hash_bytes("", 0, 0), hex);
    assert_string_equal(hex, "2d06800538d394c2"); /* of xxhsum -H3 on an empty file */
    assert_true(hash_bytes("a", 1, 0) != hash_bytes("a", 1, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rng_words_match_the_published_vectors),
        cmocka_unit_test(test_rng_uniform_fills_the_unit_interval),
        cmocka_unit_test(test_rng_every_part_of_the_key_counts),
        cmocka_unit_test(test_rng_below_stays_below_and_reaches_all),
        cmocka_unit_test(test_rng_permutation_is_one),
        cmocka_unit_test(test_mem_is_aligned_zeroed_and_never_null),
        cmocka_unit_test(test_arena_never_moves_and_gives_zeroes_again),
        cmocka_unit_test(test_buf_stops_at_its_ceiling),
        cmocka_unit_test(test_buf_prints_long_text_whole),
        cmocka_unit_test(test_err_prefix_goes_in_front),
        cmocka_unit_test(test_file_save_replaces_whole),
        cmocka_unit_test(test_file_abandoned_leaves_the_old_one),
        cmocka_unit_test(test_file_failing_rename_leaves_nothing_behind),
        cmocka_unit_test(test_file_full_disk_leaves_the_old_one),
        cmocka_unit_test(test_file_errors_name_the_cause),
        cmocka_unit_test(test_nearest_finds_the_typo),
        cmocka_unit_test(test_nearest_hint_lists_when_nothing_is_near),
        cmocka_unit_test(test_hash_is_xxh3),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
