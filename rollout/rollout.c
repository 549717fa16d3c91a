/* rollout/rollout.c: see rollout.h. */
#include "rollout/rollout.h"

#include <omp.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/mem.h"
#include "policy/session.h"
#include "policy/stage.h"

enum {
    STOP_TAIL = 128,      /* bytes of text kept to look for stop strings */
    SAMPLES_A_ROW = 4,    /* of a small model, in flight */
    MORE_BYTES = 64 << 20 /* that samples beyond max_batch may take */
};

/* A prompt whose samples are being drawn by this worker. */
struct group {
    const struct rollout_prompt *prompt;
    struct session_seq *seq; /* NULL for a prompt of one token */
    struct trace *trace;     /* its n_samples */
    int started, left;
};

struct sample {
    struct sample *next; /* of the same branch, or free */
    struct trace *trace;
    struct rng_key key;
};

/* Samples of one group that have said the same so far: one row a step. */
struct branch {
    struct session_seq *seq;
    struct group *group;
    struct sample *sample; /* one or more, in order */
    int next;              /* the token to feed */
    double started;
    size_t n_tail;
    char tail[STOP_TAIL]; /* [n_tail] its last text; may hold zeros */
};

/* One decoder: a thread of its own, or (large models) a team of all threads. What is not
 * marked otherwise belongs to the leader, who plans while the others wait. */
struct worker {
    struct session *session;
    struct group *group;    /* [max_batch] */
    struct sample *sample;  /* [max_samples] */
    struct sample *free;    /* those of no branch */
    struct branch *active;  /* [max_samples] siblings side by side; drawn for by parts */
    struct branch *after;   /* [max_samples] what becomes of them */
    float *logits;          /* [max_samples][V] */
    float *weight;          /* [team][V], a row a member */
    int n_active, n_samples; /* in flight */
    struct group *filling;   /* the one whose samples are entering */
    struct session_run *run; /* [max_samples] the plan: what all feed next */
    int n_runs;              /* 0: nothing is left */
    bool prefill;
    long rows; /* fed behind the prompts */
};

struct rollout {
    const struct model *m;
    const struct tokenizer *tok;
    int max_prompt, max_completion, max_batch, max_samples, max_rows, n_threads;
    struct worker *worker; /* [n_workers] */
    int n_workers, team;   /* threads of a worker */
    int *id;               /* slab of all traces */
    float *logp;
    size_t n_slab;
    int *first_trace; /* [first_cap] of each prompt of the run */
    int first_cap;
};

/* What one run shares. */
struct job {
    struct rollout *r;
    const struct rollout_config *cfg;
    const struct rollout_prompt *prompt;
    int n_prompts, share; /* of the samples, a worker's */
    struct trace *trace;
    atomic_int next;
};

