/* db/groups.c: a step's groups with all that is in them: one statement a table. */
#include "db/bulk.h"
#include "db/db.h"
#include "db/sums.h"

#include <math.h>
#include <string.h>

/* Only a verdict that was reached has a score: a failure is never a 0 by accident. */
double db_score_of(const char *status, double score) {
    int reached = status && (!strcmp(status, "ok") || !strcmp(status, "unparsable"));
    return reached ? score : NAN;
}

/* All groups' episodes, and their verdicts, one after the other. */
struct flat {
    struct db_episode **episode; /* [n_episodes] owned */
    struct db_verdict **verdict; /* [n_verdicts] owned */
    int n_episodes, n_verdicts;
};

static void flatten(struct flat *f, struct db_group *group, int n) {
    *f = (struct flat){0};
    for (int g = 0; g < n; g++)
        for (int k = 0; k < group[g].n_episodes; k++)
            f->n_episodes++, f->n_verdicts += group[g].episodes[k].n_verdicts;
    f->episode = mem_new((size_t)f->n_episodes, sizeof *f->episode);
    f->verdict = mem_new((size_t)f->n_verdicts, sizeof *f->verdict);
    int e = 0, v = 0;
    for (int g = 0; g < n; g++)
        for (int k = 0; k < group[g].n_episodes; k++) {
            f->episode[e++] = &group[g].episodes[k];
            for (int c = 0; c < group[g].episodes[k].n_verdicts; c++)
                f->verdict[v++] = &group[g].episodes[k].verdicts[c];
        }
}

/* Ids as SQLite would give them out: those after the last. */
static int number(struct db *db, struct db_group *group, int n, struct err *err) {
    static const char sql[] = "SELECT (SELECT coalesce(max(id), 0) FROM groups),"
                              " (SELECT coalesce(max(id), 0) FROM episodes)";
    struct stmt q;
    stmt_begin(&q, db, "record a group", sql);
    if (stmt_next(&q, err) != 1) return -1;
    int64_t last_group = stmt_int(&q), last_episode = stmt_int(&q);
    stmt_end(&q);
    for (int g = 0; g < n; g++) {
        group[g].id = ++last_group;
        for (int k = 0; k < group[g].n_episodes; k++) {
            struct db_episode *e = &group[g].episodes[k];
            e->id = ++last_episode;
            e->group_id = group[g].id;
            for (int c = 0; c < e->n_verdicts; c++) e->verdicts[c].episode_id = e->id;
        }
    }
    return 0;
}

static void group_column(sqlite3_context *out, const void *rows, int i, int col) {
    const struct db_group *g = (const struct db_group *)rows + i;
    switch (col) {
    case 0: sqlite3_result_int64(out, g->id); break;
    case 1: sqlite3_result_int(out, g->step); break;
    case 2: sqlite3_result_int(out, g->prompt_no); break;
    case 3: sqlite3_result_int64(out, g->problem_id); break;
    case 4: sqlite3_result_int(out, g->n); break;
    }
}

/* Nearly every mask is all ones: that one is NULL. */
static void give_mask(sqlite3_context *out, const uint8_t *mask, size_t n) {
    size_t ones = 0;
    while (ones < n && (!mask || mask[ones] == 1)) ones++;
    if (ones == n)
        sqlite3_result_null(out);
    else
        bulk_blob(out, mask, n);
}

static void episode_column(sqlite3_context *out, const void *rows, int i, int col) {
    const struct db_episode *e = ((struct db_episode *const *)rows)[i];
    size_t n = (size_t)e->n_completion;
    switch (col) {
    case 0: sqlite3_result_int64(out, e->id); break;
    case 1: sqlite3_result_int64(out, e->group_id); break;
    case 2: sqlite3_result_int(out, e->sample); break;
    case 3: sqlite3_result_int(out, e->n_prompt); break;
    case 4: sqlite3_result_int(out, e->n_completion); break;
    case 5: bulk_text(out, e->finish_reason); break;
    case 6: sqlite3_result_double(out, e->reward); break; /* NAN: NULL */
    case 7: sqlite3_result_double(out, e->advantage); break;
    case 8: sqlite3_result_int64(out, (int64_t)e->key_seed); break;
    case 9: sqlite3_result_int64(out, e->key_purpose); break;
    case 10: sqlite3_result_int64(out, e->key_step); break;
    case 11: sqlite3_result_int64(out, e->key_prompt); break;
    case 12: sqlite3_result_int64(out, e->key_sample); break;
    case 13: bulk_hash(out, e->weights_hash); break;
    case 14: sqlite3_result_double(out, e->gen_ms); break;
    case 15: sqlite3_result_double(out, e->score_ms); break;
    case 16: sqlite3_result_text64(out, e->n_text ? e->text : "", e->n_text, SQLITE_STATIC,
                                   SQLITE_UTF8); break;
    case 17: bulk_blob(out, e->ids, sizeof *e->ids * ((size_t)e->n_prompt + n)); break;
    case 18: bulk_blob(out, e->logps, sizeof *e->logps * n); break;
    case 19: give_mask(out, e->mask, n); break;
    }
}

static void verdict_column(sqlite3_context *out, const void *rows, int i, int col) {
    const struct db_verdict *v = ((struct db_verdict *const *)rows)[i];
    switch (col) {
    case 0: sqlite3_result_int64(out, v->episode_id); break;
    case 1: bulk_text(out, v->checker); break;
    case 2: bulk_text(out, v->version); break;
    case 3: sqlite3_result_double(out, v->weight); break;
    case 4: bulk_text(out, v->status); break;
    case 5: sqlite3_result_double(out, db_score_of(v->status, v->score)); break;
    case 6: sqlite3_result_double(out, v->ms); break;
    case 7: sqlite3_result_int(out, v->deterministic); break;
    case 8: bulk_text(out, v->parts ? v->parts : "{}"); break;
    case 9: bulk_text(out, v->detail ? v->detail : ""); break;
    }
}

static int write_flat(struct db *db, const struct db_group *group, int n, const struct flat *f,
                      struct err *err) {
    static const char groups[] = "INSERT INTO groups (id, step, prompt_no, problem_id, n)"
                                 " SELECT c0, c1, c2, c3, c4 FROM bulk(?)";
    static const char episodes[] =
        "INSERT INTO episodes (id, group_id, sample, n_prompt, n_completion, finish_reason,"
        " reward, advantage, key_seed, key_purpose, key_step, key_prompt, key_sample,"
        " weights_hash, gen_ms, score_ms, text, ids, logps, mask)"
        " SELECT c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17,"
        " c18, c19 FROM bulk(?)";
    static const char verdicts[] =
        "INSERT INTO verdicts (episode_id, checker, version, weight, status, score, ms,"
        " deterministic, parts, detail)"
        " SELECT c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 FROM bulk(?)";
    const struct bulk g = {n, group, group_column}, v = {f->n_verdicts, f->verdict, verdict_column},
                      e = {f->n_episodes, f->episode, episode_column};
    if (bulk_run(db, "record a group", groups, &g, err) != 0 ||
        bulk_run(db, "record an episode", episodes, &e, err) != 0)
        return -1;
    return bulk_run(db, "record a verdict", verdicts, &v, err);
}

int db_write_groups(struct db *db, struct db_group *group, int n, struct err *err) {
    struct flat f;
    if (number(db, group, n, err) != 0) return -1;
    flatten(&f, group, n);
    int rc = write_flat(db, group, n, &f, err);
    if (rc == 0) rc = sums_write(db, group, n, err);
    mem_free(f.episode);
    mem_free(f.verdict);
    return rc;
}
