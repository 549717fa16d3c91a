/* tests/test_experiment.c: one run as its file says it; every refusal in its words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "cli/experiment.h"
#include "tests/policy_fixture.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

static const char FILE_NAME[] = "x.json";
static char folder[] = "/tmp/hone-test-XXXXXX";

static const char CONFIG[] =
    "{\"hidden_size\":64,\"num_hidden_layers\":2,\"n_group\":1,\"topk_group\":1}";

/* A small valid experiment; %s is the config. */
static const char *const SMALL =
    "{\"model\":{\"config\":%s},\"problems\":{\"train\":\"countdown:numbers=3\"},"
    "\"stages\":["
    "{\"type\":\"sft\",\"max_steps\":10},{\"type\":\"grpo\",\"max_steps\":5}]}";

static void write_text(const char *text) {
    struct err err;
    if (file_save(FILE_NAME, text, strlen(text), &err) != 0) fail_msg("%s", err.msg);
}

static void write_small(void) {
    char text[2048];
    snprintf(text, sizeof text, SMALL, CONFIG);
    write_text(text);
}

static int load(struct experiment *x, const char *const *set, int n_set,
                struct err *err) {
    memset(x, 0x55, sizeof *x); /* nothing may depend on what was there */
    memset(err, 0, sizeof *err);
    return experiment_load(x, FILE_NAME, set, n_set, err);
}

static void must_load(struct experiment *x, const char *const *set, int n_set) {
    struct err err;
    if (load(x, set, n_set, &err) != 0) fail_msg("%s", err.msg);
}

static void must_refuse(const char *const *set, int n_set, int code,
                        const char *message) {
    static struct experiment x;
    struct err err;
    assert_int_equal(load(&x, set, n_set, &err), -1);
    assert_string_equal(err.msg, message);
    assert_int_equal(err.code, code);
}

static void refuse_text(const char *text, int code, const char *message) {
    write_text(text);
    must_refuse(NULL, 0, code, message);
}

static void refuse_set(const char *setting, int code, const char *message) {
    write_small();
    must_refuse(&setting, 1, code, message);
}

/* A file whose stages are `stages`. */
static void refuse_stages(const char *stages, const char *message) {
    char text[4096];
    snprintf(text, sizeof text,
             "{\"model\":{\"path\":\"p\"},\"problems\":{\"train\":\"t\"},\"stages\":%s}",
             stages);
    refuse_text(text, EX_CONFIG, message);
}

/* A file with one more section. */
static void refuse_section(const char *section, const char *message) {
    char text[4096];
    snprintf(text, sizeof text,
             "{\"model\":{\"path\":\"p\"},\"problems\":{\"train\":\"t\"},\"stages\":"
             "[{\"type\":\"sft\",\"max_steps\":1}],%s}",
             section);
    refuse_text(text, EX_CONFIG, message);
}

/* By what they print, not by their bytes: there is padding between the fields. */
/* ---- what is read -------------------------------------------------------------- */

