/* cli/experiment.c: see experiment.h. The keys themselves are in experiment_table.c. */
#include "cli/experiment.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/experiment_table.h"
#include "reward/sandbox.h"
#include "reward/scorer.h"

enum { MAX_KEYS = 64, MAX_FILE_BYTES = 1 << 20, MAX_EPISODES = 1 << 24 };

struct scorer_config experiment_scorer(const struct experiment_reward *w) {
    return (struct scorer_config){
        .name = w->name, .checker = w->checker, .plugin = w->plugin, .command = w->command,
        .url = w->url, .options = w->options, .timeout_s = w->timeout,
        .min_value = w->min_value, .max_value = w->max_value, .workers = w->workers,
        .retries = w->retries};
}

/* ---- reading ------------------------------------------------------------------- */

static int check_keys(enum section_id id, const cJSON *obj, const char *where,
                      struct err *err) {
    const char *keys[MAX_KEYS];
    int n = 0;
    experiment_keys(id, keys, &n, MAX_KEYS);
    return json_check_keys(obj, where, keys, n, err);
}

/* A section that is absent keeps its defaults. */
static int read_section(enum section_id id, struct experiment *x, const cJSON *tree,
                        const char *where, struct err *err) {
    char place[JSON_WHERE_BYTES];
    const char *name = experiment_section[id].name;
    const cJSON *obj = json_find(tree, name);
    if (!obj) return 0;
    json_where(place, where, name);
    if (check_keys(id, obj, place, err) != 0) return -1;
    return experiment_read_section(id, x, obj, place, err);
}

/* policy_config_check wants a size of vocabulary; where the tokenizer will tell, it gets
 * the least one that holds the special tokens. */
static int check_config(const struct policy_config *config, const char *where,
                        struct err *err) {
    struct policy_config c = *config;
    const int id[] = {c.bos_token_id, c.eos_token_id, c.pad_token_id, 0};
    for (int i = 0; i < 4 && config->vocab_size == 0; i++)
        if (c.vocab_size <= id[i]) c.vocab_size = id[i] + 1;
    return policy_config_check(&c, where, err);
}

static int read_model(struct experiment *x, const cJSON *tree, const char *where,
                      struct err *err) {
    char place[JSON_WHERE_BYTES], inside[JSON_WHERE_BYTES];
    json_where(place, where, "model");
    if (json_need(tree, where, "model", err) != 0) return -1;
    if (read_section(SECTION_MODEL, x, tree, where, err) != 0) return -1;
    const cJSON *config = json_find(json_find(tree, "model"), "config");
    if (cJSON_IsNull(config)) config = NULL; /* as --set model.config=null leaves it */
    x->model.has_config = config != NULL;
    if (config && x->model.path[0])
        return err_set(
            err, EX_CONFIG,
            "%s: has both a path and a config; a folder brings its own config, "
            "so set model.config to null",
            place);
    if (!config && !x->model.path[0])
        return err_set(
            err, EX_CONFIG,
            "%s: needs a path (a policy to start from) or a config (random weights)",
            place);
    if (!config) return 0;
    json_where(inside, place, "config");
    if (policy_config_parse(&x->model.config, config, inside, true, err) != 0) return -1;
    if (!json_find(config, "vocab_size")) x->model.config.vocab_size = 0;
    return check_config(&x->model.config, inside, err);
}

/* "options.n: must ..." becomes "FILE: reward.checkers[0].options.n: must ...". */
static int blame_entry(const char *place, struct err *err) {
    char rest[sizeof err->msg];
    snprintf(rest, sizeof rest, "%s", err->msg);
    return err_set(err, err->code, "%s.%s", place, rest);
}

/* The checker's name, or what the plug-in's file is called: "a/mine.so" gives "mine", a
 * command is known by its last argument, a url by its last part. */
