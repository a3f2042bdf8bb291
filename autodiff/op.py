"""What an op is, and how one is declared.

An op is one record (:class:`Op`), made in one place by the decorator :func:`declare`. The
decorated function *is* the forward rule, written with NumPy; the decorator adds the
shape rule, the backward rules, what those read, and examples on which the generic
tests, the benchmarks and the documentation run.

The rules are plain array expressions, and every op is called by the same name whatever
it is given. The same rules therefore serve NumPy arrays (the reference back end),
complex arrays (the complex-step check), nodes (gradients that can be differentiated
again) and recorded values. What an operand that is not an array does with an op is its own
business: :func:`apply` asks it, by the method ``__autodiff_apply__``.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol, TypeVar

import numpy as np

from autodiff.array import Array, Shape, as_float64, is_float64, is_operand
from autodiff.errors import AutodiffError, DTypeError, ShapeError

__all__ = [
    "OPS",
    "BoundOp",
    "Example",
    "Op",
    "OpFunction",
    "Sample",
    "apply",
    "complex_step",
    "declare",
    "is_of_package",
    "is_operand",
    "plain",
    "refusal",
    "user_line",
]

# forward(*inputs, **attributes) -> output
ForwardRule = Callable[..., Any]
# backward(gradient, output, *inputs, **attributes) -> gradient of one input
BackwardRule = Callable[..., Any]
# shape(*shapes, **attributes) -> shape of the output, or ShapeError
ShapeRule = Callable[..., Shape]

OUTPUT = "z"  # the name of an op's output in `reads`; the inputs go by their parameter names


@dataclass(frozen=True)
class Sample:
    """How to draw one input of an example.

    kind : "real" (uniform), "integer", "boolean", or "distinct" (values at least 0.1
        apart and away from 0, for ops that are not differentiable everywhere).
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
        size = int(np.prod(self.shape, dtype=np.intp))
        ladder = 0.15 + 0.2 * np.arange(size) + random.uniform(-0.04, 0.04, size)
        ladder *= random.choice([-1.0, 1.0], size)
        return random.permutation(ladder).reshape(self.shape)


