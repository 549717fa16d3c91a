/* cli/reward.c: `hone reward check`, and the worker process that hone starts around a shared
 * object. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/reward_check.h"
#include "cli/version.h"
#include "reward/plugin_worker.h"

int cmd_reward_worker(int argc, char **argv) {
    struct plugin_worker_config config = {.version = version_short()};
    const struct arg arg[] = {
        {"PLUGIN", ARG_STRING, &config.path, .required = true, .help = "a shared object"},
        {"--strict", ARG_FLAG, &config.strict, .help = "guard what the plug-in reads too"},
        {"--grown", ARG_FLAG, &config.grown, .help = "structs as of a later hone"},
    };
    const struct args args = {"reward-worker", "score with a shared object, line by line", arg, 3,
                              .notes = NULL};
    struct err err;
    int code;
    if (args_parse(&args, argc, argv, &code) != 0) return code;
    if (plugin_worker_run(&config, &err) == 0) return EX_OK;
    fprintf(stderr, "hone reward-worker: %s\n", err.msg);
    return err.code;
}

static int check_object(const char *text, const char *where, struct err *err) {
    cJSON *tree = NULL;
    int rc = json_parse(&tree, text, strlen(text), where, 1, err);
    if (rc == 0) rc = json_as_object(tree, where, err);
    json_free(tree);
    return rc;
}

static int check_line(const char *action, const struct reward_check_config *c, struct err *err) {
    if (strcmp(action, "check") != 0)
        return err_set(err, EX_USAGE, "'%.60s': the action is check", action);
    if (!!c->plugin + !!c->scorer.command + !!c->scorer.url != 1)
        return err_set(err, EX_USAGE, "one of PLUGIN, --command and --url is needed");
    int rc = check_object(c->scorer.options, "--options", err);
    if (rc == 0 && c->columns) rc = check_object(c->columns, "--columns", err);
    if (rc == 0 && !c->plugin) rc = scorer_check(&c->scorer, err);
    if (rc != 0) err->code = EX_USAGE;
    return rc;
}

int cmd_reward(int argc, char **argv) {
    const char *action = NULL;
    struct reward_check_config config = {
        .scorer = {.name = "check", .options = "{}", .timeout_s = 10, .max_value = 1}};
    struct scorer_config *c = &config.scorer;
    const struct arg arg[] = {
        {"ACTION", ARG_STRING, &action, .required = true, .help = "check"},
        {"PLUGIN", ARG_STRING, &config.plugin,
         .help = "a shared object that exports hone_reward_entry"},
        {"--command", ARG_STRING, &c->command, .value_name = "JSON",
         .help = "instead: a program, as [\"python3\", \"mine.py\"]"},
        {"--url", ARG_STRING, &c->url, .value_name = "URL", .help = "instead: a server"},
        {"--options", ARG_STRING, &c->options, .value_name = "JSON", .help = "for the plug-in"},
        {"--columns", ARG_STRING, &config.columns, .value_name = "JSON",
         .help = "the row of the problems it is tried on"},
        {"--min-value", ARG_DOUBLE, &c->min_value, -1e9, 1e9, .help = "its least score (0)"},
        {"--max-value", ARG_DOUBLE, &c->max_value, -1e9, 1e9, .help = "its greatest (1)"},
        {"--timeout", ARG_DOUBLE, &c->timeout_s, 0.001, 86400, .value_name = "SECONDS",
         .help = "for a group (10)"},
    };
    const struct args args = {"reward", "try a reward plug-in against its interface's rules", arg,
                              sizeof arg / sizeof *arg, .notes = NULL};
    struct err err = {0};
    int code;
    if (args_parse(&args, argc, argv, &code) != 0) return code;
    if (check_line(action, &config, &err) == 0) return reward_check(&config);
    fprintf(stderr, "hone reward: %s\n", err.msg);
    return err.code;
}
