/* db/prune.c: what the rules of retention take out of a database. See maintain.h. */
#include <stdbool.h>

#include "db/maintain.h"
#include "db/stmt.h"

/* A step that waits for its result stays. */
#define PRUNED                                                                             \
    "SELECT s.step FROM steps s WHERE s.state <> 'sampled' AND ?1 > 0"                     \
    " AND s.step <= (SELECT max(step) FROM steps) - ?1 AND (?2 = 0 OR s.step % ?2 <> 0)"   \
    " AND NOT EXISTS (SELECT 1 FROM pruned_steps p WHERE p.step = s.step)"
#define PRUNED_EVALS                                                                       \
    "SELECT id FROM eval_runs WHERE ?1 > 0 AND id NOT IN (SELECT id FROM eval_runs"        \
    " ORDER BY step DESC, id DESC LIMIT ?1)"

int db_prune_count(struct db *db, const struct db_prune *rule, struct db_pruned *out,
                   struct err *err) {
    static const char steps[] =
        "WITH s AS MATERIALIZED (" PRUNED ") SELECT (SELECT count(*) FROM s),"
        " (SELECT count(*) FROM s JOIN groups g ON g.step = s.step JOIN episodes e"
        "  ON e.group_id = g.id), (SELECT count(*) FROM s JOIN traces t ON t.step = s.step),"
        " (SELECT coalesce(max(step), 0) FROM s)";
    static const char evals[] =
        "SELECT count(*) FROM eval_episodes WHERE eval_id IN (" PRUNED_EVALS ")";
    struct stmt q;
    *out = (struct db_pruned){0};
    stmt_begin(&q, db, "look for what is old", steps);
    stmt_bind_int(&q, rule->keep_steps);
    stmt_bind_int(&q, rule->keep_every);
    if (stmt_next(&q, err) != 1) return -1;
    out->steps = stmt_int(&q);
    out->episodes = stmt_int(&q);
    out->traces = stmt_int(&q);
    out->last_step = (int)stmt_int(&q);
    stmt_end(&q);
    stmt_begin(&q, db, "look for what is old", evals);
    stmt_bind_int(&q, rule->keep_evals);
    if (stmt_next(&q, err) != 1) return -1;
    out->eval_episodes = stmt_int(&q);
    stmt_end(&q);
    return 0;
}

static int run_rule(struct db *db, const char *sql, int a, int b, struct err *err) {
    struct stmt q;
    stmt_begin(&q, db, "prune", sql);
    if (a >= 0) stmt_bind_int(&q, a);
    if (b >= 0) stmt_bind_int(&q, b);
    return stmt_run(&q, err);
}

/* What refers to episodes goes before them. The list of steps is made once, since it depends
 * on what is deleted. */
int db_prune(struct db *db, const struct db_prune *rule, struct err *err) {
#define THEIR_EPISODES                                                                     \
    "IN (SELECT e.id FROM temp.old o JOIN groups g ON g.step = o.step"                     \
    " JOIN episodes e ON e.group_id = g.id)"
    static const char list[] = "INSERT INTO temp.old " PRUNED;
    static const char *const sql[] = {
        "INSERT INTO pruned_steps (step, removed) SELECT o.step,"
        " (SELECT count(*) FROM groups g JOIN episodes e ON e.group_id = g.id"
        "   WHERE g.step = o.step) + (SELECT count(*) FROM traces t WHERE t.step = o.step)"
        " FROM temp.old o",
        "DELETE FROM verdicts WHERE episode_id " THEIR_EPISODES,
        "DELETE FROM episode_details WHERE episode_id " THEIR_EPISODES,
        "DELETE FROM episode_sources WHERE episode_id " THEIR_EPISODES,
        "DELETE FROM episodes WHERE id " THEIR_EPISODES,
        "DELETE FROM traces WHERE step IN (SELECT step FROM temp.old)",
    };
    static const char evals[] = "DELETE FROM eval_episodes WHERE eval_id IN (" PRUNED_EVALS ")";
    if (db_begin(db, err) != 0) return -1;
    int rc = db_exec(db, "prune", "CREATE TEMP TABLE old (step INTEGER PRIMARY KEY)", err);
    if (rc == 0) rc = run_rule(db, list, rule->keep_steps, rule->keep_every, err);
    for (size_t i = 0; rc == 0 && i < sizeof sql / sizeof *sql; i++)
        rc = run_rule(db, sql[i], -1, -1, err);
    if (rc == 0) rc = run_rule(db, evals, rule->keep_evals, -1, err);
    if (rc == 0) rc = db_exec(db, "prune", "DROP TABLE temp.old", err);
    if (rc == 0) return db_commit(db, err);
    db_rollback(db);
    return -1;
}

int db_is_pruned(struct db *db, int step, bool *pruned, struct err *err) {
    static const char sql[] = "SELECT 1 FROM pruned_steps WHERE step = ?";
    struct stmt q;
    stmt_begin(&q, db, "look for pruned steps", sql);
    stmt_bind_int(&q, step);
    int more = stmt_next(&q, err);
    *pruned = more == 1;
    stmt_end(&q);
    return more < 0 ? -1 : 0;
}

int db_vacuum(struct db *db, struct err *err) {
    if (db_exec(db, "vacuum", "VACUUM", err) != 0) return -1;
    return db_exec(db, "vacuum", "PRAGMA wal_checkpoint(TRUNCATE)", err);
}
