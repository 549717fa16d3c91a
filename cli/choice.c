/* cli/choice.c: see choice.h. */
#include "cli/choice.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "db/select.h"

/* What v_curriculum says of a problem that no step has taken yet. */
#define NEVER_TAKEN                                                                        \
    "(SELECT NULL AS problem_id, NULL AS kind, NULL AS key, NULL AS split, NULL AS prompt," \
    " NULL AS gold, 0 AS visits, NULL AS pass_rate, NULL AS pass_rate_5,"                  \
    " NULL AS mean_reward, NULL AS mean_reward_5, NULL AS last_step)"

/* A problem of a set by its content. */
struct place {
    uint64_t hash;
    int index;
};

struct choice {
    const char *where; /* the condition, borrowed from the experiment */
    int found;
    /* problems */
    struct place *place; /* [n_places] of the set of `stage`, by hash, owned */
    int n_places, stage;
    /* episodes */
    struct db *db; /* of the source */
    struct arena arena;
    int64_t *id;     /* [found] */
    uint32_t *order; /* [found] of one epoch of one stage, owned */
    long epoch;
};

void choice_close(struct choice *c) {
    if (!c) return;
    db_close(c->db);
    arena_clear(&c->arena);
    mem_free(c->place);
    mem_free(c->order);
    mem_free(c);
}

/* --- opening ------------------------------------------------------------------------------ */

static int check_tokens(const struct run *r, const struct choice *c, struct err *err) {
    struct arena arena = {0};
    struct db_token *t;
    int n, size = tokenizer_vocab_size(r->e.tok);
    if (db_read_tokens(c->db, &arena, &t, &n, err) != 0) return -1;
    bool same = n == size;
    for (int i = 0; same && i < n; i++) {
        size_t len;
        const char *text = tokenizer_piece(r->e.tok, i, &len);
        same = len == t[i].n_text && memcmp(text, t[i].text, len) == 0;
    }
    arena_clear(&arena);
    return same ? 0 : err_set(err, EX_CONFIG, "replay.from: the tokens of %s are not those of this "
                              "policy", r->x.replay.from);
}

/* Recorded log-probabilities are under the sampling of their run. */
static int check_sampling(const struct run *r, const struct experiment *from, struct err *err) {
    for (int i = 0; i < r->x.n_stages; i++)
        for (int k = 0; k < from->n_stages; k++) {
            const struct experiment_stage *a = &r->x.stage[i], *b = &from->stage[k];
            if (a->type != STAGE_GRPO || b->type != STAGE_GRPO) continue;
            if (a->temperature != b->temperature || a->top_k != b->top_k ||
                a->top_p != b->top_p || a->min_p != b->min_p)
                return err_set(err, EX_CONFIG,
                               "replay.from: stage '%s' of %s was sampled with another temperature, "
                               "top_k, top_p or min_p than stage '%s' has here",
                               b->name, r->x.replay.from, a->name);
        }
    return 0;
}

/* What was found is part of the run: on the way it may not change. */
static int check_found(struct run *r, const struct choice *c, struct err *err) {
    struct db_step *s;
    int n, found = -1, rc;
    struct arena arena = {0};
    if (!r->resumed) return 0;
    rc = db_read_steps(r->db, 0, &arena, &s, &n, err);
    for (int i = 0; rc == 0 && i < n && found < 0; i++)
        rc = db_read_found(r->db, s[i].step, &found, err);
    arena_clear(&arena);
    if (rc != 0 || found < 0 || found == c->found) return rc;
    return err_set(err, EX_DATAERR, "replay.where: finds %d episodes of %s now, found %d when the "
                   "run began", c->found, r->x.replay.from, found);
}

static int open_source(struct run *r, struct choice *c, struct err *err) {
    char path[PATH_MAX];
    struct db_run row;
    struct experiment *from = mem_new(1, sizeof *from);
    struct buf where = {0};
    int rc = -1;
    buf_printf(&where, "advantage IS NOT NULL AND (%s\n)", c->where[0] ? c->where : "1");
    if (file_join(path, sizeof path, r->x.replay.from, "run.db", err) != 0 ||
        db_open_readonly(&c->db, path, err) != 0 ||
        db_read_run(c->db, &c->arena, &row, err) != 0 ||
        experiment_parse(from, row.experiment, path, err) != 0 ||
        check_tokens(r, c, err) != 0 || check_sampling(r, from, err) != 0)
        goto out;
    if (c->where[0] && db_select_ids(c->db, "id", "v_episode", c->where, "id", true, &c->arena,
                                     &c->id, &c->found, err) != 0)
        goto out;
    if (db_select_ids(c->db, "id", "v_episode", buf_text(&where), "id", true, &c->arena, &c->id,
                      &c->found, err) != 0)
        goto out;
    rc = c->found > 0 ? check_found(r, c, err)
                      : err_set(err, EX_DATAERR, "replay.where: finds no episode with an advantage "
                                "in %s", r->x.replay.from);
out:
    buf_clear(&where);
    mem_free(from);
    return rc;
}

