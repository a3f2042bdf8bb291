/* What reads the words of a program, from within: load.c and reader.c. Kinds of instructions see
 * instructions/instruction.h. */
#ifndef AD_READER_H
#define AD_READER_H

#include "instructions/instruction.h"

/* A name of the table, and what it was found to be the name of. */
typedef struct {
    const char *text;
    const ad_kind *kind;
    ad_map map;
    int arity;
    bool kind_sought, map_sought, special;
} ad_name;

typedef struct {
    ptrdiff_t argument;
    double **where;
    ptrdiff_t offset;
} ad_noted_patch;

struct ad_reader {
    const int64_t *words;
    ptrdiff_t at, end; /* end: of the instruction, or of all */
    ad_program *program;
    const ad_kernels *kernels;
    const ad_call_back *functions;
    ptrdiff_t n_functions;
    ad_refusal refusal;
    ad_buffer *spaces;
    ptrdiff_t n_spaces;
    ad_name *names;
    ptrdiff_t n_names;
    double **scratch;
    ptrdiff_t n_scratch;
    ad_noted_patch *patches; /* those and their number; room: for how many */
    ptrdiff_t n_patches, patch_room;
    ad_pool brief; /* for what the program does not need */
};

void ad_read_names(ad_reader *reader);
ad_name *ad_read_named(ad_reader *reader); /* NULL: there is none */

#endif
