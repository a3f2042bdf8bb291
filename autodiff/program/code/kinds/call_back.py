"""Kind `call_back`: a rule that has no instruction is called, with the GIL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from autodiff.array import Array
from autodiff.errors import AutodiffError, CallBackError
from autodiff.program.code.flat import FailedCall, Meaning
from autodiff.program.code.kind import Kind, Operand, Places, instruction_kind
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import window
from autodiff.program.ir import Instruction
from autodiff.program.opaque import Function, Opaque

__all__ = ["CallBack", "Given"]


class Given(NamedTuple):
    """An operand, of this shape."""

    place: Operand
    shape: tuple[int, ...]


@instruction_kind
class CallBack(Kind):
    """z = function(inputs); z has this shape.

    op : the op that only programs have. function : its number among those of the program, which
    travel beside the words, as the buffers do.
    """

    name: ClassVar[str] = "call_back"
    opaque: ClassVar[bool] = True
    can_fail: ClassVar[bool] = True
    colour: ClassVar[str] = "#f5d6d6"

    op: str
    function: int
    inputs: tuple[Given, ...]
    z: Operand
    shape: tuple[int, ...]

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """Operands as they are."""
        (instruction,) = members
        bound, output = instruction.op, instruction.output
        number = lowering.function(Function(bound, output.shape))
        inputs = tuple(Given(lowering.place(x), x.shape) for x in instruction.inputs)
        made = cls(bound.name, number, inputs, lowering.place(output), output.shape)
        lowering.emit_one(made, instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its function must be the rule of the op, and its shapes those of the values."""
        (source,) = meaning.sources
        functions = machine.code.functions
        if source is None or not isinstance(source.op.op, Opaque) or source.op.name != self.op:
            machine.fail(f"it must be {source!r}")
        if not 0 <= self.function < len(functions):
            machine.fail(f"there is no function {self.function}")
        function = functions[self.function]
        if function.bound.op is not source.op.op or function.bound.key() != source.op.key():
            machine.fail(f"its function is that of {function.bound!r}, not of {source!r}")
        wanted = [x.shape for x in source.inputs], source.output.shape
        found = [x.shape for x in self.inputs], self.shape
        if found != wanted or function.shape != self.shape:
            machine.fail(f"its shapes {found} do not fit {source!r}")
        operands = [(x.place, f"its operand {i}") for i, x in enumerate(self.inputs)]
        machine.from_to(source, operands, self.z)

    def emulate_calling(self, spaces: Sequence[Array], functions: Sequence[Function]) -> None:
        """Call it."""
        inputs = [window(spaces, *x).copy() for x in self.inputs]
        try:
            value = functions[self.function](inputs)
        except BaseException as error:
            raise FailedCall from error
        window(spaces, self.z, self.shape)[...] = value

    def error(self, numbers: Sequence[float]) -> AutodiffError:
        """What failed raised something, which is what a step raises."""
        return CallBackError(f"function {numbers[0]:g} has failed")

    def text(self, place: Places) -> str:
        """call_back 2×3: z = op(x, y)."""
        size = "×".join(map(str, self.shape)) or "1"
        operands = ", ".join(place(x.place) for x in self.inputs)
        return f"call_back {size}: {place(self.z)} = {self.op}({operands})"
