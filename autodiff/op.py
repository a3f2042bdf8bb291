"""What an op is: the record, and the table of all records.

An op is one record (:class:`Op`), made in one place by the decorator
:func:`autodiff.declare.declare`.

The rules are plain array expressions, and every op is called by the same name whatever
it is given. The same rules therefore serve NumPy arrays (the reference back end),
complex arrays (the complex-step check), nodes (gradients that can be differentiated
again) and recorded values.
"""

from __future__ import annotations

import marshal
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.array import Array, Shape
from autodiff.errors import ShapeError

__all__ = [
    "OPS",
    "OUTPUT",
    "OUTPUT_OF",
    "ArgumentRule",
    "BackwardRule",
    "BoundOp",
    "Example",
    "Op",
    "Sample",
    "ShapeRule",
    "broadcast_shape",
    "example",
    "is_plain",
]

# forward(*inputs, **attributes) -> output, or a tuple of outputs
ForwardRule = Callable[..., Any]
# backward(gradient, output, *inputs, **attributes) -> gradient of one input; of an op with
# several outputs, the first two are tuples
BackwardRule = Callable[..., Any]
# onto(total, gradient, output, *inputs, **attributes): adds an input's gradient onto `total`
AddingRule = Callable[..., None]
# shape(*shapes, **attributes) -> shape of the output, or a tuple of shapes; or ShapeError
ShapeRule = Callable[..., Any]
# arguments(name, *arguments as users give them) -> (operands, attributes), or (result, None)
ArgumentRule = Callable[..., tuple[Any, dict[str, Any] | None]]
# identity(emitter, bound op, inputs) -> the value as it is known already, or None
Identity = Callable[..., Any]
# batched(bound op, operands, carries) -> the output, or a tuple, with one more leading axis
BatchedRule = Callable[..., Any]

# flow(bound op, position, inputs) -> (elements of the output, elements of the input)
FlowRule = Callable[..., Any]

_MOST_BOUND = 1 << 14  # bound ops that one op keeps

OUTPUT = "z"  # the name of an only output in `reads`; the inputs go by their parameter names


@dataclass(frozen=True)
class Sample:
    """How to draw one input of an example.

    kind : "real" (uniform), "integer", "boolean", or "distinct" (values at least 0.1
        apart and away from 0, for ops that are not differentiable everywhere). Of matrices, the
        last two axes: "regular" (singular values about 1, 2, 3, ...), "definite" (symmetric, and
        these are the eigenvalues), and "lower" (the lower triangle of such a one).
    """

    shape: Shape
    low: float = -2.0
    high: float = 2.0
    kind: str = "real"

    def draw(self, random: np.random.Generator) -> Array:
        """One array of this shape and kind, float64."""
        if self.kind == "real":
            return random.uniform(self.low, self.high, self.shape)
        if self.kind == "integer":
            return random.integers(int(self.low), int(self.high), self.shape).astype(np.float64)
        if self.kind == "boolean":
            return random.integers(0, 2, self.shape).astype(np.float64)
        if self.kind in ("regular", "definite", "lower"):
            return self._draw_matrices(random)
        size = int(np.prod(self.shape, dtype=np.intp))
        ladder = 0.15 + 0.2 * np.arange(size) + random.uniform(-0.04, 0.04, size)
        ladder *= random.choice([-1.0, 1.0], size)
        return random.permutation(ladder).reshape(self.shape)

    def _draw_matrices(self, random: np.random.Generator) -> Array:
        """A stack of matrices that are far from singular."""
        *stack, m, n = self.shape
        k = min(m, n)
        sizes = np.arange(1.0, k + 1.0) + random.uniform(-0.2, 0.2, (*stack, 1, k))
        left = np.linalg.qr(random.normal(size=(*stack, m, m)))[0][..., :k]
        right = left
        if self.kind == "regular":
            right = np.linalg.qr(random.normal(size=(*stack, n, n)))[0][..., :k]
        z: Array = (left * sizes) @ np.swapaxes(right, -1, -2)
        if self.kind == "definite":
            z = 0.5 * (z + np.swapaxes(z, -1, -2))
        return np.tril(z) if self.kind == "lower" else z


