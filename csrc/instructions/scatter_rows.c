/* Kind `scatter_rows`: z = 0, then z[rows[i]] += x[i]. */
#include "instruction.h"

#include "loops.h"

typedef struct {
    ptrdiff_t n_rows, row_size, n;
    const double *x, *rows;
    double *z;
    double bad; /* the row number that is none */
} row_list;

static int execute(void *parameters)
{
    row_list *p = parameters;
    const ptrdiff_t bad = ad_bad_row(p->n_rows, p->n, p->rows);
    if (bad >= 0) {
        p->bad = p->rows[bad];
        return 1;
    }
    ad_scatter(p->n_rows, p->row_size, p->n, p->rows, p->x, p->z);
    return 0;
}

static void fault(const void *parameters, double numbers[AD_FAULT_NUMBERS])
{
    const row_list *p = parameters;
    numbers[0] = p->bad;
    numbers[1] = (double)p->n_rows;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    row_list *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    p->n_rows = ad_read_size(reader);
    p->row_size = ad_read_size(reader);
    p->n = ad_read_size(reader);
    const ptrdiff_t n_in = ad_times(reader, p->n, p->row_size);
    const ptrdiff_t n_out = ad_times(reader, p->n_rows, p->row_size);
    const ad_operand x = ad_read_operand(reader), rows = ad_read_operand(reader);
    const ad_operand z = ad_read_operand(reader);
    ad_bind(reader, &p->x, x, 0, n_in);
    ad_bind(reader, &p->rows, rows, 0, p->n);
    ad_bind_output(reader, &p->z, z, 0, n_out);
    ad_keep_apart(reader, x, n_in, z, n_out);
    ad_keep_apart(reader, rows, p->n, z, n_out);
    ad_set_instruction(to, execute, p, NULL);
}

AD_KIND("scatter_rows", load, fault)
