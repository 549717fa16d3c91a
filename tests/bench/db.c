/* tests/bench/db.c: how fast a database of a million episodes is written, and how large
 * it gets. `make bench-db` runs it, then times the questions of docs/database.md on it.
 *
 *     db FILE EPISODES TOKENS BYTES_A_TOKEN
 *
 * Steps of 128 groups of 8, two checkers, 50,000 problems; the content is noise, made
 * beforehand.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "db/db.h"

enum { GROUPS = 128, SAMPLES = 8, PROMPT = 20, PROBLEMS = 50000, MAX_TOKENS = 1024, POOL = 1024 };

struct content {
    int32_t ids[PROMPT + MAX_TOKENS];
    float logps[MAX_TOKENS];
    char *text; /* [n_text] */
};

struct bench {
    struct db *db;
    long n_episodes, n; /* wanted, written */
    int n_tokens, n_text;
    struct content *pool; /* [POOL] */
    uint8_t mask[MAX_TOKENS];
    struct db_group group[GROUPS]; /* a step's */
    struct db_episode episode[GROUPS][SAMPLES];
    struct db_verdict verdict[GROUPS][SAMPLES][2];
    double finish_s; /* in the second transaction of all steps */
    int n_steps;
};

static struct err err;

static void must(int rc) {
    if (rc == 0) return;
    fprintf(stderr, "bench: %s\n", err.msg);
    exit(err.code);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void make_content(struct bench *b) {
    uint64_t x = 88172645463325252u;
    b->pool = mem_new(POOL, sizeof *b->pool);
    for (struct content *c = b->pool; c < b->pool + POOL; c++) {
        c->text = mem_new((size_t)b->n_text + 1, 1);
        for (int i = 0; i < PROMPT + b->n_tokens; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            c->ids[i] = (int32_t)(x % 50000);
            if (i < b->n_tokens) c->logps[i] = -(float)(x >> 40) * 0x1p-23f;
        }
        for (int i = 0; i < b->n_text; i++) c->text[i] = (char)('a' + (c->ids[i / 8] + i) % 26);
    }
    memset(b->mask, 1, sizeof b->mask);
}

static void fill_verdicts(struct db_verdict v[2], bool right) {
    v[0] = (struct db_verdict){.checker = "answer", .detail = "", .version = "countdown/1",
                               .weight = 1, .status = "ok", .score = right, .ms = 0.01};
    v[1] = (struct db_verdict){.checker = "format", .detail = "", .version = "format/1",
                               .weight = 0.1, .status = "ok", .score = 1, .ms = 0.01};
}

static void fill_group(struct bench *b, int step, int p) {
    char key[32], prompt[64];
    snprintf(key, sizeof key, "%ld", b->n / SAMPLES * 7919 % PROBLEMS);
    snprintf(prompt, sizeof prompt, "Make %s from 3, 44, 9 and 17.\n", key);
    struct db_problem row = {.kind = "countdown", .key = key, .split = "train",
                             .prompt = prompt, .gold = key};
    struct db_group *g = &b->group[p];
    *g = (struct db_group){.step = step, .prompt_no = p, .n = SAMPLES,
                           .episodes = b->episode[p], .n_episodes = SAMPLES};
    must(db_write_problem(b->db, &row, &g->problem_id, &err));
    for (int k = 0; k < SAMPLES; k++, b->n++) {
        const struct content *c = &b->pool[b->n % POOL];
        bool right = c->ids[0] % 3 == 0;
        fill_verdicts(b->verdict[p][k], right);
        b->episode[p][k] = (struct db_episode){
            .sample = k, .n_prompt = PROMPT, .n_completion = b->n_tokens,
            .ids = c->ids, .logps = c->logps, .mask = b->mask, .text = c->text,
            .n_text = (size_t)b->n_text, .finish_reason = k ? "eos" : "length", .key_seed = 1,
            .key_purpose = 2, .key_step = (uint32_t)step, .key_prompt = (uint32_t)p,
            .key_sample = (uint32_t)k, .weights_hash = (uint64_t)step,
            .reward = right ? 1.1 : 0.1, .advantage = right ? 1 : -0.5, .gen_ms = 1.5,
            .score_ms = 0.1, .verdicts = b->verdict[p][k], .n_verdicts = 2};
    }
}

static void write_step(struct bench *b, int step) {
    struct db_step row = {.step = step, .stage = 1, .stage_step = step, .wall_s = 1,
                          .weights_before = (uint64_t)step, .learning_rate = 1e-6,
                          .weights_after = (uint64_t)step + 1};
    struct db_metric m[40];
    char name[40][16];
    static const char *const known[] = {"kl", "entropy", "loss", "grad_norm"};
    for (int i = 0; i < 40; i++) {
        snprintf(name[i], sizeof name[i], "metric%d", i);
        m[i] = (struct db_metric){i < 4 ? known[i] : name[i], i};
    }
    must(db_begin(b->db, &err));
    must(db_write_step(b->db, &row, &err));
    int n = 0;
    while (n < GROUPS && b->n < b->n_episodes) fill_group(b, step, n++);
    must(db_write_groups(b->db, b->group, n, &err));
    must(db_commit(b->db, &err));
    double start = now();
    must(db_finish_step(b->db, &row, m, 40, NULL, 0, &err));
    b->finish_s += now() - start;
    b->n_steps++;
}

static void create(struct bench *b, const char *path) {
    struct db_run run = {.name = "bench", .version = "0", .build = "cc", .isa = "plain",
                         .threads = 1, .seed = 1, .start_weights = 1, .experiment = "{}"};
    struct db_stage stage = {1, "grpo", "grpo", 100000, NULL, NULL};
    must(db_create(&b->db, path, &err));
    must(db_begin(b->db, &err));
    must(db_write_run(b->db, &run, &err));
    must(db_write_stage(b->db, &stage, &err));
    must(db_commit(b->db, &err));
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: db FILE EPISODES TOKENS BYTES_A_TOKEN\n");
        return EX_USAGE;
    }
    static struct bench b; /* too large for a small stack */
    b = (struct bench){.n_episodes = strtol(argv[2], NULL, 10),
                      .n_tokens = (int)strtol(argv[3], NULL, 10)};
    b.n_text = b.n_tokens * (int)strtol(argv[4], NULL, 10);
    CHECK(b.n_tokens >= 1 && b.n_tokens <= MAX_TOKENS);
    make_content(&b);
    create(&b, argv[1]);
    double start = now();
    for (int step = 1; b.n < b.n_episodes; step++) write_step(&b, step);
    db_close(b.db);
    double wall = now() - start;
    struct stat st;
    CHECK(stat(argv[1], &st) == 0);
    printf("%ld episodes of %d tokens in %.1f s: %.0f episodes/s\n", b.n, b.n_tokens, wall,
           (double)b.n / wall);
    printf("%.2f ms a step for its result and 40 metrics\n", 1e3 * b.finish_s / b.n_steps);
    printf("%.2f GB, %.2f bytes a completion token (%d of text)\n", (double)st.st_size / 1e9,
           (double)st.st_size / (double)b.n / b.n_tokens, b.n_text / b.n_tokens);
    return 0;
}
