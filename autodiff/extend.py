"""Functions of your own with gradients of your own, as HIPS autograd has them.

A function made *primitive* is a black box to differentiation: it is called with arrays, and its
derivatives are what is told here::

    @primitive
    def logsumexp(x):
        m = x.max()
        return m + np.log(np.exp(x - m).sum())

    defvjp(logsumexp, lambda z, x: lambda g: g * autodiff.exp(x - z))

An op with records, kernels and batch rules is declared by :func:`autodiff.declare.declare`; this is
the short way. Within a compiled step, rules that are written with operators and NumPy's functions
become instructions; others are called back.
"""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from autodiff.array import as_float64, is_operand
from autodiff.errors import GradientError, RecordingError, UnassignedError
from autodiff.graph.clock import ticks
from autodiff.graph.differentiate import gradient_nodes
from autodiff.graph.node import Hub, Node, lift
from autodiff.graph.observer import current_observer
from autodiff.op import BoundOp, Op
from autodiff.refusal import refusal
from autodiff.transform.argument import fresh
from autodiff.transform.lanes import Lane

__all__ = [
    "def_linear",
    "defjvp",
    "defjvp_argnum",
    "defvjp",
    "defvjp_argnum",
    "defvjp_argnums",
    "notrace_primitive",
    "primitive",
]

Function = Callable[..., Any]


