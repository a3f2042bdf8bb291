/* Kind `flatnonzero`: the positions of what is not 0. */
#include "instruction.h"

typedef struct {
    ptrdiff_t n, count, found;
    const double *x;
    double *z;
} positions;

static int execute(void *parameters)
{
    positions *p = parameters;
    ptrdiff_t found = 0;
    for (ptrdiff_t i = 0; i < p->n; i++) found += p->x[i] != 0.0;
    p->found = found;
    if (found != p->count) return 1;
    double *z = p->z;
    for (ptrdiff_t i = 0; i < p->n; i++)
        if (p->x[i] != 0.0) *z++ = (double)i;
    return 0;
}

static void fault(const void *parameters, double numbers[AD_FAULT_NUMBERS])
{
    const positions *p = parameters;
    numbers[0] = (double)p->found;
    numbers[1] = (double)p->count;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    positions *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    p->n = ad_read_size(reader);
    p->count = ad_read_size(reader);
    const ad_operand x = ad_read_operand(reader), z = ad_read_operand(reader);
    ad_bind(reader, &p->x, x, 0, p->n);
    ad_bind_output(reader, &p->z, z, 0, p->count);
    ad_keep_apart(reader, x, p->n, z, p->count);
    ad_set_instruction(to, execute, p, NULL);
}

AD_KIND("flatnonzero", load, fault)
