/* cli/checkpoint.c: see checkpoint.h. */
#include "cli/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "policy/folder.h"
#include "policy/safetensors.h"

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

int checkpoint_remove_tree(const char *path, struct err *err) {
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return err_errno(err, EX_IOERR, "remove %s", path);
    return 0;
}

static int save_optimizer(const char *dir, const struct optimizer *o, struct err *err) {
    char path[PATH_MAX];
    if (file_join(path, sizeof path, dir, "optimizer.safetensors", err) != 0) return -1;
    int64_t n = (int64_t)o->n_data;
    struct safetensors_tensor t[] = {
        {.name = "m", .dtype = SAFETENSORS_F32, .n_dims = 1, .shape = {n}, .data = o->m},
        {.name = "v", .dtype = SAFETENSORS_F32, .n_dims = 1, .shape = {n}, .data = o->v},
        {.name = "t", .dtype = SAFETENSORS_I64, .n_dims = 0, .data = &o->t},
    };
    return safetensors_save(path, t, 3, NULL, 0, err);
}

static int numbers_up(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Removes the oldest step-N folders so that `keep` stay. */
static int prune(const char *dir, int keep, struct err *err) {
    int step[4096], n = 0, rc = 0;
    DIR *d = opendir(dir);
    if (!d) return err_errno(err, EX_IOERR, "open %s", dir);
    for (struct dirent *e; (e = readdir(d)) && n < 4096;) {
        char *end;
        if (strncmp(e->d_name, "step-", 5) != 0) continue;
        long v = strtol(e->d_name + 5, &end, 10);
        if (end != e->d_name + 5 && *end == 0 && v >= 0 && v < INT_MAX) step[n++] = (int)v;
    }
    closedir(d);
    qsort(step, (size_t)n, sizeof *step, numbers_up);
    for (int i = 0; i + keep < n && rc == 0; i++) {
        char name[32], path[PATH_MAX];
        snprintf(name, sizeof name, "step-%d", step[i]);
        rc = file_join(path, sizeof path, dir, name, err);
        if (rc == 0) rc = checkpoint_remove_tree(path, err);
    }
    return rc;
}

int checkpoint_save(const char *dir, int step, const struct weights *w,
                    const struct tokenizer *tok, const struct optimizer *o, int keep,
                    struct err *err) {
    char folder[PATH_MAX], tmp[PATH_MAX], path[PATH_MAX], name[32];
    snprintf(name, sizeof name, "step-%d", step);
    if (file_join(folder, sizeof folder, dir, "checkpoints", err) != 0 ||
        file_join(tmp, sizeof tmp, folder, "unfinished", err) != 0 ||
        file_join(path, sizeof path, folder, name, err) != 0 ||
        file_mkdirs(folder, err) != 0 || checkpoint_remove_tree(tmp, err) != 0)
        return -1;
    if (folder_save(w, tok, tmp, err) != 0 || save_optimizer(tmp, o, err) != 0) return -1;
    if (checkpoint_remove_tree(path, err) != 0) return -1;
    if (rename(tmp, path) != 0) return err_errno(err, EX_IOERR, "rename %s to %s", tmp, path);
    return keep > 0 ? prune(folder, keep, err) : 0;
}
