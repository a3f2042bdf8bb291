"""Making nodes quickly: what :class:`autodiff.Node` does, in the usual cases.

A graph that is built anew in every step is built by these functions. They take what is exactly a
node, a tensor, a Python number or an array of float64, outside recordings, if the shapes fit; for
anything else they return None, and the general way, which calls the class, says what is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff import apply
from autodiff.array import aligned_copy, is_float64
from autodiff.errors import ShapeError
from autodiff.graph.clock import ticks
from autodiff.graph.observer import in_force
from autodiff.graph.place import OURS
from autodiff.graph.state import State, TensorState
from autodiff.op import BoundOp

__all__ = ["needed_of", "register"]

_observer = in_force.get
_frame = sys._getframe
_NODES: dict[type, bool] = {}
_classes: list[Any] = []
_EXACT = 2**53  # integers below are floats, too


def register(node: type[State], tensor: type[TensorState]) -> None:
    """These are the classes of nodes; no subclass is made or taken here."""
    _classes[:] = node, tensor
    for kind in (node, tensor):
        _NODES[kind] = True
        apply.MAKERS_OF_ONE[kind] = of_one
        apply.MAKERS_OF_TWO[kind] = of_two
        apply.MAKERS[kind] = of_several


def of_one(bound: BoundOp, x: Any) -> Any:
    """The node of an op of one input; called by what the user has called."""
    if x.home is not None or _observer() is not None:
        return None
    op = bound.op
    shape = x.shape
    if not op.elementwise:
        try:
            shape = bound.shape(shape)
        except ShapeError:
            return None
    frame = _frame(2)
    while OURS[frame.f_code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
    node = _new(_classes[0])
    needed = (x.needs_gradient and op.backward[0] is not None,)
    node.build(bound, (x,), shape, needed, None, frame.f_code, frame.f_lasti)
    return node


def of_two(bound: BoundOp, x: Any, y: Any) -> Any:
    """The node of an op of two inputs; called by what the user has called."""
    if _observer() is not None:
        return None
    frame = _frame(2)
    while OURS[frame.f_code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
    code, instruction = frame.f_code, frame.f_lasti
    if type(y) not in _NODES:
        y = _constant(y, code, instruction)
    elif type(x) not in _NODES:
        x = _constant(x, code, instruction)
    if x is None or y is None or x.home is not None or y.home is not None:
        return None
    op = bound.op
    shape = x.shape
    if (shape is not y.shape and shape != y.shape) or not op.elementwise:
        try:
            shape = bound.shape(shape, y.shape)
        except ShapeError:
            return None
    first, second = op.backward
    needed = (x.needs_gradient and first is not None, y.needs_gradient and second is not None)
    node = _new(_classes[0])
    node.build(bound, (x, y), shape, needed, None, code, instruction)
    return node


def of_several(bound: BoundOp, inputs: Sequence[Any]) -> Any:
    """The node of any op."""
    if _observer() is not None:
        return None
    frame = _frame(2)
    while OURS[frame.f_code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
    code, instruction = frame.f_code, frame.f_lasti
    nodes, shapes = [], []
    for x in inputs:
        node = x if type(x) in _NODES else _constant(x, code, instruction)
        if node is None or node.home is not None:
            return None
        nodes.append(node)
        shapes.append(node.shape)
    try:
        shape = bound.shape(*shapes)
    except ShapeError:
        return None
    node = _new(_classes[0])
    node.build(bound, tuple(nodes), shape, needed_of(bound, nodes), None, code, instruction)
    return node


def needed_of(bound: BoundOp, inputs: Sequence[State]) -> tuple[bool, ...]:
    """For each input of an op, whether a gradient is sent to it."""
    rules = bound.op.backward
    if bound.op.variadic:
        if rules[0] is None:
            return (False,) * len(inputs)
        return tuple([x.needs_gradient for x in inputs])
    return tuple([x.needs_gradient and rules[i] is not None for i, x in enumerate(inputs)])


def _new(kind: Any) -> Any:
    return kind.__new__(kind)


def _constant(value: Any, code: Any, instruction: int) -> Any:
    """A constant tensor of a number or an array; None if it is anything else."""
    kind = type(value)
    if kind is float or (kind is int and -_EXACT < value < _EXACT):
        array = np.array(value, np.float64)
    elif is_float64(value):
        array = aligned_copy(value)
    else:
        return None
    array.setflags(write=False)  # nobody can reach it to assign it
    tensor = _new(_classes[1])
    tensor.build(None, (), array.shape, (), None, code, instruction)
    tensor.stored = array
    tensor.tick = next(ticks)
    return tensor
