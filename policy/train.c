/* policy/train.c: see train.h. */
#include "policy/train.h"

#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "policy/attention.h"
#include "policy/block_grad.h"
#include "policy/stage.h"

enum { LOGITS_MAX = 32 << 20 }; /* floats of logits in flight; more rows go in chunks */

struct train_space {
    const struct model *m;
    int max_rows, n_threads;
    struct acts *acts; /* [L] */
    void **acts_mem;
    struct block_work work;
    void *work_mem;
    float *x_last, *dx[2]; /* [R][D] */
    float *keys;           /* of all sequences of one layer, as attention wants them */
    size_t n_keys;
    int *pos, *seq_of; /* [R] */
    int *pair;         /* [2 R] rows in pairs, -1 a row of zeros; bf16 only */
    int n_pairs;       /* its entries; in f32 rows */
    struct grad_ahead ahead; /* shared by the threads */
    float *aux;     /* [R][E] */
    int *head_row;  /* [R] rows that have a target */
    bool *second;   /* [R] of those: the second of a pair of its sequence */
    float *xh, *xhn, *dxhn, *rstd_h; /* their hidden states, normed, its gradient */
    float *tied; /* [V][D] the embedding's gradient where the head is tied to it */
    bool *touched; /* [V] its rows that hold something */
    float *logits;
    int chunk; /* target rows whose logits are held at once */
    struct shard *shard; /* [n_threads] */
    size_t *key_at; /* [R] where a sequence's keys stand */
    struct thread_state *thread;
    atomic_int *ticket, *head_ticket; /* [L], [chunks] */
    int chunks_max;
    int64_t *load;      /* [L][E] */
};

struct thread_state {
    struct scratch scratch;
    struct attn_scratch attn;
    struct grad_list grads;
    struct attn_job *job; /* of its sequences */
    int n_jobs, jobs_cap;
    float *weight; /* [V] */
    int *pair;     /* [2 chunk]; bf16 only */
    int seq, n_seqs;     /* its sequences */
    int first, last;     /* its rows' places among the pairs, or in f32 the rows */
    int64_t *load;       /* [L][E] tokens of the pass's forward by expert */
};

/* One pass as all threads see it. */
struct pass {
    struct train_space *t;
    const struct batch *b;
    const struct sampler *s;
    train_loss loss;
    void *ctx;
    double aux_scale;
    float *grad;
    float *out_logits; /* only these are wanted, [n_rows][V] */
    int n_targets;
};

/* A layer's activations; when they are computed again in the backward, its input only, and
 * the rest is shared by all layers of its kind. */
static void make_acts(struct train_space *t, int layer) {
    const struct model *m = t->m;
    int k = m->cfg.first_k_dense_replace, first = layer < k ? 0 : k;
    struct acts *a = &t->acts[layer];
    if (!m->options.recompute || layer == first) {
        t->acts_mem[layer] = acts_new(a, m, layer, t->max_rows);
        return;
    }
    *a = t->acts[first];
    a->x = mem_new((size_t)t->max_rows * (size_t)m->cfg.hidden_size + PANEL, sizeof(float));
    t->acts_mem[layer] = a->x;
}

static void make_ahead(struct train_space *t) {
    size_t n = t->m->options.trains ? grad_ahead_size(t->m, t->max_rows) : 0;
    float **p[] = {&t->ahead.xn1, &t->ahead.xn2, &t->ahead.ao, &t->ahead.dout};
    for (int i = 0; n > 0 && i < 4; i++) *p[i] = mem_new(n, sizeof(float));
}

