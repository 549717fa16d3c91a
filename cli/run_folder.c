/* cli/run_folder.c: see run_folder.h. */
#include "cli/run_folder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/checkpoint.h"
#include "cli/version.h"

/* What a run writes, and nothing else that may lie in the folder; run.db goes last, so that
 * a kill in between leaves what is still seen as a run. */
static const char *const parts[] = {"status.json", "experiment.json", "final", "checkpoints",
                                    "run.db-wal",  "run.db-shm",      "run.db"};
enum { N_PARTS = sizeof parts / sizeof *parts };

static int remove_run(const char *dir, struct err *err) {
    for (int i = 0; i < N_PARTS; i++) {
        char path[PATH_MAX];
        if (file_join(path, sizeof path, dir, parts[i], err) != 0 ||
            checkpoint_remove_tree(path, err) != 0)
            return -1;
    }
    return 0;
}

/* ---- the lock ---------------------------------------------------------------------- */

/* Who holds the lock of an open folder, as the kernel tells; 0 where it does not. */
static long find_holder(int fd) {
    struct stat st;
    char line[256];
    long holder = 0;
    FILE *f = fopen("/proc/locks", "re");
    if (!f || fstat(fd, &st) != 0) goto out;
    while (holder == 0 && fgets(line, sizeof line, f)) {
        unsigned major_no, minor_no;
        unsigned long inode;
        long pid;
        if (sscanf(line, "%*d: FLOCK %*s %*s %ld %x:%x:%lu", &pid, &major_no, &minor_no,
                   &inode) == 4 &&
            inode == st.st_ino && major_no == major(st.st_dev) && minor_no == minor(st.st_dev))
            holder = pid;
    }
out:
    if (f) fclose(f);
    return holder;
}

long run_folder_holder(const char *dir) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return 0;
    long holder = find_holder(fd);
    close(fd);
    return holder;
}

/* Held until the process ends, however it ends: a lock cannot be left behind by the dead. */
int run_folder_lock(const char *dir, int *lock, struct err *err) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, EX_CANTCREAT, "open %s", dir);
    *lock = fd;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return 0;
    if (errno != EWOULDBLOCK) return err_errno(err, EX_IOERR, "lock %s", dir);
    long holder = find_holder(fd);
    return holder > 0 ? err_set(err, EX_TEMPFAIL,
                                "%s: another hone train, process %ld, is writing there", dir,
                                holder)
                      : err_set(err, EX_TEMPFAIL, "%s: another hone train is writing there",
                                dir);
}

/* ---- what a kill leaves ------------------------------------------------------------ */

/* "NAME.tmp-123" and the journals of such a database. */
static bool is_unfinished(const char *name) {
    const char *tmp = strstr(name, ".tmp-");
    if (!tmp || !isdigit((unsigned char)tmp[5])) return false;
    const char *end = tmp + 5 + strspn(tmp + 5, "0123456789");
    return *end == 0 || strcmp(end, "-wal") == 0 || strcmp(end, "-shm") == 0 ||
           strcmp(end, "-journal") == 0;
}

static int sweep(const char *dir, const char *const *names, int n, struct err *err) {
    int rc = 0;
    DIR *d = opendir(dir);
    if (!d) return errno == ENOENT ? 0 : err_errno(err, EX_IOERR, "open %s", dir);
    for (struct dirent *e; (e = readdir(d)) && rc == 0;) {
        bool ours = false;
        for (int i = 0; i < n; i++)
            ours |= strncmp(e->d_name, names[i], strlen(names[i])) == 0;
        if (ours && is_unfinished(e->d_name) && unlinkat(dirfd(d), e->d_name, 0) != 0)
            rc = err_errno(err, EX_IOERR, "remove %s/%s", dir, e->d_name);
    }
    closedir(d);
    return rc;
}

/* Temporary files of starts that were killed; nobody else writes while we hold the lock. */
static int sweep_folder(const char *dir, struct err *err) {
    static const char *const top[] = {"run.db.", "experiment.json.", "status.json."};
    static const char *const model[] = {"config.json.", "model", "tokenizer", "generation_config."};
    char path[PATH_MAX];
    if (sweep(dir, top, 3, err) != 0) return -1;
    if (file_join(path, sizeof path, dir, "final", err) != 0) return -1;
    if (sweep(path, model, 4, err) != 0) return -1;
    if (file_join(path, sizeof path, dir, "checkpoints/unfinished", err) != 0) return -1;
    return checkpoint_remove_tree(path, err);
}