static void test_experiment_defaults_are_those_of_the_contract(void **state) {
    (void)state;
    static struct experiment x;
    write_small();
    must_load(&x, NULL, 0);
    assert_int_equal(x.seed, 0);
    assert_string_equal(x.name, "run");
    assert_string_equal(x.model.path, "");
    assert_true(x.model.has_config);
    assert_int_equal(x.model.config.vocab_size, 0);
    assert_int_equal(x.model.config.hidden_size, 64);
    assert_string_equal(x.model.tokenizer, "char");
    assert_string_equal(x.problems.train, "countdown:numbers=3");
    assert_string_equal(x.problems.eval, "");
    assert_int_equal(x.n_rewards, 1);
    assert_string_equal(x.reward[0].checker, "answer");
    assert_true(x.reward[0].weight == 1 && x.max_failure_rate == 0.05);
    assert_int_equal(x.n_stop, 0);
    assert_true(x.eval.eval_steps == 0 && x.eval.samples == 0 && x.eval.temperature == 1);
    assert_int_equal(x.eval.max_completion_length, 256);
    assert_true(x.checkpoint.save_steps == 0 && x.checkpoint.keep_last == 0);
    assert_int_equal(x.n_stages, 2);
    const struct experiment_stage *s = &x.stage[0], *g = &x.stage[1];
    assert_true(s->type == STAGE_SFT && g->type == STAGE_GRPO);
    assert_string_equal(s->name, "sft");
    assert_string_equal(g->name, "grpo");
    assert_true(s->max_steps == 10 && g->max_steps == 5);
    assert_true(s->learning_rate == 2e-5 && g->learning_rate == 1e-6);
    assert_true(s->router_bias_update_speed == 0.001 && g->router_bias_update_speed == 0);
    assert_true(s->router_aux_loss_coef == 1e-4 && g->router_aux_loss_coef == 0);
    assert_true(s->batch_size == 32 && s->num_traces == 0);
    assert_true(g->lr_scheduler_type == LR_LINEAR && g->warmup_steps == 0);
    assert_true(g->weight_decay == 0 && g->adam_beta1 == 0.9 && g->adam_beta2 == 0.999);
    assert_true(g->adam_epsilon == 1e-8 && g->max_grad_norm == 1);
    assert_true(g->max_tokens_per_microbatch == 8192);
    assert_true(g->num_prompts == 16 && g->num_generations == 8 &&
                g->num_iterations == 1);
    assert_true(g->max_completion_length == 256 && g->temperature == 1 && g->top_p == 1);
    assert_true(g->min_p == 0 && g->top_k == 0 && g->beta == 0);
    assert_true(g->epsilon == 0.2 && g->epsilon_high == -1 && g->loss_type == LOSS_DAPO);
    assert_true(g->scale_rewards == SCALE_GROUP && !g->mask_truncated_completions);
}

static void test_experiment_reads_every_kind_of_value(void **state) {
    (void)state;
    static struct experiment x;
    write_text(
        "{\"name\":\"n\",\"seed\":9007199254740992,\"model\":{\"path\":\"some/dir\"},"
        "\"problems\":{\"train\":\"a\",\"eval\":\"b\"},\"stop\":[\"</answer>\",\"\\n\"],"
        "\"reward\":{\"checkers\":[{\"checker\":\"format\",\"weight\":-0.5},"
        "{\"checker\":\"answer\"}],\"max_failure_rate\":0},"
        "\"stages\":[{\"type\":\"grpo\",\"name\":\"rl\",\"max_steps\":1,"
        "\"loss_type\":\"dr_grpo\",\"scale_rewards\":\"none\","
        "\"lr_scheduler_type\":\"cosine\",\"mask_truncated_completions\":true,"
        "\"epsilon_high\":0.28}]}");
    must_load(&x, NULL, 0);
    assert_true(x.seed == 9007199254740992u);
    assert_string_equal(x.model.path, "some/dir");
    assert_false(x.model.has_config);
    assert_int_equal(x.n_stop, 2);
    assert_string_equal(x.stop[0], "</answer>");
    assert_string_equal(x.stop[1], "\n");
    assert_int_equal(x.n_rewards, 2);
    assert_string_equal(x.reward[0].checker, "format");
    assert_true(x.reward[0].weight == -0.5 && x.reward[1].weight == 1);
    assert_true(x.max_failure_rate == 0);
    assert_string_equal(x.stage[0].name, "rl");
    assert_true(x.stage[0].loss_type == LOSS_DR_GRPO);
    assert_true(x.stage[0].scale_rewards == SCALE_NONE);
    assert_true(x.stage[0].lr_scheduler_type == LR_COSINE);
    assert_true(x.stage[0].mask_truncated_completions && x.stage[0].epsilon_high == 0.28);
}

