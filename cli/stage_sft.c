/* cli/stage_sft.c: supervised steps on the teacher's traces. See run.h. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/run_step.h"
#include "cli/stage.h"
#include "db/later.h"

static int load_lesson(struct run *r, int i, int stage_step, struct lesson *l, struct err *err) {
    const struct experiment_stage *s = &r->x.stage[i];
    int max = r->e.m.max_pos;
    *l = (struct lesson){.n = s->batch_size};
    l->problem = arena_new(&r->arena, (size_t)l->n, sizeof *l->problem);
    l->seq = arena_new(&r->arena, (size_t)l->n, sizeof *l->seq);
    l->id = arena_new(&r->arena, (size_t)l->n, sizeof *l->id);
    for (int k = 0; k < l->n; k++) {
        struct problem *p = &l->problem[k];
        long visit = (long)stage_step * l->n + k;
        problem_set_get(r->train[i], run_problem_at(r, i, visit, s->num_traces), &r->arena, p);
        if (!p->trace)
            return err_set(err, EX_DATAERR, "problem '%s' of %s has no trace to learn from",
                           p->key, problem_set_spec(r->train[i]));
        int *id = l->id[k] = arena_new(&r->arena, (size_t)max, sizeof *id);
        int n_prompt = engine_encode_prompt(&r->e, p->prompt, id, max - 1, err);
        if (n_prompt < 0) return -1;
        int n = engine_encode_completion(&r->e, p->trace, id + n_prompt, max - n_prompt, err);
        if (n < 0) return -1;
        l->seq[k] = (struct update_seq){.prompt = id, .n_prompt = n_prompt, .id = id + n_prompt,
                                        .n = n};
        l->tokens += n;
    }
    return 0;
}

struct record {
    struct run *r;
    struct lesson l;
    struct db_step row;
};

/* In the thread that writes. */
static int write_lesson(struct db *db, void *ctx, struct err *err) {
    struct run *r = ((struct record *)ctx)->r;
    const struct lesson *l = &((struct record *)ctx)->l;
    const struct db_step *row = &((struct record *)ctx)->row;
    if (db_write_step(db, row, err) != 0) return -1;
    arena_reset(&r->writing);
    struct db_trace *t = arena_new(&r->writing, (size_t)l->n, sizeof *t);
    for (int k = 0; k < l->n; k++) {
        const struct update_seq *q = &l->seq[k];
        t[k] = (struct db_trace){.step = row->step, .idx = k, .ids = l->id[k],
                                 .n_ids = q->n_prompt + q->n, .n_prompt = q->n_prompt};
        if (run_record_problem(r, r->train[row->stage - 1], &l->problem[k], &t[k].problem_id,
                               err) != 0)
            return -1;
    }
    return db_write_traces(db, t, l->n, err);
}

const char *lesson_learn(struct run *r, const struct experiment_stage *s, const struct lesson *l,
                         double lr, struct update_stats *st, double *norm) {
    struct update_config uc = {.sft = true, .sampler = {1, 0, 1, 0},
                               .router_aux_loss_coef = s->router_aux_loss_coef};
    memset(r->opt.grad, 0, r->opt.n_data * sizeof(float));
    update_gradient(r->update, &uc, l->seq, l->n, NULL, r->opt.grad, st);
    const char *refusal =
        run_apply(r, s, lr, norm) != 0 ? "the gradient is not finite" : NULL;
    run_metric(r, "loss", st->loss);
    run_metric(r, "entropy", st->entropy);
    run_metric(r, "grad_norm", *norm);
    run_metric(r, "num_tokens", (double)l->tokens);
    return refusal;
}

static int record(struct run *r, const struct lesson *l, const struct db_step *row,
                  struct err *err) {
    struct record *c = arena_new(&r->arena, 1, sizeof *c);
    *c = (struct record){r, *l, *row};
    return db_later(r->db, write_lesson, c, err);
}

int run_sft_step(struct run *r, int i, int stage_step, struct err *err) {
    const struct experiment_stage *s = &r->x.stage[i];
    struct db_step row = run_new_step(r, i, stage_step);
    struct lesson l;
    struct update_stats st;
    double start = progress_now(), norm;
    arena_reset(&r->arena);
    if (r->pending.step == row.step) {
        if (lesson_read(r, row.step, &l, err) != 0) return -1;
    } else if (load_lesson(r, i, stage_step, &l, err) != 0 ||
               record(r, &l, &row, err) != 0) {
        return -1;
    }
    const char *refusal = lesson_learn(r, s, &l, row.learning_rate, &st, &norm);
    double wall = progress_now() - start;
    run_metric(r, "tokens_per_s", (double)l.tokens / wall);
    char text[128];
    snprintf(text, sizeof text, "loss %.4f  grad %.2f  %5.1fk tok/s", st.loss, norm,
             (double)l.tokens / wall / 1e3);
    progress_show(&r->progress, s->name, stage_step + 1, s->max_steps,
                  stage_step == 0 || stage_step + 1 == s->max_steps, text);
    return run_end_step(r, &row, refusal, wall, err);
}
