/* cli/text.c: see text.h. */
#include "cli/text.h"

#include <stdbool.h>
#include <stdio.h>

size_t text_utf8_bytes(const unsigned char *s, size_t n, uint32_t *c) {
    *c = s[0];
    if (s[0] < 0x80) return 1;
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len > n) return 0;
    *c = s[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        *c = *c << 6 | (s[i] & 0x3fu);
    }
    bool overlong = *c < (len == 4 ? 0x10000u : len == 3 ? 0x800u : 0x80u);
    return overlong || *c > 0x10ffff || (*c >= 0xd800 && *c < 0xe000) ? 0 : len;
}

size_t text_plain_bytes(const unsigned char *s, size_t n) {
    uint32_t c;
    size_t len = text_utf8_bytes(s, n, &c);
    bool harmful = c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f ||
                   (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
    return harmful ? 0 : len;
}

void text_print(const char *s, size_t n, const char *indent, size_t max) {
    const unsigned char *p = (const unsigned char *)s;
    if (n && s[n - 1] == '\n') n--;
    fputs(indent, stdout);
    for (size_t i = 0, len; i < n; i += len ? len : 1) {
        if (max && i >= max) {
            fputs(" ...", stdout);
            break;
        }
        len = text_plain_bytes(p + i, n - i);
        if (len)
            fwrite(p + i, 1, len, stdout);
        else if (p[i] == '\n' && max)
            putchar(' ');
        else if (p[i] == '\n')
            printf("\n%s", indent);
        else if (p[i] == '\t')
            putchar('\t');
        else
            printf("\\x%02x", p[i]);
    }
    putchar('\n');
}
