"""Vector-Jacobian and Jacobian-vector products of functions, on nodes; vector spaces; primitives.

Arguments and results may be nested; what comes back are NumPy's arrays and numbers, or nodes where
nodes were given.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.array import as_float64, is_operand
from autodiff.autograd.primitives import (
    def_linear,
    defjvp,
    defjvp_argnum,
    defjvp_argnums,
    defvjp,
    defvjp_argnum,
    defvjp_argnums,
    primitive,
    primitive_jvps,
    primitive_vjps,
)
from autodiff.autograd.tracer import Node, getval, isbox
from autodiff.autograd.trees import flat, like
from autodiff.autograd.vspaces import VSpace, vspace
from autodiff.autograd.wrap_util import get_name
from autodiff.graph.node import Node as OurNode
from autodiff.transform.argument import Call
from autodiff.transform.gradient import pulled_back
from autodiff.transform.tangent import along

__all__ = [
    "JVPNode",
    "SparseObject",
    "VJPNode",
    "VSpace",
    "def_linear",
    "defjvp",
    "defjvp_argnum",
    "defjvp_argnums",
    "defvjp",
    "defvjp_argnum",
    "defvjp_argnums",
    "getval",
    "isbox",
    "make_jvp",
    "make_vjp",
    "primitive",
    "primitive_jvps",
    "primitive_vjps",
    "vspace",
]

Function = Callable[..., Any]


class Applied:
    """A function applied to one argument, whose leaves are nodes.

    value : what it returned, with NumPy's numbers in place of nodes, unless nodes were given.
    """

    def __init__(self, what: str, fun: Function, x: Any) -> None:
        self.given: list[Any] = []
        self.tree = flat(x, self.given)
        for leaf in self.given:
            require_real(leaf)
        n = len(self.given)
        self.call = Call(what, self.given, tuple(range(n)), alone=False)
        self.found: list[Any] = []
        returned = fun(self.tree.rebuilt(iter(self.call.arguments)))
        self.out = flat(returned, self.found)

    @property
    def value(self) -> Any:
        """What the function returned."""
        return self.out.rebuilt(iter([self._left(y) for y in self.found]))

    def _left(self, y: Any) -> Any:
        if not isinstance(y, OurNode):
            return y
        left = self.call.leave(y)
        return left[()] if isinstance(left, np.ndarray) else left

    @property
    def depends(self) -> bool:
        """Whether the result depends on the argument, as far as the graph says."""
        return any(isinstance(y, OurNode) and y.needs_gradient for y in self.found)

    def pull(self, g: Any) -> Any:
        """g' dy/dx, nested as x is."""
        sent: list[Any] = []
        flat(g, sent)
        if len(sent) != len(self.found):
            raise ValueError(f"{self.call.what}: the gradient is not nested as the result is")
        return self.pulled(sent)

    def pulled(self, sent: Sequence[Any]) -> Any:
        """The same for a gradient of each node that the function returned."""
        seeds: dict[OurNode, Any] = {}
        for y, g in zip(self.found, sent, strict=True):
            if isinstance(y, OurNode) and y.needs_gradient:
                g = _seed(g, y)
                seeds[y] = g if y not in seeds else seeds[y] + g
        found = pulled_back(self.call, seeds) if seeds else [np.zeros(x.shape) for x in self.leaves]
        return self._as_given(found)

    @property
    def leaves(self) -> list[Any]:
        """The nodes that stand for the argument's leaves."""
        return self.call.leaves

    def _as_given(self, found: Sequence[Any]) -> Any:
        done = [like(x, self._own(g)) for x, g in zip(self.given, found, strict=True)]
        return self.tree.rebuilt(iter(done))

    def _own(self, g: Any) -> Any:
        return self.call.leave(g) if isinstance(g, OurNode) and not self.call.gives_nodes else g

    def push(self, v: Any) -> Any:
        """(dy/dx) v, nested as y is."""
        directions: list[Any] = []
        flat(v, directions)
        directions = [_direction(d, x) for d, x in zip(directions, self.leaves, strict=True)]
        self.call.gives_nodes |= any(map(is_operand, directions))
        done = []
        for y in self.found:
            if isinstance(y, OurNode):
                left = self.call.leave(along(self.call, y, directions))
                done.append(left[()] if isinstance(left, np.ndarray) else left)
            else:
                done.append(np.zeros(np.shape(y))[()])
        return self.out.rebuilt(iter(done))


def require_real(x: Any) -> None:
    """Raise TypeError if x is nothing that can be differentiated by."""
    if is_operand(x):
        return
    if np.iscomplexobj(x):
        raise TypeError(
            f"Can't differentiate w.r.t. type {type(x)}: {x!r} is complex, and nodes are real"
        )
    if isinstance(x, (str, bytes)) or x is None or callable(x):
        raise TypeError(f"Can't differentiate w.r.t. type {type(x)}")


def _seed(g: Any, y: Any) -> Any:
    if is_operand(g):
        return g
    g = as_float64(g, "the gradient of the result")
    if g.shape != y.shape:
        if g.size == y.size:
            return g.reshape(y.shape)
        return np.broadcast_to(g, y.shape).copy()
    return g


def _direction(v: Any, x: Any) -> Any:
    if is_operand(v):
        return v
    v = as_float64(v, "the tangent")
    return v if v.shape == x.shape else np.broadcast_to(v, x.shape).copy()


def make_vjp(fun: Function, x: Any) -> tuple[Function, Any]:
    """The function from g to g' dy/dx at x, and y."""
    done = Applied(f"make_vjp of {get_name(fun)}", fun, x)
    if not done.depends:
        _warn_independent()
    return done.pull, done.value


def make_jvp(fun: Function, x: Any) -> Function:
    """The function from v to the pair (y, (dy/dx) v) at x."""

    def jvp(v: Any) -> tuple[Any, Any]:
        done = Applied(f"make_jvp of {get_name(fun)}", fun, x)
        if not done.depends:
            _warn_independent()
        return done.value, done.push(v)

    return jvp


def value_and_pull(what: str, fun: Function, x: Any) -> tuple[Any, Any]:
    """y, which has one element, and dy/dx."""
    done = Applied(what, fun, x)
    y = done.found[0] if len(done.found) == 1 and done.out.kind is None else None
    if y is None or not _is_real_number(y):
        raise TypeError(
            f"{what.partition(' ')[0]} only applies to real scalar-output functions. "
            "Try jacobian, elementwise_grad or holomorphic_grad."
        )
    if not done.depends:
        _warn_independent()
        return done.value, done.pulled([None])
    gradient = done.pulled([np.ones(y.shape)])
    return done.value, gradient


def _is_real_number(y: Any) -> bool:
    """Whether it is of one element, and real."""
    if is_operand(y):
        return bool(y.size == 1)
    return np.size(y) == 1 and np.asarray(y).dtype.kind in "fiu"


def _warn_independent() -> None:
    warnings.warn("Output seems independent of input.", stacklevel=4)


class VJPNode(Node):
    """HIPS autograd's graph backward, which is not here."""


class JVPNode(Node):
    """HIPS autograd's graph forward, which is not here."""


class SparseObject:
    """A gradient that is added in place, of HIPS autograd's; not used here."""

    def __init__(self, vs: Any, mut_add: Any) -> None:
        self.vs, self.mut_add = vs, mut_add


def backward_pass(g: Any, end_node: Any) -> Any:
    """Refused: the graph's own backward pass is :func:`autodiff.gradients`."""
    raise NotImplementedError(
        "backward_pass is an internal of HIPS autograd; autodiff.gradients does it"
    )
