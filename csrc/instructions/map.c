/* Kind `map`: elementwise ops of one shape, applied block by block in one pass over the data. */
#include "instruction.h"

#include <float.h>

enum { AXES = 4, ROWS = 2, COLS = 3 };

/* Rows shorter than half a block share blocks, if no operand must be copied for it; rows
 * shorter than this, if there are no more copies than maps. */
#define SHORT_ROW 64
#define MOST_REGISTERS 4096

/* A worker has room on its stack for so many windows, and so many registers and copies. */
#define PART_WINDOWS 64
#define PART_REGISTERS 64

/* One map of an instruction that is a single block, all operands in place. */
typedef struct {
    ad_map map;
    ptrdiff_t n;
    const double *operand[3];
    ptrdiff_t step[3];
    double *z;
} ready;

typedef struct {
    ptrdiff_t n_maps;
    ready *maps;
} block;

/* An operand. A block of it is used in place, or copied to `scratch` before the maps run
 * (reads) or from there after them (writes). */
typedef struct {
    double *base;
    ptrdiff_t stride[AXES];
    double *scratch; /* NULL: in place */
    ptrdiff_t step;  /* of a block as the maps see it: 0 or 1 */
    int reads, writes;
    int roomy;  /* a block may be read up to the next multiple of eight */
    int padded; /* and written to there */
} window;

/* One map: the places of its operands and of its output. */
typedef struct {
    ad_map map;
    ptrdiff_t place[3], z;
    ptrdiff_t step[3];
    int pads; /* runs on to the next multiple of eight: no tail */
    bool special;
} application;

/* Two outer axes and a matrix, which is cut into blocks. at[i] is where window i has its
 * block, place[i] where the maps find it; after the windows come the registers, and last a NULL
 * for what a map does not read. */
typedef struct {
    ad_parts parts;
    ptrdiff_t size[AXES];
    ptrdiff_t block_rows, block_cols;
    ptrdiff_t n_windows, n_maps, n_registers;
    ptrdiff_t row_blocks, col_blocks; /* how many there are; for parts */
    window *windows;
    application *maps;
    double **at, **place;
} mapping;

