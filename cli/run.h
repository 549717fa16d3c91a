/* cli/run.h: one training run: everything its stages share.
 *
 * Here the rooms meet: problems become prompts, traces become texts for the checkers and
 * rows for the database. `hone train` opens a run, walks its stages, closes it.
 */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include <stdatomic.h>

#include "cli/engine.h"
#include "cli/evaluate.h"
#include "cli/experiment.h"
#include "cli/failures.h"
#include "cli/progress.h"
#include "cli/run_options.h"
#include "db/later.h"
#include "reward/scorer.h"
#include "rl/update.h"

enum { RUN_MAX_METRICS = 64, RUN_STEPS_WAITING = DB_LATER_JOBS / 2 };

/* The order in which one epoch visits a finite set. */
struct run_order {
    uint32_t *index; /* [n], owned */
    int n;
    uint32_t stage, epoch;
};

/* The frozen policy that a stage with beta starts from: its own weights and buffers. */
struct reference {
    bool on;
    struct weights w;
    struct model m;
    struct update *update;
};

/* A step that was made and may not be written yet. */
struct made_step {
    atomic_bool waits;  /* until the thread that writes has done with it */
    struct arena arena; /* all that is to be written of the step */
    struct db_step row;
    struct db_metric metric[RUN_MAX_METRICS];
    struct db_detail *detail; /* [n_details], of episode[] */
    const int64_t *episode;
    int n_metrics, n_details;
};

struct run {
    struct experiment x;
    char dir[4096];
    struct engine e;
    struct problem_set *train[EXPERIMENT_MAX_STAGES]; /* of each stage, owned */
    struct problem_set *eval; /* NULL: no evaluation */
    struct scorer *scorer[EXPERIMENT_MAX_REWARDS]; /* of each reward, owned */
    struct failure_window failures[EXPERIMENT_MAX_REWARDS];
    const char *stop_string[EXPERIMENT_MAX_STOP];
    struct optimizer opt;
    int stage; /* that opt and ref belong to, from 0; -1: none has begun */
    struct reference ref;
    struct update *update;
    struct rollout *rollout; /* NULL in a run that was opened to be looked at */
    struct choice *choice;   /* by SQL, of what a step takes (choice.h); NULL: none */
    struct db *db;
    struct progress progress;
    struct run_order order;
    struct arena arena; /* the step's */
    struct arena writing; /* of the thread that writes, one transaction's */
    int step;           /* steps done, over all stages */
    uint64_t hash;      /* of the weights now */
    size_t policy_bytes, update_bytes; /* of memory, with what belongs to them */
    int lock;           /* descriptor of the locked folder; 0: none */
    bool resumed, changed;  /* the folder held a run; settings of it were changed */
    int last;               /* finished steps found in it */
    struct db_step pending; /* sampled, its update still to be made; step 0: none */
    enum run_stop stop;     /* why the run ends early */
    struct run_limits limits;
    struct until until;
    char until_said[512]; /* the values with which it holds */
    struct report report;
    double started; /* progress_now at the start */
    bool time_said; /* estimate_watch has looked */
    int first_step; /* steps done when this start began to make new ones */
    struct db_metric metric[RUN_MAX_METRICS];
    struct db_detail *detail; /* [n_details] of the step's episodes */
    const int64_t *episode;   /* their ids, once they are written */
    int n_details, n_metrics;
    struct made_step made[RUN_STEPS_WAITING];
    long gen_tokens; /* sampled in GRPO stages */
    double gen_s, step_s;
};

/* Reads and checks everything before the first file is written; then makes the folder, its
 * experiment.json and run.db, or opens those that are there: then r is at the starting weights
 * and r->last says how many steps are to be applied again. On -1 run_close is still due. */
MUST_USE int run_open(struct run *r, const struct run_options *o, struct err *err);
void run_close(struct run *r);
/* Gives the memory of steps back. What waits to be written must have been. */
void run_clear_steps(struct run *r);

/* Opens the rewards, and with them the programs of plug-ins, for a run that goes on to score.
 * run_open does; a recorded run that is only read has none. */
MUST_USE int run_open_scorers(struct run *r, struct err *err);
/* The first open scorer of that built-in checker, NULL where there is none. Borrowed. */
struct scorer *run_scorer_named(struct run *r, const char *checker);

/* Opens a run that is in a folder to follow it, without writing: the experiment as recorded,
 * the policy at the starting weights, whose hash is checked; no problems, no rollout. On -1
 * run_close is still due. */
MUST_USE int run_open_recorded(struct run *r, const char *dir, const char *isa, int n_threads,
                               struct err *err);

/* Stage i begins from the weights now: a fresh optimizer, and with beta the reference. */
void run_begin_stage(struct run *r, int i);
/* The reference of stage i, if it has one, from w, weights of the same layout. */
void run_set_reference(struct run *r, int i, const float *w);

/* One step of stage i (stage_sft.c, stage_grpo.c), number stage_step from 0; what run.db
 * holds of it already is taken from there. r->step has not moved where r->stop ended it half
 * way. */
MUST_USE int run_sft_step(struct run *r, int i, int stage_step, struct err *err);
MUST_USE int run_grpo_step(struct run *r, int i, int stage_step, struct err *err);

/* The checkpoint and the evaluation that are due after `done` steps of stage i, those that
 * are not there yet. */
MUST_USE int run_after_step(struct run *r, int i, int done, struct err *err);

/* Saves a checkpoint of now and removes those that are not to be kept. */
MUST_USE int run_checkpoint(struct run *r, struct err *err);
/* Greedy evaluation now, recorded and shown; with `sampled` also eval.samples draws. What is
 * recorded is not done again. */
MUST_USE int run_evaluate(struct run *r, bool sampled, struct err *err);

/* Whether the run is to end here, where nothing is lost; sets r->stop. */
bool run_should_stop(struct run *r);

/* Looks whether what --until asks for holds after the newest step; sets r->stop. */
MUST_USE int run_check_until(struct run *r, struct err *err);

#endif
