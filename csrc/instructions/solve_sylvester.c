/* Kind `solve_sylvester`: A X + X B = Q for each of a stack, by dgees and dtrsyl.
 *
 * What lies by rows is the transpose by columns: B' Y + Y A' = Q' for Y = X'. With B' = U S U' and
 * A' = W T W', in triangular form, S Z + Z T = U' Q' W and Y = U Z W'. */
#include "lapack.h"
#include "stack.h"

typedef struct {
    ad_stack stack; /* n: rows of Q, k: its columns */
    ad_gemm gemm;
    ad_lapack dgees, dtrsyl;
    double *t, *w, *s, *u, *z, *values, *work; /* values: eigenvalues */
    int64_t lwork;
} sylvester;

static int64_t to_triangle(const sylvester *p, ptrdiff_t order, double *a, double *vectors,
                           double *work, int64_t lwork)
{
    typedef void (*function)(char *, char *, void *, int64_t *, double *, int64_t *, int64_t *,
                             double *, double *, double *, int64_t *, double *, int64_t *,
                             int64_t *, int64_t *);
    char jobvs = 'V', sort = 'N';
    int64_t n = order, sdim = 0, info = 0, unused = 0;
    ((function)p->dgees.call)(&jobvs, &sort, NULL, &n, a, &n, &sdim, p->values, p->values + order,
                              vectors, &n, work, &lwork, &unused, &info);
    return ad_lapack_integer(&p->dgees, &info, 0);
}

/* S Z + Z T = scale Z, in place. */
static int64_t solve(const sylvester *p, double *scale)
{
    typedef void (*function)(char *, char *, int64_t *, int64_t *, int64_t *, double *, int64_t *,
                             double *, int64_t *, double *, int64_t *, double *, int64_t *);
    char no = 'N';
    int64_t sign = 1, m = p->stack.k, n = p->stack.n, info = 0;
    ((function)p->dtrsyl.call)(&no, &no, &sign, &m, &n, p->s, &m, p->t, &n, p->z, &m, scale, &info);
    return ad_lapack_integer(&p->dtrsyl, &info, 0);
}

static bool solve_one(const sylvester *p, const double *q, double *x)
{
    const ptrdiff_t m = p->stack.n, k = p->stack.k;
    double scale = 1.0;
    if (to_triangle(p, m, p->t, p->w, p->work, p->lwork) != 0) return false;
    if (to_triangle(p, k, p->s, p->u, p->work, p->lwork) != 0) return false;
    p->gemm(0, 0, m, k, m, 1.0, p->w, m, q, k, 0.0, x, k);
    p->gemm(0, 1, m, k, k, 1.0, x, k, p->u, k, 0.0, p->z, k);
    if (solve(p, &scale) != 0) return false;
    p->gemm(1, 0, m, k, m, 1.0 / scale, p->w, m, p->z, k, 0.0, p->work, k);
    p->gemm(0, 0, m, k, k, 1.0, p->work, k, p->u, k, 0.0, x, k);
    return true;
}

static int execute(void *parameters)
{
    sylvester *p = parameters;
    ad_stack *s = &p->stack;
    for (ptrdiff_t i = 0; i < s->count; i++) {
        const double *a = s->x[0] + i * s->x_size[0], *b = s->x[1] + i * s->x_size[1];
        const double *q = s->x[2] + i * s->x_size[2];
        double *x = s->z[0] + i * s->z_size[0];
        if (!ad_is_finite(s->x_size[0], a) || !ad_is_finite(s->x_size[1], b) ||
            !ad_is_finite(s->x_size[2], q)) {
            ad_fill_nan(s->z_size[0], x);
            continue;
        }
        memcpy(p->t, a, (size_t)s->x_size[0] * sizeof *a);
        memcpy(p->s, b, (size_t)s->x_size[1] * sizeof *b);
        if (!solve_one(p, q, x)) return ad_stack_fails(s, i, 0);
    }
    return 0;
}

static void take_room(ad_reader *reader, sylvester *p)
{
    ad_stack *s = &p->stack;
    const ptrdiff_t most = s->n > s->k ? s->n : s->k;
    double first = 0.0, second = 0.0;
    p->dgees = ad_find_lapack("dgees", "ccfidiidddidiii", most);
    p->dtrsyl = ad_find_lapack("dtrsyl", "cciiididididi", most);
    if (p->dgees.call == NULL || p->dtrsyl.call == NULL) ad_refuse(reader, AD_NO_LAPACK);
    p->t = ad_take_memory(reader, s->x_size[0], sizeof *p->t);
    p->w = ad_take_memory(reader, s->x_size[0], sizeof *p->w);
    p->s = ad_take_memory(reader, s->x_size[1], sizeof *p->s);
    p->u = ad_take_memory(reader, s->x_size[1], sizeof *p->u);
    p->z = ad_take_memory(reader, s->z_size[0], sizeof *p->z);
    p->values = ad_take_memory(reader, ad_times(reader, 2, most), sizeof *p->values);
    if (ad_refused(reader)) return;
    to_triangle(p, s->n, p->t, p->w, &first, -1);
    to_triangle(p, s->k, p->s, p->u, &second, -1);
    p->lwork = (int64_t)(first > second ? first : second);
    const ptrdiff_t least = (ptrdiff_t)p->lwork, size = s->z_size[0];
    p->work = ad_take_memory(reader, least > size ? least : size, sizeof *p->work);
}

static void load(ad_reader *reader, ad_instruction *to)
{
    sylvester *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    ad_stack *s = &p->stack;
    p->gemm = ad_kernels_of(reader)->gemm;
    s->count = ad_read_size(reader);
    s->n = ad_read_size(reader);
    s->k = ad_read_size(reader);
    s->x_size[0] = ad_times(reader, s->n, s->n);
    s->x_size[1] = ad_times(reader, s->k, s->k);
    s->x_size[2] = s->z_size[0] = ad_times(reader, s->n, s->k);
    ad_read_stack(reader, s, 3, 1);
    if (!ad_refused(reader) && s->count > 0 && s->n > 0 && s->k > 0) take_room(reader, p);
    ad_set_stack(to, execute, s);
}

AD_KIND("solve_sylvester", load, ad_stack_fault)
