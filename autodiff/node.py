"""Nodes and edges: what the graph is made of.

A :class:`Node` is an op applied to other nodes; a :class:`Tensor` is a node without inputs that
holds a buffer. A node knows its inputs, and its *parents*: the nodes that read it. It
registers itself with its inputs when it is built, by one :class:`Edge` for each use.

Invariants. Inputs, op and shape never change. A node holds its inputs, but its parents
only weakly: a graph that nobody holds goes away, and nobody waits for it. Arrays that
are handed out are read-only views; writing goes through :meth:`Tensor.assign`.
"""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff import graph
from autodiff.array import Array, Shape, aligned_copy, as_float64, is_float64, read_only
from autodiff.backend import Backend
from autodiff.copies import Copies
from autodiff.errors import (
    DTypeError,
    GradientError,
    IncompleteGradientError,
    ShapeError,
    UnassignedError,
)
from autodiff.op import BoundOp, refusal, user_line
from autodiff.operators import Operators
from autodiff.ops.arguments import shape_of
from autodiff.sweep import Sweep

__all__ = ["Edge", "Node", "Tensor", "lift"]

_named: weakref.WeakValueDictionary[str, Node] = weakref.WeakValueDictionary()
_NO_SENDERS: dict[str, int] = {}


class Edge(weakref.ref["Node"]):
    """One use of a node: input number `position` of the reader, which it refers to weakly.

    `round` is the round of the node read in which a gradient came along this edge last; with
    a minus, the one in which it is waited for.
    """

    __slots__ = ("position", "round")

    position: int
    round: int

    def __new__(cls, reader: Node, forget: Callable[[Any], object], position: int) -> Edge:
        """Make an edge; `forget` is called when the reader is gone."""
        edge = super().__new__(cls, reader, forget)
        edge.position = position
        edge.round = 0
        return edge

    def __init__(self, reader: Node, forget: Callable[[Any], object], position: int) -> None:
        super().__init__(reader, forget)  # type: ignore[call-arg]

    # Two edges of one reader are two edges: weak references would compare equal.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        reader = self()
        name = "a dead node" if reader is None else reader.name  # a node's truth is its value's
        return f"<edge to input {self.position} of {name}>"


