"""A step is recorded twice: what is not recorded must not change what is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor, ops
from autodiff.errors import RecordingError
from autodiff.optim import Adam


def test_random_numbers_are_refused_with_the_line() -> None:
    random = np.random.default_rng(0)

    def step(x: Any) -> Any:
        noise = random.standard_normal(3)
        return x + noise

    with pytest.raises(RecordingError, match=r"test_twice\.py:\d+.*[Rr]andom numbers.*check=False"):
        autodiff.compile(step)(np.zeros(3))
    frozen = autodiff.compile(step, check=False)
    np.testing.assert_array_equal(frozen(np.zeros(3)), frozen(np.zeros(3)))


class Changing:
    def __init__(self) -> None:
        self.n = 0


def counter(c: Changing, x: Any) -> Any:
    c.n += 1
    return x * float(c.n)


def branch(c: Changing, x: Any) -> Any:
    c.n += 1
    return ops.tanh(x) if c.n % 2 else ops.exp(x)


def longer(c: Changing, x: Any) -> Any:
    c.n += 1
    for _ in range(c.n):
        x = x + 1.0
    return x


def result(c: Changing, x: Any) -> Any:
    c.n += 1
    return {"a": x} if c.n % 2 else [x]


def clock(c: Changing, x: Any) -> Any:
    return x + Tensor(np.full(x.shape, time.perf_counter()))


def fails(c: Changing, x: Any) -> Any:
    c.n += 1
    if c.n > 1:
        raise StopIteration
    return x


def tensors(c: Changing, x: Any) -> Any:
    c.last = Tensor(np.zeros(x.shape))  # type: ignore[attr-defined]
    c.last.assign(x)  # type: ignore[attr-defined]
    return c.last * 2.0  # type: ignore[attr-defined]


def axis(c: Changing, x: Any) -> Any:
    c.n += 1
    return ops.sum(x, axis=c.n % 2)


@pytest.mark.parametrize("function", [counter, branch, longer, result, clock, fails, tensors, axis])
def test_what_differs_is_refused(function: Callable[..., Any]) -> None:
    changing = Changing()
    step = autodiff.compile(lambda x: function(changing, x))
    with pytest.raises(RecordingError, match=r"compare|differs"):
        step(np.ones((2, 2)))


def test_what_is_made_once_is_the_same_the_second_time() -> None:
    held: dict[str, Any] = {}

    @autodiff.compile
    def step(x: Any) -> Any:
        if not held:
            held["w"] = Tensor(np.ones(2))
            held["optimiser"] = Adam([held["w"]], 0.1)
        autodiff.backward(ops.square(held["w"] * x).sum())
        held["optimiser"].step()
        return held["w"]

    first = step(2.0)
    np.testing.assert_allclose(first, [0.9, 0.9], rtol=1e-6)
    assert np.all(step(2.0) < first)
    np.testing.assert_array_equal(held["w"].value < first, [True, True])
