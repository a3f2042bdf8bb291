/* A recorded program: an array of instructions over raw memory, and the loop that runs it.
 *
 * program.pxi checks a program and fills these structures, pointers and all; from then on
 * nothing can fail but a row number (AD_TAKE, AD_SCATTER). Nothing here needs the GIL or
 * allocates but ad_pool_take. */
#ifndef AD_PROGRAM_H
#define AD_PROGRAM_H

#include "kernels.h"
#include "threads.h"

/* ---- memory for the structures below: given out in pieces, freed at once ---- */

typedef struct ad_chunk ad_chunk;

typedef struct {
    ad_chunk *chunks;
    size_t bytes;
} ad_pool;

/* `size` bytes of zeros, aligned to 64; NULL if there are none. */
void *ad_pool_take(ad_pool *pool, size_t size);
void ad_pool_free(ad_pool *pool);

/* ---- instructions ---- */

/* Returns 0, or 1 for a bad row number. */
typedef int (*ad_execute)(void *parameters);

typedef struct {
    ad_execute execute;
    void *parameters;
} ad_instruction;

/* How an instruction is cut into parts for several threads (parts.c); those that can be begin
 * with this. The ad_..._cut functions fill it in when all else is: one part if it is small. */
typedef struct {
    ad_do_parts run;
    ptrdiff_t n;
} ad_parts;

int ad_execute_parts(void *parameters);

/* Numbers in one block of a fused run, at most: the registers of a long run stay in the
 * first-level cache. */
#define AD_RUN_BLOCK 512
#define AD_RUN_AXES 4

/* One map of a run that is a single block, all operands in place. */
typedef struct {
    ad_map map;
    ptrdiff_t n;
    const double *operand[3];
    ptrdiff_t step[3];
    double *z;
} ad_micro;

typedef struct {
    ptrdiff_t n_micros;
    ad_micro *micros;
} ad_block;

int ad_execute_nothing(void *);
int ad_execute_block(void *block);

/* An operand of a run. A block of it is used in place, or copied to `scratch` before the
 * maps run (reads) or from there after them (writes). */
typedef struct {
    double *base;
    ptrdiff_t stride[AD_RUN_AXES];
    double *scratch; /* NULL: in place */
    ptrdiff_t step;  /* of a block as the maps see it: 0 or 1 */
    int reads, writes;
    int roomy; /* a block may be read up to the next multiple of eight */
    int loose; /* and written to there */
} ad_view;

/* One map: the places of its operands and of its output. */
typedef struct {
    ad_map map;
    ptrdiff_t place[3], z;
    ptrdiff_t step[3];
    int pads; /* runs on to the next multiple of eight: no tail */
} ad_fused;

/* A run: two outer axes and a matrix, which is cut into blocks. at[i] is where operand i
 * has its block, place[i] where the maps find it; after the operands come the registers,
 * and last a NULL for what a map does not read. */
typedef struct {
    ad_parts parts;
    ptrdiff_t size[AD_RUN_AXES];
    ptrdiff_t block_rows, block_cols;
    ptrdiff_t n_views, n_micros, n_registers;
    ptrdiff_t row_blocks, col_blocks; /* how many there are; for parts */
    ad_view *views;
    ad_fused *micros;
    double **at, **place;
} ad_run;

int ad_execute_run(void *run);

/* Blocks first <= i < last, with places of the caller's own. */
void ad_run_blocks(const ad_run *run, ptrdiff_t first, ptrdiff_t last, double **at,
                   double **place);

/* steps: what the maps take for one number, in additions. A worker has room on its stack for
 * so many views, and so many registers and copies of views. */
#define AD_PART_VIEWS 64
#define AD_PART_REGISTERS 64
void ad_run_cut(ad_run *run, double steps);

/* Collapse the `axes` axes of a run, choose its blocks, and say in view->step which operands
 * the maps read in place: -1 needs scratch. Returns 0 if a size is 0: nothing to do; and -1
 * if an operand would be written more than once in the same place. */
int ad_run_plan(ad_run *run, int axes);

/* With the scratch in place: which maps may run without a tail. */
void ad_run_pad(ad_run *run);

/* Whether a planned run is a single block with all operands in place. */
int ad_run_is_block(const ad_run *run);

/* A copy of up to four axes, the last two a matrix. */
typedef struct {
    ad_parts parts;
    void (*rows)(ptrdiff_t, ptrdiff_t, const double *, ptrdiff_t, double *, ptrdiff_t);
    ptrdiff_t size[AD_RUN_AXES], x_step[AD_RUN_AXES], z_step[AD_RUN_AXES];
    const double *x;
    double *z;
} ad_copy;

