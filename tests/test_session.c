/* tests/test_session.c: decoding from the cache is the training forward, bit for bit. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "policy/attention.h"
#include "policy/session.h"
#include "policy/train.h"
#include "tests/policy_fixture.h"

enum { V = 23, MAX_SEQS = 64, MAX_PROMPT = 40, MAX_OWN = 24, MAX_ROWS = 8192, GROUP = 4 };

static const struct sampler sampler = {0.9, 0, 1, 0};

/* Timelines: sequence i is prompt i / GROUP, then its own tokens. Each token is a target
 * of the row before it. */
struct timelines {
    int n, len_prompt[MAX_SEQS], len_own[MAX_SEQS];
    int id[MAX_SEQS][MAX_PROMPT + MAX_OWN];
    float logp[MAX_SEQS]
              [MAX_PROMPT + MAX_OWN]; /* as training computes: [t] of id[t + 1] */
};

static void make_timelines(struct timelines *t, int n) {
    struct rng_key key = {.seed = 8, .purpose = RNG_TEST};
    *t = (struct timelines){.n = n};
    for (int i = 0; i < n; i++) {
        key.prompt = (uint32_t)(i / GROUP);
        key.sample = 0;
        t->len_prompt[i] = 1 + (int)rng_below(&key, 1000, MAX_PROMPT);
        for (int j = 0; j < t->len_prompt[i]; j++)
            t->id[i][j] = (int)rng_below(&key, (uint32_t)j, V);
        key.sample = (uint32_t)(i % GROUP) + 1;
        t->len_own[i] = 2 + (int)rng_below(&key, 1000, MAX_OWN - 1);
        for (int j = 0; j < t->len_own[i]; j++)
            t->id[i][t->len_prompt[i] + j] = (int)rng_below(&key, (uint32_t)j, V);
    }
}

static int length(const struct timelines *t, int i) {
    return t->len_prompt[i] + t->len_own[i];
}

/* Training */

static float record(void *ctx, int row, float logp, float entropy) {
    (void)entropy;
    ((float *)ctx)[row] = logp;
    return 0;
}

/* Whole sequences, or the prompt of a group as the parent of its members. Fills logp;
 * with parents the rows of a prompt count for its first member, and the others are left
 * alone. */
static void train_timelines(const struct model *m, struct timelines *t, bool shared,
                            int n_threads) {
    struct batch_seq *seq = mem_new(2 * MAX_SEQS, sizeof *seq);
    int *id = mem_new(MAX_ROWS, sizeof *id), *target = mem_new(MAX_ROWS, sizeof *target);
    float **at = mem_new(MAX_ROWS, sizeof *at), *logp = mem_new(MAX_ROWS, sizeof *logp);
    int n = 0, rows = 0, parent = -1;
    for (int i = 0; i < t->n; i++) {
        int from = 0, P = t->len_prompt[i];
        if (shared && i % GROUP == 0) {
            parent = n;
            seq[n++] = (struct batch_seq){-1, rows, P, 0};
            for (int j = 0; j < P; j++, rows++) {
                id[rows] = t->id[i][j];
                target[rows] = -1; /* what follows differs from child to child */
                if (j + 1 < P) target[rows] = t->id[i][j + 1], at[rows] = &t->logp[i][j];
            }
        }
        if (shared) from = P;
        seq[n++] =
            (struct batch_seq){shared ? parent : -1, rows, length(t, i) - from, from};
        for (int j = from; j < length(t, i); j++, rows++) {
            bool last = j + 1 == length(t, i);
            id[rows] = t->id[i][j];
            target[rows] = last ? -1 : t->id[i][j + 1];
            at[rows] = last ? NULL : &t->logp[i][j];
        }
    }
    struct train_space *space = train_space_new(m, rows, n_threads);
    struct batch b = {seq, n, rows, id, target, NULL};
    train_pass(space, &b, &sampler, record, logp, 0, NULL);
    for (int r = 0; r < rows; r++)
        if (target[r] >= 0) *at[r] = logp[r];
    train_space_free(space);
    void *owned[] = {seq, id, target, at, logp};
    for (int i = 0; i < 5; i++) mem_free(owned[i]);
}

/* Decoding */

/* The log-probability of each sequence's next token, from a call's logits, against the
 * trained one at position pos[i]. */