/* Every field away from its default, printed, read, printed again. */
static void test_experiment_print_reads_back_to_the_same(void **state) {
    (void)state;
    static struct experiment x, y;
    static const char *const set[] = {
        "name=night \"run\"",
        "description=2024",
        "seed=17",
        "problems.eval=countdown:numbers=3,split=test,n=500",
        "stop=[\"a\",\"\\\"b\"]",
        "reward.checkers=[{\"checker\":\"answer\",\"weight\":0.3}]",
        "reward.max_failure_rate=0.125",
        "eval.eval_steps=10",
        "eval.samples=4",
        "eval.temperature=0.7",
        "eval.max_completion_length=99",
        "checkpoint.save_steps=3",
        "checkpoint.keep_last=2",
        "model.tokenizer=byte",
        "model.config.vocab_size=300",
        "model.config.rms_norm_eps=1e-5",
        "sft.learning_rate=0.1",
        "sft.warmup_steps=3",
        "sft.weight_decay=0.01",
        "sft.adam_beta1=0.8",
        "sft.adam_beta2=0.95",
        "sft.adam_epsilon=1e-10",
        "sft.max_grad_norm=0.3",
        "sft.batch_size=3",
        "sft.num_traces=77",
        "stages[1].num_prompts=3",
        "grpo.num_generations=2",
        "grpo.max_completion_length=7",
        "grpo.temperature=0.9",
        "grpo.top_p=0.95",
        "grpo.min_p=0.05",
        "grpo.top_k=20",
        "grpo.epsilon=0.1",
        "grpo.epsilon_high=0.28",
        "grpo.loss_type=grpo",
        "grpo.scale_rewards=batch",
        "grpo.mask_truncated_completions=true",
        "grpo.router_bias_update_speed=0.1",
        "grpo.router_aux_loss_coef=0.3333333333333333",
        "grpo.max_tokens_per_microbatch=100",
        "grpo.lr_scheduler_type=constant"};
    struct buf first = {0}, second = {0};
    write_small();
    must_load(&x, set, COUNT(set));
    experiment_print(&x, &first);
    write_text(buf_text(&first));
    must_load(&y, NULL, 0);
    experiment_print(&y, &second);
    assert_string_equal(buf_text(&first), buf_text(&second));
    assert_memory_equal(x.stage, y.stage, sizeof x.stage);
    assert_memory_equal(x.reward, y.reward, sizeof x.reward);
    assert_memory_equal(x.stop, y.stop, sizeof x.stop);
    assert_memory_equal(&x.eval, &y.eval, sizeof x.eval);
    assert_memory_equal(&x.checkpoint, &y.checkpoint, sizeof x.checkpoint);
    assert_memory_equal(&x.problems, &y.problems, sizeof x.problems);
    assert_same_policy_config(&x.model.config, &y.model.config);
    assert_string_equal(x.name, y.name);
    assert_string_equal(y.name, "night \"run\"");
    assert_string_equal(y.description, "2024");
    assert_true(y.seed == 17 && y.max_failure_rate == 0.125);
    assert_int_equal(y.model.config.vocab_size, 300);
    assert_true(y.model.config.rms_norm_eps == 1e-5);
    assert_true(y.stage[1].router_aux_loss_coef == 0.3333333333333333);
    assert_string_equal(y.problems.eval, "countdown:numbers=3,split=test,n=500");
    buf_clear(&first);
    buf_clear(&second);
}

/* What cannot stand beside filters. */
static void test_experiment_prints_iterations_and_reference(void **state) {
    (void)state;
    static struct experiment x, y;
    static const char *const set[] = {"grpo.num_iterations=2", "grpo.beta=0.04"};
    struct buf text = {0};
    write_small();
    must_load(&x, set, COUNT(set));
    experiment_print(&x, &text);
    write_text(buf_text(&text));
    must_load(&y, NULL, 0);
    assert_int_equal(y.stage[1].num_iterations, 2);
    assert_true(y.stage[1].beta == 0.04);
    assert_memory_equal(x.stage, y.stage, sizeof x.stage);
    buf_clear(&text);
}

static void test_experiment_print_keeps_an_open_vocabulary(void **state) {
    (void)state;
    static struct experiment x;
    struct buf text = {0};
    write_small();
    must_load(&x, NULL, 0);
    experiment_print(&x, &text);
    assert_null(strstr(buf_text(&text), "vocab_size"));
    write_text(buf_text(&text));
    must_load(&x, NULL, 0);
    assert_int_equal(x.model.config.vocab_size, 0);
    buf_clear(&text);
}

