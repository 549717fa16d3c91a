/* policy/session.c: see session.h. */
#include "policy/session.h"

#include <string.h>

#include "base/mem.h"
#include "policy/attention.h"
#include "policy/block.h"
#include "policy/stage.h"

struct session_seq {
    struct session_seq *parent, *next_free;
    float *keys; /* [L] of panels, then rows; borrowed from the session */
    int len, cap;
    bool prompt;
};

struct member;

enum { HEAD_PIECE = 512 }; /* columns of the head that a thread of a team takes at once */

struct session {
    const struct model *m;
    struct session_size size;
    struct session_seq *seq; /* prompts first; owned */
    struct session_seq *free_prompt, *free_seq;
    float *cache;
    struct acts dense, moe; /* one layer's buffers of each kind; x is set by layer */
    void *dense_mem, *moe_mem, *work_mem;
    struct block_work work;
    float *x[2], *xh; /* [max_rows][D] */
    int *pos;
    int *expert_at;
    atomic_int *ticket; /* [L] of the experts, then of the head */
    struct member *member; /* [n_members], owned */
    int n_members;
};

/* What each thread of the team has for itself. */
struct member {
    struct scratch scratch;
    struct attn_scratch attn;
    struct attn_job *job; /* [max_rows] */
    int n_jobs;
};

/* Numbers of a cached row: values where they are not the keys', else keys. */
static int row_width(const struct model *m) { return m->dv ? m->dv : m->dk; }

/* One layer's cache of a sequence: keys in panels, values in rows. */
static size_t layer_floats(const struct model *m, int cap) {
    return attention_panels_size(m, m->dk, cap) + attention_rows_size(m, row_width(m), cap);
}

static float *layer_panels(const struct session *s, const struct session_seq *q, int layer) {
    return q->keys + (size_t)layer * layer_floats(s->m, q->cap);
}

static float *layer_rows(const struct session *s, const struct session_seq *q, int layer) {
    return layer_panels(s, q, layer) + attention_panels_size(s->m, s->m->dk, q->cap);
}

size_t session_seq_bytes(const struct model *m, int n) {
    return (size_t)m->cfg.num_hidden_layers * layer_floats(m, n) * sizeof(float);
}

static void make_pool(struct session *s) {
    struct session_size z = s->size;
    size_t L = (size_t)s->m->cfg.num_hidden_layers;
    size_t prompt = L * layer_floats(s->m, z.prompt_len), own = L * layer_floats(s->m, z.seq_len);
    s->cache = mem_new((size_t)z.n_prompts * prompt + (size_t)z.n_seqs * own, sizeof *s->cache);
    s->seq = mem_new((size_t)(z.n_prompts + z.n_seqs), sizeof *s->seq);
    float *at = s->cache;
    for (int i = z.n_prompts + z.n_seqs - 1; i >= 0; i--) {
        struct session_seq *q = &s->seq[i];
        q->prompt = i < z.n_prompts;
        q->cap = q->prompt ? z.prompt_len : z.seq_len;
        q->keys = at;
        at += q->prompt ? prompt : own;
        struct session_seq **list = q->prompt ? &s->free_prompt : &s->free_seq;
        q->next_free = *list;
        *list = q;
    }
}

struct session *session_new(const struct model *m, struct session_size size) {
    return session_new_team(m, size, 1);
}

struct session *session_new_team(const struct model *m, struct session_size size, int n_members) {
    struct session *s = mem_new(1, sizeof *s);
    const struct policy_config *c = &m->cfg;
    *s = (struct session){.m = m, .size = size, .n_members = n_members};
    make_pool(s);
    int k = c->first_k_dense_replace, L = c->num_hidden_layers, R = size.max_rows;
    if (k > 0) s->dense_mem = acts_new(&s->dense, m, 0, R);
    if (k < L) s->moe_mem = acts_new(&s->moe, m, L - 1, R);
    s->work_mem = block_work_new(&s->work, m, R, false);
    size_t RD = (size_t)R * (size_t)c->hidden_size + PANEL;
    for (int i = 0; i < 2; i++) s->x[i] = mem_new(RD, sizeof(float));
    s->xh = mem_new(RD, sizeof(float));
    s->pos = mem_new((size_t)R, sizeof *s->pos);
    s->expert_at = mem_new((size_t)(L * (c->n_routed_experts + 1)), sizeof *s->expert_at);
    s->ticket = mem_new((size_t)L + 1, sizeof *s->ticket);
    s->member = mem_new((size_t)n_members, sizeof *s->member);
    for (int i = 0; i < n_members; i++) {
        struct member *me = &s->member[i];
        me->job = mem_new((size_t)R, sizeof *me->job);
        scratch_init(&me->scratch);
        attn_scratch_reserve(&me->attn, m, size.prompt_len + size.seq_len);
    }
    return s;
}