static void check_logits(const struct model *m, const struct timelines *t,
                         const int *which, const int *pos, int n, const float *logits) {
    for (int i = 0; i < n; i++) {
        int s = which[i], p = pos[i];
        if (p + 1 >= length(t, s)) continue;
        float weight[V], logp;
        struct sampler_row row = {.weight = weight};
        sampler_row_fill(&row, m->k, &sampler, logits + (size_t)i * V, V);
        logp = sampler_row_logp(&row, logits + (size_t)i * V, t->id[s][p + 1]);
        if (memcmp(&logp, &t->logp[s][p], sizeof logp) != 0)
            fail_msg("sequence %d of %d, position %d: decoded %.9g, trained %.9g", s,
                     t->n, p, logp, t->logp[s][p]);
    }
}

/* Feeds all sequences from their own position at[i] on, step tokens at a time (sequence i
 * step + i % 2 when mixed), until they end. */
static void decode(struct session *s, const struct model *m, const struct timelines *t,
                   struct session_seq **seq, int *at, int step, bool mixed) {
    float *logits = mem_new(MAX_SEQS * V, sizeof *logits);
    for (;;) {
        struct session_run run[MAX_SEQS];
        int which[MAX_SEQS], pos[MAX_SEQS], n = 0;
        for (int i = 0; i < t->n; i++) {
            int left = length(t, i) - at[i], take = step + (mixed ? i % 2 : 0);
            if (left == 0) continue;
            if (take > left) take = left;
            run[n] = (struct session_run){seq[i], t->id[i] + at[i], take};
            at[i] += take;
            which[n] = i;
            pos[n++] = at[i] - 1;
        }
        if (n == 0) break;
        session_forward(s, run, n, logits);
        check_logits(m, t, which, pos, n, logits);
        for (int i = 0; i < n; i++) assert_int_equal(session_len(run[i].seq), pos[i] + 1);
    }
    mem_free(logits);
}

/* Prefills the prompts of all groups, chunk tokens a call. */
static void open_prompts(struct session *s, const struct model *m,
                         const struct timelines *t, struct session_seq **parent,
                         int chunk) {
    for (int i = 0; i < t->n; i += GROUP) {
        struct session_seq *q = parent[i / GROUP] = session_open_prompt(s);
        assert_non_null(q);
        for (int at = 0; at < t->len_prompt[i]; at += chunk) {
            int left = t->len_prompt[i] - at, n = left < chunk ? left : chunk,
                pos = at + n - 1;
            float logits[V];
            session_forward(s, &(struct session_run){q, t->id[i] + at, n}, 1, logits);
            check_logits(m, t, &i, &pos, 1, logits);
        }
        assert_int_equal(session_len(q), t->len_prompt[i]);
    }
}

static struct session *new_session(const struct model *m) {
    return session_new(m, (struct session_size){MAX_SEQS / GROUP, MAX_PROMPT, MAX_SEQS,
                                                MAX_PROMPT + MAX_OWN, 2 * MAX_SEQS});
}

/* chunk 0: no parents, each sequence feeds its prompt itself. */
static void check_session(struct session *s, const struct model *m,
                          const struct timelines *t, int chunk, int step, bool mixed) {
    struct session_seq *parent[MAX_SEQS / GROUP] = {0}, *seq[MAX_SEQS];
    int at[MAX_SEQS] = {0};
    if (chunk > 0) open_prompts(s, m, t, parent, chunk);
    for (int i = 0; i < t->n; i++) {
        seq[i] = session_open(s, chunk > 0 ? parent[i / GROUP] : NULL);
        assert_non_null(seq[i]);
        if (chunk > 0) at[i] = t->len_prompt[i];
        assert_int_equal(session_len(seq[i]), at[i]);
    }
    decode(s, m, t, seq, at, step, mixed);
    for (int i = 0; i < t->n; i++) session_close(s, seq[i]);
    for (int i = 0; chunk > 0 && i < t->n; i += GROUP)
        session_close(s, parent[i / GROUP]);
}

static void check_shape(enum policy_shape shape) {
    static const int counts[] = {1, 7, MAX_SEQS};
    struct timelines *t = mem_new(1, sizeof *t);
    struct policy_fixture f;
    policy_fixture_init(&f, shape, V, MAX_PROMPT + MAX_OWN);
    struct session *s =
        new_session(&f.m); /* one for all: what was there does not matter */
    for (int c = 0; c < 3; c++) {
        make_timelines(t, counts[c]);
        train_timelines(&f.m, t, false, 2);
        check_session(s, &f.m, t, 0, 1, false);
        check_session(s, &f.m, t, 0, 1, true);
        for (int chunk = 1; chunk <= MAX_PROMPT; chunk = chunk * 2 + 1)
            check_session(s, &f.m, t, chunk, 1, chunk % 4 == 3);
    }
    session_free(s);
    policy_fixture_clear(&f);
    mem_free(t);
}

