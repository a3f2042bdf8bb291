#define _POSIX_C_SOURCE 200809L

#include "program.h"

#include "loops.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- memory ---- */

struct ad_chunk {
    ad_chunk *next;
    size_t used, size;
};

#define AD_LINE ((size_t)64)

static size_t to_lines(size_t size) { return (size + AD_LINE - 1) / AD_LINE * AD_LINE; }

void *ad_pool_take(ad_pool *pool, size_t size)
{
    const size_t head = to_lines(sizeof(ad_chunk));
    if (size > SIZE_MAX / 2) return NULL;
    size = to_lines(size);
    ad_chunk *chunk = pool->chunks;
    if (chunk == NULL || chunk->size - chunk->used < size) {
        const size_t least = 1 << 14, whole = head + (size < least ? least : size);
        chunk = aligned_alloc(AD_LINE, whole);
        if (chunk == NULL) return NULL;
        memset(chunk, 0, whole);
        chunk->next = pool->chunks;
        chunk->used = head;
        chunk->size = whole;
        pool->chunks = chunk;
        pool->bytes += whole;
    }
    void *taken = (char *)chunk + chunk->used;
    chunk->used += size;
    return taken;
}

void ad_pool_free(ad_pool *pool)
{
    while (pool->chunks != NULL) {
        ad_chunk *next = pool->chunks->next;
        free(pool->chunks);
        pool->chunks = next;
    }
}

/* ---- fused runs ---- */

/* Rows shorter than half a block share blocks, if no operand must be copied for it; rows
 * shorter than this, if there are no more copies than maps. */
#define AD_SHORT_ROW 64

int ad_execute_nothing(void *parameters)
{
    (void)parameters;
    return 0;
}

int ad_execute_block(void *parameters)
{
    const ad_block *block = parameters;
    const ad_micro *m = block->micros, *end = m + block->n_micros;
    for (; m != end; m++)
        m->map(m->n, m->operand[0], m->step[0], m->operand[1], m->step[1], m->operand[2],
               m->step[2], m->z);
    return 0;
}

/* One number along each short row, four at a time: what goes too far is overwritten by the next
 * row. The last rows come one by one. */
static void spread_block(ptrdiff_t rows, ptrdiff_t cols, const double *x, ptrdiff_t x_row,
                         double *z)
{
    const double *end = z + rows * cols;
    for (; rows > 0 && end - z >= (cols + 3) / 4 * 4; rows--, x += x_row, z += cols) {
        const double number = *x;
        for (ptrdiff_t j = 0; j < cols; j += 4) z[j] = z[j + 1] = z[j + 2] = z[j + 3] = number;
    }
    for (; rows > 0; rows--, x += x_row)
        for (ptrdiff_t j = 0; j < cols; j++) *z++ = *x;
}

/* rows by cols from x to z; steps in numbers. */
static void copy_block(ptrdiff_t rows, ptrdiff_t cols, const double *x, ptrdiff_t x_row,
                       ptrdiff_t x_col, double *z, ptrdiff_t z_row, ptrdiff_t z_col)
{
    if (x_col == 0 && z_col == 1 && z_row == cols && cols < AD_SHORT_ROW) {
        spread_block(rows, cols, x, x_row, z);
        return;
    }
    for (; rows > 0; rows--, x += x_row, z += z_row) {
        if (x_col == 1 && z_col == 1) {
            for (ptrdiff_t j = 0; j < cols; j++) z[j] = x[j];
        } else if (x_col == 0 && z_col == 1) {
            const double number = *x;
            for (ptrdiff_t j = 0; j < cols; j++) z[j] = number;
        } else {
            for (ptrdiff_t j = 0; j < cols; j++) z[j * z_col] = x[j * x_col];
        }
    }
}

static void run_block(const ad_run *run, double *const *at, double **place, ptrdiff_t rows,
                      ptrdiff_t cols, int fresh)
{
    for (ptrdiff_t i = 0; i < run->n_views; i++) {
        const ad_view *view = &run->views[i];
        if (view->scratch == NULL) {
            place[i] = at[i];
            continue;
        }
        /* What is the same in every row was copied with the first block. */
        if (!view->reads || (view->stride[2] == 0 && !fresh)) continue;
        copy_block(rows, cols, at[i], view->stride[2], view->stride[3], place[i], cols, 1);
    }
    const ptrdiff_t n = rows * cols, padded = (n + 7) / 8 * 8;
    for (ptrdiff_t i = 0; i < run->n_micros; i++) {
        const ad_fused *m = &run->micros[i];
        m->map(m->pads ? padded : n, place[m->place[0]], m->step[0], place[m->place[1]],
               m->step[1], place[m->place[2]], m->step[2], place[m->z]);
    }
    for (ptrdiff_t i = 0; i < run->n_views; i++) {
        const ad_view *view = &run->views[i];
        if (view->scratch != NULL && view->writes)
            copy_block(rows, cols, place[i], cols, 1, at[i], view->stride[2],
                       view->stride[3]);
    }
}

