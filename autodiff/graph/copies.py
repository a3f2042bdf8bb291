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
from typing import Any

from autodiff.errors import RecordingError
from autodiff.graph import clock
from autodiff.graph.observer import here
from autodiff.graph.order import ancestors
from autodiff.graph.state import State

__all__ = ["Copies", "stand_in_for"]


class _List(threading.local):
    """The list that is being copied in this thread: where each node stands, and the last met."""

    def __init__(self) -> None:
        self.places: dict[int, int] = {}
        self.last = -1


_list = _List()


class Copies(State):
    """How a node is copied: by pickle and copy, and for the time of a recording."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        below: tuple[Any, ...] = ()
        place = _list.places.get(id(self), -1)
        if place > _list.last:
            _list.last = place
        else:
            nodes = ancestors(self.inputs)
            _list.places = {id(x): i for i, x in enumerate(nodes)}
            _list.last = -1
            below = (*nodes, _EndOfList())
        return type(self).__new__, (type(self),), (below, self._state())

    def _state(self) -> dict[str, Any]:
        if here(self) is not self or self.home is not None:
            raise RecordingError(
                f"{self.describe()} cannot be copied while a step is recorded: the copy would hold "
                "the numbers of this moment; make a Tensor of its value"
            )
        clock.settle()
        fresh = self.stored is not None and all(x.tick <= self.tick for x in self.inputs)
        return {
            "op": self.op,
            "inputs": self.inputs,
            "shape": self.shape,
            "needed": self.needed,
            "name": self.given_name,
            "where": self.where,
            "value": self.stored if fresh else None,
        }

    def __setstate__(self, state: tuple[Any, dict[str, Any]]) -> None:
        fields = state[1]
        op, inputs, shape, needed = (fields[k] for k in ("op", "inputs", "shape", "needed"))
        self.build(op, inputs, shape, needed, None, fields["where"], -1)
        if fields["name"]:
            self.name = fields["name"]
        self.stored = fields["value"]
        if self.stored is not None:
            self.tick = clock.new_epoch()

    def _copy_in_recording(self) -> Any:
        raise NotImplementedError  # each kind of node has its own

    def __copy__(self) -> Any:
        # Its own buffer; the inputs are shared.
        node = here(self)
        if node.home is not None:
            return node._copy_in_recording()
        state = self._state()
        twin = type(self).__new__(type(self))
        value = state["value"]
        own = tuple(map(copy.copy, value)) if isinstance(value, tuple) else copy.copy(value)
        twin.__setstate__(((), {**state, "value": own}))
        return twin


def stand_in_for(node: State, inputs: Sequence[State], home: Any) -> State:
    """A node like `node`, with other inputs, without value and gradients, in a recording."""
    twin = type(node).__new__(type(node))
    twin.build(node.op, tuple(inputs), node.shape, node.needed, home, node.built_by, node.built_at)
    twin.needs_gradient = node.needs_gradient
    twin.serial = node.serial  # it is as old as the node that it stands for
    twin.given_name = node.name
    if node.announced is not None:
        twin.announced = dict.fromkeys(node.announced, -1)
    return twin


class _EndOfList:
    """Stands behind the nodes of a list; copied last, it ends it."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        _list.places = {}
        _list.last = -1
        return tuple, ()
