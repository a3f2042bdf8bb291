"""What a node costs that is built anew in each step: counted, as times depend on the machine."""

from __future__ import annotations

import _thread
import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from counting import Counting

import autodiff
from autodiff import Node, Tensor

N = 100


def unary(x: Node) -> Node:
    for _ in range(N // 2):
        x = -autodiff.tanh(x)
    return x


def binary(x: Node) -> Node:
    y = x
    for _ in range(N // 2):
        y = y * x + x
    return y


def literals(x: Node) -> Node:
    for _ in range(N // 2):
        x = x * 0.9 + 0.1
    return x


def slices(x: Node) -> Node:
    for _ in range(N):
        x = x[::-1]
    return x


def calls(work: Callable[[], Any], c_calls: bool = False) -> int:
    """How many functions of Python are called, and if told so, of C."""
    number = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal number
        number += event == "call" or (c_calls and event == "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return number


@pytest.mark.parametrize(("build", "most"), [(unary, 6), (binary, 8), (literals, 9), (slices, 15)])
def test_python_calls_for_a_node(build: Callable[[Node], Node], most: int) -> None:
    x = Tensor([0.5, 0.25])
    once = 250  # for a pass, whatever its length

    def step() -> None:
        autodiff.backward({build(x): np.ones(2)})

    step()
    x.reset()
    assert (calls(step) - once) / N <= most


@pytest.mark.parametrize(("build", "most"), [(unary, 3), (binary, 3), (literals, 4), (slices, 3)])
def test_objects_for_a_node_that_the_collector_looks_at(
    build: Callable[[Node], Node], most: int
) -> None:
    x = Tensor([0.5, 0.25])
    build(x)  # fills what is kept
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        y = build(x)
        assert len(gc.get_objects()) - before <= most * N + 10
        assert y.needs_gradient
    finally:
        gc.enable()


def sliced(n: int) -> tuple[Tensor, Node]:
    x = Tensor(np.ones((n, 2)))
    return x, autodiff.concat([autodiff.tanh(x[t]) for t in range(n)], 0).sum()


def joined(n: int) -> tuple[Tensor, Node]:
    w = Tensor(np.ones((1, 2)))
    h: Node = w
    outputs = []
    for _ in range(n):
        h = autodiff.tanh(h * w)
        outputs.append(h)
    return w, autodiff.concat(outputs, 0).sum()


@pytest.mark.parametrize("model", [sliced, joined])
@pytest.mark.parametrize("style", ["push", "seeds"])
def test_a_step_of_many_slices_or_of_a_long_join_is_linear(model: Any, style: str) -> None:
    def of(n: int) -> int:
        tensor, loss = model(n)

        def step() -> None:
            tensor.assign(0.5 * tensor.value)
            loss.forward()
            if style == "push":
                loss.backward()
            else:
                autodiff.backward(loss)

        for _ in range(2):
            step()
        return calls(step, c_calls=True)

    assert of(400) <= 4.2 * of(100)


def test_slices_are_added_to_the_sum_where_they_belong() -> None:
    x, loss = sliced(20)
    with autodiff.use_backend(Counting()) as backend:  # type: ignore[arg-type]
        assert isinstance(backend, Counting)
        loss.backward()
        np.testing.assert_allclose(x.gradient, 1 - np.tanh(np.ones((20, 2))) ** 2)
        assert "add" not in backend.forwards


def test_a_gradient_that_is_accumulated_to_keeps_its_numbers() -> None:
    x = Tensor([1.0, 2.0, 3.0])
    autodiff.backward((2.0 * x).sum())
    kept = x.gradient
    autodiff.backward(x[1:].sum(), accumulate=True)
    np.testing.assert_array_equal(kept, [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(x.gradient, [2.0, 3.0, 3.0])
    seed = np.array([1.0, 1.0, 1.0])
    y = x * 1.0
    autodiff.backward({y: seed, y[:1].sum(): 1.0, y[2:].sum(): 1.0}, accumulate=True)
    np.testing.assert_array_equal(seed, 1.0)
    np.testing.assert_array_equal(y.gradient, [2.0, 1.0, 2.0])


def test_the_same_number_as_a_literal_many_times() -> None:
    x = Tensor([1.0])
    for number, expected in ((0.0, np.inf), (-0.0, -np.inf), (0, np.inf), (2, 0.5), (2.0, 0.5)):
        for _ in range(2):
            assert (x / (x * 0.0 + number)).needs_gradient
            with np.errstate(all="ignore"):
                assert (1.0 / (number * Tensor([1.0]))).value == expected
    first, second = x * 0.1, x * 0.1
    assert first.inputs[1] is not second.inputs[1]
    assert second.inputs[1].parents == ((second, 1),)


def test_readers_that_are_gone_are_struck_out() -> None:
    x = Tensor([1.0])
    kept = [x * 1.0 for _ in range(5)]
    for _ in range(1000):
        assert (x * 2.0).needs_gradient
    assert len(x.more_readers or ()) < 50
    assert [reader for reader, _ in x.parents] == kept


def test_an_op_that_is_called_by_nobody_in_python() -> None:
    x = Tensor([1.0])
    _thread.start_new_thread(autodiff.tanh, (x,))
    until = time.monotonic() + 10.0
    while x.first_reader is None and time.monotonic() < until:
        time.sleep(0.001)
    assert x.first_reader is not None