/* The block that begins at these indices. */
static void run_block_at(const ad_run *run, double **at, double **place, ptrdiff_t i,
                         ptrdiff_t j, ptrdiff_t row, ptrdiff_t col, int fresh)
{
    const ptrdiff_t *size = run->size;
    const ptrdiff_t rows =
        size[2] - row < run->block_rows ? size[2] - row : run->block_rows;
    const ptrdiff_t cols =
        size[3] - col < run->block_cols ? size[3] - col : run->block_cols;
    for (ptrdiff_t v = 0; v < run->n_views; v++) {
        const ptrdiff_t *stride = run->views[v].stride;
        at[v] = run->views[v].base + i * stride[0] + j * stride[1] + row * stride[2] +
                col * stride[3];
    }
    run_block(run, at, place, rows, cols, fresh);
}

/* Down the rows first: a block of a row that all share stays in the cache. */
int ad_execute_run(void *parameters)
{
    const ad_run *run = parameters;
    const ptrdiff_t *size = run->size;
    for (ptrdiff_t i = 0; i < size[0]; i++)
        for (ptrdiff_t j = 0; j < size[1]; j++)
            for (ptrdiff_t col = 0; col < size[3]; col += run->block_cols)
                for (ptrdiff_t row = 0; row < size[2]; row += run->block_rows)
                    run_block_at(run, run->at, run->place, i, j, row, col, row == 0);
    return 0;
}

void ad_run_blocks(const ad_run *run, ptrdiff_t first, ptrdiff_t last, double **at,
                   double **place)
{
    for (ptrdiff_t block = first; block < last; block++) {
        const ptrdiff_t row = block % run->row_blocks, up = block / run->row_blocks;
        const ptrdiff_t col = up % run->col_blocks, matrix = up / run->col_blocks;
        run_block_at(run, at, place, matrix / run->size[1], matrix % run->size[1],
                     row * run->block_rows, col * run->block_cols, row == 0 || block == first);
    }
}

enum { ROWS = 2, COLS = 3 };

/* Drop axes of size 1; join axes that are one in memory for every operand; shift the rest
 * to the end. */
static void collapse(ad_run *run, int axes)
{
    ptrdiff_t *size = run->size;
    int n = 0;
    for (int i = 0; i < axes; i++) {
        if (size[i] == 1) continue;
        int joins = n > 0;
        for (ptrdiff_t v = 0; v < run->n_views && joins; v++)
            joins = run->views[v].stride[n - 1] == size[i] * run->views[v].stride[i];
        if (!joins) n++;
        size[n - 1] = joins ? size[n - 1] * size[i] : size[i];
        for (ptrdiff_t v = 0; v < run->n_views; v++)
            run->views[v].stride[n - 1] = run->views[v].stride[i];
    }
    for (int i = AD_RUN_AXES - 1; i >= 0; i--) {
        const int from = i - (AD_RUN_AXES - n);
        size[i] = from < 0 ? 1 : size[from];
        for (ptrdiff_t v = 0; v < run->n_views; v++)
            run->views[v].stride[i] = from < 0 ? 0 : run->views[v].stride[from];
    }
}

/* How the maps step through a block of `rows` rows in place; -1: they cannot. */
static ptrdiff_t step_in_place(const ad_run *run, const ad_view *view, ptrdiff_t rows)
{
    const ptrdiff_t cols = run->block_cols, row = view->stride[ROWS], col = view->stride[COLS];
    if (rows == 1 && cols == 1) return view->writes;
    if (rows > 1 && cols > 1 && row != cols * col) return -1;
    const ptrdiff_t step = cols > 1 ? col : row;
    return step == 1 || (step == 0 && !view->writes) ? step : -1;
}

