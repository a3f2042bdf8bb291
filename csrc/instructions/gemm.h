/* Of matrix products, what is called outside of programs, too. */
#ifndef AD_GEMM_H
#define AD_GEMM_H

#include "kernels.h"

/* C = op(A) op(B) by the kernels of a table, in parts if it is large. */
void ad_gemm_in_parts(const ad_kernels *kernels, int ta, int tb, ptrdiff_t m, ptrdiff_t n,
                      ptrdiff_t k, const double *a, ptrdiff_t lda, const double *b, ptrdiff_t ldb,
                      double *c, ptrdiff_t ldc);

#endif
