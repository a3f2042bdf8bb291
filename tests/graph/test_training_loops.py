"""Patterns of training loops, many times: graphs kept or rebuilt, shared weights, threads."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Node, Tensor
from autodiff.backend import Backend
from autodiff.errors import (
    BackwardTwiceError,
    IncompleteGradientError,
)


def plain_gradient(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    h = np.tanh(x @ w)
    return x.T @ (2 * h * (1 - h * h))


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("reassigned", [True, False])
@pytest.mark.parametrize("style", ["push", "seeds"])
def test_a_static_graph(
    constant: bool, reassigned: bool, style: str, rng: np.random.Generator
) -> None:
    x = Tensor(rng.normal(size=(2, 3)), constant=constant)
    w = Tensor(rng.normal(size=(3, 2)))
    loss = autodiff.square(autodiff.tanh(x @ w)).sum()
    for step in range(30):
        if reassigned:
            x.assign(rng.normal(size=(2, 3)))
        loss.forward()
        if style == "push":
            loss.backward()
        else:
            autodiff.backward(loss)
        np.testing.assert_allclose(
            w.gradient, plain_gradient(x.value, w.value), rtol=1e-12, err_msg=str(step)
        )
        w.assign(w.value - 0.1 * w.gradient)
        if not (constant or reassigned):
            loss.forward()
            with pytest.raises(BackwardTwiceError, match="nobody has read"):
                autodiff.backward(loss)
            assert x.gradient.shape == x.shape


@pytest.mark.parametrize("style", ["push", "seeds"])
@pytest.mark.parametrize("old", ["dead", "alive"])
def test_a_graph_rebuilt_each_step(style: str, old: str, rng: np.random.Generator) -> None:
    w = Tensor(rng.normal(size=(3, 2)), name="w")
    kept = []
    for step in range(30):
        x = rng.normal(size=(2, 3))
        loss = autodiff.square(autodiff.tanh(x @ w)).sum()
        if style == "seeds":
            autodiff.backward(loss)
        else:
            loss.backward()
            if old == "alive" and step:
                # The post's style waits for everybody that reads w, old graphs too.
                with pytest.raises(IncompleteGradientError, match=kept[0].inputs[0].inputs[0].name):
                    _ = w.gradient
                break
        np.testing.assert_allclose(w.gradient, plain_gradient(x, w.value), rtol=1e-12)
        w.assign(w.value - 0.1 * w.gradient)
        if old == "alive":
            kept.append(autodiff.square(autodiff.tanh(x @ w)))


@pytest.mark.parametrize("style", ["push", "seeds"])
@pytest.mark.parametrize("way", ["read", "reset", "accumulate"])
def test_a_gradient_that_nobody_has_read_is_not_lost(style: str, way: str) -> None:
    x, w = Tensor([[2.0]], name="x"), Tensor([[3.0]])

    def backward(loss: Node, **options: Any) -> None:
        if style == "push":
            loss.backward(**options)
        else:
            autodiff.backward(loss, **options)

    expected = 0.0
    for step in range(5):
        loss = autodiff.square(x @ w).sum()
        if step:
            # x keeps the complete gradient of the last pass: nobody assigned it.
            with pytest.raises(BackwardTwiceError, match=r"'x'.*accumulate=True.*reset"):
                backward(loss)
            assert x._gradient == expected
            if way == "read":
                assert x.gradient == expected
            if way == "reset":
                x.reset()
        backward(loss, accumulate=way == "accumulate")
        new = 4.0 * w.value**2
        expected = expected + new if way == "accumulate" else new
        np.testing.assert_allclose(w.gradient, 8.0 * w.value)
        np.testing.assert_allclose(x._gradient, expected)
        w.assign(w.value - 0.1 * w.gradient)


def test_micro_batches(backend: Backend, rng: np.random.Generator) -> None:
    w, bias = Tensor(rng.normal(size=(3, 2))), Tensor(np.zeros(2))
    data = rng.normal(size=(4, 5, 3))
    for _ in range(3):
        for batch in data:
            loss = autodiff.square(batch @ w + bias).sum()
            autodiff.backward(loss, accumulate=True)
        found = w.gradient, bias.gradient
        whole = autodiff.square(data @ w + bias).sum()
        autodiff.backward(whole)
        np.testing.assert_allclose(found[0], w.gradient, rtol=1e-12)
        np.testing.assert_allclose(found[1], bias.gradient, rtol=1e-12)
        for tensor in (w, bias):  # a sum begins anew once its tensor was assigned
            tensor.assign(tensor.value - 0.01 * tensor.gradient)


def test_a_second_pass_begins_a_new_sum() -> None:
    w = Tensor([1.0, 2.0])
    h = w * 3.0
    for factor in (1.0, 5.0, 7.0):
        autodiff.backward((h * factor).sum())
        np.testing.assert_array_equal(w.gradient, [3.0 * factor] * 2)


def test_two_losses_in_one_pass_many_times(rng: np.random.Generator) -> None:
    x, w = Tensor(rng.normal(size=(2, 3))), Tensor(rng.normal(size=(3, 2)))
    h = autodiff.tanh(x @ w)
    first, second, unused = autodiff.square(h).sum(), h.mean(), autodiff.exp(h)
    for _ in range(20):
        for loss in (first, second, unused):
            loss.forward()
        x.reset()  # nobody reads its gradient
        autodiff.backward({first: 1.0, second: 3.0})
        slope = 2 * h.value + 0.75
        expected = x.value.T @ (slope * (1 - h.value**2))
        np.testing.assert_allclose(w.gradient, expected, rtol=1e-12)
        w.assign(w.value - 0.1 * w.gradient)


def test_losses_in_turn_on_shared_weights(rng: np.random.Generator) -> None:
    x, w = Tensor(rng.normal(size=(2, 3)), constant=True), Tensor(rng.normal(size=(3, 2)))
    h = autodiff.tanh(x @ w)
    losses = [autodiff.square(h).sum(), (3.0 * h).sum()]
    slopes = [lambda h: 2 * h, lambda h: 3.0]
    for step in range(20):
        loss, slope = losses[step % 2], slopes[step % 2]
        loss.forward()
        autodiff.backward(loss)
        expected = x.value.T @ (slope(h.value) * (1 - h.value**2))
        np.testing.assert_allclose(w.gradient, expected, rtol=1e-12)
        w.assign(w.value - 0.1 * w.gradient)


def test_shared_weights_unrolled(rng: np.random.Generator, backend: Backend) -> None:
    # T steps send T gradients to the weight.
    w, state = Tensor(rng.normal(size=(3, 3)) * 0.5), Tensor(rng.normal(size=(1, 3)))
    h: Node = state
    for _ in range(8):
        h = autodiff.tanh(h @ w)
    assert len(w.parents) == 8
    seed = rng.normal(size=(1, 3))
    h.backward(seed)
    values, gw = [state.value], np.zeros((3, 3))
    for _ in range(8):
        values.append(np.tanh(values[-1] @ w.value))
    g = seed
    for before, after in zip(values[-2::-1], values[:0:-1], strict=True):
        g = g * (1 - after * after)
        gw += before.T @ g
        g = g @ w.value.T
    np.testing.assert_allclose(w.gradient, gw, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(state.gradient, g, rtol=1e-12, atol=1e-14)


def test_threads_with_graphs_of_their_own_on_shared_weights(rng: np.random.Generator) -> None:
    shared = Tensor(rng.normal(size=(3, 2)), constant=True)
    wrong: list[str] = []

    def work(number: int) -> None:
        try:
            random = np.random.default_rng(number)
            x = Tensor(random.normal(size=(2, 3)), name="x")
            for _ in range(60):
                loss = autodiff.square(autodiff.tanh(x @ shared)).sum()
                loss.backward()
                h = np.tanh(x.value @ shared.value)
                expected = (2 * h * (1 - h * h)) @ shared.value.T
                np.testing.assert_allclose(x.gradient, expected, rtol=1e-12)
                x.assign(x.value - 0.01 * x.gradient)
        except BaseException as error:
            wrong.append(f"thread {number}: {error!r}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert shared.parents == ()
