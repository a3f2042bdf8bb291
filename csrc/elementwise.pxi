# Elementwise ops: a map over operands that broadcast, and gradients summed to the inputs.

cdef enum:  # what a letter in `reads` stands for; inputs count on from INPUT
    NOTHING = -1
    GRADIENT = 0
    OUTPUT = 1
    PARAMETER = 2
    INPUT = 3


cdef struct Letters:
    # A line of elementwise.def, its letters read: the same for every instruction set.
    int arity
    signed char reads[4][3]  # operands of the forward map, and of the gradients'
    bint passes[3]           # the gradient itself is the input's gradient
    bint stops[3]            # there is none
    bint by_rule[3]          # the rule in Python computes it
    bint times[3]            # what the map gives is multiplied with the gradient
    bint special             # calls SciPy's functions


cdef int read_letters(Letters* line, const ad_elementwise* entry) except -1:
    cdef int i
    line.arity = entry.arity
    line.special = entry.special
    read_operands(line, 0, entry.forward.reads)
    for i in range(entry.arity):
        reads = entry.backward[i].reads
        line.passes[i] = reads == b"same"
        line.stops[i] = reads == b"none"
        line.by_rule[i] = reads == b"rule"
        line.times[i] = len(reads) == 4 and entry.backward[i].map != NULL
        if line.times[i]:
            reads = reads[1:]
        read_operands(line, i + 1, b"" if entry.backward[i].map == NULL else reads)
    return 0


cdef int read_operands(Letters* line, int rule, bytes reads) except -1:
    inputs = b"cxy" if line.arity == 3 else b"xy"
    cdef int k
    for k in range(3):
        letter = reads[k:k + 1].lower()
        if letter == b"":
            line.reads[rule][k] = NOTHING
        elif letter in b"gzp":
            line.reads[rule][k] = b"gzp".index(letter)
        else:
            line.reads[rule][k] = INPUT + inputs.index(letter)
    return 0


cdef Letters* all_letters() except NULL:
    """Those of all lines, for as long as the process lives."""
    cdef int rows = 0
    while usable[0].elementwise[rows].name != NULL:
        rows += 1
    cdef Letters* lines = <Letters*>PyMem_Malloc(rows * sizeof(Letters))
    if lines == NULL:
        raise MemoryError
    for row in range(rows):
        read_letters(&lines[row], &usable[0].elementwise[row])
    return lines


cdef const Letters* letters = all_letters()


cdef class Elementwise(Kernel):
    cdef int row             # in the tables
    cdef const Letters* line
    cdef double parameter    # a constant of the op: power's exponent

    def __cinit__(self, int row, attributes):
        self.row = row
        self.line = &letters[row]
        self.n_inputs = self.line.arity
        self.parameter = attributes.get("exponent", 0.0)
        if self.line.special:
            load_scipy()

    cdef object forward(self, op, PyObject** x, ptrdiff_t n):
        cdef ptrdiff_t[AD_MAX_AXES] common
        cdef const ptrdiff_t* shape
        cdef const ptrdiff_t* shapes[3]
        cdef int[3] n_axes
        cdef int axes, i
        cdef bint same = True
        axes = ad_axes(x[0])
        shape = ad_shape(x[0])
        for i in range(1, <int>n):
            if not ad_same_shape(axes, shape, ad_axes(x[i]), ad_shape(x[i])):
                same = False
        if not same:
            for i in range(<int>n):
                n_axes[i] = ad_axes(x[i])
                shapes[i] = ad_shape(x[i])
            axes = ad_broadcast_shape(common, <int>n, n_axes, shapes)
            shape = common
            if axes < 0:
                misfit(op)
        z = ad_new(axes, shape)
        self.run(op, 0, kernels.elementwise[self.row].forward.map, NULL, NULL, x, axes, shape,
                 ad_data(<PyObject*>z))
        return z

    cdef object gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n
    ):
        cdef int axes = ad_axes(g)
        cdef const ptrdiff_t* shape = ad_shape(g)
        cdef bint same
        if self.line.stops[i]:
            return None
        if self.line.by_rule[i]:
            check_fit(op, g, x, n)
            inputs = [<object>x[k] for k in range(n)]
            needed = [k == i for k in range(n)]
            return by_rule(op, <object>g, <object>z, inputs, needed)[i]
        same = ad_same_shape(axes, shape, ad_axes(x[i]), ad_shape(x[i]))
        if self.line.passes[i]:
            return copy_as(g, x[i]) if same else sum_to(op, g, x[i])
        full = ad_new(axes, shape)
        self.run(op, i + 1, kernels.elementwise[self.row].backward[i].map, g, z, x, axes, shape,
                 ad_data(<PyObject*>full))
        if self.line.times[i]:
            multiply_onto(ad_data(<PyObject*>full), ad_data(g), ad_size(g))
        return full if same else sum_to(op, <PyObject*>full, x[i])

    cdef int run(
        self, op, int rule, ad_map fn, PyObject* g, PyObject* z, PyObject** x, int axes,
        const ptrdiff_t* shape, double* out
    ) except -1:
        """Apply a map to its operands, broadcast to `shape`."""
        cdef const double* data[3]
        cdef const ptrdiff_t* shapes[3]
        cdef ptrdiff_t[3] step
        cdef int[3] n_axes
        cdef int k, what
        cdef int operands = 0
        cdef bint plain = True
        cdef PyObject* operand
        cdef ptrdiff_t size = product_of(axes, shape)
        cdef PyThreadState* state
        cdef ad_loop loop
        for k in range(3):
            what = self.line.reads[rule][k]
            data[k] = NULL
            step[k] = 0
            if what == NOTHING:
                continue
            operands += 1
            n_axes[k] = 0
            shapes[k] = NULL
            if what == PARAMETER:
                data[k] = &self.parameter
                continue
            operand = g if what == GRADIENT else z if what == OUTPUT else x[what - INPUT]
            if what == OUTPUT and not ad_is_array(z):
                refuse(op, "the output", z)
            data[k] = ad_data(operand)
            n_axes[k] = ad_axes(operand)
            shapes[k] = ad_shape(operand)
            if ad_same_shape(axes, shape, n_axes[k], shapes[k]):
                step[k] = 1
            elif ad_size(operand) != 1 or n_axes[k] > axes:
                plain = False
        if not plain and ad_loop_broadcast(&loop, axes, shape, operands, n_axes, shapes) < 0:
            misfit(op)
        state = let_go(size)
        if plain:
            fn(size, data[0], step[0], data[1], step[1], data[2], step[2], out)
        else:
            ad_loop_map(&loop, fn, data, out)
        take_back(state)
        return 0


