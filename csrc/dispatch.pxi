# From a bound op to its kernel, and the two functions that Python calls.

cdef class ByRule(Kernel):
    """An op of the user's, without a kernel: the reference back end computes it."""

    cdef object reference

    def __cinit__(self):
        from autodiff.backend.reference import Reference

        self.reference = Reference()

    cdef object forward(self, op, PyObject** x, ptrdiff_t n):
        return self.reference.forward(op, [<object>x[i] for i in range(n)])

    cdef object gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n
    ):
        inputs = [<object>x[k] for k in range(n)]
        needed = [k == i for k in range(n)]
        return self.reference.backward(op, <object>g, <object>z, inputs, needed)[i]


# What makes the kernel of an op: a function of its attributes.
MAKERS = {
    "matmul": lambda attributes: Matmul(),
    "reshape": Reshape,
    "broadcast_to": BroadcastTo,
    "transpose": Transpose,
    "concat": Concat,
    "getitem": lambda attributes: Slice(False, attributes),
    "scatter_slice": lambda attributes: Slice(True, attributes),
    "take": lambda attributes: RowsByNumber(False, attributes),
    "scatter_rows": lambda attributes: RowsByNumber(True, attributes),
}

cdef int fill_makers() except -1:
    cdef int row = 0
    while usable[0].elementwise[row].name != NULL:
        name = usable[0].elementwise[row].name.decode()
        if not name.startswith("_"):  # those are of programs only
            MAKERS[name] = lambda attributes, row=row: Elementwise(row, attributes)
        row += 1
    for name, kind in REDUCTIONS.items():
        MAKERS[name] = lambda attributes, kind=kind: Reduction(kind, attributes)
    return 0

fill_makers()


def kernel_names():
    """Names of the ops that have kernels."""
    return tuple(MAKERS)


cdef Kernel prepare(op):
    """Make the kernel of a bound op, and keep it there."""
    make = MAKERS.get(op.name)
    kernel = ByRule() if make is None else make(op.attributes)
    op.kernel = kernel
    return kernel


cdef inline Kernel kernel_of(op):
    kernel = op.kernel
    return <Kernel>kernel if isinstance(kernel, Kernel) else prepare(op)


def forward(op, inputs):
    """The value of `op`, a fresh array."""
    cdef Kernel kernel = kernel_of(op)
    # A tuple, so that nobody takes the arrays away while we read them.
    cdef tuple held = inputs if type(inputs) is tuple else tuple(inputs)
    return kernel.forward(op, PySequence_Fast_ITEMS(held), len(held))


def backward(op, gradient, output, inputs, needed):
    """Gradients of the inputs, fresh arrays; None where not needed or where there is none."""
    cdef Kernel kernel = kernel_of(op)
    cdef tuple held = inputs if type(inputs) is tuple else tuple(inputs)
    cdef PyObject** x = PySequence_Fast_ITEMS(held)
    cdef ptrdiff_t n = len(held)
    cdef int i
    cdef list gradients = []
    check(op, x, n)
    if not ad_is_array(<PyObject*>gradient):
        refuse(op, "the gradient", <PyObject*>gradient)
    if len(needed) != n:
        raise TypeError(f"{op.name}: {n} inputs, but {len(needed)} answers which are needed")
    for i in range(<int>n):
        if needed[i]:
            gradients.append(
                kernel.gradient(op, i, <PyObject*>gradient, <PyObject*>output, x, n))
        else:
            gradients.append(None)
    return gradients
