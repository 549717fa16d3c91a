/* policy/safetensors.c: see safetensors.h.
 *
 * Layout and checks follow safetensors/src/tensor.rs of the reference.
 */
#include "policy/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"

static const struct {
    const char *name;
    int bits;
} DTYPE[] = {
    [SAFETENSORS_BOOL] = {"BOOL", 8},
    [SAFETENSORS_F4] = {"F4", 4},
    [SAFETENSORS_F6_E2M3] = {"F6_E2M3", 6},
    [SAFETENSORS_F6_E3M2] = {"F6_E3M2", 6},
    [SAFETENSORS_U8] = {"U8", 8},
    [SAFETENSORS_I8] = {"I8", 8},
    [SAFETENSORS_F8_E5M2] = {"F8_E5M2", 8},
    [SAFETENSORS_F8_E4M3] = {"F8_E4M3", 8},
    [SAFETENSORS_F8_E8M0] = {"F8_E8M0", 8},
    [SAFETENSORS_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
    [SAFETENSORS_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
    [SAFETENSORS_I16] = {"I16", 16},
    [SAFETENSORS_U16] = {"U16", 16},
    [SAFETENSORS_F16] = {"F16", 16},
    [SAFETENSORS_BF16] = {"BF16", 16},
    [SAFETENSORS_I32] = {"I32", 32},
    [SAFETENSORS_U32] = {"U32", 32},
    [SAFETENSORS_F32] = {"F32", 32},
    [SAFETENSORS_C64] = {"C64", 64},
    [SAFETENSORS_F64] = {"F64", 64},
    [SAFETENSORS_I64] = {"I64", 64},
    [SAFETENSORS_U64] = {"U64", 64},
};
_Static_assert(sizeof DTYPE / sizeof *DTYPE == SAFETENSORS_N_DTYPES,
               "a dtype is missing");

const char *safetensors_dtype_name(enum safetensors_dtype dtype) {
    return DTYPE[dtype].name;
}

static int compare_names(const void *a, const void *b) {
    const struct safetensors_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int compare_offsets(const void *a, const void *b) {
    const struct safetensors_tensor *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->n_bytes != y->n_bytes) return x->n_bytes < y->n_bytes ? -1 : 1;
    return 0;
}

static int pread_all(const struct safetensors_file *f, void *out, size_t n,
                     uint64_t offset, struct err *err) {
    char *p = out;
    while (n > 0) {
        ssize_t got = pread(f->fd, p, n, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_errno(err, EX_IOERR, "read %s", f->path);
        if (got == 0)
            return err_set(err, EX_IOERR, "read %s: it shrank while read", f->path);
        p += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

/* ---- the header ---- */

/* A whole number that a double holds exactly. */
static bool read_u64(const cJSON *json, uint64_t *out) {
    if (!cJSON_IsNumber(json)) return false;
    double v = json->valuedouble;
    if (!(v >= 0 && v <= 0x1p53)) return false;
    *out = (uint64_t)v;
    return (double)*out == v;
}

static bool read_dtype(const cJSON *json, enum safetensors_dtype *out) {
    if (!cJSON_IsString(json)) return false;
    for (int i = 0; i < SAFETENSORS_N_DTYPES; i++) {
        if (strcmp(json->valuestring, DTYPE[i].name) != 0) continue;
        *out = (enum safetensors_dtype)i;
        return true;
    }
    return false;
}

/* The shape and the number of elements in it. */
static bool read_shape(const cJSON *json, struct safetensors_tensor *t) {
    if (!cJSON_IsArray(json)) return false;
    const cJSON *dim;
    t->n = 1;
    cJSON_ArrayForEach(dim, json) {
        uint64_t v;
        if (t->n_dims == SAFETENSORS_MAX_DIMS || !read_u64(dim, &v)) return false;
        t->shape[t->n_dims++] = (int64_t)v;
        if (__builtin_mul_overflow(t->n, v, &t->n)) return false;
    }
    return true;
}

/* One `"name":{"dtype":..,"shape":[..],"data_offsets":[b,e]}`. */
static int read_entry(struct safetensors_tensor *t, const cJSON *json, const char *path,
                      struct err *err) {
    const char *name = json->string;
    const cJSON *dtype = json_find(json, "dtype"), *shape = json_find(json, "shape");
    const cJSON *offsets = json_find(json, "data_offsets");
    if (!cJSON_IsObject(json) || cJSON_GetArraySize(json) != 3)
        return err_set(err, EX_DATAERR,
                       "%s: tensor '%.200s': must be an object with dtype, shape and "
                       "data_offsets",
                       path, name);
    if (!read_dtype(dtype, &t->dtype))
        return err_set(err, EX_DATAERR, "%s: tensor '%.200s': bad dtype", path, name);
    if (!read_shape(shape, t))
        return err_set(err, EX_DATAERR, "%s: tensor '%.200s': bad shape", path, name);
    uint64_t begin, end;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        !read_u64(offsets->child, &begin) || !read_u64(offsets->child->next, &end) ||
        end < begin)
        return err_set(err, EX_DATAERR, "%s: tensor '%.200s': bad data_offsets", path,
                       name);
    uint64_t bits;
    if (__builtin_mul_overflow((uint64_t)t->n, (uint64_t)DTYPE[t->dtype].bits, &bits) ||
        bits % 8 != 0 || end - begin != bits / 8)
        return err_set(err, EX_DATAERR,
                       "%s: tensor '%.200s': data_offsets hold %llu bytes, which is not "
                       "what dtype and shape need",
                       path, name, (unsigned long long)(end - begin));
    t->begin = begin;
    t->n_bytes = end - begin;
    return 0;
}

static int read_metadata(struct safetensors *st, const cJSON *json, const char *path,
                         struct err *err) {
    if (!cJSON_IsObject(json))
        return err_set(err, EX_DATAERR, "%s: __metadata__ is no object", path);
    const cJSON *item;
    st->metadata = mem_new((size_t)cJSON_GetArraySize(json), sizeof *st->metadata);
    cJSON_ArrayForEach(item, json) {
        if (!cJSON_IsString(item))
            return err_set(err, EX_DATAERR, "%s: __metadata__: '%.200s' is no string",
                           path, item->string);
        st->metadata[st->n_metadata++] =
            (struct safetensors_pair){arena_strdup(&st->text, item->string),
                                      arena_strdup(&st->text, item->valuestring)};
    }
    return 0;
}

/* Sorted by offset the tensors must follow each other without a gap, from 0 to the end
 * of the file. Leaves them sorted by name. */
static int check_tensors(struct safetensors *st, uint64_t data_bytes, uint64_t data_at,
                         const char *path, struct err *err) {
    struct safetensors_tensor *t = st->tensor;
    uint64_t end = 0;
    qsort(t, (size_t)st->n_tensors, sizeof *t, compare_offsets);
    for (int i = 0; i < st->n_tensors; i++) {
        if (t[i].begin != end)
            return err_set(err, EX_DATAERR,
                           "%s: tensor '%.200s' starts at byte %llu of the data, the one "
                           "before it ends at %llu",
                           path, t[i].name, (unsigned long long)t[i].begin,
                           (unsigned long long)end);
        end += t[i].n_bytes;
        t[i].begin += data_at;
    }
    if (end != data_bytes)
        return err_set(err, EX_DATAERR,
                       "%s: the header describes %llu bytes of data, the file has %llu",
                       path, (unsigned long long)end, (unsigned long long)data_bytes);
    qsort(t, (size_t)st->n_tensors, sizeof *t, compare_names);
    return 0;
}

static int read_header(struct safetensors *st, const char *header, size_t n,
                       uint64_t file_bytes, struct err *err) {
    const char *path = st->file[0].path;
    char where[JSON_WHERE_BYTES];
    cJSON *json, *item;
    snprintf(where, sizeof where, "%.600s: header", path);
    if (json_parse(&json, header, n, where, 1, err) != 0) return -1;
    int rc = -1;
    if (!cJSON_IsObject(json)) {
        err_set(err, EX_DATAERR, "%s: must be a JSON object", where);
        goto out;
    }
    st->tensor = mem_new((size_t)cJSON_GetArraySize(json), sizeof *st->tensor);
    cJSON_ArrayForEach(item, json) {
        if (strcmp(item->string, "__metadata__") == 0) {
            if (read_metadata(st, item, path, err) != 0) goto out;
            continue;
        }
        struct safetensors_tensor *t = &st->tensor[st->n_tensors++];
        if (read_entry(t, item, path, err) != 0) goto out;
        t->name = arena_strdup(&st->text, item->string);
    }
    rc = check_tensors(st, file_bytes - 8 - n, 8 + n, path, err);
out:
    json_free(json);
    return rc;
}

static int open_file(struct safetensors *st, const char *path, uint64_t *n_bytes,
                     struct err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, EX_NOINPUT, "open %s", path);
    st->file = mem_new(1, sizeof *st->file);
    st->n_files = 1;
    st->file[0] = (struct safetensors_file){mem_strdup(path), fd};
    struct stat info;
    if (fstat(fd, &info) != 0) return err_errno(err, EX_IOERR, "stat %s", path);
    if (!S_ISREG(info.st_mode))
        return err_set(err, EX_NOINPUT, "open %s: not a regular file", path);
    *n_bytes = (uint64_t)info.st_size;
    return 0;
}

static int open_one(struct safetensors *st, const char *path, struct err *err) {
    uint64_t file_bytes = 0, n = 0;
    unsigned char length[8];
    if (open_file(st, path, &file_bytes, err) != 0) return -1;
    if (file_bytes < 8)
        return err_set(err, EX_DATAERR, "%s: %llu bytes are no safetensors file", path,
                       (unsigned long long)file_bytes);
    if (pread_all(&st->file[0], length, 8, 0, err) != 0) return -1;
    for (int i = 7; i >= 0; i--) n = n << 8 | length[i];
    if (n > SAFETENSORS_MAX_HEADER)
        return err_set(err, EX_DATAERR,
                       "%s: a header of %llu bytes, more than the %d allowed; "
                       "is it a safetensors file?",
                       path, (unsigned long long)n, SAFETENSORS_MAX_HEADER);
    if (n > file_bytes - 8)
        return err_set(err, EX_DATAERR,
                       "%s: the file ends within its header (%llu of %llu bytes)", path,
                       (unsigned long long)(file_bytes - 8), (unsigned long long)n);
    char *header = mem_new(n + 1, 1);
    int rc = pread_all(&st->file[0], header, n, 8, err);
    if (rc == 0) rc = read_header(st, header, n, file_bytes, err);
    mem_free(header);
    return rc;
}

int safetensors_open(struct safetensors *st, const char *path, struct err *err) {
    memset(st, 0, sizeof *st);
    if (open_one(st, path, err) == 0) return 0;
    safetensors_close(st);
    return -1;
}

void safetensors_close(struct safetensors *st) {
    for (int i = 0; i < st->n_files; i++) {
        close(st->file[i].fd);
        mem_free(st->file[i].path);
    }
    mem_free(st->file);
    mem_free(st->tensor);
    mem_free(st->metadata);
    arena_clear(&st->text);
    memset(st, 0, sizeof *st);
}

/* ---- shards ---- */

/* Moves the file and the tensors of *one into *st. */
static void absorb(struct safetensors *st, struct safetensors *one) {
    int n = st->n_tensors + one->n_tensors;
    st->tensor =
        mem_resize(st->tensor, (size_t)st->n_tensors, (size_t)n, sizeof *st->tensor);
    for (int i = 0; i < one->n_tensors; i++) {
        struct safetensors_tensor *t = &st->tensor[st->n_tensors + i];
        *t = one->tensor[i];
        t->name = arena_strdup(&st->text, t->name);
        t->file = st->n_files;
    }
    st->n_tensors = n;
    st->file = mem_resize(st->file, (size_t)st->n_files, (size_t)st->n_files + 1,
                          sizeof *st->file);
    st->file[st->n_files++] = one->file[0];
    one->n_files = 0;
    safetensors_close(one);
}

/* A plain name: a shard lies beside its index, not where a stranger's file says. */
static bool is_plain_name(const cJSON *json) {
    return cJSON_IsString(json) && json->valuestring[0] &&
           !strchr(json->valuestring, '/') && strcmp(json->valuestring, ".") != 0 &&
           strcmp(json->valuestring, "..") != 0;
}

/* The path of a shard, beside the index. */
static int shard_path(char *out, size_t n, const char *index, const char *name,
                      struct err *err) {
    char dir[4096] = ".";
    const char *slash = strrchr(index, '/');
    size_t len = slash ? (size_t)(slash - index) : 1;
    if (len >= sizeof dir)
        return err_set(err, EX_CONFIG, "%s: the path is too long", index);
    if (slash) memcpy(dir, index, len);
    dir[len] = 0;
    return file_join(out, n, dir, name, err);
}

static int file_number(const struct safetensors *st, const char *path) {
    for (int i = 0; i < st->n_files; i++)
        if (strcmp(st->file[i].path, path) == 0) return i;
    return -1;
}

/* Every shard that the map names, once. */
static int open_shards(struct safetensors *st, const cJSON *map, const char *index,
                       struct err *err) {
    const cJSON *item;
    char path[4096 + 256];
    cJSON_ArrayForEach(item, map) {
        if (!is_plain_name(item))
            return err_set(err, EX_DATAERR,
                           "%s: weight_map: '%.200s' is not mapped to a file name", index,
                           item->string);
        if (shard_path(path, sizeof path, index, item->valuestring, err) != 0) return -1;
        if (file_number(st, path) >= 0) continue;
        struct safetensors one;
        if (safetensors_open(&one, path, err) != 0) return -1;
        absorb(st, &one);
    }
    return 0;
}

/* Index and shards must agree: as many tensors, each where the map says. */
static int check_shards(struct safetensors *st, const cJSON *map, const char *index,
                        struct err *err) {
    const cJSON *item;
    char path[4096 + 256];
    qsort(st->tensor, (size_t)st->n_tensors, sizeof *st->tensor, compare_names);
    for (int i = 1; i < st->n_tensors; i++)
        if (strcmp(st->tensor[i - 1].name, st->tensor[i].name) == 0)
            return err_set(err, EX_DATAERR, "%s: tensor '%.200s' is in two shards", index,
                           st->tensor[i].name);
    cJSON_ArrayForEach(item, map) {
        if (shard_path(path, sizeof path, index, item->valuestring, err) != 0) return -1;
        const struct safetensors_tensor *t = safetensors_find(st, item->string);
        if (!t || strcmp(safetensors_path(st, t), path) != 0)
            return err_set(err, EX_DATAERR, "%s: tensor '%.200s' is not in %s", index,
                           item->string, item->valuestring);
    }
    if (cJSON_GetArraySize(map) != st->n_tensors)
        return err_set(err, EX_DATAERR,
                       "%s: weight_map names %d tensors, the shards hold %d", index,
                       cJSON_GetArraySize(map), st->n_tensors);
    return 0;
}

int safetensors_open_index(struct safetensors *st, const char *path, struct err *err) {
    int rc = -1;
    cJSON *json;
    memset(st, 0, sizeof *st);
    if (json_load(&json, path, SAFETENSORS_MAX_HEADER, err) != 0) return -1;
    const cJSON *map = json_find(json, "weight_map");
    if (!cJSON_IsObject(map)) {
        err_set(err, EX_DATAERR, "%s: weight_map: must be there, an object", path);
        goto out;
    }
    rc = open_shards(st, map, path, err);
    if (rc == 0) rc = check_shards(st, map, path, err);
out:
    if (rc != 0) safetensors_close(st);
    json_free(json);
    return rc;
}

/* ---- reading ---- */

const struct safetensors_tensor *safetensors_find(const struct safetensors *st,
                                                  const char *name) {
    struct safetensors_tensor key = {.name = name};
    if (st->n_tensors == 0) return NULL;
    return bsearch(&key, st->tensor, (size_t)st->n_tensors, sizeof key, compare_names);
}

const char *safetensors_metadata(const struct safetensors *st, const char *key) {
    for (int i = 0; i < st->n_metadata; i++)
        if (strcmp(st->metadata[i].key, key) == 0) return st->metadata[i].value;
    return NULL;
}

const char *safetensors_path(const struct safetensors *st,
                             const struct safetensors_tensor *t) {
    return st->file[t->file].path;
}

static float bits_f32(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Exact: every half is a float. */
static float f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, frac = h & 1023;
    if (exp == 0) { /* zero or subnormal: frac * 2^-24 */
        float f = (float)frac * 0x1p-24f;
        return sign ? -f : f;
    }
    if (exp == 31) return bits_f32(sign | 0x7f800000 | frac << 13);
    return bits_f32(sign | (exp + 112) << 23 | frac << 13);
}

static int read_halves(const struct safetensors *st, const struct safetensors_tensor *t,
                       size_t first, size_t n, float *out, struct err *err) {
    uint16_t part[4096];
    for (size_t i = 0; i < n;) {
        size_t k = n - i < 4096 ? n - i : 4096;
        if (pread_all(&st->file[t->file], part, 2 * k, t->begin + 2 * (first + i), err) !=
            0)
            return -1;
        for (size_t j = 0; j < k; j++)
            out[i + j] = t->dtype == SAFETENSORS_F16 ? f16_to_f32(part[j])
                                                     : bits_f32((uint32_t)part[j] << 16);
        i += k;
    }
    return 0;
}

int safetensors_read_f32(const struct safetensors *st, const struct safetensors_tensor *t,
                         size_t first, size_t n, float *out, struct err *err) {
    CHECK(first <= t->n && n <= t->n - first);
    if (t->dtype == SAFETENSORS_F32)
        return pread_all(&st->file[t->file], out, n * sizeof *out,
                         t->begin + first * sizeof *out, err);
    if (t->dtype == SAFETENSORS_F16 || t->dtype == SAFETENSORS_BF16)
        return read_halves(st, t, first, n, out, err);
    return err_set(err, EX_DATAERR,
                   "%s: tensor '%.200s' is %s; only F32, BF16 and F16 can be read here",
                   safetensors_path(st, t), t->name, safetensors_dtype_name(t->dtype));
}

static void print_shape(struct buf *out, int n_dims, const int64_t *shape) {
    buf_puts(out, "[");
    for (int i = 0; i < n_dims; i++)
        buf_printf(out, "%s%lld", i ? ", " : "", (long long)shape[i]);
    buf_puts(out, "]");
}

/* The tensor, when it is there with this shape; else NULL and a message. */
static const struct safetensors_tensor *expect(const struct safetensors *st,
                                               const char *name, int n_dims,
                                               const int64_t *shape, struct err *err) {
    const struct safetensors_tensor *t = safetensors_find(st, name);
    if (!t) {
        err_set(err, EX_DATAERR, "%s: tensor '%s' is missing", st->file[0].path, name);
        return NULL;
    }
    if (t->n_dims == n_dims &&
        (n_dims == 0 || memcmp(t->shape, shape, (size_t)n_dims * sizeof *shape) == 0))
        return t;
    struct buf have = {0}, want = {0};
    print_shape(&have, t->n_dims, t->shape);
    print_shape(&want, n_dims, shape);
    err_set(err, EX_DATAERR, "%s: tensor '%s' has shape %s, expected %s",
            safetensors_path(st, t), name, buf_text(&have), buf_text(&want));
    buf_clear(&have);
    buf_clear(&want);
    return NULL;
}

int safetensors_load_f32(const struct safetensors *st, const char *name, int n_dims,
                         const int64_t *shape, float *out, struct err *err) {
    const struct safetensors_tensor *t = expect(st, name, n_dims, shape, err);
    return t ? safetensors_read_f32(st, t, 0, t->n, out, err) : -1;
}

int safetensors_load_i64(const struct safetensors *st, const char *name, int n_dims,
                         const int64_t *shape, int64_t *out, struct err *err) {
    const struct safetensors_tensor *t = expect(st, name, n_dims, shape, err);
    if (!t) return -1;
    if (t->dtype != SAFETENSORS_I64)
        return err_set(err, EX_DATAERR, "%s: tensor '%s' is %s, expected I64",
                       safetensors_path(st, t), name, safetensors_dtype_name(t->dtype));
    return pread_all(&st->file[t->file], out, t->n * sizeof *out, t->begin, err);
}

/* ---- writing ---- */

/* The reference writes wide types first, then by name, so that each is aligned. */
static int compare_writing(const void *a, const void *b) {
    const struct safetensors_tensor *x = a, *y = b;
    if (x->dtype != y->dtype) return x->dtype > y->dtype ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void print_entry(struct buf *out, struct safetensors_tensor *t, uint64_t *end) {
    CHECK(t->n_dims >= 0 && t->n_dims <= SAFETENSORS_MAX_DIMS);
    t->n = 1;
    for (int i = 0; i < t->n_dims; i++) t->n *= (size_t)t->shape[i];
    t->n_bytes = t->n * (uint64_t)DTYPE[t->dtype].bits / 8;
    json_print_string(out, t->name);
    buf_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", DTYPE[t->dtype].name);
    for (int i = 0; i < t->n_dims; i++)
        buf_printf(out, "%s%lld", i ? "," : "", (long long)t->shape[i]);
    buf_printf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)*end,
               (unsigned long long)(*end + t->n_bytes));
    *end += t->n_bytes;
}

static void print_header(struct buf *out, struct safetensors_tensor *tensor, int n,
                         const struct safetensors_pair *metadata, int n_metadata) {
    uint64_t end = 0;
    buf_puts(out, "{");
    if (n_metadata > 0) {
        buf_puts(out, "\"__metadata__\":{");
        for (int i = 0; i < n_metadata; i++) {
            if (i) buf_puts(out, ",");
            json_print_string(out, metadata[i].key);
            buf_puts(out, ":");
            json_print_string(out, metadata[i].value);
        }
        buf_puts(out, n ? "}," : "}");
    }
    for (int i = 0; i < n; i++) {
        if (i) buf_puts(out, ",");
        print_entry(out, &tensor[i], &end);
    }
    buf_puts(out, "}");
    while (out->len % 8 != 0 && !out->full) buf_puts(out, " ");
}

static int write_all(const char *path, const struct buf *header,
                     const struct safetensors_tensor *tensor, int n, struct err *err) {
    struct file_writer w;
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)(header->len >> (8 * i));
    if (file_create(&w, path, err) != 0) return -1;
    int rc = file_write(&w, length, sizeof length, err);
    if (rc == 0) rc = file_write(&w, header->data, header->len, err);
    for (int i = 0; i < n && rc == 0; i++)
        rc = file_write(&w, tensor[i].data, tensor[i].n_bytes, err);
    if (rc == 0) return file_commit(&w, err);
    file_abandon(&w);
    return -1;
}

int safetensors_save(const char *path, const struct safetensors_tensor *tensor, int n,
                     const struct safetensors_pair *metadata, int n_metadata,
                     struct err *err) {
    static const struct safetensors_pair PT = {"format", "pt"};
    struct safetensors_tensor *sorted = mem_new((size_t)n, sizeof *sorted);
    struct buf header = {.max = SAFETENSORS_MAX_HEADER};
    if (n) memcpy(sorted, tensor, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, compare_writing);
    for (int i = 1; i < n; i++) CHECK(strcmp(sorted[i - 1].name, sorted[i].name) != 0);
    print_header(&header, sorted, n, metadata ? metadata : &PT,
                 metadata ? n_metadata : 1);
    int rc = header.full
                 ? err_set(err, EX_DATAERR, "write %s: the header is too long", path)
                 : write_all(path, &header, sorted, n, err);
    buf_clear(&header);
    mem_free(sorted);
    return rc;
}
