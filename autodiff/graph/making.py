"""Making nodes quickly: what :class:`autodiff.Node` does, in the usual cases.

A graph that is built anew in every step is built by these functions. They take what is exactly a
node, a tensor, a Python number or an array of float64 (in a recording, of nodes alone), if the
shapes fit; for anything else (an op with several outputs, too) they return None, and the general
way, which calls the class, says what is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff import apply
from autodiff.array import Array, Shape, aligned_copy, is_float64
from autodiff.errors import ShapeError
from autodiff.graph.lines import USER_FILES, users
from autodiff.graph.observer import current_observer, in_force
from autodiff.graph.state import State, TensorState
from autodiff.op import BoundOp

__all__ = ["needed_of", "register"]

# A call less, or an attribute less to look up, for each node that is made.
_observer = in_force.get
_frame = sys._getframe
_new: Any = object.__new__
_build = State.build
_Node: Any = State  # the classes, once they are known
_Tensor: Any = TensorState
_NODES: set[type] = set()
_EXACT = 2**53  # integers below are floats, too
_numbers: dict[float, Array] = {}
_shapes: dict[tuple[BoundOp, tuple[Shape, ...]], Shape] = {}
_MANY = 1000  # numbers and shapes that are kept
_FEW = 4  # shapes that are looked up together


def register(node: type[State], tensor: type[TensorState]) -> None:
    """These are the classes of nodes; no subclass is made or taken here."""
    global _Node, _Tensor
    _Node, _Tensor = node, tensor
    for kind in (node, tensor):
        _NODES.add(kind)
        apply.MAKERS_OF_ONE[kind] = of_one
        apply.MAKERS_OF_TWO[kind] = of_two
        apply.MAKERS[kind] = of_several


def of_one(bound: BoundOp, x: Any, shape: Shape | None = None) -> Any:
    """The node of an op of one input; called by what the user has called."""
    home = None
    if _observer() is not None:
        home, (x,) = _in_recording((x,))
    if x.home is not home:
        return None
    op = bound.op
    if shape is None:
        shape = x.shape
        if not op.elementwise:
            if op.several:
                return None
            try:
                shape = _shape(bound, shape)
            except ShapeError:
                return None
    try:
        frame = _frame(2)
    except ValueError:  # nobody of Python's has called
        frame = _frame(0)
    if frame.f_code.co_filename not in USER_FILES:
        frame = users(frame)
    node = _new(_Node)
    needed = (True,) if x.needs_gradient and op.backward[0] is not None else (False,)
    node.build(bound, (x,), shape, needed, home, frame.f_code, frame.f_lasti)
    return node


def of_two(bound: BoundOp, x: Any, y: Any) -> Any:
    """The node of an op of two inputs; called by what the user has called."""
    home = None
    if _observer() is not None:
        home, (x, y) = _in_recording((x, y))
    try:
        frame = _frame(2)
    except ValueError:  # nobody of Python's has called
        frame = _frame(0)
    if frame.f_code.co_filename not in USER_FILES:
        frame = users(frame)
    code, instruction = frame.f_code, frame.f_lasti
    if type(y) not in _NODES:
        y = _constant(y, home, code, instruction)
    elif type(x) not in _NODES:
        x = _constant(x, home, code, instruction)
    if x is None or y is None or x.home is not home or y.home is not home:
        return None
    op = bound.op
    shape = x.shape
    if (shape is not y.shape and shape != y.shape) or not op.elementwise:
        if op.several:
            return None
        try:
            shape = _shape(bound, shape, y.shape)
        except ShapeError:
            return None
    first, second = op.backward
    wanted = y.needs_gradient and second is not None
    needed: tuple[bool, bool]  # constants, so that none is made
    if x.needs_gradient and first is not None:
        needed = (True, True) if wanted else (True, False)
    else:
        needed = (False, True) if wanted else (False, False)
    node = _new(_Node)
    node.build(bound, (x, y), shape, needed, home, code, instruction)
    return node


def of_several(bound: BoundOp, inputs: Sequence[Any], shape: Shape | None = None) -> Any:
    """The node of any op."""
    if bound.op.several:
        return None
    home = None
    if _observer() is not None:
        home, inputs = _in_recording(inputs)
    try:
        frame = _frame(2)
    except ValueError:  # nobody of Python's has called
        frame = _frame(0)
    if frame.f_code.co_filename not in USER_FILES:
        frame = users(frame)
    code, instruction = frame.f_code, frame.f_lasti
    nodes = tuple(inputs)
    for x in nodes:
        if type(x) not in _NODES:
            nodes = tuple(
                [x if type(x) in _NODES else _constant(x, home, code, instruction) for x in nodes]
            )
            break
    for x in nodes:
        if x is None or x.home is not home:
            return None
    if shape is None:
        shapes = [x.shape for x in nodes]
        try:
            shape = bound.shape(*shapes) if len(shapes) > _FEW else _shape(bound, *shapes)
        except ShapeError:
            return None
    node = _new(_Node)
    node.build(bound, nodes, shape, needed_of(bound, nodes), home, code, instruction)
    return node


def _shape(bound: BoundOp, *shapes: Shape) -> Shape:
    """What ``bound.shape`` says, which is kept: the same ops are applied again and again."""
    key = bound, shapes
    found = _shapes.get(key)
    if found is None:
        found = bound.shape(*shapes)
        if len(_shapes) >= _MANY:
            _shapes.clear()
        _shapes[key] = found
    return found


def needed_of(bound: BoundOp, inputs: Sequence[State]) -> tuple[bool, ...]:
    """For each input of an op, whether a gradient is sent to it."""
    rules = bound.op.backward
    if bound.op.variadic:
        if rules[0] is None:
            return (False,) * len(inputs)
        return tuple([x.needs_gradient for x in inputs])
    return tuple([x.needs_gradient and rules[i] is not None for i, x in enumerate(inputs)])


def _in_recording(inputs: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    """The recording in force, if any, and the inputs: for nodes from outside their stand-ins."""
    observer = current_observer()
    if observer is None or observer.home is None:
        return None, inputs
    home = observer.home
    for x in inputs:
        if type(x) in _NODES and x.home is not home:
            here = observer.here
            inputs = [here(x) if type(x) in _NODES and x.home is not home else x for x in inputs]
            break
    return home, inputs


def _constant(value: Any, home: Any, code: Any, instruction: int) -> Any:
    """A constant tensor of a number or an array; None if it is anything else, or in a recording."""
    if home is not None:
        return None
    kind = type(value)
    if kind is float or (kind is int and -_EXACT < value < _EXACT):
        array = _numbers.get(value)
        if array is None:
            array = _number(value)
    elif is_float64(value):
        array = aligned_copy(value)
        array.setflags(write=False)  # nobody can reach it to assign it
    else:
        return None
    tensor = _new(_Tensor)
    _build(tensor, None, (), array.shape, (), None, code, instruction)
    tensor.lock = tensor.reserved = tensor.kept_snapshot = None
    tensor.stored = array
    tensor.tick = tensor.serial
    return tensor


def _number(value: float) -> Array:
    """An array of a Python number, which cannot be written, and is kept for the next time."""
    array = np.array(value, np.float64)
    array.setflags(write=False)
    if value:  # 0.0 == -0.0
        if len(_numbers) >= _MANY:
            _numbers.clear()
        _numbers[value] = array
    return array