/* model_type says which keys there are; it is written where it is not the default. */
static void test_experiment_takes_a_llama_config(void **state) {
    (void)state;
    static struct experiment x, y;
    char text[2048];
    struct buf first = {0}, second = {0};
    snprintf(text, sizeof text, SMALL,
             "{\"model_type\":\"llama\",\"hidden_size\":64,\"num_hidden_layers\":2,"
             "\"num_attention_heads\":8,\"num_key_value_heads\":2,\"head_dim\":10}");
    write_text(text);
    must_load(&x, NULL, 0);
    assert_int_equal(x.model.config.arch, POLICY_LLAMA);
    assert_int_equal(x.model.config.vocab_size, 0);
    assert_int_equal(x.model.config.num_key_value_heads, 2);
    experiment_print(&x, &first);
    assert_non_null(strstr(buf_text(&first), "\"model_type\": \"llama\""));
    assert_null(strstr(buf_text(&first), "kv_lora_rank"));
    write_text(buf_text(&first));
    must_load(&y, NULL, 0);
    assert_same_policy_config(&x.model.config, &y.model.config);
    experiment_print(&y, &second);
    assert_string_equal(buf_text(&first), buf_text(&second));
    buf_clear(&first);
    buf_clear(&second);

    const char *const set[] = {"model.config.num_key_value_heads=3"};
    must_refuse(set, 1, EX_CONFIG,
                "x.json: model.config: num_key_value_heads 3 does not divide "
                "num_attention_heads 8");
    const char *const other[] = {"model.config.num_key_value_head=2"};
    must_refuse(other, 1, EX_CONFIG,
                "--set model.config.num_key_value_head=2: no such key; did you mean "
                "'num_key_value_heads'?");
}

static void test_experiment_help_names_every_key(void **state) {
    (void)state;
    static struct experiment x;
    struct buf help = {0}, text = {0};
    write_small();
    must_load(&x, NULL, 0);
    experiment_print(&x, &text);
    experiment_print_help(&help);
    /* every printed key outside the architecture is in the help */
    bool config = false;
    int n = 0;
    for (const char *line = strchr(buf_text(&text), '\n'); line;
         line = strchr(line, '\n')) {
        line++;
        char key[64], wanted[80];
        if (sscanf(line, " \"%63[^\"]\":", key) != 1) continue;
        if (strcmp(key, "config") == 0) config = true;
        if (strcmp(key, "problems") == 0) config = false;
        if (config || line[strcspn(line, "{\n")] == '{') continue;
        if (strcmp(key, "checkers") == 0 || strcmp(key, "stages") == 0) continue;
        snprintf(wanted, sizeof wanted, "\n  %s ", key);
        if (!strstr(buf_text(&help), wanted)) fail_msg("hone help config lacks %s", key);
        n++;
    }
    assert_true(n > 50);
    buf_clear(&text);
    buf_clear(&help);
}

/* ---- what is refused ----------------------------------------------------------- */

static void test_experiment_file_errors(void **state) {
    (void)state;
    unlink(FILE_NAME);
    must_refuse(NULL, 0, EX_NOINPUT, "open x.json: No such file or directory");
    refuse_text("{\"a\":", EX_DATAERR,
                "x.json:1:6: the text ends where a value should go on");
    refuse_text("{\"seed\":1,\"seed\":2}", EX_DATAERR,
                "x.json: seed: the key appears twice");
    refuse_text("[]", EX_CONFIG, "x.json: must be an object, found an array");
    refuse_text("{\"sed\":1}", EX_CONFIG,
                "x.json: sed: no such key; did you mean 'seed'?");
    refuse_text("{}", EX_CONFIG, "x.json: model: missing");
    refuse_text("{\"model\":{\"path\":\"p\"}}", EX_CONFIG, "x.json: problems: missing");
    refuse_text("{\"model\":{\"path\":\"p\"},\"problems\":{}}", EX_CONFIG,
                "x.json: problems.train: missing");
    refuse_text("{\"model\":{\"path\":\"p\"},\"problems\":{\"train\":\"t\"}}", EX_CONFIG,
                "x.json: stages: missing");
}

static void test_experiment_model_errors(void **state) {
    (void)state;
    refuse_text(
        "{\"model\":{}}", EX_CONFIG,
        "x.json: model: needs a path (a policy to start from) or a config (random "
        "weights)");
    refuse_text("{\"model\":{\"path\":\"p\",\"config\":{}}}", EX_CONFIG,
                "x.json: model: has both a path and a config; a folder brings its own "
                "config, so set model.config to null");
    refuse_text("{\"model\":{\"path\":\"p\",\"tokeniser\":\"char\"}}", EX_CONFIG,
                "x.json: model.tokeniser: no such key; did you mean 'tokenizer'?");
    refuse_text("{\"model\":{\"path\":\"p\",\"tokenizer\":\"bpe\"}}", EX_CONFIG,
                "x.json: model.tokenizer: must be \"char\" or \"byte\", found \"bpe\"");
    refuse_text("{\"model\":{\"config\":{\"hiden_size\":1}}}", EX_CONFIG,
                "x.json: model.config.hiden_size: no such key; did you mean "
                "'hidden_size'?");
    refuse_text("{\"model\":{\"path\":3}}", EX_CONFIG,
                "x.json: model.path: must be a string, found 3");
}

