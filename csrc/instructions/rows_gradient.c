/* Kind `rows_gradient`: the gradient of something along n, x[outer, n, inner]. */
#include "instruction.h"

#include <string.h>

#define EXPONENTIAL 8.0 /* what it takes, in additions */

typedef struct {
    ad_parts parts;
    ad_reduce_gx map;
    ptrdiff_t outer, n, inner, g_row; /* g_row: numbers of g and y for each of `outer` */
    const double *g, *y, *x;
    double *z;
} gradient;

static int execute(void *parameters)
{
    const gradient *p = parameters;
    p->map(p->outer, p->n, p->inner, p->g, p->y, p->x, p->z);
    return 0;
}

static void do_parts(void *work, ptrdiff_t first, ptrdiff_t last, int helps)
{
    const gradient *p = work;
    const ptrdiff_t from = ad_part_begin(p->outer, p->parts.n, first);
    const ptrdiff_t to = ad_part_begin(p->outer, p->parts.n, last);
    const ptrdiff_t row = p->n * p->inner;
    (void)helps;
    p->map(to - from, p->n, p->inner, p->g + from * p->g_row, p->y + from * p->g_row,
           p->x == NULL ? NULL : p->x + from * row, p->z + from * row);
}

static void cut(gradient *p)
{
    const double steps = (double)p->n * (double)p->inner * EXPONENTIAL;
    p->parts = (ad_parts){do_parts, ad_parts_of((double)p->outer, steps, AD_CUT_FROM_STEPS)};
}

static ad_reduce_gx map_of(const ad_kernels *kernels, const char *op)
{
    if (strcmp(op, "_max_gradient") == 0) return kernels->max_gx;
    if (strcmp(op, "_logsumexp_gradient") == 0) return kernels->logsumexp_gx;
    if (strcmp(op, "_softmax_gradient") == 0) return kernels->softmax_gx;
    return strcmp(op, "_log_softmax_gradient") == 0 ? kernels->log_softmax_gx : NULL;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    const ad_kernels *kernels = ad_kernels_of(reader);
    gradient *p = ad_take_memory(reader, 1, sizeof *p);
    const char *op = ad_read_name(reader);
    if (ad_refused(reader)) return;
    p->map = map_of(kernels, op);
    if (p->map == NULL) ad_refuse(reader, AD_NO_OP);
    const bool reads_x = p->map == kernels->max_gx || p->map == kernels->logsumexp_gx;
    p->outer = ad_read_size(reader);
    p->n = ad_read_size(reader);
    p->inner = ad_read_size(reader);
    const ptrdiff_t n_rows = ad_times(reader, p->outer, p->inner);
    const ptrdiff_t n_out = ad_times(reader, n_rows, p->n);
    const ptrdiff_t n_g = reads_x ? n_rows : n_out;
    if (ad_refused(reader)) return;
    p->g_row = p->outer == 0 ? 0 : n_g / p->outer;
    const ad_operand g = ad_read_operand(reader), y = ad_read_operand(reader);
    ad_operand x;
    if (ad_read_operand_or_none(reader, &x) != reads_x) ad_refuse(reader, AD_NO_OP);
    const ad_operand z = ad_read_operand(reader);
    if (ad_refused(reader)) return;
    ad_bind(reader, &p->g, g, 0, n_g);
    ad_bind(reader, &p->y, y, 0, n_g);
    ad_bind_output(reader, &p->z, z, 0, n_out);
    ad_keep_apart(reader, g, n_g, z, n_out);
    ad_keep_apart(reader, y, n_g, z, n_out);
    if (reads_x) {
        ad_bind(reader, &p->x, x, 0, n_out);
        ad_keep_apart(reader, x, n_out, z, n_out);
    }
    cut(p);
    ad_set_instruction(to, n_out == 0 ? ad_execute_nothing : execute, p,
                       n_out == 0 ? NULL : &p->parts);
}

AD_KIND("rows_gradient", load, NULL)
