/* Kind `lu`: the triangular factors of each matrix of a stack, and its pivots. */
#include "lapack.h"
#include "stack.h"

#define LAPACK_FROM 64 /* rows from which LAPACK, which goes by blocks, is faster than our kernel */

typedef struct {
    ad_stack stack; /* first, as the fault has it */
    ad_lapack dgetrf;
    int64_t *pivots; /* as LAPACK has them: integers of 32 or 64 bits */
} factors;

/* A', which lies by columns where A lies by rows. */
static void factor_by_lapack(const factors *p, double *z)
{
    int64_t n = p->stack.n, info = 0;
    double *pivots = z + n * n;
    ((void (*)(int64_t *, int64_t *, double *, int64_t *, int64_t *, int64_t *))p->dgetrf.call)(
        &n, &n, z, &n, p->pivots, &info);
    for (ptrdiff_t i = 0; i < n; i++)
        pivots[i] = (double)ad_lapack_integer(&p->dgetrf, p->pivots, i) - 1.0;
}

static int execute(void *parameters)
{
    factors *p = parameters;
    const ad_stack *s = &p->stack;
    for (ptrdiff_t i = 0; i < s->count; i++) {
        const double *a = s->x[0] + i * s->x_size[0];
        double *z = s->z[0] + i * s->z_size[0];
        if (p->dgetrf.call == NULL) {
            s->factor->lu(s->n, a, z);
            continue;
        }
        memcpy(z, a, (size_t)s->x_size[0] * sizeof *z);
        factor_by_lapack(p, z);
    }
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    factors *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    ad_stack *s = &p->stack;
    s->factor = ad_kernels_of(reader)->factor;
    s->count = ad_read_size(reader);
    s->n = ad_read_size(reader);
    s->x_size[0] = ad_times(reader, s->n, s->n);
    s->z_size[0] = ad_times(reader, s->n, s->n < PTRDIFF_MAX ? s->n + 1 : s->n);
    ad_read_stack(reader, s, 1, 1);
    if (ad_refused(reader)) return;
    if (s->count > 0 && s->n >= LAPACK_FROM) {
        p->dgetrf = ad_find_lapack("dgetrf", "iidiii", s->n);
        p->pivots = ad_take_memory(reader, s->n, sizeof *p->pivots);
    }
    ad_set_stack(to, execute, s);
}

AD_KIND("lu", load, NULL)
