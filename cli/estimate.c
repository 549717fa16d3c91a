/* cli/estimate.c: see estimate.h. */
#include "cli/estimate.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/checkpoint.h"
#include "cli/run.h"

enum { MAX_CHECKPOINTS = 4096, FOLDER_BYTES = 16 << 10, DATABASE_BYTES = 256 << 10 };

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

/* Bytes that can still be had; 0 where nobody says. */
static double available_memory(void) {
    double free_bytes = 1024 * read_number("/proc/meminfo", "MemAvailable:");
    double most = read_number("/sys/fs/cgroup/memory.max", "");
    double used = read_number("/sys/fs/cgroup/memory.current", "");
    if (most > 0 && used >= 0 && (free_bytes <= 0 || most - used < free_bytes))
        free_bytes = most > used ? most - used : 1;
    return free_bytes > 0 ? free_bytes : 0;
}

void estimate_begin(void) {
    double bytes = available_memory();
    mem_limit(bytes > 0 ? mem_in_use() + (size_t)bytes : 0);
}

/* Weights, what is packed of them, and buffers, all over again. */
static double reference_bytes(const struct run *r) {
    for (int i = 0; i < r->x.n_stages; i++)
        if (r->x.stage[i].type == STAGE_GRPO && r->x.stage[i].beta > 0)
            return (double)(r->policy_bytes + r->update_bytes);
    return 0;
}

/* ---- disk -------------------------------------------------------------------------- */

struct bounds {
    double least, most;
};

/* Checkpoints that will be there beside those that are; at least one while it is written. */
static double checkpoints_to_come(const struct run *r) {
    int at[MAX_CHECKPOINTS], have = checkpoint_list(r->dir, at, MAX_CHECKPOINTS), first = 1;
    double kept = 0;
    for (int i = 0; i < r->x.n_stages; i++) {
        int max = r->x.stage[i].max_steps, every = r->x.checkpoint.save_steps;
        int keep = r->x.checkpoint.keep_every;
        for (int s = 1; s <= max; s++) {
            int step = first + s - 1;
            if (step <= r->last || (s != max && (every == 0 || s % every != 0))) continue;
            kept += r->x.checkpoint.keep_last == 0 || (keep > 0 && step % keep == 0);
        }
        first += max;
    }
    double last = r->x.checkpoint.keep_last - have;
    return kept + (last > 0 ? last : 0) + 1;
}

static void add(struct bounds *b, double n, double least, double most) {
    b->least += n * least;
    b->most += n * most;
}

/* Rows of run.db that are still to be written. A token takes 4 bytes of id, 4 of its
 * log-probability, 1 of the mask, and up to 4 of text. */
static struct bounds rows_to_come(const struct run *r) {
    struct bounds b = {DATABASE_BYTES, DATABASE_BYTES};
    double max_pos = r->e.m.max_pos, evaluations = r->x.problems.eval[0] ? 1 : 0;
    int before = 0;
    for (int i = 0; i < r->x.n_stages; i++) {
        const struct experiment_stage *s = &r->x.stage[i];
        double steps = before + s->max_steps - (r->last > before ? r->last : before);
        before += s->max_steps;
        if (steps <= 0) continue;
        add(&b, steps, 500, 6000); /* the step, its metrics */
        if (r->x.eval.eval_steps > 0) evaluations += steps / r->x.eval.eval_steps;
        evaluations += 1 + r->x.eval.samples;
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

static struct bounds disk_needed(const struct run *r) {
    double weights = (double)r->e.w.n_data * sizeof(float) + FOLDER_BYTES;
    struct bounds b = rows_to_come(r);
    if (r->last > 0) b.least -= DATABASE_BYTES;
    double models = 3 * weights * checkpoints_to_come(r) + (r->last > 0 ? 1 : 2) * weights;
    b.least += models;
    b.most += models;
    return b;
}

/* Of the folder, or of the nearest one above that is there; -1 where nobody says. */
static double disk_free(const char *dir) {
    char path[PATH_MAX];
    struct statvfs st;
    snprintf(path, sizeof path, "%s", dir);
    while (statvfs(path, &st) != 0) {
        char *slash = strrchr(path, '/');
        if (slash && slash != path)
            *slash = 0;
        else
            snprintf(path, sizeof path, "%s", slash ? "/" : ".");
        if (strcmp(path, ".") == 0 || strcmp(path, "/") == 0)
            return statvfs(path, &st) == 0 ? (double)st.f_bavail * (double)st.f_frsize : -1;
    }
    return (double)st.f_bavail * (double)st.f_frsize;
}

/* ---- both -------------------------------------------------------------------------- */

static const char *size_text(double bytes, char out[32]) {
    static const char *const unit[] = {"kB", "MB", "GB", "TB"};
    int i = 0;
    for (bytes /= 1e3; bytes >= 1e3 && i < 3; i++) bytes /= 1e3;
    snprintf(out, 32, bytes < 10 ? "%.1f %s" : "%.0f %s", bytes, unit[i]);
    return out;
}

int estimate_fits(struct run *r, struct err *err) {
    char a[32], b[32];
    double more = reference_bytes(r), memory = available_memory();
    mem_limit(0);
    if (memory > 0 && more > memory)
        return err_set(err, EX_OSERR,
                       "out of memory: the reference policy of a stage with beta takes %s, %s are "
                       "there; lower max_tokens_per_microbatch, or set beta to 0",
                       size_text(more, a), size_text(memory, b));
    double disk = disk_free(r->dir), least = disk_needed(r).least;
    if (disk >= 0 && least > disk)
        return err_set(err, EX_IOERR,
                       "%s: the run writes %s at least, %s are free; choose another --out, or keep "
                       "fewer checkpoints (checkpoint.keep_last, save_steps)",
                       r->dir, size_text(least, a), size_text(disk, b));
    return 0;
}

void estimate_show(struct run *r) {
    char text[5][32];
    struct bounds b = disk_needed(r);
    double disk = disk_free(r->dir), memory = (double)mem_in_use() + reference_bytes(r);
    printf("needs %s of memory (%s are free), %s to %s of disk (%s are free)%s\n",
           size_text(memory, text[0]), size_text(available_memory(), text[1]),
           size_text(b.least, text[2]), size_text(b.most, text[3]), size_text(disk, text[4]),
           disk >= 0 && b.most > disk ? ": it may not be enough" : "");
}
