/* Kind `cumulative`: running sums and products, x[outer, n, inner] along n. */
#include "instruction.h"

#include "../cumulative.h"

#include <string.h>

typedef struct {
    ad_parts parts;
    ad_axis axis;
    void (*sum)(ad_axis axis, const double *x, double *z); /* or product; NULL: a recurrence */
    const double *x, *a;
    double *z;
} cumulative;

static void run(const cumulative *p, ptrdiff_t from, ptrdiff_t to)
{
    const ptrdiff_t at = from * p->axis.n * p->axis.inner;
    ad_axis axis = p->axis;
    axis.outer = to - from;
    if (p->sum != NULL)
        p->sum(axis, p->x + at, p->z + at);
    else
        ad_recurrence(axis, 0, p->x + at, p->a + at, p->z + at);
}

static int execute(void *parameters)
{
    const cumulative *p = parameters;
    run(p, 0, p->axis.outer);
    return 0;
}

static void do_parts(void *work, ptrdiff_t first, ptrdiff_t last, int helps)
{
    const cumulative *p = work;
    (void)helps;
    run(p, ad_part_begin(p->axis.outer, p->parts.n, first),
        ad_part_begin(p->axis.outer, p->parts.n, last));
}

static void cut(cumulative *p)
{
    const double steps = (double)p->axis.n * (double)p->axis.inner;
    p->parts = (ad_parts){do_parts, ad_parts_of((double)p->axis.outer, steps, AD_CUT_FROM_STEPS)};
}

static void load(ad_reader *reader, ad_instruction *to)
{
    cumulative *p = ad_take_memory(reader, 1, sizeof *p);
    const char *op = ad_read_name(reader);
    if (ad_refused(reader)) return;
    const bool recurs = strcmp(op, "_recurrence") == 0;
    p->sum = strcmp(op, "cumsum") == 0    ? ad_cumsum
             : strcmp(op, "cumprod") == 0 ? ad_cumprod
                                          : NULL;
    if (p->sum == NULL && !recurs) ad_refuse(reader, AD_NO_OP);
    p->axis.outer = ad_read_size(reader);
    p->axis.n = ad_read_size(reader);
    p->axis.inner = ad_read_size(reader);
    p->axis.back = ad_read_flag(reader);
    const ptrdiff_t n =
        ad_times(reader, ad_times(reader, p->axis.outer, p->axis.n), p->axis.inner);
    const ad_operand x = ad_read_operand(reader);
    ad_operand a;
    if (ad_read_operand_or_none(reader, &a) != recurs) ad_refuse(reader, AD_NO_OP);
    const ad_operand z = ad_read_operand(reader);
    if (ad_refused(reader)) return;
    ad_bind(reader, &p->x, x, 0, n);
    ad_bind_output(reader, &p->z, z, 0, n);
    ad_keep_apart(reader, x, n, z, n);
    if (recurs) {
        ad_bind(reader, &p->a, a, 0, n);
        ad_keep_apart(reader, a, n, z, n);
    }
    cut(p);
    ad_set_instruction(to, n == 0 ? ad_execute_nothing : execute, p, n == 0 ? NULL : &p->parts);
}

AD_KIND("cumulative", load, NULL)
