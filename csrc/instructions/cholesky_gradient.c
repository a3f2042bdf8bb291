/* Kind `cholesky_gradient`: the gradient of each matrix A = L L' of a stack, from that of L. */
#include "stack.h"

static int execute(void *parameters)
{
    const ad_stack *p = parameters;
    for (ptrdiff_t i = 0; i < p->count; i++) {
        const ptrdiff_t at = i * p->x_size[0];
        p->factor->cholesky_gradient(p->n, p->x[0] + at, p->x[1] + at, p->z[0] + at, p->work);
    }
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    ad_stack *p = ad_new_stack(reader);
    if (p == NULL) return;
    p->x_size[0] = p->x_size[1] = p->z_size[0] = ad_times(reader, p->n, p->n);
    ad_read_stack(reader, p, 2, 1);
    const ptrdiff_t room = ad_times(reader, 2, p->x_size[0]);
    p->work = ad_take_memory(reader, p->count > 0 ? room : 0, sizeof *p->work);
    ad_set_stack(to, execute, p);
}

AD_KIND("cholesky_gradient", load, NULL)
