/* db/reader.c: rows back into structs, in the order of the log.
 *
 * The file may come from elsewhere: sizes of blobs are checked again here, whatever the
 * schema in the file promises.
 */
#include "db/db.h"
#include "db/stmt.h"

#include <string.h>

/* An array in the arena that doubles; the old halves stay there until it is reset. */
static void *grow(struct arena *a, void *rows, int n, size_t size) {
    if (n & (n - 1)) return rows; /* full at 0, 1, 2, 4, 8 ... */
    void *bigger = arena_new(a, n ? 2 * (size_t)n : 1, size);
    if (n) memcpy(bigger, rows, (size_t)n * size);
    return bigger;
}

typedef int (*read_fn)(struct stmt *q, struct arena *a, void *row, struct err *err);

static int read_rows(struct stmt *q, struct arena *a, read_fn read, size_t size,
                     void **rows, int *n, struct err *err) {
    *rows = NULL;
    *n = 0;
    int more;
    while ((more = stmt_next(q, err)) == 1) {
        *rows = grow(a, *rows, *n, size);
        if (read(q, a, (char *)*rows + (size_t)*n * size, err) != 0) {
            stmt_end(q);
            return -1;
        }
        ++*n;
    }
    return more;
}

/* Reads the one row there should be. */
static int read_one(struct stmt *q, struct arena *a, read_fn read, void *row,
                    const char *what, int64_t id, struct err *err) {
    int more = stmt_next(q, err);
    if (more < 0) return -1;
    if (more == 0)
        return err_set(err, EX_DATAERR, "%s has no %s %lld", q->db->path, what,
                       (long long)id);
    int rc = read(q, a, row, err);
    stmt_end(q);
    return rc;
}

static int damaged(struct stmt *q, const char *what, int64_t id, struct err *err) {
    return err_set(err, EX_DATAERR, "%s: %s %lld is damaged: blobs of the wrong size",
                   q->db->path, what, (long long)id);
}

static int read_run(struct stmt *q, struct arena *a, void *out, struct err *err) {
    (void)err;
    struct db_run *row = out;
    row->name = stmt_text(q, a);
    row->created_at = stmt_text(q, a);
    row->version = stmt_text(q, a);
    row->build = stmt_text(q, a);
    row->isa = stmt_text(q, a);
    row->threads = (int)stmt_int(q);
    row->seed = (uint64_t)stmt_int(q);
    row->start_weights = stmt_hash(q);
    row->experiment = stmt_text(q, a);
    return 0;
}

int db_read_run(struct db *db, struct arena *a, struct db_run *row, struct err *err) {
    static const char sql[] =
        "SELECT name, created_at, version, build, isa, threads, seed, start_weights,"
        " experiment FROM runs WHERE id = 1";
    struct stmt q;
    stmt_begin(&q, db, "read the run", sql);
    return read_one(&q, a, read_run, row, "run", 1, err);
}

int db_has_run(struct db *db, bool *has, struct err *err) {
    static const char sql[] = "SELECT 1 FROM runs";
    struct stmt q;
    stmt_begin(&q, db, "look for the run", sql);
    int more = stmt_next(&q, err);
    *has = more == 1;
    stmt_end(&q);
    return more < 0 ? -1 : 0;
}

int db_read_found(struct db *db, int step, int *found, struct err *err) {
    static const char sql[] = "SELECT found FROM step_queries WHERE step = ?";
    struct stmt q;
    stmt_begin(&q, db, "read a step's query", sql);
    stmt_bind_int(&q, step);
    int more = stmt_next(&q, err);
    *found = more == 1 ? (int)stmt_int(&q) : -1;
    stmt_end(&q);
    return more < 0 ? -1 : 0;
}

static int read_token(struct stmt *q, struct arena *a, void *out, struct err *err) {
    (void)err;
    struct db_token *row = out;
    row->text = stmt_text_n(q, a, &row->n_text);
    return 0;
}

int db_read_tokens(struct db *db, struct arena *a, struct db_token **rows, int *n,
                   struct err *err) {
    static const char sql[] = "SELECT text FROM vocabulary ORDER BY token";
    struct stmt q;
    stmt_begin(&q, db, "read the vocabulary", sql);
    return read_rows(&q, a, read_token, sizeof **rows, (void **)rows, n, err);
}

static int read_stage(struct stmt *q, struct arena *a, void *out, struct err *err) {
    (void)err;
    struct db_stage *row = out;
    row->stage = (int)stmt_int(q);
    row->name = stmt_text(q, a);
    row->type = stmt_text(q, a);
    row->max_steps = (int)stmt_int(q);
    row->started_at = stmt_text(q, a);
    row->finished_at = stmt_text(q, a);
    return 0;
}

