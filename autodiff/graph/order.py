"""The order of a graph: inputs before readers, or the other way round.

A node is younger than its inputs. So the numbers that nodes have are an order, and sorting by them
takes less time than looking for another; most of what is to be sorted lies in order already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TypeVar

from autodiff.graph.state import State

__all__ = ["ancestors", "reached"]

StateT = TypeVar("StateT", bound=State)

_serial = attrgetter("serial")


def ancestors(
    roots: Iterable[StateT], follow: Callable[[StateT], bool] | None = None
) -> list[StateT]:
    """`roots` and all nodes they are computed from, inputs before readers.

    `follow` says of a node whether to go into its inputs, and to list it at all.
    """
    found = dict.fromkeys(roots)
    seen = set(found)
    order = [x for x in found if follow is None or follow(x)]
    for node in order:  # which grows meanwhile
        for x in node.inputs:
            if x not in seen:
                seen.add(x)
                if follow is None or follow(x):
                    order.append(x)
    order.sort(key=_serial)
    return order


def reached(roots: Iterable[StateT]) -> tuple[list[StateT], set[StateT]]:
    """The nodes that gradients of `roots` come to, readers before inputs; and as a set.

    Nothing comes to a computed condition, or to row numbers.
    """
    order = list(roots)
    found = set(order)
    for node in order:  # which grows meanwhile
        needed = node.needed
        for i, x in enumerate(node.inputs):
            if needed[i] and x not in found:
                found.add(x)
                order.append(x)
    order.sort(key=_serial, reverse=True)
    return order, found
