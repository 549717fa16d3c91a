/* cli/rescore.c: `hone rescore`: recorded episodes scored again by other rewards. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/nearest.h"
#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/rescore.h"
#include "cli/stage.h"
#include "db/maintain.h"

enum { MAX_FILE_BYTES = 1 << 20 };

struct options {
    const char *dir, *rewards, *checker;
    int n_threads;
};

/* What stands in run.db of one step. */
struct recorded {
    double *reward, *adv; /* [n] */
    bool *scorable;
    struct db_verdict **verdict; /* [n][n_verdicts] */
    int *n_verdicts;
    struct db_episode *episode; /* [n] without blobs' use here: id and text */
};

/* --- the two lists of rewards -------------------------------------------------------- */

/* The recorded experiment with the rewards of the file: {"checkers": [...]}, or a whole
 * experiment, whose `reward` it is. */
static int read_rewards(struct rescore *p, const char *path, const char *recorded, struct err *err) {
    cJSON *file = NULL, *tree = NULL;
    struct buf text = {0};
    int rc = -1;
    if (json_load(&file, path, MAX_FILE_BYTES, err) != 0) return -1;
    if (json_as_object(file, path, err) != 0) goto out;
    const cJSON *reward = json_find(file, "reward");
    if (!reward) reward = file;
    if (!json_find(reward, "checkers")) {
        err_set(err, EX_CONFIG,
                "%s: must be {\"checkers\": [...]} as in an experiment's reward, or an experiment",
                path);
        goto out;
    }
    if (json_parse(&tree, recorded, strlen(recorded), "run.db", 1, err) != 0) goto out;
    cJSON_DeleteItemFromObjectCaseSensitive(tree, "reward");
    cJSON_AddItemToObject(tree, "reward", cJSON_Duplicate(reward, true));
    json_print(&text, tree);
    rc = experiment_parse(&p->r.x, buf_text(&text), path, err);
out:
    buf_clear(&text);
    json_free(tree);
    json_free(file);
    return rc;
}

static int place_of(const struct experiment *x, const char *name) {
    for (int i = 0; i < x->n_rewards; i++)
        if (strcmp(x->reward[i].name, name) == 0) return i;
    return -1;
}

static void list_checkers(struct rescore *p) {
    for (int i = 0; i < p->r.x.n_rewards; i++) {
        const char *name = p->r.x.reward[i].name;
        p->checker[p->n_checkers++] =
            (struct rescore_checker){.name = name, .was = place_of(&p->was, name), .now = i};
    }
    for (int i = 0; i < p->was.n_rewards; i++) {
        const char *name = p->was.reward[i].name;
        if (place_of(&p->r.x, name) < 0)
            p->checker[p->n_checkers++] =
                (struct rescore_checker){.name = name, .was = i, .now = -1};
    }
}

/* With --checker the others' verdicts are those recorded, so both sides must have them. */
static int choose_checker(struct rescore *p, const struct options *o, struct err *err) {
    const char *names[EXPERIMENT_MAX_REWARDS];
    char hint[NEAREST_HINT_BYTES];
    p->only = -1;
    if (!o->checker) return 0;
    p->only = place_of(&p->r.x, o->checker);
    for (int i = 0; i < p->r.x.n_rewards; i++) names[i] = p->r.x.reward[i].name;
    if (p->only < 0) {
        nearest_hint(hint, o->checker, names, p->r.x.n_rewards);
        return err_set(err, EX_USAGE, "--checker %s: %s has no reward of this name%s", o->checker,
                       o->rewards, hint);
    }
    for (int i = 0; i < p->r.x.n_rewards; i++)
        if (i != p->only && place_of(&p->was, names[i]) < 0)
            return err_set(err, EX_USAGE,
                           "--checker %s: '%s' of %s has no recorded verdicts; run all of them, "
                           "without --checker",
                           o->checker, names[i], o->rewards);
    return 0;
}

