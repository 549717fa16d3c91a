/* tests/test_rollout.c: an episode depends on its address and the weights alone, and ends
 * where it should. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "rollout/rollout.h"
#include "tests/policy_fixture.h"

enum { N_PROMPTS = 14, MAX_PROMPT = 12, MAX_LEN = 24, MAX_TRACES = 64 };

static const char *const tags[] = {"<think>", "</think>"};

struct fixture {
    struct tokenizer *tok;
    struct policy_fixture policy;
    struct rollout_prompt prompt[N_PROMPTS]; /* number 0 has one token */
    int id[N_PROMPTS][MAX_PROMPT], n_prompts, n_traces;
    struct rollout_config cfg;
};

static void fixture_init(struct fixture *f, enum policy_shape shape, bool bytes) {
    *f = (struct fixture){.tok = bytes ? tokenizer_new_bytes(tags, 2)
                                       : tokenizer_new_chars("abcdefgh+=", tags, 2)};
    int V = tokenizer_vocab_size(f->tok);
    struct rng_key key = {.seed = 4, .purpose = RNG_TEST};
    policy_fixture_init(&f->policy, shape, V, MAX_PROMPT + MAX_LEN);
    f->n_prompts = N_PROMPTS;
    for (int i = 0; i < N_PROMPTS; i++) {
        key.prompt = (uint32_t)i;
        struct rollout_prompt *p = &f->prompt[i];
        *p = (struct rollout_prompt){f->id[i], 1 + i % MAX_PROMPT, 5, 100 + (uint32_t)i,
                                     1 + i % 5, 0};
        for (int j = 0; j < p->n; j++)
            f->id[i][j] = (int)rng_below(&key, (uint32_t)j, (uint64_t)V);
        f->n_traces += p->n_samples;
    }
    f->cfg = (struct rollout_config){.sampler = {1, 0, 1, 0},
                                     .max_completion_length = MAX_LEN,
                                     .seed = 77,
                                     .purpose = RNG_SAMPLE};
}

static void fixture_clear(struct fixture *f) {
    policy_fixture_clear(&f->policy);
    tokenizer_free(f->tok);
}

/* What of a trace is determined, copied out of the rollout's memory. */
struct episode {
    int id[MAX_LEN];
    float logp[MAX_LEN];
    int n;
    enum rollout_finish finish;
};

static void draw(struct rollout *r, const struct rollout_config *cfg,
                 const struct rollout_prompt *prompt, int n_prompts,
                 struct episode *out) {
    struct trace trace[MAX_TRACES];
    int n = 0;
    for (int i = 0; i < n_prompts; i++) n += prompt[i].n_samples;
    assert_true(n <= MAX_TRACES);
    rollout_run(r, cfg, prompt, n_prompts, trace);
    for (int i = 0; i < n; i++) {
        const struct trace *t = &trace[i];
        memset(&out[i], 0, sizeof out[i]);
        assert_in_range(t->n, 1, cfg->max_completion_length);
        memcpy(out[i].id, t->id, (size_t)t->n * sizeof *t->id);
        memcpy(out[i].logp, t->logp, (size_t)t->n * sizeof *t->logp);
        out[i].n = t->n;
        out[i].finish = t->finish;
        assert_true(t->ms >= 0);
    }
}

static struct rollout *new_rollout(const struct fixture *f, int max_batch,
                                   int n_threads) {
    return rollout_new(&f->policy.m, f->tok, MAX_PROMPT, MAX_LEN, max_batch, MAX_TRACES,
                       n_threads);
}

/* All prompts of the fixture with a rollout of its own. */
static void draw_all(struct fixture *f, int max_batch, int n_threads,
                     struct episode *out) {
    struct rollout *r = new_rollout(f, max_batch, n_threads);
    draw(r, &f->cfg, f->prompt, f->n_prompts, out);
    rollout_free(r);
}

