/* reward/kind.h: what one kind of problem is made of. Inside reward/ only.
 *
 * A kind is a static table in reward/<kind>.c: its parameters, a generator (draw, key,
 * accept, write), a reader of file rows (row, retrace) and the checker of its answers
 * (score). A kind has a generator, a row reader, or both. Every function is pure: any
 * thread may call it.
 */
#ifndef REWARD_KIND_H
#define REWARD_KIND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/rng.h"
#include "reward/problem.h"
#include "reward/spec.h"
#include "reward/verdict.h"

#define DRAFT_MAX 32

/* A generated problem before it is text. Each kind uses the fields it needs. */
struct draft {
    int n;                  /* numbers, terms or letters */
    int64_t num[DRAFT_MAX]; /* [n] */
    char op[DRAFT_MAX];     /* [n]: chain_sum's sign before each term */
    char word[DRAFT_MAX + 1];
    int64_t target; /* countdown's target; 1 for a descending number_sorting */
    bool slip; /* spell_backward: the teacher gets it wrong */
};

/* The draws of one candidate: a stream and the place in it. */
struct dice {
    struct rng_key key;
    uint32_t position;
};

/* Uniform in lo..hi. */
int64_t dice_between(struct dice *dice, int64_t lo, int64_t hi);

/* Uniform among the numbers whose count of digits is drawn from `digits`; never 0. */
int64_t dice_digits(struct dice *dice, struct spec_value digits);

/* A problem's texts while they are built; zeroed is empty. */
struct problem_text {
    struct buf key, prompt, gold, trace, columns;
};

void problem_text_reset(struct problem_text *t);
void problem_text_clear(struct problem_text *t);

struct cJSON;

struct kind {
    const char *name;    /* "countdown" */
    const char *version; /* of `score`: "countdown/1" */
    const char *help;    /* one line */
    const struct spec_param *param;
    int n_params;

    /* Draws a candidate; false drops it. NULL: files only. */
    bool (*draw)(const struct spec_value *v, struct dice *dice, struct draft *d);
    /* The canonical form, which decides the split. */
    void (*key)(const struct draft *d, struct buf *out);
    /* A last, dear test of a candidate of the right split. NULL: all pass. */
    bool (*accept)(const struct draft *d);
    /* Prompt, gold and trace. */
    void (*write)(const struct spec_value *v, const struct draft *d,
                  struct problem_text *t);
    /* Every character of prompts, traces and answers, in any order. */
    const char *(*alphabet)(const struct spec_value *v);

    /* Reads one row of a file into all of *t; the trace stays empty where there is none.
     * On -1 the message says what is wrong, without the place. NULL: no files. */
    int (*row)(const struct cJSON *row, struct problem_text *t, struct err *err);
    /* Writes the trace of a row that came without, from its prompt. NULL: no teacher. */
    void (*retrace)(const struct spec_value *v, const char *prompt, struct buf *trace);

    const char *checker; /* that judges its answers, in the place of `score`; or NULL */

    bool many_answers; /* the gold is not the one right answer, so nothing is half right */

    /* Scores the trimmed answer (n bytes, n > 0). NULL where there is a checker. */
    void (*score)(const struct problem *p, const char *answer, size_t n,
                  struct verdict *out);
};

extern const struct kind kind_countdown, kind_chain_sum, kind_products, kind_gcd,
    kind_number_sorting, kind_spell_backward, kind_gsm8k, kind_jsonl, kind_code;

/* Kind i, NULL past the last. */
const struct kind *kind_at(int i);
/* NULL where there is none. */
const struct kind *kind_find(const char *name);

/* The key of a prompt: with other white space it is the same problem. */
void kind_push_prompt_key(const char *prompt, struct buf *out);

/* `<think>` + think + `</think><answer>` + answer + `</answer>`. */
void kind_push_trace(struct buf *trace, const char *think, const char *answer);

#endif
