"""The forward pass.

Nothing here recurses, and every walk is linear in the number of edges.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from autodiff.backend import Backend, get_backend
from autodiff.errors import IndexRangeError, MatrixError, StaleValueError, UnassignedError
from autodiff.graph import clock
from autodiff.graph.clock import settle, ticks
from autodiff.graph.observer import Observer, current_observer
from autodiff.graph.order import ancestors
from autodiff.graph.state import State

__all__ = ["executor", "forward", "require_fresh", "values_of"]

_stored, _serial = attrgetter("stored"), attrgetter("serial")


def values_of(nodes: tuple[State, ...]) -> tuple[Any, ...]:
    """The values of some nodes, as a back end takes them.

    The passes do without the call where there are one or two: that would be a twentieth of all.
    """
    return tuple(map(_stored, nodes))


def forward(root: State, backend: str | Backend | None = None) -> None:
    """Compute `root` and whatever it needs that is missing or stale.

    Raises
    ------
    UnassignedError
        If a tensor below has no value; nothing has been computed then.
    """
    settle()
    epoch = clock.epoch
    if root.fresh_in is epoch:
        return
    observer = current_observer()
    run = executor(backend, observer).forward
    tick = next(ticks)
    for node in itertools.chain(_plan(root, epoch), (root,)):
        age = node.tick
        for x in node.inputs:
            if x.tick > age:
                inputs = node.inputs
                n = len(inputs)
                if n == 2:
                    values: tuple[Any, ...] = inputs[0].stored, inputs[1].stored
                else:
                    values = (x.stored,) if n == 1 else values_of(inputs)
                try:
                    value = run(node.op, values)  # type: ignore[arg-type]
                except (IndexRangeError, MatrixError) as error:  # found only now, by the numbers
                    raise type(error)(f"{error} ({node.describe()})") from None
                if observer is not None:
                    observer.forward(node, value)
                # The tick last: if Ctrl-C comes between, the node is computed again.
                node.awaited = -1
                node.summed = None
                node.stored = value
                node.tick = tick
                break
        node.fresh_in = epoch


def executor(backend: str | Backend | None, observer: Observer | None) -> Backend:
    """Who computes: a recording, whatever back end was asked for, or that back end."""
    if observer is not None and observer.backend is not None:
        return observer.backend
    return get_backend(backend)


def _plan(root: State, epoch: object) -> Sequence[State]:
    """The computed nodes below `root` that are not known to be fresh, in order.

    It is kept with the root: a graph never changes below a node. (The root itself is not
    in it: a node that holds itself would stay when its last user lets it go.) What the walk
    left out because it was fresh must be fresh next time too, else the walk is repeated.
    So all kept plans together are not larger than the graph, however many roots it has.
    """
    if root.forward_plan is not None:
        order, left_out = root.forward_plan
        for node in left_out:
            if node.fresh_in is not epoch:
                break
        else:
            return order
    order, seen, fresh = [root], {root}, []
    for node in order:  # which grows meanwhile
        for x in node.inputs:
            if x in seen:
                continue
            seen.add(x)
            if x.op is None:
                if x.stored is None:
                    raise _unassigned(x)
            elif x.fresh_in is epoch:
                fresh.append(x)
            else:
                order.append(x)
    order.sort(key=_serial)
    order.pop()
    root.forward_plan = order, fresh
    return order


def _unassigned(tensor: State) -> UnassignedError:
    return UnassignedError(f"{tensor.describe()} was never assigned a value; call assign()")


def require_fresh(root: State, backend: str | Backend | None = None) -> None:
    """See to it that `root` and all below it have values of the present tensors."""
    settle()
    epoch = clock.epoch
    if root.fresh_in is epoch:
        return
    if root.stored is None:
        if root.op is None:
            raise _unassigned(root)
        forward(root, backend)
        return
    walked = ancestors((root,), lambda node: node.fresh_in is not epoch and node.op is not None)
    for node in walked:
        for x in node.inputs:
            if x.tick > node.tick or x.stored is None:
                raise StaleValueError(
                    f"backward from {root.describe()}: the value of {node.describe()} is older "
                    f"than its input {x.describe()}; call forward() after assign()"
                )
    for node in walked:
        node.fresh_in = epoch
