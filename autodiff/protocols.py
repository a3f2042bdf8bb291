"""NumPy's protocols: what its functions do with a node.

``np.tanh(x)``, ``array * x`` and ``np.concatenate([x, y])`` give nodes. A NumPy function without an
op here, and a keyword that an op does not have, is refused by name; none is ever applied
to the values behind the graph's back. For the same reason a node that needs a gradient
does not turn into an array by itself: ``node.value`` is how to ask for one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.array import Array
from autodiff.errors import GradientError
from autodiff.refusal import without_op
from autodiff.served import served

__all__ = ["Protocols"]


class Protocols:
    """How NumPy, and what is built on it, meets a node. Subclasses have what is named here."""

    __slots__ = ()

    __pandas_priority__ = 10_000  # more than that of a data frame, which then leaves it to us

    needs_gradient: bool
    value: Any

    def describe(self) -> str:
        """What it is, for error messages."""
        return repr(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.needs_gradient:
            raise GradientError(
                f"{self.describe()} needs a gradient, and an array of its numbers would lose it; "
                "write autodiff.stack([...]) to join nodes, node.value for the numbers alone, or "
                "autodiff.stop_gradient(node) where no gradient is to pass"
            )
        if copy is False:
            raise ValueError(f"{self.describe()}: its numbers are handed out as a copy only")
        return np.array(self.value, dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        found = served(ufunc)
        if found is None or method != "__call__":
            call = _ufunc_name(ufunc) + ("" if method == "__call__" else f".{method}")
            raise without_op(call, options)
        return found.call(inputs, options) if options else found.function(*inputs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, inputs: Sequence[Any], options: Any
    ) -> Any:
        found = served(function)
        if found is None:
            raise without_op(_function_name(function))
        return found.call(inputs, options)


def _ufunc_name(ufunc: np.ufunc) -> str:
    name = ufunc.__name__
    for short, module in (("np", "numpy"), ("scipy.special", "scipy.special")):
        if getattr(sys.modules.get(module), name, None) is ufunc:
            return f"{short}.{name}"
    return f"the ufunc {name}"


def _function_name(function: Callable[..., Any]) -> str:
    rooms = [room for room in function.__module__.split(".") if not room.startswith("_")]
    return ".".join(["np", *rooms[1:], function.__name__])
