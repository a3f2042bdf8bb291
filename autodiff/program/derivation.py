"""What the rules of an op come to on values without numbers: instructions, written down once.

A backward rule sees shapes only. So one op, applied to operands of the same shapes, is derived by
the same instructions wherever it stands; they are found once and then copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from autodiff.program.ir import Builder, Instruction, Value

__all__ = ["Derivation"]


class Derivation(NamedTuple):
    """Instructions on values that stand for the operands of every application.

    given : gradient, output and inputs, as the instructions know them.
    results : the gradient of each input, None where none is needed.
    """

    given: list[Value]
    instructions: list[Instruction]
    results: list[Value | None]

    def applied(self, builder: Builder, operands: Sequence[Value]) -> list[Value | None]:
        """Append the instructions for these operands; returns their results."""
        now: dict[Value, Value] = dict(zip(self.given, operands, strict=True))
        for like in self.instructions:
            inputs = [now.get(x, x) for x in like.inputs]
            if like.plain:
                now[like.output] = builder.again(like, inputs)
            else:
                outputs = builder.emit_several(like.op, inputs)
                now.update(zip(like.outputs, outputs, strict=True))
        return [None if x is None else now.get(x, x) for x in self.results]
