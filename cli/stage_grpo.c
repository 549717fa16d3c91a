/* cli/stage_grpo.c: reinforcement steps: sample groups, score them, record them, update.
 * See run.h. A thread writes the episodes while the gradient is computed from them; nothing that
 * comes of them is committed before they are, or saved. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/choice.h"
#include "cli/run_step.h"
#include "cli/stage.h"
#include "db/later.h"

/* Seconds of a step; db: that it waited for the thread that writes. */
struct timing {
    double gen, reward, db, update;
};

/* What the gradient's part of a step gave. */
struct lessons {
    struct update_stats stats;
    const char *refusal; /* NULL: none */
    long had;            /* tokens that run.db held already */
};

void harvest_init(struct run *r, const struct experiment_stage *s, struct harvest *h) {
    int n = s->num_prompts * s->num_generations;
    *h = (struct harvest){.n_prompts = s->num_prompts, .G = s->num_generations, .n = n};
    if (r->x.replay.from[0]) h->n_prompts = n, h->G = 1;
    size_t P = (size_t)h->n_prompts, E = (size_t)h->n;
    h->problem = arena_new(&r->arena, P, sizeof *h->problem);
    h->prompt = arena_new(&r->arena, P, sizeof *h->prompt);
    h->trace = arena_new(&r->arena, E, sizeof *h->trace);
    h->text = arena_new(&r->arena, E, sizeof *h->text);
    h->n_text = arena_new(&r->arena, E, sizeof *h->n_text);
    h->verdict = arena_new(&r->arena, E * (size_t)r->x.n_rewards, sizeof *h->verdict);
    h->weight = arena_new(&r->arena, E * (size_t)r->x.n_rewards, sizeof *h->weight);
    h->reward = arena_new(&r->arena, E, sizeof *h->reward);
    h->adv = arena_new(&r->arena, E, sizeof *h->adv);
    h->score_ms = arena_new(&r->arena, E, sizeof *h->score_ms);
    h->scorable = arena_new(&r->arena, E, sizeof *h->scorable);
    h->episode = arena_new(&r->arena, E, sizeof *h->episode);
    h->no_loss = arena_new(&r->arena, (size_t)r->e.m.max_pos, sizeof *h->no_loss);
}

static int load_prompts(struct run *r, int i, int stage_step, struct harvest *h,
                        struct err *err) {
    int max = engine_max_prompt(&r->e, r->x.stage[i].max_completion_length);
    int *chosen = NULL;
    if (h->n_recorded == h->n_prompts) return 0;
    if (r->x.replay.from[0]) return choice_episodes(r, i, stage_step, h, err);
    if (r->choice && db_wait(r->db, err) != 0) return -1;
    if (r->choice && choice_problems(r, i, h->n_prompts, &chosen, err) != 0) return -1;
    for (int p = h->n_recorded; p < h->n_prompts; p++) {
        long visit = (long)stage_step * h->n_prompts + p;
        problem_set_get(r->train[i], chosen ? chosen[p] : run_problem_at(r, i, visit, 0),
                        &r->arena, &h->problem[p]);
        int *id = arena_new(&r->arena, (size_t)max, sizeof *id);
        int len = engine_encode_prompt(&r->e, h->problem[p].prompt, id, max, err);
        if (len < 0) return -1;
        h->prompt[p] = (struct rollout_prompt){id, len, (uint32_t)r->step + 1, (uint32_t)p, h->G,
                                                0};
    }
    return 0;
}

struct rollout_config harvest_rollout(const struct run *r, const struct experiment_stage *s) {
    return (struct rollout_config){
        .sampler = {s->temperature, s->top_k, s->top_p, s->min_p},
        .max_completion_length = s->max_completion_length,
        .stop = r->stop_string, .n_stop = r->x.n_stop, .seed = r->x.seed, .purpose = RNG_SAMPLE};
}

/* What the rollout wrote lasts until its next run; the step needs it longer, and its tokens after
 * those of the prompt, as they are recorded. */
