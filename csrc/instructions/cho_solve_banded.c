/* Kind `cho_solve_banded`: L L' z = b, L with few diagonals; l[r, j] is L[j + r, j]. */
#include "bands.h"

static void solve(ptrdiff_t n, ptrdiff_t k, ptrdiff_t lower, const double *l, double *z)
{
    for (ptrdiff_t j = 0; j < n; j++) {
        const ptrdiff_t m = j + lower < n ? lower : n - 1 - j;
        for (ptrdiff_t t = 0; t < k; t++) z[j * k + t] /= l[j];
        for (ptrdiff_t r = 1; r <= m; r++)
            for (ptrdiff_t t = 0; t < k; t++) z[(j + r) * k + t] -= l[r * n + j] * z[j * k + t];
    }
    for (ptrdiff_t j = n - 1; j >= 0; j--) {
        const ptrdiff_t m = j + lower < n ? lower : n - 1 - j;
        for (ptrdiff_t r = 1; r <= m; r++)
            for (ptrdiff_t t = 0; t < k; t++) z[j * k + t] -= l[r * n + j] * z[(j + r) * k + t];
        for (ptrdiff_t t = 0; t < k; t++) z[j * k + t] /= l[j];
    }
}

static int execute(void *parameters)
{
    ad_bands *p = parameters;
    ad_stack *s = &p->stack;
    for (ptrdiff_t i = 0; i < s->count; i++) {
        const double *l = s->x[0] + i * s->x_size[0];
        double *z = s->z[0] + i * s->z_size[0];
        for (ptrdiff_t j = 0; j < s->n; j++)
            if (l[j] == 0.0) return ad_stack_fails(s, i, j + 1);
        memcpy(z, s->x[1] + i * s->x_size[1], (size_t)s->z_size[0] * sizeof *z);
        solve(s->n, s->k, p->lower, l, z);
    }
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    ad_bands *p = ad_new_bands(reader, true, false);
    if (p == NULL) return;
    ad_stack *s = &p->stack;
    s->x_size[0] = ad_times(reader, p->rows, s->n);
    s->x_size[1] = s->z_size[0] = ad_times(reader, s->n, s->k);
    ad_read_stack(reader, s, 2, 1);
    ad_set_stack(to, execute, s);
}

AD_KIND("cho_solve_banded", load, ad_stack_fault)
