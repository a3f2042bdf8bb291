"""A program kept in little room: flat lists of what its instructions are.

What was recorded is seldom looked at, and as large as all the rest. As objects it would also be
what the garbage collection that follows a recording spends most of its time on.
"""

from __future__ import annotations

from array import array

from autodiff.program.ir import Instruction, Program, Value

__all__ = ["Kept"]


class Kept:
    """What is needed to write a program down again: it may be changed afterwards."""

    def __init__(self, program: Program) -> None:
        self._whole: Program | None = None
        if not all(instruction.plain for instruction in program.instructions):
            self._whole = program.copy()
            return
        made = [instruction.output for instruction in program.instructions]
        self._ops = [instruction.op for instruction in program.instructions]
        self._ranks = array("q", [instruction.rank for instruction in program.instructions])
        self._counts = array("q", [len(i.inputs) for i in program.instructions])
        self._shapes = [z.shape for z in made]
        self._labels = [z.label for z in made]
        self._lines = [z.where for z in made]
        # By number: outputs from 0 on, what the program is given from -1 down.
        number = {z: n for n, z in enumerate(made)}
        self._given: list[Value] = []
        self._inputs = array("q", [])
        for instruction in program.instructions:
            for x in instruction.inputs:
                n = number.get(x)
                if n is None:
                    n = number[x] = ~len(self._given)
                    self._given.append(x)
                self._inputs.append(n)
        ends = Program(program.arguments, [], list(program.results), list(program.writes))
        self._ends = ends
        self._outputs = {z: number[z] for z in ends.outputs if number.get(z, -1) >= 0}

    def program(self) -> Program:
        """The program, of new instructions."""
        if self._whole is not None:
            return self._whole.copy()
        values: list[Value] = []
        instructions = []
        inputs = iter(self._inputs)
        rows = zip(self._ops, self._counts, self._ranks, self._shapes, self._labels, self._lines,
                   strict=True)  # fmt: skip
        for op, count, rank, shape, label, where in rows:
            reads = [next(inputs) for _ in range(count)]
            operands = [values[n] if n >= 0 else self._given[~n] for n in reads]
            instruction = Instruction(op, operands, label, rank, shape)
            instruction.output.where = where
            instructions.append(instruction)
            values.append(instruction.output)
        new = {old: values[n] for old, n in self._outputs.items()}
        return self._ends.replaced(instructions, new)
