/* Kind `call_back`: outputs = function(inputs), a function of the caller's. */
#include "instruction.h"

#include "loops.h"

typedef struct {
    ad_call_back function;
    ptrdiff_t number, n_inputs, n_outputs;
    ad_array *inputs, *outputs;
} call;

static int execute(void *parameters)
{
    const call *p = parameters;
    return !p->function.call(p->function.context, p->n_inputs, p->inputs, p->n_outputs,
                             p->outputs);
}

static void fault(const void *parameters, double numbers[AD_FAULT_NUMBERS])
{
    const call *p = parameters;
    numbers[0] = (double)p->number;
    numbers[1] = 0.0;
}

static void read_shape(ad_reader *reader, ad_array *array)
{
    ptrdiff_t sizes[AD_MAX_AXES];
    array->axes = (int)ad_read_sizes(reader, AD_MAX_AXES, sizes);
    ptrdiff_t *shape = ad_take_memory(reader, array->axes, sizeof *shape);
    if (shape == NULL) return;
    array->shape = shape;
    array->size = 1;
    for (int i = 0; i < array->axes; i++)
        array->size = ad_times(reader, array->size, shape[i] = sizes[i]);
}

/* The operands of so many arrays, which point where those lie. */
static ad_operand *read_arrays(ad_reader *reader, bool writes, ptrdiff_t *n, ad_array **arrays)
{
    *n = ad_read_count(reader, 3);
    *arrays = ad_take_memory(reader, *n, sizeof **arrays);
    ad_operand *operands = ad_take_briefly(reader, *n, sizeof *operands);
    for (ptrdiff_t i = 0; i < *n && !ad_refused(reader); i++) {
        ad_array *array = &(*arrays)[i];
        operands[i] = ad_read_operand(reader);
        read_shape(reader, array);
        if (writes)
            ad_bind_output(reader, &array->data, operands[i], 0, array->size);
        else
            ad_bind(reader, (const double **)&array->data, operands[i], 0, array->size);
    }
    return operands;
}

static void load(ad_reader *reader, ad_instruction *to)
{
    call *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    ad_read_name(reader); /* of the op: for listings */
    p->number = ad_read_number(reader);
    p->function = ad_function(reader, p->number);
    const ad_operand *x = read_arrays(reader, false, &p->n_inputs, &p->inputs);
    const ad_operand *z = read_arrays(reader, true, &p->n_outputs, &p->outputs);
    for (ptrdiff_t k = 0; k < p->n_outputs && !ad_refused(reader); k++) {
        for (ptrdiff_t i = 0; i < p->n_inputs; i++)
            ad_keep_apart(reader, x[i], p->inputs[i].size, z[k], p->outputs[k].size);
        for (ptrdiff_t i = 0; i < k; i++)
            ad_keep_apart(reader, z[i], p->outputs[i].size, z[k], p->outputs[k].size);
    }
    ad_set_instruction(to, execute, p, NULL);
}

AD_KIND("call_back", load, fault)