static void keep_trace(struct run *r, const struct rollout_prompt *p, struct trace *t) {
    int *id = arena_new(&r->arena, (size_t)(p->n + t->n), sizeof *id);
    float *logp = arena_new(&r->arena, (size_t)t->n, sizeof *logp);
    memcpy(id, p->id, (size_t)p->n * sizeof *id);
    id += p->n;
    memcpy(id, t->id, (size_t)t->n * sizeof *id);
    memcpy(logp, t->logp, (size_t)t->n * sizeof *logp);
    t->id = id;
    t->logp = logp;
}

/* Draws groups first to first + n - 1. */
static void sample(struct run *r, const struct experiment_stage *s, struct harvest *h, int first,
                   int n) {
    struct rollout_config rc = harvest_rollout(r, s);
    rollout_run(r->rollout, &rc, h->prompt + first, n, h->trace + first * h->G);
    struct buf text = {0};
    for (int k = first * h->G; k < (first + n) * h->G; k++) {
        keep_trace(r, &h->prompt[k / h->G], &h->trace[k]);
        buf_reset(&text);
        tokenizer_decode(r->e.tok, h->trace[k].id, h->trace[k].n, true, &text);
        h->text[k] = arena_new(&r->arena, text.len + 1, 1);
        memcpy(h->text[k], buf_text(&text), text.len);
        h->n_text[k] = text.len;
        h->tokens += h->trace[k].n;
        h->truncated += h->trace[k].finish == FINISH_LENGTH;
    }
    buf_clear(&text);
}

/* All rewards of one group, the answer's first: others may depend on it; or just `only`. */
static void score_group(struct run *r, struct harvest *h, int p, const struct group *like,
                        int only) {
    int R = r->x.n_rewards, G = h->G;
    struct completion *c = mem_new((size_t)G, sizeof *c);
    struct verdict *v = mem_new((size_t)(R * G), sizeof *v); /* [R][G] */
    struct group g = *like;
    g.problem = &h->problem[p];
    g.completion = c;
    g.n = G;
    for (int k = 0; k < G; k++) {
        const struct trace *t = &h->trace[p * G + k];
        c[k] = (struct completion){h->text[p * G + k], h->n_text[p * G + k], t->id, t->n};
    }
    int a = r->x.answer;
    for (int k = 0; k < G && only >= 0; k++) v[a * G + k] = h->verdict[(p * G + k) * R + a];
    if (only < 0 || only == a) scorer_score(r->scorer[a], &g, v + a * G);
    g.answer = v + a * G;
    for (int i = 0; i < R; i++)
        if (i != a && (only < 0 || only == i)) scorer_score(r->scorer[i], &g, v + i * G);
    for (int k = 0; k < G; k++)
        for (int i = 0; i < R; i++)
            if (only < 0 || only == i) h->verdict[(p * G + k) * R + i] = v[i * G + k];
    mem_free(c);
    mem_free(v);
}

/* The weighted sum. What has no say (a weight of 0, a gate that is shut because the answer
 * is not right, a checker that finds the sample not scorable) adds nothing. A sample whose
 * checker failed has no reward, nor has one on which no checker has a say: it stays out of
 * its group's baseline instead of counting as wrong. */
static void add_up(const struct run *r, struct harvest *h, int k) {
    int R = r->x.n_rewards;
    const struct verdict *v = &h->verdict[k * R];
    bool right = verdict_is_right(&v[r->x.answer]), failed = false, any = false;
    h->reward[k] = h->score_ms[k] = 0;
    for (int i = 0; i < R; i++) {
        const struct experiment_reward *w = &r->x.reward[i];
        double weight = w->gate && !right ? 0 : w->weight;
        h->weight[k * R + i] = weight;
        h->score_ms[k] += v[i].ms;
        h->failed[i] += verdict_is_failure(v[i].status);
        if (weight == 0) continue;
        failed = failed || verdict_is_failure(v[i].status);
        any = any || verdict_has_score(&v[i]);
        h->reward[k] += weight * v[i].score;
    }
    h->scorable[k] = any && !failed;
}

