/* policy/tokenizer.c: see tokenizer.h. Making, encoding and decoding. */
#include "policy/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/tokenizer_internal.h"
#include "base/utf8.h"

static const char *const SPECIAL[] = {"<pad>", "<bos>", "<eos>", "<unk>"};
enum { PAD, BOS, EOS, UNK, N_SPECIAL };

/* ---- making ---- */

struct tokenizer *tokenizer_new(bool bytes, int n) {
    struct tokenizer *tok = mem_new(1, sizeof *tok);
    tok->bytes = bytes;
    tok->piece = mem_new((size_t)n, sizeof *tok->piece);
    tok->n_pieces = n;
    tok->bos = tok->eos = tok->pad = tok->unk = -1;
    return tok;
}

void tokenizer_set(struct tokenizer *tok, int id, const char *text, size_t n_bytes) {
    struct piece *p = &tok->piece[id];
    p->text = mem_new(n_bytes + 1, 1);
    memcpy(p->text, text, n_bytes);
    p->n_bytes = n_bytes;
}

static int compare_cp(const void *a, const void *b) {
    const struct code_point_id *x = a, *y = b;
    return x->cp < y->cp ? -1 : x->cp > y->cp;
}

static void index_added(struct tokenizer *tok) {
    for (int i = 0; i < tok->n_pieces; i++) {
        const struct piece *p = &tok->piece[i];
        if (!p->added) continue;
        int k = tok->n_added++;
        for (; k > 0 && tok->piece[tok->added[k - 1]].n_bytes < p->n_bytes; k--)
            tok->added[k] = tok->added[k - 1];
        tok->added[k] = i;
        tok->starts_added[(unsigned char)p->text[0]] = true;
    }
}

/* A piece of several characters that is not added is never produced: no merges. */
void tokenizer_index(struct tokenizer *tok) {
    tok->cp = mem_new((size_t)tok->n_pieces, sizeof *tok->cp);
    tok->added = mem_new((size_t)tok->n_pieces, sizeof *tok->added);
    for (int i = 0; i < 256; i++) tok->byte_id[i] = -1;
    for (int i = 0; i < tok->n_pieces; i++) {
        const struct piece *p = &tok->piece[i];
        uint32_t cp;
        if (tok->bytes && !p->added && p->n_bytes == 1)
            tok->byte_id[(unsigned char)p->text[0]] = i;
        else if (!tok->bytes && p->n_bytes > 0 &&
                 (size_t)utf8_read(p->text, p->n_bytes, &cp) == p->n_bytes)
            tok->cp[tok->n_cp++] = (struct code_point_id){cp, i};
    }
    qsort(tok->cp, (size_t)tok->n_cp, sizeof *tok->cp, compare_cp);
    index_added(tok);
}

/* The special tokens and the tags; n_more pieces are left to the caller. */
static struct tokenizer *new_with_tags(bool bytes, const char *const *tags, int n_tags,
                                       int n_more) {
    struct tokenizer *tok = tokenizer_new(bytes, N_SPECIAL + n_tags + n_more);
    for (int i = 0; i < N_SPECIAL + n_tags; i++) {
        const char *text = i < N_SPECIAL ? SPECIAL[i] : tags[i - N_SPECIAL];
        CHECK(text[0] && utf8_valid(text, strlen(text)));
        for (int k = 0; k < i; k++) CHECK(strcmp(tok->piece[k].text, text) != 0);
        tokenizer_set(tok, i, text, strlen(text));
        tok->piece[i].added = true;
        tok->piece[i].special = i < N_SPECIAL;
    }
    tok->pad = PAD;
    tok->bos = BOS;
    tok->eos = EOS;
    tok->unk = UNK;
    return tok;
}

static bool is_tag(const char *text, const char *const *tags, int n_tags) {
    for (int i = 0; i < n_tags; i++)
        if (strcmp(text, tags[i]) == 0) return true;
    return false;
}

struct tokenizer *tokenizer_new_chars(const char *alphabet, const char *const *tags,
                                      int n_tags) {
    size_t n_bytes = strlen(alphabet);
    struct code_point_id *cp = mem_new(n_bytes, sizeof *cp);
    int n = 0, n_distinct = 0;
    CHECK(utf8_valid(alphabet, n_bytes));
    for (size_t i = 0; i < n_bytes; n++)
        i += (size_t)utf8_read(alphabet + i, n_bytes - i, &cp[n].cp);
    qsort(cp, (size_t)n, sizeof *cp, compare_cp);
    for (int i = 0; i < n; i++) {
        char text[5] = {0};
        utf8_write(cp[i].cp, text);
        if ((i > 0 && cp[i].cp == cp[i - 1].cp) || is_tag(text, tags, n_tags)) continue;
        cp[n_distinct++] = cp[i];
    }
    struct tokenizer *tok = new_with_tags(false, tags, n_tags, n_distinct);
    for (int i = 0; i < n_distinct; i++) {
        char text[4];
        int len = utf8_write(cp[i].cp, text);
        tokenizer_set(tok, N_SPECIAL + n_tags + i, text, (size_t)len);
    }
    mem_free(cp);
    tokenizer_index(tok);
    return tok;
}

