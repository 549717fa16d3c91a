/* cli/engine.c: see engine.h. */
#include "cli/engine.h"

#include <errno.h>
#include <limits.h>
#include <omp.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "policy/folder.h"

enum { MAX_THREADS = 256 };

static void *wait_for_all(void *started) {
    pthread_mutex_lock(started);
    pthread_mutex_unlock(started);
    return NULL;
}

/* OpenMP ends the process where it gets no thread, in words of its own: so we first try whether
 * there are so many, and have it start them now, that it keeps them. */
static int start_threads(int n, struct err *err) {
    pthread_t thread[MAX_THREADS];
    pthread_mutex_t started = PTHREAD_MUTEX_INITIALIZER;
    int rc = 0, m = 0;
    pthread_mutex_lock(&started);
    while (rc == 0 && m < n - 1) {
        rc = pthread_create(&thread[m], NULL, wait_for_all, &started);
        if (rc == 0) m++;
    }
    pthread_mutex_unlock(&started);
    while (m > 0) pthread_join(thread[--m], NULL);
    if (rc != 0) {
        errno = rc;
        return err_errno(err, EX_OSERR, "start %d threads", n);
    }
#pragma omp parallel num_threads(n)
    (void)omp_get_thread_num();
    return 0;
}

int engine_init(struct engine *e, const char *isa, int n_threads, struct err *err) {
    *e = (struct engine){0};
    if (n_threads == 0) n_threads = omp_get_num_procs();
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return err_set(err, EX_USAGE, "--threads: must be between 1 and %d", MAX_THREADS);
    omp_set_dynamic(0);
    e->n_threads = n_threads;
    if (start_threads(n_threads, err) != 0) return -1;
    return kernels_find(&e->k, isa, err);
}

int engine_set_dtype(struct engine *e, const char *name, struct err *err) {
    if (strcmp(name, "auto") != 0 && strcmp(name, "f32") != 0 && strcmp(name, "bf16") != 0)
        return err_set(err, EX_CONFIG, "must be auto, f32 or bf16, found '%.40s'",
                       name);
    bool bf16 = strcmp(name, "bf16") == 0 || (strcmp(name, "auto") == 0 && e->k->bf16_dot);
    e->dtype = bf16 ? COMPUTE_BF16 : COMPUTE_F32;
    return 0;
}

const char *engine_dtype_name(const struct engine *e) {
    return e->dtype == COMPUTE_BF16 ? "bf16" : "f32";
}

static void pack(struct engine *e, bool trains) {
    struct model_options o = {.max_pos = e->w.cfg.max_position_embeddings, .dtype = e->dtype,
                              .trains = trains, .decodes = !e->trains_only,
                              .recompute = e->recompute};
    model_init_as(&e->m, &e->w, e->k, o);
}

int engine_load(struct engine *e, const char *dir, bool trains, struct err *err) {
    if (folder_load_weights(&e->w, dir, err) != 0) return -1;
    if (folder_load_tokenizer(&e->tok, dir, &e->w.cfg, err) != 0) return -1;
    if (tokenizer_eos(e->tok) < 0)
        return err_set(err, EX_DATAERR,
                       "%s/tokenizer.json: has no token <eos>, so that no completion could end",
                       dir);
    pack(e, trains);
    return 0;
}

void engine_fresh(struct engine *e, const struct policy_config *cfg, struct tokenizer *tok,
                  uint64_t seed, bool trains) {
    e->tok = tok;
    weights_init(&e->w, cfg);
    weights_randomize(&e->w, seed);
    pack(e, trains);
}

void engine_clear(struct engine *e) {
    model_clear(&e->m);
    weights_clear(&e->w);
    tokenizer_free(e->tok);
    *e = (struct engine){0};
}

static int checked(const struct engine *e, const char *what, const char *text, const int *id,
                   int n, int max, struct err *err) {
    if (n > max)
        return err_set(err, EX_DATAERR, "the %s '%.60s' has %d tokens, %d fit", what, text, n,
                       max);
    if (n < 1) return err_set(err, EX_DATAERR, "the %s '%.60s' has no tokens", what, text);
    bool unknown = false;
    for (int i = 0; i < n; i++) unknown |= id[i] == tokenizer_unk(e->tok);
    if (tokenizer_unk(e->tok) < 0) { /* what it does not know, it drops */
        struct buf back = {0};
        tokenizer_decode(e->tok, id, n, true, &back);
        unknown = strcmp(buf_text(&back), text) != 0;
        buf_clear(&back);
    }
    if (unknown)
        return err_set(err, EX_DATAERR,
                           "the %s '%.60s' has a character that the tokenizer does not know",
                           what, text);
    return n;
}

int engine_encode_prompt(const struct engine *e, const char *prompt, int *id, int max,
                         struct err *err) {
    int n = tokenizer_encode(e->tok, prompt, strlen(prompt), true, id, max);
    return checked(e, "prompt", prompt, id, n, max, err);
}

int engine_encode_completion(const struct engine *e, const char *text, int *id, int max,
                             struct err *err) {
    int n = tokenizer_encode(e->tok, text, strlen(text), false, id, max - 1);
    n = checked(e, "completion", text, id, n, max - 1, err);
    if (n < 0) return -1;
    id[n] = tokenizer_eos(e->tok);
    return n + 1;
}

int engine_max_prompt(const struct engine *e, int max_completion) {
    return e->m.max_pos - max_completion;
}

int engine_default_completion(const struct engine *e) {
    return e->m.max_pos < 512 ? e->m.max_pos / 2 : 256;
}

struct rollout *engine_rollout(const struct engine *e, int max_prompt, int max_completion,
                               long n) {
    return rollout_new(&e->m, e->tok, max_prompt, max_completion,
                       n < ENGINE_MAX_BATCH ? (int)n : ENGINE_MAX_BATCH,
                       n < INT_MAX ? (int)n : INT_MAX, e->n_threads);
}