void harvest_score(struct run *r, const struct experiment_stage *s, struct harvest *h,
                   int stage_step, int first, int n, int only) {
    struct group like = {.max_tokens = s->max_completion_length, .step = stage_step - 1,
                         .max_steps = s->max_steps};
#pragma omp parallel for schedule(dynamic) num_threads(r->e.n_threads)
    for (int p = first; p < first + n; p++) score_group(r, h, p, &like, only);
    for (int k = first * h->G; k < (first + n) * h->G; k++) add_up(r, h, k);
}

/* All failures of the step, for the progress line. */
static long count_failures(const struct run *r, const struct harvest *h) {
    long n = 0;
    for (int i = 0; i < r->x.n_rewards; i++) n += h->failed[i];
    return n;
}

/* After the step is recorded, so that v_failures has what stopped the run. */
static int check_failures(struct run *r, const struct harvest *h, int step, struct err *err) {
    for (int i = 0; i < r->x.n_rewards; i++) {
        struct failure_window *w = &r->failures[i];
        failure_window_push(w, h->n, h->failed[i]);
        if (!failure_window_over(w, r->x.max_failure_rate)) continue;
        return err_set(err, EX_SOFTWARE,
                       "step %d: the reward '%s' failed on %ld of its last %ld verdicts, more "
                       "than max_failure_rate %g allows; see v_failures in %s/run.db, mend "
                       "it, and go on with a greater --set reward.max_failure_rate",
                       step, r->x.reward[i].name, w->failed, w->n, r->x.max_failure_rate,
                       r->dir);
    }
    return 0;
}

/* ---- recording, in the thread that writes -------------------------------------------- */

static const char *print_parts(struct arena *a, const struct verdict *v) {
    struct buf parts = {0};
    verdict_print_parts(v, &parts);
    const char *text = arena_strdup(a, buf_text(&parts));
    buf_clear(&parts);
    return text;
}

static void fill_verdicts(struct run *r, const struct harvest *h, int k, struct db_verdict *out) {
    int R = r->x.n_rewards;
    for (int c = 0; c < R; c++) {
        const struct verdict *v = &h->verdict[k * R + c];
        out[c] = (struct db_verdict){
            .checker = scorer_name(r->scorer[c]),
            .version = scorer_version(r->scorer[c], h->problem[k / h->G].kind),
            .weight = h->weight[k * R + c], .status = verdict_status_name(v->status),
            .score = v->score, .detail = v->detail, .ms = v->ms,
            .deterministic = scorer_is_deterministic(r->scorer[c]),
            .parts = print_parts(&r->writing, v)};
    }
}

static double advantage_of(const struct harvest *h, int k) {
    return h->scorable[k] ? h->adv[k] : NAN;
}

static void fill_episode(struct run *r, const struct experiment_stage *s, struct harvest *h,
                         const struct db_step *step, int k, bool last, struct db_episode *row) {
    const struct rollout_prompt *p = &h->prompt[k / h->G];
    const struct trace *t = &h->trace[k];
    const struct harvest_source *from = h->source ? &h->source[k] : NULL;
    bool masked = s->mask_truncated_completions && t->finish == FINISH_LENGTH;
    *row = (struct db_episode){
        .sample = k % h->G, .n_prompt = p->n, .n_completion = t->n, .ids = t->id - p->n,
        .logps = t->logp, .mask = masked ? h->no_loss : NULL, .text = h->text[k],
        .n_text = h->n_text[k], .finish_reason = rollout_finish_name(t->finish),
        .key_seed = r->x.seed, .key_purpose = RNG_SAMPLE, .key_step = p->step,
        .key_prompt = p->prompt, .key_sample = (uint32_t)(k % h->G),
        .weights_hash = step->weights_before, .reward = h->scorable[k] ? h->reward[k] : NAN,
        .advantage = last ? advantage_of(h, k) : NAN, .gen_ms = t->ms,
        .score_ms = h->score_ms[k], .n_verdicts = from ? from->n_v : r->x.n_rewards};
    row->verdicts = arena_new(&r->writing, (size_t)row->n_verdicts, sizeof *row->verdicts);
    if (!from) return fill_verdicts(r, h, k, row->verdicts);
    choice_keep_origin(row, &from->e);
    memcpy(row->verdicts, from->v, (size_t)from->n_v * sizeof *from->v);
}

