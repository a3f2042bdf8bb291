/* Kind `call_back`: z = function(inputs), a function of the caller's. */
#include "instruction.h"

#include "loops.h"

typedef struct {
    ad_call_back function;
    ptrdiff_t number, n_inputs;
    ad_array *inputs;
    ad_array output;
} call;

static int execute(void *parameters)
{
    const call *p = parameters;
    return !p->function.call(p->function.context, p->n_inputs, p->inputs, &p->output);
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

static void load(ad_reader *reader, ad_instruction *to)
{
    call *p = ad_take_memory(reader, 1, sizeof *p);
    if (p == NULL) return;
    ad_read_name(reader); /* of the op: for listings */
    p->number = ad_read_number(reader);
    p->function = ad_function(reader, p->number);
    p->n_inputs = ad_read_count(reader, 3);
    p->inputs = ad_take_memory(reader, p->n_inputs, sizeof *p->inputs);
    ad_operand *operands = ad_take_briefly(reader, p->n_inputs, sizeof *operands);
    for (ptrdiff_t i = 0; i < p->n_inputs && !ad_refused(reader); i++) {
        operands[i] = ad_read_operand(reader);
        read_shape(reader, &p->inputs[i]);
        ad_bind(reader, (const double **)&p->inputs[i].data, operands[i], 0, p->inputs[i].size);
    }
    const ad_operand z = ad_read_operand(reader);
    read_shape(reader, &p->output);
    ad_bind_output(reader, &p->output.data, z, 0, p->output.size);
    for (ptrdiff_t i = 0; i < p->n_inputs && !ad_refused(reader); i++)
        ad_keep_apart(reader, operands[i], p->inputs[i].size, z, p->output.size);
    ad_set_instruction(to, execute, p, NULL);
}

AD_KIND("call_back", load, fault)
