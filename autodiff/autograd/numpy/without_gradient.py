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


def raw_functions() -> dict[str, Callable[..., Any]]:
    """Those of them that this NumPy has, and ``where``, whose arguments may be given by name."""
    return {"where": where, **{name: _raw(name) for name in _NAMES if hasattr(np, name)}}


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """numpy.where; of a condition alone, where it is true."""
    if x is None and y is None:
        return np.where(getval(condition))
    found = autodiff.numpy.where(condition, x, y)
    if np.ndim(found) == 0 and not isbox(found) and not isinstance(x, np.ndarray):
        return x if condition else y
    return found


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
