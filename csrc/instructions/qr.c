/* Kind `qr`: orthogonal columns and a triangle for each matrix of a stack, by dgeqrf and dorgqr. */
#include "lapack.h"
#include "loops.h"
#include "stack.h"

typedef struct {
    ad_stack stack; /* n: rows, k: columns, not more */
    ad_lapack dgeqrf, dorgqr;
    double *a, *tau, *work; /* a: by columns */
    int64_t lwork;
} qr;

static void factor(const qr *p, double *work, int64_t lwork)
{
    typedef void (*function)(int64_t *, int64_t *, double *, int64_t *, double *, double *,
                             int64_t *, int64_t *);
    int64_t m = p->stack.n, n = p->stack.k, info = 0;
    ((function)p->dgeqrf.call)(&m, &n, p->a, &m, p->tau, work, &lwork, &info);
}

static void make_columns(const qr *p, double *work, int64_t lwork)
{
    typedef void (*function)(int64_t *, int64_t *, int64_t *, double *, int64_t *, double *,
                             double *, int64_t *, int64_t *);
    int64_t m = p->stack.n, n = p->stack.k, info = 0;
    ((function)p->dorgqr.call)(&m, &n, &n, p->a, &m, p->tau, work, &lwork, &info);
}

static int execute(void *parameters)
{
    const qr *p = parameters;
    const ad_stack *s = &p->stack;
    const ptrdiff_t m = s->n, n = s->k;
    for (ptrdiff_t i = 0; i < s->count; i++) {
        double *r = s->z[1] + i * s->z_size[1];
        ad_copy_matrix(m, n, s->x[0] + i * s->x_size[0], n, 1, p->a, 1, m);
        factor(p, p->work, p->lwork);
        for (ptrdiff_t j = 0; j < n; j++)
            for (ptrdiff_t k = 0; k < n; k++) r[j * n + k] = k < j ? 0.0 : p->a[k * m + j];
        make_columns(p, p->work, p->lwork);
        ad_copy_matrix(m, n, p->a, 1, m, s->z[0] + i * s->z_size[0], n, 1);
    }
    return 0;
}

static void take_room(ad_reader *reader, qr *p)
{
    const ad_stack *s = &p->stack;
    double first = 0.0, second = 0.0;
    p->dgeqrf = ad_find_lapack("dgeqrf", "iididdii", s->n);
    p->dorgqr = ad_find_lapack("dorgqr", "iiididdii", s->n);
    if (p->dgeqrf.call == NULL || p->dorgqr.call == NULL) ad_refuse(reader, AD_NO_LAPACK);
    p->a = ad_take_memory(reader, s->x_size[0], sizeof *p->a);
    p->tau = ad_take_memory(reader, s->k, sizeof *p->tau);
    if (ad_refused(reader)) return;
    factor(p, &first, -1);
    make_columns(p, &second, -1);
    p->lwork = (int64_t)(first > second ? first : second);
    p->work = ad_take_memory(reader, (ptrdiff_t)p->lwork, sizeof *p->work);
}

static void load(ad_reader *reader, ad_instruction *to)
{
    qr *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    ad_stack *s = &p->stack;
    s->count = ad_read_size(reader);
    s->n = ad_read_size(reader);
    s->k = ad_read_size(reader);
    if (s->k > s->n) ad_refuse(reader, AD_BAD_SIZE);
    s->x_size[0] = s->z_size[0] = ad_times(reader, s->n, s->k);
    s->z_size[1] = ad_times(reader, s->k, s->k);
    ad_read_stack(reader, s, 1, 2);
    if (!ad_refused(reader) && s->count > 0 && s->k > 0) take_room(reader, p);
    ad_set_stack(to, execute, s);
}

AD_KIND("qr", load, NULL)
