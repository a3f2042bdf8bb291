"""Pickle, deepcopy and copy of nodes.

Pickle and deepcopy recurse from object to object. So that a long chain does not overflow the
stack, the first node that they meet hands them everything below it as one list, inputs
first; the nodes in that list, which come in this order, then find their inputs done. A node
that comes out of order belongs to no list: the copy that it was made for has failed.
"""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any, cast

from autodiff import graph

if TYPE_CHECKING:
    from autodiff.node import Node

__all__ = ["Copies"]


class _List(threading.local):
    """The list that is being copied in this thread: where each node stands, and the last met."""

    def __init__(self) -> None:
        self.places: dict[int, int] = {}
        self.last = -1


_list = _List()


class Copies:
    """How a node is copied. Subclasses have ``_state`` and ``__setstate__``."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        node = cast("Node", self)
        below: tuple[Any, ...] = ()
        place = _list.places.get(id(self), -1)
        if place > _list.last:
            _list.last = place
        else:
            nodes = graph.ancestors(node.inputs)
            _list.places = {id(x): i for i, x in enumerate(nodes)}
            _list.last = -1
            below = (*nodes, _EndOfList())
        return type(self).__new__, (type(self),), (below, node._state())

    def __copy__(self) -> Node:
        # Its own buffer; the inputs are shared.
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
