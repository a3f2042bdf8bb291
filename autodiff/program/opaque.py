"""Ops without an instruction, whose rules need numbers: a program calls them back.

What a user declares is written down as the ops that its rules apply. A rule that works on values
without numbers only in part (it calls SciPy, say, or loops over numbers) becomes an op that only
programs have, :class:`Opaque`: the forward rule as one op of the inputs, and the backward rule of
each input as one op of the gradient and what the rule reads. Such ops belong to the instruction
`call_back`, which takes the GIL and calls a :class:`Function`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.array import Array, Shape, as_float64
from autodiff.errors import ShapeError
from autodiff.op import OUTPUT, BoundOp, Op
from autodiff.ops.rules import input_gradient
from autodiff.program.fused import FUSED

__all__ = ["Function", "Opaque", "gradient_of", "opaque", "read_by"]


@dataclass(frozen=True, eq=False)
class Opaque(Op):
    """A rule as an op of its own, which programs call back.

    rule_name : what is called, for messages.
    """

    rule_name: str = ""


class Function:
    """What an instruction calls: a rule, with its attributes, for operands of known shapes."""

    __slots__ = ("bound", "shape")

    def __init__(self, bound: BoundOp, shape: Shape) -> None:
        self.bound = bound
        self.shape = shape

    def __call__(self, inputs: Sequence[Array]) -> Array:
        """The rule on arrays, by NumPy; a contiguous array of the right shape.

        Raises
        ------
        ShapeError, DTypeError
            If that is not what the rule gives.
        """
        bound = self.bound
        with np.errstate(all="ignore"):
            found = bound.forward(inputs)
        array = as_float64(found, f"{self.name}: its result")
        if array.shape != self.shape:
            raise ShapeError(
                f"{self.name} gives {array.shape}, but by the shapes of its operands it must be "
                f"{self.shape}"
            )
        return array

    @property
    def name(self) -> str:
        """What is called."""
        op = self.bound.op
        return op.rule_name if isinstance(op, Opaque) else op.name


_forward: dict[Op, Opaque] = {}
_gradients: dict[tuple[Op, int], Opaque] = {}


def opaque(op: Op) -> Opaque:
    """The forward rule of `op`, to be called back."""
    made = _forward.get(op)
    if made is None:
        made = _forward[op] = Opaque(
            name=f"_{op.name}_call",
            inputs=op.inputs,
            shape=op.shape,
            forward=op.forward,
            backward=(None,) * len(op.inputs),
            reads=frozenset(),
            elementwise=False,
            variadic=op.variadic,
            examples=(),
            formula=op.formula,
            ulps=op.ulps,
            attributes=op.attributes,
            rule_name=f"the forward rule of {op.name!r}",
        )
    FUSED[made.name] = made
    return made


_SHAPES = "shapes_of_inputs"


def gradient_of(bound: BoundOp, position: int, shapes: Iterable[Shape]) -> BoundOp:
    """The backward rule of one input, to be called back.

    It is an op of what :func:`read_by` says; shapes : of all inputs.
    """
    op = bound.op
    made = _gradients.get((op, position))
    if made is None:
        made = _gradients[op, position] = _new_gradient(op, position)
    FUSED[made.name] = made
    return made.bound_to({**bound.attributes, _SHAPES: tuple(shapes)})


def read_by(op: Op, g: Any, z: Any, inputs: Sequence[Any]) -> list[Any]:
    """Of gradient, output and inputs those that the backward rules of `op` read, in order."""
    read = [x for i, x in enumerate(inputs) if _reads(op, i)]
    return [g, z, *read] if OUTPUT in op.reads else [g, *read]


def _reads(op: Op, position: int) -> bool:
    return op.inputs[0 if op.variadic else position] in op.reads


def _new_gradient(op: Op, position: int) -> Opaque:
    def forward(
        g: Array, *read: Array, shapes_of_inputs: Sequence[Shape], **attributes: Any
    ) -> Any:
        bound, given = op.bound_to(attributes), iter(read)
        z = next(given) if OUTPUT in op.reads else _unread(bound.shape(*shapes_of_inputs))
        inputs = [
            next(given) if _reads(op, i) else _unread(shape)
            for i, shape in enumerate(shapes_of_inputs)
        ]
        found = input_gradient(bound, position, g, z, inputs)
        return np.zeros(shapes_of_inputs[position]) if found is None else found

    return Opaque(
        name=f"_{op.name}_gradient_{position}",
        inputs=("operands",),
        shape=lambda *_, shapes_of_inputs, **__: shapes_of_inputs[position],
        forward=forward,
        backward=(None,),
        reads=frozenset(),
        elementwise=False,
        variadic=True,
        examples=(),
        formula=f"The gradient of input {position} of {op.name}.",
        ulps=op.ulps,
        attributes=(*op.attributes, _SHAPES),
        rule_name=f"the backward rule of {op.name!r} for {op.input_name(position)!r}",
    )


@functools.lru_cache(1024)
def _unread(shape: Shape) -> Array:
    """An array for what is not read, but for its shape."""
    return np.broadcast_to(np.nan, shape)
