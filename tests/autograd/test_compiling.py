"""Functions that are recorded by `install(compile=True)` see what changes around them."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import autodiff.autograd as autograd
import autodiff.autograd.numpy as anp
from autodiff.autograd import compiling
from autodiff.autograd.surroundings import surroundings

X = np.array([1.0, 2.0, 3.0])
scale = 2.0


@pytest.fixture(autouse=True)
def _recording() -> Iterator[None]:
    compiling.use(True)
    yield
    compiling.use(False)


def several(gradient: Callable[..., Any], *arguments: Any) -> Any:
    """What it gives once it has been recorded."""
    found = [gradient(*arguments) for _ in range(6)]
    for x in found:
        np.testing.assert_array_equal(x, found[0])
    return found[-1]


def reading_a_global(x: Any) -> Any:
    return anp.sum(scale * x * x)


def helper(x: Any) -> Any:
    return reading_a_global(x) * 0.5


@pytest.mark.parametrize(("function", "slope"), [(reading_a_global, 2.0), (helper, 1.0)])
def test_globals(
    function: Callable[[Any], Any], slope: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradient = autograd.grad(function)
    np.testing.assert_array_equal(several(gradient, X), slope * 2.0 * X)
    monkeypatch.setitem(globals(), "scale", 6.0)
    np.testing.assert_array_equal(several(gradient, X), slope * 6.0 * X)


def test_closures_and_arrays_written_in_place() -> None:
    data, power = X.copy(), 2.0

    def function(x: Any) -> Any:
        return anp.sum(data * x**power)

    gradient = autograd.grad(function)
    np.testing.assert_array_equal(several(gradient, X), 2.0 * X * X)
    data[:] = 1.0
    np.testing.assert_array_equal(several(gradient, X), 2.0 * X)
    power = 3.0
    np.testing.assert_allclose(several(gradient, X), 3.0 * X**2)


class Model:
    def __init__(self) -> None:
        self.weights = {"w": X.copy()}

    def loss(self, x: Any) -> Any:
        return anp.sum(self.weights["w"] * x)


def test_attributes_of_the_object() -> None:
    model = Model()
    gradient = autograd.grad(model.loss)
    np.testing.assert_array_equal(several(gradient, X), X)
    model.weights = {"w": 2.0 * X}
    np.testing.assert_array_equal(several(gradient, X), 2.0 * X)
    model.weights["w"] = 3.0 * X
    np.testing.assert_array_equal(several(gradient, X), 3.0 * X)


def test_partial_and_defaults() -> None:
    def function(y: Any, x: Any, z: float = 2.0) -> Any:
        return anp.sum(y * x * z)

    y = X.copy()
    gradient = autograd.grad(functools.partial(function, y))
    np.testing.assert_array_equal(several(gradient, X), 2.0 * X)
    y[0] = 5.0
    np.testing.assert_array_equal(several(gradient, X), 2.0 * np.array([5.0, 2.0, 3.0]))


def test_it_is_recorded_unless_what_it_reads_changes_each_time() -> None:
    runs, log = types.SimpleNamespace(n=0), []

    def function(x: Any) -> Any:
        runs.n += 1
        return anp.sum(x * x)

    def logging(x: Any) -> Any:
        log.append(len(log))
        return anp.sum(x * x)

    for f in (function, logging):
        gradient = autograd.grad(f)
        for _ in range(50):
            gradient(X)
    assert runs.n < 6
    assert len(log) == 50


def test_what_is_found() -> None:
    def function(x: Any) -> Any:
        return reading_a_global(x) + math.pi * len(X)

    found = surroundings(function)
    assert found[".reading_a_global.scale"] == 2.0
    assert found[".X"] is X
    assert not any(value is np for value in found.values())
