/* cli/estimate.c: see estimate.h. */
#include "cli/estimate.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ftw.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/checkpoint.h"
#include "cli/run.h"

enum { MAX_CHECKPOINTS = 4096, FOLDER_LEAST = 4 << 10, FOLDER_MOST = 64 << 10,
       DATABASE_BYTES = 256 << 10,
       LOG_BYTES = 65 << 20 }; /* run.db-wal, before it is moved into run.db (db/open.c) */

/* ---- memory ------------------------------------------------------------------------ */

/* A number in a file of the kernel, after `key`; -1 where there is none. */
static double read_number(const char *path, const char *key) {
    char line[256];
    double x = -1;
    FILE *f = fopen(path, "re");
    if (!f) return -1;
    while (x < 0 && fgets(line, sizeof line, f)) {
        char *end;
        if (strncmp(line, key, strlen(key)) != 0) continue;
        double v = strtod(line + strlen(key), &end);
        if (end != line + strlen(key)) x = v;
    }
    fclose(f);
    return x;
}

static double least(double a, double b) { return a < 0 || (b >= 0 && b < a) ? b : a; }

/* What the kernel takes back where memory is wanted, as MemAvailable counts it. */
static double read_cache(const char *path) {
    static const char *const key[] = {"inactive_file ", "active_file ", "slab_reclaimable "};
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        double x = read_number(path, key[i]);
        if (x > 0) sum += x;
    }
    return sum;
}

/* What the control group (version 2) of the process, and those above it, let it have still. */
static double group_memory(void) {
    char line[1024] = "", path[2048];
    double found = -1;
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && strncmp(line, "0::/", 4) != 0 && fgets(line, sizeof line, f)) continue;
    if (f) fclose(f);
    if (strncmp(line, "0::/", 4) != 0) return -1;
    line[strcspn(line, "\n")] = 0;
    for (char *at = line + 3, *end = at + strlen(at); end; end = strrchr(at, '/')) {
        *end = 0;
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", at);
        double most = read_number(path, "");
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.current", at);
        double used = read_number(path, "");
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.stat", at);
        used -= read_cache(path); /* files it has read count too, until somebody wants the memory */
        if (used < 0) used = 0;
        if (most >= 0) found = least(found, most > used ? most - used : 0);
    }
    return found;
}

static double limit_memory(int what, const char *used_key) {
    struct rlimit lim;
    double used = 1024 * read_number("/proc/self/status", used_key);
    if (getrlimit(what, &lim) != 0 || lim.rlim_cur == RLIM_INFINITY || used < 0) return -1;
    return (double)lim.rlim_cur > used ? (double)lim.rlim_cur - used : 0;
}

double estimate_memory_free(void) {
    double kib = read_number("/proc/meminfo", "MemAvailable:");
    double bytes = least(kib < 0 ? -1 : 1024 * kib, group_memory());
    bytes = least(bytes, limit_memory(RLIMIT_AS, "VmSize:"));
    return least(bytes, limit_memory(RLIMIT_DATA, "VmData:"));
}

void estimate_begin(void) {
    double bytes = estimate_memory_free();
    if (bytes >= 0) mem_limit(mem_in_use() + (size_t)bytes + 1);
}

/* Weights, what is packed of them, and buffers, all over again; it has no optimizer. */
static double reference_bytes(const struct run *r) {
    for (int i = 0; i < r->x.n_stages; i++)
        if (r->x.stage[i].type == STAGE_GRPO && r->x.stage[i].beta > 0)
            return (double)(r->policy_bytes + r->update_bytes) -
                   3.0 * sizeof(float) * (double)r->e.w.n_data;
    return 0;
}

/* ---- disk -------------------------------------------------------------------------- */

struct bounds {
    double least, most;
};

/* The last step that this start makes at least, or at most; INT_MAX: all. */
static int last_step(const struct run *r, bool at_least) {
    long all = 0, end = r->last + (long)r->limits.max_steps;
    for (int i = 0; i < r->x.n_stages; i++) all += r->x.stage[i].max_steps;
    if (at_least && r->last < all && (r->limits.max_minutes > 0 || r->until.n > 0)) return r->last;
    return r->limits.max_steps > 0 && end < all ? (int)end : INT_MAX;
}

