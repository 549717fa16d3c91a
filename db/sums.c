/* db/sums.c: see sums.h. */
#include "db/sums.h"

#include <math.h>
#include <string.h>

#include "db/bulk.h"

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

struct sums {
    int64_t group;
    int episodes, rewarded, tokens, truncated;
    double sum, min, max, std; /* of the rewards; NAN: none */
};

struct checker_sums {
    int64_t group;
    const char *checker;
    int verdicts, scored, passed, unparsable, failures, not_scorable;
    double score_sum, ms_sum;
};

/* In the order of GROUP_SUMS, whose result for no reward at all is a deviation of 0. */
static void add_up(const struct db_group *g, struct sums *s) {
    double mean, squares = 0;
    *s = (struct sums){.group = g->id, .episodes = g->n_episodes, .min = NAN, .max = NAN};
    for (int k = 0; k < g->n_episodes; k++) {
        const struct db_episode *e = &g->episodes[k];
        s->tokens += e->n_completion;
        s->truncated += e->finish_reason && strcmp(e->finish_reason, "length") == 0;
        if (isnan(e->reward)) continue;
        s->rewarded++;
        s->sum += e->reward;
        if (!(s->min <= e->reward)) s->min = e->reward;
        if (!(s->max >= e->reward)) s->max = e->reward;
    }
    mean = s->sum / s->rewarded;
    for (int k = 0; k < g->n_episodes; k++) {
        double d = g->episodes[k].reward - mean;
        if (!isnan(d)) squares += d * d;
    }
    s->std = s->rewarded == 1 ? NAN : s->rewarded == 0 ? 0 : sqrt(squares / (s->rewarded - 1));
}

static void add_verdict(struct checker_sums *s, const struct db_verdict *v) {
    double score = db_score_of(v->status, v->score);
    bool reached = !isnan(score), unparsable = strcmp(v->status, "unparsable") == 0;
    bool aside = strcmp(v->status, "not_scorable") == 0;
    s->verdicts++;
    s->scored += reached;
    s->passed += score == 1;
    s->unparsable += unparsable;
    s->not_scorable += aside;
    s->failures += !unparsable && !aside && strcmp(v->status, "ok") != 0;
    s->score_sum += reached ? score : 0;
    s->ms_sum += isnan(v->ms) ? 0 : v->ms;
}

/* Adds the group's checkers to out[n], in the order they come. */
static int add_checkers(const struct db_group *g, struct checker_sums *out) {
    int n = 0;
    for (int k = 0; k < g->n_episodes; k++)
        for (int c = 0; c < g->episodes[k].n_verdicts; c++) {
            const struct db_verdict *v = &g->episodes[k].verdicts[c];
            int i = c < n && strcmp(out[c].checker, v->checker) == 0 ? c : 0;
            while (i < n && strcmp(out[i].checker, v->checker) != 0) i++;
            if (i == n) out[n++] = (struct checker_sums){.group = g->id, .checker = v->checker};
            add_verdict(&out[i], v);
        }
    return n;
}

static void sums_column(sqlite3_context *out, const void *rows, int i, int col) {
    const struct sums *s = (const struct sums *)rows + i;
    switch (col) {
    case 0: sqlite3_result_int64(out, s->group); break;
    case 1: sqlite3_result_int(out, s->episodes); break;
    case 2: sqlite3_result_int(out, s->rewarded); break;
    case 3: sqlite3_result_double(out, s->sum); break;
    case 4: sqlite3_result_double(out, s->min); break;
    case 5: sqlite3_result_double(out, s->max); break;
    case 6: sqlite3_result_double(out, s->std); break;
    case 7: sqlite3_result_int(out, s->tokens); break;
    case 8: sqlite3_result_int(out, s->truncated); break;
    }
}

static void checkers_column(sqlite3_context *out, const void *rows, int i, int col) {
    const struct checker_sums *s = (const struct checker_sums *)rows + i;
    switch (col) {
    case 0: sqlite3_result_int64(out, s->group); break;
    case 1: bulk_text(out, s->checker); break;
    case 2: sqlite3_result_int(out, s->verdicts); break;
    case 3: sqlite3_result_int(out, s->scored); break;
    case 4: sqlite3_result_double(out, s->score_sum); break;
    case 5: sqlite3_result_int(out, s->passed); break;
    case 6: sqlite3_result_int(out, s->unparsable); break;
    case 7: sqlite3_result_int(out, s->failures); break;
    case 8: sqlite3_result_int(out, s->not_scorable); break;
    case 9: sqlite3_result_double(out, s->ms_sum); break;
    }
}

