/* db/ext/episode_tokens.c: a loadable extension of SQLite: an episode's blobs as rows.
 *
 *     .load ./hone_sqlite
 *     SELECT t.* FROM episodes e JOIN episode_tokens(e.id) t WHERE e.reward = 1;
 *
 * One row a token, prompt first. It reads the main database of the connection, which may be one
 * of a run that is being written. Built alone, as a shared object, from SQLite's headers only;
 * docs/database.md has the columns. A blob of another size than its row says ends in an error.
 */
#include <sqlite3ext.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

SQLITE_EXTENSION_INIT1

int sqlite3_honesqlite_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);

enum column { POSITION, TOKEN, TEXT, LOGP, ENTROPY, EXPERTS, IN_LOSS, EPISODE };

static const char declaration[] =
    "CREATE TABLE x(position INTEGER, token INTEGER, text TEXT, logp REAL, entropy REAL,"
    " experts TEXT, in_loss INTEGER, episode_id INTEGER HIDDEN)";

static const char episode_sql[] =
    "SELECT e.n_prompt, e.n_completion, e.ids, e.logps, e.mask, d.entropies, d.experts"
    " FROM episodes e LEFT JOIN episode_details d ON d.episode_id = e.id WHERE e.id = ?";
static const char token_sql[] = "SELECT text FROM vocabulary WHERE token = ?";

struct table {
    sqlite3_vtab base;
    sqlite3 *db;
};

struct cursor {
    sqlite3_vtab_cursor base;
    sqlite3_stmt *episode, *token; /* owned; the first stands on its row while it is read */
    int64_t id;
    int n_prompt, n, at; /* tokens of the prompt and in all; the row */
};

static int fail(sqlite3_vtab *t, sqlite3 *db, int rc) {
    sqlite3_free(t->zErrMsg);
    t->zErrMsg = sqlite3_mprintf("episode_tokens: %s", sqlite3_errmsg(db));
    return rc;
}

static int connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
                   sqlite3_vtab **out, char **error) {
    (void)aux, (void)argc, (void)argv, (void)error;
    int rc = sqlite3_declare_vtab(db, declaration);
    if (rc != SQLITE_OK) return rc;
    struct table *t = sqlite3_malloc(sizeof *t);
    if (!t) return SQLITE_NOMEM;
    *t = (struct table){.db = db};
    sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
    *out = &t->base;
    return SQLITE_OK;
}

static int disconnect(sqlite3_vtab *t) {
    sqlite3_free(t);
    return SQLITE_OK;
}

/* The episode must be given: there is no walk over all of them. */
static int best_index(sqlite3_vtab *t, sqlite3_index_info *info) {
    (void)t;
    for (int i = 0; i < info->nConstraint; i++) {
        if (info->aConstraint[i].iColumn != EPISODE ||
            info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ)
            continue;
        if (!info->aConstraint[i].usable) return SQLITE_CONSTRAINT;
        info->aConstraintUsage[i].argvIndex = 1;
        info->aConstraintUsage[i].omit = 1;
        info->estimatedCost = 200;
        info->estimatedRows = 200;
        return SQLITE_OK;
    }
    return SQLITE_CONSTRAINT;
}

