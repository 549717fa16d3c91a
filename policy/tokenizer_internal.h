/* policy/tokenizer_internal.h: the inside of a tokenizer, for tokenizer*.c only. */
#ifndef POLICY_TOKENIZER_INTERNAL_H
#define POLICY_TOKENIZER_INTERNAL_H

#include <stdint.h>

#include "policy/tokenizer.h"

struct piece {
    char *text; /* [n_bytes] + NUL, owned; in a byte tokenizer the byte itself */
    size_t n_bytes;
    bool added, special; /* added: matched before anything else */
};

struct code_point_id {
    uint32_t cp;
    int id;
};

struct tokenizer {
    bool bytes;          /* ids of bytes, not of characters */
    struct piece *piece; /* [n_pieces], owned; its index is the id */
    int n_pieces;
    int bos, eos, pad, unk; /* -1: none */
    /* what encoding looks up, made by tokenizer_index */
    struct code_point_id *cp; /* [n_cp] sorted by cp, owned; of a char tokenizer */
    int n_cp;
    int byte_id[256]; /* of a byte tokenizer; -1: none */
    int *added;       /* [n_added] ids, longest text first, owned */
    int n_added;
    bool starts_added[256]; /* by first byte */
};

/* n empty pieces, no special ids. Caller frees with tokenizer_free. */
struct tokenizer *tokenizer_new(bool bytes, int n);

/* Gives id its text. */
void tokenizer_set(struct tokenizer *tok, int id, const char *text, size_t n_bytes);

/* Makes the look-ups from the pieces. */
void tokenizer_index(struct tokenizer *tok);

/* The printable stand-in that ByteLevel (GPT-2) gives a byte, and back: -1 if cp stands
 * for no byte. */
uint32_t tokenizer_byte_char(int byte);
int tokenizer_char_byte(uint32_t cp);

#endif
