"""Pickle, deepcopy and copy of nodes.

Pickle and deepcopy recurse from object to object. So that a long chain does not overflow the
stack, the first node that they meet hands them everything below it as one list, inputs
first; the nodes in that list then find their inputs done.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from autodiff import graph

if TYPE_CHECKING:
    from autodiff.node import Node

__all__ = ["Copies"]

_copying = threading.local()


class Copies:
    """How a node is copied. Subclasses have ``_state`` and ``__setstate__``."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        node = cast("Node", self)
        listed: set[int] = _copying.__dict__.setdefault("listed", set())
        if id(self) in listed:
            below: tuple[Any, ...] = ()
        else:
            listed.clear()  # left over from a copy that failed
            nodes = graph.ancestors(node.inputs)
            listed.update(map(id, nodes))
            below = (*nodes, _EndOfList(nodes))
        return type(self).__new__, (type(self),), (below, node._state())

    def __copy__(self) -> Node:
        # Its own buffer; the inputs are shared.
        state = cast("Node", self)._state()
        twin = cast("Node", type(self).__new__(type(self)))
        twin.__setstate__(((), {**state, "value": copy.copy(state["value"])}))
        return twin


class _EndOfList:
    """Stands behind the nodes of one list; copied last, it takes the list back."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        _copying.listed.difference_update(map(id, self.nodes))
        return tuple, ()
