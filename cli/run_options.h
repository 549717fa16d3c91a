/* cli/run_options.h: one start of `hone train`, as its command line says it. */
#ifndef CLI_RUN_OPTIONS_H
#define CLI_RUN_OPTIONS_H

#include "cli/report.h"
#include "cli/stop.h"
#include "cli/until.h"

enum run_resume { RESUME_AUTO, RESUME_REQUIRE, RESUME_NEVER };

struct run_options {
    const char *experiment, *out, *isa;
    const char *const *set;
    int n_set, n_threads;
    bool overwrite, dry_run, no_estimate;
    enum run_resume resume;
    struct run_limits limits;
    struct until until;
    struct report_options report;
};

#endif
