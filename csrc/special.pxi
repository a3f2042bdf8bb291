# SciPy's special functions, those of scipy.special.cython_special, looked up at first need.

cdef extern from "special.h":
    const char* ad_scipy_name(int, int*) noexcept
    void ad_scipy_found(int, void (*)() noexcept) noexcept
    ctypedef double (*ad_ask)(int, int, const double*) noexcept
    ad_ask ad_ask_scipy
    ctypedef void (*ad_seek)() noexcept
    ad_seek ad_seek_scipy

cdef bint scipy_sought = False
cdef list asked = []   # functions of scipy.special, where a kernel must call Python's
cdef object scipy_error = None  # what came up while a program was loaded


def _capsule_of(capsules, str name not None, int arity):
    """The capsule of a function of `arity` doubles, or None. Fused functions have a prefix, whose
    number says nothing: versions of SciPy's differ in it. The signature decides."""
    signature = f"double ({', '.join(['double'] * arity)}, int __pyx_skip_dispatch)"
    for key, capsule in capsules.items():
        if re.fullmatch(rf"(__pyx_fuse_[0-9_]+)?{name}", key) is None:
            continue
        if (<bytes>PyCapsule_GetName(capsule)).decode() == signature:
            return capsule
    return None


cdef int load_scipy() except -1:
    """Look for all of SciPy's functions, once; those not found are called by way of Python."""
    global scipy_sought
    cdef int i = 0, arity = 0
    cdef const char* name
    if scipy_sought:
        return 0
    from scipy import special
    try:
        from scipy.special import cython_special
        capsules = cython_special.__pyx_capi__
    except (ImportError, AttributeError):
        capsules = {}
    found, fallen_back = [], []
    while True:
        name = ad_scipy_name(i, &arity)
        if name == NULL:
            break
        text = (<bytes>name).decode()
        found.append(_capsule_of(capsules, text, arity))
        fallen_back.append(getattr(special, text))
        i += 1
    asked[:] = fallen_back
    for i, capsule in enumerate(found):
        if capsule is not None:
            ad_scipy_found(i, <void (*)() noexcept>PyCapsule_GetPointer(
                capsule, PyCapsule_GetName(capsule)))
    scipy_sought = True
    return 0


def _scipy_functions(capsules):
    """Whether each of SciPy's functions is found among the capsules, by name. For tests."""
    cdef int i = 0, arity = 0
    cdef const char* name = ad_scipy_name(0, &arity)
    cdef dict found = {}
    while name != NULL:
        text = (<bytes>name).decode()
        found[text] = _capsule_of(capsules, text, arity) is not None
        i += 1
        name = ad_scipy_name(i, &arity)
    return found


def _asked(int number, *x):
    """What the way by Python gives for function `number`. For tests."""
    cdef double[3] numbers
    load_scipy()
    for i, value in enumerate(x):
        numbers[i] = value
    return ask(number, <int>len(x), numbers)


cdef double ask(int number, int n, const double* x) noexcept with gil:
    """Python's function, for one set of numbers; NaN if it raises."""
    cdef int i
    try:
        return asked[number](*[x[i] for i in range(n)])
    except BaseException:  # a kernel cannot raise
        return float("nan")


cdef void seek() noexcept:
    """Before a program has a kernel that calls SciPy; the loader of programs asks."""
    global scipy_error
    try:
        load_scipy()
    except BaseException as error:  # a loader cannot raise
        scipy_error = error


cdef int raise_scipy_error() except -1:
    """Raise what came up, once."""
    global scipy_error
    if scipy_error is not None:
        error, scipy_error = scipy_error, None
        raise error
    return 0

ad_ask_scipy = ask
ad_seek_scipy = seek