/* ---- looking ----------------------------------------------------------------------- */

/* A kill between the making of run.db and its first row leaves a database without a run; it
 * goes, and the experiment.json beside it. */
static int remove_unstarted(struct run *r, struct err *err) {
    static const char *const name[] = {"experiment.json", "run.db-wal", "run.db-shm", "run.db"};
    db_close(r->db);
    r->db = NULL;
    for (int i = 0; i < 4; i++) {
        char path[PATH_MAX];
        if (file_join(path, sizeof path, r->dir, name[i], err) != 0 ||
            checkpoint_remove_tree(path, err) != 0)
            return -1;
    }
    return 0;
}

static int no_run(const struct run *r, struct err *err) {
    return err_set(err, EX_NOINPUT, "%s: there is no run in this folder, and --resume require "
                   "asks for one", r->dir);
}

static int look_into(struct run *r, const struct run_options *o, bool *there, struct err *err) {
    char path[PATH_MAX];
    bool started;
    if (file_join(path, sizeof path, r->dir, "run.db", err) != 0) return -1;
    if (!file_exists(path)) return o->resume == RESUME_REQUIRE ? no_run(r, err) : 0;
    if (access(r->dir, W_OK) != 0) return err_errno(err, EX_CANTCREAT, "write into %s", r->dir);
    if (db_open(&r->db, path, err) != 0) return -1;
    if (db_has_run(r->db, &started, err) != 0) return -1;
    if (started) {
        *there = true;
        return db_check_pages(r->db, err);
    }
    if (o->resume == RESUME_REQUIRE) return no_run(r, err);
    return remove_unstarted(r, err);
}

int run_folder_look(struct run *r, const struct run_options *o, bool *there, struct err *err) {
    *there = false;
    if (!file_exists(r->dir)) return o->resume == RESUME_REQUIRE ? no_run(r, err) : 0;
    if (run_folder_lock(r->dir, &r->lock, err) != 0) return -1;
    if (o->overwrite || o->resume == RESUME_NEVER) return 0;
    if (look_into(r, o, there, err) != 0) return -1;
    return *there ? sweep_folder(r->dir, err) : 0;
}

/* ---- making ------------------------------------------------------------------------ */

/* A run may be replaced only as a whole, only when asked for, and never under the policy
 * that the new one starts from. */
static int may_clear(const struct run *r, const struct run_options *o, const char **there,
                     struct err *err) {
    char path[PATH_MAX], real_out[PATH_MAX], real_model[PATH_MAX];
    const char *found = NULL;
    for (int i = 0; i < N_PARTS; i++) {
        if (file_join(path, sizeof path, o->out, parts[i], err) != 0) return -1;
        if (file_exists(path)) found = parts[i];
    }
    *there = found;
    if (!found) return 0;
    if (!o->overwrite)
        return strcmp(found, "run.db") == 0
                   ? err_set(err, EX_CANTCREAT,
                             "%s: there is a run in this folder; choose another --out, or "
                             "replace it with --overwrite",
                             o->out)
                   : err_set(err, EX_CANTCREAT,
                             "%s: there is already %s in this folder; choose another --out, or "
                             "replace what is there with --overwrite",
                             o->out, found);
    if (strcmp(found, "run.db") == 0) {
        struct db *old; /* only a run of ours is removed */
        if (db_open_readonly(&old, path, err) != 0) return -1;
        db_close(old);
    }
    size_t n = realpath(o->out, real_out) ? strlen(real_out) : 0;
    if (r->x.model.path[0] && n > 0 && realpath(r->x.model.path, real_model) &&
        strncmp(real_model, real_out, n) == 0 && (real_model[n] == '/' || real_model[n] == 0))
        return err_set(err, EX_CONFIG,
                       "--overwrite: would remove %s, the policy that model.path starts from",
                       r->x.model.path);
    return 0;
}

static int clear_folder(const struct run *r, const struct run_options *o, struct err *err) {
    const char *there;
    if (may_clear(r, o, &there, err) != 0) return -1;
    return there ? remove_run(o->out, err) : 0;
}

