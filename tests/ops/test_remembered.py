"""What was asked for before is looked up: by exactly what was asked, and never anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import remembered
from autodiff.declare import declare
from autodiff.errors import DTypeError, IndexRangeError, ShapeError
from autodiff.op import OPS

X = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: x[1],
        lambda x: x[::-1],
        lambda x: x[1:, ::2],
        lambda x: x[-1, 1:3],
        lambda x: autodiff.sum(x, 1),
        lambda x: autodiff.sum(x, axis=(0, 1), keepdims=True),
        lambda x: autodiff.reshape(x, (2, -1)),
        lambda x: autodiff.concat([x, x], 0),
        lambda x: autodiff.softmax(x, axis=0),
    ],
)
def test_asked_twice_it_is_the_same_op(ask: Callable[[Any], Any]) -> None:
    x = autodiff.Tensor(X)
    first, second = ask(x), ask(x)
    assert first is not second
    assert first.op is second.op
    assert first.shape == second.shape == second.forward().shape
    assert second.where == first.where  # the user's line, not one of the library's
    assert np.array_equal(first.forward(), ask(X))
    autodiff.backward(second.sum())
    assert x.gradient.shape == X.shape


def test_what_is_equal_but_not_the_same_is_told_apart() -> None:
    x = autodiff.Tensor(X)
    good: list[Any] = [1, slice(1, None), slice(0, 1, 2), (slice(1, None), 0), (0, slice(1, 2))]
    good += [np.int64(1), (np.int64(1), slice(None)), True, [1], [True, False, True], ((0, 1, 2),)]
    bad: list[Any] = [
        1.0, slice(1.0, None), (0, 1, 2), ((0, 1, 7),), (slice(1.0, None), 0),
        (slice(1, None), 0.0), (0, (1, 2, None)), np.float64(5e-324),
        (np.float64(5e-324), slice(1)),
        (1, None, None, 5), b"\x01" + b"\0" * 7, [1.0], slice(np.float64(5e-324), None),
    ]  # fmt: skip
    for _ in range(2):
        for index in good:
            assert np.array_equal(x[index].forward(), X[index])
        for index in bad:
            with pytest.raises(IndexRangeError):
                x[index]
    for _ in range(2):
        assert x.sum(1).shape == (3,)
        assert x.sum(1, True).shape == x.sum(1, 1).shape == (3, 1)
        for axis in (True, 1.0):
            with pytest.raises(ShapeError):
                x.sum(axis)


def test_of_other_shapes_and_operands_it_is_another_question() -> None:
    for shape in ((3, 4), (4, 3), (12,), (2, 6), (3, 4)):
        x = autodiff.Tensor(X.reshape(shape))
        assert np.array_equal(x[-1].forward(), X.reshape(shape)[-1])
        assert autodiff.reshape(x, (-1, 2)).shape == (6, 2)
        assert autodiff.concat((x, x), -1).shape == (*shape[:-1], 2 * shape[-1])
        assert autodiff.concat((x, X.reshape(shape)), -1).shape == (*shape[:-1], 2 * shape[-1])
    x, y = autodiff.Tensor(X), autodiff.Tensor(X.T)
    for _ in range(2):
        with pytest.raises(ShapeError, match=r"parts\[1\] has shape \(4, 3\)"):
            autodiff.concat([x, y], 0)
        with pytest.raises(DTypeError, match="parts"):
            autodiff.concat(x, 0)
        with pytest.raises(TypeError):
            autodiff.concat()
        with pytest.raises(TypeError):
            autodiff.sum(x, 1, True, 3)


def test_what_can_change_is_not_kept() -> None:
    try:

        @declare(backward=lambda g, z, x, *, by: g * by[0], shape=lambda x, *, by: x, examples=[])
        def stretch(x: Any, *, by: list[float]) -> Any:
            return x * by[0]

        x, by = autodiff.Tensor(X), [2.0]
        for _ in range(2):
            stretch(x, by=by)  # it holds the list itself
        by[0] = 5.0
        assert np.array_equal(stretch(x, by=[2.0]).forward(), 2.0 * X)
    finally:
        OPS.pop("stretch", None)


def test_only_so_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_MOST", 3)
    x = autodiff.Tensor(np.arange(20.0))
    for _ in range(2):
        assert [float(x[i].forward()) for i in range(20)] == list(range(20))