@dataclass(frozen=True)
class Example:
    """Inputs and attributes on which an op is tested, benchmarked and shown."""

    samples: tuple[Sample, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    def draw(self, random: np.random.Generator) -> tuple[Array, ...]:
        """The inputs, drawn one after the other from `random`."""
        return tuple(sample.draw(random) for sample in self.samples)


@dataclass(frozen=True, eq=False)
class Op:
    """One record: all that the engine knows about an op.

    Parameters
    ----------
    name : the name in the table, in listings and in error messages.
    inputs : names of the inputs; a single name with `variadic` for any number.
    shape : ``shape(*shapes, **attributes)``; raises ShapeError.
    forward : ``forward(*inputs, **attributes)``; runs on float64 and complex128.
    backward : one rule an input, ``rule(g, z, *inputs, **attributes)``, None where there is
        no gradient. A variadic op has one rule, which is also given ``position``.
        Where an input was broadcast, a rule may return a gradient of the output's shape:
        :func:`autodiff.ops.rules.input_gradient` sums it to the input's.
    reads : what the *values* of backward depend on: "z" and input names.
    elementwise : one output element needs one element of each input.
    variadic : takes any number of inputs.
    examples : see :class:`Example`.
    formula : the first line of the docstring.
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
    _bare: BoundOp = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_bare", BoundOp(self, {}))

    def __repr__(self) -> str:
        return f"<op {self.name}({'*' if self.variadic else ''}{', '.join(self.inputs)})>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        return _op_by_name, (self.name,)

    def bind(self, **attributes: Any) -> BoundOp:
        """This op with its attributes; without any, always the same object."""
        if attributes:
            return BoundOp(self, attributes)
        return self._bare

    def rule(self, position: int) -> BackwardRule | None:
        """The backward rule of input `position`, or None if it gets no gradient."""
        if not self.variadic:
            return self.backward[position]
        rule = self.backward[0]
        return None if rule is None else functools.partial(rule, position=position)

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
            self._key = self.name, *sorted(self.attributes.items())
        return self._key

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the output for inputs of these shapes; raises ShapeError."""
        return self.op.shape(*shapes, **self.attributes)

    def forward(self, inputs: Sequence[Any]) -> Any:
        """The forward rule."""
        return self.op.forward(*inputs, **self.attributes)


class OpFunction(Protocol):
    """The public function of an op: call it with arrays or nodes; `op` is the record."""

    op: Op

    def __call__(self, *inputs: Any, **attributes: Any) -> Any:
        """Apply the op."""
        ...


OPS: dict[str, Op] = {}
"""The table: every declared op by its name."""


def _op_by_name(name: str) -> Op:
    return OPS[name]


def _rebind(op: Op, attributes: dict[str, Any]) -> BoundOp:
    return op.bind(**attributes)


ErrorT = TypeVar("ErrorT", bound=AutodiffError)

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def is_of_package(frame: FrameType) -> bool:
    """Whether a function of this package runs in `frame`."""
    return frame.f_code.co_filename.startswith(_PACKAGE)


def user_line() -> tuple[str, int]:
    """File and line of the nearest caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def refusal(kind: type[ErrorT], message: str, **operands: Any) -> ErrorT:
    """The error to raise: `message`, which nodes the operands are, and the user's line."""
    known = [f"{k} is {x.describe()}" for k, x in operands.items() if is_operand(x)]
    file, line = user_line()
    known.append(f"in {os.path.basename(file)}:{line}")
    return kind(f"{message} ({'; '.join(known)})")


def apply(op: Op, inputs: Sequence[Any], attributes: dict[str, Any]) -> Any:
    """Apply `op`: by the rule to arrays, or as the operands themselves have it.

    An operand whose class has ``__autodiff_apply__(bound_op, inputs)`` decides; of
    several, the one with the greatest ``__array_priority__``.
    """
    host, mixed = None, False
    for x in inputs:
        if is_float64(x):
            continue
        if not is_operand(x):
            mixed = True
        elif host is None or x.__array_priority__ > host.__array_priority__:
            host = x
    if mixed:
        inputs = [
            x if is_float64(x) or is_operand(x) else plain(x, op.name, op.input_name(i))
            for i, x in enumerate(inputs)
        ]
    if host is not None:
        return host.__autodiff_apply__(op.bind(**attributes), inputs)
    try:
        op.shape(*[x.shape for x in inputs], **attributes)
    except ShapeError as error:
        raise refusal(ShapeError, str(error)) from None
    return op.forward(*inputs, **attributes)


_complex_step: ContextVar[bool] = ContextVar("complex_step", default=False)


@contextmanager
def complex_step() -> Iterator[None]:
    """Let ops take complex arrays within a ``with`` block: for the complex step.

    Elsewhere they are refused. The rules continue real functions analytically: there |x| of
    a complex x is -x or x, not its modulus.
    """
    token = _complex_step.set(True)
    try:
        yield
    finally:
        _complex_step.reset(token)


def plain(x: Any, name: str, what: str) -> Any:
    """Operand `what` of op `name`, which is no node, as a float64 array.

    Raises
    ------
    DTypeError
        Of complex numbers too, but within :func:`complex_step`.
    """
    if is_float64(x):
        return x
    if type(x) is float:
        return np.asarray(x)
    if _complex_step.get() and np.iscomplexobj(x):
        return np.asarray(x)
    if type(x) is np.ndarray and x.dtype == np.float64:
        return x  # in its own order: the rules take any
    try:
        return as_float64(x, f"{name}: {what}")
    except DTypeError as error:
        raise refusal(DTypeError, str(error)) from None


FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def declare(
    *,
    backward: BackwardRule | tuple[BackwardRule | None, ...] | None,
    reads: str = "",
    shape: ShapeRule | None = None,
    examples: Sequence[Example],
) -> Callable[[Callable[..., Any]], OpFunction]:
    """Turn a forward rule into an op and enter it into the table.

    Positional parameters of the function are inputs, keyword-only ones attributes; a
    leading underscore in its name (of a function that a public one wraps) is dropped.
    Without a `shape` rule the op is elementwise and its operands broadcast.

    Raises
    ------
    ValueError
        If the name is taken, or rules and parameters do not match.
    """

    def decorate(function: Callable[..., Any]) -> OpFunction:
        parameters = inspect.signature(function).parameters.values()
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        inputs = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        rules = backward if isinstance(backward, tuple) else (backward,)
        name = function.__name__.removeprefix("_")
        read = frozenset(reads.split())
        if name in OPS:
            raise ValueError(f"op {name!r} is declared already")
        if len(rules) != len(inputs) or not read <= {OUTPUT, *inputs}:
            raise ValueError(f"op {name!r}: backward or reads do not match {inputs}")
        formula = (inspect.getdoc(function) or "").partition("\n")[0]
        op = Op(
            name=name,
            inputs=inputs,
            shape=shape or functools.partial(broadcast_shape, name, inputs),
            forward=function,
            backward=rules,
            reads=read,
            elementwise=shape is None,
            variadic=variadic,
            examples=tuple(examples),
            formula=formula,
        )
        OPS[name] = op

        keywords = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        n_operands = len(inputs)

        @functools.wraps(function)
        def call(*operands: Any, **attributes: Any) -> Any:
            if attributes.keys() != keywords or len(operands) != n_operands:
                operands, attributes = _arranged(op, keywords, operands, attributes)
            return apply(op, operands, attributes)

        call.op = op  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return decorate


def _arranged(
    op: Op, keywords: frozenset[str], operands: tuple[Any, ...], attributes: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Operands and attributes of a call, some operands given by name; TypeError if they fit not."""
    names = () if op.variadic else op.inputs
    known = keywords.union(names)
    accepts = ", ".join([*(f"*{n}" if op.variadic else n for n in op.inputs), *sorted(keywords)])
    for given in attributes:
        if given not in known:
            raise TypeError(f"{op.name}: there is no argument {given!r}; it takes ({accepts})")
    if len(operands) > len(names) and not op.variadic:
        raise TypeError(f"{op.name}: {len(operands)} operands are given; it takes ({accepts})")
    for name in names[: len(operands)]:
        if name in attributes:
            raise TypeError(f"{op.name}: {name!r} is given twice")
    rest = names[len(operands) :]
    missing = [n for n in (*rest, *sorted(keywords)) if n not in attributes]
    if missing:
        raise TypeError(f"{op.name}: {', '.join(missing)} must be given; it takes ({accepts})")
    found = (*operands, *(attributes[n] for n in rest))
    return found, {k: v for k, v in attributes.items() if k in keywords}


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