int sums_write(struct db *db, const struct db_group *group, int n, struct err *err) {
    static const char groups[] = "INSERT INTO group_sums SELECT c0, c1, c2, c3, c4, c5, c6, c7, c8"
                                 " FROM bulk(?)";
    static const char checkers[] = "INSERT INTO group_checkers SELECT c0, c1, c2, c3, c4, c5, c6,"
                                   " c7, c8, c9 FROM bulk(?)";
    int n_verdicts = 0, n_checkers = 0;
    for (int g = 0; g < n; g++)
        for (int k = 0; k < group[g].n_episodes; k++) n_verdicts += group[g].episodes[k].n_verdicts;
    struct sums *s = mem_new((size_t)n, sizeof *s);
    struct checker_sums *c = mem_new((size_t)n_verdicts, sizeof *c);
    for (int g = 0; g < n; g++) {
        add_up(&group[g], &s[g]);
        n_checkers += add_checkers(&group[g], c + n_checkers);
    }
    const struct bulk rows = {n, s, sums_column}, more = {n_checkers, c, checkers_column};
    int rc = bulk_run(db, "record a group's sums", groups, &rows, err);
    if (rc == 0) rc = bulk_run(db, "record a group's sums", checkers, &more, err);
    mem_free(s);
    mem_free(c);
    return rc;
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

/* Sums that are not those of their rows, or are missing, or are of nothing; those of real numbers
 * may differ in the last digits, as versions of SQLite add up differently. Pruned steps have
 * nothing to add up. */
int sums_count_wrong(struct db *db, int64_t *n, struct err *err) {
#define KEPT "IN (SELECT g.id FROM groups g WHERE g.step NOT IN (SELECT step FROM pruned_steps))"
#define SAME(column) "s." column " IS t." column
#define NEAR(column)                                                                     \
    "(" SAME(column) " OR coalesce(abs(s." column " - t." column ") <= 1e-9 * (1 + abs(s."  \
    column ")), 0))"
    static const char sql[] =
        "WITH s (group_id, episodes, rewarded, reward_sum, reward_min, reward_max, reward_std,"
        " tokens, truncated) AS MATERIALIZED (" GROUP_SUMS "GROUP BY e.group_id),"
        " t AS (SELECT * FROM group_sums WHERE group_id " KEPT ")"
        " SELECT (SELECT count(*) FROM s LEFT JOIN group_sums t ON t.group_id = s.group_id"
        "          WHERE NOT (" SAME("episodes") " AND " SAME("rewarded")
        "                     AND " NEAR("reward_sum") " AND " SAME("reward_min")
        "                     AND " SAME("reward_max") " AND " NEAR("reward_std")
        "                     AND " SAME("tokens") " AND " SAME("truncated") "))"
        " + (SELECT count(*) FROM t WHERE group_id NOT IN (SELECT group_id FROM s))";
    static const char checkers[] =
        "WITH s (group_id, checker, verdicts, scored, score_sum, passed, unparsable, failures,"
        " not_scorable, ms_sum) AS MATERIALIZED (" GROUP_CHECKERS "GROUP BY e.group_id, v.checker),"
        " t AS (SELECT * FROM group_checkers WHERE group_id " KEPT ")"
        " SELECT (SELECT count(*) FROM s LEFT JOIN group_checkers t"
        "             ON t.group_id = s.group_id AND t.checker = s.checker"
        "          WHERE NOT (" SAME("verdicts") " AND " SAME("scored") " AND " NEAR("score_sum")
        "                     AND " SAME("passed") " AND " SAME("unparsable")
        "                     AND " SAME("failures") " AND " SAME("not_scorable")
        "                     AND " NEAR("ms_sum") "))"
        " + (SELECT count(*) FROM t WHERE (group_id, checker) NOT IN"
        "                                 (SELECT group_id, checker FROM s))";
    const char *const all[] = {sql, checkers};
    *n = 0;
    for (int i = 0; i < 2; i++) {
        struct stmt q;
        stmt_begin(&q, db, "compare the groups' sums", all[i]);
        if (stmt_next(&q, err) != 1) return -1;
        *n += stmt_int(&q);
        stmt_end(&q);
    }
    return 0;
}
