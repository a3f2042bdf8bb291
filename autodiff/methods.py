"""What a node can do under the names of an array's methods: each is NumPy's function of that name.

The functions are looked up when they are called, in the table of all that nodes are served with;
arguments are NumPy's, and what is not supported is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from autodiff.refusal import without_op
from autodiff.served import named

__all__ = ["Methods"]


def _method(name: str, takes: str = "") -> Callable[..., Any]:
    """The method that is ``numpy.name`` of the node, with these arguments after it."""

    def call(self: Any, *inputs: Any, **options: Any) -> Any:
        found = named(f"numpy.{name}")
        if found is None:
            raise without_op(f"np.{name}")
        return found.call((self, *inputs), options)

    call.__name__ = name
    call.__qualname__ = f"Methods.{name}"
    call.__doc__ = f"``x.{name}({takes})`` is ``np.{name}(x{takes and ', '}{takes})``."
    return call


class Methods:
    """Methods of arrays, for nodes and recorded values."""

    __slots__ = ()

    all = _method("all", "axis=None, keepdims=False")
    any = _method("any", "axis=None, keepdims=False")
    argmax = _method("argmax", "axis=None, keepdims=False")
    argmin = _method("argmin", "axis=None, keepdims=False")
    argpartition = _method("argpartition", "kth, axis=-1")
    argsort = _method("argsort", "axis=-1")
    choose = _method("choose", "choices, mode='raise'")
    clip = _method("clip", "min=None, max=None")
    conj = _method("conj")
    conjugate = _method("conjugate")
    cumprod = _method("cumprod", "axis=None")
    cumsum = _method("cumsum", "axis=None")
    diagonal = _method("diagonal", "offset=0, axis1=0, axis2=1")
    dot = _method("dot", "b")
    nonzero = _method("nonzero")
    prod = _method("prod", "axis=None, keepdims=False")
    ptp = _method("ptp", "axis=None, keepdims=False")
    repeat = _method("repeat", "repeats, axis=None")
    round = _method("round", "decimals=0")
    searchsorted = _method("searchsorted", "v, side='left', sorter=None")
    std = _method("std", "axis=None, ddof=0, keepdims=False")
    take = _method("take", "indices, axis=None")
    trace = _method("trace", "offset=0, axis1=0, axis2=1")
    var = _method("var", "axis=None, ddof=0, keepdims=False")

    def compress(self, condition: Any, axis: Any = None) -> Any:
        """``x.compress(condition, axis=None)`` is ``np.compress(condition, x, axis)``."""
        found = named("numpy.compress")
        if found is None:
            raise without_op("np.compress")
        return found.call((condition, self, axis), {})

    @property
    def real(self) -> Any:
        """The node itself: its numbers are real."""
        return self

    @property
    def imag(self) -> Any:
        """The imaginary part, which is 0: ``np.imag(x)``."""
        found = named("numpy.imag")
        if found is None:
            raise without_op("np.imag")
        return found.function(self)

    def sort(self, *_: Any, **__: Any) -> NoReturn:
        """Refused, for an array sorts itself in place: write ``np.sort(x)``."""
        raise _in_place("sort", "np.sort(x, axis)")

    def partition(self, *_: Any, **__: Any) -> NoReturn:
        """Refused, for an array does it in place: write ``np.partition(x, kth)``."""
        raise _in_place("partition", "np.partition(x, kth)")

    def fill(self, *_: Any, **__: Any) -> NoReturn:
        """Refused, for nodes do not change: write ``autodiff.numpy.full_like(x, value)``."""
        raise _in_place("fill", "autodiff.numpy.full_like(x, value)")

    def put(self, *_: Any, **__: Any) -> NoReturn:
        """Refused, for nodes do not change: write ``autodiff.index_update(x, index, values)``."""
        raise _in_place("put", "autodiff.index_update(x, index, values)")


def _in_place(name: str, instead: str) -> TypeError:
    return TypeError(
        f"an array's method {name} works in place, and a node does not change; "
        f"y = {instead} gives a new one"
    )
