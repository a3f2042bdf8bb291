"""Functions with gradients of the user's, as HIPS autograd has them: primitive, defvjp, defjvp.

Each call of a primitive becomes one node. Its rule calls the function with numbers; its backward
rules call what :func:`defvjp` was given, with numbers or, for derivatives of derivatives, nodes.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.apply import apply
from autodiff.array import Array, as_float64, is_operand
from autodiff.autograd.trees import Tree, flat, scalar
from autodiff.autograd.vspaces import vspace
from autodiff.autograd.wrap_util import wraps
from autodiff.errors import ShapeError
from autodiff.op import Op

__all__ = [
    "def_linear",
    "defjvp",
    "defjvp_argnum",
    "defjvp_argnums",
    "defvjp",
    "defvjp_argnum",
    "defvjp_argnums",
    "primitive",
    "primitive_jvps",
    "primitive_vjps",
]

Function = Callable[..., Any]

primitive_vjps: dict[Any, Function] = {}
"""For each primitive ``maker(argnums, ans, args, kwargs)``, which gives ``g -> gradients``."""
primitive_jvps: dict[Any, Function] = {}
"""What :func:`defjvp` was given. It is not used: forward mode is made of backward rules."""


def primitive(f_raw: Function) -> Function:
    """A function whose gradient is given by :func:`defvjp`.

    It is called with numbers. Nodes may be arguments, also within lists, tuples and dictionaries;
    arguments given by name are held constant.
    """

    @wraps(f_raw)
    def f_wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves: list[Any] = []
        trees = [flat(x, leaves) for x in args]
        if not any(map(is_operand, leaves)):
            return f_raw(*args, **kwargs)
        numbers = [scalar(x) for x in leaves]
        if getattr(f_wrapped, "notrace", False):
            return f_raw(*_rebuilt(trees, numbers), **kwargs)
        return _node(f_wrapped, f_raw, trees, leaves, numbers, kwargs)

    f_wrapped.fun = f_raw  # type: ignore[attr-defined]
    _add_old_ways(f_wrapped)
    return f_wrapped


def _node(
    wrapped: Any,
    f_raw: Function,
    trees: Sequence[Tree],
    leaves: Sequence[Any],
    numbers: Sequence[Any],
    kwargs: dict[str, Any],
) -> Any:
    """The node of one call."""
    name = getattr(f_raw, "__name__", "primitive")
    positions = [i for i, x in enumerate(leaves) if is_operand(x)]
    owners = _owners(trees)
    argnums = tuple(sorted({owners[i] for i in positions}))
    maker = primitive_vjps.get(wrapped)
    if maker is None:
        raise NotImplementedError(f"VJP of {name} wrt argnums {argnums} not defined")
    recorded = any(map(is_operand, numbers))
    first = _first(f_raw, trees, numbers, kwargs, name)
    known = [] if recorded else [np.asarray(numbers[i]) for i in positions]

    def arguments(operands: Sequence[Any]) -> list[Any]:
        found = list(leaves)
        for i, x in zip(positions, operands, strict=True):
            found[i] = x[()] if isinstance(x, np.ndarray) else x
        return _rebuilt(trees, found)

    def forward(*operands: Array) -> Any:
        if known and all(map(np.array_equal, operands, known)):
            return first.copy()
        z = f_raw(*arguments(operands), **kwargs)
        return z if is_operand(z) else as_float64(z, f"primitive {name}")

    def backward(g: Any, z: Any, *operands: Any, needed: Sequence[bool]) -> list[Any]:
        args = arguments(operands)
        z, g = (x[()] if isinstance(x, np.ndarray) else x for x in (z, g))
        wanted = tuple(sorted({owners[i] for i, n in zip(positions, needed, strict=True) if n}))
        found = dict(zip(wanted, maker(wanted, z, args, kwargs)(g), strict=True))
        gradients: list[Any] = []
        for i, n in zip(positions, needed, strict=True):
            tree, start = trees[owners[i]], sum(t.size for t in trees[: owners[i]])
            gradients.append(_part(tree, found[owners[i]], i - start) if n else None)
        return [
            None if x is None else _of_shape(x, shape.shape, name)
            for x, shape in zip(gradients, operands, strict=True)
        ]

    op = Op(
        name=f"primitive {name}",  # so that it is no other op's, and gets no kernel of that
        inputs=("x",),
        shape=lambda *shapes: first.shape,
        forward=forward,
        backward=(backward,),
        reads=frozenset({"z", "x"}),
        elementwise=False,
        variadic=True,
        examples=(),
        formula=f"z = {name}(...), a primitive.",
    )
    return apply(op, [leaves[i] for i in positions], {})


def _first(
    f_raw: Function,
    trees: Sequence[Tree],
    numbers: Sequence[Any],
    kwargs: dict[str, Any],
    name: str,
) -> Any:
    """What the function gives for these numbers; for values without numbers, something alike."""
    if any(map(is_operand, numbers)):
        numbers = [np.full(x.shape, 0.5)[()] if is_operand(x) else x for x in numbers]
        with np.errstate(all="ignore"):
            found = f_raw(*_rebuilt(trees, numbers), **kwargs)
    else:
        found = f_raw(*_rebuilt(trees, numbers), **kwargs)
    return as_float64(found, f"primitive {name}: what it returned")


def _owners(trees: Sequence[Tree]) -> list[int]:
    """For each leaf, the number of the argument that it belongs to."""
    return [i for i, tree in enumerate(trees) for _ in range(tree.size)]


def _rebuilt(trees: Sequence[Tree], leaves: Sequence[Any]) -> list[Any]:
    rest = iter(leaves)
    return [tree.rebuilt(rest) for tree in trees]


def _part(tree: Tree, gradient: Any, number: int) -> Any:
    """Leaf `number` of the gradient of one argument; zeros if the gradient is None."""
    if gradient is None:
        return 0.0
    found: list[Any] = []
    flat(gradient, found)
    return found[number]


def _of_shape(gradient: Any, shape: tuple[int, ...], name: str) -> Any:
    """The gradient of an operand of this shape: a number stands for all of its elements."""
    have = np.shape(gradient)
    if have == shape:
        return gradient if is_operand(gradient) else np.asarray(gradient, np.float64)
    if have == ():
        return gradient * np.ones(shape)
    if int(np.prod(have)) == int(np.prod(shape)):
        return gradient.reshape(shape)
    raise ShapeError(f"primitive {name}: its VJP gave shape {have} for an argument of {shape}")


# ---- gradients of primitives ------------------------------------------------------------


def defvjp_argnums(fun: Function, vjpmaker: Function) -> None:
    """``vjpmaker(argnums, ans, args, kwargs)`` gives the function from g to all gradients."""
    primitive_vjps[fun] = vjpmaker


def defvjp_argnum(fun: Function, vjpmaker: Function) -> None:
    """``vjpmaker(argnum, ans, args, kwargs)`` gives the function from g to one gradient."""

    def of_all(argnums: Sequence[int], ans: Any, args: Any, kwargs: Any) -> Function:
        made = [vjpmaker(argnum, ans, args, kwargs) for argnum in argnums]
        return lambda g: [vjp(g) for vjp in made]

    defvjp_argnums(fun, of_all)


def defvjp(fun: Function, *vjpmakers: Function | None, argnums: Any = None) -> None:
    """The gradients of a primitive: ``vjpmaker(ans, *args, **kwargs)`` gives ``g -> gradient``.

    One for each of `argnums`, or for the first arguments; None is a gradient of zeros.
    """
    known = dict(zip(itertools.count() if argnums is None else argnums, vjpmakers, strict=False))
    for made in known.values():
        if made is not None and not callable(made):
            raise TypeError(f"Bad VJP '{made}' for '{getattr(fun, '__name__', fun)}'")

    def of_one(argnum: int, ans: Any, args: Any, kwargs: Any) -> Function:
        if argnum not in known:
            name = getattr(fun, "__name__", fun)
            raise NotImplementedError(f"VJP of {name} wrt argnum {argnum} not defined")
        maker = known[argnum]
        if maker is None:
            return lambda g: None
        made: Function = maker(ans, *args, **kwargs)
        return made

    defvjp_argnum(fun, of_one)


def defjvp_argnums(fun: Function, jvpmaker: Function) -> None:
    """Noted, and not used: derivatives forward are made of the backward rules."""
    primitive_jvps[fun] = jvpmaker


def defjvp_argnum(fun: Function, jvpmaker: Function) -> None:
    """Noted, and not used: derivatives forward are made of the backward rules."""
    primitive_jvps[fun] = jvpmaker


def defjvp(fun: Function, *jvpfuns: Any, argnums: Any = None) -> None:
    """Noted, and not used: derivatives forward are made of the backward rules."""
    for made in jvpfuns:
        if made is not None and made != "same" and not callable(made):
            raise TypeError(f"Bad JVP '{made}' for '{getattr(fun, '__name__', fun)}'")
    primitive_jvps[fun] = lambda *_: (jvpfuns, argnums)


def def_linear(fun: Function) -> None:
    """Noted, and not used: derivatives forward are made of the backward rules."""
    primitive_jvps[fun] = fun


# ---- as it once was ---------------------------------------------------------------------

_OLD = "the method {} of a primitive is deprecated; write defvjp(fun, vjpmaker)"


def _add_old_ways(wrapped: Any) -> None:
    makers: dict[int, Function | None] = {}

    def enter(argnum: int, maker: Function | None) -> None:
        makers[argnum] = maker
        argnums = sorted(makers)
        defvjp(wrapped, *[makers[i] for i in argnums], argnums=argnums)

    def old_defvjp(vjpmaker: Function, argnum: int = 0) -> None:
        warnings.warn(_OLD.format("defvjp"), stacklevel=2)

        def staged(ans: Any, *args: Any, **kwargs: Any) -> Function:
            return lambda g: vjpmaker(g, ans, vspace(args[argnum]), vspace(g), *args, **kwargs)

        enter(argnum, staged)

    def old_defvjp_is_zero(argnums: Sequence[int] = (0,)) -> None:
        warnings.warn(_OLD.format("defvjp_is_zero"), stacklevel=2)
        for argnum in argnums:
            enter(argnum, None)

    def old_defgrad(gradfun: Function, argnum: int = 0) -> None:
        warnings.warn(_OLD.format("defgrad"), stacklevel=2)
        enter(argnum, gradfun)

    wrapped.defvjp = old_defvjp
    wrapped.defvjp_is_zero = old_defvjp_is_zero
    wrapped.defgrad = old_defgrad
