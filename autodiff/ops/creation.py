"""Arrays that are made of what is given: nodes in lists joined, nodes repeated, nodes as they are.

NumPy itself makes arrays of numbers only, so most of these are reached through `autodiff.numpy`
alone. A node never changes, so that whoever asks for a copy of it gets the node.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from autodiff.array import Shape, is_operand
from autodiff.declare import numpy_name
from autodiff.errors import ShapeError
from autodiff.ops.arguments import axis_of, brief, operand, shape_of
from autodiff.ops.parts import concat, stack
from autodiff.ops.shape import broadcast_to, reshape
from autodiff.refusal import refusal

__all__: list[str] = []


# ---- arrays of lists --------------------------------------------------------------------


@numpy_name("numpy.array")
def _array(object: Any, *, ndmin: Any = 0) -> Any:
    """A node, or lists and tuples of nodes, arrays and numbers, all of them of one shape."""
    x = object if is_operand(object) else _joined(object)
    missing = operator.index(ndmin) - len(x.shape)
    return reshape(x, (1,) * missing + x.shape) if missing > 0 else x


@numpy_name("numpy.asarray", "numpy.asanyarray", "numpy.ascontiguousarray")
def _asarray(a: Any) -> Any:
    return _array(a)


@numpy_name("numpy.copy")
def _copy(a: Any) -> Any:
    return _array(a)


def _joined(nested: Any) -> Any:
    """One node of nested lists: numbers that are neighbours become one array, not many parts."""
    outer = _outer_shape(nested)
    leaves = list(_leaves(nested, len(outer)))
    shapes = {x.shape for x in leaves}
    if len(shapes) != 1:  # a node of two elements beside a list of two
        return stack([_array(x) for x in nested], axis=0)
    (inner,) = shapes
    parts: list[Any] = []
    numbers: list[Any] = []
    for leaf in leaves:
        if is_operand(leaf):
            if numbers:
                parts.append(np.concatenate([np.ravel(n) for n in numbers]))
                numbers = []
            parts.append(reshape(leaf, (-1,) if leaf.size else (0,)))
        else:
            numbers.append(leaf)
    if numbers:
        parts.append(np.concatenate([np.ravel(n) for n in numbers]))
    flat = concat(parts, 0) if len(parts) > 1 else parts[0]
    return reshape(flat, (*outer, *inner))


def _outer_shape(nested: Any) -> Shape:
    """The sizes of lists within lists, as deep as all are lists of the same length."""
    level = [nested]
    sizes: list[int] = []
    while level and all(isinstance(x, (list, tuple)) for x in level):
        lengths = {len(x) for x in level}
        if len(lengths) != 1:
            if not sizes:
                break
            raise refusal(ShapeError, f"array: lists of {sorted(lengths)} elements side by side")
        sizes.append(lengths.pop())
        level = [item for x in level for item in x]
    return tuple(sizes)


def _leaves(nested: Any, depth: int) -> Iterator[Any]:
    if depth == 0:
        # A list at this depth has neighbours that are none.
        x = _joined(nested) if _has_operand(nested) else operand("array", nested, "an element")
        yield x
        return
    for item in nested:
        yield from _leaves(item, depth - 1)


def _has_operand(x: Any) -> bool:
    return isinstance(x, (list, tuple)) and any(is_operand(i) or _has_operand(i) for i in x)


@numpy_name("numpy.block")
def _block(arrays: Any) -> Any:
    depth = _depth(arrays)
    n_axes = max(depth, max((len(np.shape(x)) for x in _flat(arrays)), default=0))
    return _blocks(arrays, depth, n_axes)


def _depth(arrays: Any) -> int:
    depths = {_depth(x) for x in arrays} if isinstance(arrays, list) else {-1}
    if len(depths) != 1:
        raise refusal(ShapeError, f"block: lists of different depths in {brief(arrays)}")
    return depths.pop() + 1


def _flat(arrays: Any) -> Iterator[Any]:
    if isinstance(arrays, list):
        for x in arrays:
            yield from _flat(x)
    else:
        yield arrays


def _blocks(arrays: Any, depth: int, n_axes: int) -> Any:
    if not depth:
        x = operand("block", arrays)
        return reshape(x, (1,) * (n_axes - len(x.shape)) + x.shape)
    return concat([_blocks(x, depth - 1, n_axes) for x in arrays], -depth)


# ---- of a given shape -------------------------------------------------------------------


@numpy_name("numpy.full")
def _full(shape: Any, fill_value: Any) -> Any:
    return broadcast_to(_array(fill_value), shape_of("full", shape))


@numpy_name("numpy.full_like")
def _full_like(a: Any, fill_value: Any, *, shape: Any = None) -> Any:
    size = np.shape(a) if shape is None else shape_of("full_like", shape)
    if is_operand(fill_value):
        return broadcast_to(fill_value, size)
    return np.full(size, fill_value, np.float64)


@numpy_name("numpy.empty_like", "numpy.zeros_like")
def _zeros_like(a: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    return np.zeros(np.shape(a) if shape is None else shape, _dtype(dtype))


@numpy_name("numpy.ones_like")
def _ones_like(a: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    return np.ones(np.shape(a) if shape is None else shape, _dtype(dtype))


def _dtype(dtype: Any) -> Any:
    return np.float64 if dtype is None else dtype


@numpy_name("numpy.linspace")
def _linspace(start: Any, stop: Any, num: Any = 50, endpoint: Any = True, *, axis: Any = 0) -> Any:
    first, last = operand("linspace", start, "start"), operand("linspace", stop, "stop")
    count = operator.index(num)
    steps = count - 1 if endpoint else count
    n_axes = max(len(first.shape), len(last.shape))
    parts = np.arange(count).reshape((count,) + (1,) * n_axes) / max(steps, 1)
    z = first * (1.0 - parts) + last * parts
    at = axis_of("linspace", z, axis)
    order = [*range(1, n_axes + 1)]
    order.insert(at, 0)
    return z.transpose(order) if at else z


@numpy_name("numpy.real_if_close")
def _real_if_close(a: Any, tol: Any = 100) -> Any:
    return a


# ---- questions about a node -------------------------------------------------------------


@numpy_name("numpy.isscalar")
def _isscalar(element: Any) -> bool:
    return is_operand(element) and element.shape == ()


@numpy_name("numpy.result_type")
def _result_type(*arrays_and_dtypes: Any) -> Any:
    return np.result_type(*[np.float64 if is_operand(x) else x for x in arrays_and_dtypes])


@numpy_name("numpy.array_str")
def _array_str(a: Any, max_line_width: Any = None, precision: Any = None) -> str:
    return np.array_str(a.value, max_line_width, precision)


@numpy_name("numpy.array_repr")
def _array_repr(arr: Any, max_line_width: Any = None, precision: Any = None) -> str:
    return np.array_repr(arr.value, max_line_width, precision)
