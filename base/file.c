/* base/file.c: see file.h. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static int read_all(int fd, const char *path, char *data, size_t n, struct err *err) {
    for (size_t done = 0; done < n;) {
        ssize_t got = read(fd, data + done, n - done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_errno(err, EX_IOERR, "read %s", path);
        if (got == 0) return err_set(err, EX_IOERR, "read %s: it shrank while read", path);
        done += (size_t)got;
    }
    return 0;
}

int file_load(const char *path, size_t max_bytes, char **data, size_t *n,
              struct err *err) {
    int rc = -1;
    struct stat st;
    *data = NULL;
    *n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, EX_NOINPUT, "open %s", path);
    if (fstat(fd, &st) != 0) {
        err_errno(err, EX_IOERR, "stat %s", path);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(err, EX_NOINPUT, "open %s: not a regular file", path);
        goto out;
    }
    if ((size_t)st.st_size > max_bytes) {
        err_set(err, EX_DATAERR, "read %s: %lld bytes, more than the %zu allowed here",
                path, (long long)st.st_size, max_bytes);
        goto out;
    }
    *data = mem_new((size_t)st.st_size + 1, 1);
    *n = (size_t)st.st_size;
    rc = read_all(fd, path, *data, *n, err);
    if (rc != 0) {
        mem_free(*data);
        *data = NULL;
        *n = 0;
    }
out:
    close(fd);
    return rc;
}

int file_create(struct file_writer *w, const char *path, struct err *err) {
    w->fd = -1;
    if (strlen(path) >= sizeof w->path)
        return err_set(err, EX_CANTCREAT, "create %s: the path is too long", path);
    snprintf(w->path, sizeof w->path, "%s", path);
    snprintf(w->tmp, sizeof w->tmp, "%s.tmp-%ld", path, (long)getpid());
    w->fd = open(w->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (w->fd < 0) return err_errno(err, EX_CANTCREAT, "create %s", path);
    return 0;
}

int file_write(struct file_writer *w, const void *data, size_t n, struct err *err) {
    const char *p = data;
    while (n > 0) {
        ssize_t put = write(w->fd, p, n);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return err_errno(err, EX_IOERR, "write %s", w->path);
        p += put;
        n -= (size_t)put;
    }
    return 0;
}

static int sync_folder(const char *path, struct err *err) {
    char dir[4096];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof dir) return 0;
    memcpy(dir, path, n);
    dir[n] = 0;
    int fd = open(slash ? (n ? dir : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, EX_IOERR, "open the folder of %s", path);
    int rc = fsync(fd);
    close(fd);
    if (rc != 0 && errno != EINVAL)
        return err_errno(err, EX_IOERR, "sync the folder of %s", path);
    return 0;
}

int file_commit(struct file_writer *w, struct err *err) {
    int rc = -1;
    if (fsync(w->fd) != 0) {
        err_errno(err, EX_IOERR, "sync %s", w->path);
        goto out;
    }
    int fd = w->fd;
    w->fd = -1;
    if (close(fd) != 0) {
        err_errno(err, EX_IOERR, "close %s", w->path);
        goto out;
    }
    if (rename(w->tmp, w->path) != 0) {
        err_errno(err, EX_CANTCREAT, "rename %s to %s", w->tmp, w->path);
        goto out;
    }
    return sync_folder(w->path, err);
out:
    if (w->fd >= 0) close(w->fd);
    w->fd = -1;
    unlink(w->tmp);
    return rc;
}

void file_abandon(struct file_writer *w) {
    if (w->fd < 0) return;
    close(w->fd);
    w->fd = -1;
    unlink(w->tmp);
}

int file_save(const char *path, const void *data, size_t n, struct err *err) {
    struct file_writer w;
    if (file_create(&w, path, err) != 0) return -1;
    if (file_write(&w, data, n, err) != 0) {
        file_abandon(&w);
        return -1;
    }
    return file_commit(&w, err);
}

int file_mkdirs(const char *path, struct err *err) {
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return err_set(err, EX_CANTCREAT, "create folder '%s': bad path", path);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != 0) continue;
        char c = part[i];
        part[i] = 0;
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return err_errno(err, EX_CANTCREAT, "create folder %s", part);
        part[i] = c;
    }
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return err_set(err, EX_CANTCREAT, "create folder %s: a file is in the way", path);
    return 0;
}

bool file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

int file_join(char *out, size_t n, const char *dir, const char *name, struct err *err) {
    int len = snprintf(out, n, "%s/%s", dir, name);
    if (len < 0 || (size_t)len >= n)
        return err_set(err, EX_CONFIG, "%s/%s: the path is too long", dir, name);
    return 0;
}
