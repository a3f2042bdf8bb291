# LAPACK by SciPy: the functions behind scipy.linalg.cython_lapack, looked up when a program that
# needs one is loaded.

cdef extern from "lapack.h":
    ctypedef struct ad_lapack:
        void (*call)() noexcept nogil
        bint wide
    ctypedef ad_lapack (*ad_lapack_seeker)(const char*, const char*, ptrdiff_t) noexcept
    ad_lapack_seeker ad_seek_lapack


cdef str letters_of(str signature):
    """A letter for each argument; their types have names of SciPy's, the double's ends in _d."""
    found = re.fullmatch(r"void \((.*) \*\)", signature)
    letters = ""
    for kind in found[1].split(" *, ") if found else ():
        is_double, is_function = kind.endswith(("_d", "double")), "select" in kind
        letters += (
            "c" if kind == "char" else "d" if is_double else "f" if is_function else "i")
    return letters


cdef ad_lapack seek_lapack(const char* name, const char* arguments, ptrdiff_t n) noexcept:
    """A function of LAPACK's that takes matrices of so many rows; the loader of programs asks."""
    global blas_error
    cdef ad_lapack found
    cdef const char* signature
    found.call = NULL
    found.wide = False
    try:
        from scipy.linalg import cython_lapack
        capsule = cython_lapack.__pyx_capi__[name.decode()]
        signature = PyCapsule_GetName(capsule)
        text = signature.decode()
        integers = [kind for kind in text.split(" *") if not kind.startswith("__pyx")]
        found.wide = any("64" in kind or "long" in kind for kind in integers)
        fits = found.wide or (n < 2 ** 31 and np.little_endian)
        if fits and letters_of(text) == arguments.decode():
            found.call = <void (*)() noexcept nogil>PyCapsule_GetPointer(capsule, signature)
    except (ImportError, AttributeError, KeyError):
        pass
    except BaseException as error:  # a loader cannot raise
        blas_error = error
    return found

ad_seek_lapack = seek_lapack
