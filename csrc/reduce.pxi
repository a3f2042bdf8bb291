# Reductions over any axes, and the softmax family.

cdef enum:
    SUM, MEAN, PROD, MAX, LOGSUMEXP, SOFTMAX, LOG_SOFTMAX

REDUCTIONS = {"sum": SUM, "mean": MEAN, "prod": PROD, "max": MAX, "logsumexp": LOGSUMEXP,
              "softmax": SOFTMAX, "log_softmax": LOG_SOFTMAX}


cdef struct Rows:
    # An array as [outer, n, inner], n over the reduced axes. If these are no neighbours, they are
    # moved to the end.
    ptrdiff_t outer, n, inner
    bint moved
    ad_loop loop  # operand 0: as moved, 1: the array as it is


cdef class Reduction(Kernel):
    cdef int kind
    cdef bint keepdims
    cdef int n_reduced
    cdef unsigned char[AD_MAX_AXES] reduced

    def __cinit__(self, int kind, attributes):
        cdef int axis
        self.n_inputs = 1
        self.kind = kind
        self.keepdims = attributes.get("keepdims", True)
        self.n_reduced = len(attributes["axis"])
        memset(self.reduced, 0, AD_MAX_AXES)
        for axis in attributes["axis"]:
            if not 0 <= axis < AD_MAX_AXES or self.reduced[axis]:
                raise TypeError(f"{attributes['axis']} are not axes")
            self.reduced[axis] = 1

    cdef int fits(self, op, PyObject* x) except -1:
        cdef int i
        cdef int n = 0
        for i in range(ad_axes(x)):
            n += self.reduced[i]
        if n != self.n_reduced:
            misfit(op)
        return 0

    cdef object new_reduced(self, PyObject* x):
        cdef ptrdiff_t[AD_MAX_AXES] shape
        cdef int axes = 0
        cdef int i
        for i in range(ad_axes(x)):
            if not self.reduced[i] or self.keepdims:
                shape[axes] = 1 if self.reduced[i] else ad_shape(x)[i]
                axes += 1
        return ad_new(axes, shape)

    cdef double count(self, PyObject* x) noexcept:
        cdef double n = 1.0
        cdef int i
        for i in range(ad_axes(x)):
            if self.reduced[i]:
                n *= ad_shape(x)[i]
        return n

    cdef int rows(self, op, PyObject* x, Rows* rows) except -1:
        """x as rows; raises ValueError if there are some and they are empty."""
        cdef ad_groups groups
        cdef int axes = ad_axes(x)
        cdef const ptrdiff_t* shape = ad_shape(x)
        cdef ptrdiff_t step = 1
        cdef int i, at, kept
        cdef int n_reduced = 0
        rows.outer = rows.n = rows.inner = 1
        ad_group_axes(&groups, axes, shape, self.reduced)
        for i in range(groups.groups):
            if groups.reduced[i]:
                rows.n *= groups.size[i]
                n_reduced += 1
            elif n_reduced == 0:
                rows.outer *= groups.size[i]
            else:
                rows.inner *= groups.size[i]
        rows.moved = n_reduced > 1
        if rows.n == 0 and self.kind != PROD and rows.outer * rows.inner > 0:
            raise ValueError(f"{op.name}: nothing to reduce")
        if rows.outer * rows.n * rows.inner == 0:
            rows.moved = False
        if not rows.moved:
            return 0
        rows.outer *= rows.inner
        rows.inner = 1
        rows.loop.axes = axes
        at = axes
        kept = axes - self.n_reduced
        for i in range(axes - 1, -1, -1):  # kept axes first, then the reduced ones
            if self.reduced[i]:
                at -= 1
                rows.loop.size[at] = shape[i]
                rows.loop.step[1][at] = step
            else:
                kept -= 1
                rows.loop.size[kept] = shape[i]
                rows.loop.step[1][kept] = step
            step *= shape[i]
        step = 1
        for i in range(axes - 1, -1, -1):
            rows.loop.step[0][i] = step
            step *= rows.loop.size[i]
        return 0

    cdef object forward(self, op, PyObject** x, ptrdiff_t n):
        cdef ad_groups groups
        cdef Rows rows
        cdef double count
        cdef double* z_p
        self.fits(op, x[0])
        if self.kind >= LOGSUMEXP:
            self.rows(op, x[0], &rows)
            z = self.new_reduced(x[0]) if self.kind == LOGSUMEXP else new_like(x[0])
            self.run_rows(&rows, ad_data(x[0]), ad_data(<PyObject*>z))
            return z
        count = self.count(x[0])
        z = self.new_reduced(x[0])
        if ad_size(<PyObject*>z) == 0:
            return z
        if self.kind == MAX and count == 0.0:
            raise ValueError(f"{op.name}: nothing to reduce")
        z_p = ad_data(<PyObject*>z)
        ad_group_axes(&groups, ad_axes(x[0]), ad_shape(x[0]), self.reduced)
        reduce_groups(
            &groups,
            kernels.max if self.kind == MAX else
            kernels.prod if self.kind == PROD else kernels.sum,
            ad_data(x[0]), ad_size(x[0]), z_p)
        if self.kind == MEAN:
            kernels.divide(ad_size(<PyObject*>z), z_p, 1, &count, 0, NULL, 0, z_p)
        return z

    cdef int run_rows(self, Rows* rows, const double* x, double* z) except -1:
        cdef ad_reduce kernel = (
            kernels.logsumexp if self.kind == LOGSUMEXP else
            kernels.softmax if self.kind == SOFTMAX else kernels.log_softmax)
        cdef PyThreadState* state
        cdef ptrdiff_t size = rows.outer * rows.n * rows.inner
        cdef double* x_p
        cdef double* z_p = z
        if not rows.moved:
            state = let_go(size)
            kernel(rows.outer, rows.n, rows.inner, x, z)
            take_back(state)
            return 0
        memory = buffer(2 * size)
        x_p = ad_data(<PyObject*>memory)
        state = let_go(size)
        ad_loop_copy(&rows.loop, x, x_p)
        if self.kind == LOGSUMEXP:
            kernel(rows.outer, rows.n, 1, x_p, z)
        else:
            kernel(rows.outer, rows.n, 1, x_p, x_p + size)
            move_back(rows, x_p + size, z_p)
        take_back(state)
        return 0

    cdef object gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n
    ):
        cdef Rows rows
        cdef ptrdiff_t size, small
        cdef double count
        cdef const double* g_p = ad_data(g)
        cdef double* work
        cdef double* out
        cdef PyThreadState* state
        self.fits(op, x[0])
        if self.kind == SUM or self.kind == MEAN:
            small = ad_size(g)
            gx = new_like(x[0])
            if self.kind == MEAN:
                count = self.count(x[0])
                memory = buffer(small)
                work = ad_data(<PyObject*>memory)
                kernels.divide(small, g_p, 1, &count, 0, NULL, 0, work)
                g_p = work
            self.spread(op, x[0], small, g_p, ad_data(<PyObject*>gx))
            return gx
        self.rows(op, x[0], &rows)
        small = rows.outer * rows.inner
        size = small * rows.n
        if self.kind > LOGSUMEXP:
            small = size
        if ad_size(g) != small:
            misfit(op)
        if self.kind != PROD:
            if not ad_is_array(z):
                refuse(op, "the output", z)
            if ad_size(z) != small:
                misfit(op)
        gx = new_like(x[0])
        out = ad_data(<PyObject*>gx)
        if not rows.moved:
            state = let_go(size)
            self.run_rows_gx(
                &rows, g_p, NULL if self.kind == PROD else ad_data(z),
                ad_data(x[0]) if self.kind <= LOGSUMEXP else NULL, out)
            take_back(state)
            return gx
        memory = buffer(3 * size)
        work = ad_data(<PyObject*>memory)
        state = let_go(size)
        if self.kind <= LOGSUMEXP:
            ad_loop_copy(&rows.loop, ad_data(x[0]), work)
            self.run_rows_gx(
                &rows, g_p, NULL if self.kind == PROD else ad_data(z), work, work + size)
        else:
            ad_loop_copy(&rows.loop, g_p, work)
            ad_loop_copy(&rows.loop, ad_data(z), work + 2 * size)
            self.run_rows_gx(&rows, work, work + 2 * size, NULL, work + size)
        move_back(&rows, work + size, out)
        take_back(state)
        return gx

    cdef void run_rows_gx(
        self, const Rows* rows, const double* g, const double* z, const double* x, double* gx
    ) noexcept nogil:
        cdef ad_axis axis
        if self.kind == PROD:
            axis.outer, axis.n, axis.inner, axis.back = rows.outer, rows.n, rows.inner, 0
            ad_prod_gx(axis, g, x, gx)
        else:
            slope_of(self.kind)(rows.outer, rows.n, rows.inner, g, z, x, gx)

    cdef int spread(
        self, op, PyObject* x, ptrdiff_t size, const double* g, double* out
    ) except -1:
        """g, of the reduced shape and that size, repeated to the shape of x."""
        cdef ad_loop loop
        cdef ptrdiff_t step = 1
        cdef ptrdiff_t x_step = 1
        cdef int i
        cdef PyThreadState* state
        loop.axes = ad_axes(x)
        for i in range(loop.axes - 1, -1, -1):
            loop.size[i] = ad_shape(x)[i]
            loop.step[0][i] = x_step
            x_step *= loop.size[i]
            loop.step[1][i] = 0 if self.reduced[i] else step
            if not self.reduced[i]:
                step *= loop.size[i]
        if step != size:
            misfit(op)
        state = let_go(x_step)
        ad_loop_copy(&loop, g, out)
        take_back(state)
        return 0


cdef ad_reduce_gx slope_of(int kind) noexcept nogil:
    """The kernel for a gradient."""
    if kind == MAX:
        return kernels.max_gx
    if kind == LOGSUMEXP:
        return kernels.logsumexp_gx
    return kernels.softmax_gx if kind == SOFTMAX else kernels.log_softmax_gx


cdef void move_back(const Rows* rows, const double* x, double* z) noexcept nogil:
    """Rows to where they came from."""
    cdef ad_loop loop = rows.loop
    loop.step[0] = rows.loop.step[1]
    loop.step[1] = rows.loop.step[0]
    ad_loop_copy(&loop, x, z)
