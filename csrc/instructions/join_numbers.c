/* Kind `join_numbers`: positions in two axes as positions in one. */
#include "instruction.h"
#include "loops.h"

typedef struct {
    ptrdiff_t n, n_first, n_second;
    const double *x, *y;
    double *z;
    double bad, size; /* the number that is none of its axis, and the size of that */
} join;

static bool is_bad(join *p, const double *numbers, ptrdiff_t size)
{
    const ptrdiff_t i = ad_bad_row(size, p->n, numbers);
    if (i < 0) return false;
    p->bad = numbers[i];
    p->size = (double)size;
    return true;
}

static int execute(void *parameters)
{
    join *p = parameters;
    if (is_bad(p, p->x, p->n_first) || is_bad(p, p->y, p->n_second)) return 1;
    const double n_first = (double)p->n_first, n_second = (double)p->n_second;
    for (ptrdiff_t i = 0; i < p->n; i++) {
        const double x = p->x[i] < 0.0 ? p->x[i] + n_first : p->x[i];
        const double y = p->y[i] < 0.0 ? p->y[i] + n_second : p->y[i];
        p->z[i] = x * n_second + y;
    }
    return 0;
}

static void fault(const void *parameters, double numbers[AD_FAULT_NUMBERS])
{
    const join *p = parameters;
    numbers[0] = p->bad;
    numbers[1] = p->size;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    join *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    p->n = ad_read_size(reader);
    p->n_first = ad_read_size(reader);
    p->n_second = ad_read_size(reader);
    const ad_operand x = ad_read_operand(reader), y = ad_read_operand(reader);
    const ad_operand z = ad_read_operand(reader);
    ad_bind(reader, &p->x, x, 0, p->n);
    ad_bind(reader, &p->y, y, 0, p->n);
    ad_bind_output(reader, &p->z, z, 0, p->n);
    ad_keep_apart(reader, x, p->n, z, p->n);
    ad_keep_apart(reader, y, p->n, z, p->n);
    ad_set_instruction(to, execute, p, NULL);
}

AD_KIND("join_numbers", load, fault)