static bool is_kept(const struct run *r, int step) {
    const int newest = r->x.checkpoint.keep_last, keep = r->x.checkpoint.keep_every;
    return newest == 0 || (keep > 0 && step % keep == 0);
}

/* Those that are there and will go. */
static int checkpoints_that_go(const struct run *r) {
    int at[MAX_CHECKPOINTS], n = checkpoint_list(r->dir, at, MAX_CHECKPOINTS), found = 0;
    for (int i = 0; i < n; i++) found += at[i] > 0 && !is_kept(r, at[i]);
    return found;
}

/* Checkpoints that will be there at most beside those that are: the newest, one more while it is
 * written before the oldest goes, and those that are kept for good. */
static double checkpoints_to_come(const struct run *r, int end, bool *all) {
    int have = r->last > 0 ? checkpoints_that_go(r) : 0, first = 1;
    const int newest = r->x.checkpoint.keep_last;
    double kept = 0, others = 0;
    for (int i = 0; i < r->x.n_stages; i++) {
        int max = r->x.stage[i].max_steps, every = r->x.checkpoint.save_steps;
        for (int s = 1; s <= max; s++) {
            int step = first + s - 1;
            bool due = s == max || (every > 0 && s % every == 0) || step == end;
            if (step <= r->last || step > end || !due) continue;
            if (is_kept(r, step))
                kept++;
            else
                others++;
        }
        first += max;
    }
    *all = others == 0 || others <= newest - have;
    double room = newest + 1 - have;
    return kept + (*all ? others : room > 1 ? room : 1);
}

static void add(struct bounds *b, double n, double least, double most) {
    b->least += n * least;
    b->most += n * most;
}

/* Rows of run.db that are still to be written. A token takes 4 bytes of id, 4 of its
 * log-probability, 1 of the mask, and up to 4 of text. */
static struct bounds rows_to_come(const struct run *r, int end) {
    struct bounds b = {DATABASE_BYTES, DATABASE_BYTES};
    double max_pos = r->e.m.max_pos, evaluations = r->x.problems.eval[0] ? 1 : 0;
    int before = 0;
    for (int i = 0; i < r->x.n_stages; i++) {
        const struct experiment_stage *s = &r->x.stage[i];
        int to = before + s->max_steps < end ? before + s->max_steps : end;
        double steps = to - (r->last > before ? r->last : before);
        before += s->max_steps;
        if (steps <= 0) continue;
        add(&b, steps, 500, 6000); /* the step, its metrics */
        if (r->x.eval.eval_steps > 0) evaluations += steps / r->x.eval.eval_steps;
        if (before <= end) evaluations += 1 + r->x.eval.samples;
        if (s->type == STAGE_SFT) {
            add(&b, steps * s->batch_size, 24, 4 * max_pos + 600);
            continue;
        }
        double n = s->max_completion_length, rewards = r->x.n_rewards;
        add(&b, steps * s->num_prompts, 50, 700);
        add(&b, steps * s->num_prompts * s->num_generations, 150 + 40 * rewards,
            300 + 250 * rewards + 4 * max_pos + 9 * n);
    }
    if (r->eval && r->last < before)
        add(&b, evaluations * problem_set_size(r->eval), 20, 300 + 4 * r->x.eval.max_completion_length);
    return b;
}

static struct bounds needed_until(const struct run *r, int end) {
    double weights = (double)r->e.w.n_data * sizeof(float);
    struct bounds b = rows_to_come(r, end);
    bool all; /* the weights of the end come when the last checkpoint has made room, if it does */
    double n = checkpoints_to_come(r, end, &all), models = (r->last == 0) + (all && end == INT_MAX);
    if (r->last > 0) b.least -= DATABASE_BYTES;
    b.most += LOG_BYTES;
    add(&b, n, 3 * weights + FOLDER_LEAST, 3 * weights + FOLDER_MOST); /* Adam's two beside them */
    add(&b, models, weights + FOLDER_LEAST, weights + FOLDER_MOST);
    return b;
}

static struct bounds disk_needed(const struct run *r) {
    return (struct bounds){needed_until(r, last_step(r, true)).least,
                           needed_until(r, last_step(r, false)).most};
}

/* Of the folder, or of the nearest one above that is there; -1 where nobody says: a file system
 * without blocks, as /proc. */
