#define _POSIX_C_SOURCE 200809L

#include "program.h"

#include "instructions/instruction.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- memory ---- */

/* The sanitizer sees what leaves a block of memory: there each piece has its own. */
#ifdef __SANITIZE_ADDRESS__
#define LEAST_CHUNK 0
#else
#define LEAST_CHUNK (1 << 14)
#endif

struct ad_chunk {
    ad_chunk *next;
    void *block; /* as calloc gave it */
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
        const size_t least = LEAST_CHUNK, whole = head + (size < least ? least : size);
        /* calloc: a page of a large arena is there when it is first used. */
        void *block = calloc(1, whole + AD_LINE);
        if (block == NULL) return NULL;
        chunk = (ad_chunk *)(((uintptr_t)block + AD_LINE - 1) / AD_LINE * AD_LINE);
        chunk->next = pool->chunks;
        chunk->block = block;
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
        free(pool->chunks->block);
        pool->chunks = next;
    }
    pool->bytes = 0;
}

/* ---- programs ---- */

int ad_execute_nothing(void *parameters)
{
    (void)parameters;
    return 0;
}

void ad_program_free(ad_program *program)
{
    ad_pool_free(&program->pool);
    memset(program, 0, sizeof *program);
}

void ad_program_bind(ad_program *program, const double *const *arguments)
{
    for (ptrdiff_t i = 0; i < program->n_arguments; i++) {
        ad_argument *argument = &program->arguments[i];
        if (argument->bound == arguments[i]) continue;
        argument->bound = arguments[i];
        const ad_patch *patch = argument->patches, *end = patch + argument->n_patches;
        /* The loader let nobody write through these. */
        for (; patch != end; patch++)
            *patch->where = (double *)(uintptr_t)(arguments[i] + patch->offset);
    }
}

static const ad_fault no_fault = {-1, {0.0}};

static ad_fault fault_of(const ad_program *program, ptrdiff_t i)
{
    ad_fault fault = {i, {0.0}};
    if (program->kinds[i]->fault != NULL)
        program->kinds[i]->fault(program->code[i].parameters, fault.numbers);
    return fault;
}

int ad_program_can_fail(const ad_program *program)
{
    for (ptrdiff_t i = 0; i < program->n_code; i++)
        if (program->kinds[i]->fault != NULL) return 1;
    return 0;
}

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
