"""Gradients that nobody has read: kept from the next pass, unless their reader was interrupted."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor
from autodiff.errors import BackwardTwiceError
from autodiff.optim import SGD


def run(w: Tensor, interrupt: bool = False) -> None:
    autodiff.backward((w * w).sum())
    if interrupt:
        raise KeyboardInterrupt


def outer(w: Tensor, interrupt: bool = False) -> None:
    run(w)
    if interrupt:
        raise KeyboardInterrupt


def generator(w: Tensor, interrupt: bool = False) -> Any:
    run(w)
    yield
    if interrupt:
        raise KeyboardInterrupt


def generated(w: Tensor, interrupt: bool = False) -> None:
    list(generator(w, interrupt))


functions = pytest.mark.parametrize("function", [run, outer, generated])


@functions
def test_functions_that_return_leave_a_gradient_to_read(function: Callable[..., None]) -> None:
    w = Tensor([1.0, 2.0])
    function(w)
    for _ in range(2):
        with pytest.raises(BackwardTwiceError, match="nobody has read"):
            function(w)
    np.testing.assert_array_equal(w.gradient, [2.0, 4.0])
    function(w)
    np.testing.assert_array_equal(w.gradient, [2.0, 4.0])


@functions
def test_after_an_interrupted_step_the_next_one_works(function: Callable[..., None]) -> None:
    w = Tensor([1.0, 2.0])
    optimiser = SGD([w], 0.25)

    def step(interrupt: bool) -> None:
        function(w, interrupt)
        optimiser.step()

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            step(interrupt=True)
        step(interrupt=False)
    np.testing.assert_array_equal(w.value, [0.25, 0.5])


def test_a_loop_that_forgets_to_accumulate_is_told() -> None:
    w = Tensor([1.0, 2.0])
    for again in (False, True):
        loss = (w * w).sum()
        if again:
            with pytest.raises(BackwardTwiceError, match="accumulate=True"):
                autodiff.backward(loss)
        else:
            autodiff.backward(loss)


def test_compiled_steps_after_an_interruption() -> None:
    w = Tensor([1.0, 2.0])
    optimiser = SGD([w], 0.25)

    @autodiff.compile
    def step() -> None:
        autodiff.backward((w * w).sum())
        optimiser.step()

    step()
    with pytest.raises(KeyboardInterrupt):
        run(w, interrupt=True)
    step()
    np.testing.assert_array_equal(w.value, [0.25, 0.5])
    run(w)
    with pytest.raises(BackwardTwiceError, match="nobody has read"):
        step()


@pytest.mark.parametrize("reads", [True, False])
def test_a_function_that_has_ended_is_not_held(reads: bool) -> None:
    w = Tensor([1.0, 2.0])
    gone: list[weakref.ref[Any]] = []

    def function() -> None:
        data = Tensor(np.ones(2))
        gone.append(weakref.ref(data))
        autodiff.backward((w * data).sum())
        if reads:
            _ = w.gradient

    gc.disable()
    try:
        function()
        if reads:
            assert gone[0]() is None
        w.reset()
        (w * 2.0).name = "a name"  # or another pass
        assert gone[0]() is None
    finally:
        gc.enable()
