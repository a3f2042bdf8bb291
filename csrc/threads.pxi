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
    """AUTODIFF_THREADS, else OMP_NUM_THREADS, else the cores that this process may use."""
    text = os.environ.get("AUTODIFF_THREADS")
    if text:
        try:
            return checked(int(text))
        except ValueError:
            raise BackendError(f"AUTODIFF_THREADS: {text!r} is no number from 1 to "
                               f"{AD_MOST_THREADS}") from None
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    cores = min(cores, _quota() or cores)
    return min(_openmp_threads() or cores, AD_MOST_THREADS)


def _quota(folder="/sys/fs/cgroup"):
    """The cores' time that the control group, often a container, may use; None: no limit."""
    for names in ("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"):
        try:
            text = []
            for name in names:
                with open(os.path.join(folder, name), encoding="ascii") as file:
                    text.append(file.read(100))
            quota, period = " ".join(text).split()
            return -(-int(quota) // int(period)) if int(quota) > 0 and int(period) > 0 else None
        except (OSError, ValueError):  # there is no such file, or it says "max"
            continue
    return None


def _openmp_threads():
    """OMP_NUM_THREADS, of a list the first number; None if it is not set, or not to be read."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    if not text.strip():
        return None
    number = r"\s*\+?0*([1-9][0-9]{0,8})\s*"
    numbers = re.fullmatch(f"{number}(,{number})*", text)
    if numbers is None:
        warnings.warn(f"OMP_NUM_THREADS: {text!r:.50} is no list of positive numbers: ignored",
                      RuntimeWarning, stacklevel=2)
        return None
    return int(numbers[1])


set_threads(_default_threads())
atexit.register(_end_threads)
