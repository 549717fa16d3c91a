/* cli/experiment_table.c: see experiment_table.h. */
#include "cli/experiment_table.h"

#include <math.h>
#include <string.h>

#include "reward/checker.h"

#define AT(s, f) offsetof(struct s, f), sizeof(((struct s *)0)->f)
#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))
#define ROWS(a) a, COUNT(a)

static const char *const COMPUTE_DTYPES[4] = {
    [EXPERIMENT_F32] = "f32", [EXPERIMENT_BF16] = "bf16", [EXPERIMENT_AUTO] = "auto"};
static const char *const TOKENIZERS[] = {"char", "byte", NULL};
static const char *const STAGE_TYPES[3] = {[STAGE_SFT] = "sft", [STAGE_GRPO] = "grpo"};
static const char *const LOSS_TYPES[4] = {
    [LOSS_GRPO] = "grpo", [LOSS_DR_GRPO] = "dr_grpo", [LOSS_DAPO] = "dapo"};
static const char *const SCALE_REWARDS[4] = {
    [SCALE_GROUP] = "group", [SCALE_BATCH] = "batch", [SCALE_NONE] = "none"};
static const char *const LR_SCHEDULES[4] = {
    [LR_CONSTANT] = "constant", [LR_COSINE] = "cosine", [LR_LINEAR] = "linear"};

#define MAX_INT 2147483647.0
#define MAX_SEED 0x1p53 /* a JSON number keeps whole numbers up to here */

static const struct field TOP[] = {
    {"name", FIELD_STRING, AT(experiment, name), .def = "\"run\"",
     .help = "what to call it in tables"},
    {"description", FIELD_STRING, AT(experiment, description), .def = "\"\"",
     .help = "one sentence, recorded with the run"},
    {"seed", FIELD_SEED, AT(experiment, seed), 0, MAX_SEED, "0",
     .help = "of every random number of the run"},
    {"compute_dtype", FIELD_ENUM, AT(experiment, compute_dtype), .def = "\"f32\"",
     .names = COMPUTE_DTYPES, .help = "of products; auto: bf16 where the processor has its dot"},
    {"gradient_checkpointing", FIELD_BOOL, AT(experiment, gradient_checkpointing),
     .def = "false", .help = "compute activations again rather than keep them"},
};

static const struct field MODEL[] = {
    {"path", FIELD_STRING, AT(experiment, model.path), .def = "\"\"",
     .help = "folder of the policy to start from (Hugging Face layout)"},
    {"tokenizer", FIELD_STRING, AT(experiment, model.tokenizer), .def = "\"char\"",
     .names = TOKENIZERS, .help = "made for a policy of random weights"},
};

static const struct field PROBLEMS[] = {
    {"train", FIELD_STRING, AT(experiment, problems.train),
     .help = "problems to learn from, see hone help problems"},
    {"eval", FIELD_STRING, AT(experiment, problems.eval), .def = "\"\"",
     .help = "held-out problems; empty: no evaluation"},
    {"where", FIELD_STRING, AT(experiment, problems.where), .def = "\"\"",
     .help = "SQL over v_curriculum: problems that a grpo step may take"},
};

static const struct field REWARD[] = {
    {"max_failure_rate", FIELD_DOUBLE, AT(experiment, max_failure_rate), 0, 1, "0.05",
     .help = "stop when a checker fails on more of its last verdicts"},
    {"sandbox", FIELD_STRING, AT(experiment, sandbox), .def = "\"\"",
     .help = "layers that code must run in, see hone doctor; empty: all but cgroup"},
};

