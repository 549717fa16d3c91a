/* tests/test_sandbox.c: runs, their ends, their bytes, and that nothing of them is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reward/sandbox.h"
#include "tests/sandbox_fixture.h"

static const enum sandbox_kind both[] = {SANDBOX_EXEC, SANDBOX_PYTHON};

static void expect(const char *source, const char *input, const char *out, int code) {
    struct sandbox_result res;
    for (int k = 0; k < 2; k++) {
        fixture_python(both[k], source, input, 20000, &res);
        if (res.end != SANDBOX_EXITED || res.code != code) print_message("%s", buf_text(&res.err));
        assert_int_equal(res.end, SANDBOX_EXITED);
        assert_string_equal(buf_text(&res.out), out);
        assert_int_equal(res.code, code);
        sandbox_result_clear(&res);
    }
}

static void test_run_reads_and_writes_bytes(void **state) {
    (void)state;
    expect("print(input()[::-1]); print(input())", "abc\nx y\n", "cba\nx y\n", 0);
    expect("import sys; sys.stdout.buffer.write(bytes(range(1,256))); sys.exit(7)", "",
           "\1\2\3\4\5\6\7\10\11\n\13\14\r\16\17\20\21\22\23\24\25\26\27\30\31\32\33\34\35\36\37"
           " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
           "abcdefghijklmnopqrstuvwxyz{|}~\177"
           "\200\201\202\203\204\205\206\207\210\211\212\213\214\215\216\217"
           "\220\221\222\223\224\225\226\227\230\231\232\233\234\235\236\237"
           "\240\241\242\243\244\245\246\247\250\251\252\253\254\255\256\257"
           "\260\261\262\263\264\265\266\267\270\271\272\273\274\275\276\277"
           "\300\301\302\303\304\305\306\307\310\311\312\313\314\315\316\317"
           "\320\321\322\323\324\325\326\327\330\331\332\333\334\335\336\337"
           "\340\341\342\343\344\345\346\347\350\351\352\353\354\355\356\357"
           "\360\361\362\363\364\365\366\367\370\371\372\373\374\375\376\377",
           7);
    expect("raise ValueError('x')", "", "", 1);
    expect("import atexit, threading\natexit.register(print, 'last')\n"
           "threading.Timer(0.01, lambda: print('thread')).start()\nprint('first')",
           "", "first\nthread\nlast\n", 0);
}

static void test_run_sees_a_system_without_people(void **state) {
    (void)state;
    expect("import os\nprint(os.getpid(), os.getuid(), sorted(os.environ), os.getcwd())\n"
           "print(sorted(set(os.listdir('/')) - {'bin','sbin','lib','lib32','lib64','libx32'}))\n"
           "print(sorted(os.listdir('/etc')), os.listdir('/proc'))",
           "",
           "1 1000 ['HOME', 'LANG', 'PATH'] /tmp\n['dev', 'etc', 'proc', 'tmp', 'usr']\n"
           "['alternatives', 'group', 'ld.so.cache', 'passwd'] []\n",
           0);
    expect("for path in '/x','/usr/x','/etc/x','/dev/x','/proc/x','/etc/passwd':\n"
           "    try: open(path, 'w'); print('wrote', path)\n"
           "    except OSError: pass",
           "", "", 0);
}

static void test_run_finds_nothing_of_the_last(void **state) {
    (void)state;
    const char *source = "import os\nprint(sorted(set(os.listdir('/tmp')) - {'main.py'}), "
                         "os.listdir('/dev/shm') == os.listdir('/tmp'))\n"
                         "open('/tmp/left','w').write('x'); open('/dev/shm/left2','w')";
    for (int i = 0; i < 2; i++) expect(source, "", "[] True\n", 0);
}

static void test_run_is_killed_at_its_deadline(void **state) {
    (void)state;
    static const char *const source[] = {
        "while True: pass", "import time; time.sleep(60)",
        "import os; os.close(1); os.close(2); os.close(3); os.kill(1, 19)\nwhile 1: pass"};
    struct sandbox_result res;
    for (int i = 0; i < 6; i++) {
        fixture_python(both[i % 2], source[i / 2], "", 150, &res);
        assert_int_equal(res.end, SANDBOX_TIMEOUT);
        sandbox_result_clear(&res);
    }
}

static void test_run_takes_its_descendants_along(void **state) {
    (void)state;
    /* in sessions of their own, with parents that are gone, signals ignored */
    const char *source = "import os, signal\n"
                         "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                         "for i in range(3):\n"
                         "    if os.fork() == 0:\n"
                         "        os.setsid()\n"
                         "        if os.fork() == 0: os.execv('/usr/bin/sleep', "
                         "['sleep', '98.7654321'])\n"
                         "        os._exit(0)\n"
                         "print('done')\n"
                         "%s";
    for (int i = 0; i < 4; i++) {
        char text[1024];
        struct sandbox_result res;
        snprintf(text, sizeof text, source, i < 2 ? "" : "while True: pass");
        fixture_python(both[i % 2], text, "", i < 2 ? 20000 : 400, &res);
        assert_int_equal(res.end, i < 2 ? SANDBOX_EXITED : SANDBOX_TIMEOUT);
        assert_string_equal(buf_text(&res.out), i < 2 ? "done\n" : buf_text(&res.out));
        assert_false(fixture_process_alive("98.7654321"));
        sandbox_result_clear(&res);
    }
}