struct train_space *train_space_new(const struct model *m, int max_rows, int n_threads) {
    struct train_space *t = mem_new(1, sizeof *t);
    const struct policy_config *c = &m->cfg;
    size_t L = (size_t)c->num_hidden_layers, R = (size_t)max_rows, E = (size_t)c->n_routed_experts;
    size_t RD = R * (size_t)c->hidden_size + PANEL, V = (size_t)c->vocab_size;
    *t = (struct train_space){.m = m, .max_rows = max_rows, .n_threads = n_threads};
    t->acts = mem_new(L, sizeof *t->acts);
    t->acts_mem = mem_new(L, sizeof *t->acts_mem);
    for (size_t i = 0; i < L; i++) make_acts(t, (int)i);
    t->work_mem = block_work_new(&t->work, m, max_rows, true);
    t->x_last = mem_new(RD, sizeof(float));
    for (int i = 0; i < 2; i++) t->dx[i] = mem_new(RD, sizeof(float));
    t->pos = mem_new(R, sizeof *t->pos);
    t->seq_of = mem_new(R, sizeof *t->seq_of);
    if (m->dtype == COMPUTE_BF16) t->pair = mem_new(2 * R, sizeof *t->pair);
    make_ahead(t);
    t->aux = mem_new(R * E + 1, sizeof *t->aux);
    t->head_row = mem_new(R, sizeof *t->head_row);
    t->second = mem_new(R, sizeof *t->second);
    t->xh = mem_new(RD, sizeof(float));
    t->xhn = mem_new(RD, sizeof(float));
    t->dxhn = mem_new(RD, sizeof(float));
    t->rstd_h = mem_new(R, sizeof(float));
    t->chunk = LOGITS_MAX / c->vocab_size > 16 ? LOGITS_MAX / c->vocab_size : 16;
    if (t->chunk > max_rows) t->chunk = max_rows;
    t->logits = mem_new((size_t)t->chunk * V + PANEL, sizeof(float));
    if (c->tie_word_embeddings) {
        t->tied = mem_new(V * (size_t)c->hidden_size, sizeof(float));
        t->touched = mem_new(V, sizeof *t->touched);
    }
    t->shard = mem_new((size_t)n_threads, sizeof *t->shard);
    t->key_at = mem_new(R, sizeof *t->key_at);
    t->thread = mem_new((size_t)n_threads, sizeof *t->thread);
    for (int i = 0; i < n_threads; i++) {
        struct thread_state *th = &t->thread[i];
        scratch_init(&th->scratch);
        grad_list_init(&th->grads, m, max_rows);
        th->weight = mem_new(V, sizeof(float));
        if (t->pair) th->pair = mem_new(2 * (size_t)t->chunk, sizeof *th->pair);
        th->load = mem_new(L * E + 1, sizeof *th->load);
        t->shard[i] = (struct shard){.part = PART_ALL, .scratch = &th->scratch};
        t->shard[i].expert_at = mem_new(L * (E + 1), sizeof(int));
    }
    t->ticket = mem_new(L + 1, sizeof *t->ticket);
    t->chunks_max = max_rows / (t->chunk > 1 ? t->chunk - 1 : 1) + 2;
    t->head_ticket = mem_new((size_t)t->chunks_max, sizeof *t->head_ticket);
    t->load = mem_new(L * E + 1, sizeof *t->load);
    return t;
}

void train_space_free(struct train_space *t) {
    if (!t) return;
    for (int i = 0; i < t->m->cfg.num_hidden_layers; i++) mem_free(t->acts_mem[i]);
    for (int i = 0; i < t->n_threads; i++) {
        mem_free(t->shard[i].expert_at);
        mem_free(t->thread[i].load);
        scratch_clear(&t->thread[i].scratch);
        attn_scratch_clear(&t->thread[i].attn);
        grad_list_clear(&t->thread[i].grads);
        mem_free(t->thread[i].job);
        mem_free(t->thread[i].weight);
        mem_free(t->thread[i].pair);
    }
    void *owned[] = {t->acts,     t->acts_mem, t->work_mem, t->x_last, t->dx[0],  t->dx[1],
                     t->keys,     t->pos,      t->aux,      t->head_row, t->xh,   t->xhn,
                     t->dxhn,     t->rstd_h,   t->tied,   t->logits,   t->shard,  t->thread, t->pair,
                     t->seq_of,   t->second,  t->head_ticket, t->touched, t->ahead.xn1,
                     t->ahead.xn2, t->ahead.ao, t->ahead.dout,
                     t->ticket,   t->load,    t->key_at};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
    mem_free(t);
}

static bool is_family_start(const struct batch *b, int seq) { return b->seq[seq].parent < 0; }

/* Cost of a row: the model's products plus the keys it sees. */
static double seq_cost(const struct model *m, const struct batch *b, int seq) {
    const struct batch_seq *q = &b->seq[seq];
    double per_key = 2.0 * m->cfg.num_hidden_layers * m->cfg.num_attention_heads * m->key_dim;
    double keys = q->pos + 0.5 * q->n;
    return q->n * ((double)model_active_params(m) + per_key * keys);
}

/* Cuts the batch into one run of whole families a thread, equal in cost as far as that
 * goes. The cut moves work, never bits. */
