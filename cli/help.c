/* cli/help.c: `hone help`, and the table of commands that it and main share. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/buf.h"
#include "base/nearest.h"
#include "cli/cmd.h"
#include "cli/experiment.h"
#include "reward/problem.h"

static const struct cmd table[] = {
    {"train", cmd_train,
     "run an experiment: stages of sft and grpo, every episode recorded"},
    {"eval", cmd_eval, "score a policy on a set of problems"},
    {"sample", cmd_sample, "print completions of a prompt or of problems, with verdicts"},
    {"show", cmd_show, "look into a run: steps, episodes, evaluations"},
    {"runs", cmd_runs, "list runs: their states, how far they are, what came out"},
    {"score", cmd_score, "check answers against golds, from a file of pairs"},
    {"replay", cmd_replay, "draw recorded episodes again, rebuild weights, compare two runs"},
    {"rescore", cmd_rescore, "score recorded episodes again by other rewards, and compare"},
    {"db", cmd_db, "check, prune, export, merge and bring up databases of runs"},
    {"bench", cmd_bench, "measure the machine, and how near to its ceiling a policy runs"},
    {"reward", cmd_reward, "try a reward plug-in against its interface's rules"},
    {"doctor", cmd_doctor, "say what this machine offers for judging programs"},
    {"help", cmd_help, "help of a command, or of a topic: config, problems"},
};

const struct cmd *cmd_at(int i) {
    return i >= 0 && i < (int)(sizeof table / sizeof table[0]) ? &table[i] : NULL;
}

static const struct cmd *find(const char *name) {
    for (int i = 0; cmd_at(i); i++)
        if (strcmp(cmd_at(i)->name, name) == 0) return cmd_at(i);
    return NULL;
}

const struct cmd *cmd_find(const char *name) {
    const char *names[sizeof table / sizeof table[0]];
    char hint[NEAREST_HINT_BYTES];
    int n = 0;
    const struct cmd *cmd = find(name);
    if (cmd) return cmd;
    for (; cmd_at(n); n++) names[n] = cmd_at(n)->name;
    nearest_hint(hint, name, names, n);
    fprintf(stderr, "hone: no such command '%s'%s\n", name, hint);
    return NULL;
}

static void print_overview(void) {
    printf("usage: hone COMMAND [arguments]\n\n"
           "hone trains small reasoning policies by reinforcement learning on CPUs.\n\n");
    for (int i = 0; cmd_at(i); i++)
        printf("  %-10s %s\n", cmd_at(i)->name, cmd_at(i)->summary);
    printf("\n  hone help COMMAND    its arguments\n"
           "  hone help config     every key of an experiment.json\n"
           "  hone help problems   where prompts come from\n"
           "  hone --version       what this program is made of\n");
}

static void print_config(void) {
    struct buf text = {0};
    experiment_print_help(&text);
    fputs(buf_text(&text), stdout);
    buf_clear(&text);
}

static void print_problems(void) {
    printf("A set of problems is named KIND:PARAMETERS or KIND:FILE, for example\n"
           "countdown:numbers=3,split=test,n=500. The kinds:\n\n");
    for (int k = 0; problem_kind_name(k); k++) printf("%s\n", problem_kind_help(k));
}

int cmd_help(int argc, char **argv) {
    const char *topic = argc > 1 ? argv[1] : "help";
    if (argc > 2) {
        fprintf(stderr, "hone help: one command or topic at a time\n");
        return EX_USAGE;
    }
    if (strcmp(topic, "help") == 0 || strcmp(topic, "--help") == 0) {
        print_overview();
    } else if (strcmp(topic, "config") == 0) {
        print_config();
    } else if (strcmp(topic, "problems") == 0) {
        print_problems();
    } else {
        const struct cmd *cmd = cmd_find(topic);
        char name[32], option[] = "--help", *args[] = {name, option, NULL};
        if (!cmd) return EX_USAGE;
        snprintf(name, sizeof name, "%s", cmd->name);
        return cmd->run(2, args);
    }
    return EX_OK;
}
