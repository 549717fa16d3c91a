/* policy/tokenizer.h: text to ids and back, one id a character or a byte.
 *
 * Stored as a tokenizer.json that the Hugging Face `tokenizers` library loads and agrees
 * with: a BPE model without merges, added tokens matched first (leftmost, longest), and
 * either characters (decoder Fuse) or bytes (ByteLevel). Immutable once made; any thread.
 */
#ifndef POLICY_TOKENIZER_H
#define POLICY_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct tokenizer;

/* One id for each distinct code point of `alphabet` (UTF-8), in code point order, after
 * <pad> 0, <bos> 1, <eos> 2, <unk> 3 and the `n_tags` added tokens (not special, so that
 * decoding keeps them: "<think>", ...; all different). Caller frees with
 * tokenizer_free. */
struct tokenizer *tokenizer_new_chars(const char *alphabet, const char *const *tags,
                                      int n_tags);

/* The same with one id for each of the 256 bytes; the tags are ASCII. */
struct tokenizer *tokenizer_new_bytes(const char *const *tags, int n_tags);

/* From the text of a tokenizer.json; `where` names it in messages. One that needs more
 * than is built (merges, normalizers, ...) is refused by the key that asks for it. */
MUST_USE int tokenizer_parse(struct tokenizer **tok, const char *json, const char *where,
                             struct err *err);

/* The text of tokenizer.json. Its post-processor puts <bos> in front, as
 * tokenizer_encode does with `bos`. */
void tokenizer_print(const struct tokenizer *tok, struct buf *out);

void tokenizer_free(struct tokenizer *tok);

int tokenizer_vocab_size(const struct tokenizer *tok);
int tokenizer_bos(const struct tokenizer *tok); /* -1 where there is none */
int tokenizer_eos(const struct tokenizer *tok);
int tokenizer_pad(const struct tokenizer *tok);
int tokenizer_unk(const struct tokenizer *tok);

/* Writes at most max ids and returns how many the text needs; the caller compares. A
 * character that is not in the vocabulary becomes <unk>. As in the reference, "<eos>" and
 * its like in the text become the special ids. */
int tokenizer_encode(const struct tokenizer *tok, const char *text, size_t n_bytes,
                     bool bos, int *ids, int max);

/* Appends the text of ids. Special tokens (<pad>, <bos>, <eos>, <unk>) are left out when
 * skip_special. Bytes that are no UTF-8 are appended as they are. */
void tokenizer_decode(const struct tokenizer *tok, const int *ids, int n,
                      bool skip_special, struct buf *out);

/* The bytes of one id (not NUL-terminated in general), borrowed. */
const char *tokenizer_piece(const struct tokenizer *tok, int id, size_t *n_bytes);

#endif
