/* reward/math_extract.c: see math_extract.h. */
#include "reward/math_extract.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *find(const char *s, size_t n, const char *what) {
    return n ? memmem(s, n, what, strlen(what)) : NULL;
}

/* Where `what` stands last; NULL for nowhere. */
static const char *find_last(const char *s, size_t n, const char *what) {
    size_t len = strlen(what);
    for (size_t i = n >= len ? n - len + 1 : 0; i-- > 0;) {
        const char *hit = memrchr(s, what[0], i + 1);
        if (!hit) return NULL;
        if (memcmp(hit, what, len) == 0) return hit;
        i = (size_t)(hit - s);
    }
    return NULL;
}

static void trim(struct math_span *x) {
    bool more = true;
    while (x->n && isspace((unsigned char)x->s[0])) x->s++, x->n--;
    while (x->n && isspace((unsigned char)x->s[x->n - 1])) x->n--;
    while (more && x->n > 4) { /* **5**, `5` */
        more = memcmp(x->s, "**", 2) == 0 && memcmp(x->s + x->n - 2, "**", 2) == 0;
        if (more) x->s += 2, x->n -= 4;
    }
    if (x->n > 2 && x->s[0] == '`' && x->s[x->n - 1] == '`') x->s++, x->n -= 2;
}

/* ---- boxes ---- */

/* \boxed{...} at s: what it holds. False where its brace is still open. */
static bool box_content(const char *s, size_t n, size_t name, struct math_span *out) {
    size_t i = name, depth = 0;
    while (i < n && s[i] == ' ') i++;
    if (i < n && s[i] != '{') { /* \boxed 5 */
        size_t from = i;
        while (i < n && !isspace((unsigned char)s[i]) && s[i] != '$') i++;
        *out = (struct math_span){s + from, i - from, "the last box", false};
        return i > from;
    }
    for (size_t from = i + 1; i < n; i++) {
        if (s[i] == '\\')
            i++;
        else if (s[i] == '{')
            depth++;
        else if (s[i] == '}' && --depth == 0) {
            *out = (struct math_span){s + from, i - from, "the last box", false};
            return true;
        }
    }
    return false;
}

/* 1: found; 0: there is no box; -1: the last one has no end. */
static int last_box(const char *s, size_t n, struct math_span *out) {
    const char *boxed = find_last(s, n, "\\boxed"), *fbox = find_last(s, n, "\\fbox");
    const char *at = !boxed || (fbox && fbox > boxed) ? fbox : boxed;
    if (!at) return 0;
    size_t name = at == boxed ? 6 : 5, left = n - (size_t)(at - s);
    if (name < left && isalpha((unsigned char)at[name])) return 0;
    return box_content(at, left, name, out) ? 1 : -1;
}

/* ---- other marks ---- */

/* Nothing but what stands between the parts of one answer: 1 \\text{ and } 2. */
static bool joins(const char *s, size_t n) {
    static const char *const words[] = {"\\qquad", "\\quad", "\\text", "and", "or",
                                        "\\(",     "\\)",    "\\[",    "\\]", NULL};
    bool said = false;
    for (size_t i = 0; i < n;) {
        int k = 0;
        while (words[k] && (strlen(words[k]) > n - i ||
                            memcmp(s + i, words[k], strlen(words[k])) != 0))
            k++;
        if (!words[k] && !strchr(" \n\t,;.$~{}", s[i])) return false;
        said |= words[k] ? words[k][0] != '\\' : s[i] == ',' || s[i] == ';';
        i += words[k] ? strlen(words[k]) : 1;
    }
    return said;
}

int math_extract_boxes(const char *s, size_t n, struct math_span *box, int max) {
    int found = 0;
    const char *end = NULL; /* of the box before */
    while (n) {
        const char *boxed = find(s, n, "\\boxed"), *fbox = find(s, n, "\\fbox");
        const char *at = !boxed || (fbox && fbox < boxed) ? fbox : boxed;
        if (!at) break;
        size_t name = at == boxed ? 6 : 5, left = n - (size_t)(at - s);
        struct math_span x;
        if (!box_content(at, left, name, &x)) break;
        if (!end || !joins(end, (size_t)(at - end))) found = 0;
        if (found == max) return 0;
        box[found++] = x;
        end = x.s + x.n;
        end += end < at + left && *end == '}';
        n -= (size_t)(end - s);
        s = end;
    }
    return found;
}

static bool last_answer_tag(const char *s, size_t n, struct math_span *out) {
    const char *end = find_last(s, n, "</answer>");
    const char *from = end ? find_last(s, (size_t)(end - s), "<answer>") : NULL;
    if (!from) return false;
    from += strlen("<answer>");
    *out = (struct math_span){from, (size_t)(end - from), "<answer>", false};
    return true;
}

