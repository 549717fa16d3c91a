/* cli/run_step.c: what every training step does, whatever its stage. See run.h. */
#include <limits.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "cli/checkpoint.h"
#include "cli/run.h"
#include "cli/run_step.h"
#include "cli/stop.h"
#include "db/later.h"

/* To a step that takes as long, waiting for the disk is nothing; and its memory, which may be
 * much, serves the next one too. */
#define WAITS_S 0.5

struct optimizer_config run_optimizer_config(const struct experiment_stage *s) {
    return (struct optimizer_config){
        .learning_rate = s->learning_rate, .schedule = s->lr_scheduler_type,
        .warmup_steps = s->warmup_steps,   .max_steps = s->max_steps,
        .weight_decay = s->weight_decay,   .beta1 = s->adam_beta1,
        .beta2 = s->adam_beta2,            .epsilon = s->adam_epsilon,
        .max_grad_norm = s->max_grad_norm,
    };
}

/* Endless generators give every stage its own range of problems; a finite set is visited
 * in a new order each epoch. */
int run_problem_at(struct run *r, int i, long visit, int limit) {
    int size = problem_set_size(r->train[i]);
    if (limit > 0 && limit < size) size = limit;
    if (size == INT_MAX) return (int)(((long)(i + 1) << 26) + visit);
    struct rng_key key = {.seed = r->x.seed, .purpose = RNG_SHUFFLE, .step = (uint32_t)i,
                          .prompt = (uint32_t)(visit / size)};
    struct run_order *o = &r->order;
    if (!o->index || o->n != size || o->stage != key.step || o->epoch != key.prompt) {
        mem_free(o->index);
        *o = (struct run_order){mem_new((size_t)size, sizeof *o->index), size, key.step,
                                key.prompt};
        rng_permutation(&key, (uint32_t)size, o->index);
    }
    return (int)o->index[visit % size];
}

int run_record_problem(struct run *r, const struct problem_set *set, const struct problem *p,
                       int64_t *id, struct err *err) {
    struct db_problem row = {.kind = p->kind, .key = p->key, .split = problem_set_split(set),
                             .prompt = p->prompt, .gold = p->gold, .columns = p->columns};
    return db_write_problem(r->db, &row, id, err);
}

void run_metric(struct run *r, const char *name, double value) {
    CHECK(r->n_metrics < RUN_MAX_METRICS);
    if (isfinite(value)) r->metric[r->n_metrics++] = (struct db_metric){name, value};
}

int run_apply(struct run *r, const struct experiment_stage *s, double lr, double *norm) {
    struct optimizer_config c = run_optimizer_config(s);
    *norm = optimizer_grad_norm(&r->opt, &r->e.w, r->e.k, r->e.n_threads);
    if (!isfinite(*norm)) return 1;
    optimizer_step(&r->opt, &r->e.w, r->e.k, &c, lr, *norm, r->e.n_threads);
    if (s->router_bias_update_speed > 0)
        optimizer_balance(&r->e.w, update_expert_load(r->update), s->router_bias_update_speed);
    model_pack(&r->e.m, r->e.n_threads);
    return 0;
}

bool run_weights_finite(const struct run *r) {
    return isfinite(r->e.k->sum_squares(r->e.w.data, r->e.w.n_data));
}

/* How far the busiest expert is above its share: max load / mean load - 1, over layers. */
static double max_violation(const struct run *r) {
    const struct policy_config *c = &r->e.w.cfg;
    const int64_t *load = update_expert_load(r->update);
    int E = c->n_routed_experts, n = 0;
    double sum = 0;
    for (int l = c->first_k_dense_replace; l < c->num_hidden_layers; l++, n++) {
        int64_t most = 0, all = 0;
        for (int e = 0; e < E; e++) {
            all += load[l * E + e];
            if (load[l * E + e] > most) most = load[l * E + e];
        }
        if (all > 0) sum += (double)most * E / (double)all - 1;
    }
    return n ? sum / n : NAN;
}

