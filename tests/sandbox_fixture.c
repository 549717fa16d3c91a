/* tests/sandbox_fixture.c: see sandbox_fixture.h. */
#include "tests/sandbox_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"

static struct sandbox *shared;

struct sandbox *fixture_sandbox(void) {
    struct sandbox_config cfg = sandbox_config_default();
    struct err err = {0};
    cfg.launcher = getenv("HONE");
    if (!shared && sandbox_open(&shared, &cfg, &err) != 0) {
        print_message("no sandbox on this machine: %s\n", err.msg);
        skip();
    }
    return shared;
}

void fixture_sandbox_close(void) {
    sandbox_close(shared);
    shared = NULL;
}

void fixture_python(enum sandbox_kind kind, const char *source, const char *input,
                    int wall_ms, struct sandbox_result *res) {
    static const char *const argv[] = {"/usr/bin/python3", "-I",   "-S",           "-B",
                                       "-X",               "utf8", "/tmp/main.py", NULL};
    struct buf job = {0};
    struct err err = {0};
    if (kind == SANDBOX_PYTHON) {
        buf_puts(&job, "{\"mode\":\"script\",\"source\":");
        json_print_string(&job, source);
        buf_puts(&job, "}");
    } else {
        buf_puts(&job, source);
    }
    struct sandbox_request req = {
        .kind = kind, .argv = kind == SANDBOX_EXEC ? argv : NULL, .n_files = 1,
        .file = {{"main.py", buf_text(&job), job.len, false}},
        .input = input, .n_input = strlen(input), .wall_ms = wall_ms,
        .max_output = 1 << 20, .peer = -1};
    int rc = sandbox_run(fixture_sandbox(), &req, res, &err);
    buf_clear(&job);
    if (rc != 0) fail_msg("%s", err.msg);
}

bool fixture_process_alive(const char *word) {
    DIR *d = opendir("/proc");
    bool alive = false;
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300], text[4096];
        if (e->d_name[0] < '0' || e->d_name[0] > '9') continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
        if (fd >= 0) close(fd);
        if (n > 0 && memmem(text, (size_t)n, word, strlen(word))) alive = true;
    }
    if (d) closedir(d);
    return alive;
}
