"""Who takes part in a backward pass, and what the nodes hold once it is over.

Two kinds of pass differ in who waits for whom. In a *whole* pass every node waits for just those
edges that a gradient will come along, so all that it reaches is complete in the end. In a *waiting*
pass, which begins at one node, each waits for all of its living readers and for the outside senders
that were announced; what others still have to send to stays half finished. If nobody else can
send, the second is the first.

A plan is made before anything is computed; it refuses what would be lost or counted twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from autodiff.graph.clock import ticks
from autodiff.graph.observer import Observer
from autodiff.graph.order import reached
from autodiff.graph.state import State
from autodiff.graph.waiting import can_send, half_finished, is_unread, twice, unread

__all__ = ["Waiting", "Whole"]


class Whole:
    """A pass from `roots` through all that they reach.

    What a node reaches never changes. So once a root has its second pass, what it reaches is kept
    with it (without the root: a node that holds itself would stay when its last user lets it go).
    """

    __slots__ = ("_below", "_counts", "_roots")

    def __init__(self, roots: Sequence[State]) -> None:
        self._roots = roots
        if len(roots) == 1 and roots[0].backward_plan is not None:
            self._below, self._counts = roots[0].backward_plan
            return
        self._below, self._counts = reached(roots)
        if len(roots) == 1:
            del self._below[0], self._counts[roots[0]]
            if roots[0].sent:
                roots[0].backward_plan = self._below, self._counts
        else:
            self._roots = ()

    def refuse(self, accumulate: bool) -> None:
        """Raise if a half-finished pass would be mixed in, or a gradient be lost."""
        for x in self.nodes():
            if x.awaited > 0:
                raise half_finished(x)
            if x.unread is not None and not accumulate and is_unread(x):
                raise unread(x)

    def is_alone(self, accumulate: bool) -> bool:
        """Whether nobody but the nodes that it reaches can send to any of them.

        And nothing is half finished, nor has pushed on already what was sent to it.
        """
        (root,) = self._roots
        if root.awaited >= 0 or root.announced is not None or root.sending_edges():
            return False
        last = root.begun
        for x in self._below:
            if x.awaited >= 0 and (x.awaited or (x.begun != last and x.op is not None)):
                return False
            if x.announced is not None or (x.unread is not None and not accumulate):
                return False
            if x.more_edges and self._counts[x] != sum(
                can_send(edge, x) for edge in x.sending_edges()
            ):
                return False
        return True

    def nodes(self) -> Iterable[State]:
        """All that take part."""
        return itertools.chain(self._roots, self._below)

    order = nodes

    def held(self, accumulate: bool, observer: Observer | None) -> dict[State, Any]:
        """What the sums begin with."""
        if observer is not None:
            for x in self.nodes():
                if x.op is None:
                    observer.begins_sum(x, accumulate)
        if not accumulate:
            return {}
        return {x: x.summed for x in self.nodes() if x.op is None and x.awaited == 0}

    def note(self, sums: dict[State, Any]) -> None:
        """All sums are complete."""
        now = next(ticks)
        for x, total in sums.items():
            x.summed = total
            x.begun = x.sent = now
            x.awaited = 0


class Waiting:
    """A pass from `root`, which gets a gradient from outside: as `sender`, or unannounced."""

    __slots__ = ("_accumulate", "_left", "_now", "_pushing", "_root", "_sender")

    def __init__(self, root: State, sender: str | None, accumulate: bool) -> None:
        self._root, self._sender = root, sender
        self._accumulate = accumulate
        self._now = next(ticks)
        self._pushing: list[State] = []
        self._left = {root: root.awaited if root.awaited > 0 else self._begin(root)}
        if sender is not None:
            self._left[root] -= 1  # the gradient from outside is one of those it waits for
        for node in reached((root,))[0]:
            if self._left.get(node, 1) <= 0:
                self._pushing.append(node)
                self._send_from(node)

    def _send_from(self, node: State) -> None:
        """Count the gradients that `node` will send."""
        left = self._left
        for x, edge in zip(node.inputs, node.edges, strict=True):
            if edge is None:
                continue
            if x.awaited > 0:
                if node.sent >= x.begun:
                    raise half_finished(x)
                # Not waited for, so one more: a reader that was made or computed in mid-pass.
                left[x] = left.get(x, x.awaited) + (edge.awaited_in != x.begun)
            elif x not in left:
                if x.awaited == 0:
                    if not self._accumulate and is_unread(x):
                        raise unread(x)
                    if x.op is not None and node.sent < x.begun:
                        raise twice(x)
                left[x] = self._begin(x)
            left[x] -= 1

    def _begin(self, node: State) -> int:
        """How many gradients will come to `node`, whose sum begins with this pass."""
        expected = 0 if node.announced is None else len(node.announced)
        for edge in node.sending_edges():
            if can_send(edge, node):
                edge.awaited_in = self._now
                expected += 1
        return expected

    def nodes(self) -> Iterable[State]:
        """All that something comes to."""
        return list(self._left)

    def order(self) -> Iterable[State]:
        """Those that send, each after all that send to it."""
        return self._pushing

    def held(self, accumulate: bool, observer: Observer | None) -> dict[State, Any]:
        """What the sums begin with."""
        sums = {}
        for x in self._left:
            if x.op is None and x.awaited <= 0 and observer is not None:
                observer.begins_sum(x, accumulate)
            if x.awaited > 0 or (accumulate and x.op is None and x.awaited == 0):
                sums[x] = x.summed
        return sums

    def note(self, sums: dict[State, Any]) -> None:
        """What has come, and how many each still waits for."""
        for x, left in self._left.items():
            x.summed = sums[x]
            if x.awaited <= 0:
                x.begun = self._now
            x.awaited = max(left, 0)
        for node in self._pushing:
            node.sent = self._now
        if self._sender is not None and self._root.announced is not None:
            self._root.announced[self._sender] = self._root.begun
