/* rl/update.c: see update.h. */
#include "rl/update.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

struct token {
    const struct update_seq *seq;
    int at; /* its index in the completion */
    float logp, entropy;
    struct loss_token t;
};

struct update {
    const struct model *m;
    struct train_space *space;
    int max_rows;
    size_t n_experts;      /* that a row is routed to, over all layers */
    struct batch_seq *seq; /* [max_rows] */
    int *id, *target;      /* [max_rows] */
    struct token *token;   /* [max_rows] by row */
};

/* One pass's view for the loss callback. */
struct pass {
    const struct update_config *cfg;
    struct update *u;
    int n_seqs;   /* of the step */
    long n_count; /* tokens of the step that count */
    int n_rows, n_batch_seqs;
};

struct update *update_new(const struct model *m, int max_tokens, int n_threads) {
    struct update *u = mem_new(1, sizeof *u);
    size_t R = (size_t)max_tokens;
    int layers = m->cfg.num_hidden_layers - m->cfg.first_k_dense_replace;
    *u = (struct update){.m = m, .max_rows = max_tokens,
                         .n_experts = (size_t)(layers * m->cfg.num_experts_per_tok)};
    u->space = train_space_new(m, max_tokens, n_threads);
    u->seq = mem_new(R, sizeof *u->seq);
    u->id = mem_new(R, sizeof *u->id);
    u->target = mem_new(R, sizeof *u->target);
    u->token = mem_new(R, sizeof *u->token);
    return u;
}

void update_free(struct update *u) {
    if (!u) return;
    train_space_free(u->space);
    mem_free(u->seq);
    mem_free(u->id);
    mem_free(u->target);
    mem_free(u->token);
    mem_free(u);
}

const int64_t *update_expert_load(const struct update *u) {
    return train_expert_load(u->space);
}

void update_expert_load_reset(struct update *u) { train_expert_load_reset(u->space); }

size_t update_experts(const struct update *u) { return u->n_experts; }

int update_max_tokens(const struct update *u) { return u->max_rows; }

static float token_loss(void *ctx, int row, float logp, float entropy) {
    struct pass *p = ctx;
    struct token *k = &p->u->token[row];
    const struct update_config *c = p->cfg;
    const struct update_seq *s = k->seq;
    k->logp = logp;
    k->entropy = entropy;
    k->t = (struct loss_token){0};
    if (s->masked) return 0;
    if (c->sft) {
        k->t.loss = -(double)logp / (double)p->n_count;
        return (float)(-1.0 / (double)p->n_count);
    }
    k->t = loss_grpo(&c->loss, logp, s->old_logp[k->at],
                     s->ref_logp ? s->ref_logp[k->at] : 0, s->adv);
    double d = loss_divisor(c->loss.type, p->n_seqs, s->n, p->n_count,
                            c->max_completion_length);
    k->t.loss /= d;
    return (float)(k->t.grad / d);
}

static bool same_prompt(const struct update_seq *a, const struct update_seq *b) {
    return a->prompt == b->prompt && a->n_prompt == b->n_prompt;
}

static void push_rows(struct pass *p, const int *id, int n) {
    struct update *u = p->u;
    for (int i = 0; i < n; i++) {
        u->id[p->n_rows] = id[i];
        u->target[p->n_rows++] = -1;
    }
}

/* Rows of one completion: the prompt's last token and all of its own but the last, each
 * with the token that follows as its target. */
static void push_completion(struct pass *p, const struct update_seq *s) {
    struct update *u = p->u;
    for (int i = 0; i < s->n; i++) {
        int row = p->n_rows++;
        u->id[row] = i == 0 ? s->prompt[s->n_prompt - 1] : s->id[i - 1];
        u->target[row] = s->id[i];
        u->token[row] = (struct token){.seq = s, .at = i};
    }
}

/* Rows that seq[0..n) take as one family. */
static int family_rows(const struct update_seq *seq, int n) {
    int rows = seq[0].n_prompt - 1;
    for (int i = 0; i < n; i++) rows += seq[i].n;
    return rows;
}

static void push_family(struct pass *p, const struct update_seq *seq, int n) {
    struct batch_seq *out = p->u->seq;
    int own = seq[0].n_prompt - 1, parent = -1;
    if (n == 1) { /* alone: one sequence, prompt and all */
        out[p->n_batch_seqs++] = (struct batch_seq){-1, p->n_rows, own + seq[0].n, 0};
        push_rows(p, seq[0].prompt, own);
        push_completion(p, &seq[0]);
        return;
    }
    if (own > 0) {
        parent = p->n_batch_seqs;
        out[p->n_batch_seqs++] = (struct batch_seq){-1, p->n_rows, own, 0};
        push_rows(p, seq[0].prompt, own);
    }
    for (int i = 0; i < n; i++) {
        out[p->n_batch_seqs++] = (struct batch_seq){parent, p->n_rows, seq[i].n, own};
        push_completion(p, &seq[i]);
    }
}