static int record_groups(struct run *r, const struct experiment_stage *s, struct harvest *h,
                         const struct db_step *step, int first, int n, struct err *err) {
    bool last = first + n == h->n_prompts;
    arena_reset(&r->writing);
    struct db_group *g = arena_new(&r->writing, (size_t)n, sizeof *g);
    struct db_episode *e = arena_new(&r->writing, (size_t)(n * h->G), sizeof *e);
    for (int p = first; p < first + n; p++, g++) {
        *g = (struct db_group){.step = step->step, .prompt_no = p, .n = h->G, .n_episodes = h->G,
                               .episodes = e + (p - first) * h->G};
        if ((h->source ? db_write_problem(r->db, &h->source[p].p, &g->problem_id, err)
                       : run_record_problem(r, r->train[step->stage - 1], &h->problem[p],
                                            &g->problem_id, err)) != 0)
            return -1;
        for (int k = 0; k < h->G; k++)
            fill_episode(r, s, h, step, p * h->G + k, last, &g->episodes[k]);
    }
    if (db_write_groups(r->db, g - n, n, err) != 0) return -1;
    for (int k = 0; k < n * h->G; k++) {
        const struct harvest_source *from = h->source ? &h->source[first * h->G + k] : NULL;
        h->episode[first * h->G + k] = e[k].id;
        if (from && db_write_source(r->db, e[k].id, from->e.id, err) != 0) return -1;
    }
    return 0;
}

/* Groups first to first + n - 1 of a step. */
struct record {
    struct run *r;
    const struct experiment_stage *s;
    struct harvest *h;
    struct db_step row;
    int first, n;
};

/* In the thread that writes: those groups; with the first ones the step's row, with the last ones
 * the advantages, which may depend on all. */
static int write_groups(struct db *db, void *ctx, struct err *err) {
    const struct record *c = ctx;
    struct run *r = c->r;
    struct harvest *h = c->h;
    bool last = c->first + c->n == h->n_prompts;
    if (c->first == 0 && db_write_step(db, &c->row, err) != 0) return -1;
    if (c->first == 0 && r->choice && choice_record_query(r, c->row.step, err) != 0) return -1;
    if (record_groups(r, c->s, h, &c->row, c->first, c->n, err) != 0) return -1;
    for (int k = 0; last && k < c->first * h->G; k++)
        if (db_set_advantage(db, h->episode[k], advantage_of(h, k), err) != 0) return -1;
    return 0;
}

/* Has them written, while the next ones are drawn or the gradient is computed. */
static int record(struct run *r, const struct experiment_stage *s, struct harvest *h,
                  const struct db_step *row, int first, int n, struct err *err) {
    struct record *c = arena_new(&r->arena, 1, sizeof *c);
    *c = (struct record){r, s, h, *row, first, n};
    return db_later(r->db, write_groups, c, err);
}

/* Groups that are drawn and committed together: as asked, or as many as keep every thread's
 * batch full, so that a large step is not lost whole and a small one is not slowed. */
static int groups_at_once(const struct run *r, const struct harvest *h) {
    int n = r->x.checkpoint.commit_prompts;
    if (h->source) return h->n_prompts;
    return n > 0 ? n : r->e.n_threads * ((ENGINE_MAX_BATCH + h->G - 1) / h->G);
}

/* Draws, scores and commits what run.db does not hold of the step; where the run is to stop,
 * not all of it. */
