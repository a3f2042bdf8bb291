"""Gradients of functions: grad, value_and_grad, elementwise_grad, vjp."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.errors import GradientError, ShapeError
from autodiff.graph.differentiate import gradient_nodes, gradient_values
from autodiff.graph.forward import forward, require_fresh
from autodiff.graph.node import Node, lift
from autodiff.ops.arguments import operand
from autodiff.refusal import refusal
from autodiff.transform.argument import Call, name_of, numbered, numbers_of

__all__ = [
    "applied",
    "elementwise_grad",
    "grad",
    "make_vjp",
    "pulled_back",
    "transformed",
    "value_and_grad",
    "vjp",
    "zeros",
]

Function = Callable[..., Any]


def grad(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """The gradient of f: a function of the same arguments that returns df/dx.

    Parameters
    ----------
    f : returns one number: a node or an array of shape (), or of one element. It may branch on
        values. Arguments given by name, and those not in `argnums`, are handed on as they are.
    argnums : the number of the argument x, or a tuple of numbers: then a tuple of gradients comes
        back. An argument may be a nesting of tuples, lists, dictionaries and data classes; its
        gradient has the same structure, and each array in it the shape of that array. Numbers,
        lists of numbers and arrays of integers are taken as float64.
    has_aux : f returns a pair, the number and anything else; the result is then a pair, too: the
        gradient and that. Nodes in it become arrays where the gradient is one.

    Returns
    -------
    A function. Called with arrays and numbers it gives arrays, also of shape (); with recorded
    values of a compiled step recorded values; with nodes, or if f reads nodes from outside that
    need gradients, it gives nodes. What f does not depend on has the gradient 0.

    Raises
    ------
    ShapeError
        When called, if f returns more or less than one element: see :func:`jacobian`.
    GradientError, DTypeError
        If f returns no array or node, or an argument is no array of real numbers.

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.grad(lambda x: (x**3.0).sum())(np.array([1.0, 2.0]))
    array([ 3., 12.])
    >>> autodiff.grad(lambda p: p["a"] * p["b"])({"a": 2.0, "b": 5.0})
    {'a': array(5.), 'b': array(2.)}
    >>> autodiff.grad(autodiff.grad(lambda x: x**3.0))(2.0)
    array(12.)
    """
    both = value_and_grad(f, argnums, has_aux)

    def gradient(*arguments: Any, **named: Any) -> Any:
        value, found = both(*arguments, **named)
        return (found, value[1]) if has_aux else found

    return transformed("grad", f, gradient)


def value_and_grad(
    f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Function:
    """The value of f and its gradient: a function that returns the pair (f(x), df/dx).

    See :func:`grad`. With `has_aux`, f returns a pair (number, anything), and the result is
    ((number, anything), df/dx).

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
    (array(5.), array([2., 4.]))
    """
    what = f"value_and_grad of {name_of(f)}"
    numbers, alone = numbered("value_and_grad", argnums)

    def value_and_gradient(*arguments: Any, **named: Any) -> Any:
        call = Call(what, arguments, numbers, alone)
        y, aux = applied(call, f, named, has_aux)
        call.require_number(y)
        value, found = _pair(call, y, None)
        if has_aux:
            value = value, call.leave_all(aux)
        return value, call.shaped(found)

    return transformed("value_and_grad", f, value_and_gradient)


def elementwise_grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """The derivative of f element by element: a function that returns d(Σ f)/dx, of x's shape.

    That is the diagonal of the Jacobian if each element of f depends on the same element of x
    alone, as with NumPy's functions of one variable; else it is the sum over all elements of f.
    Arguments are as for :func:`grad`; f may return an array of any shape.

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.elementwise_grad(lambda x: x**3.0)(np.array([1.0, 2.0, 3.0]))
    array([ 3., 12., 27.])
    """
    what = f"elementwise_grad of {name_of(f)}"
    numbers, alone = numbered("elementwise_grad", argnums)

    def derivative(*arguments: Any, **named: Any) -> Any:
        call = Call(what, arguments, numbers, alone)
        y, _ = applied(call, f, named, False)
        return call.shaped(_pair(call, y, None)[1])

    return transformed("elementwise_grad", f, derivative)


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> Any:
    """The value y of f at `primals`, and the function that maps g to the products g' dy/dx.

    That function may be called again and again; it returns a tuple with a product for each of
    `primals`, of its structure and shapes. y and g have one shape.

    Parameters
    ----------
    f : returns one array or node, of any shape; with `has_aux` a pair of that and anything else,
        and then vjp returns (y, function, anything).
    primals : the arguments of f; nestings as for :func:`grad`.

    Raises
    ------
    ShapeError
        By that function, if g does not have the shape of y.
    StaleValueError
        By that function, if a tensor that f has read was assigned meanwhile.

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> y, back = autodiff.vjp(lambda x, a: a * x, np.array([1.0, 2.0]), 3.0)
    >>> y, back(np.array([1.0, 10.0]))
    (array([3., 6.]), (array([ 3., 30.]), array(21.)))
    """
    what = f"vjp of {name_of(f)}"
    call = Call(what, primals, tuple(range(len(primals))), alone=False)
    y, aux = applied(call, f, {}, has_aux)
    value = call.leave(y)

    def back(g: Any) -> Any:
        return call.shaped(_back(call, y, g))

    return (value, back, call.leave_all(aux)) if has_aux else (value, back)


def make_vjp(f: Function, argnum: int | Sequence[int] = 0) -> Function:
    """A function that returns the pair (vjp, f(x)), in which vjp maps g to g' df/dx.

    As HIPS autograd has it: like :func:`vjp`, but with the order of the pair exchanged, and by the
    argument `argnum` only.

    Examples
    --------
    >>> import autodiff
    >>> back, y = autodiff.make_vjp(lambda x: x * x)(3.0)
    >>> y, back(10.0)
    (array(9.), array(60.))
    """
    what = f"make_vjp of {name_of(f)}"
    numbers, alone = numbered("make_vjp", argnum)

    def made(*arguments: Any, **named: Any) -> Any:
        call = Call(what, arguments, numbers, alone)
        y, _ = applied(call, f, named, False)
        return (lambda g: call.shaped(_back(call, y, g))), call.leave(y)

    return transformed("make_vjp", f, made)


# ---- how ------------------------------------------------------------------------------


def transformed(transform: str, f: Function, made: Function, *, same: bool = True) -> Function:
    """`made`, with the name and the documentation of `f`, of which it is a transform.

    same : whether it takes the arguments of f.
    """
    try:
        made = functools.wraps(f, updated=())(made)
    except (AttributeError, TypeError):  # an object with names of another kind
        return made
    if not same:
        del made.__wrapped__
    name = name_of(f)
    made.__name__ = f"{transform}_of_{name}" if name.isidentifier() else transform
    made.__qualname__ = f"{transform}({name})"
    return made


def applied(call: Call, f: Function, named: dict[str, Any], has_aux: bool) -> tuple[Any, Any]:
    """What f returns: one node or array, and the rest."""
    returned = f(*call.arguments, **named)
    aux = None
    if has_aux:
        if not isinstance(returned, (tuple, list)) or len(returned) != 2:
            raise GradientError(
                f"{call.what}: with has_aux=True it must return a pair, (number, anything)"
            )
        returned, aux = returned
    return call.output(returned), aux


def _pair(call: Call, y: Any, g: Any) -> tuple[Any, list[Any]]:
    """The value of y, and what :func:`pulled_back` gives for it."""
    if isinstance(y, Node) and y.needs_gradient and not call.gives_nodes:
        seed = np.ones(y.shape) if g is None else np.array(g)
        found = gradient_values({y: seed}, call.leaves, call.since, forward)
        if found is not None:
            return numbers_of(y), _zeros_for_none(found, call.leaves)
    return call.leave(y), _back(call, y, g)


def _back(call: Call, y: Any, g: Any) -> list[Any]:
    """g' dy/dx for each leaf x; g is ones if it is None."""
    if g is not None:
        g = operand(call.what, g, "the gradient of the result")
        if g.shape != y.shape:
            raise refusal(
                ShapeError,
                f"{call.what}: the result has shape {y.shape}, its gradient has shape {g.shape}",
                g=g,
            )
    if not isinstance(y, Node):
        y = lift(y)
    return pulled_back(call, {y: np.ones(y.shape) if g is None else g})


def pulled_back(call: Call, seeds: dict[Node, Any]) -> list[Any]:
    """Σ g' dy/dx for each leaf x of `call`: arrays if it gives arrays, else nodes.

    seeds : the gradient g of each y.
    """
    seeds = {y: g for y, g in seeds.items() if y.needs_gradient}
    as_nodes = call.gives_nodes or any(isinstance(g, Node) for g in seeds.values())
    if not as_nodes:
        arrays = {y: np.array(g) if isinstance(g, np.ndarray) else g for y, g in seeds.items()}
        found = gradient_values(arrays, call.leaves, call.since, require_fresh)
        if found is not None:
            return _zeros_for_none(found, call.leaves)
    nodes = {y: lift(g) for y, g in seeds.items()}
    return [zeros(x) if g is None else g for x, g in gradient_nodes(nodes, call.leaves)]


def zeros(x: Node) -> Node:
    """Zeros of the shape of x, as a constant node."""
    return lift(np.zeros(x.shape))


def _zeros_for_none(found: Sequence[Any], leaves: Sequence[Node]) -> list[Any]:
    """Zeros where nothing has come to a leaf."""
    return [zeros(x).value.copy() if g is None else g for g, x in zip(found, leaves, strict=True)]
