/* policy/session.h: timelines that grow token by token, over a cache of latents.
 *
 * A session is one thread's decoder: a pool of sequences whose keys it keeps (MLA: latent
 * and rotated key only, [dk] a position and layer; GQA: keys and values). A sequence may
 * continue a parent, whose cache it reads and does not copy, and may fork in two. Rows go
 * through the same functions as in training
 * (block.h), so a log-probability drawn here is the one the trainer computes.
 */
#ifndef POLICY_SESSION_H
#define POLICY_SESSION_H

#include "policy/model.h"

struct session;
struct session_seq;

/* Room for n_prompts parents of up to prompt_len positions, n_seqs sequences of up to
 * seq_len own positions, and max_rows rows a call. */
struct session_size {
    int n_prompts, prompt_len, n_seqs, seq_len, max_rows;
};

/* A session that a team of threads walks together: a large model's weights are then read
 * once a step for all sequences. */
struct session *session_new_team(const struct model *m, struct session_size size, int n_members);

/* The model is borrowed and may be packed again between calls, when no sequence is open. */
struct session *session_new(const struct model *m, struct session_size size);
void session_free(struct session *s);

/* Bytes of the cache of n own positions. */
size_t session_seq_bytes(const struct model *m, int n);

/* An empty sequence; a parent (with parent NULL) comes from the pool of prompts. The parent
 * must stay open while a child is, and unchanged from the child's first token on. NULL when
 * the pool is empty. */
struct session_seq *session_open(struct session *s, struct session_seq *parent);
struct session_seq *session_open_prompt(struct session *s);

/* A second sequence with the same parent and the same own positions, whose keys are copied: what
 * follows in one does not show in the other. Not of a prompt. NULL when the pool is empty. */
struct session_seq *session_fork(struct session *s, const struct session_seq *q);
void session_close(struct session *s, struct session_seq *q);

/* Positions so far, the parent's included. */
int session_len(const struct session_seq *q);

/* n tokens to append to a sequence. */
struct session_run {
    struct session_seq *seq;
    const int *id;
    int n;
};

/* Appends; runs of siblings should be neighbours. At most max_rows tokens in all; each
 * sequence at most once. logits, when given, gets [n_runs][V]: what follows each run's last
 * token. */
void session_forward(struct session *s, const struct session_run *run, int n_runs,
                     float *logits);

/* The same for a team: each of its threads, inside one parallel region of as many, calls it
 * with the same arguments and its number. What it wrote may be read once it returns. */
void session_forward_part(struct session *s, const struct session_run *run, int n_runs,
                          float *logits, int member);

#endif
