/* Large instructions, cut into parts that several threads can do.
 *
 * A part is computed by the kernels that would compute the whole, on blocks that the whole would
 * have, too: so the results have the same bits for any number of threads. */
#include "program.h"

#include "threads.h"

/* Work is counted in steps of a map or of a product whose operands are in the cache. Measured
 * (docs/numerics.md): a worker that is looking for work begins 0.4 us after the call, so that 10 us
 * become 6; one that sleeps costs the caller 8 us and begins after 5 to 17 us, so that 20 us become
 * 23 and 50 become 40. So instructions of some 25 us or more are cut, into parts of 6 us or more,
 * or a late worker would find nothing left; more than MOST parts leave nothing to gain. */
#define MOST_PARTS 16
#define LEAST_PARTS 4
#define FROM_STEPS 4.0e5    /* of a run, at 0.06 to 0.1 ns */
#define FROM_PRODUCTS 1.5e6 /* of a matrix product, at 0.016 ns with AVX-512 */
#define THIN 4.0            /* products as long as one of a sum of few: memory decides */

typedef void do_parts(void *work, ptrdiff_t first, ptrdiff_t last, int helps);

/* Into how many parts `units` of `cost` are best cut, if all together reach `from`. */
static ptrdiff_t parts_of(double units, double cost, double from)
{
    const double parts = units * cost / from * LEAST_PARTS;
    if (parts < LEAST_PARTS || units < 2.0) return 1;
    const ptrdiff_t most = parts < MOST_PARTS ? (ptrdiff_t)parts : MOST_PARTS;
    return units < (double)most ? (ptrdiff_t)units : most;
}

/* Where part i of `parts` begins, in units. */
static ptrdiff_t begin(ptrdiff_t units, ptrdiff_t parts, ptrdiff_t i)
{
    return units / parts * i + (i < units % parts ? i : units % parts);
}

static do_parts run_parts, product_parts, reduction_parts, row_map_parts, copy_parts;

/* ---- runs ---- */

void ad_run_cut(ad_run *run, double steps)
{
    const ptrdiff_t *size = run->size;
    run->row_blocks = (size[2] + run->block_rows - 1) / run->block_rows;
    run->col_blocks = (size[3] + run->block_cols - 1) / run->block_cols;
    const ptrdiff_t blocks = size[0] * size[1] * run->row_blocks * run->col_blocks;
    const double numbers = (double)size[0] * (double)size[1] * (double)size[2] * (double)size[3];
    run->parts = (ad_parts){run_parts, 1};
    run->parts.n = parts_of((double)blocks, numbers / (double)blocks * steps, FROM_STEPS);
    ptrdiff_t copied = 0;
    for (ptrdiff_t i = 0; i < run->n_views; i++) copied += run->views[i].scratch != NULL;
    if (run->n_views > AD_PART_VIEWS || copied + run->n_registers > AD_PART_REGISTERS)
        run->parts.n = 1;
    if (run->parts.n > 1) /* what follows a block may be another thread's */
        for (ptrdiff_t i = 0; i < run->n_micros; i++) run->micros[i].pads = 0;
}

static void own_blocks(const ad_run *run, ptrdiff_t first, ptrdiff_t last)
{
    ad_run_blocks(run, first, last, run->at, run->place);
}

/* The same in a worker: with places and scratch on its own stack. */
static __attribute__((noinline)) void helping_blocks(const ad_run *run, ptrdiff_t first,
                                                     ptrdiff_t last)
{
    double scratch[AD_PART_REGISTERS][AD_RUN_BLOCK + 8] __attribute__((aligned(64)));
    double *at[AD_PART_VIEWS], *place[AD_PART_VIEWS + AD_PART_REGISTERS + 1];
    ptrdiff_t n = 0;
    for (ptrdiff_t i = 0; i < run->n_views; i++)
        place[i] = run->views[i].scratch != NULL ? scratch[n++] : NULL;
    for (ptrdiff_t i = 0; i < run->n_registers; i++) place[run->n_views + i] = scratch[n++];
    place[run->n_views + run->n_registers] = NULL;
    ad_run_blocks(run, first, last, at, place);
}