const char *rollout_finish_name(enum rollout_finish f) {
    static const char *const name[] = {"eos", "stop", "length"};
    return name[f];
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Samples in flight a worker: one a row, or more where their caches and logits are small. */
static int samples_in_flight(const struct rollout *r, int wanted) {
    size_t each = session_seq_bytes(r->m, r->max_completion) +
                  (size_t)r->m->cfg.vocab_size * sizeof(float);
    int more = (SAMPLES_A_ROW - 1) * r->max_batch;
    if (model_is_large(r->m)) more = 0;
    if ((size_t)more > MORE_BYTES / each) more = (int)(MORE_BYTES / each);
    return wanted < r->max_batch + more ? wanted : r->max_batch + more;
}

static void worker_init(struct worker *w, const struct rollout *r) {
    size_t B = (size_t)r->max_batch, S = (size_t)r->max_samples;
    size_t V = (size_t)r->m->cfg.vocab_size;
    struct session_size size = {r->max_batch, r->max_prompt, r->max_samples, r->max_completion,
                                r->max_rows};
    w->session = session_new_team(r->m, size, r->team);
    w->group = mem_new(B, sizeof *w->group);
    w->sample = mem_new(S, sizeof *w->sample);
    w->active = mem_new(S, sizeof *w->active);
    w->after = mem_new(S, sizeof *w->after);
    w->run = mem_new(S, sizeof *w->run);
    w->logits = mem_new(S * V, sizeof(float));
    w->weight = mem_new((size_t)r->team * V, sizeof(float));
}

struct rollout *rollout_new(const struct model *m, const struct tokenizer *tok, int max_prompt,
                            int max_completion, int max_batch, int max_samples,
                            int n_threads) {
    struct rollout *r = mem_new(1, sizeof *r);
    *r = (struct rollout){.m = m, .tok = tok, .max_prompt = max_prompt, .max_batch = max_batch,
                          .max_completion = max_completion, .n_threads = n_threads};
    CHECK(max_batch > 0 && max_samples > 0);
    r->max_samples = samples_in_flight(r, max_samples);
    if (r->max_batch > r->max_samples) r->max_batch = r->max_samples;
    r->max_rows = r->max_samples > max_prompt ? r->max_samples : max_prompt;
    r->team = model_is_large(m) ? n_threads : 1;
    r->n_workers = n_threads / r->team;
    r->worker = mem_new((size_t)r->n_workers, sizeof *r->worker);
    for (int i = 0; i < r->n_workers; i++) worker_init(&r->worker[i], r);
    return r;
}

void rollout_free(struct rollout *r) {
    if (!r) return;
    for (int i = 0; i < r->n_workers; i++) {
        struct worker *w = &r->worker[i];
        session_free(w->session);
        void *owned[] = {w->group, w->sample, w->active, w->after,
                         w->run,   w->logits, w->weight};
        for (size_t k = 0; k < sizeof owned / sizeof *owned; k++) mem_free(owned[k]);
    }
    mem_free(r->worker);
    mem_free(r->id);
    mem_free(r->logp);
    mem_free(r->first_trace);
    mem_free(r);
}

/* How many of n waiting samples enter together; they share rows. */
static int entering(const struct rollout *r, int n) {
    int most = r->max_samples > 1 ? r->max_samples / 2 : 1;
    return n < most ? n : most;
}

/* Whether n samples may enter: rows are wanted, the worker has not yet its share, and each
 * sample finds a sequence of its own when it needs one. */
static bool fits(const struct job *j, const struct worker *w, int n) {
    return w->n_active < j->r->max_batch && w->n_samples < j->share &&
           w->n_samples + entering(j->r, n) <= j->r->max_samples;
}

/* Takes the next prompt, if its samples fit and its tokens after *rows others, and plans to
 * prefill all of it but its last token, which is the samples' first row. */
static bool next_group(struct job *j, struct worker *w, int *rows) {
    int p = atomic_load(&j->next);
    do {
        if (p >= j->n_prompts || !fits(j, w, j->prompt[p].n_samples) ||
            *rows + j->prompt[p].n - 1 > j->r->max_rows)
            return false;
    } while (!atomic_compare_exchange_weak(&j->next, &p, p + 1));
    struct group *g = w->group;
    while (g->left > 0) g++; /* each group in flight has a row, so one is free */
    *g = (struct group){.prompt = &j->prompt[p], .trace = j->trace + j->r->first_trace[p],
                        .left = j->prompt[p].n_samples};
    CHECK(g->prompt->n >= 1 && g->prompt->n <= j->r->max_prompt && g->left > 0);
    if (g->prompt->n > 1) {
        g->seq = session_open_prompt(w->session);
        w->run[w->n_runs++] = (struct session_run){g->seq, g->prompt->id, g->prompt->n - 1};
        *rows += g->prompt->n - 1;
    }
    w->filling = g;
    return true;
}

/* Samples of the group that is entering, as one branch. */
static void start_branch(struct job *j, struct worker *w) {
    struct group *g = w->filling;
    struct branch *b = &w->active[w->n_active++];
    *b = (struct branch){.seq = session_open(w->session, g->seq), .group = g,
                         .next = g->prompt->id[g->prompt->n - 1], .started = now_ms()};
    struct sample **last = &b->sample;
    for (int n = entering(j->r, g->prompt->n_samples - g->started); n > 0; n--) {
        struct sample *s = w->free;
        w->free = s->next;
        *s = (struct sample){.trace = &g->trace[g->started]};
        s->key = (struct rng_key){j->cfg->seed, j->cfg->purpose, g->prompt->step,
                                  g->prompt->prompt,
                                  g->prompt->first_sample + (uint32_t)g->started++};
        *last = s;
        last = &s->next;
        w->n_samples++;
    }
    if (g->started == g->prompt->n_samples) w->filling = NULL;
}

/* Adds the token's text to the tail; true when a stop string is now in it. */
static bool hits_stop(const struct job *j, struct branch *b, int id) {
    size_t n;
    if (id >= tokenizer_vocab_size(j->r->tok)) return false; /* a row beyond the vocabulary */
    const char *piece = tokenizer_piece(j->r->tok, id, &n);
    if (n > STOP_TAIL / 2) {
        piece += n - STOP_TAIL / 2;
        n = STOP_TAIL / 2;
    }
    if (b->n_tail + n > STOP_TAIL) {
        size_t drop = b->n_tail + n - STOP_TAIL;
        memmove(b->tail, b->tail + drop, b->n_tail - drop);
        b->n_tail -= drop;
    }
    memcpy(b->tail + b->n_tail, piece, n);
    b->n_tail += n;
    for (int i = 0; i < j->cfg->n_stop; i++)
        if (memmem(b->tail, b->n_tail, j->cfg->stop[i], strlen(j->cfg->stop[i]))) return true;
    return false;
}

/* Draws a token for each sample of the branch, from one distribution. */
static void draw(const struct job *j, struct branch *b, const float *logits, float *weight) {
    int V = j->r->m->cfg.vocab_size;
    struct sampler_row row = {.weight = weight};
    sampler_row_open(&row, j->r->m->k, &j->cfg->sampler, logits, V);
    for (struct sample *s = b->sample; s; s = s->next) {
        struct trace *t = s->trace;
        double u = rng_uniform(&s->key, (uint32_t)t->n);
        t->id[t->n] = sampler_row_draw(&row, logits, V, u, &t->logp[t->n]);
        t->n++;
    }
}

/* The member's share of the batch draws. */
static void draw_part(const struct job *j, struct worker *w, int me) {
    size_t V = (size_t)j->r->m->cfg.vocab_size;
    int from = w->n_active * me / j->r->team, to = w->n_active * (me + 1) / j->r->team;
    for (int i = from; i < to; i++)
        draw(j, &w->active[i], w->logits + (size_t)i * V, w->weight + (size_t)me * V);
}

static int said_last(const struct sample *s) { return s->trace->id[s->trace->n - 1]; }

/* Moves those of the list that drew what its first did into the branch, in order; the
 * others, in order, are returned. */
static struct sample *take_agreeing(struct branch *b, struct sample *list) {
    struct sample *rest = NULL, **to_rest = &rest, **to_branch = &b->sample;
    b->next = said_last(list);
    for (struct sample *s = list; s; s = s->next) {
        struct sample ***to = said_last(s) == b->next ? &to_branch : &to_rest;
        **to = s;
        *to = &s->next;
    }
    *to_branch = *to_rest = NULL;
    return rest;
}

/* Takes in the token that all samples of the branch have drawn; true when their traces are
 * complete. */
static bool says(const struct job *j, struct branch *b) {
    int n = b->sample->trace->n;
    enum rollout_finish finish = FINISH_LENGTH;
    if (b->next == tokenizer_eos(j->r->tok))
        finish = FINISH_EOS;
    else if (j->cfg->n_stop > 0 && hits_stop(j, b, b->next))
        finish = FINISH_STOP;
    for (struct sample *s = b->sample; s; s = s->next) s->trace->finish = finish;
    return finish != FINISH_LENGTH || n == j->cfg->max_completion_length;
}

/* Its samples leave; its sequence is the caller's. */
static void end_branch(struct worker *w, struct branch *b) {
    double ms = now_ms() - b->started;
    for (struct sample *s = b->sample, *next; s; s = next) {
        next = s->next;
        s->trace->ms = ms;
        s->next = w->free;
        w->free = s;
        w->n_samples--;
        b->group->left--;
    }
}

/* Of a branch whose samples have drawn: a branch for each token that goes on. The first one
 * continues its sequence, the others fork it. How many there are. */
static int part(const struct job *j, struct worker *w, const struct branch *b,
                struct branch *out) {
    int n = 0;
    for (struct sample *rest = b->sample; rest;) {
        struct branch *to = &out[n];
        *to = *b;
        rest = take_agreeing(to, rest);
        if (says(j, to)) {
            end_branch(w, to);
            continue;
        }
        if (n++ > 0) to->seq = session_fork(w->session, b->seq);
    }
    if (n == 0) session_close(w->session, b->seq);
    if (b->group->left == 0 && b->group->seq) session_close(w->session, b->group->seq);
    return n;
}

static void part_all(const struct job *j, struct worker *w) {
    int n = 0;
    for (int i = 0; i < w->n_active; i++) n += part(j, w, &w->active[i], w->after + n);
    struct branch *t = w->active;
    w->active = w->after;
    w->after = t;
    w->n_active = n;
}

/* Fills the batch and says what is to be fed: prompts, or a token a branch. */
static void plan(struct job *j, struct worker *w) {
    int rows = 0;
    w->n_runs = 0;
    while ((w->filling && fits(j, w, w->filling->prompt->n_samples - w->filling->started)) ||
           (!w->filling && next_group(j, w, &rows)))
        start_branch(j, w);
    w->prefill = w->n_runs > 0;
    if (w->prefill) return;
    for (int i = 0; i < w->n_active; i++)
        w->run[i] = (struct session_run){w->active[i].seq, &w->active[i].next, 1};
    w->n_runs = w->n_active;
    w->rows += w->n_active;
}

static void start_work(const struct rollout *r, struct worker *w) {
    w->n_active = w->n_samples = 0;
    w->filling = NULL;
    w->free = NULL;
    w->rows = 0;
    for (int i = 0; i < r->max_batch; i++) w->group[i].left = 0;
    for (int i = r->max_samples - 1; i >= 0; i--) {
        w->sample[i].next = w->free;
        w->free = &w->sample[i];
    }
}

/* Members of a team meet here; a thread alone passes. */
static void meet(const struct rollout *r) {
    if (r->team > 1) {
#pragma omp barrier
    }
}

static void work(struct job *j, struct worker *w, int me) {
    struct rollout *r = j->r;
    if (me == 0) start_work(r, w);
    for (;;) {
        if (me == 0) plan(j, w);
        meet(r);
        if (w->n_runs == 0) return;
        session_forward_part(w->session, w->run, w->n_runs, w->prefill ? NULL : w->logits, me);
        stage_enter(STAGE_SAMPLING);
        if (!w->prefill) draw_part(j, w, me);
        meet(r);
        if (!w->prefill && me == 0) part_all(j, w);
        stage_enter(STAGE_OTHER);
    }
}

static void place_traces(struct rollout *r, struct trace *trace, int n, int max_len) {
    size_t need = (size_t)n * (size_t)max_len;
    if (need > r->n_slab) {
        mem_free(r->id);
        mem_free(r->logp);
        r->id = mem_new(need, sizeof *r->id);
        r->logp = mem_new(need, sizeof *r->logp);
        r->n_slab = need;
    }
    for (int i = 0; i < n; i++)
        trace[i] = (struct trace){.id = r->id + (size_t)i * (size_t)max_len,
                                  .logp = r->logp + (size_t)i * (size_t)max_len};
}

/* Fills first_trace; how many traces there will be. */
static int number_traces(struct rollout *r, const struct rollout_prompt *prompt, int n_prompts) {
    int n = 0;
    if (n_prompts > r->first_cap) {
        mem_free(r->first_trace);
        r->first_trace = mem_new((size_t)n_prompts, sizeof *r->first_trace);
        r->first_cap = n_prompts;
    }
    for (int i = 0; i < n_prompts; i++) {
        r->first_trace[i] = n;
        n += prompt[i].n_samples;
    }
    return n;
}

void rollout_run(struct rollout *r, const struct rollout_config *cfg,
                 const struct rollout_prompt *prompt, int n_prompts, struct trace *trace) {
    CHECK(cfg->max_completion_length <= r->max_completion);
    int n = number_traces(r, prompt, n_prompts);
    place_traces(r, trace, n, cfg->max_completion_length);
    struct job j = {r, cfg, prompt, n_prompts, (n + r->n_workers - 1) / r->n_workers, trace, 0};
#pragma omp parallel num_threads(r->n_threads)
    {
        int i = omp_get_thread_num();
        CHECK(omp_get_num_threads() == r->n_threads);
        mem_freeze();
        work(&j, &r->worker[i / r->team], i % r->team);
        mem_thaw();
        stage_enter(STAGE_IDLE);
    }
    stage_enter(STAGE_OTHER);
}

long rollout_rows(const struct rollout *r) {
    long n = 0;
    for (int i = 0; i < r->n_workers; i++) n += r->worker[i].rows;
    return n;
}