static int fill_harvest(struct run *r, const struct experiment_stage *s, struct harvest *h,
                        const struct db_step *row, struct timing *t, struct err *err) {
    while (h->n_recorded < h->n_prompts) {
        int first = h->n_recorded, n = groups_at_once(r, h);
        double at[4] = {progress_now()};
        if (n > h->n_prompts - first) n = h->n_prompts - first;
        if (!h->source) sample(r, s, h, first, n);
        at[1] = progress_now();
        if (!h->source) harvest_score(r, s, h, row->stage_step, first, n, -1);
        if (!h->source && first + n == h->n_prompts)
            advantage_compute(h->reward, h->scorable, h->n_prompts, h->G, s->scale_rewards, h->adv);
        at[2] = progress_now();
        if (record(r, s, h, row, first, n, err) != 0) return -1;
        at[3] = progress_now();
        t->gen += at[1] - at[0];
        t->reward += at[2] - at[1];
        t->db += at[3] - at[2];
        h->n_recorded = first + n;
        if (h->n_recorded < h->n_prompts && run_should_stop(r)) return 0;
    }
    return 0;
}

static struct update_seq *make_batch(struct run *r, const struct experiment_stage *s,
                                     const struct harvest *h) {
    struct update_seq *seq = arena_new(&r->arena, (size_t)h->n, sizeof *seq);
    for (int k = 0; k < h->n; k++) {
        const struct trace *t = &h->trace[k];
        seq[k] = (struct update_seq){
            .prompt = h->prompt[k / h->G].id, .n_prompt = h->prompt[k / h->G].n, .id = t->id,
            .n = t->n, .adv = h->adv[k], .old_logp = t->logp,
            .ref_logp = h->ref_logp ? h->ref_logp[k] : NULL,
            .masked = s->mask_truncated_completions && t->finish == FINISH_LENGTH};
    }
    return seq;
}

/* Places for what the experiment wants of each token; the first pass of the update fills them.
 * The experts' first byte says how many of them a layer has. */
static void keep_details(struct run *r, const struct harvest *h, struct update_seq *seq) {
    size_t n_experts = update_experts(r->update);
    r->detail = arena_new(&r->arena, (size_t)h->n, sizeof *r->detail);
    r->n_details = h->n;
    for (int k = 0; k < h->n; k++) {
        struct db_detail *d = &r->detail[k];
        size_t n = (size_t)h->trace[k].n;
        *d = (struct db_detail){0};
        if (r->x.record.entropy) {
            d->entropies = seq[k].entropy = arena_new(&r->arena, n, sizeof(float));
            d->n_entropies = n;
        }
        if (r->x.record.experts) {
            uint8_t *blob = arena_new(&r->arena, 1 + n * n_experts, 1);
            blob[0] = (uint8_t)r->e.w.cfg.num_experts_per_tok;
            seq[k].experts = blob + 1;
            d->experts = blob;
            d->n_experts = 1 + n * n_experts;
        }
    }
}

static void reference_logps(struct run *r, struct harvest *h, const struct update_config *uc,
                            struct update_seq *seq) {
    struct update_config c = *uc;
    struct update_stats st;
    c.sft = true; /* only measures */
    h->ref_logp = arena_new(&r->arena, (size_t)h->n, sizeof *h->ref_logp);
    for (int k = 0; k < h->n; k++)
        h->ref_logp[k] = arena_new(&r->arena, (size_t)h->trace[k].n, sizeof(float));
    update_gradient(r->ref.update, &c, seq, h->n, h->ref_logp, NULL, &st);
    for (int k = 0; k < h->n; k++) seq[k].ref_logp = h->ref_logp[k];
}

static void update_metrics(struct run *r, const struct update_stats *st, double norm) {
    run_metric(r, "loss", st->loss);
    run_metric(r, "entropy", st->entropy);
    run_metric(r, "kl", st->kl);
    run_metric(r, "clip_ratio/low_mean", st->clip_low);
    run_metric(r, "clip_ratio/high_mean", st->clip_high);
    run_metric(r, "clip_ratio/region_mean", st->clip_low + st->clip_high);
    run_metric(r, "grad_norm", norm);
}

/* num_iterations updates on the same episodes. The first is on policy: what the trainer
 * computes must be what was recorded, to the bit. NULL, or why the step is refused. */
