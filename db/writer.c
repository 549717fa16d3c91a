/* db/writer.c: one INSERT a table, in the column order of schema.sql; groups are in groups.c. */
#include "db/bulk.h"
#include "db/db.h"
#include "db/later.h"
#include "db/problem_ids.h"
#include "db/stmt.h"
#include "db/sums.h"

#include <math.h>
#include <string.h>

/* Blobs are written as they lie in memory. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blobs are little endian");

static int insert(struct stmt *q, int64_t *id, struct err *err) {
    if (stmt_run(q, err) != 0) return -1;
    if (id) *id = sqlite3_last_insert_rowid(q->db->sq);
    return 0;
}

int db_write_run(struct db *db, const struct db_run *row, struct err *err) {
    static const char sql[] =
        "INSERT INTO runs (id, name, version, build, isa, threads, seed, start_weights,"
        " experiment) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)";
    struct stmt q;
    stmt_begin(&q, db, "record the run", sql);
    stmt_bind_text(&q, row->name);
    stmt_bind_text(&q, row->version);
    stmt_bind_text(&q, row->build);
    stmt_bind_text(&q, row->isa);
    stmt_bind_int(&q, row->threads);
    stmt_bind_int(&q, (int64_t)row->seed);
    stmt_bind_hash(&q, row->start_weights);
    stmt_bind_text(&q, row->experiment);
    return stmt_run(&q, err);
}

int db_write_token(struct db *db, int token, const char *text, size_t n, struct err *err) {
    static const char sql[] = "INSERT INTO vocabulary (token, text) VALUES (?, ?)";
    struct stmt q;
    stmt_begin(&q, db, "record a token", sql);
    stmt_bind_int(&q, token);
    stmt_bind_text_n(&q, text, n);
    return stmt_run(&q, err);
}

int db_write_stage(struct db *db, const struct db_stage *row, struct err *err) {
    static const char sql[] =
        "INSERT INTO stages (stage, name, type, max_steps) VALUES (?, ?, ?, ?)";
    struct stmt q;
    stmt_begin(&q, db, "record a stage", sql);
    stmt_bind_int(&q, row->stage);
    stmt_bind_text(&q, row->name);
    stmt_bind_text(&q, row->type);
    stmt_bind_int(&q, row->max_steps);
    return stmt_run(&q, err);
}

int db_finish_stage(struct db *db, int stage, struct err *err) {
    static const char sql[] =
        "UPDATE stages SET finished_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
        " WHERE stage = ? AND finished_at IS NULL";
    struct stmt q;
    stmt_begin(&q, db, "finish a stage", sql);
    stmt_bind_int(&q, stage);
    if (stmt_run(&q, err) != 0) return -1;
    if (sqlite3_changes(db->sq) == 1) return 0;
    return err_set(err, EX_DATAERR, "%s: stage %d is not running", db->path, stage);
}

static int change_stage(struct db *db, int stage, int max_steps, struct err *err) {
    static const char sql[] =
        "UPDATE stages SET max_steps = ?1,"
        " finished_at = CASE WHEN ?1 > max_steps THEN NULL ELSE finished_at END"
        " WHERE stage = ?2";
    struct stmt q;
    stmt_begin(&q, db, "change a stage", sql);
    stmt_bind_int(&q, max_steps);
    stmt_bind_int(&q, stage);
    return stmt_run(&q, err);
}

int db_change_experiment(struct db *db, const char *experiment, const int *max_steps, int n,
                         struct err *err) {
    static const char sql[] = "UPDATE runs SET experiment = ? WHERE id = 1";
    struct stmt q;
    if (db_begin(db, err) != 0) return -1;
    stmt_begin(&q, db, "change the experiment", sql);
    stmt_bind_text(&q, experiment);
    int rc = stmt_run(&q, err);
    for (int i = 0; i < n && rc == 0; i++) rc = change_stage(db, i + 1, max_steps[i], err);
    if (rc == 0) return db_commit(db, err);
    db_rollback(db);
    return -1;
}

static void bind_problem(struct stmt *q, const struct db_problem *row) {
    stmt_bind_text(q, row->kind);
    stmt_bind_text(q, row->key);
    stmt_bind_text(q, row->split);
    stmt_bind_text(q, row->prompt);
    stmt_bind_text(q, row->gold);
    stmt_bind_text(q, row->columns ? row->columns : "{}");
}

int db_write_problem(struct db *db, const struct db_problem *row, int64_t *id,
                     struct err *err) {
    static const char add[] =
        "INSERT INTO problems (kind, key, split, prompt, gold, columns)"
        " VALUES (?, ?, ?, ?, ?, ?)";
    struct problem_hash hash = problem_ids_hash(row);
    struct stmt q;
    int64_t found;
    later_hold(db);
    if (problem_ids_find(db, hash, &found, err) != 0) return -1;
    if (found == 0) {
        stmt_begin(&q, db, "record a problem", add);
        bind_problem(&q, row);
        if (insert(&q, &found, err) != 0) return -1;
        problem_ids_add(db, hash, found);
    }
    if (id) *id = found;
    return 0;
}

int db_write_step(struct db *db, const struct db_step *row, struct err *err) {
    static const char sql[] =
        "INSERT INTO steps (step, stage, stage_step, weights_before, learning_rate)"
        " VALUES (?, ?, ?, ?, ?)";
    struct stmt q;
    stmt_begin(&q, db, "record a step", sql);
    stmt_bind_int(&q, row->step);
    stmt_bind_int(&q, row->stage);
    stmt_bind_int(&q, row->stage_step);
    stmt_bind_hash(&q, row->weights_before);
    stmt_bind_real(&q, row->learning_rate);
    return stmt_run(&q, err);
}

static void trace_column(sqlite3_context *out, const void *rows, int i, int col) {
    const struct db_trace *t = (const struct db_trace *)rows + i;
    switch (col) {
    case 0: sqlite3_result_int(out, t->step); break;
    case 1: sqlite3_result_int(out, t->idx); break;
    case 2: sqlite3_result_int64(out, t->problem_id); break;
    case 3: sqlite3_result_int(out, t->n_prompt); break;
    case 4: bulk_blob(out, t->ids, sizeof *t->ids * (size_t)t->n_ids); break;
    }
}

int db_write_traces(struct db *db, const struct db_trace *row, int n, struct err *err) {
    static const char sql[] = "INSERT INTO traces (step, idx, problem_id, n_prompt, ids)"
                              " SELECT c0, c1, c2, c3, c4 FROM bulk(?)";
    const struct bulk rows = {n, row, trace_column};
    return bulk_run(db, "record a trace", sql, &rows, err);
}

int db_write_source(struct db *db, int64_t episode_id, int64_t source_id, struct err *err) {
    static const char sql[] = "INSERT INTO episode_sources (episode_id, source_id) VALUES (?, ?)";
    struct stmt q;
    stmt_begin(&q, db, "record where an episode is from", sql);
    stmt_bind_int(&q, episode_id);
    stmt_bind_int(&q, source_id);
    return stmt_run(&q, err);
}

int db_write_query(struct db *db, int step, const char *query, int found, struct err *err) {
    static const char sql[] = "INSERT INTO step_queries (step, query, found) VALUES (?, ?, ?)";
    struct stmt q;
    stmt_begin(&q, db, "record a step's query", sql);
    stmt_bind_int(&q, step);
    stmt_bind_text(&q, query);
    stmt_bind_int(&q, found);
    return stmt_run(&q, err);
}

int db_set_advantage(struct db *db, int64_t episode_id, double advantage, struct err *err) {
    static const char sql[] = "UPDATE episodes SET advantage = ? WHERE id = ?";
    struct stmt q;
    stmt_begin(&q, db, "record an advantage", sql);
    stmt_bind_real(&q, advantage);
    stmt_bind_int(&q, episode_id);
    return stmt_run(&q, err);
}

struct step_metrics {
    int step;
    const struct db_metric *metric;
};

static void metric_column(sqlite3_context *out, const void *rows, int i, int col) {
    const struct step_metrics *m = rows;
    switch (col) {
    case 0: sqlite3_result_int(out, m->step); break;
    case 1: bulk_text(out, m->metric[i].name); break;
    case 2: sqlite3_result_double(out, m->metric[i].value); break; /* NAN: NULL */
    }
}

