"""Kind `positions`: where elements lie by size, along rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from autodiff.array import Array
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Emitter, Kind, Operand, Places, instruction_kind
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import window
from autodiff.program.fused import find_op
from autodiff.program.ir import Instruction, Value

__all__ = ["Positions"]


@instruction_kind
class Positions(Kind):
    """Of each of `n_rows` rows of `n` numbers their order (argsort), or one position."""

    name: ClassVar[str] = "positions"
    ops: ClassVar[tuple[str, ...]] = ("argsort", "argmax", "argmin")

    op: str
    n_rows: int
    n: int
    x: Operand
    z: Operand

    @classmethod
    def legal(cls, e: Emitter, old: Instruction, inputs: Sequence[Value]) -> Value | None:
        """Rows lie along the last axis; another one is moved there, and back."""
        (x,) = inputs
        axis, n = old.op.attributes["axis"], len(x.shape)
        if axis == n - 1:
            return None
        order = (*(a for a in range(n) if a != axis), axis)
        z = e.apply(old.op.name, e.apply("transpose", x, axes=order), axis=n - 1)
        if old.op.name != "argsort":
            return z
        return e.apply("transpose", z, axes=tuple(order.index(a) for a in range(n)))

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """Along the last axis."""
        (instruction,) = members
        (x,) = instruction.inputs
        n_rows, n = math.prod(x.shape[:-1]), x.shape[-1]
        places = lowering.place(x), lowering.place(instruction.output)
        lowering.emit_one(cls(instruction.op.name, n_rows, n, *places), instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its rows must be the last axis."""
        source = machine.source(meaning.sources, self.op)
        shape = source.inputs[0].shape
        last = source.op.attributes["axis"] == len(shape) - 1
        if not last or (self.n_rows, self.n) != (math.prod(shape[:-1]), shape[-1]):
            machine.fail(f"{self.n_rows} rows of {self.n} are not {source!r}")
        machine.from_to(source, [(self.x, "its operand")], self.z)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        x = window(spaces, self.x, (self.n_rows, self.n))
        value = find_op(self.op).forward(x, axis=1)
        window(spaces, self.z, value.shape)[...] = value

    def text(self, place: Places) -> str:
        """argsort 3×4: z = argsort(x)."""
        return f"{self.op} {self.n_rows}×{self.n}: {place(self.z)} = {self.op}({place(self.x)})"

    def title(self) -> str:
        """Which op it is."""
        return self.op
