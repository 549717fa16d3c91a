/* cli/bench.c: `hone bench`: see bench.h. */
#include "cli/bench.h"

#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/cmd.h"

static const char *const jobs[] = {"matmul", "rollout", "train", "decode", NULL};

static bool is_wanted(const struct bench_options *o, const char *job) {
    return strcmp(o->job, "all") == 0 || strcmp(o->job, job) == 0;
}

static int check_options(struct bench_options *o, struct err *err) {
    bool known = strcmp(o->job, "all") == 0;
    for (int i = 0; jobs[i]; i++) known |= strcmp(o->job, jobs[i]) == 0;
    if (!known)
        return err_set(err, EX_USAGE,
                       "no such job '%s'; valid are matmul, rollout, train, decode and all",
                       o->job);
    if ((o->model != NULL) + (o->config != NULL) + (o->preset != NULL) > 1)
        return err_set(err, EX_USAGE, "--model, --config and --preset exclude each other");
    if (!o->model && !o->config && !o->preset) o->preset = bench_presets[0];
    if (strcmp(o->dtype, "f32") != 0 && strcmp(o->dtype, "bf16") != 0)
        return err_set(err, EX_USAGE, "--dtype: must be f32 or bf16, found '%s'", o->dtype);
    o->bf16 = strcmp(o->dtype, "bf16") == 0;
    if (o->unshared && !o->group)
        return err_set(err, EX_USAGE, "--unshared: is about a --group, and none is given");
    if (o->seq > o->micro)
        return err_set(err, EX_USAGE, "--seq %d: is longer than --micro %d", o->seq, o->micro);
    return 0;
}

static int bench(struct bench *b, struct err *err) {
    if (check_options(&b->o, err) != 0) return -1;
    if (engine_init(&b->e, b->o.isa, b->o.threads, err) != 0) return -1;
    if (bench_load(b, err) != 0) return -1;
    bench_measure_gflops(b);
    bench_measure_bandwidth(b);
    bench_measure_products(b);
    for (int i = 0; jobs[i]; i++)
        if (is_wanted(&b->o, jobs[i])) bench_run_job(b, jobs[i]);
    bench_finish(b);
    if (b->o.json)
        bench_print_json(b);
    else
        bench_print_text(b);
    return 0;
}

int cmd_bench(int argc, char **argv) {
    struct bench b = {.o = {.job = "all", .dtype = "f32", .isa = "auto", .repeat = 3,
                            .seq = 256, .micro = 2048, .sequences = 64, .prompt = 64,
                            .tokens = 48}};
    const struct arg arg[] = {
        {"JOB", ARG_STRING, &b.o.job, .help = "matmul, rollout, train, decode or all (default)"},
        {"--preset", ARG_STRING, &b.o.preset, .value_name = "NAME",
         .help = "tiny-moe (default), moe-30m or llama-135m, with random weights"},
        {"--config", ARG_STRING, &b.o.config, .value_name = "FILE",
         .help = "a config.json instead, with random weights"},
        {"--model", ARG_STRING, &b.o.model, .value_name = "DIR", .help = "a model folder instead"},
        {"--dtype", ARG_STRING, &b.o.dtype, .value_name = "TYPE",
         .help = "f32 (default) or bf16: what is computed in"},
        {"--threads", ARG_INT, &b.o.threads, 1, 256, .value_name = "N",
         .help = "threads (default: all processors)"},
        {"--isa", ARG_STRING, &b.o.isa, .value_name = "NAME",
         .help = "auto, avx512bf16, avx512, avx2, neon or plain"},
        {"--repeat", ARG_INT, &b.o.repeat, 1, BENCH_MAX_REPEAT, .value_name = "N",
         .help = "timed repetitions, after one that is not (default 3)"},
        {"--seq", ARG_INT, &b.o.seq, 1, 1 << 20, .value_name = "N",
         .help = "train: tokens a sequence (default 256)"},
        {"--micro", ARG_INT, &b.o.micro, 1, 1 << 24, .value_name = "N",
         .help = "train: tokens a micro-batch, which is a step here (default 2048)"},
        {"--group", ARG_INT, &b.o.group, 1, 4096, .value_name = "N",
         .help = "train: instead, N completions of --tokens behind one prompt of --prompt"},
        {"--unshared", ARG_FLAG, &b.o.unshared,
         .help = "train: the group's prompt is computed for each completion"},
        {"--sequences", ARG_INT, &b.o.sequences, 1, 4096, .value_name = "N",
         .help = "rollout: sequences in flight, 8 a prompt (default 64)"},
        {"--prompt", ARG_INT, &b.o.prompt, 1, 1 << 20, .value_name = "N",
         .help = "rollout, decode, group: tokens a prompt (default 64)"},
        {"--tokens", ARG_INT, &b.o.tokens, 1, 1 << 20, .value_name = "N",
         .help = "rollout, decode, group: tokens a completion (default 48)"},
        {"--json", ARG_FLAG, &b.o.json, .help = "one JSON object"},
    };
    const struct args args = {
        "bench", "measure this machine's ceiling, and how near to it a policy runs", arg,
        sizeof arg / sizeof *arg,
        .notes = "Times are medians; docs/performance.md says how fractions are computed."};
    struct err err = {0};
    int code;
    if (args_parse(&args, argc, argv, &code) != 0) return code;
    code = bench(&b, &err) == 0 ? EX_OK : err.code;
    if (code != EX_OK) fprintf(stderr, "hone bench: %s\n", err.msg);
    engine_clear(&b.e);
    return code;
}
