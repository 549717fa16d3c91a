/* cli/run.c: opens a run: everything is read and checked before the first file is made. */
#include "cli/run.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cli/checkpoint.h"
#include "cli/choice.h"
#include "cli/estimate.h"
#include "cli/resume.h"
#include "cli/run_folder.h"

enum { MAX_ROWS = 1 << 28 }; /* of one pass */

static const char *const tags[] = {"<think>", "</think>", "<answer>", "</answer>"};

int run_open_scorers(struct run *r, struct err *err) {
    for (int i = 0; i < r->x.n_rewards; i++) {
        struct scorer_config c = experiment_scorer(&r->x.reward[i]);
        c.sandbox = r->x.sandbox;
        if (scorer_open(&r->scorer[i], &c, err) != 0)
            return err_prefix(err, "reward.checkers[%d]", i);
    }
    return 0;
}

struct scorer *run_scorer_named(struct run *r, const char *checker) {
    for (int i = 0; i < r->x.n_rewards; i++)
        if (strcmp(r->x.reward[i].checker, checker) == 0) return r->scorer[i];
    return NULL;
}

/* Answers of some kinds (programs) only their own checker can judge. */
static int check_checkers(struct run *r, struct err *err) {
    for (int i = 0; i < r->x.n_stages; i++) {
        const char *checker = problem_set_checker(r->train[i]);
        if (r->x.stage[i].type != STAGE_GRPO || strcmp(checker, "answer") == 0) continue;
        if (!run_scorer_named(r, checker))
            return err_set(err, EX_CONFIG,
                           "stages[%d]: its problems need {\"checker\": \"%s\"} in "
                           "reward.checkers",
                           i, checker);
    }
    return 0;
}

static int open_problems(struct run *r, struct err *err) {
    for (int i = 0; i < r->x.n_stages; i++) {
        const char *own = r->x.stage[i].problems;
        if (problem_set_open(&r->train[i], own[0] ? own : r->x.problems.train, r->x.seed,
                             err) != 0)
            return own[0] ? err_prefix(err, "stages[%d].problems", i)
                          : err_prefix(err, "problems.train");
    }
    if (r->x.problems.eval[0]) {
        if (problem_set_open(&r->eval, r->x.problems.eval, r->x.seed, err) != 0)
            return err_prefix(err, "problems.eval");
        if (problem_set_size(r->eval) == INT_MAX)
            return err_set(err, EX_CONFIG, "problems.eval: '%s' is endless, give it n=",
                           r->x.problems.eval);
    }
    for (int i = 0; i < r->x.n_stop; i++) r->stop_string[i] = r->x.stop[i];
    return 0;
}

static struct tokenizer *make_tokenizer(const struct run *r) {
    if (strcmp(r->x.model.tokenizer, "byte") == 0) return tokenizer_new_bytes(tags, 4);
    struct buf alphabet = {0};
    for (int i = 0; i < r->x.n_stages; i++)
        buf_puts(&alphabet, problem_set_alphabet(r->train[i]));
    if (r->eval) buf_puts(&alphabet, problem_set_alphabet(r->eval));
    struct tokenizer *tok = tokenizer_new_chars(buf_text(&alphabet), tags, 4);
    buf_clear(&alphabet);
    return tok;
}

static int make_policy(struct run *r, struct err *err) {
    if (r->x.model.path[0]) return engine_load(&r->e, r->x.model.path, true, err);
    struct tokenizer *tok = make_tokenizer(r);
    struct policy_config *c = &r->x.model.config;
    int n = tokenizer_vocab_size(tok);
    if (c->vocab_size == 0) c->vocab_size = n;
    c->bos_token_id = tokenizer_bos(tok);
    c->eos_token_id = tokenizer_eos(tok);
    c->pad_token_id = tokenizer_pad(tok);
    if (c->vocab_size < n) {
        tokenizer_free(tok);
        return err_set(err, EX_CONFIG, "model.config.vocab_size: is %d, the tokenizer has %d",
                       c->vocab_size, n);
    }
    if (policy_config_check(c, "model.config", err) != 0) {
        tokenizer_free(tok);
        return -1;
    }
    engine_fresh(&r->e, c, tok, r->x.seed, true);
    return 0;
}