static void cut_shards(struct train_space *t, const struct batch *b) {
    double all = 0, done = 0;
    for (int i = 0; i < b->n_seqs; i++) all += seq_cost(t->m, b, i);
    int seq = 0, place = 0;
    for (int i = 0; i < t->n_threads; i++) {
        struct thread_state *th = &t->thread[i];
        struct shard *s = &t->shard[i];
        th->seq = seq;
        th->first = place;
        double until = all * (i + 1) / t->n_threads;
        while (seq < b->n_seqs && (i == t->n_threads - 1 || done < until)) {
            double family = 0;
            int next = seq;
            do family += seq_cost(t->m, b, next++);
            while (next < b->n_seqs && !is_family_start(b, next));
            if (i < t->n_threads - 1 && done + family / 2 > until) break;
            done += family;
            seq = next;
        }
        th->n_seqs = seq - th->seq;
        s->row = th->seq < b->n_seqs ? b->seq[th->seq].row : b->n_rows;
        s->n = (seq < b->n_seqs ? b->seq[seq].row : b->n_rows) - s->row;
        for (int q = th->seq; q < seq; q++) /* a sequence begins with a pair */
            place += t->pair ? (b->seq[q].n + 1) / 2 * 2 : b->seq[q].n;
        th->last = place;
    }
}

/* Floats of a sequence's keys (or values) in t->keys: panels, in bf16 the rows too. */
static size_t side_floats(const struct model *m, int width, int n) {
    if (width == 0) return 0;
    size_t rows = m->dtype == COMPUTE_BF16 ? attention_rows_size(m, width, n) : 0;
    return attention_panels_size(m, width, n) + rows;
}

static size_t seq_floats(const struct model *m, int n) {
    return side_floats(m, m->dk, n) + side_floats(m, m->dv, n);
}

static void reserve(struct train_space *t, const struct batch *b) {
    size_t floats = 0;
    int keys = 1;
    for (int i = 0; i < b->n_seqs; i++) {
        t->key_at[i] = floats;
        floats += seq_floats(t->m, b->seq[i].n);
        if (b->seq[i].pos + b->seq[i].n > keys) keys = b->seq[i].pos + b->seq[i].n;
    }
    if (floats > t->n_keys) {
        mem_free(t->keys);
        t->keys = mem_new(floats, sizeof(float));
        t->n_keys = floats;
    }
    for (int i = 0; i < t->n_threads; i++) {
        struct thread_state *th = &t->thread[i];
        attn_scratch_reserve(&th->attn, t->m, keys);
        if (th->jobs_cap < b->n_seqs) {
            mem_free(th->job);
            th->job = mem_new((size_t)b->n_seqs, sizeof *th->job);
            th->jobs_cap = b->n_seqs;
        }
    }
}

/* Where a sequence's keys, or its values, of one layer stand. */
struct key_memory {
    const struct model *m;
    int width, n;
    float *panels, *pairs;
    const float *rows; /* [n][width] in the layer's activations */
};

static struct key_memory memory_of(const struct train_space *t, const struct acts *a,
                                   const struct batch *b, int seq, bool val) {
    const struct model *m = t->m;
    const struct batch_seq *q = &b->seq[seq];
    int width = val ? m->dv : m->dk;
    float *panels = t->keys + t->key_at[seq] + (val ? side_floats(m, m->dk, q->n) : 0);
    return (struct key_memory){m, width, q->n, panels,
                               panels + attention_panels_size(m, width, q->n),
                               (val ? a->val : a->key) + (size_t)q->row * (size_t)width};
}

static const float *rows_in(const struct key_memory *k) {
    return k->m->dtype == COMPUTE_BF16 ? k->pairs : k->rows;
}

/* Behind the sequence `up`, or none. */
static void fill(const struct key_memory *k, const struct key_memory *up, bool panels, bool rows) {
    const float *last = NULL;
    if (panels) attention_pack_panels(k->m, k->width, k->rows, k->n, k->panels);
    if (!rows || k->m->dtype == COMPUTE_F32) return;
    if (up && up->n % 2 == 1) last = up->rows + (size_t)(up->n - 1) * (size_t)k->width;
    attention_pack_rows(k->m, k->width, k->rows, k->n, last, k->pairs);
}

static struct attn_keys keys_in(const struct key_memory *key, const struct key_memory *val) {
    return (struct attn_keys){key->panels, rows_in(key), val->panels, rows_in(val), key->n};
}