/* Sums in row order: the cut into passes does not show. */
static void add_stats(const struct pass *p, struct update_stats *st, const struct update_seq *seq0,
                      float *const *logp) {
    const struct update *u = p->u;
    for (int i = 0; i < p->n_rows; i++) {
        if (u->target[i] < 0) continue;
        const struct token *k = &u->token[i];
        if (logp) logp[k->seq - seq0][k->at] = k->logp;
        if (k->seq->entropy) k->seq->entropy[k->at] = k->entropy;
        if (k->seq->experts)
            train_experts(u->space, i, k->seq->experts + (size_t)k->at * u->n_experts);
        if (k->seq->old_logp) {
            double diff = fabs((double)k->logp - k->seq->old_logp[k->at]);
            if (diff > st->logp_diff_max || isnan(diff)) st->logp_diff_max = diff;
            st->logp_diff_mean += diff;
        }
        if (k->seq->masked) continue;
        st->loss += k->t.loss;
        st->kl += k->t.kl;
        st->entropy += k->entropy;
        st->clip_low += k->t.low;
        st->clip_high += k->t.high;
        st->n_tokens++;
    }
}

static int family_size(const struct update_config *cfg, const struct update_seq *seq, int left) {
    int n = 1;
    while (cfg->share_prompts && n < left && same_prompt(&seq[0], &seq[n])) n++;
    return n;
}

static void flush(struct pass *p, float *const *logp, const struct update_seq *seq0, float *grad,
                  struct update_stats *stats) {
    if (p->n_rows == 0) return;
    struct update *u = p->u;
    struct batch b = {u->seq, p->n_batch_seqs, p->n_rows, u->id, u->target};
    double aux = p->cfg->router_aux_loss_coef / p->n_seqs;
    train_pass(u->space, &b, &p->cfg->sampler, token_loss, p, grad ? aux : 0, grad);
    add_stats(p, stats, seq0, logp);
    p->n_rows = p->n_batch_seqs = 0;
}

/* Whether any token of seq[0..n) can move a weight. */
static bool has_gradient(const struct update_config *cfg, const struct update_seq *seq, int n) {
    if (cfg->router_aux_loss_coef > 0) return true;
    for (int i = 0; i < n; i++)
        if (!seq[i].masked && (cfg->sft || cfg->loss.beta != 0 || seq[i].adv != 0)) return true;
    return false;
}

/* The families with a gradient, or those without one: these are only measured. */
static void run_families(struct pass *p, const struct update_seq *seq, int n_seqs, bool with,
                         float *const *logp, float *grad, struct update_stats *stats) {
    for (int i = 0, n; i < n_seqs; i += n) {
        n = family_size(p->cfg, seq + i, n_seqs - i);
        if (has_gradient(p->cfg, seq + i, n) != with) continue;
        int rows = family_rows(seq + i, n);
        if (p->n_rows + rows > p->u->max_rows) flush(p, logp, seq, grad, stats);
        CHECK(rows <= p->u->max_rows);
        push_family(p, seq + i, n);
    }
    flush(p, logp, seq, grad, stats);
}

void update_gradient(struct update *u, const struct update_config *cfg,
                     const struct update_seq *seq, int n_seqs, float *const *logp, float *grad,
                     struct update_stats *stats) {
    struct pass p = {.cfg = cfg, .u = u, .n_seqs = n_seqs};
    long all = 0;
    *stats = (struct update_stats){0};
    for (int i = 0; i < n_seqs; i++) {
        CHECK(seq[i].n_prompt >= 1 && seq[i].n >= 1);
        all += seq[i].n;
        p.n_count += seq[i].masked ? 0 : seq[i].n;
    }
    if (p.n_count == 0) p.n_count = 1;
    run_families(&p, seq, n_seqs, true, logp, grad, stats);
    run_families(&p, seq, n_seqs, false, logp, NULL, stats);
    train_finish(u->space, grad);
    double n = stats->n_tokens > 0 ? (double)stats->n_tokens : 1;
    stats->kl /= n;
    stats->entropy /= n;
    stats->clip_low /= n;
    stats->clip_high /= n;
    if (all > 0) stats->logp_diff_mean /= (double)all;
}
