/* db/check.c: whether a database is what a run would have written. See maintain.h. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "db/maintain.h"
#include "db/schema_diff.h"
#include "db/stmt.h"
#include "db/sums.h"

/* Each gives how many rows are wrong, and an example in words. */
struct question {
    const char *what, *sql;
};

static const struct question quick[] = {
    {"steps follow each other, hash by hash",
     "SELECT count(*), 'step ' || min(step) FROM"
     " (SELECT step, state, weights_before, row_number() OVER (ORDER BY step) AS no,"
     "  lag(weights_after, 1, (SELECT start_weights FROM runs)) OVER (ORDER BY step) AS left_by,"
     "  (SELECT max(step) FROM steps) AS last FROM steps)"
     " WHERE step <> no OR weights_before IS NOT left_by OR (state = 'sampled' AND step < last)"},
    {"every step has its groups or traces",
     "SELECT count(*), 'step ' || min(step) FROM steps s JOIN stages t ON t.stage = s.stage"
     " WHERE NOT EXISTS (SELECT 1 FROM pruned_steps p WHERE p.step = s.step) AND"
     " CASE t.type WHEN 'grpo' THEN NOT EXISTS (SELECT 1 FROM groups g WHERE g.step = s.step)"
     " ELSE NOT EXISTS (SELECT 1 FROM traces x WHERE x.step = s.step) END"},
    {"every group has its sums",
     "SELECT count(*), 'group ' || min(g.id) FROM groups g LEFT JOIN group_sums m"
     " ON m.group_id = g.id WHERE m.episodes IS NOT g.n"},
    {"every group has its episodes",
     "SELECT count(*), 'group ' || min(g.id) FROM groups g"
     " WHERE (SELECT count(*) FROM episodes e WHERE e.group_id = g.id) <> g.n"
     " AND NOT EXISTS (SELECT 1 FROM pruned_steps p WHERE p.step = g.step)"},
    {"finished steps have metrics",
     "SELECT count(*), 'step ' || min(step) FROM steps s WHERE state <> 'sampled'"
     " AND NOT EXISTS (SELECT 1 FROM metrics m WHERE m.step = s.step)"},
};

static const struct question thorough[] = {
    {"every page and row (integrity_check)",
     "SELECT count(*), min(integrity_check) FROM pragma_integrity_check"
     " WHERE integrity_check <> 'ok'"},
    {"every row has what it refers to (foreign_key_check)",
     "SELECT count(*), min(\"table\") || ' refers to ' || min(parent)"
     " FROM pragma_foreign_key_check"},
    {"episodes were drawn from the weights of their step",
     "SELECT count(*), 'episode ' || min(e.id) FROM episodes e JOIN groups g ON g.id = e.group_id"
     " JOIN steps s ON s.step = g.step WHERE e.weights_hash <> s.weights_before"
     " AND NOT EXISTS (SELECT 1 FROM episode_sources x WHERE x.episode_id = e.id)"},
    {"rewards are the weighted sums of their verdicts",
     "SELECT count(*), 'episode ' || min(id) FROM (SELECT e.id FROM episodes e CROSS JOIN verdicts v"
     " ON v.episode_id = e.id WHERE e.reward IS NOT NULL GROUP BY e.id"
     " HAVING abs(e.reward - total(v.weight * v.score)) > 1e-9)"},
};

static int ask(struct db *db, const struct question *x, struct db_finding *f, struct err *err) {
    struct arena arena = {0};
    struct stmt q;
    *f = (struct db_finding){.what = x->what};
    stmt_begin(&q, db, "check", x->sql);
    int more = stmt_next(&q, err);
    if (more == 1) {
        f->wrong = stmt_int(&q);
        const char *example = stmt_text(&q, &arena);
        if (f->wrong) snprintf(f->example, sizeof f->example, "%s", example ? example : "");
    }
    stmt_end(&q);
    arena_clear(&arena);
    return more < 0 ? -1 : 0;
}

static int compare_text(void *ctx, const char *name, const char *sql, const char *found,
                        struct err *err) {
    struct db_finding *f = ctx;
    (void)err;
    if (found && strcmp(sql, found) == 0) return 0;
    if (f->wrong++ == 0)
        snprintf(f->example, sizeof f->example, "%s%s", name, found ? "" : " is missing");
    return 0;
}

/* A file that was cut short or grew. While a log holds newer pages it may be either. */
static int check_size(struct db *db, struct db_finding *f, struct err *err) {
    static const char sql[] =
        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    struct stat st, log;
    struct stmt q;
    char wal[4096 + 8];
    *f = (struct db_finding){.what = "the file has the size that its header says"};
    stmt_begin(&q, db, "check", sql);
    int more = stmt_next(&q, err);
    int64_t bytes = more == 1 ? stmt_int(&q) : 0;
    stmt_end(&q);
    if (more < 0) return -1;
    if (stat(db->path, &st) != 0) return err_errno(err, EX_IOERR, "look at %s", db->path);
    snprintf(wal, sizeof wal, "%s-wal", db->path);
    if ((stat(wal, &log) == 0 && log.st_size > 0) || st.st_size == bytes) return 0;
    f->wrong = 1;
    snprintf(f->example, sizeof f->example, "%lld bytes, not %lld", (long long)st.st_size,
             (long long)bytes);
    return 0;
}

int db_check(struct db *db, bool full, struct db_finding *f, int max, struct err *err) {
    int n = 2, n_quick = sizeof quick / sizeof *quick,
        n_thorough = sizeof thorough / sizeof *thorough;
    CHECK(max >= n + n_quick + n_thorough + 1);
    f[0] = (struct db_finding){.what = "tables and views are hone's"};
    if (schema_compare(db, compare_text, &f[0], err) != 0 || check_size(db, &f[1], err) != 0)
        return -1;
    if (f[0].wrong) return n; /* the others would ask what is not there */
    for (int i = 0; i < n_quick; i++)
        if (ask(db, &quick[i], &f[n++], err) != 0) return -1;
    if (!full) return n;
    for (int i = 0; i < n_thorough; i++)
        if (ask(db, &thorough[i], &f[n++], err) != 0) return -1;
    f[n] = (struct db_finding){.what = "sums of groups, added up again"};
    return sums_count_wrong(db, &f[n++].wrong, err) == 0 ? n : -1;
}