/* --- one step ------------------------------------------------------------------------ */

static int read_recorded(struct rescore *p, const struct harvest *h, struct recorded *was,
                         struct err *err) {
    struct run *r = &p->r;
    int n = h->n_recorded * h->G;
    was->reward = arena_new(&r->arena, (size_t)n, sizeof *was->reward);
    was->adv = arena_new(&r->arena, (size_t)n, sizeof *was->adv);
    was->scorable = arena_new(&r->arena, (size_t)n, sizeof *was->scorable);
    was->verdict = arena_new(&r->arena, (size_t)n, sizeof *was->verdict);
    was->n_verdicts = arena_new(&r->arena, (size_t)n, sizeof *was->n_verdicts);
    was->episode = arena_new(&r->arena, (size_t)n, sizeof *was->episode);
    for (int k = 0; k < n; k++) {
        was->reward[k] = h->reward[k];
        was->adv[k] = h->adv[k];
        was->scorable[k] = h->scorable[k];
        was->episode[k] = (struct db_episode){
            .id = h->episode[k], .text = h->text[k], .n_text = h->n_text[k]};
        if (db_read_verdicts(r->db, h->episode[k], &r->arena, &was->verdict[k],
                             &was->n_verdicts[k], err) != 0)
            return -1;
    }
    return 0;
}

static const struct db_verdict *find_verdict(const struct recorded *was, int k, const char *name) {
    for (int i = 0; i < was->n_verdicts[k]; i++)
        if (strcmp(was->verdict[k][i].checker, name) == 0) return &was->verdict[k][i];
    return NULL;
}

static bool was_right(const struct db_verdict *v) {
    return strcmp(v->status, "ok") == 0 && v->score == 1;
}

static bool was_failure(const struct db_verdict *v) {
    enum verdict_status s;
    return verdict_status_find(v->status, &s) && verdict_is_failure(s);
}

static void compare_verdict(struct rescore *p, struct rescore_checker *c, int step,
                            const struct harvest *h, const struct recorded *was, int k) {
    const struct db_verdict *a = find_verdict(was, k, c->name);
    const struct verdict *b = &h->verdict[k * p->r.x.n_rewards + c->now];
    c->failed_now += verdict_is_failure(b->status);
    if (!a) return;
    c->failed_was += was_failure(a);
    bool right = was_right(a), now = verdict_is_right(b);
    double score = verdict_has_score(b) ? b->score : NAN;
    if (!c->old[0]) snprintf(c->old, sizeof c->old, "%s", a->version);
    if (right != now) {
        *(right ? &c->lost : &c->gained) += 1;
        rescore_print_flip(p, c, step, &was->episode[k], &h->problem[k / h->G], a, b);
    } else if (strcmp(a->status, verdict_status_name(b->status)) != 0) {
        c->status++;
    } else if (a->score != score && !(isnan(a->score) && isnan(score))) {
        c->score++;
    } else {
        c->same++;
    }
}

static void compare_checkers(struct rescore *p, int step, const struct harvest *h,
                             const struct recorded *was) {
    for (int c = 0; c < p->n_checkers; c++) {
        struct rescore_checker *k = &p->checker[c];
        if (k->now < 0 || (p->only >= 0 && k->now != p->only)) continue;
        if (!k->fresh[0])
            snprintf(k->fresh, sizeof k->fresh, "%s",
                     scorer_version(p->r.scorer[k->now], h->problem[0].kind));
        for (int i = 0; i < h->n_recorded * h->G; i++) compare_verdict(p, k, step, h, was, i);
    }
}

/* A group teaches something where two of its rewards differ. */
static bool is_useful(const double *reward, const bool *scorable, int n) {
    int first = 0;
    while (first < n && !scorable[first]) first++;
    for (int k = first + 1; k < n; k++)
        if (scorable[k] && reward[k] != reward[first]) return true;
    return false;
}

