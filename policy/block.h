/* policy/block.h: one layer over rows, forward and backward.
 *
 * A row is one position of one sequence. Functions work on a shard of rows; what a row
 * becomes depends on that row alone, and attention (policy/attention.h) on its keys. A shard
 * belongs to one thread (training; a decoder of its own), or to a team of threads that walk
 * the layer together (decoding a large model, whose weights are then read once): each takes
 * its part of the rows in row-wise work, its part of the columns in products, and they meet
 * at barriers. The same functions serve training, prefill and decoding.
 */
#ifndef POLICY_BLOCK_H
#define POLICY_BLOCK_H

#include <stdatomic.h>

#include "policy/model.h"

/* What the backward needs of one layer, [R] rows each. Sizes as in model.h; F the width of
 * the dense FFN or of the shared experts, T experts a row, Fe the width of one. */
struct acts {
    float *x;        /* [R][D] input of the layer */
    float *rstd;     /* [4][R] of input, q, kv and post norms */
    float *qa;       /* [R][q_lora_rank] before its norm (MLA) */
    float *q;        /* [R][H qd], before rope (MLA) */
    float *kv;       /* [R][dk], kv_a's output (MLA) */
    float *key;      /* [R][dk] what is cached */
    float *val;      /* [R][dv] what is cached (GQA) */
    float *qt;       /* [R][H][key_dim] the query that meets the keys */
    float *o;        /* [R][H][val_dim] */
    float *ao;       /* [R][H v] (MLA; in GQA it is o) */
    float *xmid;     /* [R][D] after attention */
    float *g, *u;    /* [R][F] dense FFN or shared experts */
    float *score;    /* [R][E] sigmoid of the router's logits */
    int *expert;     /* [R][T] chosen, best first */
    float *gate;     /* [R][T] their weights */
    /* Rows sorted by expert, one region a shard: [row T, (row + n) T). */
    int *slot_row;    /* [R T] the row of a slot */
    int *slot_of;     /* [R][T] the slot of a row's t-th expert */
    float *slot_gate; /* [R T] */
    float *ge, *ue;   /* [R T][Fe] */
    int rows;         /* R */
};

/* Work memory for one layer's pass, and gradients. What the forward leaves here and the
 * backward wants again (xn1, qan, xn2, h, he), the backward computes again. */
struct block_work {
    float *xn1, *xn2;    /* [R][D] normed */
    float *qan;          /* [R][q_lora_rank] normed */
    float *h;            /* [R][F] hidden activations; first their gradient in backward */
    int h_width;         /* the widest layer's F. Forwards of different layers may overlap in
                            time: a shard's h starts at row h_width, row F in the backward */
    float *he;           /* [R T][Fe] likewise */
    float *xe;           /* [R T][D] rows gathered for their experts, or their gradients */
    float *ye;           /* [R T][D] experts' outputs, or gathered output gradients */
    float *dgate;        /* [R T] */
    float *dlogits;      /* [R][E] */
    float *dxn1, *dxn2;  /* [R][D] gradients of xn1 and xn2 */
    float *dxmid;        /* [R][D] */
    float *dao, *d_o, *dqt, *dq, *dkey, *dval, *dkv, *dqa, *dqan; /* as their forward twins */
};

/* Rows worked on by one thread or by a team, and where the expert regions start. */
struct shard {
    int row, n;
    struct part part; /* {0, 1}: this thread alone */
    int *expert_at;   /* [layers][E + 1] slot offsets from row T on, owned by the caller */
    atomic_int *ticket; /* [layers] how many experts are taken, 0 at the start; a team's only */
    struct scratch *scratch;
};

/* The shard's rows that this thread does alone. */
struct rows {
    int row, n;
};
struct rows shard_rows(const struct shard *s);

/* Waits for the team; nothing where the thread is alone. */
void shard_sync(const struct shard *s);

/* Carves acts and block_work for R rows out of one allocation the caller frees with
 * mem_free. */
void *acts_new(struct acts *a, const struct model *m, int layer, int rows);
void *block_work_new(struct block_work *w, const struct model *m, int rows, bool backward);

/* a->x -> q, kv, key, val, qt. pos[row] are positions in the sequence. */
void block_project(const struct model *m, int layer, struct acts *a, struct block_work *w,
                   const struct shard *s, const int *pos);
/* a->o -> ao, xmid. */
void block_attn_out(const struct model *m, int layer, struct acts *a, const struct shard *s);
/* a->xmid -> out[R][D] (the next layer's x). */
void block_ffn(const struct model *m, int layer, struct acts *a, struct block_work *w,
               const struct shard *s, float *out);

/* dout -> w->dxmid; a's g, u, ge, ue become their gradients. aux[R][E], when given, is
 * added to the gradient of the router's scores (balance loss). */
void block_ffn_backward(const struct model *m, int layer, struct acts *a,
                        struct block_work *w, const struct shard *s, const float *dout,
                        const float *aux);
/* w->dxmid -> w->dao, d_o. */
void block_attn_out_backward(const struct model *m, int layer, struct block_work *w,
                             const struct shard *s);
/* w->dqt, w->dkey, w->dval -> dq, dkv, ... and dx[R][D]. */
void block_project_backward(const struct model *m, int layer, struct acts *a,
                            struct block_work *w, const struct shard *s, const int *pos,
                            float *dx);

/* The attention halves of the two architectures (mla.c, gqa.c), as above. */
void mla_project(const struct model *m, int layer, struct acts *a, struct block_work *w,
                 const struct shard *s, const int *pos);
void mla_attn_out(const struct model *m, int layer, struct acts *a, const struct shard *s);
void mla_attn_out_backward(const struct model *m, int layer, struct block_work *w,
                           const struct shard *s);
void mla_project_backward(const struct model *m, int layer, struct acts *a,
                          struct block_work *w, const struct shard *s, const int *pos);
void gqa_project(const struct model *m, int layer, struct acts *a, struct block_work *w,
                 const struct shard *s, const int *pos);
void gqa_project_backward(const struct model *m, int layer, struct acts *a,
                          struct block_work *w, const struct shard *s, const int *pos);

#endif
