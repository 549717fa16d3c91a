/* tests/db_fixture.c: see db_fixture.h. */
#include "tests/db_fixture.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct err err;

static void must(int rc) {
    if (rc != 0) fprintf(stderr, "fixture: %s\n", err.msg);
    CHECK(rc == 0);
}

void fixture_folder(char out[64]) {
    snprintf(out, 64, "/tmp/hone-test-db-XXXXXX");
    CHECK(mkdtemp(out));
}

void fixture_remove(const char *folder) {
    DIR *d = opendir(folder);
    struct dirent *entry;
    char path[4096];
    while (d && (entry = readdir(d))) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    if (d) closedir(d);
    rmdir(folder);
}

static const struct db_problem problem[2] = {
    {.kind = "countdown",
     .key = "3,44,9=>98",
     .split = "train",
     .prompt = "Make 98 from 3, 44, 9.\n",
     .gold = "98"},
    {.kind = "countdown",
     .key = "2,5=>10",
     .split = "train",
     .prompt = "Make 10 from 2, 5.\n",
     .gold = "10"},
};

struct sample {
    int problem, prompt_no, no, n_completion;
    double reward, advantage;
    const char *finish, *status, *text;
    double score; /* of the answer; that of the format is 1 */
};

static const struct sample sampled[2][4] = {
    {{0, 0, 0, 3, 1, 0.5, "eos", "ok", "<answer>(44+9)*3-61</answer>", 1},
     {0, 0, 1, 5, 0, -0.5, "length", "ok", "<answer>44+9+3</answer>", 0},
     {1, 1, 0, 2, 0.1, 0, "stop", "unparsable", "10?\x1b[31m\xff", 0},
     {1, 1, 1, 2, 0.1, NAN, "eos", "timeout", "2*2*2*2*2", 0}},
    {{1, 0, 0, 4, 1, 0, "eos", "ok", "<answer>2*5</answer>", 1},
     {1, 0, 1, 4, 1, 0, "eos", "ok", "<answer>5*2</answer>", 1}},
};

static void verdicts(struct db_verdict v[2], const struct sample *s) {
    v[0] = (struct db_verdict){.checker = "answer",
                               .version = "countdown/1",
                               .weight = 1,
                               .status = s->status,
                               .score = s->score,
                               .detail = "",
                               .ms = 0.25,
                               .deterministic = true,
                               .parts = "{\"value\": 0.5}"};
    v[1] = (struct db_verdict){.checker = "format",
                               .version = "format/1",
                               .weight = 0.1,
                               .status = "ok",
                               .score = 1,
                               .detail = "tags",
                               .ms = 0.01};
}

struct contents {
    int32_t ids[16];
    float logps[16];
    uint8_t mask[16];
    struct db_verdict verdict[2];
};

static void episode(struct db_episode *e, struct contents *c, int step, const struct sample *s) {
    for (int i = 0; i < 2 + s->n_completion; i++) c->ids[i] = 100 * s->no + i - 1;
    for (int i = 0; i < s->n_completion; i++) {
        c->logps[i] = -0.1f * (float)(i + 1);
        c->mask[i] = i != 1;
    }
    verdicts(c->verdict, s);
    *e = (struct db_episode){.sample = s->no,
                             .n_prompt = 2,
                             .n_completion = s->n_completion,
                             .ids = c->ids,
                             .logps = c->logps,
                             .mask = c->mask,
                             .text = s->text,
                             .n_text = strlen(s->text),
                             .finish_reason = s->finish,
                             .key_seed = 0x8000000000000001u,
                             .key_purpose = 2,
                             .key_step = (uint32_t)step,
                             .key_prompt = (uint32_t)s->prompt_no,
                             .key_sample = (uint32_t)s->no,
                             .weights_hash = 0xbb,
                             .reward = s->reward,
                             .advantage = s->advantage,
                             .gen_ms = 12.5,
                             .score_ms = 0.5,
                             .verdicts = c->verdict,
                             .n_verdicts = 2};
}