static struct attn_grads seq_grads(const struct train_space *t, const struct batch_seq *q) {
    size_t dk = (size_t)t->m->dk, dv = (size_t)t->m->dv, row = (size_t)q->row;
    float *key = t->work.dkey + row * dk;
    return (struct attn_grads){key, dv ? t->work.dval + row * dv : key};
}

static void add_job(const struct pass *p, struct attn_job *j, const struct acts *a, int seq,
                    bool backward) {
    struct train_space *t = p->t;
    const struct batch_seq *q = &p->b->seq[seq];
    bool mla = t->m->dv == 0, child = q->parent >= 0;
    struct key_memory key = memory_of(t, a, p->b, seq, false), up_key, up_val;
    struct key_memory val = mla ? key : memory_of(t, a, p->b, seq, true);
    *j = (struct attn_job){.n_rows = q->n};
    if (child) {
        up_key = memory_of(t, a, p->b, q->parent, false);
        up_val = mla ? up_key : memory_of(t, a, p->b, q->parent, true);
        j->prefix = keys_in(&up_key, &up_val);
    }
    fill(&key, child ? &up_key : NULL, true, mla || backward);
    if (!mla) fill(&val, child ? &up_val : NULL, backward, true);
    j->own = keys_in(&key, &val);
    if (!backward) return;
    j->down = seq_grads(t, q);
    if (child) j->dprefix = seq_grads(t, &p->b->seq[q->parent]);
}

/* The thread's attention jobs on one layer's keys, which it makes ready. */
static void layer_jobs(const struct pass *p, int layer, int me, bool backward) {
    struct thread_state *th = &p->t->thread[me];
    th->n_jobs = 0;
    for (int i = th->seq; i < th->seq + th->n_seqs; i++)
        if (p->b->seq[i].n > 0)
            add_job(p, &th->job[th->n_jobs++], &p->t->acts[layer], i, backward);
}

static float *layer_out(struct train_space *t, int layer) {
    return layer + 1 < t->m->cfg.num_hidden_layers ? t->acts[layer + 1].x : t->x_last;
}

/* One layer over the thread's rows, into out[R][D]. */
static void forward_layer(const struct pass *p, int l, int me, struct block_work *w,
                          float *out) {
    struct train_space *t = p->t;
    const struct model *m = t->m;
    const struct shard *s = &t->shard[me];
    struct acts *a = &t->acts[l];
    size_t row = (size_t)s->row, H = (size_t)m->cfg.num_attention_heads;
    block_project(m, l, a, w, s, t->pos);
    stage_enter(STAGE_ATTENTION);
    layer_jobs(p, l, me, false);
    attention_forward(m, t->thread[me].job, t->thread[me].n_jobs,
                      a->qt + row * H * (size_t)m->key_dim, a->o + row * H * (size_t)m->val_dim,
                      &t->thread[me].attn);
    stage_enter(STAGE_NORM);
    block_attn_out(m, l, a, s);
    block_ffn(m, l, a, w, s, out);
}

/* How many tokens a layer's experts get of the thread's rows. */
static void count_load(const struct pass *p, int l, int me) {
    struct train_space *t = p->t;
    const struct policy_config *c = &t->m->cfg;
    const struct shard *s = &t->shard[me];
    int T = c->num_experts_per_tok;
    int64_t *load = t->thread[me].load + (size_t)l * (size_t)c->n_routed_experts;
    memset(load, 0, (size_t)c->n_routed_experts * sizeof *load);
    for (int i = s->row; i < s->row + s->n; i++)
        for (int k = 0; k < T; k++)
            load[t->acts[l].expert[i * T + k]] += p->b->copies ? p->b->copies[i] : 1;
}

static void forward_shard(const struct pass *p, int me) {
    struct train_space *t = p->t;
    const struct shard *s = &t->shard[me];
    size_t D = (size_t)t->m->cfg.hidden_size;
    stage_enter(STAGE_OTHER);
    for (int i = s->row; i < s->row + s->n; i++)
        memcpy(t->acts[0].x + (size_t)i * D, t->m->embed + (size_t)p->b->id[i] * D,
               D * sizeof(float));
    for (int l = 0; l < t->m->cfg.num_hidden_layers; l++) {
        forward_layer(p, l, me, &t->work, layer_out(t, l));
        if (t->m->layer[l].moe) count_load(p, l, me);
    }
}

/* The balance loss of DeepSeek-V3 (eq. 17-20): alpha sum_i f_i P_i, for every sequence of
 * the thread; writes its gradient by score. f counts the top experts by score alone. */