static bool after_mark(const char *s, size_t n, struct math_span *out) {
    const char *at = find_last(s, n, "####");
    if (!at) return false;
    at += 4;
    const char *end = memchr(at, '\n', n - (size_t)(at - s));
    size_t left = n - (size_t)(at - s);
    *out = (struct math_span){at, end ? (size_t)(end - at) : left, "####", false};
    return true;
}

/* To the end of the sentence: a newline, or a full stop with white space after. A formula
 * that opens it ends it. */
static size_t sentence(const char *s, size_t n) {
    bool formula = false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\\') {
            i++;
            continue;
        }
        if (s[i] == '$') formula = !formula;
        if (s[i] == '\n' && !formula) return i;
        if (s[i] == '.' && !formula &&
            (i + 1 == n || isspace((unsigned char)s[i + 1]) || s[i + 1] == '*'))
            return i;
    }
    return n;
}

static bool after_phrase(const char *s, size_t n, struct math_span *out) {
    static const char *const marks[] = {"nswer is", "nswer:", "NSWER:", "NSWER IS", NULL};
    const char *best = NULL;
    size_t len = 0;
    for (int k = 0; marks[k]; k++) {
        const char *at = find_last(s, n, marks[k]);
        if (at && (!best || at > best)) best = at, len = strlen(marks[k]);
    }
    if (!best) return false;
    best += len;
    size_t left = n - (size_t)(best - s);
    while (left && (isspace((unsigned char)*best) || *best == ':' || *best == '*'))
        best++, left--;
    *out = (struct math_span){best, sentence(best, left), "\"answer is\"", false};
    while (out->n && out->s[out->n - 1] == '*') out->n--;
    return out->n > 0;
}

/* Where the last sentence begins. */
static size_t last_sentence(const char *s, size_t n) {
    while (n && strchr(" \n\t\r.*$", s[n - 1])) n--;
    for (size_t i = n; i-- > 1;)
        if ((s[i] == ' ' && strchr(".!?", s[i - 1])) || s[i] == '\n') return i;
    return 0;
}

bool math_extract_said(const char *s, size_t n, struct math_span *out) {
    static const char *const verbs[] = {" is ", " are ", " be ", " equals ",
                                        " by ", "=",     ": ",   NULL};
    const char *best = NULL;
    size_t len = 0, from = last_sentence(s, n);
    while (n && strchr(" \n\t\r.*$", s[n - 1])) n--;
    for (int k = 0; verbs[k]; k++) {
        const char *at = find_last(s + from, n - from, verbs[k]);
        if (at && (!best || at > best)) best = at, len = strlen(verbs[k]);
    }
    if (!best) return false;
    best += len;
    *out = (struct math_span){best, n - (size_t)(best - s), "the last sentence", false};
    trim(out);
    return out->n > 0;
}

/* ---- the whole ---- */

/* A chat's mark, as <|im_end|>, ends the response. */
static size_t before_marks(const char *s, size_t n) {
    const char *at = s;
    while ((at = find(at, n - (size_t)(at - s), "<|")) != NULL) {
        size_t i = (size_t)(at - s) + 2, from = i;
        while (i < n && (islower((unsigned char)s[i]) || s[i] == '_')) i++;
        if (i > from && i + 1 < n && s[i] == '|' && s[i + 1] == '>')
            return (size_t)(at - s);
        at += 2;
    }
    return n;
}

static bool after_thinking(const char **s, size_t *n) {
    const char *end = find_last(*s, *n, "</think>");
    if (end) {
        end += strlen("</think>");
        *n -= (size_t)(end - *s);
        *s = end;
    }
    return find(*s, *n, "<think>") == NULL;
}

bool math_extract(const char *s, size_t n, enum math_extract how, struct math_span *out) {
    *out = (struct math_span){.s = s, .n = n, .how = "the whole response", .whole = true};
    if (how == MATH_EXTRACT_WHOLE) {
        out->whole = false;
        trim(out);
        return true;
    }
    n = before_marks(s, n);
    if (!after_thinking(&s, &n)) {
        out->how = "the thinking has no end";
        return false;
    }
    int box = last_box(s, n, out);
    if (box < 0 || (box == 0 && how == MATH_EXTRACT_BOX)) {
        out->how = box < 0 ? "the last box has no end" : "no box";
        return false;
    }
    bool found = box > 0 || last_answer_tag(s, n, out) || after_mark(s, n, out) ||
                 after_phrase(s, n, out);
    if (!found) *out = (struct math_span){s, n, "the whole response", true};
    trim(out);
    return true;
}

