"""What is taken as numbers, and converted exactly; the user's own arrays are left alone."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor


@pytest.mark.parametrize(
    "given",
    [
        np.array([[1.5, -2.25], [3.0, 1e-3]], np.float32),
        np.array([[1.5, -2.25], [3.0, 1e3]], np.float16),
        np.array([[1, -2], [3, 2**53]], np.int64),
        np.array([[1, 2], [3, 255]], np.uint8),
        np.array([[True, False], [False, True]]),
        np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]),
        np.arange(12.0).reshape(4, 3)[::2, ::-2],
        np.arange(4.0).reshape(2, 2).T,
        np.broadcast_to(7.0, (2, 2)),
        np.arange(4.0).reshape(2, 2).astype(">f8"),
        np.arange(4).reshape(2, 2).astype(">i4"),
        np.frombuffer(b"x" + np.arange(4.0).tobytes(), np.float64, 4, 1).reshape(2, 2),
        [[1, 2.5], [True, np.float32(0.1)]],
        ((1, 2), (3, 4)),
        [[np.inf, -np.inf], [np.nan, -0.0]],
        [[5e-324, 1.7976931348623157e308], [-5e-324, 0.1]],
    ],
    ids=lambda given: f"{type(given).__name__} {getattr(given, 'dtype', '')}",
)
def test_real_numbers_of_any_kind_are_converted_exactly(given: Any) -> None:
    expected = np.array(given, np.float64)
    before = pickle.dumps(given)
    fresh, assigned = Tensor(given), Tensor(shape=(2, 2))
    assigned.assign(given)
    for value in (fresh.value, assigned.value, (fresh + 0.0 * np.zeros((2, 2))).inputs[0].value):
        assert value.dtype == np.dtype("=f8")
        assert type(value) is np.ndarray
        assert value.flags.c_contiguous
        assert value.flags.aligned
        assert not value.flags.writeable
        assert value.tobytes() == expected.tobytes()
    operand = autodiff.stop_gradient(autodiff.concat([Tensor(np.zeros((0, 2))), given], 0))
    assert operand.value.tobytes() == expected.tobytes()
    fresh.backward(given)
    assert fresh.gradient.tobytes() == expected.tobytes()
    assert pickle.dumps(given) == before


def test_a_read_only_array_is_taken_and_left_alone() -> None:
    given = np.arange(3.0)
    given.flags.writeable = False
    x = Tensor(given)
    x.assign([5.0, 6.0, 7.0])
    np.testing.assert_array_equal(given, [0.0, 1.0, 2.0])


def test_later_changes_of_the_users_array_do_not_show() -> None:
    given = np.ones(2)
    x = Tensor(given)
    y = x * given
    x.assign(given)
    y.backward(given)
    given[:] = 7.0
    np.testing.assert_array_equal(x.value, [1.0, 1.0])
    y.forward()
    np.testing.assert_array_equal(y.value, [1.0, 1.0])
    np.testing.assert_array_equal(x.gradient, [1.0, 1.0])