static int check_sets(const struct run *r, struct err *err) {
    for (int i = 0; i < r->x.n_stages; i++)
        if (r->x.stage[i].type == STAGE_GRPO && problem_set_size(r->train[i]) == INT_MAX)
            return err_set(err, EX_CONFIG, "problems.where: stage '%s' has endless problems; give "
                           "'%s' n=", r->x.stage[i].name, problem_set_spec(r->train[i]));
    return 0;
}

/* On an empty database, so that a wrong condition is known before the run begins. */
static int try_condition(const struct choice *c, struct err *err) {
    struct arena arena = {0};
    struct db *db;
    int64_t *id;
    int n, rc = db_open_empty(&db, err);
    if (rc == 0)
        rc = db_select_ids(db, "problem_id", "v_curriculum", c->where, "1", true, &arena, &id, &n,
                           err);
    db_close(db);
    arena_clear(&arena);
    return rc;
}

int choice_open(struct run *r, struct err *err) {
    bool episodes = r->x.replay.from[0];
    if (!episodes && !r->x.problems.where[0]) return 0;
    struct choice *c = r->choice = mem_new(1, sizeof *c);
    c->stage = -1;
    c->epoch = -1;
    c->where = episodes ? r->x.replay.where : r->x.problems.where;
    if (episodes) return open_source(r, c, err);
    return check_sets(r, err) == 0 && try_condition(c, err) == 0 ? 0 : -1;
}

/* --- problems ------------------------------------------------------------------------------ */

static uint64_t content_hash(const char *kind, const char *key, const char *prompt,
                             const char *gold, const char *columns) {
    const char *const part[] = {kind, key, prompt, gold, columns};
    struct buf all = {0};
    for (int i = 0; i < 5; i++) buf_push(&all, part[i], strlen(part[i]) + 1);
    uint64_t hash = hash_bytes(buf_text(&all), all.len, 0);
    buf_clear(&all);
    return hash;
}

static int by_hash(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    if (x->hash != y->hash) return x->hash > y->hash ? 1 : -1;
    return x->index - y->index;
}

static void list_places(struct run *r, struct choice *c, int i) {
    struct arena arena = {0};
    struct problem p;
    if (c->stage == i) return;
    mem_free(c->place);
    c->stage = i;
    c->n_places = problem_set_size(r->train[i]);
    c->place = mem_new((size_t)c->n_places, sizeof *c->place);
    for (int k = 0; k < c->n_places; k++) {
        arena_reset(&arena);
        problem_set_get(r->train[i], k, &arena, &p);
        c->place[k] = (struct place){
            content_hash(p.kind, p.key, p.prompt, p.gold, p.columns ? p.columns : "{}"), k};
    }
    qsort(c->place, (size_t)c->n_places, sizeof *c->place, by_hash);
    arena_clear(&arena);
}

/* Sets mark of all problems of the set that are the recorded ones id[n]. */
static int mark_places(struct run *r, const struct choice *c, const int64_t *id, int n,
                       bool *mark, struct err *err) {
    struct arena arena = {0};
    struct db_problem p;
    int rc = 0;
    for (int k = 0; k < n && rc == 0; k++) {
        arena_reset(&arena);
        rc = db_read_problem(r->db, id[k], &arena, &p, err);
        if (rc != 0) break;
        uint64_t hash = content_hash(p.kind, p.key, p.prompt, p.gold, p.columns);
        int lo = 0, hi = c->n_places;
        while (lo < hi) {
            int mid = lo + (hi - lo) / 2;
            if (c->place[mid].hash < hash)
                lo = mid + 1;
            else
                hi = mid;
        }
        for (; lo < c->n_places && c->place[lo].hash == hash; lo++) mark[c->place[lo].index] = true;
    }
    arena_clear(&arena);
    return rc;
}

/* may[k]: problem k of the set may be taken now. */
static int ask_problems(struct run *r, const struct choice *c, bool *may, struct err *err) {
    struct arena *a = &r->arena;
    int64_t *never, *taken, *id;
    int n_never, n_taken, n;
    bool *seen = arena_new(a, (size_t)c->n_places, sizeof *seen);
    if (db_select_ids(r->db, "1", NEVER_TAKEN, c->where, "1", true, a, &never, &n_never, err) != 0 ||
        db_select_ids(r->db, "problem_id", "v_curriculum", "1", "1", true, a, &taken, &n_taken,
                      err) != 0 ||
        db_select_ids(r->db, "problem_id", "v_curriculum", c->where, "1", true, a, &id, &n,
                      err) != 0 ||
        mark_places(r, c, taken, n_taken, seen, err) != 0 ||
        mark_places(r, c, id, n, may, err) != 0)
        return -1;
    for (int k = 0; k < c->n_places; k++) may[k] = may[k] || (n_never > 0 && !seen[k]);
    return 0;
}

