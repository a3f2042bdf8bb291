/* Arrays of any number of axes, brought to the plain loops that the kernels know.
 *
 * Nothing here depends on the instruction set, and nothing fails but what says so. */
#ifndef AD_LOOPS_H
#define AD_LOOPS_H

#include "kernels.h"

#define AD_MAX_AXES 64 /* NumPy's limit */

/* A nest of loops, outermost first; step[o] are the steps of operand o, in elements. */
typedef struct {
    int axes;
    ptrdiff_t size[AD_MAX_AXES];
    ptrdiff_t step[3][AD_MAX_AXES];
} ad_loop;

/* Broadcast contiguous operands to `shape`; axes that all operands step through evenly
 * become one. Returns -1 if an operand does not broadcast to it. */
int ad_loop_broadcast(ad_loop *loop, int axes, const ptrdiff_t *shape, int operands,
                      const int *operand_axes, const ptrdiff_t *const *operand_shapes);

/* Count `at` up, digits of the sizes of the first `axes` axes, and move the operands'
 * offsets along; returns 0 when it has gone round. */
int ad_loop_next(const ad_loop *loop, int axes, int operands, ptrdiff_t *at,
                 ptrdiff_t *offset);

/* Run a map over a loop made by ad_loop_broadcast; z is contiguous. */
void ad_loop_map(const ad_loop *loop, ad_map map, const double *const operand[3], double *z);

/* Copy along a loop: operand 0 is z, operand 1 is x; steps of any sign, 0 for x too. */
void ad_loop_copy(const ad_loop *loop, const double *x, double *z);

/* Add x onto z along such a loop, by a map that adds; z steps through no place twice. */
void ad_loop_add(const ad_loop *loop, ad_map add, const double *x, double *z);

/* Copy one matrix. */
void ad_copy_matrix(ptrdiff_t rows, ptrdiff_t cols, const double *x, ptrdiff_t x_row,
                    ptrdiff_t x_col, double *z, ptrdiff_t z_row, ptrdiff_t z_col);

/* The largest common shape by NumPy's rule; returns the number of axes or -1. */
int ad_broadcast_shape(ptrdiff_t *shape, int operands, const int *operand_axes,
                       const ptrdiff_t *const *operand_shapes);

/* A reduction as alternating groups of axes: reduced[i] tells of group i. */
typedef struct {
    int groups;
    ptrdiff_t size[AD_MAX_AXES];
    unsigned char reduced[AD_MAX_AXES];
} ad_groups;

void ad_group_axes(ad_groups *groups, int axes, const ptrdiff_t *shape,
                   const unsigned char *reduced);

/* Numbers of working memory that ad_reduce_groups needs. */
ptrdiff_t ad_reduce_work(const ad_groups *groups);

/* Reduce the reduced groups, the innermost first. */
void ad_reduce_groups(const ad_groups *groups, ad_reduce reduce, const double *x, double *z,
                      double *work);

/* Add or copy rows by number, the same rows of each of `outer` tables. rows are whole numbers in
 * -n ... n - 1, see ad_bad_row. */
void ad_take(ptrdiff_t outer, ptrdiff_t n_rows, ptrdiff_t width, ptrdiff_t n, const double *rows,
             const double *x, double *z);
void ad_scatter(ptrdiff_t outer, ptrdiff_t n_rows, ptrdiff_t width, ptrdiff_t n,
                const double *rows, const double *x, double *z);

/* Add rows onto z, with the bits of adding what ad_scatter makes of them: the rows of one number
 * are summed first. sums: room for all of x; slots: room for `n_slots` numbers, a power of two and
 * at least twice as many as there are rows in x. */
void ad_add_rows(ptrdiff_t n_rows, ptrdiff_t width, ptrdiff_t n, const double *rows,
                 const double *x, double *z, double *sums, ptrdiff_t *slots, ptrdiff_t n_slots);

/* The place of the first of n numbers that is no row of n_rows, or -1. */
ptrdiff_t ad_bad_row(ptrdiff_t n_rows, ptrdiff_t n, const double *rows);

#endif
