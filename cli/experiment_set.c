/* cli/experiment_set.c: `--set key=value` on the tree, before anything is checked.
 *
 * The path is held against the tables here, so that a typo is found with its nearest
 * path; the value is checked with all others later. A section that the file leaves out is
 * made; an element of a list must be there.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/nearest.h"
#include "cli/experiment_table.h"

enum { MAX_DEPTH = 8, MAX_CANDIDATES = 256 };

/* A path in parts: stages[1].beta is "stages", [1], "beta". */
struct path {
    char text[256];
    struct {
        const char *key; /* into text; NULL for an index */
        int index;
    } part[MAX_DEPTH];
    int n;
};

static int bad_path(const char *setting, struct err *err) {
    return err_set(err, EX_USAGE, "--set %.200s: must be key=value, such as seed=3",
                   setting);
}

static int split_path(struct path *p, const char *setting, struct err *err) {
    const char *equals = strchr(setting, '=');
    size_t n = equals ? (size_t)(equals - setting) : 0;
    if (n == 0 || n >= sizeof p->text) return bad_path(setting, err);
    memcpy(p->text, setting, n);
    p->text[n] = 0;
    p->n = 0;
    for (char *s = p->text; *s;) {
        if (p->n == MAX_DEPTH) return bad_path(setting, err);
        if (*s == '[') {
            char *end;
            long i = strtol(s + 1, &end, 10);
            if (!isdigit((unsigned char)s[1]) || *end != ']' || i > 9999)
                return bad_path(setting, err);
            p->part[p->n].key = NULL;
            p->part[p->n++].index = (int)i;
            *s = 0;
            s = end + 1;
            if (*s && !strchr(".[", *s)) return bad_path(setting, err);
        } else {
            size_t len = strcspn(s, ".[");
            if (len == 0) return bad_path(setting, err);
            p->part[p->n++].key = s;
            s += len;
        }
        if (*s == '.' && !s[1]) return bad_path(setting, err);
        if (*s == '.') *s++ = 0;
    }
    return 0;
}

/* ---- stages by name ------------------------------------------------------------ */

static const char *stage_name(const cJSON *stage) {
    const char *name = cJSON_GetStringValue(json_find(stage, "name"));
    return name && *name ? name : cJSON_GetStringValue(json_find(stage, "type"));
}

static bool stage_is_sft(const cJSON *stage) {
    const char *type = cJSON_GetStringValue(json_find(stage, "type"));
    return type && strcmp(type, "sft") == 0;
}

/* grpo.beta becomes stages[1].beta. */
static void resolve_stage(struct path *p, const cJSON *tree) {
    int i = 0;
    const cJSON *stages = json_find(tree, "stages"), *stage;
    if (!cJSON_IsArray(stages) || p->n + 1 > MAX_DEPTH || !p->part[0].key) return;
    cJSON_ArrayForEach(stage, stages) {
        const char *name = stage_name(stage);
        if (name && strcmp(name, p->part[0].key) == 0) {
            memmove(&p->part[1], &p->part[0], (size_t)p->n * sizeof p->part[0]);
            p->part[0].key = "stages";
            p->part[1].key = NULL;
            p->part[1].index = i;
            p->n++;
            return;
        }
        i++;
    }
}

/* ---- is it a key? -------------------------------------------------------------- */

static bool is_key(const struct path *p, int i, const char *key) {
    return i < p->n && p->part[i].key && strcmp(p->part[i].key, key) == 0;
}

static bool is_index(const struct path *p, int i) { return i < p->n && !p->part[i].key; }

/* The row that the path leads to, or one of the two below where it is valid without one.
 */
static const struct field anything = {.type = FIELD_BOOL},
                          a_string = {.type = FIELD_STRING};

static const struct field *stage_field(const struct path *p, const cJSON *tree) {
    const cJSON *stage = cJSON_GetArrayItem(json_find(tree, "stages"), p->part[1].index);
    if (p->n != 3 || !p->part[2].key) return NULL;
    const struct field *f = experiment_field(SECTION_STAGE, p->part[2].key);
    if (!f)
        f = experiment_field(stage_is_sft(stage) ? SECTION_SFT : SECTION_GRPO,
                             p->part[2].key);
    /* of the other type: reading refuses it with the right sentence */
    if (!f)
        f = experiment_field(stage_is_sft(stage) ? SECTION_GRPO : SECTION_SFT,
                             p->part[2].key);
    return f;
}

static const struct field *path_field(const struct path *p, const cJSON *tree) {
    if (!p->part[0].key) return NULL;
    if (p->n == 1) {
        const struct field *f = experiment_field(SECTION_TOP, p->part[0].key);
        if (f) return f;
        for (int i = 0; experiment_extra_key(SECTION_TOP, i); i++)
            if (is_key(p, 0, experiment_extra_key(SECTION_TOP, i))) return &anything;
        return NULL;
    }
    if (is_key(p, 0, "stages") && is_index(p, 1)) return stage_field(p, tree);
    if (is_key(p, 0, "stop") && is_index(p, 1)) return p->n == 2 ? &a_string : NULL;
    if (is_key(p, 0, "model") && is_key(p, 1, "config")) return &anything;
    if (is_key(p, 0, "reward") && is_key(p, 1, "checkers")) {
        if (p->n == 2 || (p->n == 3 && is_index(p, 2))) return &anything;
        if (p->n != 4 || !is_index(p, 2) || !p->part[3].key) return NULL;
        return experiment_field(SECTION_CHECKERS, p->part[3].key);
    }
    for (enum section_id id = SECTION_MODEL; id <= SECTION_RECORD; id++)
        if (p->n == 2 && p->part[1].key && is_key(p, 0, experiment_section[id].name))
            return experiment_field(id, p->part[1].key);
    return NULL;
}

