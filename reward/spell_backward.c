/* reward/spell_backward.c: reverse a string of letters. Prompt `rev stone`, answer
 * `enots`.
 *
 * Strings are random letters, so there is no word list to ship and none to memorise.
 */
#include <string.h>

#include "reward/answer.h"
#include "reward/kind.h"

enum { P_LENGTH, P_LETTERS, P_SLIPS, N_PARAMS };

static const struct spec_param params[N_PARAMS] = {
    {"length", SPEC_RANGE, {1, DRAFT_MAX}, {3, 5}, NULL, false, "letters of a string"},
    {"letters", SPEC_INT, {2, 26}, {26, 26}, NULL, false, "drawn from a, b, c, ..."},
    {"slips", SPEC_INT, {0, 100}, {0, 0}, NULL, false,
     "percent of traces in which the teacher forgets to turn the word round"},
};

static bool draw(const struct spec_value *v, struct dice *dice, struct draft *d) {
    d->n = (int)dice_between(dice, v[P_LENGTH].lo, v[P_LENGTH].hi);
    for (int i = 0; i < d->n; i++)
        d->word[i] = (char)('a' + dice_between(dice, 0, v[P_LETTERS].lo - 1));
    d->word[d->n] = 0;
    d->slip = v[P_SLIPS].lo > 0 && dice_between(dice, 1, 100) <= v[P_SLIPS].lo;
    return true;
}

static void key(const struct draft *d, struct buf *out) { buf_puts(out, d->word); }

/* `1s2t3o;3o2t1s`: the place before its letter, so that the way back is a lookup. With
 * `slips`, some teachers forget to turn round: `1s2t3o;1s2t3o`, answer `sto`. Learning to
 * imitate them is learning to be wrong as often. */
static void write_texts(const struct spec_value *v, const struct draft *d,
                        struct problem_text *t) {
    (void)v;
    struct buf think = {0}, answer = {0};
    for (int i = 0; i < d->n; i++) buf_printf(&think, "%d%c", i + 1, d->word[i]);
    buf_puts(&think, ";");
    for (int k = 0; k < d->n; k++) {
        int i = d->slip ? k : d->n - 1 - k;
        buf_printf(&think, "%d%c", i + 1, d->word[i]);
        buf_push(&answer, &d->word[i], 1);
    }
    for (int i = d->n - 1; i >= 0; i--) buf_push(&t->gold, &d->word[i], 1);
    buf_printf(&t->prompt, "rev %s", d->word);
    kind_push_trace(&t->trace, buf_text(&think), buf_text(&answer));
    buf_clear(&think);
    buf_clear(&answer);
}

/* All letters, whatever `letters` is: sets of any size can then share a tokenizer. */
static const char *alphabet(const struct spec_value *v) {
    (void)v;
    return " 0123456789;abcdefghijklmnopqrstuvwxyz";
}

static void score(const struct problem *p, const char *answer, size_t n,
                  struct verdict *out) {
    for (size_t i = 0; i < n; i++) {
        if (answer[i] >= 'a' && answer[i] <= 'z') continue;
        verdict_set(out, VERDICT_UNPARSABLE, 0, "the answer is not one word of a-z");
        return;
    }
    if (strlen(p->gold) == n && memcmp(p->gold, answer, n) == 0)
        verdict_set(out, VERDICT_OK, 1, "right");
    else verdict_set(out, VERDICT_OK, 0, "expected %.60s", p->gold);
}

const struct kind kind_spell_backward = {
    .name = "spell_backward",
    .version = "spell_backward/1",
    .help = "reverse a string of letters: rev stone",
    .param = params,
    .n_params = N_PARAMS,
    .draw = draw,
    .key = key,
    .write = write_texts,
    .alphabet = alphabet,
    .score = score,
};
