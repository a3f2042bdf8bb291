"""The compiled back end: the C kernels, one op at a time.

It has the same meaning as the reference back end; docs/numerics.md says how far the
numbers may differ. An op without a kernel (one of your own) is computed by its rules.
"""

from __future__ import annotations

from autodiff.errors import BackendError

try:
    import autodiff._core as _core
except ImportError as error:
    raise BackendError(f"The compiled kernels cannot be used ({error}).") from error

__all__ = ["Compiled"]


class Compiled:
    """Executes ops by the kernels of one instruction set.

    The environment variable ``AUTODIFF_ISA`` picks another than the best one.
    """

    name = "compiled"

    # The C functions themselves: a method in between would cost as much as a kernel.
    forward = staticmethod(_core.forward)
    backward = staticmethod(_core.backward)
    add_gradient = staticmethod(_core.add_gradient)

    def __repr__(self) -> str:
        return f"<back end compiled: C kernels, instruction set {_core.isa()}>"
