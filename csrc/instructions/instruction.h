/* What a kind of instruction is written with: one file a kind, and no list of kinds anywhere.
 *
 * A kind reads its fields in the order in which autodiff/program/code/kinds/ has them. A reader
 * that has refused something gives zeros and NULL from then on; so a kind may read on, and must
 * look at `ad_refused` before it follows a pointer or makes a loop of what it read. */
#ifndef AD_INSTRUCTION_H
#define AD_INSTRUCTION_H

#include "load.h"
#include "parts.h"

#include <stdbool.h>

typedef struct ad_reader ad_reader;

/* A kind, as the loader finds it by its name. */
struct ad_kind {
    const char *name;
    /* Reads the fields and fills in execute and parameters. */
    void (*load)(ad_reader *reader, ad_instruction *to);
    /* Why an instruction has failed; NULL: none of this kind can. */
    void (*fault)(const void *parameters, double numbers[AD_FAULT_NUMBERS]);
    ad_kind *next;
};

void ad_enter_kind(ad_kind *kind);

/* At the end of a kind's file: enters it before main begins, or when the library is loaded. */
#define AD_KIND(name, load, fault)                                                            \
    static ad_kind this_kind = {name, load, fault, NULL};                                     \
    __attribute__((constructor)) static void enter_this_kind(void) { ad_enter_kind(&this_kind); }

/* ---- fields ---- */

/* place: of the word, for refusals. */
typedef struct {
    ptrdiff_t space, offset, place;
} ad_operand;

typedef struct {
    ptrdiff_t n, place;
    const int64_t *words; /* n of them */
} ad_numbers;

int64_t ad_read_word(ad_reader *reader);
ptrdiff_t ad_read_number(ad_reader *reader);
ptrdiff_t ad_read_size(ad_reader *reader); /* 0 or more */
bool ad_read_flag(ad_reader *reader);
double ad_read_double(ad_reader *reader);
ad_operand ad_read_operand(ad_reader *reader);
bool ad_read_operand_or_none(ad_reader *reader, ad_operand *operand); /* whether there is one */
const char *ad_read_name(ad_reader *reader);
ad_numbers ad_read_numbers(ad_reader *reader);

/* How many records follow, of at least `least` words each. */
ptrdiff_t ad_read_count(ad_reader *reader, ptrdiff_t least);

/* Sizes of at most `most` axes; how many. */
ptrdiff_t ad_read_sizes(ad_reader *reader, ptrdiff_t most, ptrdiff_t *sizes);

/* As many strides as there are axes. */
void ad_read_strides(ad_reader *reader, ptrdiff_t axes, ptrdiff_t *strides);

/* A map of the table in use, and how many operands it reads; NULL: there is none. */
ad_map ad_read_map(ad_reader *reader, int *arity, bool *special);

/* The function of this number, which was read last; see load.h. */
ad_call_back ad_function(ad_reader *reader, ptrdiff_t number);

/* ---- refusing ---- */

bool ad_refused(const ad_reader *reader);

/* Refuse the word that was read last, or the one at `place`; only the first refusal counts. */
void ad_refuse(ad_reader *reader, int code);
void ad_refuse_at(ad_reader *reader, int code, ptrdiff_t place);

/* x y; refuses what is too large. */
ptrdiff_t ad_times(ad_reader *reader, ptrdiff_t x, ptrdiff_t y);

/* The offsets low <= i < high that a loop of these strides visits. */
void ad_extent(ad_reader *reader, ptrdiff_t axes, const ptrdiff_t *size, const ptrdiff_t *stride,
               ptrdiff_t *low, ptrdiff_t *high);

/* Whether such a loop, whose extent was found, comes to no place twice: each axis steps over all
 * that lies within. So it cannot be longer than its space. */
bool ad_is_apart(ptrdiff_t axes, const ptrdiff_t *size, const ptrdiff_t *stride);

/* ---- memory ---- */

const ad_kernels *ad_kernels_of(const ad_reader *reader);

/* n zeroed things of `size` bytes, as long as the program lives. */
void *ad_take_memory(ad_reader *reader, ptrdiff_t n, size_t size);

/* The same, until the program is loaded. */
void *ad_take_briefly(ad_reader *reader, ptrdiff_t n, size_t size);

/* Scratch number i of the program, which all instructions share; one line more than a block,
 * so that two of them do not begin at the same place of a page. */
#define AD_BLOCK 512
double *ad_scratch(ad_reader *reader, ptrdiff_t i);

/* Whether offsets low <= i < high from the operand may be accessed; refuses if not. */
bool ad_may_access(ad_reader *reader, ad_operand operand, ptrdiff_t low, ptrdiff_t high,
                   bool writes);

/* Point *where at an operand that may be accessed: now, or at each call. */
void ad_point(ad_reader *reader, const double **where, ad_operand operand);

/* Both at once, for what is only read, and for what is written. */
void ad_bind(ad_reader *reader, const double **where, ad_operand operand, ptrdiff_t low,
             ptrdiff_t high);
void ad_bind_output(ad_reader *reader, double **where, ad_operand operand, ptrdiff_t low,
                    ptrdiff_t high);

/* Refuse an output of n_z numbers that overlaps n_x numbers of x, one after the other. */
void ad_keep_apart(ad_reader *reader, ad_operand x, ptrdiff_t n_x, ad_operand z, ptrdiff_t n_z);

/* ---- what instructions execute ---- */

/* Have an instruction do `execute`, or all parts if it has several. */
static inline void ad_set_instruction(ad_instruction *to, ad_execute execute, void *parameters,
                                      const ad_parts *parts)
{
    to->execute = parts != NULL && parts->n > 1 ? ad_execute_parts : execute;
    to->parameters = parameters;
}

#endif
