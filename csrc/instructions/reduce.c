/* Kind `reduce`: x[outer, reduced, inner] to z[outer, inner]. */
#include "instruction.h"

#include <string.h>

typedef struct {
    ad_parts parts;
    ad_reduce reduce;
    ptrdiff_t outer, reduced, inner;
    const double *x;
    double *z;
} reduction;

static int execute(void *parameters)
{
    const reduction *p = parameters;
    p->reduce(p->outer, p->reduced, p->inner, p->x, p->z);
    return 0;
}

static void do_parts(void *work, ptrdiff_t first, ptrdiff_t last, int helps)
{
    const reduction *p = work;
    const ptrdiff_t from = ad_part_begin(p->outer, p->parts.n, first);
    const ptrdiff_t to = ad_part_begin(p->outer, p->parts.n, last);
    (void)helps;
    p->reduce(to - from, p->reduced, p->inner, p->x + from * p->reduced * p->inner,
              p->z + from * p->inner);
}

static void cut(reduction *p)
{
    const double numbers = (double)p->reduced * (double)p->inner;
    p->parts = (ad_parts){do_parts, ad_parts_of((double)p->outer, numbers, AD_CUT_FROM_STEPS)};
}

static void load(ad_reader *reader, ad_instruction *to)
{
    reduction *p = ad_take_memory(reader, 1, sizeof *p);
    const char *op = ad_read_name(reader);
    if (ad_refused(reader)) return;
    const ad_kernels *kernels = ad_kernels_of(reader);
    const bool is_max = strcmp(op, "max") == 0;
    p->reduce = is_max                    ? kernels->max
                : strcmp(op, "sum") == 0  ? kernels->sum
                : strcmp(op, "prod") == 0 ? kernels->prod
                                          : NULL;
    if (p->reduce == NULL) ad_refuse(reader, AD_NO_OP);
    p->outer = ad_read_size(reader);
    p->reduced = ad_read_size(reader);
    p->inner = ad_read_size(reader);
    if (is_max && p->reduced == 0 && p->outer > 0 && p->inner > 0)
        ad_refuse(reader, AD_NO_ELEMENTS);
    const ptrdiff_t n_out = ad_times(reader, p->outer, p->inner);
    const ptrdiff_t n_in =
        ad_times(reader, ad_times(reader, p->outer, p->reduced), p->inner);
    const ad_operand x = ad_read_operand(reader), z = ad_read_operand(reader);
    ad_bind(reader, &p->x, x, 0, n_in);
    ad_bind_output(reader, &p->z, z, 0, n_out);
    ad_keep_apart(reader, x, n_in, z, n_out);
    cut(p);
    ad_set_instruction(to, n_out == 0 ? ad_execute_nothing : execute, p,
                       n_out == 0 ? NULL : &p->parts);
}

AD_KIND("reduce", load, NULL)