static const struct field CHECKERS[] = {
    {"checker", FIELD_STRING, AT(experiment_reward, checker), .def = "\"\"",
     .help = "a built-in one; or one of the next three, a plug-in"},
    {"plugin", FIELD_STRING, AT(experiment_reward, plugin), .def = "\"\"",
     .help = "a shared object (reward/hone_reward.h)"},
    {"command", FIELD_LIST, AT(experiment_reward, command), .def = "[]",
     .help = "a program that speaks JSON lines, and its arguments"},
    {"url", FIELD_STRING, AT(experiment_reward, url), .def = "\"\"",
     .help = "a server that gets the same by POST"},
    {"name", FIELD_STRING, AT(experiment_reward, name), .def = "\"\"",
     .help = "unique; empty: the checker's or the file's"},
    {"weight", FIELD_DOUBLE, AT(experiment_reward, weight), -1000, 1000, "1",
     .help = "of its score in the sum; 0: only recorded"},
    {"gate", FIELD_BOOL, AT(experiment_reward, gate), .def = "false",
     .help = "counts only where the answer is right"},
    {"options", FIELD_OBJECT, AT(experiment_reward, options), .def = "{}",
     .help = "of the checker, see below, or for the plug-in"},
    {"timeout", FIELD_DOUBLE, AT(experiment_reward, timeout), 0.001, 86400, "10",
     .help = "plug-ins: seconds for a group"},
    {"workers", FIELD_INT, AT(experiment_reward, workers), 1, 256, "1",
     .help = "plug-ins: processes or connections at once"},
    {"retries", FIELD_INT, AT(experiment_reward, retries), 0, 20, "2",
     .help = "url: of a request that got no answer, 429 or 5xx"},
    {"min_value", FIELD_DOUBLE, AT(experiment_reward, min_value), -1e9, 1e9, "0",
     .help = "plug-ins: the least score, which becomes 0"},
    {"max_value", FIELD_DOUBLE, AT(experiment_reward, max_value), -1e9, 1e9, "1",
     .help = "plug-ins: the greatest score, which becomes 1"},
};

static const struct field EVAL[] = {
    {"eval_steps", FIELD_INT, AT(experiment, eval.eval_steps), 0, MAX_INT, "0",
     .help = "every N steps of a stage and at its ends; 0: at its ends"},
    {"samples", FIELD_INT, AT(experiment, eval.samples), 0, 4096, "0",
     .help = "sampled completions a problem at stage ends; 0: greedy only"},
    {"temperature", FIELD_DOUBLE, AT(experiment, eval.temperature), 1e-6, 100, "1",
     .help = "of those samples"},
    {"max_completion_length", FIELD_INT, AT(experiment, eval.max_completion_length), 1,
     MAX_INT, "256", .help = "tokens"},
};

static const struct field CHECKPOINT[] = {
    {"save_steps", FIELD_INT, AT(experiment, checkpoint.save_steps), 0, MAX_INT, "0",
     .help = "every N steps; 0: at stage ends"},
    {"keep_last", FIELD_INT, AT(experiment, checkpoint.keep_last), 0, MAX_INT, "0",
     .help = "keep the newest N; 0: keep all"},
    {"keep_every", FIELD_INT, AT(experiment, checkpoint.keep_every), 0, MAX_INT, "0",
     .help = "and those of every Nth step of the run; 0: none"},
    {"commit_prompts", FIELD_INT, AT(experiment, checkpoint.commit_prompts), 0, MAX_INT,
     "0", .help = "prompts of a step drawn and committed together; 0: chosen"},
};

static const struct field REPLAY[] = {
    {"from", FIELD_STRING, AT(experiment, replay.from), .def = "\"\"",
     .help = "run whose episodes grpo stages learn from; empty: they draw their own"},
    {"where", FIELD_STRING, AT(experiment, replay.where), .def = "\"\"",
     .help = "SQL over its v_episode: which of them"},
    {"importance_cap", FIELD_DOUBLE, AT(experiment, replay.importance_cap), 0, INFINITY, "2",
     .above_min = true, .help = "greatest importance ratio of a token"},
};

static const struct field RECORD[] = {
    {"entropy", FIELD_BOOL, AT(experiment, record.entropy), .def = "false",
     .help = "keep the entropy of each token's distribution"},
    {"experts", FIELD_BOOL, AT(experiment, record.experts), .def = "false",
     .help = "keep the experts that each token was routed to"},
};

