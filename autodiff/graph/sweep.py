"""A backward pass from one output, worked out once.

The graph below a node never changes, so neither does the order in which gradients come
down from it. A :class:`Sweep` keeps that order with the output, and then runs a pass without asking
who still waits: when it comes to a node, all readers that take part have sent. It leaves
every node and edge in the state in which the general pass in
:mod:`autodiff.graph.backward` leaves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autodiff.op import OPS

if TYPE_CHECKING:
    from autodiff.backend import Backend
    from autodiff.graph.edge import Edge
    from autodiff.graph.node import Node
    from autodiff.graph.observer import Observer

__all__ = ["Sweep"]


class Sweep:
    """The pass from `root` down.

    order : the nodes below `root` that need a gradient, inputs before readers, and `root` last.
    """

    __slots__ = ("_counts", "_rounds", "_steps", "tensors")

    def __init__(self, root: Node, order: Sequence[Node]) -> None:
        counts: dict[Node, int] = {}
        reached: list[Node] = []
        for node in reversed(order):
            if node is not root and node not in counts:
                continue  # nothing is sent to it: a computed condition, or row numbers
            reached.append(node)
            for x, edge in zip(node.inputs, node._edges, strict=True):
                if edge is not None:
                    counts[x] = counts.get(x, 0) + 1
        left = dict(counts)
        self._steps: list[tuple[Any, ...]] = []
        for node in reached:
            targets: list[tuple[int, Node, Edge, bool, int]] = []
            for position, (x, edge) in enumerate(zip(node.inputs, node._edges, strict=True)):
                if edge is not None:
                    first = left[x] == counts[x]
                    left[x] -= 1
                    targets.append((position, x, edge, first, left[x]))
            if targets:
                # Not the root itself: a node that holds itself would stay when its user
                # lets it go.
                reader = None if node is root else node
                self._steps.append((reader, node.op, node.inputs, node.needed, targets))
        self._counts = list(counts.items())
        self.tensors = [x for x in counts if x.op is None]
        self._rounds: list[int] = []  # of the nodes, after the last run

    def begins_anew(self) -> bool:
        """Whether every node is idle, or was last reached by this sweep.

        Then nothing is half finished, and nothing would be counted twice. If not, the general
        pass must look closer.
        """
        rounds = self._rounds or [-1] * len(self._counts)
        for (x, _), last in zip(self._counts, rounds, strict=True):
            if x._awaited >= 0 and (x._awaited > 0 or x._round != last):
                return False
            if x._unread is not None:
                return False  # a gradient that nobody has read
        return True

    def is_alone(self) -> bool:
        """Whether nobody else may send to these nodes: all their readers take part."""
        for x, count in self._counts:
            if len(x._parents) != count or x._senders is not None:
                return False
        return True

    def run(self, root: Node, gradient: Any, backend: Backend, observer: Observer | None) -> None:
        """Send `gradient` to `root` and everything down from it."""
        add, forward, backward = OPS["add"].bind(), backend.forward, backend.backward
        root._gradient = gradient
        root._round += 1
        for node, op, inputs, needed, targets in self._steps:
            reader = root if node is None else node
            values = [x._value for x in inputs]
            sent = backward(op, reader._gradient, reader._value, values, needed)
            if observer is not None:
                observer.backward(reader, sent)
            for position, x, edge, first, left in targets:
                if first:
                    if observer is not None and x.op is None:
                        observer.begins_sum(x, False)
                    x._gradient = sent[position]
                    x._round += 1
                else:
                    x._gradient = forward(add, (x._gradient, sent[position]))
                edge.round = x._round
                x._awaited = left
        root._awaited = 0
        self._rounds = [x._round for x, _ in self._counts]
