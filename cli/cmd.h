/* cli/cmd.h: the commands of hone, one file each.
 *
 * argv[0] is the command's name. Each prints its own errors ("hone train: ...") to stderr
 * and returns a sysexits.h code, 0 when all is well; only main exits.
 */
#ifndef CLI_CMD_H
#define CLI_CMD_H

int cmd_train(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_sample(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_runs(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_rescore(int argc, char **argv);
int cmd_db(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_reward(int argc, char **argv);
int cmd_reward_worker(int argc, char **argv); /* not in the table: hone starts it itself */
int cmd_help(int argc, char **argv);

typedef int (*cmd_run)(int argc, char **argv);

struct cmd {
    const char *name;
    cmd_run run;
    const char *summary; /* one line for `hone help` */
};

/* Command number i in the order of `hone help`, NULL past the last. */
const struct cmd *cmd_at(int i);

/* By name; NULL, with the sentence printed to stderr, where there is no such command. */
const struct cmd *cmd_find(const char *name);

#endif
