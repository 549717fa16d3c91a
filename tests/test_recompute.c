/* tests/test_recompute.c: everything a run recorded, computed again from run.db alone.
 *
 * Two tiny runs are trained by `hone train` itself; then weights, log-probabilities,
 * texts, verdicts, rewards, advantages and metrics are worked out again from the rows, on
 * other kernels where the processor has them, and compared bit for bit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/checkpoint.h"
#include "cli/cmd.h"
#include "cli/engine.h"
#include "cli/experiment.h"
#include "db/db.h"
#include "db/stmt.h"
#include "policy/session.h"
#include "reward/checker.h"
#include "rl/update.h"
#include "tests/db_fixture.h"

static const char *const TINY[] = {"train", "tests/data/tiny.json", "--threads", "1"};
static const char *const OTHER[] = {
    "--set=seed=8",
    "--set=reward.checkers[0].checker=format",
    "--set=reward.checkers[1].checker=answer",
    "--set=model.tokenizer=byte",
    "--set=model.config.tie_word_embeddings=true",
    "--set=model.config.q_lora_rank=16",
    "--set=model.config.max_position_embeddings=64",
    "--set=sft.router_aux_loss_coef=0.01",
    "--set=sft.weight_decay=0",
    "--set=grpo.loss_type=dr_grpo",
    "--set=grpo.scale_rewards=batch",
    "--set=grpo.beta=0",
    "--set=grpo.num_iterations=1",
    "--set=grpo.temperature=0.9",
    "--set=grpo.top_k=40",
    "--set=grpo.top_p=0.95",
    "--set=grpo.min_p=0.001",
    "--set=grpo.epsilon_high=0.28",
    "--set=grpo.router_aux_loss_coef=0.001",
    "--set=grpo.mask_truncated_completions=false",
};

static struct run_log {
    char folder[64], dir[96];
    struct db *db;
    struct experiment x;
    struct engine e; /* at the start weights */
    struct arena arena;
} g;

static struct err err;

