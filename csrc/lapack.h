/* LAPACK by SciPy: functions found by their names when a program is loaded. Fortran's: matrices by
 * columns, everything by address. */
#ifndef AD_LAPACK_H
#define AD_LAPACK_H

#include <stddef.h>
#include <stdint.h>

/* call: to be cast to the function's type, with int64_t for its integers: a little-endian 64-bit
 * integer read as a 32-bit one has the same value. NULL: there is none. wide: they have 64 bits. */
typedef struct {
    void (*call)(void);
    int wide;
} ad_lapack;

/* A function, for matrices of up to `n` rows or columns; arguments: a letter each: c a character's
 * address, i an integer's, d a double's, f a function's. Whoever has LAPACK sets `ad_seek_lapack`. */
typedef ad_lapack (*ad_lapack_seeker)(const char *name, const char *arguments, ptrdiff_t n);
extern ad_lapack_seeker ad_seek_lapack;

static inline ad_lapack ad_find_lapack(const char *name, const char *arguments, ptrdiff_t n)
{
    const ad_lapack none = {NULL, 0};
    return ad_seek_lapack == NULL ? none : ad_seek_lapack(name, arguments, n);
}

/* Integer i of an array that the function has filled. */
static inline int64_t ad_lapack_integer(const ad_lapack *function, const int64_t *array,
                                        ptrdiff_t i)
{
    return function->wide ? array[i] : ((const int32_t *)(const void *)array)[i];
}

#endif