static void add_candidates(struct arena *arena, const char **list, int *n,
                           const char *prefix, enum section_id id) {
    const char *keys[64];
    int n_keys = 0;
    experiment_keys(id, keys, &n_keys, 64);
    for (int i = 0; i < n_keys && *n < MAX_CANDIDATES; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "." : "", keys[i]);
        list[(*n)++] = arena_strdup(arena, path);
    }
}

/* Every valid path, stages by number or by name as `path` has them. */
static int list_candidates(struct arena *arena, const cJSON *tree, const char *path,
                           const char **list) {
    char prefix[128];
    int n = 0, k = 0;
    const cJSON *stage;
    add_candidates(arena, list, &n, "", SECTION_TOP);
    for (enum section_id id = SECTION_MODEL; id <= SECTION_RECORD; id++)
        if (id != SECTION_CHECKERS)
            add_candidates(arena, list, &n, experiment_section[id].name, id);
    cJSON_ArrayForEach(stage, json_find(tree, "stages")) {
        const char *name = stage_name(stage);
        if (strncmp(path, "stages[", 7) == 0 || !name)
            snprintf(prefix, sizeof prefix, "stages[%d]", k);
        else
            snprintf(prefix, sizeof prefix, "%.100s", name);
        add_candidates(arena, list, &n, prefix, SECTION_STAGE);
        add_candidates(arena, list, &n, prefix,
                       stage_is_sft(stage) ? SECTION_SFT : SECTION_GRPO);
        k++;
    }
    return n;
}

/* Within a section that exists, only its own keys are worth naming. */
static int unknown_path(const cJSON *tree, const char *setting, struct err *err) {
    struct arena arena = {0};
    const char *list[MAX_CANDIDATES], *own[MAX_CANDIDATES];
    char path[256], hint[NEAREST_HINT_BYTES] = " (see hone help config)";
    int n_own = 0;
    snprintf(path, sizeof path, "%.*s", (int)strcspn(setting, "="), setting);
    const char *dot = strrchr(path, '.');
    int n = list_candidates(&arena, tree, path, list);
    for (int i = 0; i < n && dot; i++)
        if (strncmp(list[i], path, (size_t)(dot - path) + 1) == 0) own[n_own++] = list[i];
    if (n_own > 0)
        nearest_hint(hint, path, own, n_own);
    else if (nearest_name(path, list, n))
        nearest_hint(hint, path, list, n);
    arena_clear(&arena);
    return err_set(err, EX_CONFIG, "--set %.200s: no such key%s", setting, hint);
}

/* ---- the value, and its place in the tree -------------------------------------- */

/* JSON, or else the bare word as a string; where a string is wanted, only quotes make it
 * JSON, so that `name=2024` works. */
static cJSON *parse_value(const struct field *f, const char *text) {
    struct err ignored;
    cJSON *value;
    bool string = f->type == FIELD_STRING || f->type == FIELD_ENUM;
    if (string && *text != '"') return cJSON_CreateString(text);
    if (json_parse(&value, text, strlen(text), "value", 1, &ignored) == 0) return value;
    return cJSON_CreateString(text);
}

/* The node at part i of the path below `node`; an absent object is made. */
static cJSON *descend(cJSON *node, const struct path *p, int i) {
    if (!p->part[i].key)
        return cJSON_IsArray(node) ? cJSON_GetArrayItem(node, p->part[i].index) : NULL;
    if (!cJSON_IsObject(node)) return NULL;
    cJSON *child = cJSON_GetObjectItemCaseSensitive(node, p->part[i].key);
    bool list = i + 1 < p->n && !p->part[i + 1].key;
    if (child) return child;
    return list ? NULL : cJSON_AddObjectToObject(node, p->part[i].key);
}

static bool put(cJSON *node, const struct path *p, cJSON *value) {
    const char *key = p->part[p->n - 1].key;
    int i = p->part[p->n - 1].index;
    if (!key) {
        if (!cJSON_IsArray(node) || i >= cJSON_GetArraySize(node)) return false;
        return cJSON_ReplaceItemInArray(node, i, value);
    }
    if (!cJSON_IsObject(node)) return false;
    if (cJSON_GetObjectItemCaseSensitive(node, key))
        return cJSON_ReplaceItemInObjectCaseSensitive(node, key, value);
    return cJSON_AddItemToObject(node, key, value);
}

static void print_place(char out[JSON_WHERE_BYTES], const struct path *p) {
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; i < p->n && n < JSON_WHERE_BYTES; i++) {
        char *end = out + n;
        size_t left = JSON_WHERE_BYTES - n;
        if (p->part[i].key)
            n += (size_t)snprintf(end, left, "%s%s", i ? "." : "", p->part[i].key);
        else
            n += (size_t)snprintf(end, left, "[%d]", p->part[i].index);
    }
}

int experiment_set(cJSON *tree, const char *setting, char place[JSON_WHERE_BYTES],
                   struct err *err) {
    struct path p;
    cJSON *node = tree;
    if (split_path(&p, setting, err) != 0) return -1;
    resolve_stage(&p, tree);
    const struct field *f = path_field(&p, tree);
    if (!f) return unknown_path(tree, setting, err);
    print_place(place, &p);
    for (int i = 0; i + 1 < p.n && node; i++) node = descend(node, &p, i);
    cJSON *value = parse_value(f, strchr(setting, '=') + 1);
    if (node && put(node, &p, value)) return 0;
    cJSON_Delete(value);
    return err_set(err, EX_CONFIG, "--set %.200s: the experiment has no %s", setting,
                   place);
}
