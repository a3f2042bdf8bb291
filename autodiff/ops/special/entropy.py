"""x ln y and the entropies that are made of it, with their limits at 0."""

from __future__ import annotations

import math
from typing import Any

from autodiff.op import Example, Sample
from autodiff.ops.elementwise import equal, log, log1p, where
from autodiff.ops.examples import unary
from autodiff.ops.special.scipy_functions import of_scipy, special_op

__all__ = ["entr", "kl_div", "rel_entr", "xlog1py", "xlogy"]

_POSITIVE = (0.0, math.inf)


def _pairs(first: tuple[float, float], second: tuple[float, float]) -> list[Example]:
    shapes = [((3, 4), (3, 4)), ((3, 1), (1, 4)), ((), (2, 3))]
    return [Example((Sample(x, *first), Sample(y, *second))) for x, y in shapes]


def _ratio(x: Any, y: Any) -> Any:
    """x / y, and 0 for 0 / 0."""
    both = equal(x, 0.0) * equal(y, 0.0)
    return where(both, 0.0, x / where(both, 1.0, y))


@special_op(
    numpy=("scipy.special.xlogy",),
    domain=((-math.inf, math.inf), _POSITIVE),
    backward=(lambda g, z, x, y: g * log(y), lambda g, z, x, y: g * _ratio(x, y)),
    reads="x y",
    examples=_pairs((-2.0, 2.0), (0.2, 3.0)),
)
def xlogy(x: Any, y: Any) -> Any:
    """z = x ln y, 0 where x = 0; its gradient by y is x / y, and 0 where both are 0."""
    return of_scipy("xlogy")(x, y)


@special_op(
    numpy=("scipy.special.xlog1py",),
    domain=((-math.inf, math.inf), (-1.0, math.inf)),
    backward=(lambda g, z, x, y: g * log1p(y), lambda g, z, x, y: g * _ratio(x, 1.0 + y)),
    reads="x y",
    examples=_pairs((-2.0, 2.0), (-0.7, 3.0)),
)
def xlog1py(x: Any, y: Any) -> Any:
    """z = x ln(1 + y), 0 where x = 0."""
    return of_scipy("xlog1py")(x, y)


@special_op(
    numpy=("scipy.special.entr",),
    domain=(_POSITIVE,),
    backward=lambda g, z, x: -(g * (log(x) + 1.0)),
    reads="x",
    examples=unary(0.1, 3.0),
)
def entr(x: Any) -> Any:
    """z = -x ln x, 0 where x = 0, -inf where x < 0."""
    return of_scipy("entr")(x)


@special_op(
    numpy=("scipy.special.rel_entr",),
    domain=(_POSITIVE, _POSITIVE),
    backward=(
        lambda g, z, x, y: g * (log(x / y) + 1.0),
        lambda g, z, x, y: -(g * _ratio(x, y)),
    ),
    reads="x y",
    examples=_pairs((0.1, 3.0), (0.1, 3.0)),
)
def rel_entr(x: Any, y: Any) -> Any:
    """z = x ln(x / y), 0 where x = 0 and y >= 0, inf outside."""
    return of_scipy("rel_entr")(x, y)


@special_op(
    numpy=("scipy.special.kl_div",),
    domain=(_POSITIVE, _POSITIVE),
    backward=(
        lambda g, z, x, y: g * log(x / y),
        lambda g, z, x, y: g * (1.0 - _ratio(x, y)),
    ),
    reads="x y",
    examples=_pairs((0.1, 3.0), (0.1, 3.0)),
)
def kl_div(x: Any, y: Any) -> Any:
    """z = x ln(x / y) - x + y, y where x = 0 and y >= 0, inf outside."""
    return of_scipy("kl_div")(x, y)
