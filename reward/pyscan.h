/* reward/pyscan.h: the words of a Python source and its logical lines, no more.
 *
 * A scan borrows the text and owns its words. Immutable after pyscan_read; any thread.
 */
#ifndef REWARD_PYSCAN_H
#define REWARD_PYSCAN_H

#include <stdbool.h>
#include <stddef.h>

enum pyword_type { PYWORD_NAME, PYWORD_NUMBER, PYWORD_STRING, PYWORD_OP };

struct pyword {
    enum pyword_type type;
    const char *text; /* [n], borrowed */
    int n;
    int depth; /* brackets open before it; a closing one has the depth of its opening one */
    bool first; /* of a logical line */
    int indent; /* of that line, for its first word */
};

struct pyscan {
    struct pyword *word; /* [n], owned */
    int n;
};

/* False (and an empty scan) where brackets or quotes do not match. The caller calls
 * pyscan_clear. */
bool pyscan_read(struct pyscan *s, const char *text, size_t n);
void pyscan_clear(struct pyscan *s);

bool pyword_is(const struct pyword *w, const char *text);

/* One past the last word of the line that begins at `from`. */
int pyscan_line_end(const struct pyscan *s, int from);

#endif