static void name_reward(struct experiment_reward *w) {
    const char *from = w->checker[0] ? w->checker : w->plugin[0] ? w->plugin : w->url;
    cJSON *command = w->command[0] ? cJSON_Parse(w->command) : NULL;
    int n = cJSON_GetArraySize(command);
    const char *last = cJSON_GetStringValue(cJSON_GetArrayItem(command, n - 1));
    if (last) from = last;
    const char *slash = strrchr(from, '/');
    if (slash && slash[1]) from = slash + 1;
    size_t len = strcspn(from, w->checker[0] ? "" : ".:?");
    if (len == 0 || len >= sizeof w->name) {
        from = "plugin";
        len = strlen(from);
    }
    char name[sizeof w->name] = "";
    memcpy(name, from, len);
    memcpy(w->name, name, sizeof name);
    json_free(command);
}

/* An option that would do nothing is refused. */
static int check_plugin_keys(const struct experiment_reward *w, struct err *err) {
    struct experiment_reward d = {0};
    experiment_defaults(SECTION_CHECKERS, &d, false);
    const char *key = w->timeout != d.timeout      ? "timeout"
                     : w->workers != d.workers     ? "workers"
                     : w->min_value != d.min_value ? "min_value"
                     : w->max_value != d.max_value ? "max_value"
                                                   : NULL;
    if (w->checker[0] && key)
        return err_set(err, EX_CONFIG, "%s: is for plug-ins; '%s' is built in", key, w->checker);
    if (!w->url[0] && w->retries != d.retries)
        return err_set(err, EX_CONFIG, "retries: is for a url");
    return 0;
}

static int read_checker(struct experiment *x, int i, const cJSON *c, const char *place,
                        struct err *err) {
    struct experiment_reward *w = &x->reward[i];
    experiment_defaults(SECTION_CHECKERS, w, false);
    if (check_keys(SECTION_CHECKERS, c, place, err) != 0) return -1;
    if (experiment_read_section(SECTION_CHECKERS, w, c, place, err) != 0) return -1;
    _Static_assert(sizeof w->name == sizeof w->checker, "one is copied to the other");
    if (!w->name[0]) name_reward(w);
    struct scorer_config sc = experiment_scorer(w);
    if (scorer_check(&sc, err) != 0 || check_plugin_keys(w, err) != 0)
        return blame_entry(place, err);
    for (int k = 0; k < i; k++)
        if (strcmp(x->reward[k].name, w->name) == 0)
            return err_set(err, EX_CONFIG,
                           "%s.name: '%s' is already in the list; give one another name",
                           place, w->name);
    return 0;
}

/* The reward called `answer`, or else the first that is not shaping; -1 without one. */
static int find_answer(const struct experiment *x) {
    int first = -1;
    for (int i = x->n_rewards - 1; i >= 0; i--) {
        struct scorer_config sc = experiment_scorer(&x->reward[i]);
        if (scorer_is_shaping(&sc)) continue;
        if (strcmp(x->reward[i].name, "answer") == 0) return i;
        first = i;
    }
    return first;
}

/* What depends on the answer's verdict must have one to depend on. */
static int check_answer(struct experiment *x, const char *where, struct err *err) {
    x->answer = find_answer(x);
    for (int i = 0; i < x->n_rewards; i++) {
        struct scorer_config sc = experiment_scorer(&x->reward[i]);
        const char *why = x->reward[i].gate ? "gate" : scorer_needs_answer(&sc) ? "checker" : NULL;
        if (why && (x->answer < 0 || x->answer == i))
            return err_set(err, EX_CONFIG,
                           "%s[%d].%s: depends on whether the answer is right, and no other "
                           "entry says so; add {\"checker\": \"answer\"}",
                           where, i, why);
    }
    if (x->answer < 0) x->answer = 0;
    return 0;
}

