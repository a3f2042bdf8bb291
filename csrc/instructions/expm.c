/* Kind `expm`: the exponential of each matrix of a stack, by scaling and squaring.
 *
 * N. Higham, The scaling and squaring method for the matrix exponential revisited (2005): the
 * Padé approximant of order 13 of A / 2^s, squared s times. */
#include "stack.h"

#include <math.h>

#define LARGEST 5.371920351148152 /* norm for which it is exact to rounding */

static const double pade[] = {64764752532480000.0, 32382376266240000.0, 7771770303897600.0,
                              1187353796428800.0,  129060195264000.0,   10559470521600.0,
                              670442572800.0,      33522128640.0,       1323241920.0,
                              40840800.0,          960960.0,            16380.0,
                              182.0,               1.0};

typedef struct {
    ad_stack stack;
    ad_gemm gemm;
    double *room[8];
} expm;

static void multiply(const expm *p, const double *x, const double *y, double *z)
{
    const ptrdiff_t n = p->stack.n;
    p->gemm(0, 0, n, n, n, 1.0, x, n, y, n, 0.0, z, n);
}

/* z = a x2 + b x4 + c x6 + d, the last one on the diagonal; z may hold something to add. */
static void combine(ptrdiff_t n, double a, const double *x2, double b, const double *x4, double c,
                    const double *x6, double d, int adds, double *z)
{
    for (ptrdiff_t i = 0; i < n * n; i++)
        z[i] = (adds ? z[i] : 0.0) + (a * x2[i] + b * x4[i] + c * x6[i]);
    for (ptrdiff_t i = 0; i < n; i++) z[i * n + i] += d;
}

static double norm_of(ptrdiff_t n, const double *a)
{
    double most = 0.0;
    for (ptrdiff_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (ptrdiff_t j = 0; j < n; j++) sum += fabs(a[i * n + j]);
        if (!(sum <= most)) most = sum; /* NaN stays */
        if (isnan(most)) break;
    }
    return most;
}

/* How often the result is squared. */
static int halvings(double norm)
{
    int exponent;
    if (norm <= LARGEST) return 0;
    frexp(norm / LARGEST, &exponent);
    return exponent;
}

static void approximate(const expm *p, double *z)
{
    const ptrdiff_t n = p->stack.n;
    double *const *r = p->room, *a = r[0], *a2 = r[1], *a4 = r[2], *a6 = r[3];
    double *u = r[4], *v = r[5], *work = r[6];
    const double *b = pade;
    multiply(p, a, a, a2);
    multiply(p, a2, a2, a4);
    multiply(p, a2, a4, a6);
    combine(n, b[9], a2, b[11], a4, b[13], a6, 0.0, 0, v);
    multiply(p, a6, v, work);
    combine(n, b[3], a2, b[5], a4, b[7], a6, b[1], 1, work);
    multiply(p, a, work, u);
    combine(n, b[8], a2, b[10], a4, b[12], a6, 0.0, 0, work);
    multiply(p, a6, work, v);
    combine(n, b[2], a2, b[4], a4, b[6], a6, b[0], 1, v);
    for (ptrdiff_t i = 0; i < n * n; i++) {
        z[i] = v[i] + u[i];
        work[i] = v[i] - u[i];
    }
    p->stack.factor->lu(n, work, r[7]);
    p->stack.factor->lu_solve(n, n, r[7], 0, z);
}

static int execute(void *parameters)
{
    const expm *p = parameters;
    const ad_stack *s = &p->stack;
    const ptrdiff_t n = s->n, size = n * n;
    for (ptrdiff_t i = 0; i < s->count; i++) {
        const double *x = s->x[0] + i * size, norm = norm_of(n, x);
        double *z = s->z[0] + i * size;
        if (!isfinite(norm)) {
            ad_fill_nan(size, z);
            continue;
        }
        const int times = halvings(norm);
        const double scale = ldexp(1.0, -times);
        for (ptrdiff_t j = 0; j < size; j++) p->room[0][j] = scale * x[j];
        approximate(p, z);
        for (int t = 0; t < times; t++) {
            memcpy(p->room[1], z, (size_t)size * sizeof *z);
            multiply(p, p->room[1], p->room[1], z);
        }
    }
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    expm *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    ad_stack *s = &p->stack;
    s->factor = ad_kernels_of(reader)->factor;
    p->gemm = ad_kernels_of(reader)->gemm;
    s->count = ad_read_size(reader);
    s->n = ad_read_size(reader);
    s->x_size[0] = s->z_size[0] = ad_times(reader, s->n, s->n);
    ad_read_stack(reader, s, 1, 1);
    if (ad_refused(reader)) return;
    for (int i = 0; i < 8 && s->count > 0; i++)
        p->room[i] = ad_take_memory(reader, s->n * (s->n + 1), sizeof(double));
    ad_set_stack(to, execute, s);
}

AD_KIND("expm", load, NULL)
