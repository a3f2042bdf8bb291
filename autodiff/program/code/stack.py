"""What kinds have in common that do the same to each matrix of a stack."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

from autodiff.array import Array, Shape
from autodiff.errors import InstructionError, MatrixError
from autodiff.program.code.flat import Meaning, Operand, Places
from autodiff.program.code.kind import Kind
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import window
from autodiff.program.fused import find_op
from autodiff.program.ir import Instruction

__all__ = ["OfStack"]


@dataclasses.dataclass(frozen=True, slots=True)
class OfStack(Kind):
    """An op of matrices: `count` of them, of order `n`. All operands lie in one piece.

    A subclass adds what else describes its op, then the operands, inputs first. All of it follows
    from the op, by :meth:`described` and :meth:`shapes`.
    """

    colour: ClassVar[str] = "#e4dcf1"

    count: int
    n: int

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """The fields from `count` on that are no operands: how many matrices, of which order."""
        return cls.count_of(instruction), instruction.inputs[0].shape[-1]

    def shapes(self) -> list[Shape]:
        """The shapes of all operands, of one matrix of the stack: all square."""
        return [(self.n, self.n)] * len(self._operands())

    def attributes(self) -> dict[str, Any]:
        """Those of the op."""
        return {}

    def meaning_of_fault(self, matrix: int, part: int) -> str:
        """What is wrong with a matrix."""
        raise NotImplementedError

    @staticmethod
    def count_of(instruction: Instruction, position: int = 0, axes: int = 2) -> int:
        """How many matrices a stack has."""
        shape = instruction.inputs[position].shape
        return math.prod(shape[: len(shape) - axes])

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """Its fields in order, as they follow from the op and the shapes."""
        (instruction,) = members
        places = [lowering.place(v) for v in (*instruction.inputs, *instruction.outputs)]
        lowering.emit_one(cls(*cls.described(instruction), *places), instruction)

    def _fields(self) -> list[Any]:
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def _operands(self) -> list[Operand]:
        return [x for x in self._fields() if isinstance(x, Operand)]

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """What describes it must be what describes the op."""
        source = machine.source(meaning.sources, *self.ops)
        wanted, found = self.described(source), tuple(self._fields()[: -len(self._operands())])
        if found != wanted or any(
            type(a) is not type(b) for a, b in zip(found, wanted, strict=True)
        ):
            machine.fail(f"it is described by {found}, not by {wanted}")
        places, n = self._operands(), len(source.inputs)
        machine.from_to(source, [(x, "an operand") for x in places[:n]], *places[n:])

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        op = find_op(self.ops[0])
        windows = [
            window(spaces, place, (self.count, *shape))
            for place, shape in zip(self._operands(), self.shapes(), strict=True)
        ]
        n = len(op.inputs)
        try:
            value = op.forward(*windows[:n], **self.attributes())
        except MatrixError as error:
            # Whoever runs it knows its number.
            raise InstructionError(-1, tuple(map(float, error.place))) from None
        for z, found in zip(windows[n:], value if op.several else (value,), strict=True):
            z[...] = found

    def error(self, numbers: Sequence[float]) -> MatrixError:
        """Which matrix of the stack, and which part of it."""
        matrix, part = (int(x) for x in numbers)
        error = MatrixError(self.meaning_of_fault(matrix, part))
        error.place = matrix, part
        return error

    def text(self, place: Places) -> str:
        """cholesky 2×3: z = cholesky(a)."""
        names = [place(x) for x in self._operands()]
        n = len(find_op(self.ops[0]).inputs)
        rest = [str(x) for x in self._fields()[2 : -len(names)]]
        sizes = "×".join([str(self.count), str(self.n)])
        call = ", ".join([*names[:n], *rest])
        return f"{self.name} {sizes}: {', '.join(names[n:])} = {self.name}({call})"

    def title(self) -> str:
        """cholesky 3."""
        return f"{self.name} {self.n}"
