"""The order of a graph: inputs before readers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autodiff.graph.node import Node

__all__ = ["ancestors"]


def ancestors(roots: Iterable[Node], follow: Callable[[Node], bool] | None = None) -> list[Node]:
    """`roots` and all nodes they are computed from, inputs before readers.

    `follow` says of a node whether to go into its inputs, and to list it at all.
    """
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, inputs_done = stack.pop()
        if inputs_done:
            order.append(node)
        elif node not in seen and (follow is None or follow(node)):
            seen.add(node)
            stack.append((node, True))
            stack.extend((x, False) for x in reversed(node.inputs) if x not in seen)
    return order
