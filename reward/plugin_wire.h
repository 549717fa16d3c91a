/* reward/plugin_wire.h: what hone and a plug-in say to each other. Inside reward/ only.
 *
 * One JSON object a line (or an HTTP body) each way; docs/write-a-reward.md has the protocol:
 *
 *   {"hone_reward": 1, "type": "hello", "options": {...}}
 *   {"hone_reward": 1, "name": "mine", "version": "3", "deterministic": true}
 *   {"hone_reward": 1, "type": "score", "id": 7, "problem": {"kind", "prompt", "gold",
 *    "columns"}, "max_tokens": 256, "step": 0, "max_steps": 150,
 *    "samples": [{"text": "...", "ids": [5, 8]}]}
 *   {"id": 7, "results": [{"score": 0.5, "status": "ok", "reason": "...", "parts": {}}]}
 *
 * A result may also be a number (a score) or null (not scorable). The readers take hostile
 * bytes: all that is not the protocol is a reason, never a crash and never a score.
 */
#ifndef REWARD_PLUGIN_WIRE_H
#define REWARD_PLUGIN_WIRE_H

#include <stdint.h>

#include "reward/checker.h"

enum { WIRE_NAME_BYTES = 64, WIRE_VERSION_BYTES = 64 };

/* What a plug-in says of itself. */
struct wire_hello {
    char name[WIRE_NAME_BYTES], version[WIRE_VERSION_BYTES];
    bool deterministic; /* false where it does not say */
};

/* The values that scores may have; they become 0 to 1. */
struct wire_range {
    double min, max;
};

/* Appends a request, without a newline. options is a JSON object, or "". */
void wire_write_hello(struct buf *out, const char *options);
void wire_write_group(struct buf *out, long id, const struct group *g);

/* On -1 (EX_PROTOCOL) the message says what is wrong. */
MUST_USE int wire_read_hello(struct wire_hello *h, const char *text, size_t n,
                             struct err *err);

/* Fills out[n_samples]. On -1 it is left as it was; a sample whose own result is wrong (a
 * score out of range, an unknown status) is `crashed` with the reason, and costs no other
 * sample anything. */
MUST_USE int wire_read_results(struct verdict *out, int n_samples, long id,
                               const struct wire_range *range, const char *text, size_t n,
                               struct err *err);

/* ---- the other side, for plug-ins that are shared objects ------------------------ */

struct cJSON;

/* A request, taken apart; strings are borrowed from the tree. */
struct wire_request {
    struct cJSON *tree; /* owned */
    bool hello;
    long id;
    const struct cJSON *options, *problem, *samples; /* options may be NULL */
    int n, max_tokens, step, max_steps;
};

/* The caller calls wire_request_clear, on -1 too. */
MUST_USE int wire_read_request(struct wire_request *r, const char *text, size_t n,
                               struct err *err);
void wire_request_clear(struct wire_request *r);

/* The exact bytes of sample i into *text, its ids into ids (room for n_ids of them). */
int wire_sample_ids(const struct wire_request *r, int i);
MUST_USE int wire_sample(const struct wire_request *r, int i, struct buf *text, int32_t *ids,
                         struct err *err);

void wire_write_hello_answer(struct buf *out, const struct wire_hello *h);
void wire_write_results(struct buf *out, long id, const struct verdict *v,
                        const double *value, int n);
/* The whole call failed. */
void wire_write_error(struct buf *out, long id, const char *message);

#endif
