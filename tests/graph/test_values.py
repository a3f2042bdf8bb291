"""Values: what is handed out never changes, only what is stale is computed, nothing is mixed."""

from __future__ import annotations

import numpy as np
import pytest
from counting import Counting

import autodiff
from autodiff import Tensor
from autodiff.errors import (
    StaleValueError,
)


def test_what_is_handed_out_is_read_only() -> None:
    x = Tensor([1.0, 2.0])
    y = x * 2.0
    y.backward(np.ones(2))
    for array in (x.value, y.value, y.forward(), x.gradient, y.gradient):
        with pytest.raises(ValueError, match=r"read-only"):
            array[0] = 7.0
        with pytest.raises(ValueError, match=r"read-only"):
            array += 1.0
    assert np.shares_memory(x.value, x.value)


def test_a_value_that_was_handed_out_never_changes() -> None:
    x = Tensor([1.0, 2.0])
    seen = x.value
    assert x.value is seen  # until it is written
    x.assign([3.0, 4.0])
    np.testing.assert_array_equal(seen, [1.0, 2.0])
    x.assign(x.value[::-1])
    np.testing.assert_array_equal(x.value, [4.0, 3.0])
    x.assign(x * 2.0)
    np.testing.assert_array_equal(x.value, [8.0, 6.0])
    x.assign(seen)
    np.testing.assert_array_equal(x.value, [1.0, 2.0])
    square = Tensor([[1.0, 2.0], [3.0, 4.0]])
    square.assign(square.value.T)
    np.testing.assert_array_equal(square.value, [[1.0, 3.0], [2.0, 4.0]])


def test_gradients_that_were_handed_out_do_not_change() -> None:
    x = Tensor([1.0, 2.0])
    y = autodiff.square(x)
    y.backward(np.ones(2))
    kept = x.gradient
    y.reset()
    y.backward([5.0, 5.0])
    np.testing.assert_array_equal(kept, [2.0, 4.0])


def test_only_what_is_stale_is_computed(counting: Counting) -> None:
    x, w = Tensor([1.0]), Tensor([2.0])
    fixed = autodiff.exp(x)
    y = autodiff.tanh(fixed * w)
    y.forward()
    assert counting.forwards == ["exp", "multiply", "tanh"]
    y.forward()
    assert len(counting.forwards) == 3
    w.assign([3.0])
    y.forward()
    assert counting.forwards[3:] == ["multiply", "tanh"]
    fixed.forward()
    assert len(counting.forwards) == 5


def test_a_value_stays_until_it_is_computed_anew() -> None:
    x = Tensor(3.0)
    y = x * x
    assert y.value == 9.0
    x.assign(1.0)
    assert y.value == 9.0
    assert y.forward() == 1.0


@pytest.mark.parametrize("partly", [False, True])
def test_stale_values_are_not_mixed_with_fresh_ones(partly: bool) -> None:
    x, w = Tensor([1.0]), Tensor([2.0])
    h = x * w
    y = autodiff.square(h)
    y.forward()
    x.assign([5.0])
    if partly:
        h.forward()
    with pytest.raises(StaleValueError):
        y.backward()
    with pytest.raises(StaleValueError):
        autodiff.backward({h * 1.0: [1.0], y: [1.0]})
    for node in (x, w, h, y):
        assert not node.has_gradient
    y.forward()
    y.backward()
    assert w.gradient == 2 * 10.0 * 5.0


def test_forward_drops_gradients_of_old_values() -> None:
    x = Tensor([1.0])
    y = x * 2.0
    y.backward()
    x.assign([3.0])
    assert x.gradient == 2.0
    y.forward()
    assert not y.has_gradient
    y.backward()
    assert x.gradient == 2.0