int db_read_stages(struct db *db, struct arena *a, struct db_stage **rows, int *n,
                   struct err *err) {
    static const char sql[] =
        "SELECT stage, name, type, max_steps, started_at, finished_at FROM stages"
        " ORDER BY stage";
    struct stmt q;
    stmt_begin(&q, db, "read the stages", sql);
    return read_rows(&q, a, read_stage, sizeof **rows, (void **)rows, n, err);
}

static int read_step(struct stmt *q, struct arena *a, void *out, struct err *err) {
    (void)err;
    struct db_step *row = out;
    row->step = (int)stmt_int(q);
    row->stage = (int)stmt_int(q);
    row->stage_step = (int)stmt_int(q);
    row->state = stmt_text(q, a);
    row->weights_before = stmt_hash(q);
    row->weights_after = stmt_hash(q);
    row->learning_rate = stmt_real(q);
    row->wall_s = stmt_real(q);
    row->refusal = stmt_text(q, a);
    row->committed_at = stmt_text(q, a);
    row->finished_at = stmt_text(q, a);
    return 0;
}

#define STEP                                                                             \
    "SELECT step, stage, stage_step, state, weights_before, weights_after,"              \
    " learning_rate, wall_s, refusal, committed_at, finished_at FROM steps "

int db_read_step(struct db *db, int step, struct arena *a, struct db_step *row,
                 struct err *err) {
    static const char sql[] = STEP "WHERE step = ?";
    struct stmt q;
    stmt_begin(&q, db, "read a step", sql);
    stmt_bind_int(&q, step);
    return read_one(&q, a, read_step, row, "step", step, err);
}

int db_read_newest(struct db *db, struct arena *a, struct db_step *row, struct err *err) {
    static const char sql[] = STEP "WHERE state <> 'sampled' ORDER BY step DESC LIMIT 1";
    struct stmt q;
    *row = (struct db_step){0};
    stmt_begin(&q, db, "read the newest step", sql);
    int more = stmt_next(&q, err);
    int rc = more == 1 ? read_step(&q, a, row, err) : more;
    stmt_end(&q);
    return rc;
}

int db_read_steps(struct db *db, int after, struct arena *a, struct db_step **rows,
                  int *n, struct err *err) {
    static const char sql[] = STEP "WHERE step > ? ORDER BY step";
    struct stmt q;
    stmt_begin(&q, db, "read the steps", sql);
    stmt_bind_int(&q, after);
    return read_rows(&q, a, read_step, sizeof **rows, (void **)rows, n, err);
}

static int read_metric(struct stmt *q, struct arena *a, void *out, struct err *err) {
    (void)err;
    struct db_metric *row = out;
    row->name = stmt_text(q, a);
    row->value = stmt_real(q);
    return 0;
}

int db_read_metrics(struct db *db, int step, struct arena *a, struct db_metric **rows,
                    int *n, struct err *err) {
    static const char sql[] =
        "SELECT name, value FROM metrics WHERE step = ? ORDER BY name";
    struct stmt q;
    stmt_begin(&q, db, "read the metrics", sql);
    stmt_bind_int(&q, step);
    return read_rows(&q, a, read_metric, sizeof **rows, (void **)rows, n, err);
}

static int read_problem(struct stmt *q, struct arena *a, void *out, struct err *err) {
    (void)err;
    struct db_problem *row = out;
    row->id = stmt_int(q);
    row->kind = stmt_text(q, a);
    row->key = stmt_text(q, a);
    row->split = stmt_text(q, a);
    row->prompt = stmt_text(q, a);
    row->gold = stmt_text(q, a);
    row->columns = stmt_text(q, a);
    return 0;
}

int db_read_problem(struct db *db, int64_t id, struct arena *a, struct db_problem *row,
                    struct err *err) {
    static const char sql[] =
        "SELECT id, kind, key, split, prompt, gold, columns FROM problems WHERE id = ?";
    struct stmt q;
    stmt_begin(&q, db, "read a problem", sql);
    stmt_bind_int(&q, id);
    return read_one(&q, a, read_problem, row, "problem", id, err);
}