static int read_checkers(struct experiment *x, const cJSON *list, const char *where,
                         struct err *err) {
    int n = cJSON_GetArraySize(list), i = 0;
    if (json_as_array(list, where, err) != 0) return -1;
    if (n < 1 || n > EXPERIMENT_MAX_REWARDS)
        return err_set(err, EX_CONFIG, "%s: 1 to %d checkers, found %d", where,
                       EXPERIMENT_MAX_REWARDS, n);
    x->n_rewards = n;
    for (const cJSON *c = list->child; c; c = c->next, i++) {
        char place[JSON_WHERE_BYTES];
        json_where_at(place, where, i);
        if (read_checker(x, i, c, place, err) != 0) return -1;
    }
    return check_answer(x, where, err);
}

static int read_reward(struct experiment *x, const cJSON *tree, const char *where,
                       struct err *err) {
    char place[JSON_WHERE_BYTES], inside[JSON_WHERE_BYTES];
    experiment_defaults(SECTION_CHECKERS, &x->reward[0], false);
    snprintf(x->reward[0].checker, sizeof x->reward[0].checker, "answer");
    snprintf(x->reward[0].name, sizeof x->reward[0].name, "answer");
    x->n_rewards = 1;
    unsigned layers;
    if (read_section(SECTION_REWARD, x, tree, where, err) != 0) return -1;
    const cJSON *list = json_find(json_find(tree, "reward"), "checkers");
    json_where(place, where, "reward");
    if (x->sandbox[0] && sandbox_parse_layers(x->sandbox, &layers, err) != 0)
        return err_prefix(err, "%s", json_where(inside, place, "sandbox"));
    return list ? read_checkers(x, list, json_where(inside, place, "checkers"), err) : 0;
}

static int read_stop(struct experiment *x, const cJSON *tree, const char *where,
                     struct err *err) {
    char place[JSON_WHERE_BYTES], at[JSON_WHERE_BYTES];
    const cJSON *list = json_find(tree, "stop");
    int n = cJSON_GetArraySize(list);
    if (!list) return 0;
    json_where(place, where, "stop");
    if (json_as_array(list, place, err) != 0) return -1;
    if (n > EXPERIMENT_MAX_STOP)
        return err_set(err, EX_CONFIG, "%s: at most %d strings, found %d", place,
                       EXPERIMENT_MAX_STOP, n);
    for (const cJSON *c = list->child; c; c = c->next) {
        const char *s;
        json_where_at(at, place, x->n_stop);
        if (json_as_string(c, at, &s, err) != 0) return -1;
        if (!*s || strlen(s) >= sizeof x->stop[0])
            return err_set(err, EX_CONFIG, "%s: must have 1 to %zu bytes, found %zu", at,
                           sizeof x->stop[0] - 1, strlen(s));
        snprintf(x->stop[x->n_stop++], sizeof x->stop[0], "%s", s);
    }
    return 0;
}

/* ---- stages -------------------------------------------------------------------- */

/* A key of the other type of stage gets a sentence of its own. */
static int check_stage_keys(const cJSON *stage, enum section_id own, const char *where,
                            struct err *err) {
    const char *keys[MAX_KEYS], *type = own == SECTION_SFT ? "sft" : "grpo";
    enum section_id other = own == SECTION_SFT ? SECTION_GRPO : SECTION_SFT;
    int n = 0;
    for (const cJSON *c = stage->child; c; c = c->next) {
        char place[JSON_WHERE_BYTES];
        if (!experiment_field(other, c->string) || experiment_field(own, c->string))
            continue;
        return err_set(err, EX_CONFIG, "%s: belongs to %s stages, this one is %s",
                       json_where(place, where, c->string),
                       own == SECTION_SFT ? "grpo" : "sft", type);
    }
    experiment_keys(SECTION_STAGE, keys, &n, MAX_KEYS);
    experiment_keys(own, keys, &n, MAX_KEYS);
    return json_check_keys(stage, where, keys, n, err);
}

