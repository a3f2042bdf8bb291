"""Kind `call_back`: a rule that has no instruction is called, with the GIL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from autodiff.array import Array
from autodiff.errors import AutodiffError, CallBackError, InstructionError
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Kind, Operand, Places, instruction_kind
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import Spaces, window
from autodiff.program.ir import Instruction
from autodiff.program.opaque import Function, Opaque

__all__ = ["CallBack", "Given"]


class Given(NamedTuple):
    """An operand, of this shape."""

    place: Operand
    shape: tuple[int, ...]


@instruction_kind
class CallBack(Kind):
    """outputs = function(inputs).

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
    outputs: tuple[Given, ...]

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """Operands as they are."""
        (instruction,) = members
        shapes = [z.shape for z in instruction.outputs]
        number = lowering.function(Function(instruction.op, shapes))
        inputs, outputs = (
            tuple([Given(lowering.place(x), x.shape) for x in values])
            for values in (instruction.inputs, instruction.outputs)
        )
        lowering.emit_one(cls(instruction.op.name, number, inputs, outputs), instruction)

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
        wanted = [x.shape for x in source.inputs], [z.shape for z in source.outputs]
        found = [x.shape for x in self.inputs], [z.shape for z in self.outputs]
        if found != wanted or list(function.shapes) != found[1]:
            machine.fail(f"its shapes {found} do not fit {source!r}")
        operands = [(x.place, f"its operand {i}") for i, x in enumerate(self.inputs)]
        machine.from_to(source, operands, *[z.place for z in self.outputs])

    def emulate(self, spaces: Sequence[Array]) -> None:
        """Call it."""
        assert isinstance(spaces, Spaces)
        inputs = [window(spaces, *x).copy() for x in self.inputs]
        try:
            values = spaces.functions[self.function](inputs)
        except BaseException as error:
            raise InstructionError(-1) from error  # whoever runs it knows its number
        for z, value in zip(self.outputs, values, strict=True):
            window(spaces, *z)[...] = value

    def error(self, numbers: Sequence[float]) -> AutodiffError:
        """What failed raised something, which is what a step raises."""
        return CallBackError(f"function {numbers[0]:g} has failed")

    def text(self, place: Places) -> str:
        """call_back 2×3: z = op(x, y)."""
        sizes = ", ".join("×".join(map(str, z.shape)) or "1" for z in self.outputs)
        results = ", ".join(place(z.place) for z in self.outputs)
        operands = ", ".join(place(x.place) for x in self.inputs)
        return f"call_back {sizes}: {results} = {self.op}({operands})"
