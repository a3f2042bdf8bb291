"""The recording back end: it computes nothing and writes down what would be computed.

It has the two methods of every back end, so the graph runs on it unchanged: the
bookkeeping of nodes, wait sets and sums decides the order, and the order is the program.
Backward rules are applied to recorded values, and so taken apart into ops of the table.
An observer beside it learns which arrays are the buffers of tensors, and keeps what the
step assigns to them from happening.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

from autodiff import graph
from autodiff.array import Shape, as_float64
from autodiff.backend import use_backend
from autodiff.errors import RecordingError, ShapeError
from autodiff.node import Node, Tensor
from autodiff.op import OPS, BoundOp, refusal
from autodiff.operators import Operators
from autodiff.ops.rules import input_gradient
from autodiff.program.fused import FUSED, slope
from autodiff.program.ir import Builder, Program, Value

__all__ = ["Recorded", "Recorder"]


try:
    from autodiff._core import kernel_names
except ImportError:  # programs are emulated then, by the rules
    _KERNELS: Collection[str] = OPS
else:
    _KERNELS = frozenset(kernel_names())


class Recorded(Operators):
    """A value of a step that is being recorded: it has a shape, but no numbers.

    It can be used like a node: with operators, with the functions of this package and with
    NumPy's. Whatever needs its numbers raises RecordingError.
    """

    __slots__ = ("_recorder", "_value", "shape")

    __array_priority__ = 500.0  # less than a node's, which takes it in

    def __init__(self, recorder: Recorder, value: Value) -> None:
        self._recorder = recorder
        self._value = value
        self.shape: Shape = value.shape

    @property
    def value(self) -> Recorded:
        """Itself, as a node's value during a recording is."""
        return self

    def __autodiff_apply__(self, op: BoundOp, inputs: Sequence[Any]) -> Recorded:
        return self._recorder.record(op, [self._recorder.operand(x) for x in inputs])

    def __repr__(self) -> str:
        return f"<recorded value {self._value.label or self._value.op!r} {self.shape}>"

    def _no_numbers(self, *_: Any, **__: Any) -> NoReturn:
        raise RecordingError(
            f"{self!r} has a shape but no numbers while the step is being recorded: "
            "return it from the step to see it, replace Python branches on it by "
            "autodiff.where, or call the undecorated function (step.function) to debug"
        )

    __array__ = __bool__ = __float__ = __int__ = __index__ = item = _no_numbers


