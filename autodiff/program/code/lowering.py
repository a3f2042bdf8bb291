"""What kinds need to become instructions: operands, and where the instructions are put."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from autodiff.array import Array, Shape
from autodiff.program.code.flat import Code, FlatInstruction, Meaning, Operand, Region
from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.opaque import Function
from autodiff.program.plan.layout import Layout

__all__ = ["Lowering"]


class Lowering:
    """The code as it grows.

    layouts : of all values of the placed program. kept : values that need memory; others live
    in registers. origins : of values that show another one, element by element in the same
    order, that one. lower_region : makes code of a program that an instruction owns.
    functions : those that are called already; more are appended.
    """

    def __init__(
        self,
        arguments: list[Shape],
        layouts: dict[Value, Layout],
        kept: Collection[Value],
        origins: dict[Value, Value],
        lower_region: Callable[[Program, list[Function]], Code],
        functions: list[Function],
    ) -> None:
        self.code = Code(arguments=arguments, functions=functions)
        self.code.buffers.append(np.zeros(0))  # the scalars' place; filled at the end
        self.layouts = layouts
        self.kept = kept
        self.origins = origins
        self.lower_region = lower_region
        self._scalar_space = 1 + len(arguments)
        self._spaces: dict[int, int] = {}  # id of a buffer: its space
        self._scalars: dict[bytes, Operand] = {}

    # ---- operands ---------------------------------------------------------------------

    def operand(self, layout: Layout) -> Operand:
        """Where a layout begins."""
        storage = layout.storage
        if storage.argument >= 0:
            space = 1 + storage.argument
        else:
            space = 0 if storage.buffer is None else self._space(storage.buffer, storage.label)
        if 0 in layout.shape:  # where a slice begins may lie beyond what has no elements
            return Operand(space, 0)
        return Operand(space, storage.offset + layout.offset)

    def place(self, value: Value) -> Operand:
        """Where a value begins."""
        return self.operand(self.layouts[value])

    def _space(self, buffer: Array, label: str) -> int:
        space = self._spaces.get(id(buffer))
        if space is None:
            buffers = self.code.buffers
            self._spaces[id(buffer)] = space = self._scalar_space + len(buffers)
            if label:
                self.code.names[len(buffers)] = label
            buffers.append(buffer)
        return space

    def scalar(self, number: float) -> Operand:
        """Where a scalar constant lies."""
        bits = np.float64(number).tobytes()
        place = self._scalars.get(bits)
        if place is None:
            place = self._scalars[bits] = Operand(self._scalar_space, len(self._scalars))
        return place

    def function(self, function: Function) -> int:
        """The number of a function that the code calls."""
        functions = self.code.functions
        if function not in functions:
            functions.append(function)
        return functions.index(function)

    # ---- regions ----------------------------------------------------------------------

    def region(self, program: Program) -> tuple[Region, Code]:
        """The code of a program that an instruction owns, as a field of it, and as it was lowered.

        Its buffers become buffers of this code, too. The second result is for :meth:`emit_one`.
        """
        code = self.lower_region(program, self.code.functions)
        spaces = [self._space(b, code.names.get(n, "")) for n, b in enumerate(code.buffers)]
        region = Region(
            code.arena_size,
            tuple(code.arguments),
            tuple(spaces),
            tuple(code.instructions),
            tuple(code.results),
        )
        return region, code

    # ---- instructions -----------------------------------------------------------------

    def emit(
        self,
        instruction: FlatInstruction,
        label: str,
        sources: Sequence[Instruction | None],
        start: int = 0,
        regions: Sequence[Code] = (),
    ) -> None:
        """Append an instruction, what it is called, and what it is meant to do."""
        code = self.code
        code.instructions.append(instruction)
        code.labels.append(label)
        code.meanings.append(Meaning(sources, start, regions))

    def emit_one(
        self, instruction: FlatInstruction, source: Instruction, regions: Sequence[Code] = ()
    ) -> None:
        """Append the instruction that carries out one instruction of the placed program.

        regions : of the code that it owns what :meth:`region` has given.
        """
        label = " ".join(dict.fromkeys(z.label for z in source.outputs if z.label))
        self.emit(instruction, label, [source.source], regions=regions)

    def finish(self) -> Code:
        """The code, with the scalars that it has asked for."""
        scalars = b"".join(self._scalars) or bytes(8)
        self.code.buffers[0] = np.frombuffer(scalars, dtype=np.float64)
        return self.code
