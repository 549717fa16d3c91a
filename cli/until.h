/* cli/until.h: `--until EXPR`: a run ends once its own records say so.
 *
 * EXPR is a comparison, or several joined by "and": "eval/pass@1 >= 0.9 and kl < 0.1". A name
 * is a metric of the newest step, or a result of the newest evaluation: eval/pass@1 (greedy),
 * eval/sampled/pass@1 and eval/pass@K (K the run's eval.samples). What is not recorded yet
 * holds nothing.
 */
#ifndef CLI_UNTIL_H
#define CLI_UNTIL_H

#include <stdbool.h>

#include "cli/experiment.h"
#include "db/db.h"

enum { UNTIL_MAX = 8 };

struct until {
    struct {
        char name[96];
        char op[3]; /* ">=", "<=", ">", "<" */
        double value;
    } is[UNTIL_MAX];
    int n; /* 0: no condition */
};

/* EX_USAGE where text is no such expression, or names what no run records. */
MUST_USE int until_parse(struct until *u, const char *text, struct err *err);

/* EX_USAGE where an experiment never records a name of u. */
MUST_USE int until_check(const struct until *u, const struct experiment *x, struct err *err);

/* Whether all of it holds after `step`; then said[n] is "name value" of each. */
MUST_USE int until_holds(const struct until *u, struct db *db, int step, bool *holds, char *said,
                         size_t n, struct err *err);

#endif