static int execute_block(void *parameters)
{
    const block *p = parameters;
    const ready *m = p->maps, *end = m + p->n_maps;
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
    if (x_col == 0 && z_col == 1 && z_row == cols && cols < SHORT_ROW) {
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

static void map_block(const mapping *p, double *const *at, double **place, ptrdiff_t rows,
                      ptrdiff_t cols, int fresh)
{
    for (ptrdiff_t i = 0; i < p->n_windows; i++) {
        const window *w = &p->windows[i];
        if (w->scratch == NULL) {
            place[i] = at[i];
            continue;
        }
        /* What is the same in every row was copied with the first block. */
        if (!w->reads || (w->stride[2] == 0 && !fresh)) continue;
        copy_block(rows, cols, at[i], w->stride[2], w->stride[3], place[i], cols, 1);
    }
    const ptrdiff_t n = rows * cols, padded = (n + 7) / 8 * 8;
    for (ptrdiff_t i = 0; i < p->n_maps; i++) {
        const application *m = &p->maps[i];
        m->map(m->pads ? padded : n, place[m->place[0]], m->step[0], place[m->place[1]],
               m->step[1], place[m->place[2]], m->step[2], place[m->z]);
    }
    for (ptrdiff_t i = 0; i < p->n_windows; i++) {
        const window *w = &p->windows[i];
        if (w->scratch != NULL && w->writes)
            copy_block(rows, cols, place[i], cols, 1, at[i], w->stride[2],
                       w->stride[3]);
    }
}

/* The block that begins at these indices. */
static void map_block_at(const mapping *p, double **at, double **place, ptrdiff_t i,
                         ptrdiff_t j, ptrdiff_t row, ptrdiff_t col, int fresh)
{
    const ptrdiff_t *size = p->size;
    const ptrdiff_t rows =
        size[2] - row < p->block_rows ? size[2] - row : p->block_rows;
    const ptrdiff_t cols =
        size[3] - col < p->block_cols ? size[3] - col : p->block_cols;
    for (ptrdiff_t v = 0; v < p->n_windows; v++) {
        const ptrdiff_t *stride = p->windows[v].stride;
        at[v] = p->windows[v].base + i * stride[0] + j * stride[1] + row * stride[2] +
                col * stride[3];
    }
    map_block(p, at, place, rows, cols, fresh);
}

/* Down the rows first: a block of a row that all share stays in the cache. */
static int execute(void *parameters)
{
    const mapping *p = parameters;
    const ptrdiff_t *size = p->size;
    for (ptrdiff_t i = 0; i < size[0]; i++)
        for (ptrdiff_t j = 0; j < size[1]; j++)
            for (ptrdiff_t col = 0; col < size[3]; col += p->block_cols)
                for (ptrdiff_t row = 0; row < size[2]; row += p->block_rows)
                    map_block_at(p, p->at, p->place, i, j, row, col, row == 0);
    return 0;
}

/* Blocks first <= i < last, with places of the caller's own. */
static void do_blocks(const mapping *p, ptrdiff_t first, ptrdiff_t last, double **at,
                      double **place)
{
    for (ptrdiff_t block = first; block < last; block++) {
        const ptrdiff_t row = block % p->row_blocks, up = block / p->row_blocks;
        const ptrdiff_t col = up % p->col_blocks, matrix = up / p->col_blocks;
        map_block_at(p, at, place, matrix / p->size[1], matrix % p->size[1],
                     row * p->block_rows, col * p->block_cols, row == 0 || block == first);
    }
}

/* ---- planning ---- */

/* Drop axes of size 1; join axes that are one in memory for every operand; shift the rest
 * to the end. */
static void collapse(mapping *p, int axes)
{
    ptrdiff_t *size = p->size;
    int n = 0;
    for (int i = 0; i < axes; i++) {
        if (size[i] == 1) continue;
        int joins = n > 0;
        for (ptrdiff_t v = 0; v < p->n_windows && joins; v++)
            joins = p->windows[v].stride[n - 1] == size[i] * p->windows[v].stride[i];
        if (!joins) n++;
        size[n - 1] = joins ? size[n - 1] * size[i] : size[i];
        for (ptrdiff_t v = 0; v < p->n_windows; v++)
            p->windows[v].stride[n - 1] = p->windows[v].stride[i];
    }
    for (int i = AXES - 1; i >= 0; i--) {
        const int from = i - (AXES - n);
        size[i] = from < 0 ? 1 : size[from];
        for (ptrdiff_t v = 0; v < p->n_windows; v++)
            p->windows[v].stride[i] = from < 0 ? 0 : p->windows[v].stride[from];
    }
}

/* How the maps step through a block of `rows` rows in place; -1: they cannot. */
static ptrdiff_t step_in_place(const mapping *p, const window *w, ptrdiff_t rows)
{
    const ptrdiff_t cols = p->block_cols, row = w->stride[ROWS], col = w->stride[COLS];
    if (rows == 1 && cols == 1) return w->writes;
    if (rows > 1 && cols > 1 && row != cols * col) return -1;
    const ptrdiff_t step = cols > 1 ? col : row;
    return step == 1 || (step == 0 && !w->writes) ? step : -1;
}

/* Collapse the axes, choose the blocks, and say in window->step which operands the maps read in
 * place: -1 needs scratch. */
static void plan(mapping *p, int axes)
{
    collapse(p, axes);
    const ptrdiff_t rows = p->size[ROWS], cols = p->size[COLS];
    p->block_rows = 1;
    p->block_cols = cols < AD_BLOCK ? cols : AD_BLOCK;
    if (rows > 1 && cols <= AD_BLOCK / 2) {
        ptrdiff_t many = AD_BLOCK / cols < rows ? AD_BLOCK / cols : rows, copies = 0;
        for (ptrdiff_t v = 0; v < p->n_windows; v++)
            copies += step_in_place(p, &p->windows[v], many) < 0 &&
                      step_in_place(p, &p->windows[v], 1) >= 0 &&
                      p->windows[v].stride[ROWS] != 0; /* else copied once for all */
        if (copies <= (cols < SHORT_ROW ? p->n_maps : 0)) p->block_rows = many;
    }
    for (ptrdiff_t v = 0; v < p->n_windows; v++)
        p->windows[v].step = step_in_place(p, &p->windows[v], p->block_rows);
}

/* Whether all is a single block with all operands in place. */
static bool is_one_block(const mapping *p)
{
    for (ptrdiff_t v = 0; v < p->n_windows; v++)
        if (p->windows[v].scratch != NULL) return false;
    return p->size[0] == 1 && p->size[1] == 1 && p->size[ROWS] == p->block_rows &&
           p->size[COLS] == p->block_cols;
}

/* With the scratch in place: which maps may run without a tail. */
static void pad(mapping *p)
{
    const bool is_block = is_one_block(p);
    for (ptrdiff_t i = 0; i < p->n_maps; i++) {
        application *m = &p->maps[i];
        const window *z = m->z < p->n_windows ? &p->windows[m->z] : NULL;
        m->pads = !m->special && (z == NULL || z->scratch != NULL || (z->padded && is_block));
        for (int o = 0; o < 3; o++) {
            if (m->place[o] >= p->n_windows) continue; /* a register, or nothing */
            const window *x = &p->windows[m->place[o]];
            m->pads &= x->scratch != NULL || x->step == 0 || x->roomy;
        }
    }
}

/* ---- parts ---- */

static void own_blocks(const mapping *p, ptrdiff_t first, ptrdiff_t last)
{
    do_blocks(p, first, last, p->at, p->place);
}

/* The same in a worker: with places and scratch on its own stack. */
static __attribute__((noinline)) void helping_blocks(const mapping *p, ptrdiff_t first,
                                                     ptrdiff_t last)
{
    double scratch[PART_REGISTERS][AD_BLOCK + 8] __attribute__((aligned(64)));
    double *at[PART_WINDOWS], *place[PART_WINDOWS + PART_REGISTERS + 1];
    ptrdiff_t n = 0;
    for (ptrdiff_t i = 0; i < p->n_windows; i++)
        place[i] = p->windows[i].scratch != NULL ? scratch[n++] : NULL;
    for (ptrdiff_t i = 0; i < p->n_registers; i++) place[p->n_windows + i] = scratch[n++];
    place[p->n_windows + p->n_registers] = NULL;
    do_blocks(p, first, last, at, place);
}

static void do_parts(void *work, ptrdiff_t first, ptrdiff_t last, int helps)
{
    const mapping *p = work;
    const ptrdiff_t blocks =
        p->size[0] * p->size[1] * p->row_blocks * p->col_blocks;
    (helps ? helping_blocks : own_blocks)(p, ad_part_begin(blocks, p->parts.n, first),
                                          ad_part_begin(blocks, p->parts.n, last));
}

/* cost: what the maps take for one number, in additions. */
static void cut(mapping *p, double cost)
{
    const ptrdiff_t *size = p->size;
    p->row_blocks = (size[2] + p->block_rows - 1) / p->block_rows;
    p->col_blocks = (size[3] + p->block_cols - 1) / p->block_cols;
    const ptrdiff_t blocks = size[0] * size[1] * p->row_blocks * p->col_blocks;
    const double numbers = (double)size[0] * (double)size[1] * (double)size[2] * (double)size[3];
    p->parts = (ad_parts){do_parts, 1};
    p->parts.n = ad_parts_of((double)blocks, numbers / (double)blocks * cost, AD_CUT_FROM_STEPS);
    ptrdiff_t copied = 0;
    for (ptrdiff_t i = 0; i < p->n_windows; i++) copied += p->windows[i].scratch != NULL;
    if (p->n_windows > PART_WINDOWS || copied + p->n_registers > PART_REGISTERS)
        p->parts.n = 1;
    if (p->parts.n > 1) /* what follows a block may be another thread's */
        for (ptrdiff_t i = 0; i < p->n_maps; i++) p->maps[i].pads = 0;
}

/* ---- loading ---- */

/* The fields of the instruction, as far as they are not in the mapping. */
typedef struct {
    ad_operand *operands; /* of the windows */
    bool *written;        /* of the windows, in the order in which the maps run */
    bool registers[MOST_REGISTERS];
    int axes;
    double cost;
} fields;

static void read_windows(ad_reader *reader, mapping *p, fields *f)
{
    p->n_windows = ad_read_count(reader, 4);
    p->windows = ad_take_memory(reader, p->n_windows, sizeof *p->windows);
    f->operands = ad_take_briefly(reader, p->n_windows, sizeof *f->operands);
    f->written = ad_take_briefly(reader, p->n_windows, sizeof *f->written);
    for (ptrdiff_t i = 0; i < p->n_windows && !ad_refused(reader); i++) {
        window *w = &p->windows[i];
        f->operands[i] = ad_read_operand(reader);
        ad_read_strides(reader, f->axes, w->stride);
        w->padded = ad_read_flag(reader);
        w->roomy = f->operands[i].space == 0; /* the arena has room after its end */
        if (w->padded && !w->roomy) ad_refuse(reader, AD_NO_ROOM);
    }
}

/* The place of an operand that a map reads; n >= 0 is a window, n < 0 register ~n, which must
 * have been written before. */
static ptrdiff_t read_input(ad_reader *reader, mapping *p, fields *f)
{
    const ptrdiff_t n = ad_read_number(reader);
    if (n >= p->n_windows) ad_refuse(reader, AD_NO_WINDOW);
    if (n < 0 && (~n >= MOST_REGISTERS || !f->registers[~n])) ad_refuse(reader, AD_UNWRITTEN);
    if (ad_refused(reader)) return 0;
    if (n >= 0 && !f->written[n]) p->windows[n].reads = 1;
    return n >= 0 ? n : p->n_windows + ~n;
}

static ptrdiff_t read_output(ad_reader *reader, mapping *p, fields *f)
{
    const ptrdiff_t n = ad_read_number(reader);
    if (n >= p->n_windows) ad_refuse(reader, AD_NO_WINDOW);
    if (n < 0 && ~n >= MOST_REGISTERS) ad_refuse(reader, AD_NO_REGISTER);
    if (ad_refused(reader)) return 0;
    if (n >= 0) {
        f->written[n] = true;
        p->windows[n].writes = 1;
        return n;
    }
    f->registers[~n] = true;
    if (p->n_registers <= ~n) p->n_registers = ~n + 1;
    return p->n_windows + ~n;
}

static void read_map(ad_reader *reader, mapping *p, fields *f, application *m)
{
    int arity;
    m->map = ad_read_map(reader, &arity, &m->special);
    if (ad_read_count(reader, 1) != arity) ad_refuse(reader, AD_OTHER_ARITY);
    for (int o = 0; o < 3; o++) {
        m->step[o] = o < arity;
        m->place[o] = o < arity ? read_input(reader, p, f) : -1; /* of the NULL, see below */
    }
    m->z = read_output(reader, p, f);
}

static void read_maps(ad_reader *reader, mapping *p, fields *f)
{
    p->n_maps = ad_read_count(reader, 3);
    p->maps = ad_take_memory(reader, p->n_maps, sizeof *p->maps);
    if (p->maps == NULL) return;
    for (ptrdiff_t i = 0; i < p->n_maps && !ad_refused(reader); i++)
        read_map(reader, p, f, &p->maps[i]);
    for (ptrdiff_t i = 0; i < p->n_maps; i++)
        for (int o = 0; o < 3; o++)
            if (p->maps[i].place[o] < 0) p->maps[i].place[o] = p->n_windows + p->n_registers;
}

/* Whether anything is written; refuses what leaves its space or is written twice. */
static bool check_windows(ad_reader *reader, const mapping *p, const fields *f)
{
    bool writes = false;
    for (ptrdiff_t i = 0; i < p->n_windows && !ad_refused(reader); i++) {
        const window *w = &p->windows[i];
        ptrdiff_t low, high;
        ad_extent(reader, f->axes, p->size, w->stride, &low, &high);
        if (w->padded && high - low > PTRDIFF_MAX - 7)
            ad_refuse_at(reader, AD_BAD_SIZE, f->operands[i].place);
        else if (w->padded)
            high = low + (high - low + 7) / 8 * 8;
        if (!ad_may_access(reader, f->operands[i], low, high, w->writes)) break;
        if (w->writes && !ad_is_apart(f->axes, p->size, w->stride))
            ad_refuse_at(reader, AD_WRITTEN_TWICE, f->operands[i].place);
        writes |= w->writes;
    }
    for (int i = 0; i < f->axes; i++) writes &= p->size[i] > 0;
    return writes;
}

/* Scratch for registers and for what is copied. */
static void place_scratch(ad_reader *reader, mapping *p)
{
    ptrdiff_t n_scratch = p->n_registers;
    p->at = ad_take_memory(reader, p->n_windows, sizeof *p->at);
    p->place = ad_take_memory(reader, p->n_windows + p->n_registers + 1, sizeof *p->place);
    if (ad_refused(reader)) return;
    for (ptrdiff_t i = 0; i < p->n_registers; i++)
        p->place[p->n_windows + i] = ad_scratch(reader, i);
    for (ptrdiff_t i = 0; i < p->n_windows; i++) {
        window *w = &p->windows[i];
        if (w->step >= 0) continue;
        w->step = 1;
        w->scratch = p->place[i] = ad_scratch(reader, n_scratch++);
    }
    for (ptrdiff_t i = 0; i < p->n_maps; i++)
        for (int o = 0; o < 3; o++)
            if (p->maps[i].place[o] < p->n_windows)
                p->maps[i].step[o] = p->windows[p->maps[i].place[o]].step;
}

static void resolve(ad_reader *reader, const mapping *p, const fields *f, ptrdiff_t place,
                    const double **where)
{
    if (place < p->n_windows)
        ad_point(reader, where, f->operands[place]);
    else
        *where = p->place[place];
}

/* A single block: pointers instead of places. */
static void make_block(ad_reader *reader, const mapping *p, const fields *f, ad_instruction *to)
{
    const ptrdiff_t n = p->block_rows * p->block_cols;
    block *made = ad_take_memory(reader, 1, sizeof *made);
    ready *maps = ad_take_memory(reader, p->n_maps, sizeof *maps);
    if (ad_refused(reader)) return;
    made->n_maps = p->n_maps;
    made->maps = maps;
    for (ptrdiff_t i = 0; i < p->n_maps; i++) {
        const application *m = &p->maps[i];
        maps[i].map = m->map;
        maps[i].n = m->pads ? (n + 7) / 8 * 8 : n;
        for (int o = 0; o < 3; o++) {
            maps[i].step[o] = m->step[o];
            resolve(reader, p, f, m->place[o], &maps[i].operand[o]);
        }
        resolve(reader, p, f, m->z, (const double **)&maps[i].z);
    }
    ad_set_instruction(to, execute_block, made, NULL);
}

static void read_fields(ad_reader *reader, mapping *p, fields *f)
{
    f->axes = (int)ad_read_sizes(reader, AXES, p->size);
    read_windows(reader, p, f);
    if (ad_refused(reader)) return;
    read_maps(reader, p, f);
    f->cost = ad_read_double(reader);
    if (!(f->cost >= 0.0 && f->cost <= DBL_MAX)) ad_refuse(reader, AD_BAD_COST);
}

static void load(ad_reader *reader, ad_instruction *to)
{
    mapping *p = ad_take_memory(reader, 1, sizeof *p);
    fields f = {0};
    if (p == NULL) return;
    read_fields(reader, p, &f);
    if (ad_refused(reader)) return;
    if (!check_windows(reader, p, &f)) {
        ad_set_instruction(to, ad_execute_nothing, p, NULL);
        return;
    }
    plan(p, f.axes);
    place_scratch(reader, p);
    if (ad_refused(reader)) return;
    pad(p);
    if (is_one_block(p)) {
        make_block(reader, p, &f, to);
        return;
    }
    for (ptrdiff_t i = 0; i < p->n_windows; i++)
        ad_point(reader, (const double **)&p->windows[i].base, f.operands[i]);
    cut(p, f.cost);
    ad_set_instruction(to, execute, p, &p->parts);
}

AD_KIND("map", load, NULL)
