/* cli/args.c: see args.h. */
#include "cli/args.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

enum { MAX_OPTIONS = 64 };

static bool is_option(const struct arg *a) { return a->name[0] == '-'; }

static int unknown_option(const struct args *args, const char *name, struct err *err) {
    const char *names[MAX_OPTIONS + 1];
    char hint[NEAREST_HINT_BYTES];
    int n = 0;
    for (int i = 0; i < args->n && n < MAX_OPTIONS; i++)
        if (is_option(&args->arg[i])) names[n++] = args->arg[i].name;
    names[n++] = "--help";
    nearest_hint(hint, name, names, n);
    return err_set(err, EX_USAGE, "no such option '%s'%s", name, hint);
}

static int check_range(const struct arg *a, const char *text, double x, struct err *err) {
    if (!(a->max > a->min) || (x >= a->min && x <= a->max)) return 0;
    return err_set(err, EX_USAGE, "%s: must be from %.15g to %.15g, found %s", a->name,
                   a->min, a->max, text);
}

static int set_number(const struct arg *a, const char *text, struct err *err) {
    char *end;
    errno = 0;
    if (a->type == ARG_INT) {
        long x = strtol(text, &end, 10);
        if (end == text || *end || errno || x != (int)x)
            return err_set(err, EX_USAGE, "%s: must be a whole number, found '%s'",
                           a->name, text);
        if (check_range(a, text, (double)x, err) != 0) return -1;
        *(int *)a->value = (int)x;
        return 0;
    }
    double x = strtod(text, &end);
    if (end == text || *end || !isfinite(x))
        return err_set(err, EX_USAGE, "%s: must be a number, found '%s'", a->name, text);
    if (check_range(a, text, x, err) != 0) return -1;
    *(double *)a->value = x;
    return 0;
}

static int set_value(const struct arg *a, const char *text, struct err *err) {
    if (a->type == ARG_STRING) {
        *(const char **)a->value = text;
        return 0;
    }
    if (a->type == ARG_LIST) {
        struct arg_list *list = a->value;
        if (list->n == ARG_LIST_MAX)
            return err_set(err, EX_USAGE, "%s: at most %d of them", a->name,
                           ARG_LIST_MAX);
        list->item[list->n++] = text;
        return 0;
    }
    return set_number(a, text, err);
}

/* argv[*i] starts with "--": reads it and, where it is a separate word, its value. */
static int read_option(const struct args *args, int argc, char **argv, int *i, bool *seen,
                       struct err *err) {
    const char *word = argv[*i], *equals = strchr(word, '=');
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    for (int k = 0; k < args->n; k++) {
        const struct arg *a = &args->arg[k];
        if (!is_option(a) || strlen(a->name) != n || strncmp(a->name, word, n) != 0)
            continue;
        if (seen[k] && a->type != ARG_LIST)
            return err_set(err, EX_USAGE, "%s: given twice", a->name);
        seen[k] = true;
        if (a->type == ARG_FLAG) {
            if (equals) return err_set(err, EX_USAGE, "%s: takes no value", a->name);
            *(bool *)a->value = true;
            return 0;
        }
        if (equals) return set_value(a, equals + 1, err);
        if (*i + 1 >= argc)
            return err_set(err, EX_USAGE, "%s: its value is missing", a->name);
        return set_value(a, argv[++*i], err);
    }
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)(n < 127 ? n : 127), word);
    return unknown_option(args, name, err);
}

static int read_positional(const struct args *args, const char *word, bool *seen,
                           struct err *err) {
    for (int k = 0; k < args->n; k++) {
        const struct arg *a = &args->arg[k];
        if (is_option(a) || (seen[k] && a->type != ARG_LIST)) continue;
        seen[k] = true;
        return set_value(a, word, err);
    }
    return err_set(err, EX_USAGE, "one argument too many: '%s'", word);
}

int args_read(const struct args *args, int argc, char **argv, struct err *err) {
    bool seen[MAX_OPTIONS] = {false}, options_end = false;
    CHECK(args->n <= MAX_OPTIONS);
    for (int i = 1; i < argc && !options_end; i++) {
        if (strcmp(argv[i], "--") == 0) options_end = true;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return 1;
    }
    options_end = false;
    for (int i = 1; i < argc; i++) {
        int rc;
        if (!options_end && strcmp(argv[i], "--") == 0) {
            options_end = true;
            continue;
        }
        if (!options_end && argv[i][0] == '-' && argv[i][1])
            rc = read_option(args, argc, argv, &i, seen, err);
        else
            rc = read_positional(args, argv[i], seen, err);
        if (rc != 0) return -1;
    }
    for (int k = 0; k < args->n; k++)
        if (args->arg[k].required && !seen[k])
            return err_set(err, EX_USAGE, "%s is missing", args->arg[k].name);
    return 0;
}

static const char *value_name(const struct arg *a) {
    return a->value_name ? a->value_name : "VALUE";
}

static void print_usage(const struct args *args, struct buf *out) {
    bool options = false;
    buf_printf(out, "usage: hone %s", args->command);
    for (int k = 0; k < args->n; k++) {
        const struct arg *a = &args->arg[k];
        const char *more = a->type == ARG_LIST ? "..." : "";
        if (is_option(a) && a->required)
            buf_printf(out, " %s %s", a->name, value_name(a));
        else if (is_option(a))
            options = true;
        else
            buf_printf(out, a->required ? " %s%s" : " [%s%s]", a->name, more);
    }
    buf_puts(out, options ? " [options]\n" : "\n");
}

void args_print_help(const struct args *args, struct buf *out) {
    print_usage(args, out);
    buf_printf(out, "\n%s\n\n", args->summary);
    for (int k = 0; k <= args->n; k++) {
        static const struct arg help = {.name = "--help", .help = "this text"};
        const struct arg *a = k < args->n ? &args->arg[k] : &help;
        char left[128];
        bool takes_value = is_option(a) && a->type != ARG_FLAG;
        snprintf(left, sizeof left, "%s%s%s", a->name, takes_value ? " " : "",
                 takes_value ? value_name(a) : "");
        buf_printf(out, "  %-24s %s%s\n", left, a->help ? a->help : "",
                   is_option(a) && a->type == ARG_LIST ? " (may be repeated)" : "");
    }
    if (args->notes) buf_printf(out, "\n%s\n", args->notes);
}

int args_parse(const struct args *args, int argc, char **argv, int *exit_code) {
    struct err err = {0};
    int rc = args_read(args, argc, argv, &err);
    if (rc == 1) {
        struct buf text = {0};
        args_print_help(args, &text);
        fputs(buf_text(&text), stdout);
        buf_clear(&text);
        *exit_code = EX_OK;
        return -1;
    }
    if (rc == 0) return 0;
    fprintf(stderr, "hone %s: %s (see hone help %s)\n", args->command, err.msg,
            args->command);
    *exit_code = err.code;
    return -1;
}
