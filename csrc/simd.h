/* Vectors of the width of one instruction set; included once the target is set.
 *
 * AD_LEVEL: 4 AVX-512, 3 AVX2 + FMA, 0 whatever GCC makes of two doubles.
 * `part` of a vector: its first r numbers, 0 <= r <= AD_WIDTH. */
#ifndef AD_SIMD_H
#define AD_SIMD_H

#include "functions.h"

#include <stddef.h>

#if AD_LEVEL == 4
#include <immintrin.h>
#define AD_WIDTH 8
typedef __m512d ad_vec;

AD_INLINE ad_vec ad_fma(ad_vec a, ad_vec b, ad_vec c) { return _mm512_fmadd_pd(a, b, c); }
AD_INLINE ad_vec ad_set(double x) { return _mm512_set1_pd(x); }
AD_INLINE ad_vec ad_larger(ad_vec m, ad_vec x)
{
    const __mmask8 greater = _mm512_cmp_pd_mask(x, m, _CMP_GT_OQ);
    return _mm512_mask_mov_pd(m, greater | _mm512_cmp_pd_mask(x, x, _CMP_UNORD_Q), x);
}
AD_INLINE ad_vec ad_load(const double *x) { return _mm512_loadu_pd(x); }
AD_INLINE void ad_store(double *z, ad_vec a) { _mm512_storeu_pd(z, a); }
AD_INLINE __mmask8 ad_mask(ptrdiff_t r) { return (__mmask8)((1u << r) - 1u); }
AD_INLINE ad_vec ad_load_part(const double *x, ptrdiff_t r)
{
    return _mm512_maskz_loadu_pd(ad_mask(r), x);
}
AD_INLINE void ad_store_part(double *z, ad_vec a, ptrdiff_t r)
{
    _mm512_mask_storeu_pd(z, ad_mask(r), a);
}
AD_INLINE __m256d ad_halves(ad_vec a)
{
    return _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
}
AD_INLINE void ad_sum_each(double z[4], ad_vec a, ad_vec b, ad_vec c, ad_vec d)
{
    const __m256d ab = _mm256_hadd_pd(ad_halves(a), ad_halves(b));
    const __m256d cd = _mm256_hadd_pd(ad_halves(c), ad_halves(d));
    _mm256_storeu_pd(z, _mm256_add_pd(_mm256_permute2f128_pd(ab, cd, 0x20),
                                      _mm256_permute2f128_pd(ab, cd, 0x31)));
}
/* Rows of four: rows i and i + 4 are the halves of one vector. */
AD_INLINE void ad_transpose_4(ad_vec r[4])
{
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    const ad_vec a = _mm512_unpacklo_pd(r[0], r[1]), b = _mm512_unpackhi_pd(r[0], r[1]);
    const ad_vec c = _mm512_unpacklo_pd(r[2], r[3]), d = _mm512_unpackhi_pd(r[2], r[3]);
    r[0] = _mm512_permutex2var_pd(a, low, c);
    r[1] = _mm512_permutex2var_pd(b, low, d);
    r[2] = _mm512_permutex2var_pd(a, high, c);
    r[3] = _mm512_permutex2var_pd(b, high, d);
}
AD_INLINE void ad_transpose(ad_vec r[8])
{
    ad_vec t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_pd(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_pd(r[i], r[i + 1]);
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 8; j += 4) { /* columns i, i + 4 and i + 2, i + 6 of four rows */
            u[i + j] = _mm512_shuffle_f64x2(t[i + j], t[i + j + 2], 0x88);
            u[i + j + 2] = _mm512_shuffle_f64x2(t[i + j], t[i + j + 2], 0xdd);
        }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_f64x2(u[i], u[i + 4], 0x88);
        r[i + 4] = _mm512_shuffle_f64x2(u[i], u[i + 4], 0xdd);
    }
}

#elif AD_LEVEL == 3
#include <immintrin.h>
#define AD_WIDTH 4
typedef __m256d ad_vec;

