"""Errors within a pass: the next one is right all the same."""

from __future__ import annotations

import numpy as np
import pytest
from counting import Counting

import autodiff
from autodiff import Tensor
from autodiff.errors import (
    IncompleteGradientError,
)


@pytest.mark.parametrize("style", ["push", "seeds"])
@pytest.mark.parametrize("error", [RuntimeError("kernel"), KeyboardInterrupt(), MemoryError()])
def test_after_an_error_anywhere_the_next_pass_is_right(
    style: str, error: BaseException, rng: np.random.Generator
) -> None:
    x, w = Tensor(rng.normal(size=(2, 3))), Tensor(rng.normal(size=(3, 2)))
    h = autodiff.tanh(x @ w)
    loss = (autodiff.square(h) + h * h * 2.0).sum()
    slope = 6 * np.tanh(x.value @ w.value) * (1 - np.tanh(x.value @ w.value) ** 2)
    expected = x.value.T @ slope

    def attempt() -> None:
        loss.forward()
        if style == "push":
            loss.backward()
        else:
            autodiff.backward(loss)

    with autodiff.use_backend(Counting()) as backend:  # type: ignore[arg-type]
        assert isinstance(backend, Counting)
        attempt()
        calls = len(backend.forwards) + len(backend.backwards)
        assert calls > 12
        for fail_at in range(calls):
            x.assign(x.value)
            w.assign(w.value)
            backend.forwards, backend.backwards = [], []
            backend.fail_at, backend.error = fail_at, error
            with pytest.raises(type(error)):
                attempt()
            attempt()
            np.testing.assert_allclose(w.gradient, expected, rtol=1e-12)
            np.testing.assert_allclose(x.gradient, slope @ w.value.T, rtol=1e-12)


def test_an_error_in_one_loss_leaves_the_other_and_says_so() -> None:
    x = Tensor([1.0])
    h = x * 2.0
    first, second = h * 3.0, h * 5.0
    with autodiff.use_backend(Counting()) as backend:  # type: ignore[arg-type]
        assert isinstance(backend, Counting)
        for loss in (first, second):
            loss.forward()
        first.backward()
        backend.fail_at = len(backend.forwards) + len(backend.backwards) + 1
        with pytest.raises(RuntimeError, match=r"kernel failed"):
            second.backward()
        # No half-made sum is left: what the first loss sent is gone, and that shows.
        second.backward()
        with pytest.raises(IncompleteGradientError, match=first.name):
            _ = h.gradient
        autodiff.reset(first, second)
        autodiff.backward({first: 1.0, second: 1.0})
        assert x.gradient == 16.0
