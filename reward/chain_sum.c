/* reward/chain_sum.c: a sum of a few terms. Prompt `47+85-9=`, answer `123`.
 *
 * Running totals never fall below zero, so neither do answers. The same terms in another
 * order are the same problem, so that a test sum has no reordered twin in train.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "reward/answer.h"
#include "reward/kind.h"

#define MAX_COLUMNS 20

enum { P_TERMS, P_DIGITS, P_OPS, P_TRACE, N_PARAMS };

static const struct spec_param params[N_PARAMS] = {
    {"terms", SPEC_RANGE, {2, 10}, {2, 3}, NULL, false, "how many terms"},
    {"digits", SPEC_RANGE, {1, 9}, {1, 2}, NULL, false, "digits of a term"},
    {"ops", SPEC_WORD, {0, 1}, {1, 1}, "+|+-", false, "the signs between terms"},
    {"trace", SPEC_WORD, {0, 1}, {0, 0}, "steps|digits", false,
     "running totals, or each of them digit by digit with carries"},
};

static bool draw(const struct spec_value *v, struct dice *dice, struct draft *d) {
    int64_t total = 0;
    d->n = (int)dice_between(dice, v[P_TERMS].lo, v[P_TERMS].hi);
    for (int i = 0; i < d->n; i++) {
        d->num[i] = dice_digits(dice, v[P_DIGITS]);
        bool minus = i && v[P_OPS].lo && dice_between(dice, 0, 1);
        d->op[i] = minus ? '-' : '+';
        total += minus ? -d->num[i] : d->num[i];
        if (total < 0) return false;
    }
    return true;
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Added terms in order of size, then subtracted ones: `47+85-9`. */
static void key(const struct draft *d, struct buf *out) {
    for (const char *sign = "+-"; *sign; sign++) {
        int64_t num[DRAFT_MAX];
        size_t n = 0;
        for (int i = 0; i < d->n; i++)
            if (d->op[i] == *sign) num[n++] = d->num[i];
        qsort(num, n, sizeof *num, compare);
        for (size_t i = 0; i < n; i++) {
            if (out->len) buf_push(out, sign, 1);
            buf_printf(out, "%" PRId64, num[i]);
        }
    }
}

/* `7+5=12,4+8+1=13` for 47+85 and `12-9=3,3-0-1=2,1-0=1` for 132-9: right to left, a
 * borrowed ten written as a leading 1, the carry or borrow as the last term. */
static void push_columns(int64_t a, int64_t b, char op, struct buf *out) {
    int carry = 0;
    for (int i = 0; i < MAX_COLUMNS && (i == 0 || a || b); i++) {
        int x = (int)(a % 10), y = (int)(b % 10), result;
        if (op == '+') {
            result = x + y + carry;
        } else {
            if (x - y - carry < 0) x += 10;
            result = x - y - carry;
        }
        buf_printf(out, "%s%d%c%d", i ? "," : "", x, op, y);
        if (carry) buf_printf(out, "%c1", op);
        buf_printf(out, "=%d", result);
        carry = op == '+' ? result >= 10 : x >= 10;
        a /= 10;
        b /= 10;
    }
}

static void write_texts(const struct spec_value *v, const struct draft *d,
                        struct problem_text *t) {
    struct buf think = {0};
    int64_t total = d->num[0];
    buf_printf(&t->prompt, "%" PRId64, d->num[0]);
    for (int i = 1; i < d->n; i++) {
        int64_t before = total;
        total += d->op[i] == '-' ? -d->num[i] : d->num[i];
        buf_printf(&t->prompt, "%c%" PRId64, d->op[i], d->num[i]);
        buf_printf(&think, "%s%" PRId64 "%c%" PRId64, i > 1 ? ";" : "", before, d->op[i],
                   d->num[i]);
        if (v[P_TRACE].lo) {
            buf_puts(&think, ":");
            push_columns(before, d->num[i], d->op[i], &think);
            buf_puts(&think, ">");
        } else {
            buf_puts(&think, "=");
        }
        buf_printf(&think, "%" PRId64, total);
    }
    buf_puts(&t->prompt, "=");
    buf_printf(&t->gold, "%" PRId64, total);
    kind_push_trace(&t->trace, buf_text(&think), buf_text(&t->gold));
    buf_clear(&think);
}

static const char *alphabet(const struct spec_value *v) {
    return v[P_TRACE].lo ? "0123456789+-=;:,>" : "0123456789+-=;";
}

const struct kind kind_chain_sum = {
    .name = "chain_sum",
    .version = "chain_sum/1",
    .help = "add and subtract from left to right: 47+85-9=",
    .param = params,
    .n_params = N_PARAMS,
    .draw = draw,
    .key = key,
    .write = write_texts,
    .alphabet = alphabet,
    .score = answer_score_integer,
};
