"""Finding the steps that a loop of the program repeated, for the drawing.

:func:`repeats` gives nodes their places in repetitions. The computed nodes are put in the
order in which they were made. Two stretches of p nodes each are taken for the same step
if, node by node, op, attributes and shapes are equal (of slices, only the shapes), and,
input by input, both read

- the same weight, or something else that was made before the repetition;
- the corresponding node of their own step or of an earlier one;
- tensors that belong to each other one to one, as x[1] and x[2] do; or
- corresponding nodes of steps next to each other in a repetition found before.

So nothing is guessed: what is called a step was compared edge by edge. The first step may
differ in what stands for the step before it. Steps that read tensors of their own, other
than constant ones, must have some weight in common, else they are layers and not steps.

The time is linear: a fixed number of candidates for p (distances at which ops and weights
recur), each compared by whole arrays, and a budget for the comparison edge by edge. So some
repetition may be missed in a large graph, but none is invented.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.graph.node import Node

__all__ = ["Place", "repeats"]


@dataclass(frozen=True)
class Place:
    """Where a node stands in a repetition: node number `role` of step number `step`."""

    repeat: int
    role: int
    step: int


def repeats(order: Sequence[Node]) -> tuple[dict[Node, Place], list[int]]:
    """Places of the nodes in repetitions, and how often each repetition repeats."""
    finder = _Finder(order)
    while finder.find_one():
        pass
    return finder.places, finder.counts


class _Finder:
    """Finds repetitions, the one that saves most boxes first."""

    N_CANDIDATES = 16  # distances of each sort that are tried
    N_STRETCHES = 8  # of nodes alike at one distance, the longest ones
    MAX_REPEATS = 32

    def __init__(self, order: Sequence[Node]) -> None:
        self.nodes = sorted((n for n in order if n.op is not None), key=lambda n: n.serial)
        self.position = {node: i for i, node in enumerate(self.nodes)}
        self.places: dict[Node, Place] = {}
        self.counts: list[int] = []
        self.budget = 10 * len(self.nodes) + 1000
        numbers: dict[Any, int] = {}
        self.kinds = np.array(
            [numbers.setdefault(_kind(n), len(numbers)) for n in self.nodes], dtype=np.int64
        )
        last: dict[Node, int] = {}
        distances: Counter[int] = Counter()  # between two reads of the same tensor
        for i, node in enumerate(self.nodes):
            for x in node.inputs:
                if x.op is None:
                    distances[i - last.get(x, i)] += 1
                    last[x] = i
        del distances[0]
        self.read_distances = [d for d, _ in distances.most_common(self.N_CANDIDATES)]

    def find_one(self) -> bool:
        """Find one repetition and give places to its nodes."""
        stretches = []
        for p in self._distances():
            alike = self.kinds[p:] == self.kinds[:-p]
            ends = np.flatnonzero(np.diff(np.concatenate(([0], alike.view(np.int8), [0]))))
            starts, ends = ends[::2], ends[1::2]
            for k in np.argsort(starts - ends, kind="stable")[: self.N_STRETCHES]:
                stretches.append((int(ends[k] - starts[k]), -p, int(starts[k])))
        best: tuple[int, _Match] | None = None
        for saved, minus_p, start in sorted(stretches, reverse=True):
            p = -minus_p
            if self.budget <= 0 or saved < p or (best is not None and best[0] >= saved):
                continue
            self.budget -= saved
            match = self._compare(p, start + p, start + p + saved)
            if match is not None and (best is None or match.saved > best[0]):
                best = match.saved, match
        if best is None or len(self.counts) == self.MAX_REPEATS:
            return False
        self._accept(best[1])
        return True

    def _distances(self) -> set[int]:
        """At which distances kinds, runs of four kinds, and reads of a tensor recur."""
        n = len(self.kinds)
        found: list[int] = []
        fours = self.kinds.copy()
        for k in range(1, min(4, n)):
            fours[: n - k] = fours[: n - k] * 1_000_003 + self.kinds[k:]
        for kinds in (self.kinds, fours):
            where = np.argsort(kinds, kind="stable")
            steps = np.diff(where)[np.diff(kinds[where]) == 0]
            found += [d for d, _ in Counter(steps.tolist()).most_common(self.N_CANDIDATES)]
        return {d for d in (*found, *self.read_distances) if 0 < d < n}

    def _compare(self, p: int, start: int, end: int) -> _Match | None:
        """The best repetition in which each node of start ... end is like the one p before."""
        runs, begin = [], start
        for i in range(start, end):
            if not all(self._alike(u, v, p) for u, v in self._pairs(i, p)):
                runs.append((i - begin, begin, i))
                begin = i + 1
        runs.append((end - begin, begin, end))
        best = None
        for _, begin, stop in sorted(runs, reverse=True)[:3]:
            first = self._first(p, start, begin, stop)
            match = _Match(self, p, first, (stop - first) // p)
            if match.holds() and (best is None or match.saved > best.saved):
                best = match
        return best

    def _pairs(self, i: int, p: int) -> Iterator[tuple[Node, Node]]:
        """What node i - p and node i read, input by input."""
        return zip(self.nodes[i - p].inputs, self.nodes[i].inputs, strict=True)

    def _is_free(self, node: Node) -> bool:
        return node.op is not None and node not in self.places

    def _alike(self, u: Node, v: Node, p: int) -> bool:
        """Whether u and v may correspond, as far as one can see from the two."""
        if self._is_free(u) and self._is_free(v):
            return u is v or self.position[v] - self.position[u] == p
        return (u in self.places) == (v in self.places) and (u.op is None) == (v.op is None)

    def _first(self, p: int, lowest: int, begin: int, end: int) -> int:
        """Where the first step may begin, if all of begin ... end is alike.

        The first step may read something else in place of the step before it. So nodes of
        the second step that read a node v of the first are taken in too: those of the
        first read some u that was made before.
        """
        low = 0  # what was made before, and steps of what is read, must not reach into it
        for i in range(begin, end):
            low = max([low, *(self.position[v] + 1 for u, v in self._pairs(i, p)
                              if u is v and self._is_free(v))])  # fmt: skip
        first = max(begin - p, low)
        for i in range(begin - 1, lowest - 1, -1):
            for u, v in self._pairs(i, p):
                if self._is_free(v) and not self._alike(u, v, p):
                    made = self.position[u] + 1 if self._is_free(u) else 0
                    low = max(low, self.position[v] - p + 1, made)
                elif not self._alike(u, v, p):
                    return first
            if i - p < low:
                return first
            first = i - p
        return first

    def _accept(self, match: _Match) -> None:
        repeat, p = len(self.counts), match.p
        self.counts.append(match.count)
        for i in range(match.first, match.first + match.count * p):
            step, role = divmod(i - match.first, p)
            self.places[self.nodes[i]] = Place(repeat, role, step)
            self.kinds[i] = -1 - i  # like no other
        for role, chain in enumerate(match.chains):
            for step, tensor in enumerate(chain):
                self.places[tensor] = Place(repeat, p + role, step)


def _kind(node: Node) -> Any:
    assert node.op is not None
    # Each step reads a part of its own; which one is no difference of kind.
    op = node.op.name if node.op.op.sparse else node.op.key()
    return op, node.shape, tuple(x.shape for x in node.inputs)


class _Match:
    """Steps of p nodes each, one after the other from node number `first` on."""

    def __init__(self, finder: _Finder, p: int, first: int, count: int) -> None:
        self.finder = finder
        self.p = p
        self.first = first
        self.count = count
        self.chains: list[list[Node]] = []

    @property
    def saved(self) -> int:
        """How many boxes fewer."""
        return self.p * (self.count - 1)

    def holds(self) -> bool:
        """Whether the steps really correspond, node by node and input by input.

        The search only proposes; this decides.
        """
        if self.count < 2:
            return False
        nodes, places, position = self.finder.nodes, self.finder.places, self.finder.position
        end = self.first + self.count * self.p
        began: dict[Node, Node] = {}
        shared: set[Node] = set()
        following: dict[Node, Node] = {}
        for i in range(self.first + self.p, end):
            for u, v in zip(nodes[i - self.p].inputs, nodes[i].inputs, strict=True):
                a, b = places.get(u), places.get(v)
                q = position[v] if v.op is not None and b is None else -1
                if u is v:
                    ok = q < self.first
                    shared.add(u)
                elif q >= self.first:
                    same = u.op is not None and a is None and q - position[u] == self.p
                    ok = same or (q < self.first + self.p and began.setdefault(v, u) is u)
                    if not same and u.op is not None and a is None:
                        ok = ok and position[u] < self.first
                elif a is not None and b is not None:
                    ok = (a.repeat, a.role) == (b.repeat, b.role) and abs(a.step - b.step) == 1
                else:
                    ok = u.op is None and v.op is None and a is None and b is None
                    ok = ok and u.needs_gradient == v.needs_gradient
                    ok = ok and following.setdefault(u, v) is v
                if not ok:
                    return False
        if len(set(following.values())) != len(following):
            return False  # two for one; and chains could run into a circle
        self.chains = _chains(following)
        no_circles = sum(len(chain) - 1 for chain in self.chains) == len(following)
        own = any(x.needs_gradient for x in following)
        weights = any(x.needs_gradient and x.op is None for x in shared)
        return (
            no_circles
            and shared.isdisjoint(x for chain in self.chains for x in chain)
            and (weights or not own)
        )


def _chains(following: dict[Node, Node]) -> list[list[Node]]:
    """The tensors of which each step reads its own, from the first step to the last."""
    found = []
    for x in following.keys() - set(following.values()):
        chain = [x]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        found.append(chain)
    return sorted(found, key=lambda chain: chain[0].serial)
