/* Kind `rows`: the softmax family, x[outer, n, inner] along n. */
#include "instruction.h"

#include <string.h>

#define EXPONENTIAL 8.0 /* what it takes, in additions */

typedef struct {
    ad_parts parts;
    ad_reduce map;
    ptrdiff_t outer, n, inner, z_row; /* z_row: numbers of z for each of `outer` */
    const double *x;
    double *z;
} rows;

static int execute(void *parameters)
{
    const rows *p = parameters;
    p->map(p->outer, p->n, p->inner, p->x, p->z);
    return 0;
}

static void do_parts(void *work, ptrdiff_t first, ptrdiff_t last, int helps)
{
    const rows *p = work;
    const ptrdiff_t from = ad_part_begin(p->outer, p->parts.n, first);
    const ptrdiff_t to = ad_part_begin(p->outer, p->parts.n, last);
    (void)helps;
    p->map(to - from, p->n, p->inner, p->x + from * p->n * p->inner, p->z + from * p->z_row);
}

static void cut(rows *p)
{
    const double steps = (double)p->n * (double)p->inner * EXPONENTIAL;
    p->parts = (ad_parts){do_parts, ad_parts_of((double)p->outer, steps, AD_CUT_FROM_STEPS)};
}

static void load(ad_reader *reader, ad_instruction *to)
{
    const ad_kernels *kernels = ad_kernels_of(reader);
    rows *p = ad_take_memory(reader, 1, sizeof *p);
    const char *op = ad_read_name(reader);
    if (ad_refused(reader)) return;
    p->map = strcmp(op, "logsumexp") == 0     ? kernels->logsumexp
             : strcmp(op, "softmax") == 0     ? kernels->softmax
             : strcmp(op, "log_softmax") == 0 ? kernels->log_softmax
                                              : NULL;
    if (p->map == NULL) ad_refuse(reader, AD_NO_OP);
    p->outer = ad_read_size(reader);
    p->n = ad_read_size(reader);
    p->inner = ad_read_size(reader);
    if (p->n == 0 && p->outer > 0 && p->inner > 0) ad_refuse(reader, AD_NO_ELEMENTS);
    const ptrdiff_t n_rows = ad_times(reader, p->outer, p->inner);
    const ptrdiff_t n_in = ad_times(reader, n_rows, p->n);
    const ptrdiff_t n_out = p->map == kernels->logsumexp ? n_rows : n_in;
    if (ad_refused(reader)) return;
    p->z_row = p->outer == 0 ? 0 : n_out / p->outer;
    const ad_operand x = ad_read_operand(reader), z = ad_read_operand(reader);
    ad_bind(reader, &p->x, x, 0, n_in);
    ad_bind_output(reader, &p->z, z, 0, n_out);
    if (x.offset != z.offset || n_in != n_out) /* else number by number, in place */
        ad_keep_apart(reader, x, n_in, z, n_out);
    cut(p);
    ad_set_instruction(to, n_rows == 0 ? ad_execute_nothing : execute, p,
                       n_rows == 0 ? NULL : &p->parts);
}

AD_KIND("rows", load, NULL)
