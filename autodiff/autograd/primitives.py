"""Functions with gradients of the user's, as HIPS autograd has them: primitive, defvjp, defjvp.

They are primitives of :mod:`autodiff.extend`, whose arguments are the leaves of what these are
called with: nodes may lie within lists, tuples and dictionaries.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from autodiff import extend
from autodiff.array import is_operand
from autodiff.autograd.trees import Tree, flat, scalar
from autodiff.autograd.vspaces import vspace
from autodiff.autograd.wrap_util import wraps
from autodiff.errors import ShapeError

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
    name = getattr(f_raw, "__name__", "primitive")

    @wraps(f_raw)
    def f_wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves: list[Any] = []
        trees = [flat(x, leaves) for x in args]
        if not any(map(is_operand, leaves)):
            return f_raw(*args, **kwargs)
        if getattr(f_wrapped, "notrace", False):
            return f_raw(*_rebuilt(trees, map(scalar, leaves)), **kwargs)
        if f_wrapped not in primitive_vjps:
            owners = _owners(trees)
            argnums = tuple(sorted({owners[i] for i, x in enumerate(leaves) if is_operand(x)}))
            raise NotImplementedError(f"VJP of {name} wrt argnums {argnums} not defined")
        return of_leaves(*leaves, trees=trees, kwargs=kwargs)

    def on_leaves(*leaves: Any, trees: Sequence[Tree], kwargs: dict[str, Any]) -> Any:
        return f_raw(*_rebuilt(trees, map(_number, leaves)), **kwargs)

    def backward(numbers: Sequence[int], ans: Any, leaves: Any, named: dict[str, Any]) -> Function:
        trees, kwargs = named["trees"], named["kwargs"]
        owners = _owners(trees)
        argnums = tuple(sorted({owners[i] for i in numbers}))
        args = _rebuilt(trees, map(_number, leaves))
        vjp = primitive_vjps[f_wrapped](argnums, _number(ans), args, kwargs)

        def gradients(g: Any) -> list[Any]:
            found = dict(zip(argnums, vjp(_number(g)), strict=True))
            return [
                _of_shape(_leaf(trees, owners[i], found[owners[i]], i), np.shape(leaves[i]), name)
                for i in numbers
            ]

        return gradients

    on_leaves.__name__ = name
    of_leaves = extend.primitive(on_leaves)
    extend.defvjp_argnums(of_leaves, backward)
    f_wrapped.fun = f_raw  # type: ignore[attr-defined]
    _add_old_ways(f_wrapped)
    return f_wrapped


def _number(x: Any) -> Any:
    """An array without axes as NumPy's number, as HIPS autograd hands it out."""
    return x[()] if isinstance(x, np.ndarray) else x


def _owners(trees: Sequence[Tree]) -> list[int]:
    """For each leaf, the number of the argument that it belongs to."""
    return [i for i, tree in enumerate(trees) for _ in range(tree.size)]


def _rebuilt(trees: Sequence[Tree], leaves: Iterable[Any]) -> list[Any]:
    rest = iter(leaves)
    return [tree.rebuilt(rest) for tree in trees]


def _leaf(trees: Sequence[Tree], owner: int, gradient: Any, number: int) -> Any:
    """What comes to leaf `number` of the gradient of its argument; zeros if that is None."""
    if gradient is None:
        return 0.0
    found: list[Any] = []
    flat(gradient, found)
    return found[number - sum(tree.size for tree in trees[:owner])]


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
