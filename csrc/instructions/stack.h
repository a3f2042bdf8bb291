/* What kinds share that do the same to each matrix of a stack. All operands lie in one piece. */
#ifndef AD_STACK_H
#define AD_STACK_H

#include "instruction.h"

#include <math.h>
#include <string.h>

#define AD_STACK_INPUTS 3
#define AD_STACK_OUTPUTS 3

/* x: read, z: written, x_size and z_size: numbers for each matrix of the stack. */
typedef struct {
    ptrdiff_t count, n, k;
    bool flag[3];
    const double *x[AD_STACK_INPUTS];
    double *z[AD_STACK_OUTPUTS];
    ptrdiff_t x_size[AD_STACK_INPUTS], z_size[AD_STACK_OUTPUTS];
    double *work;
    const ad_factor *factor;
    double bad, minor; /* the matrix that has none, and which part of it is to blame */
} ad_stack;

static inline void ad_stack_fault(const void *parameters, double numbers[AD_FAULT_NUMBERS])
{
    const ad_stack *p = parameters;
    numbers[0] = p->bad;
    numbers[1] = p->minor;
}

/* Note what is wrong with matrix `at`; 1, as what fails returns. */
static inline int ad_stack_fails(ad_stack *p, ptrdiff_t at, ptrdiff_t minor)
{
    p->bad = (double)at;
    p->minor = (double)minor;
    return 1;
}

/* The number of the first zero of a diagonal, from 1; 0: there is none. */
static inline ptrdiff_t ad_zero_of_diagonal(ptrdiff_t n, const double *a)
{
    for (ptrdiff_t i = 0; i < n; i++)
        if (a[i * n + i] == 0.0) return i + 1;
    return 0;
}

static inline bool ad_is_finite(ptrdiff_t n, const double *x)
{
    double zero = 0.0; /* NaN as soon as one is not finite */
    for (ptrdiff_t i = 0; i < n; i++) zero += 0.0 * x[i];
    return zero == 0.0;
}

static inline void ad_fill_nan(ptrdiff_t n, double *z)
{
    for (ptrdiff_t i = 0; i < n; i++) z[i] = NAN;
}

/* The operands, so many and so large; outputs lie apart from all others. */
static inline void ad_read_stack(ad_reader *reader, ad_stack *p, int n_x, int n_z)
{
    ad_operand x[AD_STACK_INPUTS], z[AD_STACK_OUTPUTS];
    ptrdiff_t n[AD_STACK_INPUTS], m[AD_STACK_OUTPUTS];
    for (int i = 0; i < n_x; i++) {
        x[i] = ad_read_operand(reader);
        n[i] = ad_times(reader, p->count, p->x_size[i]);
        ad_bind(reader, &p->x[i], x[i], 0, n[i]);
    }
    for (int i = 0; i < n_z; i++) {
        z[i] = ad_read_operand(reader);
        m[i] = ad_times(reader, p->count, p->z_size[i]);
        ad_bind_output(reader, &p->z[i], z[i], 0, m[i]);
        for (int j = 0; j < n_x; j++) ad_keep_apart(reader, x[j], n[j], z[i], m[i]);
        for (int j = 0; j < i; j++) ad_keep_apart(reader, z[j], m[j], z[i], m[i]);
    }
}

/* Memory for a stack, and how many matrices of which order it has. */
static inline ad_stack *ad_new_stack(ad_reader *reader)
{
    ad_stack *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return NULL;
    p->factor = ad_kernels_of(reader)->factor;
    p->count = ad_read_size(reader);
    p->n = ad_read_size(reader);
    return p;
}

/* At the end of loading. */
static inline void ad_set_stack(ad_instruction *to, ad_execute execute, ad_stack *p)
{
    const bool is_empty = p->count == 0 || p->n == 0 || p->z_size[0] == 0;
    ad_set_instruction(to, is_empty ? ad_execute_nothing : execute, p, NULL);
}

#endif
