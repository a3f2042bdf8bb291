/* Large instructions, cut into parts that several threads can do (parts.c). */
#ifndef AD_PARTS_H
#define AD_PARTS_H

#include "threads.h"

/* What the parameters of an instruction that can be cut begin with; one part: it is not. */
typedef struct {
    ad_do_parts run;
    ptrdiff_t n;
} ad_parts;

/* Executes all parts of such parameters. */
int ad_execute_parts(void *parameters);

/* Work from which instructions are cut, in additions and in multiplications of a product. */
#define AD_CUT_FROM_STEPS 4.0e5    /* at 0.06 to 0.1 ns */
#define AD_CUT_FROM_PRODUCTS 1.5e6 /* at 0.016 ns with AVX-512 */

/* Into how many parts `units` of `cost` are best cut, if all together reach `from`. */
ptrdiff_t ad_parts_of(double units, double cost, double from);

/* Where part i of `parts` begins, in units. */
static inline ptrdiff_t ad_part_begin(ptrdiff_t units, ptrdiff_t parts, ptrdiff_t i)
{
    return units / parts * i + (i < units % parts ? i : units % parts);
}

#endif
