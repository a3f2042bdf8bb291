/* Kind `cholesky_banded`: L of A = L L', both with few diagonals; a[r, j] is A[j + r, j]. */
#include "bands.h"

#include <math.h>

/* 0, or the order of the leading minor that is not positive. */
static ptrdiff_t factor(ptrdiff_t n, ptrdiff_t lower, double *z)
{
    for (ptrdiff_t j = 0; j < n; j++) {
        const ptrdiff_t m = j + lower < n ? lower : n - 1 - j;
        if (z[j] <= 0.0) return j + 1;
        z[j] = sqrt(z[j]);
        for (ptrdiff_t r = 1; r <= m; r++) z[r * n + j] /= z[j];
        for (ptrdiff_t c = 1; c <= m; c++) /* column j + c of what is left */
            for (ptrdiff_t r = c; r <= m; r++)
                z[(r - c) * n + j + c] -= z[r * n + j] * z[c * n + j];
    }
    return 0;
}

static int execute(void *parameters)
{
    ad_bands *p = parameters;
    ad_stack *s = &p->stack;
    const ptrdiff_t n = s->n;
    for (ptrdiff_t i = 0; i < s->count; i++) {
        const double *a = s->x[0] + i * s->x_size[0];
        double *z = s->z[0] + i * s->z_size[0];
        for (ptrdiff_t r = 0; r < p->rows; r++)
            for (ptrdiff_t j = 0; j < n; j++)
                z[r * n + j] = j < ad_band_last(p, r) ? a[r * n + j] : 0.0;
        const ptrdiff_t minor = factor(n, p->lower, z);
        if (minor > 0) return ad_stack_fails(s, i, minor);
    }
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    ad_bands *p = ad_new_bands(reader, false, false);
    if (p == NULL) return;
    ad_stack *s = &p->stack;
    s->x_size[0] = s->z_size[0] = ad_times(reader, p->rows, s->n);
    ad_read_stack(reader, s, 1, 1);
    ad_set_stack(to, execute, s);
}

AD_KIND("cholesky_banded", load, ad_stack_fault)
