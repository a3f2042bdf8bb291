"""Functions of NumPy's that are said with ops: values as NumPy's, gradients by differences."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

import autodiff
from autodiff import Tensor
from autodiff.array import is_operand
from autodiff.declare import NAMES

__all__ = ["both", "check", "numbered"]


def both(name: str) -> Callable[..., Any]:
    """What serves a name of NumPy's, and NumPy's own function where there is no node."""
    module, _, last = name.rpartition(".")
    theirs = getattr(importlib.import_module(module), last)

    def call(*given: Any, **named: Any) -> Any:
        ours = any(map(_has_operand, (*given, *named.values())))
        return (NAMES[name] if ours else theirs)(*given, **named)

    return call


def _has_operand(x: Any) -> bool:
    return is_operand(x) or (isinstance(x, list | tuple) and any(map(_has_operand, x)))


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
    for at in np.ndindex(*x.shape):
        values = []
        for sign in (1.0, -1.0):
            moved = x.copy()
            moved[at] += sign * step
            values.append(total(function(moved), weights))
        gradient[at] = (values[0] - values[1]) / (2.0 * step)
    return gradient


def check(function: Callable[[Any], Any], x: np.ndarray, *, tolerance: float = 1e-10) -> None:
    """Of nodes and compiled, `function` gives what it gives of arrays, and the right gradient."""
    expected = [np.asarray(z, np.float64) for z in outputs(function(x))]
    rng = np.random.default_rng(3)
    weights = [np.asarray(rng.normal(size=z.shape)) for z in expected]
    node = Tensor(x)
    made = outputs(function(node))
    for z, e in zip(made, expected, strict=True):
        assert np.shape(z) == e.shape
        np.testing.assert_array_equal(getattr(z, "value", z), e)
    depends = any(getattr(z, "needs_gradient", False) for z in made)
    gradient = differences(function, x, weights)
    if depends:
        total(made, weights).backward()
        np.testing.assert_allclose(node.gradient, gradient, rtol=tolerance, atol=tolerance)
    else:
        assert not gradient.any()
    compiled_alike(function, x, expected, weights, gradient if depends else None, tolerance)


def compiled_alike(
    function: Any,
    x: np.ndarray,
    expected: list[np.ndarray],
    weights: list[np.ndarray],
    gradient: np.ndarray | None,
    tolerance: float,
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
        np.testing.assert_array_equal(z, e)
    if gradient is not None:
        np.testing.assert_allclose(found, gradient, rtol=tolerance, atol=tolerance)
