/* db/row.h: the rows of a run, one plain struct a table (docs/database.md).
 *
 * Given to a writer, every pointer is borrowed for the call. Filled by a reader, texts
 * and blobs live in the arena that was passed. NAN stands for NULL in a double; a text
 * that may be absent is NULL. Hashes are stored as 16 hex digits. Fields marked (read)
 * are set by the database and ignored by writers.
 */
#ifndef DB_ROW_H
#define DB_ROW_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

struct db_run {
    const char *name, *version, *build, *isa;
    const char *experiment; /* the effective experiment, JSON */
    const char *created_at; /* (read) UTC, ISO 8601 */
    uint64_t seed;          /* stored as the signed number with the same bits */
    uint64_t start_weights; /* hash */
    int threads;
};

struct db_stage {
    int stage;               /* 1, 2, ... */
    const char *name, *type; /* type: "sft", "grpo" */
    int max_steps;
    const char *started_at, *finished_at; /* (read); finished_at NULL while it runs */
};

struct db_step {
    int step;                /* 1, 2, ... over all stages */
    int stage, stage_step;   /* stage_step: 1, 2, ... in its stage */
    uint64_t weights_before; /* hash; must be the last step's weights_after */
    double learning_rate;
    /* the rest is (read), or comes with db_finish_step */
    const char *state;      /* "sampled" until finished, then "done" or "refused" */
    uint64_t weights_after; /* hash; 0 while sampled */
    const char *refusal;    /* why the update was not applied; NULL unless refused */
    double wall_s;          /* NAN while sampled */
    const char *committed_at, *finished_at;
};

struct db_metric {
    const char *name; /* TRL's: "kl", "entropy", "loss", ... */
    double value;
};

struct db_token {
    const char *text; /* [n_text] any bytes */
    size_t n_text;
};

struct db_problem {
    int64_t id; /* (read) */
    const char *kind, *key, *split, *prompt, *gold;
    const char *columns; /* a JSON object; NULL is written as {} */
};

/* One supervised trace of an SFT step, in the order of the batch. */
struct db_trace {
    int step, idx;
    int64_t problem_id;
    const int32_t *ids; /* [n_ids] prompt, then completion */
    int n_ids, n_prompt;
};

struct db_group {
    int64_t id;          /* set by the database */
    int step, prompt_no; /* prompt_no: 0, 1, ... in the step */
    int64_t problem_id;
    int n;                       /* samples */
    struct db_episode *episodes; /* [n_episodes] to be written with it; a reader sets none */
    int n_episodes;
};

struct db_episode {
    int64_t id, group_id; /* set by the database */
    int sample; /* 0, 1, ... in the group */
    int n_prompt, n_completion;
    const int32_t *ids;  /* [n_prompt + n_completion] */
    const float *logps;  /* [n_completion] as sampled */
    const uint8_t *mask; /* [n_completion] 1: counts in the loss; NULL: all do */
    const char *text;    /* [n_text] the completion; any bytes, NULs too */
    size_t n_text;
    const char *finish_reason; /* "eos", "stop", "length" (truncated) */
    uint64_t key_seed;         /* the address of its random numbers, base/rng.h */
    uint32_t key_purpose, key_step, key_prompt, key_sample;
    uint64_t weights_hash; /* of the weights that sampled it */
    double reward;         /* NAN: not scored */
    double advantage;      /* NAN: none. -0 is read back as 0 */
    double gen_ms, score_ms;
    struct db_verdict *verdicts; /* [n_verdicts] to be written with it; a reader sets none */
    int n_verdicts;
};

/* What is recorded of an episode's tokens where the experiment asks for it. */
struct db_detail {
    int64_t episode_id;
    const float *entropies; /* [n_entropies]; NULL: none */
    size_t n_entropies;
    const uint8_t *experts; /* [n_experts]; NULL: none */
    size_t n_experts;
};

struct db_verdict {
    int64_t episode_id; /* set by the database */
    const char *checker, *version; /* "answer", "countdown/1" */
    double weight; /* of its score in this episode's reward; 0: its gate was shut */
    const char *status;            /* "ok", "unparsable", "undecided", ... */
    double score;       /* [0, 1]; stored for ok and unparsable only, else NAN */
    const char *detail; /* for a person; "" where there is nothing to say */
    double ms;
    bool deterministic; /* the same input gives the same verdict again */
    const char *parts;  /* a JSON object of numbers by name; NULL is written as {} */
};

struct db_eval {
    int64_t id;              /* (read) */
    int step;                /* steps done before it, 0: none */
    const char *spec, *mode; /* problems; "greedy", "sampled" */
    int k;                   /* completions a problem; 1 if greedy */
    double temperature;      /* 0 if greedy */
    int n;                   /* problems */
    double pass1, ci95;      /* share; half width of its 95 % interval */
    double pass_at_k, avg_at_k;
    double mean_length; /* tokens */
    double wall_s;
    uint64_t weights_hash;
    const char *created_at; /* (read) */
};

struct db_eval_episode {
    int64_t eval_id;
    int idx, sample; /* problem's place in the evaluation; 0, 1, ... k-1 */
    int64_t problem_id;
    int n_completion;
    const char *finish_reason, *status;
    double score;
    const char *text; /* [n_text] */
    size_t n_text;
};

#endif