int ad_run_plan(ad_run *run, int axes)
{
    for (int i = 0; i < axes; i++)
        if (run->size[i] == 0) return 0;
    for (int i = 0; i < axes; i++)
        for (ptrdiff_t v = 0; v < run->n_views; v++)
            if (run->views[v].writes && run->views[v].stride[i] == 0 && run->size[i] > 1)
                return -1;
    collapse(run, axes);
    const ptrdiff_t rows = run->size[ROWS], cols = run->size[COLS];
    run->block_rows = 1;
    run->block_cols = cols < AD_RUN_BLOCK ? cols : AD_RUN_BLOCK;
    if (rows > 1 && cols <= AD_RUN_BLOCK / 2) {
        ptrdiff_t many = AD_RUN_BLOCK / cols < rows ? AD_RUN_BLOCK / cols : rows, copies = 0;
        for (ptrdiff_t v = 0; v < run->n_views; v++)
            copies += step_in_place(run, &run->views[v], many) < 0 &&
                      step_in_place(run, &run->views[v], 1) >= 0 &&
                      run->views[v].stride[ROWS] != 0; /* else copied once for all */
        if (copies <= (cols < AD_SHORT_ROW ? run->n_micros : 0)) run->block_rows = many;
    }
    for (ptrdiff_t v = 0; v < run->n_views; v++)
        run->views[v].step = step_in_place(run, &run->views[v], run->block_rows);
    return 1;
}

int ad_run_is_block(const ad_run *run)
{
    for (ptrdiff_t v = 0; v < run->n_views; v++)
        if (run->views[v].scratch != NULL) return 0;
    return run->size[0] == 1 && run->size[1] == 1 && run->size[ROWS] == run->block_rows &&
           run->size[COLS] == run->block_cols;
}

void ad_run_pad(ad_run *run)
{
    const int is_block = ad_run_is_block(run);
    for (ptrdiff_t i = 0; i < run->n_micros; i++) {
        ad_fused *m = &run->micros[i];
        const ad_view *z = m->z < run->n_views ? &run->views[m->z] : NULL;
        m->pads = z == NULL || z->scratch != NULL || (z->loose && is_block);
        for (int o = 0; o < 3; o++) {
            if (m->place[o] >= run->n_views) continue; /* a register, or nothing */
            const ad_view *x = &run->views[m->place[o]];
            m->pads &= x->scratch != NULL || x->step == 0 || x->roomy;
        }
    }
}

/* ---- copies, products, reductions, rows ---- */

