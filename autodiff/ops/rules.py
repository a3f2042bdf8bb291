"""Using the backward rules: the gradient of one input of an op.

The rules of an elementwise op do not know about broadcasting. What they return is summed
here to the shape of the input, by ops of the table, so that this too runs on arrays,
nodes and recorded values alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodiff.array import Shape
from autodiff.errors import ShapeError
from autodiff.op import BoundOp
from autodiff.ops.reduce import sum as sum_over
from autodiff.ops.shape import reshape

__all__ = ["input_gradient", "sum_to"]


def input_gradient(bound: BoundOp, position: int, g: Any, z: Any, inputs: Sequence[Any]) -> Any:
    """The gradient of input `position`, of that input's shape; None if it has none.

    g, z : gradient and value of the output; inputs : values of the inputs.
    """
    rule = bound.op.rule(position)
    if rule is None:
        return None
    gradient = rule(g, z, *inputs, **bound.attributes)
    shape = inputs[position].shape
    return gradient if gradient.shape == shape else sum_to(gradient, shape)


def sum_to(x: Any, shape: Shape) -> Any:
    """Sum `x` over the axes along which an array of `shape` was broadcast to ``x.shape``."""
    x_shape = x.shape
    missing = len(x_shape) - len(shape)
    if missing < 0:
        raise ShapeError(f"a gradient of shape {x_shape} cannot be summed to {shape}")
    axes = tuple(range(missing)) + tuple(
        missing + i for i, n in enumerate(shape) if n == 1 and x_shape[missing + i] != 1
    )
    return reshape(sum_over(x, axis=axes, keepdims=True), shape)