static void aux_gradient(const struct pass *p, int layer, int me) {
    struct train_space *t = p->t;
    int E = t->m->cfg.n_routed_experts, T = t->m->cfg.num_experts_per_tok;
    const float *score = t->acts[layer].score;
    const struct thread_state *of = &t->thread[me];
    for (int q = of->seq; q < of->seq + of->n_seqs; q++) {
        const struct batch_seq *seq = &p->b->seq[q];
        float f[1024] = {0}, unit = (float)E / (float)T / (float)seq->n;
        for (int i = seq->row; i < seq->row + seq->n; i++) {
            const float *s = score + (size_t)i * (size_t)E;
            for (int e = 0; e < E; e++) {
                int better = 0;
                for (int o = 0; o < E; o++) better += s[o] > s[e] || (s[o] == s[e] && o < e);
                if (better < T) f[e] += unit;
            }
        }
        for (int i = seq->row; i < seq->row + seq->n; i++) {
            const float *s = score + (size_t)i * (size_t)E;
            float *d = t->aux + (size_t)i * (size_t)E, sum = 1e-20f, dot = 0;
            for (int e = 0; e < E; e++) {
                sum += s[e];
                dot += f[e] * s[e];
            }
            float c = (float)(p->aux_scale / seq->n) / sum;
            for (int e = 0; e < E; e++) d[e] = c * (f[e] - dot / sum);
        }
    }
}

/* All threads take tiles until none is left; every list is the same. */
static void run_tiles(struct train_space *t, int me, const struct grad_job *job, int n_jobs,
                      atomic_int *ticket) {
    int mine = atomic_fetch_add(ticket, 1), first = 0;
    for (int j = 0; j < n_jobs; j++) {
        int tiles = grad_job_tiles(&job[j]);
        while (mine < first + tiles) {
            grad_job_tile(t->m->k, &job[j], mine - first, &t->thread[me].scratch);
            mine = atomic_fetch_add(ticket, 1);
        }
        first += tiles;
    }
}

static void attention_pass_back(const struct pass *p, int l, int me) {
    struct train_space *t = p->t;
    const struct model *m = t->m;
    const struct shard *s = &t->shard[me];
    struct block_work *w = &t->work;
    size_t row = (size_t)s->row, n = (size_t)s->n, H = (size_t)m->cfg.num_attention_heads;
    size_t dk = (size_t)m->dk, dv = (size_t)m->dv, qw = H * (size_t)m->key_dim;
    memset(w->dkey + row * dk, 0, n * dk * sizeof(float));
    if (dv) memset(w->dval + row * dv, 0, n * dv * sizeof(float));
    layer_jobs(p, l, me, true);
    attention_backward(m, t->thread[me].job, t->thread[me].n_jobs, t->acts[l].qt + row * qw,
                       w->d_o + row * H * (size_t)m->val_dim, w->dqt + row * qw,
                       &t->thread[me].attn);
}

static void backward_layer(const struct pass *p, int l, int me, const float *dout, float *dx) {
    struct train_space *t = p->t;
    const struct model *m = t->m;
    const struct shard *s = &t->shard[me];
    struct acts *a = &t->acts[l];
    struct block_work *w = &t->work;
    bool aux = p->aux_scale > 0 && m->layer[l].moe;
    if (m->options.recompute) { /* all threads are at this layer: h as the backward has it */
        struct block_work again = *w;
        again.h_width = m->layer[l].dense.width;
        forward_layer(p, l, me, &again, dx);
    }
    stage_enter(STAGE_ROUTING);
    if (aux) aux_gradient(p, l, me);
    block_ffn_backward(m, l, a, w, s, dout, aux ? t->aux : NULL);
    block_attn_out_backward(m, l, w, s);
    stage_enter(STAGE_ATTENTION);
    attention_pass_back(p, l, me);
    stage_enter(STAGE_NORM);
    block_project_backward(m, l, a, w, s, t->pos, dx);
    struct grad_list *g = &t->thread[me].grads;
    g->grad = p->grad;
    g->dense = t->pair;
    g->n_dense = t->n_pairs;
    g->n_rows = p->b->n_rows;
    g->ahead = t->ahead;
    block_grad_pack(g, m, l, a, w, dout, t->thread[me].first, t->thread[me].last);
    stage_enter(STAGE_IDLE);
#pragma omp barrier
    stage_enter(STAGE_MATMUL);
    block_grad_jobs(g, m, l, a, w, t->shard, t->n_threads, t->seq_of, dout);
    run_tiles(t, me, g->job, g->n_jobs, &t->ticket[l]);
    stage_enter(STAGE_NORM);
    block_grad_norms(m, l, a, w, p->b->n_rows, me, t->n_threads, p->grad);
    stage_enter(STAGE_IDLE);
#pragma omp barrier
}

