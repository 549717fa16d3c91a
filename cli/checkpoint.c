/* cli/checkpoint.c: see checkpoint.h. */
#include "cli/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "policy/folder.h"
#include "policy/safetensors.h"

enum { MAX_CHECKPOINTS = 4096 };

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

int checkpoint_remove_tree(const char *path, struct err *err) {
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return err_errno(err, EX_IOERR, "remove %s", path);
    return 0;
}

/* Of the moments and the count; the file's metadata carries it. */
static uint64_t hash_state(const float *m, const float *v, size_t n, int64_t t) {
    uint64_t h = hash_bytes(m, n * sizeof *m, 0);
    h = hash_bytes(v, n * sizeof *v, h);
    return hash_bytes(&t, sizeof t, h);
}

static int save_optimizer(const char *dir, const struct optimizer *o, struct err *err) {
    char path[PATH_MAX];
    if (file_join(path, sizeof path, dir, "optimizer.safetensors", err) != 0) return -1;
    int64_t n = (int64_t)o->n_data;
    char hex[17];
    hash_hex(hash_state(o->m, o->v, o->n_data, o->t), hex);
    const struct safetensors_pair meta[] = {{"format", "pt"}, {"state", hex}};
    struct safetensors_tensor t[] = {
        {.name = "m", .dtype = SAFETENSORS_F32, .n_dims = 1, .shape = {n}, .data = o->m},
        {.name = "v", .dtype = SAFETENSORS_F32, .n_dims = 1, .shape = {n}, .data = o->v},
        {.name = "t", .dtype = SAFETENSORS_I64, .n_dims = 0, .data = &o->t},
    };
    return safetensors_save(path, t, 3, meta, 2, err);
}

static int numbers_down(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x < y) - (x > y);
}

int checkpoint_path(char *path, size_t n, const char *dir, int step, struct err *err) {
    char name[48];
    snprintf(name, sizeof name, "checkpoints/step-%d", step);
    return file_join(path, n, dir, name, err);
}

int checkpoint_list(const char *dir, int *step, int max) {
    char folder[PATH_MAX];
    struct err ignored;
    int n = 0;
    if (file_join(folder, sizeof folder, dir, "checkpoints", &ignored) != 0) return 0;
    DIR *d = opendir(folder);
    if (!d) return 0;
    for (struct dirent *e; (e = readdir(d)) && n < max;) {
        char *end;
        if (strncmp(e->d_name, "step-", 5) != 0) continue;
        long v = strtol(e->d_name + 5, &end, 10);
        if (end != e->d_name + 5 && *end == 0 && v >= 0 && v < INT_MAX) step[n++] = (int)v;
    }
    closedir(d);
    qsort(step, (size_t)n, sizeof *step, numbers_down);
    return n;
}

/* ---- reading back ---- */

static int load_state(const char *path, struct optimizer *o, float *m, float *v, int64_t *t,
                      struct err *err) {
    struct safetensors st = {0};
    int64_t n = (int64_t)o->n_data;
    char hex[17];
    if (safetensors_open(&st, path, err) != 0) return -1;
    const char *want = safetensors_metadata(&st, "state");
    int rc = safetensors_load_f32(&st, "m", 1, &n, m, err);
    if (rc == 0) rc = safetensors_load_f32(&st, "v", 1, &n, v, err);
    if (rc == 0) rc = safetensors_load_i64(&st, "t", 0, NULL, t, err);
    if (rc == 0) {
        hash_hex(hash_state(m, v, o->n_data, *t), hex);
        if (!want || strcmp(want, hex) != 0)
            rc = err_set(err, EX_DATAERR, "%s: damaged, its hash is %s, it should be %s", path,
                         hex, want ? want : "in its metadata");
    }
    safetensors_close(&st);
    return rc;
}

static int load_optimizer(const char *dir, struct optimizer *o, struct err *err) {
    char path[PATH_MAX];
    int64_t t;
    if (file_join(path, sizeof path, dir, "optimizer.safetensors", err) != 0) return -1;
    float *m = mem_new(o->n_data, sizeof *m), *v = mem_new(o->n_data, sizeof *v);
    int rc = load_state(path, o, m, v, &t, err);
    if (rc == 0) {
        memcpy(o->m, m, o->n_data * sizeof *m);
        memcpy(o->v, v, o->n_data * sizeof *v);
        o->t = t;
    }
    mem_free(m);
    mem_free(v);
    return rc;
}

int checkpoint_load(const char *dir, int step, uint64_t hash, const struct weights *w,
                    struct optimizer *o, struct err *err) {
    char path[PATH_MAX];
    struct weights read = {0};
    if (checkpoint_path(path, sizeof path, dir, step, err) != 0) return -1;
    if (folder_load_weights(&read, path, err) != 0) return -1;
    int rc = 0;
    if (read.n_data != w->n_data || weights_hash(&read) != hash)
        rc = err_set(err, EX_DATAERR,
                     "%s: damaged, its weights have the hash %016llx, step %d left %016llx", path,
                     (unsigned long long)weights_hash(&read), step, (unsigned long long)hash);
    if (rc == 0 && o) rc = load_optimizer(path, o, err);
    if (rc == 0) memcpy(w->data, read.data, w->n_data * sizeof *w->data);
    weights_clear(&read);
    return rc;
}