static void same_episodes(const struct episode *a, const struct episode *b, int n) {
    for (int i = 0; i < n; i++) assert_memory_equal(&a[i], &b[i], sizeof *a);
}

/* Company */

static void test_batch_and_threads_do_not_show(void **state) {
    (void)state;
    static const int batches[] = {1, 2, 5, 16, 64};
    for (int shape = 0; shape < N_POLICY_SHAPES; shape++) {
        struct fixture f;
        struct episode one[MAX_TRACES], many[MAX_TRACES];
        fixture_init(&f, (enum policy_shape)shape, false);
        draw_all(&f, 1, 1, one);
        for (int threads = 1; threads <= 4; threads++)
            for (int b = 0; b < 5; b++) {
                draw_all(&f, batches[b], threads, many);
                same_episodes(one, many, f.n_traces);
            }
        fixture_clear(&f);
    }
}

static void check_alone_and_in_a_crowd(enum policy_shape shape) {
    struct fixture f;
    struct episode crowd[MAX_TRACES], alone[MAX_TRACES];
    fixture_init(&f, shape, false);
    draw_all(&f, 64, 1, crowd);
    struct rollout *r = new_rollout(&f, 64, 1);
    for (int i = 0, first = 0; i < N_PROMPTS; first += f.prompt[i++].n_samples)
        for (int n = 1; n <= f.prompt[i].n_samples; n++) {
            struct rollout_prompt p = f.prompt[i];
            p.n_samples = n; /* the first n of the group */
            draw(r, &f.cfg, &p, 1, alone);
            same_episodes(crowd + first, alone, n);
        }
    rollout_free(r);
    fixture_clear(&f);
}

static void test_episodes_alone_and_in_a_crowd_are_the_same(void **state) {
    (void)state;
    check_alone_and_in_a_crowd(POLICY_PLAIN);
    check_alone_and_in_a_crowd(POLICY_GROUPED);
}

static void test_order_of_prompts_does_not_show(void **state) {
    (void)state;
    struct fixture f;
    struct episode forth[MAX_TRACES], back[MAX_TRACES];
    struct rollout_prompt reversed[N_PROMPTS];
    fixture_init(&f, POLICY_LORA, false);
    for (int i = 0; i < N_PROMPTS; i++) reversed[i] = f.prompt[N_PROMPTS - 1 - i];
    struct rollout *r = new_rollout(&f, 7, 2);
    for (int again = 0; again < 2; again++) { /* nor does what a rollout did before */
        draw(r, &f.cfg, f.prompt, N_PROMPTS, forth);
        draw(r, &f.cfg, reversed, N_PROMPTS, back);
        for (int i = 0, a = 0, b = f.n_traces; i < N_PROMPTS;
             a += f.prompt[i++].n_samples) {
            b -= f.prompt[i].n_samples;
            same_episodes(forth + a, back + b, f.prompt[i].n_samples);
        }
    }
    rollout_free(r);
    fixture_clear(&f);
}

/* Shared rows */

enum { GROUPS = 7, MEMBERS = 9 };

/* Prompts of 1 to 7 tokens with 9 samples each, whose distributions are peaked: they say the
 * same for long, and part here and there. */
static void peaked_init(struct fixture *f, enum policy_shape shape) {
    fixture_init(f, shape, false);
    f->cfg.sampler.temperature = 0.15;
    f->n_prompts = GROUPS;
    f->n_traces = GROUPS * MEMBERS;
    for (int i = 0; i < GROUPS; i++) f->prompt[i].n_samples = MEMBERS;
}

/* Different beginnings of a group's episodes, the whole ones not counted. */
static long beginnings(const struct episode *e, int *forks) {
    long n = 0;
    for (int s = 0; s < MEMBERS; s++)
        for (int len = 0; len < e[s].n; len++) {
            int known = 0, other = 0;
            for (int t = 0; t < s; t++) {
                if (e[t].n <= len || memcmp(e[t].id, e[s].id, (size_t)len * sizeof(int)) != 0)
                    continue;
                known++;
                other += e[t].id[len] != e[s].id[len];
            }
            n += known == 0;
            *forks += len > 0 && known > 0 && other == known;
        }
    return n;
}

