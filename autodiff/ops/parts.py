"""Joins and cuts: parts side by side, slices, and the adjoint of a slice.

Each op has its adjoint in the table too, so that gradients of gradients stay within the table.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare, numpy_name
from autodiff.errors import IndexRangeError, ShapeError
from autodiff.op import BoundOp, Example, Sample, example
from autodiff.ops.arguments import (
    axis_of,
    brief,
    operand,
    parts_of,
    several,
    shape_of,
    whole_number,
)
from autodiff.ops.batches import along_axis
from autodiff.ops.gather import is_advanced, taken_apart
from autodiff.ops.index import Index, indexed_shape, normalise_index, to_numpy, whole_index
from autodiff.ops.rows import axes_of_rows, take
from autodiff.ops.shape import IntLike, reshape, transpose
from autodiff.refusal import refusal

__all__ = ["concat", "getitem", "scatter_slice", "split", "stack"]


# ---- joins ----------------------------------------------------------------------------


def _concat_arguments(name: str, parts: Iterable[Any], axis: int = -1) -> Any:
    operands = parts_of(name, parts)
    return operands, {"axis": axis_of(name, operands[0], axis)}


def _concat_shape(*shapes: Shape, axis: int) -> Shape:
    first = shapes[0]
    for i, shape in enumerate(shapes):
        others = shape[:axis] + shape[axis + 1 :]
        if len(shape) != len(first) or others != first[:axis] + first[axis + 1 :]:
            raise ShapeError(
                f"concat: along axis {axis}, parts[0] has shape {first}, "
                f"but parts[{i}] has shape {shape}"
            )
    return (*first[:axis], sum(s[axis] for s in shapes), *first[axis + 1 :])


def _concat_backward(g: Any, z: Any, *parts: Any, axis: int, needed: Sequence[bool]) -> list[Any]:
    before, stop = [slice(None)] * axis, 0
    gradients = []
    for part, wanted in zip(parts, needed, strict=True):
        start, stop = stop, stop + part.shape[axis]
        gradients.append(getitem(g, (*before, slice(start, stop))) if wanted else None)
    return gradients


def _concat_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    axis = bound.attributes["axis"]
    if any(x.op == bound.name and x.attribute("axis") == axis for x in inputs):
        flat: list[Any] = []
        for x in inputs:
            joined = x.op == bound.name and x.attribute("axis") == axis
            flat.extend(x.inputs if joined else [x])
        return e.concat(flat, axis)
    if len(inputs) == 1:
        return inputs[0]
    cuts = [e.slice_of(x) for x in inputs]
    first = cuts[0]
    if first is not None and first.axis == axis:
        here = first.start
        for cut in cuts:
            neighbour = cut is not None and cut.source is first.source and cut.axis == axis
            if not neighbour or cut.start != here:
                break
            here = cut.stop
        else:  # the whole, or one longer slice
            if here - first.start == first.source.shape[axis]:
                return first.source
            return e.slice(first.source, axis, first.start, here)
    if len(inputs[0].shape) == 2 and all(x.op == "transpose" for x in inputs):
        return e.transpose(e.concat([x.inputs[0] for x in inputs], 1 - axis))
    return _concat_across(e, inputs, axis)


def _concat_across(e: Any, inputs: Any, axis: int) -> Any:
    """Parts number k of concats along the other axis are a slice of the concats' concat."""
    if len(inputs[0].shape) != 2:
        return None
    for whole, offset in e.part_of.get(inputs[0], ()):
        other = whole.attribute("axis")
        if other == axis:
            continue
        wholes = []
        for x in inputs:
            found = [
                w
                for w, o in e.part_of.get(x, ())
                if o == offset
                and w.attribute("axis") == other
                and w.shape[other] == whole.shape[other]
            ]
            if not found:
                break
            wholes.append(found[0])
        else:
            joined = e.concat(wholes, axis)
            return e.slice(joined, other, offset, offset + inputs[0].shape[other])
    return None


@declare(
    arguments=_concat_arguments,
    batched=along_axis,
    shape=_concat_shape,
    backward=_concat_backward,
    moves=True,
    view=True,
    identity=_concat_identity,
    examples=[
        Example((Sample((3, 2)), Sample((3, 5))), {"axis": 1}),
        Example((Sample((2, 3)), Sample((1, 3)), Sample((4, 3))), {"axis": 0}),
        Example((Sample((2, 1, 3)), Sample((2, 4, 3)), Sample((2, 0, 3))), {"axis": 1}),
        Example((Sample((5,)),), {"axis": 0}),
    ],
    empty=(
        example((0, 3), (0, 3), axis=0),
        example((0, 3), (2, 3), (0, 3), axis=0),
        example((2, 3), (2, 0), (2, 1), axis=1),
        example((0, 3), (0, 2), axis=1),
        example((2, 0, 3), (2, 0, 3), axis=2),
    ),
)
def concat(*parts: Any, axis: int) -> Any:
    """z = the parts one after the other along `axis`; the other sizes must agree."""
    return np.concatenate(parts, axis=axis)


