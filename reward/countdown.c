/* reward/countdown.c: reach a target with + - * / from a few numbers, each used at most
 * once. Prompt `44 19 35=98`, answer `44+19+35`, see docs/problems.md.
 *
 * Generated problems have TinyZero's shape: numbers and target are drawn uniformly and
 * kept if whole-number steps that use every number reach the target. The answer may use
 * fewer.
 */
#include "reward/countdown.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reward/answer.h"
#include "reward/kind.h"

#define MAX_ANSWER_BYTES 1024

enum { P_NUMBERS, P_VALUES, P_TARGET, P_TRACE, P_TRIES, N_PARAMS };

static const struct spec_param params[N_PARAMS] = {
    {"numbers", SPEC_RANGE, {2, 5}, {3, 4}, NULL, false, "how many numbers"},
    {"values", SPEC_RANGE, {1, 1000}, {1, 99}, NULL, false, "their size"},
    {"target", SPEC_RANGE, {1, 10000}, {10, 99}, NULL, false, "the target's size"},
    {"trace", SPEC_WORD, {0, 1}, {0, 0}, "direct|search", true,
     "the teacher shows one solution, or wrong tries before it"},
    {"tries", SPEC_INT, {1, COUNTDOWN_MAX_TRIES}, {3, 3}, NULL, true,
     "most wrong tries that trace=search shows"},
};

