/* cli/replay.c: `hone replay`: episodes drawn again, weights rebuilt, two runs compared. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/reapply.h"
#include "cli/replay.h"
#include "policy/folder.h"

struct options {
    const char *dir, *isa, *out, *other;
    int episode, step, sample, to_step, n_threads, seed;
};

static const char notes[] =
    "One of --episode, --step, --sample, --to-step and --bisect. Weights come from the\n"
    "nearest checkpoint and the recorded steps after it, applied again without sampling;\n"
    "the hash of each is checked. Nothing in DIR is written, so it may be read-only, and it\n"
    "may have been moved. --json prints a line for each mismatch, and at the end\n"
    "{\"checked\": N, \"exact\": N}. Exit 0: all exact; 65: something differs (docs/replay.md).";

/* --- drawing ----------------------------------------------------------------------- */

/* To the weights before `step`: from a checkpoint the first time, then on along the log. */
static int go_to(struct replay *p, int step, struct err *err) {
    struct run *r = &p->r;
    if (r->step == 0 && step > 1) return reapply_to(r, step - 1, NULL, NULL, err);
    while (r->step < step - 1)
        if (reapply_step(r, r->step + 1, err) != 0) return -1;
    return 0;
}

/* `place` is in the order of steps. */
static int draw_places(struct replay *p, const struct db_place *place, int n, struct err *err) {
    int64_t *id = arena_new(&p->arena, (size_t)n, sizeof *id);
    for (int i = 0, next; i < n; i = next) {
        for (next = i; next < n && place[next].step == place[i].step; next++)
            id[next] = place[next].id;
        if (go_to(p, place[i].step, err) != 0) return -1;
        if (replay_draw(p, id + i, next - i, err) != 0) return -1;
    }
    return 0;
}

static int draw_episode(struct replay *p, int episode, struct err *err) {
    struct db_episode e;
    struct db_group g;
    if (db_read_episode(p->r.db, episode, &p->arena, &e, err) != 0 ||
        db_read_group(p->r.db, e.group_id, &p->arena, &g, err) != 0)
        return -1;
    struct db_place place = {e.id, g.step};
    return draw_places(p, &place, 1, err);
}

static int draw_step(struct replay *p, int step, struct err *err) {
    struct db_place *place;
    struct db_step row;
    int n;
    if (db_read_step(p->r.db, step, &p->arena, &row, err) != 0 ||
        db_read_places(p->r.db, step, &p->arena, &place, &n, err) != 0)
        return -1;
    if (n == 0)
        return err_set(err, EX_USAGE,
                       "--step %d: is a supervised step, it drew no episodes; --to-step checks "
                       "its update",
                       step);
    return draw_places(p, place, n, err);
}

static int by_step(const void *a, const void *b) {
    const struct db_place *x = a, *y = b;
    if (x->step != y->step) return (x->step > y->step) - (x->step < y->step);
    return (x->id > y->id) - (x->id < y->id);
}

static int draw_sample(struct replay *p, int k, int seed, struct err *err) {
    struct db_place *all;
    int n;
    if (db_read_places(p->r.db, 0, &p->arena, &all, &n, err) != 0) return -1;
    if (n == 0) return err_set(err, EX_DATAERR, "%s/run.db has no episodes of its own", p->r.dir);
    if (k > n) k = n;
    struct rng_key key = {.seed = (uint64_t)seed, .purpose = RNG_SHUFFLE};
    uint32_t *order = arena_new(&p->arena, (size_t)n, sizeof *order);
    struct db_place *chosen = arena_new(&p->arena, (size_t)k, sizeof *chosen);
    rng_permutation(&key, (uint32_t)n, order);
    for (int i = 0; i < k; i++) chosen[i] = all[order[i]];
    qsort(chosen, (size_t)k, sizeof *chosen, by_step);
    return draw_places(p, chosen, k, err);
}

/* --- rebuilding -------------------------------------------------------------------- */

/* From the start, whatever checkpoints there are: every hash on the way is checked. */
static int rebuild(struct replay *p, int step, const char *out, struct err *err) {
    struct run *r = &p->r;
    struct db_step row;
    char path[PATH_MAX];
    if (db_read_step(r->db, step, &p->arena, &row, err) != 0) return -1;
    if (file_join(path, sizeof path, out, "config.json", err) != 0) return -1;
    if (file_exists(path))
        return err_set(err, EX_CANTCREAT, "--out %s: there is a model in this folder", out);
    for (int i = 1; i <= step; i++) {
        p->checked++;
        progress_show(&r->progress, "applied", i, step, i == step, "");
        if (reapply_step(r, i, err) != 0) return -1;
        p->exact++;
    }
    progress_end(&r->progress);
    if (folder_save(&r->e.w, r->e.tok, out, err) != 0) return -1;
    if (!p->json)
        printf("step %d: weights %016llx as recorded, and so are those of the steps before; "
               "written to %s\n",
               step, (unsigned long long)r->hash, out);
    return 0;
}

