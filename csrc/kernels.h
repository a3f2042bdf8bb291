/* What the rest of the engine sees of the kernels: one table for each instruction set.
 *
 * Kernels cannot fail, allocate nothing that the caller sees, take raw pointers and
 * sizes, and need no GIL. The same sources (*.inc) are compiled once for each
 * instruction set; kernels.c picks a table.
 */
#ifndef AD_KERNELS_H
#define AD_KERNELS_H

#include <stddef.h>

/* z[i] = f(a[i], b[i], c[i]); an operand of step 0 is one number for all i, of step 1 an
 * array. Operands that f does not read are not touched. z may be an operand of step 1
 * (exactly, in place), and must not overlap one otherwise. */
typedef void (*ad_map)(ptrdiff_t n, const double *a, ptrdiff_t a_step, const double *b,
                       ptrdiff_t b_step, const double *c, ptrdiff_t c_step, double *z);

/* One line of elementwise.def: which map computes what from which operands.
 * reads: one letter an operand: g z (gradient and value of the output), x y c (inputs),
 * p (the op's parameter); "same": the gradient itself; "none": no gradient, no map; "rule": by
 * the rule in Python, no map. Of four letters the first is g, and no operand: the gradient is to
 * be multiplied with what the map gives. */
typedef struct {
    const char *reads;
    ad_map map;
} ad_rule;

typedef struct {
    const char *name;
    int arity;
    int special; /* whether it calls SciPy's functions, which must be looked up first */
    ad_rule forward;
    ad_rule backward[3];
} ad_elementwise;

/* x[a, r, b] to z[a, b], over r. */
typedef void (*ad_reduce)(ptrdiff_t a, ptrdiff_t r, ptrdiff_t b, const double *x, double *z);

/* The gradient of something over r, from g and z: of the shape of x[a, r, b], or [a, b] where that
 * is one number for all r. x is not read by all. */
typedef void (*ad_reduce_gx)(ptrdiff_t a, ptrdiff_t r, ptrdiff_t b, const double *g,
                             const double *z, const double *x, double *gx);

/* C = alpha op(A) op(B) + beta C, all row-major; op(A) is m by k, op(B) k by n, and op
 * transposes where t is not 0. C is not read where beta = 0. */
typedef void (*ad_gemm)(int ta, int tb, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, double alpha,
                        const double *a, ptrdiff_t lda, const double *b, ptrdiff_t ldb,
                        double beta, double *c, ptrdiff_t ldc);

/* How a product may be cut, so that every number comes out with the same bits: into multiples
 * of so many rows or columns, but for the last part, which is never smaller. 0: it may not. */
typedef struct {
    ptrdiff_t rows, cols;
} ad_cut;

/* Of one matrix each, row-major; see factor.inc. `work`, `u`: room that the caller has. */
typedef struct {
    /* 0, or the order of the leading minor that is not positive. */
    ptrdiff_t (*cholesky)(ptrdiff_t n, const double *a, double *z, double *u);
    void (*cholesky_gradient)(ptrdiff_t n, const double *g, const double *l, double *z,
                              double *work);
    void (*triangular)(ptrdiff_t n, ptrdiff_t k, const double *a, ptrdiff_t lda, int lower,
                       int turned, int unit, double *z, ptrdiff_t ld);
    void (*lu)(ptrdiff_t n, const double *a, double *z);
    void (*lu_solve)(ptrdiff_t n, ptrdiff_t k, const double *f, int turned, double *z);
} ad_factor;

typedef struct {
    const char *isa;
    const ad_elementwise *elementwise; /* ends at a name NULL */
    ad_map add;                        /* a + b */
    ad_map divide;                     /* a / b */
    ad_reduce sum;                     /* 0 where r = 0 */
    ad_reduce prod;                    /* 1 where r = 0 */
    ad_reduce max;                     /* r > 0; NaN if any is */
    ad_reduce logsumexp;               /* r > 0, as the others */
    ad_reduce softmax;                 /* z of the shape of x; it may be x */
    ad_reduce log_softmax;
    ad_reduce_gx max_gx;
    ad_reduce_gx logsumexp_gx;
    ad_reduce_gx softmax_gx; /* x is not read; g and z have its shape */
    ad_reduce_gx log_softmax_gx;
    void (*copy_rows)(ptrdiff_t rows, ptrdiff_t cols, const double *x, ptrdiff_t x_row,
                      double *z, ptrdiff_t z_row); /* z[i, j] = x[i, j], rows may lie apart */
    ad_gemm gemm;
    /* What gemm does for these sizes, without the choice. */
    ad_gemm (*gemm_of)(int ta, int tb, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, ptrdiff_t lda,
                       double beta, ptrdiff_t ldc, ad_cut *cut);
    const ad_factor *factor;
    double blas_from; /* multiplications from which BLAS is faster than gemm */
} ad_kernels;

#define AD_MAX_ISAS 3

/* The tables that this machine can run, the best last; returns how many. */
int ad_usable_kernels(const ad_kernels *usable[AD_MAX_ISAS]);

#endif