static void test_run_is_killed_for_saying_too_much(void **state) {
    (void)state;
    struct sandbox_result res;
    for (int k = 0; k < 2; k++) {
        fixture_python(both[k], "while True: print('x' * 100000)", "", 20000, &res);
        assert_int_equal(res.end, SANDBOX_OUTPUT);
        assert_int_equal(res.out.len, 1 << 20);
        sandbox_result_clear(&res);
    }
}

static void test_run_says_which_signal_ended_it(void **state) {
    (void)state;
    struct sandbox_result res;
    for (int k = 0; k < 2; k++) {
        fixture_python(both[k], "import ctypes; ctypes.string_at(0)", "", 20000, &res);
        assert_int_equal(res.end, SANDBOX_SIGNALED);
        assert_int_equal(res.code, 11);
        sandbox_result_clear(&res);
    }
}

static void test_run_many_threads_at_once(void **state) {
    (void)state;
    fixture_sandbox();
    int right = 0;
#pragma omp parallel for num_threads(6) schedule(dynamic, 1) reduction(+ : right)
    for (int i = 0; i < 60; i++) {
        char source[64], out[32];
        struct sandbox_result res;
        snprintf(source, sizeof source, "print(int(input()) * %d)", i);
        snprintf(out, sizeof out, "%d\n", 7 * i);
        fixture_python(both[i % 6 == 0 ? 0 : 1], source, "7\n", 20000, &res);
        right += res.end == SANDBOX_EXITED && strcmp(buf_text(&res.out), out) == 0;
        sandbox_result_clear(&res);
    }
    assert_int_equal(right, 60);
}

static void test_run_cannot_start_is_an_error(void **state) {
    (void)state;
    static const char *const argv[] = {"/usr/bin/no-such-program", NULL};
    struct sandbox_request req = {.argv = argv, .wall_ms = 1000, .max_output = 10, .peer = -1};
    struct sandbox_result res;
    struct err err = {0};
    assert_int_equal(sandbox_run(fixture_sandbox(), &req, &res, &err), -1);
    assert_int_equal(err.code, EX_UNAVAILABLE);
    assert_non_null(strstr(err.msg, "No such file"));
    expect("print(1)", "", "1\n", 0); /* the launcher lives on */
}

static void test_open_refuses(void **state) {
    (void)state;
    struct sandbox_config cfg = sandbox_config_default();
    struct sandbox *sb;
    struct err err = {0};
    unsigned layers;
    cfg.launcher = "/no/such/launcher";
    assert_int_equal(sandbox_open(&sb, &cfg, &err), -1);
    assert_null(sb);
    cfg.launcher = "/usr/bin/true";
    assert_int_equal(sandbox_open(&sb, &cfg, &err), -1);
    assert_non_null(strstr(err.msg, "ended at once"));
    assert_int_equal(sandbox_parse_layers("namespaces,secomp", &layers, &err), -1);
    assert_non_null(strstr(err.msg, "did you mean 'seccomp'"));
    assert_int_equal(sandbox_parse_layers("namespaces,seccomp", &layers, &err), -1);
    assert_non_null(strstr(err.msg, "'rlimits' cannot be left out"));
    assert_int_equal(sandbox_parse_layers("rlimits, namespaces", &layers, &err), 0);
    assert_int_equal(layers, 1u << SANDBOX_NAMESPACES | 1u << SANDBOX_RLIMITS);
}

static int close_fixture(void **state) {
    (void)state;
    fixture_sandbox_close();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_reads_and_writes_bytes),
        cmocka_unit_test(test_run_sees_a_system_without_people),
        cmocka_unit_test(test_run_finds_nothing_of_the_last),
        cmocka_unit_test(test_run_is_killed_at_its_deadline),
        cmocka_unit_test(test_run_takes_its_descendants_along),
        cmocka_unit_test(test_run_is_killed_for_saying_too_much),
        cmocka_unit_test(test_run_says_which_signal_ended_it),
        cmocka_unit_test(test_run_many_threads_at_once),
        cmocka_unit_test(test_run_cannot_start_is_an_error),
        cmocka_unit_test(test_open_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, close_fixture);
}
