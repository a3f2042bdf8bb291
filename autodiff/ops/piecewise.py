"""Functions that are given only the elements for which a condition holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.array import is_operand
from autodiff.declare import numpy_name
from autodiff.errors import ShapeError
from autodiff.ops.arguments import operand
from autodiff.ops.elementwise import maximum, where
from autodiff.ops.masks import flatnonzero, is_mask
from autodiff.ops.rows import take
from autodiff.ops.shape import broadcast_to, reshape
from autodiff.ops.updates import put
from autodiff.refusal import refusal

__all__ = ["piecewise"]


@numpy_name("numpy.piecewise")
def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    """Functions, each of the elements where its condition is true; one more for the others.

    Where several are true, the last one counts; where none is, the value is 0. How many elements a
    condition chooses must be known, and must not change: see :func:`autodiff.numpy.flatnonzero`;
    while a step is recorded, write select or where.
    """
    x = operand("piecewise", x)
    conditions = _conditions(x, condlist)
    functions = list(funclist)
    if len(functions) == len(conditions) + 1:
        conditions.append(_otherwise(conditions))
    elif len(functions) != len(conditions):
        n = len(conditions)
        raise refusal(
            ShapeError, f"piecewise: {n} conditions, so {n} or {n + 1} functions are expected", x=x
        )
    z: Any = np.zeros(x.shape)
    for mask, function in zip(conditions, functions, strict=True):
        if not callable(function):
            z = where(mask, function, z)
            continue
        numbers = flatnonzero(mask)
        values = take(reshape(x, -1), numbers)
        if values.shape[0]:
            values = operand("piecewise", function(values, *args, **kw), "a result")
        z = put(z, numbers, broadcast_to(values, numbers.shape), distinct=True)
    return z


def _conditions(x: Any, condlist: Any) -> list[Any]:
    """The conditions, each of the shape of x."""
    single = np.ndim(condlist) == 0 if not is_operand(condlist) else not _is_list_of(x, condlist)
    if not single and not is_operand(condlist) and len(x.shape):
        single = not (is_operand(condlist[0]) or isinstance(condlist[0], (list, np.ndarray)))
    found = []
    for i, condition in enumerate([condlist] if single else condlist):
        if not is_mask(condition):
            raise refusal(
                ShapeError,
                f"piecewise: condlist[{i}] is not of True and False; compare something, as in "
                "x > 0",
            )
        found.append(broadcast_to(operand("piecewise", condition, f"condlist[{i}]"), x.shape))
    return found


def _is_list_of(x: Any, conditions: Any) -> bool:
    """Whether a node is several conditions, one after the other."""
    return len(conditions.shape) > len(x.shape)


def _otherwise(conditions: list[Any]) -> Any:
    """Where none of the conditions holds."""
    any_of = conditions[0]
    for condition in conditions[1:]:
        any_of = maximum(any_of, condition)
    return 1.0 - any_of
