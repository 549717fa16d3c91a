/* reward/code_lang.c: see code_lang.h. */
#include "reward/code_lang.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"

enum { N_LANGS = 6 };

static const char *const python[] = {"/usr/bin/python3", "-I", "-S", "-B", "-X", "utf8",
                                     "/tmp/main.py", NULL};
static const char *const program[] = {"/tmp/program", NULL};
static const char *const node[] = {"/usr/bin/node", "/tmp/main.js", NULL};
static const char *const lua[] = {NULL, "/tmp/main.lua", NULL};
static const char *const bash[] = {"/usr/bin/bash", "/tmp/main.sh", NULL};

static const char *const python_paths[] = {"/usr/bin/python3", NULL};
static const char *const c_paths[] = {"/usr/bin/gcc", "/usr/bin/clang", NULL};
static const char *const cpp_paths[] = {"/usr/bin/g++", "/usr/bin/clang++", NULL};
static const char *const node_paths[] = {"/usr/bin/node", "/usr/bin/nodejs", NULL};
static const char *const lua_paths[] = {"/usr/bin/lua5.4", "/usr/bin/lua", "/usr/bin/lua5.3",
                                        NULL};
static const char *const bash_paths[] = {"/usr/bin/bash", "/bin/bash", NULL};

static const struct code_lang langs[N_LANGS] = {
    {.name = "python3", .also = "|python|py|", .file = "main.py", .command = python,
     .paths = python_paths},
    {.name = "c", .also = "|", .file = "main.c", .command = program, .paths = c_paths,
     .compile = "-std=gnu11 -O2 -w -o program main.c -lm"},
    {.name = "cpp", .also = "|c++|cxx|", .file = "main.cpp", .command = program,
     .paths = cpp_paths, .compile = "-std=gnu++17 -O2 -w -o program main.cpp"},
    {.name = "javascript", .also = "|js|node|", .file = "main.js", .command = node,
     .paths = node_paths, .wide_addresses = true},
    {.name = "lua", .also = "|", .file = "main.lua", .command = lua, .paths = lua_paths},
    {.name = "bash", .also = "|sh|shell|", .file = "main.sh", .command = bash,
     .paths = bash_paths},
};

const struct code_lang *code_lang_at(int i) { return i >= 0 && i < N_LANGS ? &langs[i] : NULL; }

const char *code_lang_path(const struct code_lang *l) {
    for (int i = 0; l->paths[i]; i++)
        if (access(l->paths[i], X_OK) == 0) return l->paths[i];
    return NULL;
}

int code_lang_find(const struct code_lang **out, const char *name, struct err *err) {
    const char *names[N_LANGS];
    char also[64], hint[NEAREST_HINT_BYTES];
    snprintf(also, sizeof also, "|%.40s|", name);
    *out = NULL;
    for (int i = 0; i < N_LANGS; i++) {
        names[i] = langs[i].name;
        if (strcasecmp(names[i], name) == 0 || strcasestr(langs[i].also, also)) *out = &langs[i];
    }
    if (!*out) {
        nearest_hint(hint, name, names, N_LANGS);
        return err_set(err, EX_DATAERR, "no language '%.40s'%s", name, hint);
    }
    if (code_lang_path(*out)) return 0;
    return err_set(err, EX_UNAVAILABLE, "the language %s is not on this machine: no %s",
                   (*out)->name, (*out)->paths[0]);
}
