"""Directional derivatives, and products with Hessians.

The rules of ops go backward only. A derivative along a direction v is made of two gradients: the
gradient of s' f(x) with respect to x is linear in s, and its own gradient with respect to s, with
the seed v, is (df/dx) v. Neither needs the numbers of s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.graph.differentiate import gradient_nodes
from autodiff.graph.node import Node, lift
from autodiff.transform.argument import Call, fresh, name_of, numbered
from autodiff.transform.gradient import applied, pulled_back, transformed, zeros

__all__ = ["along", "gradient_in", "hvp", "jvp", "make_hvp", "make_jvp"]

Function = Callable[..., Any]


def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """The pair of f at `primals` and its derivative along `tangents`: (y, Σ (dy/dx) v).

    Parameters
    ----------
    f : returns one array or node, of any shape.
    primals : tuple of the arguments x of f; nestings as for :func:`grad`.
    tangents : tuple with a v for each x, of its structure and shapes.

    Raises
    ------
    ShapeError
        If a tangent is not like its argument.

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.jvp(lambda x, a: a * x, (np.array([1.0, 2.0]), 3.0), (np.array([1.0, 0.0]), 1.0))
    (array([3., 6.]), array([4., 2.]))
    """
    what = f"jvp of {name_of(f)}"
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (tuple, list)):
            raise TypeError(f"{what}: {name} is a tuple with one for each argument: ({name[:-1]},)")
    call = Call(what, primals, tuple(range(len(primals))), alone=False)
    directions = call.like_leaves(tuple(tangents), "tangents")
    y, _ = applied(call, f, {}, False)
    return call.leave(y), call.leave(along(call, y, directions))


def make_jvp(f: Function, argnum: int | Sequence[int] = 0) -> Function:
    """A function of x that returns the function of v that returns the pair (f(x), (df/dx) v).

    As HIPS autograd has it.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.make_jvp(lambda x: x * x)(3.0)(10.0)
    (array(9.), array(60.))
    """
    what = f"make_jvp of {name_of(f)}"
    numbers, alone = numbered("make_jvp", argnum)

    def made(*arguments: Any, **named: Any) -> Any:
        call = Call(what, arguments, numbers, alone)
        y, _ = applied(call, f, named, False)

        def forward(v: Any) -> Any:
            directions = call.like_leaves(v, "the tangent")
            return call.leave(y), call.leave(along(call, y, directions))

        return forward

    return transformed("make_jvp", f, made)


def hvp(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """The Hessian of f times a vector: a function of the arguments of f, and then of v.

    It returns (d²f/dx²) v, of the structure and shapes of x and v, and costs a few times what the
    gradient costs; no Hessian is made. Parameters are those of :func:`grad`; for a tuple of
    arguments v is a tuple, too.

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> product = autodiff.hvp(lambda x: (x**3.0).sum())
    >>> product(np.array([1.0, 2.0]), np.array([1.0, 10.0]))
    array([  6., 120.])
    """
    what = f"hvp of {name_of(f)}"
    numbers, alone = numbered("hvp", argnums)

    def product(*arguments: Any, **named: Any) -> Any:
        if len(arguments) < 2:
            raise TypeError(f"{what}: give the arguments of {name_of(f)}, and then the vector")
        call = Call(what, arguments[:-1], numbers, alone)
        directions = call.like_leaves(arguments[-1], "the vector")
        return call.shaped(_times_hessian(call, gradient_in(call, f, named), directions))

    return transformed("hvp", f, product, same=False)


def make_hvp(f: Function, argnum: int | Sequence[int] = 0) -> Function:
    """A function of x that returns the pair (hvp, df/dx), in which hvp maps v to (d²f/dx²) v.

    As HIPS autograd has it; hvp may be called again and again.

    Examples
    --------
    >>> import autodiff
    >>> times_hessian, gradient = autodiff.make_hvp(lambda x: x * x * x)(2.0)
    >>> gradient, times_hessian(10.0)
    (array(12.), array(120.))
    """
    what = f"make_hvp of {name_of(f)}"
    numbers, alone = numbered("make_hvp", argnum)

    def made(*arguments: Any, **named: Any) -> Any:
        call = Call(what, arguments, numbers, alone)
        gradients = gradient_in(call, f, named)

        def product(v: Any) -> Any:
            directions = call.like_leaves(v, "the vector")
            return call.shaped(_times_hessian(call, gradients, directions))

        return product, call.shaped([call.leave(g) for g in gradients])

    return transformed("make_hvp", f, made)


# ---- how ------------------------------------------------------------------------------


def gradient_in(call: Call, f: Function, named: dict[str, Any]) -> list[Node]:
    """df/dx for each leaf x of `call`, as nodes."""
    y, _ = applied(call, f, named, False)
    call.require_number(y)
    if not isinstance(y, Node) or not y.needs_gradient:
        return [zeros(x) for x in call.leaves]
    pairs = gradient_nodes({y: lift(np.ones(y.shape))}, call.leaves)
    return [zeros(x) if g is None else g for x, g in pairs]


def _times_hessian(call: Call, gradients: Sequence[Node], directions: Sequence[Any]) -> list[Any]:
    # The gradient of v' df/dx: the Hessian is symmetric.
    seeds: dict[Node, Any] = {}
    for g, v in zip(gradients, directions, strict=True):
        seeds[g] = v if g not in seeds else seeds[g] + v
    return pulled_back(call, seeds)


def along(call: Call, y: Any, directions: Sequence[Any]) -> Any:
    """Σ (dy/dx) v over the leaves x of `call`, as a node or zeros."""
    if not isinstance(y, Node) or not y.needs_gradient:
        return np.zeros(y.shape)
    seed = fresh(np.zeros(y.shape))
    pairs = gradient_nodes({y: seed}, call.leaves)
    seeds: dict[Node, Any] = {}
    for (_, g), v in zip(pairs, directions, strict=True):
        if g is not None and g.needs_gradient:
            seeds[g] = lift(v) if g not in seeds else seeds[g] + v
    ((_, found),) = gradient_nodes(seeds, [seed])
    return np.zeros(y.shape) if found is None else found
