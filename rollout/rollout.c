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

enum { STOP_TAIL = 128 }; /* bytes of text kept to look for stop strings */

/* A prompt whose samples are being drawn by this worker. */
struct group {
    const struct rollout_prompt *prompt;
    struct session_seq *seq; /* NULL for a prompt of one token */
    struct trace *trace;     /* its n_samples */
    int started, left;
};

struct sample {
    struct session_seq *seq;
    struct group *group;
    struct trace *trace;
    struct rng_key key;
    int next; /* the token to feed */
    double started;
    size_t n_tail;
    char tail[STOP_TAIL]; /* [n_tail] its last text; may hold zeros */
};

/* One decoder: a thread of its own, or (large models) a team of all threads. What is not
 * marked otherwise belongs to the leader, who plans while the others wait. */
struct worker {
    struct session *session;
    struct group *group;   /* [max_batch] */
    struct sample *active; /* [max_batch] in order of entry; drawn for by parts */
    bool *done;            /* [max_batch] whose last token has been drawn; by parts */
    float *logits;         /* [max_batch][V] */
    float *weight;         /* [team][V], a row a member */
    int n_active;
    struct group *filling; /* the one whose samples are entering */
    struct session_run *run; /* the plan: what all feed next */
    int n_runs;              /* 0: nothing is left */
    bool prefill;
};

