/* db/sums.h: group_sums and group_checkers, the rows that the views add up. Inside db/ only.
 *
 * A group's sums are worked out from its episodes when the next group or the commit comes:
 * its rows are still in the cache then. They are replaced as a whole, so that a group whose
 * episodes come in several transactions ends up right too.
 */
#ifndef DB_SUMS_H
#define DB_SUMS_H

#include "db/stmt.h"

/* The group whose episodes come now; writes the sums of the one before. 0: none. */
MUST_USE int sums_open_group(struct db *db, int64_t group, struct err *err);

/* All groups anew: after an upgrade, or where rows were changed by hand. */
MUST_USE int sums_rebuild(struct db *db, struct err *err);

/* How many groups have sums that are not those of their episodes and verdicts. */
MUST_USE int sums_count_wrong(struct db *db, int64_t *n, struct err *err);

#endif
