/* base/buf.h: text or bytes that grow, up to a ceiling that the owner names.
 *
 * A zeroed buf with max set is empty and ready. data is always NUL-terminated once
 * anything was pushed. Past the ceiling nothing is added and `full` stays set.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;      /* [len] + NUL, owned; NULL while empty */
    size_t len, cap; /* bytes */
    size_t max;      /* ceiling in bytes; 0 means 64 MiB */
    bool full;       /* something did not fit */
};

void buf_push(struct buf *b, const void *bytes, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Empties it, keeps the memory. */
void buf_reset(struct buf *b);

/* Frees the memory; the ceiling stays. */
void buf_clear(struct buf *b);

/* The text so far, "" while empty. Valid until the next change. */
const char *buf_text(const struct buf *b);

#endif
