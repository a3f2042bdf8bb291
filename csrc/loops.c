#include "loops.h"

#include <stdint.h>
#include <string.h>

/* ---- building ---- */

/* Drop axes of size 1, and join axes that are one in memory for every operand. `to` may be `loop`
 * itself; where it is not, only the axes there are are copied: a loop has room for many more. */
static void simplify(ad_loop *to, const ad_loop *loop, int operands)
{
    int n = 0;
    for (int i = 0; i < loop->axes; i++) {
        if (loop->size[i] == 1) continue;
        int joins = n > 0;
        for (int o = 0; o < operands && joins; o++)
            joins = to->step[o][n - 1] == loop->size[i] * loop->step[o][i];
        if (!joins) n++;
        to->size[n - 1] = joins ? to->size[n - 1] * loop->size[i] : loop->size[i];
        for (int o = 0; o < operands; o++) to->step[o][n - 1] = loop->step[o][i];
    }
    to->axes = n;
}

int ad_loop_broadcast(ad_loop *loop, int axes, const ptrdiff_t *shape, int operands,
                      const int *operand_axes, const ptrdiff_t *const *operand_shapes)
{
    loop->axes = axes;
    memcpy(loop->size, shape, (size_t)axes * sizeof *shape);
    for (int o = 0; o < operands; o++) {
        const int missing = axes - operand_axes[o];
        if (missing < 0) return -1;
        ptrdiff_t step = 1;
        for (int i = axes - 1; i >= 0; i--) {
            const ptrdiff_t size = i < missing ? 1 : operand_shapes[o][i - missing];
            if (size != 1 && size != shape[i]) return -1;
            loop->step[o][i] = size == 1 ? 0 : step;
            step *= size;
        }
    }
    simplify(loop, loop, operands);
    return 0;
}

int ad_broadcast_shape(ptrdiff_t *shape, int operands, const int *operand_axes,
                       const ptrdiff_t *const *operand_shapes)
{
    int axes = 0;
    for (int o = 0; o < operands; o++)
        if (operand_axes[o] > axes) axes = operand_axes[o];
    for (int i = 0; i < axes; i++) shape[i] = 1;
    for (int o = 0; o < operands; o++)
        for (int i = 0; i < operand_axes[o]; i++) {
            const ptrdiff_t size = operand_shapes[o][i];
            ptrdiff_t *common = &shape[axes - operand_axes[o] + i];
            if (size == 1 || size == *common) continue;
            if (*common != 1) return -1;
            *common = size;
        }
    return axes;
}

/* ---- running ---- */

int ad_loop_next(const ad_loop *loop, int axes, int operands, ptrdiff_t *at,
                 ptrdiff_t *offset)
{
    for (int i = axes - 1; i >= 0; i--) {
        for (int o = 0; o < operands; o++) offset[o] += loop->step[o][i];
        if (++at[i] < loop->size[i]) return 1;
        for (int o = 0; o < operands; o++) offset[o] -= loop->step[o][i] * loop->size[i];
        at[i] = 0;
    }
    return 0;
}

static int is_empty(const ad_loop *loop)
{
    for (int i = 0; i < loop->axes; i++)
        if (loop->size[i] == 0) return 1;
    return 0;
}

void ad_loop_map(const ad_loop *loop, ad_map map, const double *const operand[3], double *z)
{
    if (is_empty(loop)) return;
    const int inner = loop->axes - 1;
    const ptrdiff_t n = inner < 0 ? 1 : loop->size[inner];
    ptrdiff_t step[3] = {1, 1, 1}, offset[3] = {0, 0, 0}, at[AD_MAX_AXES] = {0};
    /* Operands are contiguous: along the innermost axis each steps by 0 or 1. */
    for (int o = 0; o < 3; o++)
        if (inner >= 0) step[o] = operand[o] == NULL ? 0 : loop->step[o][inner];
    int operands = 0;
    while (operands < 3 && operand[operands] != NULL) operands++;
    do {
        map(n, operand[0] + offset[0], step[0], operands > 1 ? operand[1] + offset[1] : NULL,
            step[1], operands > 2 ? operand[2] + offset[2] : NULL, step[2], z);
        z += n;
    } while (ad_loop_next(loop, inner, operands, at, offset));
}

/* z[i z_row + j] = x[i + j x_col]: a transpose, by squares of eight: whole cache lines are
 * read and written, and the square in between stays in the first cache. */
