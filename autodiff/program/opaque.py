"""Ops without an instruction, whose rules need numbers: a program calls them back.

What a user declares is written down as the ops that its rules apply. A rule that works on values
without numbers only in part (it calls SciPy, say, or loops over numbers) becomes an op that only
programs have, :class:`Opaque`: the forward rule as one op of the inputs, and the backward rule of
each input as one op of the gradient and what the rule reads. Such ops belong to the instruction
`call_back`, which takes the GIL and calls a :class:`Function`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from autodiff.array import Array, Shape, as_float64
from autodiff.errors import ShapeError
from autodiff.op import BoundOp, Op
from autodiff.ops.rules import input_gradient
from autodiff.program.fused import FUSED
from autodiff.program.ir import Instruction

__all__ = ["Function", "Opaque", "calls_back", "gradient_of", "opaque"]

OperandT = TypeVar("OperandT", bound="Shaped")


class Shaped(Protocol):
    """Whatever has a shape."""

    shape: Shape


@dataclass(frozen=True, eq=False)
class Opaque(Op):
    """A rule as an op of its own, which programs call back.

    rule_name : what is called, for messages.
    """

    rule_name: str = ""


class Function:
    """What an instruction calls: a rule, with its attributes, for operands of known shapes."""

    __slots__ = ("bound", "shapes")

    def __init__(self, bound: BoundOp, shapes: Sequence[Shape]) -> None:
        self.bound = bound
        self.shapes = tuple(shapes)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Function)
            and self.bound.op is other.bound.op
            and self.bound.key() == other.bound.key()
            and self.shapes == other.shapes
        )

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        """The rule on arrays, by NumPy; contiguous arrays of the right shapes.

        Raises
        ------
        TypeError, ShapeError, DTypeError
            If that is not what the rule gives.
        """
        op = self.bound.op
        with np.errstate(all="ignore"):
            found = self.bound.forward(inputs)
        values = found if op.several else (found,)
        if not isinstance(values, tuple | list) or len(values) != len(op.outputs):
            raise TypeError(f"{self.name} must return a tuple of {', '.join(op.outputs)}")
        return [self._checked(*pair) for pair in zip(values, self.shapes, strict=True)]

    def _checked(self, value: Any, shape: Shape) -> Array:
        array = as_float64(value, f"{self.name}: its result")
        if array.shape != shape:
            raise ShapeError(
                f"{self.name} gives {array.shape}, but by the shapes of its operands it must be "
                f"{shape}"
            )
        return array

    @property
    def name(self) -> str:
        """What is called."""
        op = self.bound.op
        return op.rule_name if isinstance(op, Opaque) else op.name


def calls_back(instruction: Instruction) -> bool:
    """Whether it, or one within its regions, calls a rule back."""
    return isinstance(instruction.op.op, Opaque) or any(
        calls_back(inner) for region in instruction.regions for inner in region.instructions
    )


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
            outputs=op.outputs,
            rule_name=f"the forward rule of {op.name!r}",
        )
    FUSED[made.name] = made
    return made


_SHAPES, _SENT = "shapes_of_inputs", "gradients_sent"


def gradient_of(
    bound: BoundOp, position: int, g: Any, z: Any, inputs: Sequence[OperandT]
) -> tuple[BoundOp, list[OperandT]]:
    """The backward rule of one input, to be called back, and its operands.

    g, z : gradient and value of the output; of several outputs tuples, with None for a gradient
        that nobody has sent. Operands are what there is of gradients, and what the rule reads.
    """
    op = bound.op
    made = _gradients.get((op, position))
    if made is None:
        made = _gradients[op, position] = _new_gradient(op, position)
    FUSED[made.name] = made
    gs, zs = (g, z) if op.several else ((g,), (z,))
    shapes = tuple([x.shape for x in inputs])
    sent = tuple([gi is not None for gi in gs])
    read = [zi for name, zi in zip(op.outputs, zs, strict=True) if name in op.reads]
    read += [x for i, x in enumerate(inputs) if _reads(op, i)]
    attributes = {**bound.attributes, _SHAPES: shapes, _SENT: sent}
    return made.bound_to(attributes), [*[gi for gi in gs if gi is not None], *read]


def _reads(op: Op, position: int) -> bool:
    return op.inputs[0 if op.variadic else position] in op.reads


def _new_gradient(op: Op, position: int) -> Opaque:
    def forward(
        *operands: Array,
        shapes_of_inputs: Sequence[Shape],
        gradients_sent: Sequence[bool],
        **attributes: Any,
    ) -> Any:
        bound, given = op.bound_to(attributes), iter(operands)
        g: Any = tuple([next(given) if sent else None for sent in gradients_sent])
        z: Any = None
        if not op.reads.issuperset(op.outputs):
            shapes = bound.shape(*shapes_of_inputs)
            z = tuple([_unread(s) for s in (shapes if op.several else (shapes,))])
        z = tuple([next(given) if name in op.reads else z[i] for i, name in enumerate(op.outputs)])
        inputs = [
            next(given) if _reads(op, i) else _unread(shape)
            for i, shape in enumerate(shapes_of_inputs)
        ]
        if not op.several:
            (g,), (z,) = g, z
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
        attributes=(*op.attributes, _SHAPES, _SENT),
        rule_name=f"the backward rule of {op.name!r} for {op.input_name(position)!r}",
    )


@functools.lru_cache(1024)
def _unread(shape: Shape) -> Array:
    """An array for what is not read, but for its shape."""
    return np.broadcast_to(np.nan, shape)
