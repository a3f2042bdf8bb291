"""The walk backwards: the only one there is.

It knows neither who waits nor what a gradient is. Who takes part, and in which order, was worked
out before (:mod:`autodiff.graph.plans`, :mod:`autodiff.graph.differentiate`); gradients are arrays,
recorded values or nodes, as whoever calls makes them. And it changes nothing but the dictionary
that it is given: what nodes hold is the caller's business, once the walk has come to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from autodiff.graph.state import State

__all__ = ["walk_back"]

StateT = TypeVar("StateT", bound=State)


def walk_back(
    order: Iterable[StateT],
    sums: dict[StateT, Any],
    gradients_of: Callable[[StateT, Any], Sequence[Any]],
    add: Callable[[Any, Any], Any],
) -> None:
    """Sum what comes to each node, and send it on to the node's inputs.

    Parameters
    ----------
    order : the nodes that send, each after all that send to it.
    sums : what has come to each node before; in the end, what has come to it in all.
    gradients_of : of a node and what has come to it, what it sends to each of its inputs; None:
        nothing.
    add : the sum of two gradients.
    """
    for node in order:
        if node.op is None:
            continue
        for x, term in zip(node.inputs, gradients_of(node, sums[node])):  # noqa: B905
            if term is not None:
                sums[x] = add(sums[x], term) if x in sums else term
