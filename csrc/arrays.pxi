# Arrays, and the C functions that loop over them.

cdef extern from "Python.h":
    PyObject** PySequence_Fast_ITEMS(object)
    PyThreadState* PyEval_SaveThread() noexcept
    void PyEval_RestoreThread(PyThreadState*) noexcept

cdef extern from "arrays.h":
    bint ad_is_array(PyObject*) noexcept
    double* ad_data(PyObject*) noexcept
    int ad_axes(PyObject*) noexcept
    const ptrdiff_t* ad_shape(PyObject*) noexcept
    ptrdiff_t ad_size(PyObject*) noexcept
    bint ad_same_shape(int, const ptrdiff_t*, int, const ptrdiff_t*) noexcept
    object ad_new(int, const ptrdiff_t*)
    bint ad_is_writeable(PyObject*) noexcept
    object ad_new_sealed(int, const ptrdiff_t*, double*, object)

cdef extern from "kernels.h":
    ctypedef void (*ad_map)(
        ptrdiff_t, const double*, ptrdiff_t, const double*, ptrdiff_t, const double*,
        ptrdiff_t, double*) noexcept nogil

    ctypedef struct ad_rule:
        const char* reads
        ad_map map

    ctypedef struct ad_elementwise:
        const char* name
        int arity
        int special
        ad_rule forward
        ad_rule backward[3]

    ctypedef void (*ad_reduce)(
        ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, double*) noexcept nogil
    ctypedef void (*ad_gemm)(
        int, int, ptrdiff_t, ptrdiff_t, ptrdiff_t, double, const double*, ptrdiff_t,
        const double*, ptrdiff_t, double, double*, ptrdiff_t) noexcept nogil
    ctypedef void (*ad_reduce_gx)(
        ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, const double*, const double*,
        double*) noexcept nogil

    ctypedef struct ad_cut:
        ptrdiff_t rows, cols

    ctypedef struct ad_kernels:
        const char* isa
        const ad_elementwise* elementwise
        ad_map add
        ad_map divide
        ad_reduce sum
        ad_reduce prod
        ad_reduce max
        ad_reduce logsumexp
        ad_reduce softmax
        ad_reduce log_softmax
        ad_reduce_gx max_gx
        ad_reduce_gx logsumexp_gx
        ad_reduce_gx softmax_gx
        ad_reduce_gx log_softmax_gx
        void (*copy_rows)(
            ptrdiff_t, ptrdiff_t, const double*, ptrdiff_t, double*, ptrdiff_t
        ) noexcept nogil
        ad_gemm gemm
        ad_gemm (*gemm_of)(
            int, int, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, double, ptrdiff_t, ad_cut*
        ) noexcept nogil
        double blas_from

    enum:
        AD_MAX_ISAS
    int ad_usable_kernels(const ad_kernels**) noexcept

cdef extern from "loops.h":
    enum:
        AD_MAX_AXES

    ctypedef struct ad_loop:
        int axes
        ptrdiff_t size[AD_MAX_AXES]
        ptrdiff_t step[3][AD_MAX_AXES]

    ctypedef struct ad_groups:
        int groups
        ptrdiff_t size[AD_MAX_AXES]
        unsigned char reduced[AD_MAX_AXES]

    int ad_loop_broadcast(
        ad_loop*, int, const ptrdiff_t*, int, const int*, const ptrdiff_t**) noexcept nogil
    void ad_loop_map(const ad_loop*, ad_map, const double* const*, double*) noexcept nogil
    void ad_loop_copy(const ad_loop*, const double*, double*) noexcept nogil
    void ad_loop_add(const ad_loop*, ad_map, const double*, double*) noexcept nogil
    int ad_broadcast_shape(ptrdiff_t*, int, const int*, const ptrdiff_t**) noexcept nogil
    void ad_group_axes(ad_groups*, int, const ptrdiff_t*, const unsigned char*) noexcept nogil
    ptrdiff_t ad_reduce_work(const ad_groups*) noexcept nogil
    void ad_reduce_groups(
        const ad_groups*, ad_reduce, const double*, double*, double*) noexcept nogil
    void ad_take(
        ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, const double*, double*
    ) noexcept nogil
    void ad_scatter(
        ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, const double*, double*
    ) noexcept nogil
    void ad_add_rows(
        ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, const double*, double*, double*,
        ptrdiff_t*, ptrdiff_t) noexcept nogil
    ptrdiff_t ad_bad_row(ptrdiff_t, ptrdiff_t, const double*) noexcept nogil


