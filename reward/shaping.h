/* reward/shaping.h: rewards for how a completion is written. Inside reward/ only.
 *
 * Each is a published formula r with its known holes closed, mapped to a score in [0, 1]
 * of which 1 is best: score = (r - lo) / (hi - lo), with lo and hi the least and the greatest
 * r there is. A weight of hi - lo gives the published scale back; the constant lo cancels in
 * a group's baseline. r itself is recorded as the part `value`. With `gate` a score counts
 * only where the answer is right, so that no style makes a wrong answer better.
 *
 *   tag_count   r = 0.25 for each of <think>, </think>, <answer>, </answer> that occurs
 *               once (open-r1). Here only in this order, the first at the very start and
 *               the last at the very end, so that text around them earns nothing.
 *   length      l = 0.5 - (len - min) / (max - min) over the group; r = l if right, else
 *               min(0, l); 0 where all are equally long (Kimi k1.5, arXiv 2501.12599). An
 *               answer of which nothing is known (no gold, a failed check) is not taken for
 *               a right one: there is no score.
 *   cosine      r = lo + (hi - lo) (1 + cos(pi len / max_len)) / 2, from hi at length 0 to
 *               lo at max_len; right: 1 to 0.5, wrong: -1 to -0.5 (arXiv 2502.03373, with
 *               open-r1's values). len is clamped to max_len, so that twice the limit is
 *               not like nothing; an answer of which nothing is known has no score.
 *   repetition_penalty   r = -(1 - distinct n-grams / n-grams), of lower-case words
 *               (arXiv 2502.03373, open-r1), 0 with fewer than n words. A word of more
 *               than 32 bytes counts as several, so that leaving out the spaces is no way
 *               out; `unit` may be tokens.
 *   soft_overlong_punishment   r = 0 up to max_len - cache tokens, then (max_len - cache -
 *               len) / cache down to -1 at max_len and beyond (DAPO, arXiv 2503.14476,
 *               equation 13).
 *   language_consistency   r = words of the target language / words, of the text before the
 *               last </think>, or of all of it (DeepSeek-R1, arXiv 2501.12948, section
 *               2.3.2). A language is known by the Unicode script of its letters; a word
 *               that mixes scripts is none of the target's. An ideograph or kana is a word
 *               of its own. Tags, LaTeX commands and digits are no words. Without any word
 *               r is 0.
 */
#ifndef REWARD_SHAPING_H
#define REWARD_SHAPING_H

#include "reward/checker_impl.h"

/* Ok with `score`, clamped to [0, 1], and the published number as part `value`. */
void shaping_set(struct verdict *v, double score, double value, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
