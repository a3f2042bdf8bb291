# How many threads large instructions of programs use.

import atexit

cdef extern from "threads.h":
    enum:
        AD_MOST_THREADS
    int ad_threads() noexcept nogil
    void ad_set_threads(int) noexcept nogil
    void ad_end_threads() noexcept nogil


def threads():
    """How many threads one program may use."""
    return ad_threads()


def set_threads(n):
    """Use so many threads from now on, 1 to 64; waits for work that is under way."""
    cdef int number = checked(n)
    with nogil:
        ad_set_threads(number)


cdef int checked(n) except -1:
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"a number of threads is an integer, not {n!r}")
    if not 1 <= n <= AD_MOST_THREADS:
        raise ValueError(f"a number of threads is between 1 and {AD_MOST_THREADS}, not {n}")
    return n


def _end_threads():
    with nogil:
        ad_end_threads()


def _default_threads():
    """AUTODIFF_THREADS, or the cores that this process may use."""
    text = os.environ.get("AUTODIFF_THREADS")
    if not text:
        if hasattr(os, "sched_getaffinity"):
            cores = len(os.sched_getaffinity(0))
        else:
            cores = os.cpu_count() or 1
        return min(cores, AD_MOST_THREADS)
    try:
        return checked(int(text))
    except ValueError:
        raise BackendError(
            f"AUTODIFF_THREADS: {text!r} is no number from 1 to {AD_MOST_THREADS}") from None


set_threads(_default_threads())
atexit.register(_end_threads)
