/* cli/experiment.h: one run, as its experiment.json and --set say it.
 *
 * Everything is checked before anything starts: unknown keys (with the nearest valid one),
 * types, ranges. The effective experiment, defaults included, prints back as JSON.
 */
#ifndef CLI_EXPERIMENT_H
#define CLI_EXPERIMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "policy/config.h"
#include "reward/scorer.h"
#include "rl/advantage.h"
#include "rl/loss.h"
#include "rl/optimizer.h"

enum { EXPERIMENT_MAX_STAGES = 8, EXPERIMENT_MAX_REWARDS = 8, EXPERIMENT_MAX_STOP = 4 };

enum stage_type { STAGE_SFT, STAGE_GRPO };

struct experiment_reward {
    /* one of the four, the others "" */
    char checker[64];
    char plugin[1024];  /* path of a shared object */
    char command[2048]; /* a JSON array of strings */
    char url[1024];
    char name[64]; /* unique; default: the checker's, or the file's without its ending */
    char options[2048]; /* of the checker or plug-in: a JSON object, or "" */
    double timeout, min_value, max_value; /* of plug-ins: seconds 10; 0 1 */
    int workers, retries;                 /* of plug-ins: 1 2 */
    double weight; /* default 1 */
    bool gate;     /* counts only where the answer is right */
};

/* Names and defaults are TRL's (GRPOConfig, SFTConfig) where it has them. */
struct experiment_stage {
    enum stage_type type;
    char name[64]; /* default: the type; unique; --set NAME.key=value */
    char problems[1024]; /* SPEC; "": problems.train */
    int max_steps;
    /* optimizer, both types */
    double learning_rate; /* grpo 1e-6, sft 2e-5 */
    enum lr_schedule lr_scheduler_type; /* linear */
    int warmup_steps;                   /* 0 */
    double weight_decay;                /* 0 */
    double adam_beta1, adam_beta2, adam_epsilon; /* 0.9 0.999 1e-8 */
    double max_grad_norm;                        /* 1.0; 0 switches clipping off */
    double router_bias_update_speed; /* gamma, DeepSeek-V3 2.1.2; sft 0.001, grpo 0 */
    double router_aux_loss_coef;     /* alpha of the sequence-wise loss; sft 1e-4, grpo 0 */
    int max_tokens_per_microbatch;   /* 8192; memory only, results do not depend on it */
    /* sft */
    int batch_size;  /* traces a step, 32 */
    int num_traces;  /* distinct problems used; 0: as many as the steps visit */
    /* grpo */
    int num_prompts;     /* prompts a step, 16 */
    int num_generations; /* 8 */
    int num_iterations;  /* 1 */
    int max_completion_length; /* 256 */
    double temperature, top_p, min_p; /* 1 1 0 */
    int top_k;                        /* 0: off */
    double beta;                      /* 0 */
    double epsilon, epsilon_high;     /* 0.2; epsilon_high -1: as epsilon */
    enum loss_type loss_type;         /* dapo */
    enum scale_rewards scale_rewards; /* group */
    bool mask_truncated_completions;  /* false */
};

enum experiment_dtype { EXPERIMENT_F32, EXPERIMENT_BF16, EXPERIMENT_AUTO };

struct experiment {
    char name[64];
    uint64_t seed; /* 0 */
    enum experiment_dtype compute_dtype; /* f32; auto is settled when the run begins */
    bool gradient_checkpointing;         /* false; memory only, results do not depend on it */
    char description[256];
    struct {
        char path[4096]; /* folder to start from; "": random weights of config */
        bool has_config;
        struct policy_config config; /* vocab_size 0: taken from the tokenizer */
        char tokenizer[16];          /* "char" or "byte"; ignored with path */
    } model;
    struct {
        char train[4096], eval[4096]; /* problem SPECs */
        char where[4096]; /* which of them a step may take, SQL over v_curriculum; "": all */
    } problems;
    struct {
        char from[4096];  /* folder of the run whose episodes are learnt from; "": own ones */
        char where[4096]; /* which of them, SQL over v_episode; "": all */
        double importance_cap; /* 2 */
    } replay;
    struct experiment_reward reward[EXPERIMENT_MAX_REWARDS];
    int n_rewards; /* default: answer, weight 1 */
    int answer;    /* which of them says whether a problem is solved */
    double max_failure_rate; /* reward.max_failure_rate, 0.05 */
    char sandbox[128];       /* reward.sandbox: layers, "": the standard ones */
    char stop[EXPERIMENT_MAX_STOP][64]; /* stop strings */
    int n_stop;
    struct {
        int eval_steps;    /* every N steps of a stage, and at its two ends; 0: ends only */
        int samples;       /* sampled completions a problem at stage ends, 0: greedy only */
        double temperature;        /* of those, 1 */
        int max_completion_length; /* 256 */
    } eval;
    struct {
        int save_steps;       /* checkpoint every N steps; 0: stage ends only */
        int keep_last;        /* keep the newest N; 0: all */
        int keep_every;       /* and those of every Nth step of the run; 0: none */
        int commit_prompts;   /* groups drawn and committed together; 0: chosen */
    } checkpoint;
    struct {
        bool entropy; /* of each token's distribution */
        bool experts; /* that each token was routed to */
    } record; /* beside the episodes; moves no weight */
    struct experiment_stage stage[EXPERIMENT_MAX_STAGES];
    int n_stages;
};

/* Reads path, applies the n_set `key=value` strings in order ("seed=3",
 * "grpo.learning_rate=1e-4", "model.config.hidden_size=64"), checks all ranges. Values
 * are JSON; a bare word is a string. On -1 the message names file, key path and the
 * nearest valid key: EX_NOINPUT, EX_DATAERR (no JSON), EX_CONFIG, EX_USAGE (a --set that
 * is no key=value). */
MUST_USE int experiment_load(struct experiment *x, const char *path,
                             const char *const *set, int n_set, struct err *err);

/* The same from text, a JSON object as experiment_print writes it; `where` names it in
 * messages ("run.db"). */
MUST_USE int experiment_parse(struct experiment *x, const char *text, const char *where,
                              struct err *err);

/* One of its rewards as scorer_open takes it; borrowed from w. */
struct scorer_config experiment_scorer(const struct experiment_reward *w);

/* The effective experiment as JSON; experiment_load reads it back to the same struct. */
void experiment_print(const struct experiment *x, struct buf *out);

/* Every key with type, default, range and help, for `hone help config`. */
void experiment_print_help(struct buf *out);

#endif
