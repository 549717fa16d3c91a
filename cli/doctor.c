/* cli/doctor.c: `hone doctor`: what this machine offers for judging programs. */
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/cmd.h"
#include "reward/code_lang.h"
#include "reward/sandbox.h"

/* Layers that are missing though `need` has them: how many. */
static int print_layers(unsigned need) {
    int missing = 0;
    printf("sandbox layers\n");
    for (enum sandbox_layer l = 0; l < SANDBOX_N_LAYERS; l++) {
        char why[256];
        sandbox_probe(l, why);
        missing += *why && need & 1u << l;
        printf("  %-12s %s%s%s\n", sandbox_layer_name(l), *why ? "no" : "yes", *why ? ": " : "",
               why);
    }
    return missing;
}

static void print_languages(void) {
    printf("languages of programs\n");
    for (int i = 0; code_lang_at(i); i++) {
        const struct code_lang *l = code_lang_at(i);
        const char *path = code_lang_path(l);
        printf("  %-12s %s%s\n", l->name, path ? path : "no ", path ? "" : l->paths[0]);
    }
}

int cmd_doctor(int argc, char **argv) {
    const char *layers = NULL;
    unsigned need = sandbox_config_default().layers;
    const struct arg arg[] = {
        {"--sandbox", ARG_STRING, &layers, .value_name = "LAYERS",
         .help = "layers that must be there, as reward.sandbox has them"},
    };
    const struct args args = {"doctor", "say what this machine offers for judging programs", arg,
                              sizeof arg / sizeof *arg,
                              .notes = "Status 69 where a layer that is needed is missing.\n"};
    struct err err = {0};
    int code;
    if (args_parse(&args, argc, argv, &code) != 0) return code;
    if (layers && sandbox_parse_layers(layers, &need, &err) != 0) {
        fprintf(stderr, "hone doctor: --sandbox: %s\n", err.msg);
        return EX_USAGE;
    }
    int missing = print_layers(need);
    print_languages();
    if (!missing) return EX_OK;
    fprintf(stderr, "hone doctor: programs cannot be judged here: %d layer%s missing\n", missing,
            missing == 1 ? " is" : "s are");
    return EX_UNAVAILABLE;
}
