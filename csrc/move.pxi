# Ops that move elements: one strided copy serves them.

cdef inline void copy_shape(ptrdiff_t* to, const ptrdiff_t* shape, int axes) noexcept nogil:
    cdef int i
    for i in range(axes):  # memcpy must not be given the NULL of no axes
        to[i] = shape[i]


cdef int contiguous_steps(int axes, const ptrdiff_t* shape, ptrdiff_t* step) except -1:
    cdef ptrdiff_t size = 1
    cdef int i
    for i in range(axes - 1, -1, -1):
        step[i] = size
        size *= shape[i]
    return 0


cdef int copy(const ad_loop* loop, const double* x, double* z) except -1:
    cdef PyThreadState* state = let_go(product_of(loop.axes, loop.size))
    ad_loop_copy(loop, x, z)
    take_back(state)
    return 0


# Kernels are many: a graph over 10,000 time steps has as many slices. So each takes no more memory
# than it needs for its own axes.

cdef void* memory_of(size_t n, size_t size) except NULL:
    """Memory for n items, cleared, that PyMem_Free gives back."""
    cdef void* memory = PyMem_Calloc(n, size)
    if memory == NULL:
        raise MemoryError
    return memory


cdef ptrdiff_t* sizes_of(object shape, int* axes) except NULL:
    """Memory that holds the sizes, which may be too many; and how many they are."""
    cdef ptrdiff_t[AD_MAX_AXES] sizes
    axes[0] = read_shape(shape, sizes)
    cdef ptrdiff_t* kept = <ptrdiff_t*>memory_of(axes[0], sizeof(ptrdiff_t))
    copy_shape(kept, sizes, axes[0])
    return kept


cdef class Reshape(Kernel):
    cdef int axes
    cdef ptrdiff_t* shape

    def __cinit__(self, attributes):
        self.n_inputs = 1
        self.shape = sizes_of(attributes["shape"], &self.axes)

    def __dealloc__(self):
        PyMem_Free(self.shape)

    cdef object forward(self, op, PyObject** x, ptrdiff_t n):
        if ad_size(x[0]) != product_of(self.axes, self.shape):
            misfit(op)
        z = ad_new(self.axes, self.shape)
        memcpy(ad_data(<PyObject*>z), ad_data(x[0]), ad_size(x[0]) * sizeof(double))
        return z

    cdef object gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n
    ):
        if ad_size(g) != ad_size(x[0]):
            misfit(op)
        return copy_as(g, x[0])


cdef class BroadcastTo(Kernel):
    cdef int axes
    cdef ptrdiff_t* shape

    def __cinit__(self, attributes):
        self.n_inputs = 1
        self.shape = sizes_of(attributes["shape"], &self.axes)

    def __dealloc__(self):
        PyMem_Free(self.shape)

    cdef object forward(self, op, PyObject** x, ptrdiff_t n):
        cdef ad_loop loop
        cdef ptrdiff_t step = 1
        cdef int i, missing
        cdef ptrdiff_t size
        missing = self.axes - ad_axes(x[0])
        if missing < 0:
            misfit(op)
        loop.axes = self.axes
        contiguous_steps(self.axes, self.shape, loop.step[0])
        for i in range(self.axes - 1, -1, -1):
            size = 1 if i < missing else ad_shape(x[0])[i - missing]
            if size != 1 and size != self.shape[i]:
                misfit(op)
            loop.size[i] = self.shape[i]
            loop.step[1][i] = 0 if size == 1 else step
            step *= size
        z = ad_new(self.axes, self.shape)
        copy(&loop, ad_data(x[0]), ad_data(<PyObject*>z))
        return z

    cdef object gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n
    ):
        if not ad_same_shape(self.axes, self.shape, ad_axes(g), ad_shape(g)):
            misfit(op)
        return sum_to(op, g, x[0])


cdef class Transpose(Kernel):
    cdef int axes
    cdef int* order
    cdef int* inverse

    def __cinit__(self, attributes):
        cdef int i
        self.n_inputs = 1
        self.axes = len(attributes["axes"])
        if sorted(attributes["axes"]) != list(range(self.axes)) or self.axes > AD_MAX_AXES:
            raise TypeError(f"{attributes['axes']} is no order of axes")
        self.order = <int*>memory_of(2 * self.axes, sizeof(int))
        self.inverse = self.order + self.axes
        for i in range(self.axes):
            self.order[i] = attributes["axes"][i]
            self.inverse[self.order[i]] = i

    def __dealloc__(self):
        PyMem_Free(self.order)

    cdef object permuted(self, op, PyObject* x, const int* order):
        cdef ad_loop loop
        cdef ptrdiff_t[AD_MAX_AXES] step
        cdef int i
        if ad_axes(x) != self.axes:
            misfit(op)
        contiguous_steps(self.axes, ad_shape(x), step)
        loop.axes = self.axes
        for i in range(self.axes):
            loop.size[i] = ad_shape(x)[order[i]]
            loop.step[1][i] = step[order[i]]
        contiguous_steps(self.axes, loop.size, loop.step[0])
        z = ad_new(self.axes, loop.size)
        copy(&loop, ad_data(x), ad_data(<PyObject*>z))
        return z

    cdef object forward(self, op, PyObject** x, ptrdiff_t n):
        return self.permuted(op, x[0], self.order)

    cdef object gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n
    ):
        return self.permuted(op, g, self.inverse)