#define OK(call)                                                                         \
    do {                                                                                 \
        if ((call) != 0) fail_msg("%s: %s", #call, err.msg);                             \
    } while (0)

/* ---- the runs ---------------------------------------------------------------------- */

static void train_quietly(int argc, const char **argv) {
    int kept = dup(STDOUT_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    fflush(stdout);
    dup2(null, STDOUT_FILENO);
    int code = cmd_train(argc, (char **)argv);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    close(null);
    assert_int_equal(code, 0);
}

/* The experiment that the database holds, and nothing beside it. */
static void read_experiment(void) {
    struct db_run run;
    char path[128];
    OK(db_read_run(g.db, &g.arena, &run, &err));
    snprintf(path, sizeof path, "%s/recorded.json", g.folder);
    OK(file_save(path, run.experiment, strlen(run.experiment), &err));
    OK(experiment_load(&g.x, path, NULL, 0, &err));
}

static struct tokenizer *make_tokenizer(void) {
    static const char *const tags[] = {"<think>", "</think>", "<answer>", "</answer>"};
    struct problem_set *set[2];
    struct buf alphabet = {0};
    if (strcmp(g.x.model.tokenizer, "byte") == 0) return tokenizer_new_bytes(tags, 4);
    OK(problem_set_open(&set[0], g.x.problems.train, g.x.seed, &err));
    OK(problem_set_open(&set[1], g.x.problems.eval, g.x.seed, &err));
    for (int i = 0; i < 2; i++) {
        buf_puts(&alphabet, problem_set_alphabet(set[i]));
        problem_set_close(set[i]);
    }
    struct tokenizer *tok = tokenizer_new_chars(buf_text(&alphabet), tags, 4);
    buf_clear(&alphabet);
    return tok;
}

static void make_start_weights(void) {
    struct db_run run;
    OK(engine_init(&g.e, "auto", 1, &err));
    engine_fresh(&g.e, &g.x.model.config, make_tokenizer(), g.x.seed, true);
    OK(db_read_run(g.db, &g.arena, &run, &err));
    assert_true(weights_hash(&g.e.w) == run.start_weights);
}

static int start(const char *const *set, int n_set) {
    const char *argv[32];
    char path[128];
    int n = (int)(sizeof TINY / sizeof *TINY);
    memset(&g, 0, sizeof g);
    fixture_folder(g.folder);
    snprintf(g.dir, sizeof g.dir, "%s/run", g.folder);
    memcpy(argv, TINY, sizeof TINY);
    argv[n++] = "--out";
    argv[n++] = g.dir;
    argv[n++] = "--isa"; /* replayed on the best; plain ones would take seconds */
    argv[n++] = strstr(kernels_available(), "avx2") ? "avx2" : "auto";
    for (int i = 0; i < n_set; i++) argv[n++] = set[i];
    train_quietly(n, argv);
    snprintf(path, sizeof path, "%s/run.db", g.dir);
    OK(db_open_readonly(&g.db, path, &err));
    read_experiment();
    make_start_weights();
    return 0;
}

static int start_tiny(void **state) {
    (void)state;
    return start(NULL, 0);
}

static int start_other(void **state) {
    (void)state;
    return start(OTHER, (int)(sizeof OTHER / sizeof *OTHER));
}

static int end(void **state) {
    (void)state;
    db_close(g.db);
    engine_clear(&g.e);
    arena_clear(&g.arena);
    return checkpoint_remove_tree(g.folder, &err);
}

static double ask(const char *sql) {
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(g.db->sq, sql, -1, &s, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(g.db->sq));
    double x = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_double(s, 0) : NAN;
    sqlite3_finalize(s);
    return x;
}

/* ---- the rows of one GRPO step ----------------------------------------------------- */

struct harvest {
    int n_groups, G, n; /* n = n_groups G */
    struct db_group *group;
    struct problem *problem;    /* [n_groups] */
    struct db_episode *episode; /* [n] */
};

static struct harvest read_harvest(int step) {
    struct harvest h = {0};
    OK(db_read_groups(g.db, step, &g.arena, &h.group, &h.n_groups, &err));
    h.G = h.n_groups ? h.group[0].n : 0;
    h.problem = arena_new(&g.arena, (size_t)h.n_groups, sizeof *h.problem);
    h.episode = arena_new(&g.arena, (size_t)(h.n_groups * h.G), sizeof *h.episode);
    for (int i = 0; i < h.n_groups; i++) {
        struct db_problem p;
        struct db_episode *e;
        int n;
        OK(db_read_problem(g.db, h.group[i].problem_id, &g.arena, &p, &err));
        OK(db_read_episodes(g.db, h.group[i].id, &g.arena, &e, &n, &err));
        assert_int_equal(n, h.G);
        h.problem[i] = (struct problem){p.kind, p.key, p.prompt, p.gold, NULL, p.columns};
        for (int k = 0; k < n; k++) h.episode[h.n++] = e[k];
    }
    return h;
}

/* The log's steps; calls `each` for those of GRPO stages. */
static void each_harvest(void (*each)(const struct experiment_stage *,
                                      const struct harvest *)) {
    struct db_step *s;
    int n, seen = 0;
    OK(db_read_steps(g.db, 0, &g.arena, &s, &n, &err));
    for (int i = 0; i < n; i++) {
        const struct experiment_stage *stage = &g.x.stage[s[i].stage - 1];
        if (stage->type != STAGE_GRPO) continue;
        struct harvest h = read_harvest(s[i].step);
        assert_int_equal(h.n, stage->num_prompts * stage->num_generations);
        each(stage, &h);
        seen++;
    }
    assert_int_equal(seen, 4);
}

/* ---- the log is whole -------------------------------------------------------------- */

static void test_recompute_log_has_every_row_once(void **state) {
    (void)state;
    assert_true(ask("SELECT integrity_check = 'ok' FROM pragma_integrity_check") == 1);
    assert_true(ask("SELECT count(*) FROM pragma_foreign_key_check") == 0);
    assert_true(ask("SELECT count(*) FROM steps WHERE state = 'done'") == 64);
    assert_true(ask("SELECT count(*) FROM traces") == 60 * 16);
    assert_true(ask("SELECT count(*) FROM groups") == 4 * 3);
    assert_true(ask("SELECT count(*) FROM episodes") == 4 * 3 * 4);
    assert_true(ask("SELECT count(*) FROM verdicts") == 4 * 3 * 4 * 2);
    assert_true(ask("SELECT count(*) FROM stages WHERE finished_at IS NOT NULL") == 2);
    assert_true(ask("SELECT count(DISTINCT reward) FROM episodes") > 1);
    assert_true(ask("SELECT count(*) FROM episodes WHERE advantage > 0") > 0);
}

static void test_recompute_sampling_difference_is_exactly_0(void **state) {
    (void)state;
    assert_true(ask("SELECT count(*) FROM metrics WHERE value = 0 AND name = "
                    "'sampling/sampling_logp_difference/max'") == 4);
}

static void test_recompute_weights_of_episodes_are_those_before_the_step(void **state) {
    (void)state;
    assert_true(ask("SELECT count(*) FROM episodes e JOIN groups ON groups.id = group_id "
                    "JOIN steps s USING (step) WHERE e.weights_hash = s.weights_before "
                    "AND key_step = s.step AND key_prompt = prompt_no "
                    "AND key_sample = sample AND key_purpose = 2") == 48);
}

static void test_recompute_shares_of_solved_groups_and_means_of_scores(void **state) {
    (void)state;
    assert_true(
        ask("SELECT count(*) FROM metrics m WHERE name = 'solved_none' AND value = "
            "(SELECT avg(best < 1) FROM (SELECT max(score) AS best FROM groups g "
            "JOIN episodes e ON group_id = g.id JOIN verdicts ON episode_id = e.id "
            "WHERE step = m.step AND checker = 'answer' GROUP BY g.id))") == 4);
    assert_true(
        ask("SELECT count(*) FROM metrics m WHERE name LIKE 'rewards/%/mean' AND "
            "abs(value - (SELECT avg(score) FROM groups g JOIN episodes e ON "
            "group_id = g.id JOIN verdicts ON episode_id = e.id WHERE step = m.step "
            "AND name = 'rewards/' || checker || '/mean')) < 1e-12") == 8);
}

/* ---- texts, verdicts, rewards ------------------------------------------------------ */

static void check_text(const struct experiment_stage *s, const struct harvest *h) {
    for (int i = 0; i < h->n; i++) {
        const struct db_episode *e = &h->episode[i];
        const int *id = e->ids + e->n_prompt;
        int prompt[64], last = id[e->n_completion - 1];
        struct buf text = {0};
        int n = engine_encode_prompt(&g.e, h->problem[i / h->G].prompt, prompt, 64, &err);
        assert_int_equal(n, e->n_prompt);
        assert_memory_equal(prompt, e->ids, (size_t)n * sizeof *prompt);
        tokenizer_decode(g.e.tok, id, e->n_completion, true, &text);
        assert_int_equal(text.len, e->n_text);
        assert_memory_equal(buf_text(&text), e->text, text.len);
        buf_clear(&text);
        bool ended = last == tokenizer_eos(g.e.tok);
        assert_string_equal(e->finish_reason, ended ? "eos" : "length");
        assert_true(ended || e->n_completion == s->max_completion_length);
        for (int k = 0; k < e->n_completion; k++)
            assert_int_equal(e->mask[k], ended || !s->mask_truncated_completions);
    }
}

static void test_recompute_texts_prompts_and_lengths(void **state) {
    (void)state;
    each_harvest(check_text);
}

/* Scores an episode again; returns its reward, NAN where it cannot have one. */
static double score_again(const struct problem *p, const struct db_episode *e) {
    struct db_verdict *v;
    int n;
    double reward = 0;
    OK(db_read_verdicts(g.db, e->id, &g.arena, &v, &n, &err));
    assert_int_equal(n, g.x.n_rewards);
    for (int i = 0; i < n; i++) {
        const struct checker *c;
        struct verdict now;
        OK(checker_find(&c, v[i].checker, &err));
        checker_score(c, p, e->text, e->n_text, &now);
        assert_string_equal(v[i].status, verdict_status_name(now.status));
        assert_string_equal(v[i].detail, now.detail);
        assert_string_equal(v[i].version, checker_version(c, p->kind));
        if (now.status != VERDICT_OK && now.status != VERDICT_UNPARSABLE) return NAN;
        assert_true(v[i].score == now.score);
        reward += v[i].weight * now.score;
    }
    return reward;
}

static void check_rewards(const struct experiment_stage *s, const struct harvest *h) {
    double reward[64], adv[64];
    bool scorable[64];
    assert_in_range(h->n, 1, 64);
    for (int i = 0; i < h->n; i++) {
        reward[i] = score_again(&h->problem[i / h->G], &h->episode[i]);
        scorable[i] = !isnan(reward[i]);
        if (scorable[i]) assert_true(reward[i] == h->episode[i].reward);
    }
    advantage_compute(reward, scorable, h->n_groups, h->G, s->scale_rewards, adv);
    for (int i = 0; i < h->n; i++)
        if (scorable[i]) assert_true(adv[i] == h->episode[i].advantage);
}

static void test_recompute_verdicts_rewards_and_advantages(void **state) {
    (void)state;
    each_harvest(check_rewards);
}

static void check_evaluation(const struct db_eval *ev, const struct checker *answer) {
    struct db_eval_episode *e;
    int n;
    double solved = 0;
    OK(db_read_eval_episodes(g.db, ev->id, &g.arena, &e, &n, &err));
    assert_int_equal(n, ev->n * ev->k);
    for (int i = 0; i < n; i++) {
        struct db_problem p;
        struct verdict v;
        OK(db_read_problem(g.db, e[i].problem_id, &g.arena, &p, &err));
        assert_string_equal(p.split, "test");
        const struct problem q = {p.kind, p.key, p.prompt, p.gold, NULL, p.columns};
        checker_score(answer, &q, e[i].text, e[i].n_text, &v);
        assert_string_equal(e[i].status, verdict_status_name(v.status));
        assert_true(e[i].score == v.score);
        solved += v.score >= 1;
    }
    assert_true(fabs(solved / n - ev->pass1) < 1e-12);
}

static void test_recompute_evaluations(void **state) {
    (void)state;
    const struct checker *answer;
    struct db_eval *ev;
    int n;
    OK(checker_find(&answer, "answer", &err));
    OK(db_read_evals(g.db, &g.arena, &ev, &n, &err));
    assert_int_equal(n, 5); /* greedy at 30, 60 and 64, sampled at 60 and 64 */
    for (int i = 0; i < n; i++) check_evaluation(&ev[i], answer);
}

/* ---- the weights ------------------------------------------------------------------- */

/* A second policy that follows the log from the start weights. */
struct replay {
    struct weights w, ref_w;
    struct model m, ref_m;
    struct optimizer opt;
    struct update *update, *ref;
    int flip_step; /* in this step one token is read wrongly; 0: none */
};

static void copy_weights(struct weights *to, const struct weights *from) {
    weights_init(to, &from->cfg);
    memcpy(to->data, from->data, from->n_data * sizeof *from->data);
}

static void replay_open(struct replay *r, int flip_step) {
    *r = (struct replay){.flip_step = flip_step};
    copy_weights(&r->w, &g.e.w);
    model_init(&r->m, &r->w, g.e.k, g.e.m.max_pos, true);
    optimizer_init(&r->opt, &r->w);
    r->update = update_new(&r->m, 1024, 1);
}

static void replay_forget_reference(struct replay *r) {
    update_free(r->ref);
    model_clear(&r->ref_m);
    weights_clear(&r->ref_w);
    r->ref = NULL;
}

/* A stage starts: fresh moments, and the policy it starts from as the reference. */
static void replay_stage(struct replay *r) {
    optimizer_reset(&r->opt);
    replay_forget_reference(r);
    copy_weights(&r->ref_w, &r->w);
    model_init(&r->ref_m, &r->ref_w, g.e.k, g.e.m.max_pos, false);
    r->ref = update_new(&r->ref_m, 1024, 1);
}

static void replay_close(struct replay *r) {
    replay_forget_reference(r);
    update_free(r->update);
    optimizer_clear(&r->opt);
    model_clear(&r->m);
    weights_clear(&r->w);
}

static double metric(int step, const char *name) {
    struct db_metric *m;
    int n;
    OK(db_read_metrics(g.db, step, &g.arena, &m, &n, &err));
    for (int i = 0; i < n; i++)
        if (strcmp(m[i].name, name) == 0) return m[i].value;
    fail_msg("step %d has no metric %s", step, name);
    return NAN;
}

/* One update of the weights; compares the step's metrics after its last one. */
static void apply(struct replay *r, const struct experiment_stage *s,
                  const struct db_step *row, const struct update_config *c,
                  const struct update_seq *seq, int n, bool last) {
    struct update_stats st;
    struct optimizer_config oc = {
        s->learning_rate, s->lr_scheduler_type, s->warmup_steps,
        s->max_steps,     s->weight_decay,      s->adam_beta1,
        s->adam_beta2,    s->adam_epsilon,      s->max_grad_norm};
    double lr = optimizer_rate(&oc, row->stage_step - 1);
    assert_true(lr == row->learning_rate);
    memset(r->opt.grad, 0, r->opt.n_data * sizeof *r->opt.grad);
    update_gradient(r->update, c, seq, n, NULL, r->opt.grad, &st);
    double norm = optimizer_grad_norm(&r->opt, &r->w, g.e.k, 1);
    if (last && row->step != r->flip_step) {
        assert_true(st.loss == metric(row->step, "loss"));
        assert_true(st.entropy == metric(row->step, "entropy"));
        assert_true(norm == metric(row->step, "grad_norm"));
        if (!c->sft) assert_true(st.kl == metric(row->step, "kl"));
    }
    optimizer_step(&r->opt, &r->w, g.e.k, &oc, lr, norm, 1);
    double gamma = s->router_bias_update_speed;
    if (gamma > 0) optimizer_balance(&r->w, update_expert_load(r->update), gamma);
    model_pack(&r->m, 1);
    if (last) update_expert_load_reset(r->update);
}

static void replay_sft(struct replay *r, const struct experiment_stage *s,
                       const struct db_step *row) {
    struct db_trace *t;
    int n;
    const struct update_config c = {.sft = true, .sampler = {1, 0, 1, 0},
                                    .router_aux_loss_coef = s->router_aux_loss_coef};
    OK(db_read_traces(g.db, row->step, &g.arena, &t, &n, &err));
    assert_int_equal(n, s->batch_size);
    struct update_seq *seq = arena_new(&g.arena, (size_t)n, sizeof *seq);
    for (int i = 0; i < n; i++)
        seq[i] = (struct update_seq){.prompt = t[i].ids, .n_prompt = t[i].n_prompt,
                                     .id = t[i].ids + t[i].n_prompt,
                                     .n = t[i].n_ids - t[i].n_prompt};
    if (row->step == r->flip_step) ((int *)t[0].ids)[1] ^= 1;
    apply(r, s, row, &c, seq, n, true);
}

/* What the trainer's forward says of the recorded tokens: the recorded bits. */
static void check_logps(struct replay *r, const struct update_config *c,
                        const struct update_seq *seq, int n) {
    float *logp[64];
    struct update_stats st;
    assert_in_range(n, 1, 64);
    for (int i = 0; i < n; i++)
        logp[i] = arena_new(&g.arena, (size_t)seq[i].n, sizeof(float));
    update_gradient(r->update, c, seq, n, logp, NULL, &st);
    for (int i = 0; i < n; i++)
        assert_memory_equal(logp[i], seq[i].old_logp, (size_t)seq[i].n * sizeof(float));
    assert_true(st.logp_diff_max == 0);
}

/* The same token by token through the cache, without any neighbour. */
static void check_decoding(struct replay *r, const struct update_config *c,
                           const struct update_seq *q) {
    int V = r->w.cfg.vocab_size;
    struct session_size size = {0, 0, 1, r->m.max_pos, q->n_prompt};
    struct session *s = session_new(&r->m, size);
    struct session_seq *timeline = session_open(s, NULL);
    float *logits = arena_new(&g.arena, (size_t)V, sizeof *logits);
    struct sampler_row row = {.weight = arena_new(&g.arena, (size_t)V, sizeof(float))};
    struct session_run run = {timeline, q->prompt, q->n_prompt};
    for (int i = 0; i < q->n; i++) {
        session_forward(s, &run, 1, logits);
        sampler_row_fill(&row, g.e.k, &c->sampler, logits, V);
        float logp = sampler_row_logp(&row, logits, q->id[i]);
        assert_memory_equal(&logp, &q->old_logp[i], sizeof logp);
        run = (struct session_run){timeline, &q->id[i], 1};
    }
    session_free(s);
}

/* The last group drawn again alone, three sequences in flight, two threads. */
static void check_drawing(struct replay *r, const struct experiment_stage *s,
                          const struct update_config *c, const struct db_step *row,
                          const struct harvest *h, const struct update_seq *seq) {
    int first = h->n - h->G;
    const struct rollout_config rc = {.sampler = c->sampler, .seed = g.x.seed,
                                      .max_completion_length = s->max_completion_length,
                                      .purpose = RNG_SAMPLE};
    const struct rollout_prompt p = {.id = seq[first].prompt, .n = seq[first].n_prompt,
                                     .step = (uint32_t)row->step, .n_samples = h->G,
                                     .prompt = (uint32_t)h->n_groups - 1};
    int max = s->max_completion_length;
    struct rollout *again = rollout_new(&r->m, g.e.tok, 16, max, 3, h->G, 2);
    struct trace *t = arena_new(&g.arena, (size_t)h->G, sizeof *t);
    rollout_run(again, &rc, &p, 1, t);
    for (int k = 0; k < h->G; k++) {
        const struct update_seq *q = &seq[first + k];
        assert_int_equal(t[k].n, q->n);
        assert_memory_equal(t[k].id, q->id, (size_t)q->n * sizeof *q->id);
        assert_memory_equal(t[k].logp, q->old_logp, (size_t)q->n * sizeof(float));
    }
    rollout_free(again);
}

static struct update_seq *make_batch(struct replay *r, const struct experiment_stage *s,
                                     const struct update_config *c,
                                     const struct harvest *h) {
    struct update_seq *seq = arena_new(&g.arena, (size_t)h->n, sizeof *seq);
    float **logp = arena_new(&g.arena, (size_t)h->n, sizeof *logp);
    struct update_config measure = *c;
    struct update_stats st;
    measure.sft = true;
    for (int i = 0; i < h->n; i++) {
        const struct db_episode *e = &h->episode[i];
        seq[i] = (struct update_seq){
            .prompt = h->episode[i / h->G * h->G].ids, .n_prompt = e->n_prompt,
            .id = e->ids + e->n_prompt, .n = e->n_completion, .old_logp = e->logps,
            .adv = isnan(e->advantage) ? 0 : e->advantage,
            .masked = !e->mask[0]};
        logp[i] = arena_new(&g.arena, (size_t)e->n_completion, sizeof **logp);
    }
    if (s->beta == 0) return seq;
    update_gradient(r->ref, &measure, seq, h->n, logp, NULL, &st);
    for (int i = 0; i < h->n; i++) seq[i].ref_logp = logp[i];
    return seq;
}

static void replay_grpo(struct replay *r, const struct experiment_stage *s,
                        const struct db_step *row) {
    const struct update_config c = {
        .loss = {s->loss_type, s->epsilon,
                 s->epsilon_high < 0 ? s->epsilon : s->epsilon_high, s->beta, 0},
        .sampler = {s->temperature, s->top_k, s->top_p, s->min_p},
        .max_completion_length = s->max_completion_length,
        .router_aux_loss_coef = s->router_aux_loss_coef, .share_prompts = true};
    struct harvest h = read_harvest(row->step);
    struct update_seq *seq = make_batch(r, s, &c, &h);
    if (row->step == r->flip_step) {
        ((int *)h.episode[0].ids)[1] ^= 1;
    } else {
        check_logps(r, &c, seq, h.n);
        update_expert_load_reset(r->update);
        check_decoding(r, &c, &seq[0]);
        check_drawing(r, s, &c, row, &h, seq);
    }
    for (int i = 1; i <= s->num_iterations; i++)
        apply(r, s, row, &c, seq, h.n, i == s->num_iterations);
}

/* Follows the log; returns the first step whose weights are not those recorded, or 0. */
static int follow(struct replay *r) {
    struct db_step *s;
    int n, stage = 0;
    OK(db_read_steps(g.db, 0, &g.arena, &s, &n, &err));
    assert_int_equal(n, 64);
    for (int i = 0; i < n; i++) {
        const struct experiment_stage *x = &g.x.stage[s[i].stage - 1];
        if (s[i].stage != stage) replay_stage(r);
        stage = s[i].stage;
        assert_true(weights_hash(&r->w) == s[i].weights_before);
        if (x->type == STAGE_SFT)
            replay_sft(r, x, &s[i]);
        else
            replay_grpo(r, x, &s[i]);
        if (weights_hash(&r->w) != s[i].weights_after) return s[i].step;
    }
    return 0;
}

static void test_recompute_logps_draws_metrics_and_weights(void **state) {
    (void)state;
    struct replay r;
    replay_open(&r, 0);
    assert_int_equal(follow(&r), 0);
    replay_close(&r);
}

/* The replay can fail: one wrong token of a prompt shows in the step's hash. */
static void test_recompute_notices_a_wrong_token(void **state) {
    (void)state;
    static const int steps[] = {3, 62};
    for (int i = 0; i < 2; i++) {
        struct replay r;
        replay_open(&r, steps[i]);
        assert_int_equal(follow(&r), steps[i]);
        replay_close(&r);
    }
}

/* final/ holds the weights of the last step, in the same bits. */
static void test_recompute_final_folder_has_the_last_weights(void **state) {
    (void)state;
    struct engine e = {0};
    char path[128];
    struct db_step row;
    snprintf(path, sizeof path, "%s/final", g.dir);
    OK(engine_init(&e, "auto", 1, &err));
    OK(engine_load(&e, path, false, &err));
    OK(db_read_step(g.db, 64, &g.arena, &row, &err));
    assert_true(weights_hash(&e.w) == row.weights_after);
    engine_clear(&e);
}

#define EVERY                                                                            \
    cmocka_unit_test(test_recompute_log_has_every_row_once),                             \
        cmocka_unit_test(test_recompute_sampling_difference_is_exactly_0),               \
        cmocka_unit_test(                                                                \
            test_recompute_weights_of_episodes_are_those_before_the_step),               \
        cmocka_unit_test(test_recompute_shares_of_solved_groups_and_means_of_scores),    \
        cmocka_unit_test(test_recompute_texts_prompts_and_lengths),                      \
        cmocka_unit_test(test_recompute_verdicts_rewards_and_advantages),                \
        cmocka_unit_test(test_recompute_evaluations),                                    \
        cmocka_unit_test(test_recompute_logps_draws_metrics_and_weights),                \
        cmocka_unit_test(test_recompute_final_folder_has_the_last_weights)

int main(void) {
    const struct CMUnitTest tiny[] = {
        EVERY, cmocka_unit_test(test_recompute_notices_a_wrong_token)};
    const struct CMUnitTest other[] = {EVERY};
    return cmocka_run_group_tests_name("tiny", tiny, start_tiny, end) +
           cmocka_run_group_tests_name("other", other, start_other, end);
}
