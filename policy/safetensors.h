/* policy/safetensors.h: named tensors in a file that everyone can read.
 *
 * The format of huggingface/safetensors: a length, a JSON header, the numbers, little
 * endian. Used for weights, optimizer state and checkpoints. The reader believes nothing:
 * every offset, shape and length is checked before a number is read, and the numbers are
 * read, not mapped, so that a file cut short meanwhile is an error, not a signal. A reader
 * may be used from one thread at a time.
 */
#ifndef POLICY_SAFETENSORS_H
#define POLICY_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

enum { SAFETENSORS_MAX_DIMS = 8, SAFETENSORS_MAX_HEADER = 100000000 };

/* In the order of the reference implementation, which is the order of alignment. */
enum safetensors_dtype {
    SAFETENSORS_BOOL,
    SAFETENSORS_F4,
    SAFETENSORS_F6_E2M3,
    SAFETENSORS_F6_E3M2,
    SAFETENSORS_U8,
    SAFETENSORS_I8,
    SAFETENSORS_F8_E5M2,
    SAFETENSORS_F8_E4M3,
    SAFETENSORS_F8_E8M0,
    SAFETENSORS_F8_E4M3FNUZ,
    SAFETENSORS_F8_E5M2FNUZ,
    SAFETENSORS_I16,
    SAFETENSORS_U16,
    SAFETENSORS_F16,
    SAFETENSORS_BF16,
    SAFETENSORS_I32,
    SAFETENSORS_U32,
    SAFETENSORS_F32,
    SAFETENSORS_C64,
    SAFETENSORS_F64,
    SAFETENSORS_I64,
    SAFETENSORS_U64,
    SAFETENSORS_N_DTYPES
};

struct safetensors_tensor {
    const char *name; /* owned by the reader; borrowed when writing */
    enum safetensors_dtype dtype;
    int n_dims; /* 0: one number */
    int64_t shape[SAFETENSORS_MAX_DIMS];
    size_t n;         /* elements; the writer counts for itself */
    const void *data; /* writing only: the numbers, borrowed */
    /* reading only: where the numbers are */
    int file;
    uint64_t begin, n_bytes;
};

struct safetensors_pair {
    const char *key, *value;
};

struct safetensors_file {
    char *path;
    int fd;
};

/* One open file, or all shards of an index. */
struct safetensors {
    struct safetensors_tensor *tensor; /* [n_tensors] sorted by name, owned */
    int n_tensors;
    struct safetensors_pair *metadata; /* [n_metadata] of the first file, owned */
    int n_metadata;
    struct safetensors_file *file; /* [n_files], owned */
    int n_files;
    struct arena text; /* names */
};

/* Opens one file and checks its header. On -1 *st is empty: EX_NOINPUT when there is no
 * such file, EX_DATAERR when it is not what it should be. End it with
 * safetensors_close. */
MUST_USE int safetensors_open(struct safetensors *st, const char *path, struct err *err);

/* Opens the shards that a model.safetensors.index.json names, beside it. Index and
 * shards must name the same tensors. */
MUST_USE int safetensors_open_index(struct safetensors *st, const char *path,
                                    struct err *err);

/* Harmless on an empty one. */
void safetensors_close(struct safetensors *st);

/* NULL where there is none. Valid until safetensors_close. */
const struct safetensors_tensor *safetensors_find(const struct safetensors *st,
                                                  const char *name);

/* The value of a metadata key, or NULL. Valid until safetensors_close. */
const char *safetensors_metadata(const struct safetensors *st, const char *key);

/* The path of the file that holds the tensor, for messages. */
const char *safetensors_path(const struct safetensors *st,
                             const struct safetensors_tensor *t);

/* "F32" and its like. */
const char *safetensors_dtype_name(enum safetensors_dtype dtype);

/* Elements first .. first + n - 1 into out, from F32, BF16 or F16. */
MUST_USE int safetensors_read_f32(const struct safetensors *st,
                                  const struct safetensors_tensor *t, size_t first,
                                  size_t n, float *out, struct err *err);

/* Finds a tensor by name, checks its shape and reads all of it, from F32, BF16 or F16;
 * what is missing or other than expected is named, with EX_DATAERR. */
MUST_USE int safetensors_load_f32(const struct safetensors *st, const char *name,
                                  int n_dims, const int64_t *shape, float *out,
                                  struct err *err);

/* The same from I64, nothing else. */
MUST_USE int safetensors_load_i64(const struct safetensors *st, const char *name,
                                  int n_dims, const int64_t *shape, int64_t *out,
                                  struct err *err);

/* Writes n tensors (name, dtype, n_dims, shape and data of each) in the reference's order
 * with its padding; complete or not at all. The file of transformers wants the metadata
 * format=pt, which is there when metadata is NULL. */
MUST_USE int safetensors_save(const char *path, const struct safetensors_tensor *tensor,
                              int n, const struct safetensors_pair *metadata,
                              int n_metadata, struct err *err);

#endif