static void test_decode_is_the_training_forward(void **state) {
    (void)state;
    check_shape(POLICY_PLAIN);
}

static void test_decode_is_the_training_forward_with_low_rank_queries(void **state) {
    (void)state;
    check_shape(POLICY_LORA);
}

static void test_decode_is_the_training_forward_without_experts(void **state) {
    (void)state;
    check_shape(POLICY_DENSE);
}

static void test_decode_is_the_training_forward_of_a_tied_head(void **state) {
    (void)state;
    check_shape(POLICY_TIED);
}

static void test_decode_is_the_training_forward_of_grouped_queries(void **state) {
    (void)state;
    check_shape(POLICY_GROUPED);
}

/* Training with shared prompts is what was decoded from shared prompts, too. */
static void test_shared_prompts_train_as_they_decode(void **state) {
    (void)state;
    struct timelines *t = mem_new(1, sizeof *t), *own = mem_new(1, sizeof *own);
    for (int shape = 0; shape < N_POLICY_SHAPES; shape++) {
        struct policy_fixture f;
        policy_fixture_init(&f, (enum policy_shape)shape, V, MAX_PROMPT + MAX_OWN);
        make_timelines(t, 13);
        make_timelines(own, 13);
        train_timelines(&f.m, own, false, 1);
        train_timelines(&f.m, t, true, 3);
        for (int i = 0; i < t->n; i++)
            for (int j = i % GROUP ? t->len_prompt[i] : 0; j + 1 < length(t, i); j++)
                if (j + 1 != t->len_prompt[i])
                    assert_memory_equal(&t->logp[i][j], &own->logp[i][j], sizeof(float));
        policy_fixture_clear(&f);
    }
    mem_free(t);
    mem_free(own);
}

/* Forks */

/* Members of a group begin as its first does, none for less than the one before it. */
static void make_forks(struct timelines *t, int *shared) {
    struct rng_key key = {.seed = 9, .purpose = RNG_TEST};
    for (int i = 0; i < t->n; i++) {
        int first = i - i % GROUP, least = i == first ? 0 : shared[i - 1];
        key.prompt = (uint32_t)i;
        shared[i] = 0;
        if (i == first) continue;
        shared[i] = least + (int)rng_below(&key, 0, (uint64_t)(t->len_own[first] - least));
        if (t->len_own[i] <= shared[i]) t->len_own[i] = shared[i] + 1;
        memcpy(t->id[i] + t->len_prompt[i], t->id[first] + t->len_prompt[first],
               (size_t)shared[i] * sizeof(int));
    }
}

/* The first of each group is fed token by token, and forked on the way. */
static void check_forks(struct session *s, const struct model *m, const struct timelines *t,
                        const int *shared, int chunk) {
    struct session_seq *parent[MAX_SEQS / GROUP] = {0}, *seq[MAX_SEQS];
    int at[MAX_SEQS];
    open_prompts(s, m, t, parent, chunk);
    for (int i = 0; i < t->n; i++) {
        int first = i - i % GROUP, P = t->len_prompt[i];
        if (i == first) {
            seq[i] = session_open(s, parent[i / GROUP]);
            at[i] = P;
            continue;
        }
        for (; at[first] < P + shared[i]; at[first]++)
            session_forward(s, &(struct session_run){seq[first], &t->id[first][at[first]], 1}, 1,
                            NULL);
        assert_non_null(seq[i] = session_fork(s, seq[first]));
        at[i] = at[first];
        assert_int_equal(session_len(seq[i]), at[i]);
    }
    decode(s, m, t, seq, at, 1, chunk % 2 == 1);
    for (int i = 0; i < t->n; i++) session_close(s, seq[i]);
    for (int i = 0; i < t->n; i += GROUP) session_close(s, parent[i / GROUP]);
}

