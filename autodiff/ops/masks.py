"""Masks: nodes of 1.0 and 0.0 that choose elements, and the numbers of those that are chosen.

How many elements a mask chooses is a shape, and shapes are known when a graph is built. So a mask
that is a node is computed then, and what is made of it says how many it has chosen: if there are
more or fewer when it is computed again, that is an error, and nothing is frozen in silence. Which
elements are chosen may change.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.array import Shape, is_operand
from autodiff.declare import declare, numpy_name
from autodiff.errors import RecordingError, ShapeError
from autodiff.op import Example, Sample
from autodiff.ops.arguments import brief, operand, whole_number
from autodiff.ops.rows import take
from autodiff.refusal import refusal

__all__ = ["argwhere", "flatnonzero", "is_mask", "is_numbers", "known_numbers", "nonzero"]

_TRUE_OR_FALSE = frozenset((
    "equal", "not_equal", "greater", "greater_equal", "less", "less_equal", "isnan", "isfinite",
    "isinf", "isneginf", "isposinf", "isreal", "iscomplex", "isclose", "signbit", "logical_and",
    "logical_or", "logical_xor", "logical_not", "any", "all",
))  # fmt: skip
"""Ops whose values are True and False, as 1.0 and 0.0."""

_NUMBERS = frozenset((
    "argsort", "argmax", "argmin", "searchsorted", "_flatnonzero", "_join_numbers", "_last_of",
    "floor", "ceil", "rint", "trunc", "floor_divide",
))  # fmt: skip
"""Ops whose values are whole numbers, and may be positions."""

_KEEPING = frozenset((
    "reshape", "transpose", "broadcast_to", "getitem", "take", "concat", "stop_gradient", "alias",
    "maximum", "minimum", "multiply",
))  # fmt: skip
"""Ops of which the value is one of the two kinds if all operands are."""

_DEEPEST = 16


def _made_by(x: Any) -> tuple[str, tuple[Any, ...]]:
    """The name of the op that computes a node or a recorded value, and its inputs."""
    value = getattr(x, "computed", x)  # of a recorded value
    op = value.op
    return op if isinstance(op, str) else getattr(op, "name", ""), tuple(value.inputs)


def _is_of(x: Any, names: frozenset[str], depth: int = _DEEPEST) -> bool:
    name, inputs = _made_by(x)
    if name in names:
        return True
    if name not in _KEEPING or depth == 0:
        return False
    inputs = inputs[:1] if name == "take" else inputs
    return all(_is_of(y, names, depth - 1) for y in inputs)


def is_mask(x: Any) -> bool:
    """Whether it is True and False: an array of these, or what a comparison has made."""
    if is_operand(x):
        return _is_of(x, _TRUE_OR_FALSE)
    return np.asarray(x).dtype == bool


def is_numbers(x: Any) -> bool:
    """Whether a node or a recorded value is made of positions and whole numbers."""
    return _is_of(x, _NUMBERS)


def known_numbers(x: Any) -> Any:
    """The numbers of `x` now, as an array; None in a recording, where there are none."""
    if not is_operand(x):
        return np.asarray(x)
    value = x.forward() if hasattr(x, "forward") else x.value
    return value if isinstance(value, np.ndarray) else None


def _flatnonzero_shape(a: Shape, *, count: int) -> Shape:
    return (count,)


@declare(
    shape=_flatnonzero_shape,
    backward=None,
    ulps=0.0,
    examples=[
        Example((Sample((7,), 1.0, 2.0),), {"count": 7}),
        Example((Sample((3, 4), -2.0, -1.0),), {"count": 12}),
        Example((Sample(()),), {"count": 1}),
    ],
    empty=(Example((Sample((0,)),), {"count": 0}), Example((Sample((3, 0)),), {"count": 0})),
)
def _flatnonzero(a: Any, *, count: int) -> Any:
    """z = the positions of what is not 0, of which there are `count`; no gradient."""
    found = np.flatnonzero(a)
    if found.size != count:
        raise ShapeError(changed(found.size, count))
    return found.astype(np.float64)


def changed(found: float, count: float) -> str:
    """What is said about a mask that chooses another number of elements than it did."""
    return (
        f"flatnonzero: the mask chooses {found:g} elements, but when the graph was built it chose "
        f"{count:g}, and shapes were made for these; build the graph anew, or use where, which "
        "keeps the shape"
    )


@numpy_name("numpy.flatnonzero")
def flatnonzero(a: Any, count: int | None = None) -> Any:
    """The positions of what is not 0, all elements counted row by row; no gradient.

    Of a node, `count` says how many there are; without it they are counted now. When it is
    computed and there are more or fewer, that raises ShapeError.

    Raises
    ------
    RecordingError
        If the count is neither given nor can be known, as while a step is recorded.
    """
    mask = operand("flatnonzero", a, "a")
    number = whole_number(count)
    if count is not None and (number is None or number < 0):
        raise refusal(ShapeError, f"flatnonzero: {brief(count)} is no count of elements", a=mask)
    if number is None:
        numbers = known_numbers(mask)
        if numbers is None:
            raise refusal(
                RecordingError,
                "flatnonzero: while a step is recorded the mask has no numbers, and how many "
                "elements it chooses is a shape, which must be known: write where(mask, x, 0.0), "
                "which keeps the shape, give its count, as in flatnonzero(mask, count=3), or "
                "compute the mask outside of the step",
                mask=mask,
            )
        number = int(np.count_nonzero(numbers))
    return _flatnonzero.normal(mask, count=number)


@numpy_name("numpy.nonzero")
def nonzero(a: Any) -> tuple[Any, ...]:
    """The indices of what is not 0, one array for each axis; see :func:`flatnonzero`."""
    flat = flatnonzero(a)
    shape = a.shape
    if len(shape) == 1:
        return (flat,)
    each = np.indices(shape).reshape(len(shape), -1)
    return tuple([take(axis.astype(np.float64), flat) for axis in each])


@numpy_name("numpy.argwhere")
def argwhere(a: Any) -> Any:
    """The indices of what is not 0, one row for each; see :func:`flatnonzero`."""
    shape = a.shape
    each = np.indices(shape).reshape(len(shape), -1)
    return take(np.ascontiguousarray(each.T, np.float64), flatnonzero(a))
