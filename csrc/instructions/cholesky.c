/* Kind `cholesky`: L of each matrix A = L L' of a stack. */
#include "stack.h"

static int execute(void *parameters)
{
    ad_stack *p = parameters;
    for (ptrdiff_t i = 0; i < p->count; i++) {
        const ptrdiff_t at = i * p->x_size[0];
        const ptrdiff_t minor = p->factor->cholesky(p->n, p->x[0] + at, p->z[0] + at, p->work);
        if (minor > 0) return ad_stack_fails(p, i, minor);
    }
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    ad_stack *p = ad_new_stack(reader);
    if (p == NULL) return;
    p->x_size[0] = p->z_size[0] = ad_times(reader, p->n, p->n);
    ad_read_stack(reader, p, 1, 1);
    p->work = ad_take_memory(reader, p->count > 0 ? p->x_size[0] : 0, sizeof *p->work);
    ad_set_stack(to, execute, p);
}

AD_KIND("cholesky", load, ad_stack_fault)