static void run_parts(void *work, ptrdiff_t first, ptrdiff_t last, int helps)
{
    const ad_run *run = work;
    const ptrdiff_t blocks =
        run->size[0] * run->size[1] * run->row_blocks * run->col_blocks;
    (helps ? helping_blocks : own_blocks)(run, begin(blocks, run->parts.n, first),
                                          begin(blocks, run->parts.n, last));
}

/* ---- products ---- */

/* Whether the matrices of the stack are written one after the other, none twice. */
static int are_apart(const ad_product *p)
{
    ptrdiff_t extent = (p->m - 1) * p->ldc + p->n;
    for (ptrdiff_t axis = p->axes - 1; axis >= 0; axis--) {
        if (p->size[axis] == 1) continue;
        if (p->step[2][axis] < extent) return 0;
        extent += (p->size[axis] - 1) * p->step[2][axis];
    }
    return 1;
}

void ad_product_cut(ad_product *p, const ad_cut *cut)
{
    const int is_thin = p->m < 4 || p->n < 4 || p->k < 8;
    const double products =
        (double)p->m * (double)p->n * (double)p->k * (is_thin ? THIN : 1.0);
    p->parts = (ad_parts){product_parts, 1};
    p->way = AD_BY_MATRIX;
    p->units = 1;
    if (p->axes > 0) {
        for (ptrdiff_t axis = 0; axis < p->axes; axis++) p->units *= p->size[axis];
        if (p->units > 1 && are_apart(p))
            p->parts.n = parts_of((double)p->units, products, FROM_PRODUCTS);
        return;
    }
    /* By columns, if there are enough: each strip of B is then copied once. */
    const ptrdiff_t rows = cut->rows > 0 ? p->m / cut->rows : 0;
    const ptrdiff_t cols = cut->cols > 0 ? p->n / cut->cols : 0;
    p->way = cols >= 4 || cols >= rows ? AD_BY_COLUMNS : AD_BY_ROWS;
    p->units = p->way == AD_BY_COLUMNS ? cols : rows;
    p->unit = p->way == AD_BY_COLUMNS ? cut->cols : cut->rows;
    if (p->units > 1)
        p->parts.n = parts_of((double)p->units, products / (double)p->units, FROM_PRODUCTS);
}

static void multiply_matrix(const ad_product *p, double alpha, ptrdiff_t i)
{
    ptrdiff_t a = 0, b = 0, c = 0;
    for (ptrdiff_t axis = p->axes - 1; axis >= 0; axis--) {
        const ptrdiff_t at = i % p->size[axis];
        i /= p->size[axis];
        a += at * p->step[0][axis];
        b += at * p->step[1][axis];
        c += at * p->step[2][axis];
    }
    p->gemm(p->ta, p->tb, p->m, p->n, p->k, alpha, p->a + a, p->lda, p->b + b, p->ldb, p->beta,
            p->c + c, p->ldc);
}

static void product_parts(void *work, ptrdiff_t first, ptrdiff_t last, int helps)
{
    const ad_product *p = work;
    const double alpha = p->scale == NULL ? p->alpha : p->alpha * *p->scale;
    ptrdiff_t from = begin(p->units, p->parts.n, first), to = begin(p->units, p->parts.n, last);
    (void)helps;
    if (p->way == AD_BY_MATRIX) {
        for (; from < to; from++) multiply_matrix(p, alpha, from);
        return;
    }
    from *= p->unit;
    to *= p->unit;
    if (p->way == AD_BY_ROWS) {
        if (last == p->parts.n) to = p->m; /* what is left over goes with the last part */
        p->gemm(p->ta, p->tb, to - from, p->n, p->k, alpha, p->a + from * (p->ta ? 1 : p->lda),
                p->lda, p->b, p->ldb, p->beta, p->c + from * p->ldc, p->ldc);
    } else {
        if (last == p->parts.n) to = p->n;
        p->gemm(p->ta, p->tb, p->m, to - from, p->k, alpha, p->a, p->lda,
                p->b + from * (p->tb ? p->ldb : 1), p->ldb, p->beta, p->c + from, p->ldc);
    }
}