static double disk_free(const char *dir) {
    char path[PATH_MAX];
    struct statvfs st;
    snprintf(path, sizeof path, "%s", dir);
    while (statvfs(path, &st) != 0) {
        char *slash = strrchr(path, '/');
        if (strcmp(path, ".") == 0 || strcmp(path, "/") == 0) return -1;
        if (slash && slash != path)
            *slash = 0;
        else
            snprintf(path, sizeof path, "%s", slash ? "/" : ".");
    }
    return st.f_blocks > 0 ? (double)st.f_bavail * (double)st.f_frsize : -1;
}

/* What --overwrite would give back. */
static double freed;

static int add_size(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)path, (void)at;
    if (type == FTW_F) freed += 512.0 * (double)st->st_blocks;
    return 0;
}

static double room_for(const struct run *r, bool overwrite) {
    char real[PATH_MAX]; /* the folder itself may be a link, what is in it is not followed */
    double room = disk_free(r->dir);
    freed = 0;
    if (overwrite && room >= 0 && realpath(r->dir, real)) nftw(real, add_size, 16, FTW_PHYS);
    return room < 0 ? room : room + freed;
}

/* ---- both -------------------------------------------------------------------------- */

static const char *size_text(double bytes, char out[32]) {
    static const char *const unit[] = {"kB", "MB", "GB", "TB"};
    int i = 0;
    for (bytes /= 1e3; bytes >= 1e3 && i < 3; i++) bytes /= 1e3;
    snprintf(out, 32, bytes < 10 ? "%.1f %s" : "%.0f %s", bytes, unit[i]);
    return out;
}

int estimate_fits(struct run *r, bool overwrite, struct err *err) {
    char a[32], b[32];
    double more = reference_bytes(r), memory = estimate_memory_free(), disk = room_for(r, overwrite);
    double needed = disk_needed(r).least;
    mem_limit(0);
    if (memory >= 0 && more > memory)
        return err_set(err, EX_OSERR,
                       "out of memory: the reference policy of a stage with beta takes %s, %s are "
                       "free; lower max_tokens_per_microbatch, or set beta to 0",
                       size_text(more, a), size_text(memory, b));
    if (disk >= 0 && needed > disk)
        return err_set(err, EX_CANTCREAT,
                       "%s: the run writes %s at least, %s are free; choose another --out, keep fewer "
                       "checkpoints (checkpoint.keep_last, save_steps), or try it all the same with "
                       "--no-estimate", r->dir, size_text(needed, a), size_text(disk, b));
    return 0;
}

void estimate_show(struct run *r, bool overwrite) {
    char text[5][32];
    struct bounds b = disk_needed(r);
    double disk = room_for(r, overwrite), free_bytes = estimate_memory_free();
    printf("needs %s of memory", size_text((double)mem_in_use() + reference_bytes(r), text[0]));
    if (free_bytes >= 0) printf(" (%s are free beside it)", size_text(free_bytes, text[1]));
    printf(", %s to %s of disk", size_text(b.least, text[2]), size_text(b.most, text[3]));
    if (disk >= 0) printf(" (%s are free)", size_text(disk, text[4]));
    printf("%s\n", disk >= 0 && b.most > disk ? ": it may not be enough" : "");
}

/* ---- time -------------------------------------------------------------------------- */

/* A pace is known after so many steps that took so long. */
enum { PACE_STEPS = 3, PACE_SECONDS = 5 };

double estimate_seconds_left(double seconds, int made, int left) {
    return made >= PACE_STEPS && seconds >= PACE_SECONDS ? seconds / made * left : NAN;
}

void estimate_watch(struct run *r, int i, int before, int done) {
    const struct experiment_stage *s = &r->x.stage[i];
    double end = 60 * r->limits.max_minutes - (progress_now() - r->started);
    double left = estimate_seconds_left(progress_now() - r->progress.start, done - before,
                                        s->max_steps - done);
    if (r->time_said || r->limits.max_minutes == 0 || isnan(left)) return;
    r->time_said = true;
    if (left < 1.1 * end) return;
    progress_note(&r->progress,
                  "  the %d steps left of %s alone take about %.0f min at this pace: --max-minutes %g "
                  "ends the run before, and the same command then goes on",
                  s->max_steps - done, s->name, ceil(left / 60), r->limits.max_minutes);
}
