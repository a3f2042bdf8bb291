/* Matrices with few diagonals: row r of a band is diagonal r - upper, below the main one if that is
 * positive; a[r, j] is A[j + r - upper, j]. What lies outside of A is not touched. */
#ifndef AD_BANDS_H
#define AD_BANDS_H

#include "stack.h"

typedef struct {
    ad_stack stack; /* first, as the fault has it; n: order, k: columns */
    ptrdiff_t lower, upper, rows; /* rows of the band */
    double *work;
} ad_bands;

/* The columns first <= j < last of row r that lie within A. */
static inline ptrdiff_t ad_band_first(const ad_bands *p, ptrdiff_t r)
{
    return r < p->upper ? p->upper - r : 0;
}

static inline ptrdiff_t ad_band_last(const ad_bands *p, ptrdiff_t r)
{
    return r > p->upper ? p->stack.n - (r - p->upper) : p->stack.n;
}

/* How many, which order, how many columns, and how many diagonals below and above the main one. */
static inline ad_bands *ad_new_bands(ad_reader *reader, bool has_columns, bool has_upper)
{
    ad_bands *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return NULL;
    p->stack.count = ad_read_size(reader);
    p->stack.n = ad_read_size(reader);
    if (has_columns) p->stack.k = ad_read_size(reader);
    p->lower = ad_read_size(reader);
    if (has_upper) p->upper = ad_read_size(reader);
    if (p->lower > p->stack.n || p->upper > p->stack.n) ad_refuse(reader, AD_BAD_SIZE);
    p->rows = ad_refused(reader) ? 0 : p->lower + p->upper + 1;
    return ad_refused(reader) ? NULL : p;
}

#endif
