/* Kind `copy`: elements moved from one window to another, up to four axes, the last two a
 * matrix. */
#include "instruction.h"

#include "loops.h"

enum { ROWS = 2, COLS = 3, AXES = 4 };

#define MOVE 4.0 /* what it takes, in additions */
#define TOGETHER 8 /* rows that stay in one part */

typedef struct {
    ad_parts parts;
    void (*rows)(ptrdiff_t, ptrdiff_t, const double *, ptrdiff_t, double *, ptrdiff_t);
    ptrdiff_t size[AXES], x_step[AXES], z_step[AXES];
    const double *x;
    double *z;
} copy;

static int execute(void *parameters)
{
    const copy *p = parameters;
    const ptrdiff_t *size = p->size, *x_step = p->x_step, *z_step = p->z_step;
    const int by_rows = x_step[COLS] == 1 && z_step[COLS] == 1;
    for (ptrdiff_t i = 0; i < size[0]; i++)
        for (ptrdiff_t j = 0; j < size[1]; j++) {
            const double *x = p->x + i * x_step[0] + j * x_step[1];
            double *z = p->z + i * z_step[0] + j * z_step[1];
            if (by_rows)
                p->rows(size[ROWS], size[COLS], x, x_step[ROWS], z, z_step[ROWS]);
            else
                ad_copy_matrix(size[ROWS], size[COLS], x, x_step[ROWS], x_step[COLS], z,
                               z_step[ROWS], z_step[COLS]);
        }
    return 0;
}

static void do_parts(void *work, ptrdiff_t first, ptrdiff_t last, int helps)
{
    copy part = *(const copy *)work;
    const ptrdiff_t n = part.parts.n, units = part.size[ROWS] / TOGETHER;
    const ptrdiff_t from = TOGETHER * ad_part_begin(units, n, first);
    const ptrdiff_t to = last == n ? part.size[ROWS] : TOGETHER * ad_part_begin(units, n, last);
    (void)helps;
    part.x += from * part.x_step[ROWS];
    part.z += from * part.z_step[ROWS];
    part.size[ROWS] = to - from;
    execute(&part);
}

static void cut(copy *p)
{
    const ptrdiff_t *size = p->size;
    p->parts = (ad_parts){do_parts, 1};
    if (size[0] == 1 && size[1] == 1)
        p->parts.n = ad_parts_of((double)(size[ROWS] / TOGETHER),
                                 TOGETHER * (double)size[COLS] * MOVE, AD_CUT_FROM_STEPS);
}

/* Strides of the last `axes` axes. */
static void read_strides(ad_reader *reader, ptrdiff_t axes, const ptrdiff_t *size, ptrdiff_t *step,
                         ptrdiff_t *low, ptrdiff_t *high)
{
    ad_read_strides(reader, axes, step + AXES - axes);
    ad_extent(reader, AXES, size, step, low, high);
}

static void load(ad_reader *reader, ad_instruction *to)
{
    copy *p = ad_take_memory(reader, 1, sizeof *p);
    ptrdiff_t shape[AXES], low, high;
    const ptrdiff_t axes = ad_read_sizes(reader, AXES, shape);
    if (ad_refused(reader)) return;
    p->rows = ad_kernels_of(reader)->copy_rows;
    bool is_empty = false;
    for (ptrdiff_t i = 0; i < AXES; i++) {
        p->size[i] = i < AXES - axes ? 1 : shape[i - (AXES - axes)];
        is_empty |= p->size[i] == 0;
    }
    const ad_operand x = ad_read_operand(reader);
    read_strides(reader, axes, p->size, p->x_step, &low, &high);
    ad_bind(reader, &p->x, x, low, high);
    const ad_operand z = ad_read_operand(reader);
    read_strides(reader, axes, p->size, p->z_step, &low, &high);
    ad_bind_output(reader, &p->z, z, low, high);
    if (ad_refused(reader)) return;
    if (!ad_is_apart(AXES, p->size, p->z_step))
        ad_refuse_at(reader, AD_WRITTEN_TWICE, z.place);
    cut(p);
    ad_set_instruction(to, is_empty ? ad_execute_nothing : execute, p,
                       is_empty ? NULL : &p->parts);
}

AD_KIND("copy", load, NULL)
