# Running sums and products along an axis.

cdef extern from "cumulative.h" nogil:
    ctypedef struct ad_axis:
        ptrdiff_t outer, n, inner
        int back

    void ad_cumsum(ad_axis, const double*, double*)
    void ad_cumprod(ad_axis, const double*, double*)
    void ad_recurrence(ad_axis, int, const double*, const double*, double*)
    void ad_times_before(ad_axis, const double*, double, double*)
    void ad_prod_gx(ad_axis, const double*, const double*, double*)

cdef enum:
    CUMSUM, CUMPROD, RECURRENCE

CUMULATIVE = {"cumsum": CUMSUM, "cumprod": CUMPROD, "_recurrence": RECURRENCE}


cdef class Cumulative(Kernel):
    cdef int kind, axis
    cdef bint reverse

    def __cinit__(self, int kind, attributes):
        self.kind = kind
        self.n_inputs = 2 if kind == RECURRENCE else 1
        self.axis = attributes["axis"]
        self.reverse = attributes["reverse"]

    cdef int sizes(self, op, PyObject** x, ptrdiff_t n, ad_axis* axis) except -1:
        cdef int axes = ad_axes(x[0])
        cdef const ptrdiff_t* shape = ad_shape(x[0])
        if not 0 <= self.axis < axes:
            misfit(op)
        if n == 2 and not ad_same_shape(axes, shape, ad_axes(x[1]), ad_shape(x[1])):
            misfit(op)
        axis.outer = product_of(self.axis, shape)
        axis.n = shape[self.axis]
        axis.inner = product_of(axes - self.axis - 1, shape + self.axis + 1)
        axis.back = self.reverse
        return 0

    cdef object forward(self, op, PyObject** x, ptrdiff_t n):
        cdef ad_axis axis
        cdef double* z_p
        cdef PyThreadState* state
        self.sizes(op, x, n, &axis)
        z = new_like(x[0])
        z_p = ad_data(<PyObject*>z)
        state = let_go(ad_size(x[0]))
        if self.kind == CUMSUM:
            ad_cumsum(axis, ad_data(x[0]), z_p)
        elif self.kind == CUMPROD:
            ad_cumprod(axis, ad_data(x[0]), z_p)
        else:
            ad_recurrence(axis, 0, ad_data(x[0]), ad_data(x[1]), z_p)
        take_back(state)
        return z

    cdef object gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n
    ):
        cdef ad_axis axis, back
        cdef double* gx_p
        cdef PyThreadState* state
        self.sizes(op, x, n, &axis)
        if not ad_same_shape(ad_axes(g), ad_shape(g), ad_axes(x[0]), ad_shape(x[0])):
            misfit(op)
        if self.kind != CUMSUM and not ad_is_array(z):
            refuse(op, "the output", z)
        if self.kind != CUMSUM and ad_size(z) != ad_size(g):
            misfit(op)
        back = axis
        back.back = not axis.back
        gx = new_like(x[0])
        gx_p = ad_data(<PyObject*>gx)
        state = let_go(ad_size(x[0]))
        if self.kind == CUMSUM:
            ad_cumsum(back, ad_data(g), gx_p)
        else:
            ad_recurrence(back, 1, ad_data(g), ad_data(x[n - 1]), gx_p)
            if self.kind == CUMPROD:
                ad_times_before(axis, ad_data(z), 1.0, gx_p)
            elif i == 1:
                ad_times_before(axis, ad_data(z), 0.0, gx_p)
        take_back(state)
        return gx
