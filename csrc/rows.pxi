# Rows by number: take, and its adjoint.

cdef struct Tables:
    # How an array is read: `outer` tables of `n_rows` rows of `width` numbers.
    ptrdiff_t outer, n_rows, width


cdef class RowsByNumber(Kernel):
    """take and scatter_rows: what one does the other undoes."""

    cdef bint scatters
    cdef int axis, span   # where the rows lie in the whole array, and how many axes number them
    cdef ptrdiff_t* size  # scatter_rows: of these axes

    def __cinit__(self, bint scatters, attributes):
        self.scatters = scatters
        self.n_inputs = 2
        self.axis = attributes.get("axis", 0)
        if scatters:
            sizes = attributes["n_rows"]
            self.size = sizes_of(sizes if isinstance(sizes, tuple) else (sizes,), &self.span)
        else:
            self.span = attributes.get("span", 1)
        if self.axis < 0 or self.span < 0:
            raise TypeError(f"{self.span} axes from axis {self.axis} on")

    def __dealloc__(self):
        PyMem_Free(self.size)

    cdef Tables tables(self, int axes, const ptrdiff_t* shape) noexcept:
        """Of a whole array, which has all the axes."""
        cdef int first = self.axis, last = self.axis + self.span
        cdef Tables found
        found.outer = product_of(first, shape)
        found.n_rows = product_of(self.span, shape + first)
        found.width = product_of(axes - last, shape + last)
        return found

    cdef object rows_taken(self, op, PyObject* x, PyObject* rows, PyObject* like):
        """The rows of x of these numbers; of the shape of `like`, if that is given."""
        cdef ptrdiff_t[2 * AD_MAX_AXES] shape
        cdef int axes = self.taken_shape(op, x, rows, like, shape)
        cdef Tables of = self.tables(ad_axes(x), ad_shape(x))
        check_rows("take", of.n_rows, rows)
        z = ad_new(axes, shape)
        ad_take(of.outer, of.n_rows, of.width, ad_size(rows), ad_data(rows), ad_data(x),
                ad_data(<PyObject*>z))
        return z

    cdef int taken_shape(
        self, op, PyObject* x, PyObject* rows, PyObject* like, ptrdiff_t* shape
    ) except -1:
        """Fill in the shape of the rows taken, and return how many axes it has; that of `like`."""
        cdef int axes = ad_axes(rows)
        cdef int x_axes = ad_axes(x)
        cdef int last = self.axis + self.span
        if x_axes < last or axes + x_axes - self.span > AD_MAX_AXES:
            misfit(op)
        copy_shape(shape, ad_shape(x), self.axis)
        copy_shape(shape + self.axis, ad_shape(rows), axes)
        copy_shape(shape + self.axis + axes, ad_shape(x) + last, x_axes - last)
        axes += x_axes - self.span
        if like != NULL and not ad_same_shape(axes, shape, ad_axes(like), ad_shape(like)):
            misfit(op)
        return axes

    cdef object rows_scattered(
        self, op, PyObject* x, PyObject* rows, const ptrdiff_t* size, PyObject* like
    ):
        """Zeros, with x added at its rows, whose axes have these sizes; of the shape of `like`."""
        cdef ptrdiff_t[2 * AD_MAX_AXES] shape
        cdef int rows_axes = ad_axes(rows)
        cdef int rest = ad_axes(x) - self.axis - rows_axes
        cdef int axes = self.axis + self.span + rest
        cdef Tables of
        if rest < 0 or axes > AD_MAX_AXES or not ad_same_shape(
                rows_axes, ad_shape(x) + self.axis, rows_axes, ad_shape(rows)):
            misfit(op)
        copy_shape(shape, ad_shape(x), self.axis)
        copy_shape(shape + self.axis, size, self.span)
        copy_shape(shape + self.axis + self.span, ad_shape(x) + self.axis + rows_axes, rest)
        if like != NULL and not ad_same_shape(axes, shape, ad_axes(like), ad_shape(like)):
            misfit(op)
        of = self.tables(axes, shape)
        check_rows("scatter_rows", of.n_rows, rows)
        z = ad_new(axes, shape)
        ad_scatter(of.outer, of.n_rows, of.width, ad_size(rows), ad_data(rows), ad_data(x),
                   ad_data(<PyObject*>z))
        return z

    cdef object forward(self, op, PyObject** x, ptrdiff_t n):
        if self.scatters:
            return self.rows_scattered(op, x[0], x[1], self.size, NULL)
        return self.rows_taken(op, x[0], x[1], NULL)

    cdef object gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n
    ):
        if i == 1:
            return None
        if self.scatters:
            if ad_axes(g) < self.axis + self.span or not ad_same_shape(
                    self.span, ad_shape(g) + self.axis, self.span, self.size):
                misfit(op)
            return self.rows_taken(op, g, x[1], x[0])
        if ad_axes(x[0]) < self.axis + self.span:
            misfit(op)
        return self.rows_scattered(op, g, x[1], ad_shape(x[0]) + self.axis, x[0])

    cdef int add_gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n, PyObject* total
    ) except -1:
        cdef ptrdiff_t[2 * AD_MAX_AXES] shape
        cdef ptrdiff_t count, k
        cdef ptrdiff_t n_slots = 2
        cdef PyThreadState* state
        cdef double* work
        cdef Tables of
        if self.scatters or i == 1:
            return Kernel.add_gradient(self, op, i, g, z, x, n, total)
        self.taken_shape(op, total, x[1], g, shape)
        count = ad_size(x[1])
        of = self.tables(ad_axes(total), ad_shape(total))
        check_rows("take", of.n_rows, x[1])
        if ad_size(g) == 0:
            return 0
        while n_slots < 2 * count:
            n_slots *= 2
        memory = buffer(count * of.width + n_slots)
        work = ad_data(<PyObject*>memory)
        state = let_go(ad_size(g))
        for k in range(of.outer):
            ad_add_rows(of.n_rows, of.width, count, ad_data(x[1]),
                        ad_data(g) + k * count * of.width,
                        ad_data(total) + k * of.n_rows * of.width,
                        work, <ptrdiff_t*>(work + count * of.width), n_slots)
        take_back(state)
        return 0


cdef int check_rows(str name, ptrdiff_t n_rows, PyObject* rows) except -1:
    cdef ptrdiff_t bad = ad_bad_row(n_rows, ad_size(rows), ad_data(rows))
    if bad >= 0:
        raise IndexRangeError(
            f"{name}: row {ad_data(rows)[bad]} is no row of an array of {n_rows} rows")
    return 0
