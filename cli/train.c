/* cli/train.c: `hone train`: the stages in order, then the model folder and a table. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/checkpoint.h"
#include "cli/cmd.h"
#include "cli/estimate.h"
#include "cli/reapply.h"
#include "cli/resume.h"
#include "cli/stop.h"
#include "policy/folder.h"

/* Finds the row of stage i, and how many of its steps are done. */
static int find_stage(struct run *r, int i, bool *begun, bool *finished, int *done,
                      struct err *err) {
    struct db_stage *stage;
    struct db_step row;
    int n;
    *begun = *finished = false;
    *done = 0;
    arena_reset(&r->arena);
    if (db_read_stages(r->db, &r->arena, &stage, &n, err) != 0) return -1;
    if (i < n) {
        *begun = true;
        *finished = stage[i].finished_at != NULL;
    }
    if (r->step == 0) return 0;
    if (db_read_step(r->db, r->step, &r->arena, &row, err) != 0) return -1;
    if (row.stage == i + 1) *done = row.stage_step;
    return 0;
}

static int run_steps(struct run *r, int i, int done, struct err *err) {
    const struct experiment_stage *s = &r->x.stage[i];
    if (done > 0 && run_after_step(r, i, done, err) != 0) return -1;
    if (run_check_until(r, err) != 0) return -1;
    for (const int first = done; done < s->max_steps && !run_should_stop(r);
         estimate_watch(r, i, first, done)) {
        int before = r->step;
        int rc = s->type == STAGE_SFT ? run_sft_step(r, i, done, err)
                                      : run_grpo_step(r, i, done, err);
        if (rc != 0) return -1;
        if (r->step == before) return 0; /* stopped half way */
        if (run_after_step(r, i, ++done, err) != 0 || run_check_until(r, err) != 0) return -1;
    }
    return 0;
}

static int run_stage(struct run *r, int i, struct err *err) {
    const struct experiment_stage *s = &r->x.stage[i];
    struct db_stage row = {.stage = i + 1, .name = s->name, .max_steps = s->max_steps,
                           .type = s->type == STAGE_SFT ? "sft" : "grpo"};
    bool begun, finished;
    int done;
    if (find_stage(r, i, &begun, &finished, &done, err) != 0) return -1;
    if (finished || run_should_stop(r)) return 0;
    if (!begun && db_write_stage(r->db, &row, err) != 0) return -1;
    if (r->stage != i) run_begin_stage(r, i);
    progress_start(&r->progress, stdout);
    int rc = run_steps(r, i, done, err);
    if (rc == 0) rc = db_wait(r->db, err);
    progress_end(&r->progress);
    if (rc != 0 || stop_signal() || r->stop != RUN_GOES_ON) return rc;
    return db_finish_stage(r->db, i + 1, err);
}

static const char *first_prompt(struct run *r) {
    struct problem p;
    problem_set_get(r->eval, 0, &r->arena, &p);
    return p.prompt;
}

/* Where the run stood at the end of each stage, from the database. */
static int print_table(struct run *r, struct err *err) {
    struct db_eval *eval;
    int n, step = 0;
    if (db_read_evals(r->db, &r->arena, &eval, &n, err) != 0) return -1;
    if (n > 0)
        printf("\n%-22s %15s %16s %10s\n", "held-out, after", "greedy pass@1",
               "sampled pass@1", "pass@k");
    for (int i = -1; i < r->x.n_stages; i++) {
        if (i >= 0) step += r->x.stage[i].max_steps;
        double greedy = NAN, sampled = NAN, any = NAN;
        int k = 0;
        for (int j = 0; j < n; j++) {
            if (eval[j].step != step) continue;
            if (strcmp(eval[j].mode, "greedy") == 0)
                greedy = eval[j].pass1;
            else
                sampled = eval[j].pass1, any = eval[j].pass_at_k, k = eval[j].k;
        }
        if (isnan(greedy)) continue;
        printf("%-22s %13.1f %%", i < 0 ? "(start)" : r->x.stage[i].name, 100 * greedy);
        if (k > 0) printf(" %14.1f %% %8.1f %% (k=%d)", 100 * sampled, 100 * any, k);
        printf("\n");
    }
    printf("\n%d steps", r->step);
    if (r->first_step > 0) printf(", %d of them by this start", r->step - r->first_step);
    printf(" in %.0f s", progress_now() - r->started);
    if (r->gen_s > 0)
        printf(", %.1fk tokens/s sampled", (double)r->gen_tokens / r->gen_s / 1e3);
    printf(", weights %016llx\n", (unsigned long long)r->hash);
    printf("model  %s/final    episodes  %s/run.db\n", r->dir, r->dir);
    const char *hone = program_invocation_name;
    printf("next   %s show %s\n", hone, r->dir);
    printf("       %s sample --model %s/final --prompt '%s' -n 4\n", hone, r->dir,
           r->eval ? first_prompt(r) : "...");
    return 0;
}

static void show_reapplied(struct run *r, int step) {
    char text[64];
    snprintf(text, sizeof text, "recorded steps applied again");
    progress_show(&r->progress, "resume", step, r->last, step == r->last, text);
}

