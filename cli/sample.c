/* cli/sample.c: `hone sample`: completions of one prompt, to read. */
#include <limits.h>
#include <stdio.h>

#include "base/mem.h"
#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/engine.h"
#include "cli/text.h"

struct sample_options {
    const char *model, *prompt, *isa, *dtype;
    int n, threads, max_completion_length, top_k, seed;
    double temperature, top_p, min_p;
};

static void print_trace(const struct engine *e, const struct sample_options *o,
                        const struct trace *t, int i) {
    struct buf text = {0};
    double logp = 0;
    for (int k = 0; k < t->n; k++) logp += t->logp[k];
    buf_puts(&text, o->prompt);
    tokenizer_decode(e->tok, t->id, t->n, true, &text);
    printf("[%d] %d tokens, %s, logp %.3f\n", i, t->n, rollout_finish_name(t->finish), logp);
    text_print(buf_text(&text), text.len, "", 0);
    buf_clear(&text);
}

static int sample(struct sample_options *o, struct engine *e, struct err *err) {
    struct rollout *rollout = NULL;
    int rc = -1, max = 0;
    int *id = NULL;
    struct trace *trace = mem_new((size_t)o->n, sizeof *trace);
    if (engine_init(e, o->isa, o->threads, err) != 0) goto out;
    if (engine_set_dtype(e, o->dtype, err) != 0) {
        err->code = EX_USAGE;
        err_prefix(err, "--dtype");
        goto out;
    }
    if (engine_load(e, o->model, false, err) != 0) goto out;
    if (o->max_completion_length == 0) o->max_completion_length = engine_default_completion(e);
    max = engine_max_prompt(e, o->max_completion_length);
    if (max < 1) {
        err_set(err, EX_CONFIG,
                "--max-completion-length %d: leaves no room for a prompt in the model's %d "
                "positions", o->max_completion_length, e->m.max_pos);
        goto out;
    }
    id = mem_new((size_t)max, sizeof *id);
    int n = engine_encode_prompt(e, o->prompt, id, max, err);
    if (n < 0) goto out;
    rollout = engine_rollout(e, n, o->max_completion_length, o->n);
    struct rollout_config rc_ = {
        .sampler = {o->temperature, o->top_k, o->top_p, o->min_p},
        .max_completion_length = o->max_completion_length,
        .seed = (uint64_t)o->seed, .purpose = RNG_EVAL};
    struct rollout_prompt p = {.id = id, .n = n, .n_samples = o->n};
    rollout_run(rollout, &rc_, &p, 1, trace);
    for (int i = 0; i < o->n; i++) print_trace(e, o, &trace[i], i);
    rc = 0;
out:
    rollout_free(rollout);
    mem_free(id);
    mem_free(trace);
    engine_clear(e);
    return rc;
}

int cmd_sample(int argc, char **argv) {
    struct sample_options o = {.isa = "auto", .dtype = "f32", .n = 1, .temperature = 1, .top_p = 1};
    const struct arg arg[] = {
        {"--model", ARG_STRING, &o.model, .required = true, .value_name = "DIR",
         .help = "a model folder, such as runs/a/final"},
        {"--prompt", ARG_STRING, &o.prompt, .required = true, .value_name = "TEXT",
         .help = "what the policy continues"},
        {"-n", ARG_INT, &o.n, 1, 4096, .value_name = "G", .help = "completions (default 1)"},
        {"--temperature", ARG_DOUBLE, &o.temperature, 0, 100, .value_name = "T",
         .help = "0 is greedy (default 1)"},
        {"--top-p", ARG_DOUBLE, &o.top_p, 1e-6, 1, .value_name = "P",
         .help = "keep the fewest tokens whose probability reaches P"},
        {"--top-k", ARG_INT, &o.top_k, 0, 1e9, .value_name = "K",
         .help = "keep the K most likely tokens; 0: all"},
        {"--min-p", ARG_DOUBLE, &o.min_p, 0, 1, .value_name = "P",
         .help = "keep tokens above P times the best"},
        {"--max-completion-length", ARG_INT, &o.max_completion_length, 1, 1e6,
         .value_name = "N", .help = "tokens a completion may take (default 256, or half of a shorter model)"},
        {"--seed", ARG_INT, &o.seed, 0, INT_MAX, .value_name = "S",
         .help = "of the draws (default 0)"},
        {"--threads", ARG_INT, &o.threads, 1, 256, .value_name = "N",
         .help = "threads (default: all processors)"},
        {"--isa", ARG_STRING, &o.isa, .value_name = "NAME",
         .help = "auto, avx512bf16, avx512, avx2, neon or plain"},
        {"--dtype", ARG_STRING, &o.dtype, .value_name = "TYPE",
         .help = "f32 (default), bf16, or auto: bf16 where the processor has its dot product"},
    };
    const struct args args = {"sample", "let a policy continue a prompt", arg,
                              sizeof arg / sizeof *arg, .notes = NULL};
    struct engine e = {0};
    struct err err = {0};
    int code;
    if (args_parse(&args, argc, argv, &code) != 0) return code;
    if (o.temperature > 0 && o.temperature < 1e-6) {
        fprintf(stderr, "hone sample: --temperature: must be 0 or at least 1e-6\n");
        return EX_USAGE;
    }
    if (sample(&o, &e, &err) == 0) return EX_OK;
    fprintf(stderr, "hone sample: %s\n", err.msg);
    return err.code;
}