int ad_execute_copy(void *copy);
void ad_copy_cut(ad_copy *copy);

/* C = alpha op(A) op(B) + beta C, over a stack of matrices. */
typedef struct {
    ad_parts parts;
    enum { AD_BY_MATRIX, AD_BY_ROWS, AD_BY_COLUMNS } way;
    ptrdiff_t units, unit; /* that are cut, and rows or columns in one of them */
    ad_gemm gemm;
    ptrdiff_t m, n, k, lda, ldb, ldc;
    double alpha, beta;
    const double *scale; /* alpha is multiplied by this number; may be NULL */
    const double *a, *b;
    double *c;
    int ta, tb;
    ptrdiff_t axes; /* of the stack */
    ptrdiff_t *size, *at, *step[3];
} ad_product;

int ad_execute_product(void *product); /* axes = 0, scale = NULL */
int ad_execute_products(void *product);

/* C = op(A) op(B) by the kernels of a table, in parts if it is large. */
void ad_gemm_in_parts(const ad_kernels *kernels, int ta, int tb, ptrdiff_t m, ptrdiff_t n,
                      ptrdiff_t k, const double *a, ptrdiff_t lda, const double *b, ptrdiff_t ldb,
                      double *c, ptrdiff_t ldc);

/* cut: rows and columns that must stay together (ad_cut), as the kernel has it. */
void ad_product_cut(ad_product *product, const ad_cut *cut);

typedef struct {
    ad_parts parts;
    ad_reduce reduce;
    ptrdiff_t a, r, b;
    const double *x;
    double *z;
} ad_reduction;

int ad_execute_reduction(void *reduction);
void ad_reduction_cut(ad_reduction *reduction);

typedef struct {
    ad_parts parts;
    ad_rows map;
    ptrdiff_t rows, n, z_row; /* z_row: numbers of z for each row */
    const double *x;
    double *z;
} ad_row_map;

int ad_execute_row_map(void *row_map);
void ad_row_map_cut(ad_row_map *row_map);

typedef struct {
    ptrdiff_t n_rows, row_size, n;
    const double *x, *rows;
    double *z;
    double bad; /* the row number that is none */
} ad_row_list;

int ad_execute_take(void *rows);
int ad_execute_scatter(void *rows);

/* ---- programs ---- */

/* A pointer, somewhere in the structures above, into argument number `argument`. */
typedef struct {
    double **where;
    ptrdiff_t offset;
} ad_patch;

typedef struct {
    int axes;
    const ptrdiff_t *shape;
    ptrdiff_t size;
    ad_patch *patches;
    ptrdiff_t n_patches;
    const double *bound; /* what the patches were last made for */
} ad_argument;

typedef struct {
    const double *source;
    int axes;
    const ptrdiff_t *shape;
    ptrdiff_t size;
} ad_result;

typedef struct {
    ad_instruction *code;
    ptrdiff_t n_code;
    ad_argument *arguments;
    ptrdiff_t n_arguments;
    ad_result *results;
    ptrdiff_t n_results;
} ad_program;

/* The instruction that met a row number that is none of n_rows; -1: there was none. */
typedef struct {
    ptrdiff_t instruction, n_rows;
    double row;
} ad_fault;

/* Point the program at the arguments of a call. */
void ad_program_bind(ad_program *program, const double *const *arguments);

/* Run all instructions, or up to one that fails. */
ad_fault ad_program_run(const ad_program *program);

void ad_program_copy_results(const ad_program *program, double *const *to);

/* Run steps *step <= i < last of stacked arguments (those after the first n_stacked are the
 * same for all steps), copying results into stacks; *step is
 * then the step that failed, or `last`. now, to: room for a pointer an argument, a result.
 * before, after: NULL, or programs that cannot fail, run before and after the steps. */
ad_fault ad_program_scan(ad_program *program, const ad_program *before,
                         const ad_program *after, ptrdiff_t *step, ptrdiff_t last,
                         const double *const *arguments, ptrdiff_t n_stacked,
                         const double **now, double *const *results, double **to);

/* What an instruction takes at least, in nanoseconds: the clock tells nothing shorter. */
#define AD_LEAST_TIME 1.0

/* Run once; lowers nanoseconds[i] to the time that instruction i took. Of what the clock says,
 * `reading` nanoseconds are its own. */
ad_fault ad_program_profile(const ad_program *program, double reading, double *nanoseconds);

/* The nanoseconds that reading the clock takes, when nothing comes between. (A single reading
 * may be interrupted; what is taken off too much made short instructions take no time at all.) */
double ad_clock_reading(void);

/* Nanoseconds, by a clock that only moves forward. */
double ad_clock(void);

#endif