static const struct field STAGE[] = {
    {"type", FIELD_ENUM, AT(experiment_stage, type), .names = STAGE_TYPES,
     .help = "sft imitates the teacher's traces, grpo learns from rewards"},
    {"name", FIELD_STRING, AT(experiment_stage, name), .def = "\"\"",
     .help = "unique; empty: the type; names it in --set NAME.key=value"},
    {"problems", FIELD_STRING, AT(experiment_stage, problems), .def = "\"\"",
     .help = "problems of this stage; empty: problems.train"},
    {"max_steps", FIELD_INT, AT(experiment_stage, max_steps), 1, MAX_INT,
     .help = "updates of the weights"},
    {"learning_rate", FIELD_DOUBLE, AT(experiment_stage, learning_rate), 0, 10, "1e-6",
     .def_sft = "2e-5", .help = "the highest of the schedule"},
    {"lr_scheduler_type", FIELD_ENUM, AT(experiment_stage, lr_scheduler_type),
     .def = "\"linear\"", .names = LR_SCHEDULES, .help = "towards 0, or constant"},
    {"warmup_steps", FIELD_INT, AT(experiment_stage, warmup_steps), 0, MAX_INT, "0",
     .help = "steps of rising learning rate"},
    {"weight_decay", FIELD_DOUBLE, AT(experiment_stage, weight_decay), 0, 100, "0",
     .help = "of AdamW"},
    {"adam_beta1", FIELD_DOUBLE, AT(experiment_stage, adam_beta1), 0, 0.999999, "0.9",
     .help = "of AdamW"},
    {"adam_beta2", FIELD_DOUBLE, AT(experiment_stage, adam_beta2), 0, 0.999999, "0.999",
     .help = "of AdamW"},
    {"adam_epsilon", FIELD_DOUBLE, AT(experiment_stage, adam_epsilon), 1e-15, 1, "1e-8",
     .help = "of AdamW"},
    {"max_grad_norm", FIELD_DOUBLE, AT(experiment_stage, max_grad_norm), 0, INFINITY, "1",
     .help = "gradients are scaled down to it; 0: never"},
    {"router_bias_update_speed", FIELD_DOUBLE,
     AT(experiment_stage, router_bias_update_speed), 0, 1, "0", .def_sft = "0.001",
     .help = "gamma of the load-balancing bias"},
    {"router_aux_loss_coef", FIELD_DOUBLE, AT(experiment_stage, router_aux_loss_coef), 0,
     INFINITY, "0", .def_sft = "1e-4", .help = "alpha of the sequence-wise balance loss"},
    {"max_tokens_per_microbatch", FIELD_INT,
     AT(experiment_stage, max_tokens_per_microbatch), 1, MAX_INT, "8192",
     .help = "bounds memory; no result depends on it"},
};

static const struct field SFT[] = {
    {"batch_size", FIELD_INT, AT(experiment_stage, batch_size), 1, 1 << 20, "32",
     .help = "traces a step"},
    {"num_traces", FIELD_INT, AT(experiment_stage, num_traces), 0, MAX_INT, "0",
     .help = "distinct problems used; 0: as many as the steps visit"},
};

static const struct field GRPO[] = {
    {"num_prompts", FIELD_INT, AT(experiment_stage, num_prompts), 1, MAX_INT, "16",
     .help = "prompts a step"},
    {"num_generations", FIELD_INT, AT(experiment_stage, num_generations), 2, 65536, "8",
     .help = "completions a prompt: the group whose mean is the baseline"},
    {"num_iterations", FIELD_INT, AT(experiment_stage, num_iterations), 1, 1000, "1",
     .help = "updates from one batch of completions"},
    {"max_completion_length", FIELD_INT, AT(experiment_stage, max_completion_length), 1,
     MAX_INT, "256", .help = "tokens"},
    {"temperature", FIELD_DOUBLE, AT(experiment_stage, temperature), 1e-6, 100, "1",
     .help = "of sampling, and of the trained log-probabilities"},
    {"top_p", FIELD_DOUBLE, AT(experiment_stage, top_p), 0, 1, "1", .above_min = true,
     .help = "keep the likeliest tokens of this mass; 1: all"},
    {"min_p", FIELD_DOUBLE, AT(experiment_stage, min_p), 0, 1, "0",
     .help = "drop tokens below this share of the likeliest; 0: none"},
    {"top_k", FIELD_INT, AT(experiment_stage, top_k), 0, MAX_INT, "0",
     .help = "keep the K likeliest tokens; 0: all"},
    {"beta", FIELD_DOUBLE, AT(experiment_stage, beta), 0, INFINITY, "0",
     .help = "weight of the KL term to the policy the stage starts from"},
    {"epsilon", FIELD_DOUBLE, AT(experiment_stage, epsilon), 0, INFINITY, "0.2",
     .help = "clip range of the ratio, below 1"},
    {"epsilon_high", FIELD_DOUBLE, AT(experiment_stage, epsilon_high), -1, INFINITY, "-1",
     .help = "above 1; -1: as epsilon"},
    {"loss_type", FIELD_ENUM, AT(experiment_stage, loss_type), .def = "\"dapo\"",
     .names = LOSS_TYPES, .help = "how token losses are averaged"},
    {"scale_rewards", FIELD_ENUM, AT(experiment_stage, scale_rewards), .def = "\"group\"",
     .names = SCALE_REWARDS, .help = "whose standard deviation divides advantages"},
    {"mask_truncated_completions", FIELD_BOOL,
     AT(experiment_stage, mask_truncated_completions), .def = "false",
     .help = "leave completions without an end out of the loss"},
};

