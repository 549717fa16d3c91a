/* base/utf8.h: code points in bytes that need not be UTF-8 at all. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads the code point at s[0..n) into *cp and returns its 1 to 4 bytes. Returns 0 where
 * none starts: at the end, or on what is not UTF-8 (overlong forms, surrogates, values
 * past U+10FFFF, a cut sequence). */
int utf8_read(const char *s, size_t n, uint32_t *cp);

/* Writes cp as 1 to 4 bytes, no NUL, and returns how many. cp is a valid code point. */
int utf8_write(uint32_t cp, char out[4]);

bool utf8_valid(const char *s, size_t n);

#endif
