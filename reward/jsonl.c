/* reward/jsonl.c: problems from rows of JSON: any file of prompts with short answers.
 *
 * Kind `jsonl` reads the shapes of TRL (`prompt` and `answer`, `solution` or
 * `ground_truth`), verl (`prompt` as a list of messages, `reward_model.ground_truth`) and
 * GSM8K. Kind `gsm8k` insists on `question` and `answer` with `#### number`, and teaches
 * from the worked-out answer. reward/problem.c cuts the lines.
 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "reward/answer.h"
#include "reward/kind.h"

#define MARK "####"

static const cJSON *get(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* The first of several keys that the row has; *name is which. */
static const cJSON *get_first(const cJSON *row, const char *const *keys,
                              const char **name) {
    for (; *keys; keys++) {
        const cJSON *item = get(row, *keys);
        *name = *keys;
        if (item) return item;
    }
    return NULL;
}

/* A string, or the contents of a list of {"role", "content"} messages, line by line. */
static int push_prompt(const cJSON *item, const char *name, struct buf *out,
                       struct err *err) {
    const cJSON *message;
    if (cJSON_IsString(item)) {
        buf_puts(out, item->valuestring);
    } else if (cJSON_IsArray(item)) {
        cJSON_ArrayForEach(message, item) {
            const cJSON *content = get(message, "content");
            if (!cJSON_IsString(content))
                return err_set(err, EX_DATAERR,
                               "\"%s\" has a message without a text \"content\"", name);
            if (out->len) buf_puts(out, "\n");
            buf_puts(out, content->valuestring);
        }
    }
    if (out->len) return 0;
    return err_set(err, EX_DATAERR, "\"%s\" must be a text or a list of messages", name);
}

void kind_push_prompt_key(const char *prompt, struct buf *out) {
    struct buf folded = {0};
    char hex[17];
    for (size_t n = strlen(prompt); n;) {
        const char *word = prompt = answer_trim(prompt, &n);
        size_t len = strcspn(word, " \t\r\n");
        if (len > n) len = n;
        if (folded.len) buf_puts(&folded, " ");
        buf_push(&folded, word, len);
        prompt += len;
        n -= len;
    }
    hash_hex(hash_bytes(buf_text(&folded), folded.len, 0), hex);
    buf_puts(out, hex);
    buf_clear(&folded);
}

/* A number as its writer wrote it, as far as a double can tell. */
static void push_number(double x, struct buf *out) {
    if (fabs(x) < 1e15 && x == floor(x)) {
        buf_printf(out, "%.0f", x + 0.0);
        return;
    }
    char text[32];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
    buf_puts(out, text);
}

static int push_gold(const cJSON *item, const char *name, struct buf *out,
                     struct err *err) {
    if (cJSON_IsString(item)) {
        const char *text = item->valuestring, *mark;
        while ((mark = strstr(text, MARK))) text = mark + strlen(MARK);
        size_t n = strlen(text);
        text = answer_trim(text, &n);
        buf_push(out, text, n);
    } else if (cJSON_IsNumber(item)) {
        push_number(item->valuedouble, out);
    } else if (cJSON_IsBool(item)) {
        buf_puts(out, cJSON_IsTrue(item) ? "true" : "false");
    } else if (!cJSON_IsNull(item)) {
        return err_set(err, EX_DATAERR, "\"%s\" must be a text or a number", name);
    }
    return 0;
}

static int row_jsonl(const cJSON *row, struct problem_text *t, struct err *err) {
    static const char *const prompts[] = {"prompt", "question", "problem", NULL};
    static const char *const golds[] = {"ground_truth", "answer", "solution", NULL};
    const char *name = "prompt";
    const cJSON *prompt = get_first(row, prompts, &name);
    if (!prompt) return err_set(err, EX_DATAERR, "no \"prompt\" or \"question\"");
    if (push_prompt(prompt, name, &t->prompt, err) != 0) return -1;
    const cJSON *gold = get(get(row, "reward_model"), "ground_truth");
    name = "ground_truth";
    if (!gold) gold = get_first(row, golds, &name);
    if (!gold)
        return err_set(err, EX_DATAERR,
                       "no \"answer\", \"solution\", \"ground_truth\" or "
                       "\"reward_model\": {\"ground_truth\"}");
    if (push_gold(gold, name, &t->gold, err) != 0) return -1;
    kind_push_prompt_key(buf_text(&t->prompt), &t->key);
    const cJSON *completion = get(row, "completion");
    if (cJSON_IsString(completion)) buf_puts(&t->trace, completion->valuestring);
    return 0;
}

/* The worked-out answer up to the mark, without the <<48/2=24>> notes. */
static void push_solution(const char *text, const char *mark, struct buf *out) {
    while (text < mark) {
        const char *note = strstr(text, "<<"), *end = note ? strstr(note, ">>") : NULL;
        if (!end || end > mark) break;
        buf_push(out, text, (size_t)(note - text));
        text = end + 2;
    }
    size_t n = (size_t)(mark - text);
    while (n && strchr(" \r\n", text[n - 1])) n--;
    buf_push(out, text, n);
}

static int row_gsm8k(const cJSON *row, struct problem_text *t, struct err *err) {
    const cJSON *question = get(row, "question"), *answer = get(row, "answer");
    if (!cJSON_IsString(question)) return err_set(err, EX_DATAERR, "no \"question\"");
    if (!cJSON_IsString(answer)) return err_set(err, EX_DATAERR, "no \"answer\"");
    const char *mark = strstr(answer->valuestring, MARK);
    size_t n = mark ? strlen(mark + strlen(MARK)) : 0;
    const char *text = mark ? answer_trim(mark + strlen(MARK), &n) : "";
    char gold[ANSWER_MAX_DIGITS + 1];
    if (!answer_number(text, n, gold))
        return err_set(err, EX_DATAERR, "\"answer\" does not end in \"#### number\"");
    struct buf think = {0};
    push_solution(answer->valuestring, mark, &think);
    if (push_prompt(question, "question", &t->prompt, err) != 0) {
        buf_clear(&think);
        return -1;
    }
    buf_puts(&t->gold, gold);
    kind_push_prompt_key(buf_text(&t->prompt), &t->key);
    kind_push_trace(&t->trace, buf_text(&think), gold);
    buf_clear(&think);
    return 0;
}

/* A reference that is a number is compared as one, any other as text. */
static void score_jsonl(const struct problem *p, const char *answer, size_t n,
                        struct verdict *out) {
    char number[ANSWER_MAX_DIGITS + 1];
    if (answer_number(p->gold, strlen(p->gold), number))
        answer_score_number(p, answer, n, out);
    else answer_score_text(p, answer, n, out);
}

const struct kind kind_gsm8k = {
    .name = "gsm8k",
    .version = "gsm8k/1",
    .help = "word problems from a file: question, answer with #### number",
    .row = row_gsm8k,
    .score = answer_score_number,
};

const struct kind kind_jsonl = {
    .name = "jsonl",
    .version = "jsonl/1",
    .help = "any prompts with short answers from a file, in the shapes of TRL and verl",
    .row = row_jsonl,
    .score = score_jsonl,
};