static void alone_init(const struct fixture *f, struct episode *alone) {
    struct rollout *r = new_rollout(f, 1, 1);
    for (int i = 0; i < GROUPS * MEMBERS; i++) {
        struct rollout_prompt p = f->prompt[i / MEMBERS];
        p.n_samples = 1;
        p.first_sample = (uint32_t)(i % MEMBERS);
        draw(r, &f->cfg, &p, 1, &alone[i]);
        assert_int_equal(rollout_rows(r), alone[i].n);
    }
    rollout_free(r);
}

static void check_shared_rows(enum policy_shape shape) {
    static const int batches[] = {64, 20, 5, 1};
    struct fixture f;
    struct episode alone[MAX_TRACES], crowd[MAX_TRACES];
    int forks = 0;
    long rows = 0, tokens = 0;
    peaked_init(&f, shape);
    alone_init(&f, alone);
    for (int i = 0; i < GROUPS * MEMBERS; i++) tokens += alone[i].n;
    for (int i = 0; i < GROUPS; i++) rows += beginnings(alone + i * MEMBERS, &forks);
    assert_true(rows < tokens * 3 / 4 && forks > 2 * GROUPS);
    for (int b = 0; b < 4; b++)
        for (int threads = 1; threads <= 2; threads++) {
            struct rollout *r = new_rollout(&f, batches[b], threads);
            draw(r, &f.cfg, f.prompt, GROUPS, crowd);
            same_episodes(alone, crowd, GROUPS * MEMBERS);
            assert_in_range(rollout_rows(r), rows, tokens);
            if (batches[b] >= 20) assert_int_equal(rollout_rows(r), rows);
            rollout_free(r);
        }
    fixture_clear(&f);
}

/* Each sample of a group that shares rows is the one that is drawn alone. */
static void test_samples_that_say_the_same_are_one_row(void **state) {
    (void)state;
    for (int shape = 0; shape < N_POLICY_SHAPES; shape++)
        check_shared_rows((enum policy_shape)shape);
}

static void test_greedy_samples_are_one_row(void **state) {
    (void)state;
    struct fixture f;
    struct episode e[MAX_TRACES];
    peaked_init(&f, POLICY_PLAIN);
    f.cfg.sampler.temperature = 0;
    struct rollout *r = new_rollout(&f, 64, 1);
    draw(r, &f.cfg, &f.prompt[3], 1, e);
    assert_int_equal(rollout_rows(r), e[0].n);
    rollout_free(r);
    fixture_clear(&f);
}

/* The address */

static bool differ(const struct episode *a, const struct episode *b) {
    return a->n != b->n || memcmp(a->id, b->id, sizeof a->id) != 0;
}

static void test_each_part_of_the_address_counts(void **state) {
    (void)state;
    struct fixture f;
    struct episode e[6][2];
    fixture_init(&f, POLICY_PLAIN, false);
    struct rollout *r = new_rollout(&f, 4, 1);
    for (int i = 0; i < 6; i++) {
        struct rollout_prompt p = f.prompt[9];
        struct rollout_config cfg = f.cfg;
        p.n_samples = 2;
        if (i == 1) p.step++;
        if (i == 2) p.prompt++;
        if (i == 3) cfg.seed++;
        if (i == 4) cfg.purpose = RNG_EVAL;
        draw(r, &cfg, &p, 1, e[i]);
        assert_true(differ(&e[i][0], &e[i][1])); /* two samples of one group */
        for (int j = 0; j < i && i < 5; j++) assert_true(differ(&e[i][0], &e[j][0]));
    }
    same_episodes(e[0], e[5], 2);
    rollout_free(r);
    fixture_clear(&f);
}

