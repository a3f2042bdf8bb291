/* Kind `sqrtm`: the principal square root of each matrix of a stack.
 *
 * The iteration of Denman and Beavers in its product form, scaled by determinants: N. Higham,
 * Functions of matrices (2008), 6.3. */
#include "stack.h"

#include <math.h>

#define MOST 60 /* steps; ten are usual */
#define CLOSE 1.0e-2 /* from here on no scaling is needed */

typedef struct {
    ad_stack stack;
    ad_gemm gemm;
    double *m, *inverse, *factors, *work;
} sqrtm;

/* The inverse of m; returns |det m|^(-1/2n), or 0 if it is singular. */
static double invert(const sqrtm *p)
{
    const ptrdiff_t n = p->stack.n;
    double logarithm = 0.0;
    p->stack.factor->lu(n, p->m, p->factors);
    for (ptrdiff_t i = 0; i < n; i++) logarithm += log(fabs(p->factors[i * n + i]));
    if (ad_zero_of_diagonal(n, p->factors) > 0) return 0.0;
    memset(p->inverse, 0, (size_t)(n * n) * sizeof(double));
    for (ptrdiff_t i = 0; i < n; i++) p->inverse[i * n + i] = 1.0;
    p->stack.factor->lu_solve(n, n, p->factors, 0, p->inverse);
    return exp(-logarithm / (2.0 * (double)n));
}

/* How far m is from the unit matrix. */
static double distance(ptrdiff_t n, const double *m)
{
    double most = 0.0;
    for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t j = 0; j < n; j++) {
            const double d = fabs(m[i * n + j] - (i == j ? 1.0 : 0.0));
            if (!(d <= most)) most = d;
        }
    return most;
}

/* Whether a root was found. */
static bool iterate(const sqrtm *p, const double *a, double *z)
{
    const ptrdiff_t n = p->stack.n, size = n * n;
    double before = INFINITY;
    memcpy(p->m, a, (size_t)size * sizeof *a);
    memcpy(z, a, (size_t)size * sizeof *a);
    for (int step = 0; step < MOST; step++) {
        const double away = distance(n, p->m), found = invert(p);
        const double mu = away < CLOSE ? 1.0 : found;
        if (!(found > 0.0) || !isfinite(away)) return false;
        if (away < 1e-15 * (double)n || (away < 1e-12 && away >= before)) return true;
        before = away;
        for (ptrdiff_t i = 0; i < size; i++)
            p->work[i] = 0.5 * p->inverse[i] / mu + (i % (n + 1) == 0 ? 0.5 * mu : 0.0);
        for (ptrdiff_t i = 0; i < size; i++)
            p->m[i] = 0.25 * (mu * mu * p->m[i] + p->inverse[i] / (mu * mu)) +
                      (i % (n + 1) == 0 ? 0.5 : 0.0);
        memcpy(p->inverse, z, (size_t)size * sizeof *z);
        p->gemm(0, 0, n, n, n, 1.0, p->inverse, n, p->work, n, 0.0, z, n);
    }
    return false;
}

static int execute(void *parameters)
{
    sqrtm *p = parameters;
    ad_stack *s = &p->stack;
    for (ptrdiff_t i = 0; i < s->count; i++) {
        const double *a = s->x[0] + i * s->x_size[0];
        double *z = s->z[0] + i * s->z_size[0];
        if (!ad_is_finite(s->x_size[0], a))
            ad_fill_nan(s->z_size[0], z);
        else if (!iterate(p, a, z))
            return ad_stack_fails(s, i, 0);
    }
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    sqrtm *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    ad_stack *s = &p->stack;
    s->factor = ad_kernels_of(reader)->factor;
    p->gemm = ad_kernels_of(reader)->gemm;
    s->count = ad_read_size(reader);
    s->n = ad_read_size(reader);
    s->x_size[0] = s->z_size[0] = ad_times(reader, s->n, s->n);
    ad_read_stack(reader, s, 1, 1);
    if (ad_refused(reader)) return;
    if (s->count > 0) {
        double **const room[] = {&p->m, &p->inverse, &p->factors, &p->work};
        for (int i = 0; i < 4; i++)
            *room[i] = ad_take_memory(reader, s->n * (s->n + 1), sizeof(double));
    }
    ad_set_stack(to, execute, s);
}

AD_KIND("sqrtm", load, ad_stack_fault)
