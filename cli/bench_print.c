/* cli/bench_print.c: what `hone bench` says. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/bench.h"
#include "cli/version.h"

static bool is_timed(const struct bench_result *r) { return r->n > 0; }

static double matmul_share(const struct bench *b, double gflops) {
    return 100 * gflops / b->ceiling.gflops;
}

static void print_shapes(const struct bench *b) {
    printf("\n%-14s %6s %6s %6s %10s %9s\n", "product", "rows", "cols", "depth", "GFLOP/s",
           "of peak");
    for (int i = 0; i < b->n_shapes; i++) {
        const struct bench_shape *s = &b->shape[i];
        printf("%-14s %6d %6d %6d %10.1f %7.1f %%\n", s->name, s->m, s->n, s->k, s->gflops,
               matmul_share(b, s->gflops));
    }
}

static void print_stages(const struct bench_result *r) {
    double all = 0;
    bool first = true;
    for (int s = 0; s < N_STAGES; s++) all += r->stage[s];
    printf("         ");
    for (int s = 1; s <= N_STAGES; s++) {
        int k = s % N_STAGES; /* idle last */
        if (r->stage[k] < 0.0005 * all) continue;
        printf("%s %s %.1f %%", first ? "" : ",", stage_name((enum stage)k),
               100 * r->stage[k] / all);
        first = false;
    }
    printf("\n");
}

void bench_print_text(const struct bench *b) {
    printf("%s: %zu parameters (%zu a token), %s, %s on %d threads\n", b->name,
           weights_count(&b->e.w), model_active_params(&b->e.m), b->o.dtype, b->e.k->name,
           b->e.n_threads);
    printf("ceiling  %.1f GFLOP/s from registers, %.1f GB/s read; best matmul %.1f GFLOP/s "
           "(%.1f %%)\n",
           b->ceiling.gflops, b->ceiling.gbytes_per_s, b->ceiling.matmul_gflops,
           matmul_share(b, b->ceiling.matmul_gflops));
    for (int i = 0; i < b->n_results; i++) {
        const struct bench_result *r = &b->result[i];
        if (!is_timed(r)) {
            print_shapes(b);
            printf("\n");
            continue;
        }
        printf("%-8s %10.1f tokens/s  %7.1f %s  %5.1f %% of the ceiling  (spread %.1f %%, "
               "peak %.0f MB)\n",
               r->job, r->tokens_per_s,
               r->bytes > 0 ? r->bytes / r->tokens * r->tokens_per_s * 1e-9 : r->gflops,
               r->bytes > 0 ? "GB/s   " : "GFLOP/s", 100 * r->fraction, 100 * r->spread,
               (double)r->peak_rss_bytes * 1e-6);
        print_stages(r);
    }
}

static cJSON *shapes_json(const struct bench *b) {
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < b->n_shapes; i++) {
        const struct bench_shape *s = &b->shape[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "name", s->name);
        cJSON_AddNumberToObject(o, "m", s->m);
        cJSON_AddNumberToObject(o, "n", s->n);
        cJSON_AddNumberToObject(o, "k", s->k);
        cJSON_AddNumberToObject(o, "gflops", s->gflops);
        cJSON_AddNumberToObject(o, "fraction", s->gflops / b->ceiling.gflops);
        cJSON_AddItemToArray(list, o);
    }
    return list;
}

static cJSON *result_json(const struct bench *b, const struct bench_result *r) {
    cJSON *o = cJSON_CreateObject(), *stage = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "job", r->job);
    cJSON_AddStringToObject(o, "preset", b->name);
    cJSON_AddStringToObject(o, "dtype", b->o.dtype);
    cJSON_AddStringToObject(o, "isa", b->e.k->name);
    cJSON_AddNumberToObject(o, "threads", b->e.n_threads);
    json_add_number(o, "tokens_per_s", is_timed(r) ? r->tokens_per_s : NAN);
    cJSON_AddNumberToObject(o, "gflops", r->gflops);
    cJSON_AddNumberToObject(o, "fraction", r->fraction);
    cJSON_AddNumberToObject(o, "peak_rss_bytes", (double)r->peak_rss_bytes);
    cJSON_AddItemToObject(o, "seconds", cJSON_CreateDoubleArray(r->seconds, r->n));
    json_add_number(o, "spread", is_timed(r) ? r->spread : NAN);
    for (int s = 0; s < N_STAGES; s++)
        cJSON_AddNumberToObject(stage, stage_name((enum stage)s), r->stage[s]);
    cJSON_AddItemToObject(o, "timing_s", stage);
    if (!is_timed(r)) cJSON_AddItemToObject(o, "shapes", shapes_json(b));
    return o;
}

void bench_print_json(const struct bench *b) {
    struct buf text = {0};
    cJSON *o = cJSON_CreateObject(), *ceiling = cJSON_CreateObject();
    cJSON *jobs = cJSON_CreateArray();
    cJSON_AddStringToObject(o, "version", version_short());
    cJSON_AddNumberToObject(ceiling, "gflops", b->ceiling.gflops);
    cJSON_AddNumberToObject(ceiling, "gbytes_per_s", b->ceiling.gbytes_per_s);
    cJSON_AddNumberToObject(ceiling, "matmul_gflops", b->ceiling.matmul_gflops);
    cJSON_AddItemToObject(o, "ceiling", ceiling);
    for (int i = 0; i < b->n_results; i++)
        cJSON_AddItemToArray(jobs, result_json(b, &b->result[i]));
    cJSON_AddItemToObject(o, "jobs", jobs);
    json_print(&text, o);
    printf("%s\n", buf_text(&text));
    buf_clear(&text);
    cJSON_Delete(o);
}