static void test_each_token_of_the_prompt_counts(void **state) {
    (void)state;
    struct fixture f;
    struct episode a, b;
    fixture_init(&f, POLICY_PLAIN, false);
    struct rollout *r = new_rollout(&f, 4, 1);
    struct rollout_prompt p = f.prompt[MAX_PROMPT - 1];
    assert_int_equal(p.n, MAX_PROMPT);
    p.n_samples = 1;
    draw(r, &f.cfg, &p, 1, &a);
    for (int i = 0; i < p.n; i++) {
        int *id = &f.id[MAX_PROMPT - 1][i], old = *id;
        *id = old > 0 ? old - 1 : 1;
        draw(r, &f.cfg, &p, 1, &b);
        assert_memory_not_equal(a.logp, b.logp, sizeof(float));
        *id = old;
    }
    draw(r, &f.cfg, &p, 1, &b);
    same_episodes(&a, &b, 1);
    rollout_free(r);
    fixture_clear(&f);
}

/* Ends */

static void test_finish_names(void **state) {
    (void)state;
    assert_string_equal(rollout_finish_name(FINISH_EOS), "eos");
    assert_string_equal(rollout_finish_name(FINISH_STOP), "stop");
    assert_string_equal(rollout_finish_name(FINISH_LENGTH), "length");
}

static void test_traces_end_with_eos_or_at_their_length(void **state) {
    (void)state;
    struct fixture f;
    struct episode e[MAX_TRACES];
    int n[3] = {0};
    fixture_init(&f, POLICY_PLAIN, false);
    draw_all(&f, 16, 2, e);
    for (int i = 0; i < f.n_traces; i++) {
        int eos = tokenizer_eos(f.tok), last = e[i].id[e[i].n - 1];
        for (int j = 0; j + 1 < e[i].n; j++) assert_int_not_equal(e[i].id[j], eos);
        for (int j = 0; j < e[i].n; j++)
            assert_true(e[i].logp[j] < 0 && isfinite(e[i].logp[j]));
        assert_int_equal(e[i].finish, last == eos ? FINISH_EOS : FINISH_LENGTH);
        if (last != eos) assert_int_equal(e[i].n, MAX_LEN);
        n[e[i].finish]++;
    }
    assert_true(n[FINISH_EOS] > 0 && n[FINISH_LENGTH] > 0 && n[FINISH_STOP] == 0);
    fixture_clear(&f);
}

/* A shorter limit gives the beginning of the longer trace, to the bit. */
static void test_max_completion_length_only_cuts(void **state) {
    (void)state;
    struct fixture f;
    struct episode whole[MAX_TRACES], cut[MAX_TRACES];
    fixture_init(&f, POLICY_PLAIN, false);
    draw_all(&f, 16, 1, whole);
    for (int max = 1; max < MAX_LEN; max += 4) {
        f.cfg.max_completion_length = max;
        draw_all(&f, 16, 2, cut);
        for (int i = 0; i < f.n_traces; i++) {
            int n = whole[i].n < max ? whole[i].n : max;
            assert_int_equal(cut[i].n, n);
            assert_memory_equal(cut[i].id, whole[i].id, (size_t)n * sizeof(int));
            assert_memory_equal(cut[i].logp, whole[i].logp, (size_t)n * sizeof(float));
            assert_int_equal(cut[i].finish,
                             n < whole[i].n ? FINISH_LENGTH : whole[i].finish);
        }
    }
    fixture_clear(&f);
}

static void test_greedy_takes_the_same_way_every_time(void **state) {
    (void)state;
    struct fixture f;
    struct episode e[MAX_TRACES];
    fixture_init(&f, POLICY_PLAIN, false);
    f.cfg.sampler.temperature = 0;
    draw_all(&f, 16, 1, e);
    for (int i = 0, at = 0; i < N_PROMPTS; at += f.prompt[i++].n_samples)
        for (int s = 0; s < f.prompt[i].n_samples; s++)
            assert_memory_equal(&e[at], &e[at + s], sizeof *e);
    for (int j = 0; j < e[0].n; j++) assert_true(e[0].logp[j] == 0);
    fixture_clear(&f);
}