static int write_metrics(struct db *db, int step, const struct db_metric *m, int n,
                         struct err *err) {
    static const char sql[] = "INSERT INTO metrics (step, name, value)"
                              " SELECT c0, c1, c2 FROM bulk(?)";
    const struct step_metrics of = {step, m};
    const struct bulk rows = {n, &of, metric_column};
    return bulk_run(db, "record a metric", sql, &rows, err);
}

static void bind_blob_or_null(struct stmt *q, const void *p, size_t n) {
    if (p)
        stmt_bind_blob(q, p, n);
    else
        stmt_bind_null(q);
}

static int write_detail(struct db *db, const struct db_detail *d, struct err *err) {
    static const char sql[] = "INSERT INTO episode_details (episode_id, entropies, experts)"
                              " VALUES (?, ?, ?)";
    struct stmt q;
    stmt_begin(&q, db, "record an episode's details", sql);
    stmt_bind_int(&q, d->episode_id);
    bind_blob_or_null(&q, d->entropies, d->n_entropies * sizeof *d->entropies);
    bind_blob_or_null(&q, d->experts, d->n_experts);
    return stmt_run(&q, err);
}

static int update_step(struct db *db, const struct db_step *row, struct err *err) {
    static const char sql[] =
        "UPDATE steps SET state = ?, weights_after = ?, wall_s = ?, refusal = ?,"
        " finished_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
        " WHERE step = ? AND state = 'sampled'";
    struct stmt q;
    stmt_begin(&q, db, "finish a step", sql);
    stmt_bind_text(&q, row->refusal ? "refused" : "done");
    stmt_bind_hash(&q, row->weights_after);
    stmt_bind_real(&q, row->wall_s);
    stmt_bind_text(&q, row->refusal);
    stmt_bind_int(&q, row->step);
    if (stmt_run(&q, err) != 0) return -1;
    if (sqlite3_changes(db->sq) == 1) return 0;
    return err_set(err, EX_DATAERR, "%s: step %d is not waiting for its result", db->path,
                   row->step);
}

