/* reward/number_sorting.c: put numbers in order. Prompt `asc 5 3 9`, answer `3 5 9`.
 *
 * The same numbers in another order of the prompt are the same problem.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "reward/answer.h"
#include "reward/kind.h"

enum { P_COUNT, P_MAX, P_ORDER, N_PARAMS };
enum { ORDER_ASC, ORDER_DESC, ORDER_BOTH };

static const struct spec_param params[N_PARAMS] = {
    {"count", SPEC_RANGE, {2, 16}, {3, 5}, NULL, false, "how many numbers"},
    {"max", SPEC_INT, {1, 1000000}, {99, 99}, NULL, false, "the largest number"},
    {"order", SPEC_WORD, {0, 2}, {ORDER_ASC, ORDER_ASC}, "asc|desc|both", false,
     "rising, falling, or either"},
};

static bool draw(const struct spec_value *v, struct dice *dice, struct draft *d) {
    d->n = (int)dice_between(dice, v[P_COUNT].lo, v[P_COUNT].hi);
    d->target = v[P_ORDER].lo == ORDER_BOTH ? dice_between(dice, 0, 1) : v[P_ORDER].lo;
    for (int i = 0; i < d->n; i++) d->num[i] = dice_between(dice, 0, v[P_MAX].lo);
    return true;
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void push_list(const int64_t *num, int n, struct buf *out) {
    for (int i = 0; i < n; i++) buf_printf(out, "%s%" PRId64, i ? " " : "", num[i]);
}

static void key(const struct draft *d, struct buf *out) {
    int64_t num[DRAFT_MAX];
    memcpy(num, d->num, sizeof num);
    qsort(num, (size_t)d->n, sizeof *num, compare);
    buf_puts(out, d->target == ORDER_DESC ? "desc " : "asc ");
    push_list(num, d->n, out);
}

/* Selection: `3|5 9;5|9;9`, the next number, then what is left. */
static void write_texts(const struct spec_value *v, const struct draft *d,
                        struct problem_text *t) {
    (void)v;
    struct buf think = {0};
    int64_t left[DRAFT_MAX];
    memcpy(left, d->num, sizeof left);
    buf_puts(&t->prompt, d->target == ORDER_DESC ? "desc " : "asc ");
    push_list(left, d->n, &t->prompt);
    for (int n = d->n; n; n--) {
        int best = 0;
        for (int i = 1; i < n; i++)
            if (d->target == ORDER_DESC ? left[i] > left[best] : left[i] < left[best])
                best = i;
        buf_printf(&think, "%s%" PRId64, think.len ? ";" : "", left[best]);
        buf_printf(&t->gold, "%s%" PRId64, t->gold.len ? " " : "", left[best]);
        memmove(left + best, left + best + 1, (size_t)(n - 1 - best) * sizeof *left);
        if (n > 1) buf_puts(&think, "|");
        push_list(left, n - 1, &think);
    }
    kind_push_trace(&t->trace, buf_text(&think), buf_text(&t->gold));
    buf_clear(&think);
}

static const char *alphabet(const struct spec_value *v) {
    return v[P_ORDER].lo == ORDER_ASC    ? "0123456789 asc|;"
           : v[P_ORDER].lo == ORDER_DESC ? "0123456789 desc|;"
                                         : "0123456789 ascde|;";
}

/* One spelling of a list of integers apart by blanks or by commas with or without blanks
 * around them: `3 5 9`. False where the text is none. */
static bool read_list(const char *s, size_t n, struct buf *out) {
    size_t i = 0;
    for (;;) {
        size_t len = 0, commas = 0, gap = 0;
        while (i + len < n && s[i + len] != ' ' && s[i + len] != ',') len++;
        if (!answer_is_integer(s + i, len)) return false;
        if (out->len) buf_puts(out, " ");
        buf_push(out, s + i, len);
        i += len;
        if (i == n) return true;
        while (i + gap < n && (s[i + gap] == ' ' || s[i + gap] == ','))
            commas += s[i + gap++] == ',';
        if (commas > 1) return false;
        i += gap;
    }
}

static void score(const struct problem *p, const char *answer, size_t n,
                  struct verdict *out) {
    struct buf list = {0};
    if (!read_list(answer, n, &list)) {
        verdict_set(out, VERDICT_UNPARSABLE, 0, "the answer is no list of integers");
    } else if (strcmp(buf_text(&list), p->gold) == 0) {
        verdict_set(out, VERDICT_OK, 1, "right");
    } else {
        verdict_set(out, VERDICT_OK, 0, "expected %.60s", p->gold);
    }
    buf_clear(&list);
}

const struct kind kind_number_sorting = {
    .name = "number_sorting",
    .version = "number_sorting/1",
    .help = "put numbers in order: asc 5 3 9",
    .param = params,
    .n_params = N_PARAMS,
    .draw = draw,
    .key = key,
    .write = write_texts,
    .alphabet = alphabet,
    .score = score,
};
