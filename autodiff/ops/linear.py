"""Matrix products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare
from autodiff.errors import ShapeError
from autodiff.op import BoundOp, Example, Sample, example
from autodiff.ops.arguments import operand
from autodiff.ops.batches import over_stacks
from autodiff.ops.shape import reshape, swapaxes, transpose
from autodiff.refusal import refusal

__all__ = ["inner", "matmul"]


def _matmul_shape(x: Shape, y: Shape) -> Shape:
    for name, shape in (("x", x), ("y", y)):
        if len(shape) < 2:
            raise ShapeError(f"matmul: {name} must have at least 2 axes, it has shape {shape}")
    if x[-1] != y[-2]:
        raise ShapeError(f"matmul: inner sizes differ: x has shape {x}, y has shape {y}")
    if len(x) == len(y) == 2:
        return x[0], y[1]
    try:
        stack = np.broadcast_shapes(x[:-2], y[:-2])
    except ValueError:
        raise ShapeError(
            f"matmul: leading axes do not broadcast: x has shape {x}, y has shape {y}"
        ) from None
    return (*stack, x[-2], y[-1])


def _matmul_arguments(name: str, x: Any, y: Any) -> Any:
    x, y = operand(name, x), operand(name, y, "y")
    x_shape, y_shape = x.shape, y.shape
    if len(x_shape) >= 2 and len(y_shape) >= 2:
        return (x, y), {}
    x_vector, y_vector = len(x_shape) == 1, len(y_shape) == 1
    if not x_shape or not y_shape or x_shape[-1] != y_shape[0 if y_vector else -2]:
        # Of the operands as they were given, not as they are multiplied.
        why = "inner sizes differ" if x_shape and y_shape else "a scalar has no inner size"
        raise refusal(
            ShapeError, f"{name}: {why}: x has shape {x_shape}, y has shape {y_shape}", x=x, y=y
        )
    z = matmul.normal(
        reshape(x, (1, *x_shape)) if x_vector else x,
        reshape(y, (*y_shape, 1)) if y_vector else y,
    )
    shape = z.shape
    if x_vector:
        shape = (*shape[:-2], shape[-1])
    return reshape(z, shape[:-1] if y_vector else shape), None


def _matmul_gx(g: Any, z: Any, x: Any, y: Any) -> Any:
    return matmul.normal(g, swapaxes(y, -1, -2))  # gx = g y'


def _matmul_gy(g: Any, z: Any, x: Any, y: Any) -> Any:
    return matmul.normal(swapaxes(x, -1, -2), g)  # gy = x' g


def _reshaped(x: Any, shape: Shape) -> Any:
    return reshape.normal(x, shape=shape)


_in_stacks = over_stacks(2, 2)


def _matmul_flow(bound: BoundOp, position: int, inputs: Any) -> Any:
    """Row i of z depends on row i of x, and column j on column j of y."""
    x, y = inputs
    shape = bound.shape(x.shape, y.shape)
    (*stack, m, n), k = shape, x.shape[-1]
    outs = np.arange(math.prod(shape)).reshape(*stack, m, 1, n)
    source = inputs[position]
    ins = np.arange(math.prod(source.shape)).reshape(source.shape)
    ins = ins[..., :, :, None] if position == 0 else ins[..., None, :, :]
    whole = (*stack, m, k, n)
    return np.broadcast_to(outs, whole).ravel(), np.broadcast_to(ins, whole).ravel()


def _matmul_batched(bound: BoundOp, operands: Any, carries: Any) -> Any:
    """One product for the whole batch, where one of the operands is the same for all."""
    x, y = operands
    if all(carries) or len(x.shape) + len(y.shape) != 5:
        return _in_stacks(bound, operands, carries)
    if carries[0]:
        (n, m, k), p = x.shape, y.shape[1]
        return _reshaped(matmul.normal(_reshaped(x, (n * m, k)), y), (n, m, p))
    (n, k, p), m = y.shape, x.shape[0]
    if p == 1:
        across = transpose.normal(x, axes=(1, 0))
        return _reshaped(matmul.normal(_reshaped(y, (n, k)), across), (n, m, 1))
    beside = _reshaped(transpose.normal(y, axes=(1, 0, 2)), (k, n * p))
    return transpose.normal(_reshaped(matmul.normal(x, beside), (m, n, p)), axes=(1, 0, 2))


@declare(
    numpy=("numpy.matmul",),
    batched=_matmul_batched,
    flow=_matmul_flow,
    arguments=_matmul_arguments,
    shape=_matmul_shape,
    backward=(_matmul_gx, _matmul_gy),
    reads="x y",
    empty=tuple(
        example(x, y)
        for x, y in [
            ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((2, 3), (3, 0)), ((0, 0), (0, 0)),
            ((0, 2, 3), (3, 2)), ((4, 0, 3), (3, 2)), ((4, 2, 0), (0, 5)),
            ((4, 1, 2, 0), (3, 0, 5)),
        ]
    ),
    examples=[
        Example((Sample((3, 4)), Sample((4, 5)))),
        Example((Sample((1, 17)), Sample((17, 15)))),
        Example((Sample((2, 3, 4)), Sample((2, 4, 5)))),
        Example((Sample((2, 1, 3, 4)), Sample((3, 4, 2)))),
        Example((Sample((6, 3, 4)), Sample((4, 5)))),
    ],
)  # fmt: skip
def matmul(x: Any, y: Any) -> Any:
    """z = x y, the matrix product; leading axes are stacks and broadcast.

    x : shape (..., m, k); y : shape (..., k, n); z : shape (..., m, n). As in NumPy, a
    vector on the left is a row, on the right a column, and its axis is dropped from
    the result.

    Raises
    ------
    ShapeError
        If the inner sizes differ, the stacks do not broadcast, or an operand is a scalar.
    """
    return np.matmul(x, y)


inner = matmul
"""The post's name for the matrix product."""
