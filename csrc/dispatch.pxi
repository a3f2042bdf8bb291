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
        return self.gradients(op, g, z, x, n, [k == i for k in range(n)])[i]

    cdef list gradients(
        self, op, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n, needed
    ):
        inputs = [<object>x[k] for k in range(n)]
        return self.reference.backward(op, <object>g, <object>z, inputs, needed)

    cdef int add_gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n, PyObject* total
    ) except -1:
        inputs = [<object>x[k] for k in range(n)]
        self.reference.add_gradient(op, i, <object>g, <object>z, inputs, <object>total)
        return 0


cdef class ReductionGradient(ByRule):
    """The gradient of a reduction as an op: of g, z and x, or of g and z. Its own is by its rules."""

    cdef Reduction reduction

    def __cinit__(self, int kind, attributes):
        self.n_inputs = 2 if kind > LOGSUMEXP else 3
        self.reduction = Reduction(kind, attributes)

    cdef object forward(self, op, PyObject** x, ptrdiff_t n):
        return self.reduction.gradient(op, 0, x[0], x[1], x + n - 1, 1)

    cdef list gradients(
        self, op, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n, needed
    ):
        if not ad_same_shape(ad_axes(g), ad_shape(g), ad_axes(x[n - 1]), ad_shape(x[n - 1])):
            misfit(op)
        return ByRule.gradients(self, op, g, z, x, n, needed)


cdef class OfSeveral(ByRule):
    """An op with several outputs: values and gradients are tuples, and the rules know that."""

    def __cinit__(self):
        self.n_inputs = ANYTHING


cdef class OneOutput(Kernel):
    """One of the values of such an op: the array itself; its gradient in its place of a tuple."""

    cdef Py_ssize_t number, count

    def __cinit__(self, attributes):
        self.n_inputs = ANYTHING
        self.number = attributes["number"]
        self.count = attributes["count"]

    cdef object forward(self, op, PyObject** x, ptrdiff_t n):
        if n != 1 or not isinstance(<object>x[0], tuple):
            misfit(op)
        return (<object>x[0])[self.number]

    cdef object gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n
    ):
        cdef list places = [None] * self.count
        places[self.number] = <object>g
        return tuple(places)


# What makes the kernel of an op: a function of its attributes.
MAKERS = {
    "output": OneOutput,
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
        if name not in ("_multiply_add", "_multiply_subtract"):  # those are of programs only
            MAKERS[name] = lambda attributes, row=row: Elementwise(row, attributes)
        row += 1
    for name, kind in CUMULATIVE.items():
        MAKERS[name] = lambda attributes, kind=kind: Cumulative(kind, attributes)
    for name, kind in REDUCTIONS.items():
        MAKERS[name] = lambda attributes, kind=kind: Reduction(kind, attributes)
        if kind >= MAX:
            MAKERS[f"_{name}_gradient"] = (
                lambda attributes, kind=kind: ReductionGradient(kind, attributes))
    return 0

fill_makers()


def kernel_names():
    """Names of the ops that have kernels."""
    return tuple(name for name in MAKERS if name != "output")  # which is in no table


cdef Kernel prepare(op):
    """Make the kernel of a bound op, and keep it there."""
    make = MAKERS.get(op.name)
    if make is not None:
        kernel = make(op.attributes)
    else:
        kernel = OfSeveral() if op.op.several else ByRule()
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
    cdef PyObject** x = PySequence_Fast_ITEMS(held)
    cdef ptrdiff_t n = len(held)
    check(op, kernel.n_inputs, x, n)
    return kernel.forward(op, x, n)


def backward(op, gradient, output, inputs, needed):
    """Gradients of the inputs, fresh arrays; None where not needed or where there is none."""
    cdef Kernel kernel = kernel_of(op)
    cdef tuple held = inputs if type(inputs) is tuple else tuple(inputs)
    cdef PyObject** x = PySequence_Fast_ITEMS(held)
    cdef ptrdiff_t n = len(held)
    check(op, kernel.n_inputs, x, n)
    if kernel.n_inputs != ANYTHING and not ad_is_array(<PyObject*>gradient):
        refuse(op, "the gradient", <PyObject*>gradient)
    if len(needed) != n:
        raise TypeError(f"{op.name}: {n} inputs, but {len(needed)} answers which are needed")
    return kernel.gradients(op, <PyObject*>gradient, <PyObject*>output, x, n, needed)


def add_gradient(op, Py_ssize_t position, gradient, output, inputs, total):
    """Add the gradient of input `position` onto `total` in place; returns `total`.

    The caller owns `total`: it is written, so nobody else may hold it, and it shares memory with
    no other argument.
    """
    cdef Kernel kernel = kernel_of(op)
    cdef tuple held = inputs if type(inputs) is tuple else tuple(inputs)
    cdef PyObject** x = PySequence_Fast_ITEMS(held)
    cdef PyObject* sum = <PyObject*>total
    cdef ptrdiff_t n = len(held)
    check(op, kernel.n_inputs, x, n)
    if kernel.n_inputs != ANYTHING and not ad_is_array(<PyObject*>gradient):
        refuse(op, "the gradient", <PyObject*>gradient)
    if not ad_is_array(sum):
        refuse(op, "the total", sum)
    if not ad_is_writeable(sum):
        raise TypeError(f"{op.name}: the total must be an array that may be written")
    if not 0 <= position < n:
        raise TypeError(f"{op.name}: {n} inputs, none of which has the number {position}")
    if not ad_same_shape(ad_axes(sum), ad_shape(sum), ad_axes(x[position]), ad_shape(x[position])):
        misfit(op)
    kernel.add_gradient(
        op, <int>position, <PyObject*>gradient, <PyObject*>output, x, n, sum)
    return total
