/* db/problem_ids.h: which id a problem has in this database, kept in memory. Inside db/ only.
 *
 * A step visits dozens of problems, each of them in the table once. An index over their keys
 * would be written at random places, most of its pages again at every step; this costs about 50
 * bytes of memory a problem, and a reading of the table when a run goes on.
 */
#ifndef DB_PROBLEM_IDS_H
#define DB_PROBLEM_IDS_H

#include "db/row.h"
#include "db/stmt.h"

/* XXH3, 128 bits, over all columns but the id. Two different problems of equal hashes, which
 * would be taken for the same, are not to be expected (1e-26 among a million). */
struct problem_hash {
    uint64_t half[2];
};

struct problem_hash problem_ids_hash(const struct db_problem *row);

/* *id is 0 where the table has no such problem. Reads the table at the first call of a handle. */
MUST_USE int problem_ids_find(struct db *db, struct problem_hash hash, int64_t *id,
                              struct err *err);

/* After problem_ids_find: a row was added. */
void problem_ids_add(struct db *db, struct problem_hash hash, int64_t id);

/* The table is read again at the next call: rows were rolled back, or the handle is closed. */
void problem_ids_forget(struct db *db);

#endif
