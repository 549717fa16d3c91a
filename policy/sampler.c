/* policy/sampler.c: see sampler.h. */
#include "policy/sampler.h"

#include <math.h>
#include <stdint.h>

#include "base/fmath.h"

enum { BLOCK = 256, LANES = 8 };

/* Of at most BLOCK weights: number j in lane j % 8, then a tree over the lanes. */
static double block_sum(const float *w, int n) {
    double lane[LANES] = {0};
    int j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int i = 0; i < LANES; i++) lane[i] += w[j + i];
    for (; j < n; j++) lane[j % LANES] += w[j];
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

static int block_at(int j, int V) { return V - j < BLOCK ? V - j : BLOCK; }

static double total(const float *w, int V) {
    double sum = 0;
    for (int j = 0; j < V; j += BLOCK) sum += block_sum(w + j, block_at(j, V));
    return sum;
}

/* The first id at which the weights reach more than target, in sums of whole blocks and then one by
 * one; rounding may leave the last one short of it. -1 where all are 0. */
static int find(const float *w, int V, double target) {
    double reached = 0, sum = 0;
    int j = 0, id = -1;
    for (; j < V; j += BLOCK) {
        sum = block_sum(w + j, block_at(j, V));
        if (reached + sum > target) break;
        reached += sum;
    }
    if (j >= V) {
        for (id = V - 1; id >= 0 && w[id] == 0; id--) continue;
        return id;
    }
    for (int end = j + block_at(j, V); j < end; j++) {
        if (w[j] == 0) continue;
        id = j;
        reached += w[j];
        if (reached > target) break;
    }
    return id;
}

/* In index order, of those that are at least t: */
static double sum_from(const float *w, int V, float t) {
    double sum = 0;
    for (int j = 0; j < V; j++) sum += w[j] >= t ? w[j] : 0;
    return sum;
}

static int count_from(const float *w, int V, float t) {
    int n = 0;
    for (int j = 0; j < V; j++) n += w[j] >= t;
    return n;
}

/* The largest t in [low, high] that leaves at least n weights, and a sum of at least `least`,
 * given that low does. Found by halving: the bits of numbers that are not negative are in
 * their order. Needs no memory, where sorting a copy would. */
static float cut_at(const float *w, int V, float low, float high, int n, double least) {
    union {
        float f;
        uint32_t bits;
    } from = {low}, to = {high}, t;
    while (from.bits < to.bits) {
        t.bits = from.bits + (to.bits - from.bits + 1) / 2;
        bool enough = n > 0 ? count_from(w, V, t.f) >= n : sum_from(w, V, t.f) >= least;
        if (enough)
            from = t;
        else
            to.bits = t.bits - 1;
    }
    return from.f;
}

/* Zeroes every weight that the filters drop: all cut at one threshold on the weight. */
static void filter(const struct sampler *s, float *w, int V) {
    float threshold = 0, best = 0;
    for (int j = 0; j < V; j++)
        if (w[j] > best) best = w[j];
    if (s->top_k > 0 && s->top_k < V) threshold = cut_at(w, V, 0, best, s->top_k, 0);
    if (s->top_p < 1)
        threshold = cut_at(w, V, threshold, best, 0, s->top_p * sum_from(w, V, threshold));
    float least = (float)(s->min_p * best);
    if (least > threshold) threshold = least;
    for (int j = 0; j < V; j++)
        if (w[j] < threshold) w[j] = 0;
}

void sampler_row_fill(struct sampler_row *row, const struct kernels *k,
                      const struct sampler *s, const float *logits, int V) {
    float sum;
    row->inv_t = (float)(1 / s->temperature);
    k->exp_row(logits, V, row->inv_t, row->weight, &row->max, &sum);
    row->sum = sum;
    if (s->top_k > 0 || s->top_p < 1 || s->min_p > 0) {
        filter(s, row->weight, V);
        row->sum = total(row->weight, V);
    }
    row->log_sum = fmath_log(row->sum);
}

float sampler_row_logp(const struct sampler_row *row, const float *logits, int id) {
    double z = (double)((logits[id] - row->max) * row->inv_t);
    /* below -87 a weight is 0 without any filter */
    if (row->weight[id] == 0 && z >= -87) return -INFINITY;
    return (float)(z - row->log_sum);
}

float sampler_row_entropy(const struct sampler_row *row, const struct kernels *k,
                          const float *logits, int V) {
    double mean = k->weighted_sum(row->weight, logits, V, row->max) / row->sum;
    return (float)(row->log_sum - mean * (double)row->inv_t);
}

static int draw_greedy(const float *logits, int V) {
    int best = 0;
    for (int j = 1; j < V; j++)
        if (logits[j] > logits[best]) best = j;
    return best;
}

void sampler_row_open(struct sampler_row *row, const struct kernels *k,
                      const struct sampler *s, const float *logits, int V) {
    row->greedy = -1;
    if (s->temperature == 0) {
        row->greedy = draw_greedy(logits, V);
        return;
    }
    sampler_row_fill(row, k, s, logits, V);
    row->total = total(row->weight, V);
}

int sampler_row_draw(const struct sampler_row *row, const float *logits, int V, double u,
                     float *logp) {
    if (row->greedy >= 0) {
        *logp = 0;
        return row->greedy;
    }
    int id = find(row->weight, V, u * row->total);
    if (id < 0) id = 0; /* only for logits that are NaN throughout */
    *logp = sampler_row_logp(row, logits, id);
    return id;
}

int sampler_draw(const struct kernels *k, const struct sampler *s, const float *logits,
                 int V, double u, float *scratch, float *logp) {
    struct sampler_row row = {.weight = scratch};
    sampler_row_open(&row, k, s, logits, V);
    return sampler_row_draw(&row, logits, V, u, logp);
}
