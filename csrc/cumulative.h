/* Running sums and products over the middle one of three axes, x[outer, n, inner]. */
#ifndef AD_CUMULATIVE_H
#define AD_CUMULATIVE_H

#include <stddef.h>

/* back: from the last element to the first. */
typedef struct {
    ptrdiff_t outer, n, inner;
    int back;
} ad_axis;

void ad_cumsum(ad_axis axis, const double *x, double *z);
void ad_cumprod(ad_axis axis, const double *x, double *z);

/* z[i] = b[i] + a[i] z[i-1]; the first is b. With `lagged` the factor is a[i-1]. z may be b. */
void ad_recurrence(ad_axis axis, int lagged, const double *b, const double *a, double *z);

/* z[i] *= x[i-1], and the first *= first. */
void ad_times_before(ad_axis axis, const double *x, double first, double *z);

/* gx[i] = g times all x but x[i]; g[outer, inner]. */
void ad_prod_gx(ad_axis axis, const double *g, const double *x, double *gx);

#endif