static bool draw(const struct spec_value *v, struct dice *dice, struct draft *d) {
    d->n = (int)dice_between(dice, v[P_NUMBERS].lo, v[P_NUMBERS].hi);
    d->target = dice_between(dice, v[P_TARGET].lo, v[P_TARGET].hi);
    for (int i = 0; i < d->n; i++) {
        d->num[i] = dice_between(dice, v[P_VALUES].lo, v[P_VALUES].hi);
        if (d->num[i] == d->target) return false;
    }
    return true;
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void push_key(const struct countdown *c, struct buf *out) {
    struct countdown sorted = *c;
    qsort(sorted.num, (size_t)c->n, sizeof *sorted.num, compare);
    for (int i = 0; i < c->n; i++)
        buf_printf(out, "%s%" PRId64, i ? "," : "", sorted.num[i]);
    buf_printf(out, "=>%" PRId64, c->target);
}

static void push_prompt(const struct countdown *c, struct buf *out) {
    for (int i = 0; i < c->n; i++) buf_printf(out, "%s%" PRId64, i ? " " : "", c->num[i]);
    buf_printf(out, "=%" PRId64, c->target);
}

/* Reads numbers up to `end`, then the target: a prompt (`44 19 35=98`) or a key. */
static bool read_text(const char *s, const char *end, struct countdown *c) {
    const char *stop = strstr(s, end);
    char *at;
    for (c->n = 0; stop && s < stop && c->n < COUNTDOWN_MAX_NUMBERS;
         s = at + (at < stop)) {
        c->num[c->n++] = strtoll(s, &at, 10);
        if (at == s) return false;
    }
    if (!stop || s < stop || !c->n) return false;
    s = stop + strlen(end);
    c->target = strtoll(s, &at, 10);
    return at > s && !*at;
}

static struct countdown of_draft(const struct draft *d) {
    struct countdown c = {.n = d->n, .target = d->target};
    memcpy(c.num, d->num, (size_t)d->n * sizeof *c.num);
    return c;
}

static void key(const struct draft *d, struct buf *out) {
    struct countdown c = of_draft(d);
    push_key(&c, out);
}

static bool is_solvable(const struct draft *d) {
    struct countdown c = of_draft(d);
    return countdown_uses_all(&c);
}

/* A fraction as an operand stands in parentheses, so that the step reads as it is. */
static void push_ratio(struct ratio r, bool operand, struct buf *out) {
    if (r.den == 1) buf_printf(out, "%" PRId64, r.num);
    else
        buf_printf(out, operand ? "(%" PRId64 "/%" PRId64 ")" : "%" PRId64 "/%" PRId64,
                   r.num, r.den);
}

static void push_steps(const struct countdown_step *step, int n, struct buf *out) {
    for (int i = 0; i < n; i++) {
        if (i) buf_puts(out, ";");
        push_ratio(step[i].a, true, out);
        buf_push(out, &step[i].op, 1);
        push_ratio(step[i].b, true, out);
        buf_puts(out, "=");
        push_ratio(step[i].result, false, out);
    }
}

/* `44+19=63;63-35=28|44+19=63;63+35=98`: tries apart by |, steps by ;. */
static void push_trace(const struct spec_value *v, const struct countdown *c,
                       struct buf *trace) {
    struct countdown_plan plan;
    struct buf think = {0}, answer = {0};
    if (!countdown_solve(c, v[P_TRACE].lo ? (int)v[P_TRIES].lo : 0, &plan)) return;
    for (int i = 0; i < plan.n_tries; i++) {
        push_steps(plan.tries[i], plan.n_steps, &think);
        buf_puts(&think, "|");
    }
    push_steps(plan.step, plan.n_steps, &think);
    if (!plan.n_steps) buf_printf(&think, "%" PRId64 "=%" PRId64, c->target, c->target);
    countdown_push_expr(c, &plan, &answer);
    kind_push_trace(trace, buf_text(&think), buf_text(&answer));
    buf_clear(&think);
    buf_clear(&answer);
}

static void write_texts(const struct spec_value *v, const struct draft *d,
                        struct problem_text *t) {
    struct countdown c = of_draft(d);
    push_prompt(&c, &t->prompt);
    push_key(&c, &t->gold);
    push_trace(v, &c, &t->trace);
}

static const char *alphabet(const struct spec_value *v) {
    return v[P_TRACE].lo ? "0123456789 =+-*/();|" : "0123456789 =+-*/();";
}

static bool read_whole(const cJSON *item, int64_t *out) {
    if (!cJSON_IsNumber(item)) return false;
    double x = item->valuedouble;
    if (!(x >= 0 && x <= COUNTDOWN_MAX_VALUE)) return false;
    *out = (int64_t)x;
    return (double)*out == x;
}

/* {"target": 98, "nums": [44, 19, 35]}, or both in verl's reward_model.ground_truth,
 * where TinyZero calls the second one `numbers`. */
static int row(const cJSON *json, struct problem_text *t, struct err *err) {
    struct countdown c = {0};
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(json, "reward_model");
    const cJSON *truth = cJSON_GetObjectItemCaseSensitive(model, "ground_truth");
    if (cJSON_IsObject(truth)) json = truth;
    const cJSON *nums = cJSON_GetObjectItemCaseSensitive(json, "nums"), *num;
    if (!nums) nums = cJSON_GetObjectItemCaseSensitive(json, "numbers");
    if (!read_whole(cJSON_GetObjectItemCaseSensitive(json, "target"), &c.target))
        return err_set(err, EX_DATAERR, "\"target\" must be an integer from 0 to %d",
                       COUNTDOWN_MAX_VALUE);
    int n = cJSON_IsArray(nums) ? cJSON_GetArraySize(nums) : 0;
    if (n < 1 || n > COUNTDOWN_MAX_NUMBERS)
        return err_set(err, EX_DATAERR, "\"nums\" must be a list of 1 to %d integers",
                       COUNTDOWN_MAX_NUMBERS);
    cJSON_ArrayForEach(num, nums) {
        if (!read_whole(num, &c.num[c.n++]))
            return err_set(err, EX_DATAERR,
                           "\"nums\" must hold integers from 0 to %d, item %d is none",
                           COUNTDOWN_MAX_VALUE, c.n);
    }
    push_prompt(&c, &t->prompt);
    push_key(&c, &t->key);
    push_key(&c, &t->gold);
    return 0;
}

static void retrace(const struct spec_value *v, const char *prompt, struct buf *trace) {
    struct countdown c;
    if (read_text(prompt, "=", &c)) push_trace(v, &c, trace);
}

/* False, with the verdict, where a number is not in the list or is used twice. */
static bool uses_fairly(const struct countdown *c, const struct expr *e,
                        struct verdict *out) {
    bool used[COUNTDOWN_MAX_NUMBERS] = {false};
    for (int i = 0; i < e->n; i++) {
        if (e->item[i].op) continue;
        int k = 0;
        bool known = false;
        for (; k < c->n; k++) {
            known |= c->num[k] == e->item[i].num;
            if (c->num[k] == e->item[i].num && !used[k]) break;
        }
        if (k == c->n) {
            verdict_set(out, VERDICT_OK, 0, "%" PRId64 " is %s", e->item[i].num,
                        known ? "used too often" : "not among the numbers");
            return false;
        }
        used[k] = true;
    }
    return true;
}

static void score_expr(const struct countdown *c, const char *s, size_t n,
                       struct verdict *out) {
    struct expr e;
    struct ratio value;
    const char *why;
    enum expr_status status = expr_parse(&e, s, n, &why);
    if (status != EXPR_OK) {
        verdict_set(out, status == EXPR_LIMIT ? VERDICT_LIMIT : VERDICT_UNPARSABLE, 0,
                    "%s", why);
        return;
    }
    if (!uses_fairly(c, &e, out)) return;
    status = expr_eval(&e, &value);
    if (status == EXPR_ZERO) {
        verdict_set(out, VERDICT_OK, 0, "a division by zero");
    } else if (status != EXPR_OK) {
        verdict_set(out, VERDICT_LIMIT, 0, "a value does not fit 64 bits");
    } else if (value.num == c->target && value.den == 1) {
        verdict_set(out, VERDICT_OK, 1, "right");
    } else {
        verdict_set(out, VERDICT_OK, 0, "%" PRId64 "/%" PRId64 ", expected %" PRId64,
                    value.num, value.den, c->target);
    }
}

/* `expr` or `expr = target`. */
static void score(const struct problem *p, const char *answer, size_t n,
                  struct verdict *out) {
    struct countdown c;
    if (!read_text(p->gold, "=>", &c)) {
        verdict_set(out, VERDICT_NOT_SCORABLE, 0, "the reference is no countdown");
        return;
    }
    if (n > MAX_ANSWER_BYTES) {
        verdict_set(out, VERDICT_LIMIT, 0, "the answer has %zu bytes, more than %d", n,
                    MAX_ANSWER_BYTES);
        return;
    }
    const char *equals = memchr(answer, '=', n);
    if (!equals) {
        score_expr(&c, answer, n, out);
        return;
    }
    size_t n_right = n - (size_t)(equals + 1 - answer);
    const char *right = answer_trim(equals + 1, &n_right);
    if (!answer_is_integer(right, n_right)) {
        verdict_set(out, VERDICT_UNPARSABLE, 0, "what follows '=' is no integer");
        return;
    }
    score_expr(&c, answer, (size_t)(equals - answer), out);
    char want[32];
    int len = snprintf(want, sizeof want, "%" PRId64, c.target);
    if (out->score > 0 && ((size_t)len != n_right || memcmp(want, right, n_right) != 0))
        verdict_set(out, VERDICT_OK, 0, "what follows '=' is not %" PRId64, c.target);
}

const struct kind kind_countdown = {
    .name = "countdown",
    .version = "countdown/1",
    .help = "reach the target with + - * / , each number at most once: 44 19 35=98",
    .param = params,
    .n_params = N_PARAMS,
    .draw = draw,
    .key = key,
    .accept = is_solvable,
    .write = write_texts,
    .alphabet = alphabet,
    .row = row,
    .retrace = retrace,
    .many_answers = true,
    .score = score,
};
