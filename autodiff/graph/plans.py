"""Who takes part in a backward pass, and what the nodes hold once it is over.

Two kinds of pass differ in who waits for whom. In a *whole* pass every node waits for just those
edges that a gradient will come along, so all that it reaches is complete in the end. In a *waiting*
pass, which begins at one node, each waits for all of its living readers and for the outside senders
that were announced; what others still have to send to stays half finished. If nobody else can
send, the second is the first.

A plan is made before anything is computed; it refuses what would be lost or counted twice.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from autodiff.graph.clock import ticks
from autodiff.graph.observer import Observer
from autodiff.graph.order import reached
from autodiff.graph.state import OutsideReader, State
from autodiff.graph.waiting import can_send, half_finished, is_unread, twice, unread

__all__ = ["Waiting", "Whole"]


class Whole:
    """A pass from `roots` through all that they reach.

    What a node reaches never changes. So once a root has its second pass, what it reaches is kept
    with it (without the root: a node that holds itself would stay when its last user lets it go).
    """

    __slots__ = ("_below", "_checked", "_reached", "_roots", "_tensors")

    def __init__(self, roots: Sequence[State]) -> None:
        self._roots = roots
        root = roots[0] if len(roots) == 1 else None
        kept = None if root is None else root.backward_plan
        if kept is None:
            below, found = reached(roots)
            tensors = [x for x in below if x.op is None]
            kept = below, found, tensors, {}
            if root is None:
                self._roots = ()
            else:
                del below[0]
                found.discard(root)
                if root.sent and root.op is not None:
                    root.backward_plan = kept
        self._below: list[State] = kept[0]
        self._reached: set[State] = kept[1]
        self._tensors: list[State] = kept[2]
        # The last reader of each that was found to take part, as all before it, or to send nothing.
        self._checked: dict[State, Any] = kept[3]

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
        if root.awaited >= 0 or root.announced is not None or self._others_send_to(root):
            return False
        last = root.begun
        for x in self._below:
            if x.awaited >= 0 and (x.awaited or (x.begun != last and x.op is not None)):
                return False
            if x.announced is not None or (x.unread is not None and not accumulate):
                return False
            more = x.more_readers
            if more and self._checked.get(x) is not more[-1] and self._others_send_to(x):
                return False
        return True

    def _others_send_to(self, x: State) -> bool:
        """Whether anybody who takes no part can send to `x`."""
        (root,) = self._roots
        listed = [x.first_reader, *(x.more_readers or ())]
        for one in listed:
            reader = None if one is None else one()
            if reader is None or reader in self._reached or reader is root:
                continue
            if isinstance(one, OutsideReader) or reader.sends_to(x):
                if can_send(reader, x):
                    return True
                listed[-1] = None  # it may send once it is computed: to be checked again
        if x is not root:
            self._checked[x] = listed[-1]
        return False

    def nodes(self) -> Iterable[State]:
        """All that take part."""
        return itertools.chain(self._roots, self._below)

    order = nodes

    def held(self, accumulate: bool, observer: Observer | None) -> dict[State, Any]:
        """What the sums begin with."""
        if observer is not None:
            for x in self._tensors:
                observer.begins_sum(x, accumulate)
        if not accumulate:
            return {}
        return {x: x.summed for x in self._tensors if x.awaited == 0}

    def note(self, sums: dict[State, Any]) -> Sequence[State]:
        """All sums are complete. Returns those of them that are of tensors."""
        now = next(ticks)
        for x, total in sums.items():
            x.summed = total
            x.begun = x.sent = now
            x.awaited = 0
        return self._tensors


class Waiting:
    """A pass from `root`, which gets a gradient from outside: as `sender`, or unannounced."""

    __slots__ = ("_accumulate", "_awaits", "_left", "_pushing", "_root", "_sender", "_uses")

    def __init__(self, root: State, sender: str | None, accumulate: bool) -> None:
        self._root, self._sender = root, sender
        self._accumulate = accumulate
        self._pushing: list[State] = []
        self._uses: dict[State, dict[State, int]] = {}
        self._awaits: dict[State, set[int]] = {}  # of the nodes whose sums begin
        self._left = {root: root.awaited if root.awaited > 0 else self._begin(root)}
        if sender is not None:
            self._left[root] -= 1  # the gradient from outside is one of those it waits for
        coming = [(-root.serial, root)]  # the youngest first: nothing more will be sent to it
        while coming:
            _, node = heapq.heappop(coming)
            if self._left[node] <= 0:
                self._pushing.append(node)
                for x in self._send_from(node):
                    heapq.heappush(coming, (-x.serial, x))

    def _send_from(self, node: State) -> list[State]:
        """Count the gradients that `node` will send; returns to whom it is the first to do so."""
        left = self._left
        first: list[State] = []
        for x, n_uses in self._uses_by(node).items():
            if x not in left:
                first.append(x)
            if x.awaited > 0:
                if node.has_sent_to(x):
                    raise half_finished(x)
                left.setdefault(x, x.awaited)
                if x.awaits is None or node.serial not in x.awaits:
                    left[x] += n_uses  # more than it waits for: made or computed in mid-pass
            elif x not in left:
                if x.awaited == 0:
                    if not self._accumulate and is_unread(x):
                        raise unread(x)
                    if x.op is not None and not node.has_sent_to(x):
                        raise twice(x)
                left[x] = self._begin(x)
            left[x] -= n_uses
        return first

    def _uses_by(self, reader: State) -> dict[State, int]:
        """How many gradients `reader` sends to each node."""
        uses = self._uses.get(reader)
        if uses is None:
            uses = self._uses[reader] = {}
            for x, wanted in zip(reader.inputs, reader.needed, strict=True):
                if wanted:
                    uses[x] = uses.get(x, 0) + 1
        return uses

    def _begin(self, node: State) -> int:
        """How many gradients will come to `node`, whose sum begins with this pass."""
        coming = [(reader, self._uses_by(reader).get(node, 0)) for reader in node.readers()]
        coming += [(reader, 1) for reader, _ in node.outside_readers()]
        root = self._root
        coming = [(r, n) for r, n in coming if n and (r is root or can_send(r, node))]
        self._awaits[node] = {reader.serial for reader, _ in coming}
        return len(node.announced or ()) + sum(n for _, n in coming)

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

    def note(self, sums: dict[State, Any]) -> Sequence[State]:
        """What has come, and how many each waits for. Returns the tensors that are complete."""
        now = next(ticks)
        for x, left in self._left.items():
            x.summed = sums[x]
            if x in self._awaits:
                x.begun = now
                x.awaits = self._awaits[x]
            x.awaited = max(left, 0)
        for node in self._pushing:
            node.sent = now
        if self._sender is not None and self._root.announced is not None:
            self._root.announced[self._sender] = self._root.begun
        return [x for x in self._left if x.op is None and x.awaited == 0]