@numpy_name("numpy.stack")
def stack(parts: Iterable[Any], axis: int = 0) -> Any:
    """z = the parts, all of one shape, side by side along a new axis."""
    parts = parts_of("stack", parts)
    first = parts[0]
    at = axis_of("stack", first, axis, 1)
    for i, part in enumerate(parts):
        if part.shape != first.shape:
            name = f"parts[{i}]"
            raise refusal(
                ShapeError,
                f"stack: parts[0] has shape {first.shape}, but {name} has shape {part.shape}",
                **{"parts[0]": first, name: part},
            )
    shape = (*first.shape[:at], 1, *first.shape[at:])
    return concat.normal(*[reshape.normal(part, shape=shape) for part in parts], axis=at)


# ---- cuts -----------------------------------------------------------------------------

# An axis of size 0 has any number of equal parts, but nobody wants more than these.
_MAX_PARTS_OF_NOTHING = 1 << 16


def split(x: Any, sections: int | Sequence[int], axis: int = -1) -> list[Any]:
    """Cut x along `axis`: into n equal parts, or before each of the given positions.

    Raises ShapeError if n does not divide the size, or positions are not in order.
    """
    x = operand("split", x)
    i = axis_of("split", x, axis)
    size = x.shape[i]
    number = whole_number(sections)
    if number is not None:
        if not 1 <= number <= (size or _MAX_PARTS_OF_NOTHING) or size % number:
            raise refusal(
                ShapeError,
                f"split: x has shape {x.shape}; its axis {axis} has no {brief(number)} equal parts",
                x=x,
            )
        cuts = [size // number * k for k in range(number + 1)]
    else:
        items = several(sections)
        positions = [] if items is None else [whole_number(n) for n in items]
        cuts = [0, *(-1 if n is None else n for n in positions), size]
        if items is None or sorted(cuts) != cuts:
            raise refusal(
                ShapeError,
                f"split: x has shape {x.shape}; {brief(sections)} is neither a number of parts "
                f"nor positions in order on axis {axis}",
                x=x,
            )
    return [
        getitem(x, (*[slice(None)] * i, slice(start, stop)))
        for start, stop in itertools.pairwise(cuts)
    ]


def _getitem_arguments(name: str, x: Any, index: Any) -> Any:
    x = operand(name, x)
    if is_advanced(index):
        return _gathered(name, x, index), None
    shape = x.shape
    try:
        normal = normalise_index(shape, index, name)
    except IndexRangeError as error:
        raise refusal(IndexRangeError, str(error), x=x) from None
    return (x, None) if normal == whole_index(shape) else ((x,), {"index": normal})


def _gathered(name: str, x: Any, index: Any) -> Any:
    """x[index] for an index with arrays."""
    found = taken_apart(name, x, index)
    if found.basic:
        x = getitem(x, found.basic)
    if found.order is not None:
        x = transpose(x, found.order)
    numbers, axis = found.numbers, found.axis
    z = take.normal(x, numbers, **axes_of_rows(axis, found.span))
    if not (found.first and axis):
        return z
    n = len(numbers.shape)
    moved = (*range(axis, axis + n), *range(axis), *range(axis + n, len(z.shape)))
    return transpose(z, moved)


def _getitem_backward(g: Any, z: Any, x: Any, *, index: Index) -> Any:
    return scatter_slice.normal(g, index=index, shape=x.shape)


def _add_slice(total: Any, g: Any, z: Any, x: Any, *, index: Index) -> None:
    total[to_numpy(index)] += g


def _getitem_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    (x,) = inputs
    index = bound.attributes["index"]
    if len(index) != len(x.shape):
        return None
    if x.op == "concat":
        axis = x.attribute("axis")
        part = _slice_of_part(e, x.inputs, axis, index) if isinstance(index[axis], tuple) else None
        if part is not None:
            return part
    cut = e.slice_of(x)
    if cut is not None and isinstance(index[cut.axis], tuple):
        start, stop, step = index[cut.axis]
        if step == 1:
            inner = (start + cut.start, stop + cut.start, 1)
            rest = (*index[: cut.axis], inner, *index[cut.axis + 1 :])
            return e.apply("getitem", cut.source, index=rest)
    return None


def _slice_of_part(e: Any, parts: Sequence[Any], axis: int, index: Index) -> Any:
    """That index into the concat of `parts` as one into the part in which all of it lies."""
    start, stop, step = index[axis]  # type: ignore[misc]
    offset = 0
    for part in parts if step == 1 else ():
        size = part.shape[axis]
        if offset <= start and stop <= offset + size:
            inner = (start - offset, stop - offset, 1)
            rest = (*index[:axis], inner, *index[axis + 1 :])
            return part if rest == whole_index(part.shape) else e.apply("getitem", part, index=rest)
        offset += size
    return None


def _index(shape: Shape, at: Any) -> dict[str, Any]:
    return {"index": normalise_index(shape, at)}


def _getitem_batched(bound: BoundOp, operands: Any, carries: Any) -> Any:
    (x,) = operands
    return getitem.normal(x, index=((0, x.shape[0], 1), *bound.attributes["index"]))


@declare(
    arguments=_getitem_arguments,
    batched=_getitem_batched,
    shape=lambda x, *, index: indexed_shape(x, index),
    backward=_getitem_backward,
    moves=True,
    view=True,
    onto=_add_slice,
    identity=_getitem_identity,
    examples=[
        Example((Sample((3, 4)),), {"index": ((0, 3, 1), (1, 3, 1))}),
        Example((Sample((5, 4)),), {"index": ((4, -1, -2), 2)}),
        Example((Sample((2, 3, 4)),), {"index": (1, None, (0, 3, 2), (0, 4, 1))}),
    ],
    empty=tuple(
        example(shape, **_index(shape, at))
        for shape, at in [
            ((0, 3), np.s_[:, 2:]), ((0, 3), np.s_[:, 1]), ((0, 3), np.s_[:, ::-1]),
            ((3, 0), np.s_[2]), ((3, 0), np.s_[1:]), ((3, 0), np.s_[::-1]), ((3, 0), np.s_[2, :]),
            ((4, 0, 3), np.s_[3, ..., 1:]), ((3, 4), np.s_[3:]), ((3, 4), np.s_[:, 4:]),
            ((3, 4), np.s_[2:1, 3]), ((0, 3), np.s_[None, :, 2:]), ((5,), np.s_[5:]),
            ((0, 4, 2, 3, 5), np.s_[::-1, 1:, ::-1, 1, ::2]),
        ]
    ),
)  # fmt: skip
def getitem(x: Any, *, index: Index) -> Any:
    """z = x[index]: integers, slices, None, Ellipsis, arrays of integers, masks, as NumPy has it.

    Arrays of integers may be nodes, which are looked at when the node is computed. A node that
    compares (``x > 0.0``) is a mask: see :func:`autodiff.flatnonzero`.

    Raises
    ------
    IndexRangeError
        If an integer is out of range, there are too many indices, or a mask has another shape.
    RecordingError
        If a mask has no numbers.
    """
    return x[to_numpy(index)]


def _scatter_slice_arguments(
    name: str, x: Any, *, index: Any, shape: IntLike | Sequence[IntLike]
) -> Any:
    x = operand(name, x)
    whole = shape_of(name, shape, x=x)
    try:
        normal = normalise_index(whole, index, name, ranges=True)
    except IndexRangeError as error:
        raise refusal(IndexRangeError, str(error), x=x) from None
    taken = indexed_shape(whole, normal)
    if x.shape != taken:
        raise refusal(ShapeError, f"{name}: x has shape {x.shape}, z[index] has shape {taken}", x=x)
    return (x,), {"index": normal, "shape": whole}


def _scatter_slice_shape(x: Shape, *, index: Index, shape: Shape) -> Shape:
    return shape


def _scatter_slice_batched(bound: BoundOp, operands: Any, carries: Any) -> Any:
    (x,) = operands
    n, attributes = x.shape[0], bound.attributes
    index = ((0, n, 1), *attributes["index"])
    return scatter_slice.normal(x, index=index, shape=(n, *attributes["shape"]))


@declare(
    arguments=_scatter_slice_arguments,
    batched=_scatter_slice_batched,
    shape=_scatter_slice_shape,
    backward=lambda g, z, x, *, index, shape: getitem.normal(g, index=index),
    moves=True,
    examples=[
        Example((Sample((3, 2)),), {"index": ((0, 3, 1), (1, 3, 1)), "shape": (3, 4)}),
        Example((Sample((3,)),), {"index": ((4, -1, -2), 2), "shape": (5, 4)}),
    ],
    empty=tuple(
        example(shape, **_index(whole, at), shape=whole)
        for shape, whole, at in [
            ((0, 4), (3, 4), np.s_[3:]), ((3, 0), (3, 4), np.s_[:, 4:]), ((0,), (5,), np.s_[5:]),
            ((0, 1), (0, 3), np.s_[:, 2:]), ((0,), (3, 0), np.s_[2]), ((0,), (0, 3), np.s_[:, 1]),
            ((2, 0, 3), (2, 5, 4), np.s_[:, 4:2, 1:]), ((0, 3), (0, 3), np.s_[::-1]),
            ((0,), (4,), np.s_[3:1]),
        ]
    ),
)  # fmt: skip
def scatter_slice(x: Any, *, index: Index, shape: Shape) -> Any:
    """z = zeros of `shape`, but z[index] = x: the adjoint of a slice.

    index : as for :func:`getitem`, or in normal form, where (start, stop, step) are those of a
    ``range``. Raises IndexRangeError, or ShapeError if x does not have the shape of z[index].
    """
    z = np.zeros(shape, dtype=x.dtype)
    z[to_numpy(index)] = x
    return z
