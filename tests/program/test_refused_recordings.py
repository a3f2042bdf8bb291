"""What cannot be recorded says so and what to do, and leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor, ops
from autodiff.errors import (
    BackwardTwiceError,
    RecordingError,
    ShapeError,
)


@pytest.mark.parametrize(
    "ask",
    [float, bool, int, np.asarray, np.array, lambda x: x.item(), lambda x: [1, 2][x],
     lambda x: x > 1 and None, np.ldexp, lambda x: np.fft.fft(x), lambda x: f"{x:.2f}"],
)  # fmt: skip
def test_asking_for_numbers_says_what_to_do(ask: Callable[[Any], Any]) -> None:
    w = Tensor(2.0)

    @autodiff.compile
    def step(x: Any) -> Any:
        ask((w * x).value)
        return x

    with pytest.raises(TypeError) as caught:
        step(1.0)
    if isinstance(caught.value, RecordingError):
        for part in ("no numbers", "return it", "autodiff.where", "step.function"):
            assert part in str(caught.value)


@pytest.mark.parametrize(
    "ask",
    [
        float,
        bool,
        lambda x: np.asarray(autodiff.stop_gradient(x)),
        lambda x: x.item(),
        lambda x: x.tolist(),
        lambda x: f"{x:.3f}",
        lambda x: x.value.tolist(),
        lambda x: f"{x.value:.3f}",
    ],
)
def test_asking_a_node_for_numbers(ask: Callable[[Any], Any]) -> None:
    w = Tensor(2.0)

    @autodiff.compile
    def step(x: Any) -> Any:
        return x if ask(w * x) else w

    with pytest.raises(RecordingError, match=r"no numbers"):
        step(1.0)


def test_a_failed_recording_leaves_no_trace() -> None:
    w, h = Tensor([1.0, 2.0]), Tensor(shape=(2,))
    y = ops.square(w)
    z = y.sum()
    z.forward()
    z.backward()
    assert w.gradient.tolist() == [2.0, 4.0]
    before = {n: (n.stored, n.summed, n.tick, n.awaited, n.begun) for n in (w, h, y, z)}
    buffer, bits = w.stored, w.stored.tobytes()

    @autodiff.compile
    def step(x: Any) -> Any:
        w.assign(w.value * x)
        h.assign(w.value)
        z.forward()
        z.backward()
        w.assign(w.value - w.gradient)
        return float(z.value)

    for _ in range(2):
        with pytest.raises(RecordingError):
            step(3.0)
        after = {n: (n.stored, n.summed, n.tick, n.awaited, n.begun) for n in before}
        assert all(
            all(a is b or a == b for a, b in zip(after[n], before[n], strict=True)) for n in before
        )
    assert w.stored is buffer
    assert buffer.tobytes() == bits
    assert w.gradient.tolist() == [2.0, 4.0]
    with pytest.raises(BackwardTwiceError):
        z.backward()
    z.reset()
    z.backward()
    assert "0 recordings" in repr(step)


def test_errors_of_the_step_are_its_own() -> None:
    w = Tensor(np.ones((3, 2)))
    step = autodiff.compile(lambda x: x @ w)
    assert step(np.ones((1, 3))).tolist() == [[3.0, 3.0]]
    with pytest.raises(ShapeError, match="inner sizes differ"):
        step(np.ones((1, 4)))
    with pytest.raises(ShapeError, match="assign"):
        autodiff.compile(lambda x: w.assign(x))(np.ones(5))


def test_values_that_escaped_a_recording() -> None:
    escaped = []

    @autodiff.compile
    def step(x: Any) -> Any:
        if escaped:
            return escaped[0] + x
        escaped.append(x * 2)
        return x

    with pytest.raises(RecordingError, match="another recording"):
        step(1.0)  # when it is recorded again, to compare
    with pytest.raises(RecordingError, match="another recording"):
        step(np.ones(2))
    with pytest.raises(RecordingError, match=r"shape but no numbers.*return it from the step"):
        escaped[0] + 1.0


def test_an_unknown_pass_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'steck'.*stack"):
        autodiff.compile(lambda x: x, without=["steck"])
