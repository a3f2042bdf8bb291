"""Elements chosen by number, by conditions, by masks, under NumPy's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.array import is_operand
from autodiff.declare import numpy_name
from autodiff.errors import IndexRangeError, ShapeError
from autodiff.ops.arguments import axis_of, brief, operand, parts_of
from autodiff.ops.elementwise import where
from autodiff.ops.gather import Piece, from_the_front, integers, joined
from autodiff.ops.masks import flatnonzero, is_mask
from autodiff.ops.parts import getitem, stack
from autodiff.ops.rows import axes_of_rows, take
from autodiff.ops.shape import broadcast_to, reshape
from autodiff.refusal import refusal

__all__ = ["choose", "compress", "extract", "select", "take_along_axis"]


# ---- by number --------------------------------------------------------------------------


def numbers_of(name: str, indices: Any, what: str) -> Any:
    """Whole numbers that choose something, known ones as integers; a node as it is."""
    return indices if is_operand(indices) else integers(name, indices, what)


def within(name: str, numbers: Any, size: int, mode: str) -> Any:
    """Known numbers of an axis, brought into it as NumPy's `mode` has it."""
    if mode == "raise":
        return numbers
    if mode not in ("clip", "wrap"):
        raise refusal(
            ShapeError, f"{name}: mode must be 'raise', 'wrap' or 'clip', not {brief(mode)}"
        )
    if is_operand(numbers):
        raise refusal(
            IndexRangeError,
            f"{name}: mode={mode!r} is for numbers that are known, not for those of a node",
            indices=numbers,
        )
    return np.clip(numbers, 0, size - 1) if mode == "clip" else numbers % size


@numpy_name("numpy.take")
def take_of_numpy(a: Any, indices: Any, axis: Any = None, mode: str = "raise") -> Any:
    """Elements of a along `axis` by number; without an axis, of all elements, row by row."""
    x = operand("take", a, "a")
    if axis is None:
        x, axis = reshape(x, -1), 0
    i = axis_of("take", x, axis)
    numbers = within("take", numbers_of("take", indices, "indices"), x.shape[i], mode)
    return take(x, numbers, i)


@numpy_name("numpy.take_along_axis")
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """z[i, j] = arr[i, indices[i, j]]: elements by number along one axis, as argsort gives them."""
    x = operand("take_along_axis", arr, "arr")
    return _along_axis("take_along_axis", x, indices, axis)


def _along_axis(name: str, x: Any, indices: Any, axis: Any) -> Any:
    if axis is None:
        x, axis = reshape(x, -1), 0
    i, n = axis_of(name, x, axis), len(x.shape)
    numbers = numbers_of(name, indices, "indices")
    if len(numbers.shape) != n:
        raise refusal(
            ShapeError,
            f"{name}: arr has shape {x.shape}, indices has shape {numbers.shape}: they need as "
            "many axes",
            arr=x,
        )
    if not is_operand(numbers):
        numbers = from_the_front(name, x, numbers, i)
    if n == 1:
        return take(x, numbers)
    pieces = []
    for j, size in enumerate(x.shape):
        own = np.arange(size).reshape([-1 if k == j else 1 for k in range(n)])
        pieces.append(Piece(numbers if j == i else own, j, (size,)))
    return take.normal(x, joined(name, pieces, x), **axes_of_rows(0, n))


@numpy_name("numpy.choose")
def choose(a: Any, choices: Any, mode: str = "raise") -> Any:
    """z[i] = choices[a[i]][i]: a says from which of the choices each element comes."""
    parts = list(choices) if is_operand(choices) else list(parts_of("choose", choices))
    numbers = within("choose", numbers_of("choose", a, "a"), len(parts), mode)
    try:
        shape = np.broadcast_shapes(numbers.shape, *[x.shape for x in parts])
    except ValueError:
        raise refusal(
            ShapeError,
            f"choose: shapes do not broadcast: a has shape {numbers.shape}, the choices "
            f"{', '.join(str(x.shape) for x in parts)}",
        ) from None
    whole = stack([broadcast_to(x, shape) for x in parts])
    repeat = broadcast_to if is_operand(numbers) else np.broadcast_to
    return getitem(_along_axis("choose", whole, repeat(numbers, shape)[None], 0), 0)


# ---- by masks ---------------------------------------------------------------------------


@numpy_name("numpy.compress")
def compress(condition: Any, a: Any, axis: Any = None) -> Any:
    """Elements of a along `axis` where the condition is true; without an axis, of all elements."""
    x, mask = operand("compress", a, "a"), operand("compress", condition, "condition")
    if len(mask.shape) != 1:
        raise refusal(
            ShapeError, f"compress: condition has shape {mask.shape}, it must have one axis"
        )
    if axis is None:
        x, axis = reshape(x, -1), 0
    i = axis_of("compress", x, axis)
    if not is_operand(mask) and np.asarray(mask)[x.shape[i] :].any():
        raise refusal(
            IndexRangeError,
            f"compress: the condition of {mask.shape[0]} elements is true beyond axis {i} of a, "
            f"which has shape {x.shape}",
            a=x,
        )
    return take(x, flatnonzero(mask), i)


@numpy_name("numpy.extract")
def extract(condition: Any, arr: Any) -> Any:
    """The elements of arr, row by row, where the condition is true."""
    x, mask = operand("extract", arr, "arr"), operand("extract", condition, "condition")
    return compress(reshape(mask, -1), reshape(x, -1), 0)


# ---- by conditions ----------------------------------------------------------------------


@numpy_name("numpy.select")
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Each element from the choice of the first condition that is true, else from the default."""
    conditions, choices = list(condlist), list(choicelist)
    if not conditions or len(conditions) != len(choices):
        raise refusal(
            ShapeError,
            f"select: {len(conditions)} conditions for {len(choices)} choices; there must be one "
            "for each, and one at least",
        )
    for i, condition in enumerate(conditions):
        if not is_mask(condition):
            raise refusal(
                ShapeError,
                f"select: condlist[{i}] is not of True and False; compare something, as in x > 0",
            )
    z = default
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        z = where(operand("select", condition, "a condition"), choice, z)
    return z
