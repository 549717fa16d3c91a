/* policy/train.c: see train.h. */
#include "policy/train.h"

#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "policy/block.h"
#include "policy/stage.h"

enum { LOGITS_MAX = 4 << 20 }; /* floats of logits in flight; more rows go in chunks */

struct train_space {
    const struct model *m;
    int max_rows, n_threads;
    struct acts *acts; /* [L] */
    void **acts_mem;
    struct block_work work;
    void *work_mem;
    float *x_last, *dx[2]; /* [R][D] */
    float *panels;         /* keys of all sequences of one layer */
    size_t n_panels;
    int *pos;       /* [R] */
    float *aux;     /* [R][E] */
    int *head_row;  /* [R] rows that have a target */
    float *xh, *xhn, *dxhn, *rstd_h; /* their hidden states, normed, its gradient */
    float *tied; /* [V][D] the embedding's gradient where the head is tied to it */
    float *logits;
    int chunk; /* target rows whose logits are held at once */
    struct shard *shard;
    struct thread_state *thread;
    struct grad_job *job; /* [n_threads][jobs_max] */
    int jobs_max;
    atomic_int *ticket; /* [L + 1] */
    int64_t *load;      /* [L][E] */
};

struct thread_state {
    struct attn_scratch scratch;
    struct attn_job *job; /* of its sequences */
    int n_jobs, jobs_cap;
    float *weight; /* [V] */
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

struct train_space *train_space_new(const struct model *m, int max_rows, int n_threads) {
    struct train_space *t = mem_new(1, sizeof *t);
    const struct policy_config *c = &m->cfg;
    size_t L = (size_t)c->num_hidden_layers, R = (size_t)max_rows, E = (size_t)c->n_routed_experts;
    size_t RD = R * (size_t)c->hidden_size + PANEL, V = (size_t)c->vocab_size;
    *t = (struct train_space){.m = m, .max_rows = max_rows, .n_threads = n_threads};
    t->acts = mem_new(L, sizeof *t->acts);
    t->acts_mem = mem_new(L, sizeof *t->acts_mem);
    for (size_t i = 0; i < L; i++) t->acts_mem[i] = acts_new(&t->acts[i], m, (int)i, max_rows);
    t->work_mem = block_work_new(&t->work, m, max_rows, true);
    t->x_last = mem_new(RD, sizeof(float));
    for (int i = 0; i < 2; i++) t->dx[i] = mem_new(RD, sizeof(float));
    t->pos = mem_new(R, sizeof *t->pos);
    t->aux = mem_new(R * E, sizeof *t->aux);
    t->head_row = mem_new(R, sizeof *t->head_row);
    t->xh = mem_new(RD, sizeof(float));
    t->xhn = mem_new(RD, sizeof(float));
    t->dxhn = mem_new(RD, sizeof(float));
    t->rstd_h = mem_new(R, sizeof(float));
    t->chunk = LOGITS_MAX / c->vocab_size > 16 ? LOGITS_MAX / c->vocab_size : 16;
    if (t->chunk > max_rows) t->chunk = max_rows;
    t->logits = mem_new((size_t)t->chunk * V + PANEL, sizeof(float));
    if (c->tie_word_embeddings)
        t->tied = mem_new(V * (size_t)c->hidden_size, sizeof(float));
    t->shard = mem_new((size_t)n_threads, sizeof *t->shard);
    t->thread = mem_new((size_t)n_threads, sizeof *t->thread);
    for (int i = 0; i < n_threads; i++) {
        t->shard[i].expert_at = mem_new(L * (E + 1), sizeof(int));
        t->thread[i].weight = mem_new(V, sizeof(float));
    }
    t->jobs_max = block_grad_jobs_max(m, n_threads);
    t->job = mem_new((size_t)(t->jobs_max * n_threads), sizeof *t->job);
    t->ticket = mem_new(L + 1, sizeof *t->ticket);
    t->load = mem_new(L * E, sizeof *t->load);
    return t;
}

void train_space_free(struct train_space *t) {
    if (!t) return;
    for (int i = 0; i < t->m->cfg.num_hidden_layers; i++) mem_free(t->acts_mem[i]);
    for (int i = 0; i < t->n_threads; i++) {
        mem_free(t->shard[i].expert_at);
        attn_scratch_clear(&t->thread[i].scratch);
        mem_free(t->thread[i].job);
        mem_free(t->thread[i].weight);
    }
    void *owned[] = {t->acts,     t->acts_mem, t->work_mem, t->x_last, t->dx[0],  t->dx[1],
                     t->panels,   t->pos,      t->aux,      t->head_row, t->xh,   t->xhn,
                     t->dxhn,     t->rstd_h,   t->tied,   t->logits,   t->shard,  t->thread, t->job,
                     t->ticket,   t->load};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) mem_free(owned[i]);
    mem_free(t);
}