class Recorder:
    """Back end and observer of one recording."""

    name = "recorder"

    def __init__(self) -> None:
        self.builder = Builder()
        self.arguments: list[Value] = []
        self._values: dict[int, Value] = {}  # of arrays, by identity
        self._held: list[Any] = []  # arrays whose identity is in use
        self._tensors: dict[Tensor, Any] = {}  # all that were touched, with their buffers
        # All nodes that were computed or touched, and what they held before. Weakly: in an
        # ordinary step too nobody waits for readers that are gone.
        self._before: dict[int, tuple[weakref.ref[Node], _Held]] = {}
        self._assigned: dict[Tensor, Recorded] = {}
        self._start = next(graph.ticks)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what happens within a ``with`` block; then leave no trace of it."""
        with graph.alone():
            graph.new_epoch()
            try:
                with use_backend(self), graph.observe(_Watch(self)):
                    yield
            except BaseException:
                self._restore(failed=True)
                raise
            else:
                self._restore(failed=False)

    def remember(self, node: Node) -> None:
        """Note what a node holds before the recording changes it."""
        known = self._before.get(id(node))
        if known is None or known[0]() is not node:
            self._before[id(node)] = weakref.ref(node), _Held(node)

    def _restore(self, failed: bool) -> None:
        """Give all nodes back what they held; but gradients only if the recording failed.

        (Those of an earlier pass would be taken for the step's.)
        """
        graph.new_epoch()
        for reference, held in self._before.values():
            if (node := reference()) is None:
                continue
            held.restore(node)
            if not failed:
                node._gradient = None
                node._awaited = -1
        if failed:
            return
        for tensor, buffer in self._tensors.items():
            tensor._value = buffer  # also of one that had none

    # ---- values -----------------------------------------------------------------------

    def argument(self, shape: Shape) -> Recorded:
        """The next argument of the step."""
        value = Value(shape, "argument", None, f"argument{len(self.arguments)}")
        self.arguments.append(value)
        return Recorded(self, value)

    def operand(self, x: Any) -> Value:
        """The value that stands for `x`; arrays that are no tensor's are constants."""
        if isinstance(x, Recorded):
            if x._recorder is not self:
                raise RecordingError(f"{x!r} belongs to another recording")
            return x._value
        if isinstance(x, np.ndarray) and id(x) in self._values:
            return self._values[id(x)]
        return self.builder.constant(as_float64(x, "a value used in a recorded step"))

    def _array(self, array: np.ndarray[Any, Any]) -> Value:
        """The value of an array that the graph passes on: a buffer until known better."""
        if id(array) not in self._values:
            if array.ndim == 0 and not array.flags.writeable:
                value = self.builder.constant(array)  # a literal
            else:
                value = Value(array.shape, "constant", array)
            self._values[id(array)] = value
            self._held.append(array)
        return self._values[id(array)]

    def _operands(self, values: Sequence[Any]) -> list[Recorded]:
        return [x if isinstance(x, Recorded) else Recorded(self, self._array(x)) for x in values]

    def record(self, op: BoundOp, inputs: Sequence[Value]) -> Recorded:
        """Write down one instruction.

        Raises
        ------
        RecordingError
            If the op has no kernel.
        """
        if op.name not in _KERNELS and op.name not in FUSED:
            raise refusal(
                RecordingError,
                f"op {op.name!r} has no kernel in C and cannot be part of a compiled step",
            )
        return Recorded(self, self.builder.emit(op, inputs))

    # ---- the back end -----------------------------------------------------------------

    def forward(self, op: BoundOp, inputs: Sequence[Any]) -> Recorded:
        """One instruction."""
        return self.record(op, [x._value for x in self._operands(inputs)])

    def backward(
        self,
        op: BoundOp,
        gradient: Any,
        output: Any,
        inputs: Sequence[Any],
        needed: Sequence[bool],
    ) -> list[Any]:
        """The instructions of the backward rules."""
        g, z, *xs = self._operands([gradient, output, *inputs])
        fused = slope(op.name)
        if fused is not None and needed[0]:
            slope_op, operands = fused
            value = z if operands == "gz" else xs[0]
            return [self.record(slope_op.bind(), [g._value, value._value])]
        return [
            input_gradient(op, position, g, z, xs) if wanted else None
            for position, wanted in enumerate(needed)
        ]

    # ---- tensors ----------------------------------------------------------------------

    def touch(self, nodes: Sequence[Node]) -> None:
        """Learn which arrays are buffers of tensors that can be assigned."""
        for x in nodes:
            if isinstance(x, Tensor) and x not in self._tensors:
                self.remember(x)
                buffer = x._value
                if isinstance(buffer, Recorded):  # made within the step, of a recorded value
                    buffer = None
                self._tensors[x] = buffer
                if buffer is not None and buffer.flags.writeable:
                    self._claim(x, buffer)

    def _claim(self, tensor: Tensor, buffer: np.ndarray[Any, Any]) -> Value:
        value = self._array(buffer)
        value.kind = "state"
        value.label = tensor.name
        return value

    def read(self, node: Node) -> Any:
        """What ``node.value`` gives within the step."""
        if isinstance(node._value, np.ndarray):
            if not isinstance(node, Tensor):
                raise RecordingError(
                    f"{node.describe()} was computed before the recording; call forward() on it "
                    "within the step"
                )
            self.touch([node])
            return Recorded(self, self._array(node._value))
        return node._value

    def assign(self, tensor: Tensor, value: Any) -> Recorded:
        """Remember what `tensor` holds from now on; its buffer is written at the end."""
        self.touch([tensor])
        recorded = Recorded(self, self.operand(value.value if isinstance(value, Node) else value))
        if recorded.shape != tensor.shape:
            raise ShapeError(
                f"assign: the value has shape {recorded.shape}, {tensor.describe()} has shape "
                f"{tensor.shape}"
            )
        self._assigned[tensor] = recorded
        return recorded

    # ---- the program ------------------------------------------------------------------

    def forget_locals(self) -> None:
        """Take tensors that the step has made, and that nobody has kept, for what they are.

        They are no state: every run makes them anew, with the numbers that they began with.
        """
        made = [
            (weakref.ref(t), self._tensors.pop(t), self._assigned.pop(t, None))
            for t in tuple(self._tensors)
            if t._serial > self._start
        ]
        for reference, buffer, assigned in made:
            if (kept := reference()) is not None:
                self._tensors[kept] = buffer
                if assigned is not None:
                    self._assigned[kept] = assigned
            elif buffer is not None:
                self._array(buffer).kind = "constant"

    def program(self, results: Sequence[Any]) -> Program:
        """What was recorded, with these results; to be called within the recording."""
        outputs = [self.operand(r) for r in results]
        writes = []
        for tensor, recorded in self._assigned.items():
            buffer = self._tensors[tensor]
            if buffer is None:
                buffer = self._tensors[tensor] = np.zeros(tensor.shape)
            state = self._claim(tensor, buffer)
            writes.append((state, recorded._value))
        return Program(self.arguments, self.builder.instructions, outputs, writes).in_order()

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors that the step reads or assigns, without literals."""
        return [t for t, b in self._tensors.items() if b is not None and b.flags.writeable]

    @property
    def written(self) -> list[Tensor]:
        """The tensors that the step assigns."""
        return list(self._assigned)


class _Held:
    """What a node held before the recording."""

    __slots__ = ("awaited", "gradient", "rounds", "senders", "tick", "value")

    def __init__(self, node: Node) -> None:
        self.value = node._value
        self.tick = node._tick
        self.gradient = node._gradient
        self.awaited = node._awaited
        self.senders = dict(node.senders)
        self.rounds = node._round, [None if e is None else e.round for e in node._edges]

    def restore(self, node: Node) -> None:
        """Put it back."""
        node._value = None if isinstance(self.value, Recorded) else self.value
        node._tick = self.tick if node._value is not None else 0
        node._gradient = self.gradient
        node._awaited = self.awaited
        if node._senders is not None:
            node._senders.update(self.senders)
        node._round, rounds = self.rounds
        for edge, number in zip(node._edges, rounds, strict=True):
            if edge is not None and number is not None:
                edge.round = number


class _Watch:
    """The observer of a recording."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def wants(self, node: Node) -> bool:
        """Values that were computed before the recording are not part of it."""
        return not isinstance(node._value, Recorded)

    def forward(self, node: Node, value: Any) -> None:
        """Name the value, and remember to forget it."""
        value._value.label = value._value.label or node.name
        self.recorder.remember(node)
        self.recorder.touch(node.inputs)

    def backward(self, node: Node, gradients: Sequence[Any]) -> None:
        """Name the gradients."""
        for x, g in zip(node.inputs, gradients, strict=True):
            if isinstance(g, Recorded) and not g._value.label:
                g._value.label = f"d {x.name}"

    def assign(self, tensor: Node, value: Any) -> Any:
        """Store the recorded value in place of the buffer, for the time of the recording."""
        assert isinstance(tensor, Tensor)
        return self.recorder.assign(tensor, value)

    def read(self, tensor: Node) -> Any:
        """Hand out recorded values only."""
        return self.recorder.read(tensor)
