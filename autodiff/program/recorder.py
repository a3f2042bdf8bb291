"""The recording back end: it computes nothing and writes down what would be computed.

It has the two methods of every back end, so the graph runs on it unchanged: the
bookkeeping of nodes, wait sets and sums decides the order, and the order is the program.
Backward rules are applied to recorded values, and so taken apart into ops of the table.
What the step uses of the world outside is told in :mod:`autodiff.program.stand_ins`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from autodiff.array import Array, Shape, as_float64
from autodiff.errors import RecordingError, ShapeError
from autodiff.graph.observer import current_observer
from autodiff.op import OPS, BoundOp, Op
from autodiff.ops.rules import input_gradient
from autodiff.program.code.kinds import has_own_kind
from autodiff.program.fused import FUSED, slope
from autodiff.program.ir import Builder, Value
from autodiff.program.recorded import Recorded
from autodiff.refusal import refusal

__all__ = ["Recorder", "has_kernel"]


try:
    from autodiff._core import kernel_names
except ImportError:  # programs are emulated then, by the rules
    _KERNELS: Collection[str] = OPS
else:
    _KERNELS = frozenset(kernel_names())


def has_kernel(op: Op) -> bool:
    """Whether programs can have the op of the table: their loop computes it in C."""
    return op.name in _KERNELS or has_own_kind(op)


class Recorder:
    """Back end of one recording.

    step : what is recorded, for messages.
    deriving : whether a backward rule is what is applied, and not a line of the user's.
    scratch : what objects of the step (optimisers) note for the time of the recording.
    """

    name = "recorder"

    def __init__(self, step: str = "a step") -> None:
        self.step = step
        self.builder = Builder()
        self.arguments: list[Value] = []
        self.scratch: dict[Any, Any] = {}
        self.deriving = False

    def __repr__(self) -> str:
        return self.step

    def check_running(self, value: Recorded) -> None:
        """Raise RecordingError if `value` is used when and where it means nothing."""
        observer = current_observer()
        if observer is None:
            raise RecordingError(
                f"{value!r} was made while {self} was recorded: it has a shape but no numbers, and "
                "means nothing outside that recording; return it from the step to see it"
            )
        if observer.home is not self:
            raise RecordingError(f"{value!r} belongs to another recording, of {self}")

    # ---- values -----------------------------------------------------------------------

    def argument(self, shape: Shape) -> Recorded:
        """The next argument of the step."""
        value = Value(shape, "argument", None, f"argument{len(self.arguments)}")
        self.arguments.append(value)
        return Recorded(self, value)

    def constant(self, array: Array) -> Recorded:
        """A recorded value of which the numbers are known, and are copied now."""
        return Recorded(self, self.builder.constant(array))

    def recorded(self, x: Any, what: str = "Tensor") -> Recorded:
        """The value that stands for `x`: itself, or a constant."""
        if isinstance(x, Recorded):
            if x._recorder is not self:
                x._recorder.check_running(x)
            return x
        return self.constant(as_float64(x, what))

    def apply(self, op: BoundOp, inputs: Sequence[Any]) -> Recorded:
        """Write down one instruction, of recorded values and numbers.

        Raises
        ------
        ShapeError, RecordingError
        """
        operands = [
            self.recorded(x, f"{op.name}: {op.op.input_name(i)}") for i, x in enumerate(inputs)
        ]
        try:
            return self.record(op, operands)
        except ShapeError as error:
            named = {op.op.input_name(i): x for i, x in enumerate(operands)}
            raise refusal(ShapeError, str(error), **named) from None

    def record(self, op: BoundOp, operands: Sequence[Recorded]) -> Recorded:
        """Write down one instruction. RecordingError if the op has no kernel."""
        if not has_kernel(op.op) and FUSED.get(op.name) is not op.op:
            raise refusal(
                RecordingError,
                f"op {op.name!r} has no kernel in C and cannot be part of a compiled step",
            )
        return Recorded(self, self.builder.emit(op, [x._value for x in operands]))

    # ---- the back end -----------------------------------------------------------------

    def forward(self, op: BoundOp, inputs: Sequence[Any]) -> Recorded:
        """One instruction."""
        return self.record(op, [self.recorded(x) for x in inputs])

    def backward(
        self,
        op: BoundOp,
        gradient: Any,
        output: Any,
        inputs: Sequence[Any],
        needed: Sequence[bool],
    ) -> list[Any]:
        """The instructions of the backward rules."""
        self.deriving = True
        g, z, *xs = (self.recorded(x) for x in (gradient, output, *inputs))
        fused = slope(op.op) if has_kernel(op.op) else None  # whose line in C has the slope too
        if fused is not None and needed[0]:
            slope_op, operands = fused
            gradients: list[Any] = [
                self.record(slope_op.bind(), [g, z if operands == "gz" else xs[0]])
            ]
        else:
            gradients = [
                input_gradient(op, position, g, z, xs) if wanted else None
                for position, wanted in enumerate(needed)
            ]
        self.deriving = False
        return gradients

    def add_gradient(
        self,
        op: BoundOp,
        position: int,
        gradient: Any,
        output: Any,
        inputs: Sequence[Any],
        total: Any,
    ) -> Any:
        """The instructions of the rule, and an addition."""
        needed = [i == position for i in range(len(inputs))]
        g = self.backward(op, gradient, output, inputs, needed)[position]
        return total if g is None else self.forward(OPS["add"].bind(), (total, g))