/* To where the log ends. */
static int go_back_to_the_end(struct run *r, struct err *err) {
    int from;
    if (r->last == 0) return 0;
    progress_start(&r->progress, stdout);
    if (reapply_to(r, r->last, &from, show_reapplied, err) != 0) return -1;
    progress_end(&r->progress);
    if (from > 0)
        printf("resumed after step %d, from the checkpoint of step %d\n", r->last, from);
    else
        printf("resumed after step %d, from the start\n", r->last);
    return resume_fill_failures(r, err);
}

/* The weights the run starts from are kept with it, so that the folder is all it needs. */
static int keep_start(struct run *r, struct err *err) {
    char config[PATH_MAX];
    if (file_join(config, sizeof config, r->dir, "checkpoints/step-0/config.json", err) != 0)
        return -1;
    if (file_exists(config)) return 0;
    return checkpoint_save(r->dir, 0, &r->e.w, r->e.tok, NULL, err);
}

static int run_stages(struct run *r, struct err *err) {
    bool from_folder = r->x.model.path[0];
    if (from_folder && r->step == 0 && !run_should_stop(r) && run_evaluate(r, true, err) != 0)
        return -1;
    for (int i = 0; i < r->x.n_stages; i++)
        if (run_stage(r, i, err) != 0) return -1;
    return 0;
}

static int save_final(struct run *r, struct err *err) {
    char final[PATH_MAX];
    if (file_join(final, sizeof final, r->dir, "final", err) != 0) return -1;
    return folder_save(&r->e.w, r->e.tok, final, err);
}

static void print_stop(const struct run *r) {
    static const char *const why[] = {[RUN_STOP_SIGNAL] = "by a signal",
                                      [RUN_STOP_MINUTES] = "after --max-minutes",
                                      [RUN_STOP_STEPS] = "after --max-steps"};
    if (r->stop == RUN_STOP_UNTIL)
        printf("stopped as --until holds, %d steps done: %s\n", r->step, r->until_said);
    else
        printf("stopped %s, %d steps done; the same command goes on\n", why[r->stop], r->step);
}

static int train(struct run *r, const struct run_options *o, struct err *err) {
    if (run_open(r, o, err) != 0) return -1;
    printf("%s: %zu parameters (%zu a token), %s on %d thread%s, seed %llu, into %s\n",
           r->x.name, weights_count(&r->e.w), model_active_params(&r->e.m), r->e.k->name,
           r->e.n_threads, r->e.n_threads == 1 ? "" : "s", (unsigned long long)r->x.seed, r->dir);
    estimate_show(r, o->dry_run && o->overwrite);
    fflush(stdout);
    if (o->dry_run) return 0;
    if (report_begin(r, &o->report, err) != 0 || keep_start(r, err) != 0 || go_back_to_the_end(r, err) != 0) return -1;
    r->first_step = r->step;
    if (run_stages(r, err) != 0) return -1;
    if (r->stop == RUN_GOES_ON && stop_signal()) r->stop = RUN_STOP_SIGNAL;
    if (r->stop == RUN_GOES_ON) return save_final(r, err) == 0 ? print_table(r, err) : -1;
    if (run_checkpoint(r, err) != 0) return -1;
    if (r->stop == RUN_STOP_UNTIL && save_final(r, err) != 0) return -1;
    print_stop(r);
    return 0;
}

static int parse_resume(const char *text, enum run_resume *out, struct err *err) {
    static const char *const names[] = {
        [RESUME_AUTO] = "auto", [RESUME_REQUIRE] = "require", [RESUME_NEVER] = "never"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum run_resume)i;
            return 0;
        }
    return err_set(err, EX_USAGE, "--resume: must be auto, require or never, found '%s'", text);
}

/* Before any thread is there, so that all of them are. */
static int be_nice(int by, struct err *err) {
    errno = 0;
    if (by == 0 || nice(by) != -1 || errno == 0) return 0;
    return err_errno(err, EX_OSERR, "--nice %d", by);
}

/* What is told of a start that failed is what the log holds: its last steps may have been made, and
 * not committed. */
static void tell_what_is_there(struct run *r) {
    struct db_step newest;
    struct db_run row;
    struct err ignored;
    int lost = db_wait(r->db, &ignored);
    (void)lost; /* the next start makes those steps again */
    if (!r->db) return;
    arena_reset(&r->arena);
    if (db_read_run(r->db, &r->arena, &row, &ignored) != 0 ||
        db_read_newest(r->db, &r->arena, &newest, &ignored) != 0 || newest.step > r->step)
        return; /* on the way back to where the log ends, where nothing is made */
    r->step = newest.step;
    r->hash = newest.step > 0 ? newest.weights_after : row.start_weights;
}

