"""The recording back end: it computes nothing and writes down what would be computed.

It has the two methods of every back end, so the graph runs on it unchanged: the
bookkeeping of nodes, wait sets and sums decides the order, and the order is the program.
Backward rules are applied to recorded values, and so taken apart into ops of the table; what cannot
be taken apart is called back (:mod:`autodiff.program.opaque`).
What the step uses of the world outside is told in :mod:`autodiff.program.stand_ins`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from autodiff.array import Array, Shape, as_float64
from autodiff.errors import RecordingError, ShapeError
from autodiff.graph.observer import current_observer
from autodiff.op import OPS, OUTPUT_OF, BoundOp, Op
from autodiff.ops.rules import input_gradients
from autodiff.program.code.kinds import has_own_kind
from autodiff.program.derivation import Derivation
from autodiff.program.fused import FUSED, slope
from autodiff.program.ir import Builder, Program, Value
from autodiff.program.opaque import gradient_of, opaque
from autodiff.program.recorded import MissingAttributeError, NoNumbersError, Recorded
from autodiff.program.repeating import Repeatable, Repeating
from autodiff.refusal import refusal

__all__ = ["Recorder", "has_kernel"]

try:
    from autodiff._core import kernel_names
except ImportError:  # programs are emulated then, by the rules
    _KERNELS: Collection[str] = frozenset(OPS)  # those of the library, which is imported by now
else:
    _KERNELS = frozenset(kernel_names())


def has_kernel(op: Op) -> bool:
    """Whether programs can have the op of the table: their loop computes it in C."""
    return op.name in _KERNELS or has_own_kind(op)


class Recorder:
    """Back end of one recording.

    step : what is recorded, for messages.
    first : that of a recording of the same step, with which this one is compared.
    deriving : whether a backward rule is what is applied, and not a line of the user's.
    scratch : what objects of the step (optimisers) note for the time of the recording.
    """

    name = "recorder"

    def __init__(self, step: str = "a step", first: Recorder | None = None) -> None:
        self.step = step
        self.first = first
        self.written_down = self.program = Program()  # all that was, and what it comes to
        self.builder: Builder = Repeatable() if first is None else first.repeating()
        self.arguments: list[Value] = []
        self.scratch: dict[Any, Any] = {}
        self.deriving = False
        self._derivations: dict[Any, Derivation] = {}
        self._plain: set[Op] = set()  # of one output, and recorded as they are: the usual case

    def __repr__(self) -> str:
        return self.step

    def finish(self, results: list[Value], writes: list[tuple[Value, Value]]) -> Program:
        """What was recorded, with these results and writes; the first one's if it is the same."""
        self.written_down = Program(self.arguments, self.builder.instructions, results, writes)
        first = self.first
        if first is not None and first.written_down == self.written_down:
            self.program = first.program
        else:
            self.program = self.written_down.in_order()
        return self.program

    def let_go(self) -> None:
        """Forget what was recorded: whoever has the program needs it no more, or may change it."""
        self.first = None
        self.builder = Builder()
        self.written_down = self.program = Program()

    def repeating(self) -> Builder:
        """What builds the same once more, if the same is recorded."""
        assert isinstance(self.builder, Repeatable)
        return Repeating(self.builder)

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
        value = self.builder.argument(shape, f"argument{len(self.arguments)}")
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

    def apply(self, op: BoundOp, inputs: Sequence[Any]) -> Any:
        """Write down one instruction, of recorded values and numbers.

        Returns a recorded value, or a tuple of those of several outputs.

        Raises
        ------
        ShapeError, RecordingError
        """
        operands = [
            x
            if type(x) is Recorded and x._recorder is self
            else self.recorded(x, f"{op.name}: {op.op.input_name(i)}")
            for i, x in enumerate(inputs)
        ]
        try:
            return self.record(op, operands)
        except ShapeError as error:
            named = {op.op.input_name(i): x for i, x in enumerate(operands)}
            raise refusal(ShapeError, str(error), **named) from None

    def record(self, op: BoundOp, operands: Sequence[Recorded]) -> Any:
        """Write down one instruction; of an op without a kernel those that it is composed of.

        If its rule needs numbers, the program will call it back.
        """
        if not has_kernel(op.op) and FUSED.get(op.name) is not op.op:
            return self._composed(op, operands)
        if not op.op.several:
            self._plain.add(op.op)
        return self._emitted(op, operands)

    def _emitted(self, op: BoundOp, operands: Sequence[Recorded]) -> Any:
        """One instruction, as it is."""
        inputs = [x._value for x in operands]
        if op.op.several:
            return tuple([Recorded(self, z) for z in self.builder.emit_several(op, inputs)])
        return Recorded(self, self.builder.emit(op, inputs))

    def _composed(self, op: BoundOp, operands: Sequence[Recorded]) -> Any:
        """The ops of the table that the forward rule of `op` applies."""
        promised = op.shape(*[x.shape for x in operands])
        composed = self._composing(lambda: self._results(op, op.forward(operands)))
        if composed is None:
            return self._emitted(opaque(op.op).bound_to(op.attributes), operands)
        shapes = promised if op.op.several else (promised,)
        found = [self._promised(op, *pair) for pair in zip(composed, shapes, strict=True)]
        return tuple(found) if op.op.several else found[0]

    def _results(self, op: BoundOp, value: Any) -> list[Recorded | None]:
        """What a forward rule gives, as a list of values."""
        names = op.op.outputs
        values = value if op.op.several else (value,)
        if not isinstance(values, tuple | list) or len(values) != len(names):
            raise TypeError(f"{op.name}: its rule must return a tuple of {', '.join(names)}")
        return [self.recorded(x, f"{op.name}: the result of its rule") for x in values]

    def _promised(self, op: BoundOp, found: Any, shape: Shape) -> Any:
        """What a rule gives, if it has the shape that was said."""
        if found.shape != shape:
            raise refusal(
                ShapeError,
                f"{op.name}: the rule gives {found.shape}, but its shape rule says {shape}",
            )
        return found

    # ---- the back end -----------------------------------------------------------------

    def forward(self, op: BoundOp, inputs: Sequence[Any]) -> Any:
        """One instruction; none for an output of one that has several."""
        if op.op in self._plain:
            return Recorded(self, self.builder.emit(op, self._values(inputs)))
        if op.op is OUTPUT_OF:
            return op.forward(inputs)
        return self.record(op, [self.recorded(x) for x in inputs])

    def _values(self, inputs: Sequence[Any]) -> list[Value]:
        """What stands for each of the inputs."""
        return [
            x._value if type(x) is Recorded and x._recorder is self else self.recorded(x)._value
            for x in inputs
        ]

    def backward(
        self,
        op: BoundOp,
        gradient: Any,
        output: Any,
        inputs: Sequence[Any],
        needed: Sequence[bool],
    ) -> list[Any]:
        """The instructions of the backward rules."""
        sent: tuple[bool, ...] = (True,)
        if op.op is OUTPUT_OF:
            return input_gradients(op, gradient, output, inputs, needed)
        if op.op.several:
            sent = tuple([g is not None for g in gradient])
            given = [*[g for g in gradient if g is not None], *output, *inputs]
        else:
            given = [gradient, output, *inputs]
        operands = self._values(given)
        key = op, tuple(needed), sent, *[x.shape for x in operands]
        derivation = self._derivations.get(key)
        if derivation is None:
            derivation = self._derive(op, operands, sent, needed)
            if self.first is not None:  # which must have come to the same
                before = self.first._derivations.get(key)
                derivation = before if before and before.same(derivation) else derivation
            self._derivations[key] = derivation
        gradients = self.builder.derive(derivation, operands)
        return [None if g is None else Recorded(self, g) for g in gradients]

    def _derive(
        self,
        op: BoundOp,
        operands: Sequence[Value],
        sent: tuple[bool, ...],
        needed: Sequence[bool],
    ) -> Derivation:
        """Apply the rules to values that stand for these operands and all of their shapes.

        sent : which outputs have gradients among the operands, which begin with those.
        """
        given = [_like(x) for x in operands]
        outer, self.builder = self.builder, Builder(self.builder)
        self.deriving = True
        try:
            known = [Recorded(self, x) for x in given]
            found = self._gradients(op, known, sent, needed)
            results = [None if g is None else self.recorded(g)._value for g in found]
            return Derivation(given, self.builder.instructions, results)
        finally:
            self.deriving = False
            self.builder = outer

    def _gradients(
        self,
        op: BoundOp,
        operands: Sequence[Recorded],
        sent: tuple[bool, ...],
        needed: Sequence[bool],
    ) -> list[Any]:
        n, m = sum(sent), sum(sent) + len(sent)
        if op.op.several:
            come = iter(operands[:n])
            g: Any = tuple([next(come) if s else None for s in sent])
            z: Any = tuple(operands[n:m])
        else:
            g, z = operands[:2]
        xs = operands[m:]
        if not has_kernel(op.op):
            return self._composed_gradients(op, g, z, xs, needed)
        fused = slope(op.op)  # whose line in C has the slope too
        if fused is not None and needed[0]:
            slope_op, names = fused
            return [self.record(slope_op.bind(), [g, z if names == "gz" else xs[0]])]
        return input_gradients(op, g, z, xs, needed)

    def _composed_gradients(
        self, op: BoundOp, g: Any, z: Any, xs: Sequence[Recorded], needed: Sequence[bool]
    ) -> list[Any]:
        """What the rules apply; if one needs numbers, each by itself, or called back."""
        found: list[Any] = [None] * len(xs)
        if not any(needed):
            return found

        def compose() -> list[Recorded | None]:
            gradients = input_gradients(op, g, z, xs, needed)
            return [None if x is None else self.recorded(x) for x in gradients]

        composed = self._composing(compose)
        if composed is not None:
            return composed
        for position, wanted in enumerate(needed):
            if wanted and sum(needed) > 1:
                alone = [i == position for i in range(len(xs))]
                found[position] = self._composed_gradients(op, g, z, xs, alone)[position]
            elif wanted and op.op.rule(position) is not None:
                called, read = gradient_of(op, position, g, z, xs)
                found[position] = self._emitted(called, read)
        return found

    def _composing(self, rule: Callable[[], list[Recorded | None]]) -> list[Recorded | None] | None:
        """What a rule of the user's comes to without numbers; None if it cannot do without.

        What it raises then may be anything (whoever is handed such a value, NumPy, say, has words
        of its own). If the rule is at fault, it will say so when it is called back.
        """
        outer, self.builder = self.builder, Builder(self.builder)
        try:
            found = [None if x is None else x._value for x in rule()]
            made = Derivation([], self.builder.instructions, found)
        except RecordingError as error:
            if not isinstance(error, (NoNumbersError, MissingAttributeError)):
                raise
            return None
        except Exception:
            return None
        finally:
            self.builder = outer
        return [None if x is None else Recorded(self, x) for x in made.applied(outer, [])]

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


def _like(x: Value) -> Value:
    """A value that stands for any of the shape of `x`, and is called the same in messages."""
    value = Value(x.shape, "computed", None, x.label)
    value.op = x.op
    return value
