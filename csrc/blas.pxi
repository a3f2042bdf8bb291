# BLAS by SciPy: the function behind scipy.linalg.cython_blas.dgemm, looked up at first need.

from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer

cdef extern from "blas.h":
    ctypedef void (*ad_dgemm)() noexcept nogil
    ad_dgemm ad_blas_dgemm
    bint ad_blas_wide
    bint ad_wants_blas(ptrdiff_t, ptrdiff_t, ptrdiff_t) noexcept nogil
    bint ad_fits_blas(ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t) noexcept nogil
    void ad_gemm_blas(
        int, int, ptrdiff_t, ptrdiff_t, ptrdiff_t, double, const double*, ptrdiff_t,
        const double*, ptrdiff_t, double, double*, ptrdiff_t) noexcept nogil
    void ad_gemm_any(
        ad_gemm, int, int, ptrdiff_t, ptrdiff_t, ptrdiff_t, double, const double*, ptrdiff_t,
        const double*, ptrdiff_t, double, double*, ptrdiff_t) noexcept nogil
    void ad_gemm_stack(
        const ad_loop*, ad_gemm, int, int, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*,
        ptrdiff_t, const double*, ptrdiff_t, double, double*, ptrdiff_t) noexcept nogil

cdef extern from "instructions/gemm.h":
    void ad_gemm_in_parts(
        const ad_kernels*, int, int, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, ptrdiff_t,
        const double*, ptrdiff_t, double*, ptrdiff_t) noexcept nogil

cdef extern from "load.h":
    ctypedef ad_gemm (*ad_choose_gemm)(
        ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t) noexcept
    ad_choose_gemm ad_blas_gemm

# Its arguments in order: I an integer's address, D a double's, whatever the types are called.
SIGNATURE = re.compile(
    r"void \(char \*, char \*, (?P<I>\w+) \*, (?P=I) \*, (?P=I) \*, (?P<D>\w+) \*, (?P=D) \*, "
    r"(?P=I) \*, (?P=D) \*, (?P=I) \*, (?P=D) \*, (?P=D) \*, (?P=I) \*\)")

cdef bint blas_sought = False


cdef bint load_blas() except -1:
    """Look for dgemm, once; false if there is none that we can call: then our own kernels
    do all products."""
    global blas_sought, ad_blas_dgemm, ad_blas_wide
    if blas_sought:
        return ad_blas_dgemm != NULL
    blas_sought = True
    try:
        from scipy.linalg import cython_blas
        capsule = cython_blas.__pyx_capi__["dgemm"]
    except (ImportError, AttributeError, KeyError):
        return False
    cdef const char* name = PyCapsule_GetName(capsule)
    found = SIGNATURE.fullmatch(name.decode())
    if found is None:
        return False
    wide = "64" in found["I"]
    if not wide and np.little_endian is False:
        return False  # blas.h passes 64-bit integers, whose low half comes first
    ad_blas_wide = wide
    ad_blas_dgemm = <ad_dgemm>PyCapsule_GetPointer(capsule, name)
    return True


cdef object blas_error = None  # what came up while a program was loaded

cdef ad_gemm choose_gemm(
    ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, ptrdiff_t lda, ptrdiff_t ldb, ptrdiff_t ldc
) noexcept:
    """BLAS for what is large, or NULL; the loader of programs asks."""
    global blas_error
    try:
        if ad_wants_blas(m, n, k) and load_blas() and ad_fits_blas(m, n, k, lda, ldb, ldc):
            return ad_gemm_blas
    except BaseException as error:  # a loader cannot raise
        blas_error = error
    return NULL

ad_blas_gemm = choose_gemm


cdef int raise_blas_error() except -1:
    """Raise what came up, once."""
    global blas_error
    if blas_error is not None:
        error, blas_error = blas_error, None
        raise error
    return 0


def _gemm(str how not None, bint ta, bint tb, double alpha, const double[:, :] a,
          const double[:, :] b, double beta, double[:, :] c):
    """c = alpha op(a) op(b) + beta c, in place, by "kernel" or "blas". For tests.

    The rows of the matrices may lie apart: leading dimensions are taken from the strides.
    """
    cdef ptrdiff_t m = a.shape[1] if ta else a.shape[0]
    cdef ptrdiff_t k = a.shape[0] if ta else a.shape[1]
    cdef ptrdiff_t n = b.shape[0] if tb else b.shape[1]
    cdef ptrdiff_t lda, ldb, ldc
    if (b.shape[1] if tb else b.shape[0]) != k or c.shape[0] != m or c.shape[1] != n:
        raise ValueError("the shapes do not fit")
    if m == 0 or n == 0:
        return
    lda, ldb, ldc = leading(a), leading(b), leading(c)
    cdef double none = 0.0
    cdef const double* a_p = &a[0, 0] if k > 0 else &none
    cdef const double* b_p = &b[0, 0] if k > 0 else &none
    if how == "kernel":
        kernels.gemm(ta, tb, m, n, k, alpha, a_p, lda, b_p, ldb, beta, &c[0, 0], ldc)
    elif how == "blas" and load_blas():
        ad_gemm_blas(ta, tb, m, n, k, alpha, a_p, lda, b_p, ldb, beta, &c[0, 0], ldc)
    else:
        raise BackendError(f"no product by {how!r}")


cdef ptrdiff_t leading(const double[:, :] x) except -1:
    """How far the rows of x lie apart."""
    if x.shape[1] > 1 and x.strides[1] != sizeof(double):
        raise ValueError("the numbers of a row must lie side by side")
    if x.shape[0] < 2:
        return max(x.shape[1], 1)
    if x.strides[0] % <ptrdiff_t>sizeof(double) or x.strides[0] < x.shape[1] * 8:
        raise ValueError("rows overlap")
    return max(x.strides[0] // <ptrdiff_t>sizeof(double), 1)


def _blas_from(n=None):
    """Set how many multiplications a product must have to go to BLAS, None: as the instruction
    set in use has it. For tests; returns the number before."""
    global ad_blas_from
    before = ad_blas_from
    ad_blas_from = kernels.blas_from if n is None else n
    return before
