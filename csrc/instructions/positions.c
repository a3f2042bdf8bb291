/* Kind `positions`: where elements lie by size, along rows. Equal ones stay in order; for argsort
 * NaN comes last, for argmax and argmin the first one counts. */
#include "instruction.h"

#include <string.h>

#define RUN 16 /* numbers that are sorted by insertion */

typedef struct {
    double key, place;
} item;

typedef struct positions positions;
struct positions {
    void (*row)(const positions *p, const double *x, double *z);
    ptrdiff_t n_rows, n, z_row; /* z_row: numbers of z for each row */
    const double *x;
    double *z;
    item *items, *others; /* n each, for argsort */
};

static inline bool is_less(double a, double b) { return a < b || (b != b && a == a); }

static void sort_run(item *items, ptrdiff_t n)
{
    for (ptrdiff_t i = 1; i < n; i++) {
        const item moved = items[i];
        ptrdiff_t j = i;
        for (; j > 0 && is_less(moved.key, items[j - 1].key); j--) items[j] = items[j - 1];
        items[j] = moved;
    }
}

static void merge(const item *x, ptrdiff_t n_x, const item *y, ptrdiff_t n_y, item *z)
{
    while (n_x > 0 && n_y > 0)
        if (is_less(y->key, x->key)) {
            *z++ = *y++;
            n_y--;
        } else {
            *z++ = *x++;
            n_x--;
        }
    memcpy(z, n_x > 0 ? x : y, (size_t)(n_x + n_y) * sizeof *z);
}

static ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

static void argsort(const positions *p, const double *x, double *z)
{
    const ptrdiff_t n = p->n;
    item *from = p->items, *to = p->others;
    for (ptrdiff_t i = 0; i < n; i++) from[i] = (item){x[i], (double)i};
    for (ptrdiff_t i = 0; i < n; i += RUN) sort_run(from + i, least(RUN, n - i));
    for (ptrdiff_t width = RUN; width < n; width *= 2) {
        for (ptrdiff_t i = 0; i < n; i += 2 * width) {
            const ptrdiff_t left = least(width, n - i), right = least(width, n - i - left);
            merge(from + i, left, from + i + left, right, to + i);
        }
        item *const sorted = to;
        to = from;
        from = sorted;
    }
    for (ptrdiff_t i = 0; i < n; i++) z[i] = from[i].place;
}

static void argmax(const positions *p, const double *x, double *z)
{
    ptrdiff_t best = 0;
    for (ptrdiff_t i = 1; i < p->n && x[best] == x[best]; i++)
        if (x[i] > x[best] || x[i] != x[i]) best = i;
    *z = (double)best;
}

static void argmin(const positions *p, const double *x, double *z)
{
    ptrdiff_t best = 0;
    for (ptrdiff_t i = 1; i < p->n && x[best] == x[best]; i++)
        if (x[i] < x[best] || x[i] != x[i]) best = i;
    *z = (double)best;
}

static int execute(void *parameters)
{
    const positions *p = parameters;
    for (ptrdiff_t i = 0; i < p->n_rows; i++) p->row(p, p->x + i * p->n, p->z + i * p->z_row);
    return 0;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    positions *p = ad_take_memory(reader, 1, sizeof *p);
    const char *op = ad_read_name(reader);
    if (ad_refused(reader)) return;
    p->row = strcmp(op, "argsort") == 0  ? argsort
             : strcmp(op, "argmax") == 0 ? argmax
             : strcmp(op, "argmin") == 0 ? argmin
                                         : NULL;
    if (p->row == NULL) ad_refuse(reader, AD_NO_OP);
    p->n_rows = ad_read_size(reader);
    p->n = ad_read_size(reader);
    p->z_row = p->row == argsort ? p->n : 1;
    if (p->n == 0 && p->n_rows > 0 && p->z_row == 1) ad_refuse(reader, AD_NO_ELEMENTS);
    const ptrdiff_t n_in = ad_times(reader, p->n_rows, p->n);
    const ptrdiff_t n_out = ad_times(reader, p->n_rows, p->z_row);
    const ad_operand x = ad_read_operand(reader), z = ad_read_operand(reader);
    ad_bind(reader, &p->x, x, 0, n_in);
    ad_bind_output(reader, &p->z, z, 0, n_out);
    ad_keep_apart(reader, x, n_in, z, n_out);
    if (ad_refused(reader)) return;
    if (p->row == argsort && n_in > 0) { /* (A row of n numbers lies in its space.) */
        p->items = ad_take_memory(reader, p->n, sizeof *p->items);
        p->others = ad_take_memory(reader, p->n, sizeof *p->others);
    }
    ad_set_instruction(to, n_in == 0 && n_out == 0 ? ad_execute_nothing : execute, p, NULL);
}

AD_KIND("positions", load, NULL)
