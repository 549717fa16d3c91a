/* policy/block.h: one transformer layer, forward and backward, over any rows.
 *
 * The one forward of hone: training runs these functions over whole sequences and keeps
 * what they write, decoding runs them over one new row a sequence and overwrites it. A call
 * works on rows [row, row + n) of the buffers, single-threaded; shards of rows may run on
 * different threads. Sizes as in model.h; R rows in the buffers, F a layer's FFN width,
 * Fe the experts', T = num_experts_per_tok.
 */
#ifndef POLICY_BLOCK_H
#define POLICY_BLOCK_H

#include "policy/attention.h"
#include "policy/model.h"

/* What a layer's forward writes and its backward reads. */
struct acts {
    float *x;    /* [R][D] the layer's input */
    float *xn1;  /* [R][D] after input_layernorm */
    float *rstd; /* [4][R] of input, q, kv and post norms */
    float *qa, *qan; /* [R][q_lora_rank], before and after its norm */
    float *q;        /* [R][H qd], before rope */
    float *kv;       /* [R][r + rope], kv_a's output */
    float *key;      /* [R][dk] what is cached: normed latent, rotated key */
    float *qt;       /* [R][H][dk] absorbed query */
    float *o;        /* [R][H][r] */
    float *ao;       /* [R][H v] */
    float *xmid;     /* [R][D] after attention */
    float *xn2;      /* [R][D] after post_attention_layernorm */
    float *g, *u, *h; /* [R][F] dense FFN or shared experts */
    float *score;     /* [R][E] sigmoid of the router's logits */
    int *expert;      /* [R][T] chosen, best first */
    float *gate;      /* [R][T] their weights */
    /* Rows sorted by expert, one region a shard: [row T, (row + n) T). */
    int *slot_row;       /* [R T] the row of a slot */
    int *slot_of;        /* [R][T] the slot of a row's t-th expert */
    float *slot_gate;    /* [R T] */
    float *xe;           /* [R T][D] gathered xn2 */
    float *ge, *ue, *he; /* [R T][Fe] */
    int rows;            /* R */
};

/* Gradients and other work memory that lives for one layer's pass only. */
struct block_work {
    float *ye;           /* [R T][D] experts' outputs, or gathered output gradients */
    float *dh;           /* [R][F] */
    float *dhe;          /* [R T][Fe] */
    float *dgate;        /* [R T] */
    float *dlogits;      /* [R][E] */
    float *dxn1, *dxn2;  /* [R][D] gradients of xn1 and xn2 */
    float *dxmid;        /* [R][D] */
    float *dao, *d_o, *dqt, *dq, *dkey, *dkv, *dqa, *dqan; /* as their forward twins */
    float *dxe;          /* [R T][D] */
};

/* A run of rows worked on by one thread, and where its expert regions start. */
struct shard {
    int row, n;
    int *expert_at; /* [layers][E + 1] slot offsets from row T on, owned by the caller */
};

/* Carves acts (with everything the backward reads when `keep`) and block_work for R rows
 * out of one allocation the caller frees with mem_free. */
void *acts_new(struct acts *a, const struct model *m, int layer, int rows);
void *block_work_new(struct block_work *w, const struct model *m, int rows, bool backward);

/* a->x -> xn1, q, kv, key, qt. pos[row] are positions in the sequence. */
void block_project(const struct model *m, int layer, struct acts *a, const struct shard *s,
                   const int *pos);
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
void block_attn_out_backward(const struct model *m, int layer, struct acts *a,
                             struct block_work *w, const struct shard *s);
/* w->dqt, w->dkey -> dq, dkv, ... and dx[R][D]. */
void block_project_backward(const struct model *m, int layer, struct acts *a,
                            struct block_work *w, const struct shard *s, const int *pos,
                            float *dx);

/* One weight gradient: c[M][N] += a^T b over K rows, as tiles that any thread may take. A
 * job with `more` is followed by one that goes on with the same c (the next shard's rows). */
struct grad_job {
    int M, N, K;
    bool more;
    const float *a; /* [K][lda], its first M columns */
    size_t lda;
    const float *b; /* [K][ldb] */
    size_t ldb;
    float *c; /* [M][ldc] */
    size_t ldc;
};

/* Lists the jobs of a layer after its backward, over all shards in row order; dout is what
 * block_ffn_backward had. Returns how many; job holds block_grad_jobs_max. */
int block_grad_jobs(const struct model *m, int layer, const struct acts *a,
                    const struct block_work *w, const struct shard *s, int n_shards,
                    const float *dout, float *grad, struct grad_job *job);
int block_grad_jobs_max(const struct model *m, int n_shards);

/* Norm weights of the layer over all rows: part number `part` of n_parts of the columns. */
void block_grad_norms(const struct model *m, int layer, const struct acts *a,
                      const struct block_work *w, int rows, int part, int n_parts,
                      float *grad);

/* Does tile number `tile` of a job (and of those it is continued by): GRAD_TILE rows of c. */
enum { GRAD_TILE = 48 };
void block_grad_tile(const struct model *m, const struct grad_job *job, int tile);

#endif