void math_extract_gold(const char *gold, size_t n, struct math_span *out) {
    if (last_box(gold, n, out) <= 0 && !after_mark(gold, n, out))
        *out = (struct math_span){gold, n, "the gold", false};
    trim(out);
}

bool math_extract_formula(const char *s, size_t n, struct math_span *out) {
    const char *close = NULL, *open = NULL;
    static const char *const pairs[][2] = {{"\\(", "\\)"}, {"\\[", "\\]"}};
    for (int k = 0; k < 2; k++) {
        const char *end = find_last(s, n, pairs[k][1]);
        const char *from = end ? find_last(s, (size_t)(end - s), pairs[k][0]) : NULL;
        if (from && (!close || end > close)) close = end, open = from + 2;
    }
    const char *end = find_last(s, n, "$");
    while (end && end > s && end[-1] == '\\') end = find_last(s, (size_t)(end - s), "$");
    if (end && end > s && (!close || end > close)) {
        const char *stop = end;
        while (stop > s && stop[-1] == '$') stop--;
        const char *from = find_last(s, (size_t)(stop - s), "$");
        if (from) close = stop, open = from + 1;
    }
    if (!close || open >= close) return false;
    bool late = (size_t)(close - s) >= last_sentence(s, n);
    *out = (struct math_span){open, (size_t)(close - open),
                              late ? "the last formula" : "an earlier formula", false};
    trim(out);
    return out->n > 0;
}

/* ---- choices ---- */

/* s without font commands, braces, dollars and outer space; -1 past max. */
static int reduce(const char *s, size_t n, char *out, int max) {
    int k = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\\' && i + 1 < n && isalpha((unsigned char)s[i + 1])) {
            size_t j = i + 1;
            while (j < n && isalpha((unsigned char)s[j])) j++;
            bool font = (j - i > 4 && (memcmp(s + i, "\\text", 5) == 0 ||
                                       memcmp(s + i, "\\math", 5) == 0)) ||
                        (j - i == 5 && (memcmp(s + i, "\\mbox", 5) == 0 ||
                                        memcmp(s + i, "\\bold", 5) == 0 ||
                                        memcmp(s + i, "\\left", 5) == 0)) ||
                        (j - i == 6 && memcmp(s + i, "\\right", 6) == 0);
            if (!font) return -1;
            i = j - 1;
        } else if (s[i] == '\\' && i + 1 < n && strchr(" ,;:!()[]", s[i + 1])) {
            i++;
            if (k < max) out[k++] = ' ';
        } else if (!strchr("{}$*", s[i])) {
            if (k >= max) return -1;
            if (k || !isspace((unsigned char)s[i])) out[k++] = s[i];
        }
    }
    while (k && isspace((unsigned char)out[k - 1])) k--;
    return k;
}

static bool is_choice(char c, bool any_case) {
    return (c >= 'A' && c <= 'J') || (any_case && c >= 'a' && c <= 'j');
}

static bool begins_word(const char *s, int i) {
    return i == 0 || !isalnum((unsigned char)s[i - 1]);
}

/* Another lettered choice in the rest, or a word that joins one, is a hedge. */
static bool is_hedged(const char *s, int n) {
    static const char *const words[] = {"or", "and", "not", "nor", "but"};
    for (int i = 0; i + 1 < n; i++) {
        if (!begins_word(s, i)) continue;
        if (is_choice(s[i], true) && strchr(").:", s[i + 1])) return true;
        for (int k = 0; k < 5; k++) {
            int len = (int)strlen(words[k]);
            if (i + len <= n && strncasecmp(s + i, words[k], (size_t)len) == 0 &&
                (i + len == n || !isalnum((unsigned char)s[i + len])))
                return true;
        }
    }
    return false;
}

char math_extract_choice(const char *s, size_t n, bool bare, bool any_case) {
    char text[240];
    static const char *const prefixes[] = {"option ", "choice ", "answer ",
                                           "the answer is ", NULL};
    int k = n < 600 ? reduce(s, n, text, (int)sizeof text - 1) : -1, i = 0;
    if (k < 1) return 0;
    text[k] = 0;
    for (int p = 0; prefixes[p] && !bare; p++)
        if (strncasecmp(text, prefixes[p], strlen(prefixes[p])) == 0)
            i = (int)strlen(prefixes[p]);
    bool bracket = text[i] == '(';
    char letter = text[i + bracket];
    if (!letter || !is_choice(letter, any_case)) return 0;
    i += bracket + 1;
    if (bracket && text[i] != ')') return 0;
    bool mark = bracket || (text[i] && strchr(").:", text[i]));
    i += mark && i < k;
    if (i < k && (bare || !mark || !isspace((unsigned char)text[i]))) return 0;
    return is_hedged(text + i, k - i) ? 0 : (char)toupper((unsigned char)letter);
}