/* --- the command ------------------------------------------------------------------- */

static int check_options(const struct options *o, struct err *err) {
    int n = (o->episode > 0) + (o->step > 0) + (o->sample > 0) + (o->to_step > 0) +
            (o->other != NULL);
    if (n != 1)
        return err_set(err, EX_USAGE,
                       "give one of --episode, --step, --sample, --to-step and --bisect (see "
                       "hone help replay)");
    if ((o->to_step > 0) != (o->out != NULL))
        return err_set(err, EX_USAGE, "--to-step and --out belong together");
    return 0;
}

static int replay(struct replay *p, const struct options *o, struct err *err) {
    if (check_options(o, err) != 0) return -1;
    if (o->other) return replay_bisect(p, o->dir, o->other, err);
    if (run_open_recorded(&p->r, o->dir, o->isa, o->n_threads, err) != 0 ||
        db_read_run(p->r.db, &p->arena, &p->recorded, err) != 0)
        return -1;
    if (o->episode) return draw_episode(p, o->episode, err);
    if (o->step) return draw_step(p, o->step, err);
    if (o->sample) return draw_sample(p, o->sample, o->seed, err);
    return rebuild(p, o->to_step, o->out, err);
}

static int finish(struct replay *p, const struct options *o, int rc, struct err *err) {
    const char *what = o->other ? "steps are the same" : o->to_step ? "steps applied again, exact"
                                                                    : "episodes drawn again, exact";
    if (p->json)
        printf("{\"checked\": %ld, \"exact\": %ld}\n", p->checked, p->exact);
    else if (p->checked > 0)
        printf("%ld of %ld %s\n", p->exact, p->checked, what);
    if (rc == 0 && p->exact == p->checked) return EX_OK;
    if (rc == 0)
        err_set(err, EX_DATAERR, "%ld of %ld differ from what %s recorded",
                p->checked - p->exact, p->checked, o->dir);
    fprintf(stderr, "hone replay: %s\n", err->msg);
    return err->code;
}

int cmd_replay(int argc, char **argv) {
    struct options o = {.isa = "auto"};
    struct replay p = {.batch = 128};
    struct err err = {0};
    const struct arg arg[] = {
        {"DIR", ARG_STRING, &o.dir, .required = true, .help = "a run's folder"},
        {"--episode", ARG_INT, &o.episode, 1, INT_MAX, .value_name = "ID",
         .help = "draw this episode again, alone"},
        {"--step", ARG_INT, &o.step, 1, INT_MAX, .value_name = "N",
         .help = "draw all episodes of a step again"},
        {"--sample", ARG_INT, &o.sample, 1, INT_MAX, .value_name = "K",
         .help = "draw K episodes again, taken at random from the whole run"},
        {"--seed", ARG_INT, &o.seed, 0, INT_MAX, .value_name = "S",
         .help = "of that choice (default 0)"},
        {"--to-step", ARG_INT, &o.to_step, 1, INT_MAX, .value_name = "N",
         .help = "rebuild the weights after step N from the start, without sampling"},
        {"--out", ARG_STRING, &o.out, .value_name = "FOLDER",
         .help = "with --to-step: the model folder to write"},
        {"--bisect", ARG_STRING, &o.other, .value_name = "OTHER_DIR",
         .help = "the first step at which two runs differ, and in what"},
        {"--threads", ARG_INT, &o.n_threads, 1, 256, .value_name = "N",
         .help = "threads (default: all processors)"},
        {"--batch", ARG_INT, &p.batch, 1, REPLAY_MAX_BATCH, .value_name = "N",
         .help = "sequences in flight a thread (default 128)"},
        {"--isa", ARG_STRING, &o.isa, .value_name = "NAME",
         .help = "auto, avx512bf16, avx512, avx2, neon or plain"},
        {"--json", ARG_FLAG, &p.json, .help = "JSON lines; the last has checked and exact"},
    };
    const struct args args = {"replay", "draw recorded episodes again and compare bit for bit",
                              arg, sizeof arg / sizeof *arg, .notes = notes};
    int code;
    if (args_parse(&args, argc, argv, &code) != 0) return code;
    int rc = replay(&p, &o, &err);
    progress_end(&p.r.progress);
    code = rc != 0 && err.code == EX_USAGE
               ? (fprintf(stderr, "hone replay: %s\n", err.msg), EX_USAGE)
               : finish(&p, &o, rc, &err);
    run_close(&p.r);
    arena_clear(&p.arena);
    return code;
}
