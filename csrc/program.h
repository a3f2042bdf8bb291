/* A recorded program: an array of instructions over raw memory, and the loop that runs it.
 *
 * load.c checks the words of a program and fills these structures, pointers and all; what the
 * instructions are is in instructions/. From then on an instruction can fail only in ways that
 * its kind reports. Nothing here needs the GIL or allocates but ad_pool_take. */
#ifndef AD_PROGRAM_H
#define AD_PROGRAM_H

#include <stddef.h>

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

typedef struct ad_kind ad_kind; /* instructions/instruction.h */

/* Returns 0, or 1 if it has failed; the kind's `fault` then says why. */
typedef int (*ad_execute)(void *parameters);

typedef struct {
    ad_execute execute;
    void *parameters;
} ad_instruction;

int ad_execute_nothing(void *);

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
    const ad_kind **kinds; /* of the instructions */
    ptrdiff_t n_code;
    ad_argument *arguments;
    ptrdiff_t n_arguments;
    ad_result *results;
    ptrdiff_t n_results;
    ptrdiff_t arena_size;
    ad_pool pool; /* has all of it */
} ad_program;

void ad_program_free(ad_program *program);

/* The instruction that failed, and what its kind tells of it; -1: none has. */
#define AD_FAULT_NUMBERS 2
typedef struct {
    ptrdiff_t instruction;
    double numbers[AD_FAULT_NUMBERS];
} ad_fault;

/* Whether an instruction of the program can fail at all. */
int ad_program_can_fail(const ad_program *program);

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
