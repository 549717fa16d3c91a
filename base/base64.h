/* base/base64.h: bytes as text and back (RFC 4648, with padding). */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>

#include "base/buf.h"

void base64_encode(const void *bytes, size_t n, struct buf *out);

/* False, with out as it was, where the n characters are no base64. */
bool base64_decode(const char *text, size_t n, struct buf *out);

#endif