int ad_execute_copy(void *parameters)
{
    const ad_copy *p = parameters;
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

int ad_execute_product(void *parameters)
{
    const ad_product *p = parameters;
    p->gemm(p->ta, p->tb, p->m, p->n, p->k, p->alpha, p->a, p->lda, p->b, p->ldb, p->beta, p->c,
            p->ldc);
    return 0;
}

int ad_execute_products(void *parameters)
{
    const ad_product *p = parameters;
    const double alpha = p->scale == NULL ? p->alpha : p->alpha * *p->scale;
    ptrdiff_t a = 0, b = 0, c = 0, axis;
    for (axis = 0; axis < p->axes; axis++)
        if (p->size[axis] == 0) return 0;
    do {
        p->gemm(p->ta, p->tb, p->m, p->n, p->k, alpha, p->a + a, p->lda, p->b + b, p->ldb,
                p->beta, p->c + c, p->ldc);
        /* Count up; all digits are 0 again when the last one has gone round. */
        for (axis = p->axes - 1; axis >= 0; axis--) {
            a += p->step[0][axis], b += p->step[1][axis], c += p->step[2][axis];
            if (++p->at[axis] < p->size[axis]) break;
            a -= p->size[axis] * p->step[0][axis];
            b -= p->size[axis] * p->step[1][axis];
            c -= p->size[axis] * p->step[2][axis];
            p->at[axis] = 0;
        }
    } while (axis >= 0);
    return 0;
}

int ad_execute_reduction(void *parameters)
{
    const ad_reduction *p = parameters;
    p->reduce(p->a, p->r, p->b, p->x, p->z);
    return 0;
}

int ad_execute_row_map(void *parameters)
{
    const ad_row_map *p = parameters;
    p->map(p->rows, p->n, p->x, p->z);
    return 0;
}

static int has_bad_row(ad_row_list *p)
{
    const ptrdiff_t i = ad_bad_row(p->n_rows, p->n, p->rows);
    if (i >= 0) p->bad = p->rows[i];
    return i >= 0;
}

int ad_execute_take(void *parameters)
{
    ad_row_list *p = parameters;
    if (has_bad_row(p)) return 1;
    ad_take(p->n_rows, p->row_size, p->n, p->rows, p->x, p->z);
    return 0;
}

int ad_execute_scatter(void *parameters)
{
    ad_row_list *p = parameters;
    if (has_bad_row(p)) return 1;
    ad_scatter(p->n_rows, p->row_size, p->n, p->rows, p->x, p->z);
    return 0;
}

/* ---- programs ---- */

void ad_program_bind(ad_program *program, const double *const *arguments)
{
    for (ptrdiff_t i = 0; i < program->n_arguments; i++) {
        ad_argument *argument = &program->arguments[i];
        if (argument->bound == arguments[i]) continue;
        argument->bound = arguments[i];
        const ad_patch *patch = argument->patches, *end = patch + argument->n_patches;
        /* The verifier let nobody write through these. */
        for (; patch != end; patch++)
            *patch->where = (double *)(uintptr_t)(arguments[i] + patch->offset);
    }
}

static ad_fault fault_of(const ad_program *program, ptrdiff_t i)
{
    const ad_row_list *p = program->code[i].parameters;
    return (ad_fault){i, p->n_rows, p->bad};
}

static const ad_fault no_fault = {-1, 0, 0.0};

ad_fault ad_program_run(const ad_program *program)
{
    const ad_instruction *code = program->code;
    const ptrdiff_t n = program->n_code;
    for (ptrdiff_t i = 0; i < n; i++)
        if (code[i].execute(code[i].parameters)) return fault_of(program, i);
    return no_fault;
}

void ad_program_copy_results(const ad_program *program, double *const *to)
{
    for (ptrdiff_t i = 0; i < program->n_results; i++) {
        const ad_result *result = &program->results[i];
        if (result->size == 1)
            *to[i] = *result->source;
        else if (result->size > 0)
            memcpy(to[i], result->source, (size_t)result->size * sizeof(double));
    }
}

ad_fault ad_program_scan(ad_program *program, const ad_program *before,
                         const ad_program *after, ptrdiff_t *step, ptrdiff_t last,
                         const double *const *arguments, ptrdiff_t n_stacked,
                         const double **now, double *const *results, double **to)
{
    ad_fault fault = no_fault;
    if (before != NULL) ad_program_run(before);
    for (; *step < last; ++*step) {
        for (ptrdiff_t j = 0; j < n_stacked; j++)
            now[j] = arguments[j] + *step * program->arguments[j].size;
        for (ptrdiff_t j = n_stacked; j < program->n_arguments; j++) now[j] = arguments[j];
        ad_program_bind(program, now);
        fault = ad_program_run(program);
        if (fault.instruction >= 0) break;
        for (ptrdiff_t j = 0; j < program->n_results; j++)
            to[j] = results[j] + *step * program->results[j].size;
        ad_program_copy_results(program, to);
    }
    if (after != NULL) ad_program_run(after);
    return fault;
}

double ad_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Between two readings, exactly: a double has no nanoseconds left after a hundred days. */
static double nanoseconds_between(const struct timespec *start, const struct timespec *end)
{
    return (double)(end->tv_sec - start->tv_sec) * 1e9 +
           (double)(end->tv_nsec - start->tv_nsec);
}

double ad_clock_reading(void)
{
    struct timespec start, end;
    double least = 1e9;
    for (int i = 0; i < 100; i++) {
        clock_gettime(CLOCK_MONOTONIC, &start);
        clock_gettime(CLOCK_MONOTONIC, &end);
        const double took = nanoseconds_between(&start, &end);
        if (took < least) least = took;
    }
    return least;
}

ad_fault ad_program_profile(const ad_program *program, double reading, double *nanoseconds)
{
    const ad_instruction *code = program->code;
    struct timespec start, end;
    for (ptrdiff_t i = 0; i < program->n_code; i++) {
        clock_gettime(CLOCK_MONOTONIC, &start);
        const int failed = code[i].execute(code[i].parameters);
        clock_gettime(CLOCK_MONOTONIC, &end);
        double took = nanoseconds_between(&start, &end) - reading;
        if (took < AD_LEAST_TIME) took = AD_LEAST_TIME;
        if (code[i].execute == ad_execute_nothing) took = 0.0;
        if (took < nanoseconds[i]) nanoseconds[i] = took;
        if (failed) return fault_of(program, i);
    }
    return no_fault;
}