static void test_experiment_section_errors(void **state) {
    (void)state;
    refuse_section("\"eval\":[]", "x.json: eval: must be an object, found an array");
    refuse_section("\"eval\":{\"step\":1}",
                   "x.json: eval.step: no such key; valid are eval_steps, samples, "
                   "temperature and max_completion_length");
    refuse_section("\"eval\":{\"temperature\":0}",
                   "x.json: eval.temperature: must be from 1e-06 to 100, found 0");
    refuse_section("\"seed\":-1",
                   "x.json: seed: must be from 0 to 9007199254740992, found -1");
    refuse_section("\"seed\":0.5", "x.json: seed: must be a whole number, found 0.5");
    refuse_section("\"name\":null", "x.json: name: must be a string, found null");
    refuse_section(
        "\"name\":\"0123456789012345678901234567890123456789012345678901234567890123\"",
        "x.json: name: at most 63 bytes, found 64");
    refuse_section("\"stop\":\"a\"", "x.json: stop: must be an array, found a string");
    refuse_section("\"stop\":[\"a\",\"\"]",
                   "x.json: stop[1]: must have 1 to 63 bytes, found 0");
    refuse_section("\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]",
                   "x.json: stop: at most 4 strings, found 5");
    refuse_section("\"reward\":{\"max_failure_rate\":1.5}",
                   "x.json: reward.max_failure_rate: must be from 0 to 1, found 1.5");
    refuse_section("\"reward\":{\"checkers\":[]}",
                   "x.json: reward.checkers: 1 to 8 checkers, found 0");
    refuse_section("\"reward\":{\"checkers\":[{\"weight\":1}]}",
                   "x.json: reward.checkers[0].checker: missing; or plugin, command or url");
    refuse_section("\"reward\":{\"checkers\":[{\"checker\":\"format\"},{\"checker\":"
                   "\"format\"}]}",
                   "x.json: reward.checkers[1].name: 'format' is already in the list; give one another "
                   "name");
    refuse_section("\"reward\":{\"checkers\":[{\"checker\":\"answer\",\"gate\":true}]}",
                   "x.json: reward.checkers[0].gate: depends on whether the answer is right, "
                   "and no other entry says so; add {\"checker\": \"answer\"}");
    refuse_section("\"reward\":{\"checkers\":[{\"checker\":\"answer\",\"options\":{\"a\":1}}]}",
                   "x.json: reward.checkers[0].options: answer has none");
    refuse_section("\"reward\":{\"checkers\":[{\"checker\":\"answer\",\"options\":[]}]}",
                   "x.json: reward.checkers[0].options: must be an object, found an array");
}

static void test_experiment_unknown_checker_is_named(void **state) {
    (void)state;
    static struct experiment x;
    struct err err;
    write_small();
    const char *const set[] = {"reward.checkers=[{\"checker\":\"fromat\"}]"};
    assert_int_equal(load(&x, set, 1, &err), -1);
    assert_int_equal(err.code, EX_CONFIG);
    assert_non_null(strstr(err.msg, "reward.checkers[0].checker: "));
    assert_non_null(strstr(err.msg, "format"));
}

