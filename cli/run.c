/* cli/run.c: opens a run: everything is read and checked before the first file is made. */
#include "cli/run.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cli/checkpoint.h"
#include "cli/version.h"

static const char *const tags[] = {"<think>", "</think>", "<answer>", "</answer>"};

static int open_problems(struct run *r, struct err *err) {
    if (problem_set_open(&r->train, r->x.problems.train, r->x.seed, err) != 0)
        return err_prefix(err, "problems.train");
    if (problem_set_open(&r->eval, r->x.problems.eval, r->x.seed, err) != 0)
        return err_prefix(err, "problems.eval");
    if (problem_set_size(r->eval) == INT_MAX)
        return err_set(err, EX_CONFIG, "problems.eval: '%s' is endless, give it n=",
                       r->x.problems.eval);
    for (int i = 0; i < r->x.n_rewards; i++)
        if (checker_find(&r->checker[i], r->x.reward[i].checker, err) != 0)
            return err_prefix(err, "rewards[%d].checker", i);
    for (int i = 0; i < r->x.n_stop; i++) r->stop[i] = r->x.stop[i];
    return 0;
}

static struct tokenizer *make_tokenizer(const struct run *r) {
    if (strcmp(r->x.model.tokenizer, "byte") == 0) return tokenizer_new_bytes(tags, 4);
    struct buf alphabet = {0};
    buf_puts(&alphabet, problem_set_alphabet(r->train));
    buf_puts(&alphabet, problem_set_alphabet(r->eval));
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
static int max_rows(const struct run *r) {
    int rows = r->e.m.max_pos;
    for (int i = 0; i < r->x.n_stages; i++) {
        const struct experiment_stage *s = &r->x.stage[i];
        if (s->max_tokens_per_microbatch > rows) rows = s->max_tokens_per_microbatch;
        int family = r->e.m.max_pos + (s->num_generations - 1) * s->max_completion_length;
        if (s->type == STAGE_GRPO && family > rows) rows = family;
    }
    return rows;
}

static int make_buffers(struct run *r, struct err *err) {
    int longest = r->x.eval.max_completion_length;
    for (int i = 0; i < r->x.n_stages; i++)
        if (r->x.stage[i].type == STAGE_GRPO && r->x.stage[i].max_completion_length > longest)
            longest = r->x.stage[i].max_completion_length;
    if (engine_max_prompt(&r->e, longest) < 2)
        return err_set(err, EX_CONFIG,
                       "max_completion_length: %d leaves no room for a prompt in the model's "
                       "max_position_embeddings of %d",
                       longest, r->e.m.max_pos);
    r->rollout = engine_rollout(&r->e, longest);
    r->update = update_new(&r->e.m, max_rows(r), r->e.n_threads);
    optimizer_init(&r->opt, &r->e.w);
    return 0;
}

/* The folder must be new or empty, unless it may be replaced and is a run. */
static int make_folder(struct run *r, const struct run_options *o, struct err *err) {
    char db[PATH_MAX], json[PATH_MAX];
    if (file_join(db, sizeof db, o->out, "run.db", err) != 0 ||
        file_join(json, sizeof json, o->out, "experiment.json", err) != 0)
        return -1;
    if (file_exists(db) && !o->overwrite)
        return err_set(err, EX_CANTCREAT,
                       "%s: there is a run in this folder; choose another --out, or replace it "
                       "with --overwrite",
                       o->out);
    if (file_exists(db)) {
        struct db *old; /* only a run of ours is removed */
        if (db_open_readonly(&old, db, err) != 0) return -1;
        db_close(old);
        if (checkpoint_remove_tree(o->out, err) != 0) return -1;
    }
    if (file_mkdirs(o->out, err) != 0) return -1;
    if (access(o->out, W_OK) != 0) return err_errno(err, EX_CANTCREAT, "write into %s", o->out);
    if (db_create(&r->db, db, err) != 0) return -1;
    struct buf text = {0};
    experiment_print(&r->x, &text);
    int rc = file_save(json, buf_text(&text), text.len, err);
    if (rc == 0) {
        struct db_run row = {.name = r->x.name, .version = version_short(), .build = __VERSION__,
                             .isa = r->e.k->name, .experiment = buf_text(&text),
                             .seed = r->x.seed, .start_weights = r->hash,
                             .threads = r->e.n_threads};
        rc = db_write_run(r->db, &row, err);
    }
    buf_clear(&text);
    return rc;
}

int run_open(struct run *r, const struct run_options *o, struct err *err) {
    *r = (struct run){0};
    if (strlen(o->out) >= sizeof r->dir)
        return err_set(err, EX_USAGE, "--out: the path is too long");
    snprintf(r->dir, sizeof r->dir, "%s", o->out);
    if (experiment_load(&r->x, o->experiment, o->set, o->n_set, err) != 0) return -1;
    if (engine_init(&r->e, o->isa, o->n_threads, err) != 0) return -1;
    if (open_problems(r, err) != 0) return err_prefix(err, "%s", o->experiment);
    if (make_policy(r, err) != 0 || make_buffers(r, err) != 0)
        return err_prefix(err, "%s", o->experiment);
    r->hash = weights_hash(&r->e.w);
    return make_folder(r, o, err);
}

void run_close(struct run *r) {
    db_close(r->db);
    problem_set_close(r->train);
    problem_set_close(r->eval);
    rollout_free(r->rollout);
    update_free(r->update);
    optimizer_clear(&r->opt);
    arena_clear(&r->arena);
    mem_free(r->order.index);
    engine_clear(&r->e);
}
