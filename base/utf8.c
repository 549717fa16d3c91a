/* base/utf8.c: see utf8.h. */
#include "base/utf8.h"

int utf8_read(const char *s, size_t n, uint32_t *cp) {
    if (n == 0) return 0;
    const unsigned char *p = (const unsigned char *)s;
    if (p[0] < 0x80) {
        *cp = p[0];
        return 1;
    }
    int len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < (size_t)len) return 0;
    uint32_t c = p[0] & (0x7fu >> len);
    for (int i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (len == 3 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) return 0;
    if (len == 4 && (c < 0x10000 || c > 0x10ffff)) return 0;
    *cp = c;
    return len;
}

int utf8_write(uint32_t cp, char out[4]) {
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    int len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (int i = len - 1; i > 0; i--, cp >>= 6) out[i] = (char)(0x80 | (cp & 0x3f));
    out[0] = (char)(cp | (0xf00u >> len));
    return len;
}

bool utf8_valid(const char *s, size_t n) {
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        int len = utf8_read(s + i, n - i, &cp);
        if (len == 0) return false;
        i += (size_t)len;
    }
    return true;
}