@dataclass(frozen=True)
class Example:
    """Inputs and attributes on which an op is tested, benchmarked and shown."""

    samples: tuple[Sample, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    def draw(self, random: np.random.Generator) -> tuple[Array, ...]:
        """The inputs, drawn one after the other from `random`."""
        return tuple(sample.draw(random) for sample in self.samples)


def example(*shapes: Shape, **attributes: Any) -> Example:
    """An example of real numbers."""
    return Example(tuple(map(Sample, shapes)), attributes)


@dataclass(frozen=True, eq=False)
class Op:
    """One record: all that the engine knows about an op.

    Parameters
    ----------
    name : the name in the table, in listings and in error messages.
    inputs : names of the inputs; a single name with `variadic` for any number.
    attributes : names of the attributes.
    shape : ``shape(*shapes, **attributes)``; raises ShapeError.
    forward : ``forward(*inputs, **attributes)``; runs on float64 and complex128.
    backward : one rule an input, ``rule(g, z, *inputs, **attributes)``, None where there is
        no gradient. A variadic op has one rule, ``rule(g, z, *inputs, needed=..., **attributes)``,
        which gives the gradients of all inputs in one pass, None where one is not needed.
        Where an input was broadcast, a rule may return a gradient of the output's shape:
        :func:`autodiff.ops.rules.input_gradient` sums it to the input's.
    reads : what the *values* of backward depend on: "z" and input names. No other value need be
        kept for the backward pass. A rule that reads one value only is one kernel in programs.
    elementwise : one output element needs one element of each input.
    variadic : takes any number of inputs.
    examples : see :class:`Example`.
    formula : the first line of the docstring.
    numpy : dotted names of the functions that mean this op: "numpy.exp", "scipy.special.expit".
    arguments : ``arguments(name, *arguments)`` brings what users give into operands and
        attributes; (result, None) if there is nothing to compute, or other ops compute it.
        The attributes follow from the shapes of operands and from the other arguments.
        None: positional arguments are operands, attributes are given by name. If the op has no
        attributes, operands that fit `shape` must be left as they are: nodes may go past it.
    ulps : how far the kernel may be off, in units in the last place. At most 0.5: every operation
        is correctly rounded, and all back ends give the same bits. inf: it grows with the sizes.
    domain : the interval of each input on which the op is defined; empty: all numbers.
    cost : of one element, in additions. Large work is cut into parts by it.
    moves : computes nothing: elements of its output are elements of its inputs, or 0; which ones
        follows from shapes and attributes.
    view : moves, and may be no work at all in a program: a way to look at its input.
    onto : for ops whose gradient of the first input is 0 but for a part (a slice, rows):
        ``onto(total, g, z, *inputs, **attributes)`` adds it onto an array, in place.
    identity : ``identity(emitter, bound, inputs)``: what a program knows of it without computing.
    empty : examples without elements, of an op that is not elementwise.
    outputs : names of the outputs. If there are several, the forward rule returns a tuple, the
        shape rule a tuple of shapes, and backward rules get tuples: ``rule(gs, zs, *inputs)``. A
        gradient that nobody has sent is zeros. Such an op is not `elementwise` in the sense above.
    batched : ``batched(bound, operands, carries)``: the op on every element of a batch at once.
        Where `carries[i]`, operand i has one more axis in front, of one size for all; so has the
        result. Written with ops; see :mod:`autodiff.ops.batches`. None: derived where it can be,
        else the elements are computed one by one.
    linear : of an elementwise op, the positions of operands in which it is linear together, if the
        others are held: of x y that is x, and y, each by itself; of x + y both at once.
    flow : ``flow(bound, position, inputs)``: which elements depend on which of input `position`, as
        two arrays of their numbers, row by row, those of the output first. It may read the values
        of inputs without a backward rule. None: derived where it can be, else all on all.
    n_regions : how many programs an instruction of this op owns (a loop has one, its body). Only
        programs have such ops. Their rules are given `regions`: the shape rule the programs, the
        forward rule functions from arrays to lists of arrays.
    """

    name: str
    inputs: tuple[str, ...]
    shape: ShapeRule
    forward: ForwardRule
    backward: tuple[BackwardRule | None, ...]
    reads: frozenset[str]
    elementwise: bool
    variadic: bool
    examples: tuple[Example, ...]
    formula: str
    numpy: tuple[str, ...] = ()
    arguments: ArgumentRule | None = None
    ulps: float = math.inf
    domain: tuple[tuple[float, float], ...] = ()
    cost: float = 1.0
    moves: bool = False
    view: bool = False
    onto: AddingRule | None = None
    identity: Identity | None = None
    empty: tuple[Example, ...] = ()
    attributes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = (OUTPUT,)
    batched: BatchedRule | None = None
    linear: tuple[tuple[int, ...], ...] = ()
    flow: FlowRule | None = None
    n_regions: int = 0
    several: bool = field(init=False)  # whether there are several outputs
    _bare: BoundOp = field(init=False)
    _bound: dict[bytes, BoundOp] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "several", len(self.outputs) > 1)
        object.__setattr__(self, "_bare", BoundOp(self, {}))

    def __repr__(self) -> str:
        return f"<op {self.name}({'*' if self.variadic else ''}{', '.join(self.inputs)})>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        return _op_by_name, (self.name,)

    @property
    def sparse(self) -> bool:
        """Whether its gradients are added where they belong, and no full array is made."""
        return self.onto is not None

    def bind(self, **attributes: Any) -> BoundOp:
        """This op with its attributes: the same object for the same ones, as far as it is kept."""
        return self.bound_to(attributes) if attributes else self._bare

    def bound_to(self, attributes: dict[str, Any]) -> BoundOp:
        """As :meth:`bind`, for a dictionary that nobody will change."""
        # As bytes, for as keys 1, 1.0 and True would be the same, and 0.0 and -0.0.
        try:
            key = marshal.dumps(attributes, 2)
        except ValueError:
            return BoundOp(self, attributes)
        found = self._bound.get(key)
        if found is None:
            found = BoundOp(self, attributes)
            # Others (NumPy's scalars) are written as their bytes, which does not tell their types;
            # they are not entered, so that nothing else is found in their place.
            if all(map(is_plain, attributes.values())):
                if len(self._bound) >= _MOST_BOUND:
                    self._bound.clear()
                found = self._bound.setdefault(key, found)  # one, if threads meet here
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> Op:
        return self

    def rule(self, position: int) -> BackwardRule | None:
        """The backward rule of input `position`, or None if it gets no gradient."""
        return self.backward[0 if self.variadic else position]

    def into_domain(self, position: int, x: Array) -> Array:
        """Numbers of the domain of input `position`, as many as there are in `x`."""
        low, high = self.domain[position] if self.domain else (-math.inf, math.inf)
        if math.isfinite(low) and math.isfinite(high):
            x = low + (high - low) * (0.5 + 0.5 * np.tanh(x))
        elif math.isfinite(low):
            x = low + np.abs(x - low)
        elif math.isfinite(high):
            x = high - np.abs(high - x)
        return np.asarray(x)

    def input_name(self, position: int) -> str:
        """What error messages call input `position`."""
        return f"{self.inputs[0]}[{position}]" if self.variadic else self.inputs[position]


