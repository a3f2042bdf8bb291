/* Kind `last_of`: at which place each number comes last. */
#include "instruction.h"
#include "loops.h"

typedef struct {
    ptrdiff_t n, size;
    bool distinct;
    const double *x;
    double *z;
    double bad, of; /* the number at fault, and the size; -1: it comes twice */
} last;

static int execute(void *parameters)
{
    last *p = parameters;
    const ptrdiff_t bad = ad_bad_row(p->size, p->n, p->x);
    if (bad >= 0) {
        p->bad = p->x[bad];
        p->of = (double)p->size;
        return 1;
    }
    for (ptrdiff_t i = 0; i < p->size; i++) p->z[i] = -1.0;
    for (ptrdiff_t i = 0; i < p->n; i++) {
        const ptrdiff_t number = (ptrdiff_t)p->x[i];
        double *z = p->z + (number < 0 ? number + p->size : number);
        if (p->distinct && *z >= 0.0) {
            p->bad = (double)(z - p->z);
            p->of = -1.0;
            return 1;
        }
        *z = (double)i;
    }
    return 0;
}

static void fault(const void *parameters, double numbers[AD_FAULT_NUMBERS])
{
    const last *p = parameters;
    numbers[0] = p->bad;
    numbers[1] = p->of;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    last *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    p->n = ad_read_size(reader);
    p->size = ad_read_size(reader);
    p->distinct = ad_read_flag(reader);
    const ad_operand x = ad_read_operand(reader), z = ad_read_operand(reader);
    ad_bind(reader, &p->x, x, 0, p->n);
    ad_bind_output(reader, &p->z, z, 0, p->size);
    ad_keep_apart(reader, x, p->n, z, p->size);
    ad_set_instruction(to, execute, p, NULL);
}

AD_KIND("last_of", load, fault)
