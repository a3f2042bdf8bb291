"""Using the backward rules: the gradients of the inputs of an op.

The rules of an elementwise op do not know about broadcasting. What they return is summed
here to the shape of the input, by ops of the table, so that this too runs on arrays,
nodes and recorded values alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.array import Shape
from autodiff.errors import ShapeError
from autodiff.op import OUTPUT_OF, BoundOp
from autodiff.ops.reduce import sum as sum_over
from autodiff.ops.shape import reshape

__all__ = ["input_gradient", "input_gradients", "sum_to"]


def input_gradient(bound: BoundOp, position: int, g: Any, z: Any, inputs: Sequence[Any]) -> Any:
    """The gradient of input `position`, of that input's shape; None if it has none.

    g, z : gradient and value of the output, or tuples of those of all outputs; inputs : values of
        the inputs.
    """
    needed = [i == position for i in range(len(inputs))]
    return input_gradients(bound, g, z, inputs, needed)[position]


def input_gradients(
    bound: BoundOp, g: Any, z: Any, inputs: Sequence[Any], needed: Sequence[bool]
) -> list[Any]:
    """The gradients of all inputs; None where one is not needed, or there is none.

    Of an op with several outputs, `g` and `z` are tuples; None in `g`: nobody has sent it.
    """
    op = bound.op
    if op.several:
        g = tuple([np.zeros(zi.shape) if gi is None else gi for gi, zi in zip(g, z, strict=True)])
    elif op is OUTPUT_OF:
        return [op.backward[0](g, z, *inputs, **bound.attributes)]  # type: ignore[misc]
    if op.variadic:
        (rule,) = op.backward
        if rule is None:
            return [None] * len(inputs)
        found = rule(g, z, *inputs, needed=needed, **bound.attributes)
        return [gx if gx is None else _fitted(gx, x) for gx, x in zip(found, inputs, strict=True)]
    return [
        _fitted(rule(g, z, *inputs, **bound.attributes), x) if wanted and rule else None
        for rule, x, wanted in zip(op.backward, inputs, needed, strict=True)
    ]


def _fitted(gradient: Any, x: Any) -> Any:
    """A gradient of the shape of x, which may have been broadcast."""
    shape = x.shape
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
