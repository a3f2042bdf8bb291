"""Values of a computation that is done for all elements of a batch at once, as it goes.

A :class:`Lane` has the shape of one element and takes part in ops like a node; what is done to it
is done to the whole batch, at once. It serves the backward rules: a gradient that differs from row
to row is *carried*, what the rules read besides is the same for all rows.

A carried lane is kept as ``base · factor``, in which the factor is the same for all elements. What
is linear is done to the factor: so a chain of slopes is multiplied up once, and not for each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.apply import MAKERS, MAKERS_OF_ONE, MAKERS_OF_TWO, apply
from autodiff.array import as_float64
from autodiff.backend import Backend
from autodiff.errors import GradientError
from autodiff.graph.forward import executor, forward
from autodiff.graph.node import Hub, Node, lift
from autodiff.graph.observer import current_observer
from autodiff.op import OPS, BoundOp
from autodiff.operators import Operators
from autodiff.ops.batches import batch_rule, widened

__all__ = ["Computer", "Lane", "carried", "computer_of"]


class Computer:
    """Computes lanes by a back end: of arrays, or in a recording of recorded values.

    builds : whether it builds nodes, and computes nothing.
    at_once : whether it computes arrays.
    """

    builds = False

    def __init__(self) -> None:
        observer = current_observer()
        backend: Backend = executor(None, observer)
        self.at_once = not self.builds and (observer is None or observer.home is None)
        self.run: Any = backend.forward
        self.times = OPS["multiply"].bind()
        self._read: dict[Node, Any] = {}
        self._numbers: dict[float, Lane] = {}

    def forget(self) -> None:
        """Let go of all lanes: they hold it, too, and nodes besides."""
        self._read.clear()
        self._numbers.clear()

    def value_of(self, node: Any) -> Any:
        """The value of a node, computed when it is asked for."""
        if node.op is not None:
            forward(node)
        return node.value if node.stored is None else node.stored

    def read(self, node: Node) -> Any:
        """A node's value, the same for all elements; of several outputs a tuple."""
        known = self._read.get(node)
        if known is None:
            if isinstance(node, Hub):
                shapes: Any = node.shape
                known = tuple([_read(self, s, node, i) for i, s in enumerate(shapes)])
            else:
                known = _read(self, node.shape, node, None)
            self._read[node] = known
        return known

    def constant(self, x: Any) -> Lane:
        """An operand that is no lane, the same for all elements."""
        if type(x) is float:
            known = self._numbers.get(x)
            if known is None or not x:  # 0.0 == -0.0
                known = self._numbers[x] = Lane(self, np.array(x), ())
            return known
        if isinstance(x, Node):
            lane: Lane = self.read(x)
            lane.look_up()
            return lane
        value = x if isinstance(x, Operators) else as_float64(x, "an operand")
        return Lane(self, value, value.shape)

    def apply(self, bound: BoundOp, inputs: Sequence[Any]) -> Any:
        """What an op gives for all elements."""
        lanes, carries = [], []
        for x in inputs:
            if type(x) is not Lane:
                x = self.constant(x)
            elif x.source is not None:
                x.look_up()
            lanes.append(x)
            carries.append(x.carried)
        if True not in carries:
            return self._made(bound, inputs, self.run(bound, [x.base for x in lanes]), 0)
        op = bound.op
        if op.elementwise:
            for group in op.linear:
                found = self._scaled(bound, group, lanes, carries)
                if found is not None:
                    return found
        whole = [x.whole() if x.carried else x for x in lanes]
        return self._made(bound, inputs, self._by_rule(bound, whole, carries), 1)

    def _made(self, bound: BoundOp, inputs: Sequence[Any], value: Any, n_axes: int) -> Any:
        if type(value) is tuple:
            return tuple([_of_batch(self, x) if n_axes else Lane(self, x, x.shape) for x in value])
        made = _of_batch(self, value) if n_axes else Lane(self, value, value.shape)
        made.op, made.inputs = bound, inputs
        return made

    def _by_rule(self, bound: BoundOp, lanes: Sequence[Lane], carries: Sequence[bool]) -> Any:
        if bound.op.elementwise:
            values = [x.base for x in lanes]
            ranks = [len(x.shape) - c for x, c in zip(values, carries, strict=True)]
            most = max(ranks)
            for i, rank in enumerate(ranks):
                if carries[i] and rank < most:
                    values[i] = widened(values[i], most - rank)
            return self.run(bound, values)
        found = batch_rule(bound.op)(bound, lanes, carries)
        return tuple([x.base for x in found]) if bound.op.several else found.base

    def _scaled(
        self, bound: BoundOp, group: Sequence[int], lanes: Sequence[Lane], carries: Sequence[bool]
    ) -> Lane | None:
        """The op done to the factors, if it is linear in what is carried, and that has one base."""
        base: Any = None
        for i, x in enumerate(lanes):
            if carries[i]:
                if i not in group or (base is not None and x.base is not base):
                    return None
                base = x.base
            elif i in group and not x.is_zero():
                return None
        factors = [x.factor if c else x.base for x, c in zip(lanes, carries, strict=True)]
        factor = self.run(bound, [_ONE if x is None else x for x in factors])
        shape = bound.shape(*[x.shape for x in lanes])
        made = Lane(self, base, shape)
        made.carried, made.factor = True, factor
        return made