static void test_forks_decode_as_they_train(void **state) {
    (void)state;
    struct timelines *t = mem_new(1, sizeof *t);
    int shared[MAX_SEQS];
    for (int shape = 0; shape < N_POLICY_SHAPES; shape++) {
        struct policy_fixture f;
        policy_fixture_init(&f, (enum policy_shape)shape, V, MAX_PROMPT + MAX_OWN);
        struct session *s = new_session(&f.m);
        make_timelines(t, MAX_SEQS);
        make_forks(t, shared);
        train_timelines(&f.m, t, false, 2);
        for (int chunk = 8; chunk < 10; chunk++) check_forks(s, &f.m, t, shared, chunk);
        session_free(s);
        policy_fixture_clear(&f);
    }
    mem_free(t);
}

/* A team */

enum { TEAM_TOKENS = 150 };

/* The rows of two members, those behind before those in front of them, are as all at once. */
static void check_panels(const struct model *m, int width, int first, int cut, int n) {
    size_t steps = (size_t)attention_steps(m, width);
    size_t size = attention_panels_size(m, width, n);
    float *x = mem_new((size_t)(n * width + PANEL), sizeof *x);
    float *all = mem_new(size, sizeof *all), *parts = mem_new(size, sizeof *parts);
    for (int i = 0; i < n * width; i++) x[i] = (float)(i % 97) - 48.5f;
    attention_pack_panels(m, width, x, n, all);
    const float *row[] = {x, x + first * width, x + cut * width};
    attention_add_panels(m, width, row[0], 0, first, false, parts);
    attention_add_panels(m, width, row[2], cut, n - cut, false, parts);
    attention_add_panels(m, width, row[1], first, cut - first, true, parts);
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < steps; k++) {
            size_t at = ((size_t)(i / PANEL) * steps + k) * PANEL + (size_t)(i % PANEL);
            if (memcmp(&all[at], &parts[at], sizeof *all) != 0)
                fail_msg("width %d, rows [%d, %d) behind [%d, %d): %d is another", width, first,
                         cut, cut, n, i);
        }
    mem_free(x);
    mem_free(all);
    mem_free(parts);
}

static void test_members_add_keys_to_the_same_panel(void **state) {
    (void)state;
    static const enum policy_shape shape[] = {POLICY_PLAIN, POLICY_BF16};
    for (int s = 0; s < 2; s++) {
        struct policy_fixture f;
        policy_fixture_init(&f, shape[s], V, MAX_PROMPT);
        for (int first = 0; first <= 64; first += 16)
            for (int cut = first; cut < TEAM_TOKENS; cut += 7)
                check_panels(&f.m, 11 + cut % 3 * 64, first, cut, TEAM_TOKENS);
        policy_fixture_clear(&f);
    }
}

/* Logits behind a prompt, which is fed `chunk` tokens at a time, and one token of its own. */
static void decode_in_team(const struct model *m, int members, int chunk, float *logits) {
    struct session *s = session_new_team(
        m, (struct session_size){1, TEAM_TOKENS, 1, 1, TEAM_TOKENS}, members);
    struct session_seq *prompt = session_open_prompt(s), *own = session_open(s, prompt);
    int id[TEAM_TOKENS];
    for (int i = 0; i < TEAM_TOKENS; i++) id[i] = (7 * i + i / V) % V;
    for (int at = 0; at < TEAM_TOKENS; at += chunk) {
        int n = TEAM_TOKENS - at < chunk ? TEAM_TOKENS - at : chunk;
        struct session_run run = {prompt, id + at, n};
#pragma omp parallel num_threads(members)
        session_forward_part(s, &run, 1, NULL, omp_get_thread_num());
    }
    struct session_run run = {own, id, 1};
#pragma omp parallel num_threads(members)
    session_forward_part(s, &run, 1, logits, omp_get_thread_num());
    session_free(s);
}

static void test_team_decodes_as_one(void **state) {
    (void)state;
    static const int members[] = {2, 3, 8}, chunk[] = {TEAM_TOKENS, 97, 35, 1};
    for (int shape = 0; shape < N_POLICY_SHAPES; shape++) {
        struct policy_fixture f;
        float one[V], team[V];
        policy_fixture_init(&f, (enum policy_shape)shape, V, TEAM_TOKENS + 1);
        decode_in_team(&f.m, 1, TEAM_TOKENS, one);
        for (int i = 0; i < 3 && f.m.options.large; i++)
            for (int c = 0; c < 4; c++) {
                decode_in_team(&f.m, members[i], chunk[c], team);
                if (memcmp(one, team, sizeof one) != 0)
                    fail_msg("shape %d, %d members, %d tokens a call: other logits", shape,
                             members[i], chunk[c]);
            }
        policy_fixture_clear(&f);
    }
}

