/* reward/code_shapes.c: the tests of a row, in the shapes that the field's files have. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "reward/code_tests.h"

/* ---- the lists of code_tests.h -------------------------------------------------- */

static struct code_test *add_test(struct code_tests *t, struct arena *arena) {
    if (t->n == t->cap) {
        int cap = t->cap ? 2 * t->cap : 16;
        struct code_test *grown = arena_new(arena, (size_t)cap, sizeof *grown);
        if (t->n) memcpy(grown, t->test, (size_t)t->n * sizeof *grown);
        t->test = grown;
        t->cap = cap;
    }
    return &t->test[t->n++];
}

void code_add_stdin(struct code_tests *t, const char *input, const char *output,
                    struct arena *arena) {
    *add_test(t, arena) = (struct code_test){.kind = CODE_STDIN,
                                             .input = arena_strdup(arena, input),
                                             .output = arena_strdup(arena, output)};
}

void code_add_script(struct code_tests *t, const char *script, struct arena *arena) {
    *add_test(t, arena) =
        (struct code_test){.kind = CODE_SCRIPT, .script = arena_strdup(arena, script)};
}

void code_add_calls(struct code_tests *t, struct arena *arena) {
    *add_test(t, arena) = (struct code_test){.kind = CODE_CALLS, .first = t->n_checks};
}

void code_add_check(struct code_tests *t, const struct code_check *c, struct arena *arena) {
    CHECK(t->n && t->test[t->n - 1].kind == CODE_CALLS);
    if (t->n_checks == t->cap_checks) {
        int cap = t->cap_checks ? 2 * t->cap_checks : 16;
        struct code_check *grown = arena_new(arena, (size_t)cap, sizeof *grown);
        if (t->n_checks) memcpy(grown, t->check, (size_t)t->n_checks * sizeof *grown);
        t->check = grown;
        t->cap_checks = cap;
    }
    t->check[t->n_checks++] = *c;
    t->test[t->n - 1].n++;
}

/* ---- pieces -------------------------------------------------------------------- */

/* A text, or a list of lines. */
static int lines_of(const cJSON *item, const char *key, struct arena *arena, const char **out,
                    struct err *err) {
    struct buf text = {0};
    const cJSON *line;
    bool good = cJSON_IsString(item) || cJSON_IsArray(item);
    if (cJSON_IsString(item)) buf_puts(&text, item->valuestring);
    else cJSON_ArrayForEach(line, item) {
        if (!cJSON_IsString(line)) good = false;
        else buf_printf(&text, "%s\n", line->valuestring);
    }
    if (good) *out = arena_strdup(arena, buf_text(&text));
    buf_clear(&text);
    return good ? 0 : err_set(err, EX_DATAERR, "\"%s\": must hold texts", key);
}

/* The value of a key, which may be JSON written as a text. *owned: caller frees. NULL where
 * the key is absent. */
static int unpack(const cJSON *row, const char *key, const cJSON **out, cJSON **owned,
                  struct err *err) {
    *owned = NULL;
    *out = json_find(row, key);
    if (!*out || !cJSON_IsString(*out)) return 0;
    const char *text = (*out)->valuestring;
    *out = NULL;
    if (!*text) return 0;
    if (json_parse(owned, text, strlen(text), key, 1, err) != 0)
        return err_set(err, EX_DATAERR,
                       "\"%s\": a text that is no JSON (if it is packed, unpack it first)", key);
    *out = *owned;
    return 0;
}

/* ---- JSON as Python ------------------------------------------------------------ */

/* A string's escapes as Python knows them: no `\/`, and surrogates in one. */
static const char *push_string(const char *s, struct buf *out) {
    unsigned high, low;
    buf_push(out, s++, 1);
    while (*s && *s != '"') {
        if (s[0] == '\\' && s[1] == '/') {
            s++;
        } else if (sscanf(s, "\\u%4x\\u%4x", &high, &low) == 2 && high >> 10 == 0xd800 >> 10 &&
                   low >> 10 == 0xdc00 >> 10) {
            buf_printf(out, "\\U%08x", 0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff));
            s += 12;
            continue;
        } else if (s[0] == '\\') {
            buf_push(out, s++, 1);
        }
        buf_push(out, s++, 1);
    }
    buf_puts(out, "\"");
    return *s ? s + 1 : s;
}

