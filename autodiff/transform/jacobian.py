"""Jacobians and Hessians, in one pass over the graph for all rows.

The backward rules are applied to all rows of the identity at once, as a batch: what is the same for
all rows is computed once (:mod:`autodiff.transform.lanes`). If f has more elements than x, the
derivative along v is computed for all v instead: the gradient g of s' f(x) is linear in s, and is
pulled back to s with all rows of the identity in place of v.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.graph.differentiate import depends_on_older, gradient_nodes
from autodiff.graph.node import Node
from autodiff.ops.shape import broadcast_to, reshape, transpose
from autodiff.transform.argument import Call, fresh, name_of, numbered
from autodiff.transform.batching import identity_batch
from autodiff.transform.gradient import applied, pulled_back, transformed
from autodiff.transform.lanes import Computer, Lane, carried, computer_of
from autodiff.transform.tangent import gradient_in

__all__ = ["hessian", "jacobian"]

Function = Callable[..., Any]

_MODES = ("auto", "forward", "reverse")


def jacobian(f: Function, argnums: int | Sequence[int] = 0, mode: str = "auto") -> Function:
    """The Jacobian of f: a function of the same arguments that returns df/dx.

    Parameters
    ----------
    f : returns one array or node y. It may branch on values.
    argnums : the number of the argument x, or a tuple of numbers, as for :func:`grad`; of a nesting
        of arrays there is a Jacobian for each array in it.
    mode : "reverse": a row for each element of y, all in one pass; "forward": a column for each
        element of x, all in one pass of about twice the work; "auto": forward if x has fewer
        elements than y.

    Returns
    -------
    A function. Its result has the shape of y followed by that of x; it is an array if x is, a
    recorded value in a compiled step, and a node if x is a node.

    Raises
    ------
    ValueError
        If there is no such mode.
    GradientError, DTypeError
        When called, if f returns no array or node, or x is no array of real numbers.

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.jacobian(lambda x: x * x[0])(np.array([1.0, 2.0]))
    array([[2., 0.],
           [2., 1.]])
    """
    what = f"jacobian of {name_of(f)}"
    numbers, alone = numbered("jacobian", argnums)
    if mode not in _MODES:
        raise ValueError(f"jacobian: there is no mode {mode!r}; there are {', '.join(_MODES)}")

    def derivative(*arguments: Any, **named: Any) -> Any:
        call = Call(what, arguments, numbers, alone)
        y, _ = applied(call, f, named, False)
        return call.shaped([call.leave(j) for j in _jacobians(call, y, mode)])

    return transformed("jacobian", f, derivative)


def hessian(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """The Hessian of f: a function of the same arguments that returns d²f/dx².

    Parameters are those of :func:`grad`; f returns one number. The result has the shape of x twice.
    Of a tuple of arguments it is a tuple of tuples, and of a nesting of arrays a nesting of
    nestings: what stands at [i][j] is the derivative by x[i], and then by x[j].

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.hessian(lambda x: x[0] * x[0] * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    >>> autodiff.hessian(lambda x, y: x * y * y, argnums=(0, 1))(3.0, 5.0)
    ((array(0.), array(10.)), (array(10.), array(6.)))
    """
    what = f"hessian of {name_of(f)}"
    numbers, alone = numbered("hessian", argnums)

    def derivative(*arguments: Any, **named: Any) -> Any:
        call = Call(what, arguments, numbers, alone)
        gradients = gradient_in(call, f, named)
        rows = [_jacobians(call, g, "reverse") for g in gradients]
        return call.shaped([call.shaped([call.leave(h) for h in row]) for row in rows])

    return transformed("hessian", f, derivative)


def _jacobians(call: Call, y: Any, mode: str) -> list[Any]:
    """dy/dx for each leaf x of `call`: nodes, or if the call gives arrays, those."""
    if not isinstance(y, Node) or not y.needs_gradient:
        return [np.zeros(y.shape + x.shape) for x in call.leaves]
    if mode == "auto":
        mode = "forward" if sum(x.size for x in call.leaves) < y.size else "reverse"
    computer = computer_of(nodes=call.gives_nodes or depends_on_older(y, call.since))
    try:
        return (_by_columns if mode == "forward" else _by_rows)(computer, call.leaves, y)
    except Exception:
        if computer.builds:
            raise
    finally:
        computer.forget()
    # A rule that needs numbers: it is given them, row by row.
    return _row_by_row(call, y)


def _by_rows(computer: Computer, leaves: Sequence[Node], y: Node) -> list[Any]:
    rows = carried(computer, identity_batch(y.shape))
    pairs = gradient_nodes({y: rows}, leaves, computer.read)
    return [_joined(computer, g, y.shape + x.shape, y.size) for x, g in pairs]


def _by_columns(computer: Computer, leaves: Sequence[Node], y: Node) -> list[Any]:
    seed = fresh(np.zeros(y.shape))
    pairs = gradient_nodes({y: seed}, leaves)
    return [_columns(computer, y, seed, x, g) for x, g in pairs]


def _columns(computer: Computer, y: Node, seed: Node, x: Node, g: Any) -> Any:
    """dy/dx from the gradient g of seed' y with respect to x."""
    found = None
    if g is not None and g.needs_gradient:
        directions = carried(computer, identity_batch(x.shape))
        ((_, found),) = gradient_nodes({g: directions}, [seed], computer.read)
    columns = _joined(computer, found, x.shape + y.shape, x.size)
    order = (*range(len(x.shape), len(x.shape + y.shape)), *range(len(x.shape)))
    return computer.run(transpose.op.bind(axes=order), [columns])


def _joined(computer: Computer, found: Any, shape: tuple[int, ...], n: int) -> Any:
    """What a lane holds for n elements, as one value of a shape; zeros if there is no lane."""
    if found is None:
        return np.zeros(shape)
    lane = found if isinstance(found, Lane) else computer.constant(found)
    if lane.carried:
        value = lane.whole().base
        if value.shape[1:] != lane.shape:
            value = computer.run(broadcast_to.op.bind(shape=(n, *lane.shape)), [value])
    else:
        value = computer.run(broadcast_to.op.bind(shape=(n, *lane.shape)), [lane.value])
    return value if value.shape == shape else computer.run(reshape.op.bind(shape=shape), [value])


def _row_by_row(call: Call, y: Node) -> list[Any]:
    rows = [pulled_back(call, {y: row}) for row in identity_batch(y.shape)]
    return [
        np.array([row[i] for row in rows]).reshape(y.shape + x.shape)
        for i, x in enumerate(call.leaves)
    ]
