/* base/file.h: whole files, written so that a kill leaves the old or the new one.
 *
 * Every file hone writes goes to a temporary name beside it, is synced, then renamed.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* The whole file, plus a NUL that is not counted. Caller frees *data with mem_free. On -1
 * (missing: EX_NOINPUT, larger than max_bytes: EX_DATAERR, unreadable: EX_IOERR) *data
 * is NULL. */
MUST_USE int file_load(const char *path, size_t max_bytes, char **data, size_t *n,
                       struct err *err);

/* Writes n bytes to path, or leaves what was there before. */
MUST_USE int file_save(const char *path, const void *data, size_t n, struct err *err);

/* A file under construction: writes go to path.tmp-PID, file_commit makes it path. */
struct file_writer {
    int fd;
    char path[4096], tmp[4096 + 32];
};

MUST_USE int file_create(struct file_writer *w, const char *path, struct err *err);
MUST_USE int file_write(struct file_writer *w, const void *data, size_t n, struct err *err);
/* Syncs, renames, syncs the folder. On -1 the temporary file is gone. */
MUST_USE int file_commit(struct file_writer *w, struct err *err);
/* Drops it. Harmless after file_commit. */
void file_abandon(struct file_writer *w);

/* mkdir -p. */
MUST_USE int file_mkdirs(const char *path, struct err *err);

bool file_exists(const char *path);

/* Joins dir and name into out[n]; -1 with EX_CONFIG if it does not fit. */
MUST_USE int file_join(char *out, size_t n, const char *dir, const char *name,
                       struct err *err);

#endif
