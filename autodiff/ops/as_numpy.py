"""Functions of NumPy's that are no ops here, but can be said with ops; users do not call these.

Parameters are named as NumPy's are. The ops themselves, and functions of this package that mean
what one of NumPy's means, say so where they are declared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from autodiff.declare import numpy_name
from autodiff.ops.arguments import axes_of, axis_of
from autodiff.ops.arithmetic import divide
from autodiff.ops.elementwise import where
from autodiff.ops.masks import nonzero
from autodiff.ops.parts import concat, split, stack
from autodiff.ops.shape import reshape, transpose
from autodiff.refusal import without_op

__all__: list[str] = []


@numpy_name("numpy.positive")
def _positive(x: Any) -> Any:
    return x


@numpy_name("numpy.reciprocal")
def _reciprocal(x: Any) -> Any:
    return divide(1.0, x)


@numpy_name("numpy.where")
def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return nonzero(condition)
    if x is None or y is None:
        raise without_op("np.where of a condition and one choice")
    return where(condition, x, y)


@numpy_name("numpy.concatenate")
def _concatenate(arrays: Any, axis: Any = 0) -> Any:
    if axis is None:
        return concat([reshape(x, -1) for x in arrays], 0)
    return concat(arrays, axis)


@numpy_name("numpy.split")
def _split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> list[Any]:
    return split(ary, indices_or_sections, axis)


@numpy_name("numpy.ravel")
def _ravel(a: Any) -> Any:
    return reshape(a, -1)


# ---- what depends on the shape alone ----------------------------------------------------


@numpy_name("numpy.shape")
def _shape(a: Any) -> Any:
    return a.shape


@numpy_name("numpy.ndim")
def _ndim(a: Any) -> int:
    return len(a.shape)


@numpy_name("numpy.size")
def _size(a: Any, axis: Any = None) -> int:
    return math.prod(a.shape[i] for i in axes_of("np.size", a, axis))


# ---- with functions of the user's -------------------------------------------------------


@numpy_name("numpy.apply_along_axis")
def _apply_along_axis(
    func1d: Callable[..., Any], axis: Any, arr: Any, *args: Any, **kwargs: Any
) -> Any:
    at = axis_of("apply_along_axis", arr, axis)
    others = [i for i in range(len(arr.shape)) if i != at]
    rows = reshape(transpose(arr, [*others, at]), (-1, arr.shape[at]))
    results = stack([func1d(rows[i], *args, **kwargs) for i in range(rows.shape[0])], 0)
    own = len(results.shape) - 1
    z = reshape(results, (*[arr.shape[i] for i in others], *results.shape[1:]))
    n = len(others)
    order = [*range(at), *range(n, n + own), *range(at, n)]
    return transpose(z, order) if order else z
