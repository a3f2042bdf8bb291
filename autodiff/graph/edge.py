"""Edges: one for each use of a node, from the node that is read to its reader."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autodiff.graph.node import Node

__all__ = ["Edge", "alive"]


class Edge(weakref.ref["Node"]):
    """One use of a node: input number `position` of the reader, which it refers to weakly.

    `round` is the round of the node read in which a gradient came along this edge last; with
    a minus, the one in which it is waited for.
    """

    __slots__ = ("position", "round")

    position: int
    round: int

    def __new__(cls, reader: Node, forget: Callable[[Any], object], position: int) -> Edge:
        """Make an edge; `forget` is called when the reader is gone."""
        edge = super().__new__(cls, reader, forget)
        edge.position = position
        edge.round = 0
        return edge

    def __init__(self, reader: Node, forget: Callable[[Any], object], position: int) -> None:
        super().__init__(reader, forget)  # type: ignore[call-arg]

    # Two edges of one reader are two edges: weak references would compare equal.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        reader = self()
        name = "a dead node" if reader is None else reader.name  # a node's truth is its value's
        return f"<edge to input {self.position} of {name}>"


def alive(edges: Iterable[Edge]) -> tuple[tuple[Node, int], ...]:
    """The readers at the ends of `edges`, each with the number of its input, oldest first."""
    # A reader may die meanwhile, and its edge leave the set: walk over a copy.
    pairs = [(reader, edge.position) for edge in tuple(edges) if (reader := edge()) is not None]
    return tuple(sorted(pairs, key=lambda pair: (pair[0]._serial, pair[1])))
