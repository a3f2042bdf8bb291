"""Nodes and tensors: the public face of the graph.

A :class:`Node` is an op applied to other nodes; a :class:`Tensor` is a node without inputs that
holds a buffer. A node knows its inputs, and its *parents*: the nodes that read it. It
registers itself with its inputs when it is built. What the passes need of it is in
:mod:`autodiff.graph.state`; the usual nodes are made in :mod:`autodiff.graph.making`.

Invariants. Inputs, op and shape never change. A node holds its inputs, but its parents
only weakly: a graph that nobody holds goes away, and nobody waits for it. Arrays that
are handed out are read-only views; writing goes through :meth:`Tensor.assign`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from autodiff.array import Array, aligned_copy, as_float64, is_float64
from autodiff.backend import Backend
from autodiff.errors import (
    DTypeError,
    GradientError,
    IncompleteGradientError,
    ShapeError,
)
from autodiff.graph import backward as graph
from autodiff.graph import clock, waiting
from autodiff.graph.copies import Copies
from autodiff.graph.forward import forward
from autodiff.graph.lines import line_of_user
from autodiff.graph.making import needed_of, register
from autodiff.graph.memory import assign_together, require_value, sealed, snapshot, value_of
from autodiff.graph.naming import summary
from autodiff.graph.observer import current_observer, escaped, here, missing
from autodiff.graph.state import State, TensorState
from autodiff.graph.unfinished import note_read
from autodiff.op import OUTPUT_OF, BoundOp
from autodiff.operators import Operators
from autodiff.ops.arguments import shape_of
from autodiff.refusal import refusal

__all__ = ["Hub", "Node", "Tensor", "lift"]

_NO_SENDERS: dict[str, int] = {}


class Node(Copies, Operators):
    """An op applied to inputs; it has a shape at once, and a value when it is asked for.

    Nodes are made by operators (``x @ w + b``), by the functions of this package
    (``autodiff.tanh(x)``) and by NumPy's (``np.tanh(x)``), hardly ever by hand. An op with several
    outputs gives a node for each.

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

    __slots__ = ()

    __array_priority__ = 1000.0

    inputs: tuple[Node, ...]

    def __init__(self, op: BoundOp, inputs: Sequence[Node], name: str | None = None) -> None:
        observer = current_observer()
        if observer is not None:
            inputs = [observer.here(x) for x in inputs]
        else:
            for x in inputs:
                if x.home is not None:
                    raise escaped(x)
        try:
            shape = op.shape(*[x.shape for x in inputs])
        except ShapeError as error:
            named = {op.op.input_name(i): x for i, x in enumerate(inputs)}
            raise refusal(ShapeError, str(error), **named) from None
        home = None if observer is None else observer.home
        self.build(op, tuple(inputs), shape, needed_of(op, inputs), home, *line_of_user())
        if op.op.several and not isinstance(self, Hub):
            raise TypeError(f"{op.name} has several outputs: call its function, not Node")
        if name:
            self.name = name

    # ---- what it is -------------------------------------------------------------------

    @property
    def parents(self) -> tuple[tuple[Node, int], ...]:
        """The nodes that read this one, each with the number of its input, oldest first."""
        node = here(self)
        return tuple(node.uses(wanted=False))

    @property
    def waiting_for(self) -> tuple[tuple[Node, int], ...]:
        """The parents whose gradient is still to come in the present pass.

        Before a pass: all that will send one. A parent whose value is older than this node's
        is not among them: it cannot send before it is computed again.
        """
        return waiting.waiting_for(here(self))

    @property
    def senders(self) -> dict[str, int]:
        """Outside senders by name, with the pass in which each sent last."""
        announced = here(self).announced
        return _NO_SENDERS if announced is None else announced

    def __dir__(self) -> list[str]:
        return sorted(set(super().__dir__()) - _OF_PASSES)

    def __repr__(self) -> str:
        place = f"{os.path.basename(self.where[0])}:{self.where[1]}"
        state = "no value" if self.stored is None else f"value {summary(self.stored)}"
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
        if node.stored is None:
            missing(node, "value")
            return node.forward()
        return node._handed_out()

    def _handed_out(self) -> Array:
        return _sealed(self.stored)  # type: ignore[no-any-return]

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
        if node.awaited > 0:
            raise GradientError(f"{node.describe()} is in the middle of a pass; reset() first")
        if node.announced is None:
            node.announced = {}
        node.announced[sender] = -1
        node.awaited = -1

    @property
    def has_gradient(self) -> bool:
        """Whether :attr:`gradient` can be read."""
        node = graph.settled(here(self))
        if node.summed is None:
            missing(node, "gradient")
            return False
        return node.awaited == 0 or waiting.held_up(node) is None

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
        if node.awaited != 0 and (late := waiting.held_up(node)) is not None:
            # With a gradient of an earlier pass at hand, too: it is not the one asked for.
            raise IncompleteGradientError(
                f"the gradient is incomplete: {waiting.waiting_message(late)}; readers that take "
                "no part in this pass are passed over by autodiff.backward({node: gradient})"
            )
        if node.summed is None:
            missing(node, "gradient")
            raise GradientError(f"{node.describe()} has no gradient: {_why_none(node)}")
        if node.unread is not None:
            note_read([node])
        return _sealed(node.summed)  # type: ignore[no-any-return]

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

    def __autodiff_apply__(self, op: BoundOp, inputs: Sequence[Any]) -> Any:
        nodes: list[Node] = []
        for position, x in enumerate(inputs):
            try:
                nodes.append(x if isinstance(x, Node) else lift(x))
            except DTypeError as error:
                name = op.op.input_name(position)
                raise refusal(DTypeError, f"{op.name}: {name}: {error}") from None
        return Hub(op, nodes).outputs() if op.op.several else Node(op, nodes)

    def _copy_in_recording(self) -> Node:
        assert self.op is not None
        return type(self)(self.op, self.inputs)


