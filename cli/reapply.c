/* cli/reapply.c: see reapply.h. */
#include "cli/reapply.h"

#include <string.h>

#include "base/mem.h"
#include "cli/checkpoint.h"
#include "cli/stage.h"

enum { MAX_CHECKPOINTS = 4096 };

static int other_weights(const struct run *r, int step, const char *what, uint64_t recorded,
                         struct err *err) {
    return err_set(err, EX_DATAERR,
                   "%s: step %d %s %016llx, the log says %016llx: the database, or the weights "
                   "that the run starts from, were changed",
                   r->dir, step, what, (unsigned long long)r->hash, (unsigned long long)recorded);
}

static int learn_again(struct run *r, const struct experiment_stage *s, const struct db_step *row,
                       struct err *err) {
    struct update_stats st = {0};
    if (s->type == STAGE_SFT) {
        struct lesson l;
        double norm;
        if (lesson_read(r, row->step, &l, err) != 0) return -1;
        lesson_learn(r, s, &l, row->learning_rate, &st, &norm);
        return 0;
    }
    struct harvest h;
    harvest_init(r, s, &h);
    if (harvest_read(r, row->step, false, &h, err) != 0) return -1;
    if (h.n_recorded < h.n_prompts)
        return err_set(err, EX_DATAERR, "%s/run.db: step %d has %d groups of %d", r->dir, row->step,
                       h.n_recorded, h.n_prompts);
    harvest_learn(r, s, &h, row->learning_rate, &st);
    return 0;
}

int reapply_step(struct run *r, int step, struct err *err) {
    struct db_step row;
    CHECK(step == r->step + 1);
    arena_reset(&r->arena);
    if (db_read_step(r->db, step, &r->arena, &row, err) != 0) return -1;
    if (strcmp(row.state, "sampled") == 0)
        return err_set(err, EX_DATAERR, "%s: step %d was sampled, its update was not finished",
                       r->dir, step);
    if (row.stage > r->x.n_stages)
        return err_set(err, EX_DATAERR, "%s: step %d belongs to stage %d of %d", r->dir, step,
                       row.stage, r->x.n_stages);
    if (row.weights_before != r->hash)
        return other_weights(r, step, "would start from", row.weights_before, err);
    if (row.stage - 1 != r->stage) run_begin_stage(r, row.stage - 1);
    if (learn_again(r, &r->x.stage[r->stage], &row, err) != 0) return -1;
    r->n_metrics = r->n_details = 0;
    update_expert_load_reset(r->update);
    r->hash = weights_hash(&r->e.w);
    if (r->hash != row.weights_after)
        return other_weights(r, step, "applied again gives", row.weights_after, err);
    r->step = step;
    return 0;
}

/* The reference of the stage of `row`: the weights before the stage's first step. */
static int load_reference(struct run *r, const struct db_step *row, struct err *err) {
    int i = row->stage - 1, first = row->step - row->stage_step;
    const struct experiment_stage *s = &r->x.stage[i];
    if (s->type != STAGE_GRPO || s->beta == 0) return 0;
    struct db_step before = {.weights_before = 0};
    if (db_read_step(r->db, first + 1, &r->arena, &before, err) != 0) return -1;
    struct weights w;
    weights_init(&w, &r->e.w.cfg);
    int rc = first == 0 && r->hash == before.weights_before
                 ? (memcpy(w.data, r->e.w.data, w.n_data * sizeof *w.data), 0)
                 : checkpoint_load(r->dir, first, before.weights_before, &w, NULL, err);
    if (rc == 0) run_set_reference(r, i, w.data);
    weights_clear(&w);
    return rc;
}

/* Takes the checkpoint of a step; -1 where it, or the reference of its stage, is not whole. */
static int take_checkpoint(struct run *r, int step, struct err *err) {
    struct db_step row;
    if (db_read_step(r->db, step, &r->arena, &row, err) != 0) return -1;
    if (row.stage > r->x.n_stages || load_reference(r, &row, err) != 0) return -1;
    if (checkpoint_load(r->dir, step, row.weights_after, &r->e.w, &r->opt, err) != 0) return -1;
    model_pack(&r->e.m, r->e.n_threads);
    r->stage = row.stage - 1;
    r->step = step;
    r->hash = row.weights_after;
    return 0;
}

int reapply_without(struct run *r, int step, struct err *err) {
    int at[MAX_CHECKPOINTS], n = checkpoint_list(r->dir, at, MAX_CHECKPOINTS);
    for (int i = 0; i < n && at[i] >= step; i++) {
        arena_reset(&r->arena);
        if (take_checkpoint(r, at[i], err) == 0) return 0;
    }
    return err_set(err, EX_DATAERR,
                   "%s: no whole checkpoint of step %d or later: without the episodes before it "
                   "the run could not be gone on with",
                   r->dir, step);
}

int reapply_to(struct run *r, int step, int *from, void (*each)(struct run *r, int step),
               struct err *err) {
    int at[MAX_CHECKPOINTS], n = checkpoint_list(r->dir, at, MAX_CHECKPOINTS);
    CHECK(r->step == 0);
    for (int i = 0; i < n && r->step == 0; i++) {
        if (at[i] > step || at[i] == 0) continue;
        arena_reset(&r->arena);
        if (take_checkpoint(r, at[i], err) != 0)
            progress_note(&r->progress, "checkpoint of step %d is left out: %s", at[i], err->msg);
    }
    if (from) *from = r->step;
    while (r->step < step) {
        if (each) each(r, r->step + 1);
        if (reapply_step(r, r->step + 1, err) != 0) return -1;
    }
    return 0;
}