static void test_experiment_stage_errors(void **state) {
    (void)state;
    refuse_stages("{}", "x.json: stages: must be an array, found an object");
    refuse_stages("[]", "x.json: stages: 1 to 8 stages, found 0");
    refuse_stages("[1]", "x.json: stages[0]: must be an object, found 1");
    refuse_stages("[{}]", "x.json: stages[0].type: missing");
    refuse_stages("[{\"type\":\"ppo\"}]",
                  "x.json: stages[0].type: must be \"sft\" or \"grpo\", found \"ppo\"");
    refuse_stages("[{\"type\":\"sft\"}]", "x.json: stages[0].max_steps: missing");
    refuse_stages("[{\"type\":\"sft\",\"max_steps\":0}]",
                  "x.json: stages[0].max_steps: must be from 1 to 2147483647, found 0");
    refuse_stages(
        "[{\"type\":\"sft\",\"max_steps\":1,\"num_generations\":8}]",
        "x.json: stages[0].num_generations: belongs to grpo stages, this one is "
        "sft");
    refuse_stages(
        "[{\"type\":\"grpo\",\"max_steps\":1,\"batch_size\":8}]",
        "x.json: stages[0].batch_size: belongs to sft stages, this one is grpo");
    refuse_stages("[{\"type\":\"grpo\",\"max_steps\":1,\"num_generation\":8}]",
                  "x.json: stages[0].num_generation: no such key; did you mean "
                  "'num_generations'?");
    refuse_stages(
        "[{\"type\":\"grpo\",\"max_steps\":1,\"num_generations\":1}]",
        "x.json: stages[0].num_generations: must be at least 2: a sample alone has "
        "no group to be compared with, so nothing would be learnt");
    refuse_stages("[{\"type\":\"grpo\",\"max_steps\":1,\"learning_rate\":\"1e-4\"}]",
                  "x.json: stages[0].learning_rate: must be a number, found a string");
    refuse_stages(
        "[{\"type\":\"grpo\",\"max_steps\":1,\"loss_type\":\"ppo\"}]",
        "x.json: stages[0].loss_type: must be \"grpo\", \"dr_grpo\" or \"dapo\", "
        "found \"ppo\"");
    refuse_stages(
        "[{\"type\":\"grpo\",\"max_steps\":1,\"epsilon_high\":-0.5}]",
        "x.json: stages[0].epsilon_high: must be at least 0, or -1 for the value "
        "of epsilon, found -0.5");
    refuse_stages("[{\"type\":\"grpo\",\"max_steps\":1,\"beta\":-1}]",
                  "x.json: stages[0].beta: must be at least 0, found -1");
    refuse_stages("[{\"type\":\"grpo\",\"max_steps\":1,\"top_p\":0}]",
                  "x.json: stages[0].top_p: must be above 0, found 0");
}

static void test_experiment_stage_name_errors(void **state) {
    (void)state;
    refuse_stages(
        "[{\"type\":\"sft\",\"max_steps\":1},{\"type\":\"sft\",\"max_steps\":1}]",
        "x.json: stages[1].name: stages[0] is already called 'sft'; give one a "
        "name");
    refuse_stages(
        "[{\"type\":\"sft\",\"max_steps\":1,\"name\":\"a.b\"}]",
        "x.json: stages[0].name: may hold letters, digits, _ and -, found 'a.b'");
    refuse_stages("[{\"type\":\"sft\",\"max_steps\":1,\"name\":\"eval\"}]",
                  "x.json: stages[0].name: 'eval' is a key of the experiment");
}

/* ---- --set --------------------------------------------------------------------- */

static void test_experiment_set_applies_in_order(void **state) {
    (void)state;
    static struct experiment x;
    const char *const set[] = {"seed=3",
                               "seed=4",
                               "stages[1].beta=0.5",
                               "grpo.beta=0.25",
                               "grpo.name=rl",
                               "rl.max_steps=9",
                               "stop=[\"a\"]",
                               "stop[0]=b=c",
                               "model.config.hidden_size=32",
                               "eval.eval_steps=10",
                               "name=\"quoted\""};
    write_small();
    must_load(&x, set, COUNT(set));
    assert_int_equal(x.seed, 4);
    assert_true(x.stage[1].beta == 0.25 && x.stage[1].max_steps == 9);
    assert_string_equal(x.stage[1].name, "rl");
    assert_string_equal(x.stop[0], "b=c");
    assert_int_equal(x.model.config.hidden_size, 32);
    assert_int_equal(x.eval.eval_steps, 10);
    assert_string_equal(x.name, "quoted");
}

static void test_experiment_set_can_swap_config_for_a_folder(void **state) {
    (void)state;
    static struct experiment x;
    const char *const set[] = {"model.config=null", "model.path=runs/a/final"};
    write_small();
    must_load(&x, set, 2);
    assert_false(x.model.has_config);
    assert_string_equal(x.model.path, "runs/a/final");
}