void session_free(struct session *s) {
    if (!s) return;
    for (int i = 0; i < s->n_members; i++) {
        scratch_clear(&s->member[i].scratch);
        attn_scratch_clear(&s->member[i].attn);
        mem_free(s->member[i].job);
    }
    void *owned[] = {s->cache, s->seq, s->dense_mem, s->moe_mem, s->work_mem, s->x[0],
                     s->x[1],  s->xh,  s->pos,       s->member,  s->expert_at, s->ticket};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
    mem_free(s);
}

static struct session_seq *take(struct session_seq **list, struct session_seq *parent) {
    struct session_seq *q = *list;
    if (!q) return NULL;
    *list = q->next_free;
    q->parent = parent;
    q->len = 0;
    return q;
}

struct session_seq *session_open(struct session *s, struct session_seq *parent) {
    CHECK(!parent || parent->prompt);
    return take(&s->free_seq, parent);
}

struct session_seq *session_open_prompt(struct session *s) {
    return take(&s->free_prompt, NULL);
}

struct session_seq *session_fork(struct session *s, const struct session_seq *q) {
    const struct model *m = s->m;
    CHECK(!q->prompt);
    struct session_seq *twin = take(&s->free_seq, q->parent);
    if (!twin) return NULL;
    twin->len = q->len;
    for (int l = 0; l < m->cfg.num_hidden_layers; l++) {
        attention_copy_panels(m, m->dk, layer_panels(s, q, l), q->len, layer_panels(s, twin, l));
        attention_copy_rows(m, row_width(m), layer_rows(s, q, l), q->len,
                            q->parent ? q->parent->len : 0, layer_rows(s, twin, l));
    }
    return twin;
}

void session_close(struct session *s, struct session_seq *q) {
    struct session_seq **list = q->prompt ? &s->free_prompt : &s->free_seq;
    q->next_free = *list;
    *list = q;
}

int session_len(const struct session_seq *q) {
    return q->len + (q->parent ? q->parent->len : 0);
}

static struct attn_keys keys_of(const struct session *s, const struct session_seq *q, int layer,
                                int n) {
    const float *panels = layer_panels(s, q, layer), *rows = layer_rows(s, q, layer);
    return (struct attn_keys){panels, NULL, NULL, rows, n};
}

/* Rows [*from, *to) of a run that starts at row `start` and has n: which of them the member
 * adds to the cached rows. In bf16 two of them may be a pair, which one member adds: that
 * of the first. `at` is the position of the run's first. */
static void whole_pairs(int start, int n, int at, int *from, int *to) {
    if (*from > start && (at + *from - start) % 2 == 1) ++*from;
    if (*to < start + n && (at + *to - start) % 2 == 1) ++*to;
}

static void append_values(struct session *s, const struct session_run *run, int layer, int start,
                          const float *val, int from, int to) {
    const struct model *m = s->m;
    const struct session_seq *q = run->seq, *up = q->parent;
    int before = up ? up->len : 0, width = row_width(m);
    if (m->dtype == COMPUTE_BF16) whole_pairs(start, run->n, before + q->len, &from, &to);
    if (from < to)
        attention_add_rows(m, width, val + (size_t)from * (size_t)width, q->len + from - start,
                           to - from, before, up ? layer_rows(s, up, layer) : NULL,
                           layer_rows(s, q, layer));
}

/* Copies the keys of the member's rows into the caches and lists what attends to what. */
static void append_keys(struct session *s, const struct session_run *run, int n_runs, int layer,
                        const struct acts *a, struct rows mine, struct member *me) {
    int dk = s->m->dk, row = 0;
    const float *val = s->m->dv ? a->val : a->key;
    me->n_jobs = 0;
    for (int i = 0; i < n_runs; row += run[i++].n) {
        struct session_seq *q = run[i].seq;
        int from = row > mine.row ? row : mine.row, to = row + run[i].n;
        if (to > mine.row + mine.n) to = mine.row + mine.n;
        if (from >= to) continue;
        int at = q->len + from - row, n = to - from;
        append_values(s, &run[i], layer, row, val, from, to);
        attention_add_panels(s->m, dk, a->key + (size_t)from * (size_t)dk, at, n,
                             to < row + run[i].n, layer_panels(s, q, layer));
        struct attn_job *j = &me->job[me->n_jobs++];
        *j = (struct attn_job){.n_rows = n, .first = at};
        j->own = keys_of(s, q, layer, q->len + run[i].n);
        if (q->parent) j->prefix = keys_of(s, q->parent, layer, q->parent->len);
    }
}

