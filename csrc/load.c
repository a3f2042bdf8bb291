/* Reads the words of a program; see load.h. Kinds of instructions read their own fields. */
#include "load.h"

#include "lapack.h"
#include "loops.h"
#include "reader.h"

#include <stdlib.h>
#include <string.h>

ad_choose_gemm ad_blas_gemm = NULL;
ad_lapack_seeker ad_seek_lapack = NULL;

static ad_kind *all_kinds = NULL;

void ad_enter_kind(ad_kind *kind)
{
    kind->next = all_kinds;
    all_kinds = kind;
}

const char *ad_refusal_text(int code)
{
    static const char *const texts[] = {
#define AD_REFUSAL_TEXT(code, text) text,
        AD_REFUSALS(AD_REFUSAL_TEXT)
#undef AD_REFUSAL_TEXT
    };
    const int n = (int)(sizeof texts / sizeof texts[0]);
    return code >= 0 && code < n ? texts[code] : "there is no such code";
}

/* ---- programs ---- */

static void read_head(ad_reader *r)
{
    if (ad_read_word(r) != AD_MAGIC) ad_refuse(r, AD_NO_PROGRAM);
    if (ad_read_word(r) != AD_VERSION) ad_refuse(r, AD_OTHER_VERSION);
    if (ad_read_word(r) != r->end) ad_refuse(r, AD_OTHER_LENGTH);
    ad_read_names(r);
    r->program->arena_size = ad_read_size(r);
    if (r->program->arena_size > PTRDIFF_MAX - 8) ad_refuse(r, AD_BAD_SIZE);
}

static const ptrdiff_t *read_shape(ad_reader *r, int *axes, ptrdiff_t *size)
{
    ptrdiff_t sizes[AD_MAX_AXES];
    const ptrdiff_t n = ad_read_sizes(r, AD_MAX_AXES - 1, sizes);
    ptrdiff_t *shape = ad_take_memory(r, n, sizeof *shape);
    if (shape == NULL) return NULL;
    *size = 1;
    for (ptrdiff_t i = 0; i < n; i++) *size = ad_times(r, *size, shape[i] = sizes[i]);
    *axes = (int)n;
    return shape;
}

static void read_spaces(ad_reader *r, const ad_buffer *buffers, ptrdiff_t n_buffers)
{
    ad_program *p = r->program;
    const ptrdiff_t n = ad_read_count(r, 1);
    p->arguments = ad_take_memory(r, n, sizeof *p->arguments);
    if (p->arguments != NULL) p->n_arguments = n;
    for (ptrdiff_t i = 0; i < p->n_arguments; i++)
        p->arguments[i].shape = read_shape(r, &p->arguments[i].axes, &p->arguments[i].size);
    if (ad_read_word(r) != n_buffers) ad_refuse(r, AD_OTHER_BUFFERS);
    r->n_spaces = 1 + n + n_buffers;
    r->spaces = ad_take_briefly(r, r->n_spaces, sizeof *r->spaces);
    /* 64 bytes of room after the end, for blocks of eight numbers. */
    double *arena = ad_take_memory(r, p->arena_size + 8, sizeof *arena);
    if (ad_refused(r)) return;
    r->spaces[0] = (ad_buffer){arena, p->arena_size, 1};
    for (ptrdiff_t i = 0; i < n; i++)
        r->spaces[1 + i] = (ad_buffer){NULL, p->arguments[i].size, 0};
    for (ptrdiff_t i = 0; i < n_buffers; i++) r->spaces[1 + n + i] = buffers[i];
}

static const ad_kind *read_kind(ad_reader *r)
{
    ad_name *found = ad_read_named(r);
    if (found == NULL) return NULL;
    if (!found->kind_sought) {
        found->kind_sought = true;
        for (const ad_kind *kind = all_kinds; kind != NULL && found->kind == NULL;
             kind = kind->next)
            if (strcmp(kind->name, found->text) == 0) found->kind = kind;
    }
    if (found->kind == NULL) ad_refuse(r, AD_NO_KIND);
    return found->kind;
}

static void read_instruction(ad_reader *r, ptrdiff_t i)
{
    const ptrdiff_t end = r->end;
    r->refusal.instruction = i;
    const ad_kind *kind = read_kind(r);
    const ptrdiff_t n = ad_read_count(r, 1);
    if (ad_refused(r)) return;
    r->end = r->at + n;
    r->program->kinds[i] = kind;
    kind->load(r, &r->program->code[i]);
    if (!ad_refused(r) && r->at != r->end) ad_refuse_at(r, AD_TRAILING, r->at);
    if (ad_refused(r)) return;
    r->end = end;
    r->refusal.instruction = -1;
}

static void read_instructions(ad_reader *r)
{
    ad_program *p = r->program;
    const ptrdiff_t n = ad_read_count(r, 2);
    p->code = ad_take_memory(r, n, sizeof *p->code);
    p->kinds = ad_take_memory(r, n, sizeof *p->kinds);
    if (ad_refused(r)) return;
    p->n_code = n;
    for (ptrdiff_t i = 0; i < n && !ad_refused(r); i++) read_instruction(r, i);
}

static void read_results(ad_reader *r)
{
    ad_program *p = r->program;
    const ptrdiff_t n = ad_read_count(r, 3);
    p->results = ad_take_memory(r, n, sizeof *p->results);
    if (ad_refused(r)) return;
    p->n_results = n;
    for (ptrdiff_t i = 0; i < n && !ad_refused(r); i++) {
        ad_result *result = &p->results[i];
        const ad_operand operand = ad_read_operand(r);
        result->shape = read_shape(r, &result->axes, &result->size);
        ad_bind(r, &result->source, operand, 0, result->size);
    }
    if (r->at != r->end) ad_refuse_at(r, AD_TRAILING, r->at);
}

/* Each argument gets its patches, in the order in which they were noted. */
static void share_patches(ad_reader *r)
{
    ad_program *p = r->program;
    for (ptrdiff_t i = 0; i < p->n_arguments; i++) {
        ad_argument *argument = &p->arguments[i];
        argument->patches = ad_take_memory(r, argument->n_patches, sizeof *argument->patches);
        argument->n_patches = 0;
    }
    if (ad_refused(r)) return;
    for (ptrdiff_t i = 0; i < r->n_patches; i++) {
        ad_argument *argument = &p->arguments[r->patches[i].argument];
        argument->patches[argument->n_patches++] =
            (ad_patch){r->patches[i].where, r->patches[i].offset};
    }
}

int ad_program_load(ad_program *program, const int64_t *words, ptrdiff_t n_words,
                    const ad_buffer *buffers, ptrdiff_t n_buffers,
                    const ad_call_back *functions, ptrdiff_t n_functions,
                    const ad_kernels *kernels, ad_refusal *refusal)
{
    ad_reader reader = {.words = words, .end = n_words, .program = program, .kernels = kernels,
                        .functions = functions, .n_functions = n_functions,
                        .refusal = {AD_FINE, 0, -1}};
    read_head(&reader);
    if (!ad_refused(&reader)) read_spaces(&reader, buffers, n_buffers);
    if (!ad_refused(&reader)) read_instructions(&reader);
    if (!ad_refused(&reader)) read_results(&reader);
    if (!ad_refused(&reader)) share_patches(&reader);
    free(reader.scratch);
    free(reader.patches);
    ad_pool_free(&reader.brief);
    *refusal = reader.refusal;
    if (refusal->code != AD_FINE) ad_program_free(program);
    return refusal->code;
}
