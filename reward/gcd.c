/* reward/gcd.c: the greatest common divisor. Prompt `gcd 48 36`, answer `12`.
 *
 * Two random numbers have the divisor 1 in 61 % of the cases, which teaches to answer 1;
 * so a divisor is drawn first, then multiples of it (four sizes of them at least).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "reward/answer.h"
#include "reward/kind.h"

enum { P_COUNT, P_MAX, N_PARAMS };

static const struct spec_param params[N_PARAMS] = {
    {"count", SPEC_RANGE, {2, 8}, {2, 2}, NULL, false, "how many numbers"},
    {"max", SPEC_INT, {8, 1000000}, {99, 99}, NULL, false, "the largest number"},
};

static bool draw(const struct spec_value *v, struct dice *dice, struct draft *d) {
    int64_t divisor = dice_between(dice, 1, v[P_MAX].lo / 4);
    d->n = (int)dice_between(dice, v[P_COUNT].lo, v[P_COUNT].hi);
    for (int i = 0; i < d->n; i++)
        d->num[i] = divisor * dice_between(dice, 1, v[P_MAX].lo / divisor);
    return true;
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void key(const struct draft *d, struct buf *out) {
    int64_t num[DRAFT_MAX];
    memcpy(num, d->num, sizeof num);
    qsort(num, (size_t)d->n, sizeof *num, compare);
    for (int i = 0; i < d->n; i++) buf_printf(out, "%s%" PRId64, i ? "," : "", num[i]);
}

/* Euclid, `48=36*1+12;36=12*3+0`; a further number starts again with the divisor so far.
 */
static void write_texts(const struct spec_value *v, const struct draft *d,
                        struct problem_text *t) {
    (void)v;
    struct buf think = {0};
    int64_t divisor = d->num[0];
    buf_printf(&t->prompt, "gcd %" PRId64, d->num[0]);
    for (int i = 1; i < d->n; i++) {
        int64_t a = d->num[i], b = divisor;
        buf_printf(&t->prompt, " %" PRId64, a);
        if (a < b) {
            a = divisor;
            b = d->num[i];
        }
        while (b) {
            int64_t rest = a % b;
            buf_printf(&think, "%s%" PRId64 "=%" PRId64 "*%" PRId64 "+%" PRId64,
                       think.len ? ";" : "", a, b, a / b, rest);
            a = b;
            b = rest;
        }
        divisor = a;
    }
    buf_printf(&t->gold, "%" PRId64, divisor);
    kind_push_trace(&t->trace, buf_text(&think), buf_text(&t->gold));
    buf_clear(&think);
}

static const char *alphabet(const struct spec_value *v) {
    (void)v;
    return "0123456789 gcd=*+;";
}

const struct kind kind_gcd = {
    .name = "gcd",
    .version = "gcd/1",
    .help = "the greatest common divisor: gcd 48 36",
    .param = params,
    .n_params = N_PARAMS,
    .draw = draw,
    .key = key,
    .write = write_texts,
    .alphabet = alphabet,
    .score = answer_score_integer,
};
