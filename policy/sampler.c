/* policy/sampler.c: see sampler.h. */
#include "policy/sampler.h"

#include <math.h>
#include <stdlib.h>

#include "base/fmath.h"
#include "base/mem.h"

/* Sums over kept weights are in double and in index order. */
static double total(const float *w, int V) {
    double sum = 0;
    for (int j = 0; j < V; j++) sum += w[j];
    return sum;
}

static int larger_first(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* Zeroes every weight that the filters drop: all cut at one threshold on the weight. */
static void filter(const struct sampler *s, float *w, int V) {
    float *sorted = mem_new((size_t)V, sizeof *sorted);
    for (int j = 0; j < V; j++) sorted[j] = w[j];
    qsort(sorted, (size_t)V, sizeof *sorted, larger_first);
    int n = s->top_k > 0 && s->top_k < V ? s->top_k : V;
    float threshold = sorted[n - 1];
    double sum = 0, reached = 0;
    for (int j = 0; j < V && sorted[j] >= threshold; j++) sum += sorted[j];
    for (int j = 0; j < V && s->top_p < 1 && sorted[j] >= threshold; j++) {
        reached += sorted[j];
        if (reached >= s->top_p * sum) {
            threshold = sorted[j];
            break;
        }
    }
    float least = (float)(s->min_p * sorted[0]);
    if (least > threshold) threshold = least;
    for (int j = 0; j < V; j++)
        if (w[j] < threshold) w[j] = 0;
    mem_free(sorted);
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

int sampler_draw(const struct kernels *k, const struct sampler *s, const float *logits,
                 int V, double u, float *scratch, float *logp) {
    if (s->temperature == 0) {
        *logp = 0;
        return draw_greedy(logits, V);
    }
    struct sampler_row row = {.weight = scratch};
    sampler_row_fill(&row, k, s, logits, V);
    double target = u * total(scratch, V), reached = 0;
    int id = -1;
    for (int j = 0; j < V; j++) {
        if (scratch[j] == 0) continue;
        id = j; /* rounding may leave the last one short of the target */
        reached += scratch[j];
        if (reached > target) break;
    }
    if (id < 0) id = 0; /* only for logits that are NaN throughout */
    *logp = sampler_row_logp(&row, logits, id);
    return id;
}