cdef int check_fit(op, PyObject* g, PyObject** x, ptrdiff_t n) except -1:
    """Raise TypeError if g has not the shape to which the inputs broadcast."""
    cdef ptrdiff_t[AD_MAX_AXES] common
    cdef const ptrdiff_t* shapes[3]
    cdef int[3] n_axes
    cdef int i, axes
    for i in range(<int>n):
        n_axes[i] = ad_axes(x[i])
        shapes[i] = ad_shape(x[i])
    axes = ad_broadcast_shape(common, <int>n, n_axes, shapes)
    if axes < 0 or not ad_same_shape(axes, common, ad_axes(g), ad_shape(g)):
        misfit(op)
    return 0


cdef object by_rule(op, g, z, list inputs, list needed):
    """The gradients by the rules in Python."""
    from autodiff.backend.reference import Reference

    return Reference().backward(op, g, z, inputs, needed)


cdef int multiply_onto(double* total, const double* g, ptrdiff_t size) except -1:
    """total = g * total; of a gradient of 0 where the slope is infinite, NaN."""
    cdef ptrdiff_t i
    for i in range(size):
        total[i] = g[i] * total[i]
    return 0


cdef object sum_to(op, PyObject* g, PyObject* like):
    """g summed over the axes along which an array shaped like `like` was broadcast."""
    cdef unsigned char[AD_MAX_AXES] reduced
    cdef const ptrdiff_t* shape = ad_shape(g)
    cdef const ptrdiff_t* target = ad_shape(like)
    cdef int axes = ad_axes(g)
    cdef int missing = axes - ad_axes(like)
    cdef int i
    cdef ad_groups groups
    if missing < 0:
        misfit(op)
    for i in range(axes):
        reduced[i] = i < missing or (target[i - missing] == 1 and shape[i] != 1)
        if not reduced[i] and target[i - missing] != shape[i]:
            misfit(op)
    z = ad_new(ad_axes(like), target)
    ad_group_axes(&groups, axes, shape, reduced)
    reduce_groups(&groups, kernels.sum, ad_data(g), ad_size(g), ad_data(<PyObject*>z))
    return z


cdef int reduce_groups(
    const ad_groups* groups, ad_reduce reduce, const double* x, ptrdiff_t size, double* z
) except -1:
    cdef ptrdiff_t work = ad_reduce_work(groups)
    cdef object memory
    cdef double* work_p = NULL
    cdef PyThreadState* state
    if work > 0:
        memory = buffer(work)
        work_p = ad_data(<PyObject*>memory)
    state = let_go(size)
    ad_reduce_groups(groups, reduce, x, z, work_p)
    take_back(state)
    return 0
