/* Kind `take`: z[k, i] = x[k, rows[i]]. */
#include "row_list.h"

static int execute(void *parameters)
{
    ad_row_list *p = parameters;
    if (ad_has_bad_row(p)) return 1;
    ad_take(p->outer, p->n_rows, p->row_size, p->n, p->rows, p->x, p->z);
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    load_row_list(reader, to, execute, true);
}

AD_KIND("take", load, fault)