static int finish_step(struct db *db, const struct db_step *row, const struct db_metric *metrics,
                       int n_metrics, const struct db_detail *details, int n_details,
                       struct err *err) {
    if (update_step(db, row, err) != 0) return -1;
    if (write_metrics(db, row->step, metrics, n_metrics, err) != 0) return -1;
    for (int i = 0; i < n_details; i++)
        if (write_detail(db, &details[i], err) != 0) return -1;
    return 0;
}

int db_finish_step(struct db *db, const struct db_step *row,
                   const struct db_metric *metrics, int n_metrics,
                   const struct db_detail *details, int n_details, struct err *err) {
    if (!sqlite3_get_autocommit(db->sq))
        return finish_step(db, row, metrics, n_metrics, details, n_details, err);
    if (db_begin(db, err) != 0) return -1;
    if (finish_step(db, row, metrics, n_metrics, details, n_details, err) == 0)
        return db_commit(db, err);
    db_rollback(db);
    return -1;
}

static int forget_eval(struct db *db, const struct db_eval *row, struct err *err) {
    static const char sql[] =
        "DELETE FROM eval_runs WHERE step = ? AND spec = ? AND mode = ? AND k = ?"
        " AND temperature = ?";
    struct stmt q;
    stmt_begin(&q, db, "replace an evaluation", sql);
    stmt_bind_int(&q, row->step);
    stmt_bind_text(&q, row->spec);
    stmt_bind_text(&q, row->mode);
    stmt_bind_int(&q, row->k);
    stmt_bind_real(&q, row->temperature);
    return stmt_run(&q, err);
}

int db_write_eval(struct db *db, const struct db_eval *row, int64_t *id,
                  struct err *err) {
    static const char sql[] =
        "INSERT INTO eval_runs (step, spec, mode, k, temperature, n, pass1, ci95,"
        " pass_at_k, avg_at_k, mean_length, wall_s, weights_hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    if (forget_eval(db, row, err) != 0) return -1;
    struct stmt q;
    stmt_begin(&q, db, "record an evaluation", sql);
    stmt_bind_int(&q, row->step);
    stmt_bind_text(&q, row->spec);
    stmt_bind_text(&q, row->mode);
    stmt_bind_int(&q, row->k);
    stmt_bind_real(&q, row->temperature);
    stmt_bind_int(&q, row->n);
    stmt_bind_real(&q, row->pass1);
    stmt_bind_real(&q, row->ci95);
    stmt_bind_real(&q, row->pass_at_k);
    stmt_bind_real(&q, row->avg_at_k);
    stmt_bind_real(&q, row->mean_length);
    stmt_bind_real(&q, row->wall_s);
    stmt_bind_hash(&q, row->weights_hash);
    return insert(&q, id, err);
}

int db_write_eval_episode(struct db *db, const struct db_eval_episode *row,
                          struct err *err) {
    static const char sql[] =
        "INSERT INTO eval_episodes (eval_id, idx, sample, problem_id, n_completion,"
        " finish_reason, status, score, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    struct stmt q;
    stmt_begin(&q, db, "record an evaluated completion", sql);
    stmt_bind_int(&q, row->eval_id);
    stmt_bind_int(&q, row->idx);
    stmt_bind_int(&q, row->sample);
    stmt_bind_int(&q, row->problem_id);
    stmt_bind_int(&q, row->n_completion);
    stmt_bind_text(&q, row->finish_reason);
    stmt_bind_text(&q, row->status);
    stmt_bind_real(&q, db_score_of(row->status, row->score));
    stmt_bind_text_n(&q, row->text, row->n_text);
    return stmt_run(&q, err);
}