struct rollout {
    const struct model *m;
    const struct tokenizer *tok;
    int max_prompt, max_completion, max_batch, n_threads;
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
    int n_prompts, batch;
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

struct rollout *rollout_new(const struct model *m, const struct tokenizer *tok, int max_prompt,
                            int max_completion, int max_batch, int n_threads) {
    struct rollout *r = mem_new(1, sizeof *r);
    *r = (struct rollout){.m = m, .tok = tok, .max_prompt = max_prompt, .max_batch = max_batch,
                          .max_completion = max_completion, .n_threads = n_threads};
    r->team = model_is_large(m) ? n_threads : 1;
    r->n_workers = n_threads / r->team;
    r->worker = mem_new((size_t)r->n_workers, sizeof *r->worker);
    size_t B = (size_t)max_batch, V = (size_t)m->cfg.vocab_size;
    for (int i = 0; i < r->n_workers; i++) {
        struct worker *w = &r->worker[i];
        struct session_size size = {max_batch, max_prompt, max_batch, max_completion,
                                    max_batch > max_prompt ? max_batch : max_prompt};
        w->session = session_new_team(m, size, r->team);
        w->group = mem_new(B, sizeof *w->group);
        w->active = mem_new(B, sizeof *w->active);
        w->run = mem_new(B, sizeof *w->run);
        w->done = mem_new(B, sizeof *w->done);
        w->logits = mem_new(B * V, sizeof(float));
        w->weight = mem_new((size_t)r->team * V, sizeof(float));
    }
    return r;
}

void rollout_free(struct rollout *r) {
    if (!r) return;
    for (int i = 0; i < r->n_workers; i++) {
        struct worker *w = &r->worker[i];
        session_free(w->session);
        mem_free(w->done);
        mem_free(w->group);
        mem_free(w->active);
        mem_free(w->run);
        mem_free(w->logits);
        mem_free(w->weight);
    }
    mem_free(r->worker);
    mem_free(r->id);
    mem_free(r->logp);
    mem_free(r->first_trace);
    mem_free(r);
}

/* Takes the next prompt and plans to prefill all of it but its last token, which each sample
 * feeds for itself. False when none is left. */
static bool next_group(struct job *j, struct worker *w) {
    int p = atomic_fetch_add(&j->next, 1);
    if (p >= j->n_prompts) return false;
    struct group *g = w->group;
    while (g->left > 0) g++; /* at most one group a sample in flight, so one is free */
    *g = (struct group){.prompt = &j->prompt[p], .trace = j->trace + j->r->first_trace[p],
                        .left = j->prompt[p].n_samples};
    CHECK(g->prompt->n >= 1 && g->prompt->n <= j->r->max_prompt && g->left > 0);
    if (g->prompt->n > 1) {
        g->seq = session_open_prompt(w->session);
        w->run[0] = (struct session_run){g->seq, g->prompt->id, g->prompt->n - 1};
        w->n_runs = 1;
        w->prefill = true;
    }
    w->filling = g;
    return true;
}

static void start_sample(struct job *j, struct worker *w) {
    struct group *g = w->filling;
    struct sample *s = &w->active[w->n_active++];
    *s = (struct sample){.seq = session_open(w->session, g->seq), .group = g,
                         .trace = &g->trace[g->started], .started = now_ms()};
    s->key = (struct rng_key){j->cfg->seed, j->cfg->purpose, g->prompt->step, g->prompt->prompt,
                              g->prompt->first_sample + (uint32_t)g->started};
    s->next = g->prompt->id[g->prompt->n - 1];
    if (++g->started == g->prompt->n_samples) w->filling = NULL;
}

/* Adds the token's text to the tail; true when a stop string is now in it. */
static bool hits_stop(const struct job *j, struct sample *s, int id) {
    size_t n;
    if (id >= tokenizer_vocab_size(j->r->tok)) return false; /* a row beyond the vocabulary */
    const char *piece = tokenizer_piece(j->r->tok, id, &n);
    if (n > STOP_TAIL / 2) {
        piece += n - STOP_TAIL / 2;
        n = STOP_TAIL / 2;
    }
    if (s->n_tail + n > STOP_TAIL) {
        size_t drop = s->n_tail + n - STOP_TAIL;
        memmove(s->tail, s->tail + drop, s->n_tail - drop);
        s->n_tail -= drop;
    }
    memcpy(s->tail + s->n_tail, piece, n);
    s->n_tail += n;
    for (int i = 0; i < j->cfg->n_stop; i++)
        if (memmem(s->tail, s->n_tail, j->cfg->stop[i], strlen(j->cfg->stop[i]))) return true;
    return false;
}

/* Draws one token; true when the trace is complete. */
static bool draw(const struct job *j, struct sample *s, const float *logits, float *weight) {
    struct trace *t = s->trace;
    double u = rng_uniform(&s->key, (uint32_t)t->n);
    int id = sampler_draw(j->r->m->k, &j->cfg->sampler, logits, j->r->m->cfg.vocab_size, u,
                          weight, &t->logp[t->n]);
    t->id[t->n++] = s->next = id;
    t->finish = FINISH_LENGTH;
    if (id == tokenizer_eos(j->r->tok))
        t->finish = FINISH_EOS;
    else if (j->cfg->n_stop > 0 && hits_stop(j, s, id))
        t->finish = FINISH_STOP;
    return t->finish != FINISH_LENGTH || t->n == j->cfg->max_completion_length;
}

static void end_sample(struct worker *w, struct sample *s) {
    s->trace->ms = now_ms() - s->started;
    session_close(w->session, s->seq);
    if (--s->group->left == 0 && s->group->seq) session_close(w->session, s->group->seq);
}

/* Fills the batch and says what is to be fed: a prompt, or a token a sample. */
static void plan(struct job *j, struct worker *w) {
    w->n_runs = 0;
    w->prefill = false;
    while (!w->prefill && w->n_active < j->batch && (w->filling || next_group(j, w)))
        if (!w->prefill) start_sample(j, w);
    if (w->prefill) return;
    for (int i = 0; i < w->n_active; i++)
        w->run[i] = (struct session_run){w->active[i].seq, &w->active[i].next, 1};
    w->n_runs = w->n_active;
}

/* The member's share of the batch draws. */
static void draw_part(const struct job *j, struct worker *w, int me) {
    size_t V = (size_t)j->r->m->cfg.vocab_size;
    int from = w->n_active * me / j->r->team, to = w->n_active * (me + 1) / j->r->team;
    for (int i = from; i < to; i++)
        w->done[i] = draw(j, &w->active[i], w->logits + (size_t)i * V,
                          w->weight + (size_t)me * V);
}

/* Finished samples leave; the others close up, in order. */
static void sweep(struct worker *w) {
    int kept = 0;
    for (int i = 0; i < w->n_active; i++) {
        if (w->done[i])
            end_sample(w, &w->active[i]);
        else if (kept++ != i)
            w->active[kept - 1] = w->active[i];
    }
    w->n_active = kept;
}

/* Members of a team meet here; a thread alone passes. */
static void meet(const struct rollout *r) {
    if (r->team > 1) {
#pragma omp barrier
    }
}

static void work(struct job *j, struct worker *w, int me) {
    struct rollout *r = j->r;
    if (me == 0) {
        w->n_active = 0;
        w->filling = NULL;
        for (int i = 0; i < r->max_batch; i++) w->group[i].left = 0;
    }
    for (;;) {
        if (me == 0) plan(j, w);
        meet(r);
        if (w->n_runs == 0) return;
        session_forward_part(w->session, w->run, w->n_runs, w->prefill ? NULL : w->logits, me);
        stage_enter(STAGE_SAMPLING);
        if (!w->prefill) draw_part(j, w, me);
        meet(r);
        if (!w->prefill && me == 0) sweep(w);
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
    int share = (n + r->n_workers - 1) / r->n_workers;
    struct job j = {r, cfg, prompt, n_prompts, share < r->max_batch ? share : r->max_batch,
                    trace, 0};
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