const char *harvest_learn(struct run *r, const struct experiment_stage *s, struct harvest *h,
                          double lr, struct update_stats *st) {
    bool others = r->x.replay.from[0]; /* drawn from other weights */
    struct update_config uc = {
        .loss = {s->loss_type, s->epsilon,
                 s->epsilon_high < 0 ? s->epsilon : s->epsilon_high, s->beta,
                 others ? r->x.replay.importance_cap : 0},
        .sampler = {s->temperature, s->top_k, s->top_p, s->min_p},
        .max_completion_length = s->max_completion_length,
        .router_aux_loss_coef = s->router_aux_loss_coef, .share_prompts = true};
    struct update_seq *seq = make_batch(r, s, h);
    double norm = 0;
    const char *refusal = NULL;
    if (r->ref.on) {
        double start = progress_now();
        reference_logps(r, h, &uc, seq);
        run_metric(r, "timing_s/ref", progress_now() - start);
    }
    if (r->x.record.entropy || r->x.record.experts) keep_details(r, h, seq);
    for (int it = 0; it < s->num_iterations && !refusal; it++) {
        struct update_stats now;
        for (int k = 0; k < h->n && it == 1; k++) {
            seq[k].entropy = NULL;
            seq[k].experts = NULL;
        }
        memset(r->opt.grad, 0, r->opt.n_data * sizeof(float));
        update_gradient(r->update, &uc, seq, h->n, NULL, r->opt.grad, &now);
        if (it == 0) {
            run_metric(r, "sampling/sampling_logp_difference/max", now.logp_diff_max);
            run_metric(r, "sampling/sampling_logp_difference/mean", now.logp_diff_mean);
            if (isnan(now.logp_diff_max))
                refusal = "the log-probabilities are not finite";
            else if (!others && now.logp_diff_max != 0)
                refusal = "the trainer's log-probabilities are not those recorded";
        }
        *st = now;
        if (!refusal && run_apply(r, s, lr, &norm) != 0)
            refusal = it == 0 ? "the gradient is not finite"
                              : "the gradient of a later iteration is not finite; the "
                                "iterations before it were applied";
    }
    update_metrics(r, st, norm);
    return refusal;
}

/* Mean and deviation of each checker's scores; a checker that failed gave none. */
static void checker_metrics(struct run *r, const struct harvest *h) {
    int R = r->x.n_rewards;
    for (int c = 0; c < R; c++) {
        char name[2][96];
        double sum = 0, sum2 = 0;
        int n = 0;
        for (int k = 0; k < h->n; k++) {
            const struct verdict *v = &h->verdict[k * R + c];
            if (!verdict_has_score(v)) continue;
            n++, sum += v->score, sum2 += v->score * v->score;
        }
        const char *checker = scorer_name(r->scorer[c]);
        snprintf(name[0], sizeof name[0], "rewards/%s/mean", checker);
        snprintf(name[1], sizeof name[1], "rewards/%s/std", checker);
        double var = n > 1 ? (sum2 - sum * sum / n) / (n - 1) : 0;
        run_metric(r, arena_strdup(&r->arena, name[0]), n ? sum / n : NAN);
        run_metric(r, arena_strdup(&r->arena, name[1]), n ? sqrt(var > 0 ? var : 0) : NAN);
    }
}