def primitive(function: Function) -> Function:
    """A function of arrays, as one op: called with nodes, it gives a node (a decorator).

    Its arguments by position may be nodes; whatever else it is given, it gets as it is. It returns
    an array or a number, or a tuple of them. Its gradients are told by :func:`defvjp` or
    :func:`defjvp`; until then a gradient through it is refused.

    Within a compiled step, and where else there are no numbers, the shape of the result must be
    known: the function is called once with made-up numbers, to see it.

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> @primitive
    ... def cube(x):
    ...     return np.array([xi**3 for xi in x])  # a loop over numbers
    >>> defvjp(cube, lambda z, x: lambda g: g * 3.0 * x * x)
    >>> autodiff.grad(lambda x: cube(x).sum())(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    made = _Primitive(function)

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return made(arguments, named)

    _PRIMITIVES[call] = made
    return call


def notrace_primitive(function: Function) -> Function:
    """A function through which no gradient goes: it is called with the values of nodes."""

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return function(*[x.value if is_operand(x) else x for x in arguments], **named)

    return call


def defvjp(
    function: Function, *makers: Function | None, argnums: Iterable[int] | None = None
) -> None:
    """Tell the gradients of a primitive function, one after the other for its arguments.

    Parameters
    ----------
    function : what :func:`primitive` has made.
    makers : ``maker(z, *arguments, **named)``, which returns the function that maps the gradient of
        the result z to that of one argument, of its shape. None: the gradient is 0. Written with
        operators, functions of autodiff and NumPy's, it can be differentiated again.
    argnums : the numbers of the arguments; 0, 1, 2, ... if not given.

    Raises
    ------
    TypeError
        If the function is no primitive, or a maker no function.
    """
    made = _primitive_of("defvjp", function)
    for number, maker in _numbered("defvjp", makers, argnums):
        made.vjps[number] = maker


def defvjp_argnum(function: Function, maker: Function) -> None:
    """Tell all gradients of a primitive at once: ``maker(argnum, z, arguments, named)``.

    It returns the function that maps the gradient of z to that of argument `argnum`.
    """
    _primitive_of("defvjp_argnum", function).all_vjps = lambda numbers, z, given, named: [
        maker(number, z, given, named) for number in numbers
    ]


def defvjp_argnums(function: Function, maker: Function) -> None:
    """Tell all gradients of a primitive at once: ``maker(argnums, z, arguments, named)``.

    It returns the function that maps the gradient of z to those of the arguments `argnums`.
    """

    def vjps(numbers: Sequence[int], z: Any, given: Any, named: Any) -> list[Function]:
        back = maker(tuple(numbers), z, given, named)
        found: dict[int, list[Any]] = {}

        def one(i: int, g: Any) -> Any:
            if id(g) not in found:
                found.clear()
                found[id(g)] = list(back(g))
            return found[id(g)][i]

        return [functools.partial(one, i) for i in range(len(numbers))]

    _primitive_of("defvjp_argnums", function).all_vjps = vjps


def defjvp(function: Function, *makers: Any, argnums: Iterable[int] | None = None) -> None:
    """Tell the derivatives of a primitive along a direction, one after the other.

    Parameters
    ----------
    function : what :func:`primitive` has made.
    makers : ``maker(v, z, *arguments, **named)``: the derivative of the result z when one argument
        moves along v. "same": the function is linear in the argument. None: it is 0. As this is
        linear in v, gradients follow from it; where :func:`defvjp` has told them, those are used,
        forward, too.
    argnums : the numbers of the arguments; 0, 1, 2, ... if not given.

    Raises
    ------
    TypeError
        If the function is no primitive, or a maker no function.
    """
    made = _primitive_of("defjvp", function)
    for number, maker in _numbered("defjvp", makers, argnums, "same"):
        made.jvps[number] = made.linear_in(number) if maker == "same" else maker


def defjvp_argnum(function: Function, maker: Function) -> None:
    """Tell all directional derivatives at once: ``maker(argnum, v, z, arguments, named)``."""
    _primitive_of("defjvp_argnum", function).all_jvps = maker


def def_linear(function: Function) -> None:
    """Tell that a primitive is linear in each of its arguments, the others held."""
    made = _primitive_of("def_linear", function)
    made.all_jvps = lambda number, v, z, given, named: made.linear_in(number)(v, z, *given, **named)


_PRIMITIVES: weakref.WeakKeyDictionary[Function, _Primitive] = weakref.WeakKeyDictionary()


def _primitive_of(what: str, function: Any) -> _Primitive:
    try:
        return _PRIMITIVES[function]
    except (KeyError, TypeError):
        raise TypeError(
            f"{what}: {function!r} is no primitive: decorate it with autodiff.extend.primitive"
        ) from None


def _numbered(
    what: str, makers: Sequence[Any], argnums: Iterable[int] | None, *words: str
) -> list[tuple[int, Any]]:
    for maker in makers:
        if not (maker is None or callable(maker) or maker in words):
            raise TypeError(f"{what}: {maker!r} is no function")
    numbers = itertools.count() if argnums is None else argnums
    return list(zip(numbers, makers))  # noqa: B905 - as many as there are


# ---- calls ----------------------------------------------------------------------------


class _Given:
    """What a primitive was called with, but for the operands: part of its op's identity.

    at : the places of the operands among the arguments; rest : the others, in order.
    """

    def __init__(self, arguments: Sequence[Any], named: dict[str, Any]) -> None:
        self.at = tuple([i for i, x in enumerate(arguments) if is_operand(x)])
        self.rest = [None if is_operand(x) else x for x in arguments]
        self.named = named

    def filled(self, operands: Sequence[Any]) -> list[Any]:
        """The arguments, with these operands in their places."""
        found = list(self.rest)
        for i, x in zip(self.at, operands, strict=True):
            found[i] = x
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Given) or self.at != other.at:
            return False
        if len(self.rest) != len(other.rest) or self.named.keys() != other.named.keys():
            return False
        pairs = [*zip(self.rest, other.rest, strict=True)]
        pairs += [(x, other.named[k]) for k, x in self.named.items()]
        return all(_same(x, y) for x, y in pairs)

    def __hash__(self) -> int:
        return hash((self.at, len(self.rest), tuple(self.named)))

    def __repr__(self) -> str:
        named = [f"{k}=..." for k in self.named]
        places = ["x" if i in self.at else "..." for i in range(len(self.rest))]
        return f"({', '.join([*places, *named])})"


def _same(x: Any, y: Any) -> bool:
    if x is y:
        return True
    if type(x) is not type(y):
        return False
    if isinstance(x, np.ndarray):
        return bool(x.dtype == y.dtype and x.shape == y.shape and (x == y).all())
    try:
        return bool(x == y)
    except Exception:
        return False


class _Primitive:
    """A function, what is told of its derivatives, and its ops."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.name = getattr(function, "__name__", "primitive")
        self.vjps: dict[int, Function | None] = {}
        self.jvps: dict[int, Function | None] = {}
        self.all_vjps: Function | None = None
        self.all_jvps: Function | None = None
        self._ops: dict[int | None, Op] = {}
        self._shapes: dict[Any, Any] = {}

    def __call__(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        for name, x in named.items():
            if is_operand(x):
                raise refusal(
                    GradientError,
                    f"{self.name}: {name} is given by name, and no gradient would come to it; "
                    "give it by position",
                    **{name: x},
                )
        given = _Given(arguments, named)
        if not given.at:
            return self.function(*arguments, **named)
        operands = [x for x in arguments if is_operand(x)]
        value = self._value(given, operands)
        shapes = self._shapes_of(given, operands) if value is None else _shapes(value)
        bound = BoundOp(self._op(shapes), {"given": given, "shapes": shapes})
        nodes = [x for x in operands if isinstance(x, Node)]
        if not nodes:
            return operands[0].__autodiff_apply__(bound, operands)
        hub = Hub(bound, list(map(lift, operands))) if isinstance(shapes, _Several) else None
        node = hub if hub is not None else Node(bound, list(map(lift, operands)))
        if value is not None:
            node.stored = value
            node.tick = next(ticks)
        return node if hub is None else hub.outputs()

    def _value(self, given: _Given, operands: Sequence[Any]) -> Any:
        """The value, if there are numbers: arrays, fresh ones."""
        if current_observer() is not None:
            return None
        try:
            return self._computed(given, [x.value for x in operands])
        except UnassignedError:
            return None

    def _computed(self, given: _Given, values: Sequence[Any]) -> Any:
        found = self.function(*given.filled(values), **given.named)
        if isinstance(found, (tuple, list)):
            return tuple([np.array(self._array(x)) for x in found])
        return np.array(self._array(found))

    def _array(self, x: Any) -> Any:
        return as_float64(x, f"{self.name}: what it returned")

    def _shapes_of(self, given: _Given, operands: Sequence[Any]) -> Any:
        key = given, tuple([x.shape for x in operands])
        found = self._shapes.get(key)
        if found is None:
            found = self._shapes[key] = _shapes(self._tried(given, operands))
        return found

    def _tried(self, given: _Given, operands: Sequence[Any]) -> Any:
        """What the function gives for made-up numbers of these shapes."""
        failed: Exception | None = None
        for number in (0.5, 1.0, 2.0):
            values = [np.full(x.shape, number) for x in operands]
            try:
                with np.errstate(all="ignore"):
                    return self._computed(given, values)
            except Exception as error:
                failed = error
        raise RecordingError(
            f"{self.name}: the shape of its result is not known where there are no numbers, and "
            f"called with made-up ones it raised {type(failed).__name__}: {failed}"
        ) from failed

    def linear_in(self, number: int) -> Function:
        """The derivative along a direction of a function that is linear in an argument."""

        def along(v: Any, z: Any, *given: Any, **named: Any) -> Any:
            moved = (*given[:number], v, *given[number + 1 :])
            return self(moved, named)

        return along

    # ---- ops --------------------------------------------------------------------------

    def _op(self, shapes: Any) -> Op:
        n_outputs = len(shapes) if isinstance(shapes, _Several) else None
        made = self._ops.get(n_outputs)
        if made is None:
            outputs = ("z",) if n_outputs is None else tuple(f"z{i}" for i in range(n_outputs))
            made = self._ops[n_outputs] = Op(
                name=f"primitive {self.name}",  # so that it is no other op's, nor gets its kernel
                inputs=("operands",),
                attributes=("given", "shapes"),
                shape=lambda *_, given, shapes: tuple(shapes),
                forward=self._forward,
                backward=(self._backward,),
                reads=frozenset(("operands", *outputs)),
                elementwise=False,
                variadic=True,
                examples=(),
                formula=f"z = {self.name}(...).",
                outputs=outputs,
            )
        return made

    def _forward(self, *operands: Any, given: _Given, shapes: Any) -> Any:
        found = self.function(*given.filled(operands), **given.named)
        if isinstance(found, (tuple, list)):
            return tuple([x if is_operand(x) else self._array(x) for x in found])
        return found if is_operand(found) else self._array(found)

    def _backward(
        self, g: Any, z: Any, *operands: Any, needed: Sequence[bool], given: _Given, shapes: Any
    ) -> list[Any]:
        arguments = given.filled(operands)
        wanted = [i for i, n in zip(given.at, needed, strict=True) if n]
        backs = iter(self._vjps(wanted, z, arguments, given.named))
        return [
            self._sent(next(backs)(g), x) if n else None
            for n, x in zip(needed, operands, strict=True)
        ]

    def _sent(self, found: Any, x: Any) -> Any:
        """A gradient of the shape of x: a number or a broadcast one stands for that."""
        if found is None:
            return np.zeros(x.shape)
        return found if is_operand(found) else self._array(found)

    def _vjps(
        self, numbers: Sequence[int], z: Any, arguments: Sequence[Any], named: dict[str, Any]
    ) -> list[Function]:
        if self.all_vjps is not None:
            return list(self.all_vjps(numbers, z, arguments, named))
        return [self._vjp(number, z, arguments, named) for number in numbers]

    def _vjp(
        self, number: int, z: Any, arguments: Sequence[Any], named: dict[str, Any]
    ) -> Function:
        if number in self.vjps:
            maker = self.vjps[number]
            return (lambda g: None) if maker is None else maker(z, *arguments, **named)
        if number in self.jvps and self.jvps[number] is None:
            return lambda g: None
        if self.all_jvps is None and number not in self.jvps:
            raise GradientError(
                f"{self.name}: no gradient for its argument {number} is told; use "
                f"autodiff.extend.defvjp({self.name}, ..., argnums=({number},))"
            )
        return functools.partial(self._transposed, number, z, arguments, named)

    def _transposed(
        self, number: int, z: Any, arguments: Sequence[Any], named: dict[str, Any], g: Any
    ) -> Any:
        """The gradient of an argument from the derivative along a direction, which is linear."""
        direction = fresh(np.zeros(arguments[number].shape))
        gs = list(g) if isinstance(g, (tuple, list)) else [g]
        lane = next((x for x in gs if isinstance(x, Lane)), None)
        arguments = [_without_lane(x) for x in arguments]
        z = tuple(map(_without_lane, z)) if isinstance(z, tuple) else _without_lane(z)
        maker = self.jvps.get(number)
        if maker is not None:
            moved = maker(direction, z, *arguments, **named)
        else:
            assert self.all_jvps is not None
            moved = self.all_jvps(number, direction, z, arguments, named)
        parts = list(moved) if isinstance(moved, (tuple, list)) else [moved]
        seeds: dict[Node, Any] = {}
        for part, gi in zip(parts, gs, strict=True):
            if isinstance(part, Node) and part.needs_gradient:
                seeds[part] = gi if lane is not None else lift(gi)
            elif np.any(part.value if is_operand(part) else part):
                raise GradientError(
                    f"{self.name}: its derivative along a direction, by argument {number}, gave "
                    "numbers, from which no gradient follows; write it with operators and "
                    "functions of autodiff"
                )
        read = None if lane is None else lane.computer.read
        ((_, found),) = gradient_nodes(seeds, [direction], read)
        if found is None or lane is not None:
            return found
        nodes = any(isinstance(x, Node) for x in (*gs, *arguments))
        return found if nodes else found.value


def _without_lane(x: Any) -> Any:
    """What is the same for all rows, as what it is for one."""
    return x.value if isinstance(x, Lane) else x


class _Several(tuple[Any, ...]):
    """The shapes of several results."""

    __slots__ = ()


def _shapes(value: Any) -> Any:
    """The shape of a value, or the shapes of several."""
    return _Several([x.shape for x in value]) if isinstance(value, tuple) else value.shape