/* The step whose weights the stage of now refers to; 0: the start, or none. */
static int reference_step(const struct run *r) {
    struct db_step row;
    struct arena arena = {0};
    struct err ignored;
    int first = 0;
    if (r->ref.on && r->step > 0 && db_read_step(r->db, r->step, &arena, &row, &ignored) == 0 &&
        row.stage - 1 == r->stage)
        first = row.step - row.stage_step;
    else if (r->ref.on)
        first = r->step;
    arena_clear(&arena);
    return first;
}

int run_checkpoint(struct run *r, struct err *err) {
    if (db_wait(r->db, err) != 0) return -1; /* it relies on the log */
    if (r->step == 0) return 0;
    if (checkpoint_save(r->dir, r->step, &r->e.w, r->e.tok, &r->opt, err) != 0) return -1;
    return checkpoint_prune(r->dir, r->x.checkpoint.keep_last, r->x.checkpoint.keep_every,
                            reference_step(r), err);
}

struct db_step run_new_step(const struct run *r, int i, int stage_step) {
    struct optimizer_config oc = run_optimizer_config(&r->x.stage[i]);
    if (r->pending.step == r->step + 1) return r->pending;
    return (struct db_step){.step = r->step + 1, .stage = i + 1, .stage_step = stage_step + 1,
                            .weights_before = r->hash,
                            .learning_rate = optimizer_rate(&oc, stage_step)};
}

static int write_result(struct db *db, void *ctx, struct err *err) {
    struct made_step *m = ctx;
    for (int k = 0; k < m->n_details; k++) m->detail[k].episode_id = m->episode[k];
    int rc = db_finish_step(db, &m->row, m->metric, m->n_metrics, m->detail, m->n_details, err);
    m->waits = false; /* nor does anything else of the step */
    return rc;
}

static int find_place(struct run *r, struct made_step **m, struct err *err) {
    *m = NULL;
    for (int i = 0; i < RUN_STEPS_WAITING && !*m; i++)
        if (!r->made[i].waits) *m = &r->made[i];
    if (*m) return 0;
    *m = &r->made[0];
    return db_wait(r->db, err);
}

/* Has the step's result written. What its jobs refer to is in the step's arena, which is kept for
 * them; the next step gets another one. */
static int record_result(struct run *r, const struct db_step *row, struct err *err) {
    struct made_step *m;
    if (find_place(r, &m, err) != 0) return -1;
    m->row = *row;
    m->n_metrics = r->n_metrics;
    m->n_details = r->n_details;
    m->detail = r->detail;
    m->episode = r->episode;
    memcpy(m->metric, r->metric, sizeof m->metric);
    r->n_metrics = r->n_details = 0;
    m->waits = true;
    if (db_later(r->db, write_result, m, err) != 0) return -1;
    if (row->wall_s >= WAITS_S) return db_wait(r->db, err);
    struct arena next = m->arena;
    m->arena = r->arena;
    r->arena = next;
    return 0;
}

/* Two passes over all weights, which nothing changes meanwhile, each on a thread of its own. The
 * team is whole, for all that two would do: a smaller one ends the other threads, and the next
 * region has to make them again. Sets r->hash; false: not all are finite. */
static bool look_at_weights(struct run *r, bool refused) {
    uint64_t hash = r->hash;
    bool finite = true;
#pragma omp parallel sections num_threads(r->e.n_threads)
    {
#pragma omp section
        hash = weights_hash(&r->e.w);
#pragma omp section
        finite = refused || run_weights_finite(r);
    }
    if (finite) r->hash = hash;
    return finite;
}

