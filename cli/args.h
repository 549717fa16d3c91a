/* cli/args.h: the command line of one command, as a table.
 *
 * An entry named "--out" is an option (`--out DIR` or `--out=DIR`), any other name is a
 * positional, filled in order. What is not given keeps the value it had, so a default is
 * the variable's initial value. `--help` is understood by every table.
 *
 *     const char *out = NULL;
 *     const struct arg arg[] = {
 *         {"EXPERIMENT", ARG_STRING, &file, .required = true, .help = "its JSON file"},
 *         {"--out", ARG_STRING, &out, .value_name = "DIR", .help = "folder of the run"},
 *     };
 *     const struct args args = {"train", "train a policy", arg, 2, .notes = NULL};
 *     int exit_code;
 *     if (args_parse(&args, argc, argv, &exit_code) != 0) return exit_code;
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

enum arg_type {
    ARG_FLAG,   /* bool *, set to true */
    ARG_STRING, /* const char **, borrowed from argv */
    ARG_INT,    /* int *, within [min, max] where max > min */
    ARG_DOUBLE, /* double *, likewise */
    ARG_LIST,   /* struct arg_list *: may be repeated; a positional takes all that is left
                 */
};

enum { ARG_LIST_MAX = 64 };

struct arg_list {
    const char *item[ARG_LIST_MAX]; /* borrowed from argv */
    int n;
};

struct arg {
    const char *name;
    enum arg_type type;
    void *value;
    double min, max;
    bool required;
    const char *value_name; /* "DIR", for help; NULL: "VALUE" */
    const char *help;       /* one line */
};

struct args {
    const char *command, *summary;
    const struct arg *arg;
    int n;
    const char *notes; /* printed below the options by --help, or NULL */
};

/* Fills the variables from argv[1..]. 0: go on. -1: return *exit_code from the command:
 * EX_OK after --help was printed to stdout, EX_USAGE after a sentence on stderr. */
MUST_USE int args_parse(const struct args *args, int argc, char **argv, int *exit_code);

/* The same without output: 1 where --help was asked for, -1 with err (EX_USAGE). */
MUST_USE int args_read(const struct args *args, int argc, char **argv, struct err *err);

/* What --help prints. */
void args_print_help(const struct args *args, struct buf *out);

#endif
