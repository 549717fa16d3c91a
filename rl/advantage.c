/* rl/advantage.c: see advantage.h. */
#include "rl/advantage.h"

#include <math.h>
#include <stddef.h>

#define STD_EPS 1e-4

struct spread {
    double mean, std;
    int n;
};

/* Deviations from the first value are summed, so that equal values leave exactly 0. */
static struct spread measure(const double *x, const bool *use, int n) {
    struct spread s = {0};
    double first = 0, sum = 0, squares = 0;
    for (int i = 0; i < n; i++) {
        if (use && !use[i]) continue;
        if (s.n++ == 0) first = x[i];
        sum += x[i] - first;
    }
    if (s.n == 0) return s;
    s.mean = first + sum / s.n;
    for (int i = 0; i < n; i++)
        if (!use || use[i]) squares += (x[i] - s.mean) * (x[i] - s.mean);
    s.std = s.n > 1 ? sqrt(squares / (s.n - 1)) : 0;
    return s;
}

void advantage_compute(const double *reward, const bool *scorable, int n_groups, int G,
                       enum scale_rewards scale, double *adv) {
    struct spread batch = measure(reward, scorable, n_groups * G);
    for (int g = 0; g < n_groups; g++) {
        const bool *use = scorable ? scorable + g * G : NULL;
        struct spread s = measure(reward + g * G, use, G);
        double div = scale == SCALE_GROUP   ? s.std + STD_EPS
                     : scale == SCALE_BATCH ? batch.std + STD_EPS
                                            : 1;
        for (int i = 0; i < G; i++)
            adv[g * G + i] =
                (use && !use[i]) || s.n < 2 ? 0 : (reward[g * G + i] - s.mean) / div;
    }
}

void advantage_spread(const double *reward, const bool *scorable, int n_groups, int G,
                      double *mean_std, double *frac_zero_std) {
    double sum = 0;
    int zero = 0, n = 0;
    for (int g = 0; g < n_groups; g++) {
        struct spread s = measure(reward + g * G, scorable ? scorable + g * G : NULL, G);
        if (s.n == 0) continue;
        n++;
        sum += s.std;
        zero += s.std == 0;
    }
    *mean_std = n ? sum / n : 0;
    *frac_zero_std = n ? (double)zero / n : 0;
}
