"""A graph that nobody holds goes away at once, and nobody waits for it."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

import autodiff
from autodiff import Tensor
from autodiff.graph.order import ancestors


@pytest.fixture
def _no_collector() -> Iterator[None]:
    """Without the garbage collector: only what is in no cycle goes away."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def model(x: Tensor, w: Tensor) -> autodiff.Node:
    h = autodiff.tanh(x @ w)
    return autodiff.square(autodiff.concat([h, h * 2.0])[:, 1:]).mean()


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("passes", ["none", "forward", "backward", "gradients"])
def test_a_dropped_graph_is_in_no_cycle(passes: str) -> None:
    w = Tensor([[1.0, 2.0]], name="w")
    loss = model(Tensor([[0.5]], constant=True), w)
    below = ancestors([loss])
    alive = [weakref.ref(node) for node in below if node is not w]
    if passes == "forward":
        loss.forward()
        w.assign([[2.0, 1.0]])
        loss.forward()
    if passes == "backward":
        loss.backward()
    if passes == "gradients":
        gradient = autodiff.gradients(loss, [w])[0]
        gradient.forward()
        del gradient
    del loss, below
    assert [ref() for ref in alive if ref() is not None] == []
    assert w.parents == ()
    assert w.readers() == []


@pytest.mark.usefixtures("_no_collector")
def test_a_graph_that_went_away_is_not_waited_for() -> None:
    w = Tensor([1.0, 2.0])
    for step in range(5):
        loss = autodiff.square(w).sum()
        loss.backward()
        np.testing.assert_array_equal(w.gradient, 2.0 * w.value)
        w.assign(w.value - 0.1 * w.gradient)
        assert len(w.readers()) == 1, step


@pytest.mark.usefixtures("_no_collector")
def test_a_long_chain_is_dropped_without_recursion() -> None:
    x = node = Tensor(1.0)
    for _ in range(100_000):
        node = autodiff.negative(node)
    node.backward()
    last = weakref.ref(node)
    del node
    assert last() is None
    assert x.parents == ()


@pytest.mark.parametrize("kind", ["rebuilt", "static"])
def test_steps_leave_nothing_behind(kind: str) -> None:
    w = Tensor([[0.3, -0.2]])
    x = Tensor([[0.5]], constant=True)
    static = model(x, w)

    def steps(number: int) -> None:
        for _ in range(number):
            loss = model(x, w) if kind == "rebuilt" else static
            loss.forward()
            autodiff.backward(loss)
            w.assign(w.value - 0.1 * w.gradient)

    tracemalloc.start()
    try:
        steps(200)  # fills the caches of Python and NumPy
        gc.collect()
        objects, bytes_ = len(gc.get_objects()), tracemalloc.get_traced_memory()[0]
        steps(3000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - bytes_
    finally:
        tracemalloc.stop()
    assert len(gc.get_objects()) - objects < 50
    assert grown < 32 * 3000  # bytes: less than one object a step


def test_a_parent_that_dies_within_a_pass_is_told_of() -> None:
    x = Tensor([1.0])
    kept, dropped = x * 2.0, x * 3.0
    kept.backward()
    assert x.waiting_for == ((dropped, 0),)
    del dropped
    with pytest.raises(autodiff.errors.IncompleteGradientError, match="a reader that is gone"):
        _ = x.gradient
    kept.reset()
    kept.backward()
    assert x.gradient == 2.0
