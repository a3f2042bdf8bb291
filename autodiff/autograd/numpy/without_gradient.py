"""Functions without a derivative, which HIPS autograd calls with numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import autodiff.numpy
from autodiff.autograd.tracer import getval, isbox
from autodiff.served import holds_operand

__all__ = ["make_diagonal", "raw_functions", "where"]

_NAMES = (
    "all", "allclose", "any", "argmax", "argmin", "argpartition", "argsort", "argwhere", "around",
    "array_equal", "array_equiv", "ceil", "count_nonzero", "empty_like", "equal", "fix",
    "flatnonzero", "floor", "floor_divide", "greater", "greater_equal", "isclose", "iscomplex",
    "iscomplexobj", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "isreal", "isscalar",
    "less", "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor", "ndim",
    "nonzero", "not_equal", "ones_like", "result_type", "rint", "round", "searchsorted", "shape",
    "sign", "size", "trunc", "zeros_like",
)  # fmt: skip
_INTEGERS = ("int8", "int16", "int32", "int64")


def raw_functions() -> dict[str, Callable[..., Any]]:
    """Those of them that this NumPy has, and ``where``, whose arguments may be given by name."""
    raw = {name: _raw(name) for name in _NAMES if hasattr(np, name)}
    integers = {name: _of_integers(getattr(np, name)) for name in _INTEGERS}
    return {"where": where, **raw, **integers}


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """numpy.where; of a condition alone, where it is true."""
    if x is None and y is None:
        return np.where(getval(condition))
    if not isinstance(condition, np.ndarray) and _are_pythons(x, y) and not isbox(condition):
        return np.where(condition, x, y).tolist()
    return autodiff.numpy.where(condition, x, y)


def _are_pythons(*values: Any) -> bool:
    """Whether these are Python's own numbers and lists of such, which stay what they are."""
    return all(isinstance(x, (int, float, list, tuple)) and not isbox(x) for x in values)


def _of_integers(kind: type) -> Any:
    """NumPy's type of integers, which also takes nodes: their numbers are cut off."""

    def new(cls: type, x: Any = 0) -> Any:
        return kind(getval(x))

    return type(kind.__name__, (kind,), {"__new__": new, "__doc__": kind.__doc__})


def make_diagonal(D: Any, offset: int = 0, axis1: int = -1, axis2: int = -2) -> Any:
    """D along the diagonals of new matrices, which are 0 elsewhere."""
    if (offset, axis1, axis2) != (0, -1, -2):
        raise NotImplementedError("make_diagonal: offset=0, axis1=-1, axis2=-2 alone")
    return D[..., None] * np.eye(np.shape(D)[-1])


def _raw(name: str) -> Callable[..., Any]:
    theirs = getattr(np, name)

    def call(*inputs: Any, **options: Any) -> Any:
        if not holds_operand(inputs) and not holds_operand(options.values()):
            return theirs(*inputs, **options)
        values = [getval(x) for x in inputs]
        named = {key: getval(x) for key, x in options.items()}
        if any(map(isbox, values)) or any(map(isbox, named.values())):  # recorded values
            return getattr(autodiff.numpy, name)(*inputs, **options)
        return theirs(*values, **named)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "autodiff.autograd.numpy"
    call.__doc__ = theirs.__doc__
    call.__wrapped__ = theirs  # type: ignore[attr-defined]
    return call
