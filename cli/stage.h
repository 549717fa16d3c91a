/* cli/stage.h: the data of one step, made or read back, and what is learnt from it.
 *
 * A step's lesson (sft) or harvest (grpo) comes fresh from stage_*.c or out of run.db
 * (recorded.c); learning from it is the same function either way, so a recorded step applied
 * again gives the same bits. All arrays are those of run.arena, valid until it is reset.
 */
#ifndef CLI_STAGE_H
#define CLI_STAGE_H

#include "cli/run.h"

/* The traces of one sft step. */
struct lesson {
    struct problem *problem; /* [n]; NULL when read back */
    struct update_seq *seq;  /* [n] */
    int **id;                /* [n] prompt, then completion */
    int n;
    long tokens;
};

/* An episode of another run, as it was recorded there. */
struct harvest_source {
    struct db_episode e;
    struct db_problem p;
    struct db_verdict *v; /* [n_v] */
    int n_v;
};

/* One grpo step's episodes: group p has n_prompts G from p G on. Those of another run are
 * groups of one: they bring their advantages with them. */
struct harvest {
    int n_prompts, G, n;   /* n = n_prompts G episodes */
    int n_recorded;        /* groups that run.db holds, the first ones */
    struct problem *problem;       /* [n_prompts] */
    struct rollout_prompt *prompt; /* [n_prompts] */
    struct trace *trace; /* [n] likewise all below; a trace's ids follow those of its prompt */
    char **text;
    size_t *n_text;
    struct verdict *verdict; /* [n][n_rewards] */
    double *weight;          /* [n][n_rewards] as applied: 0 where a gate was shut */
    double *reward, *adv, *score_ms;
    bool *scorable;
    int64_t *episode; /* rows of run.db, once they are written */
    uint8_t *no_loss; /* [max_pos] zeros: the mask of a trace that does not count */
    float **ref_logp; /* NULL without a reference */
    struct harvest_source *source; /* NULL: drawn here */
    long tokens, truncated;
    int failed[EXPERIMENT_MAX_REWARDS]; /* verdicts of each reward that failed */
};

void harvest_init(struct run *r, const struct experiment_stage *s, struct harvest *h);

/* How a stage draws. */
struct rollout_config harvest_rollout(const struct run *r, const struct experiment_stage *s);

/* Verdicts, weights and rewards of groups first to first + n - 1, by all rewards of r->x or by
 * `only` one (-1: all), where h holds the verdicts of the others. */
void harvest_score(struct run *r, const struct experiment_stage *s, struct harvest *h,
                   int stage_step, int first, int n, int only);

/* Reads the groups that run.db holds of a step into the first places of h. `verdicts`: those
 * too, for the metrics. */
MUST_USE int harvest_read(struct run *r, int step, bool verdicts, struct harvest *h,
                          struct err *err);
/* A recorded episode into place k of h; its arrays are borrowed. */
void harvest_take(const struct db_episode *e, struct harvest *h, int k);
MUST_USE int lesson_read(struct run *r, int step, struct lesson *l, struct err *err);

/* The updates of one step: weights and optimizer move, metrics are noted. NULL, or why the
 * step is refused. */
const char *harvest_learn(struct run *r, const struct experiment_stage *s, struct harvest *h,
                          double lr, struct update_stats *st);
const char *lesson_learn(struct run *r, const struct experiment_stage *s, const struct lesson *l,
                         double lr, struct update_stats *st, double *norm);

#endif
