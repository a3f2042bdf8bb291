# The instruction sets, and which of their tables of kernels is in use.

cdef extern from "blas.h":
    double ad_blas_from

cdef const ad_kernels* usable[AD_MAX_ISAS]
cdef int n_usable = ad_usable_kernels(usable)
cdef const ad_kernels* kernels = usable[n_usable - 1]
ad_blas_from = kernels.blas_from


def isas():
    """Names of the instruction sets that work here, the best last."""
    return tuple([usable[i].isa.decode() for i in range(n_usable)])


def isa():
    """Name of the instruction set in use."""
    return kernels.isa.decode()


def use_isa(str name not None):
    """Use the kernels for that instruction set from now on; BackendError if it cannot be."""
    global kernels, ad_blas_from
    cdef int i
    for i in range(n_usable):
        if usable[i].isa.decode() == name:
            kernels = usable[i]
            ad_blas_from = kernels.blas_from
            return
    raise BackendError(
        f"there is no instruction set {name!r} here; there are: {', '.join(isas())}")


if os.environ.get("AUTODIFF_ISA"):
    try:
        use_isa(os.environ["AUTODIFF_ISA"])
    except BackendError as error:
        raise BackendError(f"AUTODIFF_ISA: {error}") from None
