/* Kind `eigh`: eigenvalues and eigenvectors of each matrix of a stack, by dsyevd. */
#include "lapack.h"
#include "loops.h"
#include "stack.h"

#include <math.h>

typedef struct {
    ad_stack stack; /* first, as the fault has it */
    ad_lapack dsyevd;
    double *a, *work;
    int64_t *iwork, lwork, liwork;
} eigh;

static int64_t call(const eigh *p, double *a, double *w, double *work, int64_t lwork,
                    int64_t *iwork, int64_t liwork)
{
    typedef void (*function)(char *, char *, int64_t *, double *, int64_t *, double *, double *,
                             int64_t *, int64_t *, int64_t *, int64_t *);
    char jobz = 'V', uplo = 'L';
    int64_t n = p->stack.n, info = 0;
    ((function)p->dsyevd.call)(&jobz, &uplo, &n, a, &n, w, work, &lwork, iwork, &liwork, &info);
    return ad_lapack_integer(&p->dsyevd, &info, 0);
}

static int execute(void *parameters)
{
    eigh *p = parameters;
    ad_stack *s = &p->stack;
    const ptrdiff_t n = s->n, size = n * n;
    for (ptrdiff_t i = 0; i < s->count; i++) {
        const double *a = s->x[0] + i * size;
        double *w = s->z[0] + i * n, *v = s->z[1] + i * size;
        for (ptrdiff_t j = 0; j < n; j++)
            for (ptrdiff_t k = 0; k < n; k++)
                p->a[j * n + k] = 0.5 * a[j * n + k] + 0.5 * a[k * n + j];
        if (!ad_is_finite(size, p->a)) {
            ad_fill_nan(n, w);
            ad_fill_nan(size, v);
            continue;
        }
        const int64_t info = call(p, p->a, w, p->work, p->lwork, p->iwork, p->liwork);
        if (info != 0) return ad_stack_fails(s, i, (ptrdiff_t)info);
        ad_copy_matrix(n, n, p->a, 1, n, v, n, 1); /* columns to rows */
    }
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    eigh *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    ad_stack *s = &p->stack;
    s->count = ad_read_size(reader);
    s->n = ad_read_size(reader);
    s->x_size[0] = s->z_size[1] = ad_times(reader, s->n, s->n);
    s->z_size[0] = s->n;
    ad_read_stack(reader, s, 1, 2);
    if (ad_refused(reader)) return;
    if (s->count > 0 && s->n > 0) {
        double lwork = 0.0;
        int64_t liwork = 0;
        p->dsyevd = ad_find_lapack("dsyevd", "ccididdiiii", s->n);
        if (p->dsyevd.call == NULL) ad_refuse(reader, AD_NO_LAPACK);
        if (ad_refused(reader)) return;
        call(p, NULL, NULL, &lwork, -1, &liwork, -1);
        p->lwork = (int64_t)lwork;
        p->liwork = ad_lapack_integer(&p->dsyevd, &liwork, 0);
        p->a = ad_take_memory(reader, s->x_size[0], sizeof *p->a);
        p->work = ad_take_memory(reader, (ptrdiff_t)p->lwork, sizeof *p->work);
        p->iwork = ad_take_memory(reader, (ptrdiff_t)p->liwork, sizeof *p->iwork);
    }
    ad_set_stack(to, execute, s);
}

AD_KIND("eigh", load, ad_stack_fault)