/* Stop strings */

/* How many tokens of e until one of the stop strings stands in its text; 0: never. */
static int stops_at(const struct tokenizer *tok, const struct episode *e,
                    const char *const *stop, int n_stop) {
    char text[MAX_LEN * 16];
    size_t used = 0;
    for (int i = 0; i < e->n; i++) {
        size_t n;
        const char *piece = tokenizer_piece(tok, e->id[i], &n);
        if (e->id[i] == tokenizer_eos(tok)) return 0;
        assert_true(used + n < sizeof text);
        memcpy(text + used, piece, n);
        used += n;
        for (int s = 0; s < n_stop; s++)
            if (memmem(text, used, stop[s], strlen(stop[s]))) return i + 1;
    }
    return 0;
}

/* With stop strings each trace is the beginning of the trace without. Returns how many
 * stopped. */
static int check_stops(struct fixture *f, const struct episode *whole,
                       const char *const *stop, int n_stop) {
    struct episode e[MAX_TRACES];
    int stopped = 0;
    f->cfg.stop = stop;
    f->cfg.n_stop = n_stop;
    draw_all(f, 16, 2, e);
    for (int i = 0; i < f->n_traces; i++) {
        int at = stops_at(f->tok, &whole[i], stop, n_stop), n = at > 0 ? at : whole[i].n;
        assert_int_equal(e[i].n, n);
        assert_int_equal(e[i].finish, at > 0 ? FINISH_STOP : whole[i].finish);
        assert_memory_equal(e[i].id, whole[i].id, (size_t)n * sizeof(int));
        assert_memory_equal(e[i].logp, whole[i].logp, (size_t)n * sizeof(float));
        stopped += at > 0;
    }
    f->cfg.stop = NULL;
    f->cfg.n_stop = 0;
    return stopped;
}

static void test_stop_strings_end_a_trace_where_they_appear(void **state) {
    (void)state;
    struct fixture f;
    struct episode whole[MAX_TRACES];
    fixture_init(&f, POLICY_PLAIN, false);
    draw_all(&f, 16, 1, whole);
    static const char *const letter[] = {"c"}, *const tag[] = {"</think>"};
    static const char *const never[] = {"xyz", "<think><think><think><think>"};
    assert_true(check_stops(&f, whole, letter, 1) > 0);
    assert_true(check_stops(&f, whole, tag, 1) > 0);
    assert_int_equal(check_stops(&f, whole, never, 2), 0);
    fixture_clear(&f);
}

/* Strings taken from the text around each border between two tokens. */
static void test_stop_strings_may_span_tokens(void **state) {
    (void)state;
    struct fixture f;
    struct episode whole[MAX_TRACES];
    fixture_init(&f, POLICY_PLAIN, false);
    draw_all(&f, 16, 1, whole);
    for (int i = 0; i < f.n_traces; i += 4) {
        char text[3][64] = {"", "", "zz"};
        const char *const stop[] = {text[2], text[0], text[1]};
        if (whole[i].n < 7) continue;
        for (int j = 2; j < 6; j++) { /* "k>ab" of "<think>", "a", "b"; and four pieces */
            size_t n;
            const char *piece = tokenizer_piece(f.tok, whole[i].id[j], &n);
            memcpy(text[0] + strlen(text[0]), piece, n);
            if (j < 5)
                memcpy(text[1] + strlen(text[1]), j == 2 ? piece + n - 1 : piece,
                       j == 2 ? 1 : n);
        }
        assert_true(check_stops(&f, whole, stop, 3) > 0);
    }
    fixture_clear(&f);
}