/* Text that is valid JSON as a literal of Python. */
static void push_python(const char *s, struct buf *out) {
    static const char *const word[][2] = {{"true", "True"}, {"false", "False"}, {"null", "None"}};
    while (*s) {
        size_t i = 0;
        if (*s == '"') {
            s = push_string(s, out);
            continue;
        }
        while (i < 3 && strncmp(s, word[i][0], strlen(word[i][0])) != 0) i++;
        if (i < 3) {
            buf_puts(out, word[i][1]);
            s += strlen(word[i][0]);
        } else {
            buf_push(out, *s == '\n' || *s == '\r' ? " " : s, 1);
            s++;
        }
    }
}

static bool is_json(const char *text) {
    cJSON *json;
    struct err ignored;
    if (json_parse(&json, text, strlen(text), "", 1, &ignored) != 0) return false;
    json_free(json);
    return true;
}

/* A tree's numbers are doubles: of those past 2^53 the last digits are gone. */
static bool is_exact(const cJSON *json) {
    if (cJSON_IsNumber(json) && fabs(json->valuedouble) > 9007199254740992.0) return false;
    for (const cJSON *c = json->child; c; c = c->next)
        if (!is_exact(c)) return false;
    return true;
}

static int push_tree(const cJSON *json, const char *key, struct buf *out, struct err *err) {
    if (!is_exact(json))
        return err_set(err, EX_DATAERR, "\"%s\": a number of more than 53 bits; write it as text",
                       key);
    char *text = cJSON_PrintUnformatted(json);
    push_python(text, out);
    cJSON_free(text);
    return 0;
}

/* ---- calls with arguments and expected values ----------------------------------- */

static int check_identifier(const char *name, struct err *err) {
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    if (n && !name[n] && !(*name >= '0' && *name <= '9')) return 0;
    return err_set(err, EX_DATAERR, "the function's name \"%.40s\" is none", name);
}

/* A function of the module, or a method of its class Solution. */
static int add_call(struct code_tests *t, const char *name, const struct buf *args,
                    const struct buf *expected, struct arena *arena, struct err *err) {
    struct code_check c = {.relation = CODE_EQUAL, .loose = true};
    struct buf call = {0};
    if (!pyvalue_read(&c.expected, buf_text(expected), expected->len, arena))
        return err_set(err, EX_DATAERR, "an expected value is no plain data: %.60s",
                       buf_text(expected));
    buf_printf(&call, "(Solution().%s if 'Solution' in globals() else %s)(%s)", name, name,
               buf_text(args));
    c.call = arena_strdup(arena, buf_text(&call));
    buf_clear(&call);
    code_add_calls(t, arena);
    code_add_check(t, &c, arena);
    return 0;
}

/* LiveCodeBench: an argument a line, each JSON. */
static int add_functional(struct code_tests *t, const char *name, const char *input,
                          const char *output, struct arena *arena, struct err *err) {
    struct buf args = {0}, expected = {0}, line = {0};
    int rc = check_identifier(name, err);
    for (const char *s = input; *s && rc == 0;) {
        size_t n = strcspn(s, "\n");
        buf_reset(&line);
        buf_push(&line, s, n);
        if (!is_json(buf_text(&line)))
            rc = err_set(err, EX_DATAERR, "an argument is no JSON: %.60s", buf_text(&line));
        if (args.len) buf_puts(&args, ", ");
        push_python(buf_text(&line), &args);
        s += n + (s[n] != 0);
    }
    if (rc == 0 && !is_json(output))
        rc = err_set(err, EX_DATAERR, "an expected value is no JSON: %.60s", output);
    push_python(output, &expected);
    if (rc == 0) rc = add_call(t, name, &args, &expected, arena, err);
    buf_clear(&args);
    buf_clear(&expected);
    buf_clear(&line);
    return rc;
}

/* APPS: the arguments as a list, the value perhaps in a list of one. */
static int add_listed(struct code_tests *t, const char *name, const cJSON *input,
                      const cJSON *output, struct arena *arena, struct err *err) {
    struct buf args = {0}, expected = {0};
    const cJSON *arg;
    int rc = check_identifier(name, err);
    if (rc == 0 && !cJSON_IsArray(input))
        rc = err_set(err, EX_DATAERR, "\"inputs\": the arguments of %.40s must be a list", name);
    cJSON_ArrayForEach(arg, input) {
        if (args.len) buf_puts(&args, ", ");
        if (rc == 0) rc = push_tree(arg, "inputs", &args, err);
    }
    if (cJSON_IsArray(output) && cJSON_GetArraySize(output) == 1) output = output->child;
    if (rc == 0) rc = push_tree(output, "outputs", &expected, err);
    if (rc == 0) rc = add_call(t, name, &args, &expected, arena, err);
    buf_clear(&args);
    buf_clear(&expected);
    return rc;
}

