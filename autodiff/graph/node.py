"""Nodes and edges: what the graph is made of.

A :class:`Node` is an op applied to other nodes; a :class:`Tensor` is a node without inputs that
holds a buffer. A node knows its inputs, and its *parents*: the nodes that read it. It
registers itself with its inputs when it is built, by one :class:`Edge` for each use.

Invariants. Inputs, op and shape never change. A node holds its inputs, but its parents
only weakly: a graph that nobody holds goes away, and nobody waits for it. Arrays that
are handed out are read-only views; writing goes through :meth:`Tensor.assign`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.array import Array, Shape, aligned_copy, as_float64, is_float64
from autodiff.backend import Backend
from autodiff.errors import (
    DTypeError,
    GradientError,
    IncompleteGradientError,
    ShapeError,
    UnassignedError,
)
from autodiff.graph import backward as graph
from autodiff.graph import clock
from autodiff.graph.copies import Copies
from autodiff.graph.edge import Edge, alive
from autodiff.graph.forward import forward
from autodiff.graph.memory import assign_together, sealed, snapshot, value_of
from autodiff.graph.naming import register_name, summary
from autodiff.graph.observer import current_observer, escaped, here, missing
from autodiff.graph.sweep import Sweep
from autodiff.graph.unfinished import Unread, note_read
from autodiff.op import BoundOp
from autodiff.operators import Operators
from autodiff.ops.arguments import shape_of
from autodiff.refusal import refusal, user_line

__all__ = ["Edge", "Node", "Tensor", "lift"]

_NO_SENDERS: dict[str, int] = {}


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
        "_home",
        "_name",
        "_parents",
        "_plan",
        "_readers",
        "_round",
        "_senders",
        "_serial",
        "_sweep",
        "_tick",
        "_unread",
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
        observer = current_observer()
        self._home = None if observer is None else observer.home
        if observer is not None:
            inputs = [observer.here(x) for x in inputs]
        else:
            for x in inputs:
                if x._home is not None:
                    raise escaped(x)
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
        self._unread: Unread | None = None
        self._plan = None
        self._sweep: Sweep | None = None
        self._senders: dict[str, int] | None = None
        self._serial = next(clock.ticks)
        self._parents: set[Edge] = set()  # edges that a gradient will come along
        self._readers: set[Edge] = set()  # the others
        self._name = register_name(self, name) if name else None
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
        self._name = register_name(self, name)

    @property
    def parents(self) -> tuple[tuple[Node, int], ...]:
        """The nodes that read this one, each with the number of its input, oldest first."""
        node = here(self)
        return alive(node._parents | node._readers)

    @property
    def waiting_for(self) -> tuple[tuple[Node, int], ...]:
        """The parents whose gradient is still to come in the present pass.

        Before a pass: all that will send one. A parent whose value is older than this node's
        is not among them: it cannot send before it is computed again.
        """
        node = here(self)
        if node._awaited == 0:
            return ()
        edges = tuple(node._parents)
        if node._awaited > 0:
            return alive({edge for edge in edges if edge.round == -node._round})
        return alive({edge for edge in edges if graph.can_send(edge, node)})

    @property
    def senders(self) -> dict[str, int]:
        """Outside senders by name, with the round in which each sent last."""
        senders = here(self)._senders
        return _NO_SENDERS if senders is None else senders

    def describe(self) -> str:
        """Name and place, for error messages."""
        file, line = self.where
        return f"node {self.name!r} ({os.path.basename(file)}:{line})"

    def __repr__(self) -> str:
        place = f"{os.path.basename(self.where[0])}:{self.where[1]}"
        state = "no value" if self._value is None else f"value {summary(self._value)}"
        return f"<{self.typename} {self.name!r} {self.shape}, {state}, {place}>"

    # ---- passes -----------------------------------------------------------------------

    def forward(self, backend: str | Backend | None = None) -> Array:
        """Compute what is missing or stale below, and return the value, which cannot be written.

        Raises UnassignedError if a tensor below has no value.
        """
        node = here(self)
        if node.op is not None:
            forward(node, backend)
        return node._handed_out()

    @property
    def value(self) -> Array:
        """The value as of the last forward pass, computed if there was none; it cannot be written.

        It does not change when a tensor below is assigned: ``forward()`` computes anew. So a
        loss still holds its number after the optimiser has stepped.
        """
        node = here(self)
        if node._value is None:
            missing(node, "value")
            return node.forward()
        return node._handed_out()

    def _handed_out(self) -> Array:
        return sealed(self._value) if isinstance(self._value, np.ndarray) else self._value

    def backward(
        self,
        gradient: Any = None,
        *,
        sender: str | None = None,
        accumulate: bool = False,
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
        accumulate : add to the gradients that tensors hold, see :func:`autodiff.backward`.

        Raises
        ------
        ShapeError, GradientError, StaleValueError
        BackwardTwiceError
            If the node has pushed already, or a tensor's gradient that nobody has read would be
            lost; call :meth:`reset` between passes over the same values.
        """
        graph.push(here(self), gradient, sender, backend, accumulate)

    def register(self, sender: str) -> None:
        """Announce a gradient from outside: the node will wait for ``backward(sender=...)``."""
        node = here(self)
        if node._awaited > 0:
            raise GradientError(f"{node.describe()} is in the middle of a pass; reset() first")
        if node._senders is None:
            node._senders = {}
        node._senders[sender] = -1
        node._awaited = -1

    @property
    def has_gradient(self) -> bool:
        """Whether :attr:`gradient` can be read."""
        node = graph.settled(here(self))
        if node._gradient is None:
            missing(node, "gradient")
            return False
        return node._awaited == 0 or graph.held_up(node) is None

    @property
    def gradient(self) -> Array:
        """The sum of all gradients sent to this node; it cannot be written.

        Raises
        ------
        IncompleteGradientError
            If parents have not sent theirs; it names them.
        GradientError
            If the node is constant, or no gradient has reached it.
        RecordingError
            In a recording, if the gradient was computed before it.
        """
        node = graph.settled(here(self))
        if node._awaited != 0 and (waiting := graph.held_up(node)) is not None:
            # With a gradient of an earlier pass at hand, too: it is not the one asked for.
            raise IncompleteGradientError(
                f"the gradient is incomplete: {graph.waiting_message(waiting)}; readers that take "
                "no part in this pass are passed over by autodiff.backward({node: gradient})"
            )
        if node._gradient is None:
            missing(node, "gradient")
            raise GradientError(f"{node.describe()} has no gradient: {_why_none(node)}")
        if node._unread is not None:
            note_read([node])
        if isinstance(node._gradient, np.ndarray):
            return sealed(node._gradient)
        return node._gradient  # type: ignore[no-any-return]

    def reset(self) -> None:
        """Forget the gradients of this node and of all below it."""
        graph.reset(here(self))

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
                nodes.append(x if isinstance(x, Node) else lift(x))
            except DTypeError as error:
                name = op.op.input_name(position)
                raise refusal(DTypeError, f"{op.name}: {name}: {error}") from None
        return Node(op, nodes)

    def _copy_in_recording(self) -> Node:
        assert self.op is not None
        return Node(self.op, self.inputs)


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

    __slots__ = ("_lock", "_room", "_snapshot")

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
        buffer = None if value is None else _buffer(value_of(value), "Tensor")
        self._home = getattr(buffer, "home", None)  # of a recorded value
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
            self._tick = next(clock.ticks)

    def _set_up(self, *fields: Any) -> None:
        super()._set_up(*fields)
        self._lock: Any = None  # of the programs that read or write the buffer
        self._room: Any = None  # the buffer of a tensor without a value, once a program writes it
        self._snapshot: tuple[int, Array] | None = None  # with the tick that it was taken at

    @property
    def value(self) -> Array:
        """What the tensor holds now: a snapshot, which never changes and cannot be written.

        It is the same object until the tensor is written, by :meth:`assign` or by a compiled step.
        """
        tensor = here(self)
        return tensor._handed_out()

    def _handed_out(self) -> Array:
        if self._value is None:
            clock.settle()  # a replay may have written it
        if self._value is None:
            raise UnassignedError(f"{self.describe()} was never assigned a value; call assign()")
        return snapshot(self) if type(self._value) is np.ndarray else self._value

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
        buffer = self._value
        if (  # the usual case, in a third of the time
            type(value) is np.ndarray
            and type(buffer) is np.ndarray
            and self._lock is None
            and value.shape == self.shape
            and is_float64(value)
            and current_observer() is None
        ):
            self._written(clock.new_epoch())
            buffer[...] = value
            self._tick = clock.new_epoch()
        else:
            assign_together((self,), (value,))

    def _written(self, tick: int) -> None:
        """Its buffer has changed, or is about to: what was computed from it is stale."""
        if self._awaited > 0:
            self._gradient = None
        if self._unread is not None:
            note_read([self])
        self._awaited = -1
        self._tick = tick

    def _copy_in_recording(self) -> Tensor:
        return Tensor(self._value, shape=self.shape, constant=self.constant)

    def _state(self) -> dict[str, Any]:
        fields = super()._state()
        literal = False
        if self._value is not None:
            literal = not self._value.flags.writeable
            fields["value"] = snapshot(self)
        return {**fields, "constant": self.constant, "literal": literal}

    def __setstate__(self, state: tuple[Any, dict[str, Any]]) -> None:
        fields = state[1]
        if fields["value"] is not None:
            fields["value"] = aligned_copy(fields["value"])
            fields["value"].flags.writeable = not fields["literal"]
        super().__setstate__(state)
        self.needs_gradient = not fields["constant"]


def lift(value: Any) -> Node:
    """`value` itself if it is a node, else a constant tensor that holds a copy of it."""
    if isinstance(value, Node):
        return here(value)
    if value is None:
        raise DTypeError("None is not an array of numbers")
    observer = current_observer()
    if observer is not None and observer.home is not None:
        value = observer.home.recorded(value)
    literal = Tensor(value, constant=True)
    if isinstance(literal._value, np.ndarray):
        literal._value.flags.writeable = False  # nobody can reach it to assign it
    return literal


def _buffer(value: Any, what: str) -> Any:
    """A copy of `value` to own; a recorded value, which nobody can write to, is kept."""
    return value.value if isinstance(value, Operators) else aligned_copy(as_float64(value, what))


def _why_none(node: Node) -> str:
    if not node.needs_gradient:
        return "it is constant"
    return (
        "no backward pass has reached it; gradients of a compiled step live within its call and "
        "are to be returned from it"
    )
