/* Kind `solve_banded`: A z = b or A' z = b for a matrix with few diagonals, with pivots.
 *
 * Rows of the work are rows of A from `lower` columns before the diagonal to `lower + upper` after it:
 * exchanges of rows fill no more. */
#include "bands.h"

#include <math.h>

enum { TURNED };

typedef struct {
    ptrdiff_t below, above, width; /* of A, or of A' */
    double *rows; /* rows[i, c]: element (i, i - below + c) */
} band;

static void fill(const ad_bands *p, band *w, const double *a)
{
    const ptrdiff_t n = p->stack.n;
    const bool turned = p->stack.flag[TURNED];
    memset(w->rows, 0, (size_t)(n * w->width) * sizeof(double));
    for (ptrdiff_t r = 0; r < p->rows; r++)
        for (ptrdiff_t j = ad_band_first(p, r); j < ad_band_last(p, r); j++) {
            const ptrdiff_t i = j + r - p->upper, row = turned ? j : i, col = turned ? i : j;
            w->rows[row * w->width + col - row + w->below] = a[r * n + j];
        }
}

static void exchange(ptrdiff_t n, double *x, double *y)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        const double kept = x[i];
        x[i] = y[i];
        y[i] = kept;
    }
}

/* 0, or the number of a pivot that is 0. */
static ptrdiff_t solve(const band *w, ptrdiff_t n, ptrdiff_t k, double *z)
{
    const ptrdiff_t width = w->width, below = w->below, reach = w->below + w->above;
    for (ptrdiff_t j = 0; j < n; j++) {
        const ptrdiff_t last = j + below < n ? j + below : n - 1;
        const ptrdiff_t end = j + reach < n ? j + reach : n - 1, m = end - j + 1;
        double *row = w->rows + j * width + below;
        ptrdiff_t best = j;
        for (ptrdiff_t i = j + 1; i <= last; i++)
            if (fabs(w->rows[i * width + j - i + below]) >
                fabs(w->rows[best * width + j - best + below]))
                best = i;
        if (best != j) {
            exchange(m, row, w->rows + best * width + j - best + below);
            exchange(k, z + j * k, z + best * k);
        }
        if (*row == 0.0) return j + 1;
        for (ptrdiff_t i = j + 1; i <= last; i++) {
            double *other = w->rows + i * width + j - i + below;
            const double by = *other / *row;
            if (by == 0.0) continue;
            for (ptrdiff_t c = 1; c < m; c++) other[c] -= by * row[c];
            for (ptrdiff_t t = 0; t < k; t++) z[i * k + t] -= by * z[j * k + t];
        }
    }
    for (ptrdiff_t j = n - 1; j >= 0; j--) {
        const double *row = w->rows + j * width + below;
        const ptrdiff_t m = j + reach < n ? reach : n - 1 - j;
        for (ptrdiff_t c = 1; c <= m; c++)
            for (ptrdiff_t t = 0; t < k; t++) z[j * k + t] -= row[c] * z[(j + c) * k + t];
        for (ptrdiff_t t = 0; t < k; t++) z[j * k + t] /= *row;
    }
    return 0;
}

static int execute(void *parameters)
{
    ad_bands *p = parameters;
    ad_stack *s = &p->stack;
    const bool turned = s->flag[TURNED];
    band w = {turned ? p->upper : p->lower, turned ? p->lower : p->upper, 0, p->work};
    w.width = 2 * w.below + w.above + 1;
    for (ptrdiff_t i = 0; i < s->count; i++) {
        double *z = s->z[0] + i * s->z_size[0];
        fill(p, &w, s->x[0] + i * s->x_size[0]);
        memcpy(z, s->x[1] + i * s->x_size[1], (size_t)s->z_size[0] * sizeof *z);
        const ptrdiff_t pivot = solve(&w, s->n, s->k, z);
        if (pivot > 0) return ad_stack_fails(s, i, pivot);
    }
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    ad_bands *p = ad_new_bands(reader, true, true);
    if (p == NULL) return;
    ad_stack *s = &p->stack;
    s->flag[TURNED] = ad_read_flag(reader);
    s->x_size[0] = ad_times(reader, p->rows, s->n);
    s->x_size[1] = s->z_size[0] = ad_times(reader, s->n, s->k);
    ad_read_stack(reader, s, 2, 1);
    if (ad_refused(reader)) return;
    const ptrdiff_t width = 2 * (p->lower + p->upper) + 1;
    p->work = ad_take_memory(reader, s->count > 0 ? ad_times(reader, s->n, width) : 0, sizeof(double));
    ad_set_stack(to, execute, s);
}

AD_KIND("solve_banded", load, ad_stack_fault)
