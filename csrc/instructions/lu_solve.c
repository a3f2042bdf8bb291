/* Kind `lu_solve`: A z = b or A' z = b for each matrix of a stack, by its factors. */
#include "stack.h"

enum { TURNED };

static int execute(void *parameters)
{
    ad_stack *p = parameters;
    for (ptrdiff_t i = 0; i < p->count; i++) {
        const double *f = p->x[0] + i * p->x_size[0];
        double *z = p->z[0] + i * p->z_size[0];
        const ptrdiff_t zero = ad_zero_of_diagonal(p->n, f);
        if (zero > 0) return ad_stack_fails(p, i, zero);
        memcpy(z, p->x[1] + i * p->x_size[1], (size_t)p->z_size[0] * sizeof *z);
        p->factor->lu_solve(p->n, p->k, f, p->flag[TURNED], z);
    }
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    ad_stack *p = ad_new_stack(reader);
    if (p == NULL) return;
    p->k = ad_read_size(reader);
    p->flag[TURNED] = ad_read_flag(reader);
    if (p->n == PTRDIFF_MAX) ad_refuse(reader, AD_BAD_SIZE);
    p->x_size[0] = ad_refused(reader) ? 0 : ad_times(reader, p->n, p->n + 1);
    p->x_size[1] = p->z_size[0] = ad_times(reader, p->n, p->k);
    ad_read_stack(reader, p, 2, 1);
    ad_set_stack(to, execute, p);
}

AD_KIND("lu_solve", load, ad_stack_fault)
