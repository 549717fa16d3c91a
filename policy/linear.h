/* policy/linear.h: a weight matrix and its three products: y = W x, dx = W^T dy, dW += dy x^T.
 *
 * Products are computed in f32 or in bf16 (operands rounded to bf16, sums in f32): see
 * policy/kernels.h for the order of a sum, which nothing here changes. A matrix may be packed
 * ahead (decoding, small models) or piece by piece while it is used (large ones): the same
 * bits. Each thread brings its own scratch.
 */
#ifndef POLICY_LINEAR_H
#define POLICY_LINEAR_H

#include "policy/kernels.h"

enum compute_dtype { COMPUTE_F32, COMPUTE_BF16 };

/* Work memory of one thread, fixed in size. */
struct scratch {
    float *a, *b; /* owned */
};
void scratch_init(struct scratch *s);
void scratch_clear(struct scratch *s);

/* y[out] = W x[in]. The tensor is [out][in], or [in][out] when `by_input` (a slice of
 * kv_b_proj that is used the other way round). */
struct linear {
    int in, out;
    const float *w; /* into the weights' slab, borrowed */
    size_t ld;      /* floats between its rows */
    bool by_input;
    bool bf16;
    size_t grad; /* offset of w in a gradient slab */
    float *fwd_mem, *bwd_mem; /* NULL: packed while used */
    struct panels fwd;        /* [in][out], for y = x W^T */
    struct panels bwd;        /* [out][in], for dx = dy W */
};

/* Floats of one packed direction: K rows to N columns. */
size_t linear_packed_size(const struct linear *l, int K, int N);

/* Packs what has memory. */
void linear_pack(const struct kernels *k, struct linear *l);

/* What a thread does of a product: all columns, or part i of n of them. Of two products of
 * the same width one may be cut with `up`: where the panels do not divide, the members that
 * get one more of the first get one less of the second. */
struct part {
    int i, n;
    bool up;
};
#define PART_ALL ((struct part){0, 1, false})

/* y[n][out] (+)= x[n][in] W^T */
void linear_forward(const struct kernels *k, const struct linear *l, int n, const float *x,
                    size_t ldx, float *y, size_t ldy, bool add, struct part part,
                    struct scratch *s);
/* dx[n][in] (+)= dy[n][out] W */
void linear_backward(const struct kernels *k, const struct linear *l, int n, const float *dy,
                     size_t ldy, float *dx, size_t ldx, bool add, struct part part,
                     struct scratch *s);

/* One weight gradient: c[M][N] += sum over K rows of a^T b, as tiles that any thread may
 * take; an element is one chain over the rows in order. */
struct grad_job {
    int M, N, K;
    bool bf16;
    const float *a; /* its first M columns */
    size_t lda;
    const int *a_row; /* [K] which row of a is the k-th; NULL: k itself (f32 only) */
    const float *b;   /* its first N columns, 32 floats behind the last are readable */
    size_t ldb;
    const int *b_row;
    float *c;
    size_t ldc;
    const float *a_packed, *b_packed; /* one of them may be packed ahead, all K rows */
};
/* In bf16 rows are taken in pairs: K is even, and row -1 stands for a row of zeros. */

/* Operands that are packed ahead serve several jobs and every tile of one: A in panels of
 * GRAD_PANEL columns, B of PANEL. `first` and `last` are places in the source's list (even
 * in bf16) out of K, so that threads may share the rows out. dst has room for
 * grad_packed_size floats. */
enum { GRAD_PANEL = 48 };
bool grad_packs(bool bf16, size_t ld); /* else short rows are read where they stand */
size_t grad_packed_size(bool bf16, int K, int n);
void grad_pack(const struct kernels *k, const struct pack_source *s, int first, int last, int K,
               int n, int panel, float *dst);

int grad_job_tiles(const struct grad_job *job);
void grad_job_tile(const struct kernels *k, const struct grad_job *job, int tile,
                   struct scratch *s);

#endif
