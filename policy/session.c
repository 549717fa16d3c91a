/* policy/session.c: see session.h. */
#include "policy/session.h"

#include <string.h>

#include "base/mem.h"
#include "policy/block.h"
#include "policy/stage.h"

struct session_seq {
    struct session_seq *parent, *next_free;
    float *keys; /* [L] of panels, then rows; borrowed from the session */
    int len, cap;
    bool prompt;
};

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
    struct attn_job *job;
    struct attn_scratch scratch;
};

static int panels_len(int cap) { return (cap + PANEL - 1) / PANEL * PANEL; }

/* One layer's cache of a sequence: panels, rows, and what matmul reads behind them. */
static size_t layer_floats(const struct model *m, int cap) {
    return (size_t)(panels_len(cap) + cap) * (size_t)m->dk + PANEL;
}

static float *layer_panels(const struct session *s, const struct session_seq *q, int layer) {
    return q->keys + (size_t)layer * layer_floats(s->m, q->cap);
}

static float *layer_rows(const struct session *s, const struct session_seq *q, int layer) {
    return layer_panels(s, q, layer) + (size_t)panels_len(q->cap) * (size_t)s->m->dk;
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
    struct session *s = mem_new(1, sizeof *s);
    const struct policy_config *c = &m->cfg;
    *s = (struct session){.m = m, .size = size};
    make_pool(s);
    int k = c->first_k_dense_replace, L = c->num_hidden_layers, R = size.max_rows;
    if (k > 0) s->dense_mem = acts_new(&s->dense, m, 0, R);
    if (k < L) s->moe_mem = acts_new(&s->moe, m, L - 1, R);
    s->work_mem = block_work_new(&s->work, m, R, false);
    size_t RD = (size_t)R * (size_t)c->hidden_size + PANEL;
    for (int i = 0; i < 2; i++) s->x[i] = mem_new(RD, sizeof(float));
    s->xh = mem_new(RD, sizeof(float));
    s->pos = mem_new((size_t)R, sizeof *s->pos);
    s->job = mem_new((size_t)R, sizeof *s->job);
    s->expert_at = mem_new((size_t)(L * (c->n_routed_experts + 1)), sizeof *s->expert_at);
    attn_scratch_reserve(&s->scratch, m, size.prompt_len + size.seq_len);
    return s;
}

void session_free(struct session *s) {
    if (!s) return;
    void *owned[] = {s->cache, s->seq, s->dense_mem, s->moe_mem, s->work_mem, s->x[0],
                     s->x[1],  s->xh,  s->pos,       s->job,     s->expert_at};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
    attn_scratch_clear(&s->scratch);
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
    return (struct attn_keys){layer_panels(s, q, layer), layer_rows(s, q, layer), n};
}

/* Copies the new rows' keys into the caches and lists what attends to what. */
static void append_keys(struct session *s, const struct session_run *run, int n_runs, int layer,
                        const float *key) {
    size_t dk = (size_t)s->m->dk;
    for (int i = 0; i < n_runs; i++) {
        struct session_seq *q = run[i].seq;
        int n = run[i].n;
        float *rows = layer_rows(s, q, layer);
        memcpy(rows + (size_t)q->len * dk, key, (size_t)n * dk * sizeof *key);
        attention_panels((int)dk, key, q->len, n, layer_panels(s, q, layer));
        key += (size_t)n * dk;
        struct attn_job *j = &s->job[i];
        *j = (struct attn_job){.n_rows = n, .first = q->len};
        j->own = keys_of(s, q, layer, q->len + n);
        if (q->parent) j->prefix = keys_of(s, q->parent, layer, q->parent->len);
    }
}

/* The rows' final hidden states end in the buffer it returns. */
static const float *run_layers(struct session *s, const struct session_run *run, int n_runs,
                               int rows) {
    const struct model *m = s->m;
    struct shard shard = {.row = 0, .n = rows, .expert_at = s->expert_at};
    float *x = s->x[0], *out = s->x[1];
    for (int l = 0; l < m->cfg.num_hidden_layers; l++) {
        struct acts *a = m->layer[l].moe ? &s->moe : &s->dense;
        a->x = x;
        block_project(m, l, a, &shard, s->pos);
        stage_enter(STAGE_ATTENTION);
        append_keys(s, run, n_runs, l, a->key);
        attention_forward(m, s->job, n_runs, a->qt, a->o, &s->scratch);
        stage_enter(STAGE_NORM);
        block_attn_out(m, l, a, &shard);
        block_ffn(m, l, a, &s->work, &shard, out);
        float *t = x;
        x = out;
        out = t;
    }
    return x;
}

void session_forward(struct session *s, const struct session_run *run, int n_runs,
                     float *logits) {
    const struct model *m = s->m;
    size_t D = (size_t)m->cfg.hidden_size, V = (size_t)m->cfg.vocab_size;
    int rows = 0;
    stage_enter(STAGE_OTHER);
    for (int i = 0; i < n_runs; i++) {
        struct session_seq *q = run[i].seq;
        CHECK(run[i].n > 0 && rows + run[i].n <= s->size.max_rows);
        CHECK(q->len + run[i].n <= q->cap && session_len(q) + run[i].n <= m->max_pos);
        for (int j = 0; j < run[i].n; j++, rows++) {
            s->pos[rows] = session_len(q) + j;
            memcpy(s->x[0] + (size_t)rows * D, m->embed + (size_t)run[i].id[j] * D,
                   D * sizeof(float));
        }
    }
    const float *x = run_layers(s, run, n_runs, rows);
    stage_enter(STAGE_HEAD);
    int row = -1;
    for (int i = 0; i < n_runs; i++) {
        run[i].seq->len += run[i].n;
        row += run[i].n;
        if (logits) memcpy(s->xh + (size_t)i * D, x + (size_t)row * D, D * sizeof(float));
    }
    if (!logits) return;
    m->k->rmsnorm(n_runs, (int)D, s->xh, D, m->final_norm.w, m->final_norm.eps, s->xh, D, NULL);
    m->k->matmul(n_runs, (int)V, (int)D, s->xh, D, 1, m->head.fwd, logits, V, false);
}
