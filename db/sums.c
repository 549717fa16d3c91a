/* db/sums.c: see sums.h. */
#include "db/sums.h"

#define GROUP_SUMS                                                                       \
    "SELECT e.group_id, count(*), count(e.reward), total(e.reward), min(e.reward),"      \
    " max(e.reward), (SELECT sqrt(total((x.reward - y.mean) * (x.reward - y.mean))"      \
    "                             / (count(x.reward) - 1))"                              \
    "                   FROM episodes x, (SELECT avg(reward) AS mean FROM episodes"      \
    "                                      WHERE group_id = e.group_id) y"               \
    "                  WHERE x.group_id = e.group_id),"                                  \
    " sum(e.n_completion), sum(e.truncated) FROM episodes e "

/* A cross join: the few verdicts of each episode, not the other way round. */
#define GROUP_CHECKERS                                                                   \
    "SELECT e.group_id, v.checker, count(*), count(v.score), total(v.score),"            \
    " coalesce(sum(v.score = 1), 0), sum(v.status = 'unparsable'),"                      \
    " sum(v.status <> 'ok' AND v.status <> 'unparsable' AND v.status <> 'not_scorable'),"\
    " sum(v.status = 'not_scorable'), total(v.ms)"                                       \
    " FROM episodes e CROSS JOIN verdicts v ON v.episode_id = e.id "

static int write_sums(struct db *db, int64_t group, struct err *err) {
    static const char sums[] =
        "INSERT OR REPLACE INTO group_sums " GROUP_SUMS "WHERE e.group_id = ?"
        " GROUP BY e.group_id";
    static const char checkers[] =
        "INSERT OR REPLACE INTO group_checkers " GROUP_CHECKERS
        "WHERE e.group_id = ? GROUP BY v.checker";
    struct stmt q;
    stmt_begin(&q, db, "record a group's sums", sums);
    stmt_bind_int(&q, group);
    if (stmt_run(&q, err) != 0) return -1;
    stmt_begin(&q, db, "record a group's sums", checkers);
    stmt_bind_int(&q, group);
    return stmt_run(&q, err);
}

int sums_open_group(struct db *db, int64_t group, struct err *err) {
    int64_t last = db->group;
    if (last == group) return 0;
    db->group = group;
    return last ? write_sums(db, last, err) : 0;
}

int sums_rebuild(struct db *db, struct err *err) {
    static const char *const sql[] = {
        "DELETE FROM group_sums",
        "DELETE FROM group_checkers",
        "INSERT INTO group_sums " GROUP_SUMS "GROUP BY e.group_id",
        "INSERT INTO group_checkers " GROUP_CHECKERS "GROUP BY e.group_id, v.checker",
    };
    for (int i = 0; i < 4; i++) {
        struct stmt q;
        stmt_begin(&q, db, "add up the groups", sql[i]);
        if (stmt_run(&q, err) != 0) return -1;
    }
    return 0;
}

/* Rows of either that the other lacks; EXCEPT takes equal NULLs as equal. Pruned steps have
 * nothing to add up. */
int sums_count_wrong(struct db *db, int64_t *n, struct err *err) {
#define KEPT "IN (SELECT g.id FROM groups g WHERE g.step NOT IN (SELECT step FROM pruned_steps))"
    static const char sql[] =
        "WITH s AS (" GROUP_SUMS "GROUP BY e.group_id),"
        " c AS (" GROUP_CHECKERS "GROUP BY e.group_id, v.checker),"
        " t AS (SELECT * FROM group_sums WHERE group_id " KEPT "),"
        " d AS (SELECT * FROM group_checkers WHERE group_id " KEPT ")"
        " SELECT (SELECT count(*) FROM (SELECT * FROM s EXCEPT SELECT * FROM t))"
        " + (SELECT count(*) FROM (SELECT * FROM t EXCEPT SELECT * FROM s))"
        " + (SELECT count(*) FROM (SELECT * FROM c EXCEPT SELECT * FROM d))"
        " + (SELECT count(*) FROM (SELECT * FROM d EXCEPT SELECT * FROM c))";
    struct stmt q;
    stmt_begin(&q, db, "compare the groups' sums", sql);
    int more = stmt_next(&q, err);
    if (more != 1) return -1;
    *n = stmt_int(&q);
    stmt_end(&q);
    return 0;
}