static bool is_family_start(const struct batch *b, int seq) { return b->seq[seq].parent < 0; }

/* Cost of a row: the model's products plus the keys it sees. */
static double seq_cost(const struct model *m, const struct batch *b, int seq) {
    const struct batch_seq *q = &b->seq[seq];
    double per_key = 2.0 * m->cfg.num_hidden_layers * m->cfg.num_attention_heads * m->dk;
    double keys = q->pos + 0.5 * q->n;
    return q->n * ((double)model_active_params(m) + per_key * keys);
}

/* Cuts the batch into one run of whole families a thread, equal in cost as far as that
 * goes. The cut moves work, never bits. */
static void cut_shards(struct train_space *t, const struct batch *b) {
    double all = 0, done = 0;
    for (int i = 0; i < b->n_seqs; i++) all += seq_cost(t->m, b, i);
    int seq = 0, row = 0;
    for (int i = 0; i < t->n_threads; i++) {
        struct shard *s = &t->shard[i];
        s->row = row;
        double until = all * (i + 1) / t->n_threads;
        while (seq < b->n_seqs && (i == t->n_threads - 1 || done < until)) {
            double family = 0;
            int next = seq;
            do family += seq_cost(t->m, b, next++);
            while (next < b->n_seqs && !is_family_start(b, next));
            if (i < t->n_threads - 1 && done + family / 2 > until) break;
            done += family;
            seq = next;
            row = seq < b->n_seqs ? b->seq[seq].row : b->n_rows;
        }
        s->n = row - s->row;
    }
}

/* Sequence i's keys: panels start at 32-position steps. */
static size_t panels_of(const struct batch *b, const struct model *m, int seq) {
    return (size_t)(b->seq[seq].n + PANEL - 1) / PANEL * PANEL * (size_t)m->dk;
}

static void reserve(struct train_space *t, const struct batch *b) {
    size_t panels = 0;
    int keys = 1;
    for (int i = 0; i < b->n_seqs; i++) {
        panels += panels_of(b, t->m, i);
        if (b->seq[i].pos + b->seq[i].n > keys) keys = b->seq[i].pos + b->seq[i].n;
    }
    if (panels > t->n_panels) {
        mem_free(t->panels);
        t->panels = mem_new(panels, sizeof(float));
        t->n_panels = panels;
    }
    for (int i = 0; i < t->n_threads; i++) {
        struct thread_state *th = &t->thread[i];
        attn_scratch_reserve(&th->scratch, t->m, keys);
        if (th->jobs_cap < b->n_seqs) {
            mem_free(th->job);
            th->job = mem_new((size_t)b->n_seqs, sizeof *th->job);
            th->jobs_cap = b->n_seqs;
        }
    }
}

/* The thread's attention jobs on one layer's keys; fills the panels of its sequences. */
static void layer_jobs(const struct pass *p, int layer, int me, float *dkey) {
    struct train_space *t = p->t;
    const struct batch *b = p->b;
    const struct shard *s = &t->shard[me];
    struct thread_state *th = &t->thread[me];
    size_t dk = (size_t)t->m->dk, at = 0, parent_at = 0;
    th->n_jobs = 0;
    for (int i = 0; i < b->n_seqs; at += panels_of(b, t->m, i++)) {
        const struct batch_seq *q = &b->seq[i];
        if (q->parent < 0) parent_at = at;
        if (q->row < s->row || q->row >= s->row + s->n || q->n == 0) continue;
        const float *key = t->acts[layer].key;
        struct attn_job *j = &th->job[th->n_jobs++];
        *j = (struct attn_job){.n_rows = q->n};
        j->own = (struct attn_keys){t->panels + at, key + (size_t)q->row * dk, q->n};
        if (dkey) j->down = dkey + (size_t)q->row * dk;
        attention_panels((int)dk, j->own.rows, 0, q->n, t->panels + at);
        if (q->parent < 0) continue;
        const struct batch_seq *up = &b->seq[q->parent];
        j->prefix = (struct attn_keys){t->panels + parent_at, key + (size_t)up->row * dk, up->n};
        if (dkey) j->dprefix = dkey + (size_t)up->row * dk;
    }
}

static float *layer_out(struct train_space *t, int layer) {
    return layer + 1 < t->m->cfg.num_hidden_layers ? t->acts[layer + 1].x : t->x_last;
}

