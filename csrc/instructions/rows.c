/* Kind `rows`: the softmax family, along rows. */
#include "instruction.h"

#include <string.h>

#define EXPONENTIAL 8.0 /* what it takes, in additions */

typedef struct {
    ad_parts parts;
    ad_rows map;
    ptrdiff_t n_rows, n, z_row; /* z_row: numbers of z for each row */
    const double *x;
    double *z;
} rows;

static int execute(void *parameters)
{
    const rows *p = parameters;
    p->map(p->n_rows, p->n, p->x, p->z);
    return 0;
}

static void do_parts(void *work, ptrdiff_t first, ptrdiff_t last, int helps)
{
    const rows *p = work;
    const ptrdiff_t from = ad_part_begin(p->n_rows, p->parts.n, first);
    const ptrdiff_t to = ad_part_begin(p->n_rows, p->parts.n, last);
    (void)helps;
    p->map(to - from, p->n, p->x + from * p->n, p->z + from * p->z_row);
}

static void cut(rows *p)
{
    const double steps = (double)p->n * EXPONENTIAL;
    p->parts = (ad_parts){do_parts, ad_parts_of((double)p->n_rows, steps, AD_CUT_FROM_STEPS)};
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
    p->n_rows = ad_read_size(reader);
    p->n = ad_read_size(reader);
    if (p->n == 0 && p->n_rows > 0) ad_refuse(reader, AD_NO_ELEMENTS);
    p->z_row = p->map == kernels->logsumexp ? 1 : p->n;
    const ptrdiff_t n_in = ad_times(reader, p->n_rows, p->n);
    const ptrdiff_t n_out = ad_times(reader, p->n_rows, p->z_row);
    const ad_operand x = ad_read_operand(reader), z = ad_read_operand(reader);
    ad_bind(reader, &p->x, x, 0, n_in);
    ad_bind_output(reader, &p->z, z, 0, n_out);
    if (x.offset != z.offset || n_in != n_out) /* else row by row, in place */
        ad_keep_apart(reader, x, n_in, z, n_out);
    cut(p);
    ad_set_instruction(to, p->n_rows == 0 ? ad_execute_nothing : execute, p,
                       p->n_rows == 0 ? NULL : &p->parts);
}

AD_KIND("rows", load, NULL)
