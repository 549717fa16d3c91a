/* db/problem_ids.c: see problem_ids.h. A table with open addressing, at most two thirds full. */
#include "db/problem_ids.h"

#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "db/db.h"

struct place {
    struct problem_hash hash;
    int64_t id; /* 0: free */
};

struct problem_ids {
    struct place *place; /* [size] owned */
    size_t size, n;      /* size: a power of two */
};

/* A text's length and bytes: no two lists of texts are the same bytes. */
static void add_text(struct buf *b, const char *s) {
    size_t n = strlen(s);
    buf_push(b, &n, sizeof n);
    buf_push(b, s, n);
}

static struct problem_hash hash_texts(const char *const text[6]) {
    struct problem_hash h;
    struct buf b = {0};
    for (int i = 0; i < 6; i++) add_text(&b, text[i]);
    hash_wide(buf_text(&b), b.len, h.half);
    buf_clear(&b);
    return h;
}

struct problem_hash problem_ids_hash(const struct db_problem *p) {
    return hash_texts((const char *const[6]){p->kind, p->key, p->split, p->prompt, p->gold,
                                             p->columns ? p->columns : "{}"});
}

static struct place *find(const struct problem_ids *t, struct problem_hash h) {
    size_t i = h.half[0] & (t->size - 1);
    while (t->place[i].id != 0 && memcmp(&t->place[i].hash, &h, sizeof h) != 0)
        i = (i + 1) & (t->size - 1);
    return &t->place[i];
}

static void grow(struct problem_ids *t) {
    struct problem_ids more = {.size = 2 * t->size, .n = t->n};
    more.place = mem_new(more.size, sizeof *more.place);
    for (size_t i = 0; i < t->size; i++)
        if (t->place[i].id != 0) *find(&more, t->place[i].hash) = t->place[i];
    mem_free(t->place);
    *t = more;
}

void problem_ids_add(struct db *db, struct problem_hash hash, int64_t id) {
    struct problem_ids *t = db->problem_ids;
    struct place *p = find(t, hash);
    if (p->id != 0) return; /* the first of equal rows */
    *p = (struct place){hash, id};
    if (3 * ++t->n > 2 * t->size) grow(t);
}

static int read_table(struct db *db, struct err *err) {
    static const char sql[] = "SELECT id, kind, key, split, prompt, gold, columns FROM problems"
                              " ORDER BY id";
    struct problem_ids *t = db->problem_ids = mem_new(1, sizeof *t);
    struct stmt q;
    int more;
    t->size = 1024;
    t->place = mem_new(t->size, sizeof *t->place);
    stmt_begin(&q, db, "read the problems", sql);
    while ((more = stmt_next(&q, err)) == 1) {
        const char *text[6];
        for (int i = 0; i < 6; i++) {
            text[i] = (const char *)sqlite3_column_text(q.s, i + 1);
            CHECK(text[i]); /* NOT NULL: else there is no memory left */
        }
        problem_ids_add(db, hash_texts(text), stmt_int(&q));
    }
    if (more != 0) problem_ids_forget(db);
    return more;
}

int problem_ids_find(struct db *db, struct problem_hash hash, int64_t *id, struct err *err) {
    if (!db->problem_ids && read_table(db, err) != 0) return -1;
    *id = find(db->problem_ids, hash)->id;
    return 0;
}

void problem_ids_forget(struct db *db) {
    if (db->problem_ids) mem_free(db->problem_ids->place);
    mem_free(db->problem_ids);
    db->problem_ids = NULL;
}
