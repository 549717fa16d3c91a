/* cli/eval.c: `hone eval`: how often a policy solves a set of problems. */
#include <limits.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/evaluate.h"

struct eval_options {
    const char *model, *problems, *isa, *dtype;
    int samples, threads, max_completion_length, top_k, seed;
    double temperature, top_p, min_p;
    bool json;
};

static void print_result(const struct eval_options *o, const struct problem_set *set,
                         const struct eval_result *r) {
    if (o->json) {
        printf("{\"problems\": %d, \"samples\": %d, \"temperature\": %g, \"pass@1\": %.6f, "
               "\"pass@k\": %.6f, \"avg@k\": %.6f, \"ci95\": %.6f, \"mean_length\": %.2f, "
               "\"failures\": %ld, \"tokens_per_s\": %.0f, \"seconds\": %.2f}\n",
               r->n, r->k, o->temperature, r->pass1, r->pass_at_k, r->pass1, r->ci95,
               r->mean_length, r->failures, (double)r->tokens / r->wall_s, r->wall_s);
        return;
    }
    printf("%s\n%d problems, %d completion%s each, %s\n", problem_set_spec(set), r->n, r->k,
           r->k == 1 ? "" : "s", o->temperature == 0 ? "greedy" : "sampled");
    printf("pass@1  %5.1f %% +- %.1f (95 %%)%s\n", 100 * r->pass1, 100 * r->ci95,
           r->k > 1 ? ", the mean over all completions (avg@k)" : "");
    if (r->k > 1) printf("pass@%-2d %5.1f %%\n", r->k, 100 * r->pass_at_k);
    printf("length  %5.1f tokens, %.1fk tokens/s\n", r->mean_length,
           (double)r->tokens / r->wall_s / 1e3);
    if (r->failures > 0) printf("%ld completions could not be checked\n", r->failures);
}

static int eval(struct eval_options *o, struct engine *e, struct err *err) {
    struct problem_set *set = NULL;
    struct rollout *rollout = NULL;
    struct eval_result res;
    int rc = -1;
    if (problem_set_open(&set, o->problems, (uint64_t)o->seed, err) != 0) goto out;
    if (problem_set_size(set) == INT_MAX) {
        err_set(err, EX_CONFIG, "--problems %s: is endless, give it n=", o->problems);
        goto out;
    }
    if (engine_init(e, o->isa, o->threads, err) != 0) goto out;
    if (engine_set_dtype(e, o->dtype, err) != 0) {
        err->code = EX_USAGE;
        err_prefix(err, "--dtype");
        goto out;
    }
    if (engine_load(e, o->model, false, err) != 0) goto out;
    if (o->max_completion_length == 0) o->max_completion_length = engine_default_completion(e);
    if (engine_max_prompt(e, o->max_completion_length) < 2) {
        err_set(err, EX_CONFIG,
                "--max-completion-length %d: leaves no room for a prompt in the model's %d "
                "positions", o->max_completion_length, e->m.max_pos);
        goto out;
    }
    int longest = evaluate_longest_prompt(e, set, o->max_completion_length, err);
    if (longest < 0) goto out;
    rollout = engine_rollout(e, longest, o->max_completion_length,
                             (long)problem_set_size(set) * o->samples);
    struct eval_config c = {.k = o->samples, .temperature = o->temperature, .top_p = o->top_p,
                            .min_p = o->min_p, .top_k = o->top_k, .seed = (uint64_t)o->seed,
                            .max_completion_length = o->max_completion_length};
    rc = evaluate(e, rollout, set, &c, NULL, NULL, &res, err);
    if (rc == 0) print_result(o, set, &res);
out:
    rollout_free(rollout);
    problem_set_close(set);
    engine_clear(e);
    return rc;
}

int cmd_eval(int argc, char **argv) {
    struct eval_options o = {.isa = "auto", .dtype = "f32", .samples = 1, .temperature = -1, .top_p = 1};
    const struct arg arg[] = {
        {"--model", ARG_STRING, &o.model, .required = true, .value_name = "DIR",
         .help = "a model folder, such as runs/a/final"},
        {"--problems", ARG_STRING, &o.problems, .required = true, .value_name = "SPEC",
         .help = "countdown:numbers=3,split=test,n=500 or countdown:FILE (hone help problems)"},
        {"--samples", ARG_INT, &o.samples, 1, 1024, .value_name = "K",
         .help = "completions a problem (default 1)"},
        {"--temperature", ARG_DOUBLE, &o.temperature, 0, 100, .value_name = "T",
         .help = "0 is greedy (default 0 for one sample, 1 for more)"},
        {"--top-p", ARG_DOUBLE, &o.top_p, 1e-6, 1, .value_name = "P",
         .help = "keep the fewest tokens whose probability reaches P"},
        {"--top-k", ARG_INT, &o.top_k, 0, 1e9, .value_name = "K",
         .help = "keep the K most likely tokens; 0: all"},
        {"--min-p", ARG_DOUBLE, &o.min_p, 0, 1, .value_name = "P",
         .help = "keep tokens above P times the best"},
        {"--max-completion-length", ARG_INT, &o.max_completion_length, 1, 1e6,
         .value_name = "N", .help = "tokens a completion may take (default 256, or half of a shorter model)"},
        {"--seed", ARG_INT, &o.seed, 0, INT_MAX, .value_name = "S",
         .help = "of the generated problems and the draws (default 0)"},
        {"--threads", ARG_INT, &o.threads, 1, 256, .value_name = "N",
         .help = "threads (default: all processors)"},
        {"--isa", ARG_STRING, &o.isa, .value_name = "NAME",
         .help = "auto, avx512bf16, avx512, avx2, neon or plain"},
        {"--dtype", ARG_STRING, &o.dtype, .value_name = "TYPE",
         .help = "f32 (default), bf16, or auto: bf16 where the processor has its dot product"},
        {"--json", ARG_FLAG, &o.json, .help = "print one JSON object"},
    };
    const struct args args = {"eval", "measure how often a policy solves problems", arg,
                              sizeof arg / sizeof *arg, .notes = NULL};
    struct engine e = {0};
    struct err err = {0};
    int code;
    if (args_parse(&args, argc, argv, &code) != 0) return code;
    if (o.temperature > 0 && o.temperature < 1e-6) {
        fprintf(stderr, "hone eval: --temperature: must be 0 or at least 1e-6\n");
        return EX_USAGE;
    }
    if (o.temperature < 0) o.temperature = o.samples == 1 ? 0 : 1;
    if (eval(&o, &e, &err) == 0) return EX_OK;
    fprintf(stderr, "hone eval: %s\n", err.msg);
    return err.code;
}