# Work on fewer numbers than this keeps the GIL: letting go of it costs about 50 ns, and a
# thread that waits for it then delays us further.
cdef ptrdiff_t LARGE = 1 << 16


cdef inline PyThreadState* let_go(ptrdiff_t work) noexcept:
    """Release the GIL if the work pays for it. To be handed to `take_back`."""
    return PyEval_SaveThread() if work >= LARGE else NULL


cdef inline void take_back(PyThreadState* state) noexcept:
    if state != NULL:
        PyEval_RestoreThread(state)


cdef object refuse(op, str what, PyObject* x):
    """TypeError: `what` is not an array that the kernels can read."""
    value = <object>x
    found = type(value).__name__
    if isinstance(value, np.ndarray):
        found = f"{value.dtype.str} array of shape {value.shape}"
    raise TypeError(
        f"{op.name}: {what} must be a C-contiguous, aligned float64 array, got a {found}")


cdef object misfit(op):
    """TypeError: shapes that the shape rule would have refused."""
    raise TypeError(f"{op.name}: the shapes of the arrays do not fit this op")


cdef enum:
    ANYTHING = -1  # inputs, outputs and gradients that are no arrays: tuples of several


cdef inline int check(op, int n_inputs, PyObject** x, ptrdiff_t n) except -1:
    """The inputs are arrays, and as many as the kernel takes; 0: any number."""
    cdef ptrdiff_t i
    if n_inputs == ANYTHING:
        return 0
    if n_inputs > 0 and n != n_inputs:
        misfit(op)
    for i in range(n):
        if not ad_is_array(x[i]):
            refuse(op, f"input {i}", x[i])
    return 0


cdef inline object new_like(PyObject* x):
    return ad_new(ad_axes(x), ad_shape(x))


cdef inline object copy_as(PyObject* x, PyObject* like):
    """A copy of x in the shape of `like`, of the same size."""
    z = ad_new(ad_axes(like), ad_shape(like))
    memcpy(ad_data(<PyObject*>z), ad_data(x), ad_size(x) * sizeof(double))
    return z


cdef inline ptrdiff_t product_of(int axes, const ptrdiff_t* shape) noexcept nogil:
    cdef ptrdiff_t size = 1
    cdef int i
    for i in range(axes):
        size *= shape[i]
    return size


cdef object buffer(ptrdiff_t size):
    """Working memory: an array of that many numbers."""
    return ad_new(1, &size)


cdef int read_shape(object shape, ptrdiff_t* sizes) except -1:
    """A tuple of sizes; returns how many."""
    cdef int i
    cdef int axes = len(shape)
    if axes > AD_MAX_AXES:
        raise TypeError(f"{axes} axes are more than {AD_MAX_AXES}")
    for i in range(axes):
        sizes[i] = shape[i]
    return axes


cdef class Kernel:
    """What is prepared for one bound op. Subclasses: one for each kind of op.

    The methods get borrowed references: x[0] ... x[n - 1] are the inputs, of which the
    caller holds a tuple. It has checked that they are arrays, and how many; the methods check
    the shapes, and the output if they read it.
    """

    cdef int n_inputs  # 0: any number; or ANYTHING

    cdef object forward(self, op, PyObject** x, ptrdiff_t n):
        raise NotImplementedError

    cdef object gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n
    ):
        """The gradient of input i, or None. g is checked to be an array."""
        raise NotImplementedError

    cdef list gradients(
        self, op, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n, needed
    ):
        """One entry an input: its gradient, None where it is not needed or there is none.

        Ops of many inputs do them all in one pass, where this would scan all for each.
        """
        cdef int i
        cdef list found = []
        for i in range(<int>n):
            found.append(self.gradient(op, i, g, z, x, n) if needed[i] else None)
        return found

    cdef int add_gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n, PyObject* total
    ) except -1:
        """Add the gradient of input i, if there is one, onto `total`, checked to be an array
        of the input's shape that may be written."""
        gradient = self.gradient(op, i, g, z, x, n)
        if gradient is not None:
            add_onto(ad_data(total), ad_data(<PyObject*>gradient), ad_size(total))
        return 0


cdef int add_onto(double* total, const double* x, ptrdiff_t size) except -1:
    cdef PyThreadState* state = let_go(size)
    kernels.add(size, total, 1, x, 1, NULL, 0, total)
    take_back(state)
    return 0
