/* One matrix product for all sizes: our kernel for small ones, BLAS for large ones. */
#ifndef AD_BLAS_H
#define AD_BLAS_H

#include "loops.h"

#include <limits.h>
#include <stdint.h>

/* Fortran's dgemm: column-major, everything by address. */
typedef void (*ad_dgemm)(char *, char *, int64_t *, int64_t *, int64_t *, double *, double *,
                         int64_t *, double *, int64_t *, double *, double *, int64_t *);

/* NULL until _core loads it. wide: its integers have 64 bits. */
static ad_dgemm ad_blas_dgemm = NULL;
static int ad_blas_wide = 0;

/* Products of at least so many multiplications go to BLAS: as the table in use says. */
static double ad_blas_from = 0.0;

static inline int ad_wants_blas(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k)
{
    return (double)m * (double)n * (double)k >= ad_blas_from;
}

/* C = alpha op(A) op(B) + beta C, row-major, which is C' = alpha op(B)' op(A)' + beta C',
 * column-major. A little-endian 64-bit integer read as a 32-bit one has the same value,
 * so the same call serves both widths. */
static inline void ad_gemm_blas(int ta, int tb, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                                double alpha, const double *a, ptrdiff_t lda, const double *b,
                                ptrdiff_t ldb, double beta, double *c, ptrdiff_t ldc)
{
    char op_a = ta ? 'T' : 'N', op_b = tb ? 'T' : 'N';
    int64_t m_ = m, n_ = n, k_ = k, lda_ = lda, ldb_ = ldb, ldc_ = ldc;
    ad_blas_dgemm(&op_b, &op_a, &n_, &m_, &k_, &alpha, (double *)b, &ldb_, (double *)a, &lda_,
                  &beta, c, &ldc_);
}

static inline int ad_fits_blas(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, ptrdiff_t lda,
                               ptrdiff_t ldb, ptrdiff_t ldc)
{
    if (ad_blas_dgemm == NULL || m <= 0 || n <= 0 || k <= 0) return 0;
    return ad_blas_wide || (m <= INT_MAX && n <= INT_MAX && k <= INT_MAX && lda <= INT_MAX &&
                            ldb <= INT_MAX && ldc <= INT_MAX);
}

static inline void ad_gemm_any(ad_gemm small, int ta, int tb, ptrdiff_t m, ptrdiff_t n,
                               ptrdiff_t k, double alpha, const double *a, ptrdiff_t lda,
                               const double *b, ptrdiff_t ldb, double beta, double *c,
                               ptrdiff_t ldc)
{
    if (ad_wants_blas(m, n, k) && ad_fits_blas(m, n, k, lda, ldb, ldc))
        ad_gemm_blas(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    else
        small(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

/* One product for each turn of a loop over stacks of matrices: operand 0 is C, 1 A, 2 B. */
static inline void ad_gemm_stack(const ad_loop *loop, ad_gemm small, int ta, int tb,
                                 ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const double *a,
                                 ptrdiff_t lda, const double *b, ptrdiff_t ldb, double beta,
                                 double *c, ptrdiff_t ldc)
{
    ptrdiff_t at[AD_MAX_AXES] = {0}, offset[3] = {0, 0, 0};
    for (int i = 0; i < loop->axes; i++)
        if (loop->size[i] == 0) return;
    do {
        ad_gemm_any(small, ta, tb, m, n, k, 1.0, a + offset[1], lda, b + offset[2], ldb, beta,
                    c + offset[0], ldc);
    } while (ad_loop_next(loop, loop->axes, 3, at, offset));
}

#endif