static int check_stage_name(const struct experiment *x, int i, const char *where,
                            struct err *err) {
    const char *name = x->stage[i].name, *extra;
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_-", *p))
            return err_set(err, EX_CONFIG,
                           "%s.name: may hold letters, digits, _ and -, found '%s'",
                           where, name);
    bool taken = experiment_field(SECTION_TOP, name) != NULL;
    for (int k = 0; (extra = experiment_extra_key(SECTION_TOP, k)); k++)
        taken = taken || strcmp(extra, name) == 0;
    if (taken)
        return err_set(err, EX_CONFIG, "%s.name: '%s' is a key of the experiment", where,
                       name);
    for (int k = 0; k < i; k++)
        if (strcmp(x->stage[k].name, name) == 0)
            return err_set(err, EX_CONFIG,
                           "%s.name: stages[%d] is already called '%s'; give one a name",
                           where, k, name);
    return 0;
}

static int check_stage_values(const struct experiment_stage *s, const char *where,
                              struct err *err) {
    bool filtered = s->top_k > 0 || s->top_p < 1 || s->min_p > 0;
    if (filtered && (s->num_iterations > 1 || s->beta > 0))
        return err_set(err, EX_CONFIG,
                       "%s: top_k, top_p and min_p keep a set of tokens that later iterations "
                       "and the reference would not keep; use num_iterations 1 and beta 0 "
                       "with them",
                       where);
    if (s->type == STAGE_SFT) return 0;
    if (s->epsilon_high < 0 && s->epsilon_high != -1)
        return err_set(err, EX_CONFIG,
                       "%s.epsilon_high: must be at least 0, or -1 for the value of "
                       "epsilon, found %g",
                       where, s->epsilon_high);
    double n = (double)s->num_prompts * s->num_generations;
    if (n > MAX_EPISODES)
        return err_set(err, EX_CONFIG,
                       "%s: num_prompts %d x num_generations %d are more than the %d episodes "
                       "that a step may have",
                       where, s->num_prompts, s->num_generations, MAX_EPISODES);
    return 0;
}

static int read_stage(struct experiment *x, int i, const cJSON *stage, const char *where,
                      struct err *err) {
    struct experiment_stage *s = &x->stage[i];
    char place[JSON_WHERE_BYTES];
    const cJSON *one = json_find(stage, "num_generations");
    if (json_as_object(stage, where, err) != 0) return -1;
    const char *type = cJSON_GetStringValue(json_find(stage, "type"));
    bool sft = type && strcmp(type, "sft") == 0;
    enum section_id own = sft ? SECTION_SFT : SECTION_GRPO;
    experiment_defaults(SECTION_STAGE, s, sft);
    experiment_defaults(own, s, sft);
    /* type first: which other keys are valid depends on it */
    if (!type || (!sft && strcmp(type, "grpo") != 0))
        return experiment_read_section(SECTION_STAGE, s, stage, where, err);
    if (check_stage_keys(stage, own, where, err) != 0) return -1;
    if (experiment_read_section(SECTION_STAGE, s, stage, where, err) != 0) return -1;
    if (!sft && cJSON_IsNumber(one) && one->valuedouble == 1)
        return err_set(
            err, EX_CONFIG,
            "%s: must be at least 2: a sample alone has no group to be compared "
            "with, so nothing would be learnt",
            json_where(place, where, "num_generations"));
    if (experiment_read_section(own, s, stage, where, err) != 0) return -1;
    if (!s->name[0]) snprintf(s->name, sizeof s->name, "%s", type);
    if (check_stage_name(x, i, where, err) != 0) return -1;
    return check_stage_values(s, where, err);
}

static int read_stages(struct experiment *x, const cJSON *tree, const char *where,
                       struct err *err) {
    char place[JSON_WHERE_BYTES], at[JSON_WHERE_BYTES];
    const cJSON *list = json_find(tree, "stages");
    int n = cJSON_GetArraySize(list), i = 0;
    if (json_need(tree, where, "stages", err) != 0) return -1;
    json_where(place, where, "stages");
    if (json_as_array(list, place, err) != 0) return -1;
    if (n < 1 || n > EXPERIMENT_MAX_STAGES)
        return err_set(err, EX_CONFIG, "%s: 1 to %d stages, found %d", place,
                       EXPERIMENT_MAX_STAGES, n);
    for (const cJSON *c = list->child; c; c = c->next, i++)
        if (read_stage(x, i, c, json_where_at(at, place, i), err) != 0) return -1;
    x->n_stages = n;
    return 0;
}