static void forward_shard(const struct pass *p, int me) {
    struct train_space *t = p->t;
    const struct model *m = t->m;
    const struct shard *s = &t->shard[me];
    size_t D = (size_t)m->cfg.hidden_size, row = (size_t)s->row;
    size_t H = (size_t)m->cfg.num_attention_heads, r = (size_t)m->cfg.kv_lora_rank;
    stage_enter(STAGE_OTHER);
    for (int i = s->row; i < s->row + s->n; i++)
        memcpy(t->acts[0].x + (size_t)i * D, m->embed + (size_t)p->b->id[i] * D,
               D * sizeof(float));
    for (int l = 0; l < m->cfg.num_hidden_layers; l++) {
        struct acts *a = &t->acts[l];
        block_project(m, l, a, s, t->pos);
        stage_enter(STAGE_ATTENTION);
        layer_jobs(p, l, me, NULL);
        attention_forward(m, t->thread[me].job, t->thread[me].n_jobs,
                          a->qt + row * H * (size_t)m->dk, a->o + row * H * r,
                          &t->thread[me].scratch);
        stage_enter(STAGE_NORM);
        block_attn_out(m, l, a, s);
        block_ffn(m, l, a, &t->work, s, layer_out(t, l));
    }
}

/* The balance loss of DeepSeek-V3 (eq. 17-20): alpha sum_i f_i P_i, for every sequence of
 * the shard; writes its gradient by score. f counts the top experts by score alone. */
