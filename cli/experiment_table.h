/* cli/experiment_table.h: the keys of an experiment.json, one table a section.
 *
 * A row ties a key to a field of struct experiment (or of a stage, a reward) with its
 * type, range, default and help; reading, printing, `--set` and `hone help config` all
 * go by it. For cli/experiment*.c only.
 */
#ifndef CLI_EXPERIMENT_TABLE_H
#define CLI_EXPERIMENT_TABLE_H

#include "base/json.h"
#include "cli/experiment.h"

enum field_type {
    FIELD_INT,
    FIELD_SEED,
    FIELD_DOUBLE,
    FIELD_BOOL,
    FIELD_STRING,
    FIELD_LIST,   /* of strings, kept as text; "" is printed as [] */
    FIELD_OBJECT, /* any JSON object, kept as text; "" is printed as {} */
    FIELD_ENUM
};

struct field {
    const char *key;
    enum field_type type;
    size_t offset, size; /* in the section's struct, bytes */
    double min, max;
    const char *def;     /* JSON text; NULL: the key is required */
    const char *def_sft; /* where it differs in sft stages */
    const char *help;
    const char *const
        *names;     /* of an enum, or all that a string may be; NULL-terminated */
    bool above_min; /* min itself is out of range */
};

struct section {
    const char *name; /* "eval"; "" for the top, "stages[]" for stages */
    const char *help;
    const struct field *field;
    int n;
};

enum section_id {
    SECTION_TOP,
    SECTION_MODEL,
    SECTION_PROBLEMS,
    SECTION_REWARD,
    SECTION_CHECKERS, /* one element of reward.checkers */
    SECTION_EVAL,
    SECTION_CHECKPOINT,
    SECTION_REPLAY,
    SECTION_RECORD, /* the last of those that stand alone */
    SECTION_STAGE, /* keys of both stage types */
    SECTION_SFT,
    SECTION_GRPO,
    N_SECTIONS,
};

extern const struct section experiment_section[N_SECTIONS];

const struct field *experiment_field(enum section_id id, const char *key);

/* Names of keys that sections and lists have beside their fields: "config" of model,
 * "checkers" of reward, and at the top the sections, "stop" and "stages". NULL past the
 * last. */
const char *experiment_extra_key(enum section_id id, int i);

/* Appends the section's keys, extra ones included, to names[*n]; at most max. */
void experiment_keys(enum section_id id, const char **names, int *n, int max);

/* Writes the defaults of the section's fields into the struct at base. */
void experiment_defaults(enum section_id id, void *base, bool sft);

/* Reads those keys of obj that are there; required ones must be. */
MUST_USE int experiment_read_section(enum section_id id, void *base, const cJSON *obj,
                                     const char *where, struct err *err);

/* Adds every field as a key of obj. */
void experiment_print_section(enum section_id id, const void *base, cJSON *obj);

/* Applies one `key=value` to the tree. `place` gets the path as messages about the file
 * would name it ("stages[1].beta"). EX_USAGE, EX_CONFIG. */
MUST_USE int experiment_set(cJSON *tree, const char *setting,
                            char place[JSON_WHERE_BYTES], struct err *err);

#endif