static int check_replay(const struct experiment *x, const char *where, struct err *err) {
    char place[JSON_WHERE_BYTES];
    json_where(place, where, "replay");
    if (x->replay.where[0] && !x->replay.from[0])
        return err_set(err, EX_CONFIG, "%s.where: needs replay.from, a run's folder", place);
    if (x->replay.from[0] && x->problems.where[0])
        return err_set(err, EX_CONFIG, "%s.from: its episodes have their problems already; "
                       "problems.where must be empty", place);
    return 0;
}

/* The backward overwrites what it computes again, the experts of a layer with it. */
static int check_record(const struct experiment *x, const char *where, struct err *err) {
    char place[JSON_WHERE_BYTES];
    if (!x->record.experts || !x->gradient_checkpointing) return 0;
    return err_set(err, EX_CONFIG, "%s.experts: needs gradient_checkpointing false",
                   json_where(place, where, "record"));
}

/* ---- the whole ----------------------------------------------------------------- */

static int read_tree(struct experiment *x, const cJSON *tree, const char *where,
                     struct err *err) {
    memset(x, 0, sizeof *x);
    for (enum section_id id = SECTION_TOP; id <= SECTION_RECORD; id++)
        if (id != SECTION_CHECKERS) experiment_defaults(id, x, false);
    if (check_keys(SECTION_TOP, tree, where, err) != 0) return -1;
    if (experiment_read_section(SECTION_TOP, x, tree, where, err) != 0) return -1;
    if (read_model(x, tree, where, err) != 0) return -1;
    if (json_need(tree, where, "problems", err) != 0) return -1;
    if (read_section(SECTION_PROBLEMS, x, tree, where, err) != 0) return -1;
    if (read_reward(x, tree, where, err) != 0) return -1;
    if (read_stop(x, tree, where, err) != 0) return -1;
    if (read_section(SECTION_EVAL, x, tree, where, err) != 0) return -1;
    if (read_section(SECTION_CHECKPOINT, x, tree, where, err) != 0) return -1;
    if (read_section(SECTION_REPLAY, x, tree, where, err) != 0) return -1;
    if (check_replay(x, where, err) != 0) return -1;
    if (read_section(SECTION_RECORD, x, tree, where, err) != 0) return -1;
    if (check_record(x, where, err) != 0) return -1;
    return read_stages(x, tree, where, err);
}

/* Where the message is about a value that came from a --set, it should not blame the
 * file: "FILE: stages[1].beta: must ..." becomes "--set grpo.beta=x: must ...". */
static void blame_setting(struct err *err, const char *file, const char *place,
                          const char *setting) {
    char prefix[JSON_WHERE_BYTES], rest[sizeof err->msg];
    json_where(prefix, file, place);
    size_t n = strlen(prefix);
    if (strncmp(err->msg, prefix, n) != 0 || strncmp(err->msg + n, ": ", 2) != 0) return;
    snprintf(rest, sizeof rest, "%s", err->msg + n);
    snprintf(err->msg, sizeof err->msg, "--set %.200s%s", setting, rest);
}

int experiment_load(struct experiment *x, const char *path, const char *const *set,
                    int n_set, struct err *err) {
    cJSON *tree;
    char(*place)[JSON_WHERE_BYTES] = mem_new((size_t)n_set, sizeof *place);
    int rc = -1;
    if (json_load(&tree, path, MAX_FILE_BYTES, err) != 0) goto out;
    if (json_as_object(tree, path, err) != 0) goto out;
    for (int i = 0; i < n_set; i++)
        if (experiment_set(tree, set[i], place[i], err) != 0) goto out;
    rc = read_tree(x, tree, path, err);
    for (int i = n_set - 1; i >= 0 && rc != 0; i--)
        blame_setting(err, path, place[i], set[i]);
out:
    json_free(tree);
    mem_free(place);
    return rc;
}