class Node(Copies, Operators):
    """An op applied to inputs; it has a shape at once, and a value when it is asked for.

    Nodes are made by operators (``x @ w + b``), by the functions of this package
    (``autodiff.tanh(x)``) and by NumPy's (``np.tanh(x)``), hardly ever by hand.

    Parameters
    ----------
    op : BoundOp
    inputs : nodes, in the order of the op's inputs.
    name : shown in messages and drawings. Made unique by a number if a living node has
        it; without one, the op's name and a number.

    Attributes
    ----------
    shape : tuple of int
    needs_gradient : False if all it is computed from is constant.
    needed : for each input, whether a gradient is sent to it.
    where : (file, line) of the user's code that built it.

    Raises
    ------
    ShapeError
        If the inputs' shapes do not fit.
    """

    __slots__ = (
        "__weakref__",
        "_awaited",
        "_checked",
        "_edges",
        "_gradient",
        "_name",
        "_parents",
        "_plan",
        "_readers",
        "_round",
        "_senders",
        "_serial",
        "_sweep",
        "_tick",
        "_value",
        "inputs",
        "needed",
        "needs_gradient",
        "op",
        "shape",
        "where",
    )

    __array_priority__ = 1000.0

    op: BoundOp | None
    inputs: tuple[Node, ...]
    needed: tuple[bool, ...]
    shape: Shape
    _edges: tuple[Edge | None, ...]
    _plan: tuple[Sequence[Node], Sequence[Node]] | None

    def __init__(self, op: BoundOp, inputs: Sequence[Node], name: str | None = None) -> None:
        self.where = user_line()
        try:
            shape = op.shape(*[x.shape for x in inputs])
        except ShapeError as error:
            named = {op.op.input_name(i): x for i, x in enumerate(inputs)}
            raise refusal(ShapeError, str(error), **named) from None
        needed = tuple(x.needs_gradient and op.op.rule(i) is not None for i, x in enumerate(inputs))
        self._set_up(op, tuple(inputs), shape, needed, name)

    def _set_up(
        self,
        op: BoundOp | None,
        inputs: tuple[Node, ...],
        shape: Shape,
        needed: tuple[bool, ...],
        name: str | None,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.shape = shape
        self.needed = needed
        self.needs_gradient = any(needed)
        self._value: Any = None
        self._gradient: Any = None
        self._tick = 0
        self._checked: object = None
        self._awaited = -1
        self._round = 0
        self._plan = None
        self._sweep: Sweep | None = None
        self._senders: dict[str, int] | None = None
        self._serial = next(graph.ticks)
        self._parents: set[Edge] = set()  # edges that a gradient will come along
        self._readers: set[Edge] = set()  # the others
        self._name = _register_name(self, name) if name else None
        self._edges = tuple(
            self._register_with(x, position, wanted)
            for position, (x, wanted) in enumerate(zip(inputs, needed, strict=True))
        )

    def _register_with(self, x: Node, position: int, wanted: bool) -> Edge | None:
        edges = x._parents if wanted else x._readers
        edge = Edge(self, edges.discard, position)
        edges.add(edge)
        return edge if wanted else None

    # ---- what it is -------------------------------------------------------------------

    @property
    def typename(self) -> str:
        """The op's name."""
        return self.op.name if self.op is not None else "tensor"

    @property
    def name(self) -> str:
        """A name that no other living node has; may be set, and is then made unique."""
        return self._name or f"{self.typename}#{self._serial}"

    @name.setter
    def name(self, name: str) -> None:
        self._name = _register_name(self, name)

    @property
    def parents(self) -> tuple[tuple[Node, int], ...]:
        """The nodes that read this one, each with the number of its input, oldest first."""
        return _alive(self._parents | self._readers)

    @property
    def waiting_for(self) -> tuple[tuple[Node, int], ...]:
        """The parents whose gradient is still to come in the present pass.

        Before a pass: all that will send one. A parent whose value is older than this node's
        is not among them: it cannot send before it is computed again.
        """
        if self._awaited == 0:
            return ()
        edges = tuple(self._parents)
        if self._awaited > 0:
            return _alive({edge for edge in edges if edge.round == -self._round})
        return _alive({edge for edge in edges if graph.can_send(edge, self)})

    @property
    def senders(self) -> dict[str, int]:
        """Outside senders by name, with the round in which each sent last."""
        return _NO_SENDERS if self._senders is None else self._senders

    def describe(self) -> str:
        """Name and place, for error messages."""
        file, line = self.where
        return f"node {self.name!r} ({os.path.basename(file)}:{line})"

    def __repr__(self) -> str:
        place = f"{os.path.basename(self.where[0])}:{self.where[1]}"
        state = "no value" if self._value is None else f"value {_short(self._value)}"
        return f"<{self.typename} {self.name!r} {self.shape}, {state}, {place}>"

    # ---- passes -----------------------------------------------------------------------

    def forward(self, backend: str | Backend | None = None) -> Array:
        """Compute what is missing or stale below, and return the value, a read-only view.

        Raises UnassignedError if a tensor below has no value.
        """
        if self.op is not None:
            graph.forward(self, backend)
        return self._handed_out()

    @property
    def value(self) -> Array:
        """The value as of the last forward pass, computed if there was none; a read-only view.

        It does not change when a tensor below is assigned: ``forward()`` computes anew. So a
        loss still holds its number after the optimiser has stepped.
        """
        return self.forward() if self._value is None else self._handed_out()

    def _handed_out(self) -> Array:
        observer = graph.current_observer()
        if observer is not None and (recorded := observer.read(self)) is not None:
            return recorded  # type: ignore[no-any-return]
        if self._value is None:
            raise UnassignedError(f"{self.describe()} was never assigned a value; call assign()")
        return read_only(self._value) if isinstance(self._value, np.ndarray) else self._value

    def backward(
        self,
        gradient: Any = None,
        *,
        sender: str | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        """Send this node a gradient from outside and push down whatever it completes.

        A node pushes once a pass, when all parents (and registered outside senders)
        have sent. To run one pass from several outputs, and not to wait for readers that
        take no part, use :func:`autodiff.backward`.

        Parameters
        ----------
        gradient : array of the node's shape; by default 1 for a node of a single element.
        sender : the name under which this gradient was announced by :meth:`register`.

        Raises
        ------
        ShapeError, GradientError, StaleValueError
        BackwardTwiceError
            If the node has pushed already; call :meth:`reset` between passes over the same
            values.
        """
        graph.push(self, gradient, sender, backend)

    def register(self, sender: str) -> None:
        """Announce a gradient from outside: the node will wait for ``backward(sender=...)``."""
        if self._awaited > 0:
            raise GradientError(f"{self.describe()} is in the middle of a pass; reset() first")
        if self._senders is None:
            self._senders = {}
        self._senders[sender] = -1
        self._awaited = -1

    @property
    def has_gradient(self) -> bool:
        """Whether :attr:`gradient` can be read."""
        if self._gradient is None or self._awaited == 0:
            return self._gradient is not None
        return graph.held_up(self) is None

    @property
    def gradient(self) -> Array:
        """The sum of all gradients sent to this node, a read-only view.

        Raises
        ------
        IncompleteGradientError
            If parents have not sent theirs; it names them.
        GradientError
            If the node is constant, or no gradient has reached it.
        """
        if self._awaited != 0 and (waiting := graph.held_up(self)) is not None:
            # With a gradient of an earlier pass at hand, too: it is not the one asked for.
            raise IncompleteGradientError(
                f"the gradient is incomplete: {graph.waiting_message(waiting)}; readers that take "
                "no part in this pass are passed over by autodiff.backward({node: gradient})"
            )
        if self._gradient is None:
            why = "no backward pass has reached it" if self.needs_gradient else "it is constant"
            raise GradientError(f"{self.describe()} has no gradient: {why}")
        if isinstance(self._gradient, np.ndarray):
            return read_only(self._gradient)
        return self._gradient  # type: ignore[no-any-return]

    def reset(self) -> None:
        """Forget the gradients of this node and of all below it."""
        graph.reset(self)

    def graph(self, **options: Any) -> str:
        """The graph below this node as DOT text; options as in :func:`autodiff.draw.dot`."""
        from autodiff.draw import dot

        return dot(self, **options)

    def _repr_svg_(self) -> str | None:
        from autodiff.draw import svg

        return svg(self)

    # ---- building ---------------------------------------------------------------------

    def __autodiff_apply__(self, op: BoundOp, inputs: Sequence[Any]) -> Node:
        nodes: list[Node] = []
        for position, x in enumerate(inputs):
            try:
                nodes.append(lift(x))
            except DTypeError as error:
                name = op.op.input_name(position)
                raise refusal(DTypeError, f"{op.name}: {name}: {error}") from None
        return Node(op, nodes)

    # ---- copies -----------------------------------------------------------------------

    def _state(self) -> dict[str, Any]:
        fresh = self._value is not None and all(x._tick <= self._tick for x in self.inputs)
        return {
            "op": self.op,
            "inputs": self.inputs,
            "shape": self.shape,
            "needed": self.needed,
            "name": self._name,
            "where": self.where,
            "value": self._value if fresh else None,
        }

    def __setstate__(self, state: tuple[Any, dict[str, Any]]) -> None:
        fields = state[1]
        self.where = fields["where"]
        self._set_up(*(fields[k] for k in ("op", "inputs", "shape", "needed", "name")))
        self._value = fields["value"]
        if self._value is not None:
            self._tick = graph.new_epoch()


class Tensor(Node):
    """A node without inputs: a parameter, an input, or a constant.

    Its buffer is its identity: :meth:`assign` copies into it.

    Parameters
    ----------
    value : array-like of real numbers, copied; None if it will be assigned later.
    shape : needed if there is no value.
    name : see :class:`Node`.
    constant : no gradient is computed for it, nor for what depends on nothing else.

    Raises
    ------
    DTypeError
        For complex, object and string arrays.
    ShapeError
        If value and shape disagree, or neither is given.

    Examples
    --------
    >>> w = Tensor([[1, 2]], name="weights")
    >>> w.assign([[3, 4]])
    >>> w.value
    array([[3., 4.]])
    """

    __slots__ = ()

    def __init__(
        self,
        value: Any = None,
        *,
        shape: int | Sequence[int] | None = None,
        name: str | None = None,
        constant: bool = False,
    ) -> None:
        self.where = user_line()
        if value is None and shape is None:
            raise refusal(ShapeError, "Tensor: give a value or a shape")
        size = () if shape is None else shape_of("Tensor", shape)
        buffer = None if value is None else _buffer(_value_of(value), "Tensor")
        if buffer is not None:
            if shape is not None and size != buffer.shape:
                raise refusal(
                    ShapeError, f"Tensor: value has shape {buffer.shape}, shape says {size}"
                )
            size = buffer.shape
        self._set_up(None, (), size, (), name)
        self.needs_gradient = not constant
        if buffer is not None:
            self._value = buffer
            self._tick = next(graph.ticks)

    @property
    def constant(self) -> bool:
        """True if no gradient is computed for it."""
        return not self.needs_gradient

    def assign(self, value: Any) -> None:
        """Copy `value` into the buffer; what was computed from it becomes stale.

        value : array-like or node of the tensor's shape. A complete gradient stays readable
        until the next backward pass replaces it.

        Raises
        ------
        ShapeError, DTypeError
            The tensor keeps its old value.
        """
        observer = graph.current_observer()
        stored = None if observer is None else observer.assign(self, value)
        if stored is None:
            array = _value_of(value)
            if not is_float64(array):
                array = as_float64(array, f"assign: the value for {self.describe()}")
            if array.shape != self.shape:
                raise refusal(
                    ShapeError,
                    f"assign: the value has shape {array.shape}, the tensor has shape {self.shape}",
                    tensor=self,
                )
        # The tick first: if Ctrl-C comes between, what depends on it is computed again.
        self._tick = graph.new_epoch()
        if stored is not None:
            self._value = stored
        elif self._value is None:
            self._value = aligned_copy(array)
        else:
            self._value[...] = array
        if self._awaited > 0:
            self._gradient = None
        self._awaited = -1

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "constant": self.constant}

    def __setstate__(self, state: tuple[Any, dict[str, Any]]) -> None:
        super().__setstate__(state)
        self.needs_gradient = not state[1]["constant"]


def lift(value: Any) -> Node:
    """`value` itself if it is a node, else a constant tensor that holds a copy of it."""
    if isinstance(value, Node):
        return value
    if value is None:
        raise DTypeError("None is not an array of numbers")
    literal = Tensor(value, constant=True)
    if isinstance(literal._value, np.ndarray):
        literal._value.flags.writeable = False  # nobody can reach it to assign it
    return literal


def _value_of(value: Any) -> Any:
    return value.value if isinstance(value, Node) else value


def _buffer(value: Any, what: str) -> Any:
    """A copy of `value` to own; a recorded value, which nobody can write to, is kept."""
    return value if isinstance(value, Operators) else aligned_copy(as_float64(value, what))


def _alive(edges: set[Edge]) -> tuple[tuple[Node, int], ...]:
    # A reader may die meanwhile, and its edge leave the set: walk over a copy.
    pairs = [(reader, edge.position) for edge in tuple(edges) if (reader := edge()) is not None]
    return tuple(sorted(pairs, key=lambda pair: (pair[0]._serial, pair[1])))


def _register_name(node: Node, name: str) -> str:
    name = name.replace("#", "_")  # '#' marks the numbers that make names unique
    if _named.setdefault(name, node) is not node:
        name = f"{name}#{node._serial}"
    return name


def _short(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.size == 1:
        return f"{value.reshape(()):.6g}"
    if math.prod(value.shape) == 0:
        return "[]"
    return f"{value.min():.4g} ... {value.max():.4g}"
