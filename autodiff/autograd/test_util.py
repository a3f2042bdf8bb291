"""Checks of derivatives against differences, with HIPS autograd's names and tolerances."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from autodiff.autograd.core import make_jvp, make_vjp
from autodiff.autograd.vspaces import vspace
from autodiff.autograd.wrap_util import get_name, unary_to_nary

__all__ = [
    "check_equivalent",
    "check_grads",
    "check_jvp",
    "check_vjp",
    "combo_check",
    "make_numerical_jvp",
    "quick_grad_check",
    "scalar_close",
]

TOL = 1e-6
RTOL = 1e-6
EPS = 1e-6

Function = Callable[..., Any]


def scalar_close(a: Any, b: Any) -> bool:
    """Whether two numbers differ by less than 1e-6, or by that part of their sum."""
    return bool(abs(a - b) < TOL or abs(a - b) / abs(a + b) < RTOL)


def make_numerical_jvp(f: Function, x: Any) -> Function:
    """The derivative of f along a direction, by central differences."""
    x_space, y_space = vspace(x), vspace(f(x))

    def jvp(v: Any) -> Any:
        above = f(x_space.add(x, x_space.scalar_mul(v, EPS / 2)))
        below = f(x_space.add(x, x_space.scalar_mul(v, -EPS / 2)))
        difference = y_space.add(above, y_space.scalar_mul(below, -1.0))
        return y_space.scalar_mul(difference, 1.0 / EPS)

    return jvp


def check_vjp(f: Function, x: Any) -> None:
    """Compare the gradient of f along random directions; AssertionError."""
    vjp, y = make_vjp(f, x)
    x_space, y_space = vspace(x), vspace(y)
    v, g = x_space.randn(), y_space.randn()
    pulled = vjp(g)
    assert vspace(pulled) == x_space, f"{vspace(pulled)} is not {x_space}"
    exact = x_space.inner_prod(v, pulled)
    numeric = y_space.inner_prod(g, make_numerical_jvp(f, x)(v))
    assert scalar_close(numeric, exact), (
        f"Derivative (VJP) check of {get_name(f)} failed with arg {x}:\n"
        f"analytic: {exact}\nnumeric:  {numeric}"
    )


def check_jvp(f: Function, x: Any) -> None:
    """Compare the derivative of f along a random direction; AssertionError."""
    v = vspace(x).randn()
    check_equivalent(make_jvp(f, x)(v)[1], make_numerical_jvp(f, x)(v))


def check_equivalent(x: Any, y: Any) -> None:
    """AssertionError if x and y are not nested alike, or not close."""
    x_space, y_space = vspace(x), vspace(y)
    assert x_space == y_space, f"VSpace mismatch:\nx: {x_space}\ny: {y_space}"
    v = x_space.randn()
    close = scalar_close(x_space.inner_prod(x, v), x_space.inner_prod(y, v))
    assert close, f"Value mismatch:\nx: {x}\ny: {y}"


@unary_to_nary
def check_grads(f: Function, x: Any, modes: Sequence[str] | None = None, order: int = 2) -> None:
    """Compare derivatives of f up to this order, forward and backward; AssertionError."""
    modes = ["fwd", "rev"] if modes is None else modes
    assert all(mode in ("fwd", "rev") for mode in modes), modes
    if "fwd" in modes:
        check_jvp(f, x)
        if order > 1:

            def jvp_of(x: Any, v: Any) -> Any:
                return make_jvp(f, x)(v)[1]

            jvp_of.__name__ = f"jvp_{get_name(f)}"
            check_grads(jvp_of, (0, 1), modes, order=order - 1)(x, vspace(x).randn())
    if "rev" in modes:
        check_vjp(f, x)
        if order > 1:

            def vjp_of(x: Any, v: Any) -> Any:
                return make_vjp(f, x)[0](v)

            vjp_of.__name__ = f"vjp_{get_name(f)}"
            check_grads(vjp_of, (0, 1), modes, order=order - 1)(x, vspace(f(x)).randn())


def combo_check(fun: Function, *args: Any, **kwargs: Any) -> Function:
    """Check `fun` with all combinations of what is given for each argument."""
    check = check_grads(fun, *args, **kwargs)

    def combinations(*choices: Any, **named: Any) -> None:
        named_choices = [[(name, x) for x in values] for name, values in named.items()]
        for chosen in product(*choices):
            for chosen_named in product(*named_choices):
                check(*chosen, **dict(chosen_named))

    return combinations


def quick_grad_check(
    fun: Function, arg0: Any, extra_args: tuple[Any, ...] = (), kwargs: Any = None, **_: Any
) -> None:
    """Check the gradient of `fun` with respect to its first argument, once, backward."""
    warnings.warn("quick_grad_check is deprecated; write check_grads(fun)(x)", stacklevel=2)
    check_grads(lambda x: fun(x, *extra_args, **(kwargs or {})), modes=["rev"], order=1)(arg0)