/* Lengths and rewards under TRL's names; returns the share of solved episodes. */
static double episode_metrics(struct run *r, const struct harvest *h, double *mean_reward) {
    int R = r->x.n_rewards, answer = r->x.answer, scored = 0;
    int min = h->trace[0].n, max = 0, all = 0, none = 0, right = 0;
    double reward = 0, std, zero, ended = 0, ended_len = 0;
    for (int k = 0; k < h->n; k++) {
        int len = h->trace[k].n;
        if (len < min) min = len;
        if (len > max) max = len;
        if (h->trace[k].finish != FINISH_LENGTH) ended++, ended_len += len;
        if (h->scorable[k]) scored++, reward += h->reward[k];
    }
    checker_metrics(r, h);
    for (int p = 0; p < h->n_prompts; p++) {
        int correct = 0;
        for (int k = p * h->G; k < (p + 1) * h->G; k++) {
            const struct verdict *v = &h->verdict[k * R + answer];
            correct += verdict_is_right(v);
        }
        right += correct;
        all += correct == h->G;
        none += correct == 0;
    }
    advantage_spread(h->reward, h->scorable, h->n_prompts, h->G, &std, &zero);
    *mean_reward = scored ? reward / scored : NAN;
    run_metric(r, "reward", *mean_reward);
    run_metric(r, "reward_std", std);
    run_metric(r, "frac_reward_zero_std", zero);
    run_metric(r, "solved_all", (double)all / h->n_prompts);
    run_metric(r, "solved_none", (double)none / h->n_prompts);
    run_metric(r, "completions/mean_length", (double)h->tokens / h->n);
    run_metric(r, "completions/min_length", min);
    run_metric(r, "completions/max_length", max);
    run_metric(r, "completions/mean_terminated_length", ended > 0 ? ended_len / ended : NAN);
    run_metric(r, "completions/clipped_ratio", (double)h->truncated / h->n);
    run_metric(r, "num_tokens", (double)h->tokens);
    run_metric(r, "verdicts/failure_rate", (double)count_failures(r, h) / (h->n * R));
    return (double)right / h->n;
}

static void show(struct run *r, const struct experiment_stage *s, int stage_step,
                 const struct harvest *h, const struct update_stats *st, double reward,
                 double accuracy, double wall) {
    char text[192], failed[32] = "";
    long n = count_failures(r, h);
    if (n > 0) snprintf(failed, sizeof failed, "  %ld failed", n);
    snprintf(text, sizeof text,
             "reward %.3f  acc %.3f  kl %.4f  entropy %.3f  len %.1f  %5.1fk tok/s%s", reward,
             accuracy, st->kl, st->entropy, (double)h->tokens / h->n,
             (double)h->tokens / wall / 1e3, failed);
    progress_show(&r->progress, s->name, stage_step + 1, s->max_steps,
                  stage_step == 0 || stage_step + 1 == s->max_steps, text);
}

/* From the prompts to the gradient; what the thread still writes is in use when it returns. */
static int make_step(struct run *r, const struct db_step *row, int i, int stage_step,
                     struct harvest *h, struct timing *t, struct lessons *out, struct err *err) {
    const struct experiment_stage *s = &r->x.stage[i];
    if (r->pending.step == row->step && harvest_read(r, row->step, true, h, err) != 0) return -1;
    out->had = h->tokens;
    if (load_prompts(r, i, stage_step, h, err) != 0 || fill_harvest(r, s, h, row, t, err) != 0)
        return -1;
    if (h->n_recorded < h->n_prompts) return 0;
    if (check_failures(r, h, row->step, err) != 0) return -1;
    double before = progress_now();
    out->refusal = harvest_learn(r, s, h, row->learning_rate, &out->stats);
    t->update = progress_now() - before;
    return 0;
}

int run_grpo_step(struct run *r, int i, int stage_step, struct err *err) {
    const struct experiment_stage *s = &r->x.stage[i];
    struct db_step row = run_new_step(r, i, stage_step);
    struct lessons learnt = {0};
    struct timing t = {0};
    double reward, start = progress_now();
    arena_reset(&r->arena);
    struct harvest *h = arena_new(&r->arena, 1, sizeof *h);
    harvest_init(r, s, h);
    int rc = make_step(r, &row, i, stage_step, h, &t, &learnt, err);
    if (rc != 0 || h->n_recorded < h->n_prompts) return rc;
    double end = progress_now();
    r->episode = h->episode;
    double accuracy = episode_metrics(r, h, &reward);
    run_metric(r, "timing_s/gen", t.gen);
    run_metric(r, "timing_s/reward", t.reward);
    run_metric(r, "timing_s/db", t.db);
    run_metric(r, "timing_s/update_actor", t.update);
    run_metric(r, "tokens_per_s", (double)h->tokens / (end - start));
    if (!h->source) r->gen_tokens += h->tokens - learnt.had;
    r->gen_s += t.gen;
    show(r, s, stage_step, h, &learnt.stats, reward, accuracy, end - start);
    return run_end_step(r, &row, learnt.refusal, end - start, err);
}
