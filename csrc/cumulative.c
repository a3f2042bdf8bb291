/* Running sums and products. One element after the other, so that they have the bits of NumPy's;
 * elements of different rows are independent, and those beside each other are done at once. */
#include "cumulative.h"

#include <string.h>

/* Of row `o` and place k in the order of `axis`: where its `inner` numbers begin. */
static ptrdiff_t place(ad_axis axis, ptrdiff_t o, ptrdiff_t k)
{
    return (o * axis.n + (axis.back ? axis.n - 1 - k : k)) * axis.inner;
}

#define AD_ROWS for (ptrdiff_t o = 0; o < axis.outer; o++)
#define AD_INNER for (ptrdiff_t j = 0; j < axis.inner; j++)

static size_t bytes(ad_axis axis) { return (size_t)axis.inner * sizeof(double); }

#define AD_ACCUMULATE(operator)                                                               \
    if (axis.n == 0) return;                                                                  \
    AD_ROWS                                                                                   \
    {                                                                                         \
        const ptrdiff_t first = place(axis, o, 0);                                            \
        const ptrdiff_t step = axis.back ? -axis.inner : axis.inner;                          \
        if (axis.inner == 1) {                                                                \
            double so_far = z[first] = x[first];                                              \
            for (ptrdiff_t k = 1, at = first + step; k < axis.n; k++, at += step)             \
                z[at] = so_far = so_far operator x[at];                                       \
            continue;                                                                         \
        }                                                                                     \
        memcpy(z + first, x + first, bytes(axis));                                            \
        for (ptrdiff_t k = 1, at = first + step; k < axis.n; k++, at += step)                 \
            AD_INNER z[at + j] = z[at - step + j] operator x[at + j];                         \
    }

void ad_cumsum(ad_axis axis, const double *x, double *z) { AD_ACCUMULATE(+) }

void ad_cumprod(ad_axis axis, const double *x, double *z) { AD_ACCUMULATE(*) }

void ad_recurrence(ad_axis axis, int lagged, const double *b, const double *a, double *z)
{
    if (axis.n == 0) return;
    AD_ROWS
    {
        const ptrdiff_t first = place(axis, o, 0);
        const ptrdiff_t step = axis.back ? -axis.inner : axis.inner;
        if (z != b) memcpy(z + first, b + first, bytes(axis));
        for (ptrdiff_t k = 1, at = first + step; k < axis.n; k++, at += step) {
            const double *factor = a + at - (lagged ? step : 0);
            AD_INNER z[at + j] = b[at + j] + factor[j] * z[at - step + j];
        }
    }
}

void ad_times_before(ad_axis axis, const double *x, double first, double *z)
{
    AD_ROWS
    for (ptrdiff_t k = 0; k < axis.n; k++) {
        double *to = z + place(axis, o, k);
        const double *from = k == 0 ? NULL : x + place(axis, o, k - 1);
        AD_INNER to[j] *= from == NULL ? first : from[j];
    }
}

#define AD_AT_ONCE 64

/* Of one row: g times what stands before, times what stands behind. */
static void prod_row_gx(ptrdiff_t n, double g, const double *x, double *gx)
{
    double product = g;
    for (ptrdiff_t k = 0; k < n; k++) {
        gx[k] = product;
        product *= x[k];
    }
    product = 1.0;
    for (ptrdiff_t k = n - 1; k >= 0; k--) {
        gx[k] *= product;
        product *= x[k];
    }
}

void ad_prod_gx(ad_axis axis, const double *g, const double *x, double *gx)
{
    if (axis.inner == 1) {
        AD_ROWS prod_row_gx(axis.n, g[o], x + o * axis.n, gx + o * axis.n);
        return;
    }
    AD_ROWS
    for (ptrdiff_t from = 0; from < axis.inner; from += AD_AT_ONCE) {
        const ptrdiff_t w = axis.inner - from < AD_AT_ONCE ? axis.inner - from : AD_AT_ONCE;
        double product[AD_AT_ONCE];
        for (ptrdiff_t j = 0; j < w; j++) product[j] = g[o * axis.inner + from + j];
        for (ptrdiff_t k = 0; k < axis.n; k++) {
            const ptrdiff_t at = (o * axis.n + k) * axis.inner + from;
            for (ptrdiff_t j = 0; j < w; j++) {
                gx[at + j] = product[j];
                product[j] *= x[at + j];
            }
        }
        for (ptrdiff_t j = 0; j < w; j++) product[j] = 1.0;
        for (ptrdiff_t k = axis.n - 1; k >= 0; k--) {
            const ptrdiff_t at = (o * axis.n + k) * axis.inner + from;
            for (ptrdiff_t j = 0; j < w; j++) {
                gx[at + j] *= product[j];
                product[j] *= x[at + j];
            }
        }
    }
}
