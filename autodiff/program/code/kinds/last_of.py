"""Kind `last_of`: at which place each number comes last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from autodiff.array import Array
from autodiff.errors import AutodiffError, IndexRangeError
from autodiff.ops.updates import repeated
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Kind, Operand, Places, instruction_kind
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import window
from autodiff.program.fused import find_op
from autodiff.program.ir import Instruction

__all__ = ["LastOf"]

_OP = "_last_of"


@instruction_kind
class LastOf(Kind):
    """z[x[i]] = i for i < n, the last i if there are several; -1 elsewhere, of `size` numbers."""

    name: ClassVar[str] = "last_of"
    ops: ClassVar[tuple[str, ...]] = (_OP,)
    can_fail: ClassVar[bool] = True

    n: int
    size: int
    distinct: bool
    x: Operand
    z: Operand

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """A row of numbers."""
        (instruction,) = members
        (x,) = instruction.inputs
        attributes = instruction.op.attributes
        facts = x.size, attributes["size"], attributes["distinct"]
        places = lowering.place(x), lowering.place(instruction.output)
        lowering.emit_one(cls(*facts, *places), instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its sizes must be those of its operand and of its output."""
        source = machine.source(meaning.sources, _OP)
        attributes = source.op.attributes
        wanted = source.inputs[0].size, attributes["size"], attributes["distinct"]
        if (self.n, self.size, self.distinct) != wanted:
            machine.fail(f"its sizes do not fit {source!r}")
        machine.from_to(source, [(self.x, "its operand")], self.z)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        x = window(spaces, self.x, (self.n,))
        value = find_op(_OP).forward(x, size=self.size, distinct=self.distinct)
        window(spaces, self.z, (self.size,))[...] = value

    def error(self, numbers: Sequence[float]) -> AutodiffError:
        """A number that is none, or comes twice."""
        if numbers[1] < 0.0:
            return IndexRangeError(repeated(numbers[0]))
        return IndexRangeError(f"at: {numbers[0]:g} is no element of {numbers[1]:g}")

    def text(self, place: Places) -> str:
        """last_of 3 in 5: z = last_of(x)."""
        return f"last_of {self.n} in {self.size}: {place(self.z)} = last_of({place(self.x)})"