static int read_trace(struct stmt *q, struct arena *a, void *out, struct err *err) {
    struct db_trace *row = out;
    size_t n;
    row->step = (int)stmt_int(q);
    row->idx = (int)stmt_int(q);
    row->problem_id = stmt_int(q);
    row->n_prompt = (int)stmt_int(q);
    row->ids = stmt_blob(q, a, &n);
    row->n_ids = (int)(n / 4);
    if (n % 4 || row->n_prompt < 0 || row->n_prompt > row->n_ids)
        return damaged(q, "a trace of step", row->step, err);
    return 0;
}

int db_read_traces(struct db *db, int step, struct arena *a, struct db_trace **rows,
                   int *n, struct err *err) {
    static const char sql[] =
        "SELECT step, idx, problem_id, n_prompt, ids FROM traces WHERE step = ?"
        " ORDER BY idx";
    struct stmt q;
    stmt_begin(&q, db, "read the traces", sql);
    stmt_bind_int(&q, step);
    return read_rows(&q, a, read_trace, sizeof **rows, (void **)rows, n, err);
}

static int read_group(struct stmt *q, struct arena *a, void *out, struct err *err) {
    (void)a, (void)err;
    struct db_group *row = out;
    row->id = stmt_int(q);
    row->step = (int)stmt_int(q);
    row->prompt_no = (int)stmt_int(q);
    row->problem_id = stmt_int(q);
    row->n = (int)stmt_int(q);
    return 0;
}

int db_read_group(struct db *db, int64_t id, struct arena *a, struct db_group *row,
                  struct err *err) {
    static const char sql[] =
        "SELECT id, step, prompt_no, problem_id, n FROM groups WHERE id = ?";
    struct stmt q;
    stmt_begin(&q, db, "read a group", sql);
    stmt_bind_int(&q, id);
    return read_one(&q, a, read_group, row, "group", id, err);
}

int db_read_groups(struct db *db, int step, struct arena *a, struct db_group **rows,
                   int *n, struct err *err) {
    static const char sql[] =
        "SELECT id, step, prompt_no, problem_id, n FROM groups WHERE step = ?"
        " ORDER BY prompt_no";
    struct stmt q;
    stmt_begin(&q, db, "read the groups", sql);
    stmt_bind_int(&q, step);
    return read_rows(&q, a, read_group, sizeof **rows, (void **)rows, n, err);
}

/* A mask that is not stored. */
static const void *ones(struct stmt *q, struct arena *a, int n, size_t *n_mask) {
    q->col++;
    *n_mask = n > 0 ? (size_t)n : 0;
    uint8_t *mask = arena_new(a, *n_mask + 1, 1);
    memset(mask, 1, *n_mask);
    return mask;
}

static int read_episode(struct stmt *q, struct arena *a, void *out, struct err *err) {
    struct db_episode *row = out;
    size_t n_ids, n_logps, n_mask;
    row->id = stmt_int(q);
    row->group_id = stmt_int(q);
    row->sample = (int)stmt_int(q);
    row->n_prompt = (int)stmt_int(q);
    row->n_completion = (int)stmt_int(q);
    row->finish_reason = stmt_text(q, a);
    row->reward = stmt_real(q);
    row->advantage = stmt_real(q);
    row->key_seed = (uint64_t)stmt_int(q);
    row->key_purpose = (uint32_t)stmt_int(q);
    row->key_step = (uint32_t)stmt_int(q);
    row->key_prompt = (uint32_t)stmt_int(q);
    row->key_sample = (uint32_t)stmt_int(q);
    row->weights_hash = stmt_hash(q);
    row->gen_ms = stmt_real(q);
    row->score_ms = stmt_real(q);
    row->text = stmt_text_n(q, a, &row->n_text);
    row->ids = stmt_blob(q, a, &n_ids);
    row->logps = stmt_blob(q, a, &n_logps);
    row->mask = stmt_is_null(q) ? ones(q, a, row->n_completion, &n_mask)
                                : stmt_blob(q, a, &n_mask);
    if (row->n_prompt < 0 || row->n_completion < 0 ||
        n_ids != 4 * ((size_t)row->n_prompt + (size_t)row->n_completion) ||
        n_logps != 4 * (size_t)row->n_completion || n_mask != (size_t)row->n_completion)
        return damaged(q, "episode", row->id, err);
    return 0;
}

#define EPISODE                                                                          \
    "SELECT id, group_id, sample, n_prompt, n_completion, finish_reason, reward,"        \
    " advantage, key_seed, key_purpose, key_step, key_prompt, key_sample,"               \
    " weights_hash, gen_ms, score_ms, text, ids, logps, mask FROM episodes "

