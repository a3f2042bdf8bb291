"""Fixed points, and their derivatives by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autodiff.autograd.differential_operators import make_vjp
from autodiff.autograd.primitives import defvjp, primitive
from autodiff.autograd.vspaces import vspace

__all__ = ["fixed_point"]

Function = Callable[..., Any]


@primitive
def fixed_point(f: Function, a: Any, x0: Any, distance: Function, tol: float) -> Any:
    """The x with f(a)(x) = x, by iteration from x0 until ``distance(x, before)`` is below tol."""
    step = f(a)
    x, before = step(x0), x0
    while distance(x, before) > tol:
        x, before = step(x), x
    return x


def _vjp(ans: Any, f: Function, a: Any, x0: Any, distance: Function, tol: float) -> Function:
    """g' dx/da: the fixed point of u = u' df/dx + g, times df/da."""
    vjp_a, _ = make_vjp(lambda a, x: f(a)(x), 0)(a, ans)

    def backward(parameters: Any) -> Function:
        a, x, g = parameters
        vjp_x, _ = make_vjp(f(a))(x)
        return lambda u: vjp_x(u) + g

    def vjp(g: Any) -> Any:
        return vjp_a(fixed_point(backward, (a, ans, g), vspace(ans).zeros(), distance, tol))

    return vjp


defvjp(fixed_point, None, _vjp, None)