void ad_gemm_in_parts(const ad_kernels *kernels, int ta, int tb, ptrdiff_t m, ptrdiff_t n,
                      ptrdiff_t k, const double *a, ptrdiff_t lda, const double *b, ptrdiff_t ldb,
                      double *c, ptrdiff_t ldc)
{
    ad_product p = {.ta = ta, .tb = tb, .m = m, .n = n, .k = k, .alpha = 1.0, .a = a, .lda = lda,
                    .b = b, .ldb = ldb, .c = c, .ldc = ldc};
    ad_cut cut;
    if (n == 1 && m > 1 && ldc == 1) { /* a column is a row */
        ad_gemm_in_parts(kernels, !tb, !ta, 1, m, k, b, ldb, a, lda, c, m);
        return;
    }
    p.gemm = kernels->gemm_of(ta, tb, m, n, k, lda, p.beta, ldc, &cut);
    ad_product_cut(&p, &cut);
    ad_execute_parts(&p);
}

/* ---- what goes row by row ---- */

void ad_reduction_cut(ad_reduction *p)
{
    const double numbers = (double)p->r * (double)p->b;
    p->parts = (ad_parts){reduction_parts, parts_of((double)p->a, numbers, FROM_STEPS)};
}

static void reduction_parts(void *work, ptrdiff_t first, ptrdiff_t last, int helps)
{
    const ad_reduction *p = work;
    const ptrdiff_t from = begin(p->a, p->parts.n, first), to = begin(p->a, p->parts.n, last);
    (void)helps;
    p->reduce(to - from, p->r, p->b, p->x + from * p->r * p->b, p->z + from * p->b);
}

#define EXPONENTIAL 8.0 /* steps of a map that it takes */
#define MOVE 4.0

void ad_row_map_cut(ad_row_map *p)
{
    const double steps = (double)p->n * EXPONENTIAL;
    p->parts = (ad_parts){row_map_parts, parts_of((double)p->rows, steps, FROM_STEPS)};
}

static void row_map_parts(void *work, ptrdiff_t first, ptrdiff_t last, int helps)
{
    const ad_row_map *p = work;
    const ptrdiff_t from = begin(p->rows, p->parts.n, first), to = begin(p->rows, p->parts.n, last);
    (void)helps;
    p->map(to - from, p->n, p->x + from * p->n, p->z + from * p->z_row);
}

static void copy_parts(void *work, ptrdiff_t first, ptrdiff_t last, int helps)
{
    ad_copy part = *(const ad_copy *)work;
    const ptrdiff_t n = part.parts.n, units = part.size[2] / 8;
    const ptrdiff_t from = 8 * begin(units, n, first);
    const ptrdiff_t to = last == n ? part.size[2] : 8 * begin(units, n, last);
    (void)helps;
    part.x += from * part.x_step[2];
    part.z += from * part.z_step[2];
    part.size[2] = to - from;
    ad_execute_copy(&part);
}

void ad_copy_cut(ad_copy *p)
{
    const ptrdiff_t *size = p->size;
    p->parts = (ad_parts){copy_parts, 1};
    if (size[0] == 1 && size[1] == 1)
        p->parts.n = parts_of((double)(size[2] / 8), 8.0 * (double)size[3] * MOVE, FROM_STEPS);
}

/* ---- all of them ---- */

int ad_execute_parts(void *parameters)
{
    const ad_parts *parts = parameters; /* what each of these structures begins with */
    ad_parallel(parts->run, parameters, parts->n);
    return 0;
}