static int open_cursor(sqlite3_vtab *base, sqlite3_vtab_cursor **out) {
    struct table *t = (struct table *)base;
    struct cursor *c = sqlite3_malloc(sizeof *c);
    if (!c) return SQLITE_NOMEM;
    *c = (struct cursor){0};
    int rc = sqlite3_prepare_v2(t->db, episode_sql, -1, &c->episode, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(t->db, token_sql, -1, &c->token, NULL);
    *out = &c->base;
    if (rc == SQLITE_OK) return rc;
    sqlite3_finalize(c->episode);
    sqlite3_free(c);
    return fail(base, t->db, rc);
}

static int close_cursor(sqlite3_vtab_cursor *base) {
    struct cursor *c = (struct cursor *)base;
    sqlite3_finalize(c->episode);
    sqlite3_finalize(c->token);
    sqlite3_free(c);
    return SQLITE_OK;
}

/* Blobs are read by the lengths of the row, so they must have them. The experts' first byte says
 * how many a layer has; the rest are those of each token, layer by layer. */
static int check_sizes(const struct cursor *c) {
    int n = c->n - c->n_prompt, mask = sqlite3_column_bytes(c->episode, 4);
    int entropies = sqlite3_column_bytes(c->episode, 5);
    int experts = sqlite3_column_bytes(c->episode, 6);
    const uint8_t *k = sqlite3_column_blob(c->episode, 6);
    return c->n_prompt >= 0 && n >= 0 && sqlite3_column_bytes(c->episode, 2) == 4 * c->n &&
           sqlite3_column_bytes(c->episode, 3) == 4 * n && (mask == 0 || mask == n) &&
           (entropies == 0 || entropies == 4 * n) &&
           (experts <= 1 || (n > 0 && k[0] > 0 && (experts - 1) % (n * k[0]) == 0));
}

static int filter(sqlite3_vtab_cursor *base, int plan, const char *name, int argc,
                  sqlite3_value **argv) {
    struct cursor *c = (struct cursor *)base;
    struct table *t = (struct table *)base->pVtab;
    (void)plan, (void)name, (void)argc;
    c->n = c->at = 0;
    sqlite3_reset(c->episode);
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return SQLITE_OK;
    c->id = sqlite3_value_int64(argv[0]);
    sqlite3_bind_int64(c->episode, 1, c->id);
    int rc = sqlite3_step(c->episode);
    if (rc == SQLITE_DONE) return SQLITE_OK;
    if (rc != SQLITE_ROW) return fail(base->pVtab, t->db, rc);
    c->n_prompt = sqlite3_column_int(c->episode, 0);
    c->n = c->n_prompt + sqlite3_column_int(c->episode, 1);
    if (check_sizes(c)) return SQLITE_OK;
    sqlite3_free(base->pVtab->zErrMsg);
    base->pVtab->zErrMsg =
        sqlite3_mprintf("episode_tokens: episode %lld is damaged: blobs of the wrong size", c->id);
    return SQLITE_CORRUPT;
}

static int next(sqlite3_vtab_cursor *base) {
    ((struct cursor *)base)->at++;
    return SQLITE_OK;
}

static int at_end(sqlite3_vtab_cursor *base) {
    const struct cursor *c = (struct cursor *)base;
    return c->at >= c->n;
}

static int32_t token_of(const struct cursor *c) {
    int32_t id;
    memcpy(&id, (const char *)sqlite3_column_blob(c->episode, 2) + 4 * c->at, sizeof id);
    return id;
}

static int put_text(sqlite3_context *out, struct cursor *c) {
    sqlite3_reset(c->token);
    sqlite3_bind_int(c->token, 1, token_of(c));
    int rc = sqlite3_step(c->token);
    if (rc == SQLITE_ROW) sqlite3_result_value(out, sqlite3_column_value(c->token, 0));
    sqlite3_reset(c->token);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* A number of a completion token; prompt tokens, and blobs that were not recorded, have NULL. */
static void put_float(sqlite3_context *out, const struct cursor *c, int column) {
    const char *blob = sqlite3_column_blob(c->episode, column);
    float x;
    if (!blob || c->at < c->n_prompt) return;
    memcpy(&x, blob + 4 * (c->at - c->n_prompt), sizeof x);
    sqlite3_result_double(out, x);
}

/* [[3,1],[0,2]]: of each layer that has experts those the token was routed to, best first. */
static void put_experts(sqlite3_context *out, const struct cursor *c) {
    const uint8_t *blob = sqlite3_column_blob(c->episode, 6);
    if (!blob || c->at < c->n_prompt) return;
    int k = blob[0], n = (sqlite3_column_bytes(c->episode, 6) - 1) / (c->n - c->n_prompt);
    const uint8_t *own = blob + 1 + n * (c->at - c->n_prompt);
    sqlite3_str *s = sqlite3_str_new(NULL);
    sqlite3_str_appendall(s, "[");
    for (int i = 0; i < n; i++)
        sqlite3_str_appendf(s, "%s%d%s", i % k ? "," : i ? ",[" : "[", own[i],
                            i % k == k - 1 ? "]" : "");
    sqlite3_str_appendall(s, "]");
    char *text = sqlite3_str_finish(s);
    if (text)
        sqlite3_result_text(out, text, -1, sqlite3_free);
    else
        sqlite3_result_error_nomem(out);
}

static void put_in_loss(sqlite3_context *out, const struct cursor *c) {
    const uint8_t *mask = sqlite3_column_blob(c->episode, 4);
    int i = c->at - c->n_prompt;
    sqlite3_result_int(out, i >= 0 && (!mask || mask[i]));
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *out, int i) {
    struct cursor *c = (struct cursor *)base;
    switch ((enum column)i) {
    case POSITION: sqlite3_result_int(out, c->at); break;
    case TOKEN: sqlite3_result_int(out, token_of(c)); break;
    case TEXT: return put_text(out, c);
    case LOGP: put_float(out, c, 3); break;
    case ENTROPY: put_float(out, c, 5); break;
    case EXPERTS: put_experts(out, c); break;
    case IN_LOSS: put_in_loss(out, c); break;
    case EPISODE: sqlite3_result_int64(out, c->id); break;
    }
    return SQLITE_OK;
}

static int row_id(sqlite3_vtab_cursor *base, sqlite3_int64 *id) {
    *id = ((struct cursor *)base)->at;
    return SQLITE_OK;
}

static sqlite3_module module = {
    .xConnect = connect, .xBestIndex = best_index, .xDisconnect = disconnect,
    .xOpen = open_cursor, .xClose = close_cursor, .xFilter = filter, .xNext = next,
    .xEof = at_end, .xColumn = column, .xRowid = row_id};

int sqlite3_honesqlite_init(sqlite3 *db, char **error, const sqlite3_api_routines *api) {
    (void)error;
    SQLITE_EXTENSION_INIT2(api);
    return sqlite3_create_module(db, "episode_tokens", &module, NULL);
}
