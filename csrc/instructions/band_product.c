/* Kind `band_product`: the elements of x y' that lie in a band. */
#include "bands.h"

static int execute(void *parameters)
{
    const ad_bands *p = parameters;
    const ad_stack *s = &p->stack;
    const ptrdiff_t n = s->n, k = s->k;
    for (ptrdiff_t i = 0; i < s->count; i++) {
        const double *x = s->x[0] + i * n * k, *y = s->x[1] + i * n * k;
        double *z = s->z[0] + i * s->z_size[0];
        memset(z, 0, (size_t)s->z_size[0] * sizeof *z);
        for (ptrdiff_t r = 0; r < p->rows; r++)
            for (ptrdiff_t j = ad_band_first(p, r); j < ad_band_last(p, r); j++) {
                const double *left = x + (j + r - p->upper) * k, *right = y + j * k;
                double sum = 0.0;
                for (ptrdiff_t t = 0; t < k; t++) sum += left[t] * right[t];
                z[r * n + j] = sum;
            }
    }
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    ad_bands *p = ad_new_bands(reader, true, true);
    if (p == NULL) return;
    ad_stack *s = &p->stack;
    s->x_size[0] = s->x_size[1] = ad_times(reader, s->n, s->k);
    s->z_size[0] = ad_times(reader, p->rows, s->n);
    ad_read_stack(reader, s, 2, 1);
    ad_set_stack(to, execute, s);
}

AD_KIND("band_product", load, NULL)