class NodeComputer(Computer):
    """Computes lanes by building nodes, which can be differentiated again."""

    builds = True

    def __init__(self) -> None:
        super().__init__()
        self.run = _build

    def value_of(self, node: Any) -> Any:
        """The node itself."""
        return node


def computer_of(nodes: bool) -> Computer:
    """What computes lanes: at once, or if nodes are wanted by building them."""
    return NodeComputer() if nodes else Computer()


def carried(computer: Computer, batch: Any) -> Lane:
    """A batch as a lane."""
    value = lift(batch) if computer.builds else computer.constant(batch).base
    return _of_batch(computer, value)


def _build(bound: BoundOp, inputs: Sequence[Any]) -> Any:
    return apply(bound.op, inputs, bound.attributes)


_ONE = np.array(1.0)


class Lane(Operators):
    """A value for all elements of a batch; it has the shape of one element.

    computer : who applies ops to it.
    base : the value; if it is carried, with the axis of the batch in front.
    source : the node that it was read from and which of its outputs, until the value is needed.
    factor : what the base is to be multiplied by, the same for all elements; None: by nothing.
    carried : whether it differs from element to element.
    op, inputs : what it was computed by, so that the same is found again.
    """

    __array_priority__ = 3000.0  # more than that of a node, which is the same for all elements

    needs_gradient = True
    carried = False
    factor: Any = None
    source: Any = None
    op: BoundOp | None = None
    inputs: Sequence[Any] = ()
    _whole: Lane | None = None

    def __init__(self, computer: Computer, base: Any, shape: tuple[int, ...]) -> None:
        self.computer = computer
        self.base = base
        self.shape = shape

    def look_up(self) -> None:
        """Let the node that it was read from be computed."""
        if self.source is None:
            return
        node, number = self.source
        found = self.computer.value_of(node)
        if number is not None:
            found = (found.outputs() if isinstance(found, Hub) else found)[number]
        self.base, self.source = found, None

    def whole(self) -> Lane:
        """It, or if it is carried the whole batch, as a lane that is not carried."""
        if self._whole is None:
            computer, value = self.computer, self.base
            if self.factor is not None:
                missing = len(self.shape) + 1 - len(value.shape)
                value = widened(value, missing) if missing else value
                value = computer.run(computer.times, [value, self.factor])
            self._whole = Lane(computer, value, value.shape)
        return self._whole

    def is_zero(self) -> bool:
        """Whether it is known to be the number 0."""
        base = self.base
        return type(base) is np.ndarray and not base.ndim and base == 0.0

    @property
    def value(self) -> Any:
        """Its numbers, if they are the same for all elements."""
        if self.carried:
            raise GradientError(
                "a gradient that differs from row to row has no one value: all rows are computed "
                "at once; a rule that needs numbers is given each row by itself"
            )
        self.look_up()
        return self.base

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.value, dtype=dtype)

    def __autodiff_apply__(self, bound: BoundOp, inputs: Sequence[Any]) -> Any:
        return self.computer.apply(bound, inputs)

    def __repr__(self) -> str:
        return f"<lane {self.shape}, {'of a batch' if self.carried else 'the same for all'}>"


def _of_batch(computer: Computer, value: Any) -> Lane:
    made = Lane(computer, value, value.shape[1:])
    made.carried = True
    return made


def _read(computer: Computer, shape: tuple[int, ...], node: Node, number: int | None) -> Lane:
    made = Lane(computer, None, shape)
    made.source = node, number
    return made


def _of_one(bound: BoundOp, x: Lane, shape: Any = None) -> Any:
    return x.computer.apply(bound, (x,))


def _of_two(bound: BoundOp, x: Any, y: Any) -> Any:
    if type(x) is not Lane:
        return y.computer.apply(bound, (x, y))
    computer = x.computer
    if type(y) is Lane and x.carried is y.carried is False and x.source is y.source is None:
        value = computer.run(bound, (x.base, y.base))  # the usual case
        return Lane(computer, value, value.shape)
    return computer.apply(bound, (x, y))


def _of_several(bound: BoundOp, inputs: Sequence[Any], shape: Any = None) -> Any:
    return inputs[0].computer.apply(bound, inputs)


MAKERS[Lane] = _of_several
MAKERS_OF_ONE[Lane] = _of_one
MAKERS_OF_TWO[Lane] = _of_two
