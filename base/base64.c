/* base/base64.c: see base64.h. */
#include "base/base64.h"

#include <stdint.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *bytes, size_t n, struct buf *out) {
    const unsigned char *s = bytes;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t x = (uint32_t)s[i] << 16;
        if (left > 1) x |= (uint32_t)s[i + 1] << 8;
        if (left > 2) x |= s[i + 2];
        char four[4] = {digits[x >> 18], digits[x >> 12 & 63],
                        left > 1 ? digits[x >> 6 & 63] : '=',
                        left > 2 ? digits[x & 63] : '='};
        buf_push(out, four, 4);
    }
}

static bool decode_four(const char *s, bool last, struct buf *out) {
    uint32_t x = 0;
    size_t n = 3;
    if (last && s[3] == '=') n = s[2] == '=' ? 1 : 2;
    for (size_t i = 0; i < 4; i++) {
        const char *digit = s[i] ? strchr(digits, s[i]) : NULL;
        if (!digit && i <= n) return false;
        x = x << 6 | (digit && i <= n ? (uint32_t)(digit - digits) : 0);
    }
    char three[3] = {(char)(x >> 16), (char)(x >> 8), (char)x};
    /* the bits that padding leaves over must be 0: one spelling for each content */
    if ((n < 3 && three[2]) || (n < 2 && three[1])) return false;
    buf_push(out, three, n);
    return true;
}

bool base64_decode(const char *text, size_t n, struct buf *out) {
    size_t before = out->len;
    if (n % 4) return false;
    for (size_t i = 0; i < n; i += 4)
        if (!decode_four(text + i, i + 4 == n, out)) {
            out->len = before;
            return false;
        }
    return true;
}