static void copy_transposed(ptrdiff_t rows, ptrdiff_t cols, const double *x, ptrdiff_t x_col,
                            double *z, ptrdiff_t z_row)
{
    enum { SIDE = 8 };
    double square[SIDE][SIDE];
    for (ptrdiff_t i = 0; i < rows; i += SIDE)
        for (ptrdiff_t j = 0; j < cols; j += SIDE) {
            const ptrdiff_t h = rows - i < SIDE ? rows - i : SIDE;
            const ptrdiff_t w = cols - j < SIDE ? cols - j : SIDE;
            const double *from = x + i + j * x_col;
            double *to = z + i * z_row + j;
            if (h == SIDE && w == SIDE) {
                for (int q = 0; q < SIDE; q++)
                    for (int p = 0; p < SIDE; p++) square[p][q] = from[p + q * x_col];
                for (int p = 0; p < SIDE; p++)
                    memcpy(to + p * z_row, square[p], sizeof square[p]);
            } else {
                for (ptrdiff_t p = 0; p < h; p++)
                    for (ptrdiff_t q = 0; q < w; q++) to[p * z_row + q] = from[p + q * x_col];
            }
        }
}

void ad_copy_matrix(ptrdiff_t rows, ptrdiff_t cols, const double *x, ptrdiff_t x_row,
                    ptrdiff_t x_col, double *z, ptrdiff_t z_row, ptrdiff_t z_col)
{
    if (x_row == 1 && z_col == 1 && cols > 1) {
        copy_transposed(rows, cols, x, x_col, z, z_row);
    } else if (z_row == 1 && x_col == 1 && cols > 1) {
        copy_transposed(cols, rows, x, x_row, z, z_col);
    } else {
        for (ptrdiff_t i = 0; i < rows; i++, x += x_row, z += z_row)
            if (z_col != 1)
                for (ptrdiff_t j = 0; j < cols; j++) z[j * z_col] = x[j * x_col];
            else if (x_col == 1)
                memmove(z, x, (size_t)cols * sizeof *z);
            else if (x_col == 0)
                for (ptrdiff_t j = 0; j < cols; j++) z[j] = *x;
            else
                for (ptrdiff_t j = 0; j < cols; j++) z[j] = x[j * x_col];
    }
}

void ad_loop_copy(const ad_loop *loop, const double *x, double *z)
{
    if (is_empty(loop)) return;
    ad_loop nest;
    simplify(&nest, loop, 2);
    const int axes = nest.axes;
    ptrdiff_t offset[2] = {0, 0}, at[AD_MAX_AXES];
    memset(at, 0, (size_t)axes * sizeof *at);
    const ptrdiff_t cols = axes > 0 ? nest.size[axes - 1] : 1;
    const ptrdiff_t rows = axes > 1 ? nest.size[axes - 2] : 1;
    do {
        ad_copy_matrix(rows, cols, x + offset[1], axes > 1 ? nest.step[1][axes - 2] : 0,
                       axes > 0 ? nest.step[1][axes - 1] : 1, z + offset[0],
                       axes > 1 ? nest.step[0][axes - 2] : 0,
                       axes > 0 ? nest.step[0][axes - 1] : 1);
    } while (ad_loop_next(&nest, axes - 2, 2, at, offset));
}

void ad_loop_add(const ad_loop *loop, ad_map add, const double *x, double *z)
{
    if (is_empty(loop)) return;
    ad_loop nest;
    simplify(&nest, loop, 2);
    const int inner = nest.axes - 1;
    ptrdiff_t offset[2] = {0, 0}, at[AD_MAX_AXES];
    memset(at, 0, (size_t)nest.axes * sizeof *at);
    const ptrdiff_t n = inner < 0 ? 1 : nest.size[inner];
    const ptrdiff_t z_step = inner < 0 ? 1 : nest.step[0][inner];
    const ptrdiff_t x_step = inner < 0 ? 1 : nest.step[1][inner];
    do {
        double *to = z + offset[0];
        const double *from = x + offset[1];
        if (z_step == 1 && x_step == 1)
            add(n, to, 1, from, 1, NULL, 0, to);
        else
            for (ptrdiff_t i = 0; i < n; i++) to[i * z_step] += from[i * x_step];
    } while (ad_loop_next(&nest, inner, 2, at, offset));
}

/* ---- reductions ---- */

void ad_group_axes(ad_groups *groups, int axes, const ptrdiff_t *shape,
                   const unsigned char *reduced)
{
    int n = 0;
    for (int i = 0; i < axes; i++) {
        if (shape[i] == 1) continue;
        if (n == 0 || groups->reduced[n - 1] != reduced[i]) {
            groups->reduced[n] = reduced[i];
            groups->size[n++] = 1;
        }
        groups->size[n - 1] *= shape[i];
    }
    groups->groups = n;
}

static ptrdiff_t product(const ad_groups *groups, int from, int to)
{
    ptrdiff_t size = 1;
    for (int i = from; i < to; i++) size *= groups->size[i];
    return size;
}

static int innermost_reduced(const ad_groups *groups)
{
    int i = groups->groups - 1;
    while (i >= 0 && !groups->reduced[i]) i--;
    return i;
}

