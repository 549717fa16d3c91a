/* cli/text.h: a policy's text on a terminal, made harmless.
 *
 * What a model writes may hold control sequences; nothing that moves the cursor, sets a
 * title or turns the direction of writing reaches the screen.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the UTF-8 sequence at s (n > 0 bytes are there) and its character; 0 where
 * there is none. */
size_t text_utf8_bytes(const unsigned char *s, size_t n, uint32_t *c);

/* The same, and 0 also for what moves the cursor or turns the text around. */
size_t text_plain_bytes(const unsigned char *s, size_t n);

/* Prints to stdout at most max bytes (0: all) without the last line end; other bytes as
 * \xNN. Line ends stay, and what follows them is indented, unless max is given. */
void text_print(const char *s, size_t n, const char *indent, size_t max);

#endif
