/* base/nearest.c: see nearest.h. */
#include "base/nearest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { MAX_NAME = 128 }; /* longer names are compared by their first bytes */

static int fold(char c) { return c == '-' ? '_' : tolower((unsigned char)c); }

static int min2(int a, int b) { return a < b ? a : b; }

/* Optimal string alignment distance, three rows of the table. */
static int distance(const char *a, const char *b) {
    int row[3][MAX_NAME + 1];
    int n_a = (int)strnlen(a, MAX_NAME), n_b = (int)strnlen(b, MAX_NAME);
    for (int j = 0; j <= n_b; j++) row[0][j] = j;
    for (int i = 1; i <= n_a; i++) {
        int *cur = row[i % 3], *prev = row[(i + 2) % 3], *prev2 = row[(i + 1) % 3];
        cur[0] = i;
        for (int j = 1; j <= n_b; j++) {
            int x = fold(a[i - 1]), y = fold(b[j - 1]);
            cur[j] = min2(prev[j - 1] + (x != y), min2(prev[j], cur[j - 1]) + 1);
            if (i > 1 && j > 1 && x == fold(b[j - 2]) && fold(a[i - 2]) == y)
                cur[j] = min2(cur[j], prev2[j - 2] + 1);
        }
    }
    return row[n_a % 3][n_b];
}

const char *nearest_name(const char *name, const char *const *names, int n) {
    const char *best = NULL;
    int best_distance = 0;
    for (int i = 0; i < n; i++) {
        int d = distance(name, names[i]);
        size_t longer = strlen(name);
        if (strlen(names[i]) > longer) longer = strlen(names[i]);
        if ((size_t)d * 3 > longer + 2) continue; /* always allow one edit */
        if (best && d >= best_distance) continue;
        best = names[i];
        best_distance = d;
    }
    return best;
}

void nearest_hint(char out[NEAREST_HINT_BYTES], const char *name,
                  const char *const *names, int n) {
    const char *best = nearest_name(name, names, n);
    out[0] = 0;
    if (best) {
        snprintf(out, NEAREST_HINT_BYTES, "; did you mean '%s'?", best);
        return;
    }
    size_t used = 0;
    for (int i = 0; i < n; i++) {
        const char *before = i == 0 ? "; valid are " : i == n - 1 ? " and " : ", ";
        size_t need = strlen(before) + strlen(names[i]);
        if (used + need + 6 > NEAREST_HINT_BYTES) {
            snprintf(out + used, NEAREST_HINT_BYTES - used, ", ...");
            return;
        }
        used += (size_t)snprintf(out + used, NEAREST_HINT_BYTES - used, "%s%s", before,
                                 names[i]);
    }
}