const struct section experiment_section[N_SECTIONS] = {
    [SECTION_TOP] = {"", "the run", ROWS(TOP)},
    [SECTION_MODEL] = {"model", "the policy: a path, or a config for random weights",
                       ROWS(MODEL)},
    [SECTION_PROBLEMS] = {"problems", "where prompts come from", ROWS(PROBLEMS)},
    [SECTION_REWARD] = {"reward", "what a completion is worth", ROWS(REWARD)},
    [SECTION_CHECKERS] = {"reward.checkers[]",
                          "what is summed; [{\"checker\": \"answer\"}]", ROWS(CHECKERS)},
    [SECTION_EVAL] = {"eval", "when and how to evaluate", ROWS(EVAL)},
    [SECTION_CHECKPOINT] = {"checkpoint", "when to save", ROWS(CHECKPOINT)},
    [SECTION_REPLAY] = {"replay", "learning from another run's episodes", ROWS(REPLAY)},
    [SECTION_RECORD] = {"record", "more of each token, in grpo stages", ROWS(RECORD)},
    [SECTION_STAGE] = {"stages[]", "one after the other; keys of every type",
                       ROWS(STAGE)},
    [SECTION_SFT] = {"stages[]", "of type sft only", ROWS(SFT)},
    [SECTION_GRPO] = {"stages[]", "of type grpo only", ROWS(GRPO)},
};

const struct field *experiment_field(enum section_id id, const char *key) {
    const struct section *s = &experiment_section[id];
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->field[i].key, key) == 0) return &s->field[i];
    return NULL;
}

const char *experiment_extra_key(enum section_id id, int i) {
    static const char *const top[] = {"model", "problems",   "reward", "stop",
                                      "eval",  "checkpoint", "replay", "record",
                                      "stages"};
    if (id == SECTION_TOP) return i < COUNT(top) ? top[i] : NULL;
    if (id == SECTION_MODEL && i == 0) return "config";
    if (id == SECTION_REWARD && i == 0) return "checkers";
    return NULL;
}

void experiment_keys(enum section_id id, const char **names, int *n, int max) {
    const struct section *s = &experiment_section[id];
    for (int i = 0; i < s->n && *n < max; i++) names[(*n)++] = s->field[i].key;
    for (int i = 0; experiment_extra_key(id, i) && *n < max; i++)
        names[(*n)++] = experiment_extra_key(id, i);
}

/* ---- reading ------------------------------------------------------------------- */

static int name_index(const char *const *names, const char *s) {
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], s) == 0) return i;
    return -1;
}

static int wrong_name(const struct field *f, const char *where, const char *found,
                      struct err *err) {
    struct buf list = {.max = 512};
    for (int i = 0; f->names[i]; i++)
        buf_printf(&list, "%s\"%s\"",
                   i == 0            ? ""
                   : f->names[i + 1] ? ", "
                                     : " or ",
                   f->names[i]);
    err_set(err, EX_CONFIG, "%s: must be %s, found \"%.100s\"", where, buf_text(&list),
            found);
    buf_clear(&list);
    return -1;
}

