/* Kind `lu_determinant`: of each matrix of a stack, by its factors: det A, its sign, or log |det A|. */
#include "stack.h"

#include <math.h>

enum { DETERMINANT, SIGN, LOGARITHM };

/* 1 or -1: how often the pivots exchange. */
static double sign_of_pivots(ptrdiff_t n, const double *pivots)
{
    bool odd = false;
    for (ptrdiff_t i = 0; i < n; i++) odd ^= pivots[i] > (double)i && pivots[i] < (double)n;
    return odd ? -1.0 : 1.0;
}

static double determinant(ptrdiff_t n, const double *f)
{
    double product = sign_of_pivots(n, f + n * n);
    for (ptrdiff_t i = 0; i < n; i++) product *= f[i * n + i];
    return product;
}

static double sign(ptrdiff_t n, const double *f)
{
    double product = sign_of_pivots(n, f + n * n);
    for (ptrdiff_t i = 0; i < n; i++) {
        const double d = f[i * n + i];
        product *= d > 0.0 ? 1.0 : d < 0.0 ? -1.0 : d;
    }
    return product;
}

static double logarithm(ptrdiff_t n, const double *f)
{
    double sum = 0.0;
    for (ptrdiff_t i = 0; i < n; i++) sum += log(fabs(f[i * n + i]));
    return sum;
}

static int execute(void *parameters)
{
    const ad_stack *p = parameters;
    double (*const functions[])(ptrdiff_t, const double *) = {determinant, sign, logarithm};
    for (ptrdiff_t i = 0; i < p->count; i++)
        p->z[0][i] = functions[p->k](p->n, p->x[0] + i * p->x_size[0]);
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    ad_stack *p = ad_new_stack(reader);
    if (p == NULL) return;
    const char *what = ad_read_name(reader);
    if (ad_refused(reader)) return;
    p->k = strcmp(what, "det") == 0    ? DETERMINANT
           : strcmp(what, "sign") == 0 ? SIGN
           : strcmp(what, "log") == 0  ? LOGARITHM
                                       : -1;
    if (p->k < 0) ad_refuse(reader, AD_NO_OP);
    p->x_size[0] = ad_times(reader, p->n, p->n < PTRDIFF_MAX ? p->n + 1 : p->n);
    p->z_size[0] = 1;
    ad_read_stack(reader, p, 1, 1);
    ad_set_instruction(to, p->count == 0 ? ad_execute_nothing : execute, p, NULL);
}

AD_KIND("lu_determinant", load, NULL)