/* Target rows [c0, c1): logits to loss, and in their place its gradient by logits. */
static void loss_rows(const struct pass *p, int me, int first, int c0, int c1) {
    struct train_space *t = p->t;
    const struct kernels *k = t->m->k;
    int V = t->m->cfg.vocab_size;
    float *x = t->logits + (size_t)(c0 - first) * (size_t)V;
    for (int c = c0; c < c1; c++, x += V) {
        struct sampler_row row = {.weight = t->thread[me].weight};
        int r = t->head_row[c], target = p->b->target[r];
        sampler_row_fill(&row, k, p->s, x, V);
        float logp = sampler_row_logp(&row, x, target);
        float g = p->loss(p->ctx, r, logp, sampler_row_entropy(&row, k, x, V)) * row.inv_t;
        if (!p->grad) continue;
        float scale = (float)(-(double)g / row.sum);
        k->scale_to(x, scale, row.weight, (size_t)V);
        x[target] += g;
    }
}

/* In bf16 a sequence's targets are taken in pairs, and no chunk ends inside one. */
static int list_head_pairs(struct train_space *t, int first, int size, int me) {
    int *pair = t->thread[me].pair, n = 0;
    for (int c = 0; c < size; c++) {
        if (!t->second[first + c] && n % 2 == 1) pair[n++] = -1;
        pair[n++] = c;
    }
    if (n % 2 == 1) pair[n++] = -1;
    return n;
}

/* dW += dlogits^T x over `size` target rows from `first` on; packs the thread's share of x. */
static struct grad_job head_job(const struct pass *p, int first, int size, int me) {
    struct train_space *t = p->t;
    const struct linear *h = &t->m->head;
    size_t D = (size_t)h->in;
    struct grad_job job = {.M = h->out, .N = h->in, .K = size, .bf16 = h->bf16,
                           .a = t->logits, .lda = (size_t)h->out,
                           .b = t->xhn + (size_t)first * D, .ldb = D,
                           .c = p->grad + h->grad, .ldc = h->ld, .b_packed = t->ahead.xn1};
    if (job.bf16) {
        job.K = list_head_pairs(t, first, size, me);
        job.a_row = job.b_row = t->thread[me].pair;
    }
    if (job.b_packed) {
        struct pack_source x = {job.b, D, job.b_row, job.bf16};
        long pairs = (job.K + 1) / 2, T = t->n_threads;
        int from = (int)(pairs * me / T * 2), to = (int)(pairs * (me + 1) / T * 2);
        grad_pack(t->m->k, &x, from, to < job.K ? to : job.K, job.K, job.N, PANEL, t->ahead.xn1);
    }
    return job;
}

/* A chunk of target rows: logits, losses, the hidden states' gradient, and by tiles the
 * weights'. Threads share out the rows; where the head is large its columns, so that each
 * walks (and packs) its part of the weights only. */
static void head_chunk(const struct pass *p, int me, int first, int size, atomic_int *ticket) {
    struct train_space *t = p->t;
    const struct model *m = t->m;
    size_t D = (size_t)m->cfg.hidden_size, V = (size_t)m->cfg.vocab_size;
    struct scratch *s = &t->thread[me].scratch;
    int T = t->n_threads, c0 = (int)((long)size * me / T), c1 = (int)((long)size * (me + 1) / T);
    bool large = model_is_large(m);
    struct part part = large ? (struct part){me, T, false} : PART_ALL;
    int from = large ? 0 : c0, n = large ? size : c1 - c0;
    float *x = t->xhn + (size_t)(first + from) * D, *logits = t->logits + (size_t)from * V;
    stage_enter(STAGE_HEAD);
    linear_forward(m->k, &m->head, n, x, D, logits, V, false, part, s);
    if (large) {
#pragma omp barrier
    }
    loss_rows(p, me, first, first + c0, first + c1);
    if (!p->grad) {
#pragma omp barrier
        return;
    }
    if (large) {
#pragma omp barrier
    }
    linear_backward(m->k, &m->head, n, logits, V, t->dxhn + (size_t)(first + from) * D, D, false,
                    part, s);
    struct grad_job job = head_job(p, first, size, me);
#pragma omp barrier
    run_tiles(t, me, &job, 1, ticket);
#pragma omp barrier
}

