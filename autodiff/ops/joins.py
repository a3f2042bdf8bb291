"""Arrays put together: NumPy's ways to join, stack and repeat, said with concat.

Parameters, and what is made of operands of few axes, are NumPy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.array import Shape, is_operand
from autodiff.declare import numpy_name
from autodiff.errors import ShapeError
from autodiff.ops.arguments import (
    MAX_AXES,
    axis_of,
    brief,
    operand,
    parts_of,
    several,
    shape_of,
    whole_number,
)
from autodiff.ops.parts import concat, getitem
from autodiff.ops.rows import take
from autodiff.ops.shape import broadcast_to, reshape
from autodiff.refusal import refusal

__all__ = [
    "append",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "column_stack",
    "dstack",
    "hstack",
    "meshgrid",
    "repeat",
    "resize",
    "tile",
    "vstack",
]


def _parts(name: str, arrays: Any) -> list[Any]:
    """What is joined: the items of a list, or the rows of an operand."""
    if is_operand(arrays) and arrays.shape:
        return list(arrays)
    return list(parts_of(name, arrays))


# ---- axes that are missing --------------------------------------------------------------


def _one(x: Any, made: Any) -> Any:
    return made[0] if len(made) == 1 else tuple(made)


@numpy_name("numpy.atleast_1d")
def atleast_1d(*arys: Any) -> Any:
    """Each operand with one axis at least; a tuple if there are several."""
    return _one(arys, [_with_axes("atleast_1d", x, 1) for x in arys])


@numpy_name("numpy.atleast_2d")
def atleast_2d(*arys: Any) -> Any:
    """Each operand with two axes at least, new ones in front; a tuple if there are several."""
    return _one(arys, [_with_axes("atleast_2d", x, 2) for x in arys])


@numpy_name("numpy.atleast_3d")
def atleast_3d(*arys: Any) -> Any:
    """Each operand with three axes at least: of shapes (n,) and (m, n) are made (1, n, 1) and
    (m, n, 1). A tuple if there are several."""
    return _one(arys, [_with_axes("atleast_3d", x, 3) for x in arys])


def _with_axes(name: str, x: Any, n: int) -> Any:
    x = operand(name, x)
    shape = x.shape
    if len(shape) >= n:
        return x
    if n == 3 and shape:
        return reshape(x, (1, *shape, 1) if len(shape) == 1 else (*shape, 1))
    return reshape(x, (1,) * (n - len(shape)) + shape)


# ---- joins ------------------------------------------------------------------------------


@numpy_name("numpy.hstack")
def hstack(tup: Any) -> Any:
    """The parts one after the other along axis 1, or 0 if the first one has a single axis."""
    parts = [_with_axes("hstack", x, 1) for x in _parts("hstack", tup)]
    return concat(parts, 0 if len(parts[0].shape) == 1 else 1)


@numpy_name("numpy.vstack", "numpy.row_stack")
def vstack(tup: Any) -> Any:
    """The parts one below the other; one of shape (n,) is a row."""
    return concat([_with_axes("vstack", x, 2) for x in _parts("vstack", tup)], 0)


@numpy_name("numpy.dstack")
def dstack(tup: Any) -> Any:
    """The parts one behind the other, along axis 2; see :func:`atleast_3d`."""
    return concat([_with_axes("dstack", x, 3) for x in _parts("dstack", tup)], 2)


@numpy_name("numpy.column_stack")
def column_stack(tup: Any) -> Any:
    """The parts side by side; one of shape (n,) is a column."""
    columns = []
    for part in _parts("column_stack", tup):
        x = operand("column_stack", part)
        columns.append(x if len(x.shape) > 1 else reshape(x, (-1, 1)))
    return concat(columns, 1)


@numpy_name("numpy.append")
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """`values` after `arr` along `axis`; without one, both are flattened."""
    x, y = operand("append", arr, "arr"), operand("append", values, "values")
    if axis is None:
        return concat([reshape(x, -1), reshape(y, -1)], 0)
    return concat([x, y], axis)


# ---- repeats ----------------------------------------------------------------------------


@numpy_name("numpy.tile")
def tile(A: Any, reps: Any) -> Any:
    """A as a tile: so often along each axis."""
    x = operand("tile", A, "A")
    items = several(reps)
    counts = shape_of("tile", (reps,) if items is None else items, x=x)
    n = max(len(counts), len(x.shape))
    shape = (1,) * (n - len(x.shape)) + x.shape
    counts = (1,) * (n - len(counts)) + counts
    apart: list[int] = []
    repeated: list[int] = []
    for size, count in zip(shape, counts, strict=True):
        apart += [size] if count == 1 else [1, size]
        repeated += [size] if count == 1 else [count, size]
    _check_axes("tile", x, repeated)
    whole = [size * count for size, count in zip(shape, counts, strict=True)]
    return reshape(broadcast_to(reshape(x, apart), repeated), whole)


def _check_axes(name: str, x: Any, shape: Sequence[int]) -> None:
    if len(shape) > MAX_AXES:
        raise refusal(ShapeError, f"{name}: that takes more than {MAX_AXES} axes", x=x)


@numpy_name("numpy.repeat")
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element several times: `repeats` is a number, or one for each along `axis`.

    Without an axis, of all elements along one axis.
    """
    x = operand("repeat", a, "a")
    if axis is None:
        x, i = reshape(x, -1), 0
    else:
        i = axis_of("repeat", x, axis)
    size = x.shape[i]
    counts = repeats if whole_number(repeats) is not None else several(repeats)
    if counts is None:
        raise refusal(
            ShapeError, f"repeat: {brief(repeats)} is neither a number nor a list of numbers", a=x
        )
    numbers = shape_of("repeat", counts, a=x)
    if len(numbers) == 1:
        before, after = x.shape[:i], x.shape[i + 1 :]
        wide = broadcast_to(reshape(x, (*before, size, 1, *after)),
                            (*before, size, numbers[0], *after))  # fmt: skip
        return reshape(wide, (*before, size * numbers[0], *after))
    if len(numbers) != size:
        raise refusal(
            ShapeError,
            f"repeat: {len(numbers)} numbers for {size} elements: a has shape {x.shape}",
            a=x,
        )
    return take(x, np.repeat(np.arange(size), numbers), i)