int db_read_episode(struct db *db, int64_t id, struct arena *a, struct db_episode *row,
                    struct err *err) {
    static const char sql[] = EPISODE "WHERE id = ?";
    struct stmt q;
    stmt_begin(&q, db, "read an episode", sql);
    stmt_bind_int(&q, id);
    return read_one(&q, a, read_episode, row, "episode", id, err);
}

int db_read_episodes(struct db *db, int64_t group_id, struct arena *a,
                     struct db_episode **rows, int *n, struct err *err) {
    static const char sql[] = EPISODE "WHERE group_id = ? ORDER BY sample";
    struct stmt q;
    stmt_begin(&q, db, "read the episodes", sql);
    stmt_bind_int(&q, group_id);
    return read_rows(&q, a, read_episode, sizeof **rows, (void **)rows, n, err);
}

static int read_place(struct stmt *q, struct arena *a, void *out, struct err *err) {
    (void)a, (void)err;
    struct db_place *row = out;
    row->id = stmt_int(q);
    row->step = (int)stmt_int(q);
    return 0;
}

#define DRAWN_HERE "NOT EXISTS (SELECT 1 FROM episode_sources x WHERE x.episode_id = e.id)"
int db_read_places(struct db *db, int step, struct arena *a, struct db_place **rows, int *n,
                   struct err *err) {
    static const char all[] = "SELECT e.id, g.step FROM groups g JOIN episodes e"
                              " ON e.group_id = g.id WHERE " DRAWN_HERE " ORDER BY e.id";
    static const char one[] = "SELECT e.id, g.step FROM groups g JOIN episodes e"
                              " ON e.group_id = g.id WHERE g.step = ? AND " DRAWN_HERE
                              " ORDER BY e.id";
    struct stmt q;
    stmt_begin(&q, db, "look for episodes", step ? one : all);
    if (step) stmt_bind_int(&q, step);
    return read_rows(&q, a, read_place, sizeof **rows, (void **)rows, n, err);
}

static int read_verdict(struct stmt *q, struct arena *a, void *out, struct err *err) {
    (void)err;
    struct db_verdict *row = out;
    row->episode_id = stmt_int(q);
    row->checker = stmt_text(q, a);
    row->version = stmt_text(q, a);
    row->weight = stmt_real(q);
    row->status = stmt_text(q, a);
    row->score = stmt_real(q);
    row->ms = stmt_real(q);
    row->deterministic = stmt_int(q) != 0;
    row->parts = stmt_text(q, a);
    row->detail = stmt_text(q, a);
    return 0;
}

int db_read_verdicts(struct db *db, int64_t episode_id, struct arena *a,
                     struct db_verdict **rows, int *n, struct err *err) {
    static const char sql[] =
        "SELECT episode_id, checker, version, weight, status, score, ms,"
        " deterministic, parts, detail FROM verdicts WHERE episode_id = ? ORDER BY checker";
    struct stmt q;
    stmt_begin(&q, db, "read the verdicts", sql);
    stmt_bind_int(&q, episode_id);
    return read_rows(&q, a, read_verdict, sizeof **rows, (void **)rows, n, err);
}

static int read_eval(struct stmt *q, struct arena *a, void *out, struct err *err) {
    (void)err;
    struct db_eval *row = out;
    row->id = stmt_int(q);
    row->step = (int)stmt_int(q);
    row->spec = stmt_text(q, a);
    row->mode = stmt_text(q, a);
    row->k = (int)stmt_int(q);
    row->temperature = stmt_real(q);
    row->n = (int)stmt_int(q);
    row->pass1 = stmt_real(q);
    row->ci95 = stmt_real(q);
    row->pass_at_k = stmt_real(q);
    row->avg_at_k = stmt_real(q);
    row->mean_length = stmt_real(q);
    row->wall_s = stmt_real(q);
    row->weights_hash = stmt_hash(q);
    row->created_at = stmt_text(q, a);
    return 0;
}

int db_read_evals(struct db *db, struct arena *a, struct db_eval **rows, int *n,
                  struct err *err) {
    static const char sql[] =
        "SELECT id, step, spec, mode, k, temperature, n, pass1, ci95, pass_at_k,"
        " avg_at_k, mean_length, wall_s, weights_hash, created_at FROM eval_runs"
        " ORDER BY step, id";
    struct stmt q;
    stmt_begin(&q, db, "read the evaluations", sql);
    return read_rows(&q, a, read_eval, sizeof **rows, (void **)rows, n, err);
}