/* Gathers and norms the rows that have a target, then goes chunk by chunk. */
static void head_pass(const struct pass *p, int me) {
    struct train_space *t = p->t;
    const struct model *m = t->m;
    size_t D = (size_t)m->cfg.hidden_size;
    int n = p->n_targets, T = t->n_threads, c0 = (int)((long)n * me / T);
    int c1 = (int)((long)n * (me + 1) / T);
    stage_enter(STAGE_HEAD);
    for (int c = c0; c < c1; c++)
        memcpy(t->xh + (size_t)c * D, t->x_last + (size_t)t->head_row[c] * D, D * sizeof(float));
    m->k->rmsnorm(c1 - c0, (int)D, t->xh + (size_t)c0 * D, D, m->final_norm.w,
                  m->final_norm.eps, t->xhn + (size_t)c0 * D, D, t->rstd_h + c0);
#pragma omp barrier
    for (int first = 0, size, i = 0; first < n; first += size, i++) {
        size = n - first < t->chunk ? n - first : t->chunk;
        if (first + size < n && t->second[first + size]) size--;
        head_chunk(p, me, first, size, &t->head_ticket[i]);
    }
}

/* dxhn -> the last layer's output gradient, zero in rows without a target. */
static void head_backward(const struct pass *p, int me, float *dx) {
    struct train_space *t = p->t;
    const struct model *m = t->m;
    const struct shard *s = &t->shard[me];
    size_t D = (size_t)m->cfg.hidden_size;
    memset(dx + (size_t)s->row * D, 0, (size_t)s->n * D * sizeof(float));
    for (int c = 0; c < p->n_targets; c++) {
        int r = t->head_row[c];
        if (r < s->row || r >= s->row + s->n) continue;
        m->k->rmsnorm_backward(1, (int)D, t->xh + (size_t)c * D, D, m->final_norm.w,
                               t->rstd_h + c, t->dxhn + (size_t)c * D, D, dx + (size_t)r * D, D,
                               false);
    }
    int blocks = ((int)D + 15) / 16, T = t->n_threads;
    int c0 = blocks * me / T * 16, c1 = blocks * (me + 1) / T * 16;
    if (c1 > (int)D) c1 = (int)D;
    if (c0 < c1)
        m->k->rmsnorm_dw(p->n_targets, c0, c1, t->xh, D, t->rstd_h, t->dxhn, D,
                         p->grad + m->final_norm.grad);
}

void train_finish(struct train_space *t, float *grad) {
    if (!t->tied || !grad) return;
    size_t D = (size_t)t->m->cfg.hidden_size;
    for (int id = 0; id < t->m->cfg.vocab_size; id++) {
        if (!t->touched[id]) continue;
        float *row = t->tied + (size_t)id * D;
        t->m->k->add(grad + t->m->embed_grad + (size_t)id * D, row, D);
        memset(row, 0, D * sizeof *row);
        t->touched[id] = false;
    }
}

/* Rows of the table in batch order; each thread owns a slice of the columns. */
static void embed_backward(const struct pass *p, int me, const float *dx) {
    struct train_space *t = p->t;
    size_t D = (size_t)t->m->cfg.hidden_size, T = (size_t)t->n_threads;
    size_t c0 = D * (size_t)me / T, c1 = D * (size_t)(me + 1) / T;
    float *out = t->tied ? t->tied : p->grad + t->m->embed_grad;
    for (int i = 0; t->tied && me == 0 && i < p->b->n_rows; i++) t->touched[p->b->id[i]] = true;
    for (int i = 0; i < p->b->n_rows; i++)
        t->m->k->add(out + (size_t)p->b->id[i] * D + c0,
                     dx + (size_t)i * D + c0, c1 - c0);
}

static void backward_all(const struct pass *p, int me) {
    struct train_space *t = p->t;
    int L = t->m->cfg.num_hidden_layers;
    stage_enter(STAGE_HEAD);
    head_backward(p, me, t->dx[L % 2]);
    for (int l = L - 1; l >= 0; l--)
        backward_layer(p, l, me, t->dx[(l + 1) % 2], t->dx[l % 2]);
    stage_enter(STAGE_OTHER);
    embed_backward(p, me, t->dx[0]);
}

