/* cli/bench_ceiling.c: what this machine does at best, at the thread count asked for. */
#include <omp.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/bench.h"

static const double try_seconds = 0.01;

/* One thread's part of a measurement; returns what it did (FLOP or bytes). */
typedef double (*bench_part)(const void *ctx, int thread, long rounds);

/* Work by second of all threads together, once: from the moment all are there until the
 * last has finished. */
static double rate_once(int n_threads, bench_part part, const void *ctx, long rounds,
                        double *seconds) {
    double done = 0, start = 0;
#pragma omp parallel num_threads(n_threads) reduction(+ : done)
    {
#pragma omp barrier
#pragma omp master
        start = stage_now();
        done += part(ctx, omp_get_thread_num(), rounds);
    }
    *seconds = stage_now() - start;
    return done / *seconds;
}

/* The best of some tries that last long enough; a machine that others share disturbs some. */
static double best_rate(int n_threads, bench_part part, const void *ctx, int tries) {
    double seconds = 0, best = 0;
    long rounds = 1;
    for (int i = 0; i < tries;) {
        double rate = rate_once(n_threads, part, ctx, rounds, &seconds);
        if (rate > best) best = rate;
        if (seconds < try_seconds)
            rounds *= 2;
        else
            i++;
    }
    return best;
}

static double fma_part(const void *ctx, int thread, long rounds) {
    const struct bench *b = ctx;
    float sink = 0;
    (void)thread;
    return b->o.bf16 ? b->e.k->peak_dot(rounds, &sink) : b->e.k->peak_fma(rounds, &sink);
}

struct reading {
    const struct kernels *k;
    const float *data;
    size_t n; /* floats a thread, a multiple of 256 */
};

static double read_part(const void *ctx, int thread, long rounds) {
    const struct reading *r = ctx;
    for (long i = 0; i < rounds; i++) r->k->read_all(r->data + r->n * (size_t)thread, r->n);
    return (double)rounds * (double)r->n * sizeof(float);
}

/* Bytes of the last cache. sysconf gives the whole machine's, of which this one may see a
 * part. */
static size_t cache_bytes(void) {
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "r");
    long kib = 0;
    if (f) {
        if (fscanf(f, "%ldK", &kib) != 1) kib = 0;
        fclose(f);
    }
    long whole = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return kib > 0 ? (size_t)kib * 1024 : whole > 0 ? (size_t)whole : 0;
}

/* A buffer that no cache holds: eight times the last one, from 256 MiB to 2 GiB. */
static void make_read_buffer(struct bench *b) {
    size_t bytes = 8 * cache_bytes(), least = 256 << 20, most = (size_t)2 << 30;
    size_t threads = (size_t)b->e.n_threads;
    bytes = bytes < least ? least : bytes > most ? most : bytes;
    b->n_read = bytes / sizeof(float) / threads / 256 * 256;
    b->read = mem_new(b->n_read * threads, sizeof *b->read);
#pragma omp parallel for num_threads(b->e.n_threads)
    for (size_t i = 0; i < b->n_read * threads; i += 1024) b->read[i] = 1; /* pages of its own */
}

double bench_read_now(struct bench *b) {
    if (!b->read) make_read_buffer(b);
    double seconds;
    struct reading r = {b->e.k, b->read, b->n_read};
    return rate_once(b->e.n_threads, read_part, &r, 1, &seconds) * 1e-9;
}

static double read_rate(struct bench *b) {
    double best = 0;
    for (int i = 0; i < 5; i++) {
        double rate = bench_read_now(b);
        if (rate > best) best = rate;
    }
    return best;
}

/* ---- the model's own products ---- */

struct product {
    const struct kernels *k;
    const struct linear *l;
    int m;
    float *a, *c; /* of all threads */
    struct scratch *scratch; /* [threads] */
};

static double product_part(const void *ctx, int thread, long rounds) {
    const struct product *p = ctx;
    size_t at_a = (size_t)thread * ((size_t)p->m * (size_t)p->l->in + PANEL);
    size_t at_c = (size_t)thread * ((size_t)p->m * (size_t)p->l->out + PANEL);
    for (long i = 0; i < rounds; i++)
        linear_forward(p->k, p->l, p->m, p->a + at_a, (size_t)p->l->in, p->c + at_c,
                       (size_t)p->l->out, false, PART_ALL, &p->scratch[thread]);
    return 2.0 * p->m * p->l->in * p->l->out * (double)rounds;
}

static void measure_shape(struct bench *b, const char *name, const struct linear *l, int m) {
    size_t T = (size_t)b->e.n_threads;
    for (int i = 0; i < b->n_shapes; i++)
        if (b->shape[i].m == m && b->shape[i].n == l->out && b->shape[i].k == l->in) return;
    if (l->in == 0 || b->n_shapes == BENCH_MAX_SHAPES) return;
    struct product p = {b->e.k, l, m, NULL, NULL, mem_new(T, sizeof *p.scratch)};
    for (size_t i = 0; i < T; i++) scratch_init(&p.scratch[i]);
    p.a = mem_new(T * ((size_t)m * (size_t)l->in + PANEL), sizeof(float));
    p.c = mem_new(T * ((size_t)m * (size_t)l->out + PANEL), sizeof(float));
    double gflops = best_rate(b->e.n_threads, product_part, &p, 4) * 1e-9;
    for (size_t i = 0; i < T; i++) scratch_clear(&p.scratch[i]);
    mem_free(p.scratch);
    mem_free(p.a);
    mem_free(p.c);
    b->shape[b->n_shapes++] = (struct bench_shape){name, m, l->out, l->in, gflops};
    if (gflops > b->ceiling.matmul_gflops) b->ceiling.matmul_gflops = gflops;
}

/* The products of the last layer and the head on m rows; an expert has its share of them. */
static void measure_rows(struct bench *b, int m) {
    const struct model *model = &b->e.m;
    const struct policy_config *c = &model->cfg;
    const struct layer *l = &model->layer[c->num_hidden_layers - 1];
    measure_shape(b, "q", &l->q_b, m);
    measure_shape(b, "o", &l->o, m);
    if (l->dense.width > 0) {
        measure_shape(b, l->moe ? "shared up" : "up", &l->dense.up, m);
        measure_shape(b, l->moe ? "shared down" : "down", &l->dense.down, m);
    }
    if (l->moe) {
        int share = m * c->num_experts_per_tok / c->n_routed_experts;
        measure_shape(b, "expert up", &l->expert[0].up, share > 0 ? share : 1);
        measure_shape(b, "expert down", &l->expert[0].down, share > 0 ? share : 1);
    }
    measure_shape(b, "head", &model->head, m);
}

static int share_of(const struct bench *b, int rows) {
    return rows > b->e.n_threads ? rows / b->e.n_threads : 1;
}

void bench_measure_gflops(struct bench *b) {
    double rate = best_rate(b->e.n_threads, fma_part, b, 8) * 1e-9;
    if (rate > b->ceiling.gflops) b->ceiling.gflops = rate;
}

void bench_measure_bandwidth(struct bench *b) {
    double rate = read_rate(b);
    if (rate > b->ceiling.gbytes_per_s) b->ceiling.gbytes_per_s = rate;
    mem_free(b->read);
    b->read = NULL;
}

void bench_measure_products(struct bench *b) {
    measure_rows(b, share_of(b, b->o.sequences));
    measure_rows(b, share_of(b, b->o.micro));
}