class BoundOp:
    """An op together with its attributes: what a node holds and a back end executes.

    `kernel` is the back end's to fill: what it prepared for this op, or None.
    """

    __slots__ = ("_key", "attributes", "kernel", "name", "op")

    def __init__(self, op: Op, attributes: dict[str, Any]) -> None:
        self.op = op
        self.name = op.name
        self.attributes = attributes
        self.kernel: Any = None
        self._key: tuple[Any, ...] | None = None

    def __repr__(self) -> str:
        attributes = ", ".join(f"{k}={v!r}" for k, v in self.attributes.items())
        return f"{self.op.name}({attributes})" if attributes else self.op.name

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebind, (self.op, self.attributes)

    def __deepcopy__(self, memo: dict[int, Any]) -> BoundOp:
        return self  # immutable but for the prepared kernel, which may be shared

    def key(self) -> tuple[Any, ...]:
        """Hashable: equal for two bound ops that compute the same."""
        if self._key is None:
            items = sorted(self.attributes.items())
            self._key = self.name, *[(k, v, repr(v)) for k, v in items]  # 0.0 is not -0.0
        return self._key

    def shape(self, *shapes: Any) -> Any:
        """Shape of the output for inputs of these shapes, or of each output; raises ShapeError."""
        return self.op.shape(*shapes, **self.attributes)

    def forward(self, inputs: Sequence[Any]) -> Any:
        """The forward rule."""
        return self.op.forward(*inputs, **self.attributes)


OPS: dict[str, Op] = {}
"""The table: every declared op by its name."""


_PLAIN = (int, float, bool, str, type(None), complex)


def is_plain(value: Any) -> bool:
    """Whether it can never change, and is written as bytes that tell its type."""
    return all(map(is_plain, value)) if type(value) is tuple else type(value) in _PLAIN


def _op_by_name(name: str) -> Op:
    return OUTPUT_OF if name == OUTPUT_OF.name else OPS[name]


def _rebind(op: Op, attributes: dict[str, Any]) -> BoundOp:
    return op.bind(**attributes)


def _put_in_place(g: Any, z: Any, values: Any, *, number: int, count: int) -> tuple[Any, ...]:
    return tuple([g if i == number else None for i in range(count)])


OUTPUT_OF = Op(
    name="output",
    inputs=("values",),
    attributes=("number", "count"),
    shape=lambda shapes, *, number, count: shapes[number],
    forward=lambda values, *, number, count: values[number],
    backward=(_put_in_place,),
    reads=frozenset(),
    elementwise=False,
    variadic=False,
    examples=(),
    formula="z = one of the values that an op with several outputs gives.",
)
"""Output `number` of the `count` that an op has; its gradient is a tuple with a place for each.

It is in no table, for its input is no array: graphs are made of it, and nothing else.
"""


def broadcast_shape(
    name: str, inputs: Sequence[str], *shapes: Shape, **attributes: object
) -> Shape:
    """The shape that `shapes` broadcast to by NumPy's rule; raises ShapeError."""
    first = shapes[0]
    for shape in shapes:
        if shape != first:
            break
    else:
        return first
    if len(shapes) == 2 and not (first and shapes[1]):
        return first or shapes[1]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        pairs = ", ".join(f"{n} has shape {s}" for n, s in zip(inputs, shapes, strict=True))
        raise ShapeError(f"{name}: shapes do not broadcast: {pairs}") from None
