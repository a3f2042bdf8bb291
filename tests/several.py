"""Ops with several outputs, for tests; whoever declares them takes them out of the table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff.declare import declare
from autodiff.op import OPS, example

SQUARE = [example((3, 3))]


@pytest.fixture
def own_table() -> Iterator[None]:
    """The table is as it was."""
    before = dict(OPS)
    yield
    for name in OPS.keys() - before.keys():
        del OPS[name]


def sincos() -> Any:
    """Element by element, said with ops of the table; its gradients read both outputs."""

    def own_sincos(x: Any) -> Any:
        """z = sin x, and cos x."""
        return autodiff.sin(x), autodiff.cos(x)

    return declare(
        outputs=("sine", "cosine"),
        backward=lambda gs, zs, x: gs[0] * zs[1] - gs[1] * zs[0],
        reads="sine cosine",
        examples=[example((3,)), example(())],
    )(own_sincos)


def polar() -> Any:
    """Two inputs that broadcast, two outputs."""

    def own_polar(r: Any, t: Any) -> Any:
        """z = r cos t, and r sin t."""
        return r * np.cos(t), r * np.sin(t)

    return declare(
        outputs=("x", "y"),
        backward=(
            lambda gs, zs, r, t: gs[0] * autodiff.cos(t) + gs[1] * autodiff.sin(t),
            lambda gs, zs, r, t: gs[1] * zs[0] - gs[0] * zs[1],
        ),
        reads="x y t",
        examples=[example((3,), (3,)), example((2, 3), (3,))],
    )(own_polar)


def inverse() -> Any:
    """What the gradient of the next one is said with."""

    def own_inverse(a: Any) -> Any:
        """z = a⁻¹."""
        return np.linalg.inv(a)

    return declare(
        shape=lambda a: a,
        backward=lambda g, z, a: -(z.T @ g @ z.T),
        reads="z",
        examples=SQUARE,
    )(own_inverse)


def slogdet() -> Any:
    """By NumPy; the sign has no gradient."""
    own_inverse = inverse()

    def own_slogdet(a: Any) -> Any:
        """z = the sign of det a, and log |det a|."""
        determinant = np.linalg.det(a)
        sign = np.sign(np.real(determinant))
        return sign, np.log(sign * determinant)

    return declare(
        outputs=("sign", "logdet"),
        shape=lambda a: ((), ()),
        backward=lambda gs, zs, a: gs[1] * own_inverse(a).T,
        reads="a",
        examples=SQUARE,
    )(own_slogdet)