int run_end_step(struct run *r, struct db_step *row, const char *refusal, double wall_s,
                 struct err *err) {
    bool finite = look_at_weights(r, refusal != NULL);
    if (!finite)
        return err_set(err, EX_SOFTWARE,
                       "step %d: the update left weights that are not finite; lower "
                       "learning_rate, or see the last checkpoint in %s/checkpoints",
                       row->step, r->dir);
    run_metric(r, "learning_rate", row->learning_rate);
    run_metric(r, "max_vio/mean", max_violation(r));
    run_metric(r, "step_time", wall_s);
    update_expert_load_reset(r->update);
    row->weights_after = r->hash;
    row->refusal = refusal;
    row->wall_s = wall_s;
    if (record_result(r, row, err) != 0) return -1;
    r->step++;
    r->step_s += wall_s;
    if (refusal) progress_note(&r->progress, "step %d refused: %s", row->step, refusal);
    if (!report_due(r)) return 0;
    if (db_wait(r->db, err) != 0) return -1;
    report_step(r);
    return 0;
}

bool run_should_stop(struct run *r) {
    if (r->stop != RUN_GOES_ON) return true;
    if (stop_signal())
        r->stop = RUN_STOP_SIGNAL;
    else if (r->limits.max_minutes > 0 &&
             progress_now() - r->started >= 60 * r->limits.max_minutes)
        r->stop = RUN_STOP_MINUTES;
    else if (r->limits.max_steps > 0 && r->step - r->first_step >= r->limits.max_steps)
        r->stop = RUN_STOP_STEPS;
    return r->stop != RUN_GOES_ON;
}

int run_check_until(struct run *r, struct err *err) {
    bool holds;
    if (r->stop != RUN_GOES_ON || r->until.n == 0) return 0;
    if (db_wait(r->db, err) != 0) return -1;
    if (until_holds(&r->until, r->db, r->step, &holds, r->until_said, sizeof r->until_said,
                    err) != 0)
        return -1;
    if (holds) r->stop = RUN_STOP_UNTIL;
    return 0;
}

static bool is_due(int every, const struct experiment_stage *s, int done) {
    return done == s->max_steps || (every > 0 && done % every == 0);
}

int run_after_step(struct run *r, int i, int done, struct err *err) {
    const struct experiment_stage *s = &r->x.stage[i];
    if (is_due(r->x.checkpoint.save_steps, s, done) && run_checkpoint(r, err) != 0) return -1;
    if (stop_signal() || !is_due(r->x.eval.eval_steps, s, done)) return 0;
    return run_evaluate(r, done == s->max_steps, err);
}

/* Completions of an evaluation, kept until all are there: one transaction writes them. */
struct eval_keep {
    struct arena arena;
    struct db_eval_episode *row; /* [n] without eval_id and problem_id */
    struct problem *problem;
    int n;
};

static int keep_sample(void *ctx, const struct eval_sample *s, struct err *err) {
    struct eval_keep *k = ctx;
    if (stop_signal()) return err_set(err, EX_TEMPFAIL, "stopped by a signal");
    char *text = arena_new(&k->arena, s->n_text + 1, 1);
    memcpy(text, s->text, s->n_text);
    k->problem[k->n] = (struct problem){
        .kind = arena_strdup(&k->arena, s->problem->kind),
        .key = arena_strdup(&k->arena, s->problem->key),
        .prompt = arena_strdup(&k->arena, s->problem->prompt),
        .gold = arena_strdup(&k->arena, s->problem->gold),
        .columns = arena_strdup(&k->arena, s->problem->columns)};
    k->row[k->n++] = (struct db_eval_episode){
        .idx = s->idx, .sample = s->sample, .n_completion = s->trace->n,
        .finish_reason = rollout_finish_name(s->trace->finish),
        .status = verdict_status_name(s->verdict->status), .score = s->verdict->score,
        .text = text, .n_text = s->n_text};
    return 0;
}

static int write_eval(struct run *r, const struct db_eval *row, struct eval_keep *k,
                      struct err *err) {
    int64_t id;
    if (db_begin(r->db, err) != 0) return -1;
    if (db_write_eval(r->db, row, &id, err) != 0) goto fail;
    for (int i = 0; i < k->n; i++) {
        k->row[i].eval_id = id;
        if (run_record_problem(r, r->eval, &k->problem[i], &k->row[i].problem_id, err) != 0 ||
            db_write_eval_episode(r->db, &k->row[i], err) != 0)
            goto fail;
    }
    return db_commit(r->db, err);
fail:
    db_rollback(r->db);
    return -1;
}