static int read_string(const struct field *f, char *out, const cJSON *value,
                       const char *where, struct err *err) {
    const char *s;
    if (json_as_string(value, where, &s, err) != 0) return -1;
    if (f->names && name_index(f->names, s) < 0) return wrong_name(f, where, s, err);
    size_t n = strlen(s);
    if (n >= f->size)
        return err_set(err, EX_CONFIG, "%s: at most %zu bytes, found %zu", where,
                       f->size - 1, n);
    memset(out, 0, f->size);
    memcpy(out, s, n);
    return 0;
}

/* An object or a list, as text. */
static int read_text(const struct field *f, char *out, const cJSON *value,
                     const char *where, struct err *err) {
    if ((f->type == FIELD_LIST ? json_as_array(value, where, err)
                               : json_as_object(value, where, err)) != 0)
        return -1;
    char *text = cJSON_PrintUnformatted(value);
    size_t n = strlen(text);
    memset(out, 0, f->size);
    if (value->child && n < f->size) memcpy(out, text, n);
    cJSON_free(text);
    if (n < f->size) return 0;
    return err_set(err, EX_CONFIG, "%s: at most %zu bytes of JSON, found %zu", where,
                   f->size - 1, n);
}

static int read_int(const struct field *f, void *out, const cJSON *value,
                    const char *where, struct err *err) {
    long long x;
    if (json_as_int(value, where, (long long)f->min, (long long)f->max, &x, err) != 0)
        return -1;
    if (f->type == FIELD_SEED)
        *(uint64_t *)out = (uint64_t)x;
    else
        *(int *)out = (int)x;
    return 0;
}

static int read_double(const struct field *f, double *out, const cJSON *value,
                       const char *where, struct err *err) {
    double x;
    if (json_as_double(value, where, f->min, f->max, &x, err) != 0) return -1;
    if (f->above_min && x <= f->min)
        return err_set(err, EX_CONFIG, "%s: must be above %g, found %g", where, f->min,
                       x);
    *out = x;
    return 0;
}

static int read_enum(const struct field *f, void *out, const cJSON *value,
                     const char *where, struct err *err) {
    const char *s;
    if (json_as_string(value, where, &s, err) != 0) return -1;
    int i = name_index(f->names, s);
    if (i < 0) return wrong_name(f, where, s, err);
    *(unsigned *)out = (unsigned)i;
    return 0;
}

static int read_field(const struct field *f, void *base, const cJSON *value,
                      const char *where, struct err *err) {
    void *out = (char *)base + f->offset;
    switch (f->type) {
    case FIELD_INT:
    case FIELD_SEED: return read_int(f, out, value, where, err);
    case FIELD_DOUBLE: return read_double(f, out, value, where, err);
    case FIELD_BOOL: return json_as_bool(value, where, out, err);
    case FIELD_STRING: return read_string(f, out, value, where, err);
    case FIELD_LIST:
    case FIELD_OBJECT: return read_text(f, out, value, where, err);
    case FIELD_ENUM: return read_enum(f, out, value, where, err);
    }
    return -1;
}

void experiment_defaults(enum section_id id, void *base, bool sft) {
    const struct section *s = &experiment_section[id];
    for (int i = 0; i < s->n; i++) {
        const struct field *f = &s->field[i];
        const char *def = sft && f->def_sft ? f->def_sft : f->def;
        struct err err;
        cJSON *value;
        if (!def) continue;
        int rc = json_parse(&value, def, strlen(def), f->key, 1, &err);
        CHECK(rc == 0);
        rc = read_field(f, base, value, f->key, &err);
        CHECK(rc == 0);
        json_free(value);
    }
}

int experiment_read_section(enum section_id id, void *base, const cJSON *obj,
                            const char *where, struct err *err) {
    const struct section *s = &experiment_section[id];
    for (int i = 0; i < s->n; i++) {
        const struct field *f = &s->field[i];
        char place[JSON_WHERE_BYTES];
        const cJSON *value = json_find(obj, f->key);
        if (!value && !f->def) return json_need(obj, where, f->key, err);
        if (value &&
            read_field(f, base, value, json_where(place, where, f->key), err) != 0)
            return -1;
    }
    return 0;
}

