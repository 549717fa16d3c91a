/* base/buf.c: see buf.h. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define DEFAULT_MAX ((size_t)64 << 20)

void buf_push(struct buf *b, const void *bytes, size_t n) {
    size_t max = b->max ? b->max : DEFAULT_MAX;
    if (b->full || n > max || b->len > max - n) {
        b->full = true;
        return;
    }
    if (b->len + n + 1 > b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 256;
        while (cap < b->len + n + 1) cap *= 2;
        b->data = mem_resize(b->data, b->len, cap, 1);
        b->cap = cap;
    }
    if (n) memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = 0;
}

void buf_puts(struct buf *b, const char *s) { buf_push(b, s, strlen(s)); }

void buf_printf(struct buf *b, const char *fmt, ...) {
    char small[512];
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof small) {
        buf_push(b, small, (size_t)n);
    } else if (n >= 0) {
        char *big = mem_new((size_t)n + 1, 1);
        vsnprintf(big, (size_t)n + 1, fmt, again);
        buf_push(b, big, (size_t)n);
        mem_free(big);
    }
    va_end(again);
}

void buf_reset(struct buf *b) {
    b->len = 0;
    b->full = false;
    if (b->data) b->data[0] = 0;
}

void buf_clear(struct buf *b) {
    mem_free(b->data);
    b->data = NULL;
    b->len = b->cap = 0;
    b->full = false;
}

const char *buf_text(const struct buf *b) { return b->data ? b->data : ""; }
