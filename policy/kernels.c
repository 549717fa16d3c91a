/* policy/kernels.c: which table, and the panel layout. */
#include "policy/kernels.h"

#include <stdio.h>
#include <string.h>

#ifdef HAVE_ISA_avx512bf16
extern const struct kernels kernels_avx512bf16;
#endif
#ifdef HAVE_ISA_avx512
extern const struct kernels kernels_avx512;
#endif
#ifdef HAVE_ISA_avx2
extern const struct kernels kernels_avx2;
#endif
#ifdef HAVE_ISA_neon
extern const struct kernels kernels_neon;
#endif
extern const struct kernels kernels_plain;

struct entry {
    const struct kernels *k;
    bool runs; /* this processor has the instructions */
};

enum { MAX_ENTRIES = 5 };

/* Best first. Returns how many there are. */
static int list_tables(struct entry out[MAX_ENTRIES]) {
    int n = 0;
#ifdef HAVE_ISA_avx512
    bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl");
#ifdef HAVE_ISA_avx512bf16
    out[n++] = (struct entry){&kernels_avx512bf16, v4 && __builtin_cpu_supports("avx512bf16")};
#endif
    out[n++] = (struct entry){&kernels_avx512, v4};
#endif
#ifdef HAVE_ISA_avx2
    out[n++] = (struct entry){&kernels_avx2, __builtin_cpu_supports("avx2") &&
                                                 __builtin_cpu_supports("fma")};
#endif
#ifdef HAVE_ISA_neon
    out[n++] = (struct entry){&kernels_neon, true};
#endif
    out[n++] = (struct entry){&kernels_plain, true};
    return n;
}

int kernels_find(const struct kernels **k, const char *name, struct err *err) {
    struct entry e[MAX_ENTRIES];
    int n = list_tables(e);
    for (int i = 0; i < n; i++) {
        bool wanted = strcmp(name, "auto") == 0 || strcmp(name, e[i].k->name) == 0;
        if (wanted && e[i].runs) {
            *k = e[i].k;
            return 0;
        }
        if (wanted && strcmp(name, "auto") != 0)
            return err_set(err, EX_CONFIG, "--isa %s: this processor cannot run it; it runs: %s",
                           name, kernels_available());
    }
    return err_set(err, EX_CONFIG, "--isa %s: no such instruction set; this processor runs: %s",
                   name, kernels_available());
}

const char *kernels_available(void) {
    static char text[64];
    struct entry e[MAX_ENTRIES];
    char now[64] = "";
    size_t used = 0;
    int n = list_tables(e);
    for (int i = 0; i < n; i++)
        if (e[i].runs)
            used += (size_t)snprintf(now + used, sizeof now - used, "%s%s", used ? " " : "",
                                     e[i].k->name);
    memcpy(text, now, sizeof text); /* the same bytes from every thread */
    return text;
}

const char *kernels_isa_name(void) {
    struct entry e[MAX_ENTRIES];
    int n = list_tables(e);
    for (int i = 0; i < n; i++)
        if (e[i].runs) return e[i].k->name;
    return "plain";
}

size_t kernels_packed_size(int K, int N) {
    return (size_t)((N + PANEL - 1) / PANEL) * (size_t)K * PANEL;
}

struct panels kernels_packed(const float *data, int K) {
    return (struct panels){data, (size_t)K * PANEL, PANEL};
}

struct panels kernels_rows(const float *data, size_t ld) {
    return (struct panels){data, PANEL, ld};
}
