"""Eager passes before, between and after the runs of a recorded step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor, ops
from autodiff.errors import (
    StaleValueError,
)


def test_eager_use_before_and_after() -> None:
    w = Tensor([1.0, 2.0])
    y = ops.square(w).sum()
    assert y.forward() == 5.0
    y.backward()

    @autodiff.compile
    def step(x: Any) -> Any:
        w.assign(w.value + x)
        return w

    step([1.0, 1.0])
    assert y.value == 5.0  # as of the last forward pass
    assert y.forward() == 13.0
    y.backward()
    assert w.gradient.tolist() == [4.0, 6.0]
    step([1.0, 1.0])
    with pytest.raises(StaleValueError, match="forward"):
        y.reset() or y.backward()
    w.assign([0.0, 0.0])
    assert step([1.0, 1.0]).tolist() == [1.0, 1.0]
    assert y.forward() == 2.0


def test_eager_passes_see_every_replay() -> None:
    w = Tensor([1.0, 2.0])
    y = ops.square(w).sum()
    step = autodiff.compile(lambda x: w.assign(w.value + x))
    x = np.ones(2)  # taken as it is: the fast way into C
    for expected in (13.0, 25.0, 41.0):
        step(x)
        assert y.forward() == expected
    y.backward()
    assert w.gradient.tolist() == [8.0, 10.0]
    step.scan(np.ones((2, 2)))
    assert y.forward() == 85.0


def test_a_successful_recording_leaves_values_of_other_graphs() -> None:
    w = Tensor([1.0, 2.0])
    y = ops.square(w).sum()
    assert y.forward() == 5.0

    @autodiff.compile
    def step(x: Any) -> Any:
        return y.forward() * x

    assert step(2.0) == 10.0
    assert y.value == 5.0
    y.backward()
    assert w.gradient.tolist() == [2.0, 4.0]


def test_gradients_of_a_replay_are_not_left_in_tensors() -> None:
    w = Tensor([1.0, 2.0])

    @autodiff.compile
    def step(x: Any) -> Any:
        loss = ops.square(w * x).sum()
        loss.backward()
        return w.gradient

    step(2.0)
    assert not w.has_gradient
