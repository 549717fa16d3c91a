/* base/mem.h: memory that is never NULL, 64-byte aligned, and zeroed.
 *
 * Out of memory is not an outcome hone can act on: it prints one sentence and exits
 * with EX_OSERR. `struct arena` hands out pieces of one block and gives all of them
 * back at once; it is not shared between threads.
 *
 * The loops that must not allocate (a step's sampling and its gradient) run between mem_freeze
 * and mem_thaw.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* From mem_freeze to mem_thaw (pairs may nest) whatever here allocates or frees on the
 * calling thread is a bug, and aborts. */
void mem_freeze(void);
void mem_thaw(void);
bool mem_frozen(void);

/* n * size zeroed bytes, aligned to 64, caller frees with mem_free. Never NULL, not
 * even for 0 bytes. */
void *mem_new(size_t n, size_t size);

/* Grows or shrinks what mem_new gave: the first min(old, new) * size bytes are kept,
 * the rest is zero. p may be NULL when n_old is 0. */
void *mem_resize(void *p, size_t n_old, size_t n_new, size_t size);

/* Accepts NULL. */
void mem_free(void *p);

/* Bytes that mem_new has given and that were not freed. Any thread. */
size_t mem_in_use(void);

/* From now on, more than so many bytes in use are out of memory, before they are touched: where
 * the kernel would promise them and then kill somebody. 0: no limit. */
void mem_limit(size_t bytes);

/* A copy of s, caller frees with mem_free. NULL gives NULL. */
char *mem_strdup(const char *s);

/* A bump allocator: grows by blocks, so that what it handed out never moves. */
struct arena {
    struct arena_block *first, *cur; /* owned */
};

/* n * size zeroed bytes, aligned to 64, valid until the next arena_reset or
 * arena_clear. A zeroed struct arena is empty and ready. */
void *arena_new(struct arena *a, size_t n, size_t size);

/* A copy of s with the arena's lifetime. NULL gives NULL. */
char *arena_strdup(struct arena *a, const char *s);

/* Takes everything back, keeps the blocks. */
void arena_reset(struct arena *a);

/* Takes everything back and frees the blocks. Harmless on an empty arena. */
void arena_clear(struct arena *a);

#endif