/* Rows that one pass must hold: the budget, or the largest family if that is more. */
static int find_max_rows(const struct run *r, int *max, struct err *err) {
    long rows = r->e.m.max_pos;
    for (int i = 0; i < r->x.n_stages; i++) {
        const struct experiment_stage *s = &r->x.stage[i];
        long step = s->type == STAGE_SFT ? (long)s->batch_size * r->e.m.max_pos : MAX_ROWS;
        long budget = s->max_tokens_per_microbatch < step ? s->max_tokens_per_microbatch : step;
        if (s->type != STAGE_GRPO) {
            if (budget > rows) rows = budget;
            continue;
        }
        long family = r->e.m.max_pos + (s->num_generations - 1L) * s->max_completion_length;
        if (family > MAX_ROWS)
            return err_set(err, EX_CONFIG,
                           "stages[%d]: a group of num_generations %d with "
                           "max_completion_length %d may take %ld rows, a pass holds %d",
                           i, s->num_generations, s->max_completion_length, family,
                           MAX_ROWS);
        step = s->num_prompts * family;
        if (budget > step) budget = step;
        if (budget > rows) rows = budget;
        if (family > rows) rows = family;
    }
    *max = rows > MAX_ROWS ? MAX_ROWS : (int)rows;
    return 0;
}

static int check_completion(const struct run *r, const char *where, int length,
                            struct err *err) {
    if (engine_max_prompt(&r->e, length) >= 2) return 0;
    return err_set(err, EX_CONFIG,
                   "%s.max_completion_length: %d leaves no room for a prompt in the model's "
                   "max_position_embeddings of %d",
                   where, length, r->e.m.max_pos);
}

static int make_rollout(struct run *r, struct err *err) {
    int length = r->x.eval.max_completion_length, longest = 1, prompt = 1;
    long n = 1;
    if (r->eval) {
        int samples = r->x.eval.samples > 1 ? r->x.eval.samples : 1;
        if (check_completion(r, "eval", length, err) != 0) return -1;
        prompt = evaluate_longest_prompt(&r->e, r->eval, length, err);
        if (prompt < 0) return err_prefix(err, "problems.eval");
        longest = length;
        n = (long)problem_set_size(r->eval) * samples;
    }
    for (int i = 0; i < r->x.n_stages; i++) {
        const struct experiment_stage *s = &r->x.stage[i];
        char where[32];
        if (s->type != STAGE_GRPO) continue;
        snprintf(where, sizeof where, "stages[%d]", i);
        length = s->max_completion_length;
        if (check_completion(r, where, length, err) != 0) return -1;
        if (length > longest) longest = length;
        if (engine_max_prompt(&r->e, length) > prompt) prompt = engine_max_prompt(&r->e, length);
        if ((long)s->num_prompts * s->num_generations > n)
            n = (long)s->num_prompts * s->num_generations;
    }
    r->rollout = engine_rollout(&r->e, prompt, longest, n);
    return 0;
}

/* An expert is recorded as one byte. */
static int check_record(const struct run *r, struct err *err) {
    int n = r->e.w.cfg.n_routed_experts;
    if (!r->x.record.experts || (n > 0 && n <= 256)) return 0;
    return n == 0 ? err_set(err, EX_CONFIG, "record.experts: the policy has no experts")
                  : err_set(err, EX_CONFIG, "record.experts: the policy has %d, at most 256 can "
                            "be recorded", n);
}

