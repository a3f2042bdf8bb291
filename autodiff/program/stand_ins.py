"""What a step that is being recorded uses of the world outside, without touching it.

Where the step uses a tensor or a node that was made outside, a *stand-in* takes its place, which
belongs to the recording: values, gradients and whatever else the step changes are the stand-in's.
So other threads, signal handlers and an interruption at any line find every node as it was, and
there is nothing to restore, however a recording ends.
"""

from __future__ import annotations

import contextvars
import gc
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from autodiff.errors import RecordingError
from autodiff.graph import clock
from autodiff.graph.copies import stand_in_for
from autodiff.graph.memory import room
from autodiff.graph.node import Tensor
from autodiff.graph.observer import Observer, escaped, observe
from autodiff.graph.order import ancestors
from autodiff.graph.state import OutsideReader, State
from autodiff.graph.waiting import is_unread, unread
from autodiff.program.handlers import has_handlers, in_handler
from autodiff.program.ir import Program
from autodiff.program.recorded import Recorded
from autodiff.program.recorder import Recorder

__all__ = ["Watch"]

ResultT = TypeVar("ResultT")
StateT = TypeVar("StateT", bound=State)


class Watch(Observer):
    """The observer of one recording."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._conditions: list[Callable[[], bool]] = []
        self._stand_ins: dict[State, State] = {}
        self._originals: dict[State, weakref.ref[State]] = {}
        self._begin_with: dict[State, Recorded] = {}  # tensors: the state as the step finds it
        self._ghosts: dict[int, list[tuple[State, OutsideReader]]] = {}  # by the reader's identity
        self._start = next(clock.ticks)
        self._handlers = False

    def run(self, function: Callable[[], ResultT]) -> ResultT:
        """Record what `function` does."""
        clock.settle()
        self._handlers = has_handlers()
        # In a context of its own: an interruption cannot leave it switched on.
        return contextvars.copy_context().run(self._run, function)

    def _run(self, function: Callable[[], ResultT]) -> ResultT:
        with observe(self):
            return function()

    # ---- the observer -----------------------------------------------------------------

    @property
    def home(self) -> Recorder:
        """The recording."""
        return self.recorder

    @property
    def backend(self) -> Recorder:
        """The recorder, whatever back end the step asks for: the program will run in C."""
        return self.recorder

    @property
    def conditions(self) -> list[Callable[[], bool]]:
        """What must hold of the world outside for the recording to be true."""
        return self._conditions

    def suspended(self) -> bool:
        """Whether a signal handler has interrupted the step."""
        return self._handlers and in_handler(Watch._run.__code__)

    def here(self, node: StateT) -> StateT:
        """The stand-in of `node`; a node of this recording stands for itself."""
        if node.home is self.recorder:
            return node
        if node.home is not None:
            raise escaped(node)
        stand_in = self._stand_ins.get(node)
        return cast(StateT, self._adopt(node) if stand_in is None else stand_in)

    def forward(self, node: State, value: Any) -> None:
        """Name the value."""
        if type(value) is tuple:
            return  # its outputs have names
        recorded = value._value
        if not recorded.label:
            recorded.label = node.name
        if recorded.where is None:
            recorded.where = node.where

    def backward(self, node: State, gradients: Sequence[Any], sums: Mapping[State, Any]) -> None:
        """Name the gradients."""
        for x, g in zip(node.inputs, gradients, strict=True):
            if g is None or type(g) is tuple:  # of an output, which has named its gradient
                continue
            recorded = g._value
            if not recorded.label:
                recorded.label = f"d {x.name}"
                recorded.where = node.where

    def assign(self, tensor: State, value: Any) -> Recorded:
        """What `tensor` holds from now on; its buffer is written at the end of each replay."""
        return self.recorder.recorded(value, f"assign: the value for {tensor.describe()}")

    def begins_sum(self, tensor: State, accumulate: bool) -> None:
        """Refuse if a gradient outside would be lost, or would be added to."""
        original = self._original(tensor)
        untouched = tensor.stored is self._begin_with.get(tensor)  # not assigned by the step
        if original is None or tensor.begun > 0 or not untouched:
            return
        if accumulate:
            self.missing(tensor, "gradient")
        elif is_unread(original):
            raise unread(original)
        self.conditions.append(_Nothing(original, is_unread))

    def missing(self, node: State, what: str) -> None:
        """Refuse what was computed before the recording."""
        original = self._original(node)
        if original is None or node.begun > 0:
            return
        if what == "value":
            found, hint = original.stored, "call forward() on it within the step"
        else:
            found, hint = original.summed, "run the backward pass within the step"
            self.conditions.append(_Nothing(original, _has_gradient))
        if found is not None:
            raise RecordingError(
                f"the {what} of {node.describe()} was computed before {self.recorder} was "
                f"recorded, and every replay would see the same numbers; {hint}, or hand it in as "
                "an argument"
            )

    # ---- stand-ins --------------------------------------------------------------------

    def _original(self, stand_in: State) -> State | None:
        found = self._originals.get(stand_in)
        return None if found is None else found()

    def _adopt(self, root: State) -> State:
        """Make stand-ins of `root` and all below it, inputs first."""
        nodes = ancestors([root], lambda node: node not in self._stand_ins)
        for node in nodes:
            if node.home is not None:
                raise escaped(node)
        among = set(map(id, nodes))
        for node in nodes:
            inputs = [self._stand_ins[x] for x in node.inputs]
            stand_in = stand_in_for(node, inputs, self.recorder)
            self._stand_ins[node] = stand_in
            self._originals[stand_in] = weakref.ref(node)
            if isinstance(node, Tensor):
                self._give_value(node, stand_in)
            self._stand_in_for_readers(node, stand_in, among)
        return self._stand_ins[root]

    def _give_value(self, tensor: Tensor, stand_in: State) -> None:
        buffer = tensor.stored
        if buffer is None:
            return
        if not buffer.flags.writeable:  # a literal
            stand_in.stored = self.recorder.constant(buffer)
        else:
            value = self.recorder.builder.state(buffer, tensor.name)
            stand_in.stored = self._begin_with[stand_in] = Recorded(self.recorder, value)
        stand_in.tick = tensor.tick

    def _stand_in_for_readers(self, node: State, stand_in: State, among: set[int]) -> None:
        """Readers outside may send, too: they are waited for as outside, until they are adopted."""
        for waiting, ghost in self._ghosts.pop(id(node), ()):
            waiting.remove_outside_reader(ghost)
        for reader in node.readers():
            if id(reader) in among:
                continue
            for position, (x, wanted) in enumerate(zip(reader.inputs, reader.needed, strict=True)):
                if wanted and x is node:
                    ghost = stand_in.add_outside_reader(reader, position)
                    self._ghosts.setdefault(id(reader), []).append((stand_in, ghost))

    # ---- the program ------------------------------------------------------------------

    def forget_locals(self) -> None:
        """Take tensors that the step has made, and that nobody has kept, for what they are.

        They are no state: every run makes them anew, with the numbers that they began with.
        """
        made = [t for t in self._stand_ins if t.op is None and t.serial > self._start]
        stand_ins = [self._stand_ins.pop(t) for t in made]
        del made
        if any(self._original(stand_in) is not None for stand_in in stand_ins):
            gc.collect()  # what only garbage holds is not kept
        for stand_in in stand_ins:
            original = self._original(stand_in)
            if original is not None:
                self._stand_ins[original] = stand_in
            else:
                del self._originals[stand_in]
                state = self._begin_with.pop(stand_in, None)
                if state is not None:
                    state._value.kind = "constant"

    def program(self, results: Sequence[Any]) -> Program:
        """What was recorded, with these results; to be called within the recording."""
        outputs = [self.recorder.recorded(r)._value for r in results]
        writes = []
        for tensor, stand_in in self._written():
            state = self._begin_with.get(stand_in)
            if state is None:
                value = self.recorder.builder.state(room(tensor), tensor.name)
                state = self._begin_with[stand_in] = Recorded(self.recorder, value)
            writes.append((state._value, stand_in.stored._value))
        return self.recorder.finish(outputs, writes)

    def _written(self) -> list[tuple[Tensor, State]]:
        return [
            (cast(Tensor, node), stand_in)
            for node, stand_in in self._stand_ins.items()
            if node.op is None
            and stand_in.stored is not None
            and stand_in.stored is not self._begin_with.get(stand_in)
            and (node.stored is None or node.stored.flags.writeable)
        ]

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors that the step reads or assigns, without literals."""
        return [cast(Tensor, node) for node, x in self._stand_ins.items() if x in self._begin_with]

    @property
    def written(self) -> list[Tensor]:
        """The tensors that the step assigns."""
        return [tensor for tensor, _ in self._written()]

    @property
    def reached(self) -> list[State]:
        """The nodes outside to which the step sends gradients."""
        return [node for node, stand_in in self._stand_ins.items() if stand_in.begun > 0]


class _Nothing:
    """A condition: that what `ask` asks of a node outside is not so."""

    def __init__(self, node: State, ask: Callable[[State], bool]) -> None:
        self.node = weakref.ref(node)
        self.ask = ask

    def __call__(self) -> bool:
        node = self.node()
        return node is None or not self.ask(node)


def _has_gradient(node: State) -> bool:
    return node.summed is not None
