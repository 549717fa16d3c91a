/* base/json.h: strict reading of JSON, over cJSON, with messages that name the place.
 *
 * A tree is made here, freed with json_free, and read through cJSON's own structs or the
 * typed getters below. Beyond the standard it refuses duplicate keys, "\u0000", numbers
 * no double can hold and nesting beyond JSON_MAX_DEPTH. Any thread; a tree is immutable.
 *
 * `where` names an object in messages: a file ("a.json") or a place in one ("a.json:
 * stages[1]"). A message reads "a.json: stages[1].beta: must be a number, found a
 * string".
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum { JSON_MAX_DEPTH = 64, JSON_WHERE_BYTES = 640 };

/* Parses n bytes, which need no NUL. `line` is the number of their first line in `where`
 * (1 for a whole file). On -1 *json is NULL and err says "where:LINE:COLUMN: why",
 * EX_DATAERR. Caller frees with json_free. */
MUST_USE int json_parse(cJSON **json, const char *text, size_t n, const char *where,
                        int line, struct err *err);

/* The same of a whole file of at most max_bytes; also EX_NOINPUT and EX_IOERR. */
MUST_USE int json_load(cJSON **json, const char *path, size_t max_bytes, struct err *err);

/* Accepts NULL. */
void json_free(cJSON *json);

/* The value of a key (exact case), NULL where absent or obj is no object. Borrowed. */
const cJSON *json_find(const cJSON *obj, const char *key);

/* "where: key", or "where.key" once where holds a path; and the same with [i]. */
const char *json_where(char out[JSON_WHERE_BYTES], const char *where, const char *key);
const char *json_where_at(char out[JSON_WHERE_BYTES], const char *where, int i);

/* "a string", "an object", "null", "2.5": what was found, for messages. */
const char *json_found(const cJSON *value, char out[64]);

/* Reads a value whose place is `where`. On -1 (EX_CONFIG) *out is untouched. */
MUST_USE int json_as_bool(const cJSON *value, const char *where, bool *out,
                          struct err *err);
MUST_USE int json_as_int(const cJSON *value, const char *where, long long min,
                         long long max, long long *out, struct err *err);
MUST_USE int json_as_double(const cJSON *value, const char *where, double min, double max,
                            double *out, struct err *err);
MUST_USE int json_as_string(const cJSON *value, const char *where, const char **out,
                            struct err *err);
MUST_USE int json_as_object(const cJSON *value, const char *where, struct err *err);
MUST_USE int json_as_array(const cJSON *value, const char *where, struct err *err);

/* Reads a key of obj; an absent key leaves *out as it is and is no error. */
MUST_USE int json_get_bool(const cJSON *obj, const char *where, const char *key,
                           bool *out, struct err *err);
MUST_USE int json_get_int(const cJSON *obj, const char *where, const char *key, int min,
                          int max, int *out, struct err *err);
MUST_USE int json_get_double(const cJSON *obj, const char *where, const char *key,
                             double min, double max, double *out, struct err *err);
/* Borrowed from the tree. */
MUST_USE int json_get_string(const cJSON *obj, const char *where, const char *key,
                             const char **out, struct err *err);

/* 0 if the key is there, else "where: key: missing", EX_CONFIG. */
MUST_USE int json_need(const cJSON *obj, const char *where, const char *key,
                       struct err *err);

/* Refuses a key that is not among keys[n], with the nearest that is. EX_CONFIG. */
MUST_USE int json_check_keys(const cJSON *obj, const char *where, const char *const *keys,
                             int n, struct err *err);

/* Adds a key to obj, null where x is no finite number, where s is NULL or empty. s is UTF-8. */
void json_add_number(cJSON *obj, const char *key, double x);
void json_add_text(cJSON *obj, const char *key, const char *s);

/* The tree with 2 spaces a level and lists of plain values on one line; no newline at the
 * end. Reads back to the same tree. */
void json_print(struct buf *out, const cJSON *json);

/* Writes s quoted and escaped; a number with the fewest digits that read back the same.
 */
void json_print_string(struct buf *out, const char *s);
/* The same of n bytes that need be no text: what is no UTF-8, and each NUL, becomes U+FFFD.
 * False where that happened. */
bool json_print_bytes(struct buf *out, const char *s, size_t n);
void json_print_double(struct buf *out, double x);

#endif
