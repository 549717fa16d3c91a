/* base/mem.c: see mem.h. */
#include "base/mem.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/err.h"

#define ALIGN 64
#define HUGE_PAGE ((size_t)2 << 20)
#define BLOCK_BYTES (1u << 20)

static atomic_size_t in_use, limit;

struct arena_block {
    struct arena_block *next;
    size_t cap, used;
    char *data;
};

static _Thread_local int frozen;

void mem_freeze(void) { frozen++; }

void mem_thaw(void) {
    CHECK(frozen > 0);
    frozen--;
}

bool mem_frozen(void) { return frozen > 0; }

static size_t round_up(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

static _Noreturn void out_of_memory(size_t n, size_t size) {
    fprintf(stderr, "hone: out of memory: %zu x %zu bytes wanted\n", n, size);
    _exit(EX_OSERR);
}

/* Blocks that hold a huge page start at one and ask for such: walking weights and
 * activations by pages of 4 KiB costs much in misses of the TLB. */
static void *allocate(size_t bytes) {
    if (bytes < HUGE_PAGE) return aligned_alloc(ALIGN, bytes);
    void *p; /* aligned_alloc would want whole pages */
    if (posix_memalign(&p, HUGE_PAGE, bytes) != 0) return NULL;
    (void)madvise(p, bytes, MADV_HUGEPAGE); /* a wish: without it all is the same */
    return p;
}

static _Noreturn void over_limit(size_t bytes, size_t used, size_t most) {
    fprintf(stderr, "hone: out of memory: the run needs %zu MB beside the %zu MB it has already, and "
                    "there are %zu MB in all; fewer num_generations, max_tokens_per_microbatch, or "
                    "gradient_checkpointing take less\n",
            (bytes >> 20) + 1, used >> 20, most >> 20);
    _exit(EX_OSERR);
}

void *mem_new(size_t n, size_t size) {
    size_t bytes;
    CHECK(!frozen);
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - 2 * ALIGN)
        out_of_memory(n, size);
    bytes = bytes ? round_up(bytes) : ALIGN;
    size_t most = atomic_load(&limit), used = atomic_load(&in_use);
    if (most > 0 && used + bytes > most) over_limit(bytes, used, most);
    void *p = allocate(bytes);
    if (!p) out_of_memory(n, size);
    atomic_fetch_add(&in_use, malloc_usable_size(p));
    memset(p, 0, bytes);
    return p;
}

void *mem_resize(void *p, size_t n_old, size_t n_new, size_t size) {
    void *q = mem_new(n_new, size);
    size_t n = n_old < n_new ? n_old : n_new;
    if (p && n) memcpy(q, p, n * size);
    mem_free(p);
    return q;
}

void mem_free(void *p) {
    CHECK(!frozen);
    if (p) atomic_fetch_sub(&in_use, malloc_usable_size(p));
    free(p);
}

size_t mem_in_use(void) { return atomic_load(&in_use); }

void mem_limit(size_t bytes) { atomic_store(&limit, bytes); }

char *mem_strdup(const char *s) {
    if (!s) return NULL;
    size_t n = strlen(s) + 1;
    return memcpy(mem_new(n, 1), s, n);
}

static struct arena_block *block_new(size_t bytes) {
    struct arena_block *b = mem_new(1, sizeof *b);
    b->cap = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    b->data = mem_new(b->cap, 1);
    return b;
}

void *arena_new(struct arena *a, size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - 2 * ALIGN)
        out_of_memory(n, size);
    bytes = bytes ? round_up(bytes) : ALIGN;
    if (!a->first) a->first = a->cur = block_new(bytes);
    while (a->cur->cap - a->cur->used < bytes) {
        if (!a->cur->next) a->cur->next = block_new(bytes);
        a->cur = a->cur->next;
    }
    void *p = a->cur->data + a->cur->used;
    a->cur->used += bytes;
    return memset(p, 0, bytes);
}

char *arena_strdup(struct arena *a, const char *s) {
    if (!s) return NULL;
    size_t n = strlen(s) + 1;
    return memcpy(arena_new(a, n, 1), s, n);
}

void arena_reset(struct arena *a) {
    for (struct arena_block *b = a->first; b; b = b->next) b->used = 0;
    a->cur = a->first;
}

void arena_clear(struct arena *a) {
    for (struct arena_block *b = a->first, *next; b; b = next) {
        next = b->next;
        mem_free(b->data);
        mem_free(b);
    }
    a->first = a->cur = NULL;
}
