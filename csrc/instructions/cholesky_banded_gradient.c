/* Kind `cholesky_banded_gradient`: the gradient of the band of A = L L' from that of L. */
#include "bands.h"

/* The steps of the factorisation, backwards; z: the gradient of L, then that of A. */
static void turn_back(ptrdiff_t n, ptrdiff_t lower, const double *l, double *z)
{
    for (ptrdiff_t j = n - 1; j >= 0; j--) {
        const ptrdiff_t m = j + lower < n ? lower : n - 1 - j;
        double of_diagonal = z[j];
        for (ptrdiff_t c = 1; c <= m; c++)
            for (ptrdiff_t r = c; r <= m; r++) {
                const double g = z[(r - c) * n + j + c];
                z[r * n + j] -= g * l[c * n + j];
                z[c * n + j] -= g * l[r * n + j];
            }
        for (ptrdiff_t r = 1; r <= m; r++) {
            z[r * n + j] /= l[j];
            of_diagonal -= z[r * n + j] * l[r * n + j];
        }
        z[j] = 0.5 * of_diagonal / l[j];
    }
}

static int execute(void *parameters)
{
    const ad_bands *p = parameters;
    const ad_stack *s = &p->stack;
    const ptrdiff_t n = s->n;
    for (ptrdiff_t i = 0; i < s->count; i++) {
        const double *g = s->x[0] + i * s->x_size[0];
        double *z = s->z[0] + i * s->z_size[0];
        for (ptrdiff_t r = 0; r < p->rows; r++)
            for (ptrdiff_t j = 0; j < n; j++)
                z[r * n + j] = j < ad_band_last(p, r) ? g[r * n + j] : 0.0;
        turn_back(n, p->lower, s->x[1] + i * s->x_size[1], z);
    }
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    ad_bands *p = ad_new_bands(reader, false, false);
    if (p == NULL) return;
    ad_stack *s = &p->stack;
    s->x_size[0] = s->x_size[1] = s->z_size[0] = ad_times(reader, p->rows, s->n);
    ad_read_stack(reader, s, 2, 1);
    ad_set_stack(to, execute, s);
}

AD_KIND("cholesky_banded_gradient", load, NULL)