/* Where samples part, each goes on with the text that they have in common. */
static void test_stop_strings_may_begin_before_a_fork(void **state) {
    (void)state;
    struct fixture f;
    struct episode whole[MAX_TRACES];
    int stopped = 0;
    peaked_init(&f, POLICY_PLAIN);
    draw_all(&f, 16, 1, whole);
    for (int a = 0; a < f.n_traces; a++)
        for (int b = a + 1; b < f.n_traces && b / MEMBERS == a / MEMBERS; b++) {
            int at = 0, n = whole[a].n < whole[b].n ? whole[a].n : whole[b].n;
            while (at < n && whole[a].id[at] == whole[b].id[at]) at++;
            if (at < 2 || at == n || stopped > 40) continue;
            char text[64] = "";
            const char *const stop[] = {text};
            for (int j = at - 2; j <= at; j++) {
                size_t len;
                const char *piece = tokenizer_piece(f.tok, whole[b].id[j], &len);
                strncat(text, piece, len);
            }
            stopped += check_stops(&f, whole, stop, 1);
        }
    assert_true(stopped > 10);
    fixture_clear(&f);
}

/* A byte 0 in a trace is a character like any other: it ends no text, and it parts what
 * stands on its two sides. */
static void test_stop_strings_do_not_reach_across_a_zero_byte(void **state) {
    (void)state;
    struct fixture f;
    struct episode whole[MAX_TRACES];
    int zeros = 0;
    fixture_init(&f, POLICY_DENSE, true);
    float *head = weights_at(&f.policy.w, weights_find(&f.policy.w, "lm_head.weight"));
    int V = f.policy.w.cfg.vocab_size, D = f.policy.w.cfg.hidden_size, zero_id;
    tokenizer_encode(f.tok, "", 1, false, &zero_id, 1);
    for (int v = 0; v < V; v++) /* zeros become frequent */
        for (int d = 0; d < D; d++) head[v * D + d] *= v == zero_id ? 3 : 0.2f;
    model_pack(&f.policy.m, 1);
    draw_all(&f, 16, 1, whole);
    for (int i = 0; i < f.n_traces; i++)
        for (int j = 1; j + 1 < whole[i].n && zeros < 12; j++) {
            size_t n[3];
            const char *p[3];
            for (int s = 0; s < 3; s++)
                p[s] = tokenizer_piece(f.tok, whole[i].id[j + s - 1], &n[s]);
            if (n[1] != 1 || *p[1] != 0 || n[0] != 1 || n[2] != 1 || !*p[0] || !*p[2])
                continue;
            char text[3] = {*p[0], *p[2], 0};
            const char *const stop[] = {text};
            check_stops(&f, whole, stop, 1);
            zeros++;
        }
    assert_true(zeros > 3);
    fixture_clear(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_and_threads_do_not_show),
        cmocka_unit_test(test_episodes_alone_and_in_a_crowd_are_the_same),
        cmocka_unit_test(test_order_of_prompts_does_not_show),
        cmocka_unit_test(test_samples_that_say_the_same_are_one_row),
        cmocka_unit_test(test_greedy_samples_are_one_row),
        cmocka_unit_test(test_each_part_of_the_address_counts),
        cmocka_unit_test(test_each_token_of_the_prompt_counts),
        cmocka_unit_test(test_finish_names),
        cmocka_unit_test(test_traces_end_with_eos_or_at_their_length),
        cmocka_unit_test(test_max_completion_length_only_cuts),
        cmocka_unit_test(test_greedy_takes_the_same_way_every_time),
        cmocka_unit_test(test_stop_strings_end_a_trace_where_they_appear),
        cmocka_unit_test(test_stop_strings_may_span_tokens),
        cmocka_unit_test(test_stop_strings_may_begin_before_a_fork),
        cmocka_unit_test(test_stop_strings_do_not_reach_across_a_zero_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