/* ---- shapes -------------------------------------------------------------------- */

/* Two lists side by side: code_contests' `input` and `output`, APPS' `inputs`, `outputs`. */
static int add_pairs(struct code_tests *t, const cJSON *in, const cJSON *out, const char *name,
                     const char *key, struct arena *arena, struct err *err) {
    const char *input = "", *output = "";
    if (!cJSON_IsArray(in) || !cJSON_IsArray(out) ||
        cJSON_GetArraySize(in) != cJSON_GetArraySize(out))
        return err_set(err, EX_DATAERR, "\"%s\": inputs and outputs must be lists of one length",
                       key);
    for (in = in->child, out = out->child; in; in = in->next, out = out->next) {
        if (name) {
            if (add_listed(t, name, in, out, arena, err) != 0) return -1;
            continue;
        }
        if (lines_of(in, key, arena, &input, err) != 0) return -1;
        if (lines_of(out, key, arena, &output, err) != 0) return -1;
        code_add_stdin(t, input, output, arena);
    }
    return 0;
}

static int read_code_contests(struct code_tests *t, const cJSON *row, struct arena *arena,
                              struct err *err) {
    static const char *const keys[] = {"public_tests", "private_tests", "generated_tests"};
    for (int i = 0; i < 3; i++) {
        const cJSON *group = json_find(row, keys[i]);
        if (!group || !json_find(group, "input")) continue;
        if (add_pairs(t, json_find(group, "input"), json_find(group, "output"), NULL, keys[i],
                      arena, err) != 0)
            return -1;
    }
    return 0;
}

static int add_case(struct code_tests *t, const cJSON *item, const char *name, const char *key,
                    struct arena *arena, struct err *err) {
    const cJSON *type = json_find(item, "testtype"), *in = json_find(item, "input");
    const cJSON *out = json_find(item, "output");
    const char *input, *output;
    if (!in || !out) return err_set(err, EX_DATAERR, "\"%s\": a test without input or output", key);
    if (lines_of(in, key, arena, &input, err) != 0) return -1;
    if (lines_of(out, key, arena, &output, err) != 0) return -1;
    if (!cJSON_IsString(type) || strcmp(type->valuestring, "functional") != 0) {
        code_add_stdin(t, input, output, arena);
        return 0;
    }
    if (!name) return err_set(err, EX_DATAERR, "\"metadata\": no \"func_name\"");
    return add_functional(t, name, input, output, arena, err);
}

static int read_livecodebench(struct code_tests *t, const cJSON *row, struct arena *arena,
                              struct err *err) {
    static const char *const keys[] = {"public_test_cases", "private_test_cases"};
    const cJSON *meta, *list, *item;
    cJSON *meta_owned, *owned;
    if (!json_find(row, keys[0]) && !json_find(row, keys[1])) return 0;
    if (unpack(row, "metadata", &meta, &meta_owned, err) != 0) return -1;
    const cJSON *func = json_find(meta, "func_name");
    const char *name = cJSON_IsString(func) ? func->valuestring : NULL;
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        rc = unpack(row, keys[i], &list, &owned, err);
        cJSON_ArrayForEach(item, list) {
            if (rc == 0) rc = add_case(t, item, name, keys[i], arena, err);
        }
        json_free(owned);
    }
    json_free(meta_owned);
    return rc;
}

/* APPS, TACO and verl: {"inputs": [...], "outputs": [...], "fn_name"?}, as JSON or as text. */
static int read_apps(struct code_tests *t, const cJSON *holder, const char *key,
                     struct arena *arena, struct err *err) {
    const cJSON *io, *at = json_find(holder, key);
    cJSON *owned;
    if (!at || (cJSON_IsString(at) && !strstr(at->valuestring, "\"inputs\""))) return 0;
    if (unpack(holder, key, &io, &owned, err) != 0) return -1;
    const cJSON *name = json_find(io, "fn_name");
    int rc = 0;
    if (json_find(io, "inputs"))
        rc = add_pairs(t, json_find(io, "inputs"), json_find(io, "outputs"),
                       cJSON_IsString(name) ? name->valuestring : NULL, key, arena, err);
    json_free(owned);
    return rc;
}

