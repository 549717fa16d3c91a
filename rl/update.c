/* rl/update.c: see update.h. */
#include "rl/update.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

/* What a row stands for: the token of a completion, and of those that say the same. */
struct token {
    int seq;
    int at; /* its index in the completion */
    float logp, entropy;
    double loss, kl;         /* their sums */
    int n_count, n_low, n_high; /* how many count, and are clipped */
};

struct update {
    const struct model *m;
    struct train_space *space;
    int max_rows;
    size_t n_experts;      /* that a row is routed to, over all layers */
    struct batch_seq *seq; /* [max_rows] */
    int *id, *target;      /* [max_rows] */
    int *copies;           /* [max_rows] tokens of the step that the row stands for */
    struct token *token;   /* [max_rows] by row */
    int *twin;             /* [n_twin] by sequence of the step: the next that says the same, or -1 */
    bool *said;            /* [n_twin] by sequence: an earlier one said the same */
    int n_twin;
};

/* One pass's view for the loss callback. */
struct pass {
    const struct update_config *cfg;
    struct update *u;
    const struct update_seq *seq; /* [n_seqs] of the step */
    int n_seqs;
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
    u->copies = mem_new(R, sizeof *u->copies);
    u->token = mem_new(R, sizeof *u->token);
    return u;
}

void update_free(struct update *u) {
    if (!u) return;
    train_space_free(u->space);
    mem_free(u->seq);
    mem_free(u->id);
    mem_free(u->target);
    mem_free(u->copies);
    mem_free(u->token);
    mem_free(u->twin);
    mem_free(u->said);
    mem_free(u);
}

const int64_t *update_expert_load(const struct update *u) {
    return train_expert_load(u->space);
}

void update_expert_load_reset(struct update *u) { train_expert_load_reset(u->space); }

size_t update_experts(const struct update *u) { return u->n_experts; }

int update_max_tokens(const struct update *u) { return u->max_rows; }

/* One completion's part of a token's loss; returns its gradient. */
static double add_loss(const struct pass *p, struct token *k, const struct update_seq *s) {
    const struct update_config *c = p->cfg;
    if (s->masked) return 0;
    k->n_count++;
    if (c->sft) {
        k->loss -= (double)k->logp / (double)p->n_count;
        return -1.0 / (double)p->n_count;
    }
    struct loss_token t = loss_grpo(&c->loss, k->logp, s->old_logp[k->at],
                                    s->ref_logp ? s->ref_logp[k->at] : 0, s->adv);
    double d = loss_divisor(c->loss.type, p->n_seqs, s->n, p->n_count,
                            c->max_completion_length);
    k->loss += t.loss / d;
    k->kl += t.kl;
    k->n_low += t.low;
    k->n_high += t.high;
    return t.grad / d;
}

static float token_loss(void *ctx, int row, float logp, float entropy) {
    struct pass *p = ctx;
    struct token *k = &p->u->token[row];
    double grad = 0;
    k->logp = logp;
    k->entropy = entropy;
    for (int i = k->seq; i >= 0; i = p->u->twin[i]) grad += add_loss(p, k, &p->seq[i]);
    return (float)grad;
}

static bool same_prompt(const struct update_seq *a, const struct update_seq *b) {
    return a->prompt == b->prompt && a->n_prompt == b->n_prompt;
}

static int family_size(const struct update_config *cfg, const struct update_seq *seq, int left) {
    int n = 1;
    while (cfg->share_prompts && n < left && same_prompt(&seq[0], &seq[n])) n++;
    return n;
}

