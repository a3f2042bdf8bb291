"""The reference back end: the rules themselves, on NumPy arrays.

Slow, short and obviously right: the oracle of every other back end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autodiff.array import Array
from autodiff.op import BoundOp
from autodiff.ops.rules import input_gradient

__all__ = ["Reference"]


class Reference:
    """Executes ops by their rules. NaN and infinity are results, not warnings."""

    name = "reference"

    def __repr__(self) -> str:
        return "<back end reference: NumPy>"

    def forward(self, op: BoundOp, inputs: Sequence[Array]) -> Array:
        """The value of `op`, a fresh array."""
        with np.errstate(all="ignore"):
            value = op.op.forward(*inputs, **op.attributes)
        return _fresh(value, inputs)

    def backward(
        self,
        op: BoundOp,
        gradient: Array,
        output: Array,
        inputs: Sequence[Array],
        needed: Sequence[bool],
    ) -> list[Array | None]:
        """Gradients of the inputs, fresh arrays; None where not needed."""
        gradients: list[Array | None] = []
        with np.errstate(all="ignore"):
            for position, wanted in enumerate(needed):
                g = input_gradient(op, position, gradient, output, inputs) if wanted else None
                gradients.append(None if g is None else _fresh(g, (gradient, output, *inputs)))
        return gradients

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


def _fresh(value: Array, others: Sequence[Array]) -> Array:
    """`value` as a contiguous float64 array that shares memory with none of `others`."""
    array = np.require(value, np.float64, ["C", "A", "W"])
    return array.copy() if any(np.may_share_memory(array, other) for other in others) else array
