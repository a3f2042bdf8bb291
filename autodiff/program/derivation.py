"""What the rules of an op come to on values without numbers: instructions, written down once.

A backward rule sees shapes only. So one op, applied to operands of the same shapes, is derived by
the same instructions wherever it stands; they are found once and then copied.
"""

from __future__ import annotations

from collections.abc import Sequence

from autodiff.program.difference import difference
from autodiff.program.ir import Builder, Instruction, Program, Value

__all__ = ["Derivation"]


class Derivation:
    """Instructions on values that stand for the operands of every application.

    given : gradient, output and inputs, as the instructions know them.
    results : the gradient of each input, None where none is needed.
    """

    __slots__ = ("_fixed", "_reads", "_results", "given", "instructions", "results")

    def __init__(
        self,
        given: Sequence[Value],
        instructions: Sequence[Instruction],
        results: Sequence[Value | None],
    ) -> None:
        self.given = given
        self.instructions = instructions
        self.results = results
        # By number: what is the same at each application, then the operands, then all outputs.
        used = [x for i in instructions for x in i.inputs] + [x for x in results if x is not None]
        made = {z for i in instructions for z in i.outputs}
        self._fixed = [x for x in dict.fromkeys(used) if x not in made and x not in given]
        known = [*self._fixed, *given, *[z for i in instructions for z in i.outputs]]
        number = {x: n for n, x in enumerate(known)}
        self._reads = [(i, [number[x] for x in i.inputs]) for i in instructions]
        self._results = [None if x is None else number[x] for x in results]

    def applied(self, builder: Builder, operands: Sequence[Value]) -> list[Value | None]:
        """Append the instructions for these operands; returns their results."""
        values = [*self._fixed, *operands]
        for like, reads in self._reads:
            inputs = tuple([values[n] for n in reads])
            if like.plain:
                values.append(builder.again(like, inputs))
            else:
                values += builder.emit_several(like.op, inputs)
        return [None if n is None else values[n] for n in self._results]

    def same(self, other: Derivation) -> bool:
        """Whether another one of the same operands comes to the same."""
        pair = Program(list(self.given)), Program(list(other.given))
        for program, derivation in zip(pair, (self, other), strict=True):
            program.instructions = list(derivation.instructions)
            program.results = [x for x in derivation.results if x is not None]
        needed = [x is None for x in self.results] == [x is None for x in other.results]
        return needed and difference(*pair) is None
