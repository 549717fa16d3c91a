/* cli/rescore_print.c: what `hone rescore` found, for a person or as JSON. See rescore.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/rescore.h"
#include "cli/text.h"

enum { CURVE_ROWS = 20, MAX_TEXT = 400 };

static void json_number(struct buf *out, const char *key, double x) {
    buf_printf(out, "\"%s\": ", key);
    if (isnan(x))
        buf_puts(out, "null");
    else
        json_print_double(out, x);
}

static void json_verdict(struct buf *out, const char *key, const char *version,
                         const char *status, double score, const char *detail) {
    buf_printf(out, ", \"%s\": {\"version\": ", key);
    json_print_string(out, version);
    buf_printf(out, ", \"status\": \"%s\", ", status);
    json_number(out, "score", score);
    buf_puts(out, ", \"detail\": ");
    json_print_bytes(out, detail, strlen(detail));
    buf_puts(out, "}");
}

static double score_of(const struct verdict *v) { return verdict_has_score(v) ? v->score : NAN; }

static void json_flip(const struct rescore_checker *c, int step, const struct db_episode *e,
                      const struct problem *problem, const struct db_verdict *was,
                      const struct verdict *now) {
    struct buf line = {0};
    buf_printf(&line, "{\"episode\": %lld, \"step\": %d, \"checker\": ", (long long)e->id, step);
    json_print_string(&line, c->name);
    json_verdict(&line, "was", was->version, was->status, was->score, was->detail);
    json_verdict(&line, "now", c->fresh, verdict_status_name(now->status), score_of(now),
                 now->detail);
    buf_puts(&line, ", \"prompt\": ");
    json_print_string(&line, problem->prompt);
    buf_puts(&line, ", \"gold\": ");
    json_print_string(&line, problem->gold);
    buf_puts(&line, ", \"text\": ");
    json_print_bytes(&line, e->text, e->n_text);
    printf("%s}\n", buf_text(&line));
    buf_clear(&line);
}

static void print_side(const char *when, const char *status, double score, const char *detail) {
    printf("  %s  %s", when, status);
    if (!isnan(score)) printf(" %.4g", score);
    text_print(detail, strlen(detail), *detail ? "  " : "", MAX_TEXT);
}

void rescore_print_flip(struct rescore *p, const struct rescore_checker *c, int step,
                        const struct db_episode *e, const struct problem *problem,
                        const struct db_verdict *was, const struct verdict *now) {
    p->flips++;
    if (p->json) {
        json_flip(c, step, e, problem, was, now);
        return;
    }
    if (p->flips > p->show) return;
    progress_end(&p->r.progress);
    printf("episode %lld of step %d: %s, gold ", (long long)e->id, step, c->name);
    text_print(problem->gold, strlen(problem->gold), "", 80);
    print_side("then", was->status, was->score, was->detail);
    print_side("now ", verdict_status_name(now->status), score_of(now), now->detail);
    text_print(e->text, e->n_text, "  text  ", MAX_TEXT);
}

/* --- all of it ------------------------------------------------------------------------ */

static void print_checker(const struct rescore *p, const struct rescore_checker *c) {
    printf("%s: ", c->name);
    if (c->now < 0) {
        printf("only then\n");
    } else if (p->only >= 0 && c->now != p->only) {
        printf("not run again\n");
    } else if (c->was < 0) {
        printf("only now, %s; %ld failures\n", c->fresh, c->failed_now);
    } else {
        printf("%s then, %s now\n", c->old, c->fresh);
        printf("  right then, not now      %ld\n  not right then, now      %ld\n", c->lost,
               c->gained);
        printf("  another status           %ld\n  another score            %ld\n", c->status,
               c->score);
        printf("  the same                 %ld\n", c->same);
        printf("  failures then, now       %ld, %ld\n", c->failed_was, c->failed_now);
    }
}

static void print_share(double x) {
    if (isnan(x))
        printf("       -");
    else
        printf("  %6.3f", x);
}

