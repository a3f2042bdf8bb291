"""Functions of NumPy's that are said with ops: values as NumPy's, gradients by differences."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

import autodiff
from autodiff import Tensor

__all__ = ["both", "check", "numbered"]


def both(name: str) -> Callable[..., Any]:
    """The function of our namespace, which is NumPy's own where there is no node."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(f"autodiff.{module}"), last)


def numbered(*shape: int) -> np.ndarray:
    """Numbers of which no two are equal, nor in order, nor neighbours of 0."""
    n = int(np.prod(shape, dtype=int))
    return (((np.arange(n) * 7 + 3) % (n + 1 + n % 7 // 6) + 1.0) * 0.375 - 1.0).reshape(shape)


def outputs(value: Any) -> list[Any]:
    """What a function gives, as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def total(value: Any, weights: list[np.ndarray]) -> Any:
    """Σ weight · output."""
    return sum((z * w).sum() for z, w in zip(outputs(value), weights, strict=True))


def differences(function: Any, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """The gradient of `total` by central differences; where it is linear, exact to rounding."""
    gradient, step = np.zeros(x.shape), 2.0**-10
    x = np.asarray(x)
    for at in np.ndindex(*x.shape):
        values = []
        for sign in (1.0, -1.0):
            moved = x.copy()
            moved[at] += sign * step
            values.append(total(function(moved), weights))
        gradient[at] = (values[0] - values[1]) / (2.0 * step)
    return gradient


def check(
    function: Callable[[Any], Any],
    x: np.ndarray,
    *,
    tolerance: float = 1e-10,
    compiles: bool = True,
    gradients: bool = True,
    exact: bool = True,
) -> None:
    """Of nodes and compiled, `function` gives what it gives of arrays, and the right gradient."""
    expected = [np.asarray(z, np.float64) for z in outputs(function(x))]
    rng = np.random.default_rng(3)
    weights = [np.asarray(rng.normal(size=z.shape)) for z in expected]
    node = Tensor(x)
    made = outputs(function(node))
    for z, e in zip(made, expected, strict=True):
        assert np.shape(z) == e.shape
        compare(getattr(z, "value", z), e, exact)
    depends = gradients and any(getattr(z, "needs_gradient", False) for z in made)
    gradient = differences(function, x, weights) if depends else None
    if gradient is not None:
        total(made, weights).backward()
        np.testing.assert_allclose(node.gradient, gradient, rtol=tolerance, atol=tolerance)
    if compiles:
        compiled_alike(function, x, expected, weights, gradient, tolerance, exact)


def compare(found: Any, expected: np.ndarray, exact: bool) -> None:
    """The same bits, or the same but for rounding."""
    if exact:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)


def compiled_alike(
    function: Any,
    x: np.ndarray,
    expected: list[np.ndarray],
    weights: list[np.ndarray],
    gradient: np.ndarray | None,
    tolerance: float,
    exact: bool,
) -> None:
    """The same in a compiled step."""
    tensor = Tensor(x)

    @autodiff.compile
    def step() -> Any:
        made = function(tensor)
        if gradient is None:
            return outputs(made), None
        total(made, weights).backward()
        return outputs(made), tensor.gradient

    values, found = step()
    for z, e in zip(values, expected, strict=True):
        compare(z, e, exact)
    if gradient is not None:
        np.testing.assert_allclose(found, gradient, rtol=tolerance, atol=tolerance)