static void run_thread(const struct pass *p, int me) {
    struct train_space *t = p->t;
    forward_shard(p, me);
    stage_enter(STAGE_IDLE);
#pragma omp barrier
    if (p->out_logits) {
        const struct model *m = t->m;
        const struct shard *s = &t->shard[me];
        size_t D = (size_t)m->cfg.hidden_size, V = (size_t)m->cfg.vocab_size;
        size_t row = (size_t)s->row;
        m->k->rmsnorm(s->n, (int)D, t->x_last + row * D, D, m->final_norm.w, m->final_norm.eps,
                      t->xhn + row * D, D, NULL);
        linear_forward(m->k, &m->head, s->n, t->xhn + row * D, D, p->out_logits + row * V, V,
                       false, PART_ALL, s->scratch);
        return;
    }
    head_pass(p, me);
#pragma omp barrier
    if (p->grad) backward_all(p, me);
}

static void add_loads(struct train_space *t) {
    const struct policy_config *c = &t->m->cfg;
    int E = c->n_routed_experts, first = c->first_k_dense_replace * E;
    for (int n = 0; n < t->n_threads; n++)
        for (int i = first; i < c->num_hidden_layers * E; i++) t->load[i] += t->thread[n].load[i];
}

/* Notes where the rows of a sequence stand, which have targets, and what makes a pair. */
static void list_rows(struct pass *p, int seq) {
    struct train_space *t = p->t;
    const struct batch_seq *q = &p->b->seq[seq];
    int targets = 0;
    for (int r = 0; r < q->n; r++) {
        int row = q->row + r;
        t->pos[row] = q->pos + r;
        t->seq_of[row] = seq;
        if (t->pair) t->pair[t->n_pairs++] = row;
        if (!p->b->target || p->b->target[row] < 0) continue;
        t->second[p->n_targets] = targets++ % 2 == 1;
        t->head_row[p->n_targets++] = row;
    }
    if (t->pair && q->n % 2 == 1) t->pair[t->n_pairs++] = -1;
    if (!t->pair) t->n_pairs += q->n;
}

static void run(struct pass *p) {
    struct train_space *t = p->t;
    const struct batch *b = p->b;
    CHECK(b->n_rows <= t->max_rows && b->n_rows > 0);
    CHECK(!p->grad || t->m->options.trains);
    t->n_pairs = 0;
    for (int i = 0; i < b->n_seqs; i++) {
        const struct batch_seq *q = &b->seq[i];
        CHECK(q->parent < i && q->pos + q->n <= t->m->max_pos);
        list_rows(p, i);
    }
    cut_shards(t, b);
    reserve(t, b);
    for (int l = 0; l <= t->m->cfg.num_hidden_layers; l++) atomic_store(&t->ticket[l], 0);
    for (int i = 0; i < t->chunks_max; i++) atomic_store(&t->head_ticket[i], 0);
#pragma omp parallel num_threads(t->n_threads)
    {
        CHECK(omp_get_num_threads() == t->n_threads);
        mem_freeze();
        run_thread(p, omp_get_thread_num());
        mem_thaw();
        stage_enter(STAGE_IDLE);
    }
    stage_enter(STAGE_OTHER);
    add_loads(t);
}

void train_pass(struct train_space *t, const struct batch *b, const struct sampler *s,
                train_loss loss, void *ctx, double aux_scale, float *grad) {
    struct pass p = {.t = t, .b = b, .s = s, .loss = loss, .ctx = ctx, .aux_scale = aux_scale,
                     .grad = grad};
    run(&p);
}

void train_logits(struct train_space *t, const struct batch *b, float *logits) {
    struct pass p = {.t = t, .b = b, .out_logits = logits};
    run(&p);
}

const int64_t *train_expert_load(const struct train_space *t) { return t->load; }

void train_expert_load_reset(struct train_space *t) {
    const struct policy_config *c = &t->m->cfg;
    memset(t->load, 0,
           (size_t)c->num_hidden_layers * (size_t)c->n_routed_experts * sizeof *t->load);
}

void train_experts(const struct train_space *t, int row, uint8_t *out) {
    const struct policy_config *c = &t->m->cfg;
    size_t T = (size_t)c->num_experts_per_tok;
    for (int l = c->first_k_dense_replace; l < c->num_hidden_layers; l++)
        for (size_t i = 0; i < T; i++) *out++ = (uint8_t)t->acts[l].expert[(size_t)row * T + i];
}