AD_INLINE ad_vec ad_fma(ad_vec a, ad_vec b, ad_vec c) { return _mm256_fmadd_pd(a, b, c); }
AD_INLINE ad_vec ad_set(double x) { return _mm256_set1_pd(x); }
AD_INLINE ad_vec ad_larger(ad_vec m, ad_vec x)
{
    return _mm256_blendv_pd(m, x, _mm256_or_pd(_mm256_cmp_pd(x, m, _CMP_GT_OQ),
                                               _mm256_cmp_pd(x, x, _CMP_UNORD_Q)));
}
AD_INLINE ad_vec ad_load(const double *x) { return _mm256_loadu_pd(x); }
AD_INLINE void ad_store(double *z, ad_vec a) { _mm256_storeu_pd(z, a); }
AD_INLINE __m256i ad_mask(ptrdiff_t r)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(r), _mm256_setr_epi64x(0, 1, 2, 3));
}
AD_INLINE ad_vec ad_load_part(const double *x, ptrdiff_t r)
{
    return _mm256_maskload_pd(x, ad_mask(r));
}
AD_INLINE void ad_store_part(double *z, ad_vec a, ptrdiff_t r)
{
    _mm256_maskstore_pd(z, ad_mask(r), a);
}
AD_INLINE void ad_sum_each(double z[4], ad_vec a, ad_vec b, ad_vec c, ad_vec d)
{
    const __m256d ab = _mm256_hadd_pd(a, b), cd = _mm256_hadd_pd(c, d);
    _mm256_storeu_pd(z, _mm256_add_pd(_mm256_permute2f128_pd(ab, cd, 0x20),
                                      _mm256_permute2f128_pd(ab, cd, 0x31)));
}
AD_INLINE void ad_transpose(ad_vec r[4])
{
    const ad_vec a = _mm256_unpacklo_pd(r[0], r[1]), b = _mm256_unpackhi_pd(r[0], r[1]);
    const ad_vec c = _mm256_unpacklo_pd(r[2], r[3]), d = _mm256_unpackhi_pd(r[2], r[3]);
    r[0] = _mm256_permute2f128_pd(a, c, 0x20);
    r[1] = _mm256_permute2f128_pd(b, d, 0x20);
    r[2] = _mm256_permute2f128_pd(a, c, 0x31);
    r[3] = _mm256_permute2f128_pd(b, d, 0x31);
}

#else
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#define AD_WIDTH 2
typedef double ad_vec __attribute__((vector_size(16)));

AD_INLINE ad_vec ad_fma(ad_vec a, ad_vec b, ad_vec c) { return a * b + c; } /* not fused */
AD_INLINE ad_vec ad_set(double x) { return (ad_vec){x, x}; }
AD_INLINE ad_vec ad_larger(ad_vec m, ad_vec x)
{
#ifdef __SSE2__ /* GCC takes such a choice apart */
    const ad_vec nan = _mm_cmpunord_pd(x, x);
    return _mm_or_pd(_mm_and_pd(nan, x), _mm_andnot_pd(nan, _mm_max_pd(x, m)));
#else
    return (ad_vec){(x[0] > m[0] || x[0] != x[0]) ? x[0] : m[0],
                    (x[1] > m[1] || x[1] != x[1]) ? x[1] : m[1]};
#endif
}
AD_INLINE ad_vec ad_load(const double *x)
{
    ad_vec a;
    memcpy(&a, x, sizeof a);
    return a;
}
AD_INLINE void ad_store(double *z, ad_vec a) { memcpy(z, &a, sizeof a); }
AD_INLINE ad_vec ad_load_part(const double *x, ptrdiff_t r)
{
    return (ad_vec){r > 0 ? x[0] : 0.0, r > 1 ? x[1] : 0.0};
}
AD_INLINE void ad_store_part(double *z, ad_vec a, ptrdiff_t r)
{
    if (r > 0) z[0] = a[0];
    if (r > 1) z[1] = a[1];
}
AD_INLINE void ad_sum_each(double z[4], ad_vec a, ad_vec b, ad_vec c, ad_vec d)
{
    z[0] = a[0] + a[1];
    z[1] = b[0] + b[1];
    z[2] = c[0] + c[1];
    z[3] = d[0] + d[1];
}
AD_INLINE void ad_transpose(ad_vec r[2])
{
    const ad_vec a = {r[0][0], r[1][0]}, b = {r[0][1], r[1][1]};
    r[0] = a;
    r[1] = b;
}
#endif

/* ad_sum_each: the sums of the numbers of four vectors, in a fixed order.
 * ad_larger: the larger of each two; NaN if either is.
 * ad_transpose: rows to columns of AD_WIDTH vectors. */

/* Copy r numbers between an array and a buffer of 8; wide accesses to the buffer, so that
 * the block that reads it whole need not wait for eight narrow stores. */
AD_INLINE void ad_fill_block(double block[8], const double *x, ptrdiff_t r)
{
    for (ptrdiff_t i = 0; i < 8; i += AD_WIDTH) {
        const ptrdiff_t rest = r - i < 0 ? 0 : r - i > AD_WIDTH ? AD_WIDTH : r - i;
        ad_store(block + i, ad_load_part(rest > 0 ? x + i : x, rest));
    }
}

AD_INLINE void ad_spill_block(double *z, const double block[8], ptrdiff_t r)
{
    for (ptrdiff_t i = 0; i < r; i += AD_WIDTH)
        ad_store_part(z + i, ad_load(block + i), r - i > AD_WIDTH ? AD_WIDTH : r - i);
}

AD_INLINE void ad_splat_block(double block[8], double x)
{
    for (int i = 0; i < 8; i += AD_WIDTH) ad_store(block + i, ad_set(x));
}

#endif
