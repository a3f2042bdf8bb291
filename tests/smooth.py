"""Functions of NumPy's that are said with ops: values, two derivatives, compiled steps."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import autodiff
from autodiff import Tensor
from autodiff.check import check_gradients
from autodiff.declare import NAMES

__all__ = ["assert_alike", "check", "outputs", "theirs_of"]


def theirs_of(name: str) -> Callable[..., Any]:
    """NumPy's function of a dotted name."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def outputs(value: Any) -> list[Any]:
    """What a function gives, as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def values(made: Any) -> list[np.ndarray]:
    """The numbers of what a function gives."""
    return [np.asarray(getattr(z, "value", z), np.float64) for z in outputs(made)]


def total(made: Any) -> Any:
    """Σ weight · output, each element with a weight of its own."""
    found = 0.0
    for i, z in enumerate(outputs(made)):
        weights = 1.5 + np.sin(1.0 + np.arange(z.size) * 1.7 + i).reshape(z.shape)
        found = (z * weights).sum() + found
    return found


def assert_alike(
    name: str, call: Callable[..., Any], arrays: Sequence[np.ndarray], tolerance: float = 2e-13
) -> None:
    """Of nodes as of arrays: NumPy's shapes and numbers, NaN and infinities in place."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = values(call(theirs_of(name), *arrays))
    made = values(call(NAMES[name], *map(Tensor, arrays)))
    for z, e in zip(made, expected, strict=True):
        assert z.shape == e.shape
        np.testing.assert_allclose(z, e, rtol=tolerance, atol=tolerance)


def check(name: str, call: Callable[..., Any], arrays: Sequence[np.ndarray]) -> None:
    """Values, first and second derivatives by the complex step, and the same in a compiled step."""
    assert_alike(name, call, arrays)
    ours, tensors = NAMES[name], [Tensor(x) for x in arrays]

    def function(*operands: Any) -> Any:
        return total(call(ours, *operands))

    def slopes(*operands: Any) -> Any:
        found = autodiff.gradients(function(*operands), list(operands))
        return sum(total(autodiff.sin(g)) for g in found)

    assert check_gradients(function, tensors, tolerance=1e-10, raises=True).ok
    if slopes(*tensors).needs_gradient:
        assert check_gradients(slopes, tensors, tolerance=1e-10, raises=True).ok
    _compiled_alike(call, ours, tensors)


def _compiled_alike(call: Any, ours: Any, tensors: list[Tensor]) -> None:
    def step() -> Any:
        made = outputs(call(ours, *tensors))
        first = autodiff.gradients(total(made), tensors)
        return [*made, *first]

    for z, e in zip(autodiff.compile(step)(), step(), strict=True):
        np.testing.assert_allclose(z, e.value, rtol=1e-12, atol=1e-13)