/* ---- printing ------------------------------------------------------------------ */

static cJSON *field_value(const struct field *f, const void *base) {
    const void *in = (const char *)base + f->offset;
    switch (f->type) {
    case FIELD_INT: return cJSON_CreateNumber(*(const int *)in);
    case FIELD_SEED: return cJSON_CreateNumber((double)*(const uint64_t *)in);
    case FIELD_DOUBLE: return cJSON_CreateNumber(*(const double *)in);
    case FIELD_BOOL: return cJSON_CreateBool(*(const bool *)in);
    case FIELD_STRING: return cJSON_CreateString(in);
    case FIELD_LIST: return *(const char *)in ? cJSON_Parse(in) : cJSON_CreateArray();
    case FIELD_OBJECT: return *(const char *)in ? cJSON_Parse(in) : cJSON_CreateObject();
    case FIELD_ENUM: return cJSON_CreateString(f->names[*(const unsigned *)in]);
    }
    return NULL;
}

void experiment_print_section(enum section_id id, const void *base, cJSON *obj) {
    const struct section *s = &experiment_section[id];
    for (int i = 0; i < s->n; i++)
        cJSON_AddItemToObject(obj, s->field[i].key, field_value(&s->field[i], base));
}

static void print_range(struct buf *out, const struct field *f) {
    if (f->names) {
        for (int i = 0; f->names[i]; i++)
            buf_printf(out, "%s%s", i ? "|" : "", f->names[i]);
    } else if (f->type == FIELD_INT || f->type == FIELD_SEED || f->type == FIELD_DOUBLE) {
        bool open_end = isinf(f->max) || f->max == MAX_INT || f->max == MAX_SEED;
        buf_printf(out, "%s ", f->type == FIELD_DOUBLE ? "number" : "integer");
        buf_printf(out, f->above_min ? "> %g" : ">= %g", f->min);
        if (!open_end) buf_printf(out, ", <= %.7g", f->max);
    } else {
        buf_puts(out, f->type == FIELD_BOOL     ? "true|false"
                      : f->type == FIELD_OBJECT ? "object"
                      : f->type == FIELD_LIST   ? "list of strings"
                                                : "string");
    }
}

static void print_field_help(struct buf *out, const struct field *f) {
    struct buf range = {0};
    print_range(&range, f);
    buf_printf(out, "  %-27s %-26s ", f->key, buf_text(&range));
    buf_clear(&range);
    if (!f->def)
        buf_printf(out, "%-18s", "required");
    else if (f->def_sft)
        buf_printf(out, "%s, sft %-*s", f->def, (int)(12 - strlen(f->def)), f->def_sft);
    else
        buf_printf(out, "%-18s", f->def);
    buf_printf(out, " %s\n", f->help);
}

void experiment_print_help(struct buf *out) {
    buf_printf(
        out,
        "Keys of an experiment.json: key, values, default, meaning. Any of them can be\n"
        "set on the command line: --set seed=3, --set eval.eval_steps=10, and for a\n"
        "stage by its name or number: --set grpo.beta=0.01, --set "
        "stages[1].beta=0.01.\n");
    for (int id = 0; id < N_SECTIONS; id++) {
        const struct section *s = &experiment_section[id];
        buf_printf(out, "\n%s%s%s\n", s->name, *s->name ? ": " : "", s->help);
        for (int i = 0; i < s->n; i++) print_field_help(out, &s->field[i]);
        if (id == SECTION_TOP)
            buf_printf(out, "  %-27s %-26s %-18s %s\n", "stop", "list of up to 4 strings",
                       "[]", "a completion ends where one of them appears");
        if (id == SECTION_CHECKERS) {
            buf_puts(out, "\nCheckers, and their options: values, default, meaning\n");
            for (int i = 0; checker_name_at(i); i++) checker_print_help(i, out);
        }
        if (id == SECTION_MODEL)
            buf_printf(out, "  %-27s %-26s %-18s %s\n", "config", "object", "",
                       "keys of a config.json; model_type deepseek_v3 (the default) or llama");
    }
}
