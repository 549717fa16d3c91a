/* base/nearest.h: the valid name that somebody probably meant.
 *
 * For messages about unknown keys, options and kinds. Case and the difference between
 * '-' and '_' do not count; a swap of two neighbours counts as one edit. Any thread.
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

enum { NEAREST_HINT_BYTES = 512 };

/* The one of names[n] with the fewest edits to `name` (the first of equals), or NULL when
 * none is nearer than a third of the longer one. Borrowed from names. */
const char *nearest_name(const char *name, const char *const *names, int n);

/* The end of a sentence: "; did you mean 'beta'?" or, with nothing near, "; valid are a,
 * b and c" (cut with "..." where it would not fit). */
void nearest_hint(char out[NEAREST_HINT_BYTES], const char *name,
                  const char *const *names, int n);

#endif
