/* cli/run.c: opens a run: everything is read and checked before the first file is made. */
#include "cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cli/checkpoint.h"
#include "cli/version.h"

enum { MAX_ROWS = 1 << 28 }; /* of one pass */

static const char *const tags[] = {"<think>", "</think>", "<answer>", "</answer>"};

int run_open_scorers(struct run *r, struct err *err) {
    for (int i = 0; i < r->x.n_rewards; i++) {
        struct scorer_config c = experiment_scorer(&r->x.reward[i]);
        if (scorer_open(&r->scorer[i], &c, err) != 0)
            return err_prefix(err, "reward.checkers[%d]", i);
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
    for (int i = 0; i < r->x.n_stop; i++) r->stop[i] = r->x.stop[i];
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

static int make_update(struct run *r, struct err *err) {
    int rows = 0;
    if (find_max_rows(r, &rows, err) != 0) return -1;
    r->update = update_new(&r->e.m, rows, r->e.n_threads);
    optimizer_init(&r->opt, &r->e.w);
    return 0;
}

/* What a run writes, and nothing else that may lie in the folder; run.db goes last, so that
 * a kill in between leaves what is still seen as a run. */
static const char *const parts[] = {"experiment.json", "final",      "checkpoints",
                                    "run.db-wal",      "run.db-shm", "run.db"};
enum { N_PARTS = sizeof parts / sizeof *parts };

static int remove_run(const char *dir, struct err *err) {
    for (int i = 0; i < N_PARTS; i++) {
        char path[PATH_MAX];
        if (file_join(path, sizeof path, dir, parts[i], err) != 0 ||
            checkpoint_remove_tree(path, err) != 0)
            return -1;
    }
    return 0;
}

/* Held until the process ends, so that two starts cannot write into one folder. */
static int lock_folder(struct run *r, struct err *err) {
    int fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, EX_CANTCREAT, "open %s", r->dir);
    r->lock = fd;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return 0;
    return errno == EWOULDBLOCK
               ? err_set(err, EX_TEMPFAIL, "%s: another hone train is writing there", r->dir)
               : err_errno(err, EX_IOERR, "lock %s", r->dir);
}

/* A run may be replaced only as a whole, only when asked for, and never under the policy
 * that the new one starts from. */
static int clear_folder(struct run *r, const struct run_options *o, struct err *err) {
    char path[PATH_MAX], real_out[PATH_MAX], real_model[PATH_MAX];
    const char *found = NULL;
    for (int i = 0; i < N_PARTS; i++) {
        if (file_join(path, sizeof path, o->out, parts[i], err) != 0) return -1;
        if (file_exists(path)) found = parts[i];
    }
    if (!found) return 0;
    if (!o->overwrite)
        return strcmp(found, "run.db") == 0
                   ? err_set(err, EX_CANTCREAT,
                             "%s: there is a run in this folder; choose another --out, or "
                             "replace it with --overwrite",
                             o->out)
                   : err_set(err, EX_CANTCREAT,
                             "%s: there is already %s in this folder; choose another --out, or "
                             "replace what is there with --overwrite",
                             o->out, found);
    if (strcmp(found, "run.db") == 0) {
        struct db *old; /* only a run of ours is removed */
        if (db_open_readonly(&old, path, err) != 0) return -1;
        db_close(old);
    }
    size_t n = realpath(o->out, real_out) ? strlen(real_out) : 0;
    if (r->x.model.path[0] && n > 0 && realpath(r->x.model.path, real_model) &&
        strncmp(real_model, real_out, n) == 0 && (real_model[n] == '/' || real_model[n] == 0))
        return err_set(err, EX_CONFIG,
                       "--overwrite: would remove %s, the policy that model.path starts from",
                       r->x.model.path);
    return remove_run(o->out, err);
}

static int write_files(struct run *r, const char *db, const char *json, struct err *err) {
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

/* The folder must hold no run, unless that may be replaced. What fails after that leaves
 * nothing of this run behind. */
static int make_folder(struct run *r, const struct run_options *o, struct err *err) {
    char db[PATH_MAX], json[PATH_MAX];
    bool fresh = !file_exists(o->out);
    struct err ignored;
    if (file_join(db, sizeof db, o->out, "run.db", err) != 0 ||
        file_join(json, sizeof json, o->out, "experiment.json", err) != 0)
        return -1;
    if (file_mkdirs(o->out, err) != 0) return -1;
    if (access(o->out, W_OK) != 0) return err_errno(err, EX_CANTCREAT, "write into %s", o->out);
    if (lock_folder(r, err) != 0 || clear_folder(r, o, err) != 0) return -1;
    if (write_files(r, db, json, err) == 0) return 0;
    db_close(r->db);
    r->db = NULL;
    if (remove_run(o->out, &ignored) == 0 && fresh) rmdir(o->out);
    return -1;
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
    model_init(&ref->m, &ref->w, r->e.k, r->e.m.max_pos, false);
    ref->update = update_new(&ref->m, update_max_tokens(r->update), r->e.n_threads);
}

void run_begin_stage(struct run *r, int i) {
    optimizer_reset(&r->opt);
    run_set_reference(r, i, r->e.w.data);
    r->stage = i;
}

/* ---- opening and closing ----------------------------------------------------------- */

/* The policy that a recorded run starts from: as it was kept in the run's folder, or made as
 * the run made it. */
static int make_recorded_policy(struct run *r, uint64_t hash, struct err *err) {
    char start[PATH_MAX];
    if (checkpoint_path(start, sizeof start, r->dir, 0, err) != 0) return -1;
    if (file_exists(start)) {
        if (engine_load(&r->e, start, true, err) != 0) return -1;
    } else {
        if (!r->x.model.path[0] && open_problems(r, err) != 0) return -1;
        if (make_policy(r, err) != 0) return -1;
    }
    r->hash = weights_hash(&r->e.w);
    if (r->hash == hash) return 0;
    return err_set(err, EX_DATAERR,
                   "%s: the run started from weights %016llx, %s gives %016llx", r->dir,
                   (unsigned long long)hash,
                   file_exists(start)     ? start
                   : r->x.model.path[0] ? r->x.model.path
                                          : "its experiment",
                   (unsigned long long)r->hash);
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
    for (int i = 0; i < r->x.n_stop; i++) r->stop[i] = r->x.stop[i];
    if (make_recorded_policy(r, row.start_weights, err) != 0) return -1;
    return make_update(r, err);
}

int run_open(struct run *r, const struct run_options *o, struct err *err) {
    *r = (struct run){.stage = -1};
    if (strlen(o->out) >= sizeof r->dir)
        return err_set(err, EX_USAGE, "--out: the path is too long");
    snprintf(r->dir, sizeof r->dir, "%s", o->out);
    if (experiment_load(&r->x, o->experiment, o->set, o->n_set, err) != 0) return -1;
    if (engine_init(&r->e, o->isa, o->n_threads, err) != 0) return -1;
    if (open_problems(r, err) != 0 || run_open_scorers(r, err) != 0)
        return err_prefix(err, "%s", o->experiment);
    if (make_policy(r, err) != 0 || make_rollout(r, err) != 0 ||
        make_update(r, err) != 0)
        return err_prefix(err, "%s", o->experiment);
    r->hash = weights_hash(&r->e.w);
    return make_folder(r, o, err);
}

void run_close(struct run *r) {
    db_close(r->db);
    for (int i = 0; i < r->x.n_stages; i++) problem_set_close(r->train[i]);
    problem_set_close(r->eval);
    for (int i = 0; i < r->x.n_rewards; i++) scorer_close(r->scorer[i]);
    rollout_free(r->rollout);
    clear_reference(&r->ref);
    update_free(r->update);
    optimizer_clear(&r->opt);
    arena_clear(&r->arena);
    mem_free(r->order.index);
    if (r->lock > 0) close(r->lock);
    engine_clear(&r->e);
}
