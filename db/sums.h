/* db/sums.h: group_sums and group_checkers, the rows that the views add up. Inside db/ only.
 *
 * Worked out from the episodes in memory as they are written: SQL that reads them back took a
 * third of the time of recording.
 */
#ifndef DB_SUMS_H
#define DB_SUMS_H

#include "db/db.h"
#include "db/stmt.h"

/* The score that is stored with a status. */
double db_score_of(const char *status, double score);

/* Of groups with their ids. */
MUST_USE int sums_write(struct db *db, const struct db_group *group, int n, struct err *err);

/* All groups anew: after an upgrade, or where rows were changed by hand. */
MUST_USE int sums_rebuild(struct db *db, struct err *err);

/* How many groups have sums that are not those of their episodes and verdicts. */
MUST_USE int sums_count_wrong(struct db *db, int64_t *n, struct err *err);

#endif
