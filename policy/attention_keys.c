/* policy/attention_keys.c: keys and values into the layouts of attention.h. */
#include <string.h>

#include "policy/attention.h"

int attention_steps(const struct model *m, int n) {
    return m->dtype == COMPUTE_BF16 ? (n + 1) / 2 : n;
}

static size_t whole_panels(size_t n) { return (n + PANEL - 1) / PANEL * PANEL; }

size_t attention_panels_size(const struct model *m, int width, int n) {
    return whole_panels((size_t)n) * (size_t)attention_steps(m, width);
}

size_t attention_rows_size(const struct model *m, int width, int n) {
    size_t rows = m->dtype == COMPUTE_BF16 ? (size_t)n / 2 + 1 : (size_t)n;
    return whole_panels(rows * (size_t)width + PANEL);
}

void attention_pack_panels(const struct model *m, int width, const float *rows, int n,
                           float *panels) {
    m->k->pack_columns(rows, (size_t)width, m->dtype == COMPUTE_BF16, width, n, panels);
}

void attention_pack_rows(const struct model *m, int width, const float *rows, int n,
                         const float *last, float *pairs) {
    struct pack_source from = {last, (size_t)width, NULL, true};
    if (last) {
        m->k->pack_rows(&from, 0, 1, width, width, pairs, 0);
        m->k->bf16_seconds(rows, (size_t)width, pairs);
        rows += width;
        pairs += width;
        n--;
    }
    from.x = rows;
    m->k->pack_rows(&from, 0, n, width, width, pairs, 0);
}

/* One position's column of its panel. */
static void add_column(const struct model *m, int width, const float *x, float *at) {
    enum { PIECE = 128 };
    float pairs[PIECE / 2];
    for (int d = 0; m->dtype == COMPUTE_F32 && d < width; d++) at[(size_t)d * PANEL] = x[d];
    for (int d = 0; m->dtype == COMPUTE_BF16 && d < width; d += PIECE) {
        int n = width - d < PIECE ? width - d : PIECE;
        m->k->bf16_rows(1, n, x + d, 0, pairs);
        for (int i = 0; i < (n + 1) / 2; i++) at[(size_t)(d / 2 + i) * PANEL] = pairs[i];
    }
}

void attention_add_panels(const struct model *m, int width, const float *x, int first, int n,
                          bool followed, float *panels) {
    size_t panel = (size_t)attention_steps(m, width) * PANEL;
    for (int i = 0; i < n; i++) {
        int pos = first + i;
        float *at = panels + (size_t)(pos / PANEL) * panel;
        const float *row = x + (size_t)i * (size_t)width;
        int whole = followed ? (n - i) / PANEL * PANEL : n - i; /* nothing stands behind them */
        if (pos % PANEL == 0 && whole >= PANEL / 2) {
            attention_pack_panels(m, width, row, whole, at);
            i += whole - 1;
        } else {
            add_column(m, width, row, at + pos % PANEL);
        }
    }
}

void attention_add_rows(const struct model *m, int width, const float *x, int first, int n,
                        int before, const float *prefix, float *rows) {
    size_t w = (size_t)width;
    struct pack_source from = {x, w, NULL, true};
    if (m->dtype == COMPUTE_F32) {
        memcpy(rows + (size_t)first * w, x, (size_t)n * w * sizeof *x);
        return;
    }
    int at = before + first, pair = at / 2 - before / 2, taken = 0;
    if (first == 0 && before % 2 == 1) memcpy(rows, prefix + (size_t)(before / 2) * w, w * sizeof *x);
    if (n > 0 && at % 2 == 1) {
        m->k->bf16_seconds(x, w, rows + (size_t)pair++ * w);
        taken = 1;
    }
    m->k->pack_rows(&from, taken, n, width, width, rows + (size_t)pair * w, 0);
}

void attention_copy_panels(const struct model *m, int width, const float *panels, int n,
                           float *to) {
    memcpy(to, panels, attention_panels_size(m, width, n) * sizeof *to);
}

void attention_copy_rows(const struct model *m, int width, const float *rows, int n,
                         int before, float *to) {
    size_t filled = (size_t)n;
    if (n == 0) return;
    if (m->dtype == COMPUTE_BF16) filled = (size_t)((before + n + 1) / 2 - before / 2);
    memcpy(to, rows, filled * (size_t)width * sizeof *to);
}
