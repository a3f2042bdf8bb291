"""What a node knows of itself and of its readers: all that the passes may touch.

A node's readers are held by :class:`Edge`, weakly: a graph that nobody holds goes away, and nobody
waits for it. Edges that a gradient will come along are kept apart from the silent ones. Most
nodes have one reader; so the first edge of either kind has a slot, and may be dead, and only
further ones make a set, which they leave when their reader is gone.

How a node counts. `awaited` is the number of gradients that it still waits for; 0 when its sum is
complete; -1 when there is no sum, or an old one that the next gradient replaces. `begun` is the
tick at which the present sum began, `sent` the one at which the node last sent gradients to its
inputs, to all of them at once. So a reader has sent to a node in the present pass if
``reader.sent >= node.begun``. How values age is said in :mod:`autodiff.graph.clock`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from autodiff.array import Array, Shape
from autodiff.graph.clock import ticks
from autodiff.graph.naming import register_name
from autodiff.graph.place import line_of
from autodiff.graph.unfinished import Unread, note_read
from autodiff.op import BoundOp

__all__ = ["Edge", "State", "TensorState", "alive"]


class Edge(weakref.ref["State"]):
    """One use of a node: input number `position` of the reader, which it refers to weakly.

    `awaited_in` is the tick of the sum of the node read for which this reader is waited for.
    """

    # Without a constructor of its own in Python, which would take longer than all else.
    __slots__ = ("awaited_in", "position")

    position: int
    awaited_in: int

    # Two edges of one reader are two edges: weak references would compare equal.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        reader = self()
        name = "a dead node" if reader is None else reader.name  # a node's truth is its value's
        return f"<edge to input {self.position} of {name}>"


class State:
    """Of every node: what it is made of, its value, its gradient, and its edges.

    Attributes
    ----------
    op, inputs, shape, needed, needs_gradient : see :class:`autodiff.Node`.
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
    edges : for each input the edge to it, None where no gradient is sent.
    first_edge, more_edges : of those who read it and send gradients.
    first_silent, more_silent : of those who read it and send none.
    """

    __slots__ = (
        "__weakref__",
        "announced",
        "awaited",
        "backward_plan",
        "begun",
        "built_at",
        "built_by",
        "edges",
        "first_edge",
        "first_silent",
        "forward_plan",
        "fresh_in",
        "given_name",
        "home",
        "inputs",
        "more_edges",
        "more_silent",
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
    edges: Sequence[Edge | None]
    first_edge: Edge | None
    more_edges: set[Edge] | None
    first_silent: Edge | None
    more_silent: set[Edge] | None
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
        self.first_edge = None
        self.more_edges = None
        self.first_silent = None
        self.more_silent = None
        if not inputs:
            self.edges = ()
            return
        edges: list[Edge | None] = []
        for position, x in enumerate(inputs):
            # Between the look at a slot and the write to it there is no call, so that no other
            # thread comes between; nor does one while {*()} makes an empty set.
            if needed[position]:
                if x.first_edge is None:
                    edge = x.first_edge = Edge(self)
                else:
                    more = x.more_edges
                    if more is None:
                        more = x.more_edges = {*()}
                    edge = Edge(self, more.discard)
                    more.add(edge)
                edges.append(edge)
            else:
                if x.first_silent is None:
                    edge = x.first_silent = Edge(self)
                else:
                    more = x.more_silent
                    if more is None:
                        more = x.more_silent = {*()}
                    edge = Edge(self, more.discard)
                    more.add(edge)
                edges.append(None)
            edge.position = position
            edge.awaited_in = 0
        self.edges = edges

    # ---- what it is called ------------------------------------------------------------

    @property
    def typename(self) -> str:
        """The op's name."""
        return self.op.name if self.op is not None else "tensor"

    @property
    def name(self) -> str:
        """A name that no other living node has; may be set, and is then made unique."""
        return self.given_name or f"{self.typename}#{self.serial}"

    @name.setter
    def name(self, name: str) -> None:
        self.given_name = register_name(self, name)

    @property
    def where(self) -> tuple[str, int]:
        """File and line of the user's code that built it."""
        return line_of(self.built_by, self.built_at)  # type: ignore[no-any-return]

    @where.setter
    def where(self, place: tuple[str, int]) -> None:
        self.built_by, self.built_at = place, -1

    def describe(self) -> str:
        """Name and place, for error messages."""
        file, line = self.where
        return f"node {self.name!r} ({os.path.basename(file)}:{line})"

    # ---- who reads it -----------------------------------------------------------------

    def sending_edges(self) -> list[Edge]:
        """The edges that a gradient may come along; their readers live, or have just gone."""
        return _listed(self.first_edge, self.more_edges)

    def silent_edges(self) -> list[Edge]:
        """The edges of readers that send nothing."""
        return _listed(self.first_silent, self.more_silent)

    def add_edge(self, reader: State, position: int) -> Edge:
        """Let it wait for input `position` of `reader`, which need not have it for an input."""
        if self.more_edges is None:
            self.more_edges = {*()}
        edge = Edge(reader, self.more_edges.discard)
        edge.position = position
        edge.awaited_in = 0
        self.more_edges.add(edge)
        return edge

    def remove_edge(self, edge: Edge) -> None:
        """Take back what :meth:`add_edge` has done."""
        if self.more_edges is not None:
            self.more_edges.discard(edge)

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


def _listed(first: Edge | None, more: Iterable[Edge] | None) -> list[Edge]:
    # A reader may die meanwhile, and its edge leave the set: a copy.
    edges = [] if more is None else list(more)
    if first is not None and first() is not None:
        edges.append(first)
    return edges


def alive(edges: Iterable[Edge]) -> tuple[tuple[Any, int], ...]:
    """The readers at the ends of `edges`, each with the number of its input, oldest first."""
    return tuple(sorted(_readers(edges), key=lambda pair: (pair[0].serial, pair[1])))


def _readers(edges: Iterable[Edge]) -> Iterator[tuple[State, int]]:
    for edge in edges:
        reader = edge()
        if reader is not None:
            yield reader, edge.position
