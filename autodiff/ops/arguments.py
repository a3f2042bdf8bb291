"""What is checked before an op is applied: operands, axes, shapes, counts, parts.

All public functions of ops check their arguments here, so that one mistake gets one message
wherever it is made: it names the op, the argument, the shape, the node and the user's line. A
whole number is an integer or an array of one without axes; neither True nor 1.0 is one.
"""

from __future__ import annotations

import math
import operator
import reprlib
import sys
from collections.abc import Sequence, ValuesView
from types import GeneratorType
from typing import Any, TypeAlias

import numpy as np

from autodiff.apply import plain
from autodiff.array import Shape, is_operand
from autodiff.errors import DTypeError, ShapeError
from autodiff.refusal import refusal

__all__ = [
    "MAX_AXES",
    "Axis",
    "axes_of",
    "axis_of",
    "brief",
    "flag",
    "listed",
    "operand",
    "over_axes",
    "over_some",
    "parts_of",
    "several",
    "shape_of",
    "some_axes_of",
    "whole_number",
]

Axis: TypeAlias = int | Sequence[int] | None

MAX_AXES = 64
"""NumPy's limit."""
_ITEM = 8  # bytes of a float64
_MOST = 1 << 24  # items of a sequence; who gives more, as range(2**62), means something else


def operand(name: str, x: Any, what: str = "x") -> Any:
    """`x` as something with a shape: a node or a recorded value, else an array of numbers."""
    return x if is_operand(x) else plain(x, name, what)


def brief(x: Any) -> str:
    """`x` in a message: its representation, shortened."""
    try:
        return reprlib.repr(x)
    except ValueError:  # Python writes no integers of more than 4300 digits
        return f"a {type(x).__name__} of very many digits"


def whole_number(x: Any) -> int | None:
    """`x` as a Python integer; None if it is no whole number."""
    if type(x) is int:
        return x
    if isinstance(x, (bool, np.bool_)) or is_operand(x):
        return None
    try:
        return operator.index(x)
    except TypeError:
        return None


def several(x: Any) -> tuple[Any, ...] | None:
    """The items of a list, a tuple, a range or an array of one axis; None of anything else."""
    if type(x) is tuple or type(x) is list:
        return tuple(x)
    if isinstance(x, np.ndarray):
        return tuple(x) if x.ndim == 1 else None
    if isinstance(x, Sequence) and not isinstance(x, (str, bytes, bytearray)):
        return tuple(x) if len(x) <= _MOST else None
    return None


def listed(x: Any) -> tuple[Any, ...] | None:
    """What :func:`several` gives, and the items of a generator or of a dictionary's values."""
    return tuple(x) if isinstance(x, (ValuesView, GeneratorType, map)) else several(x)


def axis_of(name: str, x: Any, axis: Any, n_new: int = 0) -> int:
    """`axis` of x, which gets `n_new` more axes, counted from the front; ShapeError."""
    n_axes = len(x.shape) + n_new
    number = whole_number(axis)
    if number is None:
        raise refusal(ShapeError, f"{name}: axis {brief(axis)} is not an integer", x=x)
    if not -n_axes <= number < n_axes:
        raise refusal(
            ShapeError, f"{name}: x has shape {x.shape}; there is no axis {brief(number)}", x=x
        )
    return number % n_axes


def axes_of(name: str, x: Any, axis: Any, *, new: bool = False) -> tuple[int, ...]:
    """One axis or several, as sorted numbers counted from the front; ShapeError.

    None stands for all axes. new : they are those that x is about to get.
    """
    if type(axis) is int:  # the usual case
        return (axis_of(name, x, axis, int(new)),)
    if axis is None and not new:
        return tuple(range(len(x.shape)))
    items = several(axis)
    if items is None:
        items = (axis,)
    n_new = len(items) if new else 0
    axes = tuple(sorted([axis_of(name, x, a, n_new) for a in items]))
    if len(set(axes)) != len(axes):
        raise refusal(ShapeError, f"{name}: axis {brief(axis)} names an axis twice", x=x)
    return axes


def some_axes_of(name: str, x: Any, axis: Any) -> tuple[int, ...]:
    """As :func:`axes_of`, for what needs something to reduce; ShapeError.

    If there are no rows of nothing either, it is not missed.
    """
    axes = axes_of(name, x, axis)
    shape = x.shape
    if 0 in shape and math.prod(n for i, n in enumerate(shape) if i not in axes) > 0:
        raise refusal(
            ShapeError, f"{name}: nothing to reduce: x has shape {shape}, axis {axes}", x=x
        )
    return axes


def shape_of(name: str, shape: Any, *, unknown: bool = False, **operands: Any) -> Shape:
    """The shape that was asked for, from a number or a sequence of numbers; ShapeError.

    unknown : -1 may stand for a size that follows from the others.
    operands : of which the message tells.
    """
    items = several(shape)
    if items is None:
        items = (shape,)
    sizes = [n if type(n) is int else whole_number(n) for n in items]
    if None in sizes:
        raise refusal(ShapeError, f"{name}: {brief(shape)} is no shape", **operands)
    found: Shape = tuple(sizes)  # type: ignore[arg-type]
    if found and min(found) < (-1 if unknown else 0):
        raise refusal(ShapeError, f"{name}: sizes must not be negative: {brief(found)}", **operands)
    size = math.prod(found) or math.prod([n or 1 for n in found])
    if len(found) > MAX_AXES or size > sys.maxsize // _ITEM:
        raise refusal(
            ShapeError,
            f"{name}: no array can have the shape {brief(found)}: it has more than {MAX_AXES} "
            f"axes, or more than {sys.maxsize} bytes",
            **operands,
        )
    return found


def flag(name: str, what: str, value: Any) -> bool:
    """A switch that must be True or False; ShapeError."""
    if isinstance(value, (bool, np.bool_)) or (type(value) is int and value in (0, 1)):
        return bool(value)
    raise refusal(ShapeError, f"{name}: {what} must be True or False, not {brief(value)}")


def over_axes(
    name: str, x: Any, axis: Axis = None, keepdims: bool = False
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a reduction, for its record."""
    x = operand(name, x)
    return (x,), {"axis": axes_of(name, x, axis), "keepdims": flag(name, "keepdims", keepdims)}


def over_some(
    name: str, x: Any, axis: Axis = None, keepdims: bool = False
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """As :func:`over_axes`, for a reduction that needs something to reduce; ShapeError."""
    x = operand(name, x)
    axes = some_axes_of(name, x, axis)
    return (x,), {"axis": axes, "keepdims": flag(name, "keepdims", keepdims)}


def parts_of(name: str, parts: Any) -> tuple[Any, ...]:
    """The operands that are joined; DTypeError if that is no sequence, ShapeError if empty."""
    if type(parts) is list or type(parts) is tuple:
        items: tuple[Any, ...] | None = tuple(parts)
    elif isinstance(parts, np.ndarray) and parts.ndim > 1:
        items = tuple(parts)
    else:
        items = listed(parts)
    if items is None:
        known = {"parts": parts} if is_operand(parts) else {}
        raise refusal(
            DTypeError,
            f"{name}: the parts must be a list or a tuple of operands, as in {name}([x, y])"
            + ("" if known else f", not {brief(parts)}"),
            **known,
        )
    if not items:
        raise refusal(ShapeError, f"{name}: there are no parts")
    return tuple(
        [x if is_operand(x) else plain(x, name, f"parts[{i}]") for i, x in enumerate(items)]
    )
