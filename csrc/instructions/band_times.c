/* Kind `band_times`: A x or A' x for a matrix with few diagonals. */
#include "bands.h"

enum { TURNED };

static int execute(void *parameters)
{
    const ad_bands *p = parameters;
    const ad_stack *s = &p->stack;
    const ptrdiff_t n = s->n, k = s->k;
    for (ptrdiff_t i = 0; i < s->count; i++) {
        const double *a = s->x[0] + i * s->x_size[0], *x = s->x[1] + i * n * k;
        double *z = s->z[0] + i * n * k;
        memset(z, 0, (size_t)(n * k) * sizeof *z);
        for (ptrdiff_t r = 0; r < p->rows; r++)
            for (ptrdiff_t j = ad_band_first(p, r); j < ad_band_last(p, r); j++) {
                const ptrdiff_t row = j + r - p->upper;
                const double *from = x + (s->flag[TURNED] ? row : j) * k, by = a[r * n + j];
                double *onto = z + (s->flag[TURNED] ? j : row) * k;
                for (ptrdiff_t t = 0; t < k; t++) onto[t] += by * from[t];
            }
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
    ad_set_stack(to, execute, s);
}

AD_KIND("band_times", load, NULL)
