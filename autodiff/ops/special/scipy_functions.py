"""How special functions become ops: SciPy's functions, and the complex step through them."""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.declare import OpFunction, declare
from autodiff.errors import GradientError
from autodiff.op import OPS, BackwardRule
from autodiff.refusal import refusal

__all__ = ["by_number", "no_rule", "of_scipy", "order_without_gradient", "special_op"]


@functools.cache
def of_scipy(name: str) -> Any:
    """A function of scipy.special's, which is imported when the first one is needed."""
    return getattr(importlib.import_module("scipy.special"), name)


def by_number(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of single numbers, for arrays. NaN and infinity are results, not warnings."""
    made = np.frompyfunc(function, function.__code__.co_argcount, 1)

    @functools.wraps(function)
    def call(*inputs: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.asarray(made(*[np.asarray(x) for x in inputs]), np.float64)

    return call


def special_op(**facts: Any) -> Callable[[Callable[..., Any]], OpFunction[...]]:
    """As :func:`autodiff.declare.declare`, for a forward rule that takes real numbers only.

    Of complex numbers, in a complex step, the imaginary part is the slope's: f(x + ih) is
    f(x) + ih f'(x), with the derivatives of the record. The kernels are as exact as SciPy's
    functions are, of which there is no bound.
    """

    def decorate(function: Callable[..., Any]) -> OpFunction[...]:
        @functools.wraps(function)
        def forward(*inputs: Any) -> Any:
            if any(map(np.iscomplexobj, inputs)):
                return _stepped(function.__name__, function, inputs)
            return function(*inputs)

        entered: Any = declare(**{"ulps": math.inf, "cost": 50.0, **facts})
        return entered(forward)  # type: ignore[no-any-return]

    return decorate


def _stepped(name: str, function: Callable[..., Any], inputs: tuple[Any, ...]) -> Any:
    reals = [np.real(x) for x in inputs]
    value = np.asarray(function(*reals))
    step = np.zeros(value.shape)
    one = np.ones(value.shape)
    for rule, x in zip(OPS[name].backward, inputs, strict=True):
        if rule is not None and np.any(np.imag(x) != 0.0):
            slope = rule(one, value, *reals)
            step = step + np.where(np.imag(x) == 0.0, 0.0, np.imag(x) * slope)
    made = value.astype(np.complex128)
    made.imag = step  # added as 1j * step, a real part of inf would become NaN
    return made


def no_rule(what: str) -> BackwardRule:
    """The rule of a derivative that there is not: it raises GradientError, and says which."""

    def rule(g: Any, z: Any, *inputs: Any) -> Any:
        raise refusal(GradientError, f"there is no {what}")

    rule.missing = True  # type: ignore[attr-defined]
    return rule


def order_without_gradient(name: str, what: str, order: Any) -> None:
    """Raise GradientError if `order` is a node that needs a gradient, which there is not."""
    if getattr(order, "needs_gradient", False):
        raise refusal(
            GradientError,
            f"{name}: there is no derivative by {what}; give it as a number or a constant node",
            **{what: order},
        )
