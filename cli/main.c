/* cli/main.c: `hone COMMAND ...` goes to the command; nothing else happens here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/buf.h"
#include "cli/cmd.h"
#include "cli/version.h"
#include "reward/sandbox.h"

static int print_version(void) {
    struct buf text = {0};
    version_print(&text);
    fputs(buf_text(&text), stdout);
    buf_clear(&text);
    return EX_OK;
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: hone COMMAND [arguments] (see hone help)\n");
        return EX_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) return print_version();
    /* not for people: the processes that a sandbox and a plug-in start of this program */
    if (strcmp(argv[1], "sandbox-launcher") == 0) return sandbox_launcher_main(argc - 1, argv + 1);
    if (strcmp(argv[1], "reward-worker") == 0) return cmd_reward_worker(argc - 1, argv + 1);
    const char *name =
        strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ? "help" : argv[1];
    const struct cmd *cmd = cmd_find(name);
    return cmd ? cmd->run(argc - 1, argv + 1) : EX_USAGE;
}

int main(int argc, char **argv) {
    int code = run(argc, argv);
    /* A full disk behind `hone show > file` is known only now. */
    if (fflush(stdout) != 0 && code == EX_OK) {
        perror("hone: write to standard output");
        code = EX_IOERR;
    }
    return code;
}