static void aux_gradient(const struct pass *p, int layer, int me) {
    struct train_space *t = p->t;
    int E = t->m->cfg.n_routed_experts, T = t->m->cfg.num_experts_per_tok;
    const float *score = t->acts[layer].score;
    for (int q = 0; q < p->b->n_seqs; q++) {
        const struct batch_seq *seq = &p->b->seq[q];
        if (seq->row < t->shard[me].row || seq->row >= t->shard[me].row + t->shard[me].n)
            continue;
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
static void run_tiles(struct train_space *t, const struct grad_job *job, int n_jobs,
                      atomic_int *ticket) {
    int mine = atomic_fetch_add(ticket, 1), first = 0;
    for (int j = 0; j < n_jobs; j++) {
        if (j > 0 && job[j - 1].more) continue;
        int tiles = (job[j].M + GRAD_TILE - 1) / GRAD_TILE;
        while (mine < first + tiles) {
            block_grad_tile(t->m, &job[j], mine - first);
            mine = atomic_fetch_add(ticket, 1);
        }
        first += tiles;
    }
}

static void backward_layer(const struct pass *p, int l, int me, const float *dout, float *dx) {
    struct train_space *t = p->t;
    const struct model *m = t->m;
    const struct shard *s = &t->shard[me];
    struct acts *a = &t->acts[l];
    struct block_work *w = &t->work;
    size_t row = (size_t)s->row, H = (size_t)m->cfg.num_attention_heads, dk = (size_t)m->dk;
    bool aux = p->aux_scale > 0 && m->layer[l].moe;
    stage_enter(STAGE_ROUTING);
    if (aux) aux_gradient(p, l, me);
    block_ffn_backward(m, l, a, w, s, dout, aux ? t->aux : NULL);
    block_attn_out_backward(m, l, a, w, s);
    stage_enter(STAGE_ATTENTION);
    memset(w->dkey + row * dk, 0, (size_t)s->n * dk * sizeof(float));
    layer_jobs(p, l, me, w->dkey);
    attention_backward(m, t->thread[me].job, t->thread[me].n_jobs, a->qt + row * H * dk,
                       w->d_o + row * H * (size_t)m->cfg.kv_lora_rank, w->dqt + row * H * dk,
                       &t->thread[me].scratch);
    stage_enter(STAGE_NORM);
    block_project_backward(m, l, a, w, s, t->pos, dx);
    stage_enter(STAGE_IDLE);
#pragma omp barrier
    stage_enter(STAGE_MATMUL);
    struct grad_job *job = t->job + (size_t)me * (size_t)t->jobs_max;
    int n = block_grad_jobs(m, l, a, w, t->shard, t->n_threads, dout, p->grad, job);
    run_tiles(t, job, n, &t->ticket[l]);
    stage_enter(STAGE_NORM);
    block_grad_norms(m, l, a, w, p->b->n_rows, me, t->n_threads, p->grad);
    stage_enter(STAGE_IDLE);
#pragma omp barrier
}

/* Logits of target rows [c0, c1) of the chunk that starts at `first`, loss, and in their
 * place the gradient of the loss by logits. */
static void head_rows(const struct pass *p, int me, int first, int c0, int c1) {
    struct train_space *t = p->t;
    const struct model *m = t->m;
    int V = m->cfg.vocab_size;
    size_t D = (size_t)m->cfg.hidden_size;
    float *x = t->logits + (size_t)(c0 - first) * (size_t)V;
    m->k->matmul(c1 - c0, V, (int)D, t->xhn + (size_t)c0 * D, D, 1, m->head.fwd, x, (size_t)V,
                 false);
    for (int c = c0; c < c1; c++, x += V) {
        struct sampler_row row = {.weight = t->thread[me].weight};
        int r = t->head_row[c], target = p->b->target[r];
        sampler_row_fill(&row, m->k, p->s, x, V);
        float logp = sampler_row_logp(&row, x, target);
        float g = p->loss(p->ctx, r, logp, sampler_row_entropy(&row, m->k, x, V)) * row.inv_t;
        if (!p->grad) continue;
        float scale = (float)(-(double)g / row.sum);
        for (int j = 0; j < V; j++) x[j] = row.weight[j] * scale;
        x[target] += g;
    }
    if (p->grad && c1 > c0)
        m->k->matmul(c1 - c0, (int)D, V, t->logits + (size_t)(c0 - first) * (size_t)V,
                     (size_t)V, 1, m->head.bwd, t->dxhn + (size_t)c0 * D, D, false);
}

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
    stage_enter(STAGE_IDLE);
#pragma omp barrier
    for (int first = 0; first < n; first += t->chunk) {
        int size = n - first < t->chunk ? n - first : t->chunk;
        stage_enter(STAGE_HEAD);
        head_rows(p, me, first, first + (int)((long)size * me / T),
                  first + (int)((long)size * (me + 1) / T));
        stage_enter(STAGE_IDLE);
        if (!p->grad) continue;
#pragma omp barrier
        stage_enter(STAGE_HEAD);
        struct grad_job job = {.M = m->head.out, .N = m->head.in, .K = size, .a = t->logits,
                               .lda = (size_t)m->head.out, .b = t->xhn + (size_t)first * D,
                               .ldb = D, .c = p->grad + m->head.grad, .ldc = m->head.ld};
        for (int tile = me; tile * GRAD_TILE < job.M; tile += T) block_grad_tile(m, &job, tile);
        stage_enter(STAGE_IDLE);
#pragma omp barrier
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
    size_t n = (size_t)t->m->cfg.vocab_size * (size_t)t->m->cfg.hidden_size;
    if (!t->tied || !grad) return;
    t->m->k->add(grad + t->m->embed_grad, t->tied, n);
    memset(t->tied, 0, n * sizeof *t->tied);
}

/* Rows of the table in batch order; each thread owns a slice of the columns. */
static void embed_backward(const struct pass *p, int me, const float *dx) {
    struct train_space *t = p->t;
    size_t D = (size_t)t->m->cfg.hidden_size, T = (size_t)t->n_threads;
    size_t c0 = D * (size_t)me / T, c1 = D * (size_t)(me + 1) / T;
    float *out = t->tied ? t->tied : p->grad + t->m->embed_grad;
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
        m->k->matmul(s->n, (int)V, (int)D, t->xhn + row * D, D, 1, m->head.fwd,
                     p->out_logits + row * V, V, false);
        return;
    }
    head_pass(p, me);
#pragma omp barrier
    if (p->grad) backward_all(p, me);
}

static void count_load(struct train_space *t, int n_rows) {
    const struct policy_config *c = &t->m->cfg;
    for (int l = c->first_k_dense_replace; l < c->num_hidden_layers; l++)
        for (int i = 0; i < n_rows * c->num_experts_per_tok; i++)
            t->load[l * c->n_routed_experts + t->acts[l].expert[i]]++;
}

static void run(struct pass *p) {
    struct train_space *t = p->t;
    const struct batch *b = p->b;
    CHECK(b->n_rows <= t->max_rows && b->n_rows > 0);
    CHECK(!p->grad || t->m->trains);
    for (int i = 0; i < b->n_seqs; i++) {
        const struct batch_seq *q = &b->seq[i];
        CHECK(q->parent < i && q->pos + q->n <= t->m->max_pos);
        for (int r = 0; r < q->n; r++) t->pos[q->row + r] = q->pos + r;
    }
    for (int i = 0; i < b->n_rows; i++)
        if (b->target && b->target[i] >= 0) t->head_row[p->n_targets++] = i;
    cut_shards(t, b);
    reserve(t, b);
    for (int l = 0; l <= t->m->cfg.num_hidden_layers; l++) atomic_store(&t->ticket[l], 0);
#pragma omp parallel num_threads(t->n_threads)
    {
        CHECK(omp_get_num_threads() == t->n_threads);
        run_thread(p, omp_get_thread_num());
        stage_enter(STAGE_IDLE);
    }
    stage_enter(STAGE_OTHER);
    count_load(t, b->n_rows);
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
