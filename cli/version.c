/* cli/version.c: see version.h. HONE_VERSION and HONE_COMMIT come from the Makefile. */
#include "cli/version.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <omp.h>
#include <sqlite3.h>

#include "policy/kernels.h"

const char *version_short(void) {
    return sizeof HONE_COMMIT > 1 ? HONE_VERSION " (" HONE_COMMIT ")" : HONE_VERSION;
}

const char *version_compiler(void) {
#ifdef __clang__
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

void version_print(struct buf *out) {
    buf_printf(out, "hone %s\n", version_short());
    buf_printf(out, "compiler: %s\n", version_compiler());
    const struct kernels *k;
    struct err err;
    buf_printf(out, "instruction set: %s\n", kernels_isa_name());
    if (kernels_find(&k, "auto", &err) == 0)
        buf_printf(out, "bf16: %s\n", k->bf16_dot ? "dot product of the processor, so that "
                                                    "compute_dtype auto takes it"
                                                  : "as chains of FMAs, the same bits");
    buf_printf(out, "threads: %d (OpenMP %d)\n", omp_get_max_threads(), _OPENMP);
    buf_printf(out, "sqlite: %s\n", sqlite3_libversion());
    buf_printf(out, "curl: %s\n", curl_version_info(CURLVERSION_NOW)->version);
    buf_printf(out, "cjson: %s\n", cJSON_Version());
}
