/* reward/math_checker.c: the checker `math`, its options, and what they stand for. */
#include <string.h>

#include "reward/checker_impl.h"
#include "reward/math.h"

enum {
    EXTRACT,
    BOXES,
    ROUNDING,
    FRACTION_ROUNDING,
    GOLD_ROUNDING,
    MISSING_UNIT,
    BARE_PERCENT,
    MISSING_BASE,
    CHOICE_CASE,
    DROP_BRACKETS,
    LIST_ORDER,
    DECIMAL_COMMA,
    LOG_BASE,
    N_OPTIONS
};

static const struct checker_option options[N_OPTIONS] = {
    [EXTRACT] = {.name = "extract",
                 .words = "auto|box|whole",
                 .help = "where the answer is: any mark, the last box, all of it"},
    [BOXES] = {.name = "boxes",
               .words = "parts|last",
               .help = "1,2 in two boxes: both are it, or the last one"},
    [ROUNDING] = {.name = "rounding",
                  .max = 1000,
                  .standard = 6,
                  .whole = true,
                  .help = "digits of a correct decimal for pi or a root; 0: never"},
    [FRACTION_ROUNDING] = {.name = "fraction_rounding",
                           .max = 1000,
                           .standard = 3,
                           .whole = true,
                           .help = "the same for a fraction"},
    [GOLD_ROUNDING] = {.name = "gold_rounding",
                       .max = 1000,
                       .standard = 3,
                       .whole = true,
                       .help = "the same of a decimal gold"},
    [MISSING_UNIT] = {.name = "missing_unit",
                      .words = "no|yes",
                      .standard = 1,
                      .help = "5 for 5 cm, 5 cm for 5"},
    [BARE_PERCENT] = {.name = "bare_percent",
                      .words = "no|yes",
                      .standard = 1,
                      .help = "50 for 50 %, 50 % for 50"},
    [MISSING_BASE] = {.name = "missing_base",
                      .words = "no|yes",
                      .standard = 1,
                      .help = "204 for 204 in base 5"},
    [CHOICE_CASE] = {.name = "choice_case",
                     .words = "no|yes",
                     .standard = 1,
                     .help = "b for the choice B"},
    [DROP_BRACKETS] = {.name = "drop_brackets",
                       .words = "no|yes",
                       .standard = 1,
                       .help = "1,2 for (1,2), 1,2,3 for {1,2,3}"},
    [LIST_ORDER] = {.name = "list_order",
                    .words = "no|yes",
                    .help = "in a bare list the order counts"},
    [DECIMAL_COMMA] = {.name = "decimal_comma", .words = "no|yes", .help = "1,5 is 1.5"},
    [LOG_BASE] = {.name = "log_base",
                  .max = 1000,
                  .standard = 10,
                  .whole = true,
                  .help = "of a log without one; 0: e"},
};

static void from_values(struct math_options *o, const double *value) {
    *o = (struct math_options){
        .extract = (enum math_extract)value[EXTRACT],
        .boxes = (enum math_boxes)value[BOXES],
        .rounding = (int)value[ROUNDING],
        .fraction_rounding = (int)value[FRACTION_ROUNDING],
        .gold_rounding = (int)value[GOLD_ROUNDING],
        .missing_unit = value[MISSING_UNIT] != 0,
        .bare_percent = value[BARE_PERCENT] != 0,
        .missing_base = value[MISSING_BASE] != 0,
        .choice_case = value[CHOICE_CASE] != 0,
        .drop_brackets = value[DROP_BRACKETS] != 0,
        .list_order = value[LIST_ORDER] != 0,
        .decimal_comma = value[DECIMAL_COMMA] != 0,
        .log_base = (int)value[LOG_BASE],
    };
}

static void score_group(void *self, const double *value, const struct group *g,
                        struct verdict *out) {
    struct math_options o;
    (void)self;
    from_values(&o, value);
    const char *gold = g->problem->gold ? g->problem->gold : "";
    for (int i = 0; i < g->n; i++)
        math_score(gold, strlen(gold), g->completion[i].text, g->completion[i].n_text, &o,
                   &out[i]);
}

static int check(const double *value, struct err *err) {
    if (value[LOG_BASE] != 1) return 0;
    return err_set(err, EX_CONFIG, "options.log_base: 1 is no base; 0 stands for e");
}

const struct checker checker_math = {
    .name = "math",
    .version = MATH_VERSION,
    .help = "whether the answer equals the gold as mathematics, whatever the kind",
    .option = options,
    .n_options = N_OPTIONS,
    .score_group = score_group,
    .check = check,
};

int math_options_read(struct math_options *o, const char *json, struct err *err) {
    double value[N_OPTIONS];
    if (checker_read_options(&checker_math, json, value, err) != 0) return -1;
    from_values(o, value);
    return 0;
}

void math_options_default(struct math_options *o) {
    double value[N_OPTIONS];
    for (int i = 0; i < N_OPTIONS; i++) value[i] = options[i].standard;
    from_values(o, value);
}