int experiment_parse(struct experiment *x, const char *text, const char *where,
                     struct err *err) {
    cJSON *tree;
    if (json_parse(&tree, text, strlen(text), where, 1, err) != 0) return -1;
    int rc = json_as_object(tree, where, err);
    if (rc == 0) rc = read_tree(x, tree, where, err);
    json_free(tree);
    return rc;
}

/* ---- printing ------------------------------------------------------------------ */

/* Only what can differ: the rest of a config.json follows from it. */
static cJSON *config_tree(const struct policy_config *config) {
    static const char *const FIXED[] = {
        "architectures", "torch_dtype", "attention_bias",          "attention_dropout",
        "hidden_act",    "mlp_bias",    "num_nextn_predict_layers",
    };
    struct buf text = {0};
    struct err err;
    cJSON *tree;
    policy_config_print(config, &text);
    int rc = json_parse(&tree, buf_text(&text), text.len, "config.json", 1, &err);
    CHECK(rc == 0);
    buf_clear(&text);
    for (size_t i = 0; i < sizeof FIXED / sizeof *FIXED; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(tree, FIXED[i]);
    if (config->arch == POLICY_DEEPSEEK_V3) {
        cJSON_DeleteItemFromObjectCaseSensitive(tree, "model_type");
        cJSON_DeleteItemFromObjectCaseSensitive(tree, "num_key_value_heads");
    }
    if (config->vocab_size == 0)
        cJSON_DeleteItemFromObjectCaseSensitive(tree, "vocab_size");
    return tree;
}

static void print_section(enum section_id id, const struct experiment *x, cJSON *tree) {
    cJSON *obj = cJSON_AddObjectToObject(tree, experiment_section[id].name);
    if (id == SECTION_MODEL && x->model.has_config) {
        cJSON_AddStringToObject(obj, "tokenizer", x->model.tokenizer);
        cJSON_AddItemToObject(obj, "config", config_tree(&x->model.config));
    } else {
        experiment_print_section(id, x, obj);
    }
    if (id != SECTION_REWARD) return;
    cJSON *list = cJSON_AddArrayToObject(obj, "checkers");
    for (int i = 0; i < x->n_rewards; i++) {
        cJSON *checker = cJSON_CreateObject();
        experiment_print_section(SECTION_CHECKERS, &x->reward[i], checker);
        cJSON_AddItemToArray(list, checker);
    }
}

void experiment_print(const struct experiment *x, struct buf *out) {
    cJSON *tree = cJSON_CreateObject(), *list;
    experiment_print_section(SECTION_TOP, x, tree);
    print_section(SECTION_MODEL, x, tree);
    print_section(SECTION_PROBLEMS, x, tree);
    print_section(SECTION_REWARD, x, tree);
    list = cJSON_AddArrayToObject(tree, "stop");
    for (int i = 0; i < x->n_stop; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(x->stop[i]));
    print_section(SECTION_EVAL, x, tree);
    print_section(SECTION_CHECKPOINT, x, tree);
    print_section(SECTION_REPLAY, x, tree);
    print_section(SECTION_RECORD, x, tree);
    list = cJSON_AddArrayToObject(tree, "stages");
    for (int i = 0; i < x->n_stages; i++) {
        cJSON *stage = cJSON_CreateObject();
        bool sft = x->stage[i].type == STAGE_SFT;
        experiment_print_section(SECTION_STAGE, &x->stage[i], stage);
        experiment_print_section(sft ? SECTION_SFT : SECTION_GRPO, &x->stage[i], stage);
        cJSON_AddItemToArray(list, stage);
    }
    json_print(out, tree);
    buf_puts(out, "\n");
    json_free(tree);
}
