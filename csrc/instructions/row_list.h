/* What the kinds `take` and `scatter_rows` share: rows of tables, by number. */
#ifndef AD_ROW_LIST_H
#define AD_ROW_LIST_H

#include "instruction.h"
#include "loops.h"

typedef struct {
    ptrdiff_t n_rows, row_size, n, outer; /* outer: tables */
    const double *x, *rows;
    double *z;
    double bad; /* the row number that is none */
} ad_row_list;

/* Whether there is a bad row number, which is then noted for the fault. */
static inline bool ad_has_bad_row(ad_row_list *p)
{
    const ptrdiff_t i = ad_bad_row(p->n_rows, p->n, p->rows);
    if (i >= 0) p->bad = p->rows[i];
    return i >= 0;
}

static void fault(const void *parameters, double numbers[AD_FAULT_NUMBERS])
{
    const ad_row_list *p = parameters;
    numbers[0] = p->bad;
    numbers[1] = (double)p->n_rows;
}

/* takes: from the tables, else onto them. */
static void load_row_list(ad_reader *reader, ad_instruction *to, ad_execute execute, bool takes)
{
    ad_row_list *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    p->n_rows = ad_read_size(reader);
    p->row_size = ad_read_size(reader);
    p->n = ad_read_size(reader);
    const ad_operand x = ad_read_operand(reader), rows = ad_read_operand(reader);
    const ad_operand z = ad_read_operand(reader);
    p->outer = ad_read_size(reader);
    const ptrdiff_t row_size = ad_times(reader, p->outer, p->row_size); /* of all tables */
    const ptrdiff_t whole = ad_times(reader, p->n_rows, row_size);
    const ptrdiff_t some = ad_times(reader, p->n, row_size);
    const ptrdiff_t n_in = takes ? whole : some, n_out = takes ? some : whole;
    ad_bind(reader, &p->x, x, 0, n_in);
    ad_bind(reader, &p->rows, rows, 0, p->n);
    ad_bind_output(reader, &p->z, z, 0, n_out);
    ad_keep_apart(reader, x, n_in, z, n_out);
    ad_keep_apart(reader, rows, p->n, z, n_out);
    ad_set_instruction(to, execute, p, NULL);
}

#endif
