/* Kind `gemm`: C = alpha scale op(A) op(B) + beta C, over a stack of matrices. */
#include "gemm.h"

#include "instruction.h"

#define THIN 4.0 /* products as long as one of a sum of few: memory decides */
#define STACK_AXES 64

typedef struct {
    ad_parts parts;
    enum { BY_MATRIX, BY_ROWS, BY_COLUMNS } way;
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
} product;

/* One matrix, scale = NULL. */
static int execute_one(void *parameters)
{
    const product *p = parameters;
    p->gemm(p->ta, p->tb, p->m, p->n, p->k, p->alpha, p->a, p->lda, p->b, p->ldb, p->beta, p->c,
            p->ldc);
    return 0;
}

static double alpha_of(const product *p)
{
    return p->scale == NULL ? p->alpha : p->alpha * *p->scale;
}

static int execute(void *parameters)
{
    const product *p = parameters;
    const double alpha = alpha_of(p);
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

/* ---- parts ---- */

static void multiply_matrix(const product *p, double alpha, ptrdiff_t i)
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

static void do_parts(void *work, ptrdiff_t first, ptrdiff_t last, int helps)
{
    const product *p = work;
    const double alpha = alpha_of(p);
    ptrdiff_t from = ad_part_begin(p->units, p->parts.n, first);
    ptrdiff_t to = ad_part_begin(p->units, p->parts.n, last);
    (void)helps;
    if (p->way == BY_MATRIX) {
        for (; from < to; from++) multiply_matrix(p, alpha, from);
        return;
    }
    from *= p->unit;
    to *= p->unit;
    if (p->way == BY_ROWS) {
        if (last == p->parts.n) to = p->m; /* what is left over goes with the last part */
        p->gemm(p->ta, p->tb, to - from, p->n, p->k, alpha, p->a + from * (p->ta ? 1 : p->lda),
                p->lda, p->b, p->ldb, p->beta, p->c + from * p->ldc, p->ldc);
    } else {
        if (last == p->parts.n) to = p->n;
        p->gemm(p->ta, p->tb, p->m, to - from, p->k, alpha, p->a, p->lda,
                p->b + from * (p->tb ? p->ldb : 1), p->ldb, p->beta, p->c + from, p->ldc);
    }
}

/* Whether the matrices of the stack are written one after the other. */
static bool are_in_order(const product *p)
{
    ptrdiff_t extent = (p->m - 1) * p->ldc + p->n;
    for (ptrdiff_t axis = p->axes - 1; axis >= 0; axis--) {
        if (p->size[axis] == 1) continue;
        if (p->step[2][axis] < extent) return false;
        extent += (p->size[axis] - 1) * p->step[2][axis];
    }
    return true;
}

/* apart: rows and columns that must stay together, as the kernel has it. */
static void cut(product *p, const ad_cut *apart)
{
    const bool is_thin = p->m < 4 || p->n < 4 || p->k < 8;
    const double products =
        (double)p->m * (double)p->n * (double)p->k * (is_thin ? THIN : 1.0);
    p->parts = (ad_parts){do_parts, 1};
    p->way = BY_MATRIX;
    p->units = 1;
    if (p->axes > 0) {
        for (ptrdiff_t axis = 0; axis < p->axes; axis++) p->units *= p->size[axis];
        if (p->units > 1 && are_in_order(p))
            p->parts.n = ad_parts_of((double)p->units, products, AD_CUT_FROM_PRODUCTS);
        return;
    }
    /* By columns, if there are enough: each strip of B is then copied once. */
    const ptrdiff_t rows = apart->rows > 0 ? p->m / apart->rows : 0;
    const ptrdiff_t cols = apart->cols > 0 ? p->n / apart->cols : 0;
    p->way = cols >= 4 || cols >= rows ? BY_COLUMNS : BY_ROWS;
    p->units = p->way == BY_COLUMNS ? cols : rows;
    p->unit = p->way == BY_COLUMNS ? apart->cols : apart->rows;
    if (p->units > 1)
        p->parts.n = ad_parts_of((double)p->units, products / (double)p->units,
                                 AD_CUT_FROM_PRODUCTS);
}

void ad_gemm_in_parts(const ad_kernels *kernels, int ta, int tb, ptrdiff_t m, ptrdiff_t n,
                      ptrdiff_t k, const double *a, ptrdiff_t lda, const double *b, ptrdiff_t ldb,
                      double *c, ptrdiff_t ldc)
{
    product p = {.ta = ta, .tb = tb, .m = m, .n = n, .k = k, .alpha = 1.0, .a = a, .lda = lda,
                 .b = b, .ldb = ldb, .c = c, .ldc = ldc};
    ad_cut apart;
    if (n == 1 && m > 1 && ldc == 1) { /* a column is a row */
        ad_gemm_in_parts(kernels, !tb, !ta, 1, m, k, b, ldb, a, lda, c, m);
        return;
    }
    p.gemm = kernels->gemm_of(ta, tb, m, n, k, lda, p.beta, ldc, &apart);
    cut(&p, &apart);
    ad_execute_parts(&p);
}

/* ---- loading ---- */

/* A matrix as it is read: `rows` rows of `cols` numbers, `ld` apart, over the stack. */
typedef struct {
    ptrdiff_t rows, cols, ld;
    ad_operand operand;
    ptrdiff_t *step; /* of the axes of the stack, and room for two more */
} matrix;

/* Which offsets the matrices of a stack have. */
static void find(ad_reader *reader, const product *p, matrix *x, ptrdiff_t *low, ptrdiff_t *high)
{
    if (ad_refused(reader)) return;
    const ptrdiff_t least = x->cols > 1 ? x->cols : 1, axes = p->axes;
    if (x->rows <= 1) x->ld = least; /* whatever it was, nothing follows */
    if (x->ld < least) ad_refuse_at(reader, AD_CLOSE_ROWS, x->operand.place + 2);
    p->size[axes] = x->rows;
    p->size[axes + 1] = x->cols;
    x->step[axes] = x->ld;
    x->step[axes + 1] = 1;
    ad_extent(reader, axes + 2, p->size, x->step, low, high);
}

/* Whether the matrices x of those axes of the stack lie apart along which C moves, or does not. */
static bool lie_apart(const product *p, const matrix *x, const matrix *c, bool moves)
{
    ptrdiff_t size[STACK_AXES + 2];
    for (ptrdiff_t i = 0; i < p->axes; i++)
        size[i] = (c->step[i] != 0) == moves ? p->size[i] : 1;
    size[p->axes] = x->rows;
    size[p->axes + 1] = x->cols;
    return ad_is_apart(p->axes + 2, size, x->step);
}

/* No number of C is written twice, but to sum up products of different matrices. */
static bool is_written_well(const product *p, const matrix x[3])
{
    bool sums = false;
    for (ptrdiff_t i = 0; i < p->axes; i++) sums |= x[2].step[i] == 0 && p->size[i] > 1;
    return lie_apart(p, &x[2], &x[2], true) &&
           (!sums || (p->beta != 0.0 && (lie_apart(p, &x[0], &x[2], false) ||
                                         lie_apart(p, &x[1], &x[2], false))));
}

static void bind(ad_reader *reader, product *p, matrix x[3])
{
    ptrdiff_t low = 0, high = 0;
    find(reader, p, &x[0], &low, &high);
    ad_bind(reader, &p->a, x[0].operand, low, high);
    find(reader, p, &x[1], &low, &high);
    ad_bind(reader, &p->b, x[1].operand, low, high);
    find(reader, p, &x[2], &low, &high);
    ad_bind_output(reader, &p->c, x[2].operand, low, high);
    if (ad_refused(reader)) return;
    if (!is_written_well(p, x))
        ad_refuse_at(reader, AD_WRITTEN_TWICE, x[2].operand.place);
    p->lda = x[0].ld;
    p->ldb = x[1].ld;
    p->ldc = x[2].ld;
    for (int i = 0; i < 3; i++) p->step[i] = x[i].step;
}

/* A column that is a row: C' = op(B)' op(A)'. */
static void turn_column(product *p, matrix x[3])
{
    const matrix a = x[0];
    const int ta = p->ta;
    if (p->n != 1 || p->m <= 1 || x[2].ld != 1) return;
    p->n = x[2].ld = p->m;
    p->m = 1;
    p->ta = !p->tb;
    p->tb = !ta;
    x[0] = x[1];
    x[1] = a;
}

static void read_stack(ad_reader *reader, product *p, matrix x[3])
{
    ptrdiff_t size[STACK_AXES];
    p->axes = ad_read_sizes(reader, STACK_AXES, size);
    p->size = ad_take_memory(reader, p->axes + 2, sizeof *p->size);
    p->at = ad_take_memory(reader, p->axes, sizeof *p->at);
    for (int i = 0; i < 3; i++) {
        x[i].step = ad_take_memory(reader, p->axes + 2, sizeof *x[i].step);
        if (x[i].step != NULL) ad_read_strides(reader, p->axes, x[i].step);
    }
    if (ad_refused(reader)) return;
    for (ptrdiff_t i = 0; i < p->axes; i++) p->size[i] = size[i];
}

/* Returns whether there is a scale: where it is may be known only when the program is called. */
static bool read_fields(ad_reader *reader, product *p, matrix x[3])
{
    ad_operand scale;
    p->ta = ad_read_flag(reader);
    p->tb = ad_read_flag(reader);
    p->m = ad_read_size(reader);
    p->n = ad_read_size(reader);
    p->k = ad_read_size(reader);
    p->alpha = ad_read_double(reader);
    const bool is_scaled = ad_read_operand_or_none(reader, &scale);
    if (is_scaled) ad_bind(reader, &p->scale, scale, 0, 1);
    for (int i = 0; i < 3; i++) {
        if (i == 2) p->beta = ad_read_double(reader);
        x[i].operand = ad_read_operand(reader);
        x[i].ld = ad_read_number(reader);
    }
    read_stack(reader, p, x);
    return is_scaled;
}

/* Our kernel, or a BLAS that has threads of its own. */
static void choose_kernel(ad_reader *reader, product *p, ad_cut *apart)
{
    p->gemm = ad_kernels_of(reader)->gemm_of(p->ta, p->tb, p->m, p->n, p->k, p->lda, p->beta,
                                             p->ldc, apart);
    const ad_gemm blas =
        ad_blas_gemm == NULL ? NULL
                             : ad_blas_gemm(p->m, p->n, p->k, p->lda, p->ldb, p->ldc);
    if (blas == NULL) return;
    p->gemm = blas;
    apart->rows = apart->cols = 0;
}

static bool has_no_elements(const product *p)
{
    bool has_none = p->m == 0 || p->n == 0;
    for (ptrdiff_t axis = 0; axis < p->axes; axis++) has_none |= p->size[axis] == 0;
    return has_none;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    product *p = ad_take_memory(reader, 1, sizeof *p);
    matrix x[3];
    ad_cut apart;
    if (p == NULL) return;
    const bool is_scaled = read_fields(reader, p, x);
    if (ad_refused(reader)) return;
    turn_column(p, x);
    x[0].rows = p->ta ? p->k : p->m, x[0].cols = p->ta ? p->m : p->k;
    x[1].rows = p->tb ? p->n : p->k, x[1].cols = p->tb ? p->k : p->n;
    x[2].rows = p->m, x[2].cols = p->n;
    bind(reader, p, x);
    if (ad_refused(reader)) return;
    if (has_no_elements(p)) {
        ad_set_instruction(to, ad_execute_nothing, p, NULL);
        return;
    }
    choose_kernel(reader, p, &apart);
    cut(p, &apart);
    ad_set_instruction(to, p->axes == 0 && !is_scaled ? execute_one : execute, p, &p->parts);
}

AD_KIND("gemm", load, NULL)
