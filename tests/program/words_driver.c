/* Loads the words of a program from a file and runs it, without Python: csrc/load.c has none.
 *
 * The file: numbers of words, of buffers, of numbers of arguments; the words; each buffer as its
 * size and its numbers; the numbers of the arguments, one after the other. Prints the results, one
 * number a line, or why the words are refused or an instruction has failed. */
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void *read_all(FILE *file, size_t n, size_t size)
{
    void *data = malloc(n > 0 ? n * size : 1);
    if (data == NULL || fread(data, size, n, file) != n) {
        puts("the file is too short");
        exit(2);
    }
    return data;
}

static int print_results(const ad_program *program)
{
    double **to = calloc((size_t)program->n_results + 1, sizeof *to);
    if (to == NULL) return 2;
    for (ptrdiff_t i = 0; i < program->n_results; i++)
        to[i] = calloc((size_t)program->results[i].size + 1, sizeof *to[i]);
    ad_program_copy_results(program, to);
    for (ptrdiff_t i = 0; i < program->n_results; i++) {
        for (ptrdiff_t k = 0; k < program->results[i].size; k++) printf("%a\n", to[i][k]);
        free(to[i]);
    }
    free(to);
    return 0;
}

static int run(ad_program *program, const double *numbers)
{
    const double **arguments = calloc((size_t)program->n_arguments + 1, sizeof *arguments);
    if (arguments == NULL) return 2;
    for (ptrdiff_t i = 0; i < program->n_arguments; i++) {
        arguments[i] = numbers;
        numbers += program->arguments[i].size;
    }
    ad_program_bind(program, arguments);
    const ad_fault fault = ad_program_run(program);
    free(arguments);
    if (fault.instruction < 0) return print_results(program);
    printf("instruction %td failed: %g, %g\n", fault.instruction, fault.numbers[0],
           fault.numbers[1]);
    return 1;
}

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    const ad_kernels *usable[AD_MAX_ISAS];
    const int n_usable = ad_usable_kernels(usable);
    ad_program program = {0};
    ad_refusal refusal;
    if (file == NULL) return 2;
    int64_t *head = read_all(file, 3, sizeof *head);
    int64_t *words = read_all(file, (size_t)head[0], sizeof *words);
    ad_buffer *buffers = calloc((size_t)head[1] + 1, sizeof *buffers);
    for (int64_t i = 0; i < head[1]; i++) {
        int64_t *size = read_all(file, 1, sizeof *size);
        buffers[i].size = (ptrdiff_t)*size;
        buffers[i].data = read_all(file, (size_t)*size, sizeof(double));
        buffers[i].writable = 1;
        free(size);
    }
    double *numbers = read_all(file, (size_t)head[2], sizeof *numbers);
    int status = 3;
    if (ad_program_load(&program, words, (ptrdiff_t)head[0], buffers, (ptrdiff_t)head[1], NULL, 0,
                        usable[n_usable - 1], &refusal) == AD_FINE)
        status = run(&program, numbers);
    else
        printf("refused, word %td, instruction %td: %s\n", refusal.place, refusal.instruction,
               ad_refusal_text(refusal.code));
    ad_program_free(&program);
    for (int64_t i = 0; i < head[1]; i++) free(buffers[i].data);
    free(buffers);
    free(numbers);
    free(words);
    free(head);
    fclose(file);
    return status;
}
