/* Kind `solve_triangular`: A z = b or A' z = b for each matrix of a stack, A triangular. */
#include "stack.h"

enum { LOWER, TURNED, UNIT };

static int execute(void *parameters)
{
    ad_stack *p = parameters;
    for (ptrdiff_t i = 0; i < p->count; i++) {
        const double *a = p->x[0] + i * p->x_size[0];
        double *z = p->z[0] + i * p->z_size[0];
        const ptrdiff_t zero = p->flag[UNIT] ? 0 : ad_zero_of_diagonal(p->n, a);
        if (zero > 0) return ad_stack_fails(p, i, zero);
        memcpy(z, p->x[1] + i * p->x_size[1], (size_t)p->z_size[0] * sizeof *z);
        p->factor->triangular(p->n, p->k, a, p->n, p->flag[LOWER], p->flag[TURNED],
                              p->flag[UNIT], z, p->k);
    }
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    ad_stack *p = ad_new_stack(reader);
    if (p == NULL) return;
    p->k = ad_read_size(reader);
    for (int i = 0; i < 3; i++) p->flag[i] = ad_read_flag(reader);
    p->x_size[0] = ad_times(reader, p->n, p->n);
    p->x_size[1] = p->z_size[0] = ad_times(reader, p->n, p->k);
    ad_read_stack(reader, p, 2, 1);
    ad_set_stack(to, execute, p);
}

AD_KIND("solve_triangular", load, ad_stack_fault)