static void test_experiment_set_that_is_no_setting_is_usage(void **state) {
    (void)state;
    static const char *const bad[] = {"seed",          "=3",         "",
                                      "a..b=1",        ".a=1",       "seed.=1",
                                      "stages[x].a=1", "stages[1=3", "stop[0]x=1"};
    for (int i = 0; i < COUNT(bad); i++) {
        char message[128];
        snprintf(message, sizeof message, "--set %s: must be key=value, such as seed=3",
                 bad[i]);
        refuse_set(bad[i], EX_USAGE, message);
    }
}

static void test_experiment_set_of_an_unknown_path_names_the_nearest(void **state) {
    (void)state;
    refuse_set("sed=3", EX_CONFIG, "--set sed=3: no such key; did you mean 'seed'?");
    refuse_set(
        "grpo.learnin_rate=1", EX_CONFIG,
        "--set grpo.learnin_rate=1: no such key; did you mean 'grpo.learning_rate'?");
    refuse_set("stages[1].betta=1", EX_CONFIG,
               "--set stages[1].betta=1: no such key; did you mean 'stages[1].beta'?");
    refuse_set("eval.step=1", EX_CONFIG,
               "--set eval.step=1: no such key; valid are eval.eval_steps, eval.samples, "
               "eval.temperature and eval.max_completion_length");
    refuse_set("model.pth=x", EX_CONFIG,
               "--set model.pth=x: no such key; did you mean 'model.path'?");
    refuse_set("zzzzzzzzzzzz=1", EX_CONFIG,
               "--set zzzzzzzzzzzz=1: no such key (see hone help config)");
    refuse_set("optimizer.learning_rate=1", EX_CONFIG,
               "--set optimizer.learning_rate=1: no such key; did you mean "
               "'sft.learning_rate'?");
    refuse_set("seed.x=1", EX_CONFIG,
               "--set seed.x=1: no such key; did you mean 'seed'?");
}

static void test_experiment_set_with_a_bad_value_is_blamed_itself(void **state) {
    (void)state;
    refuse_set("seed=x", EX_CONFIG,
               "--set seed=x: must be a whole number, found a string");
    refuse_set("grpo.num_generations=1", EX_CONFIG,
               "--set grpo.num_generations=1: must be at least 2: a sample alone has no "
               "group to be compared with, so nothing would be learnt");
    refuse_set("sft.beta=1", EX_CONFIG,
               "--set sft.beta=1: belongs to grpo stages, this one is sft");
    refuse_set("stages[5].beta=1", EX_CONFIG,
               "--set stages[5].beta=1: the experiment has no stages[5].beta");
    refuse_set("stop[0]=x", EX_CONFIG, "--set stop[0]=x: the experiment has no stop[0]");
    refuse_set(
        "model.config.hidden_size=big", EX_CONFIG,
        "--set model.config.hidden_size=big: must be a whole number, found a string");
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? chdir(folder) : -1;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(FILE_NAME);
    return chdir("/") || rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_experiment_defaults_are_those_of_the_contract),
        cmocka_unit_test(test_experiment_reads_every_kind_of_value),
        cmocka_unit_test(test_experiment_print_reads_back_to_the_same),
        cmocka_unit_test(test_experiment_prints_iterations_and_reference),
        cmocka_unit_test(test_experiment_print_keeps_an_open_vocabulary),
        cmocka_unit_test(test_experiment_takes_a_llama_config),
        cmocka_unit_test(test_experiment_help_names_every_key),
        cmocka_unit_test(test_experiment_file_errors),
        cmocka_unit_test(test_experiment_model_errors),
        cmocka_unit_test(test_experiment_section_errors),
        cmocka_unit_test(test_experiment_unknown_checker_is_named),
        cmocka_unit_test(test_experiment_stage_errors),
        cmocka_unit_test(test_experiment_stage_name_errors),
        cmocka_unit_test(test_experiment_set_applies_in_order),
        cmocka_unit_test(test_experiment_set_can_swap_config_for_a_folder),
        cmocka_unit_test(test_experiment_set_that_is_no_setting_is_usage),
        cmocka_unit_test(test_experiment_set_of_an_unknown_path_names_the_nearest),
        cmocka_unit_test(test_experiment_set_with_a_bad_value_is_blamed_itself),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
