"""Kinds `rows` and `rows_gradient`: the softmax family and the gradients of reductions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from autodiff.array import Array
from autodiff.program.code.along import Around, around, axes_last
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Emitter, Kind, Operand, Places, instruction_kind
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import window
from autodiff.program.fused import find_op
from autodiff.program.ir import Instruction, Value

__all__ = ["Rows", "RowsGradient"]


def _around(instruction: Instruction) -> Around | None:
    """Of the operand that the op goes along, which is the last one."""
    return around(instruction.inputs[-1].shape, instruction.op.attributes["axis"])


@instruction_kind
class Rows(Kind):
    """x[outer, n, inner] along n: to as many numbers, or (logsumexp) to z[outer, inner]."""

    name: ClassVar[str] = "rows"
    ops: ClassVar[tuple[str, ...]] = ("logsumexp", "softmax", "log_softmax")

    op: str
    outer: int
    n: int
    inner: int
    x: Operand
    z: Operand

    @classmethod
    def legal(cls, e: Emitter, old: Instruction, inputs: Sequence[Value]) -> Value | None:
        """Kernels go along neighbouring axes; others are moved to the end, and back."""
        if _around(old) is not None:
            return None
        axis = old.op.attributes["axis"]
        if "keepdims" in old.op.attributes:  # one number a row
            total, _ = axes_last(e, old.op.name, axis, inputs, keepdims=False)
            return e.reshape(total, old.output.shape)
        z, back = axes_last(e, old.op.name, axis, inputs)
        return e.apply("transpose", z, axes=back)

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """Along neighbouring axes."""
        (instruction,) = members
        (x,) = instruction.inputs
        sizes = _around(instruction)
        assert sizes is not None
        places = lowering.place(x), lowering.place(instruction.output)
        lowering.emit_one(cls(instruction.op.name, *sizes, *places), instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its sizes must be those around the axes."""
        source = machine.source(meaning.sources, self.op)
        sizes = self.outer, self.n, self.inner
        if sizes != _around(source):
            machine.fail(f"its sizes {sizes} are not those of {source!r}")
        machine.from_to(source, [(self.x, "its operand")], self.z)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        op = find_op(self.op)
        options = {"keepdims": False} if "keepdims" in op.attributes else {}
        x = window(spaces, self.x, (self.outer, self.n, self.inner))
        value = op.forward(x, axis=(1,), **options)
        window(spaces, self.z, np.shape(value))[...] = value

    def text(self, place: Places) -> str:
        """softmax 3×4×1: z = softmax(x)."""
        sizes = f"{self.outer}×{self.n}×{self.inner}"
        return f"{self.op} {sizes}: {place(self.z)} = {self.op}({place(self.x)})"

    def title(self) -> str:
        """Which op it is."""
        return self.op


@instruction_kind
class RowsGradient(Kind):
    """The gradient of something along n: of g and y, the value, and perhaps x[outer, n, inner].

    With x, g and y are [outer, inner], else they are as the result, [outer, n, inner].
    """

    name: ClassVar[str] = "rows_gradient"
    ops: ClassVar[tuple[str, ...]] = (
        "_max_gradient",
        "_logsumexp_gradient",
        "_softmax_gradient",
        "_log_softmax_gradient",
    )

    op: str
    outer: int
    n: int
    inner: int
    g: Operand
    y: Operand
    x: Operand | None
    z: Operand

    @classmethod
    def legal(cls, e: Emitter, old: Instruction, inputs: Sequence[Value]) -> Value | None:
        """As of :class:`Rows`."""
        if _around(old) is not None:
            return None
        z, back = axes_last(e, old.op.name, old.op.attributes["axis"], inputs)
        return e.apply("transpose", z, axes=back)

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """Along neighbouring axes."""
        (instruction,) = members
        sizes = _around(instruction)
        assert sizes is not None
        g, y, *x = map(lowering.place, instruction.inputs)
        z = lowering.place(instruction.output)
        made = cls(instruction.op.name, *sizes, g, y, x[0] if x else None, z)
        lowering.emit_one(made, instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its sizes must be those around the axes."""
        source = machine.source(meaning.sources, self.op)
        sizes = self.outer, self.n, self.inner
        if sizes != _around(source) or (self.x is None) != (len(source.inputs) == 2):
            machine.fail(f"its sizes {sizes}, or its operands, are not those of {source!r}")
        operands = [(self.g, "its gradient"), (self.y, "its value")]
        operands += [] if self.x is None else [(self.x, "its operand")]
        machine.from_to(source, operands, self.z)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        full = self.outer, self.n, self.inner
        small = full if self.x is None else (self.outer, 1, self.inner)
        operands = [window(spaces, self.g, small), window(spaces, self.y, small)]
        operands += [] if self.x is None else [window(spaces, self.x, full)]
        window(spaces, self.z, full)[...] = find_op(self.op).forward(*operands, axis=(1,))

    def text(self, place: Places) -> str:
        """max_gradient 3×4×1: z = max_gradient(g, y, x)."""
        sizes = f"{self.outer}×{self.n}×{self.inner}"
        operands = [place(x) for x in (self.g, self.y, self.x) if x is not None]
        return f"{self.title()} {sizes}: {place(self.z)} = {self.title()}({', '.join(operands)})"

    def title(self) -> str:
        """Which op it is."""
        return self.op.removeprefix("_")
