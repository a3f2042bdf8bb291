"""What is recorded once more, to be compared with what was recorded before.

As long as the step does the same again, nothing is made again: the values of the first recording
are handed out. From the first difference on, a program is written down like any other, and
:mod:`autodiff.program.difference` says what differs, if it matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.array import Array, Shape
from autodiff.op import BoundOp
from autodiff.program.ir import Builder, Derived, Instruction, Program, Value

__all__ = ["Repeatable", "Repeating"]


class Repeatable(Builder):
    """A builder that remembers in which order it was asked for values that are given."""

    def __init__(self, beside: Builder | None = None) -> None:
        super().__init__(beside)
        self.given: list[Value] = []  # arguments, states, constants that are no scalars
        # What was derived, by the number of the first instruction, and what it came to.
        self.derived: dict[int, tuple[Derived, Sequence[Value], list[Value | None], int]] = {}

    def argument(self, shape: Shape, label: str) -> Value:
        """An argument of the step."""
        return self._noted(super().argument(shape, label))

    def state(self, buffer: Array, label: str) -> Value:
        """What the buffer of a tensor holds as the step finds it."""
        return self._noted(super().state(buffer, label))

    def constant(self, value: Any) -> Value:
        """A constant; scalars of the same bits are the same value."""
        made = super().constant(value)
        return self._noted(made) if made.shape else made

    def derive(self, derivation: Derived, operands: Sequence[Value]) -> list[Value | None]:
        """What a derivation comes to for these operands."""
        number = len(self.instructions)
        results = derivation.applied(self, operands)
        self.derived[number] = derivation, operands, results, len(self.instructions)
        return results

    def _noted(self, value: Value) -> Value:
        self.given.append(value)
        return value


class Repeating(Repeatable):
    """A builder that finds out whether all goes as it went when `first` built."""

    def __init__(self, first: Repeatable) -> None:
        super().__init__(first)
        self._first = first
        self._alike = True  # so far

    def _noted(self, value: Value) -> Value:
        number = len(self.given)
        if self._alike and number < len(self._first.given):
            like = self._first.given[number]
            if _same_given(like, value):
                value = like
        return super()._noted(value)

    def emit(self, op: BoundOp, inputs: Sequence[Value], label: str = "") -> Value:
        """The value that the first one emitted here, if it was the same; else one more."""
        like = self._next(op, tuple(inputs))
        return super().emit(op, inputs, label) if like is None else like.output

    def emit_several(
        self, op: BoundOp, inputs: Sequence[Value], regions: tuple[Program, ...] = ()
    ) -> tuple[Value, ...]:
        """As :meth:`emit`; what owns programs is made anew, and compared afterwards."""
        like = None if regions else self._next(op, tuple(inputs))
        return super().emit_several(op, inputs, regions) if like is None else like.outputs

    def again(self, like: Instruction, inputs: Sequence[Value]) -> Value:
        """An instruction of the op and of the shapes of another, as by :meth:`emit`."""
        found = self._next(like.op, tuple(inputs))
        return super().again(like, inputs) if found is None else found.output

    def derive(self, derivation: Derived, operands: Sequence[Value]) -> list[Value | None]:
        """What a derivation comes to for these operands: what it came to, if they are the same."""
        number = len(self.instructions)
        found = self._first.derived.get(number) if self._alike else None
        if found is None or found[0] is not derivation or found[1] != operands:
            return super().derive(derivation, operands)
        self.instructions += self._first.instructions[number : found[3]]
        return found[2]

    def _next(self, op: BoundOp, inputs: tuple[Value, ...]) -> Instruction | None:
        if not self._alike:
            return None
        number = len(self.instructions)
        if number < len(self._first.instructions):
            like = self._first.instructions[number]
            if like.inputs == inputs and (like.op is op or like.op.key() == op.key()):
                self.instructions.append(like)
                return like
        self._alike = False
        return None


def _same_given(first: Value, second: Value) -> bool:
    """Whether they are the same argument or tensor, or constants of the same bits."""
    if first.kind != second.kind or first.shape != second.shape:
        return False
    a, b = first.buffer, second.buffer
    if a is b:
        return True
    return first.kind == "constant" and np.asarray(a).tobytes() == np.asarray(b).tobytes()
