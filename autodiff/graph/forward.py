"""The forward pass.

Nothing here recurses, and every walk is linear in the number of edges.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autodiff.backend import Backend, get_backend
from autodiff.errors import IndexRangeError, StaleValueError, UnassignedError
from autodiff.graph import clock
from autodiff.graph.clock import settle, ticks
from autodiff.graph.observer import Observer, current_observer
from autodiff.graph.order import ancestors

if TYPE_CHECKING:
    from autodiff.graph.node import Node

__all__ = ["executor", "forward", "require_fresh"]


def forward(root: Node, backend: str | Backend | None = None) -> None:
    """Compute `root` and whatever it needs that is missing or stale.

    Raises
    ------
    UnassignedError
        If a tensor below has no value; nothing has been computed then.
    """
    settle()
    epoch = clock.epoch
    if root._checked is epoch:
        return
    observer = current_observer()
    run = executor(backend, observer).forward
    tick = next(ticks)
    for node in itertools.chain(_plan(root, epoch), (root,)):
        age = node._tick
        for x in node.inputs:
            if x._tick > age:
                try:
                    value = run(node.op, [x._value for x in node.inputs])  # type: ignore[arg-type]
                except IndexRangeError as error:  # found only now: rows by number
                    raise IndexRangeError(f"{error} ({node.describe()})") from None
                if observer is not None:
                    observer.forward(node, value)
                # The tick last: if Ctrl-C comes between, the node is computed again.
                node._awaited = -1
                node._gradient = None
                node._value = value
                node._tick = tick
                break
        node._checked = epoch


def executor(backend: str | Backend | None, observer: Observer | None) -> Backend:
    """Who computes: a recording, whatever back end was asked for, or that back end."""
    if observer is not None and observer.backend is not None:
        return observer.backend
    return get_backend(backend)


def _plan(root: Node, epoch: object) -> Sequence[Node]:
    """The computed nodes below `root` that are not known to be fresh, in order.

    It is kept with the root: a graph never changes below a node. (The root itself is not
    in it: a node that holds itself would stay when its last user lets it go.) What the walk
    left out because it was fresh must be fresh next time too, else the walk is repeated.
    So all kept plans together are not larger than the graph, however many roots it has.
    """
    if root._plan is not None:
        order, left_out = root._plan
        if all(node._checked is epoch for node in left_out):
            return order
    fresh: list[Node] = []

    def follow(node: Node) -> bool:
        if node._checked is epoch:
            fresh.append(node)
            return False
        if node.op is None and node._value is None:
            raise UnassignedError(f"{node.describe()} was never assigned a value; call assign()")
        return node.op is not None

    order = ancestors([root], follow)
    order.pop()
    root._plan = order, fresh
    return order


def require_fresh(root: Node, backend: str | Backend | None) -> None:
    """See to it that `root` and all below it have values of the present tensors."""
    settle()
    epoch = clock.epoch
    if root._checked is epoch:
        return
    if root._value is None:
        forward(root, backend)
        return
    walked = ancestors([root], lambda node: node._checked is not epoch and node.op is not None)
    for node in walked:
        for x in node.inputs:
            if x._tick > node._tick or x._value is None:
                raise StaleValueError(
                    f"backward from {root.describe()}: the value of {node.describe()} is older "
                    f"than its input {x.describe()}; call forward() after assign()"
                )
    for node in walked:
        node._checked = epoch
