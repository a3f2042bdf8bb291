"""What a node knows of itself and of its readers: all that the passes may touch.

A node holds its inputs, but its readers only weakly: a graph that nobody holds goes away, and
nobody waits for it. What waits is an edge, not a reader: ``x * x`` reads `x` twice, and sends to it
twice. The edges of a reader need no list of their own: they are its inputs, and `needed` says along
which of them a gradient is sent. Most nodes have one reader; so the first has a slot.

How a node counts. `awaited` is the number of gradients that it still waits for; 0 when its sum is
complete; -1 when there is no sum, or an old one that the next gradient replaces. `begun` is the
tick at which the present sum began, `sent` the one at which the node last sent gradients to its
inputs, to all of them at once. So a reader has sent to a node in the present pass if
``reader.sent >= node.begun``. How values age is said in :mod:`autodiff.graph.clock`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from typing import Any

from autodiff import forks
from autodiff.array import Array, Shape
from autodiff.graph.clock import ticks
from autodiff.graph.lines import line_of
from autodiff.graph.naming import register_name
from autodiff.graph.unfinished import Unread, note_read
from autodiff.op import OUTPUT_OF, BoundOp

__all__ = ["OutsideReader", "State", "TensorState"]

ref = weakref.ref
_striking_out = forks.new_lock()


class OutsideReader(weakref.ref["State"]):
    """A reader that sends along its input `position`, but has another node for it.

    In a recording: what was made outside, and reads the node that a stand-in stands for.
    """

    __slots__ = ("position",)

    position: int


class State:
    """Of every node: what it is made of, its value, its gradient, and its edges.

    Attributes
    ----------
    op, inputs, shape, needed, needs_gradient : see :class:`autodiff.Node`. Of an op with several
        outputs shape, value and gradient are tuples; see :mod:`autodiff.graph.several`.
    serial : its number; inputs have smaller ones than what reads them.
    given_name : the name, made unique, if one was given.
    home : the recording that it belongs to.
    built_by, built_at : the user's code that built it, and the instruction.
    stored : the value, or None.
    tick : of the value; 0 if there is none.
    fresh_in : the epoch in which the value was found fresh.
    summed : the sum of the gradients that have come; complete if `awaited` is 0.
    awaited, begun, sent : see above.
    unread : the pass that has left a gradient here which nobody has read.
    announced : outside senders, each with the tick of the sum that it sent to last.
    forward_plan, backward_plan : what the passes keep with a root.
    first_reader, more_readers : who reads it, weakly; a reader may be listed more than once.
    crowded : at how many of those it is time to strike out who is gone.
    awaits : the numbers of the readers that a half-finished sum waits for.
    """

    __slots__ = (
        "__weakref__",
        "announced",
        "awaited",
        "awaits",
        "backward_plan",
        "begun",
        "built_at",
        "built_by",
        "crowded",
        "first_reader",
        "forward_plan",
        "fresh_in",
        "given_name",
        "home",
        "inputs",
        "more_readers",
        "needed",
        "needs_gradient",
        "op",
        "sent",
        "serial",
        "shape",
        "stored",
        "summed",
        "tick",
        "unread",
    )

    op: BoundOp | None
    inputs: tuple[Any, ...]
    needed: tuple[bool, ...]
    needs_gradient: bool
    shape: Shape
    home: Any
    built_by: Any
    built_at: int
    first_reader: weakref.ref[State] | None
    more_readers: list[weakref.ref[State]] | None
    awaits: set[int] | None
    unread: Unread | None
    announced: dict[str, int] | None
    forward_plan: tuple[Sequence[State], Sequence[State]] | None
    backward_plan: Any

    def build(
        self,
        op: BoundOp | None,
        inputs: tuple[Any, ...],
        shape: Shape,
        needed: tuple[bool, ...],
        home: Any,
        built_by: Any,
        built_at: int,
    ) -> None:
        """Fill all that a new node has, and register it with its inputs."""
        self.op = op
        self.inputs = inputs
        self.shape = shape
        self.needed = needed
        self.needs_gradient = True in needed
        self.home = home
        self.built_by = built_by
        self.built_at = built_at
        self.serial = next(ticks)
        self.given_name: str | None = None
        self.stored: Any = None
        self.tick = 0
        self.fresh_in: object = None
        self.summed: Any = None
        self.awaited = -1
        self.begun = self.sent = 0
        self.unread = None
        self.announced = None
        self.forward_plan = None
        self.backward_plan = None
        self.awaits = None
        self.first_reader = None
        self.more_readers = None
        self.crowded = 8
        if inputs:
            me = ref(self)
            for x in inputs:
                # Between the look at a slot and the write to it nothing is called, so that no
                # other thread comes between.
                if x.first_reader is None:
                    x.first_reader = me
                elif x.more_readers is None:
                    x.more_readers = [me]
                else:
                    x.more_readers.append(me)
                    if len(x.more_readers) > x.crowded:
                        x.strike_out_the_gone()

    # ---- what it is called ------------------------------------------------------------

    @property
    def typename(self) -> str:
        """The op's name."""
        if self.op is None:
            return "tensor"
        if self.op.op is OUTPUT_OF:
            return f"{self.inputs[0].typename}.{self._output_name()}"
        return self.op.name

    def _output_name(self) -> str:
        """Which output of its input it is."""
        assert self.op is not None
        return self.inputs[0].op.op.outputs[self.op.attributes["number"]]  # type: ignore[no-any-return]

    @property
    def name(self) -> str:
        """A name that no other living node has; may be set, and is then made unique."""
        if self.given_name is not None:
            return self.given_name
        op = self.op
        if op is not None and op.op is OUTPUT_OF:
            return f"{self.inputs[0].name}.{self._output_name()}"
        return f"{'tensor' if op is None else op.name}#{self.serial}"

    @name.setter
    def name(self, name: str) -> None:
        self.given_name = register_name(self, name)

    @property
    def where(self) -> tuple[str, int]:
        """File and line of the user's code that built it."""
        return line_of(self.built_by, self.built_at)  # type: ignore[no-any-return]

    @where.setter
    def where(self, line: tuple[str, int]) -> None:
        self.built_by, self.built_at = line, -1

    def describe(self) -> str:
        """Name and place, for error messages."""
        file, line = self.where
        return f"node {self.name!r} ({os.path.basename(file)}:{line})"

    # ---- who reads it -----------------------------------------------------------------

    def readers(self) -> list[State]:
        """The living nodes that read it, each once."""
        listed = [self.first_reader, *(self.more_readers or ())]
        living = [one() for one in listed if one is not None and type(one) is ref]
        return list(dict.fromkeys(one for one in living if one is not None))

    def outside_readers(self) -> list[tuple[State, int]]:
        """What was told by :meth:`add_outside_reader`."""
        listed = [one for one in self.more_readers or () if isinstance(one, OutsideReader)]
        return [(reader, one.position) for one in listed if (reader := one()) is not None]

    def uses(self, *, wanted: bool) -> list[tuple[Any, int]]:
        """Who reads it, each with the number of its input, oldest first.

        wanted : only those inputs that a gradient is sent to.
        """
        found = [
            (reader, i)
            for reader in self.readers()
            for i, (x, sends) in enumerate(zip(reader.inputs, reader.needed, strict=True))
            if x is self and (sends or not wanted)
        ]
        found += self.outside_readers()
        return sorted(found, key=lambda pair: (pair[0].serial, pair[1]))

    def sends_to(self, node: State) -> bool:
        """Whether it sends a gradient to `node` along any of its inputs."""
        return any(x is node and s for x, s in zip(self.inputs, self.needed, strict=True))

    def add_outside_reader(self, reader: State, position: int) -> OutsideReader:
        """Let it wait for what `reader` sends along input `position`; see OutsideReader."""
        outside = OutsideReader(reader)
        outside.position = position
        if self.more_readers is None:
            self.more_readers = []
        self.more_readers.append(outside)
        return outside

    def remove_outside_reader(self, outside: OutsideReader) -> None:
        """Take back what :meth:`add_outside_reader` has done."""
        # Not by `==`, which compares what the references refer to.
        self.more_readers = [one for one in self.more_readers or () if one is not outside]

    def strike_out_the_gone(self) -> None:
        """Forget readers that are gone; to be called each time that their number has doubled."""

        def strike_out() -> None:
            more = self.more_readers
            if more is not None:
                n = len(more)  # other threads may add to it meanwhile
                more[:n] = [one for one in more[:n] if one() is not None]
                self.crowded = 2 * len(more) + 8

        forks.holding(_striking_out, strike_out)

    def has_sent_to(self, node: State) -> bool:
        """Whether the present sum of `node`, one of its inputs, holds the gradient it sends."""
        return self.sent >= node.begun

    # ---- its gradient -----------------------------------------------------------------

    def forget_gradient(self) -> None:
        """There is no sum, and the next gradient begins one."""
        if self.unread is not None:
            note_read([self])
        self.awaited = -1
        self.summed = None

    def drop_half_made_sum(self) -> None:
        """The value has changed: a complete gradient stays readable, and the next begins anew."""
        if self.awaited > 0:
            self.summed = None
        if self.unread is not None:
            note_read([self])
        self.awaited = -1


class TensorState(State):
    """What a tensor has besides.

    Attributes
    ----------
    lock : of the programs that read or write the buffer.
    reserved : the buffer of a tensor without a value, once a program writes it.
    kept_snapshot : the value as it was handed out, with the tick that it was taken at.
    """

    __slots__ = ("kept_snapshot", "lock", "reserved")

    lock: Any
    reserved: Any
    kept_snapshot: tuple[int, Array] | None

    def build(self, *fields: Any) -> None:
        """Fill all that a new tensor has."""
        super().build(*fields)
        self.lock = None
        self.reserved = None
        self.kept_snapshot = None

    def note_written(self, tick: int) -> None:
        """Its buffer has changed, or is about to: what was computed from it is stale."""
        self.drop_half_made_sum()
        self.tick = tick