/* MBPP: asserts, and lines that come before them. */
static int read_mbpp(struct code_tests *t, const cJSON *row, struct arena *arena,
                     struct err *err) {
    static const char *const keys[] = {"test_list", "challenge_test_list"};
    struct buf setup = {0};
    const cJSON *item, *code = json_find(row, "test_setup_code");
    cJSON_ArrayForEach(item, json_find(row, "test_imports")) {
        if (cJSON_IsString(item)) buf_printf(&setup, "%s\n", item->valuestring);
    }
    if (cJSON_IsString(code)) buf_puts(&setup, code->valuestring);
    if (setup.len) t->setup = arena_strdup(arena, buf_text(&setup));
    buf_clear(&setup);
    for (int i = 0; i < 2; i++) {
        cJSON_ArrayForEach(item, json_find(row, keys[i])) {
            if (!cJSON_IsString(item))
                return err_set(err, EX_DATAERR, "\"%s\": must hold texts", keys[i]);
            const char *text = item->valuestring;
            if (!code_add_assert(t, text, strlen(text), t->setup, arena))
                code_add_script(t, text, arena);
        }
    }
    return 0;
}

/* HumanEval: a function `check` and the name of what it is given. */
static int read_humaneval(struct code_tests *t, const cJSON *row, struct arena *arena,
                          struct err *err) {
    const cJSON *test = json_find(row, "test"), *name = json_find(row, "entry_point");
    const cJSON *prompt = json_find(row, "prompt");
    char line[128];
    if (!cJSON_IsString(test) || !cJSON_IsString(name)) return 0;
    if (check_identifier(name->valuestring, err) != 0) return err_prefix(err, "\"entry_point\"");
    if (cJSON_IsString(prompt)) t->before = arena_strdup(arena, prompt->valuestring);
    snprintf(line, sizeof line, "candidate = %.100s\n", name->valuestring);
    if (code_add_check_function(t, test->valuestring, arena)) {
        t->setup = arena_strdup(arena, line);
        return 0;
    }
    struct buf script = {0};
    buf_printf(&script, "%s\ncheck(%s)\n", test->valuestring, name->valuestring);
    code_add_script(t, buf_text(&script), arena);
    buf_clear(&script);
    return 0;
}

/* `tests`: asserts, or {"input", "output"}. */
static int read_tests(struct code_tests *t, const cJSON *row, struct arena *arena,
                      struct err *err) {
    const cJSON *item, *list = json_find(row, "tests");
    if (list && !cJSON_IsArray(list)) return err_set(err, EX_DATAERR, "\"tests\": must be a list");
    cJSON_ArrayForEach(item, list) {
        if (cJSON_IsString(item)) {
            const char *text = item->valuestring;
            if (!code_add_assert(t, text, strlen(text), t->setup, arena))
                code_add_script(t, text, arena);
        } else if (add_case(t, item, NULL, "tests", arena, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int check_language(const struct code_tests *t, struct err *err) {
    bool python = strcmp(t->lang->name, "python3") == 0;
    for (int i = 0; i < t->n; i++)
        if (!python && t->test[i].kind != CODE_STDIN)
            return err_set(err, EX_DATAERR, "calls and asserts are for python3, not for %s",
                           t->lang->name);
    return 0;
}

int code_tests_read(struct code_tests *t, const cJSON *row, const char *lang,
                    struct arena *arena, struct err *err) {
    *t = (struct code_tests){.setup = "", .before = ""};
    const cJSON *named = json_find(row, "language");
    if (cJSON_IsString(named)) lang = named->valuestring;
    if (json_find(row, "timeout") &&
        json_as_double(json_find(row, "timeout"), "timeout", 0.05, 600, &t->timeout_s, err) != 0)
        return -1;
    if (code_lang_find(&t->lang, lang, err) != 0) return -1;
    if (read_mbpp(t, row, arena, err) != 0) return -1;
    if (read_tests(t, row, arena, err) != 0) return -1;
    if (read_humaneval(t, row, arena, err) != 0) return -1;
    if (read_code_contests(t, row, arena, err) != 0) return -1;
    if (read_livecodebench(t, row, arena, err) != 0) return -1;
    if (read_apps(t, row, "input_output", arena, err) != 0) return -1;
    if (read_apps(t, row, "ground_truth", arena, err) != 0) return -1;
    if (read_apps(t, json_find(row, "reward_model"), "ground_truth", arena, err) != 0) return -1;
    return check_language(t, err);
}