static bool same_floats(const float *a, const float *b, int n) {
    if (!a || !b) return a == b;
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

/* Whether two completions of one prompt are the same rows, that were drawn with the same
 * log-probabilities. */
static bool says_the_same(const struct update_seq *a, const struct update_seq *b) {
    return a->n == b->n && memcmp(a->id, b->id, (size_t)a->n * sizeof *a->id) == 0 &&
           same_floats(a->old_logp, b->old_logp, a->n) &&
           same_floats(a->ref_logp, b->ref_logp, a->n);
}

/* Chains each completion of a family to the next one that says the same. */
static void find_twins(struct update *u, const struct update_seq *seq, int first, int n) {
    for (int i = first; i < first + n; i++) {
        for (int j = i + 1; j < first + n && u->twin[i] < 0; j++)
            if (!u->said[j] && says_the_same(&seq[i], &seq[j])) {
                u->twin[i] = j;
                u->said[j] = true;
            }
    }
}

/* The balance loss counts sequences, so that with it each is passed on its own. */
static void list_twins(struct pass *p) {
    struct update *u = p->u;
    const struct update_config *c = p->cfg;
    if (p->n_seqs > u->n_twin) {
        mem_free(u->twin);
        mem_free(u->said);
        u->twin = mem_new((size_t)p->n_seqs, sizeof *u->twin);
        u->said = mem_new((size_t)p->n_seqs, sizeof *u->said);
        u->n_twin = p->n_seqs;
    }
    for (int i = 0; i < p->n_seqs; i++) {
        u->twin[i] = -1;
        u->said[i] = false;
    }
    for (int i = 0, n; i < p->n_seqs && c->router_aux_loss_coef == 0; i += n) {
        n = family_size(c, p->seq + i, p->n_seqs - i);
        find_twins(u, p->seq, i, n);
    }
}

static void push_rows(struct pass *p, const int *id, int n) {
    struct update *u = p->u;
    for (int i = 0; i < n; i++) {
        u->id[p->n_rows] = id[i];
        u->copies[p->n_rows] = 1;
        u->target[p->n_rows++] = -1;
    }
}

/* Rows of one completion: the prompt's last token and all of its own but the last, each
 * with the token that follows as its target. */
static void push_completion(struct pass *p, int seq) {
    struct update *u = p->u;
    const struct update_seq *s = &p->seq[seq];
    int copies = 0;
    for (int i = seq; i >= 0; i = u->twin[i]) copies++;
    for (int i = 0; i < s->n; i++) {
        int row = p->n_rows++;
        u->id[row] = i == 0 ? s->prompt[s->n_prompt - 1] : s->id[i - 1];
        u->target[row] = s->id[i];
        u->copies[row] = copies;
        u->token[row] = (struct token){.seq = seq, .at = i};
    }
}

/* Rows that sequences [first, first + n) take as one family, and how many say something new. */
static int family_rows(const struct pass *p, int first, int n, int *distinct) {
    int rows = p->seq[first].n_prompt - 1;
    *distinct = 0;
    for (int i = first; i < first + n; i++) {
        if (p->u->said[i]) continue;
        rows += p->seq[i].n;
        ++*distinct;
    }
    return rows;
}

static void push_family(struct pass *p, int first, int n, int distinct) {
    struct batch_seq *out = p->u->seq;
    const struct update_seq *s = &p->seq[first];
    int own = s->n_prompt - 1, parent = -1;
    if (distinct == 1) { /* alone: one sequence, prompt and all */
        out[p->n_batch_seqs++] = (struct batch_seq){-1, p->n_rows, own + s->n, 0};
        push_rows(p, s->prompt, own);
        push_completion(p, first);
        return;
    }
    if (own > 0) {
        parent = p->n_batch_seqs;
        out[p->n_batch_seqs++] = (struct batch_seq){-1, p->n_rows, own, 0};
        push_rows(p, s->prompt, own);
    }
    for (int i = first; i < first + n; i++) {
        if (p->u->said[i]) continue;
        out[p->n_batch_seqs++] = (struct batch_seq){parent, p->n_rows, p->seq[i].n, own};
        push_completion(p, i);
    }
}

static void add_sequence(const struct pass *p, struct update_stats *st, int row, int seq,
                         float *const *logp) {
    const struct token *k = &p->u->token[row];
    const struct update_seq *s = &p->seq[seq];
    if (logp) logp[seq][k->at] = k->logp;
    if (s->entropy) s->entropy[k->at] = k->entropy;
    if (s->experts)
        train_experts(p->u->space, row, s->experts + (size_t)k->at * p->u->n_experts);
    if (!s->old_logp) return;
    double diff = fabs((double)k->logp - s->old_logp[k->at]);
    if (diff > st->logp_diff_max || isnan(diff)) st->logp_diff_max = diff;
    st->logp_diff_mean += diff;
}

/* Sums in row order: the cut into passes does not show. */
static void add_stats(const struct pass *p, struct update_stats *st, float *const *logp) {
    const struct update *u = p->u;
    for (int i = 0; i < p->n_rows; i++) {
        if (u->target[i] < 0) continue;
        const struct token *k = &u->token[i];
        for (int q = k->seq; q >= 0; q = u->twin[q]) add_sequence(p, st, i, q, logp);
        st->loss += k->loss;
        st->kl += k->kl;
        st->entropy += (double)k->entropy * k->n_count;
        st->clip_low += k->n_low;
        st->clip_high += k->n_high;
        st->n_tokens += k->n_count;
    }
}

static void flush(struct pass *p, float *const *logp, float *grad, struct update_stats *stats) {
    if (p->n_rows == 0) return;
    struct update *u = p->u;
    struct batch b = {u->seq, p->n_batch_seqs, p->n_rows, u->id, u->target, u->copies};
    double aux = p->cfg->router_aux_loss_coef / p->n_seqs;
    train_pass(u->space, &b, &p->cfg->sampler, token_loss, p, grad ? aux : 0, grad);
    add_stats(p, stats, logp);
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
static void run_families(struct pass *p, bool with, float *const *logp, float *grad,
                         struct update_stats *stats) {
    for (int i = 0, n, distinct; i < p->n_seqs; i += n) {
        n = family_size(p->cfg, p->seq + i, p->n_seqs - i);
        if (has_gradient(p->cfg, p->seq + i, n) != with) continue;
        int rows = family_rows(p, i, n, &distinct);
        if (p->n_rows + rows > p->u->max_rows) flush(p, logp, grad, stats);
        CHECK(rows <= p->u->max_rows);
        push_family(p, i, n, distinct);
    }
    flush(p, logp, grad, stats);
}

void update_gradient(struct update *u, const struct update_config *cfg,
                     const struct update_seq *seq, int n_seqs, float *const *logp, float *grad,
                     struct update_stats *stats) {
    struct pass p = {.cfg = cfg, .u = u, .seq = seq, .n_seqs = n_seqs};
    long all = 0;
    *stats = (struct update_stats){0};
    for (int i = 0; i < n_seqs; i++) {
        CHECK(seq[i].n_prompt >= 1 && seq[i].n >= 1);
        all += seq[i].n;
        p.n_count += seq[i].masked ? 0 : seq[i].n;
    }
    if (p.n_count == 0) p.n_count = 1;
    list_twins(&p);
    run_families(&p, true, logp, grad, stats);
    run_families(&p, false, logp, NULL, stats);
    train_finish(u->space, grad);
    double n = stats->n_tokens > 0 ? (double)stats->n_tokens : 1;
    stats->kl /= n;
    stats->entropy /= n;
    stats->clip_low /= n;
    stats->clip_high /= n;
    if (all > 0) stats->logp_diff_mean /= (double)all;
}
