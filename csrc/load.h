/* From 64-bit words to a program: the only loader, whoever calls. No Python in it.
 *
 * autodiff/program/code/words.py says what the words are. Every field and every access is
 * checked here, once: in what is accepted nothing can go wrong but what a kind reports as its
 * fault. What is refused has a code, and the place of the word. */
#ifndef AD_LOAD_H
#define AD_LOAD_H

#include "kernels.h"
#include "program.h"

#include <stdint.h>

#define AD_MAGIC INT64_C(0x6175746F64696666) /* "autodiff" */
#define AD_VERSION 1

/* Memory that the program reads where it lies, and writes if it may. */
typedef struct {
    double *data;
    ptrdiff_t size;
    int writable;
} ad_buffer;

/* An operand of a function that the program calls back. */
typedef struct {
    double *data; /* only outputs may be written */
    ptrdiff_t size;
    int axes;
    const ptrdiff_t *shape;
} ad_array;

/* A function that the program calls back, which fills the outputs, and returns whether it has.
 * It is called from the thread that runs the program, and must not run the program itself. */
typedef struct {
    int (*call)(void *context, ptrdiff_t n_inputs, const ad_array *inputs,
                ptrdiff_t n_outputs, const ad_array *outputs);
    void *context;
} ad_call_back;

/* Why words are refused: a code and its text. */
#define AD_REFUSALS(X)                                                                        \
    X(AD_FINE, "nothing is wrong")                                                            \
    X(AD_NO_MEMORY, "there is not enough memory")                                             \
    X(AD_NO_PROGRAM, "the words do not begin as those of a program do")                       \
    X(AD_OTHER_VERSION, "the words are of a version that this library does not read")         \
    X(AD_OTHER_LENGTH, "there are more or fewer words than they say")                         \
    X(AD_CUT_SHORT, "the words end before what they describe does")                           \
    X(AD_TRAILING, "something follows where nothing may")                                     \
    X(AD_BAD_NAME, "a name is no UTF-8 padded with zeros, or is there twice")                 \
    X(AD_NO_NAME, "there is no name of this number")                                          \
    X(AD_NO_KIND, "there is no such instruction")                                             \
    X(AD_NO_OP, "there is no such map, or this kind of instruction does not have it")         \
    X(AD_BAD_FLAG, "a flag is neither 0 nor 1")                                               \
    X(AD_BAD_SIZE, "a size is negative, or sizes are too large together")                     \
    X(AD_BAD_COUNT, "a count is negative, or larger than what follows")                       \
    X(AD_BAD_COST, "a cost is negative or not finite")                                        \
    X(AD_MANY_AXES, "there are too many axes")                                                \
    X(AD_BAD_STRIDES, "the number of strides is not the number of axes")                      \
    X(AD_OTHER_BUFFERS, "the program has more or fewer buffers than there are")               \
    X(AD_NO_FUNCTION, "there is no function of this number")                                  \
    X(AD_NO_SPACE, "there is no space of this number")                                        \
    X(AD_OUTSIDE, "an access leaves its space")                                               \
    X(AD_READ_ONLY, "what would be written is read-only")                                     \
    X(AD_NO_WINDOW, "there is no operand of this number")                                     \
    X(AD_NO_REGISTER, "there is no register of this number")                                  \
    X(AD_UNWRITTEN, "a register is read before it is written")                                \
    X(AD_OTHER_ARITY, "the op reads more or fewer inputs")                                    \
    X(AD_WRITTEN_TWICE, "an output is written several times in the same place")               \
    X(AD_OVERLAP, "an output overlaps what is read")                                          \
    X(AD_NO_ROOM, "there is no room after an operand: only the arena has some")               \
    X(AD_CLOSE_ROWS, "the rows of a matrix overlap")                                          \
    X(AD_NO_ELEMENTS, "nothing has no maximum, and rows may not be empty")                    \
    X(AD_NO_LAPACK, "there is no LAPACK that can be called")

enum {
#define AD_REFUSAL_CODE(code, text) code,
    AD_REFUSALS(AD_REFUSAL_CODE)
#undef AD_REFUSAL_CODE
};

/* place: of the word; instruction: its number, -1 where it is in none. */
typedef struct {
    int code;
    ptrdiff_t place, instruction;
} ad_refusal;

const char *ad_refusal_text(int code);

/* Make a program of zeros one that can be run, for the kernels of a table. Returns AD_FINE, or
 * the code of the refusal; the program is then as it was. The buffers must outlive it, and what
 * the functions need; the two lists are not needed afterwards. */
int ad_program_load(ad_program *program, const int64_t *words, ptrdiff_t n_words,
                    const ad_buffer *buffers, ptrdiff_t n_buffers,
                    const ad_call_back *functions, ptrdiff_t n_functions,
                    const ad_kernels *kernels, ad_refusal *refusal);

/* Asked for each product: a function that is faster than our kernel, or NULL. Whoever has a BLAS
 * sets it; NULL: own kernels only. */
typedef ad_gemm (*ad_choose_gemm)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, ptrdiff_t lda,
                                  ptrdiff_t ldb, ptrdiff_t ldc);
extern ad_choose_gemm ad_blas_gemm;

#endif
