"""The same elements in another shape: reshape, transpose, broadcast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare, numpy_name
from autodiff.errors import ShapeError
from autodiff.op import BoundOp, Example, Sample, example
from autodiff.ops.arguments import axes_of, axis_of, brief, operand, several, shape_of
from autodiff.refusal import refusal

__all__ = ["broadcast_to", "expand_dims", "reshape", "squeeze", "swapaxes", "transpose"]

IntLike: TypeAlias = int | np.integer[Any]


# ---- reshape --------------------------------------------------------------------------


def _reshape_arguments(name: str, x: Any, shape: IntLike | Sequence[IntLike]) -> Any:
    x = operand(name, x)
    have, want = x.shape, shape_of(name, shape, unknown=True, x=x)
    size = math.prod(have)
    if -1 in want:
        known = math.prod([n for n in want if n != -1])
        if want.count(-1) == 1 and known > 0 and size % known == 0:
            want = tuple([size // known if n == -1 else n for n in want])
    if math.prod(want) != size or -1 in want:
        raise refusal(
            ShapeError,
            f"{name}: x has shape {have}, {size} elements; they do not fill {want}",
            x=x,
        )
    return (x, None) if want == have else ((x,), {"shape": want})


def _reshape_backward(g: Any, z: Any, x: Any, *, shape: Shape) -> Any:
    return reshape(g, x.shape)


def _reshape_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    (x,) = inputs
    if bound.attributes["shape"] == x.shape:
        return x
    return e.reshape(x.inputs[0], bound.attributes["shape"]) if x.op == bound.name else None


def _reshape_batched(bound: BoundOp, operands: Any, carries: Any) -> Any:
    (x,) = operands
    return reshape.normal(x, shape=(x.shape[0], *bound.attributes["shape"]))


@declare(
    numpy=("numpy.reshape",),
    batched=_reshape_batched,
    arguments=_reshape_arguments,
    shape=lambda x, *, shape: shape,
    backward=_reshape_backward,
    moves=True,
    view=True,
    identity=_reshape_identity,
    examples=[
        Example((Sample((3, 4)),), {"shape": (2, 6)}),
        Example((Sample((3, 4)),), {"shape": (12,)}),
        Example((Sample(()),), {"shape": (1, 1)}),
    ],
    empty=(
        example((0, 3), shape=(3, 0)),
        example((0, 3), shape=(0,)),
        example((2, 0, 3), shape=(5, 1, 0, 7)),
    ),
)
def reshape(x: Any, *, shape: Shape) -> Any:
    """z = x in another shape, read and written row by row; one size may be -1."""
    return np.reshape(x, shape)


@numpy_name("numpy.expand_dims")
def expand_dims(x: Any, axis: int | Sequence[int]) -> Any:
    """z = x with a new axis of size 1 at `axis`, or at each of several."""
    x = operand("expand_dims", x)
    sizes = list(x.shape)
    for i in axes_of("expand_dims", x, axis, new=True):  # in rising order
        sizes.insert(i, 1)
    return reshape(x, sizes)


@numpy_name("numpy.squeeze")
def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """z = x without its axis `axis`, or several, which must have size 1; without all such."""
    x = operand("squeeze", x)
    if axis is None:
        return reshape(x, [n for n in x.shape if n != 1])
    axes = axes_of("squeeze", x, axis)
    if any(x.shape[i] != 1 for i in axes):
        raise refusal(
            ShapeError, f"squeeze: x has shape {x.shape}; axis {axis} is not of size 1", x=x
        )
    return reshape(x, [n for i, n in enumerate(x.shape) if i not in axes])


# ---- transpose ------------------------------------------------------------------------


def _transpose_arguments(name: str, x: Any, axes: Sequence[IntLike] | None = None) -> Any:
    x = operand(name, x)
    n_axes = len(x.shape)
    if axes is None:
        order = tuple(range(n_axes))[::-1]
    else:
        items = several(axes)
        order = () if items is None else tuple([axis_of(name, x, a) for a in items])
        if items is None or sorted(order) != list(range(n_axes)):
            raise refusal(
                ShapeError,
                f"{name}: x has shape {x.shape}; {brief(axes)} is no order of its axes",
                x=x,
            )
    return (x, None) if order == tuple(range(n_axes)) else ((x,), {"axes": order})


def _transpose_backward(g: Any, z: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    inverse = sorted(range(len(axes)), key=axes.__getitem__)
    return transpose.normal(g, axes=tuple(inverse))


def _transpose_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    (x,) = inputs
    axes = bound.attributes["axes"]
    if axes == tuple(range(len(axes))):
        return x
    if x.op == bound.name:
        inner = x.attribute("axes")
        return e.apply("transpose", x.inputs[0], axes=tuple(inner[a] for a in axes))
    return None


def _transpose_batched(bound: BoundOp, operands: Any, carries: Any) -> Any:
    return transpose.normal(*operands, axes=(0, *[a + 1 for a in bound.attributes["axes"]]))


@declare(
    numpy=("numpy.transpose",),
    batched=_transpose_batched,
    arguments=_transpose_arguments,
    shape=lambda x, *, axes: tuple(x[a] for a in axes),
    backward=_transpose_backward,
    moves=True,
    view=True,
    identity=_transpose_identity,
    examples=[
        Example((Sample((3, 4)),), {"axes": (1, 0)}),
        Example((Sample((2, 3, 4)),), {"axes": (2, 0, 1)}),
    ],
    empty=(example((0, 3), axes=(1, 0)), example((2, 0, 3), axes=(2, 0, 1))),
)
def transpose(x: Any, *, axes: tuple[int, ...]) -> Any:
    """z = x with its axes in the order `axes`; reversed without."""
    return np.transpose(x, axes)


@numpy_name("numpy.swapaxes")
def swapaxes(x: Any, first: int, second: int) -> Any:
    """z = x with two axes exchanged."""
    x = operand("swapaxes", x)
    i, j = axis_of("swapaxes", x, first), axis_of("swapaxes", x, second)
    order = list(range(len(x.shape)))
    order[i], order[j] = j, i
    return transpose(x, order)


# ---- broadcast ------------------------------------------------------------------------


def _broadcast_to_arguments(name: str, x: Any, shape: IntLike | Sequence[IntLike]) -> Any:
    x = operand(name, x)
    have, want = x.shape, shape_of(name, shape, x=x)
    known = want[len(want) - len(have) :]
    if len(have) > len(want) or any(n not in (1, m) for n, m in zip(have, known, strict=True)):
        raise refusal(
            ShapeError, f"{name}: x has shape {have}; it does not broadcast to {want}", x=x
        )
    return (x, None) if want == have else ((x,), {"shape": want})


def _broadcast_to_backward(g: Any, z: Any, x: Any, *, shape: Shape) -> Any:
    return g  # of shape `shape`; summed to x's by the caller


def _broadcast_to_batched(bound: BoundOp, operands: Any, carries: Any) -> Any:
    (x,), shape = operands, bound.attributes["shape"]
    n, *sizes = x.shape
    if len(shape) > len(sizes):
        x = reshape.normal(x, shape=(n, *[1] * (len(shape) - len(sizes)), *sizes))
    return broadcast_to.normal(x, shape=(n, *shape))


@declare(
    numpy=("numpy.broadcast_to",),
    batched=_broadcast_to_batched,
    arguments=_broadcast_to_arguments,
    shape=lambda x, *, shape: shape,
    backward=_broadcast_to_backward,
    moves=True,
    view=True,
    examples=[
        Example((Sample((4,)),), {"shape": (3, 4)}),
        Example((Sample((3, 1)),), {"shape": (2, 3, 4)}),
        Example((Sample(()),), {"shape": (2, 3)}),
    ],
    empty=(
        example((0, 1), shape=(2, 0, 3)),
        example((1, 3), shape=(0, 3)),
        example((), shape=(0,)),
    ),
)
def broadcast_to(x: Any, *, shape: Shape) -> Any:
    """z = x repeated to `shape` by NumPy's broadcasting rule."""
    return np.broadcast_to(x, shape)
