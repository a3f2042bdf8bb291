"""How many threads large products and elementwise runs may use.

Only compiled steps, and products outside of them, that take some 25 microseconds or more are cut
into parts; results have the same bits for any number of threads. At first the number is that in the
environment variable AUTODIFF_THREADS; if that is not set, in OMP_NUM_THREADS, which joblib, dask
and Spark set for their workers; else that of the cores that the process, or its container, may
use.
"""

from __future__ import annotations

__all__ = ["get_threads", "set_threads"]


def get_threads() -> int:
    """How many threads may work on one step."""
    try:
        from autodiff import _core
    except ImportError:
        return 1
    return _core.threads()


def set_threads(n: int) -> None:
    """Let at most `n` threads, 1 to 64, work on one step.

    One step at a time has the threads: steps that other Python threads run meanwhile go on alone.
    An instruction that is under way is waited for. With one thread no other one is started.

    Raises
    ------
    ValueError
        If the number is not between 1 and 64.
    """
    try:
        from autodiff import _core
    except ImportError:
        if n < 1:
            raise ValueError(f"a number of threads is positive, not {n}") from None
        return
    _core.set_threads(n)