/* ---- writing ---- */

/* Reads n floats of the file back, from the disk and not from what is cached of it. */
static int verify_f32(const struct safetensors *st, const char *name, const float *want, size_t n,
                      struct err *err) {
    const struct safetensors_tensor *t = safetensors_find(st, name);
    size_t chunk = n < 1 << 20 ? n : 1 << 20;
    if (!t || t->n != n)
        return err_set(err, EX_IOERR, "%s: tensor '%s' was not written whole", st->file[0].path,
                       name);
    float *got = mem_new(chunk, sizeof *got);
    int rc = 0;
    for (size_t at = 0; at < n && rc == 0; at += chunk) {
        size_t m = n - at < chunk ? n - at : chunk;
        rc = safetensors_read_f32(st, t, at, m, got, err);
        if (rc == 0 && memcmp(got, want + at, m * sizeof *got) != 0)
            rc = err_set(err, EX_IOERR, "%s: tensor '%s' reads back other than it was written",
                         st->file[0].path, name);
    }
    mem_free(got);
    return rc;
}

static int open_uncached(struct safetensors *st, const char *path, struct err *err) {
    if (safetensors_open(st, path, err) != 0) return -1;
    posix_fadvise(st->file[0].fd, 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

static int verify(const char *dir, const struct weights *w, const struct optimizer *o,
                  struct err *err) {
    char path[PATH_MAX];
    struct safetensors st = {0};
    if (file_join(path, sizeof path, dir, "model.safetensors", err) != 0) return -1;
    if (open_uncached(&st, path, err) != 0) return -1;
    int rc = 0;
    for (int i = 0; i < w->n_tensors && rc == 0; i++) {
        size_t n = (size_t)w->tensor[i].rows * (size_t)w->tensor[i].cols;
        rc = verify_f32(&st, w->tensor[i].name, weights_at(w, i), n, err);
    }
    safetensors_close(&st);
    if (rc != 0 || !o) return rc;
    if (file_join(path, sizeof path, dir, "optimizer.safetensors", err) != 0) return -1;
    if (open_uncached(&st, path, err) != 0) return -1;
    rc = verify_f32(&st, "m", o->m, o->n_data, err);
    if (rc == 0) rc = verify_f32(&st, "v", o->v, o->n_data, err);
    safetensors_close(&st);
    return rc;
}

/* The rename must be on the disk before an older checkpoint is removed. */
static int sync_folder(const char *dir, struct err *err) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd >= 0 && fsync(fd) == 0 ? 0 : err_errno(err, EX_IOERR, "sync %s", dir);
    if (fd >= 0) close(fd);
    return rc;
}

static int put_in_place(const char *tmp, const char *path, struct err *err) {
    if (rename(tmp, path) == 0) return 0;
    if (errno != EEXIST && errno != ENOTEMPTY)
        return err_errno(err, EX_IOERR, "rename %s to %s", tmp, path);
    /* one of that step is there: it goes only once the new one has its name */
    if (renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_EXCHANGE) != 0)
        return err_errno(err, EX_IOERR, "exchange %s and %s", tmp, path);
    return checkpoint_remove_tree(tmp, err);
}

int checkpoint_save(const char *dir, int step, const struct weights *w,
                    const struct tokenizer *tok, const struct optimizer *o, struct err *err) {
    char folder[PATH_MAX], tmp[PATH_MAX], path[PATH_MAX];
    struct err ignored;
    if (file_join(folder, sizeof folder, dir, "checkpoints", err) != 0 ||
        file_join(tmp, sizeof tmp, folder, "unfinished", err) != 0 ||
        checkpoint_path(path, sizeof path, dir, step, err) != 0)
        return -1;
    if (file_exists(path) && verify(path, w, o, &ignored) == 0) return 0;
    if (file_mkdirs(folder, err) != 0 || checkpoint_remove_tree(tmp, err) != 0) return -1;
    if (folder_save(w, tok, tmp, err) != 0 || (o && save_optimizer(tmp, o, err) != 0) ||
        verify(tmp, w, o, err) != 0)
        return -1;
    if (put_in_place(tmp, path, err) != 0) return -1;
    return sync_folder(folder, err);
}

int checkpoint_prune(const char *dir, int keep_last, int keep_every, int needed,
                     struct err *err) {
    int step[MAX_CHECKPOINTS], n = checkpoint_list(dir, step, MAX_CHECKPOINTS), rc = 0;
    for (int i = keep_last; keep_last > 0 && i < n && rc == 0; i++) {
        char path[PATH_MAX];
        if (step[i] == 0 || step[i] == needed) continue;
        if (keep_every > 0 && step[i] % keep_every == 0) continue;
        rc = checkpoint_path(path, sizeof path, dir, step[i], err);
        if (rc == 0) rc = checkpoint_remove_tree(path, err);
    }
    return rc;
}
