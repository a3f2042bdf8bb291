"""Gradients of choices choose: an infinite gradient does not become NaN where it is not taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor

INF, NAN = np.inf, np.nan
X = np.array([-1.0, 0.0, 2.0])
Y = np.array([1.0, 0.0, 1.0])

# op of x, and the share of the gradient that each x gets
CASES: dict[str, tuple[Callable[[Any], Any], list[float]]] = {
    "maximum": (lambda x: autodiff.maximum(x, Y), [0.0, 0.5, 1.0]),
    "maximum, second": (lambda x: autodiff.maximum(Y, x), [0.0, 0.5, 1.0]),
    "minimum": (lambda x: autodiff.minimum(x, Y), [1.0, 0.5, 0.0]),
    "minimum, second": (lambda x: autodiff.minimum(Y, x), [1.0, 0.5, 0.0]),
    "relu": (autodiff.relu, [0.0, 0.0, 1.0]),
    "abs": (autodiff.abs, [-1.0, 0.0, 1.0]),
    "where": (lambda x: autodiff.where(Y, x, 1.0), [1.0, 0.0, 1.0]),
    "where, second": (lambda x: autodiff.where(Y, 1.0, x), [0.0, 1.0, 0.0]),
    "power 0": (lambda x: autodiff.power(x, 0.0), [0.0, 0.0, 0.0]),
    "power 0 by a node": (lambda x: autodiff.power(x, Tensor(0.0)), [0.0, 0.0, 0.0]),
    "max": (lambda x: autodiff.max(x, keepdims=True), [0.0, 0.0, 1.0]),
    "max, ties": (lambda x: autodiff.max(autodiff.minimum(x, 0.0)), [0.0, 0.25, 0.0]),
    "max of short rows": (
        lambda x: autodiff.max(autodiff.broadcast_to(x, (9, 3)), axis=1),
        [0.0, 0.0, 9.0],
    ),
}
chosen = pytest.mark.parametrize(("function", "share"), CASES.values(), ids=CASES)


def expected(g: float, share: list[float]) -> np.ndarray:
    return np.array([0.0 if s == 0.0 else g * s for s in share])


def eager(function: Callable[[Any], Any], g: float) -> np.ndarray:
    x = Tensor(X)
    z = function(x)
    autodiff.backward({z: np.full(z.shape, g)})
    return x.gradient


def as_nodes(function: Callable[[Any], Any], g: float) -> np.ndarray:
    x = Tensor(X)
    z = function(x)
    return autodiff.gradients(z, [x], np.full(z.shape, g))[0].forward()


def compiled(function: Callable[[Any], Any], g: float) -> np.ndarray:
    @autodiff.compile
    def step(a: Any, g: Any) -> Any:
        x = Tensor(a)
        z = function(x)
        autodiff.backward({z: autodiff.broadcast_to(g, z.shape)})
        return x.gradient

    return step(X, g)


@chosen
@pytest.mark.parametrize("way", [eager, as_nodes, compiled])
@pytest.mark.parametrize("g", [1.0, INF, -INF, NAN])
def test_what_is_not_chosen_gets_zero(
    way: Callable[..., Any], function: Any, share: Any, g: float, backend: Any
) -> None:
    made = way(function, g)
    np.testing.assert_array_equal(made, expected(g, share))


@chosen
def test_their_second_derivatives_choose_too(function: Any, share: Any, backend: Any) -> None:
    # g -> gx is linear: what flows back to g is chosen as well, and nothing flows to x.
    x, g = Tensor(X), Tensor(1.0)
    z = function(x)
    if z.typename == "float_power":
        pytest.skip("p x^(p - 1) is a product: its derivative by x at p = 0 is 0 times the seed")
    (gx,) = autodiff.gradients(z, [x], autodiff.broadcast_to(g, z.shape))
    seed = np.array([INF if s == 0.0 else 1.0 for s in share])
    to_x, to_g = autodiff.gradients(gx, [x, g], seed)
    np.testing.assert_array_equal(to_x.forward(), 0.0)
    np.testing.assert_allclose(to_g.forward(), sum(share), rtol=1e-15)


def test_an_infinite_slope_before_a_choice(backend: Any) -> None:
    x = Tensor([-1.0, 4.0])
    autodiff.backward(autodiff.sqrt(autodiff.maximum(x, 0.0)).sum())
    np.testing.assert_array_equal(x.gradient, [0.0, 0.25])
    x = Tensor([0.0, -1.0])
    autodiff.backward(autodiff.sqrt(autodiff.max(x)))
    np.testing.assert_array_equal(x.gradient, [INF, 0.0])