struct tokenizer *tokenizer_new_bytes(const char *const *tags, int n_tags) {
    struct tokenizer *tok = new_with_tags(true, tags, n_tags, 256);
    for (int i = 0; i < n_tags; i++)
        for (const char *p = tags[i]; *p; p++) CHECK((unsigned char)*p < 0x80);
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        tokenizer_set(tok, N_SPECIAL + n_tags + i, &byte, 1);
    }
    tokenizer_index(tok);
    return tok;
}

void tokenizer_free(struct tokenizer *tok) {
    if (!tok) return;
    for (int i = 0; i < tok->n_pieces; i++) mem_free(tok->piece[i].text);
    mem_free(tok->piece);
    mem_free(tok->cp);
    mem_free(tok->added);
    mem_free(tok);
}

/* ---- ByteLevel ---- */

/* Bytes that are printable in Latin-1 stand for themselves; the others follow from
 * U+0100 on, in order. */
static bool stands_for_itself(int byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

uint32_t tokenizer_byte_char(int byte) {
    uint32_t next = 0x100;
    if (stands_for_itself(byte)) return (uint32_t)byte;
    for (int i = 0; i < byte; i++) next += !stands_for_itself(i);
    return next;
}

int tokenizer_char_byte(uint32_t cp) {
    for (int i = 0; i < 256; i++)
        if (tokenizer_byte_char(i) == cp) return i;
    return -1;
}

/* ---- questions ---- */

int tokenizer_vocab_size(const struct tokenizer *tok) { return tok->n_pieces; }
int tokenizer_bos(const struct tokenizer *tok) { return tok->bos; }
int tokenizer_eos(const struct tokenizer *tok) { return tok->eos; }
int tokenizer_pad(const struct tokenizer *tok) { return tok->pad; }
int tokenizer_unk(const struct tokenizer *tok) { return tok->unk; }

const char *tokenizer_piece(const struct tokenizer *tok, int id, size_t *n_bytes) {
    CHECK(id >= 0 && id < tok->n_pieces);
    *n_bytes = tok->piece[id].n_bytes;
    return tok->piece[id].text;
}

/* ---- encoding and decoding ---- */

/* The longest added token at the front of text, or -1. */
static int match_added(const struct tokenizer *tok, const char *text, size_t n) {
    if (!tok->starts_added[(unsigned char)text[0]]) return -1;
    for (int i = 0; i < tok->n_added; i++) {
        const struct piece *p = &tok->piece[tok->added[i]];
        if (p->n_bytes <= n && memcmp(p->text, text, p->n_bytes) == 0)
            return tok->added[i];
    }
    return -1;
}

/* The id of the character or byte at the front of text, and its length. */
static int match_one(const struct tokenizer *tok, const char *text, size_t n,
                     size_t *n_bytes) {
    *n_bytes = 1;
    int id = -1;
    if (tok->bytes) {
        id = tok->byte_id[(unsigned char)text[0]];
    } else {
        struct code_point_id key = {0, 0}, *found = NULL;
        int len = utf8_read(text, n, &key.cp);
        if (len > 0) {
            *n_bytes = (size_t)len;
            found = bsearch(&key, tok->cp, (size_t)tok->n_cp, sizeof key, compare_cp);
        }
        if (found) id = found->id;
    }
    return id >= 0 ? id : tok->unk;
}

int tokenizer_encode(const struct tokenizer *tok, const char *text, size_t n_bytes,
                     bool bos, int *ids, int max) {
    int n = 0;
    if (bos && tok->bos >= 0) {
        if (n < max) ids[n] = tok->bos;
        n++;
    }
    for (size_t i = 0, len; i < n_bytes; i += len) {
        int id = match_added(tok, text + i, n_bytes - i);
        if (id >= 0)
            len = tok->piece[id].n_bytes;
        else
            id = match_one(tok, text + i, n_bytes - i, &len);
        if (id < 0) continue; /* no <unk>: left out, as the reference does */
        if (n < max) ids[n] = id;
        n++;
    }
    return n;
}

void tokenizer_decode(const struct tokenizer *tok, const int *ids, int n,
                      bool skip_special, struct buf *out) {
    for (int i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= tok->n_pieces) continue;
        const struct piece *p = &tok->piece[ids[i]];
        if (!(skip_special && p->special)) buf_push(out, p->text, p->n_bytes);
    }
}
