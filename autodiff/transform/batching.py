"""A graph computed for a whole batch: each op by its batch rule.

What a batch does to a function is said of its graph, not of its values: nodes that depend on what
differs from element to element are built once more, with one axis in front; all others are shared
by all elements, and so computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autodiff.graph.lines import line_of_user
from autodiff.graph.node import Node, Tensor, lift
from autodiff.graph.observer import current_observer
from autodiff.graph.order import ancestors
from autodiff.op import OUTPUT_OF
from autodiff.ops.batches import batch_rule
from autodiff.ops.shape import broadcast_to

__all__ = ["batched", "identity_batch", "one_of_each", "placeholder"]


def placeholder(shape: tuple[int, ...], name: str | None = None) -> Tensor:
    """A tensor without numbers, that stands for one element; in a recording, one of its own."""
    observer = current_observer()
    made = Tensor.__new__(Tensor)
    made.build(None, (), shape, (), None if observer is None else observer.home, *line_of_user())
    made.needs_gradient = True
    if name:
        made.name = name
    return made


def batched(outputs: Sequence[Node], batches: Mapping[Node, Any]) -> list[tuple[Node, bool]]:
    """Each output for all elements of a batch, and whether it has the axis of the batch.

    It has not, and is the node that it was, if it is the same for all elements.

    batches : for each placeholder what it stands for in all elements, along one more first axis.
    """
    found: dict[Node, Any] = {x: lift(batch) for x, batch in batches.items()}
    for node in ancestors(outputs):
        if node in found or node.op is None:
            continue
        carries = [x in found for x in node.inputs]
        if True not in carries:
            continue
        operands: list[Any] = [
            found[x] if c else x for x, c in zip(node.inputs, carries, strict=True)
        ]
        if node.op.op is OUTPUT_OF:
            found[node] = operands[0][node.op.attributes["number"]]
        else:
            found[node] = batch_rule(node.op.op)(node.op, operands, carries)
    return [(found[y], True) if y in found else (y, False) for y in outputs]


def one_of_each(y: Node, carried: bool, n: int) -> Any:
    """What :func:`batched` gives, with the axis of the batch in any case."""
    return y if carried else broadcast_to(y, (n, *y.shape))


def identity_batch(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """All arrays of `shape` that are 1 in one place and 0 in the others, along a first axis."""
    n = int(np.prod(shape, dtype=np.intp))
    return np.eye(n).reshape(n, *shape)