@numpy_name("numpy.resize")
def resize(a: Any, new_shape: Any) -> Any:
    """a in another shape: repeated if that is larger, cut off if it is smaller."""
    x = operand("resize", a, "a")
    shape = shape_of("resize", new_shape, a=x)
    size, flat = int(np.prod(shape, dtype=np.intp)), reshape(x, -1)
    if not size or not flat.shape[0]:
        return np.zeros(shape)
    times = -(-size // flat.shape[0])
    return reshape(getitem(tile(flat, times), slice(size)), shape)


# ---- to a common shape ------------------------------------------------------------------


def _common(name: str, operands: Sequence[Any]) -> Shape:
    try:
        return np.broadcast_shapes(*[x.shape for x in operands])
    except ValueError:
        shapes = ", ".join(str(x.shape) for x in operands)
        raise refusal(ShapeError, f"{name}: shapes do not broadcast: {shapes}") from None


@numpy_name("numpy.broadcast_arrays")
def broadcast_arrays(*args: Any) -> tuple[Any, ...]:
    """The operands, repeated to the shape to which they broadcast."""
    operands = [operand("broadcast_arrays", x, f"args[{i}]") for i, x in enumerate(args)]
    shape = _common("broadcast_arrays", operands)
    return tuple([broadcast_to(x, shape) for x in operands])


@numpy_name("numpy.meshgrid")
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """Coordinates of a grid, of vectors of coordinates; one array for each of them."""
    if indexing not in ("xy", "ij"):
        raise refusal(ShapeError, f"meshgrid: indexing must be 'xy' or 'ij', not {brief(indexing)}")
    n = len(xi)
    order = list(range(n))
    if indexing == "xy" and n > 1:
        order[:2] = 1, 0
    axes = []
    for i, x in enumerate(xi):
        values = operand("meshgrid", x, f"xi[{i}]")
        shape = [1] * n
        shape[order[i]] = -1
        axes.append(reshape(values, shape))
    if sparse or not axes:
        return tuple(axes)
    shape = _common("meshgrid", axes)  # type: ignore[assignment]
    return tuple([broadcast_to(x, shape) for x in axes])
