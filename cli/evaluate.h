/* cli/evaluate.h: how often a policy solves the problems of a set.
 *
 * k = 1 at temperature 0 is greedy; otherwise k completions a problem are drawn. A
 * completion is correct when the kind's checker (`answer`, or `code`) says ok with score 1.
 */
#ifndef CLI_EVALUATE_H
#define CLI_EVALUATE_H

#include "cli/engine.h"
#include "reward/scorer.h"

struct eval_config {
    int k;
    double temperature, top_p, min_p;
    int top_k;
    int max_completion_length;
    uint64_t seed;
    int step; /* part of the random key: steps done before */
    const char *const *stop;
    int n_stop;
    struct scorer *scorer; /* says what is correct; borrowed; NULL: the kind's own checker */
};

struct eval_result {
    int n, k;
    double pass1;     /* mean over problems of their share of correct completions */
    double pass_at_k; /* share of problems with at least one */
    double ci95;      /* half width of pass1's 95 % interval, from the spread over problems */
    double mean_length;
    double wall_s;
    long tokens;
    long failures; /* verdicts that were the checker's failure */
};

/* One completion, shown as it is scored, in the order of problems and samples. */
struct eval_sample {
    int idx, sample;
    const struct problem *problem;
    const struct trace *trace;
    const char *text;
    size_t n_text;
    const struct verdict *verdict;
};

/* Returns 0 to go on, -1 with err to stop. */
typedef int (*eval_each)(void *ctx, const struct eval_sample *s, struct err *err);

/* The longest prompt of a set that ends, in tokens. -1 with the problem's number in err where
 * one does not encode or leaves no room for max_completion tokens. */
MUST_USE int evaluate_longest_prompt(const struct engine *e, const struct problem_set *set,
                                     int max_completion, struct err *err);

/* Draws and scores all problems of the set. each may be NULL. */
MUST_USE int evaluate(const struct engine *e, struct rollout *r, const struct problem_set *set,
                      const struct eval_config *cfg, eval_each each, void *ctx,
                      struct eval_result *out, struct err *err);

#endif
