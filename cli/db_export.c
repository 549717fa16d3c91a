/* cli/db_export.c: episodes as JSON lines, in the shapes that other trainers read. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/db.h"
#include "db/select.h"

/* All that a line may say. */
struct line {
    struct db_episode e;
    struct db_group g;
    struct db_problem p;
    double answer; /* its score; NAN: none */
};

static void put_text(struct buf *out, const char *key, const char *s, size_t n) {
    buf_printf(out, "\"%s\": ", key);
    if (json_print_bytes(out, s, n)) return;
    buf_printf(out, ", \"%s_base64\": \"", key);
    base64_encode(s, n, out);
    buf_puts(out, "\"");
}

static void put_number(struct buf *out, const char *key, double x) {
    buf_printf(out, ", \"%s\": ", key);
    if (isnan(x))
        buf_puts(out, "null");
    else
        json_print_double(out, x);
}

static void put_string(struct buf *out, const char *key, const char *s) {
    put_text(out, key, s, strlen(s));
}

static void put_place(struct buf *out, const struct line *l) {
    buf_printf(out, ", \"episode\": %lld, \"step\": %d, \"sample\": %d", (long long)l->e.id,
               l->g.step, l->e.sample);
    put_number(out, "reward", l->e.reward);
    put_number(out, "advantage", l->e.advantage);
}

/* TRL's unpaired preference type, prompt, completion and label, and columns beside it. */
static void put_trl(struct buf *out, const struct line *l) {
    buf_puts(out, "{");
    put_string(out, "prompt", l->p.prompt);
    buf_puts(out, ", ");
    put_text(out, "completion", l->e.text, l->e.n_text);
    buf_printf(out, ", \"label\": %s, ",
               isnan(l->answer) ? "null" : l->answer == 1 ? "true" : "false");
    put_string(out, "answer", l->p.gold);
    put_place(out, l);
    buf_puts(out, "}\n");
}

/* verl's rows, and in extra_info what was made of the prompt. */
static void put_verl(struct buf *out, const struct line *l) {
    buf_puts(out, "{");
    put_string(out, "data_source", l->p.kind);
    buf_puts(out, ", \"prompt\": [{\"role\": \"user\", ");
    put_string(out, "content", l->p.prompt);
    buf_puts(out, "}], ");
    put_string(out, "ability", l->p.kind);
    buf_puts(out, ", \"reward_model\": {\"style\": \"rule\", ");
    put_string(out, "ground_truth", l->p.gold);
    buf_puts(out, "}, \"extra_info\": {");
    put_string(out, "split", l->p.split);
    buf_printf(out, ", \"index\": %lld, ", (long long)l->p.id);
    put_text(out, "response", l->e.text, l->e.n_text);
    put_number(out, "score", l->answer);
    put_place(out, l);
    buf_puts(out, "}}\n");
}

static int read_line(struct db *db, int64_t id, struct arena *a, struct line *l, struct err *err) {
    struct db_verdict *v;
    int n;
    if (db_read_episode(db, id, a, &l->e, err) != 0 ||
        db_read_group(db, l->e.group_id, a, &l->g, err) != 0 ||
        db_read_problem(db, l->g.problem_id, a, &l->p, err) != 0 ||
        db_read_verdicts(db, id, a, &v, &n, err) != 0)
        return -1;
    l->answer = NAN;
    for (int i = 0; i < n; i++)
        if (strcmp(v[i].checker, "answer") == 0) l->answer = v[i].score;
    return 0;
}

static int write_lines(struct db *db, const int64_t *id, int n, bool verl, struct file_writer *w,
                       struct err *err) {
    struct arena arena = {0};
    struct buf text = {0};
    struct line l;
    int rc = 0;
    for (int i = 0; i < n && rc == 0; i++) {
        arena_reset(&arena);
        buf_reset(&text);
        if ((rc = read_line(db, id[i], &arena, &l, err)) != 0) break;
        (verl ? put_verl : put_trl)(&text, &l);
        if (w)
            rc = file_write(w, buf_text(&text), text.len, err);
        else
            fwrite(buf_text(&text), 1, text.len, stdout);
    }
    buf_clear(&text);
    arena_clear(&arena);
    return rc;
}

int db_export(struct db *db, const char *shape, const char *where, const char *out,
              struct err *err) {
    struct arena arena = {0};
    struct file_writer w;
    int64_t *id;
    int n;
    bool verl = strcmp(shape, "verl") == 0;
    if (!verl && strcmp(shape, "trl") != 0)
        return err_set(err, EX_USAGE, "--shape: must be trl or verl, found '%.60s'", shape);
    int rc = db_select_ids(db, "id", "v_episode", where ? where : "1", "id", false, &arena, &id,
                           &n, err);
    if (rc == 0 && out) rc = file_create(&w, out, err);
    if (rc == 0) {
        rc = write_lines(db, id, n, verl, out ? &w : NULL, err);
        if (out && rc == 0) rc = file_commit(&w, err);
        if (out && rc != 0) file_abandon(&w);
    }
    if (rc == 0 && out) printf("%d episodes into %s\n", n, out);
    arena_clear(&arena);
    return rc;
}