int run_folder_could_make(const struct run *r, const struct run_options *o, struct err *err) {
    char path[PATH_MAX];
    const char *there;
    struct stat st;
    snprintf(path, sizeof path, "%s", r->dir);
    while (stat(path, &st) != 0) {
        if (errno != ENOENT) return err_errno(err, EX_CANTCREAT, "open %s", path);
        char *slash = strrchr(path, '/');
        if (strcmp(path, ".") == 0) return err_errno(err, EX_CANTCREAT, "open %s", path);
        if (slash && slash != path)
            *slash = 0;
        else
            snprintf(path, sizeof path, "%s", slash ? "/" : ".");
    }
    if (!S_ISDIR(st.st_mode))
        return err_set(err, EX_CANTCREAT, "create folder %s: a file is in the way", r->dir);
    if (access(path, W_OK | X_OK) != 0) return err_errno(err, EX_CANTCREAT, "write into %s", path);
    return may_clear(r, o, &there, err);
}

int run_folder_write_tokens(struct db *db, const struct tokenizer *tok, struct err *err) {
    for (int i = 0, n = tokenizer_vocab_size(tok); i < n; i++) {
        size_t len;
        const char *text = tokenizer_piece(tok, i, &len);
        if (db_write_token(db, i, text, len, err) != 0) return -1;
    }
    return 0;
}

/* The run and its vocabulary at once: a run that is there is whole. */
static int write_run(struct run *r, const struct db_run *row, struct err *err) {
    if (db_begin(r->db, err) != 0) return -1;
    if (db_write_run(r->db, row, err) == 0 && run_folder_write_tokens(r->db, r->e.tok, err) == 0)
        return db_commit(r->db, err);
    db_rollback(r->db);
    return -1;
}

static int write_files(struct run *r, const char *db, const char *json, struct err *err) {
    if (db_create(&r->db, db, err) != 0) return -1;
    struct buf text = {0};
    experiment_print(&r->x, &text);
    int rc = file_save(json, buf_text(&text), text.len, err);
    if (rc == 0) {
        struct db_run row = {.name = r->x.name, .version = version_short(), .build = version_compiler(),
                             .isa = r->e.k->name, .experiment = buf_text(&text),
                             .seed = r->x.seed, .start_weights = r->hash,
                             .threads = r->e.n_threads};
        rc = write_run(r, &row, err);
    }
    buf_clear(&text);
    return rc;
}

int run_folder_make(struct run *r, const struct run_options *o, struct err *err) {
    char db[PATH_MAX], json[PATH_MAX];
    bool fresh = !file_exists(o->out);
    struct err ignored;
    if (file_join(db, sizeof db, o->out, "run.db", err) != 0 ||
        file_join(json, sizeof json, o->out, "experiment.json", err) != 0)
        return -1;
    if (file_mkdirs(o->out, err) != 0) return -1;
    if (access(o->out, W_OK) != 0) return err_errno(err, EX_CANTCREAT, "write into %s", o->out);
    if (r->lock == 0 && run_folder_lock(r->dir, &r->lock, err) != 0) return -1;
    if (clear_folder(r, o, err) != 0 || sweep_folder(r->dir, err) != 0) return -1;
    if (write_files(r, db, json, err) == 0) return 0;
    db_close(r->db);
    r->db = NULL;
    if (remove_run(o->out, &ignored) == 0 && fresh) rmdir(o->out);
    return -1;
}

/* ---- going on ---------------------------------------------------------------------- */

int run_folder_continue(struct run *r, struct err *err) {
    char path[PATH_MAX], *text = NULL;
    size_t n = 0;
    struct err ignored;
    struct buf now = {0};
    if (file_join(path, sizeof path, r->dir, "experiment.json", err) != 0) return -1;
    experiment_print(&r->x, &now);
    int rc = 0, max_steps[EXPERIMENT_MAX_STAGES];
    for (int i = 0; i < r->x.n_stages; i++) max_steps[i] = r->x.stage[i].max_steps;
    if (r->changed)
        rc = db_change_experiment(r->db, buf_text(&now), max_steps, r->x.n_stages, err);
    bool same = file_load(path, 1 << 22, &text, &n, &ignored) == 0 && n == now.len &&
                memcmp(text, buf_text(&now), n) == 0;
    if (rc == 0 && !same) rc = file_save(path, buf_text(&now), now.len, err);
    mem_free(text);
    buf_clear(&now);
    return rc;
}
