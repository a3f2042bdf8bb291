/* Kind `svd`: singular values and vectors of each matrix of a stack, by dgesdd. */
#include "lapack.h"
#include "loops.h"
#include "stack.h"

#include <math.h>

typedef struct {
    ad_stack stack; /* first, as the fault has it; k: columns */
    ptrdiff_t least; /* of rows and columns */
    ad_lapack dgesdd;
    double *a, *u, *vt, *work; /* by columns */
    int64_t *iwork, lwork;
} svd;

static int64_t call(const svd *p, double *s, double *work, int64_t lwork)
{
    typedef void (*function)(char *, int64_t *, int64_t *, double *, int64_t *, double *, double *,
                             int64_t *, double *, int64_t *, double *, int64_t *, int64_t *,
                             int64_t *);
    char jobz = 'S';
    int64_t m = p->stack.n, n = p->stack.k, least = p->least, info = 0;
    ((function)p->dgesdd.call)(&jobz, &m, &n, p->a, &m, s, p->u, &m, p->vt, &least, work, &lwork,
                               p->iwork, &info);
    return ad_lapack_integer(&p->dgesdd, &info, 0);
}

static int execute(void *parameters)
{
    svd *p = parameters;
    ad_stack *s = &p->stack;
    const ptrdiff_t m = s->n, n = s->k, k = p->least;
    for (ptrdiff_t i = 0; i < s->count; i++) {
        const double *a = s->x[0] + i * s->x_size[0];
        double *u = s->z[0] + i * s->z_size[0], *values = s->z[1] + i * s->z_size[1];
        double *vh = s->z[2] + i * s->z_size[2];
        if (!ad_is_finite(m * n, a)) {
            ad_fill_nan(m * k, u);
            ad_fill_nan(k, values);
            ad_fill_nan(k * n, vh);
            continue;
        }
        ad_copy_matrix(m, n, a, n, 1, p->a, 1, m);
        const int64_t info = call(p, values, p->work, p->lwork);
        if (info != 0) return ad_stack_fails(s, i, (ptrdiff_t)info);
        ad_copy_matrix(m, k, p->u, 1, m, u, k, 1);
        ad_copy_matrix(k, n, p->vt, 1, k, vh, n, 1);
    }
    return 0;
}

static void take_room(ad_reader *reader, svd *p)
{
    const ad_stack *s = &p->stack;
    const ptrdiff_t most = s->n > s->k ? s->n : s->k;
    double lwork = 0.0;
    p->dgesdd = ad_find_lapack("dgesdd", "ciididdididiii", most);
    if (p->dgesdd.call == NULL) ad_refuse(reader, AD_NO_LAPACK);
    p->a = ad_take_memory(reader, s->x_size[0], sizeof *p->a);
    p->u = ad_take_memory(reader, s->z_size[0], sizeof *p->u);
    p->vt = ad_take_memory(reader, s->z_size[2], sizeof *p->vt);
    p->iwork = ad_take_memory(reader, ad_times(reader, 8, p->least), sizeof *p->iwork);
    if (ad_refused(reader)) return;
    call(p, &lwork, &lwork, -1);
    p->lwork = (int64_t)lwork;
    p->work = ad_take_memory(reader, (ptrdiff_t)p->lwork, sizeof *p->work);
}

static void load(ad_reader *reader, ad_instruction *to)
{
    svd *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    ad_stack *s = &p->stack;
    s->count = ad_read_size(reader);
    s->n = ad_read_size(reader);
    s->k = ad_read_size(reader);
    p->least = s->n < s->k ? s->n : s->k;
    s->x_size[0] = ad_times(reader, s->n, s->k);
    s->z_size[0] = ad_times(reader, s->n, p->least);
    s->z_size[1] = p->least;
    s->z_size[2] = ad_times(reader, p->least, s->k);
    ad_read_stack(reader, s, 1, 3);
    if (!ad_refused(reader) && s->count > 0 && p->least > 0) take_room(reader, p);
    ad_set_stack(to, execute, s);
}

AD_KIND("svd", load, ad_stack_fault)
