/* cli/train.c: `hone train`: the stages in order, then the model folder and a table. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/run.h"
#include "policy/folder.h"

static int run_stage(struct run *r, int i, struct err *err) {
    const struct experiment_stage *s = &r->x.stage[i];
    struct db_stage row = {.stage = i + 1, .name = s->name, .max_steps = s->max_steps,
                           .type = s->type == STAGE_SFT ? "sft" : "grpo"};
    if (db_write_stage(r->db, &row, err) != 0) return -1;
    run_begin_stage(r, i);
    progress_start(&r->progress, stdout);
    int rc = s->type == STAGE_SFT ? run_sft(r, i, err) : run_grpo(r, i, err);
    progress_end(&r->progress);
    return rc == 0 ? db_finish_stage(r->db, i + 1, err) : -1;
}

static const char *first_prompt(struct run *r) {
    struct problem p;
    problem_set_get(r->eval, 0, &r->arena, &p);
    return p.prompt;
}

/* Where the run stood at the end of each stage, from the database. */
static int print_table(struct run *r, double wall_s, struct err *err) {
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
    printf("\n%d steps in %.0f s", r->step, wall_s);
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

static int train(struct run *r, const struct run_options *o, struct err *err) {
    double start = progress_now();
    char final[PATH_MAX];
    if (run_open(r, o, err) != 0) return -1;
    printf("%s: %zu parameters (%zu a token), %s on %d thread%s, seed %llu, into %s\n",
           r->x.name, weights_count(&r->e.w), model_active_params(&r->e.m), r->e.k->name,
           r->e.n_threads, r->e.n_threads == 1 ? "" : "s", (unsigned long long)r->x.seed, r->dir);
    fflush(stdout);
    progress_start(&r->progress, stdout);
    if (r->x.model.path[0] && run_evaluate(r, true, err) != 0) return -1;
    for (int i = 0; i < r->x.n_stages; i++)
        if (run_stage(r, i, err) != 0) return -1;
    if (file_join(final, sizeof final, r->dir, "final", err) != 0 ||
        folder_save(&r->e.w, r->e.tok, final, err) != 0)
        return -1;
    return print_table(r, progress_now() - start, err);
}

int cmd_train(int argc, char **argv) {
    struct run_options o = {.isa = "auto"};
    struct arg_list set = {0};
    const struct arg arg[] = {
        {"EXPERIMENT", ARG_STRING, &o.experiment, .required = true,
         .help = "the experiment's JSON file"},
        {"--out", ARG_STRING, &o.out, .required = true, .value_name = "DIR",
         .help = "folder of the run: run.db, checkpoints/, final/, experiment.json"},
        {"--set", ARG_LIST, &set, .value_name = "KEY=VALUE",
         .help = "change one key of the experiment; may be repeated (hone help config)"},
        {"--threads", ARG_INT, &o.n_threads, 1, 256, .value_name = "N",
         .help = "threads (default: all processors); results do not depend on it"},
        {"--isa", ARG_STRING, &o.isa, .value_name = "NAME",
         .help = "auto, avx512bf16, avx512, avx2, neon or plain; results do not depend on it"},
        {"--overwrite", ARG_FLAG, &o.overwrite, .help = "replace the run that is in DIR"},
    };
    const struct args args = {"train", "train a policy as an experiment says", arg,
                              sizeof arg / sizeof *arg, .notes = NULL};
    struct run r = {0};
    struct err err = {0};
    int code;
    if (args_parse(&args, argc, argv, &code) != 0) return code;
    signal(SIGPIPE, SIG_IGN); /* a reader of our output that goes away ends nothing */
    o.set = set.item;
    o.n_set = set.n;
    code = EX_OK;
    if (train(&r, &o, &err) != 0) {
        progress_end(&r.progress);
        fprintf(stderr, "hone train: %s\n", err.msg);
        code = err.code;
    }
    run_close(&r);
    return code;
}
