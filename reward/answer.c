/* reward/answer.c: see answer.h. */
#include "reward/answer.h"

#include <string.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool answer_is_integer(const char *s, size_t n) {
    if (n == 1 && s[0] == '0') return true;
    size_t i = n > 0 && s[0] == '-';
    if (i == n || s[i] == '0') return false;
    while (i < n && is_digit(s[i])) i++;
    return i == n;
}

const char *answer_trim(const char *s, size_t *n) {
    while (*n && is_space(s[*n - 1])) --*n;
    while (*n && is_space(*s)) {
        s++;
        --*n;
    }
    return s;
}

/* The digits of `whole` at s[i...] into out; returns where they end, 0 where there are
 * none. A comma, once used, stands before every group of three. */
static size_t read_whole(const char *s, size_t n, size_t i, char *out, size_t *len) {
    size_t first = i;
    while (i < n && is_digit(s[i])) out[(*len)++] = s[i++];
    if (i == first || (s[first] == '0' && i > first + 1)) return 0;
    if (i == n || s[i] != ',') return i;
    if (i - first > 3 || s[first] == '0') return 0;
    while (i < n && s[i] == ',') {
        for (size_t k = 1; k <= 3; k++) {
            if (i + k >= n || !is_digit(s[i + k])) return 0;
            out[(*len)++] = s[i + k];
        }
        i += 4;
    }
    return i < n && is_digit(s[i]) ? 0 : i;
}

bool answer_number(const char *s, size_t n, char out[ANSWER_MAX_DIGITS + 1]) {
    if (n > ANSWER_MAX_DIGITS) return false;
    char num[ANSWER_MAX_DIGITS + 2];
    size_t i = 0, len = 0;
    bool minus = i < n && s[i] == '-';
    if (minus) i++;
    if (i < n && s[i] == '$') i++;
    if (!minus && i && i < n && s[i] == '-') {
        minus = true;
        i++;
    }
    i = read_whole(s, n, i, num, &len);
    if (!i) return false;
    if (i < n && s[i] == '.') {
        size_t point = len;
        num[len++] = s[i++];
        while (i < n && is_digit(s[i])) num[len++] = s[i++];
        if (len == point + 1) return false;
        while (num[len - 1] == '0') len--;
        if (num[len - 1] == '.') len--;
    }
    if (i != n) return false;
    if (len == 1 && num[0] == '0') minus = false;
    if (minus) *out++ = '-';
    memcpy(out, num, len);
    out[len] = 0;
    return true;
}

void answer_score_integer(const struct problem *p, const char *answer, size_t n,
                          struct verdict *out) {
    if (!answer_is_integer(answer, n)) {
        verdict_set(out, VERDICT_UNPARSABLE, 0, "the answer is no plain integer");
    } else if (strlen(p->gold) == n && memcmp(p->gold, answer, n) == 0) {
        verdict_set(out, VERDICT_OK, 1, "right");
    } else {
        int shown = n < 40 ? (int)n : 40;
        verdict_set(out, VERDICT_OK, 0, "%.*s, expected %.40s", shown, answer, p->gold);
    }
}

void answer_score_number(const struct problem *p, const char *answer, size_t n,
                         struct verdict *out) {
    char want[ANSWER_MAX_DIGITS + 1], got[ANSWER_MAX_DIGITS + 1];
    if (!answer_number(p->gold, strlen(p->gold), want)) {
        verdict_set(out, VERDICT_NOT_SCORABLE, 0, "the reference is no number");
    } else if (!answer_number(answer, n, got)) {
        verdict_set(out, VERDICT_UNPARSABLE, 0, "the answer is no plain number");
    } else if (strcmp(want, got) == 0) {
        verdict_set(out, VERDICT_OK, 1, "right");
    } else {
        verdict_set(out, VERDICT_OK, 0, "%.40s, expected %.40s", got, want);
    }
}

/* The next character with runs of white space as one space; -1 at the end. */
static int next_folded(const char *s, size_t n, size_t *i) {
    if (*i == n) return -1;
    if (!is_space(s[*i])) return (unsigned char)s[(*i)++];
    while (*i < n && is_space(s[*i])) ++*i;
    return ' ';
}

void answer_score_text(const struct problem *p, const char *answer, size_t n,
                       struct verdict *out) {
    size_t n_gold = strlen(p->gold), i = 0, k = 0;
    const char *gold = answer_trim(p->gold, &n_gold);
    if (!n_gold) {
        verdict_set(out, VERDICT_NOT_SCORABLE, 0, "the problem has no reference answer");
        return;
    }
    int a, b;
    do {
        a = next_folded(gold, n_gold, &i);
        b = next_folded(answer, n, &k);
    } while (a == b && a >= 0);
    if (a == b) {
        verdict_set(out, VERDICT_OK, 1, "right");
    } else {
        verdict_set(out, VERDICT_OK, 0, "not the reference text");
    }
}