static void traces(struct db *db) {
    static const int32_t ids[] = {1, 2, 3, 4, -5, INT32_MAX};
    for (int i = 0; i < 2; i++) {
        struct db_trace t = {
            .step = 1, .idx = i, .ids = ids, .n_ids = 6 - i, .n_prompt = 2};
        must(db_write_problem(db, &problem[i], &t.problem_id, &err));
        must(db_write_traces(db, &t, 1, &err));
    }
}

void fixture_sample(struct db *db, int step) {
    struct db_step row = {.step = step,
                          .stage = step == 1 ? 1 : 2,
                          .stage_step = step == 1 ? 1 : step - 1,
                          .learning_rate = 1e-3,
                          .weights_before = step == 1   ? 0xaa
                                            : step == 2 ? 0xbb
                                                        : 0xcc};
    must(db_begin(db, &err));
    must(db_write_step(db, &row, &err));
    if (step == 1) {
        traces(db);
        return;
    }
    const struct sample *s = sampled[step - 2];
    struct contents c[4];
    struct db_episode e[4];
    for (int i = 0; i < (step == 2 ? 4 : 2); i += 2) {
        struct db_group g = {.step = step, .prompt_no = s[i].prompt_no, .n = 2, .episodes = e + i,
                             .n_episodes = 2};
        for (int k = i; k < i + 2; k++) episode(&e[k], &c[k], step, &s[k]);
        must(db_write_problem(db, &problem[s[i].problem], &g.problem_id, &err));
        must(db_write_groups(db, &g, 1, &err));
    }
}

void fixture_finish(struct db *db, int step) {
    const struct db_metric m[] = {{"loss", step == 1 ? 2.5 : 0.0},
                                  {"kl", 0.01},
                                  {"entropy", 1.5},
                                  {"grad_norm", NAN}};
    struct db_step row = {.step = step,
                          .weights_after = step == 1 ? 0xbb : 0xcc,
                          .wall_s = 1.5,
                          .refusal = step == 3 ? "the gradient is not finite" : NULL};
    must(db_finish_step(db, &row, m, step == 1 ? 1 : 4, NULL, 0, &err));
}

static void evals(struct db *db) {
    struct db_eval e = {.step = 0,
                        .spec = "countdown:split=test,n=2",
                        .mode = "greedy",
                        .k = 1,
                        .n = 2,
                        .pass1 = 0.5,
                        .ci95 = 0.69,
                        .pass_at_k = NAN,
                        .avg_at_k = NAN,
                        .mean_length = 7,
                        .wall_s = 0.1,
                        .weights_hash = 0xaa};
    struct db_eval_episode x = {.finish_reason = "eos",
                                .status = "ok",
                                .text = "42",
                                .n_text = 2,
                                .n_completion = 3};
    must(db_begin(db, &err));
    must(db_write_problem(db, &problem[0], &x.problem_id, &err));
    must(db_write_eval(db, &e, &x.eval_id, &err));
    for (x.idx = 0; x.idx < 2; x.idx++) {
        x.score = x.idx;
        must(db_write_eval_episode(db, &x, &err));
    }
    must(db_commit(db, &err));
}

struct db *fixture_run(const char *path, int n_steps) {
    struct db *db;
    struct db_run run = {.name = "tiny",
                         .version = "0.1.0",
                         .build = "gcc",
                         .isa = "plain",
                         .threads = 2,
                         .seed = 0x8000000000000001u,
                         .start_weights = 0xaa,
                         .experiment = "{\"name\": \"tiny\"}"};
    struct db_stage stage[2] = {{1, "warmup", "sft", 1, NULL, NULL},
                                {2, "grpo", "grpo", 2, NULL, NULL}};
    must(db_create(&db, path, &err));
    must(db_begin(db, &err));
    must(db_write_run(db, &run, &err));
    for (int i = 0; i < 2; i++) must(db_write_stage(db, &stage[i], &err));
    must(db_commit(db, &err));
    evals(db);
    for (int step = 1; step <= n_steps; step++) {
        fixture_sample(db, step);
        must(db_commit(db, &err));
        fixture_finish(db, step);
    }
    if (n_steps >= 1) must(db_finish_stage(db, 1, &err));
    return db;
}