cdef class Concat(Kernel):
    cdef int axis

    def __cinit__(self, attributes):
        self.axis = attributes["axis"]

    cdef ptrdiff_t whole(self, op, PyObject** x, ptrdiff_t n) except -1:
        """Size of the joined axis; every part must fit."""
        cdef int axes, i
        cdef ptrdiff_t k
        cdef ptrdiff_t size = 0
        if n == 0 or not 0 <= self.axis < ad_axes(x[0]):
            misfit(op)
        axes = ad_axes(x[0])
        for k in range(n):
            if ad_axes(x[k]) != axes:
                misfit(op)
            for i in range(axes):
                if i != self.axis and ad_shape(x[k])[i] != ad_shape(x[0])[i]:
                    misfit(op)
            size += ad_shape(x[k])[self.axis]
        return size

    cdef object forward(self, op, PyObject** x, ptrdiff_t n):
        cdef ptrdiff_t[AD_MAX_AXES] shape
        cdef ptrdiff_t outer, row, width, i, k
        cdef ptrdiff_t at = 0
        cdef int axes
        cdef double* z_p
        cdef double* x_p
        width = self.whole(op, x, n)
        axes = ad_axes(x[0])
        copy_shape(shape, ad_shape(x[0]), axes)
        shape[self.axis] = width
        z = ad_new(axes, shape)
        z_p = ad_data(<PyObject*>z)
        outer = product_of(self.axis, shape)
        row = product_of(axes - self.axis, shape + self.axis)
        for k in range(n):
            x_p = ad_data(x[k])
            width = product_of(axes - self.axis, ad_shape(x[k]) + self.axis)
            for i in range(outer):
                memcpy(z_p + i * row + at, x_p + i * width, width * sizeof(double))
            at += width
        return z

    cdef object gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n
    ):
        return self.gradients(op, g, z, x, n, [k == i for k in range(n)])[i]

    cdef list gradients(
        self, op, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n, needed
    ):
        cdef ptrdiff_t k
        cdef ptrdiff_t at = 0
        cdef ptrdiff_t width = self.whole(op, x, n)  # of a row of g
        cdef ptrdiff_t inner = product_of(
            ad_axes(x[0]) - self.axis - 1, ad_shape(x[0]) + self.axis + 1)
        cdef ptrdiff_t outer = product_of(self.axis, ad_shape(x[0]))
        cdef list found = []
        width *= inner
        if ad_size(g) != outer * width:
            misfit(op)
        for k in range(n):
            found.append(self.part(g, x[k], outer, width, at) if needed[k] else None)
            at += ad_shape(x[k])[self.axis] * inner
        return found

    cdef object part(
        self, PyObject* g, PyObject* like, ptrdiff_t outer, ptrdiff_t width, ptrdiff_t at
    ):
        """What lies in each row of g from `at` on, in an array shaped like `like`."""
        cdef ptrdiff_t i
        cdef ptrdiff_t own = product_of(ad_axes(like) - self.axis, ad_shape(like) + self.axis)
        cdef const double* g_p = ad_data(g) + at
        gx = new_like(like)
        cdef double* out = ad_data(<PyObject*>gx)
        for i in range(outer):
            memcpy(out + i * own, g_p + i * width, own * sizeof(double))
        return gx