static void compare_groups(struct rescore *p, const struct harvest *h, const struct recorded *was) {
    for (int g = 0; g < h->n_recorded; g++) {
        int at = g * h->G;
        bool then = is_useful(was->reward + at, was->scorable + at, h->G);
        bool now = is_useful(h->reward + at, h->scorable + at, h->G);
        p->to_useful += !then && now;
        p->to_useless += then && !now;
    }
}

static int sign_of(double x) { return (x > 0) - (x < 0) + 1; }

/* Advantages may depend on the whole step: one that was cut short has none. */
static void compare_advantages(struct rescore *p, const struct experiment_stage *s,
                               struct harvest *h, const struct recorded *was) {
    if (h->n_recorded < h->n_prompts) {
        p->part_steps++;
        return;
    }
    advantage_compute(h->reward, h->scorable, h->n_prompts, h->G, s->scale_rewards, h->adv);
    for (int k = 0; k < h->n; k++) p->sign[sign_of(was->adv[k])][sign_of(h->adv[k])]++;
}

static void add_point(struct rescore *p, int step, const struct harvest *h,
                      const struct recorded *was) {
    double reward[2] = {0}, right[2] = {0};
    long rewarded[2] = {0}, scored[2] = {0}, n = (long)h->n_recorded * h->G;
    const char *answer = p->was.reward[p->was.answer].name;
    for (long k = 0; k < n; k++) {
        const struct db_verdict *a = find_verdict(was, (int)k, answer);
        const struct verdict *b = &h->verdict[k * p->r.x.n_rewards + p->r.x.answer];
        if (was->scorable[k]) reward[0] += was->reward[k], rewarded[0]++;
        if (h->scorable[k]) reward[1] += h->reward[k], rewarded[1]++;
        if (a && !isnan(a->score)) right[0] += was_right(a), scored[0]++;
        if (verdict_has_score(b)) right[1] += verdict_is_right(b), scored[1]++;
    }
    p->point = mem_resize(p->point, (size_t)p->n_points, (size_t)p->n_points + 1,
                          sizeof *p->point);
    struct rescore_point *point = &p->point[p->n_points++];
    *point = (struct rescore_point){.step = step, .episodes = n};
    for (int i = 0; i < 2; i++) {
        point->reward[i] = rewarded[i] ? reward[i] / (double)rewarded[i] : NAN;
        point->accuracy[i] = scored[i] ? right[i] / (double)scored[i] : NAN;
    }
}

static int rescore_step(struct rescore *p, const struct db_step *row, struct err *err) {
    struct run *r = &p->r;
    const struct experiment_stage *s = &r->x.stage[row->stage - 1];
    int step = row->step;
    struct harvest h;
    struct recorded was;
    arena_reset(&r->arena);
    harvest_init(r, s, &h);
    if (harvest_read(r, step, p->only >= 0, &h, err) != 0 ||
        read_recorded(p, &h, &was, err) != 0)
        return -1;
    harvest_score(r, s, &h, row->stage_step, 0, h.n_recorded, p->only);
    compare_checkers(p, step, &h, &was);
    compare_groups(p, &h, &was);
    compare_advantages(p, s, &h, &was);
    add_point(p, step, &h, &was);
    p->steps++;
    p->groups += h.n_recorded;
    p->episodes += (long)h.n_recorded * h.G;
    return 0;
}

/* --- the command ----------------------------------------------------------------------- */