static void attend(struct session *s, const struct session_run *run, int n_runs, int layer,
                   const struct acts *a, const struct shard *shard, struct member *me) {
    const struct model *m = s->m;
    struct rows mine = shard_rows(shard);
    size_t H = (size_t)m->cfg.num_attention_heads, row = (size_t)mine.row;
    stage_enter(STAGE_ATTENTION);
    if (m->dtype == COMPUTE_BF16) shard_sync(shard); /* a pair's second row may be another's */
    append_keys(s, run, n_runs, layer, a, mine, me);
    shard_sync(shard);
    attention_forward(m, me->job, me->n_jobs, a->qt + row * H * (size_t)m->key_dim,
                      a->o + row * H * (size_t)m->val_dim, &me->attn);
    stage_enter(STAGE_NORM);
}

/* The rows' final hidden states end in the buffer it returns. */
static const float *run_layers(struct session *s, const struct session_run *run, int n_runs,
                               const struct shard *shard, struct member *me) {
    const struct model *m = s->m;
    float *x = s->x[0], *out = s->x[1];
    for (int l = 0; l < m->cfg.num_hidden_layers; l++) {
        struct acts a = m->layer[l].moe ? s->moe : s->dense;
        a.x = x;
        block_project(m, l, &a, &s->work, shard, s->pos);
        attend(s, run, n_runs, l, &a, shard, me);
        block_attn_out(m, l, &a, shard);
        block_ffn(m, l, &a, &s->work, shard, out);
        float *t = x;
        x = out;
        out = t;
    }
    shard_sync(shard);
    return x;
}

/* Positions and embeddings of all rows; how many there are. */
static int feed(struct session *s, const struct session_run *run, int n_runs, bool write) {
    const struct model *m = s->m;
    size_t D = (size_t)m->cfg.hidden_size;
    int rows = 0;
    for (int i = 0; i < n_runs; i++) {
        struct session_seq *q = run[i].seq;
        CHECK(run[i].n > 0 && rows + run[i].n <= s->size.max_rows);
        CHECK(q->len + run[i].n <= q->cap && session_len(q) + run[i].n <= m->max_pos);
        for (int j = 0; write && j < run[i].n; j++) {
            s->pos[rows + j] = session_len(q) + j;
            memcpy(s->x[0] + (size_t)(rows + j) * D, m->embed + (size_t)run[i].id[j] * D,
                   D * sizeof(float));
        }
        rows += run[i].n;
    }
    return rows;
}

/* The last rows of the member's share of the runs, normed. */
static void last_rows(struct session *s, const struct session_run *run, int n_runs,
                      const float *x, struct part part) {
    const struct model *m = s->m;
    size_t D = (size_t)m->cfg.hidden_size;
    int from = n_runs * part.i / part.n, to = n_runs * (part.i + 1) / part.n, row = -1;
    for (int i = 0; i < to; i++) {
        row += run[i].n;
        if (i >= from)
            memcpy(s->xh + (size_t)i * D, x + (size_t)row * D, D * sizeof(float));
    }
    float *xh = s->xh + (size_t)from * D;
    m->k->rmsnorm(to - from, (int)D, xh, D, m->final_norm.w, m->final_norm.eps, xh, D, NULL);
}

/* Logits of all runs; a team takes the columns piece by piece as its threads come. */
static void head(struct session *s, int n_runs, float *logits, const struct shard *shard) {
    const struct model *m = s->m;
    size_t D = (size_t)m->cfg.hidden_size, V = (size_t)m->cfg.vocab_size;
    int n = shard->part.n == 1 ? 1 : ((int)V + HEAD_PIECE - 1) / HEAD_PIECE;
    atomic_int *ticket = &s->ticket[m->cfg.num_hidden_layers];
    for (int i = atomic_fetch_add(ticket, 1); i < n; i = atomic_fetch_add(ticket, 1))
        linear_forward(m->k, &m->head, n_runs, s->xh, D, logits, V, false,
                       (struct part){i, n, false}, shard->scratch);
}

void session_forward_part(struct session *s, const struct session_run *run, int n_runs,
                          float *logits, int member) {
    const struct model *m = s->m;
    struct member *me = &s->member[member];
    struct shard shard = {.part = {member, s->n_members, false},
                          .expert_at = s->expert_at,
                          .ticket = s->ticket, .scratch = &me->scratch};
    stage_enter(STAGE_OTHER);
    for (int l = 0; member == 0 && l <= m->cfg.num_hidden_layers; l++)
        atomic_store(&s->ticket[l], 0);
    shard.n = feed(s, run, n_runs, member == 0);
    shard_sync(&shard);
    const float *x = run_layers(s, run, n_runs, &shard, me);
    stage_enter(STAGE_HEAD);
    if (logits) {
        last_rows(s, run, n_runs, x, shard.part);
        shard_sync(&shard);
        head(s, n_runs, logits, &shard);
    }
    for (int i = 0; member == 0 && i < n_runs; i++) run[i].seq->len += run[i].n;
    shard_sync(&shard);
}

void session_forward(struct session *s, const struct session_run *run, int n_runs,
                     float *logits) {
    CHECK(s->n_members == 1);
    session_forward_part(s, run, n_runs, logits, 0);
}