class Hub(Node):
    """An op with several outputs, each of which is a node that reads it.

    It is the input of its outputs, and of nothing else; see :mod:`autodiff.graph.several`.
    """

    __slots__ = ()

    __array_priority__ = 2000.0  # whatever is done with it, it refuses

    def outputs(self) -> tuple[Node, ...]:
        """A node for each output."""
        return tuple([self.output(i) for i in range(len(self.shape))])

    def output(self, number: int) -> Node:
        """A node for one of the outputs."""
        shapes: Any = self.shape
        op = OUTPUT_OF.bind(number=number, count=len(shapes))
        made = Node.__new__(Node)
        needed = (self.needs_gradient,)
        made.build(op, (self,), shapes[number], needed, self.home, self.built_by, self.built_at)
        return made

    def __autodiff_apply__(self, op: BoundOp, inputs: Sequence[Any]) -> NoReturn:
        outputs = ", ".join(self.op.op.outputs) if self.op is not None else ""
        raise refusal(
            ShapeError,
            f"{op.name}: {self.describe()} computes several values ({outputs}); use one of them",
        )


class Tensor(Node, TensorState):
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
        if value is None and shape is None:
            raise refusal(ShapeError, "Tensor: give a value or a shape")
        size = () if shape is None else shape_of("Tensor", shape)
        buffer = None if value is None else _buffer(value_of(value), "Tensor")
        if buffer is not None:
            if shape is not None and size != buffer.shape:
                raise refusal(
                    ShapeError, f"Tensor: value has shape {buffer.shape}, shape says {size}"
                )
            size = buffer.shape
        home = getattr(buffer, "home", None)  # of a recorded value
        self.build(None, (), size, (), home, *line_of_user())
        self.needs_gradient = not constant
        if buffer is not None:
            self.stored = buffer
            self.tick = next(clock.ticks)
        if name:
            self.name = name

    @property
    def value(self) -> Array:
        """What the tensor holds now: a snapshot, which never changes and cannot be written.

        It is the same object until the tensor is written, by :meth:`assign` or by a compiled step.
        """
        tensor = here(self)
        return tensor._handed_out()

    def _handed_out(self) -> Array:
        require_value(self)
        return snapshot(self) if type(self.stored) is np.ndarray else self.stored

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
        buffer = self.stored
        if (  # the usual case, in a third of the time
            type(value) is np.ndarray
            and type(buffer) is np.ndarray
            and self.lock is None
            and value.shape == self.shape
            and is_float64(value)
            and current_observer() is None
        ):
            self.note_written(clock.new_epoch())
            buffer[...] = value
            self.tick = clock.new_epoch()
        else:
            assign_together((self,), (value,))

    def _copy_in_recording(self) -> Tensor:
        return Tensor(self.stored, shape=self.shape, constant=self.constant)

    def _state(self) -> dict[str, Any]:
        fields = super()._state()
        literal = False
        if self.stored is not None:
            literal = not self.stored.flags.writeable
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
    if isinstance(literal.stored, np.ndarray):
        literal.stored.flags.writeable = False  # nobody can reach it to assign it
    return literal


def _sealed(value: Any) -> Any:
    """A value or gradient to hand out: its numbers cannot be written."""
    if isinstance(value, np.ndarray):
        return sealed(value)
    return tuple(map(_sealed, value)) if type(value) is tuple else value


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


register(Node, Tensor)

_PUBLIC = {"op", "inputs", "needed", "needs_gradient", "shape", "name", "typename", "where"}
_OF_PASSES = {
    name
    for kind in (State, TensorState)
    for name in vars(kind)
    if not name.startswith("_") and name not in {*_PUBLIC, "describe"}
}
"""What a user has no business with."""
