/* reward/products.c: the product of two numbers. Prompt `47*85=`, answer `3995`.
 *
 * a*b and b*a are the same problem.
 */
#include <inttypes.h>

#include "reward/answer.h"
#include "reward/kind.h"

#define MAX_PARTS 36

enum { P_DIGITS_A, P_DIGITS_B, N_PARAMS };

static const struct spec_param params[N_PARAMS] = {
    {"digits_a", SPEC_RANGE, {1, 6}, {1, 2}, NULL, false, "digits of the first number"},
    {"digits_b", SPEC_RANGE, {1, 6}, {1, 2}, NULL, false, "digits of the second"},
};

static bool draw(const struct spec_value *v, struct dice *dice, struct draft *d) {
    d->n = 2;
    d->num[0] = dice_digits(dice, v[P_DIGITS_A]);
    d->num[1] = dice_digits(dice, v[P_DIGITS_B]);
    return true;
}

static void key(const struct draft *d, struct buf *out) {
    bool swap = d->num[0] > d->num[1];
    buf_printf(out, "%" PRId64 "*%" PRId64, d->num[swap], d->num[!swap]);
}

/* The parts of a number: 407 gives 400 and 7. */
static int split_digits(int64_t a, int64_t *part) {
    int n = 0;
    int64_t unit = 1;
    while (unit <= a / 10) unit *= 10;
    for (; unit; unit /= 10)
        if (a / unit % 10) part[n++] = a / unit % 10 * unit;
    return n;
}

/* `40*80=3200;40*5=200;7*80=560;7*5=35;3200+200=3400;3400+560=3960;3960+35=3995`. */
static void push_steps(int64_t a, int64_t b, struct buf *out) {
    int64_t x[6], y[6], part[MAX_PARTS];
    int n_x = split_digits(a, x), n_y = split_digits(b, y), n = 0;
    for (int i = 0; i < n_x; i++) {
        for (int k = 0; k < n_y; k++) {
            part[n] = x[i] * y[k];
            buf_printf(out, "%s%" PRId64 "*%" PRId64 "=%" PRId64, n ? ";" : "", x[i],
                       y[k], part[n]);
            n++;
        }
    }
    int64_t total = part[0];
    for (int i = 1; i < n; i++) {
        buf_printf(out, ";%" PRId64 "+%" PRId64 "=%" PRId64, total, part[i],
                   total + part[i]);
        total += part[i];
    }
}

static void write_texts(const struct spec_value *v, const struct draft *d,
                        struct problem_text *t) {
    (void)v;
    struct buf think = {0};
    push_steps(d->num[0], d->num[1], &think);
    buf_printf(&t->prompt, "%" PRId64 "*%" PRId64 "=", d->num[0], d->num[1]);
    buf_printf(&t->gold, "%" PRId64, d->num[0] * d->num[1]);
    kind_push_trace(&t->trace, buf_text(&think), buf_text(&t->gold));
    buf_clear(&think);
}

static const char *alphabet(const struct spec_value *v) {
    (void)v;
    return "0123456789*+=;";
}

const struct kind kind_products = {
    .name = "products",
    .version = "products/1",
    .help = "multiply two numbers: 47*85=",
    .param = params,
    .n_params = N_PARAMS,
    .draw = draw,
    .key = key,
    .write = write_texts,
    .alphabet = alphabet,
    .score = answer_score_integer,
};
