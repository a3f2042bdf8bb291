"""The reference back end: the rules themselves, on NumPy arrays.

Slow, short and obviously right: the oracle of every other back end.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from autodiff.array import Array
from autodiff.op import OUTPUT_OF, BoundOp
from autodiff.ops.rules import input_gradient, input_gradients

__all__ = ["Reference"]


class Reference:
    """Executes ops by their rules. NaN and infinity are results, not warnings."""

    name = "reference"

    def __repr__(self) -> str:
        return "<back end reference: NumPy>"

    def forward(self, op: BoundOp, inputs: Sequence[Any]) -> Any:
        """The value of `op`, a fresh array, or a tuple of them."""
        with np.errstate(all="ignore"):
            value = op.op.forward(*inputs, **op.attributes)
        if op.op.several:
            return _all_fresh(value, op, inputs)
        return _fresh(value, set(map(id, inputs)))

    def backward(
        self,
        op: BoundOp,
        gradient: Any,
        output: Any,
        inputs: Sequence[Any],
        needed: Sequence[bool],
    ) -> list[Any]:
        """Gradients of the inputs, fresh arrays; None where not needed."""
        with np.errstate(all="ignore"):
            gradients = input_gradients(op, gradient, output, inputs, needed)
        if op.op is OUTPUT_OF:
            return gradients
        held = {id(gradient), id(output), *map(id, inputs)}
        if op.op.several:
            held.update(map(id, (*gradient, *output)))
        return [None if g is None else _fresh(g, held) for g in gradients]

    def add_gradient(
        self,
        op: BoundOp,
        position: int,
        gradient: Array,
        output: Array,
        inputs: Sequence[Array],
        total: Array,
    ) -> Array:
        """`total`, onto which the gradient of input `position` was added in place."""
        with np.errstate(all="ignore"):
            if position == 0 and op.op.onto is not None:
                op.op.onto(total, gradient, output, *inputs, **op.attributes)
                return total
            g = input_gradient(op, position, gradient, output, inputs)
            if g is not None:
                total += g
        return total


def _all_fresh(values: Any, op: BoundOp, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The outputs of an op with several, none of which shares memory with another."""
    names = op.op.outputs
    if not isinstance(values, tuple | list) or len(values) != len(names):
        raise TypeError(f"{op.name}: its forward rule must return a tuple of {', '.join(names)}")
    held = set(map(id, inputs))
    made = []
    for value in values:
        made.append(_fresh(value, held))
        held.add(id(made[-1]))
    return tuple(made)


def _fresh(value: Array, held: Collection[int]) -> Array:
    """`value` as a contiguous float64 array that shares memory with none that others hold.

    held : the ids of the arrays that an op was given. What owns its memory and is none of them is
        new; a view may show one of them.
    """
    array = np.require(value, np.float64, ["C", "A", "W"])
    return array.copy() if array.base is not None or id(array) in held else array