static int make_update(struct run *r, struct err *err) {
    int rows = 0;
    if (find_max_rows(r, &rows, err) != 0 || check_record(r, err) != 0) return -1;
    r->update = update_new(&r->e.m, rows, r->e.n_threads);
    optimizer_init(&r->opt, &r->e.w);
    return 0;
}

/* ---- stages ------------------------------------------------------------------------ */

static void clear_reference(struct reference *ref) {
    update_free(ref->update);
    model_clear(&ref->m);
    weights_clear(&ref->w);
    *ref = (struct reference){0};
}

void run_set_reference(struct run *r, int i, const float *w) {
    const struct experiment_stage *s = &r->x.stage[i];
    struct reference *ref = &r->ref;
    clear_reference(ref);
    if (s->type != STAGE_GRPO || s->beta == 0) return;
    ref->on = true;
    weights_init(&ref->w, &r->e.w.cfg);
    memcpy(ref->w.data, w, ref->w.n_data * sizeof(float));
    struct model_options options = r->e.m.options;
    options.trains = options.decodes = false;
    model_init_as(&ref->m, &ref->w, r->e.k, options);
    ref->update = update_new(&ref->m, update_max_tokens(r->update), r->e.n_threads);
}

void run_begin_stage(struct run *r, int i) {
    optimizer_reset(&r->opt);
    run_set_reference(r, i, r->e.w.data);
    r->stage = i;
}

/* ---- opening and closing ----------------------------------------------------------- */

static int wrong_start(const struct run *r, uint64_t hash, uint64_t found, const char *from,
                       struct err *err) {
    return err_set(err, EX_DATAERR, "%s: the run started from weights %016llx, %s gives %016llx",
                   r->dir, (unsigned long long)hash, from, (unsigned long long)found);
}

/* What the run computes in, once and for all: `auto` is settled here and recorded. */
static void settle_engine(struct run *r) {
    static const char *const name[] = {"f32", "bf16", "auto"};
    struct err err;
    int rc = engine_set_dtype(&r->e, name[r->x.compute_dtype], &err);
    CHECK(rc == 0);
    r->x.compute_dtype = r->e.dtype == COMPUTE_BF16 ? EXPERIMENT_BF16 : EXPERIMENT_F32;
    r->e.recompute = r->x.gradient_checkpointing;
}

/* The policy that a recorded run starts from: as it was kept in the run's folder, or made as
 * the run made it. Random weights of open problems need no file. */
static int make_recorded_policy(struct run *r, uint64_t hash, struct err *err) {
    char start[PATH_MAX], config[PATH_MAX];
    if (checkpoint_path(start, sizeof start, r->dir, 0, err) != 0 ||
        file_join(config, sizeof config, start, "config.json", err) != 0)
        return -1;
    bool path = r->x.model.path[0], open = r->train[0] != NULL;
    if (file_exists(config) && (path || !open)) {
        const struct engine fresh = r->e;
        int rc = engine_load(&r->e, start, true, err);
        r->hash = rc == 0 ? weights_hash(&r->e.w) : 0;
        if (r->hash == hash) return 0;
        if (rc == 0) rc = wrong_start(r, hash, r->hash, start, err);
        progress_note(&r->progress, "%s", err->msg);
        engine_clear(&r->e);
        r->e = fresh;
    }
    if (!path && !open && open_problems(r, err) != 0) return -1;
    if (make_policy(r, err) != 0) return -1;
    r->hash = weights_hash(&r->e.w);
    return r->hash == hash ? 0
                           : wrong_start(r, hash, r->hash,
                                         path ? r->x.model.path : "the experiment now", err);
}

