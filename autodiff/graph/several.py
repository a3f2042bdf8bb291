"""Ops with several outputs, as the passes see them.

One node, the *hub*, holds the op: its shape is a tuple of shapes, its value a tuple of values. Each
output is an ordinary node of the op `output`, with the hub as its input. So an output waits for its
readers and the hub for its outputs, as any node does, and neither walk nor plans know of them. The
gradient of a hub is a tuple with a place for each output, None where nothing has come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autodiff.graph.state import State
from autodiff.op import OUTPUT_OF

__all__ = ["is_hub", "is_idle", "parts_of", "together"]


def is_hub(node: State) -> bool:
    """Whether `node` is what computes several outputs."""
    return node.op is not None and node.op.op.several


def is_idle(reader: State) -> bool:
    """Whether `reader` is an output that nobody uses: no gradient comes along it.

    Who wants the one output of two is given both, and may hold both.
    """
    unused = reader.op is not None and reader.op.op is OUTPUT_OF and not reader.announced
    return unused and not reader.uses(wanted=True)


def together(x: Any, y: Any, add: Callable[[Any, Any], Any]) -> tuple[Any, ...]:
    """The sum of two gradients of a hub, place by place."""
    return tuple(
        [b if a is None else a if b is None else add(a, b) for a, b in zip(x, y, strict=True)]
    )


def parts_of(node: State, value: Any) -> list[tuple[str, Any]]:
    """A value or gradient of `node` in parts that are arrays, each with what to call it after.

    That is nothing, unless `node` is a hub.
    """
    if not is_hub(node):
        return [("", value)]
    assert node.op is not None
    named = zip(node.op.op.outputs, value, strict=True)
    return [(f" for its output {name}", part) for name, part in named if part is not None]
