# Functions of Python's that programs call back.

cdef extern from "load.h":
    ctypedef struct ad_array:
        double* data
        ptrdiff_t size
        int axes
        const ptrdiff_t* shape
    ctypedef struct ad_call_back:
        int (*call)(
            void*, ptrdiff_t, const ad_array*, ptrdiff_t, const ad_array*) noexcept nogil
        void* context

cdef struct Function:
    PyObject* function  # takes a list of arrays, gives another
    PyObject* program   # which keeps it alive

cdef dict raised = {}  # by thread: what a function has raised, until the program's caller has it


cdef list copies_of(ptrdiff_t n, const ad_array* x):
    """Arrays that a function may keep: the program's memory will hold something else."""
    cdef ptrdiff_t i
    cdef list copies = []
    for i in range(n):
        copy = ad_new(x[i].axes, x[i].shape)
        if x[i].size > 0:
            memcpy(ad_data(<PyObject*>copy), x[i].data, x[i].size * sizeof(double))
        copies.append(copy)
    return copies


cdef int fill(const ad_array* output, value) except -1:
    """Copy what a function gives to where it belongs."""
    if not ad_is_array(<PyObject*>value) or not ad_same_shape(
            output.axes, output.shape, ad_axes(<PyObject*>value), ad_shape(<PyObject*>value)):
        shape = tuple([output.shape[i] for i in range(output.axes)])
        raise TypeError("a function must give aligned, C-contiguous float64 arrays, here of shape "
                        f"{shape}, not {value!r}")
    if output.size > 0:
        memcpy(output.data, ad_data(<PyObject*>value), output.size * sizeof(double))
    return 0


cdef int call_function(
    void* context, ptrdiff_t n_inputs, const ad_array* inputs, ptrdiff_t n_outputs,
    const ad_array* outputs
) noexcept with gil:
    """Whether the function has filled the outputs; if not, what it raised is in `raised`."""
    cdef Function* f = <Function*>context
    cdef Calling calling
    cdef ptrdiff_t i
    begin_calling(&calling, (<Executor>f.program).lock)
    try:
        values = (<object>f.function)(copies_of(n_inputs, inputs))
        if type(values) is not list or len(values) != n_outputs:
            raise TypeError(f"a function must give a list of {n_outputs} arrays, not {values!r}")
        for i in range(n_outputs):
            fill(&outputs[i], values[i])
        return 1
    except BaseException as error:
        raised[PyThread_get_thread_ident()] = error
        return 0
    finally:
        end_calling(&calling)