int run_open_recorded(struct run *r, const char *dir, const char *isa, int n_threads,
                      struct err *err) {
    char path[PATH_MAX];
    struct db_run row;
    *r = (struct run){.stage = -1};
    progress_start(&r->progress, stderr);
    if (strlen(dir) >= sizeof r->dir) return err_set(err, EX_USAGE, "%s: the path is too long", dir);
    snprintf(r->dir, sizeof r->dir, "%s", dir);
    if (file_join(path, sizeof path, dir, "run.db", err) != 0 ||
        db_open_readonly(&r->db, path, err) != 0 ||
        db_read_run(r->db, &r->arena, &row, err) != 0 ||
        experiment_parse(&r->x, row.experiment, path, err) != 0 ||
        engine_init(&r->e, isa, n_threads, err) != 0)
        return -1;
    for (int i = 0; i < r->x.n_stop; i++) r->stop_string[i] = r->x.stop[i];
    settle_engine(r);
    if (make_recorded_policy(r, row.start_weights, err) != 0) return -1;
    return make_update(r, err);
}

static int open_existing(struct run *r, struct err *err) {
    struct db_run row;
    if (resume_compare(r, err) != 0) return -1;
    settle_engine(r);
    if (resume_find_end(r, err) != 0 || db_read_run(r->db, &r->arena, &row, err) != 0 ||
        make_recorded_policy(r, row.start_weights, err) != 0)
        return -1;
    r->resumed = true;
    return resume_check_problems(r, err);
}

int run_open(struct run *r, const struct run_options *o, struct err *err) {
    bool there;
    *r = (struct run){.stage = -1, .limits = o->limits, .until = o->until,
                      .started = progress_now(), .report.started_at = time(NULL)};
    progress_start(&r->progress, stdout);
    if (strlen(o->out) >= sizeof r->dir)
        return err_set(err, EX_USAGE, "--out: the path is too long");
    snprintf(r->dir, sizeof r->dir, "%s", o->out);
    if (experiment_load(&r->x, o->experiment, o->set, o->n_set, err) != 0 ||
        until_check(&r->until, &r->x, err) != 0)
        return -1;
    if (run_folder_look(r, o, &there, err) != 0) return -1;
    if (engine_init(&r->e, o->isa, o->n_threads, err) != 0) return -1;
    if (!o->no_estimate) estimate_begin();
    if (open_problems(r, err) != 0 || run_open_scorers(r, err) != 0 ||
        check_checkers(r, err) != 0)
        return err_prefix(err, "%s", o->experiment);
    size_t before = mem_in_use();
    if (there && open_existing(r, err) != 0) return -1;
    if (!there) settle_engine(r);
    if (!there && make_policy(r, err) != 0) return err_prefix(err, "%s", o->experiment);
    r->policy_bytes = mem_in_use() - before;
    if (make_rollout(r, err) != 0) return err_prefix(err, "%s", o->experiment);
    before = mem_in_use();
    if (make_update(r, err) != 0 || choice_open(r, err) != 0)
        return err_prefix(err, "%s", o->experiment);
    r->update_bytes = mem_in_use() - before;
    if (!o->no_estimate && estimate_fits(r, o->overwrite, err) != 0) return -1;
    r->hash = weights_hash(&r->e.w);
    if (o->dry_run) return there ? 0 : run_folder_could_make(r, o, err);
    return there ? run_folder_continue(r, err) : run_folder_make(r, o, err);
}

void run_clear_steps(struct run *r) {
    arena_clear(&r->arena);
    arena_clear(&r->writing);
    for (int i = 0; i < RUN_STEPS_WAITING; i++) arena_clear(&r->made[i].arena);
}

void run_close(struct run *r) {
    db_close(r->db);
    for (int i = 0; i < r->x.n_stages; i++) problem_set_close(r->train[i]);
    problem_set_close(r->eval);
    for (int i = 0; i < r->x.n_rewards; i++) scorer_close(r->scorer[i]);
    rollout_free(r->rollout);
    choice_close(r->choice);
    clear_reference(&r->ref);
    update_free(r->update);
    optimizer_clear(&r->opt);
    run_clear_steps(r);
    mem_free(r->order.index);
    if (r->lock > 0) close(r->lock);
    engine_clear(&r->e);
}