/* Whether the same evaluation of the same weights stands in run.db. */
static int is_recorded(struct run *r, const struct db_eval *row, struct db_eval *found,
                       bool *recorded, struct err *err) {
    struct db_eval *e;
    int n;
    *recorded = false;
    if (db_read_evals(r->db, &r->arena, &e, &n, err) != 0) return -1;
    for (int i = 0; i < n; i++) {
        if (e[i].step != row->step || e[i].k != row->k || e[i].temperature != row->temperature ||
            strcmp(e[i].mode, row->mode) != 0 || strcmp(e[i].spec, row->spec) != 0 ||
            e[i].weights_hash != row->weights_hash)
            continue;
        *found = e[i];
        *recorded = true;
    }
    return 0;
}

/* Evaluates into *row, unless that is recorded: then it is read. */
static int evaluate_mode(struct run *r, int k, double temperature, struct db_eval *row,
                         bool *fresh, struct err *err) {
    struct eval_config c = {.k = k, .temperature = temperature, .top_p = 1,
                            .max_completion_length = r->x.eval.max_completion_length,
                            .seed = r->x.seed, .step = r->step, .stop = r->stop_string,
                            .n_stop = r->x.n_stop,
                            .scorer = run_scorer_named(r, problem_set_checker(r->eval))};
    struct eval_keep keep = {0};
    struct eval_result res;
    size_t n = (size_t)problem_set_size(r->eval) * (size_t)k;
    bool recorded;
    *row = (struct db_eval){.step = r->step, .spec = problem_set_spec(r->eval), .k = k,
                            .mode = temperature == 0 ? "greedy" : "sampled",
                            .temperature = temperature, .weights_hash = r->hash};
    if (is_recorded(r, row, row, &recorded, err) != 0) return -1;
    if (recorded) return 0;
    *fresh = true;
    keep.row = mem_new(n, sizeof *keep.row);
    keep.problem = mem_new(n, sizeof *keep.problem);
    int rc = evaluate(&r->e, r->rollout, r->eval, &c, keep_sample, &keep, &res, err);
    row->n = res.n;
    row->pass1 = row->avg_at_k = res.pass1;
    row->ci95 = res.ci95;
    row->pass_at_k = res.pass_at_k;
    row->mean_length = res.mean_length;
    row->wall_s = res.wall_s;
    if (rc == 0) rc = write_eval(r, row, &keep, err);
    arena_clear(&keep.arena);
    mem_free(keep.row);
    mem_free(keep.problem);
    return rc;
}

/* An evaluation that a signal cut short is not recorded; the next start makes it whole. */
int run_evaluate(struct run *r, bool sampled, struct err *err) {
    struct db_eval g, s;
    bool fresh = false;
    if (!r->eval) return 0;
    if (db_wait(r->db, err) != 0) return -1;
    if (evaluate_mode(r, 1, 0, &g, &fresh, err) != 0) return stop_signal() ? 0 : -1;
    if (!sampled || r->x.eval.samples == 0) {
        if (fresh)
            progress_note(&r->progress, "  eval at step %d: greedy pass@1 %.1f %% +- %.1f",
                          r->step, 100 * g.pass1, 100 * g.ci95);
        return 0;
    }
    if (evaluate_mode(r, r->x.eval.samples, r->x.eval.temperature, &s, &fresh, err) != 0)
        return stop_signal() ? 0 : -1;
    if (fresh)
        progress_note(&r->progress,
                      "  eval at step %d: greedy pass@1 %.1f %% +- %.1f, sampled pass@1 %.1f %%, "
                      "pass@%d %.1f %%",
                      r->step, 100 * g.pass1, 100 * g.ci95, 100 * s.pass1, s.k,
                      100 * s.pass_at_k);
    return 0;
}