int choice_problems(struct run *r, int i, int n, int **index, struct err *err) {
    struct choice *c = r->choice;
    list_places(r, c, i);
    bool *may = arena_new(&r->arena, (size_t)c->n_places, sizeof *may);
    int *list = arena_new(&r->arena, (size_t)c->n_places, sizeof *list), size = 0;
    if (ask_problems(r, c, may, err) != 0) return -1;
    for (int k = 0; k < c->n_places; k++)
        if (may[k]) list[size++] = k;
    if (size == 0)
        return err_set(err, EX_DATAERR, "step %d: problems.where finds no problem%s", r->step + 1,
                       r->step == 0 ? "; to take those that no step took yet, add 'visits = 0 OR'"
                                    : "");
    uint32_t *order = arena_new(&r->arena, (size_t)size, sizeof *order);
    struct rng_key key = {.seed = r->x.seed, .purpose = RNG_SHUFFLE, .step = (uint32_t)i,
                          .prompt = (uint32_t)r->step + 1, .sample = 1};
    rng_permutation(&key, (uint32_t)size, order);
    *index = arena_new(&r->arena, (size_t)n, sizeof **index);
    for (int k = 0; k < n; k++) (*index)[k] = list[order[k % size]];
    c->found = size;
    return 0;
}

/* --- episodes ------------------------------------------------------------------------------ */

/* Visit number `visit` of stage i, all found ones in a new order each epoch. */
static int64_t episode_at(const struct run *r, struct choice *c, int i, long visit) {
    long epoch = visit / c->found;
    if (!c->order || c->stage != i || c->epoch != epoch) {
        struct rng_key key = {.seed = r->x.seed, .purpose = RNG_SHUFFLE, .step = (uint32_t)i,
                              .prompt = (uint32_t)epoch, .sample = 2};
        if (!c->order) c->order = mem_new((size_t)c->found, sizeof *c->order);
        rng_permutation(&key, (uint32_t)c->found, c->order);
        c->stage = i;
        c->epoch = epoch;
    }
    return c->id[c->order[visit % c->found]];
}

static int read_source(struct run *r, int64_t id, struct harvest_source *s, struct err *err) {
    struct db *db = r->choice->db;
    struct db_group g;
    if (db_read_episode(db, id, &r->arena, &s->e, err) != 0 ||
        db_read_group(db, s->e.group_id, &r->arena, &g, err) != 0 ||
        db_read_problem(db, g.problem_id, &r->arena, &s->p, err) != 0 ||
        db_read_verdicts(db, id, &r->arena, &s->v, &s->n_v, err) != 0)
        return -1;
    int n = s->e.n_prompt + s->e.n_completion;
    bool fits = s->e.n_prompt >= 1 && s->e.n_completion >= 1 && n <= r->e.m.max_pos;
    for (int k = 0; fits && k < n; k++)
        fits = s->e.ids[k] >= 0 && s->e.ids[k] < r->e.w.cfg.vocab_size;
    return fits ? 0 : err_set(err, EX_DATAERR, "%s/run.db: episode %lld of %d tokens does not fit "
                              "this policy", r->x.replay.from, (long long)id, n);
}

/* For the metrics: what the source's checkers of the same names said. */
static void take_verdicts(const struct run *r, struct harvest *h, int k) {
    const struct harvest_source *s = &h->source[k];
    for (int c = 0; c < r->x.n_rewards; c++) {
        struct verdict *out = &h->verdict[k * r->x.n_rewards + c];
        out->status = VERDICT_NOT_SCORABLE;
        for (int i = 0; i < s->n_v; i++)
            if (strcmp(s->v[i].checker, r->x.reward[c].name) == 0 &&
                verdict_status_find(s->v[i].status, &out->status))
                out->score = isnan(s->v[i].score) ? 0 : s->v[i].score;
    }
}

static void take_source(const struct run *r, struct harvest *h, int k, uint32_t step) {
    const struct harvest_source *s = &h->source[k];
    h->problem[k] = (struct problem){.kind = s->p.kind, .key = s->p.key, .prompt = s->p.prompt,
                                     .gold = s->p.gold, .columns = s->p.columns};
    h->prompt[k] = (struct rollout_prompt){s->e.ids, s->e.n_prompt, step, (uint32_t)k, 1, 0};
    harvest_take(&s->e, h, k);
    take_verdicts(r, h, k);
}

int choice_episodes(struct run *r, int i, int stage_step, struct harvest *h, struct err *err) {
    h->source = arena_new(&r->arena, (size_t)h->n, sizeof *h->source);
    for (int k = 0; k < h->n; k++) {
        int64_t id = episode_at(r, r->choice, i, (long)stage_step * h->n + k);
        if (read_source(r, id, &h->source[k], err) != 0) return -1;
        take_source(r, h, k, (uint32_t)r->step + 1);
    }
    return 0;
}

/* --- recording ------------------------------------------------------------------------------ */

void choice_keep_origin(struct db_episode *row, const struct db_episode *origin) {
    row->key_seed = origin->key_seed;
    row->key_purpose = origin->key_purpose;
    row->key_step = origin->key_step;
    row->key_prompt = origin->key_prompt;
    row->key_sample = origin->key_sample;
    row->weights_hash = origin->weights_hash;
    row->reward = origin->reward;
    row->advantage = origin->advantage;
}

int choice_record_query(struct run *r, int step, struct err *err) {
    const struct choice *c = r->choice;
    return db_write_query(r->db, step, c->where[0] ? c->where : "1", c->found, err);
}