static int train_and_report(struct run *r, const struct run_options *o) {
    struct err err = {0};
    int rc = train(r, o, &err), code = EX_OK;
    if (rc != 0) {
        tell_what_is_there(r);
        run_clear_steps(r); /* what failed may have been memory, and the report needs some */
        progress_end(&r->progress);
        fprintf(stderr, "hone train: %s\n", err.msg);
        code = err.code;
    } else if (r->stop == RUN_STOP_SIGNAL) {
        code = 128 + stop_signal();
    }
    /* the start that has the folder reports, not one that found it taken */
    bool taken = rc != 0 && code == EX_TEMPFAIL && !r->db;
    if (!taken && !o->dry_run) report_end(r, &o->report, code, rc != 0 ? &err : NULL);
    return code;
}

/* --from-replay DIR and --where SQL are settings as any other: part of the recorded experiment. */
static int add_setting(struct arg_list *set, struct buf *text, const char *key, const char *value,
                       struct err *err) {
    if (!value) return 0;
    if (set->n == ARG_LIST_MAX) return err_set(err, EX_USAGE, "--set: at most %d", ARG_LIST_MAX);
    buf_puts(text, key);
    json_print_string(text, value);
    set->item[set->n++] = buf_text(text);
    return 0;
}

int cmd_train(int argc, char **argv) {
    struct run_options o = {.isa = "auto"};
    const char *from = NULL, *where = NULL;
    struct buf text[2] = {{0}};
    struct arg_list set = {0};
    const char *resume = "auto", *until = NULL;
    int nice_by = 0;
    const struct arg arg[] = {
        {"EXPERIMENT", ARG_STRING, &o.experiment, .required = true,
         .help = "the experiment's JSON file"},
        {"--out", ARG_STRING, &o.out, .required = true, .value_name = "DIR",
         .help = "folder of the run: run.db, checkpoints/, final/, experiment.json"},
        {"--set", ARG_LIST, &set, .value_name = "KEY=VALUE",
         .help = "change one key of the experiment (hone help config)"},
        {"--threads", ARG_INT, &o.n_threads, 1, 256, .value_name = "N",
         .help = "threads (default: all processors); results do not depend on it"},
        {"--isa", ARG_STRING, &o.isa, .value_name = "NAME",
         .help = "auto, avx512bf16, avx512, avx2, neon or plain; results do not depend on it"},
        {"--resume", ARG_STRING, &resume, .value_name = "WHEN",
         .help = "auto (the default): go on with a run that is in DIR, else begin one; "
                 "require: only go on; never: only begin"},
        {"--from-replay", ARG_STRING, &from, .value_name = "DIR",
         .help = "grpo stages learn from the episodes of this run (replay.from)"},
        {"--where", ARG_STRING, &where, .value_name = "SQL",
         .help = "with it: which of them, a condition on v_episode (replay.where)"},
        {"--overwrite", ARG_FLAG, &o.overwrite, .help = "replace the run that is in DIR"},
        {"--dry-run", ARG_FLAG, &o.dry_run,
         .help = "check everything, say what memory and disk the run needs, make nothing"},
        {"--no-estimate", ARG_FLAG, &o.no_estimate,
         .help = "start even where memory or disk seem not to suffice"},
        {"--max-minutes", ARG_DOUBLE, &o.limits.max_minutes, 0, 1e6, .value_name = "N",
         .help = "end after so long, at the next place where nothing is lost"},
        {"--max-steps", ARG_INT, &o.limits.max_steps, 0, INT_MAX, .value_name = "N",
         .help = "end after N more steps"},
        {"--until", ARG_STRING, &until, .value_name = "EXPR",
         .help = "end once this holds, as 'eval/pass@1 >= 0.9'"},
        {"--nice", ARG_INT, &nice_by, 0, 19, .value_name = "N",
         .help = "leave the processor to others: as nice -n N"},
        {"--metrics-file", ARG_STRING, &o.report.metrics_file, .value_name = "FILE",
         .help = "write how it goes for Prometheus' textfile collector"},
        {"--notify", ARG_STRING, &o.report.notify, .value_name = "URL",
         .help = "POST a summary as JSON when this start ends"},
    };
    const struct args args = {"train", "train a policy as an experiment says", arg,
                              sizeof arg / sizeof *arg, .notes = NULL};
    struct err err = {0};
    int code;
    if (args_parse(&args, argc, argv, &code) != 0) return code;
    struct run *r = mem_new(1, sizeof *r); /* too large for a small stack */
    signal(SIGPIPE, SIG_IGN); /* a reader of our output that goes away ends nothing */
    stop_watch_signals();
    int rc = add_setting(&set, &text[0], "replay.from=", from, &err);
    if (rc == 0) rc = add_setting(&set, &text[1], "replay.where=", where, &err);
    o.set = set.item;
    o.n_set = set.n;
    if (rc != 0 || parse_resume(resume, &o.resume, &err) != 0 ||
        (until && until_parse(&o.until, until, &err) != 0) ||
        report_check(&o.report, &err) != 0 || be_nice(nice_by, &err) != 0) {
        fprintf(stderr, "hone train: %s\n", err.msg);
        code = err.code;
    } else {
        code = train_and_report(r, &o);
    }
    run_close(r);
    mem_free(r);
    for (int i = 0; i < 2; i++) buf_clear(&text[i]);
    return code;
}