/* The pool */

static void test_pool_runs_out_with_null(void **state) {
    (void)state;
    struct policy_fixture f;
    policy_fixture_init(&f, POLICY_DENSE, V, 32);
    struct session *s = session_new(&f.m, (struct session_size){2, 8, 3, 8, 8});
    struct session_seq *prompt[2], *seq[3];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 2; i++) assert_non_null(prompt[i] = session_open_prompt(s));
        assert_null(session_open_prompt(s));
        for (int i = 0; i < 3; i++)
            assert_non_null(seq[i] = session_open(s, i < 2 ? prompt[i] : NULL));
        assert_null(session_open(s, NULL));
        assert_null(session_open(s, prompt[0]));
        assert_null(session_fork(s, seq[0]));
        assert_ptr_not_equal(seq[0], seq[1]);
        assert_ptr_not_equal(prompt[0], prompt[1]);
        session_close(s, seq[1]);
        assert_ptr_equal(session_open(s, prompt[1]), seq[1]);
        assert_null(session_open_prompt(s));
        for (int i = 0; i < 3; i++) session_close(s, seq[i]);
        for (int i = 0; i < 2; i++) session_close(s, prompt[i]);
    }
    session_free(s);
    policy_fixture_clear(&f);
}

/* Every cached key and every buffer becomes NaN, then the true weights come back. */
static void test_reopened_sequences_hold_no_trace(void **state) {
    (void)state;
    struct timelines *t = mem_new(1, sizeof *t);
    for (int shape = 0; shape < N_POLICY_SHAPES; shape++) {
        struct policy_fixture f;
        policy_fixture_init(&f, (enum policy_shape)shape, V, MAX_PROMPT + MAX_OWN);
        make_timelines(t, MAX_SEQS);
        struct session *s = new_session(&f.m);
        float *old = mem_new(f.w.n_data, sizeof *old),
              *logits = mem_new(2 * MAX_SEQS * V, 4);
        memcpy(old, f.w.data, f.w.n_data * sizeof *old);
        for (size_t i = 0; i < f.w.n_data; i++) f.w.data[i] = NAN;
        model_pack(&f.m, 1);
        struct session_seq *seq[MAX_SEQS], *parent[MAX_SEQS / GROUP];
        for (int i = 0; i < MAX_SEQS / GROUP; i++) {
            assert_non_null(parent[i] = session_open_prompt(s));
            session_forward(s, &(struct session_run){parent[i], t->id[0], MAX_PROMPT}, 1,
                            NULL);
        }
        for (int i = 0; i < MAX_SEQS; i++) {
            assert_non_null(seq[i] = session_open(s, NULL));
            session_forward(s,
                            &(struct session_run){seq[i], t->id[0], MAX_PROMPT + MAX_OWN},
                            1, logits);
            assert_true(isnan(logits[0]));
        }
        for (int i = 0; i < MAX_SEQS; i++) session_close(s, seq[i]);
        for (int i = 0; i < MAX_SEQS / GROUP; i++) session_close(s, parent[i]);
        memcpy(f.w.data, old, f.w.n_data * sizeof *old);
        model_pack(&f.m, 1);
        train_timelines(&f.m, t, false, 2);
        check_session(s, &f.m, t, 5, 1, false);
        check_session(s, &f.m, t, 0, 1, true);
        session_free(s);
        policy_fixture_clear(&f);
        mem_free(old);
        mem_free(logits);
    }
    mem_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode_is_the_training_forward),
        cmocka_unit_test(test_decode_is_the_training_forward_with_low_rank_queries),
        cmocka_unit_test(test_decode_is_the_training_forward_without_experts),
        cmocka_unit_test(test_decode_is_the_training_forward_of_a_tied_head),
        cmocka_unit_test(test_decode_is_the_training_forward_of_grouped_queries),
        cmocka_unit_test(test_shared_prompts_train_as_they_decode),
        cmocka_unit_test(test_forks_decode_as_they_train),
        cmocka_unit_test(test_members_add_keys_to_the_same_panel),
        cmocka_unit_test(test_team_decodes_as_one),
        cmocka_unit_test(test_pool_runs_out_with_null),
        cmocka_unit_test(test_reopened_sequences_hold_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
