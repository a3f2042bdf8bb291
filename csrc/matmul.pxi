# Matrix products over the last two axes; leading axes are stacks and broadcast.

cdef struct Product:
    # z[stacks, m, n] = x[stacks, m, k] y[stacks, k, n]
    ptrdiff_t m, n, k
    int axes                        # of the stack
    ptrdiff_t[AD_MAX_AXES] stack
    ptrdiff_t[AD_MAX_AXES] x_step   # of x's matrices along the stack, 0: broadcast
    ptrdiff_t[AD_MAX_AXES] y_step
    ptrdiff_t[AD_MAX_AXES] z_step
    bint x_repeats, y_repeats


cdef enum:
    IN_PARTS = 40_000  # eighths of multiplications: smaller products have one part


cdef class Matmul(Kernel):
    def __cinit__(self):
        self.n_inputs = 2

    cdef int plan(self, op, PyObject* x, PyObject* y, Product* p) except -1:
        cdef int[2] n_axes
        cdef const ptrdiff_t* shapes[2]
        cdef ptrdiff_t x_size, y_size, z_size, size
        cdef int i
        n_axes[0] = ad_axes(x) - 2
        n_axes[1] = ad_axes(y) - 2
        shapes[0] = ad_shape(x)
        shapes[1] = ad_shape(y)
        if n_axes[0] < 0 or n_axes[1] < 0:
            misfit(op)
        p.m = shapes[0][n_axes[0]]
        p.k = shapes[0][n_axes[0] + 1]
        p.n = shapes[1][n_axes[1] + 1]
        if shapes[1][n_axes[1]] != p.k:
            misfit(op)
        p.x_repeats = p.y_repeats = False
        p.axes = 0
        if n_axes[0] == 0 and n_axes[1] == 0:
            return 0
        p.axes = ad_broadcast_shape(p.stack, 2, n_axes, shapes)
        if p.axes < 0:
            misfit(op)
        x_size, y_size, z_size = p.m * p.k, p.k * p.n, p.m * p.n
        for i in range(p.axes - 1, -1, -1):
            size = 1 if i < p.axes - n_axes[0] else shapes[0][i - p.axes + n_axes[0]]
            p.x_step[i] = 0 if size == 1 else x_size
            p.x_repeats |= size != p.stack[i]
            x_size *= size
            size = 1 if i < p.axes - n_axes[1] else shapes[1][i - p.axes + n_axes[1]]
            p.y_step[i] = 0 if size == 1 else y_size
            p.y_repeats |= size != p.stack[i]
            y_size *= size
            p.z_step[i] = z_size
            z_size *= p.stack[i]
        if y_size == p.k * p.n and not p.x_repeats:  # one y for all: one tall product
            p.m *= product_of(p.axes, p.stack)
            p.axes = 0
            p.y_repeats = False
        return 0

    cdef object forward(self, op, PyObject** x, ptrdiff_t n):
        cdef Product p
        cdef ptrdiff_t[AD_MAX_AXES] shape
        cdef int axes, i
        self.plan(op, x[0], x[1], &p)
        axes = max(ad_axes(x[0]), ad_axes(x[1]))
        if axes == 2:
            shape[0], shape[1] = p.m, p.n
        else:
            i = ad_axes(x[0]) - 2
            shape[axes - 2] = ad_shape(x[0])[i]
            shape[axes - 1] = p.n
            if p.axes == 0:  # folded: x has the whole stack, but for leading ones
                for i in range(axes - 2):
                    shape[i] = 1
                for i in range(ad_axes(x[0]) - 2):
                    shape[axes - ad_axes(x[0]) + i] = ad_shape(x[0])[i]
            else:
                for i in range(axes - 2):
                    shape[i] = p.stack[i]
        z = ad_new(axes, shape)
        # z = x y
        self.run(&p, 0, 0, p.m, p.n, p.k, ad_data(x[0]), p.k, p.x_step, ad_data(x[1]), p.n,
                 p.y_step, ad_data(<PyObject*>z), p.n, p.z_step, False, 0)
        return z

    cdef object gradient(
        self, op, int i, PyObject* g, PyObject* z, PyObject** x, ptrdiff_t n
    ):
        cdef Product p
        cdef double* out
        cdef double* g_p = ad_data(g)
        self.plan(op, x[0], x[1], &p)
        if ad_size(g) != p.m * p.n * product_of(p.axes, p.stack):
            misfit(op)
        gradient = new_like(x[i])
        out = ad_data(<PyObject*>gradient)
        if i == 0:  # gx = g y'
            self.run(&p, 0, 1, p.m, p.k, p.n, g_p, p.n, p.z_step, ad_data(x[1]), p.n,
                     p.y_step, out, p.k, p.x_step, p.x_repeats, ad_size(x[0]))
        else:  # gy = x' g
            self.run(&p, 1, 0, p.k, p.n, p.m, ad_data(x[0]), p.k, p.x_step, g_p, p.n,
                     p.z_step, out, p.n, p.y_step, p.y_repeats, ad_size(x[1]))
        return gradient

    cdef int run(
        self, const Product* p, int ta, int tb, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
        const double* a, ptrdiff_t lda, const ptrdiff_t* a_step, const double* b,
        ptrdiff_t ldb, const ptrdiff_t* b_step, double* c, ptrdiff_t ldc,
        const ptrdiff_t* c_step, bint repeats, ptrdiff_t c_size
    ) except -1:
        """c = op(a) op(b) over the stack; summed where c is one matrix for several."""
        cdef ad_loop loop
        cdef PyThreadState* state
        cdef ptrdiff_t work = m * n * k // 8
        cdef int i
        if ad_wants_blas(m, n, k):
            load_blas()
        if p.axes == 0:
            state = let_go(work)
            if work < IN_PARTS or ad_wants_blas(m, n, k):
                ad_gemm_any(kernels.gemm, ta, tb, m, n, k, 1.0, a, lda, b, ldb, 0.0, c, ldc)
            else:
                ad_gemm_in_parts(kernels, ta, tb, m, n, k, a, lda, b, ldb, c, ldc)
            take_back(state)
            return 0
        loop.axes = p.axes
        for i in range(p.axes):
            loop.size[i] = p.stack[i]
            loop.step[0][i] = c_step[i]
            loop.step[1][i] = a_step[i]
            loop.step[2][i] = b_step[i]
        state = let_go(work * product_of(p.axes, p.stack))
        if repeats:
            memset(c, 0, c_size * sizeof(double))
        ad_gemm_stack(&loop, kernels.gemm, ta, tb, m, n, k, a, lda, b, ldb,
                      1.0 if repeats else 0.0, c, ldc)
        take_back(state)
        return 0
