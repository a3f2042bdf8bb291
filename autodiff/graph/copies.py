"""Pickle, deepcopy and copy of nodes.

Pickle and deepcopy recurse from object to object. So that a long chain does not overflow the
stack, the first node that they meet hands them everything below it as one list, inputs
first; the nodes in that list, which come in this order, then find their inputs done. A node
that comes out of order belongs to no list: the copy that it was made for has failed.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from autodiff.errors import RecordingError
from autodiff.graph import clock
from autodiff.graph.observer import here
from autodiff.graph.order import ancestors

if TYPE_CHECKING:
    from autodiff.graph.node import Node

__all__ = ["Copies"]


class _List(threading.local):
    """The list that is being copied in this thread: where each node stands, and the last met."""

    def __init__(self) -> None:
        self.places: dict[int, int] = {}
        self.last = -1


_list = _List()


class Copies:
    """How a node is copied: by pickle and copy, and for the time of a recording."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        node = cast("Node", self)
        below: tuple[Any, ...] = ()
        place = _list.places.get(id(self), -1)
        if place > _list.last:
            _list.last = place
        else:
            nodes = ancestors(node.inputs)
            _list.places = {id(x): i for i, x in enumerate(nodes)}
            _list.last = -1
            below = (*nodes, _EndOfList())
        return type(self).__new__, (type(self),), (below, node._state())

    def _state(self) -> dict[str, Any]:
        node = cast("Node", self)
        if here(node) is not node or node._home is not None:
            raise RecordingError(
                f"{node.describe()} cannot be copied while a step is recorded: the copy would hold "
                "the numbers of this moment; make a Tensor of its value"
            )
        clock.settle()
        fresh = node._value is not None and all(x._tick <= node._tick for x in node.inputs)
        return {
            "op": node.op,
            "inputs": node.inputs,
            "shape": node.shape,
            "needed": node.needed,
            "name": node._name,
            "where": node.where,
            "value": node._value if fresh else None,
        }

    def __setstate__(self, state: tuple[Any, dict[str, Any]]) -> None:
        node, fields = cast("Node", self), state[1]
        node.where = fields["where"]
        node._home = None
        node._set_up(*(fields[k] for k in ("op", "inputs", "shape", "needed", "name")))
        node._value = fields["value"]
        if node._value is not None:
            node._tick = clock.new_epoch()

    def _stand_in(self, inputs: Sequence[Node], home: Any) -> Node:
        """A node like this one, with other inputs, without value and gradients, in a recording."""
        node = cast("Node", self)
        twin = type(node).__new__(type(node))
        twin.where = node.where
        twin._home = home
        twin._set_up(node.op, tuple(inputs), node.shape, node.needed, None)
        twin.needs_gradient = node.needs_gradient
        twin._name = node.name
        if node._senders is not None:
            twin._senders = dict.fromkeys(node._senders, -1)
        return twin

    def __copy__(self) -> Node:
        # Its own buffer; the inputs are shared.
        node = here(cast("Node", self))
        if node._home is not None:
            return node._copy_in_recording()
        state = cast("Node", self)._state()
        twin = cast("Node", type(self).__new__(type(self)))
        twin.__setstate__(((), {**state, "value": copy.copy(state["value"])}))
        return twin


class _EndOfList:
    """Stands behind the nodes of a list; copied last, it ends it."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        _list.places = {}
        _list.last = -1
        return tuple, ()