/* All steps of a short run, evenly chosen ones of a long one. */
static void print_curve(const struct rescore *p) {
    int n = p->n_points, rows = n < CURVE_ROWS ? n : CURVE_ROWS;
    printf("          reward          accuracy\n  step    then     now    then     now\n");
    for (int i = 0; i < rows; i++) {
        const struct rescore_point *t =
            &p->point[rows > 1 ? (long)i * (n - 1) / (rows - 1) : 0];
        printf("%6d", t->step);
        for (int k = 0; k < 2; k++) print_share(t->reward[k]);
        for (int k = 0; k < 2; k++) print_share(t->accuracy[k]);
        printf("\n");
    }
}

static void json_checkers(const struct rescore *p, struct buf *out) {
    buf_puts(out, ", \"checkers\": [");
    for (int i = 0; i < p->n_checkers; i++) {
        const struct rescore_checker *c = &p->checker[i];
        buf_puts(out, i ? ", {\"checker\": " : "{\"checker\": ");
        json_print_string(out, c->name);
        buf_puts(out, ", \"was\": ");
        json_print_string(out, c->old);
        buf_puts(out, ", \"now\": ");
        json_print_string(out, c->fresh);
        buf_printf(out,
                   ", \"lost\": %ld, \"gained\": %ld, \"status\": %ld, \"score\": %ld, "
                   "\"same\": %ld, \"failures\": [%ld, %ld]}",
                   c->lost, c->gained, c->status, c->score, c->same, c->failed_was,
                   c->failed_now);
    }
    buf_puts(out, "]");
}

static void json_curve(const struct rescore *p, struct buf *out) {
    static const char *const key[] = {"reward_was", "reward_now", "accuracy_was", "accuracy_now"};
    buf_puts(out, ", \"curve\": [");
    for (int i = 0; i < p->n_points; i++) {
        const struct rescore_point *t = &p->point[i];
        buf_printf(out, "%s{\"step\": %d, \"episodes\": %ld", i ? ", " : "", t->step, t->episodes);
        for (int k = 0; k < 4; k++) {
            buf_puts(out, ", ");
            json_number(out, key[k], k < 2 ? t->reward[k] : t->accuracy[k - 2]);
        }
        buf_puts(out, "}");
    }
    buf_puts(out, "]");
}

static void json_all(const struct rescore *p) {
    struct buf line = {0};
    const long(*s)[3] = p->sign;
    buf_printf(&line,
               "{\"steps\": %ld, \"pruned\": %ld, \"groups\": %ld, \"episodes\": %ld, \"flips\": %ld, "
               "\"groups_to_useful\": %ld, \"groups_to_useless\": %ld, "
               "\"advantages\": {\"plus_to_minus\": %ld, \"minus_to_plus\": %ld, "
               "\"zero_to_plus\": %ld, \"zero_to_minus\": %ld, \"plus_to_zero\": %ld, "
               "\"minus_to_zero\": %ld}",
               p->steps, p->pruned, p->groups, p->episodes, p->flips, p->to_useful, p->to_useless, s[2][0],
               s[0][2], s[1][2], s[1][0], s[2][1], s[0][1]);
    json_checkers(p, &line);
    json_curve(p, &line);
    printf("%s}\n", buf_text(&line));
    buf_clear(&line);
}

void rescore_print(const struct rescore *p) {
    const long(*s)[3] = p->sign;
    if (p->json) {
        json_all(p);
        return;
    }
    if (p->flips > p->show && p->show > 0)
        printf("... %ld more flips (--show N)\n", p->flips - p->show);
    if (p->flips > 0 && p->show > 0) printf("\n");
    printf("%ld episodes in %ld groups of %ld steps, %ld flips\n", p->episodes, p->groups, p->steps,
           p->flips);
    for (int i = 0; i < p->n_checkers; i++) print_checker(p, &p->checker[i]);
    printf("groups: %ld useless then and useful now, %ld the other way round\n", p->to_useful,
           p->to_useless);
    printf("advantages: + to - %ld, - to + %ld, 0 to + %ld, 0 to - %ld, + to 0 %ld, - to 0 %ld\n",
           s[2][0], s[0][2], s[1][2], s[1][0], s[2][1], s[0][1]);
    if (p->pruned) printf("%ld steps were pruned and are left out\n", p->pruned);
    if (p->part_steps) printf("the last step is not whole: it has no advantages\n");
    print_curve(p);
}