cdef ptrdiff_t numbers_between(ptrdiff_t start, ptrdiff_t stop, ptrdiff_t step) except -1:
    """How many numbers there are in range(start, stop, step)."""
    cdef size_t count, size
    if step == 0:
        raise ValueError("a step of 0")
    if stop == start or (stop > start) != (step > 0):
        return 0
    size = <size_t>step if step > 0 else -<size_t>step
    count = (<size_t>stop - <size_t>start if step > 0 else <size_t>start - <size_t>stop) - 1
    if <ptrdiff_t>(count // size + 1) <= 0:
        raise OverflowError("too many numbers")
    return count // size + 1


cdef struct Cut:
    # Of one axis of the whole array: numbers of a range.
    ptrdiff_t start, step, count


cdef class Slice(Kernel):
    """getitem and scatter_slice: what one does the other undoes."""

    cdef bint scatters
    cdef int items            # axes of the whole array
    cdef int axes             # axes of the part
    cdef int shape_axes
    cdef Cut* cut             # one an axis of the whole
    cdef int* source          # axis of the whole for an axis of the part, -1: new
    cdef ptrdiff_t* shape     # scatter_slice: of the whole

    def __cinit__(self, bint scatters, attributes):
        self.scatters = scatters
        cdef tuple index = attributes["index"]
        self.n_inputs = 1
        if len(index) > AD_MAX_AXES:
            raise TypeError("too many indices")
        self.cut = <Cut*>memory_of(len(index), sizeof(Cut))
        self.source = <int*>memory_of(len(index), sizeof(int))
        for item in index:
            if item is None:
                self.source[self.axes] = -1
                self.axes += 1
                continue
            if isinstance(item, tuple):
                start, stop, step = item
                self.cut[self.items].start = start
                self.cut[self.items].count = numbers_between(start, stop, step)
                # One number: its step may be too long for C to multiply.
                self.cut[self.items].step = step if self.cut[self.items].count > 1 else 1
                self.source[self.axes] = self.items
                self.axes += 1
            else:
                self.cut[self.items].start = item
                self.cut[self.items].step = 1
                self.cut[self.items].count = 1
            self.items += 1
        if scatters:
            self.shape = sizes_of(attributes["shape"], &self.shape_axes)

    def __dealloc__(self):
        PyMem_Free(self.cut)
        PyMem_Free(self.source)
        PyMem_Free(self.shape)

    cdef ptrdiff_t plan(
        self, op, int axes, const ptrdiff_t* shape, ad_loop* loop, int part, int whole
    ) except -1:
        """Fill the loop between the part and the whole, operands of these numbers; returns
        where in the whole it starts."""
        cdef ptrdiff_t[AD_MAX_AXES] step
        cdef ptrdiff_t at = 0
        cdef ptrdiff_t last
        cdef const Cut* cut
        cdef int i
        if axes != self.items:
            misfit(op)
        contiguous_steps(axes, shape, step)
        for i in range(axes):
            cut = &self.cut[i]
            if cut.count == 0:
                continue
            last = cut.start + (cut.count - 1) * cut.step
            if not (0 <= cut.start < shape[i] and 0 <= last < shape[i]):
                misfit(op)
            at += cut.start * step[i]
        loop.axes = self.axes
        for i in range(self.axes):
            if self.source[i] < 0:
                loop.size[i] = 1
                loop.step[whole][i] = 0
            else:
                cut = &self.cut[self.source[i]]
                loop.size[i] = cut.count
                loop.step[whole][i] = cut.step * step[self.source[i]]
        contiguous_steps(self.axes, loop.size, loop.step[part])
        return at if product_of(self.axes, loop.size) > 0 else 0

    cdef object part_of(self, op, PyObject* x):
        cdef ad_loop loop
        cdef ptrdiff_t at = self.plan(op, ad_axes(x), ad_shape(x), &loop, 0, 1)
        z = ad_new(self.axes, loop.size)
        copy(&loop, ad_data(x) + at, ad_data(<PyObject*>z))
        return z

    cdef object whole_of(self, op, PyObject* x, int axes, const ptrdiff_t* shape):
        cdef ad_loop loop
        cdef double* z_p
        cdef ptrdiff_t at = self.plan(op, axes, shape, &loop, 1, 0)
        if not ad_same_shape(loop.axes, loop.size, ad_axes(x), ad_shape(x)):
            misfit(op)
        z = ad_new(axes, shape)
        z_p = ad_data(<PyObject*>z)
        memset(z_p, 0, product_of(axes, shape) * sizeof(double))
        copy(&loop, ad_data(x), z_p + at)
        return z

    cdef object forward(self, op, PyObject** x, ptrdiff_t n):
        if self.scatters:
            return self.whole_of(op, x[0], self.shape_axes, self.shape)
        return self.part_of(op, x[0])

    cdef object gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n
    ):
        if self.scatters:
            return self.part_of(op, g)
        return self.whole_of(op, g, ad_axes(x[0]), ad_shape(x[0]))

    cdef int add_gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n, PyObject* total
    ) except -1:
        cdef ad_loop loop
        cdef ptrdiff_t at
        cdef PyThreadState* state
        if self.scatters:
            return Kernel.add_gradient(self, op, i, g, z, x, n, total)
        at = self.plan(op, ad_axes(total), ad_shape(total), &loop, 1, 0)
        if not ad_same_shape(loop.axes, loop.size, ad_axes(g), ad_shape(g)):
            misfit(op)
        state = let_go(ad_size(g))
        ad_loop_add(&loop, kernels.add, ad_data(g), ad_data(total) + at)
        take_back(state)
        return 0