static int read_eval_episode(struct stmt *q, struct arena *a, void *out,
                             struct err *err) {
    (void)err;
    struct db_eval_episode *row = out;
    row->eval_id = stmt_int(q);
    row->idx = (int)stmt_int(q);
    row->sample = (int)stmt_int(q);
    row->problem_id = stmt_int(q);
    row->n_completion = (int)stmt_int(q);
    row->finish_reason = stmt_text(q, a);
    row->status = stmt_text(q, a);
    row->score = stmt_real(q);
    row->text = stmt_text_n(q, a, &row->n_text);
    return 0;
}

int db_read_eval_episodes(struct db *db, int64_t eval_id, struct arena *a,
                          struct db_eval_episode **rows, int *n, struct err *err) {
    static const char sql[] =
        "SELECT eval_id, idx, sample, problem_id, n_completion, finish_reason, status,"
        " score, text FROM eval_episodes WHERE eval_id = ? ORDER BY idx, sample";
    struct stmt q;
    stmt_begin(&q, db, "read an evaluation", sql);
    stmt_bind_int(&q, eval_id);
    return read_rows(&q, a, read_eval_episode, sizeof **rows, (void **)rows, n, err);
}

static int read_curve(struct stmt *q, struct arena *a, void *out, struct err *err) {
    (void)err;
    struct db_curve *row = out;
    row->step = (int)stmt_int(q);
    row->stage = (int)stmt_int(q);
    row->stage_name = stmt_text(q, a);
    row->type = stmt_text(q, a);
    row->stage_step = (int)stmt_int(q);
    row->state = stmt_text(q, a);
    row->episodes = stmt_int(q);
    double *const real[] = {&row->reward,        &row->accuracy, &row->mean_length,
                            &row->truncated,     &row->zero_std, &row->kl,
                            &row->entropy,       &row->loss,     &row->grad_norm,
                            &row->learning_rate, &row->wall_s};
    for (size_t i = 0; i < sizeof real / sizeof *real; i++) *real[i] = stmt_real(q);
    return 0;
}

int db_read_curve(struct db *db, struct arena *a, struct db_curve **rows, int *n,
                  struct err *err) {
    static const char sql[] =
        "SELECT step, stage, stage_name, type, stage_step, state, episodes, reward,"
        " accuracy, mean_length, truncated, zero_std, kl, entropy, loss, grad_norm,"
        " learning_rate, wall_s FROM v_accuracy_by_step ORDER BY step";
    struct stmt q;
    stmt_begin(&q, db, "read the curve", sql);
    return read_rows(&q, a, read_curve, sizeof **rows, (void **)rows, n, err);
}

static int read_failed(struct stmt *q, struct arena *a, void *out, struct err *err) {
    (void)err;
    struct db_failed *row = out;
    row->step = (int)stmt_int(q);
    row->checker = stmt_text(q, a);
    row->n = (int)stmt_int(q);
    row->failed = (int)stmt_int(q);
    return 0;
}

int db_read_failed(struct db *db, int after, struct arena *a, struct db_failed **rows, int *n,
                   struct err *err) {
    static const char sql[] =
        "SELECT g.step, c.checker, sum(c.verdicts), sum(c.failures)"
        " FROM steps s JOIN groups g ON g.step = s.step"
        " JOIN group_checkers c ON c.group_id = g.id"
        " WHERE s.step > ? AND s.state <> 'sampled'"
        " GROUP BY g.step, c.checker ORDER BY g.step, c.checker";
    struct stmt q;
    stmt_begin(&q, db, "read the failed verdicts", sql);
    stmt_bind_int(&q, after);
    return read_rows(&q, a, read_failed, sizeof **rows, (void **)rows, n, err);
}

static int read_failure(struct stmt *q, struct arena *a, void *out, struct err *err) {
    (void)err;
    struct db_failure *row = out;
    row->checker = stmt_text(q, a);
    row->version = stmt_text(q, a);
    row->status = stmt_text(q, a);
    row->n = stmt_int(q);
    row->rate = stmt_real(q);
    row->first_step = (int)stmt_int(q);
    row->last_step = (int)stmt_int(q);
    row->an_episode = stmt_int(q);
    return 0;
}

int db_read_failures(struct db *db, struct arena *a, struct db_failure **rows, int *n,
                     struct err *err) {
    static const char sql[] =
        "SELECT checker, version, status, n, rate, first_step, last_step, an_episode"
        " FROM v_failures";
    struct stmt q;
    stmt_begin(&q, db, "read the failures", sql);
    return read_rows(&q, a, read_failure, sizeof **rows, (void **)rows, n, err);
}