static int open_run(struct rescore *p, const struct options *o, struct err *err) {
    struct run *r = &p->r;
    struct db_run row;
    struct arena arena = {0};
    char path[PATH_MAX];
    if (strlen(o->dir) >= sizeof r->dir)
        return err_set(err, EX_USAGE, "%s: the path is too long", o->dir);
    snprintf(r->dir, sizeof r->dir, "%s", o->dir);
    r->e.n_threads = o->n_threads;
    progress_start(&r->progress, stderr);
    int rc = -1;
    if (file_join(path, sizeof path, o->dir, "run.db", err) == 0 &&
        db_open_readonly(&r->db, path, err) == 0 &&
        db_read_run(r->db, &arena, &row, err) == 0 &&
        experiment_parse(&p->was, row.experiment, path, err) == 0 &&
        read_rewards(p, o->rewards, row.experiment, err) == 0 && choose_checker(p, o, err) == 0 &&
        run_open_scorers(r, err) == 0)
        rc = 0;
    arena_clear(&arena);
    return rc;
}

static int rescore(struct rescore *p, const struct options *o, struct err *err) {
    struct arena arena = {0};
    struct db_step *s;
    int n, rc = -1;
    if (open_run(p, o, err) != 0) return -1;
    list_checkers(p);
    if (db_read_steps(p->r.db, 0, &arena, &s, &n, err) != 0) goto out;
    for (int i = 0; i < n; i++) {
        int stage = s[i].stage - 1;
        if (stage < 0 || stage >= p->r.x.n_stages) {
            err_set(err, EX_DATAERR, "%s: step %d belongs to stage %d of %d", o->dir, s[i].step,
                    stage + 1, p->r.x.n_stages);
            goto out;
        }
        progress_show(&p->r.progress, "scored", i + 1, n, i + 1 == n, "");
        bool pruned;
        if (db_is_pruned(p->r.db, s[i].step, &pruned, err) != 0) goto out;
        p->pruned += pruned;
        if (p->r.x.stage[stage].type == STAGE_GRPO && !pruned &&
            rescore_step(p, &s[i], err) != 0)
            goto out;
    }
    progress_end(&p->r.progress);
    if (p->steps == 0)
        err_set(err, EX_DATAERR, "%s/run.db has no episodes", o->dir);
    else
        rc = 0;
out:
    arena_clear(&arena);
    return rc;
}

static const char notes[] =
    "FILE is an experiment, or its reward alone: {\"checkers\": [{\"checker\": \"math\"}]}.\n"
    "A verdict flips where it is right (ok, with a score of 1) on one side only; a group is\n"
    "useful where two of its rewards differ. With --checker the other rewards' verdicts are\n"
    "those recorded. Nothing in DIR is written (docs/replay.md).";

int cmd_rescore(int argc, char **argv) {
    struct options o = {.n_threads = 1};
    struct rescore *p = mem_new(1, sizeof *p); /* too large for a small stack */
    struct err err = {0};
    p->show = 10;
    const struct arg arg[] = {
        {"DIR", ARG_STRING, &o.dir, .required = true, .help = "a run's folder"},
        {"--rewards", ARG_STRING, &o.rewards, .required = true, .value_name = "FILE",
         .help = "JSON: the rewards to score with"},
        {"--checker", ARG_STRING, &o.checker, .value_name = "NAME",
         .help = "run only this one of them again"},
        {"--show", ARG_INT, &p->show, 0, INT_MAX, .value_name = "N",
         .help = "print the texts of N flips (default 10; --json prints all)"},
        {"--threads", ARG_INT, &o.n_threads, 1, 256, .value_name = "N",
         .help = "groups scored at a time (default 1)"},
        {"--json", ARG_FLAG, &p->json, .help = "a JSON line a flip, then one of all counts"},
    };
    const struct args args = {"rescore", "score a run's episodes again by other rewards", arg,
                              sizeof arg / sizeof *arg, .notes = notes};
    int code;
    if (args_parse(&args, argc, argv, &code) == 0) {
        code = EX_OK;
        if (rescore(p, &o, &err) == 0) {
            rescore_print(p);
        } else {
            progress_end(&p->r.progress);
            fprintf(stderr, "hone rescore: %s\n", err.msg);
            code = err.code;
        }
        run_close(&p->r);
    }
    mem_free(p->point);
    mem_free(p);
    return code;
}