ptrdiff_t ad_reduce_work(const ad_groups *groups)
{
    const int last = innermost_reduced(groups);
    for (int i = 0; i < last; i++)
        if (groups->reduced[i]) /* two buffers: a second reduction reads what the first wrote */
            return 2 * product(groups, 0, last) * product(groups, last + 1, groups->groups);
    return 0;
}

void ad_reduce_groups(const ad_groups *groups, ad_reduce reduce, const double *x, double *z,
                      double *work)
{
    ad_groups left = *groups;
    double *other = work == NULL ? NULL : work + ad_reduce_work(groups) / 2;
    int last = innermost_reduced(&left);
    if (last < 0) {
        memcpy(z, x, (size_t)product(&left, 0, left.groups) * sizeof *z);
        return;
    }
    for (;;) {
        int next_reduced = last - 1;
        while (next_reduced >= 0 && !left.reduced[next_reduced]) next_reduced--;
        double *out = next_reduced < 0 ? z : work;
        reduce(product(&left, 0, last), left.size[last], product(&left, last + 1, left.groups),
               x, out);
        if (next_reduced < 0) return;
        left.size[last] = 1;
        last = next_reduced;
        x = out;
        work = other;
        other = out;
    }
}

/* ---- rows by number ---- */

ptrdiff_t ad_bad_row(ptrdiff_t n_rows, ptrdiff_t n, const double *rows)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        const double row = rows[i];
        /* The first comparison is false for NaN; inside it, the cast is defined. */
        if (!(row >= -(double)n_rows && row < (double)n_rows)) return i;
        if ((double)(ptrdiff_t)row != row) return i;
    }
    return -1;
}

static ptrdiff_t row_number(double row, ptrdiff_t n_rows)
{
    const ptrdiff_t i = (ptrdiff_t)row;
    return i < 0 ? i + n_rows : i;
}

void ad_take(ptrdiff_t outer, ptrdiff_t n_rows, ptrdiff_t width, ptrdiff_t n, const double *rows,
             const double *x, double *z)
{
    for (ptrdiff_t k = 0; k < outer; k++, x += n_rows * width)
        if (width == 1)
            for (ptrdiff_t i = 0; i < n; i++) *z++ = x[row_number(rows[i], n_rows)];
        else
            for (ptrdiff_t i = 0; i < n; i++, z += width)
                memmove(z, x + row_number(rows[i], n_rows) * width, (size_t)width * sizeof *z);
}

void ad_scatter(ptrdiff_t outer, ptrdiff_t n_rows, ptrdiff_t width, ptrdiff_t n,
                const double *rows, const double *x, double *z)
{
    memset(z, 0, (size_t)(outer * n_rows * width) * sizeof *z);
    for (ptrdiff_t k = 0; k < outer; k++, z += n_rows * width)
        for (ptrdiff_t i = 0; i < n; i++, x += width) {
            double *to = z + row_number(rows[i], n_rows) * width;
            for (ptrdiff_t j = 0; j < width; j++) to[j] += x[j];
        }
}

/* Where x's row i of this number is in the table of slots, or the free slot for it: -1. */
static ptrdiff_t *slot_of(ptrdiff_t row, ptrdiff_t n_rows, const double *rows, ptrdiff_t *slots,
                          ptrdiff_t n_slots)
{
    uint64_t at = (uint64_t)row * 0x9E3779B97F4A7C15u >> 20; /* Fibonacci hashing */
    for (;; at++) {
        ptrdiff_t *slot = &slots[at & (uint64_t)(n_slots - 1)];
        if (*slot < 0 || row_number(rows[*slot], n_rows) == row) return slot;
    }
}

void ad_add_rows(ptrdiff_t n_rows, ptrdiff_t width, ptrdiff_t n, const double *rows,
                 const double *x, double *z, double *sums, ptrdiff_t *slots, ptrdiff_t n_slots)
{
    for (ptrdiff_t i = 0; i < n_slots; i++) slots[i] = -1;
    for (ptrdiff_t i = 0; i < n; i++) {
        ptrdiff_t *slot = slot_of(row_number(rows[i], n_rows), n_rows, rows, slots, n_slots);
        const int first = *slot < 0;
        if (first) *slot = i;
        double *sum = sums + *slot * width;
        /* 0.0 + x: what the sum of a row that is all -0.0 begins with */
        for (ptrdiff_t j = 0; j < width; j++) sum[j] = (first ? 0.0 : sum[j]) + x[i * width + j];
    }
    for (ptrdiff_t k = 0; k < n_slots; k++) {
        if (slots[k] < 0) continue;
        const double *sum = sums + slots[k] * width;
        double *to = z + row_number(rows[slots[k]], n_rows) * width;
        for (ptrdiff_t j = 0; j < width; j++) to[j] += sum[j];
    }
}
